import Foundation
import GRDB
import Gate

/// Mails to operators that came too many at once, joined to one.
extension Outbox {
    /// One that waits to be joined.
    struct Joining: Hashable, Sendable {
        var id: String
        var type: String
        /// Its subject, and after a line's end its text.
        var words: String
        var created: WallTime
    }

    /// Of one mail. Its files have 6 MB at most.
    static let joinedMax = 1_000
    static let joinedOctetsMax = 3 << 20

    /// Puts what waits to be joined into mails of many, for each recipient by itself, in the order in which it came; what is alone goes as it is. In one transaction: a kill leaves all as it was, or
    /// the mails that have it all.
    ///
    /// What is due already is left alone: it may be on its way.
    ///
    /// - Parameter mail: Of many, to a recipient.
    /// - Returns: how many mails were joined.
    func join(at now: WallTime, mail: ([Joining], String) -> Mail?) throws(OutboxError) -> Int {
        let sql = """
            SELECT delivery.message, type, body, created, recipient, \(Table.message.isWhole) AND \(Table.delivery.isWhole) AS whole FROM delivery JOIN message ON message.id = delivery.message
            WHERE delivery.state = 'pending' AND channel = :channel AND rank = :rank AND attempts = 0 AND in_hand = 0 AND next_at > :now AND next_at <= :horizon AND body <> :alone
            ORDER BY recipient, delivery.rowid
            """
        let arguments: StatementArguments = ["channel": Outbox.mailChannel, "rank": Rank.operators.rawValue, "now": now.microseconds, "horizon": Outbox.horizon(now), "alone": Outbox.aloneBody]
        guard try reading({ try Row.fetchOne($0, sql: sql + " LIMIT 1", arguments: arguments) }) != nil else { return 0 }
        return try writing { db in
            var waiting: [String: [Joining]] = [:]
            for row in try Row.fetchAll(db, sql: sql, arguments: arguments) {
                guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the delivery of \(row["message"] as String) by mail is not what was written") }
                waiting[row["recipient"], default: []].append(
                    Joining(id: row["message"], type: row["type"], words: String(decoding: row["body"] as Data, as: UTF8.self), created: WallTime(microseconds: row["created"])))
            }
            var joined = 0
            for (recipient, all) in waiting.sorted(by: { $0.key < $1.key }) {
                for part in Outbox.parts(all) {
                    guard part.count > 1, let mail = mail(part, recipient) else {
                        for one in part {
                            try db.execute(sql: "UPDATE delivery SET next_at = ? WHERE message = ? AND channel = ?", arguments: [now.microseconds, one.id, Outbox.mailChannel])
                            try Outbox.stamp(.delivery, db, where: "message = ? AND channel = ?", [one.id, Outbox.mailChannel])
                        }
                        continue
                    }
                    for one in part {
                        try db.execute(sql: "DELETE FROM delivery WHERE message = ?", arguments: [one.id])
                        try db.execute(sql: "DELETE FROM mail WHERE message = ?", arguments: [one.id])
                        // Its id stays: it is told once.
                        try db.execute(sql: "UPDATE message SET body = x'', removed_at = ? WHERE id = ?", arguments: [now.microseconds, one.id])
                        try Outbox.stamp(.message, db, where: "id = ?", [one.id])
                    }
                    _ = try Outbox.insert(mail, now, db)
                    joined += part.count
                }
            }
            return joined
        }
    }

    private static func parts(_ all: [Joining]) -> [[Joining]] {
        var parts: [[Joining]] = []
        var octets = 0
        for one in all {
            octets += one.words.utf8.count
            if let last = parts.last, last.count < joinedMax, octets <= joinedOctetsMax { parts[parts.count - 1].append(one) } else {
                parts.append([one])
                octets = one.words.utf8.count
            }
        }
        return parts
    }

    /// What stands as the body of a mail's message that is joined by nothing.
    static let aloneBody = Data("mail".utf8)
}
