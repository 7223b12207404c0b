/// What a reader may ask for of each event, beside when it was, of what kind, and what was done: those are always there.
///
/// Names are those of NDJSON, but for `position`: pointers' `x`, `y`, `dx` and `dy`.
package enum EventField: String, Hashable, Sendable, CaseIterable { case duration, position, button, key, app, title, url, text, label }

extension Event {
    /// Without every other field: what must be there is empty, or 0.
    package func keeping(_ fields: Set<EventField>) -> Event {
        func kept(_ text: String, _ field: EventField) -> String { fields.contains(field) ? text : "" }
        func kept(_ text: String?, _ field: EventField) -> String? { fields.contains(field) ? text : nil }
        var left = self
        if !fields.contains(.duration) { left.duration = nil }
        switch detail {
        case .pointer(var pointer):
            if !fields.contains(.position) {
                (pointer.x, pointer.y) = (0, 0)
                if case .scroll = pointer.action { pointer.action = .scroll(dx: nil, dy: nil) }
            }
            pointer.button = kept(pointer.button, .button)
            left.detail = .pointer(pointer)
        case .key(let key): left.detail = .key(Key(key.action, kept(key.key, .key)))
        case .window(let window): left.detail = .window(Window(app: kept(window.app, .app), title: kept(window.title, .title), url: kept(window.url, .url)))
        case .presence: break
        case .text(let text):
            left.detail = .text(Text(kept(text.text, .text), source: text.source, app: kept(text.app, .app), label: kept(text.label, .label)))
        }
        return left
    }
}
