import Chassis
import Gate
import Identity
import Rules
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_control

/// What is refused when it is planned, because it could not be carried out, or recorded, later.
@Suite struct PlanningTests {
    private let wall = WallTime(microseconds: 1_764_000_000_000_000)

    private func name(_ number: Int) -> String { String(repeating: "x", count: Limits.nameBytesMax - 8) + String(10_000_000 + number) }

    private func nodes(_ numbers: Range<Int>) -> [Node] {
        numbers.map { number in
            Node(
                name: name(number), ordinal: UInt32(number + 1), key: (0..<32).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 % 4))) }, role: .agent,
                scope: Scope(subject: "E\(number)", site: "", team: ""))
        }
    }

    private func planning(_ governance: Governance) -> Planning {
        Planning(planned: governance, inForce: governance, index: 1, issued: .none, losses: Losses(), readsInTrouble: nil, trusted: nil, compare: .anyWorld, reading: PolicyReading())
    }

    private func bytes(_ deed: Entry.Deed) throws -> Int {
        try WireEntry(Entry(index: .max, at: wall, author: "control", deed: deed)).serializedData().count
    }

    @Test func `nobody is registered who would not fit into the certificate of a pause of everybody`() throws {
        let fit = Limits.certifiedBytesMax / (Limits.nameBytesMax + Limits.certifiedAgentBytes)
        var governance = Governance()
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .registered(nodes(0..<fit - 10), enrolment: nil)))
        let command = { (numbers: Range<Int>) in Command.register(nodes(numbers)) }
        // The control: what still fits is taken.
        #expect(try planning(governance).deeds(of: command(fit - 10..<fit), by: "ops-1", at: wall).count == 1)
        let refused = #expect(throws: Refused.self) { try planning(governance).deeds(of: command(fit - 10..<fit + 1), by: "ops-1", at: wall) }
        #expect(refused?.refusal == .tooLarge)
        // Who is there already may always be given another key.
        var moved = nodes(0..<100)
        for index in moved.indices { moved[index].key = .init(repeating: 255, count: 31) + [UInt8(index)] }
        #expect(try planning(governance).deeds(of: .register(moved), by: "ops-1", at: wall).count == 1)

        // What all of this is for: the largest certificate is an entry that can be sent.
        governance.apply(Entry(index: 2, at: wall, author: "ops-1", deed: .registered(nodes(fit - 10..<fit), enrolment: nil)))
        let selector = Selector(subjects: Set((0..<Limits.selectorValuesMax).map { name($0) }))
        let closure = Closure(
            epoch: Epoch(.max), direction: .both, selector: selector, reason: String(repeating: "r", count: Limits.reasonBytesMax), author: "ops-1", incident: .max, from: wall)
        let longest = Stop.leaseEnded(by: .seconds(3_600))
        let certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: wall, services: ["ingest": longest, "policy": longest, "notify": longest],
            agents: Dictionary(uniqueKeysWithValues: governance.nodes.values.map { ($0.name, longest) }), completeAfter: .seconds(3_600), readingAfter: .seconds(3_600),
            durableIn: [.journal, .vault], unconfirmed: (0..<101).map { "agent \(name($0)) has not answered and its lease has not ended" })
        #expect(try bytes(.certified(certificate)) <= Limits.entryBytesMax)
        #expect(certificate.agents.count == fit)
    }

    /// With what was signed, which is in the same entry.
    @Test func `no command makes an entry that is too large to be sent`() throws {
        var governance = Governance()
        var node = nodes(0..<1)[0]
        (node.name, node.ordinal) = ("a", .max - 1)
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .registered([node], enrolment: nil)))
        // Three bytes of a command become five of an entry: nothing else grows as much.
        let names = [String](repeating: "a", count: Statement.bytesMax / 3)
        for deed in try planning(governance).deeds(of: .remove(names: names), by: "ops-1", at: wall) {
            #expect(try bytes(deed) > Statement.bytesMax, "the control: it does grow")
            #expect(try bytes(deed) + Statement.bytesMax + 1_024 <= Limits.entryBytesMax)
        }
    }

    @Test func `a command about people names each once, no more than fit, and what there is`() throws {
        var governance = Governance()
        let deeds: [Entry.Deed] = [
            .incidentOpened(number: 1, title: "", closure: Epoch(1), dataClass: "", isLeak: false), .incidentOpened(number: 2, title: "", closure: Epoch(2), dataClass: "", isLeak: false),
            .incidentMoved(number: 2, to: .closed), .recordsChanged(["E1"], purpose: "operation", .consent, given: true), .erased(["E2"]), .held(incident: 1, ["E1"]),
        ]
        for (number, deed) in deeds.enumerated() { governance.apply(Entry(index: UInt64(number + 1), at: wall, author: "ops-1", deed: deed)) }
        func taken(_ command: Command) throws -> Int { try planning(governance).deeds(of: command, by: "ops-1", at: wall).count }
        let many = (0...Limits.subjectsPerCommandMax).map { "E\($0)" }
        #expect(try taken(.erase(Array(many.dropLast()))) == 1)
        for (command, expected) in [
            (Command.erase(many), Refusal.tooLarge), (.erase([]), .tooLarge), (.erase(["E1", "E1"]), .invalid), (.erase([""]), .invalid), (.erase([name(1) + "123456789"]), .invalid),
            (.changeRecords(["E1"], purpose: "operatoin", .consent, given: true), .notFound), (.changeRecords(["E1"], purpose: "operation", .notice, given: false), .notFound),
            (.changeRecords(["E2"], purpose: "operation", .consent, given: true), .invalid), (.readmit(["E1"]), .notFound), (.hold(incident: 9, ["E1"]), .notFound),
            (.hold(incident: 2, ["E1"]), .invalid), (.liftHold(incident: 1, ["E9"]), .notFound), (.closeIncident(1), .invalid),
        ] {
            let refused = #expect(throws: Refused.self, "\(command)") { try planning(governance).deeds(of: command, by: "ops-1", at: wall) }
            #expect(refused?.refusal == expected, "\(command): \(refused?.text ?? "")")
        }
        // The same again changes nothing.
        #expect(try taken(.erase(["E2"])) == 0 && taken(.hold(incident: 1, ["E1"])) == 0 && taken(.changeRecords(["E1"], purpose: "operation", .consent, given: true)) == 0)
        #expect(try taken(.changeRecords(["E1", "E9"], purpose: "operation", .consent, given: false)) == 1 && taken(.readmit(["E2"])) == 1 && taken(.liftHold(incident: 1, ["E1"])) == 1)
    }

    @Test func `notices are decided of an assessed incident, once, by a digest of 32 bytes, and it is notified when that is everybody`() throws {
        var governance = Governance()
        let digest = [UInt8](repeating: 7, count: 32)
        let deeds: [Entry.Deed] = [
            .incidentOpened(number: 1, title: "", closure: .none, dataClass: "", isLeak: true), .incidentAssessed(number: 1, exposure: digest, summary: ""),
            .incidentOpened(number: 2, title: "", closure: .none, dataClass: "", isLeak: true), .noticesDecided(incident: 1, count: 3, digest: digest),
        ]
        for (number, deed) in deeds.enumerated() { governance.apply(Entry(index: UInt64(number + 1), at: wall, author: "ops-1", deed: deed)) }
        func taken(_ command: Command) throws -> [Entry.Deed] { try planning(governance).deeds(of: command, by: "ops-1", at: wall) }
        let other = [UInt8](repeating: 8, count: 32)
        let correction = try taken(.sendNotices(incident: 1, count: 2, digest: other))
        #expect(correction == [.noticesDecided(incident: 1, count: 2, digest: other)])
        #expect(planning(governance).consequence(of: correction, by: "ops-1", at: wall) == .widens([.notifies(incident: 1, count: 2, digest: other)]))
        for (command, expected) in [
            (Command.sendNotices(incident: 1, count: 3, digest: digest), Refusal.invalid), (.sendNotices(incident: 2, count: 3, digest: digest), .invalid), (.sendNotices(incident: 9, count: 3, digest: other), .notFound),
            (.sendNotices(incident: 1, count: 0, digest: other), .invalid), (.sendNotices(incident: 1, count: 3, digest: Array(other.dropLast())), .invalid),
            (.incidentNotified(1, decision: 4, delivered: 2, unreachable: 0), .invalid), (.incidentNotified(1, decision: 3, delivered: 2, unreachable: 1), .invalid),
            (.incidentNotified(2, decision: 4, delivered: 2, unreachable: 1), .invalid), (.incidentNotified(9, decision: 4, delivered: 2, unreachable: 1), .notFound),
        ] {
            let refused = #expect(throws: Refused.self, "\(command)") { try taken(command) }
            #expect(refused?.refusal == expected, "\(command): \(refused?.text ?? "")")
        }
        let notified = try taken(.incidentNotified(1, decision: 4, delivered: 2, unreachable: 1))
        #expect(notified == [.incidentNotified(number: 1, decision: 4, delivered: 2, unreachable: 1)] && planning(governance).consequence(of: notified, by: "ops-1", at: wall) == .narrows)
        governance.apply(Entry(index: 5, at: wall, author: "ops-1", deed: notified[0]))
        #expect(try taken(.incidentNotified(1, decision: 4, delivered: 2, unreachable: 1)).isEmpty, "the same again changes nothing")
        #expect(try taken(.incidentNotified(1, decision: 4, delivered: 3, unreachable: 0)).count == 1, "one more was reached")
    }

    @Test func `where the document in force says so one operator decides notices, by that moment's document`() throws {
        var governance = Governance()
        let digest = [UInt8](repeating: 7, count: 32)
        var document = PolicyDocument.standard
        document.notices.send = .atOnce
        let deeds: [Entry.Deed] = [
            .incidentOpened(number: 1, title: "", closure: .none, dataClass: "", isLeak: true), .incidentAssessed(number: 1, exposure: digest, summary: ""), .policyApplied(document.canonical, over: []),
        ]
        for (number, deed) in deeds.enumerated() {
            governance.apply(Entry(index: UInt64(number + 1), at: wall, author: "ops-1", deed: deed))
        }
        func consequence(_ command: Command) throws -> Powers.Consequence { planning(governance).consequence(of: try planning(governance).deeds(of: command, by: "ops-1", at: wall), by: "ops-1", at: wall) }
        #expect(try consequence(.sendNotices(incident: 1, count: 3, digest: digest)) == .allowed([.notifies(incident: 1, count: 3, digest: digest)]))
        #expect(try consequence(.applyPolicy(PolicyDocument.standard.canonical, over: [])) == .narrows)
        governance.apply(Entry(index: 4, at: wall, author: "ops-1", deed: .policyApplied(PolicyDocument.standard.canonical, over: [])))
        #expect(try consequence(.sendNotices(incident: 1, count: 3, digest: digest)) == .widens([.notifies(incident: 1, count: 3, digest: digest)]))
        guard case .widens(let gains) = try consequence(.applyPolicy(document.canonical, over: [])) else { return #expect(Bool(false), "one operator lets one send") }
        #expect(gains == [.loosens(NoticeTerms.Loosening.sending.words)])
    }

    @Test func `a class of the document in force can be paused, and one that there is not is told`() throws {
        func pause(_ name: String, _ governance: Governance) throws -> Int {
            try planning(governance).deeds(of: .pause(Selector(classes: [DataClass(name)]), .both, reason: "a test"), by: "ops-1", at: wall).count
        }
        var governance = Governance()
        #expect(throws: Refused.self, "the control: no document, no such class") { try pause("secret", governance) }
        var document = PolicyDocument.standard
        document.classes.append(.init("secret", retention: .seconds(3_600), audienceMax: nil))
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .policyApplied(document.canonical, over: [])))
        #expect(try pause("secret", governance) == 1 && pause("activity", governance) == 1)
        #expect(throws: Refused.self) { try pause("sceret", governance) }
        // One that cannot be read here names classes that nobody here knows: what is asked for is stopped.
        governance.apply(Entry(index: 2, at: wall, author: "ops-1", deed: .policyApplied([1], over: [])))
        #expect(try pause("secret", governance) == 1)
    }

    @Test func `a document is taken in its canonical form, whole, and with the names of what it limits`() throws {
        var document = PolicyDocument.standard
        document.classes[3].audienceMax = 4
        let bytes = document.canonical
        #expect(try planning(Governance()).deeds(of: .applyPolicy(bytes, over: ["review"]), by: "ops-1", at: wall).count == 1)
        for (document, over, expected) in [
            (bytes + [0x0a], [String](), Refusal.invalid), (Array(bytes.dropLast()), [], .invalid), ([UInt8](repeating: 0x20, count: Limits.policyBytesMax + 1), [], .tooLarge),
            (bytes, ["activity"], .notFound), (bytes, ["review", "review"], .invalid),
        ] {
            let refused = #expect(throws: Refused.self) { try planning(Governance()).deeds(of: .applyPolicy(document, over: over), by: "ops-1", at: wall) }
            #expect(refused?.refusal == expected, "\(refused?.text ?? "")")
        }
        var governance = Governance()
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .policyApplied(bytes, over: [])))
        #expect(try planning(governance).deeds(of: .applyPolicy(bytes, over: []), by: "ops-1", at: wall).isEmpty)
        #expect(try bytes.count < 2_000 && self.bytes(.policyApplied([UInt8](repeating: 0, count: Limits.policyBytesMax), over: [])) + Statement.bytesMax < Limits.entryBytesMax)
    }

    @Test func `what is refused of a document, whoever checks it is told in the same words`() throws {
        var (large, planted) = (PolicyDocument.standard, PolicyDocument.standard)
        large.roles = [.init("r", members: Set((0..<6_000).map { String(repeating: "m", count: 190) + "\($0)" }))]
        planted.leaks = [.init(.canary, close: .read, of: .class, events: Set((0..<600).flatMap { number in ["activity", "review"].map { PlantedEvents(of: "planted/\(number)", $0) } }))]
        for (document, refusal) in [(large, Refusal.tooLarge), (planted, .invalid)] {
            let told = #expect(throws: Mistakes.self) { try document.applied(bytesMax: Limits.policyBytesMax) }
            let refused = #expect(throws: Refused.self) { try planning(Governance()).deeds(of: .applyPolicy(document.canonical, over: []), by: "ops-1", at: wall) }
            #expect(refused?.refusal == refusal && refused?.text.contains(told.map { "\($0.all[0].fault)" } ?? "?") ?? false, "\(refused?.text ?? "")")
        }
        #expect(throws: Never.self, "the control") { try PolicyDocument.standard.applied(bytesMax: Limits.policyBytesMax) }
    }

    @Test func `where a reader is two sign and without a subject it is nowhere`() throws {
        func consequence(_ subject: String, _ site: String, _ team: String, in governance: Governance = Governance()) throws -> Powers.Consequence {
            let node = Node(name: "guard", ordinal: 0, key: [UInt8](repeating: 9, count: 32), role: .reader, scope: Scope(subject: subject, site: site, team: team))
            return planning(governance).consequence(of: try planning(governance).deeds(of: .register([node]), by: "ops-1", at: wall), by: "ops-1", at: wall)
        }
        let refused = #expect(throws: Refused.self) { _ = try consequence("", "berlin", "safety") }
        #expect(refused?.refusal == .invalid)
        // Also of whoever is registered already: another team is other roles.
        var governance = Governance()
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .registered([Node(name: "guard", ordinal: 1, key: [UInt8](repeating: 9, count: 32), role: .reader, scope: Scope(subject: "E9", site: "", team: ""))], enrolment: nil)))
        guard case .widens(let gains) = try consequence("E9", "berlin", "safety", in: governance) else { throw Unexpected() }
        #expect(gains.map(\.line) == ["admits reader guard, key of E9, site berlin, team safety"])
        #expect(try consequence("E9", "", "", in: governance) == .narrows, "the control: the same again is nothing")
        // Where a reader is, nobody is captured: a pause of that team would stop nothing.
        governance.apply(Entry(index: 2, at: wall, author: "ops-1", deed: .registered([Node(name: "guard", ordinal: 2, key: [UInt8](repeating: 9, count: 32), role: .reader, scope: Scope(subject: "E9", site: "berlin", team: "safety"))], enrolment: nil)))
        let nobody = #expect(throws: Refused.self) { try planning(governance).deeds(of: .pause(Selector(teams: ["safety"]), .both, reason: "r"), by: "ops-1", at: wall) }
        #expect(nobody?.refusal == .notFound)
    }

    @Test func `nobody gets the name of policy's own probe, which no list of readers shows`() throws {
        let reader = Node(name: Probe.name, ordinal: 0, key: [UInt8](repeating: 9, count: 32), role: .reader, scope: Scope(subject: "E9", site: "", team: ""))
        var agent = nodes(0..<1)[0]
        agent.name = Probe.name
        for node in [reader, agent] {
            let refused = #expect(throws: Refused.self) { try planning(Governance()).deeds(of: .register([node]), by: "ops-1", at: wall) }
            #expect(refused?.refusal == .invalid && refused?.text.contains(Probe.name) ?? false)
            var other = node
            other.name += "-2"
            #expect(try planning(Governance()).deeds(of: .register([other]), by: "ops-1", at: wall).count == 1, "the control")
        }
    }

    private struct Unexpected: Error {}

    @Test func `no agent is registered with a service's key, that it has, is to have, or had`() throws {
        var governance = Governance()
        let keys = (1...3).map { [UInt8](repeating: $0, count: 32) }
        governance.apply(Entry(index: 1, at: wall, author: "ops-1", deed: .serviceKeyAnnounced(keys[1], service: "ingest", beside: keys[0])))
        governance.apply(Entry(index: 2, at: wall, author: "ops-1", deed: .serviceKeyRetired(keys[0], service: "ingest")))
        governance.apply(Entry(index: 3, at: wall, author: "ops-1", deed: .serviceKeyAnnounced(keys[2], service: "ingest", beside: keys[1])))
        // Also under the service's own name: it would be both.
        for (name, key) in [("a", keys[0]), ("a", keys[1]), ("ingest", keys[2])] {
            var node = nodes(0..<1)[0]
            (node.name, node.key) = (name, key)
            let refused = #expect(throws: Refused.self) { try planning(governance).deeds(of: .register([node]), by: "ops-1", at: wall) }
            #expect(refused?.refusal == .invalid)
        }
        // The control: any other key is taken.
        #expect(try planning(governance).deeds(of: .register(nodes(0..<1)), by: "ops-1", at: wall).count == 1)
    }
}
