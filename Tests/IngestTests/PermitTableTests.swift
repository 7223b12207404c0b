import Chassis
import Gate
import Rules
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_ingest

/// What agents are permitted: by the gate, by the policy document, and by what is on record of their subjects.
struct PermitTableTests {
    private static let document = PolicyDocument(
        classes: [.init("activity", retention: .seconds(86_400), audienceMax: nil), .init("conversation", retention: .seconds(86_400), audienceMax: nil)],
        assignments: [.init("activity", kinds: [.pointer, .key, .window, .presence]), .init("conversation", sources: [.chat])],
        capture: [.init(as: .keep), .init(people: Group(only: .init(teams: ["ads"])), as: .redact(nil))],
        purposes: [.init("operation", basis: .legalObligation, classes: ["activity"]), .init("training", basis: .consent, classes: ["conversation"])])

    private func scope(_ subject: String, _ team: String = "search") -> Scope { Scope(subject: subject, site: "berlin", team: team) }

    private func permit(_ table: inout PermitTable, _ number: Int) throws -> Permit {
        let frame = table.grantFrame(number, WireGrant())
        return try WireGrant(serializedBytes: Array(frame.all.dropFirst(4))).permit.value
    }

    private func table(_ records: [String: SubjectRecords]) -> PermitTable {
        var table = PermitTable(classes: Agents.classes)
        table.set(GateState(epoch: Epoch(3)))
        _ = table.set(PolicyText(Self.document.canonical, index: 9), records: BySubject(records))
        return table
    }

    @Test func `without a document everybody has every class, and no rules`() throws {
        var table = PermitTable(classes: Agents.classes)
        table.set(GateState(epoch: Epoch(3)))
        let number = table.number(for: scope("E1"))
        let permit = try permit(&table, number)
        #expect(permit == Permit(epoch: Epoch(3), classes: Set(Agents.classes)))
    }

    @Test func `who has not agreed has no class that rests on it, and hears of it by a narrower permit under the same rules`() throws {
        var table = table(["E1": SubjectRecords(consents: ["training"]), "E2": SubjectRecords(consents: ["training"])])
        let agreed = table.number(for: scope("E1"))
        let before = try permit(&table, agreed)
        #expect(before.classes == [.activity, .conversation] && before.policy == 9)
        let isChanged = table.set(PolicyText(Self.document.canonical, index: 9), records: BySubject(["E2": SubjectRecords(consents: ["training"])]))
        #expect(isChanged)
        let withdrawn = table.number(for: scope("E1"))
        #expect(table.narrows(withdrawn, from: agreed) && !table.narrows(agreed, from: withdrawn))
        let narrowed = table.intersection(withdrawn, agreed)
        let pushed = try permit(&table, narrowed)
        #expect(pushed.classes == [.activity] && pushed.rules == before.rules, "the agent has those, and goes on with what is left")
        let granted = try permit(&table, withdrawn)
        #expect(granted.classes == [.activity] && granted.rules != before.rules)
        let other = table.number(for: scope("E2"))
        #expect(other == agreed, "it concerns nobody else")
        let isChangedAgain = table.set(PolicyText(Self.document.canonical, index: 9), records: BySubject(["E2": SubjectRecords(consents: ["training"])]))
        #expect(!isChangedAgain, "the same again is nothing")
    }

    @Test func `who has the same shares the same rules, and what is sent is what the permit names`() throws {
        var table = table(["E1": SubjectRecords(consents: ["training"])])
        let numbers = [scope("E2"), scope("E3"), scope("E4", "ads")].map { table.number(for: $0) }
        #expect(numbers[0] == numbers[1] && numbers[0] != numbers[2])
        var hashes: Set<[UInt8]> = []
        for person in [scope("E1"), scope("E2"), scope("E4", "ads")] {
            let number = table.number(for: person)
            let frame = try #require(table.given(number).frame)
            let body = try WireRules(serializedBytes: Array(frame.all.dropFirst(4)))
            var decompressor = try ZstdDecompressor()
            let bytes = try decompressor.decompress([UInt8](body.packed), expected: Int(body.bytes), max: Limits.rulesBytesMax)
            let named = try permit(&table, number).rules
            #expect(named == RulesHash.of(bytes))
            let rules = try AgentRules(bytes: bytes, detections: nil)
            // Read back its lists are in the order of their bytes, which says nothing.
            let own = AgentRules(Policy(Self.document), of: Person(person), records: Records(consents: person.subject == "E1" ? ["training"] : []))
            #expect(rules.bytes == own.bytes && rules.recorded == own.recorded)
            hashes.insert(RulesHash.of(bytes))
        }
        #expect(hashes.count == 3)
    }

    @Test func `a closure takes away what the document allows, and a permit for nothing names no rules`() throws {
        var table = table(["E1": SubjectRecords(consents: ["training"])])
        let open = table.number(for: scope("E1"))
        table.set(GateState(epoch: Epoch(4), closures: [Closure(epoch: Epoch(4), direction: .both, selector: Selector(classes: [.conversation]), reason: "", author: "", incident: 0, from: WallTime(nanoseconds: 0))]))
        let narrower = table.number(for: scope("E1"))
        let left = try permit(&table, narrower)
        #expect(left.classes == [.activity])
        table.set(GateState(epoch: Epoch(5), closures: [Closure(epoch: Epoch(5), direction: .both, selector: Selector(), reason: "", author: "", incident: 0, from: WallTime(nanoseconds: 0))]))
        let closed = table.number(for: scope("E1"))
        let both = table.intersection(closed, open)
        #expect(closed == PermitTable.nothing && both == PermitTable.nothing)
        let nothing = try permit(&table, closed)
        #expect(nothing == Permit(epoch: Epoch(5), classes: [], policy: 9))
    }

    @Test func `by a document that cannot be read nobody is permitted anything`() throws {
        var table = PermitTable(classes: Agents.classes)
        table.set(GateState(epoch: Epoch(3)))
        _ = table.set(PolicyText(Array("{}".utf8), index: 9), records: BySubject())
        let number = table.number(for: scope("E1"))
        #expect(number == PermitTable.nothing && table.rules.trouble != nil)
    }
}
