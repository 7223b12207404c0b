package import Gate

/// Events of somebody who is nobody, marked in the policy document: who would be released any of them, and is not cleared, is found.
///
/// Of a planted subject alone, one that two operators have signed is nobody (``Drill/isPlanted(_:)``): in a person's own data they would be counted, exported and told of as theirs.
/// The rest of that subject may be read, as a drill's is.
package struct PlantedEvents: Hashable, Sendable {
    package var subject: String
    package var dataClass: String
    /// What happened within this second; nil: whatever there is of the class.
    package var at: WallTime?

    package init(of subject: String, _ dataClass: String, at: WallTime? = nil) {
        self.subject = subject
        self.dataClass = dataClass
        self.at = at
    }

    /// Whether a release of what happened from one moment until another has any of them.
    func areWithin(_ from: WallTime, _ until: WallTime) -> Bool {
        guard let at else { return true }
        return from < at + .seconds(1) && at < until
    }

    /// As many as two operators would look at, and as many subjects as a closure names: a finding of more control would refuse, again and again.
    package static let countMax = 1_000
}

/// What was planted, and would be read by somebody who is not cleared for it.
package struct PlantedFound: Hashable, Sendable {
    package var subjects: Set<String> = []
    package var events: Set<PlantedEvents> = []

    package init(subjects: Set<String> = [], events: Set<PlantedEvents> = []) {
        self.subjects = subjects
        self.events = events
    }

    package var isEmpty: Bool { subjects.isEmpty && events.isEmpty }
    /// Whose.
    package var allSubjects: Set<String> { subjects.union(events.map(\.subject)) }

    /// For people: five at most, and how many more.
    package var words: String {
        let names = subjects.sorted() + Set(events.map { "events of \($0.subject), class \($0.dataClass)" }).sorted()
        return names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
    }
}
