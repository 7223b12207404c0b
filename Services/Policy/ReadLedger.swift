import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Rules
import SwiftProtobuf
import Synchronization
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
    /// The name that it is signed under.
    private let origin: KeyName
    private let controlWitness: KeyName
    private let keys: Keys
    private let earlier: [VerifierKey]
    /// Id of the key that canaries are derived from; empty: releases carry none.
    private let canaryKey: String

    /// Set by the reactor while keys are exchanged, used by the writer's thread.
    private final class Keys: Sendable {
        struct State {
            var signer: NoteSigner
            var witness: NoteSigner
            /// Of this ledger, and of control's cosignatures of it; two while one is exchanged.
            var own: [VerifierKey]
            var controlWitness: [VerifierKey]
            /// Nil: control's ledger has not been read to its end.
            var known: LedgerKeys?
        }

        let state: Mutex<State>
        init(_ state: State) { self.state = Mutex(state) }
    }

    /// - Parameter earlier: Keys that it cosigned control's ledger with before: what it keeps may be signed with one of them.
    /// - Throws: `StoreError.damaged` if the ledger is behind what it was anchored by: then the vault was put back, in parts.
    init(in vault: SQLiteVault, path: String, signer: NoteSigner, witness: NoteSigner, earlier: [VerifierKey] = [], controlWitness: VerifierKey, canaryKey: String = "") throws {
        self.path = path
        self.canaryKey = canaryKey
        database = vault.database
        store = LedgerStore(in: database)
        origin = signer.verifier.name
        self.controlWitness = controlWitness.name
        self.earlier = earlier
        keys = Keys(.init(signer: signer, witness: witness, own: [signer.verifier], controlWitness: [controlWitness]))
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

    /// What readers took in the longest period of a rate, and on the days that a detector looks back on, from the entries alone. A release that nobody ended counts as ended now, if it was opened within that period.
    func tally(at now: WallTime) throws -> ReadTally {
        let since = now - max(ReadTally.reach, ReadDays.reach)
        let size = try size()
        var start = size
        // Back to the first page that is all older. Clocks may have gone back: a page is 256 chances to be right.
        while start > 0 {
            let page = (start > 256 ? start - 256 : 0)..<start
            start = page.lowerBound
            let isOlder = try naming { try store.entries(page) }.allSatisfy { recorded in
                recorded.entry.flatMap { try? WireReadEntry(serializedBytes: $0.body) }.map { WallTime(microseconds: $0.atUs) < since } ?? true
            }
            if isOlder { break }
        }
        var tally = ReadTally()
        var lastSeen = WallTime.distantPast
        while start < size {
            let page = start..<min(size, start + 256)
            start = page.upperBound
            for recorded in try naming({ try store.entries(page) }) {
                guard let body = recorded.entry?.body else { continue }
                let wire = try WireReadEntry(serializedBytes: body)
                lastSeen = max(lastSeen, WallTime(microseconds: wire.atUs))
                switch wire.what {
                case .opened(let read): tally.opened(read.release, by: read.reader, read.parts, of: Set(read.classes.map { DataClass($0) }), at: WallTime(microseconds: wire.atUs), readAt: now)
                case .ended(let read):
                    let given = Dictionary(read.given.map { ($0.grant, Int64(clamping: $0.events)) }) { $0 + $1 }
                    tally.ended(read.release, by: read.reader, given: given, at: WallTime(microseconds: wire.atUs))
                case .denied, .moved, nil: continue
                }
            }
        }
        tally.allEnded(at: now, lastSeen: min(lastSeen, now))
        return tally
    }

    // MARK: Entries

    /// Subjects that an entry names one by one. Who asks for more is counted: an entry of megabytes for each read would be the larger part of the vault.
    private static let includedMax = 4_096

    func opened(_ job: ReleaseJob, _ decided: DecidedRelease, _ allowed: AllowedRead, _ number: Int64, in transaction: any VaultTransaction) throws {
        let record = job.record
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
        opened.subjectCount = UInt32(clamping: decided.subjects)
        opened.eventsMax = UInt64(clamping: decided.events)
        opened.directory = record.readsDirectory
        opened.fields = record.fields
        opened.person = job.reader.person?.id ?? ""
        opened.policy = job.rules.index
        if Canaries.carries(record), !canaryKey.isEmpty {
            opened.canaryKey = canaryKey
            opened.canarySalt = record.canarySalt
        }
        let included = Set(allowed.places.keys.map(\.scope.subject)).sorted()
        let places = Dictionary(uniqueKeysWithValues: included.enumerated().map { ($1, UInt32($0)) })
        if included.count <= ReadLedger.includedMax { opened.included = included }
        opened.uses = allowed.uses.map { use in
            var wire = WireReadUse()
            wire.grant = use.grant.name
            wire.role = use.grant.role
            wire.events = UInt64(clamping: use.events)
            wire.subjectCount = UInt32(clamping: use.subjects.count)
            if !opened.included.isEmpty { wire.subjects = use.subjects.compactMap { places[$0] }.sorted() }
            return wire
        }
        opened.leftOut = decided.leftOut
        try append(.opened(opened), at: record.at, in: transaction)
    }

    func denied(_ read: DeniedRead, at: WallTime, in transaction: any VaultTransaction) throws {
        var denied = WireReadDenied()
        denied.reader = read.record.reader
        denied.person = read.person
        denied.purpose = read.record.purpose
        denied.justification = read.record.justification
        denied.classes = Array(read.record.selection.classes.map(\.name).prefix(ReleaseRecord.deniedValuesMax))
        denied.subjects = Array(read.record.selection.subjects.prefix(ReleaseRecord.deniedValuesMax))
        denied.subjectCount = UInt32(clamping: read.record.selection.subjects.count)
        denied.teams = Array(read.record.selection.teams.prefix(ReleaseRecord.deniedValuesMax))
        denied.fromUs = read.record.selection.from.microseconds
        denied.untilUs = read.record.selection.until.microseconds
        denied.epoch = read.record.epoch
        denied.directory = read.record.readsDirectory
        denied.policy = read.policy
        denied.why = read.why
        denied.count = read.count
        denied.sinceUs = read.since.microseconds
        try append(.denied(denied), at: at, in: transaction)
    }

    func moved(_ places: [WireDirectoryPlace], by author: String, at: WallTime, in transaction: any VaultTransaction) throws {
        var moved = WireDirectoryMoved()
        moved.author = author
        moved.places = places
        try append(.moved(moved), at: at, in: transaction)
    }

    func ended(_ end: ReleaseEnd, at: WallTime, in transaction: any VaultTransaction) throws {
        let (number, chunks, events, code) = (end.number, end.chunks, end.events, end.code)
        var ended = WireReadEnded()
        ended.release = UInt64(number)
        ended.chunks = UInt64(chunks)
        ended.events = UInt64(events)
        ended.code = UInt32(clamping: code)
        ended.reader = end.reader
        ended.why = end.why
        ended.canaries = UInt64(clamping: end.canaries)
        ended.given = end.given.sorted { $0.key < $1.key }.map { grant, events in
            var given = WireReadGiven()
            (given.grant, given.events) = (grant, UInt64(clamping: events))
            return given
        }
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
        guard (try? note.verify(oneOfEach: [[keys.state.withLock { $0.witness.verifier }] + earlier])) != nil else { throw StoreError.damaged(path: path, "what it has cosigned of control's ledger was changed") }
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
        try note.add(keys.state.withLock { $0.witness }.sign(note.text, at: UInt64(max(0, now.microseconds / 1_000_000))))
        try keep(Data(note.bytes), in: "seen")
        return Data(note.bytes)
    }

    /// Control has cosigned a checkpoint of ours.
    ///
    /// - Returns: false: it is none of ours, or not cosigned by a key that counts.
    func keep(cosigned bytes: Data) throws -> Bool {
        let state = keys.state.withLock { $0 }
        guard let note = try? SignedNote(parsing: [UInt8](bytes)),
            let checkpoint = try? Checkpoint(parsing: note.text), checkpoint.origin == origin, try checkpoint.size <= size(),
            try naming({ try store.root(at: checkpoint.size) }) == checkpoint.root
        else { return false }
        guard (try? note.verify(oneOfEach: [state.own, state.controlWitness])) != nil else {
            // Which keys count is not known yet, or one of them was retired meanwhile: it is not kept, and nothing is wrong.
            guard let known = state.known else { return true }
            return (try? note.verify(oneOfEach: [state.own + known.retiredVerifiers, state.controlWitness + known.retiredVerifiers])) != nil
        }
        try keep(bytes, in: "cosigned")
        return true
    }

    /// The newest checkpoint. Behind what control has cosigned there is no proof, and none is offered: control says what that means.
    ///
    /// - Parameter stored: Segments that the vault has ever stored, durably.
    func offer(from: UInt64, stored: UInt64) throws -> Offer {
        let found = try naming { try store.checkpoint(origin: origin) }
        let checkpoint = Checkpoint(origin: found.origin, size: found.size, root: found.root, stored: stored)
        let proof = from <= checkpoint.size ? try naming { try store.consistencyProof(from: from, to: checkpoint.size) } : []
        let note = try SignedNote(text: checkpoint.text, signatures: [keys.state.withLock { $0.signer }.sign(checkpoint.text, at: 0)])
        return Offer(size: checkpoint.size, from: from, stored: stored, note: Data(note.bytes), proof: proof.map { Data($0.bytes) })
    }

    // MARK: Keys

    /// Those that count by control's ledger.
    func go(by known: LedgerKeys) {
        keys.state.withLock { state in
            guard state.known != known else { return }
            state.known = known
            let (own, witness) = (known.verifiers(origin), known.verifiers(controlWitness))
            if !own.isEmpty { state.own = own }
            if !witness.isEmpty { state.controlWitness = witness }
        }
    }

    /// From the next offer on.
    func sign(with signer: NoteSigner) { keys.state.withLock { $0.signer = signer } }
    /// From the next cosignature on.
    func cosign(with witness: NoteSigner) { keys.state.withLock { $0.witness = witness } }

    private func naming<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try SQLiteStore.naming(path, body) } catch let error as LedgerError { throw StoreError.damaged(path: path, "in its ledger of reads \(error.words)") }
    }
}

