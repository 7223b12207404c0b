package import Gate

extension WallTime {
    /// `2027-01-31`, at its beginning, or `2027-01-31T18:00:00Z`. UTC; 1970 to 2261.
    ///
    /// Wire reads RFC 3339 with offsets and fractions: a policy has no need of them, and the ground floor does not know Wire.
    package init?(day text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count == 10 || bytes.count == 20 else { return nil }
        func number(_ range: Range<Int>) -> Int64? {
            guard bytes[range].allSatisfy({ 0x30...0x39 ~= $0 }) else { return nil }
            return bytes[range].reduce(0) { $0 * 10 + Int64($1 - 0x30) }
        }
        func isMark(_ index: Int, _ mark: Unicode.Scalar) -> Bool { bytes[index] == UInt8(ascii: mark) }
        guard isMark(4, "-"), isMark(7, "-"), let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), 1970...2261 ~= year, 1...12 ~= month,
            1...WallTime.days(in: month, of: year) ~= day
        else { return nil }
        var seconds: Int64 = 0
        if bytes.count == 20 {
            guard isMark(10, "T"), isMark(13, ":"), isMark(16, ":"), isMark(19, "Z"), let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
                hour < 24, minute < 60, second < 60
            else { return nil }
            seconds = hour * 3_600 + minute * 60 + second
        }
        self.init(nanoseconds: (WallTime.dayNumber(year, month, day) * 86_400 + seconds) * 1_000_000_000)
    }

    /// As ``init(day:)`` reads it; a moment within a second is its beginning.
    package var day: String {
        let seconds = nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : 0
        let (number, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
        // Days from 1 March of year 0: a year begins after the day that leaps.
        let shifted = number + 719_468
        let era = shifted / 146_097
        let ofEra = shifted % 146_097
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * ofYear + 2) / 153
        let day = ofYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let date = "\(year)-\(two(month))-\(two(day))"
        return rest == 0 ? date : "\(date)T\(two(rest / 3_600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func dayNumber(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted % 400
        let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + ofYear - 719_468
    }
}
