import Foundation
import GRDB
import Gate

/// What was told long ago loses its bytes. What stays is that it was told: who by their opaque id, what by its digest, how each attempt ended, and the ids by which nothing is told twice.
extension Outbox {
    /// A few of what was told before a time: their bytes, and the addresses that they went to.
    ///
    /// Never of an incident that is not closed, of what is still to be sent, or given up and listed, or of somebody who is not reached and of whom nobody was told.
    ///
    /// - Parameters:
    ///   - before: When the last attempt was made, and who was not reached was told of.
    ///   - closed: Incidents that are. Any other counts as open.
    /// - Returns: of how many; fewer than `limit`: there are no more.
    func remove(before: WallTime, closed: Set<UInt64>, limit: Int = 200, at now: WallTime) throws(OutboxError) -> Int {
        let numbers = "[\(closed.sorted().map(String.init).joined(separator: ","))]"
        let arguments: StatementArguments = ["before": before.microseconds, "closed": numbers]
        let people = try reading { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT notice.decision, notice.subject, notice.message FROM decision CROSS JOIN \(Outbox.joined)
                    WHERE decision.spread_at <= :before AND decision.incident IN (SELECT value FROM json_each(:closed)) AND notice.decision = decision.id AND notice.removed_at IS NULL
                        AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.message = \(Outbox.mailOfNotice) AND attempt.at > :before)
                        AND CASE \(Outbox.standing) WHEN 'delivered' THEN delivery.delivered_at <= :before WHEN 'unreachable' THEN notice.escalated_at <= :before ELSE 0 END
                    LIMIT :limit
                    """, arguments: arguments + ["limit": limit])
        }
        let events = try people.count >= limit ? [] : reading { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT id FROM message WHERE removed_at IS NULL AND type <> 'notice' AND created <= :before
                        AND ifnull(CASE WHEN json_valid(CAST(body AS TEXT)) THEN json_extract(CAST(body AS TEXT), '$.data.incident') END, 0) IN (SELECT 0 UNION SELECT value FROM json_each(:closed))
                        AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message = message.id AND (state <> 'delivered' OR delivered_at > :before
                            OR incident IS NOT NULL AND incident NOT IN (SELECT value FROM json_each(:closed))))
                    LIMIT :limit
                    """, arguments: arguments + ["limit": limit - people.count])
        }
        guard !people.isEmpty || !events.isEmpty else { return 0 }
        try writing { db in
            for row in people { try Outbox.remove(row["subject"], of: row["decision"], row["message"], at: now, db) }
            for id in events {
                try db.cachedStatement(sql: "DELETE FROM mail WHERE message = ?").execute(arguments: [id])
                try db.cachedStatement(sql: "DELETE FROM attempt WHERE message = ?").execute(arguments: [id])
                try Outbox.empty(id, at: now, db)
            }
        }
        return people.count + events.count
    }

    private static func remove(_ subject: String, of decision: Int64, _ message: String?, at now: WallTime, _ db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM page WHERE decision = ? AND subject = ?").execute(arguments: [decision, subject])
        try db.cachedStatement(sql: "UPDATE notice SET removed_at = ?, recipient = NULL WHERE decision = ? AND subject = ?").execute(arguments: [now.microseconds, decision, subject])
        try db.cachedStatement(sql: "UPDATE notice SET digest = \(Table.notice.digest) WHERE decision = ? AND subject = ?").execute(arguments: [decision, subject])
        guard let message else { return }
        try db.cachedStatement(sql: "DELETE FROM mail WHERE message = ?").execute(arguments: [message])
        try db.cachedStatement(sql: "UPDATE delivery SET recipient = NULL WHERE message = ?").execute(arguments: [message])
        try db.cachedStatement(sql: "UPDATE delivery SET digest = \(Table.delivery.digest) WHERE message = ?").execute(arguments: [message])
        try empty(message, at: now, db)
    }

    private static func empty(_ message: String, at now: WallTime, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE message SET body = x'', removed_at = ? WHERE id = ?").execute(arguments: [now.microseconds, message])
        try db.cachedStatement(sql: "UPDATE message SET digest = \(Table.message.digest) WHERE id = ?").execute(arguments: [message])
    }
}
