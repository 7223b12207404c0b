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
        /// Other days, those before it and those that a clock had leapt to.
        var past: [Int64: Int64] = [:]

        var people: Int64 { Int64(subjects.count) + uncounted }

        /// On that day. A clock that was put back goes on with the day that it had; after one that had leapt further ahead the day begins anew, or all that come
        /// would be one.
        func turned(to now: Int64) -> Record {
            guard now > day || day > now + 1 else { return self }
            var past = past
            past[day] = people
            past = past.filter { $0.key >= now - ReadDays.daysMax }
            // Whom it had before the clock leapt away from it is not known any more: they are others.
            return Record(day: now, uncounted: past.removeValue(forKey: now) ?? 0, past: past)
        }

        mutating func note(_ parts: [ReadTally.Part], on day: Int64) {
            self = turned(to: day)
            for part in parts {
                subjects.formUnion(part.subjects)
                uncounted += part.uncounted
            }
        }
    }

    /// Before today: what somebody does once a week was done four times.
    package static let daysMax: Int64 = 28
    /// From the first moment that counts to now.
    package static let reach = Span(nanoseconds: (daysMax + 1) * dayLength)
    private static let dayLength = Span.seconds(86_400).nanoseconds
    private var records: [String: Record] = [:]

    package init() {}

    /// - Returns: whether the first lies on a later day than the other.
    static func isLaterDay(_ one: WallTime, than other: WallTime) -> Bool { one.nanoseconds / dayLength > other.nanoseconds / dayLength }

    mutating func note(_ reader: String, _ parts: [ReadTally.Part], at now: WallTime) {
        let day = now.nanoseconds / ReadDays.dayLength
        // In its place: a day's people may be many, and are not copied.
        records[reader, default: Record(day: day)].note(parts, on: day)
    }

    /// What a release that is not opened yet would exceed, in words; nil: nothing.
    package func excess(of reader: String, and more: [ReadTally.Part], over limit: PastLimit, at now: WallTime) -> String? {
        let day = now.nanoseconds / ReadDays.dayLength
        let record = (records[reader] ?? Record(day: day)).turned(to: day)
        var (people, new) = (record.people, Set<String>())
        for part in more {
            for subject in part.subjects where !record.subjects.contains(subject) { new.insert(subject) }
            people += part.uncounted
        }
        people += Int64(new.count)
        let largest = record.past.filter { $0.key < record.day && $0.key >= record.day - ReadDays.daysMax }.max { ($0.value, $0.key) < ($1.value, $1.key) }
        let (product, overflow) = (largest?.value ?? 0).multipliedReportingOverflow(by: Int64(limit.times))
        guard people > Int64(limit.least), people > (overflow ? .max : product) else { return nil }
        guard let largest, largest.value > 0 else { return "\(people) subjects in a day, of none in the \(ReadDays.daysMax) days before, and \(limit.least) is the limit for whoever begins" }
        let date = WallTime(nanoseconds: largest.key * ReadDays.dayLength).day
        return "\(people) subjects in a day, and the limit is \(limit.times) times the largest of the \(ReadDays.daysMax) days before (\(largest.value) on \(date)), \(limit.least) at least"
    }
}
