package import Foundation
import GRDB
import Gate

/// The vault in one SQLite file: WAL, FULL, one connection that writes, readers beside it.
package final class SQLiteVault: Vault {
    private let pool: any DatabaseWriter
    private let path: String
    /// A checkpoint costs a commit its 25 ms when it runs inside; so it runs between commits, from this size of the log on.
    private static let logBytesMin = 4 << 20
    /// And in any case from this size on, whoever waits.
    private static let logBytesMax = 64 << 20

    package init(path: String) throws {
        self.path = path
        pool = try SQLiteStore.open(path, pageBytes: 8_192, readers: 4, version: 1) { step, db in
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
    }

    package func transaction(_ body: (any VaultTransaction) throws -> Bool) throws {
        try pool.writeWithoutTransaction { db in
            try db.inTransaction(.immediate) { try body(Transaction(db: db)) ? .commit : .rollback }
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
                    db, sql: "SELECT COUNT(DISTINCT subject), COALESCE(SUM(count), 0) FROM segment WHERE \(sql)", arguments: arguments)
            else { return (0, 0) }
            return (row[0], row[1])
        }
    }

    package func segments(
        _ selection: Selection, after cursor: SegmentCursor, limit: Int
    ) throws -> (segments: [Segment], next: SegmentCursor) {
        let (condition, arguments) = SQLiteVault.condition(selection)
        var next = cursor
        let segments = try pool.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT number, subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch, columns_bytes, hash, body
                    FROM segment WHERE (subject, class, first_ns, number) > (?, ?, ?, ?) AND \(condition)
                    ORDER BY subject, class, first_ns, number LIMIT ?
                    """,
                arguments: [cursor.subject, cursor.dataClass, cursor.first, cursor.row] + arguments + [limit]
            ).map { row in
                next.row = row[0]
                next.subject = row[1]
                next.dataClass = row[2]
                next.first = row[3]
                return Segment(
                    scope: Scope(subject: row[1], site: row[8], team: row[9]), dataClass: DataClass(row[2]), agent: UInt32(row[5] as Int64),
                    stream: UInt64(bitPattern: row[6] as Int64), sequence: UInt64(row[7] as Int64), first: WallTime(nanoseconds: row[3]),
                    last: WallTime(nanoseconds: row[4]), count: row[10], epoch: UInt64(row[11] as Int64), columnsBytes: row[12],
                    hash: row[13], blob: row[14])
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

    private struct Transaction: VaultTransaction {
        let db: Database

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
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO segment (subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch,
                        columns_bytes, hash, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """)
            try statement.execute(arguments: [
                segment.scope.subject, segment.dataClass.name, segment.first.nanoseconds, segment.last.nanoseconds, Int64(segment.agent),
                Int64(bitPattern: segment.stream), Int64(segment.sequence), segment.scope.site, segment.scope.team, segment.count,
                Int64(segment.epoch), segment.columnsBytes, segment.hash, segment.blob,
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
