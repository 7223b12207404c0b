import Crypto
import Foundation

/// Names a public key: SHA-256 of its OpenSSH form, so that `ssh-keygen -lf` shows the same fingerprint.
package struct KeyID: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    package let bytes: [UInt8]

    package init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    fileprivate init(of blob: [UInt8]) { bytes = Array(SHA256.hash(data: blob)) }

    /// `SHA256:` and 43 characters of base64.
    package var description: String { "SHA256:" + Data(bytes).base64EncodedString().filter { $0 != "=" } }
}

/// Why a text or 32 bytes are no operator's public key.
package enum PublicKeyError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAKey
    case otherAlgorithm(String)
    /// A point under which signatures prove nothing, or which has a second name.
    case unfit(StrictEd25519.PointRefused)

    package var description: String {
        switch self {
        case .notAKey: "holds no public key: one line 'ssh-ed25519 AAAA… name', or PEM 'PUBLIC KEY', is expected"
        case .otherAlgorithm(let name): "holds a key for \(name): Ed25519 is expected, make one with 'sluice key new'"
        case .unfit(.length(let bytes)): "holds a key of \(bytes) bytes: 32 are expected"
        case .unfit: "holds a key that no honest program makes: refuse whoever sent it"
        }
    }
}

/// Checks an operator's signatures. A file of it is one line in OpenSSH's form: `ssh-ed25519 BASE64 NAME` (RFC 8709, section 4).
package struct OperatorPublicKey: Hashable, Sendable {
    /// 32 bytes.
    package let raw: [UInt8]
    package let id: KeyID

    package init(raw: [UInt8]) throws(PublicKeyError) {
        do throws(StrictEd25519.PointRefused) { try StrictEd25519.check(point: raw) } catch { throw .unfit(error) }
        self.raw = raw
        id = KeyID(of: Self.blob(raw))
    }

    /// A line as ``line(name:)`` writes it, with any comment or none; or PEM as `openssl pkey -pubout` writes it.
    package init(text: String) throws(PublicKeyError) {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        if text.hasPrefix("-----BEGIN ") {
            try self.init(raw: PublicKeyPEM.raw(in: text))
            return
        }
        let words = text.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, !text.contains(where: \.isNewline) else { throw .notAKey }
        guard words[0] == Self.name else {
            throw words[0].hasPrefix("ssh-") || words[0].hasPrefix("ecdsa-") || words[0].hasPrefix("sk-") ? .otherAlgorithm(String(words[0])) : .notAKey
        }
        guard let blob = Data(base64Encoded: String(words[1])), blob.count == Self.blobBytes else { throw .notAKey }
        let raw = Array(blob.suffix(32))
        // One encoding only: the same key in other words would be compared as text somewhere.
        guard Self.blob(raw) == Array(blob), blob.base64EncodedString() == words[1] else { throw .notAKey }
        try self.init(raw: raw)
    }

    /// What `ops-1.pub` holds, with its newline.
    package func line(name: String) -> String {
        let comment = String(name.filter { !$0.isNewline })
        return "\(Self.name) \(Data(Self.blob(raw)).base64EncodedString()) \(comment)\n"
    }

    /// SubjectPublicKeyInfo in PEM (RFC 8410), for OpenSSL.
    package var pem: String { PublicKeyPEM.text(raw) }

    /// Whether `signature`, 64 bytes, is the key's over exactly `bytes`. See ``StrictEd25519``.
    package func isValid(_ signature: [UInt8], for bytes: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: raw) else { return false }
        return StrictEd25519.isValid(signature, for: bytes, by: key)
    }

    private static let name = "ssh-ed25519"
    private static let blobBytes = 4 + 11 + 4 + 32

    private static func blob(_ raw: [UInt8]) -> [UInt8] { [0, 0, 0, 11] + Array(name.utf8) + [0, 0, 0, 32] + raw }
}

