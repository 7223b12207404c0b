import Chassis
import Crypto
import Foundation
import Gate
import Ledger
import Testing
import Wire

@Suite struct FollowedLedgerTests {
    private let control: NoteSigner
    private let stranger: NoteSigner

    init() throws {
        let name = try #require(KeyName(Scribe.origin))
        control = try NoteSigner(name: name, algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: 40, count: 32)))
        stranger = try NoteSigner(name: name, algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: 41, count: 32)))
    }

    private func checkpoint(_ entries: ArraySlice<WireRecordedEntry>) throws -> Checkpoint {
        var frontier = MerkleFrontier()
        for entry in entries { _ = frontier.append(try #require(LedgerEntry(salt: [UInt8](entry.salt), body: [UInt8](entry.body))).leaf.hash) }
        return Checkpoint(origin: control.verifier.name, size: frontier.size, root: frontier.root)
    }

    private func signed(_ checkpoint: Checkpoint, by signer: NoteSigner? = nil) throws -> Data {
        Data(try SignedNote(text: checkpoint.text, signatures: [(signer ?? control).sign(checkpoint.text, at: 0)]).bytes)
    }

    private func page(_ ledger: Scribe, after index: UInt64 = 0) throws -> WireEntries {
        var body = WireEntries()
        body.recorded = Array(ledger.entries[Int(index)...])
        body.last = ledger.index
        body.checkpoint = try signed(checkpoint(ledger.entries[...]))
        return body
    }

    /// A follower that has all of a ledger, and has seen it signed.
    private func follower(of ledger: Scribe, witnessed: Checkpoint? = nil) throws -> FollowedLedger {
        var followed = FollowedLedger(trust: LedgerTrust(control.verifier), witnessed: witnessed)
        let body = try page(ledger)
        _ = try followed.take(body)
        #expect(try followed.believe(body.checkpoint, of: body.last))
        return followed
    }

    private func ledger(pauses: Int) throws -> Scribe {
        var ledger = try Scribe()
        for number in 0..<pauses { try ledger.pause(UInt64(number + 1)) }
        return ledger
    }

    @Test func `a ledger that control has signed is followed, page by page`() throws {
        var ledger = try ledger(pauses: 2)
        var followed = try follower(of: ledger)
        #expect(followed.applied == 4)
        #expect(try followed.next?.checkpoint == checkpoint(ledger.entries[...]))
        try ledger.pause(3)
        let more = try page(ledger, after: 2)
        #expect(try followed.believe(more.checkpoint, of: 5))
        #expect(try followed.next?.checkpoint == checkpoint(ledger.entries[..<4]), "what is not all here is not cosigned")
        #expect(try followed.take(more).map(\.index) == [5])
        #expect(try followed.next?.checkpoint == checkpoint(ledger.entries[...]))
        #expect(followed.trouble == nil)
    }

    @Test func `a checkpoint by a key that is not control's is not believed`() throws {
        let ledger = try ledger(pauses: 1)
        var followed = FollowedLedger(trust: LedgerTrust(control.verifier))
        _ = try followed.take(page(ledger))
        let forged = try signed(checkpoint(ledger.entries[...]), by: stranger)
        #expect(throws: NotFollowed.unsigned(.unsigned(by: control.verifier.name, control.verifier.id))) { try followed.believe(forged, of: 3) }
        var damaged = try signed(checkpoint(ledger.entries[...]))
        damaged[damaged.endIndex - 10] ^= 1
        #expect(throws: NotFollowed.self) { try followed.believe(damaged, of: 3) }
        #expect(followed.next == nil)
    }

    @Test func `a forked history is refused, however it is shown`() throws {
        let base = try ledger(pauses: 2)
        var (left, right) = (base, base)
        try left.pause(3)
        try right.pause(3, selector: Selector(sites: ["berlin"]))
        // Entries of one history, and a signature for the other.
        var followed = FollowedLedger(trust: LedgerTrust(control.verifier))
        _ = try followed.take(page(left))
        let other = try page(right).checkpoint
        #expect(throws: NotFollowed.otherHistory(.otherRoot(size: 5))) { try followed.believe(other, of: 5) }
        // Signed first, then other entries than those.
        var early = FollowedLedger(trust: LedgerTrust(control.verifier))
        #expect(try early.believe(other, of: 5))
        #expect(throws: NotFollowed.otherHistory(.otherRoot(size: 5))) { try early.take(page(left)) }
        // Control: each history by itself is believed.
        #expect(try follower(of: left).trouble == nil)
        #expect(try follower(of: right).trouble == nil)
    }

    @Test func `a ledger that is shorter than what was followed was put back`() throws {
        let whole = try ledger(pauses: 3)
        var followed = try follower(of: whole)
        let shorter = try signed(checkpoint(whole.entries[..<4]))
        #expect(throws: NotFollowed.putBack(size: 4, had: 5)) { try followed.believe(shorter, of: 4) }
    }

    @Test func `deleted, exchanged, altered and signed anew: none is followed`() throws {
        let whole = try ledger(pauses: 3)
        let body = try page(whole)
        let changes: [(String, (inout [WireRecordedEntry]) -> Void)] = [
            ("deleted", { $0.remove(at: 2) }), ("exchanged", { $0.swapAt(2, 3) }), ("altered", { $0[3].body[$0[3].body.endIndex - 1] ^= 1 }),
            ("another salt", { $0[3].salt[0] ^= 1 }),
        ]
        for (name, change) in changes {
            var changed = body
            change(&changed.recorded)
            #expect(throws: NotFollowed.self, "\(name)") {
                var followed = FollowedLedger(trust: LedgerTrust(control.verifier))
                _ = try followed.take(changed)
                // A gap is asked for again, and is refused only by what is signed over it.
                guard followed.applied == 5 else { throw NotFollowed.unreadable(followed.applied) }
                _ = try followed.believe(changed.checkpoint, of: 5)
            }
        }
    }

    // MARK: Witness

    @Test func `a witness that starts anew knows what it had cosigned`() throws {
        var ledger = try ledger(pauses: 3)
        let cosigned = try checkpoint(ledger.entries[...])
        try ledger.pause(4)
        let followed = try follower(of: ledger, witnessed: cosigned)
        #expect(followed.trouble == nil)
        #expect(followed.next?.checkpoint.size == 6)
    }

    @Test func `a witness believes neither a shorter ledger than it cosigned, nor another one`() throws {
        let base = try ledger(pauses: 2)
        var (cosigned, other) = (base, base)
        try cosigned.pause(3)
        let seen = try checkpoint(cosigned.entries[...])
        let behind = try follower(of: base, witnessed: seen)
        #expect(behind.trouble?.contains("5 entries were cosigned, and there are fewer") == true)
        #expect(behind.next == nil, "nothing is cosigned that goes back")
        try other.pause(3, selector: Selector(sites: ["berlin"]))
        try other.pause(4)
        let forked = try follower(of: other, witnessed: seen)
        #expect(forked.trouble?.contains("the first 5 entries are others") == true)
        #expect(forked.next == nil)
    }

    @Test func `two operators may give up a history, and the witness goes on with the other from exactly there`() throws {
        var base = try ledger(pauses: 1)
        var longer = base
        try longer.pause(2)
        try longer.pause(3)
        let seen = try checkpoint(longer.entries[...])
        func given(_ ledger: Scribe, _ text: String) throws -> FollowedLedger {
            var ledger = ledger
            try ledger.agree(1, .resume([], reason: "a backup", unseal: true, abandons: Array(text.utf8)))
            try ledger.write(.unsealed(Epoch(9), dropped: [], reason: "a backup", abandons: Array(text.utf8)), by: "ops-2", proposal: 1)
            return try follower(of: ledger, witnessed: seen)
        }
        let other = try given(base, checkpoint(base.entries[...]).text)
        #expect(other.trouble != nil, "what they gave up is not what was cosigned")
        let followed = try given(base, seen.text)
        #expect(followed.trouble == nil)
        #expect(followed.next?.checkpoint.size == 6)
        try base.write(.unsealed(Epoch(9), dropped: [], reason: "", abandons: Array(seen.text.utf8)), by: "ops-1")
        #expect(throws: NotFollowed.entry(.widensAlone(4))) { try follower(of: base, witnessed: seen) }
    }
}
