package import GRDB
import Foundation
import Vault

/// Why a ledger does not do what it was asked.
package enum LedgerError: Error, Hashable, Sendable {
    case database(String)
    /// Entries are there, and a hash that they make is not, or is none.
    case hashMissing(Subtree)
    /// An entry within the size is not there, or is none.
    case entryMissing(UInt64)
    case beyond(size: UInt64)
    /// The ledger is longer or shorter than the writer took it to be: what it decided on is not what is.
    case sizeDiffers(expected: UInt64, found: UInt64)
}

extension LedgerError {
    /// For people, who count entries from 1.
    package var words: String {
        switch self {
        case .entryMissing(let leaf): "entry \(leaf + 1) is missing or unreadable"
        case .hashMissing(let subtree): "a hash over the entries \(subtree.leaves.lowerBound + 1) to \(subtree.leaves.upperBound) is missing"
        case .beyond(let size): "it has \(size) entries"
        case .sizeDiffers(let expected, let found): "it has \(found) entries, and \(expected) were expected"
        case .database(let why): why
        }
    }
}

/// A Merkle log in a service's SQLite database, one for each database.
///
/// Entries have the indexes 0, 1, 2…, as the leaves of RFC 6962. Salts and bodies lie apart from the leaves, so that they can be erased. What was
/// returned by ``append(_:expecting:)`` is durable. Holds nothing in memory: the database's one writer is the order of appends.
package struct LedgerStore: Sendable {
    let database: any DatabaseWriter

    /// A file of its own.
    ///
    /// - Throws: `StoreError`.
    package init(path: String) throws {
        database = try SQLiteStore.open(path, version: 1) { step, db in
            if step == 1 { try LedgerStore.createTables(in: db) }
        }
    }

    /// In a database that was opened by `SQLiteStore`, whose migrations called ``createTables(in:)``.
    package init(in database: any DatabaseWriter) { self.database = database }

    /// To be called by one migration of the service. Frozen.
    package static func createTables(in db: Database) throws { try SQLiteStore.createLedgerTables(in: db) }

    // MARK: Writing

    /// Records entries in one transaction: all of them, durably, or none.
    ///
    /// - Parameter size: If given, the ledger is appended to only if it has this size: repeating after an error records nothing twice.
    /// - Returns: Their indexes.
    /// - Throws: `sizeDiffers`, `hashMissing`, `database`.
    package func append(_ entries: [LedgerEntry], expecting size: UInt64? = nil) throws(LedgerError) -> Range<UInt64> {
        try writing { db in try append(entries, expecting: size, in: db) }
    }

    /// The same within a transaction of the caller's, with what has to agree with it: durable once that has committed.
    package func append(_ entries: [LedgerEntry], expecting size: UInt64? = nil, in db: Database) throws -> Range<UInt64> {
        let found = try LedgerStore.size(in: db)
        if let size, size != found { throw LedgerError.sizeDiffers(expected: size, found: found) }
        var frontier = try MerkleFrontier(size: found) { try LedgerStore.hash($0, in: db) }
        let insertLeaf = try db.cachedStatement(sql: "INSERT INTO ledger_leaf VALUES (?, ?)")
        let insertBody = try db.cachedStatement(sql: "INSERT INTO ledger_body VALUES (?, ?, ?)")
        let insertHash = try db.cachedStatement(sql: "INSERT INTO ledger_hash VALUES (?, ?, ?)")
        for entry in entries {
            let leaf = entry.leaf
            let number = Int64(frontier.size)
            try insertLeaf.execute(arguments: [number, Data(leaf.bytes)])
            try insertBody.execute(arguments: [number, Data(entry.salt), Data(entry.body)])
            for (subtree, hash) in frontier.append(leaf.hash) {
                try insertHash.execute(arguments: [subtree.level, Int64(subtree.index), Data(hash.bytes)])
            }
        }
        return found..<frontier.size
    }

    /// Takes salt and body away, for good. Leaf, root and proofs stay as they are. Erasing again changes nothing.
    ///
    /// The row's bytes are overwritten in the database; older ones are in the write-ahead log until a checkpoint starts it anew.
    ///
    /// - Throws: `beyond`, `database`.
    package func erase(_ indexes: [UInt64]) throws(LedgerError) {
        try writing { db in
            let size = try LedgerStore.size(in: db)
            guard indexes.allSatisfy({ $0 < size }) else { throw LedgerError.beyond(size: size) }
            try db.execute(sql: "PRAGMA secure_delete = ON")
            for index in indexes {
                try db.execute(sql: "UPDATE ledger_body SET salt = NULL, body = NULL WHERE number = ?", arguments: [Int64(index)])
            }
        }
    }

    // MARK: Reading

    /// Entries there are; 0 at first.
    package func size() throws(LedgerError) -> UInt64 { try reading { db in try LedgerStore.size(in: db) } }

    /// An entry as it is read; the second is nil if it was erased.
    package typealias Recorded = (leaf: LedgerLeaf, entry: LedgerEntry?)

    /// In order. Bodies are returned as they are stored: ``verify(against:)`` says whether they are what was recorded.
    ///
    /// - Throws: `beyond` if the range is not within the ledger, `entryMissing`, `database`.
    package func entries(_ range: Range<UInt64>) throws(LedgerError) -> [Recorded] {
        try reading { db in
            try LedgerStore.check(range.upperBound, in: db)
            var found: [Recorded] = []
            let rows = try Row.fetchCursor(
                db, sql: "\(LedgerStore.joined) WHERE l.number >= ? AND l.number < ? ORDER BY l.number",
                arguments: [Int64(range.lowerBound), Int64(range.upperBound)])
            while let row = try rows.next() {
                let index = range.lowerBound + UInt64(found.count)
                let stored = StoredEntry(row)
                guard stored.index == index, let leaf = LedgerLeaf(bytes: stored.leaf) else { throw LedgerError.entryMissing(index) }
                switch stored.body {
                case .there(let entry): found.append((leaf, entry))
                case .erased: found.append((leaf, nil))
                case .missing, .damaged: throw LedgerError.entryMissing(index)
                }
            }
            guard found.count == range.count else { throw LedgerError.entryMissing(range.lowerBound + UInt64(found.count)) }
            return found
        }
    }

    /// - Parameter size: Of the ledger, or any earlier one.
    package func root(at size: UInt64) throws(LedgerError) -> TreeHash {
        try reading { db in
            try LedgerStore.check(size, in: db)
            return try MerkleTree.root(size: size) { try LedgerStore.hash($0, in: db) }
        }
    }

    /// Within a transaction of the caller's.
    package func size(in db: Database) throws -> UInt64 { try LedgerStore.size(in: db) }

    /// Size and root of one moment.
    package func checkpoint(origin: KeyName) throws(LedgerError) -> Checkpoint {
        try reading { db in
            let size = try LedgerStore.size(in: db)
            return Checkpoint(origin: origin, size: size, root: try MerkleTree.root(size: size) { try LedgerStore.hash($0, in: db) })
        }
    }

    /// - Throws: `beyond` unless `index < size`, and `size` is within the ledger.
    package func inclusionProof(of index: UInt64, in size: UInt64) throws(LedgerError) -> [TreeHash] {
        try reading { db in
            try LedgerStore.check(size, in: db)
            guard index < size else { throw LedgerError.beyond(size: size) }
            return try MerkleTree.inclusionProof(index: index, size: size) { try LedgerStore.hash($0, in: db) }
        }
    }

    /// - Throws: `beyond` unless `older ≤ size`, and `size` is within the ledger.
    package func consistencyProof(from older: UInt64, to size: UInt64) throws(LedgerError) -> [TreeHash] {
        try reading { db in
            try LedgerStore.check(size, in: db)
            guard older <= size else { throw LedgerError.beyond(size: size) }
            return try MerkleTree.consistencyProof(older: older, size: size) { try LedgerStore.hash($0, in: db) }
        }
    }

    // MARK: The database

    static let joined = """
        SELECT l.number, l.leaf, b.number, b.salt, b.body FROM ledger_leaf l LEFT JOIN ledger_body b ON b.number = l.number
        """

    static func size(in db: Database) throws -> UInt64 {
        guard let last = try Int64.fetchOne(db, sql: "SELECT MAX(number) FROM ledger_leaf") else { return 0 }
        guard last >= 0, UInt64(last) < MerkleTree.sizeMax else { throw LedgerError.entryMissing(0) }
        return UInt64(last) + 1
    }

    private static func check(_ size: UInt64, in db: Database) throws {
        let found = try LedgerStore.size(in: db)
        guard size <= found else { throw LedgerError.beyond(size: found) }
    }

    static func hash(_ subtree: Subtree, in db: Database) throws -> TreeHash {
        let statement = try db.cachedStatement(sql: "SELECT hash FROM ledger_hash WHERE level = ? AND number = ?")
        let data = try Data.fetchOne(statement, arguments: [subtree.level, Int64(subtree.index)])
        guard let data, let hash = TreeHash(bytes: data) else { throw LedgerError.hashMissing(subtree) }
        return hash
    }

    func reading<Value>(_ body: (Database) throws -> Value) throws(LedgerError) -> Value {
        do { return try database.read(body) } catch let error as LedgerError { throw error } catch { throw .database((error as? DatabaseError)?.message ?? "\(error)") }
    }

    private func writing<Value>(_ body: (Database) throws -> Value) throws(LedgerError) -> Value {
        do { return try database.write(body) } catch let error as LedgerError { throw error } catch { throw .database((error as? DatabaseError)?.message ?? "\(error)") }
    }
}

/// A row of the leaves, with its row of the bodies.
struct StoredEntry {
    enum Body { case there(LedgerEntry), erased, missing, damaged }

    let index: UInt64
    let leaf: [UInt8]
    let body: Body

    init(_ row: Row) {
        index = UInt64(bitPattern: row[0])
        leaf = Array(row[1] as Data)
        let (salt, bytes) = (row[3] as Data?, row[4] as Data?)
        if (row[2] as Int64?) == nil {
            body = .missing
        } else if let salt, let bytes, let entry = LedgerEntry(salt: Array(salt), body: Array(bytes)) {
            body = .there(entry)
        } else {
            body = salt == nil && bytes == nil ? .erased : .damaged
        }
    }
}
