import Foundation
import GRDB
import Gate
import Ledger

/// How the people of a decision stand once nobody of it is waited for, so that what was told last year costs nothing every ten seconds.
///
/// A tally is what counting would give, and is there for nobody's sake but speed: it goes, by triggers, as soon as something changes that it counts (a mail comes back, is opened, is named in an
/// escalation), and the next look counts that decision again.
extension Outbox {
    struct Tally: Hashable, Sendable {
        var delivered: UInt64
        /// Of them.
        var opened: UInt64
        var unreachable: UInt64
        /// Of those, who are in no escalation yet.
        var untold: UInt64
    }

    /// How all people stand who were ever to be told. Looks at those alone whose decision has no tally, and keeps one of each of which nobody is waited for.
    func people() throws(OutboxError) -> NoticeCounts {
        let rounds = try rounds(of: nil, limit: 0)
        let finished = rounds.filter { $0.takenAt != nil && !$0.isTallied && $0.waiting + $0.retrying == 0 }
        if !finished.isEmpty { try keepTallies(of: finished.map(\.decision)) }
        return NoticeCounts(rounds)
    }

    /// On a full disk none is kept, and the next look counts again.
    private func keepTallies(of decisions: [Decision]) throws(OutboxError) {
        do throws(OutboxError) {
            try writing { db in
                // Counted again in the transaction that keeps it: something may have come back meanwhile.
                for decision in decisions {
                    guard let id = try Int64.fetchOne(db, sql: "SELECT id FROM decision WHERE number = ? AND root = ?", arguments: [Int64(clamping: decision.number), Data(decision.root.bytes)]) else { continue }
                    try Outbox.keepTally(of: id, db)
                }
            }
        } catch {
            guard case .storage(_, let code, _) = error, code & 0xff == 13 else { throw error }
        }
    }

    private static func keepTally(of id: Int64, _ db: Database) throws {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT count(*) FILTER (WHERE standing IN ('waiting', 'retrying')) AS open, count(*) FILTER (WHERE standing = 'delivered') AS delivered,
                    count(*) FILTER (WHERE standing = 'delivered' AND opened) AS opened, count(*) FILTER (WHERE standing = 'unreachable') AS unreachable,
                    count(*) FILTER (WHERE standing <> 'delivered' AND NOT told) AS untold
                FROM (SELECT \(standing) AS standing, receipt.message IS NOT NULL AS opened, notice.escalated_at IS NOT NULL AS told FROM \(joined) WHERE notice.decision = ?)
                """, arguments: [id])
        guard let row, row["open"] == 0 else { return }
        let counted: [(column: String, value: (any DatabaseValueConvertible)?)] = ["delivered", "opened", "unreachable", "untold"].map { ($0, row[$0] as Int64) }
        try insert(.tally, [("decision", id)] + counted, db, onConflict: "ON CONFLICT (decision) DO NOTHING")
    }

    /// Nil: there is none, and whoever wants to know counts.
    static func tally(of id: Int64, _ path: String, _ db: Database) throws -> Tally? {
        guard let row = try Row.fetchOne(db, sql: "SELECT *, \(Table.tally.isWhole) AS whole FROM tally WHERE decision = ?", arguments: [id]) else { return nil }
        guard row["whole"] else { throw OutboxError.damaged(path: path, why: "how the people of a decision stand is not what was written") }
        func count(_ column: String) -> UInt64 { UInt64(row[column] as Int64) }
        return Tally(delivered: count("delivered"), opened: count("opened"), unreachable: count("unreachable"), untold: count("untold"))
    }
}
