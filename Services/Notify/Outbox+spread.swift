import Foundation
import GRDB
import Gate

/// What follows when a decision is taken: each of its notices is queued, in small steps beside everything else.
extension Outbox {
    /// What a step came to.
    struct Spread: Hashable, Sendable {
        var decision: UInt64
        var incident: UInt64
        /// Deliveries that it made.
        var queued = 0
        /// Of the whole decision, with its last step: those who had exactly this before, and are not sent it again. Nil: there are more steps.
        var before: UInt64?
    }

    /// Makes the next deliveries of the oldest decision that is taken and does not have all of them yet: one after the other, so that of an incident the older go first.
    ///
    /// Which they are, and up to whom they are made, is one transaction: a kill leaves the step undone, and the next run begins there. Whose notice is byte for byte what was sent them before about
    /// that incident (the ledger was put back, and the same decided anew) gets no second mail: how it stands is how that stands.
    ///
    /// - Parameter hasServer: Mails go to one now: what was kept in the home's own Maildir before has reached nobody.
    /// - Returns: nil: there are none.
    func spread(at now: WallTime, limit: Int = 1_000, hasServer: Bool = false) throws(OutboxError) -> Spread? {
        let open = "FROM decision WHERE taken_at IS NOT NULL AND spread_at IS NULL ORDER BY taken_at, id LIMIT 1"
        guard try reading({ try Row.fetchOne($0, sql: "SELECT 1 \(open)") }) != nil else { return nil }
        return try writing { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT *, \(Table.decision.isWhole) AS whole \(open)") else { return nil }
            let (id, number, incident) = (row["id"] as Int64, row["number"] as Int64, row["incident"] as Int64)
            guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the decision of entry \(number) is not what was written") }
            let from = row["spread_to"] as String? ?? ""
            let next = try Row.fetchAll(
                db, sql: "SELECT subject, \(Table.notice.isWhole) AS whole FROM notice WHERE decision = ? AND subject > ? ORDER BY subject LIMIT ?", arguments: [id, from, limit])
            if let damaged = next.first(where: { !($0["whole"] as Bool) }) { throw OutboxError.damaged(path: path, why: "the notice of \(damaged["subject"] as String) is not what was written") }
            var step = Spread(decision: UInt64(number), incident: UInt64(incident))
            if let last = next.last?["subject"] as String? {
                let range = Range(decision: id, incident: incident, after: from, to: last)
                try Outbox.leaveOutWhatTheyHave(range, hasServer: hasServer, db)
                step.queued = try Outbox.queue(range, at: now, db)
                try db.execute(sql: "UPDATE decision SET spread_to = ? WHERE id = ?", arguments: [last, id])
            }
            if next.count < limit {
                try db.execute(sql: "UPDATE decision SET spread_at = ? WHERE id = ?", arguments: [now.microseconds, id])
                step.before = UInt64(try Int64.fetchOne(db, sql: "SELECT count(*) FROM notice WHERE decision = ? AND same_as IS NOT NULL", arguments: [id]) ?? 0)
            }
            try Outbox.stamp(.decision, db, where: "id = ?", [id])
            return step
        }
    }

    /// Notices of one decision, by subject.
    private struct Range {
        var decision: Int64
        var incident: Int64
        var after: String
        var to: String

        var arguments: StatementArguments { ["decision": decision, "incident": incident, "from": after, "to": to] }
    }

    private static func queue(_ range: Range, at now: WallTime, _ db: Database) throws -> Int {
        let written: [String: String] = [
            "message": "message", "channel": ":channel", "state": "'pending'", "attempts": "0", "next_at": ":now", "recipient": "recipient", "incident": ":incident", "copies": "0", "in_hand": "0",
            "rank": "\(Rank.people.rawValue)",
        ]
        let values = Table.delivery.columns.map { written[$0] ?? "NULL" }.joined(separator: ", ")
        try db.execute(
            sql: """
                INSERT INTO delivery (\(Table.delivery.columns.joined(separator: ", ")), digest) SELECT \(values), digest('delivery', \(values)) FROM notice
                WHERE decision = :decision AND subject > :from AND subject <= :to AND message IS NOT NULL ORDER BY subject
                """, arguments: range.arguments + ["channel": mailChannel, "now": now.microseconds])
        return db.changesCount
    }

    /// By an earlier decision about this incident they have these bytes, or are about to: its mail stands for this one's. One that came back, or was given up, does not.
    private static func leaveOutWhatTheyHave(_ range: Range, hasServer: Bool, _ db: Database) throws {
        let older = "older.incident = :incident AND older.id <> :decision AND older.taken_at IS NOT NULL"
        guard try Row.fetchOne(db, sql: "SELECT 1 FROM decision AS older WHERE \(older)", arguments: ["incident": range.incident, "decision": range.decision]) != nil else { return }
        let mine = "notice.decision = :decision AND notice.subject > :from AND notice.subject <= :to AND notice.message IS NOT NULL"
        let found = try Row.fetchAll(
            db,
            sql: """
                SELECT notice.subject, notice.message, delivery.message AS had FROM notice JOIN decision AS older ON \(older)
                    JOIN notice AS earlier ON earlier.decision = older.id AND earlier.subject = notice.subject AND earlier.leaf = notice.leaf
                    JOIN delivery ON delivery.message = ifnull(earlier.message, earlier.same_as)
                WHERE \(mine) AND delivery.state <> 'given-up' AND NOT EXISTS (SELECT 1 FROM bounce WHERE bounce.message = delivery.message)
                    AND NOT (:server AND EXISTS (SELECT 1 FROM attempt WHERE attempt.message = delivery.message AND verdict = 'delivered' AND answer = :kept)) GROUP BY notice.subject
                """, arguments: range.arguments + ["server": hasServer, "kept": MailLane.keptAnswer])
        for row in found {
            let (subject, message) = (row["subject"] as String, row["message"] as String)
            try db.execute(sql: "UPDATE notice SET message = NULL, same_as = ? WHERE decision = ? AND subject = ?", arguments: [row["had"] as String, range.decision, subject])
            try stamp(.notice, db, where: "decision = ? AND subject = ?", [range.decision, subject])
            try db.execute(sql: "DELETE FROM mail WHERE message = ?", arguments: [message])
            try db.execute(sql: "DELETE FROM message WHERE id = ?", arguments: [message])
        }
    }
}
