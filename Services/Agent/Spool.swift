import Crypto
import Foundation
import GRDB
import Gate
import Vault

/// A batch that waits for its acknowledgement.
struct SpooledBatch: Sendable {
    var stream: UInt64
    var sequence: UInt64
    var dataClass: DataClass
    var first: WallTime
    var last: WallTime
    var count: Int
    var epoch: UInt64
    var columnsBytes: Int
    var payload: Data
}

/// What an agent keeps on disk: batches without acknowledgement, the intervals in which it held a permit, and the highest epoch.
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
        database = try SQLiteStore.open(path, version: 1) { step, db in
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

    func close() {
        try? SQLiteStore.checkpoint(database)
        try? database.close()
    }

    func epoch() throws -> Epoch {
        try database.read { db in Epoch(UInt64(try Int64.fetchOne(db, sql: "SELECT epoch FROM state") ?? 0)) }
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

    /// Gives a batch the next sequence of its class's stream and stores it.
    func append(
        _ dataClass: DataClass, first: WallTime, last: WallTime, count: Int, epoch: Epoch, columnsBytes: Int, payload: Data
    ) throws -> Stream {
        var stream = streams.values.first { $0.dataClass == dataClass }
            ?? Stream(id: .random(in: 1...UInt64(Int64.max)), dataClass: dataClass, oldest: 1, newest: 0)
        stream.newest += 1
        let hash = Data(SHA256.hash(data: payload))
        try database.write { db in
            try db.execute(
                sql: "INSERT INTO stream VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET newest = excluded.newest",
                arguments: [Int64(bitPattern: stream.id), dataClass.name, Int64(stream.newest)])
            try db.execute(
                sql: "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    Int64(bitPattern: stream.id), Int64(stream.newest), first.nanoseconds, last.nanoseconds, count, Int64(epoch.number),
                    columnsBytes, hash, payload,
                ])
        }
        streams[stream.id] = stream
        extent.batches += 1
        extent.bytes += payload.count
        if extent.oldest == nil { extent.oldest = first }
        return stream
    }

    /// Batches from `sequence` on. One whose bytes have changed on disk is set aside, and named; what is behind it goes on.
    func fetch(_ id: UInt64, from sequence: UInt64, limit: Int) throws -> (batches: [SpooledBatch], damaged: [UInt64]) {
        guard let stream = streams[id] else { return ([], []) }
        var batches: [SpooledBatch] = []
        var damaged: [UInt64] = []
        try database.read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT * FROM batch WHERE stream = ? AND sequence >= ? ORDER BY sequence LIMIT ?",
                arguments: [Int64(bitPattern: id), Int64(sequence), limit])
            for row in rows {
                let payload: Data = row["payload"]
                let number = UInt64(row["sequence"] as Int64)
                guard Data(SHA256.hash(data: payload)) == row["hash"] as Data else {
                    damaged.append(number)
                    continue
                }
                batches.append(
                    SpooledBatch(
                        stream: id, sequence: number, dataClass: stream.dataClass, first: WallTime(nanoseconds: row["first_ns"]),
                        last: WallTime(nanoseconds: row["last_ns"]), count: row["count"], epoch: UInt64(row["epoch"] as Int64),
                        columnsBytes: row["columns_bytes"], payload: payload))
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
                sql: "INSERT INTO quarantine SELECT stream, sequence, ?, payload FROM batch WHERE stream = ? AND sequence = ?",
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
