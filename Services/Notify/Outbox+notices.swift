import Chassis
import Crypto
import Foundation
import GRDB
import Gate
import Ledger

/// Notices to people: what two operators have decided is handed over in parts, and goes out whole or not at all.
///
/// The bytes of a decision are *coming* until all are on the disk; each part is compared with what was signed when it comes. With the last it is *taken*, in one statement. What is not
/// taken lies in no delivery, and nobody sends it; what is gets its deliveries in small steps, and a restart goes on with them.
/// Of one that is taken each person is in one of these states, derived from what is stored and stored nowhere itself:
///
/// | state | means | next |
/// | --- | --- | --- |
/// | *waiting* | nobody has tried yet | *retrying*, *delivered*, *unreachable* |
/// | *retrying* | tried, and due again at its time | *delivered*, *unreachable* |
/// | *delivered* | a mail server has said 250, or it lies in the Maildir; or had, when the same bytes were decided before | *unreachable*, when it comes back |
/// | *unreachable* | no address that counts, refused for good, not taken in 75 hours, or come back | – |
extension Outbox {
    /// As control's ledger has it.
    struct Decision: Hashable, Sendable {
        /// Its entry.
        var number: UInt64
        var incident: UInt64
        var count: UInt64
        var root: TreeHash
    }

    /// One person's, as it was handed over.
    struct Notice: Hashable, Sendable {
        enum Way: Hashable, Sendable { case mail(Mail), unreachable(why: String) }

        var subject: String
        var language: String
        /// What was signed for.
        var bytes: Data
        var way: Way

        /// On the disk.
        var octets: Int64 { if case .mail(let mail) = way { Int64(bytes.count + mail.bytes.count) } else { Int64(bytes.count) } }
    }

    enum Handover: Hashable, Sendable {
        /// So many are on the disk: the next begins there.
        case held(UInt64)
        /// - Parameter new: Now, and not before.
        case taken(UInt64, new: Bool)
        /// Nothing of this part is kept. What was held is.
        case differs(why: String)
        /// More than one decision may have: what was held is dropped.
        case tooLarge
        /// More than may lie here unsent, or what is being dropped lies there yet.
        case full
    }

    /// SQL: how somebody stands.
    static let standing = """
        CASE WHEN notice.unreachable IS NOT NULL OR bounce.message IS NOT NULL OR delivery.state = 'given-up' THEN 'unreachable'
            WHEN delivery.state = 'delivered' THEN 'delivered' WHEN delivery.last_error IS NOT NULL THEN 'retrying' ELSE 'waiting' END
        """
    /// SQL: why somebody is not reached; a receipt that came all the same takes nobody off the list.
    private static let why = """
        ifnull(notice.unreachable, ifnull('it came back: ' || bounce.why, delivery.last_error))
            || ifnull('; yet a receipt came, ' || strftime('%Y-%m-%dT%H:%M:%SZ', receipt.at / 1000000, 'unixepoch'), '')
        """
    /// With what was sent: as this decision's mail, or as that of one before it.
    static let joined = "notice LEFT JOIN delivery ON delivery.message = \(mailOfNotice) LEFT JOIN bounce ON bounce.message = \(mailOfNotice) LEFT JOIN receipt ON receipt.message = \(mailOfNotice)"
    static let mailOfNotice = "ifnull(notice.message, notice.same_as)"

    struct Unreached: Hashable, Sendable {
        var subject: String
        var why: String
    }

    /// How the notices of one decision stand.
    struct Round: Hashable, Sendable {
        var decision: Decision
        var held: UInt64 = 0
        var takenAt: WallTime?
        var waiting: UInt64 = 0
        var retrying: UInt64 = 0
        /// When the next of those is tried.
        var next: WallTime?
        var delivered: UInt64 = 0
        /// Of the delivered.
        var opened: UInt64 = 0
        var unreachable: UInt64 = 0
        /// By subject.
        var unreached: [Unreached] = []
        /// There are others.
        var hasMore = false
        var escalatedTo: [String] = []
        var escalatedAt: WallTime?
        /// Nobody of it is waited for, and nobody was counted now.
        var isTallied = false
    }

