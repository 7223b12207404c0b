/// Why a text is no checkpoint.
package enum CheckpointRefused: Error, Hashable, Sendable {
    /// Not three lines that end.
    case shape
    case origin
    case size
    case root
    /// Lines after the root. C2SP permits them; ours have one at most, and nobody has told us what others would promise.
    case extensionLines(Int)
    case stored
}

/// How long a ledger is, and the root of what it holds: a promise once it is signed. Source: C2SP tlog-checkpoint v1.0.0.
///
/// Written `origin LF size LF base64(root) LF`, then `vault N LF` if a vault stands beside the ledger, and in no other way.
package struct Checkpoint: Hashable, Sendable {
    package let origin: KeyName
    /// Entries; at most 2^62.
    package let size: UInt64
    package let root: TreeHash
    /// Segments that the vault has ever stored which the ledger lies in; at most 2^62. It never goes back, as the size; nil: there is none, or it is not said.
    package let stored: UInt64?

    package init(origin: KeyName, size: UInt64, root: TreeHash, stored: UInt64? = nil) {
        self.origin = origin
        self.size = size
        self.root = root
        self.stored = stored
    }

    package init(parsing text: String) throws(CheckpointRefused) {
        guard let lines = Lines.split(text.utf8), lines.count >= 3 else { throw .shape }
        let isVault = lines.count == 4 && lines[3].hasPrefix(Checkpoint.vault)
        guard lines.count == 3 || isVault else { throw .extensionLines(lines.count - 3) }
        guard let origin = KeyName(lines[0]) else { throw .origin }
        guard let size = Decimal.number(of: lines[1]), size <= MerkleTree.sizeMax else { throw .size }
        guard let bytes = Base64.bytes(of: lines[2]), let root = TreeHash(bytes: bytes) else { throw .root }
        guard size > 0 || root == MerkleTree.emptyRoot else { throw .root }
        guard isVault else {
            self.init(origin: origin, size: size, root: root)
            return
        }
        guard let stored = Decimal.number(of: String(lines[3].dropFirst(Checkpoint.vault.count))), stored <= MerkleTree.sizeMax else { throw .stored }
        self.init(origin: origin, size: size, root: root, stored: stored)
    }

    private static let vault = "vault "

    package var text: String { "\(origin)\n\(size)\n\(root)\n\(stored.map { "\(Checkpoint.vault)\($0)\n" } ?? "")" }
}
