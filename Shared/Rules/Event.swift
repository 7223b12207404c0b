package import Gate

/// One observation on a workstation, as a capture tool gave it. The unit of everything that is accepted or refused.
///
/// Times are the agent's wall clock. Equality of texts is Swift's: two spellings of "é" are equal, although both are
/// kept as they came, byte for byte.
package struct Event: Hashable, Sendable {
    /// When it began.
    package var at: WallTime
    /// How long it went on; nil: it has no length, or none is known.
    package var duration: Span?
    package var detail: Detail

    package init(at: WallTime, duration: Span? = nil, detail: Detail) {
        self.at = at
        self.duration = duration
        self.detail = detail
    }

    /// What `at` may be, where it crosses a boundary: 1970 to 2261. With ``durationMax`` behind it, it still fits in 64 bits.
    package static let times = WallTime(nanoseconds: 0)..<WallTime(nanoseconds: 9_214_646_400_000_000_000)
    /// A day. What goes on for longer is told in parts, or a pause would have to drop all of it.
    package static let durationMax = Span.seconds(86_400)

    /// All of it, both ends included. An event is accepted only if none of this lies in a pause.
    ///
    /// The end saturates at ``WallTime/distantFuture``.
    package var span: (start: WallTime, end: WallTime) { (at, at + (duration ?? .zero)) }

    /// What was observed. One case for each `kind` of the schema.
    package enum Detail: Hashable, Sendable {
        case pointer(Pointer)
        case key(Key)
        case window(Window)
        case presence(Presence)
        case text(Text)
    }

    /// The names of the cases of ``Detail``, with their numbers in columns. Numbers are retired, never reused.
    package enum Kind: UInt8, Hashable, Sendable, CaseIterable {
        case pointer = 1, key, window, presence, text

        /// In NDJSON.
        package var word: String {
            switch self {
            case .pointer: "pointer"
            case .key: "key"
            case .window: "window"
            case .presence: "presence"
            case .text: "text"
            }
        }
    }

    package var kind: Kind {
        switch detail {
        case .pointer: .pointer
        case .key: .key
        case .window: .window
        case .presence: .presence
        case .text: .text
        }
    }
}

extension Event {
    /// The mouse, or what stands for it.
    package struct Pointer: Hashable, Sendable {
        package var action: Action
        /// Pixels. Negative on a screen left of the first or above it.
        package var x: Int32
        package var y: Int32
        /// Where one is held: `left`, `right`, …
        package var button: String?

        package init(_ action: Action, x: Int32, y: Int32, button: String? = nil) {
            self.action = action
            self.x = x
            self.y = y
            self.button = button
        }

        package enum Action: Hashable, Sendable {
            case move, drag, down, up
            /// How far, in the tool's own steps; nil where it did not say.
            case scroll(dx: Int32?, dy: Int32?)

            /// In NDJSON.
            package var word: String {
                switch self {
                case .move: "move"
                case .drag: "drag"
                case .down: "down"
                case .up: "up"
                case .scroll: "scroll"
                }
            }
        }

        /// Of a scroll; nil for everything else.
        package var dx: Int32? { if case .scroll(let dx, _) = action { dx } else { nil } }
        package var dy: Int32? { if case .scroll(_, let dy) = action { dy } else { nil } }
    }

    package struct Key: Hashable, Sendable {
        package var action: Action
        /// The character typed, or a name: `Enter`, `Backspace`, `Shift`, …
        package var key: String

        package init(_ action: Action, _ key: String) {
            self.action = action
            self.key = key
        }

        /// Numbers as in columns.
        package enum Action: UInt8, Hashable, Sendable, CaseIterable {
            case down = 1, up

            package var word: String { self == .down ? "down" : "up" }
        }
    }

    /// The window in front, from `at` for `duration`.
    package struct Window: Hashable, Sendable {
        package var app: String
        package var title: String
        package var url: String?

        package init(app: String, title: String, url: String? = nil) {
            self.app = app
            self.title = title
            self.url = url
        }
    }

    /// Whether somebody is there. Numbers as in columns.
    package enum Presence: UInt8, Hashable, Sendable, CaseIterable {
        case active = 1, away

        package var word: String { self == .active ? "active" : "away" }
    }

    /// Words that somebody wrote, said or was shown.
    package struct Text: Hashable, Sendable {
        package var text: String
        package var source: Source
        package var app: String?
        /// What the source itself says of its sensitivity, where it does.
        package var label: String?

        package init(_ text: String, source: Source, app: String? = nil, label: String? = nil) {
            self.text = text
            self.source = source
            self.app = app
            self.label = label
        }

        /// Numbers as in columns.
        package enum Source: UInt8, Hashable, Sendable, CaseIterable {
            case chat = 1, mail, document, transcript, review, prompt

            package var word: String {
                switch self {
                case .chat: "chat"
                case .mail: "mail"
                case .document: "document"
                case .transcript: "transcript"
                case .review: "review"
                case .prompt: "prompt"
                }
            }
        }
    }
}
