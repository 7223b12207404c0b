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

    fileprivate struct Minute {
        let number: Int64
        var into: [String: Int] = [:]
        /// Of these, what was stored already.
        var stored = 0
        var subjects: Set<String> = []
        /// And of others, whom nobody has written down.
        var hasUnnamed = false
        var events: Int { into.values.reduce(0, +) }
    }

    /// Of one class, the oldest first. It is asked of every batch that drifts: what a finding says is gathered when there is one.
    fileprivate struct Counted {
        var minutes: [Minute] = []
        var events = 0
    }

    private var counted: [DataClass: Counted] = [:]
    fileprivate static let minute = Span.seconds(60).nanoseconds
    /// As many as a selector of a person's hand would have.
    package static let subjectsMax = 100

    package init() {}

    /// What was noted before a restart, the oldest first. Without a subject: of several who are not named.
    package mutating func remember(_ drift: Drift, isStored: Bool, minute: Int64) {
        counted[drift.dataClass, default: Counted()].note(drift, isStored: isStored, in: minute, since: .distantPast)
    }

    package static func minute(of time: WallTime) -> Int64 { time.nanoseconds / Span.seconds(60).nanoseconds }

    /// - Parameter isStored: It was found when what is stored was judged again, and not on arrival.
    /// - Returns: what is a finding: the class is counted anew from here on.
    package mutating func note(_ drift: Drift, isStored: Bool, over limit: LeakLimit, at now: WallTime) -> Found? {
        guard let max = limit.events else { return nil }
        let (current, since) = (now.nanoseconds / DriftTally.minute, now - limit.period)
        counted[drift.dataClass, default: Counted()].note(drift, isStored: isStored, in: current, since: since)
        guard let all = counted[drift.dataClass], all.events > max else { return nil }
        counted[drift.dataClass] = nil
        let events = all.events
        var (into, stored, subjects, hasUnnamed) = ([String: Int](), 0, Set<String>(), false)
        for minute in all.minutes {
            into.merge(minute.into, uniquingKeysWith: +)
            stored += minute.stored
            subjects.formUnion(minute.subjects)
            hasUnnamed = hasUnnamed || minute.hasUnnamed
        }
        let classes = into.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        let place = stored == 0 ? "on arrival" : stored == events ? "in what is stored" : "\(stored) in what is stored, the others on arrival"
        return Found(
            sentence: "\(events) events of class \(drift.dataClass.name) were of a higher class (\(classes); \(place)) within a \(limit.per.rawValue), and the limit is \(max)",
            subjects: hasUnnamed || subjects.count > DriftTally.subjectsMax ? [] : subjects)
    }
}

extension DriftTally.Counted {
    fileprivate mutating func note(_ drift: Drift, isStored: Bool, in current: Int64, since: WallTime) {
        let count = drift.into.values.reduce(0, +)
        // A clock that was set back counts on in the minute that it had reached.
        if minutes.last.map({ $0.number < current }) ?? true { minutes.append(DriftTally.Minute(number: current)) }
        let last = minutes.count - 1
        minutes[last].into.merge(drift.into, uniquingKeysWith: +)
        if isStored { minutes[last].stored += count }
        if drift.subject.isEmpty { minutes[last].hasUnnamed = true } else if minutes[last].subjects.count <= DriftTally.subjectsMax { minutes[last].subjects.insert(drift.subject) }
        events += count
        let old = minutes.firstIndex { ($0.number + 1) * DriftTally.minute > since.nanoseconds } ?? 0
        guard old > 0 else { return }
        for minute in minutes[..<old] { events -= minute.events }
        minutes.removeFirst(old)
    }
}