    /// The decisions about an incident, or all, of which anything is here: the oldest first.
    ///
    /// - Parameters:
    ///   - after: Of those who were not reached, the ones that come after it.
    ///   - limit: Of those, in each.
    func rounds(of incident: UInt64?, after: String = "", limit: Int) throws(OutboxError) -> [Round] {
        try reading { db in
            try Row.fetchAll(
                db, sql: "SELECT *, \(Table.decision.isWhole) AS whole FROM decision WHERE dropping = 0 AND (:incident IS NULL OR incident = :incident) ORDER BY number, id",
                arguments: ["incident": incident.map { Int64(clamping: $0) }]
            ).map { try round($0, after, limit, db) }
        }
    }

    private func round(_ row: Row, _ after: String, _ limit: Int, _ db: Database) throws -> Round {
        guard row["whole"], let root = TreeHash(bytes: row["root"] as Data) else { throw OutboxError.damaged(path: path, why: "the decision of entry \(row["number"] as Int64) is not what was written") }
        let id: Int64 = row["id"]
        var round = Round(decision: Decision(number: UInt64(row["number"] as Int64), incident: UInt64(row["incident"] as Int64), count: UInt64(row["people"] as Int64), root: root))
        round.held = UInt64(row["held"] as Int64)
        round.escalatedTo = (row["escalated_to"] as String?)?.split(separator: " ").map(String.init) ?? []
        round.escalatedAt = (row["escalated_at"] as Int64?).map(WallTime.init(microseconds:))
        guard let taken = row["taken_at"] as Int64? else { return round }
        round.takenAt = WallTime(microseconds: taken)
        if let tally = try Outbox.tally(of: id, path, db) {
            (round.delivered, round.opened, round.unreachable, round.isTallied) = (tally.delivered, tally.opened, tally.unreachable, true)
        } else { try count(&round, id, db) }
        guard limit > 0, round.unreachable > 0 else { return round }
        let found = try Row.fetchAll(
            db, sql: "SELECT subject, \(Outbox.why) AS why FROM \(Outbox.joined) WHERE notice.decision = ? AND subject > ? AND \(Outbox.standing) = 'unreachable' ORDER BY subject LIMIT ?",
            arguments: [id, after, limit + 1])
        round.unreached = found.prefix(limit).map { Unreached(subject: $0["subject"], why: $0["why"] ?? "") }
        round.hasMore = found.count > limit
        return round
    }

    private func count(_ round: inout Round, _ id: Int64, _ db: Database) throws {
        for row in try Row.fetchAll(db, sql: "SELECT \(Outbox.standing) AS standing, count(*) AS people, count(receipt.message) AS opened, min(delivery.next_at) AS next FROM \(Outbox.joined) WHERE notice.decision = ? GROUP BY standing", arguments: [id]) {
            let people = UInt64(row["people"] as Int64)
            switch row["standing"] as String {
            case "unreachable": round.unreachable = people
            case "delivered": (round.delivered, round.opened) = (people, UInt64(row["opened"] as Int64))
            case "retrying": (round.retrying, round.next) = (people, (row["next"] as Int64?).map(WallTime.init(microseconds:)))
            default: round.waiting = people
            }
        }
    }

    /// One person's, of one decision.
    struct Sent: Hashable, Sendable {
        var decision: UInt64
        /// Empty: they were removed.
        var bytes: Data
        var removedAt: WallTime?
        /// With the domain as long as the mail's bytes are here. Nil: there is no mail.
        var messageID: String?
        var state: String
        /// Unreachable.
        var why: String
        var next: WallTime?
        /// When somebody first said that it was opened.
        var opened: WallTime?
        var attempts: [Attempt]
    }

