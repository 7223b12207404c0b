import GRDB
package import Gate

extension SQLiteVault {
    /// Persons that one step visits, whether it finds anything or not: a bound on its time.
    private static let visitsMax = 256

    package func sweep(_ retention: Retention, at now: WallTime, from cursor: SweepCursor, atMost rows: Int) throws -> Swept {
        var swept = Swept()
        var next: SweepCursor? = cursor
        /// Keys whose months may have nothing left. They go once the rows are durably gone: a row never stands there without its key.
        var emptied: [Int64] = []
        try changing { db, draft in
            var room = StepRoom(rows: rows)
            for _ in 0..<SQLiteVault.visitsMax {
                guard let place = next, let subject = try self.subject(after: place.subject, in: db) else {
                    try finish(next, at: now, in: db)
                    next = nil
                    break
                }
                var at = place
                if keys.isHeld(subject) {
                    swept.held += 1
                    at.oldest = try SQLiteVault.oldest(of: subject, than: at.oldest, in: db)
                } else {
                    let found = try expired(subject, retention, at: now, &room, in: db)
                    let (segments, events) = try SQLiteVault.delete(found, draft, in: db)
                    swept.segments += segments
                    swept.events += events
                    // There may be more of the same person: visited again by the next step.
                    guard !room.isUsedUp else { break }
                    at.oldest = try SQLiteVault.oldest(of: subject, than: at.oldest, in: db)
                    emptied += try self.emptied(subject, at: now, in: db)
                }
                at.subject = subject
                next = at
            }
            return true
        }
        if swept.segments > 0 { deleted() }
        pass("sweep-after-rows")
        swept.keys = try keys.destroy(emptied)
        if swept.keys > 0 { try noteKeys() }
        swept.next = next
        return swept
    }

    package func sweptUntil() throws -> WallTime? {
        try pool.read { try Int64.fetchOne($0, sql: "SELECT swept_us FROM housekeeping") }.map { WallTime(microseconds: $0) }
    }

    /// Arrivals that are looked at: some may be of an agent whose spool was old.
    private static let newestOf = 1_000

    package func newest() throws -> WallTime? {
        let sql = "SELECT MAX(last_ns) FROM (SELECT last_ns FROM segment ORDER BY number DESC LIMIT \(SQLiteVault.newestOf))"
        return try pool.read { try Int64.fetchOne($0, sql: sql) }.map { WallTime(nanoseconds: $0) }
    }

    /// Who has segments, or keys.
    private func subject(after subject: String?, in db: Database) throws -> String? {
        let sql = "SELECT subject FROM segment WHERE subject \(subject == nil ? ">=" : ">") ? ORDER BY subject LIMIT 1"
        let stored = try String.fetchOne(db.cachedStatement(sql: sql), arguments: [subject ?? ""])
        return [stored, try keys.subject(after: subject)].compactMap { $0 }.min { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    /// Classes that a person has segments of, by the index alone.
    private static func classes(of subject: String, in db: Database) throws -> [String] {
        let statement = try db.cachedStatement(sql: "SELECT class FROM segment WHERE subject = ? AND class > ? ORDER BY class LIMIT 1")
        var classes: [String] = []
        while let next = try String.fetchOne(statement, arguments: [subject, classes.last ?? ""]) { classes.append(next) }
        return classes
    }

    private func expired(
        _ subject: String, _ retention: Retention, at now: WallTime, _ room: inout StepRoom, in db: Database
    ) throws -> [Deletable] {
        var found: [Deletable] = []
        for name in try SQLiteVault.classes(of: subject, in: db) where !room.isUsedUp {
            guard let edge = retention.edge(of: DataClass(name), at: now) else { continue }
            // A segment that reaches over the edge is kept whole.
            let statement = try db.cachedStatement(
                sql: """
                    SELECT number, first_ns, count, length(body) FROM segment WHERE subject = ? AND class = ? AND first_ns < ? AND last_ns < ? ORDER BY first_ns LIMIT ?
                    """)
            let arguments: StatementArguments = [subject, name, edge.nanoseconds, edge.nanoseconds, room.rows]
            found += try room.take(Row.fetchCursor(statement, arguments: arguments), bytes: { $0[3] }) {
                Deletable(place: SegmentPlace(number: $0[0], subject: subject, dataClass: name, first: $0[1]), events: $0[2])
            }
        }
        return found
    }

    /// Keys of months that are over, of which no segment is left.
    private func emptied(_ subject: String, at now: WallTime, in db: Database) throws -> [Int64] {
        let present = DataKeyPlace.month(of: now)
        let past = try keys.numbers(of: subject).filter { $0.month != DataKeyPlace.directory && $0.month < present }
        guard !past.isEmpty else { return [] }
        let classes = try SQLiteVault.classes(of: subject, in: db)
        let statement = try db.cachedStatement(
            sql: "SELECT EXISTS (SELECT 1 FROM segment WHERE subject = ? AND class = ? AND first_ns >= ? AND first_ns < ?)")
        return try past.filter { key in
            guard let extent = DataKeyPlace(subject: subject, month: key.month).extent else { return false }
            return try !classes.contains { name in
                try Bool.fetchOne(statement, arguments: [subject, name, extent.lowerBound, extent.upperBound]) ?? true
            }
        }.map(\.number)
    }

    private static func oldest(of subject: String, than known: Int64?, in db: Database) throws -> Int64? {
        let statement = try db.cachedStatement(sql: "SELECT first_ns FROM segment WHERE subject = ? AND class = ? ORDER BY first_ns LIMIT 1")
        return try classes(of: subject, in: db).compactMap { try Int64.fetchOne(statement, arguments: [subject, $0]) }.reduce(known) { min($0 ?? $1, $1) }
    }

    /// The whole vault was visited: what is oldest is known anew, but for what came in meanwhile, and that is newer as a rule; the next sweep sees it.
    private func finish(_ cursor: SweepCursor?, at now: WallTime, in db: Database) throws {
        try db.execute(sql: "UPDATE total SET oldest_ns = ?", arguments: [cursor?.oldest])
        try db.execute(sql: "UPDATE housekeeping SET swept_us = MAX(COALESCE(swept_us, ?1), ?1)", arguments: [now.microseconds])
    }
}
