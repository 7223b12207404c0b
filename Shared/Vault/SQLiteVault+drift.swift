import GRDB

/// What came, or lay, under a lower class than it is of: how many of whom, by the minute. A detector counts it over as long as a week, and a restart forgets nothing.
///
/// No part of what is kept of a person: it goes with their rows when they are erased, and after a week.
package struct DriftCount: Hashable, Sendable {
    /// Since 1970.
    package var minute: Int64
    package var dataClass: String
    /// The higher one.
    package var into: String
    package var subject: String
    /// Found in what is stored, and not on arrival.
    package var isStored: Bool
    package var events: Int64

    package init(minute: Int64, _ dataClass: String, of subject: String, into: String, isStored: Bool, events: Int64) {
        self.minute = minute
        self.dataClass = dataClass
        self.into = into
        self.subject = subject
        self.isStored = isStored
        self.events = events
    }
}

extension SQLiteVaultTransaction {
    /// With what drifted, in its own transaction. What is taken out again counts the other way.
    package func count(_ drift: [DriftCount]) throws {
        let statement = try db.cachedStatement(
            sql: "INSERT INTO drift (minute, class, into_class, subject, stored, events) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET events = events + excluded.events")
        for one in drift { try statement.execute(arguments: [one.minute, one.dataClass, one.into, one.subject, one.isStored ? 1 : 0, one.events]) }
    }

    /// What was found is counted anew: a step of it, the newest first, so that what drifts between two steps stays. Whoever is killed between two finds the rest of it again.
    ///
    /// - Parameter minute: .max at first.
    /// - Returns: where the next step begins; nil: nothing is left.
    package func forgetDrift(of dataClass: String, through minute: Int64) throws -> Int64? {
        guard try deleteDrift(SQLiteVault.driftOfClass, [dataClass, minute]) else { return nil }
        return try Int64.fetchOne(db, sql: SQLiteVault.newestDriftOfClass, arguments: [dataClass, minute])
    }

    /// What is older than this minute, in steps, the oldest first: whoever waits for a commit waits for one of them.
    ///
    /// - Returns: whether there may be more.
    package func forgetDrift(before minute: Int64) throws -> Bool {
        try deleteDrift(SQLiteVault.driftBefore, [minute])
    }

    /// What was written down of minutes after `edge`, by a clock that was ahead and is so no more, is of this minute from now on: it counts on, and ends. In steps, each of which leaves
    /// everything counted once.
    ///
    /// - Parameter minute: not after the edge.
    /// - Returns: whether there may be more.
    package func moveDrift(after edge: Int64, to minute: Int64) throws -> Bool {
        try db.execute(sql: SQLiteVault.driftMoved, arguments: [minute, edge])
        return try deleteDrift(SQLiteVault.driftAfter, [edge])
    }

    /// Each by its key: where a list of keys is asked for, SQLite goes through all rows of each of its minutes.
    ///
    /// - Parameter chosen: which, as many as a step has.
    /// - Returns: whether there may be more.
    private func deleteDrift(_ chosen: String, _ arguments: StatementArguments) throws -> Bool {
        let rows = try Row.fetchAll(db, sql: chosen, arguments: arguments)
        let statement = try db.cachedStatement(sql: SQLiteVault.driftOfKey)
        for row in rows { try statement.execute(arguments: [row[0] as Int64, row[1] as String, row[2] as String, row[3] as String, row[4] as Int64]) }
        return rows.count == SQLiteVault.driftRowsPerStep
    }
}

extension SQLiteVault {
    /// Some milliseconds. By rows, since a minute has no bound: what a clock that was ahead has written down of a week is all of one afterwards.
    static let driftRowsPerStep = 1_000
    private static let driftKey = "minute, class, into_class, subject, stored"
    // Each finds its rows by a key or an index: of a week there may be a million. That is tested, so they stand here.
    static let driftBefore = "SELECT \(driftKey) FROM drift WHERE minute < ? ORDER BY \(driftKey) LIMIT \(driftRowsPerStep)"
    static let driftAfter = "SELECT \(driftKey) FROM drift WHERE minute > ? ORDER BY \(driftKey) LIMIT \(driftRowsPerStep)"
    static let driftOfClass = "SELECT \(driftKey) FROM drift WHERE class = ? AND minute <= ? ORDER BY minute DESC LIMIT \(driftRowsPerStep)"
    static let driftOfKey = "DELETE FROM drift WHERE minute = ? AND class = ? AND into_class = ? AND subject = ? AND stored = ?"
    static let newestDriftOfClass = "SELECT MAX(minute) FROM drift WHERE class = ? AND minute <= ?"
    static let driftOfSubject = "DELETE FROM drift WHERE subject = ?"
    static let driftSince = "SELECT minute, class, into_class, subject, stored, events FROM drift WHERE minute >= ? AND events > 0 ORDER BY minute, class, into_class, subject, stored"
    static let driftMoved = """
        INSERT INTO drift SELECT ?, class, into_class, subject, stored, SUM(events)
        FROM (SELECT \(driftKey), events FROM drift WHERE minute > ? ORDER BY \(driftKey) LIMIT \(driftRowsPerStep)) WHERE true GROUP BY class, into_class, subject, stored
        ON CONFLICT DO UPDATE SET events = events + excluded.events
        """

    /// The oldest first.
    package func drift(since minute: Int64) throws -> [DriftCount] {
        try SQLiteStore.naming(path) {
            try pool.read { db in
                try Row.fetchAll(db, sql: SQLiteVault.driftSince, arguments: [minute]).map { row in
                    DriftCount(minute: row[0], row[1], of: row[3], into: row[2], isStored: (row[4] as Int64) != 0, events: row[5])
                }
            }
        }
    }

    /// Version 8 remembers what drifted.
    static func rememberDrift(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS drift (
                    minute INTEGER NOT NULL, class TEXT NOT NULL, into_class TEXT NOT NULL, subject TEXT NOT NULL, stored INTEGER NOT NULL, events INTEGER NOT NULL,
                    PRIMARY KEY (minute, class, into_class, subject, stored)) STRICT, WITHOUT ROWID;
                """)
    }

    /// Version 9 finds what drifted of a class, or of somebody who is erased, without reading the others'.
    static func indexDrift(_ db: Database) throws {
        try db.execute(sql: "CREATE INDEX IF NOT EXISTS drift_class ON drift (class); CREATE INDEX IF NOT EXISTS drift_subject ON drift (subject);")
    }
}
