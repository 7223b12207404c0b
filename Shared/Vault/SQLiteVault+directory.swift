import Crypto
import Foundation
import GRDB
package import Gate
import Synchronization

/// The directory. Each entry lies encrypted under a key of its person, which is in the file of keys: it is erased with them, and on its own by that key.
extension SQLiteVault {
    package func put(_ people: [DirectoryEntry], at now: WallTime) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        try pool.writeWithoutTransaction { db in
            let made = DataKeys.Made()
            try db.inTransaction(.immediate) {
                for person in people where !keys.isErased(person.subject) {
                    let key = try keys.key(for: DataKeyPlace(subject: person.subject, month: DataKeyPlace.directory), made: made)
                    let body = try key.seal(encoder.encode(person), associated: SQLiteVault.associated(person.subject, key.number))
                    try db.execute(
                        sql: "INSERT INTO person VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET key = excluded.key, body = excluded.body",
                        arguments: [person.subject, key.number, body])
                }
                try store(made, in: db)
                return .commit
            }
        }
    }

    package func person(_ subject: String) throws -> DirectoryEntry? {
        let row = try pool.read { try Row.fetchOne($0, sql: "SELECT key, body FROM person WHERE subject = ?", arguments: [subject]) }
        return try row.flatMap { try entry(of: subject, key: $0[0], body: $0[1]) }
    }

    private func entry(of subject: String, key number: Int64, body: Data) throws -> DirectoryEntry? {
        let destructions = keys.destructions
        switch try keys.key(number) {
        case .failure(.keyMissing): return nil
        case .failure(let why): throw SegmentUnreadable(row: 0, why: why)
        case .success(let key):
            let sealed = body
            guard let body = key.open(body, associated: SQLiteVault.associated(subject, key.number)) else {
                throw SegmentUnreadable(row: 0, why: .changed)
            }
            let entry = try JSONDecoder().decode(DirectoryEntry.self, from: body)
            knownPlaces.withLock { $0.remember(Scope(subject: subject, site: entry.site, team: entry.team), key: number, sealed: sealed, destructions: destructions) }
            return entry
        }
    }

    package func places(of subjects: Set<String>) throws -> [String: Scope] {
        var places: [String: Scope] = [:]
        let all = Array(subjects)
        for first in stride(from: 0, to: all.count, by: SQLiteVault.placesPage) {
            let rows = try pool.read { db in
                let statement = try db.cachedStatement(sql: "SELECT key, body FROM person WHERE subject = ?")
                return try all[first..<min(all.count, first + SQLiteVault.placesPage)].compactMap { subject in
                    try Row.fetchOne(statement, arguments: [subject]).map { (subject: subject, key: $0[0] as Int64, body: $0[1] as Data) }
                }
            }
            for row in rows {
                let known = knownPlaces.withLock { $0.place(of: row.subject, key: row.key, sealed: row.body) { keys.wasDestroyed(row.subject, since: $0) } }
                if let known { places[row.subject] = known } else if let entry = try entry(of: row.subject, key: row.key, body: row.body) {
                    places[row.subject] = Scope(subject: row.subject, site: entry.site, team: entry.team)
                }
            }
        }
        return places
    }

    /// Read at once: a few milliseconds.
    private static let placesPage = 4_096

    package func people(after subject: String, atMost count: Int) throws -> [DirectoryEntry] {
        var after = subject
        while true {
            let rows = try pool.read { try Row.fetchAll($0, sql: "SELECT subject, key, body FROM person WHERE subject > ? ORDER BY subject LIMIT ?", arguments: [after, count]) }
            let people = try rows.compactMap { row -> DirectoryEntry? in
                let subject: String = row[0]
                do { return try entry(of: subject, key: row[1], body: row[2]) } catch where isDamage(error) || error is DecodingError { return DirectoryEntry(subject: subject) }
            }
            guard people.isEmpty, let last = rows.last else { return people }
            // All of these are being removed.
            after = last[0]
        }
    }

    @discardableResult package func removePeople(_ subjects: [String]) throws -> [String] {
        let free = subjects.filter { !keys.isHeld($0) }
        guard !free.isEmpty else { return subjects }
        try keys.destroy(free.flatMap { try keys.numbers(of: $0).filter { $0.month == DataKeyPlace.directory }.map(\.number) })
        knownPlaces.withLock { $0.forget(free) }
        try pool.write { db in
            let statement = try db.cachedStatement(sql: "DELETE FROM person WHERE subject = ?")
            for subject in free { try statement.execute(arguments: [subject]) }
            try noteKeys(in: db)
        }
        deleted()
        return subjects.filter { keys.isHeld($0) }
    }

    package func peopleCount() throws -> Int { try pool.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM person") ?? 0 } }

    private static func associated(_ subject: String, _ key: Int64) -> [UInt8] {
        Array("sluice directory v1\n\(key)\n".utf8) + Array(subject.utf8)
    }
}

/// Where people are, as their entries said when they were last opened. What is known counts for as long as the very bytes that were opened lie there and no key of theirs was destroyed.
///
/// Who decides on a read asks for everybody whose data it would touch: to open each entry each time takes longer than a finding may.
struct KnownPlaces {
    private struct Known {
        let place: Scope
        let key: Int64
        let digest: SHA256.Digest
        /// How often keys had been destroyed when it was read.
        let destructions: UInt64
    }

    private var known: [String: Known] = [:]

    /// Some 200 bytes each. Past it all are forgotten, and opened again as they are needed.
    static let peopleMax = 262_144

    mutating func remember(_ place: Scope, key: Int64, sealed: Data, destructions: UInt64) {
        if known.count >= KnownPlaces.peopleMax, known[place.subject] == nil { known = [:] }
        known[place.subject] = Known(place: place, key: key, digest: SHA256.hash(data: sealed), destructions: destructions)
    }

    /// Whoever is gone is gone from here at once.
    mutating func forget(_ subjects: [String]) { for subject in subjects { known[subject] = nil } }

    /// - Parameter wasDestroyed: Whether a key of theirs was, since so many destructions.
    mutating func place(of subject: String, key: Int64, sealed: Data, wasDestroyed: (UInt64) -> Bool) -> Scope? {
        guard let one = known[subject] else { return nil }
        guard one.key == key, !wasDestroyed(one.destructions), one.digest == SHA256.hash(data: sealed) else {
            known[subject] = nil
            return nil
        }
        return one.place
    }
}
