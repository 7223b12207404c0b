import Foundation
import GRDB
import Gate
import Ledger

/// Those who were not reached in time, for somebody who can find them.
extension Outbox {
    struct Escalation: Hashable, Sendable {
        var decision: Decision
        /// Which of this decision, from 1.
        var number: Int
        /// Of this escalation, from 1: one mail does not take everybody's name.
        var part: Int
        /// Those that this part names, by subject: all of whom nobody was told before.
        var new: [String]
        /// And how many others follow in the next part.
        var left: Int
        /// All who are not reached now.
        var count: Int
    }

    /// Subjects that one part names: 2 MB of them at most, in a mail of 3 MB.
    static let escalatedNamesMax = 10_000
    /// Escalations of one decision, of as many parts as it takes. Who watches one server refuse everybody one by one has understood after these.
    static let escalationsMax = 10
    /// Between two of them.
    static let escalationsApart = Span.seconds(3_600)

    /// Puts in a mail for each decision of which somebody new is not reached after so long, and notes whom it names, in one transaction. Who is not named yet is new the next time, which
    /// is at once.
    ///
    /// - Parameters:
    ///   - names: Subjects of a part.
    ///   - mails: Of an escalation, to whom it goes. None: nothing is noted.
    /// - Returns: mails that are new.
    func escalate(after: Span, at now: WallTime, to addresses: [String], names most: Int = Outbox.escalatedNamesMax, mails: (Escalation) -> [Mail]) throws(OutboxError) -> Int {
        let due = """
            FROM decision LEFT JOIN tally ON tally.decision = decision.id WHERE taken_at <= :taken AND tally.untold IS NOT 0 AND (part > 0 AND escalated_at > :apart AND escalated_at <= :now OR escalations < :most AND (escalated_at IS NULL OR escalated_at <= :apart OR escalated_at > :now))
                AND EXISTS (SELECT 1 FROM \(Outbox.joined) WHERE notice.decision = decision.id AND \(Outbox.isNew))
            """
        let arguments: StatementArguments = [
            "taken": (now - after).microseconds, "most": Outbox.escalationsMax, "apart": (now - Outbox.escalationsApart).microseconds, "now": now.microseconds,
        ]
        guard !addresses.isEmpty, try reading({ try Row.fetchOne($0, sql: "SELECT 1 \(due) LIMIT 1", arguments: arguments) }) != nil else { return 0 }
        return try writing { db in
            var new = 0
            for row in try Row.fetchAll(db, sql: "SELECT decision.* \(due)", arguments: arguments) { new += try Outbox.escalate(row, at: now, to: addresses, most, mails, db) }
            return new
        }
    }

    /// People of whom somebody is to be told after so long, and is not yet: where there is nobody to tell, all of them.
    func overdue(after: Span, at now: WallTime) throws(OutboxError) -> UInt64 {
        try reading { db in
            let sql = "SELECT count(*) FROM decision CROSS JOIN \(Outbox.joined) WHERE notice.decision = decision.id AND decision.taken_at <= ? AND \(Outbox.isNew)"
            return UInt64(try Int64.fetchOne(db, sql: sql, arguments: [(now - after).microseconds]) ?? 0)
        }
    }

    private static func escalate(_ row: Row, at now: WallTime, to addresses: [String], _ most: Int, _ mails: (Escalation) -> [Mail], _ db: Database) throws -> Int {
        let (id, escalations) = (row["id"] as Int64, row["escalations"] as Int)
        // Of one that was left long ago, because the others have had theirs since, nothing goes on.
        let part = (row["escalated_at"] as Int64? ?? 0) > (now - escalationsApart).microseconds ? row["part"] as Int : 0
        let decision = Decision(
            number: UInt64(row["number"] as Int64), incident: UInt64(row["incident"] as Int64), count: UInt64(row["people"] as Int64), root: TreeHash(bytes: row["root"] as Data) ?? MerkleTree.emptyRoot)
        func count(_ condition: String) throws -> Int {
            try Int.fetchOne(db, sql: "SELECT count(*) FROM \(joined) WHERE notice.decision = ? AND \(condition)", arguments: [id]) ?? 0
        }
        let names = try String.fetchAll(db, sql: "SELECT subject FROM \(joined) WHERE notice.decision = ? AND \(isNew) ORDER BY subject LIMIT ?", arguments: [id, most])
        let left = try count(isNew) - names.count
        let number = part == 0 ? escalations + 1 : escalations
        let told = mails(Escalation(decision: decision, number: number, part: part + 1, new: names, left: left, count: try count("\(standing) <> 'delivered'")))
        guard !told.isEmpty else { return 0 }
        // Those alone whom it names: everybody else is told of by the next.
        for name in names {
            try db.cachedStatement(sql: "UPDATE notice SET escalated_at = ? WHERE decision = ? AND subject = ?").execute(arguments: [now.microseconds, id, name])
            try db.cachedStatement(sql: "UPDATE notice SET digest = \(Table.notice.digest) WHERE decision = ? AND subject = ?").execute(arguments: [id, name])
        }
        try db.execute(
            sql: "UPDATE decision SET escalations = ?, part = ?, escalated_at = ?, escalated_to = ? WHERE id = ?",
            arguments: [number, left > 0 ? part + 1 : 0, now.microseconds, addresses.joined(separator: " "), id])
        try stamp(.decision, db, where: "id = ?", [id])
        return try told.count { try insert($0, now, db) }
    }

    /// SQL: not reached, and in no mail yet.
    private static let isNew = "notice.escalated_at IS NULL AND \(standing) <> 'delivered'"
}
