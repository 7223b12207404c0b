import Foundation
import GRDB
import Gate
import Ledger
import Testing

@testable import sluice_notify

struct OutboxTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure(["oncall": "1", "audit": "2"])
    }

    func take(_ index: Int, channels: [String] = ["oncall"]) throws -> Int {
        try outbox.take([.test(index, at: now)], channels: channels, at: now)
    }
    func due(at time: WallTime? = nil, on channel: String? = nil) throws -> [String] {
        try outbox.due(at: time ?? now, limit: 100, on: channel).map { "\($0.message.id) \($0.channel)" }
    }

    @Test func `a commit survives a power cut, before and after the first write`() throws {
        try outbox.database.read { try Outbox.checkPragmas($0, "") }
        _ = try take(1)
        try outbox.database.read { try Outbox.checkPragmas($0, "") }
        let mode = try FileManager.default.attributesOfItem(atPath: outbox.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    /// The control: the check finds what GRDB does when left alone.
    @Test func `a database whose commits could be lost is refused`() throws {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.prepareDatabase {
            try $0.execute(sql: "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")
        }
        let queue = try DatabaseQueue(path: folder["other.sqlite"], configuration: configuration)
        #expect(throws: OutboxError.unsafe(path: "p", pragma: "synchronous", wanted: "2", found: "1")) {
            try queue.read { try Outbox.checkPragmas($0, "p") }
        }
    }

    @Test func `a database from a newer version is refused and left as it is`() throws {
        let path = folder["newer.sqlite"]
        _ = try Outbox(path: path)
        try DatabaseQueue(path: path).write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('002-later')") }
        let error = #expect(throws: OutboxError.newer(path: path, unknown: ["002-later"])) { try Outbox(path: path) }
        #expect(error.map { "\($0)" }?.contains("install that version again") == true)
    }

    @Test func `what is no database, or cannot be opened, is an error that says so`() throws {
        let path = folder["noise"]
        try Data(repeating: 65, count: 8_192).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: OutboxError.self) { try Outbox(path: path) }
        guard case .damaged(path, _) = error else { Issue.record("\(String(describing: error))"); return }
        let nowhere = folder["no/such"]
        #expect(throws: OutboxError.unopened(path: nowhere, why: "No such file or directory")) { try Outbox(path: nowhere) }
    }

    /// One of each, and of deliveries one in each state.
    private func filled() throws {
        for index in 1...4 { _ = try take(index, channels: ["oncall", "audit"]) }
        try outbox.delivered("msg_j_1", on: "oncall", at: now)
        try outbox.failed("msg_j_2", on: "oncall", why: "HTTP 500", retryAt: nil)
        try outbox.failed("msg_j_3", on: "oncall", why: "HTTP 503", retryAt: now + .seconds(5), hold: now + .seconds(3))
        try outbox.disable("audit", after: "msg_j_1", why: "410", at: now)
        try outbox.put(mails: [.test(1, at: now)], at: now)
        _ = try outbox.hold([.test(1)], from: 0, of: Outbox.Decision([.test(1)]), at: now)
        try outbox.delivered("mail_1", on: Outbox.mailChannel, at: now)
        try #require(try outbox.returned("mail_1", recipient: nil, status: "5.1.1", why: "no such user", at: now) == .noted)
        try #require(try outbox.opened([.init(id: "mail_9_E0001", recipient: nil, way: .seen)], at: now) == [.noted])
        _ = try outbox.people()
    }

    private func edit(_ sql: String) throws {
        try outbox.database.write { db in
            try db.execute(sql: "PRAGMA ignore_check_constraints = ON")
            try db.execute(sql: sql)
        }
    }

    @Test func `a value that is not what was written in any column of any row is refused at the start, in a line that names file and row`() throws {
        try filled()
        _ = try Outbox(path: outbox.path)
        var tried = 0
        for table in Outbox.Table.allCases {
            let name = table.rawValue
            for column in table.columns + ["digest"] {
                // One bit, and for what is not there a value.
                let type = try outbox.database.read { try String.fetchOne($0, sql: "SELECT typeof(\(column)) FROM \(name) LIMIT 1") } ?? ""
                let change =
                    switch type {
                    case "integer": "(\(column) | 1) - (\(column) & 1)"
                    case "text": "char(unicode(\(column)) + 1) || substr(\(column), 2)"
                    case "blob": "zeroblob(length(\(column)))"
                    default: ["digest", "edge"].contains(column) ? "x'00'" : ["why", "last_error", "address", "recipient", "unreachable", "escalated_to", "operator", "spread_to", "same_as"].contains(column) ? "'x'" : "7"
                    }
                let copy = folder["\(name)-\(column).sqlite"]
                try outbox.database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
                try FileManager.default.copyItem(atPath: outbox.path, toPath: copy)
                let queue = try DatabaseQueue(path: copy)
                try queue.writeWithoutTransaction { db in
                    try db.execute(sql: "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
                    try db.execute(sql: "UPDATE \(name) SET \(column) = \(change) WHERE rowid = (SELECT MIN(rowid) FROM \(name))")
                    #expect(db.changesCount == 1, "\(name).\(column)")
                }
                try queue.close()
                let error = #expect(throws: OutboxError.self, "\(name).\(column)") { try Outbox(path: copy) }
                guard case .damaged(copy, _)? = error else { Issue.record("\(name).\(column): \(String(describing: error))"); continue }
                #expect("\(try #require(error))".hasPrefix("\(copy) is damaged: "))
                tried += 1
            }
        }
        #expect(tried == 92, "each was tried")
    }

    @Test func `a delivery that is damaged while notify runs is not sent, and not passed over`() throws {
        try filled()
        #expect(try due(at: now + .seconds(9)).count == 2, "the control")
        for (table, change) in [("message", "body = x'7b7d' WHERE id = 'msg_j_3'"), ("delivery", "attempts = 0 WHERE message = 'msg_j_3' AND channel = 'oncall'"), ("channel", "held_until = 1 WHERE name = 'oncall'")] {
            let before = try outbox.database.read { try Row.fetchAll($0, sql: "SELECT * FROM \(table)") }
            try edit("UPDATE \(table) SET \(change)")
            let error = #expect(throws: OutboxError.self) { try due(at: now + .seconds(9)) }
            guard case .damaged? = error else { Issue.record("\(table): \(String(describing: error))"); continue }
            try outbox.database.write { db in
                try db.execute(sql: "PRAGMA defer_foreign_keys = ON; DELETE FROM \(table)")
                for row in before {
                    try db.execute(sql: "INSERT INTO \(table) VALUES (\(row.map { _ in "?" }.joined(separator: ", ")))", arguments: StatementArguments(row.databaseValues))
                }
            }
            #expect(try due(at: now + .seconds(9)).count == 2, "as it was")
        }
    }

    @Test func `an outbox whose pages are damaged is refused`() throws {
        try filled()
        _ = try Outbox(path: outbox.path)
        // A row that its index does not find.
        try outbox.database.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'cursor') WHERE name = 'delivery_pending'; PRAGMA wal_checkpoint(TRUNCATE)")
        }
        #expect(throws: OutboxError.self) { try Outbox(path: outbox.path) }
    }

    @Test func `an entry is taken once, with its messages, and older ones are ignored`() throws {
        #expect(try take(5, channels: ["oncall", "audit"]) == 1)
        #expect(try take(5) == 0)
        #expect(try take(4) == 0)
        var silent = Outbox.Told.test(6)
        silent.message = nil
        #expect(try outbox.take([silent], channels: ["oncall"], at: now) == 0)
        #expect(try outbox.cursor() == 6)
        #expect(try due() == ["msg_j_5 oncall", "msg_j_5 audit"])
        #expect(try Outbox(path: outbox.path).cursor() == 6)
    }

    @Test func `an entry that fails halfway leaves nothing behind`() throws {
        try outbox.database.write { try $0.execute(sql: "CREATE TRIGGER full BEFORE INSERT ON message WHEN NEW.id = 'msg_j_2' BEGIN SELECT RAISE(ABORT, 'full'); END") }
        #expect(throws: OutboxError.self) { try outbox.take([.test(1, at: now), .test(2, at: now)], channels: ["oncall"], at: now) }
        #expect(try outbox.cursor() == 0)
        #expect(try due() == [])
        #expect(try outbox.hashes(1...2) == [:])
        #expect(try take(1) == 1, "the control")
        var bad = Outbox.Told.test(2)
        bad.message?.id = "a.b"
        #expect(throws: OutboxError.badID("a.b")) { try outbox.take([bad], channels: [], at: now) }
        bad.index = .max
        #expect(throws: OutboxError.index(.max)) { try outbox.take([bad], channels: [], at: now) }
    }

    @Test func `from a fork on the outbox forgets what it took, not what it tells, and tells nothing twice`() throws {
        for number in 1...5 { _ = try take(number) }
        try outbox.delivered("msg_j_1", on: "oncall", at: now)
        let given = try #require(try outbox.root(at: 5))
        let other = [4, 5].map { Outbox.Told(index: UInt64($0), hash: TreeHash(leaf: [9, UInt8($0)]), message: .test($0 + 90, at: now)) }
        #expect(try outbox.take(other, from: 3, channels: ["oncall"], at: now) == 2)
        #expect(try outbox.cursor() == 5)
        #expect(try outbox.hashes(1...9)[4] == other[0].hash)
        #expect(try outbox.root(at: 5) != given)
        #expect(try due() == ["msg_j_2 oncall", "msg_j_3 oncall", "msg_j_4 oncall", "msg_j_5 oncall", "msg_j_94 oncall", "msg_j_95 oncall"])
        // And the first history back: what it says has been told.
        #expect(try outbox.take([.test(4, at: now), .test(5, at: now), .test(6, at: now)], from: 3, channels: ["oncall"], at: now) == 1)
        #expect(try outbox.root(at: 5) == given)
    }

    @Test func `a failed delivery comes back at its time, and a given up one stays on the list`() throws {
        _ = (try take(1), try take(2))
        try outbox.failed("msg_j_1", on: "oncall", why: "HTTP 500", retryAt: now + .seconds(5))
        try outbox.failed("msg_j_2", on: "oncall", why: "HTTP 404", retryAt: nil)
        #expect(try due() == [])
        #expect(try outbox.nextDue(on: "oncall", at: now) == now + .seconds(5))
        #expect(try due(at: now + .seconds(5)) == ["msg_j_1 oncall"])
        #expect(try outbox.counts() == Outbox.Counts(waiting: 1, givenUp: 1, oldestWaiting: now))
        let listed = try outbox.undelivered(limit: 10)
        #expect(listed.map(\.state) == [.waiting(until: now + .seconds(5)), .givenUp])
        #expect(listed.map(\.lastError) == ["HTTP 500", "HTTP 404"])
        #expect(listed.map(\.attempts) == [1, 1])
    }

    @Test func `a delivered one is not sent again, nor a late failure of it believed`() throws {
        _ = try take(1)
        try outbox.delivered("msg_j_1", on: "oncall", at: now)
        try outbox.failed("msg_j_1", on: "oncall", why: "late", retryAt: now)
        #expect(try due() == [])
        #expect(try outbox.counts() == Outbox.Counts(delivered: 1))
        #expect(try outbox.undelivered(limit: 10) == [])
    }

    @Test func `a disabled channel holds what it has until it is enabled`() throws {
        _ = (try take(1), try take(2, channels: ["oncall", "audit"]))
        try outbox.disable("oncall", after: "msg_j_1", why: "HTTP 410", at: now)
        #expect(try due() == ["msg_j_2 audit"])
        #expect(try outbox.nextDue(on: "oncall", at: now) == nil)
        #expect(try outbox.counts() == Outbox.Counts(waiting: 1, held: 2, oldestWaiting: now))
        #expect(try outbox.channels().last?.state == .disabled(since: now, why: "HTTP 410"))
        try outbox.configure(["oncall": "1", "audit": "2"])
        #expect(try due() == ["msg_j_2 audit"], "the same address stays disabled")
        try outbox.enable("oncall")
        #expect(try due(on: "oncall") == ["msg_j_1 oncall", "msg_j_2 oncall"])
    }

    @Test func `a new address enables a channel, and a removed channel loses nothing`() throws {
        _ = try take(1)
        try outbox.disable("oncall", after: "msg_j_1", why: "HTTP 410", at: now)
        try outbox.configure(["audit": "2"])
        #expect(try outbox.counts().held == 1)
        try outbox.configure(["oncall": "3", "audit": "2"])
        #expect(try due() == ["msg_j_1 oncall"])
        try outbox.configure(["audit": "2"])
        #expect(try outbox.channels().map(\.state) == [.active, .removed])
        #expect(try outbox.counts().held == 1)
        try outbox.configure(["oncall": "3", "audit": "2"])
        #expect(try due() == ["msg_j_1 oncall"])
    }

    @Test func `what is of one incident stays in order on a hook, through a failure, a channel that was disabled, a restart, and a clock that was set back`() throws {
        for number in [1, 2] { try outbox.take([.test(number, of: 7, at: now)], channels: ["oncall", "audit"], at: now) }
        try outbox.take([.test(3, of: 8, at: now)], channels: ["oncall"], at: now)
        let later = now + .seconds(5)
        try outbox.failed("msg_j_1", on: "oncall", .init(at: now, code: 500, text: "HTTP 500"), retryAt: later)
        #expect(try due() == ["msg_j_1 audit", "msg_j_2 audit", "msg_j_3 oncall"])
        try outbox.take([.test(4, of: 7, at: now), .test(5, of: 7, at: now)], channels: ["oncall"], at: now)
        let again = try Outbox(path: outbox.path)
        #expect(try again.due(at: now, limit: 9, on: "oncall").map(\.message.incident) == [8])
        try outbox.delivered("msg_j_3", on: "oncall", at: now)
        let left = ["msg_j_1", "msg_j_2", "msg_j_4", "msg_j_5"].map { "\($0) oncall" }
        #expect(try due(at: later, on: "oncall") == left)
        try outbox.disable("oncall", after: "msg_j_1", why: "HTTP 410", at: later + .seconds(60))
        try outbox.enable("oncall")
        #expect(try due(at: later + .seconds(60), on: "oncall") == left)
        // Set back by years: what they wait for would never come, so it has.
        let before = now - .seconds(3 * 365 * 86_400)
        #expect(try due(at: before, on: "oncall") == left)
        try outbox.failed("msg_j_1", on: "oncall", .init(at: before, code: 500, text: "HTTP 500"), retryAt: before + .seconds(300))
        #expect(try due(at: before, on: "oncall") == [])
        #expect(try due(at: before + .seconds(300), on: "oncall") == left)
        try outbox.failed("msg_j_1", on: "oncall", why: "HTTP 500", retryAt: nil)
        #expect(try due(at: before + .seconds(300), on: "oncall") == Array(left.dropFirst()))
    }

    @Test func `a held channel waits as a whole`() throws {
        _ = (try take(1), try take(2))
        try outbox.failed("msg_j_1", on: "oncall", why: "HTTP 429", retryAt: now + .seconds(90), hold: now + .seconds(90))
        #expect(try due() == [])
        #expect(try outbox.nextDue(on: "oncall", at: now) == now + .seconds(90))
        #expect(try due(at: now + .seconds(90)).count == 2)
    }

    @Test func `a clock that was set back by years holds nothing up for longer than the schedule`() throws {
        _ = try take(1)
        try outbox.failed("msg_j_1", on: "oncall", why: "HTTP 429", retryAt: now + .seconds(90), hold: now + .seconds(90))
        let before = now - .seconds(3 * 365 * 86_400)
        #expect(try due(at: before) == ["msg_j_1 oncall"])
        #expect(try outbox.nextDue(on: "oncall", at: before)! <= before)
    }
}
