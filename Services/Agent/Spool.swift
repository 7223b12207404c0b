import Crypto
import Foundation
import GRDB
import Gate
import Vault

/// A batch that waits for its acknowledgement: two frames that go out as they are, however often.
struct SpooledBatch: Sendable {
    var stream: UInt64
    var sequence: UInt64
    /// As it was associated with the payload.
    var header: Data
    /// Sealed.
    var payload: Data
}

/// Why a spool is not used.
enum SpoolRefused: Error, CustomStringConvertible {
    case inTheClear(path: String, batches: Int)

    var description: String {
        switch self {
        case .inTheClear(let path, let batches):
            "\(path) holds \(batches) batches in the clear, from an older Sluice: let that version send them, or delete the file and lose them"
        }
    }
}

/// What an agent keeps on disk: sealed batches without acknowledgement, the intervals in which it held a permit, and the highest epoch.
///
/// One SQLite file, synchronous=FULL: what `append` has returned for survives kill -9 and a power cut. Bounded in bytes.
final class Spool {
    struct Extent: Sendable {
        var batches = 0
        var bytes = 0
        var oldest: WallTime?
        var quarantined = 0
    }

    /// Where a stream stands: what it holds is `oldest ... newest`, empty when oldest is newest + 1.
    struct Stream: Sendable {
        var id: UInt64
        var dataClass: DataClass
        var oldest: UInt64
        var newest: UInt64
    }

    private let database: any DatabaseWriter
    private(set) var streams: [UInt64: Stream] = [:]
    private(set) var extent = Extent()
    private var savedIntervals: [String: Int64] = [:]

