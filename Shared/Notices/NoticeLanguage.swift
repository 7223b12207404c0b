import Exposure
import Gate
import Rules

/// In which words somebody is told.
package enum NoticeLanguage: String, Hashable, Sendable, CaseIterable, Codable {
    case english = "en"
    case german = "de"

    /// By the directory's locale: `de`, `de-AT` and `de_CH.UTF-8` are German, all else is English: an unknown language is no reason not to be told.
    package init(locale: String) {
        let primary = locale.split(whereSeparator: { "-_.@".contains($0) }).first.map { $0.lowercased() }
        self = primary == "de" ? .german : .english
    }
}

/// Times, numbers and lists as people write them. Times are UTC's, and say so: nobody has recorded in which zone somebody sits.
extension NoticeLanguage {
    /// `1,234` and `1.234`.
    func number(_ value: some BinaryInteger) -> String {
        var digits = ""
        for (place, digit) in String(value.magnitude).reversed().enumerated() {
            if place > 0, place.isMultiple(of: 3) { digits.append(self == .english ? "," : ".") }
            digits.append(digit)
        }
        return (value < 0 ? "-" : "") + String(digits.reversed())
    }

    func range<Value: BinaryInteger>(_ range: ClosedRange<Value>) -> String {
        guard range.lowerBound < range.upperBound else { return number(range.lowerBound) }
        return "\(number(range.lowerBound)) \(self == .english ? "to" : "bis") \(number(range.upperBound))"
    }

    private func counted(_ range: ClosedRange<some BinaryInteger>, _ one: String, _ many: String) -> String { "\(self.range(range)) \(range == 1...1 ? one : many)" }

    func people(_ count: Int) -> String { self == .english ? counted(count...count, "person", "people") : counted(count...count, "Person", "Personen") }
    func entries(_ count: ClosedRange<Int64>) -> String { self == .english ? counted(count, "entry", "entries") : counted(count, "Eintrag", "Einträge") }
    func readers(_ count: Int) -> String { self == .english ? counted(count...count, "reader", "readers") : counted(count...count, "Leser", "Leser") }
    func occasions(_ count: Int) -> String { self == .english ? counted(count...count, "occasion", "occasions") : counted(count...count, "Vorgang", "Vorgänge") }

    /// `a, b and c`.
    func list(_ parts: [String]) -> String {
        guard parts.count > 1, let last = parts.last else { return parts.first ?? "" }
        return parts.dropLast().joined(separator: ", ") + (self == .english ? " and " : " und ") + last
    }

    private static let months: [NoticeLanguage: [String]] = [
        .english: ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"],
        .german: ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"],
    ]

    /// Of a moment: its date and its time of day, cut off to the second.
    private func parts(_ time: WallTime) -> (date: String, clock: String) {
        let stamp = WallTime(nanoseconds: max(0, time.nanoseconds) / 1_000_000_000 * 1_000_000_000).day
        let numbers = stamp.prefix(10).split(separator: "-").map { Int($0) ?? 0 }
        let month = NoticeLanguage.months[self]?[numbers[1] - 1] ?? ""
        let date = self == .english ? "\(numbers[2]) \(month) \(numbers[0])" : "\(numbers[2]). \(month) \(numbers[0])"
        return (date, stamp.utf8.count > 10 ? String(stamp.dropFirst(11).dropLast()) : "00:00:00")
    }

    private func clock(_ text: String) -> String { self == .english ? "\(text) UTC" : "\(text) Uhr (UTC)" }

    /// `26 November 2026, 13:27:07 UTC`.
    func time(_ time: WallTime) -> String {
        switch time {
        case .distantPast: self == .english ? "before the records begin" : "vor Beginn der Aufzeichnungen"
        case .distantFuture: self == .english ? "until further notice" : "bis auf Weiteres"
        default: "\(parts(time).date), \(clock(parts(time).clock))"
        }
    }

    /// Whole seconds around it: nothing of it lies outside.
    func period(_ period: Period) -> String {
        let whole = period.until.nanoseconds % 1_000_000_000 == 0 || period.until == .distantFuture
        let until = whole ? period.until : period.until + .seconds(1)
        guard period.from != .distantPast, until != .distantFuture, parts(period.from).date == parts(until).date else { return "\(time(period.from)) – \(time(until))" }
        return "\(parts(period.from).date), \(parts(period.from).clock) – \(clock(parts(until).clock))"
    }
}
