import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Messaging
import SwiftProtobuf
import Synchronization
import Vault
import Wire

/// An entry as it is recorded, sent and hashed: made once, so that all three are the same bytes.
struct Recorded: Sendable {
    let index: UInt64
    let wire: WireRecordedEntry
    /// Nodes that its certificate names: what it weighs.
    let nodes: Int
    let certificate: UInt64?
    /// Verifier key that is announced or retired.
    let ledgerKey: String?

    init(_ entry: Entry, signed: WireSignedCommand?) throws {
        var body = WireEntry(entry)
        if let signed { body.signed = signed }
        index = entry.index
        var recorded = WireRecordedEntry()
        recorded.salt = Data([UInt8].random(LedgerEntry.saltBytes))
        recorded.body = try body.serializedData()
        wire = recorded
        ledgerKey =
            switch entry.deed {
            case .ledgerKeyAnnounced(let key, _), .ledgerKeyRetired(let key): key
            default: nil
            }
        if case .certified(let made) = entry.deed {
            nodes = made.agents.count
            certificate = made.epoch.number
        } else {
            nodes = 0
            certificate = nil
        }
    }
}

/// Control's ledger on disk: everything decided, append-only, a Merkle log in SQLite, written and signed by one thread of its own.
final class Journal: Sendable {
    /// What the thread tells the reactor.
    enum News: Sendable {
        /// All entries up to this index are durable, and this is what control has signed for them.
        case durable(UInt64, checkpoint: Data)
        /// The disk is full: entries wait, pauses are in force all the same.
        case full(String)
        /// The disk is full: no entry waits, but epochs cannot be reserved, and the next one that does wait will not be written either.
        case unreserved(String)
        /// They are reserved again, and no entry waits.
        case reserved
        /// The same entries, signed with other keys.
        case signed(checkpoint: Data)
        /// Entries for a follower.
        case page(Route, [WireRecordedEntry], last: UInt64, checkpoint: Data)
        case certificate(Route, WireCertificate?)
        /// The entry at an index and its proof; nil: there is no such entry.
        case proof(Route, WireEntryProof?)
        /// What a machine is told that has joined, with the proof of the vault's key.
        case joined(Route, WireJoined)
        /// What was made of policy's anchor.
        case anchored(WireAnchor, PolicyWitness.Judgement)
        /// Policy has cosigned a checkpoint of control's that is not of this ledger: entries were lost.
        case outrun(Checkpoint)
        case certificateFile(Route, Data?)
        /// The disk has failed in a way after which nothing about it is known: the process must end.
        case failed(String)
    }

    private enum Work: Sendable {
        case append(Recorded)
        case page(Route, after: UInt64)
        case proof(Route, UInt64)
        case joined(Route, WireJoined, vaultKey: UInt64, serverKey: UInt64?)
        case anchor(WireAnchor, restored: [[UInt8]: [UInt8]], abandoned: Set<[UInt8]>, keys: LedgerKeys)
        case cosigner(NoteSigner)
        case keys(LedgerKeys, also: NoteSigner?)
        case certificate(Route, UInt64)
        case certificateFile(Route, UInt64)
        case stop
    }

    /// For tests, which make it full.
    let database: any DatabaseWriter
    private let ledger: LedgerStore
    /// Of this ledger.
    private let origin: KeyName
    /// All of its keys that lie here, and those of them that it is signed with: two while one is exchanged for the other.
    private let signers: Mutex<(all: [NoteSigner], present: [NoteSigner])>
    /// What proves each change of these keys, in order: made when the key before can still sign for it, and kept for who sleeps meanwhile.
    private let keyProofs = Mutex<[(index: UInt64, proof: WireEntryProof)]>([])
    /// Changes that are not proven yet. Until they are no key stops to sign.
    private let unproven = Mutex<Set<UInt64>>([])
    private let reserve: String
    private let path: String
    private let news: Mailbox<News>
    private let queue = Mutex<[Work]>([])
    private let waiting = SteadySemaphore()
    private let ended = SteadySemaphore()
    private let durable = Mutex<(index: UInt64, checkpoint: Data)>((0, Data()))
    /// The newest checkpoint that policy has cosigned.
    private let cosigned = Mutex<SignedNote?>(nil)
    /// The journal's thread alone asks it.
    private let witness: Mutex<PolicyWitness>
    /// Identifies this journal for ever: a follower of another one must not go on with this.
    let id: Data

