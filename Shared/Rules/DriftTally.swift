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
///
/// What a clock has counted that was ahead, and was set right, counts on: at first where it lies, and once the clock has stood behind it for ``patience``, in the present minute. So it is in every
/// count of the time between, and ends as what drifts now does. A clock that is behind for a moment, as that of a machine that has just been started may be, moves nothing.
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
    /// Since when some of it lies ahead.
    private var aheadSince: Instant?
    fileprivate static let minute = Span.seconds(60).nanoseconds
    /// Minutes. What lies no further ahead ends that much later than it should.
    package static let aheadMax: Int64 = 60
    package static let patience = Span.seconds(1_800)
    /// As many as a selector of a person's hand would have.
    package static let subjectsMax = 100

    package init() {}

    /// What was noted before a restart, the oldest first. Without a subject: of several who are not named.
    package mutating func remember(_ drift: Drift, isStored: Bool, minute: Int64) {
        counted[drift.dataClass, default: Counted()].note(drift, isStored: isStored, in: minute, since: .distantPast)
    }

    package static func minute(of time: WallTime) -> Int64 { time.nanoseconds / Span.seconds(60).nanoseconds }

    /// Time has passed: call it every few seconds, or oftener.
    ///
    /// - Returns: the present minute, where what lay more than ``aheadMax`` ahead is counted from now on; nil: nothing was moved.
    package mutating func settle(wall: WallTime, at now: Instant) -> Int64? {
        let present = DriftTally.minute(of: wall)
        guard counted.values.contains(where: { $0.isAhead(of: present) }) else {
            aheadSince = nil
            return nil
        }
        let since = aheadSince ?? now
        aheadSince = since
        guard now - since >= DriftTally.patience else { return nil }
        aheadSince = nil
        for name in counted.keys { counted[name]?.settle(in: present) }
        return present
    }

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

extension DriftTally.Minute {
    fileprivate mutating func merge(_ other: DriftTally.Minute) {
        into.merge(other.into, uniquingKeysWith: +)
        stored += other.stored
        hasUnnamed = hasUnnamed || other.hasUnnamed
        // More than can be named are as good as any number of them.
        for subject in other.subjects where subjects.count <= DriftTally.subjectsMax { subjects.insert(subject) }
    }
}

extension DriftTally.Counted {
    /// The newest is the last.
    fileprivate func isAhead(of present: Int64) -> Bool { minutes.last.map { $0.number > present + DriftTally.aheadMax } ?? false }

    fileprivate mutating func settle(in present: Int64) {
        guard isAhead(of: present) else { return }
        var moved = DriftTally.Minute(number: present)
        for minute in minutes where minute.number == present || minute.number > present + DriftTally.aheadMax { moved.merge(minute) }
        minutes.removeAll { $0.number == present || $0.number > present + DriftTally.aheadMax }
        minutes.insert(moved, at: minutes.firstIndex { $0.number > present } ?? minutes.count)
    }

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
