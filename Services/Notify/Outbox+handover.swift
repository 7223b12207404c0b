import Chassis
import Foundation
import GRDB
import Gate
import Ledger

/// The hand-over of what two operators have signed for, part by part.
///
/// The hash of each notice stands in its row, and the tree's edge over all that is held in the decision's: so a part is compared with the signed root when it comes, by a proof that the
/// tree begins so (RFC 6962, section 2.1.2), and the last one needs no look at those before it. Whoever brings something else changes nothing here.
extension Outbox {
    /// Octets of notices that are coming, of all decisions together. Each is kept as it was signed, and as its mail.
    static let comingMax: Int64 = 96 << 30
    /// Of one decision: a million people with a page and its mail, and as much is left for others. A disk that is full before says so.
    static let roundMax: Int64 = 48 << 30
    /// What is not whole by then, counted from its last part, is dropped.
    static let comingFor = Span.seconds(7 * 86_400)

    /// How many are on the disk, without a part.
    func held(of decision: Decision) throws(OutboxError) -> Handover {
        try reading { db in
            guard let row = try row(of: decision, db) else { return .held(0) }
            guard row["dropping"] == 0 else { return .full }
            let held = UInt64(row["held"] as Int64)
            return row["taken_at"] == nil ? .held(held) : .taken(held, new: false)
        }
    }

    /// Takes a part, in the order of subjects, if it is what was signed for. Durable when it returns; with the last one all of them are taken.
    ///
    /// - Parameters:
    ///   - first: Where it begins; anywhere else than where the last one ended it is left.
    ///   - proof: That the signed tree begins with what is held and this. Empty with the last part: then it is the signed tree.
    ///   - name: Of the operator who brings it.
    ///   - now: our own clock.
    func hold(_ notices: [Notice], from first: UInt64, of decision: Decision, proof: [TreeHash], by name: String, at now: WallTime) throws(OutboxError) -> Handover {
        try writing { db in
            let known = try row(of: decision, db)
            let held = UInt64(known?["held"] as Int64? ?? 0)
            if known?["taken_at"] as Int64? != nil { return .taken(held, new: false) }
            if let known, known["dropping"] != 0 { return .full }
            guard first == held, !notices.isEmpty else { return .held(held) }
            guard held <= decision.count, UInt64(notices.count) <= decision.count - held else { return .differs(why: "more came than the \(decision.count) that were signed for") }
            var last = try known.flatMap { try String.fetchOne(db, sql: "SELECT max(subject) FROM notice WHERE decision = ?", arguments: [$0["id"] as Int64]) } ?? ""
            var edge = try Outbox.edge(known)
            var leaves: [TreeHash] = []
            for (place, notice) in notices.enumerated() {
                guard last.utf8.lexicographicallyPrecedes(notice.subject.utf8) else { return .differs(why: "number \(held + UInt64(place)) does not come after the one before it") }
                last = notice.subject
                leaves.append(TreeHash(leaf: notice.bytes))
                _ = edge.append(leaves[place])
            }
            do throws(ProofRefused) { try MerkleProof.checkConsistency(older: edge.size, olderRoot: edge.root, size: decision.count, root: decision.root, proof: proof) } catch {
                return .differs(why: "the notices from number \(held) on are not those that were signed for, or come without their proof")
            }
            let octets = notices.reduce(Int64(0)) { $0 + $1.octets }
            guard (known?["octets"] as Int64? ?? 0) + octets <= Outbox.roundMax else {
                if let known { try Outbox.beginDropping(known["id"], db) }
                return .tooLarge
            }
            let coming = try Int64.fetchOne(db, sql: "SELECT ifnull(sum(octets), 0) FROM decision WHERE taken_at IS NULL") ?? 0
            guard coming + octets <= Outbox.comingMax else { return .full }
            let id = try known?["id"] as Int64? ?? Outbox.begin(decision, at: now, db)
            for (notice, leaf) in zip(notices, leaves) { try Outbox.insert(notice, leaf, id, db) }
            let all = edge.size
            let isWhole = all == decision.count
            if isWhole {
                FaultPoint.pass("before-notices-checked")
                try Outbox.insertMailChannel(db)
            }
            try db.execute(
                sql: "UPDATE decision SET held = ?, octets = octets + ?, last_at = ?, edge = ?, operator = ?, taken_at = ? WHERE id = ?",
                arguments: [Int64(all), octets, now.microseconds, isWhole ? nil : Data(edge.edge.flatMap(\.bytes)), name, isWhole ? now.microseconds : nil, id])
            try Outbox.stamp(.decision, db, where: "id = ?", [id])
            return isWhole ? .taken(all, new: true) : .held(all)
        }
    }

    private func row(of decision: Decision, _ db: Database) throws -> Row? {
        let row = try Row.fetchOne(
            db, sql: "SELECT *, \(Table.decision.isWhole) AS whole FROM decision WHERE number = ? AND root = ?", arguments: [Int64(clamping: decision.number), Data(decision.root.bytes)])
        guard let row else { return nil }
        guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the decision of entry \(decision.number) is not what was written") }
        return row
    }

    /// Of the tree over what is held.
    private static func edge(_ row: Row?) throws -> MerkleFrontier {
        guard let row else { return MerkleFrontier() }
        var left = row["edge"] as Data? ?? Data()
        return MerkleFrontier(size: UInt64(row["held"] as Int64)) { _ in
            defer { left = left.dropFirst(TreeHash.bytesCount) }
            return TreeHash(bytes: left.prefix(TreeHash.bytesCount)) ?? MerkleTree.emptyRoot
        }
    }

