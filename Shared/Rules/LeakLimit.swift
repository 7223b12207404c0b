package import Gate

/// From when on one reader's doings, or the drift of one class, are a finding: more than any of these in a period. What is not named is not limited.
package struct LeakLimit: Hashable, Sendable {
    package var events: Int?
    package var subjects: Int?
    package var classes: Int?
    /// Hours of the clock, UTC's, in which somebody read at all: a person sleeps, and what copies out everybody does not.
    package var hours: Int?
    /// Reads that were denied.
    package var reads: Int?
    package var per: GrantRate.Period

    package init(events: Int? = nil, subjects: Int? = nil, classes: Int? = nil, hours: Int? = nil, reads: Int? = nil, per: GrantRate.Period) {
        self.events = events
        self.subjects = subjects
        self.classes = classes
        self.hours = hours
        self.reads = reads
        self.per = per
    }

    package var period: Span { .seconds(Int64(per.hours) * 3_600) }

    /// Whoever stays under this stays under the other as well.
    package func isWithin(_ other: LeakLimit) -> Bool {
        GrantRate(events: events, subjects: subjects, per: per).isWithin(GrantRate(events: other.events, subjects: other.subjects, per: other.per))
            && GrantRate(events: reads, per: per).isWithin(GrantRate(events: other.reads, per: other.per))
            && GrantRate(events: classes, subjects: hours, per: per).isWithin(GrantRate(events: other.classes, subjects: other.hours, per: other.per))
    }
}

extension GrantTaken {
    /// What of a limit is exceeded, in words; nil: nothing is.
    package func excess(over limit: LeakLimit) -> String? {
        let people = Int64(subjects.count) + uncounted
        if let max = limit.subjects, people > max { return "\(people) subjects within a \(limit.per.rawValue), and the limit is \(max)" }
        if let max = limit.events, events > max { return "\(events) events within a \(limit.per.rawValue), and the limit is \(max)" }
        return nil
    }
}

/// Reads that were denied, by reader, in the periods that a limit speaks of. What is older than a week is forgotten.
///
/// Minutes are not parted: a denial counts as long as any moment of its minute lies in the period.
package struct DeniedTally: Sendable {
    private var minutes: [String: [Int64: Int]] = [:]
    private static let minute = Span.seconds(60).nanoseconds
    private static let reach = Int64(GrantRate.Period.week.hours * 60)

    package init() {}

    /// - Returns: how many there are now within `period`.
    package mutating func note(_ reader: String, within period: Span, at now: WallTime) -> Int {
        let current = now.nanoseconds / DeniedTally.minute
        minutes[reader, default: [:]][current, default: 0] += 1
        if minutes[reader]!.count > DeniedTally.reach { minutes[reader] = minutes[reader]!.filter { $0.key > current - DeniedTally.reach } }
        let since = now - period
        // After a clock that was put back the minutes ahead count too: less is forgotten than might be.
        return minutes[reader]!.reduce(0) { ($1.key + 1) * DeniedTally.minute > since.nanoseconds ? $0 + $1.value : $0 }
    }

    /// What was found is found once: from here on it is counted anew.
    package mutating func forget(_ reader: String) { minutes[reader] = nil }
}
