package import Crypto

/// A hash of the tree: SHA-256, 32 bytes.
package struct TreeHash: Hashable, Sendable, CustomStringConvertible {
    package static let bytesCount = 32

    private let words: SIMD4<UInt64>

    /// Nil unless there are 32 bytes.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == TreeHash.bytesCount else { return nil }
        var words = SIMD4<UInt64>()
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
        self.words = words
    }

    package init(_ digest: SHA256.Digest) {
        var words = SIMD4<UInt64>()
        withUnsafeMutableBytes(of: &words) { target in digest.withUnsafeBytes { target.copyBytes(from: $0) } }
        self.words = words
    }

    /// Of a leaf: SHA-256(0x00 ‖ data). Source: RFC 6962, section 2.1.
    package init(leaf data: some Collection<UInt8>) {
        var block: [UInt8] = [0x00]
        block.append(contentsOf: data)
        self.init(SHA256.hash(data: block))
    }

    /// Of two subtrees: SHA-256(0x01 ‖ left ‖ right).
    package init(left: TreeHash, right: TreeHash) {
        var block: [UInt8] = [0x01]
        block.reserveCapacity(1 + 2 * TreeHash.bytesCount)
        withUnsafeBytes(of: left.words) { block.append(contentsOf: $0) }
        withUnsafeBytes(of: right.words) { block.append(contentsOf: $0) }
        self.init(SHA256.hash(data: block))
    }

    package var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    package var description: String { Base64.text(of: bytes) }
}
