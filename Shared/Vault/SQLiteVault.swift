package import Foundation
package import GRDB
import Gate

/// The vault in one SQLite file: WAL, FULL, one connection that writes, readers beside it. Blobs are encrypted on their way in, and opened on their way out.
package final class SQLiteVault: Vault {
    private let pool: any DatabaseWriter
    private let keys: DataKeys
    /// For the read ledger, which lies in the same file, so that a read and its record are one transaction.
    package var database: any DatabaseWriter { pool }
    private let path: String
    /// A checkpoint costs a commit its 25 ms when it runs inside; so it runs between commits, from this size of the log on.
    private static let logBytesMin = 4 << 20
    /// And in any case from this size on, whoever waits.
    private static let logBytesMax = 64 << 20

    /// - Throws: `StoreError`, `VaultRefused`.
    package init(path: String, master: MasterKey) throws {
        self.path = path
        keys = DataKeys(master: master)
        pool = try SQLiteStore.open(path, pageBytes: 8_192, readers: 4, version: 3) { step, db in
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
        guard try pool.write({ [keys] db in try keys.claim(in: db) }) else { throw VaultRefused.otherMasterKey(path: path) }
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
        try DataKeys.createTable(in: db)
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
        try pool.writeWithoutTransaction { db in
            let made = DataKeys.Made()
            var isCommitted = false
            try db.inTransaction(.immediate) {
                isCommitted = try body(Transaction(db: db, keys: keys, made: made))
                return isCommitted ? .commit : .rollback
            }
            if isCommitted { keys.publish(made) }
        }
    }

    package func gate() throws -> Data? {
        try pool.read { db in try Data.fetchOne(db, sql: "SELECT body FROM gate ORDER BY epoch DESC LIMIT 1") }
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
            return totals
        }
    }

    private static func condition(_ selection: Selection) -> (sql: String, arguments: StatementArguments) {
        var sql = "class IN (\(placeholders(selection.classes.count))) AND first_ns < ? AND last_ns >= ?"
        var arguments: [any DatabaseValueConvertible] = selection.classes.map(\.name)
        arguments.append(selection.until.nanoseconds)
        arguments.append(selection.from.nanoseconds)
        if !selection.subjects.isEmpty || !selection.teams.isEmpty {
            sql += " AND (subject IN (\(placeholders(selection.subjects.count))) OR team IN (\(placeholders(selection.teams.count))))"
            arguments += (selection.subjects + selection.teams).map { $0 as any DatabaseValueConvertible }
        }
        return (sql, StatementArguments(arguments))
    }

    private static func placeholders(_ count: Int) -> String { Array(repeating: "?", count: count).joined(separator: ", ") }

    package func extent(of selection: Selection) throws -> (subjects: Int, events: Int64) {
        let (sql, arguments) = SQLiteVault.condition(selection)
        return try pool.read { db in
            guard
                let row = try Row.fetchOne(
                    db, sql: "SELECT COUNT(DISTINCT subject), CAST(TOTAL(count) AS INTEGER) FROM segment WHERE \(sql)", arguments: arguments)
            else { return (0, 0) }
            return (row[0], row[1])
        }
    }

    package func segments(
        _ selection: Selection, after cursor: SegmentCursor, limit: Int
    ) throws -> (segments: [Result<Segment, SegmentUnreadable>], next: SegmentCursor) {
        let (condition, arguments) = SQLiteVault.condition(selection)
        var next = cursor
        let rows = try pool.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT number, subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch, columns_bytes, hash,
                        key, body
                    FROM segment WHERE (subject, class, first_ns, number) > (?, ?, ?, ?) AND \(condition)
                    ORDER BY subject, class, first_ns, number LIMIT ?
                    """,
                arguments: [cursor.subject, cursor.dataClass, cursor.first, cursor.row] + arguments + [limit]
            ).map { row in (row: row, key: try keys.key(row[14], in: db)) }
        }
        let segments = rows.map { row, key -> Result<Segment, SegmentUnreadable> in
            let number: Int64 = row[0]
            let columns = SegmentColumns(row)
            next.row = number
            next.subject = columns.subject
            next.dataClass = columns.dataClass
            next.first = columns.first
            switch key {
            case .failure(let why): return .failure(SegmentUnreadable(row: number, why: why))
            case .success(let key):
                guard let blob = key.open(row[15], beside: columns), let segment = columns.segment(blob) else {
                    return .failure(SegmentUnreadable(row: number, why: .changed))
                }
                return .success(segment)
            }
        }
        return (segments, next)
    }

    package func tidy(isIdle: Bool) throws {
        let bytes = (try? FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int) ?? 0
        guard bytes > (isIdle ? SQLiteVault.logBytesMin : SQLiteVault.logBytesMax) else { return }
        try SQLiteStore.checkpoint(pool)
    }

    package func close() throws { try pool.close() }

    package func isFull(_ error: any Error) -> Bool { (error as? DatabaseError)?.isFull ?? false }

    private struct Transaction: SQLiteVaultTransaction {
        let db: Database
        let keys: DataKeys
        let made: DataKeys.Made

        func highWater(_ key: StreamKey) throws -> UInt64 {
            let statement = try db.cachedStatement(sql: "SELECT sequence FROM stream WHERE agent = ? AND stream = ?")
            return UInt64(try Int64.fetchOne(statement, arguments: [Int64(key.agent), Int64(bitPattern: key.stream)]) ?? 0)
        }

        func setHighWater(_ key: StreamKey, _ sequence: UInt64, lost: UInt64) throws {
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO stream (agent, stream, sequence, lost) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET sequence = excluded.sequence, lost = lost + excluded.lost
                    """)
            try statement.execute(arguments: [Int64(key.agent), Int64(bitPattern: key.stream), Int64(sequence), Int64(lost)])
        }

        func insert(_ segment: Segment) throws {
            let key = try keys.key(for: DataKeyPlace(of: segment), made: made, in: db)
            let columns = SegmentColumns(segment, key: key.number)
            let body = try key.seal(segment.blob, beside: columns)
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO segment (subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch,
                        columns_bytes, hash, key, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """)
            try statement.execute(arguments: [
                columns.subject, columns.dataClass, columns.first, columns.last, columns.agent, columns.stream, columns.sequence,
                columns.site, columns.team, columns.count, columns.epoch, columns.columnsBytes, columns.hash, columns.key, body,
            ])
        }

        func remove(_ key: StreamKey, sequence: UInt64) throws {
            try db.execute(
                sql: "DELETE FROM segment WHERE stream = ? AND sequence = ? AND agent = ?",
                arguments: [Int64(bitPattern: key.stream), Int64(sequence), Int64(key.agent)])
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
                sql: "INSERT INTO gate (epoch, body, at_us) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                arguments: [Int64(epoch), gate, at.microseconds])
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

extension SegmentColumns {
    /// Of a row in the order of ``SQLiteVault/segments(_:after:limit:)``.
    fileprivate init(_ row: Row) {
        subject = row[1]
        dataClass = row[2]
        first = row[3]
        last = row[4]
        agent = row[5]
        stream = row[6]
        sequence = row[7]
        site = row[8]
        team = row[9]
        count = row[10]
        epoch = row[11]
        columnsBytes = row[12]
        hash = row[13]
        key = row[14]
    }
}

/// A transaction that the read ledger can be appended to as well.
package protocol SQLiteVaultTransaction: VaultTransaction {
    var db: Database { get }
}