/// The end of a release.
struct ReleaseEnd: Sendable {
    let number: Int64
    let reader: String
    let chunks: Int64
    let events: Int64
    /// Not among `events`.
    let canaries: Int64
    /// By grant.
    let given: [String: Int64]
    let code: Int
    /// A word, where the right to read ended.
    let why: String
}

extension WireReadOpened {
    /// What it may take by each of its grants.
    fileprivate var parts: [ReadTally.Part] {
        uses.map { use in
            let subjects = use.subjects.compactMap { Int($0) < included.count ? included[Int($0)] : nil }
            return ReadTally.Part(
                grant: use.grant, events: Int64(clamping: use.events), subjects: subjects, uncounted: max(0, Int64(use.subjectCount) - Int64(subjects.count)))
        }
    }
}

extension DecidedRelease {
    var leftOut: [WireLeftOut] {
        granted.leftOut.sorted { $0.key < $1.key }.map { why, subjects in
            var left = WireLeftOut()
            (left.why, left.subjects) = (why, UInt32(clamping: subjects))
            return left
        }
    }
}

extension AllowedRead {
    /// As its entry will be read again.
    var parts: [ReadTally.Part] {
        uses.map { ReadTally.Part(grant: $0.grant.name, events: $0.events, subjects: Array($0.subjects)) }
    }
}
