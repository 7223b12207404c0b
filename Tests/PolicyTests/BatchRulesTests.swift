import Enforcement
import Foundation
import Gate
import Rules
import Testing
import Vault
import Wire

@testable import sluice_policy

/// Batches, and what the policy document in force leaves of them.
struct BatchRulesTests {
    private static let scope = Scope(subject: "E1", site: "berlin", team: "search")
    private let now = WallTime(nanoseconds: 1_795_500_000_000_000_000)

    private static let document = PolicyDocument(
        classes: [
            .init("activity", retention: .seconds(86_400), audienceMax: nil), .init("conversation", retention: .seconds(864_000), audienceMax: nil),
            .init("credential", retention: nil, audienceMax: nil),
        ],
        assignments: [
            .init("activity", kinds: [.pointer, .key, .window, .presence]), .init("conversation", sources: [.chat]), .init("credential", sources: [.chat], detected: ["iban"]),
        ],
        capture: [.init(kinds: [.text, .key], as: .redact(nil)), .init(kinds: [.pointer], as: .keep), .init(kinds: [.presence], as: .count)],
        purposes: [.init("operation", basis: .legalObligation, classes: ["activity"]), .init("training", basis: .consent, classes: ["conversation"])])

    private static func rules(_ document: PolicyDocument = document, consents: Set<String> = ["training"]) -> SharedRules {
        let rules = SharedRules()
        #expect(rules.set(PolicyText(document.canonical, index: 7), records: BySubject(["E1": SubjectRecords(consents: consents)])) == nil)
        return rules
    }

    private func opened(_ events: [Event.Detail], as claimed: String) throws -> OpenedBatch {
        let columns = try ColumnsCodec.encode(events.enumerated().map { Event(at: WallTime(nanoseconds: 1_795_400_000_000_000_000 + Int64($0) * 1_000_000), detail: $1) })
        var compressor = try ZstdCompressor()
        let packed = try compressor.compress(columns.bytes)
        var header = WireBatchHeader()
        header.stream = 5
        header.sequence = 1
        header.class = claimed
        header.firstNs = columns.extent.first.nanoseconds
        header.lastNs = columns.extent.last.nanoseconds
        header.count = UInt32(events.count)
        header.columnsBytes = UInt32(columns.bytes.count)
        let batch = Batch(agent: 1, line: 1, name: "desk", scope: Self.scope, offset: .zero, header: header, oldest: 1, bytes: packed.count, ingest: 1)
        return OpenedBatch(batch: batch, packed: Data(packed), hash: Data(repeating: 1, count: 16))
    }

    private func prepare(_ events: [Event.Detail], as claimed: String, _ rules: SharedRules = rules()) throws -> (Prepared, [String: [Event.Detail]]) {
        var cutter = try BatchCutter(rules)
        let prepared = try cutter.prepare(try opened(events, as: claimed), fence: Fence(gate: GateState()), now: now)
        var parts: [String: [Event.Detail]] = [:]
        var decompressor = try ZstdDecompressor()
        for segment in prepared.segments {
            let columns = try decompressor.decompress([UInt8](segment.blob), expected: segment.columnsBytes, max: Limits.columnsBytesMax)
            let extent = BatchExtent(first: segment.first, last: segment.last, count: segment.count)
            parts[segment.dataClass.name] = try ColumnsCodec.decode(columns, extent: extent).map(\.detail)
        }
        return (prepared, parts)
    }

    @Test func `what an honest agent left is stored as it came, byte for byte`() throws {
        let chat = try prepare([.text(.init("my card is [card], thanks", source: .chat)), .text(.init("see you", source: .chat))], as: "conversation")
        #expect(chat.0.segments.map(\.blob) == [chat.0.opened.packed])
        #expect(chat.0.reviewed == Reviewed())
        let keys = try prepare([.key(.init(.down, "")), .key(.init(.down, "a")), .pointer(.init(.move, x: 4, y: 5))], as: "activity")
        #expect(keys.0.segments.map(\.blob) == [keys.0.opened.packed])
        #expect(keys.0.reviewed == Reviewed())
    }

