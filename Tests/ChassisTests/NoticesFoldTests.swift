import Chassis
import Gate
import Rules
import Testing
import Wire

/// Whoever reads the ledger refuses notices that two have not signed for.
@Suite struct NoticesFoldTests {
    private static let digest = [UInt8](repeating: 7, count: 32)
    private let asked = Command.sendNotices(incident: 1, count: 3, digest: digest)
    private let decided = Entry.Deed.noticesDecided(incident: 1, count: 3, digest: digest)

    private func assessed() throws -> Scribe {
        var ledger = try Scribe()
        try ledger.write(.incidentOpened(number: 1, title: "a leak", closure: .none, dataClass: "", isLeak: true), by: "ops-1")
        let exposure = [UInt8](repeating: 4, count: 32)
        try ledger.write(.incidentAssessed(number: 1, exposure: exposure, summary: "3 people"), by: "ops-2", ledger.sign(.assessIncident(1, exposure: exposure, summary: "3 people"), by: "ops-2"))
        return ledger
    }

    private func agreed(_ command: Command? = nil) throws -> Scribe {
        var ledger = try assessed()
        try ledger.agree(1, command ?? asked)
        return ledger
    }

    @Test func `two operators decide them, and one alone does not, signed or not`() throws {
        var ledger = try agreed()
        try ledger.write(decided, by: "ops-2", proposal: 1)
        #expect(try ledger.fold().governance.notices[1]?.map(\.count) == [3])

        var alone = try assessed()
        try alone.write(decided, by: "ops-1", alone.sign(asked, by: "ops-1"))
        #expect(try alone.fault() == .widensAlone(alone.index))
        var nobody = try assessed()
        try nobody.write(decided, by: "control")
        #expect(try nobody.fault() == .widensAlone(nobody.index))
        var proposed = try assessed()
        try proposed.propose(1, asked)
        try proposed.write(decided, by: "ops-1", proposal: 1)
        #expect(try proposed.fault() == .widensAlone(proposed.index), "nobody has approved it")
    }

    /// Two have agreed to a document that lets one send.
    private func atOnce() throws -> Scribe {
        var ledger = try assessed()
        var document = PolicyDocument.standard
        document.notices.send = .atOnce
        try ledger.agree(1, .applyPolicy(document.canonical, over: []))
        try ledger.write(.policyApplied(document.canonical, over: []), by: "ops-2", proposal: 1)
        return ledger
    }

