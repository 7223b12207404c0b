import GRDB
import Gate
import Synchronization

/// Reading goes from person to person and from class to class along the index, and in each over the time that was asked for alone: what a day costs does not
/// depend on how many years there are.
extension SQLiteVault {
    package func extent(of selection: Selection) throws -> (subjects: Int, events: Int64) {
        try pool.read { db in
            var (subjects, events) = (0, Int64(0))
            var walk = Walk(selection, longest: longest.withLock { $0 })
            while let subject = try walk.subject(in: db) {
                let sum = try walk.classes.reduce(0.0) { try $0 + walk.sum(subject, $1, in: db) }
                if sum > 0 { subjects += 1 }
                events += Int64(exactly: sum.rounded()) ?? .max
            }
            return (subjects, events)
        }
    }

    package func shares(of selection: Selection) throws -> [SegmentShare] {
        try pool.read { db in
            var shares: [SegmentShare] = []
            var walk = Walk(selection, longest: longest.withLock { $0 })
            while let subject = try walk.subject(in: db) {
                for dataClass in walk.classes { shares += try walk.shares(subject, dataClass, in: db) }
            }
            return shares
        }
    }

    package func segments(
        _ selection: Selection, after cursor: SegmentCursor, limit: Int
    ) throws -> (segments: [Result<Segment, SegmentUnreadable>], next: SegmentCursor) {
        var next = cursor
        let unbound = commitment.withLock { $0.unbound }
        var segments: [Result<Segment, SegmentUnreadable>] = []
        while segments.count < limit {
            let rows = try rows(selection, after: next, limit: limit - segments.count)
            for (row, key) in rows {
                let number: Int64 = row[0]
                let columns = SegmentColumns(row, isBound: number > unbound)
                (next.row, next.subject, next.dataClass, next.first) = (number, columns.subject, columns.dataClass, columns.first)
                switch key {
                // Somebody who is being erased is not there any more, for whoever reads.
                case .failure(.keyMissing) where keys.wasErased(columns.subject): continue
                case .failure(let why): segments.append(.failure(SegmentUnreadable(row: number, why: why)))
                case .success(let key):
                    guard let blob = key.open(row[15], beside: columns), let segment = columns.segment(blob) else {
                        segments.append(.failure(SegmentUnreadable(row: number, why: .changed)))
                        continue
                    }
                    segments.append(.success(segment))
                }
            }
            if rows.isEmpty { break }
        }
        return (segments, next)
    }

    private func rows(
        _ selection: Selection, after cursor: SegmentCursor, limit: Int
    ) throws -> [(row: Row, key: Result<DataKey, SegmentUnreadable.Why>)] {
        try pool.read { db in
            var found: [Row] = []
            var walk = Walk(selection, longest: longest.withLock { $0 }, after: cursor)
            while found.count < limit, let subject = try walk.subject(in: db) {
                for dataClass in walk.classes where found.count < limit {
                    guard let after = walk.start(subject, dataClass, after: cursor) else { continue }
                    found += try walk.rows(subject, dataClass, after: after, limit: limit - found.count, in: db)
                }
            }
            return try found.map { row in (row: row, key: try keys.key(row[14])) }
        }
    }

    /// Over the persons of a selection, in the order of their ids.
    private struct Walk {
        let classes: [String]
        private let selection: Selection
        private let teams: String
        /// Where a segment that reaches into the time can begin.
        private let lower: Int64
        /// Those that are named, unless others are to be found by their team; nil: whoever is stored.
        private var named: ArraySlice<String>?
        private var last: String?
        /// The person at the cursor, whose rest comes first.
        private var first: String?

        init(_ selection: Selection, longest: Int64, after cursor: SegmentCursor? = nil) {
            self.selection = selection
            classes = Set(selection.classes.map(\.name)).sorted(by: Walk.precedes)
            teams = Array(repeating: "?", count: selection.teams.count).joined(separator: ", ")
            lower = (selection.from - Span(nanoseconds: longest)).nanoseconds
            let isBegun = cursor.map { $0.row > .min || !$0.subject.isEmpty } ?? false
            if selection.teams.isEmpty, !selection.subjects.isEmpty {
                let all = Set(selection.subjects).sorted(by: Walk.precedes)
                named = all[...]
                if isBegun, let cursor { named = all.drop { Walk.precedes($0, cursor.subject) } }
            } else if isBegun {
                first = cursor?.subject
            }
        }

