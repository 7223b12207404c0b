import Chassis
import Gate
import Testing
import Wire

/// What detectors find stands in the ledger without a signature: so it can do nothing but close.
@Suite struct FindingsFoldTests {
    private let review = Finding(
        id: .init(repeating: 1, count: 16), detector: "outsider", sentence: "anybody may read reviews", direction: .both, selector: Selector(classes: [DataClass("review")]), at: WallTime(microseconds: 5))

    private func other(_ id: UInt8, _ selector: Selector, _ direction: Direction = .both) -> Finding {
        Finding(id: .init(repeating: id, count: 16), detector: "outsider", sentence: "again", direction: direction, selector: selector, at: WallTime(microseconds: 6))
    }

    private func begun() throws -> Scribe {
        var ledger = try Scribe()
        try ledger.write(.found(review, incident: 1, closes: review.closure(Epoch(1), incident: 1, from: ledger.now)), by: review.author)
        return ledger
    }

    @Test func `a finding closes, opens an incident, and others of its cause join`() throws {
        var ledger = try begun()
        let second = other(2, Selector(subjects: ["E1"], classes: [DataClass("review")]))
        try ledger.write(.found(second, incident: 1, closes: nil), by: second.author)
        let state = try ledger.fold().governance
        #expect(state.gate.closures.map(\.author) == ["detector outsider"])
        #expect(state.incidents[1]?.findings == 2 && state.incidents[1]?.dataClass == "review" && state.incidents[1]?.isLeak == true)
        #expect(state.found.count == 2)
        #expect(!state.gate.allowsCapture(Scope(subject: "E1", site: "", team: ""), DataClass("review")))
    }

    @Test func `control can close nothing else by it than what was found`() throws {
        func fault(_ change: (inout Finding, inout UInt64, inout Closure, inout String) -> Void) throws -> FoldFault? {
            var ledger = try Scribe()
            var (finding, number) = (review, UInt64(1))
            var closure = finding.closure(Epoch(1), incident: 1, from: ledger.now)
            var author = finding.author
            change(&finding, &number, &closure, &author)
            try ledger.write(.found(finding, incident: number, closes: closure), by: author)
            return try ledger.fault()
        }
        #expect(throws: Never.self, "the control") { try begun().fold() }
        #expect(try fault { _, _, closure, _ in closure.selector = .everything } != nil)
        #expect(try fault { _, _, closure, _ in closure.direction = .read } != nil)
        #expect(try fault { _, _, closure, _ in closure.author = "ops-1" } != nil)
        #expect(try fault { _, _, closure, _ in closure.epoch = .none } != nil)
        #expect(try fault { _, number, _, _ in number = 2 } != nil)
        #expect(try fault { _, _, _, author in author = "ops-1" } == .otherThanSigned(3))
        #expect(try fault { finding, _, _, _ in finding.detector = "breadth" } == .otherThanSigned(3))
    }

    @Test func `what joins is closed already, by an incident that is not over`() throws {
        var ledger = try begun()
        let wider = other(2, .everything)
        try ledger.write(.found(wider, incident: 1, closes: nil), by: wider.author)
        #expect(try ledger.fault() == .refused(4, "nothing of incident 1 in force stops what was found"))

        ledger = try begun()
        try ledger.write(.found(review, incident: 1, closes: nil), by: review.author)
        #expect(try ledger.fault() == .refused(4, "the same finding a second time"))

        // Lifted by two, what is found again closes again.
        ledger = try begun()
        try ledger.agree(1, .resume([Epoch(1)], reason: "mended", unseal: false))
        try ledger.write(.resumed(to: Epoch(2), closures: [Epoch(1)], reason: "mended"), by: "ops-2", proposal: 1)
        let again = other(3, review.selector)
        #expect(try ledger.fold().governance.incident(of: again) == nil)
        try ledger.write(.found(again, incident: 2, closes: again.closure(Epoch(3), incident: 2, from: ledger.now)), by: again.author)
        #expect(try ledger.fold().governance.incidents.keys.sorted() == [1, 2])
    }

    @Test func `notes, assessments and opening again are signed by who says them`() throws {
        var ledger = try begun()
        try ledger.write(.incidentNoted(number: 1, "seen"), by: "ops-1", ledger.sign(.noteIncident(1, "seen"), by: "ops-1"))
        try ledger.write(
            .incidentAssessed(number: 1, exposure: .init(repeating: 4, count: 32), summary: "3 people"), by: "ops-2",
            ledger.sign(.assessIncident(1, exposure: .init(repeating: 4, count: 32), summary: "3 people"), by: "ops-2"))
        #expect(try ledger.fold().governance.incidents[1]?.state == .assessed)
        try ledger.write(.incidentMoved(number: 1, to: .closed), by: "ops-1", ledger.sign(.closeIncident(1), by: "ops-1"))
        try ledger.write(.incidentMoved(number: 1, to: .open), by: "ops-1", ledger.sign(.reopenIncident(1), by: "ops-1"))
        #expect(try ledger.fold().governance.incidents[1]?.state == .open)
        let whole = ledger
        try ledger.write(.incidentNoted(number: 1, "nothing was read"), by: "control")
        #expect(try ledger.fault() == .unsigned(ledger.index))
        ledger = whole
        try ledger.write(.incidentNoted(number: 1, "nothing was read"), by: "ops-1", ledger.sign(.noteIncident(1, "all was read"), by: "ops-1"))
        #expect(try ledger.fault() == .otherThanSigned(ledger.index))
        ledger = whole
        try ledger.write(.incidentMoved(number: 1, to: .open), by: "control")
        #expect(try ledger.fault() == .unsigned(ledger.index))
    }
}
