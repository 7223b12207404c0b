import Crypto
import Foundation

extension StandardWebhook {
    /// An Ed25519 key that signs: written `whsk_` and base64 of its seed, 32 bytes, or of seed and public key, 64, as some tools write it. Never printed.
    package struct SecretKey: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        fileprivate let key: Curve25519.Signing.PrivateKey

        package init(_ text: String) throws(SecretRefused) {
            let bytes = try StandardWebhook.bytes(of: text, after: SecretKey.prefix)
            guard bytes.count == 32 || bytes.count == 64, let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: bytes.prefix(32)) else { throw .length(bytes.count) }
            // A key whose halves do not belong together gives itself away by what it signs.
            guard bytes.count == 32 || bytes.suffix(32) == key.publicKey.rawRepresentation else { throw .otherPublicKey }
            self.key = key
        }

        /// What a receiver is given.
        package var publicKey: PublicKey { PublicKey(key.publicKey) }

        package static let prefix = "whsk_"
        package static func == (left: SecretKey, right: SecretKey) -> Bool { left.publicKey == right.publicKey }
        package func hash(into hasher: inout Hasher) { hasher.combine(publicKey) }
        package var description: String { "whsk_(hidden)" }
        package var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// An Ed25519 key that checks: `whpk_` and base64 of 32 bytes. No secret.
    package struct PublicKey: Hashable, Sendable, CustomStringConvertible {
        fileprivate let bytes: Data

        package init(_ text: String) throws(SecretRefused) {
            bytes = try StandardWebhook.bytes(of: text, after: PublicKey.prefix)
            guard bytes.count == 32 else { throw .length(bytes.count) }
        }

        fileprivate init(_ key: Curve25519.Signing.PublicKey) { bytes = key.rawRepresentation }

        package static let prefix = "whpk_"
        package var description: String { PublicKey.prefix + bytes.base64EncodedString() }
    }

    /// What a sender signs with.
    package enum Signer: Hashable, Sendable {
        case secret(Secret)
        case key(SecretKey)

        /// - Throws: `noPrefix`: it begins with neither `whsec_` nor `whsk_`.
        package init(_ text: String) throws(SecretRefused) { self = text.hasPrefix(SecretKey.prefix) ? .key(try SecretKey(text)) : .secret(try Secret(text)) }

        /// What a receiver checks with.
        package var verifier: Verifier {
            switch self {
            case .secret(let secret): .secret(secret)
            case .key(let key): .key(key.publicKey)
            }
        }

        func signature(of message: Data) -> String {
            switch self {
            case .secret(let secret): return Scheme.v1.rawValue + "," + Data(HMAC<SHA256>.authenticationCode(for: message, using: secret.key)).base64EncodedString()
            case .key(let key):
                guard let signature = try? key.key.signature(for: message) else { preconditionFailure("Ed25519 signs whatever it is given") }
                return Scheme.v1a.rawValue + "," + signature.base64EncodedString()
            }
        }
    }

    /// What a receiver checks with.
    package enum Verifier: Hashable, Sendable {
        case secret(Secret)
        case key(PublicKey)

        /// - Throws: `noPrefix`: it begins with neither `whsec_` nor `whpk_`.
        package init(_ text: String) throws(SecretRefused) { self = text.hasPrefix(PublicKey.prefix) ? .key(try PublicKey(text)) : .secret(try Secret(text)) }

        /// A signature counts under its own scheme alone: what was made as an HMAC is no signature, nor the other way round.
        ///
        /// As much work as the body is long, once for a secret, however many signatures there are; for a key once for each of two, as many as there are while keys are
        /// exchanged: who has no key makes us do no more.
        func takes(oneOf signatures: [Signature], of message: Data) -> Bool {
            switch self {
            case .secret(let secret):
                let given = signatures.filter { $0.scheme == .v1 }
                guard !given.isEmpty else { return false }
                let code = HMAC<SHA256>.authenticationCode(for: message, using: secret.key)
                // The library compares in constant time.
                return given.contains { code == $0.bytes }
            case .key(let key):
                guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: key.bytes) else { return false }
                return signatures.lazy.filter { $0.scheme == .v1a }.prefix(2).contains { key.isValidSignature($0.bytes, for: message) }
            }
        }
    }

    enum Scheme: String { case v1, v1a }

    /// One of those in the header.
    struct Signature {
        var scheme: Scheme
        var bytes: Data

        /// Nil: of a scheme that nobody here knows, or not base64. It counts for nothing, and hinders none of the others.
        init?(_ text: some StringProtocol) {
            let parts = text.split(separator: ",", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let scheme = Scheme(rawValue: String(parts[0])), let bytes = Data(base64Encoded: String(parts[1])) else { return nil }
            self.scheme = scheme
            self.bytes = bytes
        }
    }

    static func bytes(of text: String, after prefix: String) throws(SecretRefused) -> Data {
        guard text.hasPrefix(prefix) else { throw .noPrefix }
        guard let bytes = Data(base64Encoded: String(text.dropFirst(prefix.count))) else { throw .notBase64 }
        return bytes
    }
}
