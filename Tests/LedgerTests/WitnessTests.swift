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

    @Test func `a vault that has stored less than was seen, or says no more, is behind, whatever its ledger says`() throws {
        func with(_ stored: UInt64?, _ size: UInt64) throws -> Checkpoint {
            let plain = try checkpoint(size)
            return Checkpoint(origin: plain.origin, size: plain.size, root: plain.root, stored: stored)
        }
        var witness = CheckpointWitness(continuing: try with(nil, 7))
        // Nothing was said before: whatever is said is taken on trust, once.
        #expect(witness.see(try with(40, 7), proof: []) == .same && witness.last?.stored == 40)
        #expect(witness.see(try with(41, 7), proof: []) == .same && witness.last?.stored == 41)
        for stored in [40, 0, nil] as [UInt64?] {
            #expect(witness.see(try with(stored, 7), proof: []) == .vaultBehind(seen: 41, offered: stored ?? 0))
            #expect(witness.see(try with(stored, 11), proof: try proof(7, 11)) == .vaultBehind(seen: 41, offered: stored ?? 0))
        }
        #expect(witness.last == (try with(41, 7)), "and nothing of it is kept")
        #expect(witness.see(try with(41, 11), proof: try proof(7, 11)) == .accepted(from: 7))
        #expect(witness.last == (try with(41, 11)))
    }
}