    /// Released when the disk is full, so that a pause can still be recorded.
    private static let reserveBytes = 4 << 20

    /// - Parameter signers: The keys of this ledger that lie here, the one that registry.json names first. Not empty.
    init(folder: String, signers: [NoteSigner], keys: PolicyWitness.Keys, news: Mailbox<News>) throws {
        self.news = news
        origin = signers[0].verifier.name
        self.signers = Mutex((signers, [signers[0]]))
        reserve = folder + "/reserve"
        path = folder + "/ledger.sqlite"
        guard !FileManager.default.fileExists(atPath: folder + "/journal.sqlite") else {
            throw Complaint("\(folder)/journal.sqlite was made by an older Sluice, whose entries nobody signed: begin anew with another --home, or move it away")
        }
        database = try SQLiteStore.open(path, version: 3) { step, db in
            if step == 2 { try db.execute(sql: "ALTER TABLE journal ADD COLUMN witnessed BLOB") }
            if step == 3 { try db.execute(sql: "CREATE TABLE ledger_key (number INTEGER PRIMARY KEY, proof BLOB NOT NULL) STRICT") }
            guard step == 1 else { return }
            try LedgerStore.createTables(in: db)
            try db.execute(
                sql: """
                    CREATE TABLE certificate (epoch INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (epoch, number)) STRICT, WITHOUT ROWID;
                    CREATE TABLE journal (id BLOB NOT NULL, reserved INTEGER NOT NULL, cosigned BLOB) STRICT;
                    INSERT INTO journal VALUES (randomblob(8), 0, NULL);
                    """)
        }
        ledger = LedgerStore(in: database)
        let (known, note, witnessed) = try SQLiteStore.naming(path) { [database] in
            try database.read { db in
                let row = try Row.fetchOne(db, sql: "SELECT id, cosigned, witnessed FROM journal")
                return (row?[0] as Data? ?? Data(), row?[1] as Data?, row?[2] as Data?)
            }
        }
        let held = witnessed.flatMap { try? Checkpoint(parsing: String(decoding: $0, as: UTF8.self)) }
        guard (witnessed == nil) == (held == nil) else { throw StoreError.damaged(path: path, "what was cosigned of policy's ledger cannot be read") }
        witness = Mutex(PolicyWitness(keys: keys, held: held))
        id = known
        if let note {
            guard let known = try? SignedNote(parsing: [UInt8](note)) else { throw StoreError.damaged(path: path, "the checkpoint that policy has cosigned cannot be read") }
            cosigned.withLock { $0 = known }
        }
        let proofs = try SQLiteStore.naming(path) { [database] in
            try database.read { db in try Row.fetchAll(db, sql: "SELECT number, proof FROM ledger_key ORDER BY number").map { (UInt64($0[0] as Int64), $0[1] as Data) } }
        }
        for (index, bytes) in proofs {
            guard let proof = try? WireEntryProof(serializedBytes: bytes) else { throw StoreError.damaged(path: path, "the proof of the key that entry \(index) changed cannot be read") }
            keyProofs.withLock { $0.append((index, proof)) }
        }
        allocateReserve()
    }

