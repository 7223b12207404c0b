package import Gate
import Rules

// Our own parser: Foundation's keep milliseconds at best, and take a hundred times as long.

extension WallTime {
    /// Reads an RFC 3339 time in UTC: `2026-11-23T08:00:00.094Z`, with 0 to 9 digits of a second's fraction. `+00:00` is the
    /// same as `Z`; other offsets, leap seconds, and what the calendar does not have are nil, as are years outside ``Event/times``.
    package init?(rfc3339 text: some StringProtocol) {
        var scanner = DigitScanner(bytes: Array(text.utf8))
        guard let year = scanner.number(4), scanner.skip("-"), let month = scanner.number(2), scanner.skip("-"),
            let day = scanner.number(2), scanner.skip("T") || scanner.skip("t"),
            let hour = scanner.number(2), scanner.skip(":"), let minute = scanner.number(2), scanner.skip(":"),
            let second = scanner.number(2)
        else { return nil }
        guard 1970...2261 ~= year, 1...12 ~= month, 1...WallTime.days(in: month, of: year) ~= day,
            0...23 ~= hour, 0...59 ~= minute, 0...59 ~= second
        else { return nil }
        var nanoseconds: Int64 = 0
        if scanner.skip(".") {
            guard let fraction = scanner.fraction() else { return nil }
            nanoseconds = fraction
        }
        guard scanner.skip("Z") || scanner.skip("z") || scanner.skip("+00:00"), scanner.isAtEnd else { return nil }
        let seconds = WallTime.days(toYear: year, month: month, day: day) * 86_400 + hour * 3_600 + minute * 60 + second
        self.init(nanoseconds: seconds * 1_000_000_000 + nanoseconds)
    }

    /// The same in the shortest of three forms that loses nothing: with 3, 6 or 9 digits of a fraction, and `Z`.
    package var rfc3339: String { String(decoding: rfc3339Bytes, as: UTF8.self) }

    var rfc3339Bytes: [UInt8] {
        let (day, time) = nanoseconds.flooredQuotientAndRemainder(dividingBy: 86_400_000_000_000)
        let date = WallTime.date(ofDay: day)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(30)
        bytes.append(digits: date.year, width: 4)
        bytes.append(UInt8(ascii: "-"))
        bytes.append(digits: date.month, width: 2)
        bytes.append(UInt8(ascii: "-"))
        bytes.append(digits: date.day, width: 2)
        bytes.append(UInt8(ascii: "T"))
        let second = time / 1_000_000_000
        bytes.append(digits: second / 3_600, width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(digits: second / 60 % 60, width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(digits: second % 60, width: 2)
        bytes.append(UInt8(ascii: "."))
        let fraction = time % 1_000_000_000
        if fraction % 1_000_000 == 0 {
            bytes.append(digits: fraction / 1_000_000, width: 3)
        } else if fraction % 1_000 == 0 {
            bytes.append(digits: fraction / 1_000, width: 6)
        } else {
            bytes.append(digits: fraction, width: 9)
        }
        bytes.append(UInt8(ascii: "Z"))
        return bytes
    }

    // The calendar, after Howard Hinnant's "chrono-compatible low-level date algorithms": years begin in March, so that the
    // leap day comes last, and 400 of them are 146,097 days.

    private static func days(toYear year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (day + 719_468).flooredQuotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

/// Reads digits and fixed words from the front of a text.
private struct DigitScanner {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    /// Exactly `width` digits.
    mutating func number(_ width: Int) -> Int64? {
        guard bytes.count - position >= width else { return nil }
        var value: Int64 = 0
        for byte in bytes[position..<position + width] {
            guard let digit = DigitScanner.digit(byte) else { return nil }
            value = value * 10 + digit
        }
        position += width
        return value
    }

    /// 1 to 9 digits behind the point, in nanoseconds.
    mutating func fraction() -> Int64? {
        var value: Int64 = 0
        var width = 0
        while position < bytes.count, let digit = DigitScanner.digit(bytes[position]) {
            guard width < 9 else { return nil }
            value = value * 10 + digit
            width += 1
            position += 1
        }
        guard width > 0 else { return nil }
        for _ in width..<9 { value *= 10 }
        return value
    }

    mutating func skip(_ word: StaticString) -> Bool {
        let expected = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard bytes[position...].starts(with: expected) else { return false }
        position += expected.count
        return true
    }

    private static func digit(_ byte: UInt8) -> Int64? {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte ? Int64(byte - UInt8(ascii: "0")) : nil
    }
}

extension Int64 {
    /// Like `quotientAndRemainder`, with a remainder that is never negative. The divisor is positive.
    fileprivate func flooredQuotientAndRemainder(dividingBy divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

extension [UInt8] {
    /// Appends the last `width` decimal digits of a number that is not negative.
    mutating func append(digits value: Int64, width: Int) {
        let start = count
        append(contentsOf: repeatElement(UInt8(ascii: "0"), count: width))
        var rest = value
        for place in stride(from: start + width - 1, through: start, by: -1) {
            self[place] += UInt8(rest % 10)
            rest /= 10
        }
    }
}
