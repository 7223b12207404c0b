import Gate
package import Rules

extension EventLine {
    /// One line of NDJSON without its end, that ``parse(_:)-([UInt8])`` reads as the same event.
    ///
    /// That holds for times within ``Event/times`` and ``Event/durationMax``. A line can be longer than
    /// ``Limits/lineBytesMax`` only if the event did not come from one: control characters take six bytes.
    package static func line(of event: Event) -> [UInt8] {
        var line = LineWriter()
        line.add("at", event.at.rfc3339)
        line.add("kind", event.kind.word)
        line.add("duration", event.duration)
        switch event.detail {
        case .pointer(let pointer):
            line.add("action", pointer.action.word)
            line.add("x", pointer.x)
            line.add("y", pointer.y)
            line.add("button", pointer.button)
            line.add("dx", pointer.dx)
            line.add("dy", pointer.dy)
        case .key(let key):
            line.add("action", key.action.word)
            line.add("key", key.key)
        case .window(let window):
            line.add("app", window.app)
            line.add("title", window.title)
            line.add("url", window.url)
        case .presence(let presence):
            line.add("status", presence.word)
        case .text(let text):
            line.add("source", text.source.word)
            line.add("app", text.app)
            line.add("label", text.label)
            line.add("text", text.text)
        }
        return line.finish()
    }
}

/// Writes one JSON object. Absent values are left out.
private struct LineWriter {
    private var bytes: [UInt8] = [UInt8(ascii: "{")]

    init() { bytes.reserveCapacity(128) }

    mutating func add(_ name: StaticString, _ text: String?) {
        guard let text else { return }
        add(name)
        bytes.append(UInt8(ascii: "\""))
        for byte in text.utf8 { add(byte) }
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func add(_ name: StaticString, _ number: Int32?) {
        guard let number else { return }
        add(name)
        bytes.append(contentsOf: String(number).utf8)
    }

    /// Seconds, with as many digits as there are; `Double` would round some.
    mutating func add(_ name: StaticString, _ span: Span?) {
        guard let span else { return }
        add(name)
        if span < .zero { bytes.append(UInt8(ascii: "-")) }
        let (seconds, fraction) = span.nanoseconds.magnitude.quotientAndRemainder(dividingBy: 1_000_000_000)
        bytes.append(contentsOf: String(seconds).utf8)
        guard fraction > 0 else { return }
        bytes.append(UInt8(ascii: "."))
        bytes.append(digits: Int64(fraction), width: 9)
        while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
    }

    mutating func finish() -> [UInt8] {
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    private mutating func add(_ name: StaticString) {
        bytes.append(contentsOf: bytes.count > 1 ? ",\"".utf8 : "\"".utf8)
        bytes.append(contentsOf: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
        bytes.append(contentsOf: "\":".utf8)
    }

    /// One byte of a text: what JSON does not allow is escaped, everything else stays as it is.
    private mutating func add(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
        case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
        case 0x08: bytes.append(contentsOf: "\\b".utf8)
        case 0x09: bytes.append(contentsOf: "\\t".utf8)
        case 0x0A: bytes.append(contentsOf: "\\n".utf8)
        case 0x0C: bytes.append(contentsOf: "\\f".utf8)
        case 0x0D: bytes.append(contentsOf: "\\r".utf8)
        case 0..<0x20:
            bytes.append(contentsOf: byte < 0x10 ? "\\u000".utf8 : "\\u001".utf8)
            bytes.append(contentsOf: String(byte & 0x0F, radix: 16).utf8)
        default: bytes.append(byte)
        }
    }
}