    /// Everything, in order. Call before ``start()``.
    ///
    /// - Throws: `StoreError.damaged` when an entry is missing, cannot be read, or is not what was recorded: what is not known may have been a pause.
    func replay(_ fold: inout GovernanceFold, _ statements: inout Statements) throws -> UInt64 {
        let size = try naming { try ledger.size() }
        var from: UInt64 = 0
        while from < size {
            let page = from..<min(size, from + 256)
            for (offset, recorded) in try naming({ try ledger.entries(page) }).enumerated() {
                let index = from + UInt64(offset) + 1
                guard let entry = recorded.entry else { throw StoreError.damaged(path: path, "entry \(index) was erased") }
                guard entry.leaf == recorded.leaf else { throw StoreError.damaged(path: path, "entry \(index) is not what was recorded") }
                var wire = WireRecordedEntry()
                wire.salt = Data(entry.salt)
                wire.body = Data(entry.body)
                do {
                    let taken = try fold.take(wire)
                    statements.note(wire, taken)
                    switch taken.deed {
                    case .ledgerKeyAnnounced(let key, _), .ledgerKeyRetired(let key): noteChange(of: key, at: index)
                    default: break
                    }
                } catch { throw StoreError.damaged(path: path, "\(error)") }
            }
            from = page.upperBound
            statements.keep(fold.governance.proposals)
        }
        guard try naming({ try ledger.root(at: size) }) == fold.frontier.root else {
            throw StoreError.damaged(path: path, "its hashes are not those of its entries")
        }
        // What policy has cosigned was written down after all the entries that it is of, in this very file.
        if let note = cosigned.withLock({ $0 }), let checkpoint = try? Checkpoint(parsing: note.text) {
            guard checkpoint.size <= size else { throw StoreError.damaged(path: path, "there are \(size) entries, and \(checkpoint.size) were cosigned") }
            guard try naming({ try ledger.root(at: checkpoint.size) }) == checkpoint.root else {
                throw StoreError.damaged(path: path, "its first \(checkpoint.size) entries are others than those that were cosigned")
            }
        }
        durable.withLock { $0 = (size, Data()) }
        guard size > 0 else { return size }
        guard choose(fold.governance.ledgerKeys) else {
            throw Complaint("none of the keys of control's ledger that lie here counts by it (\(fold.governance.ledgerKeys.verifiers(origin).map(\.description).joined(separator: ", "))): put the right one back")
        }
        try sign(size)
        _ = try naming { try proveKeys() }
        return size
    }

    /// Records what a new ledger begins with. Call after ``replay(_:)``, before ``start()``.
    func begin(_ entries: [Recorded], _ fold: inout GovernanceFold) throws {
        for entry in entries { _ = try fold.take(entry.wire) }
        try naming { try insert(entries) }
        try sign(entries[entries.count - 1].index)
    }

