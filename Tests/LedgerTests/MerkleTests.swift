import Ledger
import Testing

@Suite struct MerkleTests {
    @Test func `the roots of the certificate transparency test vectors come out`() throws {
        // Of certificate-transparency's merkletree tests, for the first 0 to 3 of their leaves "", 00, 10.
        let data: [[UInt8]] = [[], [0x00], [0x10]]
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ]
        for size in 0...3 {
            var frontier = MerkleFrontier()
            for leaf in data.prefix(size) { _ = frontier.append(TreeHash(leaf: leaf)) }
            let digits = frontier.root.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            #expect(digits == roots[size])
        }
    }

    @Test func `roots and proofs of every size to 130 are those of the definition, and hold`() throws {
        let (all, naive) = (leaves(130), Naive())
        let memory = memory(130)
        var frontier = MerkleFrontier()
        for size in 0...130 {
            let root = try MerkleTree.root(size: UInt64(size)) { subtree throws(Memory.Absent) in try memory.hash(subtree) }
            #expect(root.bytes == naive.root(all[..<size]))
            #expect(frontier.root == root)
            let reread = try MerkleFrontier(size: UInt64(size)) { subtree throws(Memory.Absent) in try memory.hash(subtree) }
            #expect(reread == frontier)
            for index in 0..<size {
                let proof = try MerkleTree.inclusionProof(index: UInt64(index), size: UInt64(size)) { subtree throws(Memory.Absent) in
                    try memory.hash(subtree)
                }
                #expect(proof.map(\.bytes) == naive.path(index, all[..<size]))
                try MerkleProof.checkInclusion(
                    of: TreeHash(leaf: all[index]), at: UInt64(index), in: UInt64(size), root: root, proof: proof)
            }
            for older in 0...size {
                let proof = try MerkleTree.consistencyProof(older: UInt64(older), size: UInt64(size)) { subtree throws(Memory.Absent) in
                    try memory.hash(subtree)
                }
                if older > 0 { #expect(proof.map(\.bytes) == naive.proof(older, all[..<size])) }
                let olderRoot = try MerkleTree.root(size: UInt64(older)) { subtree throws(Memory.Absent) in try memory.hash(subtree) }
                try MerkleProof.checkConsistency(
                    older: UInt64(older), olderRoot: olderRoot, size: UInt64(size), root: root, proof: proof)
            }
            if size < 130 { _ = frontier.append(TreeHash(leaf: all[size])) }
        }
    }

    @Test func `a tree that is held gives the proofs of one that is asked`() throws {
        let all = leaves(70)
        for size in 1...70 {
            var (held, frontier) = (MerkleLevels(), MerkleFrontier())
            let memory = memory(size)
            for leaf in all.prefix(size) {
                held.append(TreeHash(leaf: leaf))
                _ = frontier.append(TreeHash(leaf: leaf))
                // From its edge alone it is made again.
                var edge = frontier.edge[...]
                #expect(MerkleFrontier(size: frontier.size) { _ in edge.removeFirst() } == frontier)
            }
            #expect(held.size == UInt64(size) && held.root == frontier.root)
            for older in 0...size {
                #expect(try held.consistencyProof(older: UInt64(older)) == MerkleTree.consistencyProof(older: UInt64(older), size: UInt64(size)) { subtree throws(Memory.Absent) in try memory.hash(subtree) })
            }
        }
    }

    private func holds(_ body: () throws -> Void) -> Bool {
        do { try body() } catch { return false }
        return true
    }

    private func flipped(_ hash: TreeHash, _ byte: Int) throws -> TreeHash {
        var bytes = hash.bytes
        bytes[byte] ^= 1
        return try #require(TreeHash(bytes: bytes))
    }

    /// Every way to spoil a list of hashes by one step.
    private func spoiled(_ proof: [TreeHash]) throws -> [[TreeHash]] {
        var all: [[TreeHash]] = []
        for part in proof.indices {
            for byte in 0..<32 {
                var other = proof
                other[part] = try flipped(proof[part], byte)
                all.append(other)
            }
            var other = proof
            other.remove(at: part)
            all.append(other)
            other = proof
            other.insert(proof[part], at: part)
            all.append(other)
            if part > 0 {
                other = proof
                other.swapAt(part, part - 1)
                all.append(other)
            }
        }
        all.append(proof + [MerkleTree.emptyRoot])
        return all
    }

    @Test(arguments: [1, 2, 3, 7, 8, 13] as [UInt64])
    func `an inclusion proof with one byte, place, index, size or root changed shows nothing`(_ size: UInt64) throws {
        let memory = memory(Int(size) + 1)
        let hash = { (subtree: Subtree) throws(Memory.Absent) -> TreeHash in try memory.hash(subtree) }
        let root = try MerkleTree.root(size: size, hash: hash)
        for index in 0..<size {
            let leaf = TreeHash(leaf: leaves(Int(size))[Int(index)])
            let proof = try MerkleTree.inclusionProof(index: index, size: size, hash: hash)
            #expect(holds { try MerkleProof.checkInclusion(of: leaf, at: index, in: size, root: root, proof: proof) })
            for other in try spoiled(proof) {
                #expect(!holds { try MerkleProof.checkInclusion(of: leaf, at: index, in: size, root: root, proof: other) })
            }
            for other in (0...size) where other != index {
                #expect(!holds { try MerkleProof.checkInclusion(of: leaf, at: other, in: size, root: root, proof: proof) })
            }
            for byte in 0..<32 {
                let (leaf2, root2) = (try flipped(leaf, byte), try flipped(root, byte))
                #expect(!holds { try MerkleProof.checkInclusion(of: leaf2, at: index, in: size, root: root, proof: proof) })
                #expect(!holds { try MerkleProof.checkInclusion(of: leaf, at: index, in: size, root: root2, proof: proof) })
            }
        }
        #expect(!holds { try MerkleProof.checkInclusion(of: root, at: 0, in: 0, root: root, proof: []) })
    }

    @Test(arguments: [2, 3, 7, 8, 13] as [UInt64])
    func `a consistency proof with one byte, place or root changed shows nothing`(_ size: UInt64) throws {
        let memory = memory(Int(size))
        let hash = { (subtree: Subtree) throws(Memory.Absent) -> TreeHash in try memory.hash(subtree) }
        let root = try MerkleTree.root(size: size, hash: hash)
        for older in 1..<size {
            let olderRoot = try MerkleTree.root(size: older, hash: hash)
            let proof = try MerkleTree.consistencyProof(older: older, size: size, hash: hash)
            let holds = { (one: TreeHash, two: TreeHash, proof: [TreeHash]) in
                self.holds { try MerkleProof.checkConsistency(older: older, olderRoot: one, size: size, root: two, proof: proof) }
            }
            #expect(holds(olderRoot, root, proof))
            for other in try spoiled(proof) { #expect(!holds(olderRoot, root, other)) }
            for byte in 0..<32 {
                #expect(!holds(try flipped(olderRoot, byte), root, proof))
                #expect(!holds(olderRoot, try flipped(root, byte), proof))
            }
            #expect(!holds(olderRoot, root, []))
        }
        #expect(!holds { try MerkleProof.checkConsistency(older: size + 1, olderRoot: root, size: size, root: root, proof: []) })
        #expect(!holds { try MerkleProof.checkConsistency(older: 0, olderRoot: root, size: size, root: root, proof: []) })
    }

    @Test func `a proof in a tree of 2^40 leaves asks for few hashes`() throws {
        var asked = 0
        let proof = MerkleTree.inclusionProof(index: 1 << 39 + 12_345, size: 1 << 40 - 1) { subtree in
            asked += 1
            return TreeHash(leaf: "\(subtree.level) \(subtree.index)".utf8)
        }
        #expect(proof.count <= 40)
        #expect(asked <= 2 * 40)
    }
}
