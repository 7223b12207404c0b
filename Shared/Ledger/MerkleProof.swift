/// Why a proof shows nothing.
package enum ProofRefused: Error, Hashable, Sendable {
    /// The leaf, or the older tree, is not within the size that is spoken of.
    case beyond(size: UInt64)
    /// The sizes ask for more hashes than there are.
    case tooShort
    case tooLong
    /// The hashes lead to another root, of the tree or of the older one.
    case rootDiffers
}

/// What anybody can check who knows roots and sizes alone. Source: RFC 9162, sections 2.1.3.2 and 2.1.4.2, whose tree is that of RFC 6962.
package enum MerkleProof {
    /// That `leaf` is at `index` in the tree of `size` leaves with `root`.
    package static func checkInclusion(
        of leaf: TreeHash, at index: UInt64, in size: UInt64, root: TreeHash, proof: [TreeHash]
    ) throws(ProofRefused) {
        guard index < size else { throw .beyond(size: size) }
        var (node, last, hash) = (index, size - 1, leaf)
        for part in proof {
            guard last != 0 else { throw .tooLong }
            if node & 1 == 1 || node == last {
                hash = TreeHash(left: part, right: hash)
                while node & 1 == 0, node != 0 { (node, last) = (node >> 1, last >> 1) }
            } else {
                hash = TreeHash(left: hash, right: part)
            }
            (node, last) = (node >> 1, last >> 1)
        }
        guard last == 0 else { throw .tooShort }
        guard hash == root else { throw .rootDiffers }
    }

    /// That the tree of `size` leaves with `root` begins with the tree of `older` leaves and `olderRoot`.
    package static func checkConsistency(
        older: UInt64, olderRoot: TreeHash, size: UInt64, root: TreeHash, proof: [TreeHash]
    ) throws(ProofRefused) {
        guard older <= size else { throw .beyond(size: size) }
        // Nothing is to be shown, and so nothing may be brought.
        if older == size || older == 0 {
            guard proof.isEmpty else { throw .tooLong }
            guard older == size ? olderRoot == root : olderRoot == MerkleTree.emptyRoot else { throw .rootDiffers }
            guard size > 0 || root == MerkleTree.emptyRoot else { throw .rootDiffers }
            return
        }
        // A complete older tree is a subtree of the new one, and its root the first hash.
        let path = older & (older - 1) == 0 ? [olderRoot] + proof : proof
        guard !proof.isEmpty, let first = path.first else { throw .tooShort }
        var (node, last) = (older - 1, size - 1)
        while node & 1 == 1 { (node, last) = (node >> 1, last >> 1) }
        var (olderHash, hash) = (first, first)
        for part in path.dropFirst() {
            guard last != 0 else { throw .tooLong }
            if node & 1 == 1 || node == last {
                olderHash = TreeHash(left: part, right: olderHash)
                hash = TreeHash(left: part, right: hash)
                while node & 1 == 0, node != 0 { (node, last) = (node >> 1, last >> 1) }
            } else {
                hash = TreeHash(left: hash, right: part)
            }
            (node, last) = (node >> 1, last >> 1)
        }
        guard last == 0 else { throw .tooShort }
        guard olderHash == olderRoot, hash == root else { throw .rootDiffers }
    }
}
