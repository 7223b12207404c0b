import Foundation
import GRDB
import Gate
import Ledger

/// That notices were opened, as far as whoever opened them has said so.
///
/// The first time is kept; a second receipt changes nothing. Opened is delivered: where the server's answer was lost, the receipt is it. Who is *unreachable* stays so, because
/// a link says that it was used and not by whom, and what came back goes by other hands: with why stands that a receipt has come, and an operator judges.
extension Outbox {
    /// What a receipt was.
    enum ReceiptWay: String, Sendable {
        /// The link in the mail.
        case link
        /// The mail program's word.
        case disposition
        /// Its file in the Maildir of a home is marked as seen.
        case seen
    }

    struct Receipt: Hashable, Sendable {
        /// Of the mail.
        var id: String
        /// Whom it says that the mail was for; nil: it does not.
        var recipient: String?
        var way: ReceiptWay
    }

    /// Notes that mails were opened, in one transaction.
    ///
    /// - Parameter receipts: Of what has left: of a mail that no server can have, the receipt is none. What lies in the home's own Maildir has.
    /// - Returns: of each what came of it.
    func opened(_ receipts: [Receipt], at now: WallTime) throws(OutboxError) -> [Returned] {
        guard !receipts.isEmpty else { return [] }
        return try writing { db in try receipts.map { try Outbox.opened($0, now, db) } }
    }

    private static func opened(_ receipt: Receipt, _ now: WallTime, _ db: Database) throws -> Returned {
        let found = try Row.fetchOne(
            db,
            sql: """
                SELECT delivery.recipient, delivery.state FROM delivery JOIN notice ON notice.message = delivery.message
                WHERE delivery.message = ? AND channel = ? AND (state = 'delivered' OR copies > 0 OR in_hand = 1 OR ?)
                """, arguments: [receipt.id, mailChannel, receipt.way == .seen])
        guard let found, isRecipient(receipt.recipient, found) else { return .foreign }
        guard try Row.fetchOne(db, sql: "SELECT 1 FROM receipt WHERE message = ?", arguments: [receipt.id]) == nil else { return .known }
        try insert(.receipt, [("message", receipt.id), ("at", now.microseconds), ("way", receipt.way.rawValue)], db)
        if found["state"] == "pending" { try delivered(receipt.id, mailChannel, Answered(at: now, code: nil, text: "whoever has it says so: it was opened"), db) }
        return .noted
    }

    /// - Parameters:
    ///   - recipient: Whom somebody says that a mail was for; nil: nobody.
    ///   - delivery: Whose address was removed when it was kept for long enough: the mail's id, which whoever has no mail cannot make, is enough by itself then.
    static func isRecipient(_ recipient: String?, _ delivery: Row) -> Bool {
        guard let recipient, let ours = delivery["recipient"] as String? else { return true }
        return recipient.lowercased() == ours.lowercased()
    }

    /// Mails of notices whose id begins so, with what their code is made of.
    func noticeMails(beginning text: String) throws(OutboxError) -> [(id: String, subject: String, decision: Decision)] {
        try reading { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT notice.message, notice.subject, decision.number, decision.incident, decision.people, decision.root FROM notice JOIN decision ON decision.id = notice.decision
                    WHERE notice.message >= ? AND notice.message < ? LIMIT 4
                    """, arguments: [text, text + "g"]
            ).compactMap { row in
                guard let root = TreeHash(bytes: row["root"] as Data) else { return nil }
                return (
                    row["message"], row["subject"],
                    Decision(number: UInt64(row["number"] as Int64), incident: UInt64(row["incident"] as Int64), count: UInt64(row["people"] as Int64), root: root)
                )
            }
        }
    }
}
