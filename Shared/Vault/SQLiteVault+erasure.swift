import GRDB
package import Gate

/// Keys first, then rows: what begins with the keys is over for everybody who holds a copy, however the rest goes.
extension SQLiteVault {
    package func erase(_ orders: [ErasureOrder]) throws {
        try keys.erase(orders) { order in
            let live = try keys.numbers(of: order.subject).map(\.number)
            return try pool.read { db in
                if try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM person WHERE subject = ?)", arguments: [order.subject]) == true, live.isEmpty { return true }
                return try !SQLiteVault.dead(order.subject, besides: live, atMost: 1, in: db).isEmpty
            }
        }
    }

    /// After a start: who was erased, and has rows here that no key opens, comes from a backup.
    func eraseAgain() throws {
        let done = try keys.erasures().filter { $0.state == .done }
        try keys.begin(
            again: done.filter { erasure in
                let live = try keys.numbers(of: erasure.subject).map(\.number)
                return try pool.read { try !SQLiteVault.dead(erasure.subject, besides: live, atMost: 1, in: $0).isEmpty }
            }.map(\.subject))
    }

    package func eraseNext(atMost limit: Int) throws -> Erasure? {
        guard var erasure = try keys.unfinished() else { return nil }
        let live = try keys.numbers(of: erasure.subject)
        try changing { db, draft in
            let rows = try SQLiteVault.dead(erasure.subject, besides: live.map(\.number), atMost: limit, in: db)
            let gone = try SQLiteVault.delete(rows, draft, in: db)
            // With the rows, so that the sum is right wherever this is interrupted.
            try db.execute(
                sql: "INSERT INTO erased VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET segments = segments + excluded.segments, events = events + excluded.events",
                arguments: [erasure.subject, gone.segments, gone.events])
            if gone.segments < limit { erasure.state = .done }
            if !live.contains(where: { $0.month == DataKeyPlace.directory }) {
                try db.execute(sql: "DELETE FROM person WHERE subject = ?", arguments: [erasure.subject])
            }
            return true
        }
        deleted()
        if erasure.state == .done { try keys.finish(erasure.subject) }
        return try counted([erasure])[0]
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

    package func readmit(_ subject: String, at now: WallTime) throws { try keys.readmit(subject, at: now) }
    package func erasures() throws -> [Erasure] { try counted(keys.erasures()) }
    package func isErased(_ subject: String) -> Bool { keys.isErased(subject) }
    package func hold(_ incident: UInt64, _ subjects: Set<String>) throws { try keys.hold(incident, subjects) }
    package func lift(_ incident: UInt64, _ subjects: Set<String>?) throws { try keys.lift(incident, subjects) }
    package func holds() -> [UInt64: Set<String>] { keys.holds() }

    /// Rows of a person whose keys are gone.
    private static func dead(_ subject: String, besides live: [Int64], atMost count: Int, in db: Database) throws -> [Deletable] {
        let list = live.map(String.init).joined(separator: ", ")
        return try Row.fetchAll(
            db, sql: "SELECT number, class, first_ns, count FROM segment WHERE subject = ? \(live.isEmpty ? "" : "AND key NOT IN (\(list))") LIMIT ?",
            arguments: [subject, count]
        ).map { Deletable(place: SegmentPlace(number: $0[0], subject: subject, dataClass: $0[1], first: $0[2]), events: $0[3]) }
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
