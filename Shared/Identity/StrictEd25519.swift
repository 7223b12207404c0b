package import Crypto

/// Ed25519 (RFC 8032) without the freedoms that verifiers take differently.
///
/// BoringSSL compares R byte by byte, without the cofactor, and refuses S ≥ l. It takes keys of low order, under which one
/// signature fits many messages, and keys in a second encoding, under which one key has two ids: these are refused here. A point of
/// mixed order cannot be told without arithmetic on the curve; whatever BoringSSL takes under one, a verifier with the cofactor takes too.
/// Source: "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020).
package enum StrictEd25519 {
    package static let keyBytes = 32
    package static let signatureBytes = 64

    /// Why 32 bytes are no fit point.
    package enum PointRefused: Error, Hashable, Sendable {
        case length(Int)
        /// y ≥ 2^255 − 19: another encoding of a smaller y.
        case notCanonical
        /// One of the eight points of small order, x = −0 included.
        case lowOrder
    }

    package static func check(point: [UInt8]) throws(PointRefused) {
        guard point.count == keyBytes else { throw .length(point.count) }
        var y = point
        y[31] &= 0x7f
        if y[31] == 0x7f, y[1..<31].allSatisfy({ $0 == 0xff }), y[0] >= 0xed { throw .notCanonical }
        if lowOrder.contains(y) { throw .lowOrder }
    }

    package static func isValid(_ signature: [UInt8], for message: [UInt8], by key: Curve25519.Signing.PublicKey) -> Bool {
        guard signature.count == signatureBytes, isReduced(signature[32...]) else { return false }
        do { try check(point: Array(signature[..<32])) } catch { return false }
        return key.isValidSignature(signature, for: message)
    }

    /// Whether S < l, little-endian. BoringSSL asks too; a library that does not would make two signatures of one.
    private static func isReduced(_ scalar: ArraySlice<UInt8>) -> Bool {
        for (mine, limit) in zip(scalar.reversed(), order) where mine != limit { return mine < limit }
        return false
    }

    /// l = 2^252 + 27742317777372353535851937790883648493, big-endian.
    private static let order: [UInt8] = [
        0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c, 0xd6, 0x58, 0x12, 0x63, 0x1a, 0x5c, 0xf5, 0xd3, 0xed,
    ]

    /// y of the points of order 1, 2, 4 and 8, little-endian.
    private static let lowOrder: Set<[UInt8]> = {
        let one: [UInt8] = [1] + Array(repeating: 0, count: 31)
        let minusOne: [UInt8] = [0xec] + Array(repeating: 0xff, count: 30) + [0x7f]
        let zero = [UInt8](repeating: 0, count: 32)
        let eighth: [UInt8] = [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ]
        let otherEighth: [UInt8] = [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ]
        return [one, minusOne, zero, eighth, otherEighth]
    }()
}