        /// As SQLite compares texts.
        private static func precedes(_ left: String, _ right: String) -> Bool { left.utf8.lexicographicallyPrecedes(right.utf8) }

        mutating func subject(in db: Database) throws -> String? {
            if named != nil { return named?.popFirst() }
            if let first {
                self.first = nil
                last = first
                return first
            }
            let sql = "SELECT subject FROM segment WHERE subject \(last == nil ? ">=" : ">") ? ORDER BY subject LIMIT 1"
            guard let next = try String.fetchOne(db.cachedStatement(sql: sql), arguments: [last ?? ""]) else { return nil }
            last = next
            return next
        }

        /// After which row a place is read; nil: it lies before the cursor.
        func start(_ subject: String, _ dataClass: String, after cursor: SegmentCursor) -> (first: Int64, row: Int64)? {
            guard subject == cursor.subject, cursor.row > .min else { return (lower, .min) }
            if dataClass == cursor.dataClass { return cursor.first >= lower ? (cursor.first, cursor.row) : (lower, .min) }
            return Walk.precedes(dataClass, cursor.dataClass) ? nil : (lower, .min)
        }

        private func condition(_ subject: String) -> String {
            let isByTeam = !selection.teams.isEmpty && !selection.subjects.contains(subject)
            return "subject = ? AND class = ? AND (first_ns, number) > (?, ?) AND first_ns < ? AND last_ns >= ?\(isByTeam ? " AND team IN (\(teams))" : "")"
        }

        private func arguments(_ subject: String, _ dataClass: String, after: (first: Int64, row: Int64)) -> StatementArguments {
            let isByTeam = !selection.teams.isEmpty && !selection.subjects.contains(subject)
            return [subject, dataClass, after.first, after.row, selection.until.nanoseconds, selection.from.nanoseconds]
                + StatementArguments(isByTeam ? selection.teams : [])
        }

        func rows(_ subject: String, _ dataClass: String, after: (first: Int64, row: Int64), limit: Int, in db: Database) throws -> [Row] {
            let statement = try db.cachedStatement(
                sql: """
                    SELECT number, subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch, columns_bytes, hash,
                        key, body
                    FROM segment WHERE \(condition(subject)) ORDER BY first_ns, number LIMIT ?
                    """)
            return try Row.fetchAll(statement, arguments: arguments(subject, dataClass, after: after) + [limit])
        }

        func shares(_ subject: String, _ dataClass: String, in db: Database) throws -> [SegmentShare] {
            let statement = try db.cachedStatement(
                sql: "SELECT site, team, TOTAL(count) FROM segment WHERE \(condition(subject)) GROUP BY site, team ORDER BY site, team")
            return try Row.fetchAll(statement, arguments: arguments(subject, dataClass, after: (lower, .min))).map { row in
                SegmentShare(
                    scope: Scope(subject: subject, site: row[0], team: row[1]), dataClass: DataClass(dataClass), events: Int64(exactly: (row[2] as Double).rounded()) ?? .max)
            }
        }

        func sum(_ subject: String, _ dataClass: String, in db: Database) throws -> Double {
            let statement = try db.cachedStatement(sql: "SELECT TOTAL(count) FROM segment WHERE \(condition(subject))")
            return try Double.fetchOne(statement, arguments: arguments(subject, dataClass, after: (lower, .min))) ?? 0
        }
    }
}

extension SegmentColumns {
    /// Of a row in the order of ``SQLiteVault/segments(_:after:limit:)``.
    init(_ row: Row, isBound: Bool) {
        number = isBound ? row[0] : 0
        subject = row[1]
        dataClass = row[2]
        first = row[3]
        last = row[4]
        agent = row[5]
        stream = row[6]
        sequence = row[7]
        site = row[8]
        team = row[9]
        count = row[10]
        epoch = row[11]
        columnsBytes = row[12]
        hash = row[13]
        key = row[14]
    }
}
