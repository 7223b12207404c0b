import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import SwiftProtobuf
import Vault
import Wire

/// Policy's ledger: who read what, in the order in which it was released. A Merkle log in the vault's own database, so that a read and its record are one
/// transaction.
///
/// Used by the writer's thread alone, but for what is read at the start.
struct ReadLedger: Sendable {
    /// Policy's checkpoint, and the proof that it continues what control has cosigned.
    struct Offer: Sendable {
        let size: UInt64
        let from: UInt64
        /// By the vault, ever.
        let stored: UInt64
        let note: Data
        let proof: [Data]
    }

    private let path: String
    private let database: any DatabaseWriter
    private let store: LedgerStore
    private let signer: NoteSigner
    private let witness: NoteSigner
    private let controlWitness: VerifierKey

    /// - Throws: `StoreError.damaged` if the ledger is behind what it was anchored by: then the vault was put back, in parts.
    init(in vault: SQLiteVault, path: String, signer: NoteSigner, witness: NoteSigner, controlWitness: VerifierKey) throws {
        self.path = path
        database = vault.database
        store = LedgerStore(in: database)
        self.signer = signer
        self.witness = witness
        self.controlWitness = controlWitness
        guard let note = try note("cosigned"), let anchored = try? Checkpoint(parsing: note.text) else { return }
        let size = try size()
        guard size >= anchored.size, try naming({ try store.root(at: anchored.size) }) == anchored.root else {
            throw StoreError.damaged(path: path, "its ledger of reads is not the one that control has cosigned (\(anchored.size) entries; there are \(size))")
        }
    }

    /// Recomputes every entry from its body: what was edited shows in no hash that is stored. A million takes seconds: not on the way of what serves.
    ///
    /// - Returns: how many there are.
    /// - Throws: `StoreError.damaged`.
    func audit() throws -> UInt64 {
        let anchored = try note("cosigned").flatMap { try? Checkpoint(parsing: $0.text) }
        switch try naming({ try store.verify(against: anchored.map { [$0] } ?? []) }) {
        case .whole(let size, _, _): return size
        case .faulty(let fault): throw StoreError.damaged(path: path, "in its ledger of reads \(fault.words)")
        }
    }

    /// The gate as the vault has it; none: as a node that has heard nothing.
    func gate(_ recorded: Data?) throws -> GateState {
        guard let recorded else { return .unheard }
        do { return try WireGateState(serializedBytes: recorded).value } catch { throw StoreError.damaged(path: path, "the gate that it recorded last cannot be read") }
    }

    func size() throws -> UInt64 { try naming { try store.size() } }

    // MARK: Entries

    func opened(_ record: ReleaseRecord, _ number: Int64, subjects: Int, events: Int64, in transaction: any VaultTransaction) throws {
        var opened = WireReadOpened()
        opened.release = UInt64(number)
        opened.reader = record.reader
        opened.purpose = record.purpose
        opened.justification = record.justification
        opened.classes = record.selection.classes.map(\.name)
        opened.subjects = record.selection.subjects
        opened.teams = record.selection.teams
        opened.fromUs = record.selection.from.microseconds
        opened.untilUs = record.selection.until.microseconds
        opened.epoch = record.epoch
        opened.subjectCount = UInt32(clamping: subjects)
        opened.eventsMax = UInt64(clamping: events)
        opened.directory = record.readsDirectory
        try append(.opened(opened), at: record.at, in: transaction)
    }

    func ended(_ number: Int64, chunks: Int64, events: Int64, code: Int, at: WallTime, in transaction: any VaultTransaction) throws {
        var ended = WireReadEnded()
        ended.release = UInt64(number)
        ended.chunks = UInt64(chunks)
        ended.events = UInt64(events)
        ended.code = UInt32(clamping: code)
        try append(.ended(ended), at: at, in: transaction)
    }

