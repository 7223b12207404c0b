package import Gate

/// How far one day of a reader's may go beyond their own past: more people than `times` their largest day, and more than `least`, are a finding.
///
/// The same of events. Classes and hours of the clock are few, and nobody has five times as many: there more than on any day before, and more than the number, are one.
package struct PastLimit: Hashable, Sendable {
    package var times: Int
    /// Who has read of nobody yet may read of so many.
    package var least: Int
    /// And so many events. Nil, of this and the others: nobody looks at that.
    package var events: Int?
    package var classes: Int?
    package var hours: Int?

    package init(times: Int, least: Int, events: Int? = nil, classes: Int? = nil, hours: Int? = nil) {
        self.times = times
        self.least = least
        self.events = events
        self.classes = classes
        self.hours = hours
    }

    /// Whoever stays under this stays under the other as well.
    package func isWithin(_ other: PastLimit) -> Bool {
        func isWithin(_ mine: Int?, _ others: Int?) -> Bool { others.map { other in mine.map { $0 <= other } ?? false } ?? true }
        return times <= other.times && least <= other.least && isWithin(events, other.events) && isWithin(classes, other.classes) && isWithin(hours, other.hours)
    }
}

/// Of how many people, events and classes each reader was allowed to read on each of their last days, and in how many hours of the clock, from the read ledger's entries on what was opened.
///
/// Days and hours are UTC's. People of a release so large that they were only counted are others each time, on every day alike. A release counts with all that it was opened for.
package struct ReadDays: Sendable {
    /// What a day came to.
    private struct Sum {
        var people: Int64 = 0
        var events: Int64 = 0
        var classes = 0
        var hours = 0
    }

    private struct Record {
        var day: Int64
        var subjects: Set<String> = []
        var uncounted: Int64 = 0
        var events: Int64 = 0
        var classes: Set<DataClass> = []
        /// Of the day, each a bit.
        var hours: UInt32 = 0
        /// Other days, those before it and those that a clock had leapt to.
        var past: [Int64: Sum] = [:]

        var people: Int64 { Int64(subjects.count) + uncounted }
        var sum: Sum { Sum(people: people, events: events, classes: classes.count, hours: hours.nonzeroBitCount) }

        /// On that day. A clock that was put back goes on with the day that it had; after one that had leapt further ahead the day begins anew, or all that come
        /// would be one.
        func turned(to now: Int64) -> Record {
            guard now > day || day > now + 1 else { return self }
            var past = past
            past[day] = sum
            past = past.filter { $0.key >= now - ReadDays.daysMax }
            // Whom it had before the clock leapt away from it is not known any more: they are others. Which classes and hours is not, either, and those begin anew.
            let known = past.removeValue(forKey: now)
            return Record(day: now, uncounted: known?.people ?? 0, events: known?.events ?? 0, past: past)
        }

        mutating func note(_ parts: [ReadTally.Part], _ classes: Set<DataClass>, on day: Int64, in hour: Int64) {
            self = turned(to: day)
            for part in parts {
                subjects.formUnion(part.subjects)
                uncounted += part.uncounted
                events = events.addingReportingOverflow(part.events).partialValue
            }
            self.classes.formUnion(classes)
            hours |= 1 << UInt32(hour)
        }

        /// Of the days before, the one that has the most of something.
        func largest<Value: Comparable>(_ path: KeyPath<Sum, Value>) -> (day: Int64, value: Value)? {
            past.filter { $0.key < day && $0.key >= day - ReadDays.daysMax }.map { ($0.key, $0.value[keyPath: path]) }.max { ($0.1, $0.0) < ($1.1, $1.0) }
        }

        /// Of what is few: more than on any day before, and than the least that is looked at.
        func excess(of count: Int, _ what: String, than least: Int, _ path: KeyPath<Sum, Int>) -> String? {
            let largest = largest(path)
            guard count > max(least, largest?.value ?? 0) else { return nil }
            let before = largest.map { "\($0.value) at most on any of the \(ReadDays.daysMax) days before, last on \(ReadDays.date($0.day))" } ?? "none on the \(ReadDays.daysMax) days before"
            return "\(count) \(what) a day: \(before), and \(least) is the limit"
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

    private static func date(_ day: Int64) -> String { WallTime(nanoseconds: day * dayLength).day }

    private static func hour(of time: WallTime) -> Int64 { (time.nanoseconds / (dayLength / 24) % 24 + 24) % 24 }

    mutating func note(_ reader: String, _ parts: [ReadTally.Part], of classes: Set<DataClass> = [], at now: WallTime) {
        let day = now.nanoseconds / ReadDays.dayLength
        // In its place: a day's people may be many, and are not copied.
        records[reader, default: Record(day: day)].note(parts, classes, on: day, in: ReadDays.hour(of: now))
    }

    /// A release was still served: in each hour from its opening on. After midnight those of the day that has begun; after a clock that leapt, none.
    mutating func served(_ reader: String, from first: WallTime, to last: WallTime) {
        let day = last.nanoseconds / ReadDays.dayLength
        let from = first.nanoseconds / ReadDays.dayLength < day ? 0 : ReadDays.hour(of: first)
        guard let known = records[reader]?.day, known == day || known + 1 == day, from <= ReadDays.hour(of: last) else { return }
        for hour in from...ReadDays.hour(of: last) { records[reader]!.note([], [], on: day, in: hour) }
    }

    /// What a reader who reads now has by the hours that were noted; in words, nil: nothing.
    func excess(ofHours reader: String, over limit: PastLimit, at now: WallTime) -> String? {
        guard let least = limit.hours, let record = records[reader]?.turned(to: now.nanoseconds / ReadDays.dayLength) else { return nil }
        return record.excess(of: record.hours.nonzeroBitCount, "hours of", than: least, \.hours).map { "in \($0)" }
    }

    /// What a release that is not opened yet would exceed, in words; nil: nothing.
    package func excess(of reader: String, and more: [ReadTally.Part], of classes: Set<DataClass> = [], over limit: PastLimit, at now: WallTime) -> String? {
        let day = now.nanoseconds / ReadDays.dayLength
        let record = (records[reader] ?? Record(day: day)).turned(to: day)
        func excess(_ count: Int64, _ what: String, least: Int, _ path: KeyPath<Sum, Int64>) -> String? {
            let largest = record.largest(path)
            let (product, overflow) = (largest?.value ?? 0).multipliedReportingOverflow(by: Int64(limit.times))
            guard count > Int64(least), count > (overflow ? .max : product) else { return nil }
            guard let largest, largest.value > 0 else { return "of \(count) \(what) in a day, of none in the \(ReadDays.daysMax) days before, and \(least) is the limit for whoever begins" }
            return "of \(count) \(what) in a day, and the limit is \(limit.times) times the largest of the \(ReadDays.daysMax) days before (\(largest.value) on \(ReadDays.date(largest.day))), \(least) at least"
        }
        var (people, new) = (record.people, Set<String>())
        for part in more {
            for subject in part.subjects where !record.subjects.contains(subject) { new.insert(subject) }
            people += part.uncounted
        }
        people += Int64(new.count)
        if let found = excess(people, "subjects", least: limit.least, \.people) { return found }
        let events = more.reduce(record.events) { $0.addingReportingOverflow($1.events).partialValue }
        if let least = limit.events, let found = excess(events, "events", least: least, \.events) { return found }
        let all = record.classes.union(classes).count
        if let least = limit.classes, let found = record.excess(of: all, "classes in", than: least, \.classes) { return "of \(found)" }
        let hours = (record.hours | 1 << UInt32(ReadDays.hour(of: now))).nonzeroBitCount
        if let least = limit.hours, let found = record.excess(of: hours, "hours of", than: least, \.hours) { return "in \(found)" }
        return nil
    }
}