    @Test func `what turns out to be of a higher class is drift, on arrival and in what is stored, and what is not is none`() throws {
        let iban = Event.Detail.text(.init("to DE89 3704 0044 0532 0130 00 please", source: .chat))
        let plain = Event.Detail.text(.init("see you", source: .chat))
        let (found, parts) = try prepare([iban, plain, iban], as: "conversation")
        #expect(found.reviewed.drift == Drift(DataClass("conversation"), of: "E1", into: ["credential": 2]) && parts["conversation"] == [plain])
        #expect(try prepare([plain], as: "activity").0.reviewed.drift == Drift(DataClass("activity"), of: "E1", into: ["conversation": 1]))
        #expect(try prepare([plain, .text(.init("card 4532 0151 1283 0366", source: .chat))], as: "conversation").0.reviewed.drift == nil, "redacted, and of its class")
        #expect(try prepare([.pointer(.init(.move, x: 1, y: 2))], as: "conversation").0.reviewed.drift == nil, "a lower class is none")
        // As it may have come while other rules were in force.
        let stored = try opened([plain, iban], as: "conversation")
        let columns = try ColumnsCodec.encode([plain, iban].enumerated().map { Event(at: WallTime(nanoseconds: 1_795_400_000_000_000_000 + Int64($0) * 1_000_000), detail: $1) })
        let segment = Segment(
            scope: Self.scope, dataClass: DataClass("conversation"), agent: 1, stream: 5, sequence: 1, first: columns.extent.first, last: columns.extent.last, count: 2, epoch: 1, columnsBytes: columns.bytes.count, hash: stored.hash, blob: stored.packed)
        let judge = try #require(Rescanner(Self.rules())).judge()
        let judged = try judge(segment, ColumnsCodec.open(columns.bytes, extent: columns.extent))
        #expect(judged?.drifted == ["credential": 1] && judged?.left.values.map(\.count) == [1])
    }

    @Test func `a string that thousands of events share is not looked into thousands of times`() throws {
        let count = Limits.eventsPerBatchMax
        let long = String(repeating: "words and words ", count: Limits.reviewedBytesMax / count / 16)
        #expect(long.utf8.count * count == Limits.reviewedBytesMax)
        func events(_ text: String) -> [Event.Detail] { (0..<count).map { _ in .text(.init(text, source: .chat)) } }
        // The control: as much as is looked into, and an honest agent never sends more than half of that.
        #expect(try prepare(events(long), as: "conversation").1["conversation"]?.count == count)
        let refused = #expect(throws: BatchRefused.self) { _ = try prepare(events(long + "x"), as: "conversation") }
        #expect(refused?.refusal == .unreadable && refused?.isUnsealable == false)
        let bytes = Limits.reviewedBytesMax + count
        #expect(refused?.text.contains("\(bytes) bytes of text") == true)
        #expect(try opened(events(long + "x"), as: "conversation").packed.count < 8_192, "of a batch of some kilobytes")
        // Of windows and keys as well, before any pattern is held against them.
        for detail in [Event.Detail.window(.init(app: "Editor", title: long + "x")), .key(.init(.down, long + "x"))] {
            #expect(throws: BatchRefused.self) { _ = try prepare([Event.Detail](repeating: detail, count: count), as: "activity") }
        }
    }

