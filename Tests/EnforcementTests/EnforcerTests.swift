import Detection
import Enforcement
import Gate
import Rules
import Testing

/// What is left of events, by a document, on a workstation.
struct EnforcerTests {
    @Test func `a card number typed with two corrections across two batches leaves no digit of it`() throws {
        var desk = try Desk(.office())
        desk.type("pay with 4532 0157⌫1 12")
        let batch = desk.kept.count
        // A second is a batch's age; of the second batch something else is the first.
        desk.wait(.seconds(2))
        desk.event(.text(Event.Text("see you", source: .chat)))
        #expect(desk.keys() == "pay with ", "before the number nothing waits")
        desk.type("83 037⌫66 please, and thank you so much for that⏎")
        desk.finish()
        #expect(batch > 0)
        #expect(desk.digits.isEmpty)
        #expect(desk.keys() == "pay with BackspaceBackspace please, and thank you so much for thatEnter")
        #expect(desk.counts.minimised > 32)
        #expect(desk.enforcer.count == 0)
    }

    @Test func `with a rule that keeps keys the same number is kept, so the test above can fail`() throws {
        var desk = try Desk(.office(.office(capture: [.init(as: .keep)])))
        desk.type("4532 0151 1283 0366 ")
        desk.finish()
        #expect(desk.keys() == "4532 0151 1283 0366 ")
    }

    @Test func `a text keeps all but what was found in it`() throws {
        var desk = try Desk(.office())
        desk.event(.text(Event.Text("my card is 4532 0151 1283 0366, thanks", source: .chat, app: "Slack", label: "mail anna.berg@example.com")))
        #expect(desk.texts == ["my card is [card], thanks"])
        guard case .text(let text) = desk.kept[0].event.detail else { throw Unexpected() }
        #expect(text.label == "mail [mail]")
        #expect(desk.kept[0].dataClass.name == "conversation")
    }

    @Test func `what a rule on content makes a credential is not kept at all, and counted`() throws {
        var desk = try Desk(.office())
        desk.event(.text(Event.Text("card 4532 0151 1283 0366", source: .document)))
        desk.event(.text(Event.Text("no card in here", source: .document)))
        #expect(desk.texts == ["no card in here"])
        #expect(desk.counts.dropped == ["never-stored": 1])
    }

    @Test func `of what is counted a number is left, and of what keeps its time no place`() throws {
        var desk = try Desk(.office())
        desk.event(.presence(.away))
        desk.event(.pointer(Event.Pointer(.move, x: 10, y: 20)))
        #expect(desk.counts.counted == ["presence": 1])
        #expect(desk.kept.map(\.event.detail) == [.pointer(Event.Pointer(.move, x: 0, y: 0))])
    }

    @Test func `without the record that the basis asks for nothing is kept`() throws {
        var told = try Desk(.office(.office(), Records(notices: ["operation"])))
        told.event(.text(Event.Text("hello", source: .chat)))
        told.event(.text(Event.Text("hello", source: .document)))
        #expect(told.counts.dropped == ["no-record": 1])
        #expect(told.texts == ["hello"])
        var untold = try Desk(.office(.office(), .none))
        untold.event(.text(Event.Text("hello", source: .chat)))
        untold.event(.text(Event.Text("hello", source: .document)))
        untold.type("hello ")
        untold.finish()
        #expect(untold.kept.isEmpty)
        #expect(untold.counts.dropped == ["no-record": 14])
    }

    @Test func `keys have the class of the window in front of which they were typed`() throws {
        var desk = try Desk(.office())
        desk.event(.window(Event.Window(app: "Team Chat", title: "general")))
        desk.type("a ")
        desk.event(.window(Event.Window(app: "Editor", title: "notes")))
        desk.type("b ")
        desk.finish()
        let classes = desk.kept.compactMap { if case .key(let key) = $0.event.detail, key.action == .down { "\(key.key)\($0.dataClass.name)" } else { nil } }
        #expect(classes == ["aconversation", " conversation", "bactivity", " activity"])
    }

    @Test func `what was pasted under the name of a key is found in it`() throws {
        var desk = try Desk(.office())
        desk.event(.key(Event.Key(.down, "4532015112830366")))
        desk.event(.key(Event.Key(.down, "Backspace")))
        desk.finish()
        #expect(desk.keys() == "Backspace")
    }

