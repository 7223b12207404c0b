package import GRDB
import Foundation

/// Why a database is not used.
package enum StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    case unopenable(path: String, String)
    /// Its disk is full.
    case noRoom(path: String)
    /// A setting that durability or integrity rests on could not be made.
    case setting(path: String, name: String, value: String)
    case newer(path: String, version: Int, known: Int)
    case damaged(path: String, String)

    package var description: String {
        switch self {
        case .unopenable(let path, let why): "cannot open \(path): \(why)"
        case .noRoom(let path): "\(path) cannot be used: its disk is full; make room ('df \(path)' shows the disk), then start again"
        case .setting(let path, let name, let value): "\(path): SQLite's \(name) is '\(value)': it cannot be used safely"
        case .newer(let path, let version, let known):
            "\(path) was written by a newer Sluice (format \(version), this one knows \(known)): install that version, or start with another --home"
        case .damaged(let path, let why): "\(path) is damaged: \(why); restore a backup"
        }
    }
}

/// A SQLite file opened as Sluice needs it: WAL, synchronous=FULL, one connection that does every write and every checkpoint.
///
/// Settings are read back: GRDB sets `synchronous` to NORMAL again in WAL mode after the connection is prepared.
package enum SQLiteStore {
    /// - Parameters:
    ///   - pageBytes: Of a new file. 8 KiB for blobs of some kilobytes.
    ///   - overwrites: What is deleted is overwritten with zeros, also in pages that nobody uses any more.
    package static func open(
        _ path: String, pageBytes: Int = 4_096, readers: Int = 0, overwrites: Bool = false, version: Int, migrations: (Int, Database) throws -> Void
    ) throws -> any DatabaseWriter {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(TimeInterval(busySeconds))
        configuration.maximumReaderCount = max(1, readers)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA page_size = \(pageBytes)")
            try db.execute(sql: "PRAGMA trusted_schema = OFF")
            try db.execute(sql: "PRAGMA cell_size_check = ON")
            if !db.configuration.readonly {
                // Checkpoints are run by the writer, in the gaps.
                try db.execute(sql: "PRAGMA wal_autocheckpoint = 0")
                if overwrites { try db.execute(sql: "PRAGMA secure_delete = ON") }
            }
        }
        // SQLite would create it readable by all, and its log and index take over its mode. What an earlier version left is mended.
        let file = Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if file >= 0 { close(file) }
        for name in [path, path + "-wal", path + "-shm"] { chmod(name, 0o600) }
        let writer: any DatabaseWriter
        do {
            writer =
                readers > 0
                ? try DatabasePool(path: path, configuration: configuration)
                : try {
                    configuration.journalMode = .wal
                    return try DatabaseQueue(path: path, configuration: configuration)
                }()
            try writer.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA synchronous = FULL")
                for (name, expected) in [
                    ("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1"), ("trusted_schema", "0"),
                    ("cell_size_check", "1"),
                ] + (overwrites ? [("secure_delete", "1")] : []) {
                    let value = try String.fetchOne(db, sql: "PRAGMA \(name)") ?? ""
                    guard value == expected else { throw StoreError.setting(path: path, name: name, value: value) }
                }
                let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
                guard found <= version else { throw StoreError.newer(path: path, version: found, known: version) }
                for step in found..<version {
                    try db.inTransaction {
                        try migrations(step + 1, db)
                        try db.execute(sql: "PRAGMA user_version = \(step + 1)")
                        return .commit
                    }
                }
            }
        } catch let error as DatabaseError {
            throw named(path, error)
        }
        return writer
    }

    /// Moves the write-ahead log into the database and starts it anew if nobody reads it. On the writer's thread, between commits.
    ///
    /// One that finds no room is tried again after the next commit: what was committed is durable in the log all the same.
    package static func checkpoint(_ writer: any DatabaseWriter) throws {
        do {
            try writer.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA wal_checkpoint(PASSIVE)")
            }
        } catch let error as DatabaseError where error.isFull {}
    }

    /// Writes the log back and cuts it to nothing: what was deleted is in neither file then. On the writer's thread, which does not wait for who reads.
    ///
    /// - Returns: false: somebody reads, or there is no room; nothing is lost by that, and it is to be tried again.
    package static func emptyLog(_ writer: any DatabaseWriter) throws -> Bool {
        do {
            return try writer.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA busy_timeout = 0")
                defer { try? db.execute(sql: "PRAGMA busy_timeout = \(busySeconds * 1_000)") }
                return try Int.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)") == 0
            }
        } catch let error as DatabaseError where error.isFull || error.resultCode == .SQLITE_BUSY || error.resultCode == .SQLITE_LOCKED {
            return false
        }
    }

    /// The tables of a Merkle log (`Ledger`), which lie beside what has to agree with it. To be called by one migration of the service. Frozen.
    package static func createLedgerTables(in db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE ledger_leaf (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
                CREATE TABLE ledger_body (number INTEGER PRIMARY KEY, salt BLOB, body BLOB) STRICT;
                CREATE TABLE ledger_hash (
                    level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,
                    PRIMARY KEY (level, number)) STRICT, WITHOUT ROWID;
                """)
    }

    /// Runs `body`, and names the file in what it throws.
    package static func naming<Value>(_ path: String, _ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let error as DatabaseError { throw named(path, error) }
    }

    /// An error of SQLite, with the file that it is about.
    package static func named(_ path: String, _ error: DatabaseError) -> StoreError {
        [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(error.resultCode) ? .damaged(path: path, error.message ?? "\(error.resultCode)") : unusable(path, error)
    }

    /// SQLite says "I/O error" of a full disk as well, and of a failing one: the disk itself is asked.
    private static func unusable(_ path: String, _ error: DatabaseError) -> StoreError {
        let why = error.message ?? "\(error.resultCode)"
        guard !error.isFull, !isFull(path) else { return .noRoom(path: path) }
        return .unopenable(path: path, error.resultCode == .SQLITE_IOERR ? "\(why): the disk may be failing, look at the kernel's log" : why)
    }

    /// Whether the disk of a file has no room for what every start writes.
    package static func isFull(_ path: String) -> Bool {
        var space = statvfs()
        return statvfs(path, &space) == 0 && UInt64(space.f_bavail) * UInt64(space.f_frsize) < UInt64(roomMin)
    }

    /// For whoever finds a file locked: at an opening, and that is all, for one connection writes.
    private static let busySeconds = 5

    /// SQLite maps 32 KiB of an index, and a commit is some pages.
    private static let roomMin = 128 << 10
}

extension DatabaseError {
    /// No room: it may pass. Anything else that a disk says means that what is on it is not known any more.
    package var isFull: Bool { resultCode == .SQLITE_FULL }

    /// A page is not what was written. Others are, and whoever does not need this one goes on.
    package var isDamage: Bool { [.SQLITE_CORRUPT, .SQLITE_NOTADB].contains(resultCode) }
}
