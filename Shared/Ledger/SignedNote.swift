/// Why bytes are no note, or a note is not believed.
package enum NoteRefused: Error, Hashable, Sendable {
    case tooLong(bytes: Int)
    case notUTF8
    /// Below U+0020, other than a line feed.
    case controlCharacter(UInt8)
    /// No text that ends in a line feed, an empty line, and lines that end.
    case shape
    case signatureLine(Int)
    case tooManySignatures(Int)
    /// A known key stands beside a signature that is not its own. Nothing of the note is believed.
    case signatureFails(KeyName, KeyID)
    /// Of this key there is no signature.
    case unsigned(by: KeyName, KeyID)
    /// No known key signed at all.
    case noKnownKey
    case unsignable
}

/// A signature line: `— NAME BASE64`, where the base64 holds 4 bytes of key id and the signature.
package struct NoteSignature: Hashable, Sendable {
    package let name: KeyName
    package let id: KeyID
    /// Not empty.
    package let bytes: [UInt8]

    package init(name: KeyName, id: KeyID, bytes: [UInt8]) {
        self.name = name
        self.id = id
        self.bytes = bytes
    }

    fileprivate init?(line: String) {
        let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[0].utf8.elementsEqual("—".utf8), let name = KeyName(parts[1]),
            let bytes = Base64.bytes(of: parts[2]), bytes.count > 4
        else { return nil }
        self.name = name
        id = KeyID(number: bytes[..<4].reduce(0) { $0 << 8 | UInt32($1) })
        self.bytes = Array(bytes[4...])
    }

    fileprivate var line: String { "— \(name) \(Base64.text(of: id.number.bigEndianBytes + bytes))\n" }
}

/// Who signed, and when, if it was a cosignature.
package struct NoteSignatory: Hashable, Sendable {
    package let key: VerifierKey
    /// Seconds since 1970.
    package let time: UInt64?
}

/// A text and signatures on it. Parsed is not verified. Source: C2SP signed-note v1.0.0.
package struct SignedNote: Hashable, Sendable {
    /// Of a note as a whole: 16 signatures of the longest kind that C2SP reckons with, 5 kB before base64, and their text, twice over.
    package static let bytesMax = 256 << 10
    /// C2SP asks for 16 at least.
    package static let signaturesMax = 64

    /// Ends in a line feed.
    package let text: String
    package private(set) var signatures: [NoteSignature]

    package init(text: String, signatures: [NoteSignature], bytesMax: Int = bytesMax) throws(NoteRefused) {
        try SignedNote.check(text: text, bytesMax)
        guard signatures.count <= SignedNote.signaturesMax else { throw .tooManySignatures(signatures.count) }
        self.text = text
        self.signatures = signatures
    }

    /// One signature at least. What is read is what would be written, byte for byte.
    ///
    /// - Parameter bytesMax: More for a text of ours that C2SP's bound is not for.
    package init(parsing bytes: [UInt8], bytesMax: Int = bytesMax) throws(NoteRefused) {
        guard bytes.count <= bytesMax else { throw .tooLong(bytes: bytes.count) }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw .notUTF8 }
        // The last empty line divides: a text may have some of its own.
        guard bytes.count > 2, let blank = bytes.indices.dropLast().last(where: { bytes[$0] == 0x0a && bytes[$0 + 1] == 0x0a }),
            let lines = Lines.split(bytes[(blank + 2)...])
        else { throw .shape }
        guard lines.count <= SignedNote.signaturesMax else { throw .tooManySignatures(lines.count) }
        var signatures: [NoteSignature] = []
        for (number, line) in lines.enumerated() {
            guard let signature = NoteSignature(line: line) else { throw .signatureLine(number) }
            signatures.append(signature)
        }
        try self.init(text: String(decoding: bytes[...blank], as: UTF8.self), signatures: signatures, bytesMax: bytesMax)
    }

    package mutating func add(_ signature: NoteSignature) throws(NoteRefused) {
        guard signatures.count < SignedNote.signaturesMax else { throw .tooManySignatures(signatures.count + 1) }
        signatures.append(signature)
    }

    package var bytes: [UInt8] { Array("\(text)\n\(signatures.map(\.line).joined())".utf8) }

    /// Verifies every signature whose key is known; the others are as if they were not there.
    ///
    /// - Parameter required: Of each there must be a signature.
    /// - Throws: `signatureFails` for one known key that fails, whatever the others say; `unsigned`; `noKnownKey`, so that what is returned is never empty.
    package func verify(_ known: [VerifierKey], required: [VerifierKey] = []) throws(NoteRefused) -> [NoteSignatory] {
        var signatories: [NoteSignatory] = []
        for signature in signatures {
            // Ids are short enough to be made equal on purpose: each key that fits has to agree.
            for key in Set(known + required) where key.name == signature.name && key.id == signature.id {
                signatories.append(NoteSignatory(key: key, time: try key.check(signature, over: text)))
            }
        }
        for key in required where !signatories.contains(where: { $0.key == key }) { throw .unsigned(by: key.name, key.id) }
        guard !signatories.isEmpty else { throw .noKnownKey }
        return signatories
    }

    /// Verifies a signature of at least one of `keys`, which stand for one another, and of each that is required.
    ///
    /// - Throws: `unsigned(by:)` of the first of `keys` if none of them signed.
    package func verify(oneOf keys: [VerifierKey], required: [VerifierKey] = []) throws(NoteRefused) -> [NoteSignatory] {
        guard let first = keys.first else { throw .noKnownKey }
        var signatories: [NoteSignatory] = []
        do throws(NoteRefused) { signatories = try verify(keys, required: required) } catch .noKnownKey {}
        guard signatories.contains(where: { keys.contains($0.key) }) else { throw .unsigned(by: first.name, first.id) }
        return signatories
    }

    /// Verifies a signature of at least one key of each group: keys of a group stand for one another while one is exchanged for another.
    ///
    /// - Returns: The keys that signed, of all groups.
    package func verify(oneOfEach groups: [[VerifierKey]]) throws(NoteRefused) -> [VerifierKey] {
        let signed = try verify(groups.flatMap { $0 }).map(\.key)
        for group in groups where !group.contains(where: { signed.contains($0) }) {
            guard let first = group.first else { throw .noKnownKey }
            throw .unsigned(by: first.name, first.id)
        }
        return signed
    }

    static func check(text: String, _ bytesMax: Int = bytesMax) throws(NoteRefused) {
        guard text.utf8.count <= bytesMax else { throw .tooLong(bytes: text.utf8.count) }
        guard text.utf8.last == 0x0a else { throw .shape }
        for byte in text.utf8 where byte < 0x20 && byte != 0x0a { throw .controlCharacter(byte) }
    }
}
