import Detection
import Gate
import Messaging
import Rules
import Synchronization
import Testing
import Wire

@testable import sluice_agent

/// What an agent takes, by the rules that its permit names.
struct RecorderTests {
    private static let detector: Detector = {
        do { return try Detector() } catch { fatalError("\(error)") }
    }()

    private static func held(_ name: UInt8 = 7, consents: Set<String> = ["training"]) -> HeldRules {
        let document = PolicyDocument(
            classes: [
                .init("activity", retention: .seconds(86_400), audienceMax: nil), .init("conversation", retention: .seconds(86_400), audienceMax: nil),
                .init("credential", retention: nil, audienceMax: nil),
            ],
            assignments: [
                .init("activity", kinds: [.pointer, .key, .window, .presence]), .init("conversation", sources: [.chat]),
                .init("credential", sources: [.chat], detected: ["iban"]),
            ],
            capture: [.init(kinds: [.text, .key], as: .redact(nil)), .init(kinds: [.presence], as: .count), .init(kinds: [.pointer], as: .keep)],
            purposes: [.init("operation", basis: .legalObligation, classes: ["activity"]), .init("training", basis: .consent, classes: ["conversation"])])
        let rulings = Rulings(Policy(document), of: Person("", site: "", team: ""), records: Records(consents: consents))
        return HeldRules(hash: [name], rulings: rulings, detector: detector)
    }

    /// A recorder, and somebody who answers its renewals.
    private final class Desk {
        let recorder = Recorder(holder: PermitHolder()) {}
        var epoch: UInt64 = 1

        func grant(_ classes: Set<DataClass>, rules: [UInt8] = []) {
            let nonce = Nonce.random()
            _ = recorder.request(nonce, at: Clock.now())
            _ = recorder.grant(nonce, lease: .seconds(30), permit: Permit(epoch: Epoch(epoch), classes: classes, rules: rules, policy: 4))
        }

        func narrow(_ classes: Set<DataClass>, rules: [UInt8] = []) {
            epoch += 1
            _ = recorder.narrow(to: Permit(epoch: Epoch(epoch), classes: classes, rules: rules, policy: 4))
        }

        @discardableResult func send(_ detail: Event.Detail) -> String? { recorder.take(EventLine(event: Event(at: Clock.wall(), detail: detail), unknownFields: 0)) }

        func type(_ text: String) {
            for character in text {
                let name = character == "⌫" ? "Backspace" : String(character)
                send(.key(.init(.down, name)))
                send(.key(.init(.up, name)))
            }
        }

        /// What would be written to the spool now.
        func gather(all: Bool = false) -> [Recorder.Gathered] { recorder.gather(at: Clock.now() + .seconds(2), all: all) }
        var view: Recorder.View { recorder.view() }
    }

    private static func keys(_ gathered: [Recorder.Gathered]) -> String {
        gathered.flatMap(\.events).compactMap { if case .key(let key) = $0.detail, key.action == .down { key.key } else { nil } }.joined()
    }

    @Test func `of a card number typed with two corrections across two batches nothing is gathered for the spool`() {
        let desk = Desk()
        desk.recorder.hold(Self.held())
        desk.grant([.activity, .conversation], rules: [7])
        desk.type("pay with 4532 0157⌫1 12")
        desk.send(.pointer(.init(.move, x: 1, y: 1)))
        let first = desk.gather()
        #expect(first.flatMap(\.events).contains { $0.kind == .pointer }, "a batch is closed in the middle of it")
        desk.type("83 037⌫66 and that is all there is to say about it ")
        let second = desk.gather(all: true)
        #expect(Self.keys(first) + Self.keys(second) == "pay with BackspaceBackspace and that is all there is to say about it ")
        #expect(Self.keys(first) == "pay with ")
        #expect(desk.view.counts.minimised > 30 && desk.view.waiting == 0)
    }

