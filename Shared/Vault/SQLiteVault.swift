package import Foundation
package import GRDB
package import Gate
import Synchronization

/// The vault in one SQLite file: WAL, FULL, one connection that writes, readers beside it. Blobs are encrypted on their way in, and opened on their way out;
/// the keys are in another file (``DataKeys``), and what is deleted is overwritten.
package final class SQLiteVault: Vault {
    let pool: any DatabaseWriter
    let keys: DataKeys
    /// For the read ledger, which lies in the same file, so that a read and its record are one transaction.
    package var database: any DatabaseWriter { pool }
    /// Nanoseconds that the longest segment spans: so long before a time a segment may begin that reaches into it.
    let longest: Mutex<Int64>
    let path: String
    let commitmentKey: CommitmentKey
    /// As it was last committed.
    let commitment: Mutex<Commitment>
    let knownPlaces = Mutex(KnownPlaces())
    private let now: @Sendable () -> WallTime
    /// Something was deleted, and the log holds it yet: since when it is tried, nil: nothing.
    private let mustEmptyLog = Mutex<DispatchTime?>(nil)
    let pass: @Sendable (StaticString) -> Void
    /// Between two attempts to empty a log that somebody reads.
    private static let emptiesEvery = DispatchTimeInterval.seconds(1)
    /// A checkpoint costs a commit its 25 ms when it runs inside; so it runs between commits, from this size of the log on.
    private static let logBytesMin = 4 << 20
    /// And in any case from this size on, whoever waits.
    private static let logBytesMax = 64 << 20

    /// Where the keys of a vault lie: beside it.
    package static func keysPath(_ path: String) -> String { URL(fileURLWithPath: path).deletingLastPathComponent().appendingPathComponent("keys.sqlite").path }

    /// - Throws: `StoreError`, `VaultRefused`.
    package convenience init(path: String, master: MasterKey) throws { try self.init(path: path, masters: [master]) }

    /// - Parameters:
    ///   - masters: Whichever the keys are wrapped under is used; the first for a new vault.
    ///   - olderKeys: A file of keys of this generation is taken although the vault has seen a later one: there is no newer replica.
    ///   - now: When a key is made.
    ///   - pass: Called at places where a test ends the process.
    /// - Throws: `StoreError`, `VaultRefused`.
    package init(
        path: String, masters: [MasterKey], olderKeys: Int64? = nil, now: @escaping @Sendable () -> WallTime = SQLiteVault.present,
        pass: @escaping @Sendable (StaticString) -> Void = { _ in }
    ) throws {
        self.path = path
        self.now = now
        self.pass = pass
        let keysPath = SQLiteVault.keysPath(path)
        let keysWereThere = FileManager.default.fileExists(atPath: keysPath)
        let keys = try DataKeys(path: keysPath, masters: masters, vault: path, pass: pass)
        self.keys = keys
        // Before SQLite looks for it: beside a database that is not there it deletes the log, which may be all that is left.
        if !FileManager.default.fileExists(atPath: path) {
            guard try keys.isEmpty() else {
                try? keys.close()
                throw VaultRefused.vaultMissing(path: path, keys: keysPath)
            }
            // Whatever it was committed to, nothing of it could be read: it begins anew.
            try keys.forgetCommitment()
        }
        let pool = try SQLiteStore.open(path, pageBytes: 8_192, readers: 4, overwrites: true, version: 9) { step, db in
            if step == 6 { try SQLiteVault.rememberKeys(db) }
            if step == 7 { try SQLiteVault.rememberWalks(db) }
            if step == 8 { try SQLiteVault.rememberDrift(db) }
            if step == 9 { try SQLiteVault.indexDrift(db) }
            if step == 5 { try SQLiteVault.addCommitment(db) }
            if step == 4 { try SQLiteVault.partFromKeys(db, keys, path) }
            if step == 2 { try SQLiteVault.encrypt(db, path) }
            if step == 3 { try SQLiteVault.addReadLedger(db) }
            guard step == 1 else { return }
            try db.execute(
                sql: """
                    CREATE TABLE segment (
                        number INTEGER PRIMARY KEY, subject TEXT NOT NULL, class TEXT NOT NULL, first_ns INTEGER NOT NULL,
                        last_ns INTEGER NOT NULL, agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL,
                        site TEXT NOT NULL, team TEXT NOT NULL, count INTEGER NOT NULL, epoch INTEGER NOT NULL,
                        columns_bytes INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL) STRICT;
                    CREATE INDEX segment_time ON segment (subject, class, first_ns);
                    CREATE INDEX segment_batch ON segment (stream, sequence);
                    CREATE TABLE stream (
                        agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL, lost INTEGER NOT NULL,
                        PRIMARY KEY (agent, stream)) STRICT, WITHOUT ROWID;
                    CREATE TABLE gate (epoch INTEGER PRIMARY KEY, body BLOB NOT NULL, at_us INTEGER NOT NULL) STRICT;
                    CREATE TABLE release (
                        number INTEGER PRIMARY KEY, reader TEXT NOT NULL, purpose TEXT NOT NULL, justification TEXT NOT NULL,
                        classes TEXT NOT NULL, subjects TEXT NOT NULL, teams TEXT NOT NULL, from_ns INTEGER NOT NULL,
                        until_ns INTEGER NOT NULL, at_us INTEGER NOT NULL, epoch INTEGER NOT NULL, subject_count INTEGER NOT NULL,
                        events_max INTEGER NOT NULL, chunks INTEGER, events INTEGER, code INTEGER, ended_us INTEGER) STRICT;
                    CREATE TABLE total (
                        only INTEGER PRIMARY KEY CHECK (only = 1), events INTEGER NOT NULL, segments INTEGER NOT NULL, oldest_ns INTEGER) STRICT;
                    INSERT INTO total VALUES (1, 0, 0, NULL);
                    """)
        }
        self.pool = pool
        let (key, found, span): (CommitmentKey, Commitment, Int64)
        do {
            (key, found, span) = try SQLiteStore.naming(path) {
                try SQLiteVault.pairUp(pool, keys, path, olderKeys)
                let (key, found) = try SQLiteVault.commitment(pool, keys, path)
                return (key, found, try pool.read { try Int64.fetchOne($0, sql: "SELECT longest_ns FROM housekeeping") ?? 0 })
            }
        } catch {
            try? pool.close()
            try? keys.close()
            // A file of keys that was made just now, for a vault that has another somewhere, must not be taken for it the next time.
            if !keysWereThere { for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: keysPath + end) } }
            throw error
        }
        commitmentKey = key
        commitment = Mutex(found)
        longest = Mutex(span)
        // What was deleted before the last end may be in the log yet.
        try SQLiteStore.naming(path) {
            deleted()
            try emptyLogs()
            try eraseAgain()
        }
    }

    package static let present: @Sendable () -> WallTime = { WallTime(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) }

    /// Wraps all keys of a vault anew, in one transaction. Nobody else may have it open. Done again it is done.
    ///
    /// - Returns: how many were wrapped.
    /// - Throws: `VaultRefused`, `StoreError`: then all are wrapped under `old`.
    package static func rewrap(_ path: String, from old: MasterKey, to new: MasterKey, pass: (StaticString) -> Void = { _ in }) throws -> Int {
        // Keys that were taken over by half are wrapped under the old one in the vault yet, and could not be taken any more.
        guard try !hasKeysOfItsOwn(path) else { throw VaultRefused.notTakenOver(path: path) }
        return try DataKeys.rewrap(keysPath(path), from: old, to: new, pass: pass)
    }

    /// Whether an older version's keys lie in the vault's file.
    private static func hasKeysOfItsOwn(_ path: String) throws -> Bool {
        guard FileManager.default.fileExists(atPath: path) else { return false }
        return try SQLiteStore.naming(path) {
            let queue = try DatabaseQueue(path: path)
            defer { try? queue.close() }
            return try queue.read { try Bool.fetchOne($0, sql: "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'data_key')") ?? false }
        }
    }

    /// The vault and its keys name each other, and the keys are not older than what the vault has seen of them.
    private static func pairUp(_ pool: any DatabaseWriter, _ keys: DataKeys, _ path: String, _ older: Int64?) throws {
        let (id, high, seen) = try pool.read { db in
            let row = try Row.fetchOne(db, sql: "SELECT id, key_high, keys_generation FROM housekeeping")
            return (row?[0] as Data?, row?[1] as Int64? ?? 0, row?[2] as Int64? ?? 0)
        }
        keys.numbersBegin(after: high)
        switch (id, try keys.vaultID()) {
        case (let id?, let known?):
            guard id == known else {
                // Who has the key of what this vault is committed to is its own, whatever name it has been given since.
                guard try vouches(pool, keys, path) else { throw VaultRefused.otherKeys(path: keys.path) }
                throw StoreError.damaged(path: path, "it and \(keys.path) name each other otherwise than when they were made: the id in one of them was changed")
            }
        case (_?, nil): throw VaultRefused.keysMissing(path: keys.path)
        case (nil, let known?):
            // Made by an attempt that ended here: nothing was stored since, or all of it is here. Else another vault lay here before.
            guard try keys.isEmpty() || pool.read({ try Bool.fetchOne($0, sql: "SELECT EXISTS (SELECT * FROM segment) OR EXISTS (SELECT * FROM stream)") ?? false })
            else { throw VaultRefused.vaultMissing(path: path, keys: keys.path) }
            try pool.write { db in try db.execute(sql: "UPDATE housekeeping SET id = ?", arguments: [known]) }
        case (nil, nil):
            let made = Data((0..<16).map { _ in UInt8.random(in: .min ... .max) })
            // The keys first: a vault that names them is never without.
            try keys.belong(to: made)
            try pool.write { db in try db.execute(sql: "UPDATE housekeeping SET id = ?", arguments: [made]) }
        }
        if keys.generation < seen {
            guard keys.generation == older else { throw VaultRefused.olderKeys(path: keys.path, generation: keys.generation, seen: seen) }
            try keys.succeed(seen)
        }
        try pool.write { try noteKeys(keys, in: $0) }
    }

    /// The keys' generation is remembered here, after they are durable: they may be ahead of what is known of them, and never behind.
    private static func noteKeys(_ keys: DataKeys, in db: Database) throws {
        try db.cachedStatement(sql: "UPDATE housekeeping SET keys_generation = ?1 WHERE keys_generation < ?1").execute(arguments: [keys.generation])
    }

    func noteKeys(in db: Database) throws { try SQLiteVault.noteKeys(keys, in: db) }
    func noteKeys() throws { try pool.write { try noteKeys(in: $0) } }

    /// Version 6 knows how far its file of keys was, and can judge what is stored again.
    private static func rememberKeys(_ db: Database) throws {
        try db.execute(sql: "ALTER TABLE housekeeping ADD COLUMN keys_generation INTEGER NOT NULL DEFAULT 0")
        try createRescan(db)
    }

    /// Version 7 knows whether a walk before the last one has changed something.
    private static func rememberWalks(_ db: Database) throws {
        try db.execute(sql: "ALTER TABLE rescan ADD COLUMN changed_before INTEGER NOT NULL DEFAULT 0")
    }

    /// Version 4 has its keys in another file, and the directory. They are durable there before they go here, and overwritten here with the same transaction.
    private static func partFromKeys(_ db: Database, _ keys: DataKeys, _ path: String) throws {
        let id = try Data.fetchOne(db, sql: "SELECT id FROM master_key")
        let rows = try Row.fetchAll(db, sql: "SELECT number, subject, month, wrapped FROM data_key")
        let sequence = try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'data_key'") ?? 0
        if let id {
            do { try keys.take(rows, id: id, sequence: sequence) } catch VaultRefused.otherMasterKey { throw VaultRefused.otherMasterKey(path: path) }
        }
        // A freed page is overwritten whole (secure_delete); and as no key was ever deleted before, there is none in other free pages.
        try db.execute(
            sql: """
                DROP TABLE data_key;
                DROP TABLE master_key;
                CREATE TABLE housekeeping (
                    only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB, key_high INTEGER NOT NULL, swept_us INTEGER, longest_ns INTEGER NOT NULL) STRICT;
                CREATE TABLE erased (subject TEXT PRIMARY KEY, segments INTEGER NOT NULL, events INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                CREATE TABLE person (subject TEXT PRIMARY KEY, key INTEGER NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
                """)
        try db.execute(sql: "INSERT INTO housekeeping VALUES (1, NULL, ?, NULL, (SELECT COALESCE(MAX(last_ns - first_ns), 0) FROM segment))", arguments: [sequence])
    }

    /// Version 1 stored segments in the clear. Where it stored any their bytes may be anywhere in the file.
    private static func encrypt(_ db: Database, _ path: String) throws {
        guard try Int.fetchOne(db, sql: "SELECT (SELECT COUNT(*) FROM segment) + (SELECT COUNT(*) FROM stream)") == 0 else {
            throw VaultRefused.inTheClear(path: path)
        }
        try db.execute(
            sql: """
                DROP TABLE segment;
                CREATE TABLE segment (
                    number INTEGER PRIMARY KEY, subject TEXT NOT NULL, class TEXT NOT NULL, first_ns INTEGER NOT NULL,
                    last_ns INTEGER NOT NULL, agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL,
                    site TEXT NOT NULL, team TEXT NOT NULL, count INTEGER NOT NULL, epoch INTEGER NOT NULL,
                    columns_bytes INTEGER NOT NULL, hash BLOB NOT NULL, key INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
                CREATE INDEX segment_time ON segment (subject, class, first_ns);
                CREATE INDEX segment_batch ON segment (stream, sequence);
                """)
        try db.execute(
            sql: """
                CREATE TABLE data_key (
                    number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, month INTEGER NOT NULL, wrapped BLOB NOT NULL,
                    UNIQUE (subject, month)) STRICT;
                CREATE TABLE master_key (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
                """)
    }

    /// Version 3 has the ledger of reads, and what it is anchored by.
    private static func addReadLedger(_ db: Database) throws {
        try SQLiteStore.createLedgerTables(in: db)
        try db.execute(
            sql: """
                CREATE TABLE anchor (only INTEGER PRIMARY KEY CHECK (only = 1), seen BLOB, cosigned BLOB) STRICT;
                INSERT INTO anchor VALUES (1, NULL, NULL);
                """)
    }

    package func transaction(_ body: (any VaultTransaction) throws -> Bool) throws {
        let made = DataKeys.Made()
        let before = longest.withLock { $0 }
        var (isCommits, isCommitted) = (false, false)
        // What was not committed is not on disk either, and must be noted by the next that is as long.
        defer { if !isCommitted { longest.withLock { $0 = before } } }
        try changing { db, draft in
            guard try body(transaction(db, made, draft)) else { return false }
            try store(made, in: db)
            isCommits = true
            return true
        }
        isCommitted = isCommits
    }

    func transaction(_ db: Database, _ made: DataKeys.Made, _ draft: CommitmentDraft) -> any VaultTransaction {
        Transaction(db: db, path: path, keys: keys, made: made, draft: draft, longest: noteLongest)
    }

    /// In memory before it is durable, and never less: a segment is looked for from further back than need be, and never missed.
    private func noteLongest(_ segment: Segment, in db: Database) throws {
        let span = (segment.last - segment.first).nanoseconds
        guard longest.withLock({ known in
            guard span > known else { return false }
            known = span
            return true
        }) else { return }
        try db.execute(sql: "UPDATE housekeeping SET longest_ns = MAX(longest_ns, ?)", arguments: [span])
    }

    /// A new key is durable in its own file before the first row under it commits here.
    func store(_ made: DataKeys.Made, in db: Database) throws {
        guard let highest = made.highest else { return }
        try keys.store(made, at: now())
        try db.execute(sql: "UPDATE housekeeping SET key_high = MAX(key_high, ?)", arguments: [highest])
        try noteKeys(in: db)
    }

    package func gate() throws -> Data? {
        try SQLiteStore.naming(path) {
            guard let row = try pool.read({ db in try Row.fetchOne(db, sql: "SELECT epoch, body, tag FROM gate ORDER BY epoch DESC LIMIT 1") }) else { return nil }
            guard row[2] as Data? == commitmentKey.tag(gate: row[1], epoch: row[0]) else { throw StoreError.damaged(path: path, "the gate that it recorded last was changed") }
            return row[1]
        }
    }

    package func totals() throws -> VaultTotals {
        try pool.read { db in
            var totals = VaultTotals()
            if let row = try Row.fetchOne(db, sql: "SELECT events, segments, oldest_ns FROM total") {
                totals.events = row[0]
                totals.segments = row[1]
                totals.oldest = (row[2] as Int64?).map { WallTime(nanoseconds: $0) }
            }
            let pages = try Int64.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            totals.bytes = pages * (try Int64.fetchOne(db, sql: "PRAGMA page_size") ?? 0)
            totals.holdsDestroyedKeys = keys.holdsDestroyed
            return totals
        }
    }

    /// What was deleted is to leave the log too, in the next gap.
    func deleted() { mustEmptyLog.withLock { $0 = $0 ?? .now() } }

    /// - Returns: whether neither log holds anything that was deleted. If one does, somebody reads it, and it is tried again.
    @discardableResult func emptyLogs() throws -> Bool {
        let isEmpty = try SQLiteStore.emptyLog(pool)
        mustEmptyLog.withLock { $0 = isEmpty ? nil : .now() + SQLiteVault.emptiesEvery }
        return try keys.emptyLog() && isEmpty
    }

    package var isUntidy: Bool { keys.holdsDestroyed || mustEmptyLog.withLock { $0 != nil } }

    package func tidy(isIdle: Bool) throws {
        if isIdle || keys.holdsDestroyed { try keys.tidy() }
        if isIdle, mustEmptyLog.withLock({ $0.map { $0 <= .now() } ?? false }) { return _ = try emptyLogs() }
        let bytes = (try? FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int) ?? 0
        guard bytes > (isIdle ? SQLiteVault.logBytesMin : SQLiteVault.logBytesMax) else { return }
        try SQLiteStore.checkpoint(pool)
    }

    package func close() throws {
        try pool.close()
        try keys.close()
    }

    package func words(_ error: any Error) -> String {
        // Errors of the file of keys name it themselves, where they are made.
        (error as? DatabaseError).map { "\(SQLiteStore.named(path, $0))" } ?? "\(error)"
    }

    package func isFull(_ error: any Error) -> Bool { (error as? DatabaseError)?.isFull ?? false }
    package func isDamage(_ error: any Error) -> Bool { 
        if case .damaged = error as? StoreError { return true }
        return error is SegmentUnreadable || (error as? DatabaseError)?.isDamage ?? false
    }

    private struct Transaction: SQLiteVaultTransaction {
        let db: Database
        let path: String
        let keys: DataKeys
        let made: DataKeys.Made
        let draft: CommitmentDraft
        let longest: (Segment, Database) throws -> Void

        func highWater(_ key: StreamKey) throws -> UInt64 {
            let statement = try db.cachedStatement(sql: "SELECT sequence, tag FROM stream WHERE agent = ? AND stream = ?")
            guard let row = try Row.fetchOne(statement, arguments: [Int64(key.agent), Int64(bitPattern: key.stream)]) else { return 0 }
            let mark = StreamMark(key: key, sequence: UInt64(bitPattern: row[0]))
            guard row[1] as Data? == draft.key.tag(mark) else {
                throw StoreError.damaged(path: path, "up to where stream \(String(key.stream, radix: 16)) is stored was changed")
            }
            return mark.sequence
        }

        func setHighWater(_ key: StreamKey, _ sequence: UInt64, lost: UInt64) throws {
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO stream (agent, stream, sequence, lost, tag) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET sequence = excluded.sequence, lost = lost + excluded.lost, tag = excluded.tag
                    """)
            let tag = draft.key.tag(StreamMark(key: key, sequence: sequence))
            try statement.execute(arguments: [Int64(key.agent), Int64(bitPattern: key.stream), Int64(sequence), Int64(lost), tag])
        }

        func insert(_ segment: Segment) throws {
            let key = try keys.key(for: DataKeyPlace(of: segment), made: made)
            try longest(segment, db)
            let columns = SegmentColumns(segment, key: key.number, number: draft.next)
            let body = try key.seal(segment.blob, beside: columns)
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO segment (number, subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch,
                        columns_bytes, hash, key, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """)
            try statement.execute(arguments: [
                columns.number, columns.subject, columns.dataClass, columns.first, columns.last, columns.agent, columns.stream, columns.sequence,
                columns.site, columns.team, columns.count, columns.epoch, columns.columnsBytes, columns.hash, columns.key, body,
            ])
            draft.add(SegmentPlace(number: columns.number, subject: columns.subject, dataClass: columns.dataClass, first: columns.first))
        }

        func remove(_ key: StreamKey, sequence: UInt64) throws {
            let rows = try Row.fetchAll(
                db, sql: "DELETE FROM segment WHERE stream = ? AND sequence = ? AND agent = ? RETURNING number, subject, class, first_ns",
                arguments: [Int64(bitPattern: key.stream), Int64(sequence), Int64(key.agent)])
            for row in rows { draft.remove(SegmentPlace(number: row[0], subject: row[1], dataClass: row[2], first: row[3])) }
        }

        func hash(of key: StreamKey, sequence: UInt64) throws -> Data? {
            let statement = try db.cachedStatement(sql: "SELECT hash FROM segment WHERE stream = ? AND sequence = ? AND agent = ? LIMIT 1")
            return try Data.fetchOne(statement, arguments: [Int64(bitPattern: key.stream), Int64(sequence), Int64(key.agent)])
        }

        func addTotals(events: Int64, segments: Int64, oldest: WallTime?) throws {
            let statement = try db.cachedStatement(
                sql: """
                    UPDATE total SET events = events + ?, segments = segments + ?,
                        oldest_ns = CASE WHEN ? IS NULL THEN oldest_ns ELSE MIN(COALESCE(oldest_ns, ?), ?) END
                    """)
            let value = oldest?.nanoseconds
            try statement.execute(arguments: [events, segments, value, value, value])
        }

        func record(gate: Data, epoch: UInt64, at: WallTime) throws {
            try db.execute(
                sql: "INSERT INTO gate (epoch, body, at_us, tag) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body, tag = excluded.tag",
                arguments: [Int64(epoch), gate, at.microseconds, draft.key.tag(gate: gate, epoch: Int64(epoch))])
        }

        func open(_ release: ReleaseRecord, subjects: Int, events: Int64) throws -> Int64 {
            func list(_ values: [String]) -> String { String(decoding: (try? JSONEncoder().encode(values)) ?? Data("[]".utf8), as: UTF8.self) }
            let selection = release.selection
            try db.execute(
                sql: """
                    INSERT INTO release (reader, purpose, justification, classes, subjects, teams, from_ns, until_ns, at_us, epoch,
                        subject_count, events_max) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    release.reader, release.purpose, release.justification, list(selection.classes.map(\.name)), list(selection.subjects),
                    list(selection.teams), selection.from.nanoseconds, selection.until.nanoseconds, release.at.microseconds,
                    Int64(release.epoch), subjects, events,
                ])
            return db.lastInsertedRowID
        }

        func close(_ release: Int64, chunks: Int64, events: Int64, code: Int, at: WallTime) throws {
            try db.execute(
                sql: "UPDATE release SET chunks = ?, events = ?, code = ?, ended_us = ? WHERE number = ?",
                arguments: [chunks, events, code, at.microseconds, release])
        }
    }
}

/// A transaction that the read ledger can be appended to as well.
package protocol SQLiteVaultTransaction: VaultTransaction {
    var db: Database { get }
}
