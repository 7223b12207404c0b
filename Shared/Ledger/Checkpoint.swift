/// Why a text is no checkpoint.
package enum CheckpointRefused: Error, Hashable, Sendable {
    /// Not three lines that end.
    case shape
    case origin
    case size
    case root
    /// Lines after the root. C2SP permits them; ours have none, and nobody has told us what they would promise.
    case extensionLines(Int)
}

/// How long a ledger is, and the root of what it holds: a promise once it is signed. Source: C2SP tlog-checkpoint v1.0.0.
///
/// Written `origin LF size LF base64(root) LF`, and in no other way.
package struct Checkpoint: Hashable, Sendable {
    package let origin: KeyName
    /// Entries; at most 2^62.
    package let size: UInt64
    package let root: TreeHash

    package init(origin: KeyName, size: UInt64, root: TreeHash) {
        self.origin = origin
        self.size = size
        self.root = root
    }

    package init(parsing text: String) throws(CheckpointRefused) {
        guard let lines = Lines.split(text.utf8), lines.count >= 3 else { throw .shape }
        guard lines.count == 3 else { throw .extensionLines(lines.count - 3) }
        guard let origin = KeyName(lines[0]) else { throw .origin }
        guard let size = Decimal.number(of: lines[1]), size <= MerkleTree.sizeMax else { throw .size }
        guard let bytes = Base64.bytes(of: lines[2]), let root = TreeHash(bytes: bytes) else { throw .root }
        guard size > 0 || root == MerkleTree.emptyRoot else { throw .root }
        self.init(origin: origin, size: size, root: root)
    }

    package var text: String { "\(origin)\n\(size)\n\(root)\n" }
}
