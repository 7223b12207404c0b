import Chassis
import Foundation
import Gate
import Messaging
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

/// A control without a socket or a disk.
private final class Scene {
    var scribe: Scribe
    let authority: Authority
    /// The newest entry that was given to the disk.
    private(set) var recorded: UInt64
    private var answers: [WireOutcome] = []
    private var proposed: WireSignedCommand?

    init() throws {
        scribe = try Scribe()
        var fold = GovernanceFold()
        for entry in scribe.entries { _ = try fold.take(entry) }
        recorded = fold.size
        authority = Authority(fold, statements: [:], floor: .none, lease: .seconds(3), at: Instant(nanoseconds: 0))
        authority.append = { [unowned self] entry, _ in recorded = entry.index }
        authority.answer = { [unowned self] _, outcome in answers.append(outcome) }
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

    /// Proposed by ops-1, that durably; approved by ops-2, and that waits for the disk.
    func approved(_ command: Command) throws {
        let signed = try perform(command, by: "ops-1")
        authority.becameDurable(recorded)
        let number = try #require(answers.last?.proposal.proposal)
        try perform(scribe.approve(number, of: signed, by: "ops-2", at: recorded), "ops-2")
    }
}
