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
        guard let row else { return nil }
        switch try keys.key(row[0]) {
        case .failure(.keyMissing): return nil
        case .failure(let why): throw SegmentUnreadable(row: 0, why: why)
        case .success(let key):
            guard let body = key.open(row[1], associated: SQLiteVault.associated(subject, key.number)) else {
                throw SegmentUnreadable(row: 0, why: .changed)
            }
            return try JSONDecoder().decode(DirectoryEntry.self, from: body)
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
