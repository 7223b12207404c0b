import Crypto
import Foundation

/// The construction that both sides share. `Shared/Wire/SPEC.md`, section 13, says the same in words; a vector there holds both to it.
enum Suite {
    /// RFC 9180: KEM 0x0020, KDF 0x0001, AEAD 0x0002.
    static let hpke = HPKE.Ciphersuite(kem: .Curve25519_HKDF_SHA256, kdf: .HKDF_SHA256, aead: .AES_GCM_256)

    /// What a batch is bound to besides the vault's key: a batch of one agent opens as no other's, and in no other suite.
    static func info(origin: String, agent: String) -> Data { Data("sluice sealed batch v1\norigin \(origin)\nagent \(agent)\n".utf8) }

    /// A key for each stream: nonces then need to be told apart within one stream only.
    static func streamContext(_ stream: UInt64) -> [UInt8] { Array("sluice stream key v1\n".utf8) + bigEndian(stream) }

    /// Tells a key that is not the right one from a batch that was changed; AES-GCM alone says only that something is wrong.
    static let confirmationContext = Array("sluice confirmation v1\n".utf8)

    /// 96 bits: 32 of zero, then the sequence.
    static func nonce(_ sequence: UInt64) throws -> AES.GCM.Nonce { try AES.GCM.Nonce(data: [0, 0, 0, 0] + bigEndian(sequence)) }

    static func bigEndian(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// Whether nothing secret can be agreed with a point: it has low order, and every agreement is zero.
    ///
    /// RFC 9180, section 7.1.4, asks for it; swift-crypto leaves it out on purpose. These are all the encodings there are (RFC 7748's curve has five
    /// u of low order, and 0 and 1 have a second encoding below 2^255); the highest bit does not count.
    static func isLowOrder(_ point: [UInt8]) -> Bool {
        var u = point
        u[31] &= 0x7f
        return lowOrder.contains(u)
    }

    private static let lowOrder: Set<[UInt8]> = {
        let zeros = [UInt8](repeating: 0, count: 31)
        let ones = [UInt8](repeating: 0xff, count: 30) + [0x7f]
        return [
            [0] + zeros, [1] + zeros, [0xec] + ones, [0xed] + ones, [0xee] + ones,
            [
                0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
                0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
            ],
            [
                0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
                0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
            ],
        ]
    }()

    /// 1 to 200 bytes without control characters, so that no name writes a line of ``info(origin:agent:)``.
    static func isName(_ text: String) -> Bool {
        (1...200).contains(text.utf8.count) && !text.unicodeScalars.contains { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) }
    }
}

/// Names a key of the vault: the first 8 bytes of SHA-256 over `sluice vault key v1`, a line feed, and the 32 bytes of the public key.
package struct VaultKeyID: Hashable, Sendable, CustomStringConvertible {
    /// 8 bytes.
    package let bytes: [UInt8]

    package init(of publicKey: [UInt8]) { bytes = Array(SHA256.hash(data: Array("sluice vault key v1\n".utf8) + publicKey).prefix(8)) }

    init(bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }

    /// 16 hexadecimal digits.
    package var description: String { bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
}

/// What stands before the ciphertext of every batch: all that the vault needs to find its key.
///
/// It comes with each batch and not once as a message of its own: 49 bytes are 2 % of a small batch, and so there is nothing to be lost, to be sent
/// again after policy's restart, or to be kept beside the spool.
package struct Encapsulation: Hashable, Sendable {
    package static let version: UInt8 = 1
    /// Version, vault key id, encapsulated key, confirmation.
    package static let bytesCount = 1 + 8 + 32 + 8
    package static let tagBytes = 16
    /// What sealing adds to a payload.
    package static let overheadBytes = bytesCount + tagBytes

    package let vaultKey: VaultKeyID
    /// X25519 public key, 32 bytes: HPKE's `enc`.
    package let key: [UInt8]
    /// 8 bytes, exported: known to who knows the secret.
    package let confirmation: [UInt8]

    init(vaultKey: VaultKeyID, key: [UInt8], confirmation: [UInt8]) {
        self.vaultKey = vaultKey
        self.key = key
        self.confirmation = confirmation
    }

    var bytes: [UInt8] { [Self.version] + vaultKey.bytes + key + confirmation }

    /// Reads the beginning of a sealed payload.
    package init(startOf payload: [UInt8]) throws(OpenRefused) {
        guard let version = payload.first else { throw .tooShort(bytes: 0) }
        guard version == Self.version else { throw .unknownVersion(version) }
        guard payload.count >= Self.overheadBytes else { throw .tooShort(bytes: payload.count) }
        vaultKey = VaultKeyID(bytes: payload[1..<9])
        key = Array(payload[9..<41])
        confirmation = Array(payload[41..<49])
    }
}

/// Why a batch is not opened. What comes from a registered agent and cannot be opened is counted, and quarantines it after a limit.
package enum OpenRefused: Error, Hashable, Sendable {
    case tooShort(bytes: Int)
    case unknownVersion(UInt8)
    /// Sealed to a key that this vault does not hold (any more).
    case unknownVaultKey(VaultKeyID)
    /// The encapsulated key is no point to agree on a secret with.
    case badEncapsulation
    /// The encapsulation was made for another agent, another suite or another key, or was changed.
    case wrongKey
    /// Stream, sequence, header or payload are not what was sealed.
    case changed
}
