import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Rules
import Testing
import Wire

@testable import sluice_control

/// Control's decisions while the disk is slow: what waits for it, and what must not.
@Suite struct AuthorityTests {
    private let scene: Scene

    init() throws { scene = try Scene() }

    @Test func `who was removed before the registration was durable stays removed`() throws {
        let authority = scene.authority
        let node = Node(name: "desk", ordinal: 0, key: .init(repeating: 3, count: 32), role: .agent, scope: Scope(subject: "E1", site: "", team: ""))
        try scene.approved(.register([node]))
        #expect(authority.governance.nodes.isEmpty, "nothing widens before it is durable")
        #expect(authority.planned.node(named: "desk") != nil)
        try scene.perform(.remove(names: ["desk"]), by: "ops-1")
        authority.becameDurable(scene.recorded)
        #expect(authority.governance.nodes.isEmpty)
        // The control: without the removal it is there.
        let other = try Scene()
        try other.approved(.register([node]))
        other.authority.becameDurable(other.recorded)
        #expect(other.authority.governance.node(named: "desk") != nil)
    }

    @Test func `an operator who was removed before their addition was durable stays removed`() throws {
        let member = try scene.scribe.member("ops-3")
        try scene.approved(.changeOperators(removing: [], adding: [member]))
        try scene.perform(.changeOperators(removing: ["ops-3"], adding: []), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.operators["ops-3"] == nil)
        #expect(scene.authority.governance.operators == scene.authority.planned.operators)
    }

    @Test func `a pause acts before it is durable, and a resume under way does not lift it`() throws {
        try scene.perform(.pause(Selector(), .both, reason: "first"), by: "ops-1")
        let first = try #require(scene.authority.governance.gate.closures.first)
        try scene.approved(.resume([first.epoch], reason: "x", unseal: false))
        #expect(scene.authority.governance.gate.closures == [first], "it is lifted when that is durable")
        try scene.perform(.pause(Selector(), .both, reason: "second"), by: "ops-2")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.gate.closures.map(\.reason) == ["second"])
        #expect(scene.authority.governance.gate.epoch == scene.authority.planned.gate.epoch)
    }
}

extension AuthorityTests {
    @Test func `the nonce of a proposal that was refused is not remembered, since no reader of the ledger can`() throws {
        let asked = Command.changeOperators(removing: [], adding: [try scene.scribe.member("ops-3")])
        for _ in 0..<Proposals.openMax { try scene.perform(asked, by: "ops-1") }
        #expect(throws: Refused.self, "the control: there is no room for one more") { try scene.perform(asked, by: "ops-1") }
        scene.scribe.nonces -= 1
        try scene.perform(.pause(Selector(), .both, reason: "with the same nonce"), by: "ops-1")
        #expect(scene.authority.governance.gate.closures.count == 1 && scene.refusals.isEmpty)
        // What is recorded is remembered, by both.
        scene.scribe.nonces -= 1
        #expect(throws: Refused.self) { try scene.perform(.pause(Selector(), .both, reason: "once more"), by: "ops-1") }
    }

