import Crypto
import CryptoExtras
import SwiftASN1

/// Why a text is not the private key that is wanted. Says what to do; holds nothing of the key.
package enum PrivateKeyError: Error, Hashable, Sendable, CustomStringConvertible {
    case notPEM
    case damaged
    /// PEM of something else, by its label.
    case otherForm(label: String)
    /// A private key for something else, by object identifier.
    case otherAlgorithm(String)
    case otherEncryption(String)
    case weak(rounds: Int)
    case tooSlow(rounds: Int)
    case passphraseNeeded
    case emptyPassphrase
    case wrongPassphrase

    package var description: String {
        switch self {
        case .notPEM: "holds no PEM: a line '-----BEGIN ENCRYPTED PRIVATE KEY-----' is expected"
        case .damaged: "is damaged: take it from a backup, or make a new key"
        case .otherForm(let label):
            "holds \(label), and PKCS#8 is expected; 'ssh-keygen -p -m PKCS8' and 'openssl pkcs8 -topk8' convert"
        case .otherAlgorithm(let identifier): "holds a key for another algorithm (\(identifier)): make one with 'sluice key new'"
        case .otherEncryption(let identifier): "is encrypted in another way (\(identifier)): \(PrivateKeyPEM.advice)"
        case .weak(let rounds): "is protected by \(rounds) rounds only: \(PrivateKeyPEM.advice)"
        case .tooSlow(let rounds): "asks for \(rounds) rounds, more than \(PrivateKeyPEM.roundsMax): \(PrivateKeyPEM.advice)"
        case .passphraseNeeded: "is protected: its passphrase is needed"
        case .emptyPassphrase: "would not be protected by an empty passphrase: choose another"
        case .wrongPassphrase: "does not open with this passphrase"
        }
    }
}

