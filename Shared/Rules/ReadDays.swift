package import Gate

/// How far one day of a reader's may go beyond their own past: more people than `times` their largest day, and more than `least`, are a finding.
package struct PastLimit: Hashable, Sendable {
    package var times: Int
    /// Who has read of nobody yet may read of so many.
    package var least: Int

    package init(times: Int, least: Int) {
        self.times = times
        self.least = least
    }

    /// Whoever stays under this stays under the other as well.
    package func isWithin(_ other: PastLimit) -> Bool { times <= other.times && least <= other.least }
}

/// Of how many people each reader was allowed to read on each of their last days, from the read ledger's entries on what was opened.
///
/// Days are UTC's. People of a release so large that they were only counted are others each time, on every day alike.
package struct ReadDays: Sendable {
    private struct Record {
        var day: Int64
        var subjects: Set<String> = []
        var uncounted: Int64 = 0
        /// Days before.
        var past: [Int64: Int64] = [:]

        var people: Int64 { Int64(subjects.count) + uncounted }
    }

    /// Before today: what somebody does once a week was done four times.
    package static let daysMax: Int64 = 28
    /// From the first moment that counts to now.
    package static let reach = Span(nanoseconds: (daysMax + 1) * dayLength)
    private static let dayLength = Span.seconds(86_400).nanoseconds
    private var records: [String: Record] = [:]

    package init() {}

    mutating func note(_ reader: String, _ parts: [ReadTally.Part], at now: WallTime) {
        let day = now.nanoseconds / ReadDays.dayLength
        var record = records[reader] ?? Record(day: day)
        // A clock that was put back goes on with the day that it had.
        if day > record.day {
            record.past[record.day] = record.people
            record.past = record.past.filter { $0.key >= day - ReadDays.daysMax }
            (record.day, record.subjects, record.uncounted) = (day, [], 0)
        }
        for part in parts {
            record.subjects.formUnion(part.subjects)
            record.uncounted += part.uncounted
        }
        records[reader] = record
    }

    /// What a release that is not opened yet would exceed, in words; nil: nothing.
    package func excess(of reader: String, and more: [ReadTally.Part], over limit: PastLimit, at now: WallTime) -> String? {
        let record = records[reader] ?? Record(day: now.nanoseconds / ReadDays.dayLength)
        let today = max(record.day, now.nanoseconds / ReadDays.dayLength)
        var subjects = today == record.day ? record.subjects : []
        var uncounted = today == record.day ? record.uncounted : 0
        for part in more {
            subjects.formUnion(part.subjects)
            uncounted += part.uncounted
        }
        let people = Int64(subjects.count) + uncounted
        var past = record.past
        if today > record.day { past[record.day] = record.people }
        let largest = past.filter { $0.key >= today - ReadDays.daysMax }.max { ($0.value, $0.key) < ($1.value, $1.key) }
        let (product, overflow) = (largest?.value ?? 0).multipliedReportingOverflow(by: Int64(limit.times))
        guard people > Int64(limit.least), people > (overflow ? .max : product) else { return nil }
        guard let largest, largest.value > 0 else { return "\(people) subjects in a day, of none in the \(ReadDays.daysMax) days before, and \(limit.least) is the limit for whoever begins" }
        let day = WallTime(nanoseconds: largest.key * ReadDays.dayLength).day
        return "\(people) subjects in a day, and the limit is \(limit.times) times the largest of the \(ReadDays.daysMax) days before (\(largest.value) on \(day)), \(limit.least) at least"
    }
}