    private static func begin(_ decision: Decision, at now: WallTime, _ db: Database) throws -> Int64 {
        try insert(
            .decision,
            [
                ("number", Int64(clamping: decision.number)), ("root", Data(decision.root.bytes)), ("incident", Int64(clamping: decision.incident)), ("people", Int64(clamping: decision.count)),
                ("held", 0), ("octets", 0), ("last_at", now.microseconds), ("escalations", 0), ("part", 0), ("dropping", 0),
            ], db)
        return db.lastInsertedRowID
    }

    private static func insert(_ notice: Notice, _ leaf: TreeHash, _ decision: Int64, _ db: Database) throws {
        var values: [(column: String, value: (any DatabaseValueConvertible)?)] = [("decision", decision), ("subject", notice.subject), ("leaf", Data(leaf.bytes)), ("language", notice.language)]
        switch notice.way {
        case .mail(let mail):
            _ = try insertText(of: mail, db)
            values += [("message", mail.id), ("recipient", mail.recipient)]
        case .unreachable(let why): values.append(("unreachable", why))
        }
        try insert(.notice, values, db)
        try insert(.page, [("decision", decision), ("subject", notice.subject), ("bytes", notice.bytes)], db)
    }

    // MARK: What is dropped

    /// What is dropped, and whose it was.
    struct Dropped: Hashable, Sendable {
        enum Why: Hashable, Sendable {
            /// The rest of it has not come.
            case late
            /// Something newer was decided, or the incident is closed: the rest of it cannot come any more.
            case passed
        }

        var number: UInt64
        var held: UInt64
        /// Who brought the last part.
        var name: String
        var why = Why.late
    }

    /// Begins to drop what was not whole in time. Nothing of it was sent.
    func dropStale(at now: WallTime) throws(OutboxError) -> [Dropped] {
        let stale = "FROM decision WHERE taken_at IS NULL AND dropping = 0 AND last_at < ?"
        let before = (now - Outbox.comingFor).microseconds
        guard try reading({ try Row.fetchOne($0, sql: "SELECT 1 \(stale)", arguments: [before]) }) != nil else { return [] }
        return try writing { db in
            try Row.fetchAll(db, sql: "SELECT id, number, held, operator \(stale)", arguments: [before]).map { try Outbox.drop($0, .late, db) }
        }
    }

    /// Begins to drop what is coming of any other decision than these: the rest of it would be refused. What is taken stays.
    ///
    /// - Parameter open: The decisions whose notices may come, by all of a ledger that is believed.
    func dropPassed(besides open: Set<Decision>) throws(OutboxError) -> [Dropped] {
        func passed(_ db: Database) throws -> [Row] {
            try Row.fetchAll(db, sql: "SELECT id, number, root, held, operator FROM decision WHERE taken_at IS NULL AND dropping = 0").filter { row in
                !open.contains { $0.number == UInt64(row["number"] as Int64) && Data($0.root.bytes) == row["root"] as Data }
            }
        }
        guard try !reading({ try passed($0).isEmpty }) else { return [] }
        return try writing { db in try passed(db).map { try Outbox.drop($0, .passed, db) } }
    }

    private static func drop(_ row: Row, _ why: Dropped.Why, _ db: Database) throws -> Dropped {
        try beginDropping(row["id"], db)
        return Dropped(number: UInt64(row["number"] as Int64), held: UInt64(row["held"] as Int64), name: row["operator"] as String? ?? "", why: why)
    }

    private static func beginDropping(_ id: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE decision SET dropping = 1 WHERE id = ?", arguments: [id])
        try stamp(.decision, db, where: "id = ?", [id])
    }

    /// A few of those that are being dropped: others wait for a step, and not for all of them.
    ///
    /// - Returns: whether there are more.
    func dropSome(limit: Int = 200) throws(OutboxError) -> Bool {
        guard try reading({ try Row.fetchOne($0, sql: "SELECT 1 FROM decision WHERE dropping = 1") }) != nil else { return false }
        return try writing { db in
            guard let id = try Int64.fetchOne(db, sql: "SELECT id FROM decision WHERE dropping = 1 AND taken_at IS NULL LIMIT 1") else { return false }
            let rows = try Row.fetchAll(db, sql: "SELECT subject, message FROM notice WHERE decision = ? ORDER BY subject LIMIT ?", arguments: [id, limit])
            for row in rows {
                for table in ["page", "notice"] { try db.cachedStatement(sql: "DELETE FROM \(table) WHERE decision = ? AND subject = ?").execute(arguments: [id, row["subject"] as String]) }
                guard let message = row["message"] as String? else { continue }
                try db.cachedStatement(sql: "DELETE FROM mail WHERE message = ?").execute(arguments: [message])
                try db.cachedStatement(sql: "DELETE FROM message WHERE id = ?").execute(arguments: [message])
            }
            if rows.count < limit { try db.execute(sql: "DELETE FROM decision WHERE id = ?", arguments: [id]) }
            return try Row.fetchOne(db, sql: "SELECT 1 FROM decision WHERE dropping = 1") != nil
        }
    }
}

extension Outbox.Dropped: CustomStringConvertible {
    /// For the log.
    var description: String {
        let because =
            switch why {
            case .late: "the rest of them has not come in seven days"
            case .passed: "something newer was decided about their incident, or it is closed"
            }
        return "\(held) notices of entry \(number), which \(name) handed over, are dropped: \(because). None of them was sent"
    }
}
