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
