import Crypto
import Foundation
import GRDB
import Gate
import Ledger

/// Notices to people: what two operators have decided is handed over in parts, and goes out whole or not at all.
///
/// The bytes of a decision are *coming* until all are on the disk and their root is the one that was signed; then it is *taken*, in one transaction with a delivery for each.
/// What is not taken lies in no delivery, and nobody sends it. Of one that is taken each person is in one of these states, derived from what is stored and stored nowhere itself:
///
/// | state | means | next |
/// | --- | --- | --- |
/// | *waiting* | nobody has tried yet | *retrying*, *delivered*, *unreachable* |
/// | *retrying* | tried, and due again at its time | *delivered*, *unreachable* |
/// | *delivered* | a mail server has said 250, or it lies in the Maildir | *unreachable*, when it comes back |
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
        /// All that was held of the decision is dropped.
        case differs(why: String)
        /// More than may lie here unsent.
        case full
    }

    /// Octets of notices that are coming, of all decisions together. Each is kept as it was signed, and as its mail.
    static let comingMax: Int64 = 16 << 30
    /// What is not whole by then, counted from its last part, is dropped.
    static let comingFor = Span.seconds(7 * 86_400)

    /// How many are on the disk, without a part.
    func held(of decision: Decision) throws(OutboxError) -> Handover {
        try reading { db in
            guard let row = try Outbox.row(of: decision, db) else { return .held(0) }
            let held = UInt64(row["held"] as Int64)
            return row["taken_at"] == nil ? .held(held) : .taken(held, new: false)
        }
    }

    /// Takes a part, in the order of subjects. Durable when it returns; with the last one all of them are queued, or none.
    ///
    /// - Parameters:
    ///   - first: Where it begins; anywhere else than where the last one ended it is left.
    ///   - now: our own clock, from which the first attempts count.
    func hold(_ notices: [Notice], from first: UInt64, of decision: Decision, at now: WallTime) throws(OutboxError) -> Handover {
        try writing { db in
            let known = try Outbox.row(of: decision, db)
            let held = UInt64(known?["held"] as Int64? ?? 0)
            if known?["taken_at"] as Int64? != nil { return .taken(held, new: false) }
            guard first == held, !notices.isEmpty else { return .held(held) }
            let octets = notices.reduce(Int64(0)) { $0 + $1.octets }
            let coming = try Int64.fetchOne(db, sql: "SELECT ifnull(sum(octets), 0) FROM decision WHERE taken_at IS NULL") ?? 0
            guard coming + octets <= Outbox.comingMax else { return .full }
            let id: Int64
            if let known { id = known["id"] } else {
                try Outbox.insert(
                    .decision,
                    [
                        ("number", Int64(clamping: decision.number)), ("root", Data(decision.root.bytes)), ("incident", Int64(clamping: decision.incident)), ("people", Int64(clamping: decision.count)),
                        ("held", 0), ("octets", 0), ("last_at", now.microseconds), ("escalations", 0),
                    ], db)
                id = db.lastInsertedRowID
            }
            func differs(_ why: String) throws -> Handover {
                try Outbox.drop(id, db)
                return .differs(why: why)
            }
            guard held + UInt64(notices.count) <= decision.count else { return try differs("more came than the \(decision.count) that were signed for") }
            var last = try String.fetchOne(db, sql: "SELECT max(subject) FROM notice WHERE decision = ?", arguments: [id]) ?? ""
            for (place, notice) in notices.enumerated() {
                guard last.utf8.lexicographicallyPrecedes(notice.subject.utf8) else { return try differs("number \(held + UInt64(place)) does not come after the one before it") }
                last = notice.subject
                try Outbox.insert(notice, id, db)
            }
            try db.execute(sql: "UPDATE decision SET held = held + ?, octets = octets + ?, last_at = ? WHERE id = ?", arguments: [notices.count, octets, now.microseconds, id])
            let all = held + UInt64(notices.count)
            if all == decision.count {
                guard try root(of: id, db) == decision.root else { return try differs("the notices are not those that were signed for") }
                try Outbox.queue(id, decision, now, db)
            }
            try Outbox.stamp(.decision, db, where: "id = ?", [id])
            return all == decision.count ? .taken(all, new: true) : .held(all)
        }
    }

    private static func row(of decision: Decision, _ db: Database) throws -> Row? {
        try Row.fetchOne(db, sql: "SELECT id, held, taken_at FROM decision WHERE number = ? AND root = ?", arguments: [Int64(clamping: decision.number), Data(decision.root.bytes)])
    }

    private static func insert(_ notice: Notice, _ decision: Int64, _ db: Database) throws {
        var values: [(column: String, value: (any DatabaseValueConvertible)?)] = [
            ("decision", decision), ("subject", notice.subject), ("leaf", Data(TreeHash(leaf: notice.bytes).bytes)), ("language", notice.language), ("bytes", notice.bytes),
        ]
        switch notice.way {
        case .mail(let mail):
            _ = try insertText(of: mail, db)
            values += [("message", mail.id), ("recipient", mail.recipient)]
        case .unreachable(let why): values.append(("unreachable", why))
        }
        try insert(.notice, values, db)
    }

    /// Of what lies on the disk, read again.
    private func root(of decision: Int64, _ db: Database) throws -> TreeHash {
        var frontier = MerkleFrontier()
        let rows = try Row.fetchCursor(db, sql: "SELECT subject, bytes, \(Table.notice.isWhole) AS whole FROM notice WHERE decision = ? ORDER BY subject", arguments: [decision])
        while let row = try rows.next() {
            guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the notice of \(row["subject"] as String) is not what was written") }
            _ = frontier.append(TreeHash(leaf: row["bytes"] as Data))
        }
        return frontier.root
    }

    private static func queue(_ id: Int64, _ decision: Decision, _ now: WallTime, _ db: Database) throws {
        try insertMailChannel(db)
        let written: [String: String] = ["message": "message", "channel": ":channel", "state": "'pending'", "attempts": "0", "next_at": ":now", "recipient": "recipient", "incident": ":incident", "copies": "0", "in_hand": "0"]
        let values = Table.delivery.columns.map { written[$0] ?? "NULL" }.joined(separator: ", ")
        try db.execute(
            sql: """
                INSERT INTO delivery (\(Table.delivery.columns.joined(separator: ", ")), digest) SELECT \(values), digest('delivery', \(values)) FROM notice
                WHERE decision = :decision AND message IS NOT NULL ORDER BY subject
                """, arguments: ["channel": mailChannel, "now": now.microseconds, "incident": Int64(clamping: decision.incident), "decision": id])
        try db.execute(sql: "UPDATE decision SET taken_at = ? WHERE id = ?", arguments: [now.microseconds, id])
    }

    /// Of a decision that is not taken, whatever is here. Nothing of it was sent.
    private static func drop(_ id: Int64, _ db: Database) throws {
        try db.execute(
            sql: """
                PRAGMA defer_foreign_keys = ON;
                DELETE FROM mail WHERE message IN (SELECT message FROM notice WHERE decision = \(id));
                DELETE FROM message WHERE id IN (SELECT message FROM notice WHERE decision = \(id));
                DELETE FROM notice WHERE decision = \(id);
                DELETE FROM decision WHERE id = \(id);
                """)
    }

    /// Drops what is held of a decision that is not taken.
    func drop(_ decision: Decision) throws(OutboxError) {
        try writing { db in
            if let row = try Outbox.row(of: decision, db), row["taken_at"] as Int64? == nil { try Outbox.drop(row["id"], db) }
        }
    }

    /// Drops what was not whole in time.
    ///
    /// - Returns: the entries of those decisions, and how many notices were here.
    func dropStale(at now: WallTime) throws(OutboxError) -> [(number: UInt64, held: UInt64)] {
        let stale = "FROM decision WHERE taken_at IS NULL AND last_at < ?"
        let before = (now - Outbox.comingFor).microseconds
        guard try reading({ try Row.fetchOne($0, sql: "SELECT 1 \(stale)", arguments: [before]) }) != nil else { return [] }
        return try writing { db in
            try Row.fetchAll(db, sql: "SELECT id, number, held \(stale)", arguments: [before]).map { row in
                try Outbox.drop(row["id"], db)
                return (UInt64(row["number"] as Int64), UInt64(row["held"] as Int64))
            }
        }
    }

    /// SQL: how somebody stands.
    private static let standing = """
        CASE WHEN notice.unreachable IS NOT NULL OR bounce.message IS NOT NULL OR delivery.state = 'given-up' THEN 'unreachable'
            WHEN delivery.state = 'delivered' THEN 'delivered' WHEN delivery.last_error IS NOT NULL THEN 'retrying' ELSE 'waiting' END
        """
    /// SQL: why somebody is not reached; a receipt that came all the same takes nobody off the list.
    private static let why = """
        ifnull(notice.unreachable, ifnull('it came back: ' || bounce.why, delivery.last_error))
            || ifnull('; yet a receipt came, ' || strftime('%Y-%m-%dT%H:%M:%SZ', receipt.at / 1000000, 'unixepoch'), '')
        """
    private static let joined = """
        notice LEFT JOIN delivery ON delivery.message = notice.message LEFT JOIN bounce ON bounce.message = notice.message LEFT JOIN receipt ON receipt.message = notice.message
        """

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
    }

    /// The decisions about an incident, or all, of which anything is here: the oldest first.
    ///
    /// - Parameters:
    ///   - after: Of those who were not reached, the ones that come after it.
    ///   - limit: Of those, in each.
    func rounds(of incident: UInt64?, after: String = "", limit: Int) throws(OutboxError) -> [Round] {
        try reading { db in
            try Row.fetchAll(
                db, sql: "SELECT *, \(Table.decision.isWhole) AS whole FROM decision WHERE :incident IS NULL OR incident = :incident ORDER BY number, id",
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
        for row in try Row.fetchAll(db, sql: "SELECT \(Outbox.standing) AS standing, count(*) AS people, count(receipt.message) AS opened, min(delivery.next_at) AS next FROM \(Outbox.joined) WHERE notice.decision = ? GROUP BY standing", arguments: [id]) {
            let people = UInt64(row["people"] as Int64)
            switch row["standing"] as String {
            case "unreachable": round.unreachable = people
            case "delivered": (round.delivered, round.opened) = (people, UInt64(row["opened"] as Int64))
            case "retrying": (round.retrying, round.next) = (people, (row["next"] as Int64?).map(WallTime.init(microseconds:)))
            default: round.waiting = people
            }
        }
        guard limit > 0, round.unreachable > 0 else { return round }
        let found = try Row.fetchAll(
            db, sql: "SELECT subject, \(Outbox.why) AS why FROM \(Outbox.joined) WHERE notice.decision = ? AND subject > ? AND \(Outbox.standing) = 'unreachable' ORDER BY subject LIMIT ?",
            arguments: [id, after, limit + 1])
        round.unreached = found.prefix(limit).map { Unreached(subject: $0["subject"], why: $0["why"] ?? "") }
        round.hasMore = found.count > limit
        return round
    }

    /// One person's, of one decision.
    struct Sent: Hashable, Sendable {
        var decision: UInt64
        var bytes: Data
        /// Nil: there is no mail.
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
                    SELECT decision.number, notice.bytes, notice.message, \(Outbox.standing) AS standing, \(Outbox.why) AS why, delivery.next_at, receipt.at AS opened_at, substr(mail.bytes, 1, 4096) AS head,
                        \(Table.notice.isWhole) AS whole
                    FROM \(Outbox.joined) JOIN decision ON decision.id = notice.decision LEFT JOIN mail ON mail.message = notice.message
                    WHERE notice.subject = ? AND decision.incident = ? AND decision.taken_at IS NOT NULL ORDER BY decision.number, decision.id
                    """, arguments: [subject, Int64(clamping: incident)]
            ).map { row in
                guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the notice of \(subject) is not what was written") }
                let (state, message): (String, String?) = (row["standing"], row["message"])
                return Sent(
                    decision: UInt64(row["number"] as Int64), bytes: row["bytes"], messageID: (row["head"] as Data?).flatMap(Outbox.messageID), state: state,
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

/// Those who were not reached in time, for somebody who can find them.
extension Outbox {
    struct Escalation: Hashable, Sendable {
        var decision: Decision
        /// Which of this decision, from 1.
        var number: Int
        /// Of them those who stand in no earlier one, by subject: the first.
        var new: [String]
        var newCount: Int
        /// All who are not reached now.
        var count: Int
    }

    /// Subjects that a mail names.
    static let escalatedNamesMax = 1_000
    /// Mails about one decision. Who watches one server refuse everybody one by one has understood after these.
    static let escalationsMax = 10
    /// Between two of them.
    static let escalationsApart = Span.seconds(3_600)

    /// Puts in a mail for each decision of which somebody new is not reached after so long, and notes who stands in it, in one transaction.
    ///
    /// - Parameter mails: Of an escalation, to whom it goes. None: nothing is noted.
    /// - Returns: mails that are new.
    func escalate(after: Span, at now: WallTime, to addresses: [String], mails: (Escalation) -> [Mail]) throws(OutboxError) -> Int {
        let due = """
            FROM decision WHERE taken_at <= :taken AND escalations < :most AND (escalated_at IS NULL OR escalated_at <= :apart OR escalated_at > :now)
                AND EXISTS (SELECT 1 FROM \(Outbox.joined) WHERE notice.decision = decision.id AND \(Outbox.isNew))
            """
        let arguments: StatementArguments = [
            "taken": (now - after).microseconds, "most": Outbox.escalationsMax, "apart": (now - Outbox.escalationsApart).microseconds, "now": now.microseconds,
        ]
        guard !addresses.isEmpty, try reading({ try Row.fetchOne($0, sql: "SELECT 1 \(due) LIMIT 1", arguments: arguments) }) != nil else { return 0 }
        return try writing { db in
            var new = 0
            for row in try Row.fetchAll(db, sql: "SELECT * \(due)", arguments: arguments) {
                let id: Int64 = row["id"]
                let round = Outbox.Decision(
                    number: UInt64(row["number"] as Int64), incident: UInt64(row["incident"] as Int64), count: UInt64(row["people"] as Int64), root: TreeHash(bytes: row["root"] as Data) ?? MerkleTree.emptyRoot)
                func count(_ condition: String) throws -> Int {
                    try Int.fetchOne(db, sql: "SELECT count(*) FROM \(Outbox.joined) WHERE notice.decision = ? AND \(condition)", arguments: [id]) ?? 0
                }
                let names = try String.fetchAll(
                    db, sql: "SELECT subject FROM \(Outbox.joined) WHERE notice.decision = ? AND \(Outbox.isNew) ORDER BY subject LIMIT ?", arguments: [id, Outbox.escalatedNamesMax])
                let escalation = Escalation(
                    decision: round, number: (row["escalations"] as Int) + 1, new: names, newCount: try count(Outbox.isNew), count: try count("\(Outbox.standing) <> 'delivered'"))
                for mail in mails(escalation) where try Outbox.insert(mail, now, db) { new += 1 }
                let told = "decision = ? AND subject IN (SELECT subject FROM \(Outbox.joined) WHERE notice.decision = ? AND \(Outbox.isNew))"
                try db.execute(sql: "UPDATE notice SET escalated_at = ? WHERE \(told)", arguments: [now.microseconds, id, id])
                try Outbox.stamp(.notice, db, where: "decision = ? AND escalated_at = ?", [id, now.microseconds])
                try db.execute(
                    sql: "UPDATE decision SET escalations = escalations + 1, escalated_at = ?, escalated_to = ? WHERE id = ?", arguments: [now.microseconds, addresses.joined(separator: " "), id])
                try Outbox.stamp(.decision, db, where: "id = ?", [id])
            }
            return new
        }
    }

    /// SQL: not reached, and in no mail yet.
    private static let isNew = "notice.escalated_at IS NULL AND \(standing) <> 'delivered'"
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
            guard let ours = try String.fetchOne(db, sql: "SELECT recipient FROM delivery WHERE message = ? AND channel = ? AND (state = 'delivered' OR copies > 0 OR in_hand = 1)", arguments: [id, Outbox.mailChannel]),
                recipient.map({ $0.lowercased() == ours.lowercased() }) ?? true
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
            guard let ours = try String.fetchOne(db, sql: "SELECT recipient FROM delivery WHERE message = ? AND channel = ?", arguments: [id, Outbox.mailChannel]) else { return false }
            return recipient.map { $0.lowercased() == ours.lowercased() } ?? true
        }
    }
}
