import Ledger
import Testing

@Suite struct WitnessTests {
    let memory = LedgerTests.memory(20)

    private func checkpoint(_ size: UInt64, of memory: Memory? = nil) throws -> Checkpoint {
        let memory = memory ?? self.memory
        return Checkpoint(origin: try name("ledger.example"), size: size, root: try MerkleTree.root(size: size) { try memory.hash($0) })
    }

    private func proof(_ older: UInt64, _ size: UInt64, of memory: Memory? = nil) throws -> [TreeHash] {
        let memory = memory ?? self.memory
        return try MerkleTree.consistencyProof(older: older, size: size) { try memory.hash($0) }
    }

    /// Another ledger that agrees up to leaf 8.
    private var fork: Memory {
        var fork = LedgerTests.memory(8)
        for number in 8..<20 { fork.append([UInt8(number)]) }
        return fork
    }

    @Test func `a ledger that grows is accepted, step by step`() throws {
        var witness = CheckpointWitness(origin: try name("ledger.example"))
        #expect(witness.see(try checkpoint(3), proof: []) == .first)
        #expect(witness.see(try checkpoint(3), proof: []) == .same)
        #expect(witness.see(try checkpoint(11), proof: try proof(3, 11)) == .accepted(from: 3))
        #expect(witness.last == (try checkpoint(11)))
        var other = CheckpointWitness(continuing: try checkpoint(11))
        #expect(other == witness)
        #expect(other.see(try checkpoint(20), proof: try proof(11, 20)) == .accepted(from: 11))
    }

    @Test func `one that was rolled back, forked or rewritten is told apart, and changes nothing`() throws {
        let seen = try checkpoint(11)
        var witness = CheckpointWitness(continuing: seen)
        #expect(witness.see(try checkpoint(5), proof: []) == .behind(seen: 11, offered: 5))
        let forked = try checkpoint(11, of: fork)
        #expect(witness.see(forked, proof: []) == .forked(size: 11, seen: seen.root, offered: forked.root))
        let rewritten = try checkpoint(20, of: fork)
        #expect(witness.see(rewritten, proof: try proof(11, 20, of: fork)) == .inconsistent(from: 11, to: 20, .rootDiffers))
        #expect(witness.see(try checkpoint(20), proof: []) == .inconsistent(from: 11, to: 20, .tooShort))
        let stranger = Checkpoint(origin: try name("another.example"), size: 20, root: try checkpoint(20).root)
        #expect(witness.see(stranger, proof: try proof(11, 20)) == .otherOrigin(try name("another.example")))
        #expect(witness.last == seen)
        #expect(witness.see(try checkpoint(20), proof: try proof(11, 20)) == .accepted(from: 11))
    }

    @Test func `what agrees up to what was seen is accepted, whatever another witness saw`() throws {
        var witness = CheckpointWitness(continuing: try checkpoint(7))
        #expect(witness.see(try checkpoint(20, of: fork), proof: try proof(7, 20, of: fork)) == .accepted(from: 7))
    }
}
