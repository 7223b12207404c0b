/// Remembers the longest checkpoint of another ledger, and says whether the next one continues it. Reads no clock, touches no disk.
///
/// Callers verify the signature first, and keep ``last`` durably before they cosign what was accepted: a witness that forgets is none.
///
/// Moves: nothing seen → `first`; a longer one with its proof → `accepted`; the same → `same`. Everything else leaves the state as it is.
package struct CheckpointWitness: Hashable, Sendable {
    package enum Verdict: Hashable, Sendable {
        /// Nothing was seen before, and nothing is shown: the one step that is taken on trust.
        case first
        case accepted(from: UInt64)
        /// The same entries; the vault beside them may have stored more.
        case same
        /// Shorter than what was seen: rolled back, truncated, or late.
        case behind(seen: UInt64, offered: UInt64)
        /// Two roots of one size: the ledger told two stories.
        case forked(size: UInt64, seen: TreeHash, offered: TreeHash)
        /// Longer, and not shown to continue what was seen: rewritten, or the proof is damaged.
        case inconsistent(from: UInt64, to: UInt64, ProofRefused)
        case otherOrigin(KeyName)
        /// The ledger goes on, and the vault that it lies in has stored less than was seen, or does not say any more: it was put back.
        case vaultBehind(seen: UInt64, offered: UInt64)

        /// Whether the checkpoint may be cosigned, and the ledger served.
        package var isGood: Bool {
            switch self {
            case .first, .accepted, .same: true
            case .behind, .forked, .inconsistent, .otherOrigin, .vaultBehind: false
            }
        }
    }

    package let origin: KeyName
    package private(set) var last: Checkpoint?

    /// Has seen nothing yet.
    package init(origin: KeyName) {
        self.origin = origin
        last = nil
    }

    /// Goes on from what was kept.
    package init(continuing last: Checkpoint) {
        origin = last.origin
        self.last = last
    }

    /// - Parameter proof: From ``last`` to the checkpoint; empty for the first, and for the same.
    package mutating func see(_ checkpoint: Checkpoint, proof: [TreeHash]) -> Verdict {
        guard checkpoint.origin == origin else { return .otherOrigin(checkpoint.origin) }
        guard let seen = last else {
            last = checkpoint
            return .first
        }
        if checkpoint.size < seen.size { return .behind(seen: seen.size, offered: checkpoint.size) }
        if checkpoint.size == seen.size {
            guard checkpoint.root == seen.root else { return .forked(size: seen.size, seen: seen.root, offered: checkpoint.root) }
            guard isVaultWhole(checkpoint, seen) else { return .vaultBehind(seen: seen.stored ?? 0, offered: checkpoint.stored ?? 0) }
            last = checkpoint
            return .same
        }
        do {
            try MerkleProof.checkConsistency(
                older: seen.size, olderRoot: seen.root, size: checkpoint.size, root: checkpoint.root, proof: proof)
        } catch {
            return .inconsistent(from: seen.size, to: checkpoint.size, error)
        }
        guard isVaultWhole(checkpoint, seen) else { return .vaultBehind(seen: seen.stored ?? 0, offered: checkpoint.stored ?? 0) }
        last = checkpoint
        return .accepted(from: seen.size)
    }

    private func isVaultWhole(_ checkpoint: Checkpoint, _ seen: Checkpoint) -> Bool {
        guard let least = seen.stored else { return true }
        return checkpoint.stored.map { $0 >= least } ?? false
    }
}
