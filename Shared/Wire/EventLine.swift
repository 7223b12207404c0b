import Gate
package import Rules

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// One event as one line of NDJSON: how capture tools give events to the agent, and how readers get them.
///
/// A null is the same as an absent field. Of a field that comes twice one is taken; which one is not promised.
package struct EventLine: Hashable, Sendable {
    package var event: Event
    /// Fields that the kind does not have. They are not kept.
    package var unknownFields: Int

    package init(event: Event, unknownFields: Int) {
        self.event = event
        self.unknownFields = unknownFields
    }

    /// Parses a line, with or without its end.
    ///
    /// - Parameter line: UTF-8, no byte order mark, ``Limits/lineBytesMax`` bytes at most.
    /// - Throws: every case of ``EventLineError``; see there.
    package static func parse(_ line: UnsafeRawBufferPointer) throws(EventLineError) -> EventLine {
        guard line.count <= Limits.lineBytesMax else { throw .tooLong(bytes: line.count, max: Limits.lineBytesMax) }
        // Foundation would also take UTF-16 and 32. Neither passes here: a brace in them has a NUL beside it.
        guard String(validating: line, as: UTF8.self) != nil else { throw .notUTF8 }
        guard !line.contains(0) else { throw .notJSON(detail: "it has a NUL byte") }
        guard !line.starts(with: [0xEF, 0xBB, 0xBF]) else { throw .notJSON(detail: "it begins with a byte order mark") }
        do {
            return try decoder.decode(Parsed.self, from: Data(line)).line
        } catch let error as EventLineError {
            throw error
        } catch DecodingError.dataCorrupted(let context) {
            throw .notJSON(detail: EventLine.detail(context))
        } catch {
            // Types are judged field by field in `Parsed`, so what is left is about the whole.
            throw .notAnObject
        }
    }

    package static func parse(_ line: [UInt8]) throws(EventLineError) -> EventLine {
        try line.withUnsafeBufferPointer { (line) throws(EventLineError) in try parse(UnsafeRawBufferPointer(line)) }
    }

    package static func parse(_ line: ArraySlice<UInt8>) throws(EventLineError) -> EventLine {
        try line.withUnsafeBufferPointer { (line) throws(EventLineError) in try parse(UnsafeRawBufferPointer(line)) }
    }

    /// Has no state but its options, which nobody sets.
    private static let decoder = JSONDecoder()

    private static func detail(_ context: DecodingError.Context) -> String {
        // Its words can quote the line. Enough of them, and no more.
        String((context.underlyingError.map { String(describing: $0) } ?? context.debugDescription).prefix(200))
    }

    /// What the decoder makes. A type of its own, because `init(from:)` is only for ``EventLine/parse(_:)-(UnsafeRawBufferPointer)``.
    private struct Parsed: Decodable {
        var line: EventLine

        init(from decoder: any Decoder) throws {
            var fields = EventFields(try decoder.container(keyedBy: EventFields.Name.self))
            let at = try fields.time("at")
            let duration = try fields.duration("duration")
            let kind = try fields.text("kind")
            let detail: Event.Detail
            switch kind {
            case "pointer": detail = .pointer(try fields.pointer())
            case "key": detail = .key(Event.Key(try fields.keyAction(), try fields.text("key")))
            case "window":
                detail = .window(
                    Event.Window(app: try fields.text("app"), title: try fields.text("title"), url: try fields.textIfPresent("url")))
            case "presence": detail = .presence(try fields.presence())
            case "text":
                detail = .text(
                    Event.Text(
                        try fields.text("text"), source: try fields.source(), app: try fields.textIfPresent("app"),
                        label: try fields.textIfPresent("label")))
            default: throw EventLineError.unknownKind(kind)
            }
            line = EventLine(event: Event(at: at, duration: duration, detail: detail), unknownFields: fields.unknown)
        }
    }
}

extension EventFields {
    fileprivate mutating func pointer() throws(EventLineError) -> Event.Pointer {
        let word = try text("action")
        let action: Event.Pointer.Action
        switch word {
        case "move": action = .move
        case "drag": action = .drag
        case "down": action = .down
        case "up": action = .up
        case "scroll": action = .scroll(dx: try integerIfPresent("dx"), dy: try integerIfPresent("dy"))
        default: throw .unknownValue(field: "action", value: word)
        }
        return Event.Pointer(action, x: try integer("x"), y: try integer("y"), button: try textIfPresent("button"))
    }

    fileprivate mutating func keyAction() throws(EventLineError) -> Event.Key.Action {
        let word = try text("action")
        switch word {
        case "down": return .down
        case "up": return .up
        default: throw .unknownValue(field: "action", value: word)
        }
    }

    fileprivate mutating func presence() throws(EventLineError) -> Event.Presence {
        let word = try text("status")
        switch word {
        case "active": return .active
        case "away": return .away
        default: throw .unknownValue(field: "status", value: word)
        }
    }

    fileprivate mutating func source() throws(EventLineError) -> Event.Text.Source {
        let word = try text("source")
        guard let source = Event.Text.Source.allCases.first(where: { $0.word == word }) else {
            throw .unknownValue(field: "source", value: word)
        }
        return source
    }
}
