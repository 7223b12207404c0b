import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Ledger
import Testing
import Wire

@Suite struct GovernanceFoldTests {
    /// One of everything.
    private func everything() throws -> Scribe {
        var ledger = try Scribe()
        try ledger.agree(1, .register([agent("ann", 0, key: 1), agent("bob", 0, key: 2)]))
        try ledger.write(.registered([agent("ann", 1, key: 1), agent("bob", 2, key: 2)], enrolment: nil), by: "ops-2", proposal: 1)
        try ledger.pause(1)
        try ledger.write(.incidentOpened(number: 1, title: "a test", closure: Epoch(1), dataClass: "", isLeak: false), by: "ops-1")
        try ledger.write(.incidentMoved(number: 1, to: .contained), by: "control")
        try ledger.agree(2, .resume([Epoch(1)], reason: "over", unseal: false), by: "ops-2", and: "ops-1")
        try ledger.write(.resumed(to: Epoch(2), closures: [Epoch(1)], reason: "over"), by: "ops-1", proposal: 2)
        try ledger.write(.incidentMoved(number: 1, to: .closed), by: "ops-2", ledger.sign(.closeIncident(1), by: "ops-2"))
        try ledger.agree(3, .changeOperators(removing: [], adding: [ledger.member("ops-3")]))
        try ledger.write(.operatorsChanged(removed: [], added: [ledger.member("ops-3")]), by: "ops-2", proposal: 3)
        try ledger.propose(4, .announceVaultKey(.init(repeating: 8, count: 32)), by: "ops-3")
        try ledger.write(.withdrawn(number: 4), by: "ops-1", ledger.sign(.withdraw(proposal: 4), by: "ops-1"))
        try ledger.write(.operatorsChanged(removed: ["ops-3"], added: []), by: "ops-1", ledger.sign(.changeOperators(removing: ["ops-3"], adding: []), by: "ops-1"))
        let invited = enrolment(&ledger)
        try ledger.agree(5, .enrol(invited, validSeconds: 3_600))
        var opened = invited
        opened.until = ledger.now + .seconds(3_600)
        try ledger.write(.enrolmentOpened(opened), by: "ops-2", proposal: 5)
        try ledger.write(.registered([agent("cid", 3, key: 3)], enrolment: 1), by: "control")
        try ledger.write(.removed([1]), by: "ops-1", ledger.sign(.remove(names: ["ann"]), by: "ops-1"))
        return ledger
    }

    private func enrolment(_ ledger: inout Scribe) -> Enrolment {
        Enrolment(number: 1, name: "cid", scope: agent("cid", 0, key: 3).scope, token: .init(repeating: 5, count: 32), until: .distantPast)
    }

    @Test func `a well-formed ledger is taken, and says what is in force`() throws {
        let ledger = try everything()
        let fold = try ledger.fold()
        #expect(fold.size == ledger.index)
        #expect(fold.governance.gate.epoch == Epoch(2))
        #expect(fold.governance.gate.closures.isEmpty)
        #expect(fold.governance.nodes.values.map(\.name).sorted() == ["bob", "cid"])
        #expect(fold.governance.operators.current.keys.sorted() == ["ops-1", "ops-2"])
        #expect(fold.governance.incidents[1]?.state == .closed)
        #expect(fold.governance.proposals.open.isEmpty)
        #expect(fold.governance.enrolments.isEmpty)
    }

    @Test func `every flipped byte of a body is refused, or leads to another root`() throws {
        let ledger = try everything()
        let whole = try ledger.fold()
        let checkpoint = Checkpoint(origin: try #require(KeyName(Scribe.origin)), size: whole.size, root: whole.frontier.root)
        #expect(throws: Never.self) { try whole.compare(checkpoint) }
        for (number, entry) in ledger.entries.enumerated() {
            for place in stride(from: entry.body.startIndex, to: entry.body.endIndex, by: 7) {
                var changed = ledger.entries
                changed[number].body[place] ^= 0x20
                #expect(throws: FoldFault.self) {
                    var fold = GovernanceFold()
                    for entry in changed { _ = try fold.take(entry) }
                    try fold.compare(checkpoint)
                }
            }
        }
    }

    // MARK: The beginning, and order

