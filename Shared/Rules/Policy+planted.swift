extension Policy {
    /// Whom the document names as planted among those who would be read, by a reader who is not cleared for it; empty: nobody.
    package func planted(among subjects: Set<String>, by reader: Reader) -> Set<String> {
        let reaction = document.reaction(to: .canary)
        guard !reaction.planted.isEmpty, !reaction.isCleared(reader) else { return [] }
        return reaction.planted.intersection(subjects)
    }
}