    @Test func `where the document in force lets one operator send, one signature is enough, and it must be there`() throws {
        var ledger = try atOnce()
        try ledger.write(decided, by: "ops-1", ledger.sign(asked, by: "ops-1"))
        #expect(try ledger.fold().governance.notices[1]?.map(\.count) == [3])

        var nobody = try atOnce()
        try nobody.write(decided, by: "control")
        #expect(try nobody.fault() == .widensAlone(nobody.index))
        var proposed = try atOnce()
        try proposed.propose(2, asked)
        try proposed.write(decided, by: "ops-1", proposal: 2)
        #expect(try proposed.fault() == .widensAlone(proposed.index), "proposed is not sent")
        var other = try atOnce()
        try other.write(decided, by: "ops-1", other.sign(.sendNotices(incident: 1, count: 4, digest: Self.digest), by: "ops-1"))
        #expect(try other.fault() == .widensAlone(other.index))
        var stranger = try atOnce()
        try stranger.write(decided, by: "ops-1", stranger.sign(asked, by: "ops-2"))
        guard case .badSignature = try stranger.fault() else { return #expect(Bool(false), "signed by somebody else") }
        // Signed before the document came into force, it was not signed by it.
        var early = try atOnce()
        try early.write(decided, by: "ops-1", early.sign(asked, by: "ops-1", at: 4))
        guard case .badSignature = try early.fault() else { return #expect(Bool(false), "signed before") }
        // Two may as well.
        var two = try atOnce()
        try two.agree(2, asked)
        try two.write(decided, by: "ops-2", proposal: 2)
        #expect(try two.fold().governance.notices[1]?.count == 1)
    }

    @Test func `one signature does not do where the document in force says nothing of it, or says it no more`() throws {
        var ledger = try atOnce()
        let again = PolicyDocument.standard.canonical
        try ledger.write(.policyApplied(again, over: []), by: "ops-1", ledger.sign(.applyPolicy(again, over: []), by: "ops-1"))
        #expect(try ledger.fold().governance.policy?.bytes == again, "to take it away one is enough")
        try ledger.write(decided, by: "ops-1", ledger.sign(asked, by: "ops-1"))
        #expect(try ledger.fault() == .widensAlone(ledger.index))
        // And to let one send takes two.
        var alone = try assessed()
        var document = PolicyDocument.standard
        document.notices.send = .atOnce
        try alone.write(.policyApplied(document.canonical, over: []), by: "ops-1", alone.sign(.applyPolicy(document.canonical, over: []), by: "ops-1"))
        #expect(try alone.fault() == .widensAlone(alone.index))
    }

    @Test func `who has proposed does not approve`() throws {
        var ledger = try assessed()
        let signed = try ledger.propose(1, asked)
        try ledger.write(.approved(number: 1), by: "ops-1", ledger.approve(1, of: signed, by: "ops-1"))
        guard case .refused = try ledger.fault() else { return #expect(Bool(false), "approved by who proposed it") }
    }

    @Test func `what is recorded is what was agreed to: no other digest, count or incident`() throws {
        for other in [
            Entry.Deed.noticesDecided(incident: 1, count: 3, digest: .init(repeating: 8, count: 32)), .noticesDecided(incident: 1, count: 4, digest: Self.digest),
        ] {
            var ledger = try agreed()
            try ledger.write(other, by: "ops-2", proposal: 1)
            #expect(try ledger.fault() == .widensAlone(ledger.index), "\(other)")
        }
    }

    @Test func `neither twice, nor of an incident that is not assessed`() throws {
        var twice = try agreed()
        try twice.write(decided, by: "ops-2", proposal: 1)
        try twice.agree(2, asked)
        let index = twice.index - 2
        try twice.write(decided, by: "ops-2", proposal: 2)
        #expect(try twice.fault() == .refused(twice.index, "\(NoticesRefused.alreadyDecided(index: index))"))
        var early = try Scribe()
        try early.write(.incidentOpened(number: 1, title: "a leak", closure: .none, dataClass: "", isLeak: true), by: "ops-1")
        try early.agree(1, asked)
        try early.write(decided, by: "ops-2", proposal: 1)
        #expect(try early.fault() == .refused(early.index, "\(NoticesRefused.notAssessed(.open))"))
    }

    @Test func `that everybody was told an operator says, under their signature and with numbers that are everybody`() throws {
        func notified(_ delivered: UInt64, _ unreachable: UInt64, by author: String = "ops-1", signed: Command? = nil, unsigned: Bool = false) throws -> Scribe {
            var ledger = try agreed()
            try ledger.write(decided, by: "ops-2", proposal: 1)
            let decision = ledger.index
            let command = signed ?? .incidentNotified(1, decision: decision, delivered: delivered, unreachable: unreachable)
            let deed = Entry.Deed.incidentNotified(number: 1, decision: decision, delivered: delivered, unreachable: unreachable)
            if unsigned { try ledger.write(deed, by: author) } else { try ledger.write(deed, by: author, ledger.sign(command, by: author)) }
            return ledger
        }
        #expect(try notified(2, 1).fold().governance.incidents[1]?.state == .notified)
        let short = try notified(2, 0)
        #expect(try short.fault() == .refused(short.index, "\(NoticesRefused.someAreMissing(of: 3))"))
        let unsigned = try notified(2, 1, by: "control", unsigned: true)
        #expect(try unsigned.fault() == .unsigned(unsigned.index))
        let other = try notified(3, 0, signed: .incidentNotified(1, decision: 7, delivered: 2, unreachable: 1))
        #expect(try other.fault() == .otherThanSigned(other.index))
    }
}
