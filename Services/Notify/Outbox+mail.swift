import Foundation
import GRDB
import Gate
import Webhooks

/// Mails: one row for each recipient and event.
extension Outbox {
    /// The channel of all mails. No hook can be called so.
    static let mailChannel = "@mail"

    /// A mail to one recipient, in the bytes that are sent: nothing is made anew for a second attempt.
    struct Mail: Hashable, Sendable {
        /// Names this event to this recipient, on every attempt and after every restart.
        var id: String
        var type: String
        /// `local@domain`, as ``MailAddress`` gives it.
        var recipient: String
        /// Mails of one incident reach a recipient in the order in which they were put. Nil: no order.
        var incident: UInt64?
        /// What goes after `DATA`.
        var bytes: Data
        var created: WallTime
        /// When it is joined with others; nil: it goes at once. It is not waited for longer than as long again: then it goes alone.
        var joins: WallTime?
        /// As it stands among others: its subject, and after a line's end its text.
        var words = ""
    }

    /// Who goes first. What operators are told of is not news any more behind a hundred thousand notices.
    enum Rank: Int, CaseIterable, Sendable { case operators, people }

    /// A mail whose time has come. Its bytes are read when it is sent, so that memory does not grow with what waits.
    struct DueMail: Hashable, Sendable {
        var id: String
        var recipient: String
        /// Made before this one.
        var attempts: Int
        var rank = Rank.operators
    }

    /// What became of an attempt to send a mail.
    struct MailOutcome: Hashable, Sendable {
        var id: String
        var verdict: RetrySchedule.Verdict
        var at: WallTime
        /// To a mail that was taken; what it says else stands in the verdict.
        var answer = ""
        /// All was handed over, and no answer came.
        var mayHaveArrived = false
        /// False: it never came to this recipient.
        var isAttempt = true
        /// Until when the server is left alone.
        var hold: WallTime?
    }

    /// Puts mails in, all of them or none: 10,000 at once are one transaction. Each is taken from the sequence when its turn comes.
    ///
    /// - Parameter now: our own clock, from which the first attempt counts.
    /// - Returns: those that are new. One whose id is known has been sent, or is being sent.
    @discardableResult
    func put(mails: some Sequence<Mail>, at now: WallTime) throws(OutboxError) -> Int {
        try writing { db in
            var new = 0
            for mail in mails {
                guard StandardWebhook.isID(mail.id) else { throw OutboxError.badID(mail.id) }
                if try Outbox.insert(mail, now, db) { new += 1 }
            }
            return new
        }
    }

    /// - Returns: false: it is there already.
    static func insert(_ mail: Mail, _ now: WallTime, _ db: Database) throws -> Bool {
        guard try insertText(of: mail, db) else { return false }
        try Outbox.insertMailChannel(db)
        try insert(
            .delivery,
            [
                ("message", mail.id), ("channel", mailChannel), ("state", "pending"), ("attempts", 0), ("next_at", (mail.joins.map { $0 + Storm.window } ?? now).microseconds), ("recipient", mail.recipient),
                ("incident", mail.incident.map { Int64(clamping: $0) }), ("copies", 0), ("in_hand", 0), ("rank", Rank.operators.rawValue),
            ], db)
        return true
    }

    /// What is sent, without that it is: that is its delivery.
    ///
    /// - Returns: false: it is there already.
    static func insertText(of mail: Mail, _ db: Database) throws -> Bool {
        try insert(.message, [("id", mail.id), ("type", mail.type), ("body", mail.joins == nil || mail.words.isEmpty ? aloneBody : Data(mail.words.utf8)), ("created", mail.created.microseconds)], db, onConflict: "ON CONFLICT (id) DO NOTHING")
        guard db.changesCount > 0 else { return false }
        try insert(.mail, [("message", mail.id), ("bytes", mail.bytes)], db)
        return true
    }

