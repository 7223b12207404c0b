package import Foundation
import GRDB
import Gate

/// What is stored is judged again when rules change. How far that is, is durable with what it changed: wherever it is interrupted, it goes on there.
extension SQLiteVault {
    /// Where a walk is: after this row.
    private struct Place {
        var subject: String?
        var dataClass = ""
        var first = Int64.min
        var number = Int64.min
    }

    private static let columns = "id, state, seen, changed, events, unreadable, (SELECT COUNT(*) FROM rescan_held), changed_before"
    /// Persons that one step visits, whether they have anything to be judged or not.
    private static let rescanVisitsMax = 256
    /// Ciphertext of a step: unpacked and looked into it takes some milliseconds.
    private static let rescanBytesMax: Int64 = 128 << 10

    static func createRescan(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE rescan (
                    only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL, high INTEGER NOT NULL, state INTEGER NOT NULL, subject TEXT,
                    class TEXT NOT NULL, first_ns INTEGER NOT NULL, number INTEGER NOT NULL, seen INTEGER NOT NULL, changed INTEGER NOT NULL,
                    events INTEGER NOT NULL, unreadable INTEGER NOT NULL) STRICT;
                CREATE TABLE rescan_held (subject TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
                """)
    }

    package func beginRescan(_ id: Data) throws {
        try pool.write { db in
            guard try Data.fetchOne(db, sql: "SELECT id FROM rescan") != id else { return }
            // What comes later is judged by these rules as it comes.
            try db.execute(
                sql: """
                    DELETE FROM rescan_held;
                    INSERT OR REPLACE INTO rescan VALUES (
                        1, ?, (SELECT COALESCE(MAX(number), 0) FROM segment), 0, NULL, '', ?, ?, 0, 0, 0, 0, (SELECT COALESCE(MAX(changed + changed_before), 0) FROM rescan));
                    """, arguments: [id, Int64.min, Int64.min])
        }
    }

    package func rescan() throws -> Rescan? { try pool.read { try SQLiteVault.rescan($0) } }

    private static func rescan(_ db: Database) throws -> Rescan? {
        try Row.fetchOne(db, sql: "SELECT \(columns) FROM rescan").map { row in
            Rescan(
                id: row[0], state: Rescan.State(rawValue: row[1]) ?? .walking, seen: row[2], changed: row[3], events: row[4], unreadable: row[5], held: row[6],
                changedBefore: row[7])
        }
    }

    package func rescanNext(atMost rows: Int, left: (Segment) throws -> [Segment]?) throws -> Rescan? {
        var result: Rescan?
        var didChange = false
        let made = DataKeys.Made()
        try changing { db, draft in
            guard var rescan = try SQLiteVault.rescan(db), rescan.state != .done,
                let row = try Row.fetchOne(db, sql: "SELECT high, subject, class, first_ns, number FROM rescan")
            else { return false }
            let changed = rescan.changed
            var place = Place(subject: row[1], dataClass: row[2], first: row[3], number: row[4])
            var room = StepRoom(rows: rows, bytes: SQLiteVault.rescanBytesMax)
            let transaction = transaction(db, made, draft)
            for _ in 0..<SQLiteVault.rescanVisitsMax where !room.isUsedUp {
                if let subject = place.subject, !keys.isHeld(subject) {
                    let found = try segments(of: subject, after: place, upTo: row[0], &room, in: db)
                    for one in found {
                        place = Place(subject: subject, dataClass: one[2], first: one[3], number: one[0])
                        try judge(one, &rescan, left, transaction, draft, in: db)
                    }
                    if !found.isEmpty || room.isUsedUp { continue }
                    try db.execute(sql: "DELETE FROM rescan_held WHERE subject = ?", arguments: [subject])
                } else if let subject = place.subject {
                    try db.execute(sql: "INSERT OR IGNORE INTO rescan_held VALUES (?)", arguments: [subject])
                }
                guard let next = try nextSubject(after: place.subject, &rescan, in: db) else { break }
                place = Place(subject: next)
            }
            try db.execute(
                sql: "UPDATE rescan SET state = ?, subject = ?, class = ?, first_ns = ?, number = ?, seen = ?, changed = ?, events = ?, unreadable = ?",
                arguments: [
                    rescan.state.rawValue, place.subject, place.dataClass, place.first, place.number, rescan.seen, rescan.changed, rescan.events,
                    rescan.unreadable,
                ])
            try store(made, in: db)
            rescan.held = try Int64.fetchOne(db, sql: "SELECT COUNT(*) FROM rescan_held") ?? 0
            result = rescan
            didChange = rescan.changed != changed
            pass("rescan-before-commit")
            return true
        }
        pass("rescan-after-commit")
        if didChange { deleted() }
        return result
    }

    /// Everybody in order; then who was held and is not any more.
    private func nextSubject(after subject: String?, _ rescan: inout Rescan, in db: Database) throws -> String? {
        if rescan.state == .walking {
            let sql = "SELECT subject FROM segment WHERE subject \(subject == nil ? ">=" : ">") ? ORDER BY subject LIMIT 1"
            if let next = try String.fetchOne(db.cachedStatement(sql: sql), arguments: [subject ?? ""]) { return next }
            rescan.state = .held
        }
        let waiting = try String.fetchAll(db, sql: "SELECT subject FROM rescan_held ORDER BY subject")
        if waiting.isEmpty { rescan.state = .done }
        return waiting.first { !keys.isHeld($0) }
    }

    private func segments(of subject: String, after place: Place, upTo high: Int64, _ room: inout StepRoom, in db: Database) throws -> [Row] {
        let statement = try db.cachedStatement(
            sql: """
                SELECT number, subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch, columns_bytes, hash, key, body
                FROM segment WHERE subject = ? AND (class, first_ns, number) > (?, ?, ?) AND number <= ? ORDER BY class, first_ns, number LIMIT ?
                """)
        let rows = try Row.fetchCursor(statement, arguments: [subject, place.dataClass, place.first, place.number, high, room.rows])
        return try room.take(rows, bytes: { max(Int64(($0[15] as Data).count), $0[12] as Int64) }) { $0.copy() }
    }

    private func judge(
        _ row: Row, _ rescan: inout Rescan, _ left: (Segment) throws -> [Segment]?, _ transaction: any VaultTransaction, _ draft: CommitmentDraft, in db: Database
    ) throws {
        let columns = SegmentColumns(row, isBound: row[0] > draft.commitment.unbound)
        let segment: Segment
        switch try keys.key(columns.key) {
        // Somebody who is being erased.
        case .failure(.keyMissing): return
        case .failure: return rescan.unreadable += 1
        case .success(let key):
            guard let blob = key.open(row[15], beside: columns), let opened = columns.segment(blob) else { return rescan.unreadable += 1 }
            segment = opened
        }
        rescan.seen += 1
        let parts: [Segment]?
        do { parts = try left(segment) } catch is SegmentUnreadable {
            rescan.unreadable += 1
            return
        }
        guard let parts else { return }
        let count = parts.reduce(0) { $0 + $1.count }
        precondition(
            count <= segment.count && parts.allSatisfy { $0.scope == segment.scope && $0.hash == segment.hash && $0.first >= segment.first && $0.last <= segment.last },
            "judged again, a segment can only lose")
        for part in parts { try transaction.insert(part) }
        let place = SegmentPlace(number: row[0], subject: columns.subject, dataClass: columns.dataClass, first: columns.first)
        _ = try SQLiteVault.delete([Deletable(place: place, events: Int64(segment.count))], draft, in: db)
        try transaction.addTotals(events: Int64(count), segments: Int64(parts.count), oldest: nil)
        rescan.changed += 1
        rescan.events += Int64(segment.count - count)
    }
}
