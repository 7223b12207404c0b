import Chassis
import Crypto
import Foundation
import Gate
import Ledger
import Testing
import Wire

/// Control's own key is exchanged: who believes which key of its ledger, and by whose word.
@Suite final class LedgerTrustTests {
    private let folder = NSTemporaryDirectory() + "trust-" + UUID().uuidString
    private let keys: [NoteSigner]
    private let other: NoteSigner

    init() throws {
        func signer(_ name: String, _ seed: UInt8) throws -> NoteSigner {
            try NoteSigner(name: #require(KeyName(name)), algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32)))
        }
        keys = try (50..<54).map { try signer(Scribe.origin, $0) }
        other = try signer("reads", 60)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func text(_ number: Int) -> String { "\(keys[number].verifier)" }

    /// Begins with the first of the keys.
    private func begun() throws -> Scribe {
        var ledger = try Scribe(empty: true)
        var beginning = try ledger.beginning()
        beginning.controlKey = text(0)
        beginning.policyKey = "\(other.verifier)"
        try ledger.write(.began(beginning), by: "control")
        try ledger.write(.vaultKeyAnnounced(.init(repeating: 7, count: 32)), by: "control")
        return ledger
    }

    private func announce(_ key: Int, beside before: Int, in ledger: inout Scribe) throws {
        try ledger.agree(nextProposal, .announceLedgerKey(text(key), beside: text(before)))
        try ledger.write(.ledgerKeyAnnounced(text(key), beside: text(before)), by: "ops-2", proposal: nextProposal)
        nextProposal += 1
    }

    private var nextProposal: UInt64 = 1

    private func retire(_ key: Int, in ledger: inout Scribe) throws {
        try ledger.write(.ledgerKeyRetired(text(key)), by: "ops-1", ledger.sign(.retireLedgerKey(text(key)), by: "ops-1"))
    }

    private func leaves(_ ledger: Scribe) throws -> [LedgerEntry] {
        try ledger.entries.map { try #require(LedgerEntry(salt: [UInt8]($0.salt), body: [UInt8]($0.body))) }
    }

    private func note(_ ledger: Scribe, by signers: [Int]) throws -> SignedNote {
        var frontier = MerkleFrontier()
        for entry in try leaves(ledger) { _ = frontier.append(entry.leaf.hash) }
        let checkpoint = Checkpoint(origin: keys[0].verifier.name, size: frontier.size, root: frontier.root)
        return try SignedNote(text: checkpoint.text, signatures: signers.map { try keys[$0].sign(checkpoint.text, at: 0) })
    }

    /// Of the last entry, as control keeps it.
    private func proof(_ ledger: Scribe, by signers: [Int]) throws -> WireEntryProof {
        let path = folder + "/\(UUID().uuidString).sqlite"
        let store = try LedgerStore(path: path)
        _ = try store.append(leaves(ledger))
        let index = ledger.index - 1
        let file = try EntryProof(index: index, hashes: store.inclusionProof(of: index, in: ledger.index), note: note(ledger, by: signers))
        var proof = WireEntryProof()
        proof.entry = ledger.entries[Int(index)]
        proof.proof = Data(file.bytes)
        return proof
    }

    /// Two exchanges, and what control keeps of them: announced, retired, announced, retired.
    private func exchangedTwice() throws -> (ledger: Scribe, proofs: [WireEntryProof]) {
        var (ledger, proofs) = (try begun(), [WireEntryProof]())
        for number in 0..<2 {
            try announce(number + 1, beside: number, in: &ledger)
            proofs.append(try proof(ledger, by: [number]))
            try retire(number, in: &ledger)
            proofs.append(try proof(ledger, by: [number, number + 1]))
        }
        return (ledger, proofs)
    }

    private func trust(_ number: Int = 0) -> LedgerTrust { LedgerTrust(keys[number].verifier) }

    private func took(_ proofs: [WireEntryProof], _ trust: LedgerTrust) -> LedgerTrust {
        var trust = trust
        for proof in proofs { _ = try? trust.take(proof) }
        return trust
    }

    @Test func `who slept through two whole exchanges follows the keys one by one`() throws {
        let (ledger, proofs) = try exchangedTwice()
        var trust = trust()
        for (number, proof) in proofs.enumerated() {
            #expect(try trust.take(proof))
            #expect(trust.keys == (number.isMultiple(of: 2) ? [keys[number / 2].verifier, keys[number / 2 + 1].verifier] : [keys[number / 2 + 1].verifier]))
        }
        #expect(trust.index == ledger.index && trust.retired == [keys[0].verifier, keys[1].verifier])
        #expect(took(proofs, trust) == trust, "and the same again changes nothing")
        // Who began with a later one comes to the same, and to none that was retired.
        #expect(took(proofs, self.trust(1)).keys == [keys[2].verifier])
        #expect(took(proofs, self.trust(2)).keys == [keys[2].verifier])
        #expect(took(proofs, self.trust(3)) == self.trust(3), "a stranger to all of it believes none of it")
        #expect(took(Array(proofs.dropFirst()), self.trust()).keys == [keys[0].verifier], "with the first missing there is no way")
    }

    @Test func `a key is not believed by its own word, by a stranger's, or beside another than the one that signed`() throws {
        var ledger = try begun()
        try announce(1, beside: 0, in: &ledger)
        var trust = trust()
        for signers in [[1], [3], [1, 3]] {
            #expect(throws: LedgerKeyNotProven.self) { try trust.take(proof(ledger, by: signers)) }
        }
        var elsewhere = try begun()
        try announce(1, beside: 2, in: &elsewhere)
        #expect(throws: LedgerKeyNotProven.unconnected(index: elsewhere.index)) { try trust.take(proof(elsewhere, by: [0])) }
        var reads = try begun()
        try reads.write(.ledgerKeyAnnounced("\(other.verifier)", beside: text(0)), by: "ops-2")
        #expect(throws: LedgerKeyNotProven.otherDeed) { try trust.take(proof(reads, by: [0])) }
        var altered = try proof(ledger, by: [0])
        altered.entry.salt[0] ^= 1
        #expect(throws: LedgerKeyNotProven.self) { try trust.take(altered) }
        #expect(trust == self.trust())
        #expect(try trust.take(proof(ledger, by: [0])), "the control")
    }

    @Test func `a key is retired by the other's word alone, and none that was given up comes back`() throws {
        var ledger = try begun()
        try announce(1, beside: 0, in: &ledger)
        let announced = try proof(ledger, by: [0])
        var both = trust()
        _ = try both.take(announced)
        var gone = ledger
        try retire(0, in: &gone)
        #expect(throws: LedgerKeyNotProven.unconnected(index: gone.index)) {
            var trust = both
            _ = try trust.take(proof(gone, by: [0]))
        }
        // The newer was never used.
        var unused = ledger
        try retire(1, in: &unused)
        var back = both
        #expect(try back.take(proof(unused, by: [0])) && back.keys == [keys[0].verifier])
        #expect(try back.take(announced) == false && back.keys == [keys[0].verifier], "its announcement stands before")
        try announce(1, beside: 0, in: &unused)
        #expect(throws: LedgerKeyNotProven.unconnected(index: unused.index), "not even by another one") { try back.take(proof(unused, by: [0])) }
    }

    // MARK: Who follows the ledger

    private func page(_ ledger: Scribe, by signers: [Int]) throws -> WireEntries {
        var body = WireEntries()
        body.recorded = ledger.entries
        body.last = ledger.index
        body.checkpoint = try Data(note(ledger, by: signers).bytes)
        return body
    }

    private func follow(_ ledger: Scribe, by signers: [Int], _ followed: inout FollowedLedger) throws {
        let body = try page(ledger, by: signers)
        try followed.checkSigned(body.checkpoint)
        _ = try followed.take(body)
        #expect(try followed.believe(body.checkpoint, of: body.last))
    }

    @Test func `who follows the ledger goes by the next key when the one before has signed for it, and by no retired one`() throws {
        var ledger = try begun()
        var followed = FollowedLedger(trust: trust())
        try follow(ledger, by: [0], &followed)
        try announce(1, beside: 0, in: &ledger)
        #expect(throws: NotFollowed.unsigned(.unsigned(by: keys[0].verifier.name, keys[0].verifier.id))) { try follow(ledger, by: [1], &followed) }
        #expect(followed.trust == trust() && followed.applied == 2, "nothing was taken")
        try follow(ledger, by: [0], &followed)
        #expect(followed.trust.keys == [keys[0].verifier, keys[1].verifier])
        try retire(0, in: &ledger)
        var stolen = followed
        #expect(throws: NotFollowed.retiredKey(keys[0].verifier.name), "the thief has the ledger, and signs it") { try follow(ledger, by: [0], &stolen) }
        try follow(ledger, by: [1], &followed)
        #expect(followed.trust.keys == [keys[1].verifier])
        try ledger.pause(9)
        #expect(throws: NotFollowed.unsigned(.unsigned(by: keys[1].verifier.name, keys[1].verifier.id))) { try follow(ledger, by: [0], &followed) }
        try follow(ledger, by: [1], &followed)
    }

    @Test func `who begins with the first key, after it is gone, takes nothing before the proofs and everything after them`() throws {
        let (ledger, proofs) = try exchangedTwice()
        var followed = FollowedLedger(trust: trust())
        do {
            try follow(ledger, by: [2], &followed)
            Issue.record("believed a key that is not known")
        } catch let error as NotFollowed { #expect(error.isUnknownSigner) }
        #expect(followed.applied == 0)
        for proof in proofs { #expect(try followed.take(key: proof)) }
        try follow(ledger, by: [2], &followed)
        #expect(followed.trust.keys == [keys[2].verifier] && followed.next?.checkpoint.size == ledger.index)
        // Who begins with the present key learns from the ledger of all that were retired, and not of the last alone.
        var late = FollowedLedger(trust: trust(2))
        for proof in proofs { _ = try? late.take(key: proof) }
        #expect(late.trust.retired == [keys[1].verifier] && late.trust.index == ledger.index)
        try follow(ledger, by: [2], &late)
        #expect(late.trust.retired == [keys[0].verifier, keys[1].verifier])
        // Whoever has the first key, and shows all of the ledger, is told by the ledger itself.
        var naive = FollowedLedger(trust: trust())
        #expect(throws: NotFollowed.retiredKey(keys[0].verifier.name)) { try follow(ledger, by: [0], &naive) }
    }

    // MARK: Kept

    @Test func `what a follower has come to is kept, and the registry adds no key that is known to be retired`() throws {
        let (_, proofs) = try exchangedTwice()
        let pins = PinnedLedgerKeys(folder)
        #expect(try pins.load(else: keys[0].verifier) == trust(), "nothing is kept")
        let known = took(Array(proofs.prefix(2)), trust())
        pins.keep(known)
        #expect(try pins.load(else: keys[1].verifier) == known && pins.load(else: keys[0].verifier) == known)
        #expect(try pins.load(else: keys[2].verifier).keys == [keys[1].verifier, keys[2].verifier], "who was away finds the present one there")
        #expect(took(Array(proofs.suffix(2)), try pins.load(else: keys[0].verifier)).keys == [keys[2].verifier])
        for damaged in ["", "index 3\n", "\(text(0))\n", "index 3\n\(text(0)) gone\n", "index x\n\(text(0))\n", "index 3\n\(text(0))\n\(text(0)) retired\n", "index 3\n\(other.verifier)\n"] {
            try damaged.write(toFile: folder + "/control.ledger-keys", atomically: true, encoding: .utf8)
            #expect(throws: Complaint.self, "\(damaged)") { try pins.load(else: keys[0].verifier) }
        }
    }
}