    static func insertMailChannel(_ db: Database) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO channel (name) VALUES (?)", arguments: [mailChannel])
        if db.changesCount > 0 { try stamp(.channel, db, where: "name = ?", [mailChannel]) }
    }

    /// What may be sent now: what operators are told first, of each rank that which has been due for longest; of one incident, for each recipient the first alone.
    ///
    /// - Parameter besides: in hand: due as well, until what becomes of them is recorded.
    func dueMails(at now: WallTime, limit: Int, besides: Set<String> = []) throws(OutboxError) -> [DueMail] {
        try reading { try dueMails($0, at: now, limit: limit, besides: besides) }
    }

    private func dueMails(_ db: Database, at now: WallTime, limit: Int, besides: Set<String>) throws -> [DueMail] {
        guard limit > 0, let hold = try holdOfMails(db, at: now), hold <= now else { return [] }
        // A range of the index each, in its order: what is not due is not looked at, and what is not returned costs no digest.
        var found: [DueMail] = []
        for rank in Rank.allCases {
            for isDue in ["next_at <= \(now.microseconds)", "next_at > \(Outbox.horizon(now))"] where found.count < limit {
                let rows = try Row.fetchAll(
                    db,
                    sql: """
                        SELECT message, recipient, attempts, \(Table.delivery.isWhole) AS whole FROM delivery
                        WHERE \(Outbox.isNext(besides)) AND rank = :rank AND \(isDue) ORDER BY next_at, rowid LIMIT :limit
                        """, arguments: Outbox.arguments(besides) + ["rank": rank.rawValue, "limit": limit - found.count])
                for row in rows {
                    guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the delivery of \(row["message"] as String) by mail is not what was written") }
                    found.append(DueMail(id: row["message"], recipient: row["recipient"], attempts: row["attempts"], rank: rank))
                }
            }
        }
        return found
    }

    /// Records what became of attempts and takes the next mails in hand, in one transaction: that they are under way is as durable as what came of those before, and costs no commit of its own.
    ///
    /// - Parameters:
    ///   - marks: What is taken in hand may have arrived if nothing more is heard of it: ``foundInHand()``. False: where a second copy takes the place of the first.
    ///   - admits: Asked for each in turn; after the first no nobody else.
    func exchange(
        _ outcomes: [MailOutcome], at now: WallTime, limit: Int, besides: Set<String>, marks: Bool, admits: (DueMail) -> Bool
    ) throws(OutboxError) -> [DueMail] {
        // What waits for its time writes nothing, and waits for nobody's commit.
        if outcomes.isEmpty, try dueMails(at: now, limit: min(limit, 1), besides: besides).isEmpty { return [] }
        return try writing { db in
            try Outbox.record(outcomes, db)
            let next = Array(try dueMails(db, at: now, limit: limit, besides: besides).prefix { admits($0) })
            guard marks else { return next }
            for mail in next {
                try db.cachedStatement(sql: "UPDATE delivery SET in_hand = 1 WHERE message = ? AND channel = ?").execute(arguments: [mail.id, Outbox.mailChannel])
                try Outbox.stamp(.delivery, db, where: "message = ? AND channel = ?", [mail.id, Outbox.mailChannel])
            }
            return next
        }
    }

    /// What an earlier run had in hand when it was killed may have arrived: each counts as a copy. Before anything is sent.
    @discardableResult
    func foundInHand() throws(OutboxError) -> Int {
        try writing { db in
            let found = try String.fetchAll(db, sql: "SELECT message FROM delivery WHERE in_hand = 1 AND state = 'pending'")
            for id in found {
                try db.execute(sql: "UPDATE delivery SET copies = copies + 1, in_hand = 0 WHERE message = ? AND channel = ?", arguments: [id, Outbox.mailChannel])
                try Outbox.stamp(.delivery, db, where: "message = ? AND channel = ?", [id, Outbox.mailChannel])
            }
            return found.count
        }
    }

    /// When a mail becomes due; in the past: one is. Nil: none is waiting.
    func nextDueMail(at now: WallTime, besides: Set<String> = []) throws(OutboxError) -> WallTime? {
        try reading { db in
            guard let hold = try holdOfMails(db, at: now) else { return nil }
            let sql = "SELECT next_at FROM delivery WHERE \(Outbox.isNext(besides)) AND rank = :rank ORDER BY next_at LIMIT 1"
            let first = try Rank.allCases.compactMap { try Int64.fetchOne(db, sql: sql, arguments: Outbox.arguments(besides) + ["rank": $0.rawValue]) }
            guard let next = first.min() else { return nil }
            return max(hold, next > Outbox.horizon(now) ? now : WallTime(microseconds: next))
        }
    }

    /// Until when the server is left alone; in the past: it is not. Nil: nothing is sent by mail at all.
    private func holdOfMails(_ db: Database, at now: WallTime) throws -> WallTime? {
        guard let channel = try Row.fetchOne(db, sql: "SELECT state, held_until, \(Table.channel.isWhole) AS whole FROM channel WHERE name = ?", arguments: [Outbox.mailChannel]) else { return nil }
        guard channel["whole"] else { throw OutboxError.damaged(path: path, why: "the channel of mails is not what was written") }
        guard channel["state"] == "active" else { return nil }
        let held: Int64? = channel["held_until"]
        guard let until = held, until <= Outbox.horizon(now) else { return .distantPast }
        return WallTime(microseconds: until)
    }

    /// SQL: a mail that is pending, with no earlier one of its incident pending for its recipient. An operator who is one of the people concerned is told as an operator first.
    private static func isNext(_ besides: Set<String>) -> String {
        """
        state = 'pending' AND channel = :channel AND recipient IS NOT NULL AND message NOT IN (\(besides.indices.enumerated().map { ":besides\($0.offset)" }.joined(separator: ", ")))
        AND (incident IS NULL OR NOT EXISTS (
            SELECT 1 FROM delivery AS earlier WHERE earlier.state = 'pending' AND earlier.incident IS NOT NULL
                AND earlier.recipient = delivery.recipient AND earlier.incident = delivery.incident AND earlier.rank <= delivery.rank AND earlier.rowid < delivery.rowid))
        """
    }

    private static func arguments(_ besides: Set<String>) -> StatementArguments {
        var arguments: StatementArguments = ["channel": mailChannel]
        for (place, id) in besides.enumerated() { arguments += ["besides\(place)": id] }
        return arguments
    }

    /// What is sent of a mail.
    func bytes(of id: String) throws(OutboxError) -> Data {
        try reading { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT bytes, \(Table.mail.isWhole) AS whole FROM mail WHERE message = ?", arguments: [id]), row["whole"] else {
                throw OutboxError.damaged(path: path, why: "the text of \(id) is not what was written")
            }
            return row["bytes"]
        }
    }

    /// Records what became of attempts, in one transaction.
    func record(_ outcomes: [MailOutcome]) throws(OutboxError) {
        guard !outcomes.isEmpty else { return }
        try writing { try Outbox.record(outcomes, $0) }
    }

    private static func record(_ outcomes: [MailOutcome], _ db: Database) throws {
        for outcome in outcomes {
            switch outcome.verdict {
            case .delivered: try delivered(outcome.id, mailChannel, Answered(at: outcome.at, smtp: outcome.answer), db)
            case .retry(let at, let why):
                try failed(
                    outcome.id, mailChannel, Answered(at: outcome.at, smtp: why), retryAt: at, hold: outcome.hold, mayHaveArrived: outcome.mayHaveArrived, isAttempt: outcome.isAttempt, db)
            case .giveUp(let why), .disable(let why):
                try failed(outcome.id, mailChannel, Answered(at: outcome.at, smtp: why), retryAt: nil, hold: outcome.hold, mayHaveArrived: outcome.mayHaveArrived, db)
            }
        }
    }
}
