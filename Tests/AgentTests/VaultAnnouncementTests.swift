import Crypto
import Foundation
import Gate
import Ledger
import Seal
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_agent

@Suite struct VaultAnnouncementTests {
    /// Four entries: two keys among others.
    private func record() throws -> Record {
        let record = try Record()
        try record.append(.removed([1]))
        try record.append(.vaultKeyAnnounced(key(5)))
        try record.append(.removed([2]))
        try record.append(.vaultKeyAnnounced(key(6)))
        return record
    }

    @Test func `an entry that control's ledger holds and that announces a key is believed`() throws {
        let record = try record()
        let first = try VaultAnnouncement.check(record.proof(of: 1), ledger: [record.signer.verifier], accepted: nil)
        #expect(first.key.raw == key(5) && first.index == 2)
        let second = try VaultAnnouncement.check(record.proof(of: 3), ledger: [record.signer.verifier], accepted: first)
        #expect(second.key.raw == key(6) && second.index == 4)
        // Asked again, with a longer ledger behind it, it is the same.
        try record.append(.removed([3]))
        #expect(try VaultAnnouncement.check(record.proof(of: 3), ledger: [record.signer.verifier], accepted: second) == second)
    }

    @Test func `a key that was announced before the accepted one is refused, and so is another at its place`() throws {
        let record = try record()
        let second = try VaultAnnouncement.check(record.proof(of: 3), ledger: [record.signer.verifier], accepted: nil)
        #expect(throws: AnnouncementRefused.older(index: 2, accepted: 4)) {
            try VaultAnnouncement.check(record.proof(of: 1), ledger: [record.signer.verifier], accepted: second)
        }
        // The same key of control's, another history.
        let other = try Record()
        for number in 1...3 { try other.append(.removed([UInt32(number)])) }
        try other.append(.vaultKeyAnnounced(key(7)))
        #expect(throws: AnnouncementRefused.contradicts(index: 4)) {
            try VaultAnnouncement.check(other.proof(of: 3), ledger: [record.signer.verifier], accepted: second)
        }
    }

    @Test func `a checkpoint that control did not sign proves nothing`() throws {
        let record = try record()
        let stranger = try Record(seed: 9).signer
        #expect(stranger.verifier.name == record.signer.verifier.name)
        func isRefused(_ proof: WireEntryProof, _ what: String) {
            #expect("\(what)") {
                try VaultAnnouncement.check(proof, ledger: [record.signer.verifier], accepted: nil)
            } throws: { error in
                guard case .notProven? = error as? AnnouncementRefused else { return false }
                return true
            }
        }
        isRefused(try record.proof(of: 1, signedBy: stranger), "forged")
        isRefused(try record.proof(of: 1, as: KeyName("sluice/other/governance")), "another origin under the right signature")
        isRefused(try Record("sluice/other/governance").proofOfOne(), "another ledger")
        var of = try record.proof(of: 1)
        of.proof = try record.proof(of: 3).proof
        isRefused(of, "the proof of another entry")
        of = try record.proof(of: 1)
        of.entry.body = try record.proof(of: 3).entry.body
        isRefused(of, "another body")
        of = try record.proof(of: 1)
        of.entry.salt[0] ^= 1
        isRefused(of, "another salt")
        for place in stride(from: 0, to: try record.proof(of: 1).proof.count, by: 7) {
            of = try record.proof(of: 1)
            of.proof[place] ^= 1
            isRefused(of, "byte \(place)")
        }
        isRefused(WireEntryProof.with { $0.entry = of.entry }, "no proof")
    }

    @Test func `what is proven and announces no key, or none that is one, is refused`() throws {
        let record = try record()
        let verifier = record.signer.verifier
        #expect(throws: AnnouncementRefused.otherDeed) { try VaultAnnouncement.check(record.proof(of: 0), ledger: [verifier], accepted: nil) }
        try record.append(.vaultKeyAnnounced(Array(key(5).dropLast())))
        #expect(throws: AnnouncementRefused.badKey) { try VaultAnnouncement.check(record.proof(of: 4), ledger: [verifier], accepted: nil) }
        try record.append(.vaultKeyAnnounced(key(8)), index: 99)
        #expect(throws: AnnouncementRefused.misplaced(index: 99, proven: 6)) { try VaultAnnouncement.check(record.proof(of: 5), ledger: [verifier], accepted: nil) }
        try record.append(body: [0xff, 0xff])
        #expect(throws: AnnouncementRefused.unreadable) { try VaultAnnouncement.check(record.proof(of: 6), ledger: [verifier], accepted: nil) }
        #expect(throws: AnnouncementRefused.unreadable) { try VaultAnnouncement.check(WireEntryProof(), ledger: [verifier], accepted: nil) }
    }
}

extension Record {
    fileprivate func proofOfOne() throws -> WireEntryProof {
        try append(.vaultKeyAnnounced(key(5)))
        return try proof(of: 0)
    }
}