    @Test func `a batch is passed whole exactly when each of its events would be left as it is`() throws {
        // The quick look at columns, against the look at each event.
        var document = Self.document
        document.assignments += [.init("conversation", applications: [try Glob("*chat*")]), .init("credential", titles: [try Glob("*vault*")])]
        let timed: [Event.Detail] = [.key(.init(.down, "")), .pointer(.init(.move, x: 0, y: 0)), .pointer(.init(.scroll(dx: nil, dy: nil), x: 0, y: 0)), .window(.init(app: "", title: ""))]
        let whole: [Event.Detail] = [
            .key(.init(.down, "a")), .pointer(.init(.down, x: 0, y: 0, button: "left")), .pointer(.init(.scroll(dx: 0, dy: nil), x: 0, y: 0)), .pointer(.init(.move, x: 1, y: 0)),
            .window(.init(app: "Team Chat", title: "general")), .window(.init(app: "Editor", title: "my vault")), .window(.init(app: "Editor", title: "x", url: "")),
            .text(.init("", source: .chat)), .text(.init("hello", source: .chat, app: "Editor", label: "x")), .text(.init("card 4532 0151 1283 0366", source: .chat)), .presence(.away),
        ]
        var passed = 0
        for minimisation in [Minimisation.keep, .redact(nil), .redact(["iban"]), .timing, .count, .drop] {
            document.capture = [.init(as: minimisation)]
            let rules = Self.rules(document)
            let rulings = Rulings(Policy(document), of: Person(Self.scope), records: Records(consents: ["training"]))
            var enforcer = try Enforcer(rulings, detector: try rules.detector())
            for details in (timed + whole).map({ [$0] }) + [timed, [timed[1], whole[3]]] {
                for claimed in ["activity", "conversation"] {
                    let events = details.map { Event(at: WallTime(nanoseconds: 0), detail: $0) }
                    let verdicts = try enforcer.review(events, claimed: DataClass(claimed))
                    let isLeft = zip(events, verdicts).allSatisfy { $1.left == .kept(DataClass(claimed), $0) }
                    let (prepared, parts) = try prepare(details, as: claimed, rules)
                    let isWhole = prepared.segments.map(\.blob) == [prepared.opened.packed] && prepared.segments.map(\.dataClass.name) == [claimed]
                    passed += isWhole ? 1 : 0
                    #expect(isWhole == isLeft && (parts == [claimed: details]) == isLeft, "\(details) as \(claimed), \(minimisation)")
                    #expect((prepared.reviewed.differing == 0) == isLeft, "\(details) as \(claimed), \(minimisation)")
                }
            }
        }
        #expect(passed > 40)
    }

    @Test func `of a batch in which something is found each event is left as a look at it alone leaves it`() throws {
        let texts = ["", "hello", "my card is 4532 0151 1283 0366", "to DE89 3704 0044 0532 0130 00 please", "call 202 555 0142", "Editor", "my card is [card]"]
        var (whole, less) = (0, 0)
        for minimisation in [Minimisation.redact(nil), .redact(["card"]), .keep] {
            for byApplication in [[], [PolicyDocument.Assignment("conversation", applications: [try Glob("*ditor*")])]] {
                let document = PolicyDocument(
                    classes: Self.document.classes,
                    assignments: [.init("activity", kinds: [.pointer, .window, .presence, .text]), .init("credential", sources: [.chat], detected: ["iban"])] + byApplication,
                    capture: [.init(as: minimisation)], purposes: [.init("operation", basis: .legalObligation, classes: ["activity", "conversation"])])
                let rules = Self.rules(document)
                var enforcer = try Enforcer(Rulings(Policy(document), of: Person(Self.scope), records: Records()), detector: try rules.detector())
                for seed in UInt64(1)...40 {
                    var state = seed
                    func pick<Value>(_ values: [Value]) -> Value {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        return values[Int((state >> 33) % UInt64(values.count))]
                    }
                    let details = (0..<pick([1, 3, 8])).map { _ -> Event.Detail in
                        switch pick([0, 1, 1, 2, 3]) {
                        case 0: .window(.init(app: pick(texts), title: pick(texts), url: pick([nil] + texts)))
                        case 1: .text(.init(pick(texts), source: pick([.chat, .prompt]), app: pick([nil] + texts), label: pick([nil] + texts)))
                        case 2: .pointer(.init(.down, x: 4, y: 5, button: "left"))
                        default: .presence(.away)
                        }
                    }
                    var left: [String: [Event.Detail]] = [:]
                    for detail in details {
                        let event = Event(at: WallTime(nanoseconds: 0), detail: detail)
                        if case .kept(let dataClass, let kept) = try enforcer.review([event], claimed: DataClass("activity"))[0].left { left[dataClass.name, default: []].append(kept.detail) }
                    }
                    let (prepared, parts) = try prepare(details, as: "activity", rules)
                    #expect(parts == left, "seed \(seed), \(minimisation): \(details)")
                    if left == ["activity": details] { whole += 1 } else { less += 1 }
                    #expect((prepared.reviewed.differing == 0) == (left == ["activity": details]), "seed \(seed), \(minimisation)")
                }
            }
        }
        #expect(whole > 20 && less > 100, "\(whole), \(less)")
    }

