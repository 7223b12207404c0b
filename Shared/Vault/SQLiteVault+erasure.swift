import GRDB
package import Gate
import Synchronization

/// Keys first, then rows: what begins with the keys is over for everybody who holds a copy, however the rest goes.
extension SQLiteVault {
    package func erase(_ orders: [ErasureOrder]) throws {
        try keys.erase(orders) { order in
            let live = try keys.numbers(of: order.subject).map(\.number)
            do {
                return try pool.read { db in
                    if try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM person WHERE subject = ?)", arguments: [order.subject]) == true, live.isEmpty { return true }
                    return try SQLiteVault.hasDead(order.subject, besides: live, in: db)
                }
            } catch where isDamage(error) {
                // What stands on a page that cannot be read is looked for again: an erasure does not end with it.
                return true
            }
        }
        knownPlaces.withLock { $0.forget(orders.map(\.subject)) }
        try noteKeys()
    }

    /// After a start: who was erased, and has rows here that no key opens, comes from a backup.
    func eraseAgain() throws {
        let done = try keys.erasures().filter { $0.state == .done }
        try keys.begin(
            again: done.filter { erasure in
                let live = try keys.numbers(of: erasure.subject).map(\.number)
                return try pool.read { try SQLiteVault.hasDead(erasure.subject, besides: live, in: $0) }
            }.map(\.subject))
    }

    package func eraseNext(atMost limit: Int) throws -> Erasure? {
        guard var erasure = try keys.unfinished() else { return nil }
        if erasure.state == .rows {
            guard try deleteNext(erasure, atMost: limit) else { return try counted([erasure])[0] }
            try keys.rowsGone(erasure.subject)
            erasure.state = .log
        }
        if try emptyLogs() {
            try keys.finish(erasure.subject)
            erasure.state = .done
        }
        return try counted([erasure])[0]
    }

    /// - Returns: whether these were all.
    private func deleteNext(_ erasure: Erasure, atMost limit: Int) throws -> Bool {
        let live = try keys.numbers(of: erasure.subject)
        var room = StepRoom(rows: limit)
        try changing { db, draft in
            let rows = try SQLiteVault.dead(erasure.subject, besides: live.map(\.number), &room, in: db)
            let gone = try SQLiteVault.delete(rows, draft, in: db)
            // With the rows, so that the sum is right wherever this is interrupted.
            try db.execute(
                sql: "INSERT INTO erased VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET segments = segments + excluded.segments, events = events + excluded.events",
                arguments: [erasure.subject, gone.segments, gone.events])
            try db.execute(sql: SQLiteVault.driftOfSubject, arguments: [erasure.subject])
            if !live.contains(where: { $0.month == DataKeyPlace.directory }) {
                try db.execute(sql: "DELETE FROM person WHERE subject = ?", arguments: [erasure.subject])
            }
            return true
        }
        deleted()
        pass("erase-after-rows")
        return !room.isUsedUp
    }

    /// With what was taken away of each.
    private func counted(_ erasures: [Erasure]) throws -> [Erasure] {
        try pool.read { db in
            let statement = try db.cachedStatement(sql: "SELECT segments, events FROM erased WHERE subject = ?")
            return try erasures.map { erasure in
                var erasure = erasure
                if let row = try Row.fetchOne(statement, arguments: [erasure.subject]) { (erasure.segments, erasure.events) = (row[0], row[1]) }
                return erasure
            }
        }
    }

    package func readmit(_ subject: String, at now: WallTime) throws {
        try keys.readmit(subject, at: now)
        try noteKeys()
    }

    package func erasures() throws -> [Erasure] { try counted(keys.erasures()) }
    package func isErased(_ subject: String) -> Bool { keys.isErased(subject) }
    package func storedFrom(_ subject: String) -> WallTime? { keys.storedFrom(subject) }
    package var destructions: UInt64 { keys.destructions }
    package func wasDestroyed(_ subject: String, since destructions: UInt64) -> Bool { keys.wasDestroyed(subject, since: destructions) }
    package func holds() -> [UInt64: Set<String>] { keys.holds() }
    package func incidents(holding subject: String) -> Set<UInt64> { keys.incidents(holding: subject) }

    package func hold(_ incident: UInt64, _ subjects: Set<String>) throws {
        try keys.hold(incident, subjects)
        try noteKeys()
    }

    package func lift(_ incident: UInt64, _ subjects: Set<String>?) throws {
        try keys.lift(incident, subjects)
        try noteKeys()
    }

    /// Of a person whose keys are gone.
    private static func deadRows(_ live: [Int64]) -> String {
        "FROM segment WHERE subject = ?\(live.isEmpty ? "" : " AND key NOT IN (\(live.map(String.init).joined(separator: ", ")))")"
    }

    private static func dead(_ subject: String, besides live: [Int64], _ room: inout StepRoom, in db: Database) throws -> [Deletable] {
        let sql = "SELECT number, class, first_ns, count, length(body) \(deadRows(live)) LIMIT ?"
        return try room.take(Row.fetchCursor(db, sql: sql, arguments: [subject, room.rows]), bytes: { $0[4] }) {
            Deletable(place: SegmentPlace(number: $0[0], subject: subject, dataClass: $0[1], first: $0[2]), events: $0[3])
        }
    }

    private static func hasDead(_ subject: String, besides live: [Int64], in db: Database) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 \(deadRows(live)))", arguments: [subject]) ?? false
    }

    /// A row that may go.
    struct Deletable {
        let place: SegmentPlace
        let events: Int64
    }

    static func delete(_ rows: [Deletable], _ draft: CommitmentDraft, in db: Database) throws -> (segments: Int64, events: Int64) {
        let statement = try db.cachedStatement(sql: "DELETE FROM segment WHERE number = ?")
        var events: Int64 = 0
        // In the order of the file: neighbours leave one page together.
        for row in rows.sorted(by: { $0.place.number < $1.place.number }) {
            try statement.execute(arguments: [row.place.number])
            draft.remove(row.place)
            events &+= row.events
        }
        if !rows.isEmpty {
            try db.cachedStatement(sql: "UPDATE total SET events = MAX(0, events - ?), segments = MAX(0, segments - ?)")
                .execute(arguments: [events, Int64(rows.count)])
        }
        return (Int64(rows.count), events)
    }
}

/// What one step may still delete: whoever waits for the writer waits for a step at most, however large its rows are.
struct StepRoom {
    /// Overwritten, and written to the log: some milliseconds.
    static let bytesMax: Int64 = 4 << 20
    private(set) var rows: Int
    private var bytes: Int64
    private var isTouched = false
    /// There may be more than was taken.
    private(set) var isUsedUp = false

    init(rows: Int, bytes: Int64 = StepRoom.bytesMax) {
        self.rows = rows
        self.bytes = bytes
    }

    /// Rows, as far as there is room for them; one in any case.
    mutating func take<Value>(_ cursor: RowCursor, bytes size: (Row) -> Int64, _ value: (Row) -> Value) throws -> [Value] {
        var taken: [Value] = []
        while let row = try cursor.next() {
            guard size(row) <= bytes || !isTouched else {
                isUsedUp = true
                break
            }
            taken.append(value(row))
            isTouched = true
            rows -= 1
            bytes -= size(row)
        }
        if rows <= 0 { isUsedUp = true }
        return taken
    }
}