/// Why an operator's key file is not used, with its path: one line that says what to do.
package enum OperatorKeyError: Error, Hashable, Sendable, CustomStringConvertible {
    case file(SecretFileError)
    case content(path: String, PrivateKeyError)
    case signing

    package var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .content(let path, let error): "\(path) \(error)"
        case .signing: "the key could not sign"
        }
    }
}

/// An operator's own key: signs commands. On disk it is PKCS#8 under a passphrase, mode 0600; in print it is nothing.
package struct OperatorKey: Redacted {
    private let secret: SecretBytes
    package let publicKey: OperatorPublicKey

    /// A new key from the system's generator.
    package static func make() throws(PublicKeyError) -> OperatorKey {
        var seed = [UInt8].random(32)
        return try OperatorKey(seed: SecretBytes(wiping: &seed))
    }

    /// - Parameter seed: 32 bytes, what RFC 8032 calls the private key.
    package init(seed: SecretBytes) throws(PublicKeyError) {
        let raw = seed.withCopy { bytes in try? Curve25519.Signing.PrivateKey(rawRepresentation: bytes).publicKey.rawRepresentation }
        guard let raw else { throw .unfit(.length(seed.count)) }
        publicKey = try OperatorPublicKey(raw: Array(raw))
        secret = seed
    }

    /// - Parameter passphrase: nil for a key that lies in the clear.
    package init(pem: String, passphrase: Passphrase?) throws(PrivateKeyError) {
        let seed = try PrivateKeyPEM.secret(in: pem, for: .ed25519, passphrase: passphrase)
        do { try self.init(seed: seed) } catch { throw .damaged }
        // What stands before the PEM names the key: PKCS#8 has no checksum, and CBC lets a flipped bit through.
        for word in pem.prefix(while: { $0 != "-" }).split(whereSeparator: \.isWhitespace) where word.hasPrefix("SHA256:") {
            guard word == publicKey.id.description else { throw .damaged }
        }
    }

    package init(contentsOf path: String, passphrase: Passphrase?) throws(OperatorKeyError) {
        let content: SecretBytes
        do throws(SecretFileError) { content = try SecretFile.read(path) } catch { throw .file(error) }
        let text = content.withCopy { String(decoding: $0, as: UTF8.self) }
        do throws(PrivateKeyError) { try self.init(pem: text, passphrase: passphrase) } catch { throw .content(path: path, error) }
    }

    package func encryptedPEM(passphrase: Passphrase, rounds: Int = PrivateKeyPEM.roundsMin) throws(PrivateKeyError) -> String {
        "sluice operator key \(publicKey.id)\n" + (try PrivateKeyPEM.encrypted(secret, .ed25519, passphrase: passphrase, rounds: rounds))
    }

    /// Writes the private key where there is no file yet. The public key's line is the caller's to write.
    package func write(to path: String, passphrase: Passphrase) throws(OperatorKeyError) {
        let text: String
        do throws(PrivateKeyError) { text = try encryptedPEM(passphrase: passphrase) } catch { throw .content(path: path, error) }
        do throws(SecretFileError) { try SecretFile.write(SecretBytes(Array(text.utf8)), to: path) } catch { throw .file(error) }
    }

    /// Writes the private key without a passphrase: whoever reads the file is its owner.
    package func writeInTheClear(to path: String) throws(OperatorKeyError) {
        let text: String
        do throws(PrivateKeyError) { text = "sluice operator key \(publicKey.id)\n" + (try PrivateKeyPEM.plain(secret, .ed25519)) } catch { throw .content(path: path, error) }
        do throws(SecretFileError) { try SecretFile.write(SecretBytes(Array(text.utf8)), to: path) } catch { throw .file(error) }
    }

    /// 64 bytes over exactly `bytes`.
    package func sign(_ bytes: [UInt8]) throws(OperatorKeyError) -> [UInt8] {
        do {
            return try secret.withCopy { Array(try Curve25519.Signing.PrivateKey(rawRepresentation: $0).signature(for: bytes)) }
        } catch {
            throw .signing
        }
    }
}