/// A private key as text: PKCS#8 in PEM (RFC 7468), in the clear or under a passphrase, as OpenSSL reads and writes it.
///
/// The passphrase's form is PBES2 (RFC 8018) with PBKDF2 over HMAC-SHA-256 and AES-256-CBC.
package enum PrivateKeyPEM {
    /// OWASP's number for PBKDF2 with HMAC-SHA-256 (2023). Fewer are refused in reading too.
    package static let roundsMin = 600_000
    /// Some seconds: a file must not keep a service from starting.
    package static let roundsMax = 20_000_000

    static let advice =
        "'openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter \(roundsMin) -in THIS -out NEW' converts"

    private static let pbes2: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 5, 13]
    private static let pbkdf2: ASN1ObjectIdentifier = [1, 2, 840, 113549, 1, 5, 12]
    private static let hmacSHA256: ASN1ObjectIdentifier = [1, 2, 840, 113549, 2, 9]
    private static let hmacSHA1: ASN1ObjectIdentifier = [1, 2, 840, 113549, 2, 7]
    private static let aes256CBC: ASN1ObjectIdentifier = [2, 16, 840, 1, 101, 3, 4, 1, 42]

    /// - Parameters:
    ///   - rounds: at least ``roundsMin``, which take 70 ms on a CPU with SHA instructions.
    ///   - salt: 16 random bytes. `iv`: 16 random bytes.
    package static func encrypted(
        _ secret: SecretBytes, _ algorithm: KeyAlgorithm, passphrase: Passphrase, rounds: Int = roundsMin,
        salt: [UInt8] = .random(16), iv: [UInt8] = .random(16)
    ) throws(PrivateKeyError) -> String {
        guard !passphrase.isEmpty else { throw .emptyPassphrase }
        guard rounds >= roundsMin else { throw .weak(rounds: rounds) }
        guard rounds <= roundsMax else { throw .tooSlow(rounds: rounds) }
        do {
            let key = try derive(passphrase, salt: salt, rounds: rounds)
            var plain = try info(secret, algorithm)
            defer { wipe(&plain) }
            let ciphertext = try AES._CBC.encrypt(plain, using: key, iv: AES._CBC.IV(ivBytes: iv))
            let parameters = EncryptionParameters(
                kdf: Algorithm(
                    pbkdf2, try ASN1Any(erasing: KDFParameters(salt: salt, rounds: rounds, function: Algorithm(hmacSHA256, try ASN1Any(erasing: ASN1Null()))))),
                cipher: Algorithm(aes256CBC, try ASN1Any(erasing: ASN1OctetString(contentBytes: iv[...]))))
            var coder = DER.Serializer()
            try coder.serialize(EncryptedKeyInfo(encryption: Algorithm(pbes2, try ASN1Any(erasing: parameters)), ciphertext: Array(ciphertext)))
            return PEMDocument(type: "ENCRYPTED PRIVATE KEY", derBytes: coder.serializedBytes).pemString + "\n"
        } catch {
            // Writing fails for lengths that are not ours alone.
            throw .damaged
        }
    }

    /// In the clear: for services, whose key lies in a file that nobody else may read.
    package static func plain(_ secret: SecretBytes, _ algorithm: KeyAlgorithm) throws(PrivateKeyError) -> String {
        do { return PEMDocument(type: "PRIVATE KEY", derBytes: try info(secret, algorithm)).pemString + "\n" } catch { throw .damaged }
    }

    /// The 32 bytes of a key for `algorithm`. Text around the PEM is passed over (RFC 7468, section 5.2).
    package static func secret(in text: String, for algorithm: KeyAlgorithm, passphrase: Passphrase?) throws(PrivateKeyError) -> SecretBytes {
        guard text.contains("-----BEGIN ") else { throw .notPEM }
        let document: PEMDocument
        do { document = try PEMDocument(pemString: text) } catch { throw .damaged }
        switch document.discriminator {
        case "PRIVATE KEY":
            return try secret(inInfo: document.derBytes, for: algorithm)
        case "ENCRYPTED PRIVATE KEY":
            guard let passphrase else { throw .passphraseNeeded }
            var plain = try decrypt(document.derBytes, passphrase)
            defer { wipe(&plain) }
            return try secret(inInfo: plain, for: algorithm)
        default:
            throw .otherForm(label: document.discriminator)
        }
    }

    private static func info(_ secret: SecretBytes, _ algorithm: KeyAlgorithm) throws -> [UInt8] {
        try secret.withCopy { bytes in
            var coder = DER.Serializer()
            try coder.serialize(PrivateKeyInfo(algorithm: algorithm, secret: bytes))
            return coder.serializedBytes
        }
    }

    private static func secret(inInfo der: [UInt8], for algorithm: KeyAlgorithm) throws(PrivateKeyError) -> SecretBytes {
        let info: PrivateKeyInfo
        do { info = try PrivateKeyInfo(derEncoded: der) } catch { throw .damaged }
        guard info.algorithm.identifier == algorithm.identifier else { throw .otherAlgorithm("\(info.algorithm.identifier)") }
        guard info.algorithm.parameters == nil, var bytes = try? info.secret(), bytes.count == 32 else { throw .damaged }
        let secret = SecretBytes(wiping: &bytes)
        if let expected = info.publicKey, algorithm == .ed25519 {
            let found = secret.withCopy { try? Curve25519.Signing.PrivateKey(rawRepresentation: $0).publicKey.rawRepresentation }
            guard let found, Array(found) == expected else { throw .damaged }
        }
        return secret
    }

    private static func decrypt(_ der: [UInt8], _ passphrase: Passphrase) throws(PrivateKeyError) -> [UInt8] {
        let (parameters, iv, ciphertext) = try parameters(of: der)
        var padded: [UInt8]
        do {
            let key = try derive(passphrase, salt: parameters.salt, rounds: parameters.rounds)
            padded = Array(try AES._CBC.decrypt(ciphertext, using: key, iv: AES._CBC.IV(ivBytes: iv), noPadding: true))
        } catch {
            throw .damaged
        }
        defer { wipe(&padded) }
        // CBC knows no right from wrong. Under a wrong key everything is noise: neither the beginning of a PKCS#8 structure (by chance one
        // in 2^39) nor a long padding (one in 2^32 at 4 bytes) comes out. If one of them is there, the passphrase was right.
        let length = Int(padded.last ?? 0)
        let isPadded = (1...16).contains(length) && padded.count >= length && padded.suffix(length).allSatisfy { Int($0) == length }
        let isBegun = padded.count > 5 && padded[0] == 0x30 && padded[2] == 2 && padded[3] == 1 && padded[4] <= 1
        if isPadded, isBegun { return Array(padded.dropLast(length)) }
        throw isBegun || (isPadded && length >= 4) ? .damaged : .wrongPassphrase
    }

    private static func parameters(of der: [UInt8]) throws(PrivateKeyError) -> (KDFParameters, iv: [UInt8], ciphertext: [UInt8]) {
        do {
            let info = try EncryptedKeyInfo(derEncoded: der)
            guard info.encryption.identifier == pbes2 else { throw PrivateKeyError.otherEncryption("\(info.encryption.identifier)") }
            guard let any = info.encryption.parameters else { throw PrivateKeyError.damaged }
            let scheme = try EncryptionParameters(asn1Any: any)
            guard scheme.kdf.identifier == pbkdf2 else { throw PrivateKeyError.otherEncryption("\(scheme.kdf.identifier)") }
            guard scheme.cipher.identifier == aes256CBC else { throw PrivateKeyError.otherEncryption("\(scheme.cipher.identifier)") }
            guard let kdf = scheme.kdf.parameters, let cipher = scheme.cipher.parameters else { throw PrivateKeyError.damaged }
            let parameters = try KDFParameters(asn1Any: kdf)
            let function = parameters.function?.identifier ?? hmacSHA1
            guard function == hmacSHA256 else { throw PrivateKeyError.otherEncryption("\(function)") }
            guard parameters.rounds >= roundsMin else { throw PrivateKeyError.weak(rounds: parameters.rounds) }
            guard parameters.rounds <= roundsMax else { throw PrivateKeyError.tooSlow(rounds: parameters.rounds) }
            let iv = Array(try ASN1OctetString(asn1Any: cipher).bytes)
            let ciphertext = Array(info.ciphertext.bytes)
            guard (8...64).contains(parameters.salt.count), parameters.keyBytes ?? 32 == 32, iv.count == 16, !ciphertext.isEmpty, ciphertext.count % 16 == 0
            else { throw PrivateKeyError.damaged }
            return (parameters, iv, ciphertext)
        } catch let error as PrivateKeyError {
            throw error
        } catch {
            throw .damaged
        }
    }

    private static func derive(_ passphrase: Passphrase, salt: [UInt8], rounds: Int) throws -> SymmetricKey {
        try passphrase.secret.withCopy { typed in
            try KDF.Insecure.PBKDF2.deriveKey(from: typed, salt: salt, using: .sha256, outputByteCount: 32, rounds: rounds)
        }
    }
}

extension [UInt8] {
    /// Bytes from the system's generator.
    package static func random(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
