import Crypto
import Ledger
import Testing

@Suite struct NoteTests {
    let text = "This is an example message.\n"

    @Test func `the published verifier key is read, has its id, and is written as it was`() throws {
        let published = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        let key = try VerifierKey(parsing: published)
        #expect(key.name == (try name("example.com/foo")))
        #expect(key.algorithm == .note)
        #expect(key.id.number == 0x530d_903a)
        #expect(key.description == published)
        let other = try signer("example.com/foo", 1)
        // Its private key is not ours: whatever stands under its id fails.
        let forged = try SignedNote(
            text: text, signatures: [NoteSignature(name: key.name, id: key.id, bytes: other.sign(text, at: 0).bytes)])
        #expect(throws: NoteRefused.signatureFails(key.name, key.id)) { try forged.verify([key]) }
    }

    @Test func `a verifier key is written in one way`() throws {
        let good = try signer("example.com/foo", 1, .cosignature).verifier
        #expect(try VerifierKey(parsing: good.description) == good)
        let text = good.description
        for other in [
            "", "+", "++", text + "=", text + "\n", " " + text, text.replacing("foo", with: "fo o"), text.replacing("foo", with: ""),
            text.replacing("+\(good.id)+", with: "+\(good.id.description.uppercased())x+"), text.replacing("+\(good.id)+", with: "+00000000+"),
            text.replacing("example.com/foo", with: ""), String(text.dropLast()),
            "example.com/foo+00000000+BgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            #expect(throws: VerifierKeyRefused.self, "\(other)") { try VerifierKey(parsing: other) }
        }
        #expect(throws: VerifierKeyRefused.publicKey, "a point of low order") {
            try VerifierKey(name: good.name, algorithm: .note, publicKey: [1] + [UInt8](repeating: 0, count: 31))
        }
    }

    @Test func `a note that was signed is read, written as it was, and verified`() throws {
        let (log, witness) = (try signer("log.example", 1), try signer("witness.example", 2, .cosignature))
        for text in [self.text, "\n", "a\n\nb\n\n\nc\n", "trafitto da un raggio di sole: è subito sera\n"] {
            let note = try SignedNote(text: text, signatures: [log.sign(text, at: 0), witness.sign(text, at: 1_700_000_000)])
            let read = try SignedNote(parsing: note.bytes)
            #expect(read == note)
            #expect(read.bytes == note.bytes)
            let signatories = try read.verify([], required: [log.verifier, witness.verifier])
            #expect(signatories.map(\.key) == [log.verifier, witness.verifier])
            #expect(signatories.map(\.time) == [nil, 1_700_000_000])
        }
    }

    @Test func `unknown keys are as if they were not there, and one known key that fails spoils the note`() throws {
        let (log, stranger, witness) = (try signer("log.example", 1), try signer("log.example", 3), try signer("witness.example", 2))
        var note = try SignedNote(text: text, signatures: [stranger.sign(text, at: 0), log.sign(text, at: 0)])
        #expect(try note.verify([log.verifier]).map(\.key) == [log.verifier])
        #expect(throws: NoteRefused.unsigned(by: witness.verifier.name, witness.verifier.id)) {
            try note.verify([log.verifier], required: [witness.verifier])
        }
        #expect(throws: NoteRefused.noKnownKey) { try note.verify([witness.verifier]) }
        #expect(throws: NoteRefused.noKnownKey) { try note.verify([]) }
        try note.add(NoteSignature(name: witness.verifier.name, id: witness.verifier.id, bytes: [UInt8](repeating: 1, count: 64)))
        #expect(throws: NoteRefused.signatureFails(witness.verifier.name, witness.verifier.id)) {
            try note.verify([log.verifier, witness.verifier])
        }
        #expect(try note.verify([log.verifier]).count == 1)
    }

    @Test func `a plain signature is no cosignature, and the other way round`() throws {
        let (plain, timed) = (try signer("log.example", 1), try signer("log.example", 1, .cosignature))
        #expect(plain.verifier.id != timed.verifier.id)
        for (one, other) in [(plain, timed), (timed, plain)] {
            let note = try SignedNote(
                text: text,
                signatures: [NoteSignature(name: other.verifier.name, id: other.verifier.id, bytes: one.sign(text, at: 7).bytes)])
            #expect(throws: NoteRefused.signatureFails(other.verifier.name, other.verifier.id)) { try note.verify([other.verifier]) }
        }
    }

    @Test func `the bytes of a cosignature are those of the specification`() throws {
        let witness = try signer("witness.example", 2, .cosignature)
        let signature = try witness.sign("origin\n0\nroot\n", at: 1_679_315_147)
        #expect(signature.bytes.count == 72)
        #expect(Array(signature.bytes[..<8]) == [0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb] as [UInt8])
        let message = Array("cosignature/v1\ntime 1679315147\norigin\n0\nroot\n".utf8)
        #expect(try key(2).publicKey.isValidSignature(signature.bytes[8...], for: message))
    }

    @Test func `sixteen signatures are taken, sixty-four too, and not more`() throws {
        let signers = try (1...65).map { try signer("key-\($0).example", UInt8($0)) }
        for count in [16, 64] {
            let note = try SignedNote(text: text, signatures: signers.prefix(count).map { try $0.sign(text, at: 0) })
            #expect(try SignedNote(parsing: note.bytes).verify(signers.map(\.verifier)).count == count)
        }
        #expect(throws: NoteRefused.tooManySignatures(65)) { try SignedNote(text: text, signatures: signers.map { try $0.sign(text, at: 0) }) }
    }

    @Test func `every bit of a signed checkpoint counts`() throws {
        let (log, witness) = (try signer("log.example", 1), try signer("witness.example", 2, .cosignature))
        let checkpoint = Checkpoint(origin: log.verifier.name, size: 12, root: TreeHash(leaf: [1]))
        let note = try SignedNote(
            text: checkpoint.text, signatures: [log.sign(checkpoint.text, at: 0), witness.sign(checkpoint.text, at: 1_700_000_000)])
        let bytes = note.bytes
        let required = [log.verifier, witness.verifier]
        #expect(try SignedNote(parsing: bytes).verify([], required: required).count == 2)
        for place in bytes.indices {
            for bit in 0..<8 {
                var other = bytes
                other[place] ^= 1 << UInt8(bit)
                #expect(throws: NoteRefused.self, "byte \(place), bit \(bit)") { try SignedNote(parsing: other).verify([], required: required) }
            }
            #expect(throws: NoteRefused.self, "cut after \(place)") {
                try SignedNote(parsing: Array(bytes[..<place])).verify([], required: required)
            }
        }
    }

    @Test func `what is not written as it would be is refused`() throws {
        let signed = try SignedNote(text: text, signatures: [signer("log.example", 1).sign(text, at: 0)])
        let whole = String(decoding: signed.bytes, as: UTF8.self)
        for other in [
            "", "\n", "\n\n", text, text + "\n", whole + "\n", String(whole.dropLast()), whole.replacing("\n", with: "\r\n"), whole + "x\n",
            whole.replacing("— ", with: "- "), whole.replacing("— ", with: "—"), whole.replacing("— ", with: "—  "),
            whole.replacing("log.example", with: "log+example"), whole.replacing("log.example", with: "log.example x"),
            whole.replacing("log.example ", with: " "), whole.replacing("This", with: "\tThis"), text + "\n— log.example AAAAAA==\n",
            text + "\n— log.example AAAAAAB=\n", text + "\n— log.example AAAAAAE\n",
        ] {
            #expect(throws: NoteRefused.self, "\(other)") { try SignedNote(parsing: Array(other.utf8)) }
        }
        #expect(throws: NoteRefused.notUTF8) { try SignedNote(parsing: [0xff] + signed.bytes) }
        #expect(throws: NoteRefused.shape) { try SignedNote(text: "no end", signatures: []) }
        #expect(throws: NoteRefused.tooLong(bytes: SignedNote.bytesMax + 1)) {
            try SignedNote(parsing: [UInt8](repeating: 0x0a, count: SignedNote.bytesMax + 1))
        }
    }

    @Test func `a checkpoint is three lines, and one more beside a vault, written in one way`() throws {
        let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        let empty = try Checkpoint(parsing: "ledger.example\n0\n\(root)\n")
        #expect(empty.root == MerkleTree.emptyRoot)
        #expect(empty.text == "ledger.example\n0\n\(root)\n")
        #expect(try Checkpoint(parsing: "ledger.example\n12\n\(root)\n").size == 12)
        let beside = try Checkpoint(parsing: "ledger.example\n12\n\(root)\nvault 4711\n")
        #expect(beside.stored == 4_711 && beside.text == "ledger.example\n12\n\(root)\nvault 4711\n")
        #expect(try Checkpoint(parsing: "ledger.example\n12\n\(root)\n") != beside)
        for (other, error) in [
            ("ledger.example\n12\n\(root)\nvault\n", .extensionLines(1)), ("ledger.example\n12\n\(root)\nvault 1\nvault 1\n", .extensionLines(2)),
            ("ledger.example\n12\n\(root)\nvault 01\n", .stored), ("ledger.example\n12\n\(root)\nvault -1\n", .stored),
            ("ledger.example\n12\n\(root)\nvault \n", .stored), ("ledger.example\n12\n\(root)\nvault 18446744073709551615\n", .stored),
            ("", .shape), ("ledger.example\n12\n\(root)", .shape), ("ledger.example\n12\n", .shape), ("\n12\n\(root)\n", .origin),
            ("two words\n12\n\(root)\n", .origin), ("ledger.example\n012\n\(root)\n", .size), ("ledger.example\n+12\n\(root)\n", .size),
            ("ledger.example\n-1\n\(root)\n", .size), ("ledger.example\n 12\n\(root)\n", .size), ("ledger.example\n\n\(root)\n", .size),
            ("ledger.example\n18446744073709551615\n\(root)\n", .size), ("ledger.example\n١٢\n\(root)\n", .size),
            ("ledger.example\n12\n\(root.dropLast())\n", .root), ("ledger.example\n12\n\(root.replacing("FU=", with: "FV="))\n", .root),
            ("ledger.example\n12\nAAAA\n", .root), ("ledger.example\n0\n\(TreeHash(leaf: [1]))\n", .root),
            ("ledger.example\n12\n\(root)\nmore\n", .extensionLines(1)), ("ledger.example\n12\n\(root)\n\n", .extensionLines(1)),
            ("ledger.example\r\n12\r\n\(root)\r\n", .origin),
        ] as [(String, CheckpointRefused)] {
            #expect(throws: error, "\(other)") { try Checkpoint(parsing: other) }
        }
    }

    @Test func `two spellings of one accent are two names`() throws {
        #expect(try name("caf\u{e9}.example") != name("cafe\u{301}.example"))
    }
}

