/// A tree whose hashes are all held, 64 bytes for each leaf: for whoever proves several parts of what they have just made.
package struct MerkleLevels: Sendable {
    private var frontier = MerkleFrontier()
    /// Complete subtrees, by level and index.
    private var levels: [[TreeHash]] = []

    package init() {}

    package mutating func append(_ leaf: TreeHash) {
        for (subtree, hash) in frontier.append(leaf) {
            if subtree.level == levels.count { levels.append([]) }
            levels[subtree.level].append(hash)
        }
    }

    package var size: UInt64 { frontier.size }
    package var root: TreeHash { frontier.root }

    /// As ``MerkleTree/consistencyProof(older:size:hash:)``, to the whole tree.
    ///
    /// - Parameter older: at most ``size``.
    package func consistencyProof(older: UInt64) -> [TreeHash] {
        MerkleTree.consistencyProof(older: older, size: size) { levels[$0.level][Int($0.index)] }
    }
}
