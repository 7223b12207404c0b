package import Crypto
import Identity

/// The name of a key, and the origin of a ledger: not empty, without spaces, control characters and `+`. At most 200 bytes of UTF-8.
///
/// Equal when the bytes are; to `String`, two spellings of one accent are the same.
package struct KeyName: Hashable, Sendable, CustomStringConvertible {
    let bytes: [UInt8]

    package init?(_ text: String) {
        guard (1...200).contains(text.utf8.count) else { return nil }
        for scalar in text.unicodeScalars where scalar.properties.isWhitespace || scalar == "+" || scalar.properties.generalCategory == .control {
            return nil
        }
        bytes = Array(text.utf8)
    }

    package var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// What a signature of a note is over. Numbers are C2SP's.
package enum NoteAlgorithm: UInt8, Hashable, Sendable {
    /// Ed25519 over the text.
    case note = 0x01
    /// Ed25519 over the text and a time. Source: tlog-cosignature v1.0.1.
    case cosignature = 0x04
}

/// The first 4 bytes of SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key). Tells keys apart, and proves nothing.
package struct KeyID: Hashable, Sendable, CustomStringConvertible {
    /// Big-endian.
    package let number: UInt32

    init(number: UInt32) { self.number = number }

    init(name: KeyName, algorithm: NoteAlgorithm, publicKey: [UInt8]) {
        let digest = SHA256.hash(data: name.bytes + [0x0a, algorithm.rawValue] + publicKey)
        number = digest.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    package var description: String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// Why a text is no verifier key.
package enum VerifierKeyRefused: Error, Hashable, Sendable {
    /// Not `name+8 hexadecimal digits+base64`.
    case shape
    case name
    /// The key's own id is another.
    case id(stated: String, computed: KeyID)
    case algorithm(UInt8)
    /// No point, or one under which a signature fits many messages.
    case publicKey
}

/// A key that notes are verified with, written `name+id+base64(algorithm ‖ public key)`. Source: C2SP signed-note v1.0.0.
package struct VerifierKey: Hashable, Sendable, CustomStringConvertible {
    package let name: KeyName
    package let algorithm: NoteAlgorithm
    package let id: KeyID
    /// Ed25519, 32 bytes.
    package let publicKey: [UInt8]

    package init(name: KeyName, algorithm: NoteAlgorithm, publicKey: [UInt8]) throws(VerifierKeyRefused) {
        do { try StrictEd25519.check(point: publicKey) } catch { throw .publicKey }
        self.name = name
        self.algorithm = algorithm
        self.publicKey = publicKey
        id = KeyID(name: name, algorithm: algorithm, publicKey: publicKey)
    }

    package init(parsing text: String) throws(VerifierKeyRefused) {
        // Base64 has `+` too: the first two divide.
        let parts = text.split(separator: "+", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, let key = Base64.bytes(of: parts[2]), let first = key.first else { throw .shape }
        guard let name = KeyName(parts[0]) else { throw .name }
        guard let algorithm = NoteAlgorithm(rawValue: first) else { throw .algorithm(first) }
        try self.init(name: name, algorithm: algorithm, publicKey: Array(key.dropFirst()))
        guard parts[1].utf8.elementsEqual(id.description.utf8) else { throw .id(stated: parts[1], computed: id) }
    }

    package var description: String { "\(name)+\(id)+\(Base64.text(of: [algorithm.rawValue] + publicKey))" }

    /// The time of a cosignature, nil for a plain signature.
    func check(_ signature: NoteSignature, over text: String) throws(NoteRefused) -> UInt64? {
        let time: UInt64?
        let bytes: [UInt8]
        let message: [UInt8]
        switch algorithm {
        case .note: (time, bytes, message) = (nil, signature.bytes, Array(text.utf8))
        case .cosignature:
            guard signature.bytes.count == 8 + StrictEd25519.signatureBytes else { throw .signatureFails(name, id) }
            let stated = UInt64(bigEndian: signature.bytes[..<8])
            (time, bytes, message) = (stated, Array(signature.bytes[8...]), NoteSigner.cosigned(text, at: stated))
        }
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: publicKey), StrictEd25519.isValid(bytes, for: message, by: key)
        else { throw .signatureFails(name, id) }
        return time
    }
}

/// Signs notes under a name. Prints as its verifier key.
package struct NoteSigner: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let key: Curve25519.Signing.PrivateKey
    package let verifier: VerifierKey

    package init(name: KeyName, algorithm: NoteAlgorithm, key: Curve25519.Signing.PrivateKey) throws(VerifierKeyRefused) {
        self.key = key
        verifier = try VerifierKey(name: name, algorithm: algorithm, publicKey: Array(key.publicKey.rawRepresentation))
    }

    /// The same key under another name: what it signs so is no checkpoint to anybody who knows the first name.
    package func named(_ name: KeyName) throws(VerifierKeyRefused) -> NoteSigner { try NoteSigner(name: name, algorithm: verifier.algorithm, key: key) }

    /// - Parameter time: Seconds since 1970; counts for a cosignature alone.
    package func sign(_ text: String, at time: UInt64, bytesMax: Int = SignedNote.bytesMax) throws(NoteRefused) -> NoteSignature {
        try SignedNote.check(text: text, bytesMax)
        let message = verifier.algorithm == .note ? Array(text.utf8) : NoteSigner.cosigned(text, at: time)
        let signature: [UInt8]
        do { signature = Array(try key.signature(for: message)) } catch { throw .unsignable }
        let bytes = verifier.algorithm == .note ? signature : time.bigEndianBytes + signature
        return NoteSignature(name: verifier.name, id: verifier.id, bytes: bytes)
    }

    static func cosigned(_ text: String, at time: UInt64) -> [UInt8] { Array("cosignature/v1\ntime \(time)\n\(text)".utf8) }

    package var description: String { "NoteSigner(\(verifier))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
