import Detection
import Enforcement
import Gate
import Rules
import Testing

/// The second look, in policy, at what a workstation left.
struct ReviewTests {
    private static let pieces = [
        "4532 0151 1283 0366", "4532015112830366", "anna.berg@example.com", "DE89 3704 0044 0532 0130 00", "password: hunter2Hunter", "password: [password]", "[card]",
        "call +49 30 901820", "see you at 9", "order 123456", "token=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "and", "the 2026-11-24 meeting", "x", "192.168.1.17", "[",
        "]", "078-05-1120", "AKIAIOSFODNN7EXAMPLE", "1", "4532", "Grüße", "secret", "key is", "€ 1,200.50",
    ]

    private static func text(_ random: inout Seeded) -> String {
        (0..<Int.random(in: 1...6, using: &random)).map { _ in random.pick(pieces) }.joined(separator: random.pick([" ", "", ", ", "\n"]))
    }

    private static func type(_ desk: inout Desk, _ random: inout Seeded) {
        for character in text(&random) {
            if random.chance(4) { desk.type(String(random.pick(Array("x7"))) + "⌫") }
            if random.chance(2) { desk.event(.pointer(Event.Pointer(.down, x: 1, y: 1))) }
            desk.type(character == "\n" ? "⏎" : String(character))
        }
        if random.chance(30) { desk.wait(.seconds(random.pick([1, 5, 30]))) }
    }

    private static func document(_ random: inout Seeded) -> PolicyDocument {
        func minimisation() -> Minimisation { random.pick([.redact(nil), .redact(nil), .redact(["card", "mail"]), .timing, .keep, .drop, .count]) }
        var document = PolicyDocument.office(capture: Event.Kind.allCases.map { .init(kinds: [$0], as: minimisation()) })
        if random.chance(50) { document.capture.append(.init(classes: ["conversation"], as: minimisation())) }
        if random.chance(50) { document.assignments.append(.init("conversation", sources: [.document, .prompt], detected: ["mail"])) }
        return document
    }

    @Test func `policy changes nothing of what an agent left, but for keys that meet where others were emptied`() throws {
        var kept = 0
        var minimised: UInt64 = 0
        var differing: Set<UInt64> = []
        for seed in UInt64(1)...60 {
            var random = Seeded(seed)
            let rulings = Rulings.office(Self.document(&random))
            var desk = try Desk(rulings)
            for _ in 0..<12 {
                switch Int.random(in: 0..<4, using: &random) {
                case 0: Self.type(&desk, &random)
                case 1: desk.event(.window(Event.Window(app: random.pick(["Editor", "Team Chat"]), title: Self.text(&random), url: random.chance(30) ? Self.text(&random) : nil)))
                default:
                    desk.event(
                        .text(
                            Event.Text(
                                Self.text(&random), source: random.pick([.chat, .document, .prompt]), app: random.pick([nil, "Slack"]),
                                label: random.chance(20) ? Self.text(&random) : nil)))
                }
            }
            desk.finish()
            minimised += desk.counts.minimised
            // Class by class, in batches that end anywhere but between two keys: of a batch that begins within a number policy does not know what came before it.
            for dataClass in Set(desk.kept.map(\.dataClass)) {
                var events = desk.kept.filter { $0.dataClass == dataClass }.map(\.event)
                while !events.isEmpty {
                    var count = min(events.count, Int.random(in: 1...60, using: &random))
                    while count < events.count, events[count].kind == .key, events[count - 1].kind == .key { count += 1 }
                    let batch = Array(events.prefix(count))
                    events.removeFirst(batch.count)
                    kept += batch.count
                    var enforcer = try Enforcer(rulings, detector: Shared.detector)
                    for (event, verdict) in zip(batch, try enforcer.review(batch, claimed: dataClass)) {
                        if verdict.left == .kept(dataClass, event), !verdict.isLess { continue }
                        // Where keys were emptied, what stands before and after them meets, and may look like something itself: then policy takes out more.
                        guard case .key(var key) = event.detail else {
                            Issue.record("seed \(seed): \(event.detail) became \(verdict.left)")
                            continue
                        }
                        key.key = ""
                        #expect(verdict.left == .kept(dataClass, Event(at: event.at, duration: event.duration, detail: .key(key))), "seed \(seed): \(event.detail) became \(verdict.left)")
                        differing.insert(seed)
                    }
                }
            }
        }
        #expect(kept > 3_000 && minimised > 300)
        #expect(differing.count <= 2, "seeds \(differing.sorted())")
    }

    @Test func `what an agent should have taken out is taken out, and shows`() throws {
        var enforcer = try Enforcer(.office(), detector: Shared.detector)
        func event(_ index: Int64, _ detail: Event.Detail) -> Event { Event(at: WallTime(nanoseconds: 1_000_000_000 * (index + 1)), detail: detail) }
        let typed = "4532 0151 1283 0366".enumerated().map { event(Int64($0), .key(Event.Key(.down, String($1)))) }
        let keys = try enforcer.review(typed, claimed: .activity)
        #expect(keys.count == 19)
        for verdict in keys {
            guard case .kept(.activity, let event) = verdict.left, case .key(let key) = event.detail else { throw Unexpected() }
            #expect(key.key == "" && verdict.isLess)
        }
        let others = try enforcer.review(
            [
                event(0, .text(Event.Text("card 4532 0151 1283 0366", source: .chat))), event(1, .pointer(Event.Pointer(.move, x: 7, y: 7))), event(2, .presence(.away)),
                event(3, .text(Event.Text("card 4532 0151 1283 0366", source: .document))),
            ], claimed: .activity)
        #expect(others[0].left == .kept(.conversation, event(0, .text(Event.Text("card [card]", source: .chat)))), "no such event is of the class that was claimed")
        #expect(others[1].left == .kept(.activity, event(1, .pointer(Event.Pointer(.move, x: 0, y: 0)))) && others[1].isLess)
        #expect(others[2].left == .counted(.presence))
        #expect(others[3].left == .dropped && others[3].reason == .neverStored)
    }

    @Test func `a class that only the workstation could see is believed, and one that such an event cannot have is not`() throws {
        var enforcer = try Enforcer(.office(), detector: Shared.detector)
        let key = Event(at: WallTime(nanoseconds: 1), detail: .key(Event.Key(.down, "a")))
        for (claimed, dataClass) in [(DataClass.conversation, DataClass.conversation), (.content, .activity), (DataClass("nonsense"), .activity)] {
            let verdicts = try enforcer.review([key], claimed: claimed)
            #expect(verdicts.map(\.left) == [.kept(dataClass, key)])
        }
    }

    private struct Unexpected: Error {}
}
