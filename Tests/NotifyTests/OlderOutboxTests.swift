import Foundation
import GRDB
import Gate
import Testing

@testable import sluice_notify

/// Outboxes as each version before this one left them: files, with the digests that it wrote. No step that comes later changes what they are.
struct OlderOutboxTests {
    let folder: Folder
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    static let versions = ["001-outbox", "002-entries", "003-digests", "004-mail", "005-notices"]
    static let withMail = ["004-mail", "005-notices"]

    init() throws { folder = try Folder() }

    private func older(_ version: String, _ changes: String = "") throws -> String {
        let dump = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Interop/outboxes/\(version).sql")
        let path = folder["\(version).sqlite"]
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        let sql = try String(contentsOf: dump, encoding: .utf8)
        try queue.write { try $0.execute(sql: sql + changes) }
        try queue.close()
        return path
    }

    @Test func `steps that were shipped keep their names and their order`() {
        #expect(Outbox.migrator(for: "").migrations.starts(with: Self.versions))
    }

    @Test(arguments: versions) func `an outbox of an older version is taken over whole, and takes mails`(_ version: String) throws {
        let path = try older(version)
        let before = Self.withMail.contains(version) ? 1 : 0
        for _ in 1...2 {
            let outbox = try Outbox(path: path)
            try outbox.configure(["oncall": "1", "audit": "1", Outbox.mailChannel: "folder"])
            #expect(try outbox.due(at: now + .seconds(9), limit: 9).count == 5)
            #expect(try outbox.undelivered(limit: 99).filter { $0.type == "gate.paused" && $0.recipient == nil }.map(\.lastError) == Array(repeating: "HTTP 500", count: 5))
            #expect(try outbox.cursor() == 3)
            try outbox.put(mails: [.test(9, to: "late@example.com", at: now)], at: now)
            #expect(try outbox.dueMails(at: now + .seconds(9), limit: 99).filter { $0.recipient == "ops@example.com" }.count == before)
            #expect(try outbox.dueMails(at: now + .seconds(9), limit: 99).map(\.recipient).contains("late@example.com"))
        }
    }

    @Test func `what people were told before stays as it stood, and what was coming begins anew`() throws {
        let outbox = try Outbox(path: try older("005-notices"))
        try outbox.configure(["oncall": "1", "audit": "1", Outbox.mailChannel: "folder"])
        let round = try #require(try outbox.rounds(of: 7, limit: 9).first)
        #expect((round.delivered, round.waiting, round.unreachable, round.held) == (1, 1, 3, 5))
        #expect(round.unreached.map(\.subject) == ["E0002", "E0003", "E0004"] && round.escalatedTo == ["operators@localhost"])
        #expect(try outbox.rounds(of: 7, limit: 9).count == 1)
        #expect(try outbox.sent(to: "E0001", of: 7).map { [$0.state, String(decoding: $0.bytes, as: UTF8.self), $0.messageID ?? ""] } == [["delivered", "notice of E0001 by 9", "<mail_9_E0001@example.com>"]])
        #expect(try outbox.spread(at: now) == nil, "each has its delivery")
        #expect(try outbox.dueMails(at: now + .seconds(9), limit: 99).map(\.rank) == [.operators, .operators, .people], "of operators' mails one and the letter")
        let coming = Signed(number: 12, (1...4).map { .test($0, decision: 12) })
        #expect(try outbox.held(of: coming.decision) == .held(0))
        #expect(try outbox.hold(0..<4, of: coming, at: now) == .taken(4, new: true))
    }

    static let damaged = [
        ("003-digests", "delivery", "a delivery is not what was written"), ("004-mail", "delivery", "a delivery is not what was written"), ("005-notices", "delivery", "a row of delivery is not what was written"),
        ("005-notices", "notice", "a row of notice is not what was written"), ("005-notices", "decision", "a row of decision is not what was written"), ("005-notices", "message", "a row of message is not what was written"),
    ]

    @Test(arguments: damaged) func `a row of an older version that is damaged gets no new digest`(_ version: String, _ table: String, _ why: String) throws {
        let change = ["delivery": "state = 'given-up'", "notice": "language = 'xx'", "decision": "escalated_to = 'x'", "message": "type = 'x'"][table] ?? ""
        let path = try older(version, "UPDATE \(table) SET \(change) WHERE rowid = 2;")
        #expect(throws: OutboxError.damaged(path: path, why: why)) { try Outbox(path: path) }
    }
}
