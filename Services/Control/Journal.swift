import Foundation
import GRDB
import Gate
import Messaging
import SwiftProtobuf
import Synchronization
import Vault
import Wire

/// Control's record of everything decided: append-only, in SQLite, written by one thread of its own.
///
/// Later the Merkle log of the governance ledger; its place is here, behind the same three calls.
final class Journal: Sendable {
    /// What the thread tells the reactor.
    enum News: Sendable {
        /// All entries up to this index are durable.
        case durable(UInt64)
        /// The disk is full: entries wait, pauses are in force all the same.
        case full(String)
        /// Entries for a follower.
        case page(Route, [WireEntry], last: UInt64)
        case certificate(Route, WireCertificate?)
        /// The disk has failed in a way after which nothing about it is known: the process must end.
        case failed(String)
    }

    private enum Work: Sendable {
        case append(WireEntry)
        case page(Route, after: UInt64)
        case certificate(Route, UInt64)
        case reserve(UInt64)
        case stop
    }

    private let database: any DatabaseWriter
    private let reserve: String
    private let path: String
    private let news: Mailbox<News>
    private let queue = Mutex<[Work]>([])
    private let waiting = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private let durable = Mutex<UInt64>(0)
    /// Identifies this journal for ever: a follower of another one must not go on with this.
    let id: Data

    /// Released when the disk is full, so that a pause can still be recorded.
    private static let reserveBytes = 4 << 20

    init(folder: String, news: Mailbox<News>) throws {
        self.news = news
        reserve = folder + "/reserve"
        database = try SQLiteStore.open(folder + "/journal.sqlite", version: 1) { step, db in
            guard step == 1 else { return }
            try db.execute(
                sql: """
                    CREATE TABLE entry (number INTEGER PRIMARY KEY, certificate INTEGER, body BLOB NOT NULL) STRICT;
                    CREATE INDEX entry_certificate ON entry (certificate) WHERE certificate IS NOT NULL;
                    CREATE TABLE journal (id BLOB NOT NULL, reserved INTEGER NOT NULL) STRICT;
                    INSERT INTO journal VALUES (randomblob(8), 0);
                    """)
        }
        path = folder + "/journal.sqlite"
        id = try SQLiteStore.naming(path) { [database] in
            try database.read { db in try Data.fetchOne(db, sql: "SELECT id FROM journal") ?? Data() }
        }
        allocateReserve()
    }

    /// Everything, in order. Call before ``start()``.
    ///
    /// - Throws: `StoreError.damaged` when an entry is missing or cannot be read: what is not known may have been a pause.
    func replay(_ apply: (Entry) -> Void) throws -> UInt64 {
        var last: UInt64 = 0
        try SQLiteStore.naming(path) { try database.read { db in
            let rows = try Row.fetchCursor(db, sql: "SELECT number, body FROM entry ORDER BY number")
            while let row = try rows.next() {
                let number: Int64 = row[0]
                let body: Data = row[1]
                guard UInt64(number) == last + 1, let wire = try? WireEntry(serializedBytes: body), let entry = wire.value else {
                    throw StoreError.damaged(path: path, "entry \(last + 1) is missing or unreadable")
                }
                apply(entry)
                last = UInt64(number)
            }
        } }
        durable.withLock { $0 = last }
        return last
    }

    /// Reserves epochs ahead, durably, so that none is given twice even if the entry that held it was lost.
    ///
    /// - Returns: the floor: every epoch that an earlier run may have given is below or at it.
    func reserveEpochs() throws -> Epoch {
        let floor = try database.read { db in try Int64.fetchOne(db, sql: "SELECT reserved FROM journal") ?? 0 }
        reserved.withLock { $0 = UInt64(floor) }
        try extendReserve(beyond: UInt64(floor))
        return Epoch(UInt64(floor))
    }

    /// An epoch was given. Extends what is reserved in time; a disk that is full does not stop a pause.
    func gave(_ epoch: Epoch) {
        guard epoch.number + Journal.epochsReserved / 2 > reserved.withLock({ $0 }) else { return }
        post(.reserve(epoch.number))
    }

    private func extendReserve(beyond epoch: UInt64) throws {
        let next = max(epoch, reserved.withLock { $0 }) + Journal.epochsReserved
        try database.write { db in try db.execute(sql: "UPDATE journal SET reserved = ?", arguments: [Int64(next)]) }
        reserved.withLock { $0 = next }
    }

    private static let epochsReserved: UInt64 = 100
    private let reserved = Mutex<UInt64>(0)

