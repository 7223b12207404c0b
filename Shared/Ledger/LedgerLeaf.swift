import Crypto

/// What is recorded: a body, and the salt that keeps whoever sees the leaf from trying out what the body might have been.
package struct LedgerEntry: Hashable, Sendable {
    package static let saltBytes = 32
    /// A policy document is the largest thing that is recorded; 16 MiB is more than ever was.
    package static let bodyBytesMax = 16 << 20

    /// 32 random bytes, of this entry alone.
    package let salt: [UInt8]
    package let body: [UInt8]

    /// Nil unless the salt has 32 bytes, and the body 16 MiB at most.
    package init?(salt: [UInt8], body: [UInt8]) {
        guard salt.count == LedgerEntry.saltBytes, body.count <= LedgerEntry.bodyBytesMax else { return nil }
        self.salt = salt
        self.body = body
    }

    package var leaf: LedgerLeaf { LedgerLeaf(of: self) }
}

/// What the tree holds of an entry: a version byte, then SHA-256(salt ‖ body); 33 bytes.
///
/// Once salt and body are erased, it says that something was recorded there, and nothing of what.
package struct LedgerLeaf: Hashable, Sendable {
    package static let version: UInt8 = 1
    package static let bytesCount = 33

    package let bytes: [UInt8]

    init(of entry: LedgerEntry) {
        var hash = SHA256()
        hash.update(data: entry.salt)
        hash.update(data: entry.body)
        bytes = [LedgerLeaf.version] + hash.finalize()
    }

    /// Nil unless there are 33 bytes of this version.
    package init?(bytes: [UInt8]) {
        guard bytes.count == LedgerLeaf.bytesCount, bytes.first == LedgerLeaf.version else { return nil }
        self.bytes = bytes
    }

    package var hash: TreeHash { TreeHash(leaf: bytes) }
}