    @Test func `without a document the same keys are gathered as they are`() {
        let desk = Desk()
        desk.grant([.activity])
        desk.type("4532 0151")
        #expect(Self.keys(desk.gather()) == "4532 0151")
    }

    @Test func `a permit by rules that are not here captures nothing, and they come into force by a grant alone`() {
        let desk = Desk()
        desk.grant([.activity], rules: [7])
        #expect(desk.view.classes.isEmpty && desk.view.isRulesMissing)
        #expect(desk.send(.pointer(.init(.move, x: 1, y: 1))) == "closed")
        desk.recorder.hold(Self.held())
        #expect(desk.recorder.newestRules == [7])
        #expect(desk.send(.pointer(.init(.move, x: 1, y: 1))) == "closed", "that they are here permits nothing")
        desk.narrow([.activity], rules: [7])
        #expect(desk.view.rules == [] && desk.view.classes.isEmpty, "nor does a push")
        desk.grant([.activity], rules: [7])
        #expect(desk.view.rules == [7] && desk.view.classes == [.activity] && !desk.view.isRulesMissing)
        #expect(desk.send(.pointer(.init(.move, x: 1, y: 1))) == nil)
    }

    @Test func `a push that names other rules stops everything, and a grant by no document's counts again`() {
        let desk = Desk()
        desk.recorder.hold(Self.held())
        desk.grant([.activity, .conversation], rules: [7])
        desk.narrow([.activity], rules: [7])
        #expect(desk.view.classes == [.activity], "the control: the same rules, and fewer classes")
        desk.narrow([.activity], rules: [9])
        #expect(desk.view.classes.isEmpty && desk.view.rules == [7])
        desk.grant([.activity])
        #expect(desk.view.rules == [] && desk.view.classes == [.activity])
    }

    @Test func `keys that wait when their class is closed are decided then, and go with what was taken before`() {
        let desk = Desk()
        desk.recorder.hold(Self.held())
        desk.grant([.activity, .conversation], rules: [7])
        desk.type("so 4532 0151 1283 0366")
        #expect(desk.view.waiting > 0)
        desk.narrow([.conversation], rules: [7])
        #expect(desk.view.waiting == 0)
        let gathered = desk.gather()
        #expect(Self.keys(gathered) == "so ")
        #expect(desk.send(.key(.init(.down, "x"))) == "closed")
        #expect(desk.gather(all: true).isEmpty)
    }

    @Test func `what was typed before a pause is not put together with what is typed after it`() {
        let desk = Desk()
        desk.recorder.hold(Self.held())
        desk.grant([.activity], rules: [7])
        desk.type("4532 0151 ")
        desk.narrow([], rules: [7])
        desk.type("1283 0366 ")
        desk.grant([.activity], rules: [7])
        desk.type("yes ")
        #expect(Self.keys(desk.gather(all: true)) == " yes ", "the first half was redacted as a part of something, the second never taken")
    }

    @Test func `every event is counted once, under what became of it`() {
        let desk = Desk()
        desk.recorder.hold(Self.held(consents: []))
        desk.grant([.activity], rules: [7])
        #expect(desk.send(.text(.init("hello", source: .chat))) == "no-record")
        #expect(desk.send(.text(.init("IBAN DE89 3704 0044 0532 0130 00", source: .chat))) == "never-stored")
        #expect(desk.send(.text(.init("hello", source: .mail))) == "unclassified")
        #expect(desk.send(.window(.init(app: "x", title: "y"))) == "no-rule")
        #expect(desk.send(.presence(.away)) == nil)
        #expect(desk.send(.pointer(.init(.move, x: 1, y: 1))) == nil)
        desk.type("a ")
        _ = desk.gather(all: true)
        let counts = desk.view.counts
        #expect(counts.refused == ["no-record": 1, "never-stored": 1, "unclassified": 1, "no-rule": 1])
        #expect(counts.counted == ["presence": 1] && counts.accepted == 5 && counts.minimised == 0)
    }
}
