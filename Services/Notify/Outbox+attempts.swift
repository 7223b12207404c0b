import Foundation
import GRDB
import Gate

/// Attempts: when each was made, and what was answered.
///
/// What is about a server that is not there is no attempt at anybody, and has no row: the delivery shows the last of it.
extension Outbox {
    /// What was answered to an attempt, and when.
    struct Answered: Hashable, Sendable {
        var at: WallTime
        /// SMTP's or HTTP's; nil: there was no answer.
        var code: Int?
        /// In a few words: the server's, or what went wrong.
        var text: String

        /// Octets. A receiver does not fill the disk.
        static let textMax = 400

        init(at: WallTime, code: Int?, text: String) {
            self.at = at
            self.code = code
            self.text = text.utf8.count <= Answered.textMax ? text : String(decoding: text.utf8.prefix(Answered.textMax), as: UTF8.self)
        }

        /// A server's own line begins with its code; our words do not.
        init(at: WallTime, smtp text: String) {
            let digits = text.utf8.prefix(3)
            let isReply = digits.count == 3 && digits.allSatisfy { 0x30...0x39 ~= $0 }
            self.init(at: at, code: isReply ? digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } : nil, text: text)
        }

        init(at: WallTime, http answer: RetrySchedule.Answer, text: String) {
            if case .status(let status, _) = answer { self.init(at: at, code: status, text: text) } else { self.init(at: at, code: nil, text: text) }
        }
    }

    struct Attempt: Hashable, Sendable {
        /// From 1.
        var number: Int
        var verdict: String
        var answered: Answered
    }

    /// After its delivery was counted one up, in the same transaction.
    static func insert(_ answered: Answered, _ verdict: String, _ id: String, _ channel: String, _ db: Database) throws {
        let number = try Int.fetchOne(db, sql: "SELECT attempts FROM delivery WHERE message = ? AND channel = ?", arguments: [id, channel])
        try insert(
            .attempt,
            [
                ("message", id), ("channel", channel), ("number", number), ("at", answered.at.microseconds), ("verdict", verdict), ("code", answered.code), ("answer", answered.text),
            ], db)
    }

    /// Of one delivery, in order. An older Sluice kept none.
    func attempts(of id: String, on channel: String) throws(OutboxError) -> [Attempt] {
        try reading { db in try attempts(of: id, on: channel, db) }
    }

    func attempts(of id: String, on channel: String, _ db: Database) throws -> [Attempt] {
        try Row.fetchAll(
            db, sql: "SELECT number, at, verdict, code, answer, \(Table.attempt.isWhole) AS whole FROM attempt WHERE message = ? AND channel = ? ORDER BY number", arguments: [id, channel]
        ).map { row in
            guard row["whole"] else { throw OutboxError.damaged(path: path, why: "attempt \(row["number"] as Int) at \(id) is not what was written") }
            return Attempt(number: row["number"], verdict: row["verdict"], answered: Answered(at: WallTime(microseconds: row["at"]), code: row["code"], text: row["answer"]))
        }
    }
}
