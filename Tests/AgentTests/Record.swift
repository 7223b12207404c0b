import Crypto
import Foundation
import Gate
import Ledger
import SwiftProtobuf
import Testing
import Wire

/// Control's ledger, in a folder of its own.
final class Record {
    let folder = NSTemporaryDirectory() + "record-" + UUID().uuidString
    let store: LedgerStore
    let signer: NoteSigner
    private(set) var entries: [LedgerEntry] = []

    init(_ name: String = "sluice/test/governance", seed: UInt8 = 1) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        store = try LedgerStore(path: folder + "/ledger.sqlite")
        let key = try Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32))
        signer = try NoteSigner(name: #require(KeyName(name)), algorithm: .note, key: key)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// - Parameter index: What the entry says of its place; nil: the truth.
    func append(_ deed: Entry.Deed, index: UInt64? = nil) throws {
        let wire = WireEntry(Entry(index: index ?? UInt64(entries.count + 1), at: WallTime(nanoseconds: 0), author: "control", deed: deed))
        try append(body: [UInt8](wire.serializedBytes() as Data))
    }

    func append(body: [UInt8]) throws {
        let entry = try #require(LedgerEntry(salt: Array(SHA256.hash(data: [UInt8(entries.count)])), body: body))
        _ = try store.append([entry])
        entries.append(entry)
    }

    /// Of the entry at a leaf, as control answers a query.
    func proof(of leaf: Int, signedBy signer: NoteSigner? = nil, as origin: KeyName? = nil) throws -> WireEntryProof {
        let signer = signer ?? self.signer
        let checkpoint = try store.checkpoint(origin: origin ?? signer.verifier.name)
        let note = try SignedNote(text: checkpoint.text, signatures: [signer.sign(checkpoint.text, at: 0)])
        let file = try EntryProof(index: UInt64(leaf), hashes: store.inclusionProof(of: UInt64(leaf), in: checkpoint.size), note: note)
        var proof = WireEntryProof()
        proof.entry.salt = Data(entries[leaf].salt)
        proof.entry.body = Data(entries[leaf].body)
        proof.proof = Data(file.bytes)
        return proof
    }
}

func key(_ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: 32) }
