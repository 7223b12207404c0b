import Gate
import Rules

/// Takes a line apart without knowing what wrote it: JSON, comma, tab or semicolon between cells, or words. What it finds are things that can be marked: times,
/// pairs of whole numbers beside each other, short words, texts.
struct LineScanner {
    private(set) var times: [Int64] = []
    /// As ``MarkHash/position(_:_:)``.
    private(set) var pairs: [UInt64] = []
    /// Short words, as ``FoldedWords/detail``.
    private(set) var details: [UInt64] = []
    /// As many as ``texts``; those after it are kept for other lines.
    private var stored: [FoldedWords] = []
    private var textCount = 0
    var texts: ArraySlice<FoldedWords> { stored[..<textCount] }

    private var words = FoldedWords()
    private var last: Int32?
    private var day: (bytes: UInt64, nanoseconds: Int64) = (0, 0)

    // Of one line; more are somebody's way to make a line dear.
    private static let timesMax = 2
    private static let pairsMax = 6
    private static let detailsMax = 6
    private static let textsMax = 6

    /// - Parameter separator: Between cells; 0: this is known of no line.
    mutating func scan(_ line: UnsafeBufferPointer<UInt8>, separator: UInt8) {
        times.removeAll(keepingCapacity: true)
        pairs.removeAll(keepingCapacity: true)
        details.removeAll(keepingCapacity: true)
        textCount = 0
        last = nil
        var start = 0
        while start < line.count, line[start] == 0x20 || line[start] == 0x09 { start += 1 }
        guard start < line.count else { return }
        if line[start] == UInt8(ascii: "{") || line[start] == UInt8(ascii: "[") && start + 1 < line.count && (line[start + 1] == UInt8(ascii: "{") || line[start + 1] == UInt8(ascii: "\"")) {
            json(line, from: start)
        } else {
            if separator != 0 { cells(line, separator) }
            // As words, too: a text may hold what looks like a separator.
            if separator == 0 || textCount == 0 { cell(line, start..<line.count, isJSON: false) }
        }
    }

    // MARK: JSON

    private mutating func json(_ line: UnsafeBufferPointer<UInt8>, from start: Int) {
        var place = start
        while place < line.count {
            let byte = line[place]
            if byte == UInt8(ascii: "\"") {
                let first = place + 1
                var end = first
                while end < line.count, line[end] != UInt8(ascii: "\"") { end += line[end] == UInt8(ascii: "\\") ? 2 : 1 }
                end = min(end, line.count)
                place = end + 1
                while place < line.count, line[place] == 0x20 { place += 1 }
                if place < line.count, line[place] == UInt8(ascii: ":") {
                    place += 1
                } else {
                    last = nil
                    value(line, first..<end, isJSON: true)
                }
            } else if byte == UInt8(ascii: "-") || LineScanner.isDigit(byte) {
                place = number(line, place, line.count)
            } else {
                if byte == UInt8(ascii: "n") || byte == UInt8(ascii: "t") || byte == UInt8(ascii: "f") || byte == UInt8(ascii: "{") { last = nil }
                place += 1
            }
        }
    }

    // MARK: Cells

    private mutating func cells(_ line: UnsafeBufferPointer<UInt8>, _ separator: UInt8) {
        var place = 0
        while place <= line.count {
            var end = place
            if place < line.count, line[place] == UInt8(ascii: "\"") {
                end += 1
                while end < line.count {
                    if line[end] == UInt8(ascii: "\"") {
                        guard end + 1 < line.count, line[end + 1] == UInt8(ascii: "\"") else { break }
                        end += 1
                    }
                    end += 1
                }
                cell(line, place + 1..<max(place + 1, min(end, line.count)), isJSON: false)
                while end < line.count, line[end] != separator { end += 1 }
            } else {
                while end < line.count, line[end] != separator { end += 1 }
                cell(line, place..<end, isJSON: false)
            }
            place = end + 1
        }
    }