    private func naming<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try SQLiteStore.naming(path, body) } catch let error as LedgerError { throw StoreError.damaged(path: path, error.words) }
    }

    /// For people: which file, what, and what to do.
    private func words(_ error: any Error) -> String {
        switch error {
        case let error as DatabaseError: "\(SQLiteStore.named(path, error))"
        case let error as LedgerError: "\(StoreError.damaged(path: path, error.words))"
        default: "\(path): \(error)"
        }
    }

    private func sign(_ size: UInt64) throws {
        let checkpoint = Checkpoint(origin: origin, size: size, root: try ledger.root(at: size))
        let note = try SignedNote(text: checkpoint.text, signatures: signers.withLock { $0.present }.map { try $0.sign(checkpoint.text, at: 0) })
        durable.withLock { $0 = (size, Data(note.bytes)) }
    }

    // MARK: The keys that it is signed with

    /// What is signed with now, the older first.
    var signing: [VerifierKey] { signers.withLock { $0.present.map(\.verifier) } }

    /// Changes of the keys that are newer than an entry, each with what proves it, in order.
    func keyProofs(after index: UInt64) -> [WireEntryProof] {
        keyProofs.withLock { $0.filter { $0.index > index }.suffix(Limits.ledgerKeyProofsMax).map(\.proof) }
    }

    /// Signs with those keys that count from here on.
    ///
    /// - Parameter signer: That has been laid here.
    func sign(by keys: LedgerKeys, also signer: NoteSigner? = nil) { post(.keys(keys, also: signer)) }

    /// Keys that count and lie here sign, all of them.
    ///
    /// - Returns: false: there is none, and what signs goes on.
    private func choose(_ keys: LedgerKeys) -> Bool {
        let counting = keys.verifiers(origin)
        let isChosen = signers.withLock { signers in
            // A ledger that names none was made by who knew no exchange: what the registry names signs.
            let chosen = counting.isEmpty ? Array(signers.all.prefix(1)) : counting.compactMap { key in signers.all.first { $0.verifier == key } }
            if !chosen.isEmpty { signers.present = chosen }
            return !chosen.isEmpty
        }
        // What policy has cosigned may be signed with any of them, and says the same of this ledger.
        let own = signers.withLock { $0.all.map(\.verifier) } + counting + keys.retiredVerifiers.filter { $0.name == origin }
        witness.withLock { $0.keys.control = own }
        return isChosen
    }

    private func noteChange(of key: String, at index: UInt64) {
        guard LedgerKeys.name(of: key) == origin.description, !keyProofs.withLock({ $0.contains { $0.index == index } }) else { return }
        unproven.withLock { _ = $0.insert(index) }
    }

    /// Proves what has changed, under what was signed last, and keeps it.
    ///
    /// - Returns: false: there was no room.
    private func proveKeys() throws -> Bool {
        for index in unproven.withLock({ $0.sorted() }) {
            let (last, checkpoint) = durable.withLock { $0 }
            guard index <= last, let proof = try proof(of: index, under: SignedNote(parsing: [UInt8](checkpoint))) else { continue }
            do {
                try database.write { db in try db.execute(sql: "INSERT OR IGNORE INTO ledger_key VALUES (?, ?)", arguments: [Int64(index), proof.serializedData() as Data]) }
            } catch let error as DatabaseError where error.isFull { return false }
            keyProofs.withLock { $0.append((index, proof)) }
            unproven.withLock { _ = $0.remove(index) }
        }
        return true
    }

    /// What control has signed last.
    var checkpoint: Data { durable.withLock { $0.checkpoint } }

    /// Reserves epochs ahead, durably, so that none is given twice even if the entry that held it was lost.
    ///
    /// - Returns: the floor: every epoch that an earlier run may have given is below or at it.
    func reserveEpochs() throws -> Epoch {
        let floor = try SQLiteStore.naming(path) { try database.read { db in try Int64.fetchOne(db, sql: "SELECT reserved FROM journal") ?? 0 } }
        guard floor >= 0, floor <= Int64.max - Int64(2 * Journal.epochsReserved) else { throw StoreError.damaged(path: path, "the epochs that it has reserved are none") }
        reserved.withLock { $0 = UInt64(floor) }
        try SQLiteStore.naming(path) { try extendReserve(beyond: UInt64(floor)) }
        return Epoch(UInt64(floor))
    }

    /// An epoch was given. Extends what is reserved in time; a disk that is full does not stop a pause.
    func gave(_ epoch: Epoch) {
        guard epoch.number + Journal.epochsReserved / 2 > reserved.withLock({ $0 }) else { return }
        owed.withLock { $0 = max($0 ?? 0, epoch.number) }
        waiting.signal()
    }

    /// Reserves what is owed. What finds no room stays owed, and is tried again.
    ///
    /// - Returns: false: there was no room.
    private func reserveOwed() -> Bool {
        guard let epoch = owed.withLock({ $0 }) else { return true }
        do {
            try extendReserve(beyond: epoch)
        } catch let error as DatabaseError where error.isFull {
            news.post(.unreserved(error.message ?? "disk full"))
            return false
        } catch {
            news.post(.failed(words(error)))
            return false
        }
        owed.withLock { if $0 == epoch { $0 = nil } }
        return true
    }

    private func extendReserve(beyond epoch: UInt64) throws {
        let next = max(epoch, reserved.withLock { $0 }) + Journal.epochsReserved
        try database.write { db in try db.execute(sql: "UPDATE journal SET reserved = ?", arguments: [Int64(next)]) }
        reserved.withLock { $0 = next }
    }

    private static let epochsReserved: UInt64 = 100
    private let reserved = Mutex<UInt64>(0)
    /// The epoch that was given last, while too few are reserved beyond it.
    private let owed = Mutex<UInt64?>(nil)

    /// Together: they become durable in one transaction, or not at all.
    func append(_ entries: [Recorded]) {
        queue.withLock { $0 += entries.map { .append($0) } }
        waiting.signal()
    }
    func proof(for route: Route, _ index: UInt64) { post(.proof(route, index)) }
    /// Adds the entries that announced the vault's key, and ingest's if one did, by their indexes.
    func complete(_ joined: WireJoined, for route: Route, vaultKey: UInt64, serverKey: UInt64?) {
        post(.joined(route, joined, vaultKey: vaultKey, serverKey: serverKey))
    }
    /// Judges what policy says of both ledgers, keeps it, and then cosigns.
    ///
    /// - Parameter keys: Those that count now.
    func judge(_ anchor: WireAnchor, restored: [[UInt8]: [UInt8]], abandoned: Set<[UInt8]>, keys: LedgerKeys) {
        post(.anchor(anchor, restored: restored, abandoned: abandoned, keys: keys))
    }
    /// Cosigns policy's ledger with another key from here on.
    func cosign(with signer: NoteSigner) { post(.cosigner(signer)) }
    func certificateFile(for route: Route, _ epoch: UInt64) { post(.certificateFile(route, epoch)) }
    /// The size that policy has cosigned.
    var witnessed: UInt64 { cosigned.withLock { $0.flatMap { try? Checkpoint(parsing: $0.text).size } ?? 0 } }
    func page(for route: Route, after index: UInt64) { post(.page(route, after: index)) }
    func certificate(for route: Route, _ epoch: UInt64) { post(.certificate(route, epoch)) }

    private func post(_ work: Work) {
        queue.withLock { $0.append(work) }
        waiting.signal()
    }

    func start() { startThread("journal") { [self] in run() } }

    /// Writes what waits, then ends the thread.
    func stop() {
        post(.stop)
        ended.wait(atMost: .seconds(5))
    }

    private func run() {
        var unwritten: [Recorded] = []
        var isReserved = true
        var stopping = false
        var keys: LedgerKeys?
        while !stopping || !unwritten.isEmpty {
            // When the disk is full, try again soon; it is not an event that anybody reports.
            waiting.wait(atMost: unwritten.isEmpty && isReserved && keys == nil ? nil : .milliseconds(250))
            let work = queue.withLock { list in
                defer { list = [] }
                return list
            }
            for item in work {
                switch item {
                case .append(let entry): unwritten.append(entry)
                case .stop: stopping = true
                case .keys(let known, let signer):
                    if let signer { signers.withLock { signers in if !signers.all.contains(where: { $0.verifier == signer.verifier }) { signers.all.append(signer) } } }
                    keys = known
                case .page, .certificate, .certificateFile, .proof, .joined, .anchor, .cosigner: break
                }
            }
            if !unwritten.isEmpty, write(unwritten) { unwritten = [] } else if stopping { break }
            if let known = keys, exchange(known) { keys = nil }
            let wasReserved = isReserved
            isReserved = reserveOwed()
            if isReserved, !wasReserved, unwritten.isEmpty { news.post(.reserved) }
            for item in work { answer(item) }
        }
        try? SQLiteStore.checkpoint(database)
        try? database.close()
        ended.signal()
    }

    /// The same entries, signed with what counts now: nobody need wait for the next one.
    ///
    /// - Returns: false: there was no room to prove what the key before must sign for.
    private func exchange(_ keys: LedgerKeys) -> Bool {
        let before = signing
        do {
            guard try proveKeys() else { return false }
            _ = choose(keys)
            guard signing != before, case let size = durable.withLock({ $0.index }), size > 0 else { return true }
            try sign(size)
            news.post(.signed(checkpoint: checkpoint))
        } catch { news.post(.failed(words(error))) }
        return true
    }

    private func insert(_ entries: [Recorded]) throws {
        try database.write { db in
            let made = entries.compactMap { LedgerEntry(salt: [UInt8]($0.wire.salt), body: [UInt8]($0.wire.body)) }
            guard made.count == entries.count else { throw LedgerError.entryMissing(entries[0].index) }
            _ = try ledger.append(made, expecting: entries[0].index - 1, in: db)
            for entry in entries {
                guard let epoch = entry.certificate else { continue }
                try db.execute(sql: "INSERT INTO certificate VALUES (?, ?)", arguments: [Int64(epoch), Int64(entry.index)])
            }
        }
    }

    private func write(_ entries: [Recorded], releasing: Bool = true) -> Bool {
        do {
            try insert(entries)
            let last = entries[entries.count - 1].index
            try sign(last)
            for entry in entries { if let key = entry.ledgerKey { noteChange(of: key, at: entry.index) } }
            if !unproven.withLock({ $0.isEmpty }) { _ = try proveKeys() }
            news.post(.durable(last, checkpoint: checkpoint))
        } catch let error as DatabaseError where error.isFull {
            if releasing, unlink(reserve) == 0 { return write(entries, releasing: false) }
            news.post(.full(error.message ?? "disk full"))
            return false
        } catch {
            news.post(.failed(words(error)))
            return false
        }
        allocateReserve()
        do { try SQLiteStore.checkpoint(database) } catch { news.post(.failed(words(error))) }
        return true
    }

    private func answer(_ work: Work) {
        do {
            switch work {
            case .page(let route, let after):
                let (last, checkpoint) = durable.withLock { $0 }
                var bytes = 0
                var page: [WireRecordedEntry] = []
                try database.read { db in
                    let rows = try Row.fetchCursor(
                        db, sql: "SELECT salt, body FROM ledger_body WHERE number >= ? ORDER BY number LIMIT ?",
                        arguments: [Int64(clamping: after), Limits.entriesPerPageMax])
                    while let row = try rows.next() {
                        var entry = WireRecordedEntry()
                        entry.salt = row[0] as Data? ?? Data()
                        entry.body = row[1] as Data? ?? Data()
                        guard page.isEmpty || bytes + entry.body.count < Limits.entryBytesMax else { break }
                        bytes += entry.body.count
                        page.append(entry)
                    }
                }
                news.post(.page(route, page, last: last, checkpoint: checkpoint))
            case .certificate(let route, let epoch):
                let body = try database.read { db in
                    try Data.fetchOne(
                        db, sql: "SELECT body FROM certificate JOIN ledger_body ON ledger_body.number = certificate.number - 1 WHERE epoch = ? ORDER BY certificate.number DESC LIMIT 1",
                        arguments: [Int64(clamping: epoch)])
                }
                var found: WireCertificate?
                if let body, case .certified(let certificate)? = try WireEntry(serializedBytes: body).deed { found = certificate }
                news.post(.certificate(route, found))
            case .certificateFile(let route, let epoch): news.post(.certificateFile(route, try certificateFile(epoch)))
            case .proof(let route, let index): news.post(.proof(route, try proof(of: index)))
            case .joined(let route, var body, let index, let server):
                if let found = try proof(of: index) { body.vault = found }
                if let server, let found = try proof(of: server) { body.server = found }
                body.ledgerKeys = keyProofs(after: 0)
                news.post(.joined(route, body))
            case .anchor(let anchor, let restored, let abandoned, let keys):
                witness.withLock { $0.keys.go(by: keys) }
                try judge(anchor, restored, abandoned)
            case .cosigner(let signer): witness.withLock { $0.keys.own = signer }
            case .append, .stop, .keys: break
            }
        } catch {
            news.post(.failed(words(error)))
        }
    }

    /// Against the newest checkpoint that policy has cosigned, if that holds the entry; else against control's own newest.
    private func proof(of index: UInt64) throws -> WireEntryProof? {
        let (last, checkpoint) = durable.withLock { $0 }
        guard index >= 1, index <= last else { return nil }
        let note = try SignedNote(parsing: [UInt8](checkpoint))
        // Signed with all that there is now: who knows one of the keys alone could not believe it otherwise.
        guard let cosigned = cosigned.withLock({ $0 }), let size = (try? Checkpoint(parsing: cosigned.text))?.size, size >= index,
            signing.allSatisfy({ key in cosigned.signatures.contains { $0.name == key.name && $0.id == key.id } })
        else { return try proof(of: index, under: note) }
        return try proof(of: index, under: cosigned)
    }

    private func proof(of index: UInt64, under note: SignedNote) throws -> WireEntryProof? {
        guard let entry = try ledger.entries(index - 1..<index).first?.entry else { return nil }
        let size = try Checkpoint(parsing: note.text).size
        let proof = try EntryProof(index: index - 1, hashes: try ledger.inclusionProof(of: index - 1, in: size), note: note)
        var answer = WireEntryProof()
        answer.entry.salt = Data(entry.salt)
        answer.entry.body = Data(entry.body)
        answer.proof = Data(proof.bytes)
        return answer
    }

    // MARK: The other ledger

    private func judge(_ anchor: WireAnchor, _ restored: [[UInt8]: [UInt8]], _ abandoned: Set<[UInt8]>) throws {
        let before = witness.withLock { $0 }
        var next = before
        var (judgement, note) = next.judge(anchor, restored: restored)
        do {
            if !anchor.cosigned.isEmpty {
                let signed = try take(cosigned: anchor.cosigned, abandoned)
                judgement.isBadlyCosigned = signed == nil
                judgement.signedBy += signed ?? []
            }
            if next.state != before.state, let held = next.state.last {
                // Kept before it is said: a witness that forgets is none.
                try database.write { db in try db.execute(sql: "UPDATE journal SET witnessed = ?", arguments: [Data(held.text.utf8)]) }
                let kept = next
                witness.withLock { $0 = kept }
            }
            if let note { judgement.cosigned = try next.cosign(note, at: Clock.wall()) }
        } catch let error as DatabaseError where error.isFull {
            // Policy goes on: what it showed is right. What was cosigned stays where it was until there is room.
            judgement.isUnkept = true
            judgement.held = before.state.last
        }
        news.post(.anchored(anchor, judgement))
    }

    /// Policy's cosignature of a checkpoint of ours: proofs carry it from here on.
    ///
    /// - Returns: the keys that signed; nil: not those that count.
    private func take(cosigned bytes: Data, _ abandoned: Set<[UInt8]>) throws -> [VerifierKey]? {
        let keys = witness.withLock { $0.keys }
        let known = cosigned.withLock { $0.flatMap { try? Checkpoint(parsing: $0.text).size } ?? 0 }
        guard let note = try? SignedNote(parsing: [UInt8](bytes)), let checkpoint = try? Checkpoint(parsing: note.text), checkpoint.origin == origin
        else { return nil }
        guard let signed = try? note.verify(oneOfEach: [keys.control, keys.policyWitness]) else {
            // By a key that was retired since, of what is known: it stays where it was until policy has cosigned with the other.
            return checkpoint.size <= known && (try? note.verify(oneOfEach: [keys.control, keys.retired])) != nil ? [] : nil
        }
        // What is awaited here was signed by one of these very keys: this ledger has had these entries.
        guard checkpoint.size <= durable.withLock({ $0.index }), try ledger.root(at: checkpoint.size) == checkpoint.root else {
            if !abandoned.contains(Array(checkpoint.text.utf8)) { news.post(.outrun(checkpoint)) }
            return signed
        }
        guard checkpoint.size > known else { return signed }
        try database.write { db in try db.execute(sql: "UPDATE journal SET cosigned = ?", arguments: [bytes]) }
        cosigned.withLock { $0 = note }
        return signed
    }

    /// A certificate as a note that anybody can check who has control's public key; nil: there is none.
    private func certificateFile(_ epoch: UInt64) throws -> Data? {
        let row = try database.read { db in
            try Row.fetchOne(
                db, sql: "SELECT certificate.number, body FROM certificate JOIN ledger_body ON ledger_body.number = certificate.number - 1 WHERE epoch = ? ORDER BY certificate.number DESC LIMIT 1",
                arguments: [Int64(clamping: epoch)])
        }
        guard let row, case let index = UInt64(row[0] as Int64), case .certified(let body)? = try WireEntry(serializedBytes: row[1] as Data).deed else { return nil }
        return Data(try StopCertificate(origin: origin, entry: index, certificate: body.value).signed(by: signers.withLock { $0.present }))
    }

    private func allocateReserve() {
        guard access(reserve, F_OK) != 0 else { return }
        // Not while space is short: the reserve is for the worst moment, and must not bring it about.
        var space = statvfs()
        guard statvfs(path, &space) == 0, Int(space.f_bavail) * Int(space.f_frsize) > 4 * Journal.reserveBytes else { return }
        let descriptor = open(reserve, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        // Written, not only made long: a hole reserves nothing.
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var written = 0
        while written < Journal.reserveBytes {
            guard write(descriptor, zeros, zeros.count) == zeros.count else { break }
            written += zeros.count
        }
        close(descriptor)
        if written < Journal.reserveBytes { unlink(reserve) }
    }

    private func write(_ descriptor: Int32, _ bytes: [UInt8], _ count: Int) -> Int { Foundation.write(descriptor, bytes, count) }
}
