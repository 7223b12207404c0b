import Chassis
import Gate
import Testing
import Wire

/// A drill closes and lifts without two signatures: so it can do nothing but what was planted.
@Suite struct DrillsFoldTests {
    private let bounds = Drill.Bounds(readsClosed: .milliseconds(100), certificate: .seconds(4), notice: .seconds(10))
    private let sites: Set<String> = ["berlin"]

    private func node(_ number: UInt8, _ subject: String, _ site: String = "berlin") -> Node {
        Node(name: "n\(number)", ordinal: UInt32(number), key: .init(repeating: 100 + number, count: 32), role: .agent, scope: Scope(subject: subject, site: site, team: ""))
    }

    /// Two have registered an agent of somebody and a planted one.
    private func planted() throws -> Scribe {
        var ledger = try Scribe()
        let register = Command.register([node(1, "E1"), node(2, "planted/berlin"), node(3, "planted/paris", "paris")])
        try ledger.agree(1, register)
        try ledger.write(.registered([node(1, "E1"), node(2, "planted/berlin"), node(3, "planted/paris", "paris")], enrolment: nil), by: "ops-1", proposal: 1)
        return ledger
    }

    private func drill(_ subjects: Set<String> = ["planted/berlin"], number: UInt64 = 1) -> Drill { Drill(number: number, sites: sites, subjects: subjects, bounds: bounds) }

    private func begun(_ drill: Drill? = nil) throws -> Scribe {
        var ledger = try planted()
        try ledger.write(.drillBegan(drill ?? self.drill()), by: "ops-1", ledger.sign(.drill(sites: sites, bounds), by: "ops-1"))
        return ledger
    }

    private func found(_ change: (inout Finding) -> Void = { _ in }) throws -> Scribe {
        var ledger = try begun()
        var finding = drill().finding(id: .init(repeating: 9, count: 16), at: ledger.now)
        change(&finding)
        try ledger.write(.found(finding, incident: 0, closes: finding.closure(Epoch(1), incident: 0, from: ledger.now)), by: finding.author)
        return ledger
    }

    @Test func `a drill closes its planted subjects, ends, and what it closed is open again, without an incident`() throws {
        var ledger = try found()
        let during = try ledger.fold().governance
        #expect(during.gate.closures.map(\.selector) == [Selector(subjects: ["planted/berlin"])] && during.incidents.isEmpty && during.drillUnderWay?.closure?.epoch == Epoch(1))
        #expect(during.gate.allowsCapture(Scope(subject: "E1", site: "berlin", team: ""), DataClass("review")), "nobody else is stopped")
        try ledger.write(.drillEnded(number: 1, to: Epoch(2), .init(readsClosed: .microseconds(80), missed: [])), by: "control")
        let after = try ledger.fold().governance
        #expect(after.gate.closures.isEmpty && after.gate.epoch == Epoch(2) && after.drillUnderWay == nil && after.lifted.map(\.until) == [ledger.now])
        #expect(after.drills[1]?.outcome?.readsClosed == .microseconds(80) && after.nextDrill == 2)
    }

    @Test func `it begins with an operator's signature, about the planted subjects of its sites alone`() throws {
        #expect(throws: Never.self, "the control") { try begun().fold() }
        // Of another site; not the next.
        _ = try begun(drill(["planted/berlin", "planted/paris"])).fault()
        _ = try begun(drill(number: 2)).fault()
        var ledger = try begun(drill(["E1"]))
        #expect(try ledger.fault() == .unreadable(6), "somebody's")
        ledger = try planted()
        try ledger.write(.drillBegan(drill()), by: "ops-1")
        #expect(try ledger.fault() == .unsigned(6))
        ledger = try begun()
        try ledger.write(.drillBegan(drill(number: 2)), by: "ops-1", ledger.sign(.drill(sites: sites, bounds), by: "ops-1"))
        #expect(try ledger.fault() == .refused(7, "drill 2 is under way, or is not the next"))
    }

    @Test func `nothing else is closed by its finding, and nothing else lifted by its end`() throws {
        _ = try found { $0.selector = Selector(subjects: ["E1"]) }.fault()
        _ = try found { $0.selector = .everything }.fault()
        var ledger = try planted()
        let stray = drill().finding(id: .init(repeating: 9, count: 16), at: ledger.now)
        try ledger.write(.found(stray, incident: 0, closes: stray.closure(Epoch(1), incident: 0, from: ledger.now)), by: stray.author)
        #expect(try ledger.fault() == .refused(6, "no drill is under way that this would be found by"))

        ledger = try found()
        try ledger.pause(2, selector: Selector(subjects: ["planted/berlin"]))
        try ledger.write(.drillEnded(number: 1, to: Epoch(3), .init()), by: "control")
        #expect(try ledger.fold().governance.gate.closures.map(\.epoch) == [Epoch(2)], "a person's pause of the same stays")

        for (author, number, epoch) in [("ops-1", UInt64(1), UInt64(2)), ("control", 2, 2), ("control", 1, 1), ("control", 1, 0)] {
            ledger = try found()
            try ledger.write(.drillEnded(number: number, to: Epoch(epoch), .init()), by: author)
            _ = try ledger.fault()
        }
        ledger = try begun()
        try ledger.pause(1)
        try ledger.write(.drillEnded(number: 1, to: Epoch(2), .init()), by: "control")
        #expect(try ledger.fault() == .refused(8, "it lifts something else than drill 1 has closed"))
    }

    @Test func `what a detector finds of planted subjects during a drill is an incident of its own`() throws {
        var ledger = try found()
        let canary = Finding(id: .init(repeating: 7, count: 16), detector: "canary", sentence: "somebody read it", direction: .both, selector: Selector(subjects: ["planted/berlin"]), at: ledger.now)
        #expect(try ledger.fold().governance.incident(of: canary) == nil, "it joins no drill")
        try ledger.write(.found(canary, incident: 1, closes: canary.closure(Epoch(2), incident: 1, from: ledger.now)), by: canary.author)
        try ledger.write(.drillEnded(number: 1, to: Epoch(3), .init()), by: "control")
        #expect(try ledger.fold().governance.gate.closures.map(\.epoch) == [Epoch(2)])
    }
}
