import Foundation
import GRDB
import Gate
import Testing
import Vault

@testable import sluice_agent

private final class Folder {
    let path = NSTemporaryDirectory() + "spool-" + UUID().uuidString
    var spool: String { path + "/spool.sqlite" }

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func holds(_ planted: String) throws -> Bool {
        try FileManager.default.contentsOfDirectory(atPath: path).contains { name in
            try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)).range(of: Data(planted.utf8)) != nil
        }
    }

    /// As version 1 left it: one batch in the clear, still there or acknowledged since.
    func old(_ planted: String, isSent: Bool) throws {
        let database = try SQLiteStore.open(spool, version: 1) { _, db in
            try db.execute(
                sql: """
                    CREATE TABLE stream (id INTEGER PRIMARY KEY, class TEXT NOT NULL UNIQUE, newest INTEGER NOT NULL) STRICT;
                    CREATE TABLE batch (
                        stream INTEGER NOT NULL, sequence INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL,
                        count INTEGER NOT NULL, epoch INTEGER NOT NULL, columns_bytes INTEGER NOT NULL, hash BLOB NOT NULL,
                        payload BLOB NOT NULL, PRIMARY KEY (stream, sequence)) STRICT;
                    CREATE TABLE quarantine (stream INTEGER NOT NULL, sequence INTEGER NOT NULL, why TEXT NOT NULL, payload BLOB NOT NULL) STRICT;
                    CREATE TABLE interval (
                        class TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, PRIMARY KEY (class, start_ns)) STRICT;
                    CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), epoch INTEGER NOT NULL) STRICT;
                    INSERT INTO state VALUES (1, 5);
                    INSERT INTO stream VALUES (9, 'activity', 1);
                    """)
        }
        try database.write { db in
            try db.execute(sql: "INSERT INTO batch VALUES (9, 1, 1, 2, 1, 5, 10, x'00', ?)", arguments: [Data(planted.utf8)])
        }
        try SQLiteStore.checkpoint(database)
        // As SQLite does where it was built without SECURE_DELETE.
        if isSent {
            try database.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA secure_delete = OFF")
                try db.execute(sql: "DELETE FROM batch")
            }
        }
        try database.close()
    }
}

@Suite struct SpoolTests {
    @Test func `a batch is fetched as it was sealed, header and payload, until it is forgotten`() throws {
        let folder = try Folder()
        let spool = try Spool(path: folder.spool)
        let header = Data([1, 2, 3])
        let payload = Data(repeating: 7, count: 100)
        let stream = spool.next(DataClass("activity"))
        #expect(stream.newest == 1 && spool.streams.isEmpty, "nothing is taken before it is stored")
        try spool.append(stream, first: WallTime(nanoseconds: 5), header: header, payload: payload)
        #expect(spool.next(DataClass("activity")).newest == 2)
        let again = try Spool(path: folder.spool)
        let (batches, damaged) = try again.fetch(stream.id, from: 1, limit: 8)
        #expect(batches.map(\.header) == [header] && batches.map(\.payload) == [payload] && damaged.isEmpty)
        try again.forget(stream.id, upTo: 1)
        #expect(try again.fetch(stream.id, from: 1, limit: 8).batches.isEmpty)
    }

    @Test func `a header that has changed on disk sets its batch aside`() throws {
        let folder = try Folder()
        let spool = try Spool(path: folder.spool)
        let stream = spool.next(DataClass("activity"))
        try spool.append(stream, first: WallTime(nanoseconds: 5), header: Data([1, 2, 3]), payload: Data([4]))
        spool.close()
        let queue = try DatabaseQueue(path: folder.spool)
        try queue.write { db in try db.execute(sql: "UPDATE batch SET header = x'010203', payload = x'05'") }
        try queue.close()
        let again = try Spool(path: folder.spool)
        #expect(try again.fetch(stream.id, from: 1, limit: 8).damaged == [1])
        #expect(again.extent.quarantined == 1)
    }

    @Test func `a spool of version 1 with batches in the clear is refused, and one that has sent them keeps nothing of them`() throws {
        let planted = "planted-" + UUID().uuidString
        let full = try Folder()
        try full.old(planted, isSent: false)
        #expect(throws: SpoolRefused.self) { try Spool(path: full.spool) }
        let sent = try Folder()
        try sent.old(planted, isSent: true)
        #expect(try sent.holds(planted), "the control: a deleted row stays in its file")
        let spool = try Spool(path: sent.spool)
        #expect(try spool.epoch() == Epoch(5) && spool.streams[9]?.newest == 1)
        #expect(try !sent.holds(planted))
    }

    @Test func `the proof of the vault key that was accepted is there at the next start`() throws {
        let folder = try Folder()
        let spool = try Spool(path: folder.spool)
        #expect(try spool.vaultProof() == nil)
        try spool.keep(vaultProof: Data([1]))
        try spool.keep(vaultProof: Data([2]))
        #expect(try Spool(path: folder.spool).vaultProof() == Data([2]))
    }
}
