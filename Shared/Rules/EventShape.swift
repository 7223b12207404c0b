/// What an event is, before anybody looks into it: its kind, and of text its source. There are ten.
package struct EventShape: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    package let kind: Event.Kind
    /// Of text; nil for everything else.
    package let source: Event.Text.Source?

    package init(_ event: Event) {
        kind = event.kind
        if case .text(let text) = event.detail { source = text.source } else { source = nil }
    }

    /// - Returns: nil when only text has a source, and text must have one.
    package init?(_ kind: Event.Kind, _ source: Event.Text.Source? = nil) {
        guard (kind == .text) == (source != nil) else { return nil }
        self.kind = kind
        self.source = source
    }

    package static let allCases: [EventShape] =
        Event.Kind.allCases.compactMap { EventShape($0) } + Event.Text.Source.allCases.compactMap { EventShape(.text, $0) }

    package var description: String { source.map { "text from \($0.word)" } ?? kind.word }

    /// The place in ``allCases``.
    package var number: Int {
        if let source { return 3 + Int(source.rawValue) }
        return kind == .presence ? 3 : Int(kind.rawValue) - 1
    }

    /// Whether a rule for these kinds and sources looks at it. An empty list asks for nothing.
    func isAmong(_ kinds: Set<Event.Kind>, _ sources: Set<Event.Text.Source>) -> Bool {
        (kinds.isEmpty || kinds.contains(kind)) && (sources.isEmpty || source.map { sources.contains($0) } ?? false)
    }
}
