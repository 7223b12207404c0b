package import Gate

/// Events that came, or lay, under one class, and turned out to be of a higher one.
package struct Drift: Hashable, Sendable {
    /// The lower one.
    package var dataClass: DataClass
    package var subject: String
    /// How many, by the class that they are of.
    package var into: [String: Int]

    package init(_ dataClass: DataClass, of subject: String, into: [String: Int]) {
        self.dataClass = dataClass
        self.subject = subject
        self.into = into
    }
}

/// Drift by the class under which it was found, in the period that a limit speaks of. Minutes are not parted, as in ``DeniedTally``.
package struct DriftTally: Sendable {
    package struct Found: Hashable, Sendable {
        package let sentence: String
        /// Of whom; empty: of more than are named.
        package let subjects: Set<String>
    }

    private struct Minute {
        var into: [String: Int] = [:]
        /// Of these, what was stored already.
        var stored = 0
        var subjects: Set<String> = []
    }

    private var minutes: [DataClass: [Int64: Minute]] = [:]
    private static let minute = Span.seconds(60).nanoseconds
    private static let reach = Int64(GrantRate.Period.week.hours * 60)
    /// As many as a selector of a person's hand would have.
    package static let subjectsMax = 100

    package init() {}

    /// - Parameter isStored: It was found when what is stored was judged again, and not on arrival.
    /// - Returns: what is a finding: the class is counted anew from here on.
    package mutating func note(_ drift: Drift, isStored: Bool, over limit: LeakLimit, at now: WallTime) -> Found? {
        guard let max = limit.events else { return nil }
        let current = now.nanoseconds / DriftTally.minute
        var known = minutes[drift.dataClass] ?? [:]
        var minute = known[current] ?? Minute()
        minute.into.merge(drift.into, uniquingKeysWith: +)
        if isStored { minute.stored += drift.into.values.reduce(0, +) }
        if minute.subjects.count <= DriftTally.subjectsMax { minute.subjects.insert(drift.subject) }
        known[current] = minute
        if known.count > DriftTally.reach { known = known.filter { $0.key > current - DriftTally.reach } }
        minutes[drift.dataClass] = known
        let since = now - limit.period
        var (into, stored, subjects) = ([String: Int](), 0, Set<String>())
        for (number, minute) in known where (number + 1) * DriftTally.minute > since.nanoseconds {
            into.merge(minute.into, uniquingKeysWith: +)
            stored += minute.stored
            subjects.formUnion(minute.subjects)
        }
        let events = into.values.reduce(0, +)
        guard events > max else { return nil }
        minutes[drift.dataClass] = nil
        let classes = into.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        let place = stored == 0 ? "on arrival" : stored == events ? "in what is stored" : "\(stored) in what is stored, the others on arrival"
        return Found(
            sentence: "\(events) events of class \(drift.dataClass.name) were of a higher class (\(classes); \(place)) within a \(limit.per.rawValue), and the limit is \(max)",
            subjects: subjects.count > DriftTally.subjectsMax ? [] : subjects)
    }
}