@Suite struct EntryProofTests {
    private func proof(_ scene: Scene, _ index: UInt64, extra: [UInt8]? = nil, _ signers: [NoteSigner]) throws -> EntryProof {
        let checkpoint = try scene.store.checkpoint(origin: scene.origin)
        let note = try SignedNote(text: checkpoint.text, signatures: signers.map { try $0.sign(checkpoint.text, at: 1_700_000_000) })
        return try EntryProof(extra: extra, index: index, hashes: scene.store.inclusionProof(of: index, in: checkpoint.size), note: note)
    }

    @Test func `a proof that was kept is read, written as it was, and holds for its own entry alone`() throws {
        let scene = try Scene(13)
        let (ledger, witness) = (try signer("\(scene.origin)", 1), try signer("policy.example", 2, .cosignature))
        for index in 0..<13 as Range<UInt64> {
            let proof = try proof(scene, index, extra: index == 5 ? [1, 2, 3] : nil, [ledger, witness])
            let read = try EntryProof(parsing: proof.bytes)
            #expect(read == proof)
            #expect(read.bytes == proof.bytes)
            let (checkpoint, signatories) = try read.verify(entry(Int(index)).leaf, ledger: ledger.verifier, witnesses: [witness.verifier])
            #expect(checkpoint == (try scene.checkpoint(at: 13)))
            #expect(signatories.count == 2)
            #expect(throws: EntryProofRefused.proof(.rootDiffers)) { try read.verify(entry(99).leaf, ledger: ledger.verifier) }
        }
        let bare = try proof(scene, 3, [ledger])
        #expect(throws: EntryProofRefused.note(.unsigned(by: witness.verifier.name, witness.verifier.id))) {
            try bare.verify(entry(3).leaf, ledger: ledger.verifier, witnesses: [witness.verifier])
        }
        let other = try signer("other.example", 1)
        let borrowed = try proof(scene, 3, [other])
        #expect(throws: EntryProofRefused.otherOrigin(scene.origin)) { try borrowed.verify(entry(3).leaf, ledger: other.verifier) }
    }

    @Test func `every byte of a proof counts`() throws {
        let scene = try Scene(7)
        let ledger = try signer("\(scene.origin)", 1)
        let bytes = try proof(scene, 4, [ledger]).bytes
        let leaf = try entry(4).leaf
        _ = try EntryProof(parsing: bytes).verify(leaf, ledger: ledger.verifier)
        for place in bytes.indices {
            for bit in 0..<8 {
                var other = bytes
                other[place] ^= 1 << UInt8(bit)
                #expect(throws: EntryProofRefused.self, "byte \(place), bit \(bit)") {
                    try EntryProof(parsing: other).verify(leaf, ledger: ledger.verifier)
                }
            }
            #expect(throws: EntryProofRefused.self, "cut after \(place)") {
                try EntryProof(parsing: Array(bytes[..<place])).verify(leaf, ledger: ledger.verifier)
            }
        }
    }

    @Test func `what is not written as it would be is refused`() throws {
        let scene = try Scene(7)
        let whole = String(decoding: try proof(scene, 4, extra: [9], [signer("\(scene.origin)", 1)]).bytes, as: UTF8.self)
        for (other, error) in [
            (whole.replacing("@v1", with: "@v2"), .version), (whole.replacing("extra CQ==", with: "extra "), .extra),
            (whole.replacing("extra CQ==", with: "extra CR=="), .extra), (whole.replacing("extra CQ==", with: "extra CQ=="), nil),
            (whole.replacing("index 4", with: "index 04"), .index), (whole.replacing("index 4", with: "index  4"), .index),
            (whole.replacing("extra CQ==\n", with: "extra CQ==\nextra CQ==\n"), .index), (whole.replacing("index 4\n", with: ""), .index),
            (whole.replacing("index 4\n", with: "index 4\nAAAA\n"), .hash(line: 0)), ("", .shape), ("c2sp.org/tlog-proof@v1\n", .shape),
            (whole.replacing("index 4\n", with: "index 4\n" + String(repeating: "\(MerkleTree.emptyRoot)\n", count: 62)), .tooManyHashes(65)),
        ] as [(String, EntryProofRefused?)] {
            if let error {
                #expect(throws: error, "\(other)") { try EntryProof(parsing: Array(other.utf8)) }
            } else {
                _ = try EntryProof(parsing: Array(other.utf8))
            }
        }
    }
}
