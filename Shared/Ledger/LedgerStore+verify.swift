import Foundation
import GRDB

/// The first thing in a ledger that is not as it was recorded.
package enum LedgerFault: Hashable, Sendable {
    /// Leaf, salt or body were changed.
    case edited(UInt64)
    /// What stands here was recorded at `holds`.
    case reordered(UInt64, holds: UInt64)
    /// The entry, or the row of its body, which an erasure leaves.
    case deleted(UInt64)
    /// There were `expected` entries or more; `size` are left.
    case truncated(size: UInt64, expected: UInt64)
    /// Among these entries one or more were changed together with hashes over them.
    case rewritten(Range<UInt64>)
    /// Rows that no entry made.
    case surplus
}

extension LedgerFault {
    /// For people, who count entries from 1.
    package var words: String {
        switch self {
        case .edited(let index): "entry \(index + 1) is not what was recorded"
        case .reordered(let index, let holds): "entry \(index + 1) holds what was recorded as entry \(holds + 1)"
        case .deleted(let index): "entry \(index + 1) is missing"
        case .truncated(let size, let expected): "the last entries are missing: there are \(size), and \(expected) were recorded"
        case .rewritten(let range): "among entries \(range.lowerBound + 1) to \(range.upperBound) one or more were rewritten, with the hashes over them"
        case .surplus: "there are rows that no entry made"
        }
    }
}

package enum LedgerVerdict: Hashable, Sendable {
    /// - Parameter erased: Entries whose leaf alone is left.
    case whole(size: UInt64, root: TreeHash, erased: UInt64)
    case faulty(LedgerFault)
}

extension LedgerStore {
    /// Recomputes every leaf and every hash from salts and bodies, and compares with what is stored and with checkpoints from elsewhere.
    ///
    /// Reads the whole ledger in one snapshot. A database in which everything was changed to agree shows only against a checkpoint; the more
    /// checkpoints, the shorter the range that is named.
    ///
    /// - Parameters:
    ///   - checkpoints: Of this ledger, verified, in any order.
    ///   - each: Called for each entry that is as it was recorded, in order; nil: erased.
    /// - Throws: `database`. What is wrong with the content is no error but the answer.
    package func verify(against checkpoints: [Checkpoint], each: (UInt64, LedgerEntry?) -> Void = { _, _ in }) throws(LedgerError) -> LedgerVerdict {
        try reading { db in
            var audit = try Audit(db: db, checkpoints: checkpoints.sorted { $0.size < $1.size })
            return try audit.verdict(each)
        }
    }
}

/// One pass over a ledger.
private struct Audit {
    let db: Database
    /// By size. What has been compared is dropped.
    var checkpoints: [Checkpoint]
    var frontier = MerkleFrontier()
    var erased: UInt64 = 0
    /// The size of the last checkpoint that agreed.
    var agreed: UInt64 = 0
    /// Stored hashes of each level, in order: one pass over the table, where to ask for each would take longer than all the hashing.
    private var levels: [RowCursor] = []

    init(db: Database, checkpoints: [Checkpoint]) throws {
        self.db = db
        self.checkpoints = checkpoints
        let height = try Int.fetchOne(db, sql: "SELECT MAX(level) FROM ledger_hash") ?? -1
        for level in 0..<min(max(height + 1, 0), 63) {
            levels.append(try Row.fetchCursor(db, sql: "SELECT number, hash FROM ledger_hash WHERE level = ? ORDER BY number", arguments: [level]))
        }
    }

    mutating func verdict(_ each: (UInt64, LedgerEntry?) -> Void) throws -> LedgerVerdict {
        let rows = try Row.fetchCursor(db, sql: "\(LedgerStore.joined) ORDER BY l.number")
        if let fault = compareRoot() { return .faulty(fault) }
        while let row = try rows.next() {
            let stored = StoredEntry(row)
            if let fault = try fault(of: stored) ?? compareRoot() { return .faulty(fault) }
            if case .there(let entry) = stored.body { each(stored.index, entry) } else { each(stored.index, nil) }
        }
        if let fault = try faultBehindTheEnd() { return .faulty(fault) }
        return .whole(size: frontier.size, root: frontier.root, erased: erased)
    }

    private mutating func fault(of stored: StoredEntry) throws -> LedgerFault? {
        let index = frontier.size
        guard stored.index == index else { return stored.index > index && stored.index <= MerkleTree.sizeMax ? .deleted(index) : .surplus }
        guard let leaf = LedgerLeaf(bytes: stored.leaf) else { return .edited(index) }
        switch stored.body {
        case .missing: return .deleted(index)
        case .damaged: return .edited(index)
        case .erased: erased += 1
        case .there(let entry):
            if entry.leaf != leaf {
                let other = try place("SELECT number FROM ledger_leaf WHERE leaf = ?", entry.leaf.bytes)
                return other.map { .reordered(index, holds: $0) } ?? .edited(index)
            }
        }
        for (subtree, hash) in frontier.append(leaf.hash) where try recorded(subtree) != hash {
            guard subtree.level == 0 else { return .rewritten(subtree.leaves) }
            let other = try place("SELECT number FROM ledger_hash WHERE level = 0 AND hash = ?", hash.bytes)
            return other.map { .reordered(index, holds: $0) } ?? .edited(index)
        }
        return nil
    }

    /// Compares with the checkpoints of the size that has been reached.
    private mutating func compareRoot() -> LedgerFault? {
        while let checkpoint = checkpoints.first, checkpoint.size == frontier.size {
            guard checkpoint.root == frontier.root else { return .rewritten(agreed..<frontier.size) }
            agreed = frontier.size
            checkpoints.removeFirst()
        }
        return nil
    }

    private func faultBehindTheEnd() throws -> LedgerFault? {
        let size = frontier.size
        let hashed = try Int64.fetchOne(db, sql: "SELECT MAX(number) FROM ledger_hash WHERE level = 0") ?? -1
        let bodies = try Int64.fetchOne(db, sql: "SELECT MAX(number) FROM ledger_body") ?? -1
        let recorded = max(UInt64(max(hashed, bodies, -1) + 1), checkpoints.last?.size ?? 0)
        if recorded > size { return .truncated(size: size, expected: recorded) }
        // A tree of n leaves has n − popcount(n) complete subtrees above them.
        let hashes = try Int64.fetchOne(db, sql: "SELECT COUNT(*) FROM ledger_hash") ?? 0
        let rows = try Int64.fetchOne(db, sql: "SELECT COUNT(*) FROM ledger_body") ?? 0
        guard UInt64(hashes) == 2 * size - UInt64(size.nonzeroBitCount), UInt64(rows) == size else { return .surplus }
        return nil
    }

    /// Subtrees of one level are asked for in order, and each once.
    private func recorded(_ subtree: Subtree) throws -> TreeHash? {
        guard subtree.level < levels.count, let row = try levels[subtree.level].next(), row[0] as Int64 == Int64(subtree.index) else { return nil }
        return try row.withUnsafeData(atIndex: 1) { $0.flatMap { TreeHash(bytes: $0) } }
    }

    private func place(_ sql: String, _ bytes: [UInt8]) throws -> UInt64? {
        try Int64.fetchOne(db, sql: "\(sql) LIMIT 1", arguments: [Data(bytes)]).map { UInt64(bitPattern: $0) }
    }
}
