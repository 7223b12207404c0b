import Gate
import Rules

/// One JSON object without space, written key by key in the order given. The bytes are those that everybody gets.
struct JSONLine {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    init(_ kind: String) { put("kind", text: kind) }
    init() {}

    private mutating func key(_ name: String) {
        if bytes.last != UInt8(ascii: "{") { bytes.append(UInt8(ascii: ",")) }
        JSONLine.append(name, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    mutating func put(_ name: String, text: String) {
        key(name)
        JSONLine.append(text, to: &bytes)
    }

    mutating func put(_ name: String, _ number: some BinaryInteger) {
        key(name)
        bytes += String(number).utf8
    }

    mutating func put(_ name: String, texts: [String]) { put(name, values: texts.map { JSONLine.text($0) }) }
    mutating func put(_ name: String, objects: [JSONLine]) { put(name, values: objects.map(\.finished)) }
    mutating func put(_ name: String, numbers: [some BinaryInteger]) { put(name, values: numbers.map { Array(String($0).utf8) }) }

    /// Finished values.
    mutating func put(_ name: String, values: [[UInt8]]) {
        key(name)
        bytes.append(UInt8(ascii: "["))
        for (place, value) in values.enumerated() {
            if place > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += value
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// Whole microseconds, as in the ledgers: the beginning rounded down and the end up, so that nothing between two of them is lost.
    mutating func put(_ period: Period) {
        put("from_us", period.from.microsecondsDown)
        put("until_us", period.until.microsecondsUp)
    }

    var finished: [UInt8] { bytes + [UInt8(ascii: "}")] }

    static func text(_ value: String) -> [UInt8] {
        var bytes: [UInt8] = []
        append(value, to: &bytes)
        return bytes
    }

    private static func append(_ value: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case ..<0x20, 0x7F:
                let digits = Array(String(byte, radix: 16).utf8)
                bytes += Array("\\u".utf8) + Array(repeating: UInt8(ascii: "0"), count: 4 - digits.count) + digits
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

extension WallTime {
    var microsecondsDown: Int64 { nanoseconds / 1_000 - (nanoseconds % 1_000 < 0 ? 1 : 0) }
    var microsecondsUp: Int64 { nanoseconds / 1_000 + (nanoseconds % 1_000 > 0 ? 1 : 0) }

    /// RFC 3339 in UTC, to the microsecond.
    package var stamp: String {
        let whole = day
        let seconds = whole.hasSuffix("Z") ? String(whole.dropLast()) : whole + "T00:00:00"
        let digits = String(max(0, nanoseconds) % 1_000_000_000 / 1_000)
        return seconds + "." + String(repeating: "0", count: 6 - digits.count) + digits + "Z"
    }
}
