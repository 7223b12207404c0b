import Crypto

/// A complete subtree: the leaves `index << level ..< (index + 1) << level`. A leaf has level 0.
///
/// Its hash never changes once its last leaf is there, so it can be stored, and served: a C2SP tile (L, N) is the subtrees of level
/// 8L with the indexes 256N ..< 256(N + 1).
package struct Subtree: Hashable, Sendable {
    package let level: Int
    package let index: UInt64

    package init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }

    package var leaves: Range<UInt64> { index << UInt64(level)..<(index + 1) << UInt64(level) }
}

/// The Merkle tree of RFC 6962, section 2.1, from the hashes of its complete subtrees. Holds nothing.
///
/// Roots and proofs ask `hash` for 2 log₂ n subtrees at most, all of them complete within `size` (one part of a proof at most is at the tree's
/// ragged edge, the others are one subtree each); whatever it throws is thrown on.
/// Callers see to it that `size` is at most 2^62, and that indexes and older sizes lie within `size`.
package enum MerkleTree {
    package static let emptyRoot = TreeHash(SHA256.hash(data: [UInt8]()))
    package static let sizeMax: UInt64 = 1 << 62

    package static func root<Failure: Error>(
        size: UInt64, hash: (Subtree) throws(Failure) -> TreeHash
    ) throws(Failure) -> TreeHash {
        size == 0 ? emptyRoot : try root(of: 0..<size, hash: hash)
    }

    /// That leaf `index` is in the tree of `size` leaves, from the leaf's sibling upwards. Source: PATH, section 2.1.1.
    package static func inclusionProof<Failure: Error>(
        index: UInt64, size: UInt64, hash: (Subtree) throws(Failure) -> TreeHash
    ) throws(Failure) -> [TreeHash] {
        precondition(index < size && size <= sizeMax)
        var siblings: [Range<UInt64>] = []
        var range = 0..<size
        while range.count > 1 {
            let split = split(range)
            if index < split {
                siblings.append(split..<range.upperBound)
                range = range.lowerBound..<split
            } else {
                siblings.append(range.lowerBound..<split)
                range = split..<range.upperBound
            }
        }
        return try roots(of: siblings.reversed(), hash: hash)
    }

    /// That the tree of `size` leaves begins with the tree of `older`. Empty if they are equal, or `older` is 0. Source: PROOF, section 2.1.2.
    package static func consistencyProof<Failure: Error>(
        older: UInt64, size: UInt64, hash: (Subtree) throws(Failure) -> TreeHash
    ) throws(Failure) -> [TreeHash] {
        precondition(older <= size && size <= sizeMax)
        guard older > 0, older < size else { return [] }
        var parts: [Range<UInt64>] = []
        var range = 0..<size
        while older != range.upperBound {
            let split = split(range)
            if older <= split {
                parts.append(split..<range.upperBound)
                range = range.lowerBound..<split
            } else {
                parts.append(range.lowerBound..<split)
                range = split..<range.upperBound
            }
        }
        // The older tree's own root is known to whoever asks; a right part of it is not.
        if range.lowerBound != 0 { parts.append(range) }
        return try roots(of: parts.reversed(), hash: hash)
    }

    /// Where RFC 6962 divides a range of two leaves or more: after the largest power of two below its count.
    private static func split(_ range: Range<UInt64>) -> UInt64 {
        let count = range.upperBound - range.lowerBound
        return range.lowerBound + 1 << UInt64(63 - (count - 1).leadingZeroBitCount)
    }

    private static func roots<Failure: Error>(
        of ranges: [Range<UInt64>], hash: (Subtree) throws(Failure) -> TreeHash
    ) throws(Failure) -> [TreeHash] {
        var roots: [TreeHash] = []
        for range in ranges { roots.append(try root(of: range, hash: hash)) }
        return roots
    }

    /// Of a range that the tree's own divisions made, and so of complete subtrees, larger ones first.
    private static func root<Failure: Error>(
        of range: Range<UInt64>, hash: (Subtree) throws(Failure) -> TreeHash
    ) throws(Failure) -> TreeHash {
        var end = range.upperBound
        var root: TreeHash?
        while end > range.lowerBound {
            let level = (end - range.lowerBound).trailingZeroBitCount
            let start = end - 1 << UInt64(level)
            let part = try hash(Subtree(level: level, index: start >> UInt64(level)))
            root = root.map { TreeHash(left: part, right: $0) } ?? part
            end = start
        }
        return root ?? emptyRoot
    }
}

/// The right edge of a tree: what an append needs, and no more. At most one complete subtree for each level.
package struct MerkleFrontier: Hashable, Sendable {
    package private(set) var size: UInt64
    /// From the leaves' side up; one for each bit that is set in `size`. With it and `size` the frontier is made again.
    package private(set) var edge: [TreeHash]

    package init() {
        size = 0
        edge = []
    }

    package init<Failure: Error>(size: UInt64, hash: (Subtree) throws(Failure) -> TreeHash) throws(Failure) {
        self.size = size
        edge = []
        for level in 0..<63 where size >> UInt64(level) & 1 == 1 {
            // The last subtree of its level that is complete, and no part of a larger one.
            edge.append(try hash(Subtree(level: level, index: size >> UInt64(level) - 1)))
        }
    }

    /// - Returns: Each subtree that the leaf completes, itself first: to be stored before the new size is told to anybody.
    package mutating func append(_ leaf: TreeHash) -> [(subtree: Subtree, hash: TreeHash)] {
        var completed = [(subtree: Subtree(level: 0, index: size), hash: leaf)]
        var hash = leaf
        let joins = (~size).trailingZeroBitCount
        for level in 0..<joins {
            hash = TreeHash(left: edge[level], right: hash)
            completed.append((Subtree(level: level + 1, index: size >> UInt64(level + 1)), hash))
        }
        edge.replaceSubrange(0..<joins, with: [hash])
        size += 1
        return completed
    }

    package var root: TreeHash {
        guard var root = edge.first else { return MerkleTree.emptyRoot }
        for left in edge.dropFirst() { root = TreeHash(left: left, right: root) }
        return root
    }
}
