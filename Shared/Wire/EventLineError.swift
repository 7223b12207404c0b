/// Why a line of NDJSON is not an event. Nothing of it is kept.
package enum EventLineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// More than ``Limits/lineBytesMax``.
    case tooLong(bytes: Int, max: Int)
    case notUTF8
    /// The parser's own words.
    case notJSON(detail: String)
    case notAnObject
    /// Absent, or null.
    case missing(field: String)
    case wrongType(field: String, expected: ExpectedType)
    case unknownKind(String)
    /// Not one of the words that the field may have.
    case unknownValue(field: String, value: String)
    /// Beyond what the field may hold, or written as JSON writes no number: `1e400`, `01`.
    case outOfRange(field: String)
    /// Not an RFC 3339 time in UTC between 1970 and 2261, with 9 digits of a fraction at most.
    case badTime(String)

    package enum ExpectedType: String, Hashable, Sendable { case text = "a text", number = "a number", integer = "an integer" }

    /// A word for counters.
    package var word: String {
        switch self {
        case .tooLong: "too-long"
        case .notUTF8: "not-utf8"
        case .notJSON: "not-json"
        case .notAnObject: "not-an-object"
        case .missing: "missing-field"
        case .wrongType: "wrong-type"
        case .unknownKind: "unknown-kind"
        case .unknownValue: "unknown-value"
        case .outOfRange: "out-of-range"
        case .badTime: "bad-time"
        }
    }

    /// All of them.
    package static let words: Set<String> = [
        "too-long", "not-utf8", "not-json", "not-an-object", "missing-field", "wrong-type", "unknown-kind", "unknown-value", "out-of-range",
        "bad-time",
    ]

    /// One line for people. What it quotes is cut short, and has no control characters left in it.
    package var description: String {
        switch self {
        case .tooLong(let bytes, let max): "the line has \(bytes) bytes; at most \(max) are allowed"
        case .notUTF8: "the line is not UTF-8"
        case .notJSON(let detail): "the line is not JSON: \(EventLineError.shown(detail, max: 120))"
        case .notAnObject: "the line is not a JSON object"
        case .missing(let field): "field '\(field)' is missing"
        case .wrongType(let field, let expected): "field '\(field)' is not \(expected.rawValue)"
        case .unknownKind(let kind): "kind '\(EventLineError.shown(kind))' is not known"
        case .unknownValue(let field, let value): "field '\(field)' cannot be '\(EventLineError.shown(value))'"
        case .outOfRange(let field): "field '\(field)' is out of range"
        case .badTime(let time): "'\(EventLineError.shown(time))' is not an RFC 3339 time in UTC, 1970 to 2261"
        }
    }

    private static func shown(_ text: String, max: Int = 40) -> String {
        let scalars = text.unicodeScalars
        let start = scalars.prefix(max).map { scalar in
            // Printable ASCII as it is; the rest by number, so that no terminal and no text direction can be played with.
            (0x20..<0x7F).contains(scalar.value) ? String(scalar) : "\\u{\(String(scalar.value, radix: 16))}"
        }
        return start.joined() + (scalars.dropFirst(max).isEmpty ? "" : "…")
    }
}