    init(path: String) throws {
        var steps: [Int] = []
        database = try SQLiteStore.open(path, version: 2) { step, db in
            steps.append(step)
            if step == 2 { try Spool.seal(db, path) }
            guard step == 1 else { return }
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
                    INSERT INTO state VALUES (1, 0);
                    """)
        }
        if steps == [2] {
            // Pages that were freed hold what version 1 wrote in the clear.
            try database.writeWithoutTransaction { db in
                try db.execute(sql: "VACUUM")
                try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            }
        }
        try database.read { db in
            for row in try Row.fetchAll(db, sql: "SELECT id, class, newest, (SELECT MIN(sequence) FROM batch WHERE stream = id) FROM stream") {
                let id = UInt64(bitPattern: row[0] as Int64)
                let newest = UInt64(row[2] as Int64)
                streams[id] = Stream(
                    id: id, dataClass: DataClass(row[1]), oldest: (row[3] as Int64?).map { UInt64($0) } ?? newest + 1, newest: newest)
            }
        }
        try measure()
    }

    /// Version 1 kept batches in the clear. What it still holds would have to be sealed by whoever reads this file: it is not taken over.
    private static func seal(_ db: Database, _ path: String) throws {
        let batches = try Int.fetchOne(db, sql: "SELECT (SELECT COUNT(*) FROM batch) + (SELECT COUNT(*) FROM quarantine)") ?? 0
        guard batches == 0 else { throw SpoolRefused.inTheClear(path: path, batches: batches) }
        try db.execute(
            sql: """
                DROP TABLE batch;
                DROP TABLE quarantine;
                CREATE TABLE batch (
                    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, first_ns INTEGER NOT NULL, header BLOB NOT NULL, hash BLOB NOT NULL,
                    payload BLOB NOT NULL, PRIMARY KEY (stream, sequence)) STRICT;
                CREATE TABLE quarantine (
                    stream INTEGER NOT NULL, sequence INTEGER NOT NULL, why TEXT NOT NULL, header BLOB NOT NULL, payload BLOB NOT NULL) STRICT;
                CREATE TABLE vault_key (only INTEGER PRIMARY KEY CHECK (only = 1), proof BLOB NOT NULL) STRICT;
                """)
    }

    func close() {
        try? SQLiteStore.checkpoint(database)
        try? database.close()
    }

    func epoch() throws -> Epoch {
        try database.read { db in Epoch(UInt64(try Int64.fetchOne(db, sql: "SELECT epoch FROM state") ?? 0)) }
    }

    /// The proof of the vault key that was last accepted.
    func vaultProof() throws -> Data? { try database.read { db in try Data.fetchOne(db, sql: "SELECT proof FROM vault_key") } }

    func keep(vaultProof: Data) throws {
        try database.write { db in
            try db.execute(sql: "INSERT INTO vault_key VALUES (1, ?) ON CONFLICT DO UPDATE SET proof = excluded.proof", arguments: [vaultProof])
        }
    }

    func intervals() throws -> [DataClass: [OpenIntervals.Interval]] {
        var intervals: [DataClass: [OpenIntervals.Interval]] = [:]
        try database.read { db in
            for row in try Row.fetchAll(db, sql: "SELECT class, start_ns, end_ns FROM interval ORDER BY start_ns") {
                let interval = OpenIntervals.Interval(start: WallTime(nanoseconds: row[1]), end: WallTime(nanoseconds: row[2]))
                intervals[DataClass(row[0]), default: []].append(interval)
                savedIntervals["\(row[0] as String)\t\(interval.start.nanoseconds)"] = interval.end.nanoseconds
            }
        }
        return intervals
    }

    /// Saves what has changed since the last time. Of an interval that is open, how far it has come: should the process die, it
    /// ended there.
    func save(_ intervals: OpenIntervals, epoch: Epoch) throws {
        var wanted: [String: (DataClass, Int64, Int64)] = [:]
        func add(_ dataClass: DataClass, _ interval: OpenIntervals.Interval) {
            let key = "\(dataClass.name)\t\(interval.start.nanoseconds)"
            wanted[key] = (dataClass, interval.start.nanoseconds, interval.end.nanoseconds)
        }
        for (dataClass, list) in intervals.past { for interval in list { add(dataClass, interval) } }
        for (dataClass, interval) in intervals.current { add(dataClass, interval) }
        try database.write { db in
            for (key, (dataClass, start, end)) in wanted where savedIntervals[key] != end {
                try db.execute(
                    sql: "INSERT INTO interval VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET end_ns = excluded.end_ns",
                    arguments: [dataClass.name, start, end])
            }
            for key in savedIntervals.keys where wanted[key] == nil {
                let parts = key.split(separator: "\t")
                try db.execute(
                    sql: "DELETE FROM interval WHERE class = ? AND start_ns = ?", arguments: [String(parts[0]), Int64(parts[1])])
            }
            try db.execute(sql: "UPDATE state SET epoch = MAX(epoch, ?)", arguments: [Int64(epoch.number)])
        }
        savedIntervals = wanted.mapValues(\.2)
    }

    /// The stream of a class, as it will be once it holds one batch more.
    func next(_ dataClass: DataClass) -> Stream {
        var stream = streams.values.first { $0.dataClass == dataClass }
            ?? Stream(id: .random(in: 1...UInt64(Int64.max)), dataClass: dataClass, oldest: 1, newest: 0)
        stream.newest += 1
        return stream
    }

    /// Stores the batch that `next` made room for.
    ///
    /// - Parameter first: Start of its earliest event.
    func append(_ stream: Stream, first: WallTime, header: Data, payload: Data) throws {
        try database.write { db in
            try db.execute(
                sql: "INSERT INTO stream VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET newest = excluded.newest",
                arguments: [Int64(bitPattern: stream.id), stream.dataClass.name, Int64(stream.newest)])
            try db.execute(
                sql: "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)",
                arguments: [Int64(bitPattern: stream.id), Int64(stream.newest), first.nanoseconds, header, Spool.hash(header, payload), payload])
        }
        streams[stream.id] = stream
        extent.batches += 1
        extent.bytes += payload.count
        if extent.oldest == nil { extent.oldest = first }
    }

    private static func hash(_ header: Data, _ payload: Data) -> Data {
        var hash = SHA256()
        hash.update(data: header)
        hash.update(data: payload)
        return Data(hash.finalize())
    }

    /// Batches from `sequence` on. One whose bytes have changed on disk is set aside, and named; what is behind it goes on.
    func fetch(_ id: UInt64, from sequence: UInt64, limit: Int) throws -> (batches: [SpooledBatch], damaged: [UInt64]) {
        guard streams[id] != nil else { return ([], []) }
        var batches: [SpooledBatch] = []
        var damaged: [UInt64] = []
        try database.read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT sequence, header, hash, payload FROM batch WHERE stream = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
                arguments: [Int64(bitPattern: id), Int64(sequence), limit])
            for row in rows {
                let number = UInt64(row[0] as Int64)
                let batch = SpooledBatch(stream: id, sequence: number, header: row[1], payload: row[3])
                guard Spool.hash(batch.header, batch.payload) == row[2] as Data else {
                    damaged.append(number)
                    continue
                }
                batches.append(batch)
            }
        }
        for number in damaged { try quarantine(id, number, "its bytes changed on disk") }
        return (batches, damaged)
    }

    /// Everything up to `sequence` is in the vault.
    func forget(_ id: UInt64, upTo sequence: UInt64) throws {
        try database.write { db in
            try db.execute(
                sql: "DELETE FROM batch WHERE stream = ? AND sequence <= ?", arguments: [Int64(bitPattern: id), Int64(sequence)])
        }
        FaultPointBridge.pass()
        try settle(id)
        try measure()
        try SQLiteStore.checkpoint(database)
    }

    func quarantine(_ id: UInt64, _ sequence: UInt64, _ why: String) throws {
        try database.write { db in
            try db.execute(
                sql: "INSERT INTO quarantine SELECT stream, sequence, ?, header, payload FROM batch WHERE stream = ? AND sequence = ?",
                arguments: [why, Int64(bitPattern: id), Int64(sequence)])
            try db.execute(
                sql: "DELETE FROM batch WHERE stream = ? AND sequence = ?", arguments: [Int64(bitPattern: id), Int64(sequence)])
        }
        try settle(id)
        try measure()
    }

    /// The oldest that is really there: something behind it may have been set aside.
    private func settle(_ id: UInt64) throws {
        guard let newest = streams[id]?.newest else { return }
        let oldest = try database.read { db in
            try Int64.fetchOne(db, sql: "SELECT MIN(sequence) FROM batch WHERE stream = ?", arguments: [Int64(bitPattern: id)])
        }
        streams[id]!.oldest = oldest.map { UInt64($0) } ?? newest + 1
    }

    private func measure() throws {
        extent = try database.read { db in
            var extent = Extent()
            if let row = try Row.fetchOne(db, sql: "SELECT COUNT(*), COALESCE(SUM(LENGTH(payload)), 0), MIN(first_ns) FROM batch") {
                extent.batches = row[0]
                extent.bytes = row[1]
                extent.oldest = (row[2] as Int64?).map { WallTime(nanoseconds: $0) }
            }
            extent.quarantined = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM quarantine") ?? 0
            return extent
        }
    }

    static func isFull(_ error: any Error) -> Bool { (error as? DatabaseError)?.isFull ?? false }
}
