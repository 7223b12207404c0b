import Chassis
import Gate
import Rules
import Testing
import Wire

/// Policy, consent, erasure and holds in a ledger: what one may sign alone, and what takes two.
@Suite struct SubjectsFoldTests {
    private static let wide = PolicyDocument.standard.canonical
    private static let narrow: [UInt8] = {
        var document = PolicyDocument.standard
        document.capture = [.init(as: .timing)]
        return document.canonical
    }()
    private static let granting: [UInt8] = {
        var document = PolicyDocument.standard
        document.roles = [.init("ml", members: ["ada"])]
        document.grants = [.init("g", role: "ml", purpose: "operation", classes: ["activity"])]
        return document.canonical
    }()

    private func given(_ subjects: [String], _ isGiven: Bool = true) -> (Command, Entry.Deed) {
        (.changeRecords(subjects, purpose: "operation", .consent, given: isGiven), .recordsChanged(subjects, purpose: "operation", .consent, given: isGiven))
    }

    private func alone(_ ledger: inout Scribe, _ command: Command, _ deed: Entry.Deed) throws {
        try ledger.write(deed, by: "ops-1", ledger.sign(command, by: "ops-1"))
    }

    private func agreed(_ ledger: inout Scribe, _ number: UInt64, _ command: Command, _ deed: Entry.Deed) throws {
        try ledger.agree(number, command)
        try ledger.write(deed, by: "ops-2", proposal: number)
    }

    /// One of each, on the side that it is on.
    private func everything() throws -> Scribe {
        var ledger = try Scribe()
        try alone(&ledger, .applyPolicy(Self.narrow, over: []), .policyApplied(Self.narrow, over: []))
        try agreed(&ledger, 1, .applyPolicy(Self.granting, over: []), .policyApplied(Self.granting, over: []))
        try agreed(&ledger, 2, given(["E1", "E2"]).0, given(["E1", "E2"]).1)
        try alone(&ledger, given(["E2"], false).0, given(["E2"], false).1)
        try ledger.pause(1)
        try ledger.write(.incidentOpened(number: 1, title: "a test", closure: Epoch(1), dataClass: "", isLeak: false), by: "ops-1")
        try agreed(&ledger, 3, .hold(incident: 1, ["E3"]), .held(incident: 1, ["E3"]))
        try alone(&ledger, .erase(["E1", "E3"]), .erased(["E1", "E3"]))
        try agreed(&ledger, 4, .readmit(["E1"]), .readmitted(["E1"]))
        try alone(&ledger, .liftHold(incident: 1, ["E3"]), .holdLifted(incident: 1, ["E3"]))
        return ledger
    }

    @Test func `what narrows is taken from one, what widens from two, and both are what is in force`() throws {
        let governance = try everything().fold().governance
        #expect(governance.policy == PolicyText(Self.granting, index: 6))
        #expect(governance.records.isEmpty && governance.holds.isEmpty)
        #expect(!governance.isErased("E1") && governance.isErased("E3") && governance.erased["E3"]?.isWaiting == false)
        #expect(governance.powersIndex == governance.erased["E3"].map { $0.index + 4 })
    }

    @Test func `a consent is recorded by two and withdrawn by one`() throws {
        var ledger = try Scribe()
        try alone(&ledger, given(["E1"]).0, given(["E1"]).1)
        #expect(try ledger.fault() == .widensAlone(3))
        var other = try Scribe()
        try agreed(&other, 1, given(["E1"]).0, given(["E1"]).1)
        #expect(try other.fold().governance.records["E1"]?.consents == ["operation"])
        try alone(&other, given(["E1"], false).0, given(["E1"], false).1)
        #expect(try other.fold().governance.records["E1"] == nil)
    }

    @Test func `each of them that widens is refused from one`() throws {
        let deeds: [(Command, Entry.Deed)] = [
            (.applyPolicy(Self.granting, over: []), .policyApplied(Self.granting, over: [])), given(["E9"]), (.readmit(["E3"]), .readmitted(["E3"])),
            (.hold(incident: 1, ["E9"]), .held(incident: 1, ["E9"])),
        ]
        for (command, deed) in deeds {
            var ledger = try everything()
            // Back to a narrower one, so that the first widens as well.
            try alone(&ledger, .applyPolicy(Self.narrow, over: []), .policyApplied(Self.narrow, over: []))
            try alone(&ledger, command, deed)
            #expect(try ledger.fault() == .widensAlone(ledger.index), "\(deed)")
        }
    }

    @Test func `nothing of it is control's to say, not even what narrows`() throws {
        let deeds: [Entry.Deed] = [
            .policyApplied(Self.narrow, over: []), given(["E1"], false).1, .erased(["E1"]), .holdLifted(incident: 1, ["E3"]), .readmitted(["E3"]), .held(incident: 1, ["E9"]),
        ]
        for deed in deeds {
            var ledger = try everything()
            try ledger.write(deed, by: "control")
            #expect(try ledger.fault() == .unsigned(ledger.index), "\(deed)")
            // Nor under a proposal that nobody made, or that was for something else, or is carried out.
            for number: UInt64 in [99, 3] {
                var bogus = try everything()
                try bogus.write(deed, by: "control", proposal: number)
                #expect(try bogus.fault() == .otherThanSigned(bogus.index), "\(deed)")
            }
        }
    }

    @Test func `what is recorded is exactly what was signed`() throws {
        let signed: [(Command, Entry.Deed)] = [
            (.applyPolicy(Self.narrow, over: []), .policyApplied(Self.wide, over: [])), (given(["E1"], false).0, given(["E1", "E2"], false).1),
            (given(["E1"], false).0, .recordsChanged(["E1"], purpose: "operation", .notice, given: false)), (.erase(["E1"]), .erased(["E1", "E9"])),
            (.liftHold(incident: 1, ["E3"]), .holdLifted(incident: 2, ["E3"])), (.erase(["E1"]), given(["E1"], false).1),
        ]
        for (command, deed) in signed {
            var ledger = try everything()
            try alone(&ledger, command, deed)
            #expect(try ledger.fault() == .otherThanSigned(ledger.index), "\(deed)")
        }
        var ledger = try everything()
        try agreed(&ledger, 5, .applyPolicy(Self.wide, over: []), .policyApplied(Self.granting, over: []))
        #expect(try ledger.fault() == .otherThanSigned(ledger.index))
        var over = try everything()
        try agreed(&over, 5, .applyPolicy(Self.wide, over: []), .policyApplied(Self.wide, over: ["activity"]))
        #expect(try over.fault() == .otherThanSigned(over.index))
    }

    @Test func `a document that nobody can read, or that is too large, is not applied by one`() throws {
        var ledger = try Scribe()
        try alone(&ledger, .applyPolicy([0x7b, 0x7d], over: []), .policyApplied([0x7b, 0x7d], over: []))
        #expect(try ledger.fault() == .widensAlone(3))
        var large = try Scribe()
        let bytes = [UInt8](repeating: 0x20, count: Limits.policyBytesMax + 1)
        try agreed(&large, 1, .applyPolicy(bytes, over: []), .policyApplied(bytes, over: []))
        guard case .refused = try large.fault() else { return #expect(Bool(false), "too large") }
    }
}
