/// Why a `.tlog-proof` is not believed.
package enum EntryProofRefused: Error, Hashable, Sendable {
    case tooLong(bytes: Int)
    case notUTF8
    /// The first line is another.
    case version
    case extra
    case index
    case hash(line: Int)
    case tooManyHashes(Int)
    /// No empty line before the checkpoint.
    case shape
    case note(NoteRefused)
    case checkpoint(CheckpointRefused)
    case otherOrigin(KeyName)
    case proof(ProofRefused)
}

/// That an entry is in a ledger, as a file that a person can keep. Source: C2SP tlog-proof (draft).
package struct EntryProof: Hashable, Sendable {
    package static let firstLine = "c2sp.org/tlog-proof@v1"
    /// A tree has no more levels.
    package static let hashesMax = 62
    package static let bytesMax = SignedNote.bytesMax + (16 << 10)

    /// Not covered by any signature. Not empty.
    package let extra: [UInt8]?
    package let index: UInt64
    /// From the leaf's sibling upwards.
    package let hashes: [TreeHash]
    package let note: SignedNote

    package init(extra: [UInt8]? = nil, index: UInt64, hashes: [TreeHash], note: SignedNote) throws(EntryProofRefused) {
        guard extra?.isEmpty != true else { throw .extra }
        guard hashes.count <= EntryProof.hashesMax else { throw .tooManyHashes(hashes.count) }
        self.extra = extra
        self.index = index
        self.hashes = hashes
        self.note = note
    }

    package init(parsing bytes: [UInt8]) throws(EntryProofRefused) {
        guard bytes.count <= EntryProof.bytesMax else { throw .tooLong(bytes: bytes.count) }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw .notUTF8 }
        guard let blank = bytes.indices.dropLast().first(where: { bytes[$0] == 0x0a && bytes[$0 + 1] == 0x0a }),
            var lines = Lines.split(bytes[...blank])
        else { throw .shape }
        guard lines.removeFirst().utf8.elementsEqual(EntryProof.firstLine.utf8) else { throw .version }
        var extra: [UInt8]?
        if let line = lines.first, line.hasPrefix("extra ") {
            guard let data = Base64.bytes(of: String(line.dropFirst(6))), !data.isEmpty else { throw .extra }
            extra = data
            lines.removeFirst()
        }
        guard let line = lines.first, line.hasPrefix("index "), let index = Decimal.number(of: String(line.dropFirst(6))) else { throw .index }
        lines.removeFirst()
        var hashes: [TreeHash] = []
        for (number, line) in lines.enumerated() {
            guard let data = Base64.bytes(of: line), let hash = TreeHash(bytes: data) else { throw .hash(line: number) }
            hashes.append(hash)
        }
        let note: SignedNote
        do { note = try SignedNote(parsing: Array(bytes[(blank + 2)...])) } catch { throw .note(error) }
        try self.init(extra: extra, index: index, hashes: hashes, note: note)
    }

    package var bytes: [UInt8] {
        var text = EntryProof.firstLine + "\n"
        if let extra { text += "extra \(Base64.text(of: extra))\n" }
        text += "index \(index)\n"
        for hash in hashes { text += "\(hash)\n" }
        return Array((text + "\n").utf8) + note.bytes
    }

    /// - Parameters:
    ///   - leaf: The entry as it is in the tree.
    ///   - ledger: The ledger's key; its name is the ledger's origin.
    ///   - witnesses: Whose cosignatures are asked for as well, each of them.
    /// - Returns: Everybody who signed, with the times of cosignatures.
    package func verify(
        _ leaf: LedgerLeaf, ledger: VerifierKey, witnesses: [VerifierKey] = []
    ) throws(EntryProofRefused) -> (checkpoint: Checkpoint, signatories: [NoteSignatory]) {
        try verify(leaf, ledger: [ledger], witnesses: witnesses)
    }

    /// - Parameter ledger: Keys of one ledger, of which one must have signed: two while one is exchanged for the other. Not empty.
    package func verify(
        _ leaf: LedgerLeaf, ledger: [VerifierKey], witnesses: [VerifierKey] = []
    ) throws(EntryProofRefused) -> (checkpoint: Checkpoint, signatories: [NoteSignatory]) {
        let signatories: [NoteSignatory]
        do { signatories = try note.verify(oneOf: ledger, required: witnesses) } catch { throw .note(error) }
        let checkpoint: Checkpoint
        do { checkpoint = try Checkpoint(parsing: note.text) } catch { throw .checkpoint(error) }
        guard checkpoint.origin == ledger[0].name else { throw .otherOrigin(checkpoint.origin) }
        do {
            try MerkleProof.checkInclusion(of: leaf.hash, at: index, in: checkpoint.size, root: checkpoint.root, proof: hashes)
        } catch {
            throw .proof(error)
        }
        return (checkpoint, signatories)
    }
}