    @Test func `keys wait no longer than the limits say`() throws {
        var desk = try Desk(.office())
        desk.type("4532 0151 ")
        #expect(desk.keys() == "")
        desk.wait(.seconds(25))
        #expect(desk.enforcer.count == 0)
        #expect(desk.digits.isEmpty)
    }

    private struct Unexpected: Error {}
}

struct RulingsTests {
    @Test func `what a workstation is given says of its subject what the whole document says`() throws {
        for seed in UInt64(1)...200 {
            var random = Seeded(seed)
            var document = PolicyDocument.office()
            document.roles = [.init("staff", people: Group(only: .init(sites: ["berlin"])))]
            document.capture = (0..<4).map { _ in
                .init(
                    kinds: random.chance(50) ? [random.pick(Event.Kind.allCases)] : [],
                    people: random.pick([Group.everyone, Group(only: .init(teams: ["search"])), Group(only: .init(roles: ["staff"]), except: .init(subjects: ["E1"]))]),
                    as: random.pick([.drop, .count, .timing, .redact(nil), .redact(["card"]), .keep]))
            }
            let subject = Person(random.pick(["E1", "E2"]), site: random.pick(["berlin", "lisbon"]), team: random.pick(["search", "ads"]))
            let records = random.pick([Records.none, Records(notices: ["operation"]), Records(consents: ["training", "operation"])])
            let policy = Policy(document)
            let whole = Rulings(policy, of: subject, records: records)
            let rules = AgentRules(policy, of: subject, records: records)
            let read = try AgentRules(bytes: rules.bytes, detections: Set(Shared.detector.book.types.map(\.word)))
            #expect(read.bytes == rules.bytes && read.recorded == rules.recorded, "seed \(seed)")
            #expect(read.document.roles.isEmpty && read.document.grants.isEmpty)
            let given = read.rulings
            #expect(given.captured == whole.captured, "seed \(seed)")
            for shape in EventShape.allCases {
                for one in document.classes { #expect(given[shape, one.dataClass] == whole[shape, one.dataClass], "seed \(seed): \(shape), \(one.name)") }
                #expect(given.sought(in: shape) == whole.sought(in: shape))
            }
        }
    }

    @Test func `rules that a byte was added to, or that name what detection does not know, are refused`() throws {
        let rules = AgentRules(Policy(.office()), of: Person("E1", site: "berlin", team: "search"), records: Records(notices: ["operation"], consents: ["training"]))
        let known = Set(Shared.detector.book.types.map(\.word))
        #expect(rules.recorded == ["operation", "training"])
        #expect(throws: Mistakes.self) { try AgentRules(bytes: rules.bytes + [0x0A], detections: known) }
        #expect(throws: Mistakes.self) { try AgentRules(bytes: rules.bytes + Array("\noperation".utf8), detections: known) }
        #expect(throws: Mistakes.self) { try AgentRules(bytes: [0x20] + rules.bytes, detections: known) }
        #expect(throws: Mistakes.self) { try AgentRules(bytes: rules.bytes, detections: []) }
        let read = try AgentRules(bytes: rules.bytes, detections: nil)
        #expect(read.bytes == rules.bytes)
    }

    @Test func `nothing is captured of a class whose purposes have no record`() {
        #expect(Rulings.office(.office(), .none).captured == [])
        #expect(Rulings.office(.office(), Records(notices: ["operation"])).captured == [.activity, .content])
        #expect(Rulings.office().captured == [.activity, .content, .conversation])
        #expect(Rulings(Policy(.standard), of: Person("", site: "", team: ""), records: Records(notices: ["operation"])).captured == Set(Classification.standard.stored))
    }

    @Test func `where every rule looks at nothing but what an event is, nobody looks into it`() {
        let rulings = Rulings(Policy(.standard), of: Person("", site: "", team: ""), records: Records(notices: ["operation"]))
        #expect(!rulings.isScanning)
        for shape in EventShape.allCases { #expect(rulings.quietClass(of: shape, inFront: true) != nil) }
    }
}