    @Test func `what does not begin with operators and keys is no ledger`() throws {
        var ledger = try Scribe(empty: true)
        try ledger.write(.vaultKeyAnnounced(.init(repeating: 7, count: 32)), by: "control")
        #expect(try ledger.fault() == .noBeginning)
    }

    @Test func `one operator, or two keys of one person, are no beginning`() throws {
        var alone = try Scribe(empty: true)
        try alone.write(.began(alone.beginning(["ops-1"])), by: "control")
        #expect(try alone.fault() == .badBeginning(1))
        var same = try Scribe(empty: true)
        var beginning = try same.beginning()
        beginning.operators[1].person = "ops-1"
        try same.write(.began(beginning), by: "control")
        #expect(try same.fault() == .badBeginning(1))
    }

    @Test func `a ledger says from its beginning whether nobody reads without a document, and one from before that was so does not`() throws {
        var wire = WireBegan(try Scribe(empty: true).beginning())
        #expect(wire.value?.deniesByDefault == true)
        wire.defaultDeny = false
        #expect(wire.value?.deniesByDefault == false)
    }

    @Test func `there is no second beginning`() throws {
        var ledger = try everything()
        try ledger.write(.began(ledger.beginning(["ops-2", "ops-3"])), by: "control")
        #expect(try ledger.fault() == .badBeginning(ledger.index))
    }

    @Test func `an entry out of its place is named with the place`() throws {
        var ledger = try Scribe()
        try ledger.write(.incidentOpened(number: 1, title: "", closure: Epoch(1), dataClass: "", isLeak: false), by: "control", index: 4)
        #expect(try ledger.fault() == .outOfOrder(expected: 3, found: 4))
        var again = try Scribe()
        try again.write(.incidentOpened(number: 1, title: "", closure: Epoch(1), dataClass: "", isLeak: false), by: "control", index: 2)
        #expect(try again.fault() == .outOfOrder(expected: 3, found: 2))
    }

    @Test func `what cannot be read is not skipped`() throws {
        var ledger = try everything()
        try ledger.change { $0.deed = nil }
        #expect(try ledger.fault() == .unreadable(ledger.index))
    }

    @Test func `a checkpoint of the same size with another root is another history`() throws {
        let fold = try everything().fold()
        let origin = try #require(KeyName(Scribe.origin))
        let other = Checkpoint(origin: origin, size: fold.size, root: TreeHash(leaf: [1]))
        #expect(throws: FoldFault.otherRoot(size: fold.size)) { try fold.compare(other) }
        #expect(throws: Never.self) { try fold.compare(Checkpoint(origin: origin, size: fold.size + 1, root: TreeHash(leaf: [1]))) }
    }

    // MARK: Signatures

    @Test func `a command that nobody signed is refused, of each kind`() throws {
        let deeds: [(inout Scribe) throws -> Entry.Deed] = [
            { .paused($0.closure(3)) }, { _ in .removed([2]) }, { _ in .approved(number: 5) }, { _ in .withdrawn(number: 5) },
            { _ in .incidentMoved(number: 1, to: .closed) },
        ]
        for deed in deeds {
            var ledger = try everything()
            try ledger.write(deed(&ledger), by: "ops-1")
            #expect(try ledger.fault() == .unsigned(ledger.index))
        }
        var removal = try everything()
        try removal.agree(6, .changeOperators(removing: [], adding: [removal.member("stranger")]))
        try removal.write(.operatorsChanged(removed: [], added: [removal.member("stranger")]), by: "ops-2", proposal: 6)
        try removal.write(.operatorsChanged(removed: ["ops-1"], added: []), by: "ops-2")
        #expect(try removal.fault() == .otherThanSigned(removal.index), "not even who commands less may be control's to say")
    }

