import Foundation
import Ledger
import Testing

/// `Tests/Interop/ledger.tlog-proof` is made by libraries that share nothing with ours, in Python; see `Tests/Interop/test_ledger.py`.
@Suite struct InteropTests {
    static let vector = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Interop/ledger.tlog-proof")

    @Test func `a proof file of another implementation is what this one writes`() throws {
        let scene = try Scene(131)
        let ledger = try signer("sluice.example/governance", 7)
        let witness = try signer("sluice.example/policy", 9, .cosignature)
        let text = try scene.checkpoint(at: 131).text
        let note = try SignedNote(text: text, signatures: [ledger.sign(text, at: 0), witness.sign(text, at: 1_764_000_000)])
        let proof = try EntryProof(index: 77, hashes: scene.store.inclusionProof(of: 77, in: 131), note: note)
        #expect(proof.bytes == Array(try Data(contentsOf: Self.vector)))
    }

    @Test func `a proof file of another implementation verifies, for its entry alone`() throws {
        let ledger = try signer("sluice.example/governance", 7).verifier
        let witness = try signer("sluice.example/policy", 9, .cosignature).verifier
        let proof = try EntryProof(parsing: Array(try Data(contentsOf: Self.vector)))
        let (checkpoint, signatories) = try proof.verify(entry(77).leaf, ledger: ledger, witnesses: [witness])
        #expect(checkpoint.size == 131)
        #expect(signatories.first { $0.key == witness }?.time == 1_764_000_000)
        #expect(throws: EntryProofRefused.self) { try proof.verify(entry(76).leaf, ledger: ledger, witnesses: [witness]) }
    }
}
