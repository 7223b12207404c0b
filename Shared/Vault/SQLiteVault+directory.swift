import Foundation
import GRDB
package import Gate

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
        switch try keys.key(number) {
        case .failure(.keyMissing): return nil
        case .failure(let why): throw SegmentUnreadable(row: 0, why: why)
        case .success(let key):
            guard let body = key.open(body, associated: SQLiteVault.associated(subject, key.number)) else {
                throw SegmentUnreadable(row: 0, why: .changed)
            }
            return try JSONDecoder().decode(DirectoryEntry.self, from: body)
        }
    }

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
