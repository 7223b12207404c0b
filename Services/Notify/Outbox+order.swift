import GRDB
import Gate

/// Order, for hooks: of one incident the times of what a hook has not been told yet never fall from one delivery to the next.
///
/// So a pick by time finds them in order, with no look at what waits behind: who fails takes those behind it to its next attempt, and what comes anew begins no earlier
/// than the last of them. Whoever is delivered or given up lets the next go, whose time has come by then. Other incidents and other hooks are not touched.
extension Outbox {
    /// SQL: what a hook has still to be told of an incident: by an index, as many rows as one incident has.
    private static let behind = "recipient IS NULL AND incident = :incident AND state = 'pending' AND channel = :channel"

    /// When a delivery that is new is due.
    static func firstTurn(of incident: Int64?, on channel: String, at now: WallTime, _ db: Database) throws -> WallTime {
        guard let incident else { return now }
        let last = try Int64.fetchOne(db, sql: "SELECT max(next_at) FROM delivery INDEXED BY delivery_order WHERE \(behind)", arguments: ["incident": incident, "channel": channel])
        return max(now, last.map(WallTime.init(microseconds:)) ?? now)
    }

    /// A delivery is tried again at a time: what is behind it of its incident not before.
    ///
    /// - Parameter now: A time that no wait from here on reaches was written before the clock was set back, and counts as come: it is no later than this one.
    static func keepBehind(_ id: String, _ channel: String, until time: WallTime, at now: WallTime, _ db: Database) throws {
        let first = try Row.fetchOne(db, sql: "SELECT rowid AS place, incident FROM delivery WHERE message = ? AND channel = ? AND incident IS NOT NULL", arguments: [id, channel])
        guard let first else { return }
        let places = try Int64.fetchAll(
            db,
            sql: "SELECT rowid FROM delivery INDEXED BY delivery_order WHERE \(behind) AND rowid > :place AND (next_at < :time OR next_at > :horizon)",
            arguments: ["incident": first["incident"] as Int64, "channel": channel, "place": first["place"] as Int64, "time": time.microseconds, "horizon": horizon(now)])
        for place in places {
            try db.cachedStatement(sql: "UPDATE delivery SET next_at = ? WHERE rowid = ?").execute(arguments: [time.microseconds, place])
            try stamp(.delivery, db, where: "rowid = ?", [place])
        }
    }
}