    @Test func `a signature that is not the author's is refused by its own name`() throws {
        var flipped = try everything()
        try flipped.pause(3)
        try flipped.change { $0.signed.signature[0] ^= 1 }
        #expect(try flipped.fault() == .badSignature(flipped.index, .badSignature))

        var altered = try everything()
        try altered.pause(3)
        try altered.change { $0.signed.statement[$0.signed.statement.endIndex - 1] ^= 1 }
        #expect(try altered.fault() == .badSignature(altered.index, .badSignature))

        var other = try everything()
        try other.pause(3)
        try other.change { $0.author = "ops-2" }
        #expect(try other.fault() == .badSignature(other.index, .notTheAuthor(said: "ops-2", signed: "ops-1")))

        var stranger = try everything()
        try stranger.pause(3, by: "stranger")
        guard case .badSignature(stranger.index, .unknownKey) = try stranger.fault() else { return #expect(Bool(false), "a key that is not known") }

        var gone = try everything()
        try gone.pause(3, by: "ops-3")
        #expect(try gone.fault() == .badSignature(gone.index, .revokedKey(of: "ops-3")))
    }

    @Test func `what was signed for another end, or another ledger, does not count`() throws {
        var ledger = try everything()
        let proposed = try ledger.propose(6, .resume([Epoch(9)], reason: "", unseal: false))
        try ledger.write(.paused(ledger.closure(3, by: "ops-2")), by: "ops-2", ledger.approve(6, of: proposed, by: "ops-2"))
        #expect(try ledger.fault() == .badSignature(ledger.index, .otherPurpose(.approval)))
    }

    @Test func `a command that was taken is not taken again`() throws {
        var ledger = try Scribe()
        let signed = try ledger.sign(.pause(Selector(), .both, reason: "a test"), by: "ops-1")
        try ledger.write(.paused(ledger.closure(1)), by: "ops-1", signed)
        try ledger.write(.paused(ledger.closure(2)), by: "ops-1", signed)
        #expect(try ledger.fault() == .badSignature(4, .replayed))
    }

    @Test func `a command that had expired when it was recorded is refused`() throws {
        var ledger = try Scribe()
        let signed = try ledger.sign(.pause(Selector(), .both, reason: "a test"), by: "ops-1")
        ledger.now = ledger.now + .seconds(301)
        try ledger.write(.paused(ledger.closure(1)), by: "ops-1", signed)
        guard case .badSignature(3, .expired) = try ledger.fault() else { return #expect(Bool(false), "expired") }
    }

    @Test func `what widens was signed at a state that is still so`() throws {
        var ledger = try everything()
        let signed = try ledger.sign(.resume([Epoch(1)], reason: "over", unseal: false), by: "ops-1", at: 3)
        try ledger.write(.proposed(number: 6, #require(hash(signed)), until: ledger.now + .seconds(60), .resume([Epoch(1)], reason: "over", unseal: false)), by: "ops-1", signed)
        guard case .badSignature(ledger.index, .staleIndex(written: 3, oldest: _)) = try ledger.fault() else { return #expect(Bool(false), "stale") }
    }

    private func hash(_ signed: WireSignedCommand) -> ProposalHash? {
        SignedCommand(bytes: [UInt8](signed.statement), signature: [], key: Identity.KeyID(Array(repeating: 0, count: 32))!).hash
    }

    // MARK: What was signed is what was done

    @Test func `an entry that says something else than its author signed is refused`() throws {
        var wider = try everything()
        try wider.pause(3, selector: Selector(sites: ["berlin"]))
        try wider.change { $0.paused.selector = WireSelector(Selector(sites: ["paris"])) }
        #expect(try wider.fault() == .otherThanSigned(wider.index))

        var direction = try everything()
        try direction.pause(3)
        try direction.change { $0.paused.direction = .read }
        #expect(try direction.fault() == .otherThanSigned(direction.index))

        var leak = try everything()
        let signed = try leak.sign(.leak(dataClass: "review", reason: "seen", source: ""), by: "ops-1")
        try leak.write(.paused(leak.closure(3, Selector(classes: [DataClass("activity")]))), by: "ops-1", signed)
        #expect(try leak.fault() == .otherThanSigned(leak.index))

        var removal = try everything()
        try removal.write(.removed([3]), by: "ops-1", removal.sign(.remove(names: ["bob"]), by: "ops-1"))
        #expect(try removal.fault() == .otherThanSigned(removal.index))

        var number = try everything()
        let proposed = try number.propose(6, .resume([], reason: "", unseal: false))
        try number.write(.approved(number: 5), by: "ops-2", number.approve(6, of: proposed, by: "ops-2"))
        #expect(try number.fault() == .otherThanSigned(number.index))

        var closed = try everything()
        try closed.write(.incidentMoved(number: 1, to: .closed), by: "ops-1", closed.sign(.closeIncident(2), by: "ops-1"))
        #expect(try closed.fault() == .otherThanSigned(closed.index))

        var withdrawal = try everything()
        try withdrawal.propose(6, .resume([], reason: "", unseal: false))
        try withdrawal.write(.withdrawn(number: 6), by: "ops-1", withdrawal.sign(.withdraw(proposal: 5), by: "ops-1"))
        #expect(try withdrawal.fault() == .otherThanSigned(withdrawal.index))
    }

    @Test func `an incident never goes back, whoever moves it`() throws {
        for state in [IncidentState.contained, .assessed] {
            var back = try everything()
            try back.write(.incidentMoved(number: 1, to: state), by: "control")
            #expect(try back.fault() == .refused(back.index, "incident 1 would go back to \(state.rawValue)"))
        }
        var again = try everything()
        try again.write(.incidentMoved(number: 1, to: .closed), by: "ops-1", again.sign(.closeIncident(1), by: "ops-1"))
        guard case .refused = try again.fault() else { return #expect(Bool(false), "closed once") }
        // The control: forwards control moves it by itself.
        var forwards = try everything()
        try forwards.write(.incidentOpened(number: 2, title: "another", closure: Epoch(1), dataClass: "", isLeak: false), by: "ops-1")
        for state in [IncidentState.contained, .assessed] { try forwards.write(.incidentMoved(number: 2, to: state), by: "control") }
        #expect(try forwards.fold().governance.incidents[2]?.state == .assessed)
        // That people were told somebody answers for.
        try forwards.write(.incidentMoved(number: 2, to: .notified), by: "control")
        #expect(try forwards.fault() == .unsigned(forwards.index))
    }

    @Test func `an unsealing gives up exactly what two operators have signed`() throws {
        let text = Array("sluice.example/governance\n9\nAAAA\n".utf8)
        func unsealed(dropped: [Epoch], abandons: [UInt8]) throws -> Scribe {
            var ledger = try Scribe()
            try ledger.agree(1, .resume([], reason: "looked at", unseal: true, drops: [Epoch(3), Epoch(4)], abandons: text))
            try ledger.write(.unsealed(Epoch(5), dropped: dropped, reason: "looked at", abandons: abandons), by: "ops-2", proposal: 1)
            return ledger
        }
        for (dropped, abandons) in [([Epoch(3)], text), ([Epoch(3), Epoch(4), Epoch(5)], text), ([], text), ([Epoch(3), Epoch(4)], []), ([Epoch(3), Epoch(4)], text + [10])] {
            #expect(try unsealed(dropped: dropped, abandons: abandons).fault() == .widensAlone(5))
        }
        #expect(try unsealed(dropped: [Epoch(4), Epoch(3)], abandons: text).fold().governance.abandoned == [text], "the control")
    }

    private func ledgerKey(_ name: String, _ seed: UInt8, _ algorithm: NoteAlgorithm = .note) throws -> String {
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: [UInt8](repeating: seed, count: 32))
        return try "\(NoteSigner(name: #require(KeyName(name)), algorithm: algorithm, key: key).verifier)"
    }

    /// With keys that are some.
    private func signed() throws -> Scribe {
        var ledger = try Scribe(empty: true)
        var beginning = try ledger.beginning()
        (beginning.policyKey, beginning.policyWitness) = (try ledgerKey("reads", 1), try ledgerKey("policy", 2, .cosignature))
        (beginning.controlKey, beginning.controlWitness) = (try ledgerKey("governance", 3), try ledgerKey("control", 4, .cosignature))
        try ledger.write(.began(beginning), by: "control")
        try ledger.write(.vaultKeyAnnounced(.init(repeating: 7, count: 32)), by: "control")
        return ledger
    }

    private func announced(_ ledger: inout Scribe, _ number: UInt64, _ key: String, beside before: String) throws {
        try ledger.agree(number, .announceLedgerKey(key, beside: before))
        try ledger.write(.ledgerKeyAnnounced(key, beside: before), by: "ops-2", proposal: number)
    }

    @Test func `a key that a ledger is signed with counts when two have agreed to that very key, and until one retires it`() throws {
        let (old, new) = (try ledgerKey("reads", 1), try ledgerKey("reads", 9))
        var ledger = try signed()
        try announced(&ledger, 1, new, beside: old)
        #expect(try ledger.fold().governance.ledgerKeys.current["reads"] == [old, new])
        var unsigned = ledger
        try unsigned.write(.ledgerKeyRetired(old), by: "control")
        #expect(try unsigned.fault() == .unsigned(unsigned.index))
        var other = ledger
        try other.write(.ledgerKeyRetired(new), by: "ops-1", other.sign(.retireLedgerKey(old), by: "ops-1"))
        #expect(try other.fault() == .otherThanSigned(other.index))
        try ledger.write(.ledgerKeyRetired(old), by: "ops-1", ledger.sign(.retireLedgerKey(old), by: "ops-1"))
        #expect(try ledger.fold().governance.ledgerKeys.current["reads"] == [new] && ledger.fold().governance.ledgerKeys.retired == [old])
        // Not by control alone, nor another than was agreed to.
        var alone = try signed()
        try alone.write(.ledgerKeyAnnounced(new, beside: old), by: "control")
        #expect(try alone.fault() == .widensAlone(3))
        var exchanged = try signed()
        try exchanged.agree(1, .announceLedgerKey(new, beside: old))
        try exchanged.write(.ledgerKeyAnnounced(try ledgerKey("reads", 8), beside: old), by: "ops-2", proposal: 1)
        #expect(try exchanged.fault() == .widensAlone(5))
    }

    @Test func `no key is announced that could sign nothing of its ledger`() throws {
        let unfit = [
            ("nothing", try ledgerKey("reads", 1)), ("reads+1234", try ledgerKey("reads", 1)), (try ledgerKey("reads", 9, .cosignature), try ledgerKey("reads", 1)),
            (try ledgerKey("control", 9), try ledgerKey("control", 4, .cosignature)), (try ledgerKey("policy", 9, .cosignature), try ledgerKey("reads", 1)),
            (try ledgerKey("governance", 9, .cosignature), try ledgerKey("governance", 3)),
        ]
        for (key, before) in unfit {
            var ledger = try signed()
            try announced(&ledger, 1, key, beside: before)
            guard case .refused(5, _) = try ledger.fault() else { return #expect(Bool(false), "\(key)") }
        }
        var ledger = try signed()
        try announced(&ledger, 1, ledgerKey("control", 9, .cosignature), beside: ledgerKey("control", 4, .cosignature))
        try announced(&ledger, 2, ledgerKey("governance", 9), beside: ledgerKey("governance", 3))
        #expect(try ledger.fold().governance.ledgerKeys.current["control"]?.count == 2 && ledger.fold().governance.ledgerKeys.current["governance"]?.count == 2, "the control")
    }

    @Test func `nobody is registered, joins or commands with a key that a service has, or an operator connects with`() throws {
        func key(_ byte: UInt8) -> [UInt8] { .init(repeating: byte, count: 32) }
        var exchanged = try everything()
        try exchanged.agree(6, .announceServiceKey(key(52), service: "ingest", beside: key(51)))
        try exchanged.write(.serviceKeyAnnounced(key(52), service: "ingest", beside: key(51)), by: "ops-2", proposal: 6)
        try exchanged.write(.serviceKeyRetired(key(51), service: "ingest"), by: "ops-1", exchanged.sign(.retireServiceKey(key(51), service: "ingest"), by: "ops-1"))
        func isRefused(_ ledger: Scribe) throws -> Bool { if case .refused(ledger.index, _) = try ledger.fault() { true } else { false } }
        for byte in [UInt8(51), 52, 240] {
            var registered = exchanged
            try registered.agree(7, .register([agent("eve", 0, key: byte)]))
            try registered.write(.registered([agent("eve", 4, key: byte)], enrolment: nil), by: "ops-2", proposal: 7)
            #expect(try isRefused(registered))
            var joined = exchanged
            let invited = Enrolment(number: 2, name: "eve", scope: agent("eve", 0, key: 1).scope, token: key(6), until: .distantPast)
            try joined.agree(7, .enrol(invited, validSeconds: 3_600))
            var opened = invited
            opened.until = joined.now + .seconds(3_600)
            try joined.write(.enrolmentOpened(opened), by: "ops-2", proposal: 7)
            try joined.write(.registered([agent("eve", 4, key: byte)], enrolment: 2), by: "control")
            #expect(try isRefused(joined))
        }
        func added(_ session: UInt8, removing: [String]) throws -> (ledger: Scribe, member: Operator) {
            var ledger = exchanged
            var member = try ledger.member("stranger")
            member.session = key(session)
            try ledger.agree(7, .changeOperators(removing: removing, adding: [member]))
            try ledger.write(.operatorsChanged(removed: removing, added: [member]), by: "ops-2", proposal: 7)
            return (ledger, member)
        }
        // 1 was removed with ann; 2 is bob's; 240 is ops-1's and 241 ops-2's.
        for (session, removing) in [(51, []), (52, []), (1, []), (2, []), (240, []), (241, ["ops-1"])] as [(UInt8, [String])] {
            #expect(try isRefused(added(session, removing: removing).ledger), "\(session)")
        }
        // The control: a key of their own, or that of who goes.
        for (session, removing) in [(60, []), (240, ["ops-1"])] as [(UInt8, [String])] {
            let (ledger, member) = try added(session, removing: removing)
            #expect(try ledger.fold().governance.operators["stranger"] == member)
        }
    }

    // MARK: More takes two

    @Test func `widening without an approval is refused, whoever signed it`() throws {
        var unsigned = try Scribe()
        try unsigned.write(.registered([agent("ann", 1, key: 1)], enrolment: nil), by: "ops-1")
        #expect(try unsigned.fault() == .widensAlone(3))

        var alone = try Scribe()
        try alone.write(.registered([agent("ann", 1, key: 1)], enrolment: nil), by: "ops-1", alone.sign(.register([agent("ann", 0, key: 1)]), by: "ops-1"))
        #expect(try alone.fault() == .widensAlone(3))

        var proposed = try Scribe()
        try proposed.propose(1, .register([agent("ann", 0, key: 1)]))
        try proposed.write(.registered([agent("ann", 1, key: 1)], enrolment: nil), by: "ops-1", proposal: 1)
        #expect(try proposed.fault() == .widensAlone(4), "proposed is not approved")

        var resumed = try Scribe()
        try resumed.pause(1)
        try resumed.write(.resumed(to: Epoch(2), closures: [Epoch(1)], reason: "over"), by: "ops-1", resumed.sign(.resume([Epoch(1)], reason: "over", unseal: false), by: "ops-1"))
        #expect(try resumed.fault() == .widensAlone(4))

        var unsealed = try Scribe()
        try unsealed.write(.unsealed(Epoch(2), dropped: [], reason: "looked at"), by: "ops-1")
        #expect(try unsealed.fault() == .widensAlone(3), "also when nothing in the ledger is sealed")

        var key = try everything()
        try key.write(.vaultKeyAnnounced(.init(repeating: 66, count: 32)), by: "control")
        #expect(try key.fault() == .widensAlone(key.index), "the first key alone comes without")
    }

    @Test func `lifting what another closure covers widens nothing, and still somebody must have asked for it`() throws {
        var ledger = try Scribe()
        try ledger.pause(1)
        try ledger.pause(2, selector: Selector(sites: ["berlin"]))
        var unasked = ledger
        try unasked.write(.resumed(to: Epoch(3), closures: [Epoch(2)], reason: "over"), by: "control")
        #expect(try unasked.fault() == .otherThanSigned(5))
        try ledger.write(.resumed(to: Epoch(3), closures: [Epoch(2)], reason: "over"), by: "ops-1", ledger.sign(.resume([Epoch(2)], reason: "over", unseal: false), by: "ops-1"))
        #expect(try ledger.fold().governance.gate.closures.map(\.epoch) == [Epoch(1)])
    }

    @Test func `its proposer does not approve, with whatever key`() throws {
        var ledger = try Scribe()
        let signed = try ledger.propose(1, .register([agent("ann", 0, key: 1)]))
        try ledger.write(.approved(number: 1), by: "ops-1", ledger.approve(1, of: signed, by: "ops-1"))
        #expect(try ledger.fault() == .refused(4, "\(ApprovalRefused.ownProposal)"))

        var same = try everything()
        try same.agree(6, .changeOperators(removing: [], adding: [same.member("stranger", person: "ops-1")]))
        try same.write(.operatorsChanged(removed: [], added: [same.member("stranger", person: "ops-1")]), by: "ops-2", proposal: 6)
        let again = try same.propose(7, .register([agent("eve", 0, key: 9)]))
        try same.write(.approved(number: 7), by: "stranger", same.approve(7, of: again, by: "stranger"))
        #expect(try same.fault() == .refused(same.index, "\(ApprovalRefused.samePerson(as: "ops-1"))"))
    }

    @Test func `an approval that came too late, or after a withdrawal, is refused`() throws {
        var late = try Scribe()
        let signed = try late.propose(1, .register([agent("ann", 0, key: 1)]), open: .seconds(60))
        late.now = late.now + .seconds(120)
        try late.write(.approved(number: 1), by: "ops-2", late.approve(1, of: signed, by: "ops-2"))
        guard case .refused(4, let why) = try late.fault(), why.hasPrefix("expired") else { return #expect(Bool(false), "expired") }

        var withdrawn = try Scribe()
        let other = try withdrawn.propose(1, .register([agent("ann", 0, key: 1)]))
        try withdrawn.write(.withdrawn(number: 1), by: "ops-1", withdrawn.sign(.withdraw(proposal: 1), by: "ops-1"))
        try withdrawn.write(.approved(number: 1), by: "ops-2", withdrawn.approve(1, of: other, by: "ops-2"))
        #expect(try withdrawn.fault() == .refused(5, "\(ApprovalRefused.withdrawn(by: "ops-1"))"))
    }

    @Test func `a proposal is carried out once, as it was proposed`() throws {
        var ledger = try Scribe()
        try ledger.agree(1, .register([agent("ann", 0, key: 1)]))
        var other = ledger
        try other.write(.registered([agent("eve", 1, key: 6)], enrolment: nil), by: "ops-2", proposal: 1)
        #expect(try other.fault() == .widensAlone(5))
        var scope = ledger
        var moved = agent("ann", 1, key: 1)
        moved.scope.site = "paris"
        try scope.write(.registered([moved], enrolment: nil), by: "ops-2", proposal: 1)
        #expect(try scope.fault() == .widensAlone(5))
        try ledger.write(.registered([agent("ann", 1, key: 1)], enrolment: nil), by: "ops-2", proposal: 1)
        _ = try ledger.fold()
        try ledger.write(.registered([agent("ann", 2, key: 1)], enrolment: nil), by: "ops-2", proposal: 1)
        #expect(try ledger.fault() == .widensAlone(6))
    }

    @Test func `the same statement is not proposed twice, and no number is skipped`() throws {
        var skipped = try Scribe()
        try skipped.propose(2, .register([agent("ann", 0, key: 1)]))
        #expect(throws: FoldFault.self) { try skipped.fold() }
        var forever = try Scribe()
        try forever.propose(1, .register([agent("ann", 0, key: 1)]), open: .seconds(8 * 86_400))
        guard case .refused(3, _) = try forever.fault() else { return #expect(Bool(false), "open for too long") }
    }

    @Test func `a token registers one agent, once, in its scope and in its time`() throws {
        var ledger = try Scribe()
        let invited = enrolment(&ledger)
        try ledger.agree(1, .enrol(invited, validSeconds: 60))
        var opened = invited
        opened.until = ledger.now + .seconds(60)
        var longer = ledger
        var forever = invited
        forever.until = ledger.now + .seconds(3_600)
        try longer.write(.enrolmentOpened(forever), by: "ops-2", proposal: 1)
        #expect(try longer.fault() == .widensAlone(5))
        try ledger.write(.enrolmentOpened(opened), by: "ops-2", proposal: 1)

        var elsewhere = ledger
        var moved = agent("cid", 1, key: 3)
        moved.scope.team = "ads"
        try elsewhere.write(.registered([moved], enrolment: 1), by: "control")
        #expect(try elsewhere.fault() == .widensAlone(6))
        var late = ledger
        late.now = late.now + .seconds(61)
        try late.write(.registered([agent("cid", 1, key: 3)], enrolment: 1), by: "control")
        #expect(try late.fault() == .widensAlone(6))
        try ledger.write(.registered([agent("cid", 1, key: 3)], enrolment: 1), by: "control")
        _ = try ledger.fold()
        try ledger.write(.registered([agent("cid", 2, key: 4)], enrolment: 1), by: "control")
        #expect(try ledger.fault() == .widensAlone(7))
    }

    // MARK: Rules

    @Test func `a key that was taken away with its agent does not come back`() throws {
        var ledger = try everything()
        try ledger.agree(6, .register([agent("ann", 0, key: 1)]))
        try ledger.write(.registered([agent("ann", 4, key: 1)], enrolment: nil), by: "ops-2", proposal: 6)
        #expect(try ledger.fault() == .refused(ledger.index, "the key of ann was revoked"))
    }

    @Test func `the last two persons stay`() throws {
        var ledger = try Scribe()
        try ledger.write(.operatorsChanged(removed: ["ops-2"], added: []), by: "ops-1", ledger.sign(.changeOperators(removing: ["ops-2"], adding: []), by: "ops-1"))
        #expect(try ledger.fault() == .refused(3, "\(OperatorsRefused.lastTwo)"))
    }

    @Test func `a pause whose epoch is not later is refused`() throws {
        var ledger = try everything()
        try ledger.pause(2)
        #expect(try ledger.fault() == .refused(ledger.index, "its epoch is not later than the last"))
    }

    // MARK: Keys of services

    private func serviceKey(_ byte: UInt8) -> [UInt8] { .init(repeating: byte, count: 32) }

    private func announced() throws -> Scribe {
        var ledger = try Scribe()
        try ledger.agree(1, .announceServiceKey(serviceKey(52), service: "ingest", beside: serviceKey(51)))
        try ledger.write(.serviceKeyAnnounced(serviceKey(52), service: "ingest", beside: serviceKey(51)), by: "ops-2", proposal: 1)
        return ledger
    }

    @Test func `two operators have a service's next key count, and one retires the older`() throws {
        var ledger = try announced()
        #expect(try ledger.fold().governance.serviceKeys.current == ["ingest": [serviceKey(51), serviceKey(52)]])
        try ledger.write(.serviceKeyRetired(serviceKey(51), service: "ingest"), by: "ops-1", ledger.sign(.retireServiceKey(serviceKey(51), service: "ingest"), by: "ops-1"))
        #expect(try ledger.fold().governance.serviceKeys.current == ["ingest": [serviceKey(52)]])
    }

    @Test func `a service's key that control announces alone, or another than was agreed, is refused`() throws {
        var alone = try Scribe()
        try alone.write(.serviceKeyAnnounced(serviceKey(52), service: "ingest", beside: serviceKey(51)), by: "control")
        #expect(try alone.fault() == .widensAlone(3))
        for other: Entry.Deed in [
            .serviceKeyAnnounced(serviceKey(53), service: "ingest", beside: serviceKey(51)), .serviceKeyAnnounced(serviceKey(52), service: "policy", beside: serviceKey(51)),
            .serviceKeyAnnounced(serviceKey(52), service: "ingest", beside: serviceKey(50)),
        ] {
            var ledger = try Scribe()
            try ledger.agree(1, .announceServiceKey(serviceKey(52), service: "ingest", beside: serviceKey(51)))
            try ledger.write(other, by: "ops-2", proposal: 1)
            #expect(try ledger.fault() == .widensAlone(5))
        }
    }

    @Test func `a service's key is retired by an operator's signature alone, and the last one by nobody`() throws {
        var unsigned = try announced()
        try unsigned.write(.serviceKeyRetired(serviceKey(51), service: "ingest"), by: "control")
        #expect(try unsigned.fault() == .unsigned(6))
        var other = try announced()
        try other.write(.serviceKeyRetired(serviceKey(52), service: "ingest"), by: "ops-1", other.sign(.retireServiceKey(serviceKey(51), service: "ingest"), by: "ops-1"))
        #expect(try other.fault() == .otherThanSigned(6))
        var last = try announced()
        for byte: UInt8 in [51, 52] {
            try last.write(.serviceKeyRetired(serviceKey(byte), service: "ingest"), by: "ops-1", last.sign(.retireServiceKey(serviceKey(byte), service: "ingest"), by: "ops-1"))
        }
        #expect(try last.fault() == .refused(7, "last"))
    }

    @Test func `a key of an agent is no service's, whoever agreed to it`() throws {
        var ledger = try Scribe()
        try ledger.agree(1, .register([agent("ann", 0, key: 52)]))
        try ledger.write(.registered([agent("ann", 1, key: 52)], enrolment: nil), by: "ops-2", proposal: 1)
        try ledger.agree(2, .announceServiceKey(serviceKey(52), service: "ingest", beside: serviceKey(51)))
        try ledger.write(.serviceKeyAnnounced(serviceKey(52), service: "ingest", beside: serviceKey(51)), by: "ops-2", proposal: 2)
        let fault = try ledger.fault()
        #expect({ if case .refused = fault { true } else { false } }(), "\(fault)")
    }
}
