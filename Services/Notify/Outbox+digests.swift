import Crypto
import Foundation
import GRDB

/// A digest in each row, over what stands in it: a bit that the disk has changed is a message that is never sent, or never again, and nobody would know.
///
/// Against damage, not against who can write the file: they can make digests too.
extension Outbox {
    /// The tables whose rows carry one.
    enum Table: String, CaseIterable {
        case message, delivery, channel, cursor, entry, mail, attempt, bounce, receipt, decision, notice, page, tally

        /// All columns but the digest, in the order of the digest. Part of the format.
        var columns: [String] {
            switch self {
            case .message: ["id", "type", "body", "created", "removed_at"]
            case .delivery: ["message", "channel", "state", "attempts", "next_at", "last_error", "delivered_at", "recipient", "incident", "copies", "in_hand", "rank"]
            case .channel: ["name", "address", "state", "since", "why", "held_until"]
            case .cursor: ["one", "entry"]
            case .entry: ["number", "hash"]
            case .mail: ["message", "bytes"]
            case .attempt: ["message", "channel", "number", "at", "verdict", "code", "answer"]
            case .bounce: ["message", "at", "status", "why"]
            case .receipt: ["message", "at", "way"]
            case .decision: ["id", "number", "root", "incident", "people", "held", "octets", "last_at", "taken_at", "escalations", "escalated_at", "escalated_to", "part", "edge", "operator", "dropping", "spread_to", "spread_at"]
            case .notice: ["decision", "subject", "leaf", "language", "message", "recipient", "unreachable", "escalated_at", "same_as", "removed_at"]
            case .page: ["decision", "subject", "bytes"]
            case .tally: ["decision", "delivered", "opened", "unreachable", "untold"]
            }
        }

        /// SQL: what the digest of a row must be.
        var digest: String { Outbox.digest(of: rawValue, columns) }

        /// SQL: whether a row is as it was written.
        var isWhole: String { "\(rawValue).digest IS \(digest)" }

        /// SQL: a row, for people.
        fileprivate var label: String {
            switch self {
            case .message: "'message ' || id"
            case .delivery: "'the delivery of ' || message || ' to ' || channel"
            case .channel: "'hook ' || name"
            case .cursor: "'up to where entries were taken'"
            case .entry: "'entry ' || number"
            case .mail: "'the text of ' || message"
            case .attempt: "'attempt ' || number || ' at ' || message"
            case .bounce: "'that ' || message || ' came back'"
            case .receipt: "'that ' || message || ' was opened'"
            case .decision: "'the decision of entry ' || number"
            case .notice: "'the notice of ' || subject"
            case .page: "'what stands in the notice of ' || subject"
            case .tally: "'how the people of decision ' || decision || ' stand'"
            }
        }
    }

    /// First 16 bytes of SHA-256 over the values, each with its type and length in front. For statements alone: no schema needs it.
    static let digest = DatabaseFunction("digest", pure: true) { values in
        var hash = SHA256()
        func take(_ type: UInt8, _ bytes: some Sequence<UInt8>) {
            let bytes = Array(bytes)
            hash.update(data: [type])
            withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: bytes)
        }
        for value in values {
            switch value.storage {
            case .null: take(0, [])
            case .int64(let number): take(1, withUnsafeBytes(of: number.bigEndian) { Array($0) })
            case .double(let number): take(2, withUnsafeBytes(of: number.bitPattern.bigEndian) { Array($0) })
            case .string(let text): take(3, text.utf8)
            case .blob(let data): take(4, data)
            }
        }
        return Data(hash.finalize().prefix(16))
    }

    /// SQL: what the digest of a row with these columns must be.
    static func digest(of table: String, _ columns: [String]) -> String {
        "digest('\(table)', \(columns.map { "\(table).\($0)" }.joined(separator: ", ")))"
    }

    /// A row, with its digest at once: ten thousand times two statements more would be felt. What is not named is NULL.
    static func insert(_ table: Table, _ values: [(column: String, value: (any DatabaseValueConvertible)?)], _ db: Database, onConflict conflict: String = "") throws {
        let names = values.map(\.column)
        let marks = table.columns.map { names.contains($0) ? ":\($0)" : "NULL" }
        let statement = try db.cachedStatement(
            sql: "INSERT INTO \(table.rawValue) (\(table.columns.joined(separator: ", ")), digest) VALUES (\(marks.joined(separator: ", ")), digest('\(table.rawValue)', \(marks.joined(separator: ", ")))) \(conflict)")
        try statement.execute(arguments: StatementArguments(Dictionary(uniqueKeysWithValues: values.map { ($0.column, $0.value) })))
    }

    /// Gives rows the digest of what stands in them now. In the transaction that wrote them.
    static func stamp(_ table: Table, _ db: Database, where condition: String = "1", _ arguments: StatementArguments = StatementArguments()) throws {
        try db.execute(sql: "UPDATE \(table.rawValue) SET digest = \(table.digest) WHERE \(condition)", arguments: arguments)
    }

    /// Pages, indexes against rows, and references: what reads find is all that there is.
    static func checkPages(_ db: Database, _ path: String) throws {
        let found = try String.fetchOne(db, sql: "PRAGMA integrity_check(1)") ?? "nothing"
        guard found == "ok" else { throw OutboxError.damaged(path: path, why: found.replacing("\n", with: " ")) }
        guard try Row.fetchOne(db, sql: "PRAGMA foreign_key_check") == nil else { throw OutboxError.damaged(path: path, why: "a delivery has no message, or no hook") }
    }

    /// Every row.
    static func checkRows(_ db: Database, _ path: String) throws {
        for table in Table.allCases {
            guard let row = try String.fetchOne(db, sql: "SELECT \(table.label) FROM \(table.rawValue) WHERE NOT (\(table.isWhole)) LIMIT 1") else { continue }
            throw OutboxError.damaged(path: path, why: "\(row) is not what was written")
        }
        guard try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM cursor") == 1 else { throw OutboxError.damaged(path: path, why: "up to where entries were taken is not there") }
    }
}
