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

    /// What was found is counted anew.
    package func forgetDrift(of dataClass: String) throws { try db.execute(sql: "DELETE FROM drift WHERE class = ?", arguments: [dataClass]) }

    package func forgetDrift(before minute: Int64) throws { try db.execute(sql: "DELETE FROM drift WHERE minute < ?", arguments: [minute]) }
}

extension SQLiteVault {
    /// The oldest first.
    package func drift(since minute: Int64) throws -> [DriftCount] {
        try SQLiteStore.naming(path) {
            try pool.read { db in
                try Row.fetchAll(db, sql: "SELECT minute, class, into_class, subject, stored, events FROM drift WHERE minute >= ? AND events > 0 ORDER BY minute, class, into_class, subject, stored", arguments: [minute]).map { row in
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
}