    func append(_ entry: Entry) { post(.append(WireEntry(entry))) }
    func page(for route: Route, after index: UInt64) { post(.page(route, after: index)) }
    func certificate(for route: Route, _ epoch: UInt64) { post(.certificate(route, epoch)) }

    private func post(_ work: Work) {
        queue.withLock { $0.append(work) }
        waiting.signal()
    }

    func start() { startThread("journal") { [self] in run() } }

    /// Writes what waits, then ends the thread.
    func stop() {
        post(.stop)
        _ = ended.wait(timeout: .now() + 5)
    }

    private func run() {
        var unwritten: [WireEntry] = []
        var stopping = false
        while !stopping || !unwritten.isEmpty {
            // When the disk is full, try again soon; it is not an event that anybody reports.
            _ = unwritten.isEmpty ? waiting.wait(timeout: .distantFuture) : waiting.wait(timeout: .now() + .milliseconds(250))
            let work = queue.withLock { list in
                defer { list = [] }
                return list
            }
            for item in work {
                switch item {
                case .append(let entry): unwritten.append(entry)
                case .stop: stopping = true
                case .page, .certificate, .reserve: break
                }
            }
            if !unwritten.isEmpty, write(unwritten) { unwritten = [] } else if stopping { break }
            for item in work { answer(item) }
        }
        try? SQLiteStore.checkpoint(database)
        try? database.close()
        ended.signal()
    }

    private func write(_ entries: [WireEntry], releasing: Bool = true) -> Bool {
        do {
            try database.write { db in
                let insert = try db.cachedStatement(sql: "INSERT INTO entry (number, certificate, body) VALUES (?, ?, ?)")
                for entry in entries {
                    var certificate: Int64?
                    if case .certified(let body)? = entry.deed { certificate = Int64(body.epoch) }
                    try insert.execute(arguments: [Int64(entry.index), certificate, try entry.serializedData()])
                }
            }
        } catch let error as DatabaseError where error.isFull {
            if releasing, unlink(reserve) == 0 { return write(entries, releasing: false) }
            news.post(.full(error.message ?? "disk full"))
            return false
        } catch {
            news.post(.failed("\(error)"))
            return false
        }
        let last = entries[entries.count - 1].index
        durable.withLock { $0 = last }
        news.post(.durable(last))
        allocateReserve()
        do { try SQLiteStore.checkpoint(database) } catch { news.post(.failed("\(error)")) }
        return true
    }

    private func answer(_ work: Work) {
        do {
            switch work {
            case .page(let route, let after):
                let last = durable.withLock { $0 }
                var bytes = 0
                var page: [WireEntry] = []
                try database.read { db in
                    let rows = try Row.fetchCursor(
                        db, sql: "SELECT body FROM entry WHERE number > ? ORDER BY number LIMIT ?",
                        arguments: [Int64(clamping: after), Limits.entriesPerPageMax])
                    while let row = try rows.next() {
                        let body: Data = row[0]
                        guard page.isEmpty || bytes + body.count < Limits.bodyBytesMax / 2 else { break }
                        bytes += body.count
                        page.append(try WireEntry(serializedBytes: body))
                    }
                }
                news.post(.page(route, page, last: last))
            case .certificate(let route, let epoch):
                let body = try database.read { db in
                    try Data.fetchOne(
                        db, sql: "SELECT body FROM entry WHERE certificate = ? ORDER BY number DESC LIMIT 1", arguments: [Int64(clamping: epoch)])
                }
                var found: WireCertificate?
                if let body, case .certified(let certificate)? = try WireEntry(serializedBytes: body).deed { found = certificate }
                news.post(.certificate(route, found))
            case .reserve(let epoch): try extendReserve(beyond: epoch)
            case .append, .stop: break
            }
        } catch let error as DatabaseError where error.isFull {
            news.post(.full(error.message ?? "disk full"))
        } catch {
            news.post(.failed("\(error)"))
        }
    }

    private func allocateReserve() {
        guard access(reserve, F_OK) != 0 else { return }
        // Not while space is short: the reserve is for the worst moment, and must not bring it about.
        var space = statvfs()
        guard statvfs(path, &space) == 0, Int(space.f_bavail) * Int(space.f_frsize) > 4 * Journal.reserveBytes else { return }
        let descriptor = open(reserve, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        // Written, not only made long: a hole reserves nothing.
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var written = 0
        while written < Journal.reserveBytes {
            guard write(descriptor, zeros, zeros.count) == zeros.count else { break }
            written += zeros.count
        }
        close(descriptor)
        if written < Journal.reserveBytes { unlink(reserve) }
    }

    private func write(_ descriptor: Int32, _ bytes: [UInt8], _ count: Int) -> Int { Foundation.write(descriptor, bytes, count) }
}