    private func append(_ what: WireReadEntry.OneOf_What, at: WallTime, in transaction: any VaultTransaction) throws {
        // The embedded vault alone has a ledger yet: another engine brings its own.
        guard let db = (transaction as? any SQLiteVaultTransaction)?.db else { preconditionFailure("the read ledger lies in SQLite") }
        let size = try store.size(in: db)
        var body = WireReadEntry()
        body.number = size + 1
        body.atUs = at.microseconds
        body.what = what
        guard let entry = LedgerEntry(salt: .random(LedgerEntry.saltBytes), body: try body.serializedBytes()) else {
            throw LedgerError.entryMissing(size)
        }
        _ = try store.append([entry], expecting: size, in: db)
    }

    // MARK: Anchors

    /// What policy has cosigned last of control's ledger, kept before anybody was told.
    func seen() throws -> SignedNote? {
        guard let note = try note("seen") else { return nil }
        // A witness that forgets is none.
        guard (try? note.verify([], required: [witness.verifier])) != nil else { throw StoreError.damaged(path: path, "what it has cosigned of control's ledger was changed") }
        return note
    }

    /// The size of its own that control has cosigned, as far as policy has heard.
    func anchored() throws -> UInt64 { try note("cosigned").flatMap { try? Checkpoint(parsing: $0.text).size } ?? 0 }

    private func note(_ column: String) throws -> SignedNote? {
        let bytes = try SQLiteStore.naming(path) { try database.read { db in try Data.fetchOne(db, sql: "SELECT \(column) FROM anchor") } }
        guard let bytes else { return nil }
        do { return try SignedNote(parsing: [UInt8](bytes)) } catch { throw StoreError.damaged(path: path, "the checkpoint that it keeps as '\(column)' cannot be read: \(error)") }
    }

    private func keep(_ note: Data, in column: String) throws {
        do {
            try database.write { db in try db.execute(sql: "UPDATE anchor SET \(column) = ?", arguments: [note]) }
        } catch let error as DatabaseError where !error.isFull { throw SQLiteStore.named(path, error) }
    }

    /// Cosigns a checkpoint of control's that the follower has checked entry by entry: durable first, then told.
    func cosign(_ note: SignedNote, at now: WallTime) throws -> Data {
        var note = note
        try note.add(witness.sign(note.text, at: UInt64(max(0, now.microseconds / 1_000_000))))
        try keep(Data(note.bytes), in: "seen")
        return Data(note.bytes)
    }

    /// Control has cosigned a checkpoint of ours.
    ///
    /// - Returns: false: it is none of ours, or not cosigned by the key that this suite began with.
    func keep(cosigned bytes: Data) throws -> Bool {
        guard let note = try? SignedNote(parsing: [UInt8](bytes)), (try? note.verify([], required: [signer.verifier, controlWitness])) != nil,
            let checkpoint = try? Checkpoint(parsing: note.text), checkpoint.origin == signer.verifier.name, try checkpoint.size <= size(),
            try naming({ try store.root(at: checkpoint.size) }) == checkpoint.root
        else { return false }
        try keep(bytes, in: "cosigned")
        return true
    }

    /// The newest checkpoint. Behind what control has cosigned there is no proof, and none is offered: control says what that means.
    ///
    /// - Parameter stored: Segments that the vault has ever stored, durably.
    func offer(from: UInt64, stored: UInt64) throws -> Offer {
        let found = try naming { try store.checkpoint(origin: signer.verifier.name) }
        let checkpoint = Checkpoint(origin: found.origin, size: found.size, root: found.root, stored: stored)
        let proof = from <= checkpoint.size ? try naming { try store.consistencyProof(from: from, to: checkpoint.size) } : []
        let note = try SignedNote(text: checkpoint.text, signatures: [signer.sign(checkpoint.text, at: 0)])
        return Offer(size: checkpoint.size, from: from, stored: stored, note: Data(note.bytes), proof: proof.map { Data($0.bytes) })
    }

    private func naming<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try SQLiteStore.naming(path, body) } catch let error as LedgerError { throw StoreError.damaged(path: path, "in its ledger of reads \(error.words)") }
    }
}