    @Test func `what an agent sent as it was is minimised here, and counted`() throws {
        let (prepared, parts) = try prepare(
            [.text(.init("my card is 4532 0151 1283 0366", source: .chat)), .text(.init("IBAN DE89 3704 0044 0532 0130 00", source: .chat)), .presence(.away)], as: "conversation")
        #expect(parts == ["conversation": [.text(.init("my card is [card]", source: .chat))]])
        #expect(prepared.reviewed.differing == 3 && prepared.reviewed.counts.minimised == 1)
        #expect(prepared.reviewed.counts.dropped == ["never-stored": 1] && prepared.reviewed.counts.counted == ["presence": 1])
        #expect(prepared.dropped == 0, "the fence took nothing")
        let typed = try prepare("4532 0151 1283 0366 ".map { .key(.init(.down, String($0))) }, as: "activity")
        let digits = typed.1["activity"]?.filter { if case .key(let key) = $0 { key.key.contains(where: \.isNumber) } else { true } }
        #expect(digits == [])
    }

    @Test func `of a subject who has not agreed nothing is stored, and what rests on something else is`() throws {
        let rules = Self.rules(consents: [])
        let (chat, parts) = try prepare([.text(.init("hello", source: .chat))], as: "conversation", rules)
        #expect(parts.isEmpty && chat.segments.isEmpty && chat.reviewed.counts.dropped == ["no-record": 1])
        #expect(try prepare([.pointer(.init(.move, x: 4, y: 5))], as: "activity", rules).1.keys.sorted() == ["activity"])
        // Agreed, and withdrawn: the same cutter looks again.
        var cutter = try BatchCutter(rules)
        let batch = try opened([.text(.init("hello", source: .chat))], as: "conversation")
        #expect(rules.set(PolicyText(Self.document.canonical, index: 7), records: BySubject(["E1": SubjectRecords(consents: ["training"])])) == nil)
        let agreed = try cutter.prepare(batch, fence: Fence(gate: GateState()), now: now)
        #expect(rules.set(PolicyText(Self.document.canonical, index: 7), records: BySubject()) == nil)
        let withdrawn = try cutter.prepare(batch, fence: Fence(gate: GateState()), now: now)
        #expect(agreed.segments.count == 1 && withdrawn.segments.isEmpty)
        #expect(agreed.rules != withdrawn.rules, "what was prepared before is judged again at its commit")
    }

    @Test func `a class that is closed lets nothing in that was called by another name`() throws {
        var cutter = try BatchCutter(Self.rules())
        let gate = GateState(
            epoch: Epoch(4),
            closures: [Closure(epoch: Epoch(4), direction: .capture, selector: Selector(classes: [.conversation]), reason: "", author: "", incident: 0, from: WallTime(nanoseconds: 0))])
        let batch = try opened([.text(.init("hello", source: .chat)), .pointer(.init(.move, x: 4, y: 5))], as: "activity")
        do throws(BatchRefused) {
            _ = try cutter.prepare(batch, fence: Fence(gate: gate), now: now)
            Issue.record("it was taken")
        } catch { #expect(error.refusal == .paused) }
    }

    @Test func `with a document that cannot be read nothing is stored, and nothing of a class that is never stored`() throws {
        let broken = SharedRules()
        #expect(broken.set(PolicyText(Array("{}".utf8), index: 7), records: BySubject()) != nil)
        func refusal(_ claimed: String, _ rules: SharedRules) throws -> Refusal? {
            var cutter = try BatchCutter(rules)
            let batch = try opened([.pointer(.init(.move, x: 4, y: 5))], as: claimed)
            do throws(BatchRefused) {
                _ = try cutter.prepare(batch, fence: Fence(gate: GateState()), now: now)
                return nil
            } catch { return error.refusal }
        }
        #expect(try refusal("activity", broken) == .sealed)
        #expect(try refusal("credential", Self.rules()) == .wrongClass)
        #expect(try refusal("a class of the document before", Self.rules()) == nil, "it has its own by this one")
    }

    @Test func `a document's retention is kept to, and the operator's where it is shorter`() {
        let retention = Retention(Self.document, atMost: Retention([.activity: .seconds(3_600), .conversation: .seconds(86_400_000), .review: .seconds(5)]))
        #expect(retention.spans == [.activity: .seconds(3_600), .conversation: .seconds(864_000), .credential: .zero, .review: .seconds(5)])
    }
}
