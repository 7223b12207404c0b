package import Crypto

/// What the vault announces in the ledger, so that an agent cannot be given a false one.
package struct VaultPublicKey: Hashable, Sendable {
    /// X25519 public key, 32 bytes.
    package let raw: [UInt8]
    package let id: VaultKeyID

    package init?(raw: [UInt8]) {
        guard raw.count == 32 else { return nil }
        self.raw = raw
        id = VaultKeyID(of: raw)
    }
}

/// Opens batches. Policy alone has it, in a file of mode 0600; it prints as its id.
package struct VaultKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    let key: Curve25519.KeyAgreement.PrivateKey
    package let publicKey: VaultPublicKey

    package static func make() -> VaultKey? { VaultKey(Curve25519.KeyAgreement.PrivateKey()) }

    /// - Parameter secret: 32 bytes.
    package init?(secret: [UInt8]) {
        guard let key = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: secret) else { return nil }
        self.init(key)
    }

    private init?(_ key: Curve25519.KeyAgreement.PrivateKey) {
        guard let publicKey = VaultPublicKey(raw: Array(key.publicKey.rawRepresentation)) else { return nil }
        self.key = key
        self.publicKey = publicKey
    }

    /// For writing it to its file.
    package var secret: SymmetricKey { SymmetricKey(data: key.rawRepresentation) }

    package var description: String { "VaultKey(\(publicKey.id))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
