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

    /// What is planted among what there is, by those alone who are planted: whether anybody else may be read, and where they are, is not looked at.
    ///
    /// Of one class, and of nobody by name or team, whatever is granted is released, however much of the rest is denied: then it is what ``decide(_:by:of:_:at:)`` of everything comes to. Nil: that is not
    /// asked, or nothing is found.
    ///
    /// - Parameter whereabouts: Of these subjects.
    package func plantedAlone(
        _ asked: ReadAsked, from: WallTime, until: WallTime, by reader: Reader, of shares: [ReadShare], at now: WallTime, _ whereabouts: (Set<String>) throws -> Whereabouts
    ) rethrows -> PlantedFound? {
        guard asked.classes.count == 1, asked.subjects.isEmpty, asked.teams.isEmpty else { return nil }
        let among = planted(in: shares.lazy.map(\.place), from: from, until: until, by: reader).allSubjects
        guard !among.isEmpty else { return nil }
        let theirs = shares.filter { among.contains($0.place.scope.subject) }
        let places = try whereabouts(among)
        let granted: GrantedRead
        do throws(ReadRefusal) { granted = try decide(asked, by: reader, of: theirs, places, at: now) } catch { return nil }
        let found = planted(in: granted.parts.lazy.map(\.share.place), from: from, until: until, by: reader)
        return found.isEmpty ? nil : found
    }
}