    /// What somebody was sent of an incident, as it was signed: the oldest decision first. What is only coming was not.
    func sent(to subject: String, of incident: UInt64) throws(OutboxError) -> [Sent] {
        try reading { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT decision.number, page.bytes, \(Outbox.mailOfNotice) AS message, notice.removed_at, \(Outbox.standing) AS standing, \(Outbox.why) AS why, delivery.next_at, receipt.at AS opened_at,
                        substr(mail.bytes, 1, 4096) AS head, \(Table.notice.isWhole) AND (page.subject IS NULL OR \(Table.page.isWhole)) AND (page.subject IS NULL) = (notice.removed_at IS NOT NULL) AS whole
                    FROM \(Outbox.joined) JOIN decision ON decision.id = notice.decision LEFT JOIN mail ON mail.message = \(Outbox.mailOfNotice)
                        LEFT JOIN page ON page.decision = notice.decision AND page.subject = notice.subject
                    WHERE notice.subject = ? AND decision.incident = ? AND decision.taken_at IS NOT NULL ORDER BY decision.number, decision.id
                    """, arguments: [subject, Int64(clamping: incident)]
            ).map { row in
                guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the notice of \(subject) is not what was written") }
                let (state, message): (String, String?) = (row["standing"], row["message"])
                return Sent(
                    decision: UInt64(row["number"] as Int64), bytes: row["bytes"] as Data? ?? Data(), removedAt: (row["removed_at"] as Int64?).map(WallTime.init(microseconds:)),
                    messageID: (row["head"] as Data?).flatMap(Outbox.messageID) ?? message, state: state,
                    why: state == "unreachable" ? row["why"] ?? "" : "", next: state == "retrying" ? (row["next_at"] as Int64?).map(WallTime.init(microseconds:)) : nil,
                    opened: (row["opened_at"] as Int64?).map(WallTime.init(microseconds:)), attempts: try message.map { try attempts(of: $0, on: Outbox.mailChannel, db) } ?? [])
            }
        }
    }

    /// `<id@domain>`, as its header has it.
    private static func messageID(in head: Data) -> String? {
        let key = "Message-ID: "
        return String(decoding: head, as: UTF8.self).split(separator: "\r\n").first { $0.hasPrefix(key) }.map { String($0.dropFirst(key.count)) }
    }
}

/// What comes back.
extension Outbox {
    enum Returned: Hashable, Sendable {
        /// Now, and not before.
        case noted
        case known
        /// It is about no mail of ours, or not about who got that.
        case foreign
    }

    /// Notes that a mail has come back: whom it was for is unreachable by it, whatever the server said when it took it.
    ///
    /// - Parameters:
    ///   - id: Of the mail. Nobody is marked by an address alone: that anybody can guess, and say that it is not reached.
    ///   - recipient: Whom the report says that it was for; nil: it does not.
    func returned(_ id: String, recipient: String?, status: String, why: String, at now: WallTime) throws(OutboxError) -> Returned {
        try writing { db in
            // Of one that has not left yet nothing can come back.
            guard let found = try Row.fetchOne(db, sql: "SELECT recipient FROM delivery WHERE message = ? AND channel = ? AND (state = 'delivered' OR copies > 0 OR in_hand = 1)", arguments: [id, Outbox.mailChannel]),
                Outbox.isRecipient(recipient, found)
            else { return .foreign }
            guard try Row.fetchOne(db, sql: "SELECT 1 FROM bounce WHERE message = ?", arguments: [id]) == nil else { return .known }
            try Outbox.insert(.bounce, [("message", id), ("at", now.microseconds), ("status", status), ("why", "\(status) \(why)".trimmingCharacters(in: .whitespaces))], db)
            return .noted
        }
    }
}

extension Outbox {
    /// Whether it is a mail of ours to them; nil: to anybody.
    func isMail(_ id: String, for recipient: String?) throws(OutboxError) -> Bool {
        try reading { db in
            try Row.fetchOne(db, sql: "SELECT recipient FROM delivery WHERE message = ? AND channel = ?", arguments: [id, Outbox.mailChannel]).map { Outbox.isRecipient(recipient, $0) } ?? false
        }
    }
}
