import Gate

extension Assessment {
    /// One subject's own part, for that subject: of nobody else it holds more than who could read, who did, and numbers.
    package func part(of subject: String) -> Assessment {
        var scope = question.scope
        scope.subjects = [subject]
        var part = Assessment(question: ExposureQuestion(incident: question.incident, question.period, of: scope))
        var (groupNumbers, audienceNumbers, releaseNumbers): ([Int: Int], [Int: Int], [Int: Int]) = ([:], [:], [:])
        let mine = rows(of: subject)
        for index in Set(mine.lazy.flatMap(\.did).map(\.release)).sorted() {
            releaseNumbers[index] = part.releases.count
            part.releases.append(releases[index].part(of: subject))
        }
        var (people, keys) = (0, Set<String>())
        for var one in mine {
            one.did = one.did.compactMap { did in releaseNumbers[did.release].map { Part(release: $0, events: did.events) } }
            if let number = one.could {
                people = max(people, groups[number].people)
                if groupNumbers[number] == nil {
                    var group = groups[number]
                    for index in group.windows.indices {
                        let audience = group.windows[index].audience
                        let moved = audienceNumbers[audience] ?? part.audiences.count
                        if moved == part.audiences.count {
                            audienceNumbers[audience] = moved
                            part.audiences.append(audiences[audience])
                        }
                        group.windows[index].audience = moved
                    }
                    groupNumbers[number] = part.groups.count
                    part.groups.append(group)
                }
                one.could = groupNumbers[number]
                keys.formUnion(groups[number].windows.flatMap { audiences[$0.audience].keys.map(\.name) })
            }
            part.exposed.append(one)
        }
        for index in part.releases.indices {
            let mine = part.exposed.flatMap(\.did).filter { $0.release == index }
            let least = mine.reduce(Int64(0)) { $0 + $1.events.lowerBound }
            part.releases[index].events = least...max(least, min(mine.reduce(Int64(0)) { $0 + $1.events.upperBound }, part.releases[index].release.events))
            part.releases[index].subjects = (least > 0 ? 1 : 0)...1
        }
        part.gaps = gaps.compactMap { $0.part(of: subject) }
        part.planted = planted.filter { $0 == subject }
        part.totals = part.sums(people: max(people, keys.count), keys: keys.count)
        return part
    }

    /// They lie together, in the order of their bytes: whoever tells 10,000 people does not look at all of them for each.
    private func rows(of subject: String) -> ArraySlice<ExposedSubject> {
        var (low, high) = (0, exposed.count)
        while low < high {
            let middle = (low + high) / 2
            if exposed[middle].subject.utf8.lexicographicallyPrecedes(subject.utf8) { low = middle + 1 } else { high = middle }
        }
        return exposed[low...].prefix { $0.subject == subject }
    }

    /// All but who could, of whom a list alone says how many they are.
    func sums(people: Int, keys: Int) -> Totals {
        var totals = Totals()
        var before = ""
        for one in exposed where one.could != nil {
            if totals.subjects == 0 || one.subject != before { totals.subjects += 1 }
            before = one.subject
            if let events = one.events { totals.events = totals.events.addingReportingOverflow(events).partialValue } else { totals.eventsUnknown += 1 }
        }
        totals.people = people
        totals.keys = keys
        totals.releases = releases.count
        totals.readers = Set(releases.lazy.map(\.release.reader)).count
        var (certain, possible): (Set<String>, Set<String>) = ([], [])
        for one in exposed where !one.did.isEmpty {
            possible.insert(one.subject)
            if one.did.contains(where: { $0.events.lowerBound > 0 }) { certain.insert(one.subject) }
        }
        totals.readSubjects = certain.count...possible.count
        for one in releases { totals.readEvents = totals.readEvents.lowerBound + one.events.lowerBound...totals.readEvents.upperBound + one.events.upperBound }
        return totals
    }
}

extension Assessment.ReleaseInScope {
    /// Without who else was asked for.
    fileprivate func part(of subject: String) -> Assessment.ReleaseInScope {
        var part = self
        if !part.release.subjects.isEmpty { part.release.subjects = release.subjects.contains(subject) ? [subject] : ["others"] }
        part.release.included = release.included.map { $0.filter { $0 == subject } }
        part.release.shares = nil
        return part
    }
}

extension Gap {
    /// Nil: it is of others.
    fileprivate func part(of subject: String) -> Gap? {
        switch self {
        case .erased(let subjects): subjects.contains(subject) ? .erased([subject]) : nil
        case .placeUnknown(let subjects): subjects.contains(subject) ? .placeUnknown([subject]) : nil
        default: self
        }
    }
}
