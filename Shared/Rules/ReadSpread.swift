import Gate

/// Of how many classes each reader read in the last week, and in how many hours of the clock: breadth that no count of people shows.
///
/// Hours are UTC's. A release counts in each hour from its opening to its end, whether or not anything came in all of them, and in each as it begins.
package struct ReadSpread: Sendable {
    private struct Record {
        /// When something of a class was last read.
        var classes: [DataClass: WallTime] = [:]
        var hours: Set<Int64> = []
    }

    private static let hourLength = Span.seconds(3_600).nanoseconds
    /// The longest period of a limit, in hours.
    private static let reach = Int64(GrantRate.Period.week.hours)
    private var records: [String: Record] = [:]

    package init() {}

    private static func hour(of time: WallTime) -> Int64 { time.nanoseconds / hourLength }

    /// From its opening to a later moment. A clock that leapt between the two makes no more hours than are remembered.
    private static func hours(_ first: WallTime, _ last: WallTime) -> ClosedRange<Int64> {
        let end = hour(of: max(first, last))
        return max(hour(of: first), end - reach)...end
    }

    mutating func note(_ reader: String, _ classes: Set<DataClass>, from first: WallTime, to last: WallTime) {
        let hours = ReadSpread.hours(first, last)
        var record = records.removeValue(forKey: reader) ?? Record()
        for dataClass in classes { record.classes[dataClass] = record.classes[dataClass].map { max($0, last) } ?? last }
        record.hours.formUnion(hours)
        if record.hours.count > 2 * ReadSpread.reach { record.hours = record.hours.filter { $0 >= hours.upperBound - ReadSpread.reach } }
        records[reader] = record
    }

    /// What a reader has, with releases that run and one that is not opened yet, beyond a limit; nil: nothing.
    ///
    /// - Parameters:
    ///   - running: When each was opened, and of what.
    ///   - more: The classes of the one that is not opened yet.
    func excess(of reader: String, running: [(classes: Set<DataClass>, at: WallTime)], and more: Set<DataClass>, over limit: LeakLimit, at now: WallTime) -> String? {
        let since = now - limit.period
        let record = records[reader] ?? Record()
        if let max = limit.classes {
            let classes = running.reduce(more.union(record.classes.filter { $0.value > since }.keys)) { $0.union($1.classes) }
            if classes.count > max { return "of \(classes.count) classes within a \(limit.per.rawValue), and the limit is \(max)" }
        }
        if let max = limit.hours {
            let first = ReadSpread.hour(of: since) + 1
            // After a clock that was put back the hours ahead count too: less is forgotten than might be.
            var hours = record.hours.filter { $0 >= first }
            for (_, at) in running { hours.formUnion(ReadSpread.hours(at, now).lazy.filter { $0 >= first }) }
            hours.insert(ReadSpread.hour(of: now))
            return ReadSpread.excess(hours.count, over: max, limit)
        }
        return nil
    }

    /// What a reader who reads now has by the hours that were noted, and by no others: a clock that leaps over hours has served nobody in them.
    func excess(ofHours reader: String, over limit: LeakLimit, at now: WallTime) -> String? {
        guard let max = limit.hours, let record = records[reader] else { return nil }
        let first = ReadSpread.hour(of: now - limit.period) + 1
        return ReadSpread.excess(record.hours.count { $0 >= first }, over: max, limit)
    }

    private static func excess(_ hours: Int, over max: Int, _ limit: LeakLimit) -> String? {
        hours > max ? "in \(hours) hours of a \(limit.per.rawValue), and the limit is \(max)" : nil
    }
}