    @Test func `a consent that is withdrawn before it was durable stays withdrawn, and services hear of it at once`() throws {
        let withdrawal = Entry.Deed.recordsChanged(["E1"], purpose: "operation", .consent, given: false)
        try scene.approved(.changeRecords(["E1"], purpose: "operation", .consent, given: true))
        #expect(scene.authority.governance.records.isEmpty && !scene.authority.planned.records.isEmpty, "nothing widens before it is durable")
        let answered = scene.answers.count
        try scene.perform(.changeRecords(["E1"], purpose: "operation", .consent, given: false), by: "ops-1")
        #expect(scene.narrowed == [[withdrawal]] && scene.authority.withdrawn?.narrowed.compactMap { $0.value?.deed } == [withdrawal])
        #expect(scene.answers.count == answered && scene.authority.pending.count == 1)
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.records.isEmpty && scene.authority.withdrawn == nil && scene.refusals.isEmpty)
    }

    @Test func `a narrower policy acts at once, a wider one when a second person says so and it is durable`() throws {
        var document = PolicyDocument.standard
        document.capture = [.init(as: .timing)]
        try scene.perform(.applyPolicy(document.canonical, over: []), by: "ops-1")
        #expect(scene.authority.governance.policy?.bytes == document.canonical && scene.narrowed.count == 1)
        scene.authority.becameDurable(scene.recorded)
        let wide = PolicyDocument.standard.canonical
        let signed = try scene.perform(.applyPolicy(wide, over: []), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let proposal = try #require(scene.answers.last?.proposal)
        #expect(proposal.gains.count == 4 && proposal.gains.allSatisfy { $0.hasPrefix("policy: more is kept of") }, "\(proposal.gains)")
        try scene.approve(proposal.proposal, of: signed, by: "ops-2")
        #expect(scene.authority.governance.policy?.bytes == document.canonical)
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.policy?.bytes == wide && scene.narrowed.count == 1 && scene.refusals.isEmpty, "\(scene.refusals)")
    }

    /// Everybody has stopped, and the pause itself is durable.
    private func stopped() throws {
        try scene.perform(.pause(Selector(), .both, reason: "first"), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        scene.authority.advance(at: Instant(nanoseconds: 2), wall: scene.scribe.now)
    }

    @Test func `a complete certificate is shown when it is in the ledger, and the stop waits for nothing`() throws {
        try stopped()
        #expect(scene.authority.governance.gate.closures.count == 1 && scene.certificates.isEmpty)
        let asked = try #require(scene.authority.stops.certificate(scene.authority.governance.gate.epoch, at: scene.scribe.now))
        #expect(asked.complete && asked.unrecorded, "who asks meanwhile hears that it is not in the ledger")
        scene.authority.becameDurable(scene.recorded - 2)
        #expect(scene.certificates.isEmpty, "its own entry, and the incident's that follows it, are not there")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.certificates.map(\.complete) == [true] && scene.certificates.map(\.unrecorded) == [false])
        scene.authority.advance(at: Instant(nanoseconds: 10_000_000_000), wall: scene.scribe.now)
        #expect(scene.certificates.count == 1, "once")
    }

    @Test(arguments: [false, true]) func `a certificate that cannot be recorded is shown as such, once`(_ isFull: Bool) throws {
        try stopped()
        if isFull { scene.authority.journalIsFull("no room") } else {
            scene.authority.advance(at: Instant(nanoseconds: 2) + Limits.certificateSlack, wall: scene.scribe.now)
            #expect(scene.certificates.isEmpty, "one short")
            scene.authority.advance(at: Instant(nanoseconds: 3) + Limits.certificateSlack, wall: scene.scribe.now)
        }
        #expect(scene.certificates.map(\.complete) == [true] && scene.certificates.map(\.unrecorded) == [true])
        scene.authority.becameDurable(scene.recorded)
        let asked = scene.authority.stops.certificate(scene.authority.governance.gate.epoch, at: scene.scribe.now)
        #expect(scene.certificates.count == 1 && asked?.unrecorded == false)
    }

    @Test func `an erasure acts at once, and the end of a hold is not pushed: what cannot be taken back waits for the disk`() throws {
        try scene.perform(.pause(Selector(), .both, reason: "first"), by: "ops-1")
        try scene.approved(.hold(incident: 1, ["E1"]))
        scene.authority.becameDurable(scene.recorded)
        try scene.perform(.erase(["E1"]), by: "ops-1")
        #expect(scene.authority.governance.erased["E1"]?.isWaiting == true && scene.narrowed == [[.erased(["E1"])]])
        #expect(throws: Refused.self, "an incident that holds somebody is not closed") { try scene.perform(.closeIncident(1), by: "ops-1") }
        try scene.perform(.liftHold(incident: 1, ["E1"]), by: "ops-1")
        #expect(scene.authority.governance.erased["E1"]?.isWaiting == false && scene.narrowed.allSatisfy { $0 == [.erased(["E1"])] })
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.refusals.isEmpty)
    }

    @Test func `one operator proposes what people are told, another approves exactly that, and nobody both`() throws {
        let digest = [UInt8](repeating: 7, count: 32)
        try scene.perform(.leak(dataClass: "", reason: "seen", source: "a test"), by: "ops-1")
        try scene.perform(.assessIncident(1, exposure: digest, summary: "3 people"), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let signed = try scene.perform(.sendNotices(incident: 1, count: 3, digest: digest), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.notices.isEmpty, "the control: it waits for another")
        let proposal = try #require(scene.answers.last?.proposal)
        #expect(proposal.gains.contains { $0.contains(String(repeating: "07", count: 32)) && $0.contains("3 people") }, "who approves sees what")
        #expect(throws: Refused.self) { try scene.approve(proposal.proposal, of: signed, by: "ops-1") }
        #expect(scene.authority.governance.notices.isEmpty)
        try scene.approve(proposal.proposal, of: signed, by: "ops-2")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.notices[1]?.map(\.digest) == [digest])
        #expect(throws: Refused.self, "a second time") { try scene.perform(.sendNotices(incident: 1, count: 3, digest: digest), by: "ops-1") }
    }

    @Test func `a finding closes at once, is answered when it is durable, and is one incident however often it comes`() throws {
        func finding(_ id: UInt8, _ selector: Selector = Selector(classes: [DataClass("review")])) -> Finding {
            Finding(id: .init(repeating: id, count: 16), detector: "outsider", sentence: "seen", direction: .both, selector: selector, at: scene.scribe.now)
        }
        func take(_ finding: Finding) { scene.authority.take(finding, from: Route(number: 1), at: Instant(nanoseconds: 1), wall: scene.scribe.now + .seconds(1)) }
        take(finding(1))
        #expect(scene.authority.governance.gate.closures.map(\.author) == ["detector outsider"] && scene.answers.isEmpty, "in force before it is durable")
        take(finding(1))
        #expect(scene.answers.isEmpty, "nor is it, sent again")
        scene.authority.becameDurable(scene.recorded)
        take(finding(1))
        #expect(scene.answers.map(\.incident) == [1, 1] && Set(scene.answers.map(\.entry)).count == 1, "the same one")
        take(finding(2))
        take(finding(3, .everything))
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.answers.suffix(2).map(\.incident) == [1, 2] && scene.authority.governance.gate.closures.count == 2, "what is closed already joins; what is not closes")
        // What two have lifted and is found again closes again.
        try scene.approved(.resume(scene.authority.governance.gate.closures.map(\.epoch), reason: "mended", unseal: false))
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.gate.closures.isEmpty)
        take(finding(4))
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.answers.last?.incident == 3 && scene.authority.governance.gate.closures.count == 1)
        // Thousands of one cause fill no ledger.
        let (before, answered) = (scene.recorded, scene.answers.count)
        for number in 0..<1_000 {
            var more = finding(9)
            (more.id[0], more.id[1]) = (UInt8(number % 256), UInt8(number / 256))
            take(more)
        }
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.recorded - before < Authority.findingsMax && scene.answers.count == answered + 1_000 && scene.authority.findingsCounted > 800)
        #expect(scene.refusals.isEmpty, "\(scene.refusals)")
    }

    /// What takes one person and is no pause.
    enum Removal: CaseIterable {
        case agent, `operator`, proposal, incident
    }

    private func prepare(_ removal: Removal) throws -> Command {
        switch removal {
        case .agent:
            try scene.approved(.register([Node(name: "desk", ordinal: 0, key: .init(repeating: 3, count: 32), role: .agent, scope: Scope(subject: "E1", site: "", team: ""))]))
            scene.authority.becameDurable(scene.recorded)
            return .remove(names: ["desk"])
        case .operator:
            try scene.approved(.changeOperators(removing: [], adding: [scene.scribe.member("ops-3")]))
            scene.authority.becameDurable(scene.recorded)
            return .changeOperators(removing: ["ops-3"], adding: [])
        case .proposal:
            try scene.perform(.changeOperators(removing: [], adding: [scene.scribe.member("ops-3")]), by: "ops-1")
            scene.authority.becameDurable(scene.recorded)
            return .withdraw(proposal: try #require(scene.answers.last?.proposal.proposal))
        case .incident:
            try scene.perform(.pause(Selector(), .both, reason: "first"), by: "ops-1")
            scene.authority.becameDurable(scene.recorded)
            try scene.approved(.resume(scene.authority.governance.gate.closures.map(\.epoch), reason: "x", unseal: false))
            scene.authority.becameDurable(scene.recorded)
            return .closeIncident(1)
        }
    }

    private func isDone(_ removal: Removal) -> Bool {
        switch removal {
        case .agent: scene.authority.governance.node(named: "desk") == nil
        case .operator: scene.authority.governance.operators["ops-3"] == nil
        case .proposal: scene.authority.governance.proposals.open.isEmpty
        case .incident: scene.authority.governance.incidents[1]?.state == .closed
        }
    }

    @Test(arguments: Removal.allCases) func `a removal acts at once and is answered when it is durable`(removal: Removal) throws {
        let command = try prepare(removal)
        #expect(!isDone(removal), "the control")
        let answered = scene.answers.count
        try scene.perform(command, by: "ops-1")
        #expect(isDone(removal))
        #expect(scene.answers.count == answered, "what can still be forgotten is not answered as done")
        #expect(scene.authority.pending.count == 1)
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.answers.count == answered + 1 && scene.answers.last?.entry == scene.recorded)
        #expect(scene.authority.pending.isEmpty && scene.refused.isEmpty)
    }

    @Test(arguments: Removal.allCases) func `a removal that cannot be written is told as such, once, and answered when it is written`(removal: Removal) throws {
        let command = try prepare(removal)
        let answered = scene.answers.count
        let signed = try scene.perform(command, by: "ops-1")
        for _ in 0..<3 { scene.authority.journalIsFull("disk full") }
        #expect(isDone(removal))
        #expect(scene.refused.map(\.refusal) == [.journalFull], "a second one would be taken for the answer to the next command")
        #expect(scene.refused.first?.text.contains("NOT DURABLE") ?? false)
        // A pause meanwhile is answered as ever.
        try scene.perform(.pause(Selector(), .both, reason: "meanwhile"), by: "ops-1")
        #expect(scene.answers.count == answered + 1 && scene.answers.last?.hasClosure ?? false)
        // Asked again, as it is: told again, and not done again.
        let recorded = scene.recorded
        try scene.repeated(signed, by: "ops-1")
        scene.authority.journalIsFull("disk full")
        #expect(scene.refused.count == 2 && scene.recorded == recorded)
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.answers.count == answered + 2 && scene.authority.pending.isEmpty && scene.authority.journalTrouble == nil)
    }

    @Test func `a disk that is silent is not taken for a control that is dead`() throws {
        let command = try prepare(.agent)
        try scene.perform(command, by: "ops-1")
        let begun = Instant(nanoseconds: 1)
        scene.authority.advance(at: begun + Limits.durableWithin, wall: scene.scribe.now)
        #expect(scene.refused.isEmpty)
        for more in 1...3 { scene.authority.advance(at: begun + Limits.durableWithin + .milliseconds(Int64(more)), wall: scene.scribe.now) }
        #expect(scene.refused.map(\.refusal) == [.journalFull])
    }

    @Test func `what is removed already is answered when that removal is durable`() throws {
        let command = try prepare(.agent)
        try scene.perform(command, by: "ops-1")
        let answered = scene.answers.count
        try scene.perform(command, by: "ops-2")
        #expect(scene.answers.count == answered)
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.answers.count == answered + 2)
        // The control: nothing waits, so nothing is waited for.
        try scene.perform(command, by: "ops-1")
        #expect(scene.answers.count == answered + 3)
    }

    /// As a service would, at each renewal. Returns whether control is sealed then.
    private func claims(_ service: String, epoch: UInt64 = 0, entries: UInt64 = 0, closures: [UInt64] = []) -> Bool {
        scene.authority.heard(service, epoch: Epoch(epoch), entries: entries, closures: closures, releases: service == "policy", at: Instant(nanoseconds: 2))
        return scene.authority.hasLost
    }

    /// With everything that is lost.
    private func unsealing() -> Command {
        let claimed = scene.authority.claimed
        return .resume([], reason: "x", unseal: true, drops: claimed?.closures.sorted() ?? [], abandons: claimed?.abandoned ?? [])
    }

    private func unseal() throws {
        try scene.approved(unsealing())
        scene.authority.becameDurable(scene.recorded)
        #expect(!scene.authority.hasLost && scene.authority.governance.gate.seal == nil, "two operators open it")
    }

    @Test func `a service seals control once, and after that it loses its own lease alone`() throws {
        #expect(claims("notify", epoch: 50))
        #expect(scene.authority.governance.gate.seal?.contains("notify knows epoch 50") ?? false)
        try unseal()
        #expect(scene.authority.disbelieved("notify") == nil)
        for number in UInt64(1)...20 {
            #expect(!claims("notify", epoch: 1_000 * number))
            #expect(!claims("notify", entries: 1_000 * number))
            #expect(!claims("notify", closures: [1_000 * number]))
            #expect(scene.authority.disbelieved("notify")?.contains("closure \(1_000 * number)") ?? false)
        }
        #expect(scene.authority.governance.gate.seal == nil && scene.authority.disbelieved("ingest") == nil)
        // What it says without a claim is heard as ever.
        #expect(!claims("notify", epoch: scene.authority.governance.gate.epoch.number))
        #expect(scene.authority.disbelieved("notify") == nil)
        // The control: nobody has decided about what another one knows.
        #expect(claims("ingest", epoch: 2_000))
        try unseal()
        #expect(!claims("ingest", epoch: 3_000) && !claims("notify", epoch: 3_000))
    }

    @Test func `an unsealing decides about all closures that were lost, and believes whoever held them`() throws {
        #expect(claims("policy", epoch: 9, closures: [7, 8, 9]))
        try unseal()
        #expect(scene.authority.governance.dropped == [Epoch(7), Epoch(8), Epoch(9)])
        // It has not heard of the unsealing yet.
        #expect(!claims("policy", epoch: 9, closures: [7, 8, 9]) && scene.authority.disbelieved("policy") == nil)
    }

    @Test func `who claims something while an unsealing is made durable was decided about by nobody`() throws {
        #expect(claims("notify", epoch: 50))
        try scene.approved(unsealing())
        #expect(claims("ingest", epoch: 60, closures: [60]))
        scene.authority.becameDurable(scene.recorded)
        #expect(claims("ingest", epoch: 60, closures: [60]), "its closure is not dropped, and it says so again")
        #expect(scene.authority.disbelieved("ingest") == nil)
        try unseal()
        #expect(scene.authority.governance.dropped == [Epoch(60)])
        #expect(!claims("ingest", epoch: 60, closures: [60]) && scene.authority.disbelieved("ingest") == nil)
    }

    @Test func `an unsealing gives up what was signed, and is refused when more is known to be lost`() throws {
        #expect(claims("policy", epoch: 9, closures: [9]))
        let first = unsealing()
        #expect(throws: Refused.self, "a closure that nobody claims") {
            try scene.perform(.resume([], reason: "x", unseal: true, drops: [Epoch(8), Epoch(9)], abandons: []), by: "ops-1")
        }
        let signed = try scene.perform(first, by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let number = try #require(scene.answers.last?.proposal.proposal)
        #expect(claims("ingest", epoch: 12, closures: [12]))
        #expect(throws: Refused.self) { try scene.approve(number, of: signed, by: "ops-2") }
        #expect(scene.authority.hasLost && scene.authority.governance.dropped.isEmpty)
        // Policy has cosigned another history.
        let text = "sluice.example/governance\n99\n\(Data(repeating: 7, count: 32).base64EncodedString())\n"
        scene.authority.outrun(by: (99, text))
        #expect(throws: Refused.self) {
            try scene.perform(.resume([], reason: "x", unseal: true, drops: [Epoch(9), Epoch(12)], abandons: []), by: "ops-1")
        }
        try unseal()
        #expect(scene.authority.governance.dropped == [Epoch(9), Epoch(12)])
        #expect(scene.authority.governance.abandoned == [Array(text.utf8)])
        #expect(scene.refusals.isEmpty)
    }

    @Test func `who has a service's key cannot keep two signatures from fitting by claiming something else each time`() throws {
        #expect(claims("notify", epoch: 50, closures: [50]))
        let signed = try scene.perform(unsealing(), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let number = try #require(scene.answers.last?.proposal.proposal)
        for epoch in UInt64(51)...60 { #expect(claims("notify", epoch: epoch, closures: [epoch])) }
        try scene.approve(number, of: signed, by: "ops-2")
        scene.authority.becameDurable(scene.recorded)
        #expect(!scene.authority.hasLost && scene.authority.governance.dropped == [Epoch(50)])
        #expect(!claims("notify", epoch: 61, closures: [61]) && scene.authority.disbelieved("notify") != nil)
        #expect(scene.authority.governance.gate.seal == nil)
    }

    @Test func `what a service rightly knows after a decision two operators decide about as well, and nobody is stopped meanwhile`() throws {
        #expect(claims("policy", epoch: 9, closures: [9]))
        try unseal()
        // On another disk.
        #expect(!claims("policy", epoch: 30, closures: [29, 30]) && scene.authority.disbelieved("policy") != nil)
        #expect(scene.authority.governance.gate.seal == nil)
        try unseal()
        #expect(scene.authority.governance.dropped == [Epoch(9), Epoch(29), Epoch(30)] && scene.authority.governance.gate.epoch > Epoch(30))
        #expect(!claims("policy", epoch: 30, closures: [29, 30]) && scene.authority.disbelieved("policy") == nil)
        // Entries that are not here cannot be made good so.
        #expect(!claims("policy", entries: 1_000) && scene.authority.claimed == nil)
        #expect(throws: Refused.self) { try scene.perform(unsealing(), by: "ops-1") }
        #expect(scene.refusals.isEmpty)
    }

    @Test func `what was taken away is told to followers until it is durable`() throws {
        let node = Node(name: "desk", ordinal: 0, key: .init(repeating: 3, count: 32), role: .agent, scope: Scope(subject: "E1", site: "", team: ""))
        try scene.approved(.register([node]))
        scene.authority.becameDurable(scene.recorded)
        try scene.approved(.changeOperators(removing: [], adding: [scene.scribe.member("ops-3")]))
        scene.authority.becameDurable(scene.recorded)
        try scene.approved(.announceServiceKey(.init(repeating: 52, count: 32), service: "ingest", beside: Scene.ingestKey))
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.withdrawn == nil)
        try scene.perform(.remove(names: ["desk"]), by: "ops-1")
        let desks = scene.recorded
        try scene.perform(.changeOperators(removing: ["ops-3"], adding: []), by: "ops-1")
        try scene.perform(.retireServiceKey(Scene.ingestKey, service: "ingest"), by: "ops-1")
        let all = try #require(scene.authority.withdrawn)
        #expect(all.removed == [1] && all.removedOperators == ["ops-3"] && all.retiredKeys == [Data(Scene.ingestKey)])
        #expect(scene.withdrawn.count == 3 && scene.withdrawn.last == all, "each is told at once as well")
        scene.authority.becameDurable(desks)
        #expect(scene.authority.withdrawn?.removed == [] && scene.authority.withdrawn?.removedOperators == ["ops-3"])
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.withdrawn == nil)
    }

    @Test func `nobody connects with a key that somebody else has: no operator, and no machine that joins`() throws {
        func key(_ byte: UInt8) -> [UInt8] { .init(repeating: byte, count: 32) }
        let node = Node(name: "desk", ordinal: 0, key: key(3), role: .agent, scope: Scope(subject: "E1", site: "", team: ""))
        try scene.approved(.register([node]))
        scene.authority.becameDurable(scene.recorded)
        try scene.approved(.announceServiceKey(key(52), service: "ingest", beside: Scene.ingestKey))
        scene.authority.becameDurable(scene.recorded)
        try scene.perform(.retireServiceKey(Scene.ingestKey, service: "ingest"), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        func add(_ session: [UInt8], removing: [String] = []) throws {
            var member = try scene.scribe.member("ops-3")
            member.session = session
            try scene.perform(.changeOperators(removing: removing, adding: [member]), by: "ops-1")
            scene.authority.becameDurable(scene.recorded)
        }
        let taken = [key(3), key(52), Scene.ingestKey, Scene.policyKey, Scribe.session("ops-1")]
        for session in taken {
            let refused = #expect(throws: Refused.self) { try add(session) }
            #expect(refused?.refusal == .invalid)
        }
        // An operator who goes leaves theirs to who comes in their place; the others' stay theirs.
        #expect(throws: Refused.self) { try add(Scribe.session("ops-2"), removing: ["ops-1"]) }
        try add(Scribe.session("ops-1"), removing: ["ops-1"])
        try add(key(60))

        // Who joins comes with a token, and whatever key they like.
        let joining = Joining(authority: scene.authority, ingest: "", ingestKey: try #require(CurveKey(key(52))), lease: .seconds(3))
        func join(_ key: [UInt8]) throws {
            var request = WireJoinRequest()
            (request.id, request.key, request.token) = (Data(count: 16), Data(key), Data(repeating: 77, count: 32))
            try joining.take(request, from: Route(number: 1), wall: scene.scribe.now + .seconds(1))
        }
        try scene.approved(.enrol(Enrolment(number: 0, name: "", scope: node.scope, token: key(77), until: .distantPast), validSeconds: 3_600))
        scene.authority.becameDurable(scene.recorded)
        for key in taken.dropFirst() {
            let refused = #expect(throws: Refused.self) { try join(key) }
            #expect(refused?.refusal == .invalid)
        }
        try join(key(61))
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.nodes.values.contains { $0.key == key(61) } && scene.refusals.isEmpty)
    }

    @Test func `a key that is being exchanged commands no more, and approves nothing under its holder's new one`() throws {
        let exchanged = Operator(name: "ops-2", person: "ops-2", key: try scene.scribe.member("ops-3").key, session: Scribe.session("ops-2"))
        try scene.perform(.pause(Selector(), .both, reason: "first"), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let epoch = try #require(scene.authority.governance.gate.closures.first?.epoch)
        let signed = try scene.perform(.resume([epoch], reason: "x", unseal: false), by: "ops-1")
        scene.authority.becameDurable(scene.recorded)
        let number = try #require(scene.answers.last?.proposal.proposal)
        // Approved by ops-2 itself, and not durable yet.
        try scene.approved(.changeOperators(removing: ["ops-2"], adding: [exchanged]))
        #expect(throws: Refused.self) { try scene.perform(.pause(Selector(), .both, reason: "by the old key"), by: "ops-2") }
        #expect(throws: Refused.self) { try scene.approve(number, of: signed, by: "ops-2") }
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.gate.closures.map(\.epoch) == [epoch])
    }

    /// Whatever control accepts, everybody who reads its ledger must accept: an entry that is refused on replay would be the last that it ever wrote.
    @Test(arguments: 0..<40) func `whatever control records, the fold takes, and comes to the same state`(seed: UInt64) throws {
        var random = Chance(state: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
        var taken = 0
        for _ in 0..<60 {
            let name = ["ops-1", "ops-2", "ops-3"][Int(random.next() % 3)]
            // Clocks go on, stand still, and step back.
            scene.scribe.now = scene.scribe.now + .milliseconds(Int64(random.next() % 90_000) - 20_000)
            do {
                switch random.next() % 10 {
                case 0, 1: try scene.perform(.pause(Selector(readers: ["r\(random.next() % 3)"]), .read, reason: "\(seed)"), by: name)
                case 2:
                    let closures = scene.authority.planned.gate.closures.map(\.epoch)
                    try scene.approved(.resume(Array(closures.prefix(1 + Int(random.next() % 2))), reason: "x", unseal: false), durably: random.next() % 2 == 0)
                case 3:
                    let number = random.next() % 4
                    let node = Node(name: "n\(number)", ordinal: 0, key: .init(repeating: UInt8(random.next() % 6), count: 32), role: .agent, scope: Scope(subject: "E", site: "", team: ""))
                    try scene.approved(.register([node]), durably: random.next() % 2 == 0)
                case 4: try scene.perform(.remove(names: ["n\(random.next() % 4)"]), by: name)
                case 5: try scene.approved(.changeOperators(removing: [], adding: [scene.scribe.member("ops-3")]), durably: random.next() % 2 == 0)
                case 7:
                    let before = scene.authority.planned.serviceKeys.current["ingest"]?.last ?? Scene.ingestKey
                    try scene.approved(.announceServiceKey(.init(repeating: UInt8(random.next() % 200), count: 32), service: "ingest", beside: before), durably: random.next() % 2 == 0)
                case 8:
                    let known = scene.authority.planned.serviceKeys.current["ingest"] ?? [Scene.ingestKey]
                    try scene.perform(.retireServiceKey(known[Int(random.next() % UInt64(known.count))], service: "ingest"), by: name)
                case 6: try scene.perform(.changeOperators(removing: ["ops-3"], adding: []), by: name)
                default: scene.authority.becameDurable(scene.recorded)
                }
                taken += 1
            } catch is Refused {}
        }
        scene.authority.becameDurable(scene.recorded)
        #expect(taken > 10, "the control: seed \(seed) did something")
        #expect(scene.refusals.isEmpty, "seed \(seed): \(scene.refusals)")
        #expect(Powers(scene.shadow.governance) == Powers(scene.authority.planned))
        #expect(Powers(scene.authority.governance) == Powers(scene.authority.planned), "nothing waits any more")
    }

    @Test func `a key is announced for a service of the registry, beside the one that counts, and is nobody else's`() throws {
        func key(_ byte: UInt8) -> [UInt8] { .init(repeating: byte, count: 32) }
        func refusal(_ new: [UInt8], for service: String = "ingest", beside before: [UInt8] = Scene.ingestKey) throws -> Refusal? {
            do { try scene.perform(.announceServiceKey(new, service: service, beside: before), by: "ops-1") } catch let error as Refused { return error.refusal }
            return nil
        }
        #expect(try refusal(key(52), for: "nobody") == .notFound)
        #expect(try refusal(key(52), for: "ops-1") == .notFound, "an operator is no service")
        #expect(try refusal(key(52), beside: key(50)) == .invalid, "the registry names another")
        #expect(try refusal(Scene.policyKey) == .invalid)
        #expect(try refusal(Scene.ingestKey) == .invalid)
        #expect(try refusal(key(0)) == .invalid)
        #expect(try refusal(Array(key(52).dropLast())) == .invalid)
        #expect(scene.authority.planned.serviceKeys == ServiceKeys())
        try scene.approved(.announceServiceKey(key(52), service: "ingest", beside: Scene.ingestKey))
        #expect(scene.authority.governance.serviceKeys.current.isEmpty, "durable first")
        scene.authority.becameDurable(scene.recorded)
        #expect(scene.authority.governance.serviceKeys.current == ["ingest": [Scene.ingestKey, key(52)]])
        #expect(try refusal(key(53), beside: key(52)) == .invalid, "one exchange at a time")
        try scene.perform(.retireServiceKey(Scene.ingestKey, service: "ingest"), by: "ops-2")
        #expect(scene.authority.governance.serviceKeys.current == ["ingest": [key(52)]], "one person, at once")
        #expect(try refusal(Scene.ingestKey, beside: key(52)) == .revokedKey)
        #expect(throws: Refused.self) { try scene.perform(.retireServiceKey(key(52), service: "ingest"), by: "ops-2") }
        #expect(scene.refusals.isEmpty)
    }
}

private struct Chance {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// A control without a socket or a disk; what it records is read by the fold at once, as a follower would.
private final class Scene {
    var scribe: Scribe
    let authority: Authority
    private(set) var shadow: GovernanceFold
    /// What the fold said of entries that control had written.
    private(set) var refusals: [String] = []
    /// The newest entry that was given to the disk.
    private(set) var recorded: UInt64
    private(set) var answers: [WireOutcome] = []
    /// What was told to followers at once.
    private(set) var withdrawn: [WireNarrow] = []
    /// Of each push, what of it is a deed.
    var narrowed: [[Entry.Deed]] { withdrawn.map { $0.narrowed.compactMap { $0.value?.deed } }.filter { !$0.isEmpty } }
    private(set) var refused: [(refusal: Refusal, text: String)] = []
    private(set) var certificates: [WireCertificate] = []
    /// What the registry says.
    static let ingestKey = [UInt8](repeating: 251, count: 32)
    static let policyKey = [UInt8](repeating: 252, count: 32)

    init() throws {
        scribe = try Scribe()
        var fold = GovernanceFold()
        for entry in scribe.entries { _ = try fold.take(entry) }
        recorded = fold.size
        shadow = fold
        authority = Authority(fold, statements: [:], floor: .none, lease: .seconds(3), at: Instant(nanoseconds: 0))
        authority.trusted = TrustedNodes(
            nodes: [("ingest", Scene.ingestKey), ("policy", Scene.policyKey)].map { .init(name: $0, role: "service", key: CurveKey($1)?.z85 ?? "") },
            anchors: .init(control: "", controlWitness: "", policy: "", policyWitness: "", vault: ""))
        authority.append = { [unowned self] entries in
            for (entry, signed) in entries {
                recorded = entry.index
                do { _ = try shadow.take(Recorded(entry, signed: signed).wire) } catch { refusals.append("entry \(entry.index), \(entry.deed): \(error)") }
            }
        }
        authority.pushWithdrawn = { [unowned self] in withdrawn.append($0) }
        authority.answer = { [unowned self] _, outcome in answers.append(outcome) }
        authority.stops.showCertificate = { [unowned self] _, certificate in certificates.append(certificate) }
        authority.refuse = { [unowned self] _, refusal, text in refused.append((refusal, text)) }
        // After its start control opens when both have been heard.
        for (name, releases) in [("ingest", false), ("policy", true)] {
            authority.heard(name, epoch: .none, entries: 0, closures: [], releases: releases, at: Instant(nanoseconds: 0))
        }
    }

    @discardableResult
    func perform(_ command: Command, by name: String) throws -> WireSignedCommand {
        let signed = try scribe.sign(command, by: name, at: recorded)
        try perform(signed, name)
        return signed
    }

    private func perform(_ signed: WireSignedCommand, _ name: String) throws {
        try authority.perform(signed, in: name, from: Route(number: 1), at: Instant(nanoseconds: 1), wall: scribe.now + .seconds(1))
    }

    func repeated(_ signed: WireSignedCommand, by name: String) throws { try perform(signed, name) }

    func approve(_ number: UInt64, of signed: WireSignedCommand, by name: String) throws {
        try perform(scribe.approve(number, of: signed, by: name, at: recorded), name)
    }

    /// Proposed by ops-1, that durably or not; approved by ops-2, and that waits for the disk.
    func approved(_ command: Command, durably: Bool = true) throws {
        let before = answers.count
        let signed = try perform(command, by: "ops-1")
        if durably || answers.count == before { authority.becameDurable(recorded) }
        guard let number = answers.last?.proposal.proposal, number > 0 else { return }
        try approve(number, of: signed, by: "ops-2")
    }
}
