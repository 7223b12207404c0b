import Gate
import Testing

/// What is told to people cannot be called back: who decides it, and when an incident counts as told.
@Suite struct DecidedNoticesTests {
    private let digest = [UInt8](repeating: 7, count: 32)

    /// Incident 1, in a state.
    private func governance(_ state: IncidentState, _ deeds: [Entry.Deed] = []) -> Governance {
        var governance = Governance()
        let before: [Entry.Deed] = [.incidentOpened(number: 1, title: "", closure: Epoch(1), dataClass: "", isLeak: true), .incidentMoved(number: 1, to: state)]
        for (number, deed) in (before + deeds).enumerated() { governance.apply(Entry(index: UInt64(number + 1), at: wall(Int64(number + 1)), author: "ops-1", deed: deed)) }
        return governance
    }

    private func refused(_ governance: Governance, of incident: UInt64 = 1, count: UInt64 = 3, by digest: [UInt8]? = nil) -> NoticesRefused? {
        do throws(NoticesRefused) { try governance.check(decidingNotices: incident, count: count, digest: digest ?? self.digest) } catch { return error }
        return nil
    }

    @Test func `people are told what an assessment says, of an incident that is not over, once`() {
        for state in IncidentState.allCases {
            #expect(refused(governance(state)) == ([.assessed, .notified].contains(state) ? nil : .notAssessed(state)), "\(state)")
        }
        let decided = governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest)])
        #expect(refused(decided) == .alreadyDecided(index: 3))
        #expect(refused(decided, count: 4) == nil, "that the first was proposed with a wrong count leaves nobody untold")
        #expect(refused(decided, by: Array(repeating: 8, count: 32)) == nil, "a correction, or those who were found later")
        let there = governance(.assessed)
        #expect(refused(there, of: 2) == .unknownIncident && refused(there, count: 0) == .badCount(0) && refused(there, count: 1_000_001) == .badCount(1_000_001))
        #expect(refused(there, by: Array(digest.dropLast())) == .badDigest(bytes: 31) && refused(there, by: []) == .badDigest(bytes: 0))
    }

    @Test func `an incident is notified when the two numbers are everybody of the newest decision`() {
        func refused(_ governance: Governance, of incident: UInt64 = 1, by decision: UInt64 = 3, _ delivered: UInt64, _ unreachable: UInt64) -> NoticesRefused? {
            do throws(NoticesRefused) { try governance.check(notified: incident, by: decision, delivered: delivered, unreachable: unreachable) } catch { return error }
            return nil
        }
        let decided = governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest)])
        #expect(refused(decided, 2, 1) == nil && refused(decided, 0, 3) == nil)
        #expect(refused(decided, 2, 0) == .someAreMissing(of: 3) && refused(decided, 3, 1) == .someAreMissing(of: 3) && refused(decided, .max, 4) == .someAreMissing(of: 3))
        #expect(refused(decided, by: 4, 2, 1) == .notTheNewest(index: 3) && refused(governance(.assessed), 0, 0) == .notTheNewest(index: nil))
        #expect(refused(decided, of: 2, 2, 1) == .unknownIncident)
        let corrected = governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest), .noticesDecided(incident: 1, count: 1, digest: Array(repeating: 8, count: 32))])
        #expect(refused(corrected, 2, 1) == .notTheNewest(index: 4) && refused(corrected, by: 4, 1, 0) == nil)
        #expect(refused(governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest), .incidentMoved(number: 1, to: .closed)]), 2, 1) == .closed)
        // Opened again, it is about more than they were told.
        for state in [IncidentState.open, .contained] {
            #expect(refused(governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest), .incidentMoved(number: 1, to: state)]), 2, 1) == .notAssessed(state))
        }
    }

    @Test func `what was decided stands by its entry, and being notified moves an incident forwards alone`() {
        let notified = Entry.Deed.incidentNotified(number: 1, decision: 3, delivered: 2, unreachable: 1)
        let told = governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest), notified])
        #expect(told.notices == [1: [DecidedNotices(index: 3, at: wall(3), count: 3, digest: digest)]])
        #expect(told.incidents[1]?.state == .notified && told.incidents[1]?.moved == wall(4))
        #expect(told.incidents[1]?.steps.suffix(3).map(\.what) == [.noticesDecided(count: 3), .notified(delivered: 2, unreachable: 1), .moved(to: .notified)])
        let closed = governance(.assessed, [.noticesDecided(incident: 1, count: 3, digest: digest), .incidentMoved(number: 1, to: .closed), notified])
        #expect(closed.incidents[1]?.state == .closed)
        #expect(told.powersIndex == 0, "neither changes what anybody may do")
    }

    @Test func `each decision is a gain of its own, and to say that people were told is none`() {
        func consequence(_ deeds: [Entry.Deed], then more: [Entry.Deed]) -> Powers.Consequence {
            Powers(governance(.assessed, deeds)).consequence(of: Powers(governance(.assessed, deeds + more)))
        }
        let first = Entry.Deed.noticesDecided(incident: 1, count: 3, digest: digest)
        let second = Entry.Deed.noticesDecided(incident: 1, count: 1, digest: Array(repeating: 8, count: 32))
        #expect(consequence([], then: [first]) == .widens([.notifies(incident: 1, count: 3, digest: digest)]))
        #expect(consequence([first], then: [second]) == .widens([.notifies(incident: 1, count: 1, digest: Array(repeating: 8, count: 32))]))
        #expect(consequence([first], then: [.incidentNotified(number: 1, decision: 3, delivered: 3, unreachable: 0)]) == .narrows)
        #expect(consequence([first], then: [.incidentMoved(number: 1, to: .closed)]) == .narrows)
    }

    @Test func `where the document in force says so one operator decides them, and nothing else along with them`() {
        /// "1" is a document that lets one send.
        func policy(_ text: String) -> Entry.Deed { .policyApplied(Array(text.utf8), over: []) }
        let comparison = PolicyComparison(sendsAtOnce: { $0 == Array("1".utf8) }) { _, _ in .init() }
        func consequence(_ deeds: [Entry.Deed], then more: [Entry.Deed]) -> Powers.Consequence {
            Powers(governance(.assessed, deeds)).consequence(of: Powers(governance(.assessed, deeds + more)), comparing: comparison)
        }
        let decided = Entry.Deed.noticesDecided(incident: 1, count: 3, digest: digest)
        let gain = Powers.Gain.notifies(incident: 1, count: 3, digest: digest)
        #expect(consequence([policy("1")], then: [decided]) == .allowed([gain]))
        #expect(consequence([policy("1"), policy("2")], then: [decided]) == .widens([gain]), "by the document in force, and not by an older one")
        #expect(consequence([policy("2"), policy("1")], then: [decided]) == .allowed([gain]) && consequence([], then: [decided]) == .widens([gain]))
        #expect(consequence([policy("2")], then: [policy("1"), decided]) == .widens([gain]), "whoever changes the document sends by the one before")
        #expect(consequence([policy("1")], then: [policy("2"), decided]) == .widens([gain]))
        // What else it would allow takes two, and then all of it does.
        guard case .widens(let gains) = consequence([policy("1")], then: [decided, .vaultKeyAnnounced([7])]) else { return #expect(Bool(false), "one operator announces a key") }
        #expect(gains == [.sealsTo([7]), gain])
        #expect(!Powers.Consequence.allowed([gain]).narrows && Powers.Consequence.allowed([gain]).gains == [gain])
        #expect(consequence([policy("1")], then: [.incidentMoved(number: 1, to: .closed)]) == .narrows)
    }

    @Test func `a command is carried out by what it asked for and by nothing else`() {
        let asked = Command.sendNotices(incident: 1, count: 3, digest: digest)
        #expect(asked.isCarriedOut(by: .noticesDecided(incident: 1, count: 3, digest: digest), at: wall(1)))
        for other in [Entry.Deed.noticesDecided(incident: 2, count: 3, digest: digest), .noticesDecided(incident: 1, count: 4, digest: digest), .noticesDecided(incident: 1, count: 3, digest: Array(repeating: 8, count: 32))] {
            #expect(!asked.isCarriedOut(by: other, at: wall(1)))
        }
        let said = Command.incidentNotified(1, decision: 3, delivered: 2, unreachable: 1)
        #expect(said.isCarriedOut(by: .incidentNotified(number: 1, decision: 3, delivered: 2, unreachable: 1), at: wall(1)))
        #expect(!said.isCarriedOut(by: .incidentNotified(number: 1, decision: 3, delivered: 3, unreachable: 0), at: wall(1)))
    }
}
