/// A piece of an event that detection found.
package struct Found: Hashable, Sendable {
    package enum Field: Hashable, Sendable { case text, label, application, title, url, key }

    package var field: Field
    /// In bytes of the field's UTF-8. What lies beyond it is cut off; a character that it cuts goes whole.
    package var range: Range<Int>
    /// `card`, `iban`, …
    package var type: String

    package init(_ type: String, in field: Field, _ range: Range<Int>) {
        self.type = type
        self.field = field
        self.range = range
    }
}

/// What is left of an event.
package enum Minimised: Hashable, Sendable {
    case dropped
    case counted(Event.Kind)
    case event(Event)
}

extension Minimisation {
    /// An event in which nothing is found stays as it is.
    package var leavesAll: Bool {
        switch self {
        case .keep, .redact: true
        case .drop, .count, .timing: false
        }
    }

    /// Before anything is written or sent. Which of several rules counts was decided before: ``Policy/capture(_:_:of:records:)``.
    package func apply(to event: Event, found: [Found] = []) -> Minimised {
        switch self {
        case .drop: return .dropped
        case .count: return .counted(event.kind)
        case .timing: return .event(event.timing)
        case .redact(let types):
            let taken = found.filter { types?.contains($0.type) ?? true }
            return .event(taken.isEmpty ? event : event.redacted(taken))
        case .keep: return .event(event)
        }
    }
}

extension Event {
    /// When it was and what kind: no place, no key, no word. A press stays apart from a release, for typing has no rhythm without; presence is
    /// nothing but timing, and stays.
    fileprivate var timing: Event {
        var left = self
        switch detail {
        case .pointer(let pointer):
            let action: Pointer.Action = if case .scroll = pointer.action { .scroll(dx: nil, dy: nil) } else { pointer.action }
            left.detail = .pointer(Pointer(action, x: 0, y: 0))
        case .key(let key): left.detail = .key(Key(key.action, ""))
        case .window: left.detail = .window(Window(app: "", title: ""))
        case .presence: break
        case .text(let text): left.detail = .text(Text("", source: text.source))
        }
        return left
    }

    fileprivate func redacted(_ found: [Found]) -> Event {
        func left(_ text: String, _ field: Found.Field) -> String { Event.redact(text, found.filter { $0.field == field }) }
        var event = self
        switch detail {
        case .pointer, .presence: break
        case .key(var key):
            if found.contains(where: { $0.field == .key }) { key.key = "" }
            event.detail = .key(key)
        case .window(let window):
            event.detail = .window(Window(app: left(window.app, .application), title: left(window.title, .title), url: window.url.map { left($0, .url) }))
        case .text(let text):
            event.detail = .text(
                Text(left(text.text, .text), source: text.source, app: text.app.map { left($0, .application) }, label: text.label.map { left($0, .label) }))
        }
        return event
    }

    /// Each piece becomes `[type]`, whatever its length was; pieces that touch become one.
    private static func redact(_ text: String, _ found: [Found]) -> String {
        let bytes = Array(text.utf8)
        var kept: [UInt8] = []
        var from = 0
        var covered = -1
        for piece in found.sorted(by: { ($0.range.lowerBound, $0.range.upperBound, $0.type) < ($1.range.lowerBound, $1.range.upperBound, $1.type) }) {
            var range = piece.range.clamped(to: 0..<bytes.count)
            guard !range.isEmpty else { continue }
            // A byte 10xxxxxx goes on with the character before it.
            while range.lowerBound > 0, bytes[range.lowerBound] & 0xC0 == 0x80 { range = range.lowerBound - 1..<range.upperBound }
            while range.upperBound < bytes.count, bytes[range.upperBound] & 0xC0 == 0x80 { range = range.lowerBound..<range.upperBound + 1 }
            if range.lowerBound > covered {
                kept += bytes[from..<range.lowerBound]
                kept += "[\(piece.type)]".utf8
            }
            from = max(from, range.upperBound)
            covered = from
        }
        kept += bytes[from...]
        return String(decoding: kept, as: UTF8.self)
    }
}
