package import Gate

extension Policy {
    /// What the document names as planted, subjects and events, in a release of these places by a reader who is not cleared for it.
    package func planted(in places: some Sequence<ReadPlace>, from: WallTime, until: WallTime, by reader: Reader) -> PlantedFound {
        let reaction = document.reaction(to: .canary)
        guard !reaction.planted.isEmpty || !reaction.events.isEmpty, !reaction.isCleared(reader) else { return PlantedFound() }
        var found = PlantedFound()
        let marks = Dictionary(grouping: reaction.events, by: \.subject)
        for place in places {
            // Most are of nobody that is planted.
            let subject = place.scope.subject
            if reaction.planted.contains(subject) { found.subjects.insert(subject) }
            guard let mine = marks[subject] else { continue }
            for mark in mine where mark.dataClass == place.dataClass.name && mark.areWithin(from, until) { found.events.insert(mark) }
        }
        return found
    }
}