    /// A time, numbers, and what is behind them.
    private mutating func cell(_ line: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, isJSON: Bool) {
        guard !range.isEmpty else {
            last = nil
            return
        }
        var place = range.lowerBound
        while place < range.upperBound {
            let byte = line[place]
            if LineScanner.isDigit(byte), let end = time(line, place, range.upperBound) {
                last = nil
                place = end
            } else if byte == 0x20 || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: ":") {
                place += 1
            } else {
                break
            }
        }
        let rest = place
        while place < range.upperBound {
            let byte = line[place]
            if LineScanner.isDigit(byte) || byte == UInt8(ascii: "-") && place + 1 < range.upperBound && LineScanner.isDigit(line[place + 1]) {
                place = number(line, place, range.upperBound)
            } else if byte == 0x20 {
                place += 1
            } else {
                break
            }
        }
        guard place < range.upperBound else { return }
        last = nil
        value(line, rest..<range.upperBound, isJSON: isJSON)
    }

    // MARK: Values

    private mutating func value(_ line: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, isJSON: Bool) {
        var place = range.lowerBound
        if isJSON, range.count >= 19, LineScanner.isDigit(line[place]), let end = time(line, place, range.upperBound), end == range.upperBound { return }
        words.removeAll()
        while place < range.upperBound {
            let byte = line[place]
            place += 1
            guard isJSON, byte == UInt8(ascii: "\\"), place < range.upperBound else {
                words.add(byte)
                continue
            }
            let escaped = line[place]
            place += 1
            guard escaped == UInt8(ascii: "u") else {
                words.separate()
                continue
            }
            place = unescape(line, place, range.upperBound)
        }
        if words.starts.count >= FoldedWords.least {
            guard textCount < LineScanner.textsMax else { return }
            if textCount == stored.count { stored.append(FoldedWords()) }
            swap(&stored[textCount], &words)
            textCount += 1
        } else if let detail = words.detail, details.count < LineScanner.detailsMax, !LineScanner.vocabulary.contains(detail) {
            details.append(detail)
        }
    }

    /// Words of the schema, that every line has.
    private static let vocabulary: Set<UInt64> = {
        let words = ["pointer", "key", "window", "presence", "text", "move", "drag", "down", "up", "scroll", "active", "away", "chat", "mail", "document", "review", "prompt", "left", "right", "true", "false", "null", "nan", "activity", "content"]
        return Set(words.compactMap { FoldedWords($0).detail })
    }()

    /// `\uXXXX`, as one half of a character or the whole.
    private mutating func unescape(_ line: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        guard let high = LineScanner.hexadecimal(line, start, end) else { return min(start + 1, end) }
        var (scalar, place) = (high, start + 4)
        if 0xD800..<0xDC00 ~= high, place + 1 < end, line[place] == UInt8(ascii: "\\"), line[place + 1] == UInt8(ascii: "u"),
            let low = LineScanner.hexadecimal(line, place + 2, end), 0xDC00..<0xE000 ~= low
        {
            scalar = 0x10000 + (high - 0xD800) << 10 + (low - 0xDC00)
            place += 6
        }
        guard let character = Unicode.Scalar(scalar) else {
            words.separate()
            return place
        }
        for byte in UTF8.encode(character) ?? UTF8.encodedReplacementCharacter { words.add(byte) }
        return place
    }

    private static func hexadecimal(_ line: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> UInt32? {
        guard start + 4 <= end else { return nil }
        var value: UInt32 = 0
        for place in start..<start + 4 {
            switch line[place] {
            case 0x30...0x39: value = value << 4 | UInt32(line[place] - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(line[place] - 0x37)
            case 0x61...0x66: value = value << 4 | UInt32(line[place] - 0x57)
            default: return nil
            }
        }
        return value
    }

    // MARK: Numbers

    @inline(__always) private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// - Returns: behind it.
    private mutating func number(_ line: UnsafeBufferPointer<UInt8>, _ start: Int, _ limit: Int) -> Int {
        var place = start
        let isNegative = line[place] == UInt8(ascii: "-")
        if isNegative { place += 1 }
        let first = place
        var value: Int64 = 0
        while place < limit, LineScanner.isDigit(line[place]) {
            if place - first < 18 || place - first == 18 && value < 900_000_000_000_000_000 { value = value * 10 + Int64(line[place] - 0x30) }
            place += 1
        }
        let digits = place - first
        guard digits > 0 else {
            last = nil
            return max(place, start + 1)
        }
        var fraction: Int64 = 0
        if place + 1 < limit, line[place] == UInt8(ascii: "."), LineScanner.isDigit(line[place + 1]) {
            place += 1
            var scale: Int64 = 100_000_000
            while place < limit, LineScanner.isDigit(line[place]) {
                fraction += Int64(line[place] - 0x30) * scale
                scale /= 10
                place += 1
            }
            if digits == 10, !isNegative {
                note(time: value, times: 1_000_000_000, fraction)
                last = nil
                return place
            }
        }
        // Since 1970, as programs write it.
        if fraction == 0, !isNegative, let scale = digits == 13 ? Int64(1_000_000) : digits == 16 ? 1_000 : digits == 19 ? 1 : nil {
            note(time: value, times: scale)
            last = nil
            return place
        }
        guard fraction == 0, digits <= 9 else {
            last = nil
            return place
        }
        let whole = Int32(isNegative ? -value : value)
        if let last, pairs.count < LineScanner.pairsMax { pairs.append(MarkHash.position(last, whole)) }
        last = whole
        return place
    }

    private mutating func note(time: Int64, times scale: Int64 = 1, _ more: Int64 = 0) {
        let (product, overflow) = time.multipliedReportingOverflow(by: scale)
        // Some number, and no time that an event may have.
        guard !overflow, product < Event.times.upperBound.nanoseconds, times.count < LineScanner.timesMax else { return }
        times.append(product + more)
    }

    // MARK: Times

    /// `2026-11-23T08:00:00.094Z`, also with a space in the middle, and with another offset.
    ///
    /// - Returns: behind it; nil: it is none.
    private mutating func time(_ line: UnsafeBufferPointer<UInt8>, _ start: Int, _ limit: Int) -> Int? {
        guard start + 19 <= limit, line[start + 4] == UInt8(ascii: "-"), line[start + 7] == UInt8(ascii: "-"), line[start + 13] == UInt8(ascii: ":"),
            line[start + 16] == UInt8(ascii: ":"), line[start + 10] == UInt8(ascii: "T") || line[start + 10] == 0x20 || line[start + 10] == UInt8(ascii: "t"),
            let day = day(line, start), let hour = LineScanner.two(line, start + 11), let minute = LineScanner.two(line, start + 14), let second = LineScanner.two(line, start + 17)
        else { return nil }
        var nanoseconds = day + (Int64(hour) * 3_600 + Int64(minute) * 60 + Int64(second)) * 1_000_000_000
        var place = start + 19
        if place + 1 < limit, line[place] == UInt8(ascii: ".") || line[place] == UInt8(ascii: ","), LineScanner.isDigit(line[place + 1]) {
            place += 1
            var scale: Int64 = 100_000_000
            while place < limit, LineScanner.isDigit(line[place]) {
                nanoseconds += Int64(line[place] - 0x30) * scale
                scale /= 10
                place += 1
            }
        }
        if place < limit, line[place] == UInt8(ascii: "Z") || line[place] == UInt8(ascii: "z") {
            place += 1
        } else if place + 3 <= limit, line[place] == UInt8(ascii: "+") || line[place] == UInt8(ascii: "-"), let hours = LineScanner.two(line, place + 1) {
            let sign: Int64 = line[place] == UInt8(ascii: "+") ? 1 : -1
            place += 3
            if place < limit, line[place] == UInt8(ascii: ":") { place += 1 }
            var minutes = 0
            if place + 2 <= limit, let more = LineScanner.two(line, place) {
                minutes = more
                place += 2
            }
            nanoseconds -= sign * (Int64(hours) * 3_600 + Int64(minutes) * 60) * 1_000_000_000
        }
        note(time: nanoseconds)
        return place
    }

    @inline(__always) private static func two(_ line: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int? {
        guard isDigit(line[start]), isDigit(line[start + 1]) else { return nil }
        return Int(line[start] - 0x30) * 10 + Int(line[start + 1] - 0x30)
    }

    /// Midnight, in nanoseconds since 1970. Most lines are of the day of the line before.
    private mutating func day(_ line: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int64? {
        var bytes: UInt64 = 0
        for place in 0..<10 where place != 4 && place != 7 {
            guard LineScanner.isDigit(line[start + place]) else { return nil }
            bytes = bytes << 8 | UInt64(line[start + place])
        }
        if bytes == day.bytes { return day.nanoseconds }
        func digit(_ place: Int) -> Int64 { Int64(line[start + place] - 0x30) }
        let (year, month, dayOfMonth) = (digit(0) * 1_000 + digit(1) * 100 + digit(2) * 10 + digit(3), digit(5) * 10 + digit(6), digit(8) * 10 + digit(9))
        guard 1970...2261 ~= year, 1...12 ~= month, 1...31 ~= dayOfMonth else { return nil }
        // After Howard Hinnant's "chrono-compatible low-level date algorithms".
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + dayOfMonth - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        day = (bytes, days * 86_400_000_000_000)
        return day.nanoseconds
    }
}
