import Detection
import Enforcement
import Gate
import Rules

/// Compiling takes most of a second: once for all tests.
enum Shared {
    static let detector: Detector = {
        do { return try Detector() } catch { fatalError("\(error)") }
    }()
}

struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    mutating func pick<Value>(_ values: [Value]) -> Value { values[Int.random(in: 0..<values.count, using: &self)] }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

private func glob(_ text: String) -> Glob {
    do { return try Glob(text) } catch { fatalError("\(error)") }
}

extension PolicyDocument {
    /// Keys and chats are redacted, presence is counted, pointers keep their time, windows of the vault application and whatever holds a card are never stored.
    static func office(capture: [CaptureRule]? = nil) -> PolicyDocument {
        PolicyDocument(
            classes: [
                Class("activity", retention: .seconds(86_400), audienceMax: nil), Class("content", retention: .seconds(86_400), audienceMax: nil),
                Class("conversation", retention: .seconds(86_400), audienceMax: nil), Class("credential", retention: nil, audienceMax: nil),
            ],
            assignments: [
                Assignment("activity", kinds: [.pointer, .key, .window, .presence]), Assignment("content", sources: [.document, .prompt]),
                Assignment("conversation", sources: [.chat, .mail]), Assignment("conversation", kinds: [.window, .key], applications: [glob("*chat*")]),
                Assignment("credential", kinds: [.window], titles: [glob("*password*")]), Assignment("credential", sources: [.document], detected: ["card"]),
            ],
            capture: capture ?? [
                CaptureRule(kinds: [.key, .text, .window], as: .redact(nil)), CaptureRule(kinds: [.pointer], as: .timing), CaptureRule(kinds: [.presence], as: .count),
            ],
            purposes: [
                Purpose("operation", basis: .legitimateInterests, classes: ["activity", "content"]),
                Purpose("training", basis: .consent, classes: ["conversation"]),
            ])
    }
}

extension Rulings {
    static func office(_ document: PolicyDocument = .office(), _ records: Records = Records(notices: ["operation"], consents: ["training"])) -> Rulings {
        Rulings(Policy(document), of: Person("E1", site: "berlin", team: "search"), records: records)
    }
}

/// A workstation: what happens there, and what is left of it.
struct Desk {
    var enforcer: Enforcer
    var now = Instant(nanoseconds: 0)
    var kept: [(dataClass: DataClass, event: Event)] = []
    var counts = EnforcementCounts()
    private var id = 0

    init(_ rulings: Rulings) throws { enforcer = try Enforcer(rulings, detector: Shared.detector) }

    mutating func event(_ detail: Event.Detail) {
        settle(enforcer.take(Event(at: WallTime(nanoseconds: 1_000_000_000_000 + now.nanoseconds), detail: detail), id: id, at: now))
        id += 1
        now = now + .milliseconds(60)
    }

    /// `⌫` takes back, `⏎` ends a line.
    mutating func type(_ text: String) {
        let names: [Character: String] = ["⌫": "Backspace", "⏎": "Enter", "←": "ArrowLeft"]
        for character in text {
            let name = names[character] ?? String(character)
            event(.key(Event.Key(.down, name)))
            event(.key(Event.Key(.up, name)))
        }
    }

    mutating func wait(_ span: Span) {
        now = now + span
        settle(enforcer.tick(at: now))
    }

    mutating func finish() { settle(enforcer.finish()) }

    private mutating func settle(_ decided: [Enforcer.Decided]) {
        for (_, verdict) in decided {
            counts.count(verdict)
            if case .kept(let dataClass, let event) = verdict.left { kept.append((dataClass, event)) }
        }
    }

    /// The names of keys that went down, of what is left since some event.
    func keys(from: Int = 0) -> String {
        kept[from...].compactMap { if case .key(let key) = $0.event.detail, key.action == .down { key.key } else { nil } }.joined()
    }

    var digits: String { keys().filter(\.isNumber) }
    var texts: [String] { kept.compactMap { if case .text(let text) = $0.event.detail { text.text } else { nil } } }
}
