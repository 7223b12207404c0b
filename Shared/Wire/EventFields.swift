import Gate
import Rules

/// The fields of one JSON object, read by name. Counts those that somebody asked for, so that the rest can be reported.
struct EventFields {
    /// Any name at all.
    struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }

        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private let container: KeyedDecodingContainer<Name>
    private var known = 0

    init(_ container: KeyedDecodingContainer<Name>) { self.container = container }

    /// Fields that nobody asked for.
    var unknown: Int { container.allKeys.count - known }

    mutating func text(_ name: String) throws(EventLineError) -> String {
        guard let text = try textIfPresent(name) else { throw .missing(field: name) }
        return text
    }

    mutating func textIfPresent(_ name: String) throws(EventLineError) -> String? {
        try value(name, of: String.self, expected: .text)
    }

    mutating func integer(_ name: String) throws(EventLineError) -> Int32 {
        guard let integer = try integerIfPresent(name) else { throw .missing(field: name) }
        return integer
    }

    /// `12`, `12.0` and `1.2e1` are the same number. It is read as `Double`, which holds every 32-bit integer.
    mutating func integerIfPresent(_ name: String) throws(EventLineError) -> Int32? {
        guard let number = try value(name, of: Double.self, expected: .integer) else { return nil }
        guard number.rounded(.towardZero) == number else { throw .wrongType(field: name, expected: .integer) }
        guard let integer = Int32(exactly: number) else { throw .outOfRange(field: name) }
        return integer
    }

    /// Seconds, to the nearest nanosecond. Up to a day, `Double` is good to a hundredth of one.
    mutating func duration(_ name: String) throws(EventLineError) -> Span? {
        guard let seconds = try value(name, of: Double.self, expected: .number) else { return nil }
        let max = Double(Event.durationMax.nanoseconds / 1_000_000_000)
        // Also false for what is not a number.
        guard seconds >= 0, seconds <= max else { throw .outOfRange(field: name) }
        return Span(nanoseconds: Int64((seconds * 1e9).rounded()))
    }

    mutating func time(_ name: String) throws(EventLineError) -> WallTime {
        let text = try text(name)
        guard let time = WallTime(rfc3339: text) else { throw .badTime(text) }
        return time
    }

    private mutating func value<Value: Decodable>(
        _ name: String, of type: Value.Type, expected: EventLineError.ExpectedType
    ) throws(EventLineError) -> Value? {
        let key = Name(name)
        guard container.contains(key) else { return nil }
        known += 1
        do {
            return try container.decodeIfPresent(type, forKey: key)
        } catch DecodingError.typeMismatch {
            throw .wrongType(field: name, expected: expected)
        } catch {
            // Foundation looks into texts and numbers only now. Its errors for these have no type that others can name.
            guard expected == .text else { throw .outOfRange(field: name) }
            throw .notJSON(detail: "field '\(name)' has an escape that stands for no character")
        }
    }
}
