import Foundation
import GRDB
import Gate
import Synchronization

/// The vault against itself: the rows that reads find are those that were committed.
extension SQLiteVault {
    package var stored: UInt64 { UInt64(commitment.withLock { $0.stored }) }

    static func addCommitment(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE commitment (
                    only INTEGER PRIMARY KEY CHECK (only = 1), stored INTEGER NOT NULL, unbound INTEGER NOT NULL, rows INTEGER NOT NULL,
                    sum BLOB NOT NULL, tag BLOB NOT NULL) STRICT;
                ALTER TABLE stream ADD COLUMN tag BLOB;
                ALTER TABLE gate ADD COLUMN tag BLOB;
                """)
    }

    /// The last commitment, checked; that of a vault that has none yet is made here, once, and from then on it is never without.
    ///
    /// Not by the migration: the keys may turn out to be another vault's after it.
    static func commitment(_ pool: any DatabaseWriter, _ keys: DataKeys, _ path: String) throws -> (CommitmentKey, Commitment) {
        let found = try pool.read { db in try stored(in: db, path) }
        let (key, isBegun) = try keys.commitmentKey(make: found == nil)
        if let found {
            guard let key else { throw VaultRefused.keysOlder(path: keys.path) }
            guard key.isTag(found.tag, of: found.commitment, longest: found.longest) else { throw StoreError.damaged(path: path, "what it is committed to was changed") }
            if !isBegun { try keys.beginCommitment() }
            return (key, found.commitment)
        }
        guard let key, !isBegun else { throw StoreError.damaged(path: path, "it is from before Sluice noticed rows that are missing, or what noticed them was taken away") }
        let made = try pool.write { db in
            var made = Commitment()
            made.unbound = try Int64.fetchOne(db, sql: "SELECT MAX(number) FROM segment") ?? 0
            made.stored = made.unbound
            (made.rows, made.sum) = try sum(key, in: db)
            let longest = try Int64.fetchOne(db, sql: "SELECT longest_ns FROM housekeeping") ?? 0
            try db.execute(
                sql: "INSERT INTO commitment VALUES (1, ?, ?, ?, ?, ?)",
                arguments: [made.stored, made.unbound, made.rows, Data(made.sum.bytes), key.tag(made, longest: longest)])
            for row in try Row.fetchAll(db, sql: "SELECT agent, stream, sequence FROM stream") {
                guard let agent = UInt32(exactly: row[0] as Int64) else { throw StoreError.damaged(path: path, "it has a stream of no agent") }
                let mark = StreamMark(key: StreamKey(agent: agent, stream: UInt64(bitPattern: row[1])), sequence: UInt64(bitPattern: row[2]))
                try db.execute(sql: "UPDATE stream SET tag = ? WHERE agent = ? AND stream = ?", arguments: [key.tag(mark), row[0] as Int64, row[1] as Int64])
            }
            for row in try Row.fetchAll(db, sql: "SELECT epoch, body FROM gate ORDER BY epoch DESC LIMIT 1") {
                try db.execute(sql: "UPDATE gate SET tag = ? WHERE epoch = ?", arguments: [key.tag(gate: row[1], epoch: row[0]), row[0] as Int64])
            }
            return made
        }
        try keys.beginCommitment()
        return (key, made)
    }

    /// Whether the keys are those of this vault, by what it is committed to.
    static func vouches(_ pool: any DatabaseWriter, _ keys: DataKeys, _ path: String) throws -> Bool {
        guard let found = try pool.read({ db in try stored(in: db, path) }), let key = try keys.commitmentKey(make: false).key else { return false }
        return key.isTag(found.tag, of: found.commitment, longest: found.longest)
    }

    private static func stored(in db: Database, _ path: String) throws -> (commitment: Commitment, longest: Int64, tag: Data)? {
        guard let row = try Row.fetchOne(db, sql: "SELECT stored, unbound, rows, sum, tag, longest_ns FROM commitment, housekeeping") else { return nil }
        guard let sum = Commitment.Sum(row[3] as Data) else { throw StoreError.damaged(path: path, "what it is committed to cannot be read") }
        return (Commitment(stored: row[0], unbound: row[1], rows: row[2], sum: sum), row[5], row[4])
    }

    /// Along the index that reads go by: a row that they do not find is missing, whatever else holds it.
    private static func sum(_ key: CommitmentKey, in db: Database) throws -> (rows: Int64, sum: Commitment.Sum) {
        var (rows, sum) = (Int64(0), Commitment.Sum())
        let found = try Row.fetchCursor(db, sql: "SELECT number, subject, class, first_ns FROM segment INDEXED BY segment_time ORDER BY subject, class, first_ns")
        while let row = try found.next() {
            sum += key.element(of: SegmentPlace(number: row[0], subject: row[1], dataClass: row[2], first: row[3]))
            rows += 1
        }
        return (rows, sum)
    }

    package func audit() throws -> Int64 {
        try SQLiteStore.naming(path) {
            // One snapshot: rows and what they are compared with.
            try pool.read { db in
                guard let found = try SQLiteVault.stored(in: db, path), commitmentKey.isTag(found.tag, of: found.commitment, longest: found.longest) else {
                    throw StoreError.damaged(path: path, "what it is committed to was changed")
                }
                let (rows, sum) = try SQLiteVault.sum(commitmentKey, in: db)
                guard rows == found.commitment.rows else {
                    throw StoreError.damaged(path: path, "it has \(rows) segments, and \(found.commitment.rows) were stored and not deleted since")
                }
                guard sum == found.commitment.sum else { throw StoreError.damaged(path: path, "its segments are others than those that were stored") }
                return rows
            }
        }
    }

    /// Runs `body` in one transaction that may insert or delete segments.
    ///
    /// - Parameter body: false: nothing of it is kept.
    func changing(_ body: (Database, CommitmentDraft) throws -> Bool) throws {
        try pool.writeWithoutTransaction { db in
            let draft = CommitmentDraft(commitment.withLock { $0 }, key: commitmentKey)
            var isKept = false
            try db.inTransaction(.immediate) {
                guard try body(db, draft) else { return .rollback }
                try draft.keep(in: db, longest: longest.withLock { $0 })
                isKept = true
                return .commit
            }
            guard isKept else { return }
            let kept = draft.commitment
            commitment.withLock { $0 = kept }
        }
    }
}
