import Identity
package import Ledger
package import Seal
import Crypto
import Foundation

/// A service's key for checkpoints, on disk: PKCS#8, 0600.
package enum LedgerKey {
    package static func load(_ path: String, as verifier: VerifierKey) throws -> NoteSigner {
        let signer = try load(path, name: verifier.name, verifier.algorithm)
        guard signer.verifier == verifier else { throw Complaint("\(path) is not the key that registry.json names for \(verifier.name): put the right one back") }
        return signer
    }

    /// Verifiers of the keys that lie where a service kept the present one before.
    package static func earlier(_ home: Home, _ service: String, _ what: String, as present: VerifierKey) -> [VerifierKey] {
        [home.ledgerKeyBefore(service, what), home.firstLedgerKey(service, what)].compactMap { try? load($0, name: present.name, present.algorithm).verifier }
    }

    /// The present key, and those that lie where it was before: two of them sign while one is exchanged for the other.
    package static func all(_ home: Home, _ service: String, _ what: String, as verifier: VerifierKey) throws -> [NoteSigner] {
        let present = try load(home.ledgerKey(service, what), as: verifier)
        let earlier = [home.ledgerKeyBefore(service, what), home.firstLedgerKey(service, what)].compactMap { try? load($0, name: verifier.name, verifier.algorithm) }
        return [present] + earlier.filter { $0.verifier != verifier }
    }

    package static func loadOrMake(_ path: String, name: String, _ algorithm: NoteAlgorithm) throws -> NoteSigner {
        guard let name = KeyName(name) else { throw Complaint("'\(name)' is no name for a key") }
        if !FileManager.default.fileExists(atPath: path) { try write(.random(32), .ed25519, to: path) }
        return try load(path, name: name, algorithm)
    }

    package static func load(_ path: String, name: KeyName, _ algorithm: NoteAlgorithm) throws -> NoteSigner {
        let seed = try read(path, .ed25519)
        return try NoteSigner(name: name, algorithm: algorithm, key: seed.withCopy { try Curve25519.Signing.PrivateKey(rawRepresentation: $0) })
    }

    fileprivate static func read(_ path: String, _ algorithm: KeyAlgorithm) throws -> SecretBytes {
        let text = try LedgerKey.text(path).withCopy { String(decoding: $0, as: UTF8.self) }
        do { return try PrivateKeyPEM.secret(in: text, for: algorithm, passphrase: nil) } catch {
            // What the error itself advises is for operators' keys, of which another can be made.
            let why = switch error {
            case .notPEM: "holds no key"
            case .damaged: "is damaged"
            case .otherAlgorithm: "holds a key for something else"
            default: "cannot be used: it \(error)"
            }
            throw Complaint("\(path) \(why): put the right one back from a backup")
        }
    }

    /// The file's content. What is not there has somebody's backup to come from, and no other place.
    static func text(_ path: String) throws -> SecretBytes {
        do throws(SecretFileError) { return try SecretFile.read(path) } catch {
            if case .unreadable = error { throw Complaint("\(error); put it back from a backup") }
            throw error
        }
    }

    fileprivate static func write(_ seed: [UInt8], _ algorithm: KeyAlgorithm, to path: String) throws {
        var seed = seed
        let text = try PrivateKeyPEM.plain(SecretBytes(wiping: &seed), algorithm)
        try SecretFile.write(SecretBytes(Array(text.utf8)), to: path)
    }
}

/// The key that opens batches, on disk: PKCS#8, 0600.
package enum VaultKeyFile {
    package static func load(_ path: String) throws -> VaultKey {
        guard let key = try LedgerKey.read(path, .x25519).withCopy({ VaultKey(secret: $0) }) else { throw Complaint("\(path) holds no key") }
        return key
    }

    package static func loadOrMake(_ path: String) throws -> VaultKey {
        if !FileManager.default.fileExists(atPath: path) { try LedgerKey.write(.random(32), .x25519, to: path) }
        return try load(path)
    }

    /// The present key, and those before it, `PATH.1`, `PATH.2`…: batches sealed to them may wait in spools yet.
    package static func loadAll(_ path: String) throws -> [VaultKey] {
        let url = URL(fileURLWithPath: path)
        let folder = url.deletingLastPathComponent().path
        let earlier = try FileManager.default.contentsOfDirectory(atPath: folder)
            .filter { $0.hasPrefix(url.lastPathComponent + ".") }
            .compactMap { name in Int(name.dropFirst(url.lastPathComponent.count + 1)).map { (number: $0, name: name) } }
            .sorted { $0.number > $1.number }
        return try [load(path)] + earlier.map { try load(folder + "/" + $0.name) }
    }
}
