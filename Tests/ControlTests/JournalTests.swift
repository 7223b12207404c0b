import Chassis
import Crypto
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Messaging
import Testing
import Wire

@testable import sluice_control

/// Control's ledger on a disk that is full, by the limit that SQLite itself keeps.
@Suite struct JournalTests {
    private let scene: JournalScene

    init() throws { scene = try JournalScene() }

    @Test func `epochs that could not be reserved are, as soon as there is room, and the trouble goes`() throws {
        let floor = try scene.reserved()
        try scene.fill()
        // Too near to the end of what is reserved: more is needed, and no entry comes after it.
        scene.journal.gave(Epoch(floor))
        try scene.expect("it cannot be reserved") { if case .unreserved = $0 { true } else { false } }
        #expect(try scene.reserved() == floor)
        // Again and again, and not only once.
        try scene.expect("it is tried again") { if case .unreserved = $0 { true } else { false } }
        try scene.makeRoom()
        try scene.expect("the trouble is over") { if case .reserved = $0 { true } else { false } }
        #expect(try scene.reserved() > floor)
    }

    @Test func `what is reserved in time says nothing`() throws {
        let floor = try scene.reserved()
        scene.journal.gave(Epoch(floor))
        scene.journal.append([try Recorded(Entry(index: 1, at: Clock.wall(), author: "control", deed: .incidentMoved(number: 1, to: .contained)), signed: nil)])
        let before = try scene.expect("the entry is durable") { if case .durable = $0 { true } else { false } }
        #expect(before.isEmpty)
    }

    @Test func `entries that could not be written are, as soon as there is room`() throws {
        try scene.fill()
        scene.journal.append([try Recorded(Entry(index: 1, at: Clock.wall(), author: "control", deed: .incidentMoved(number: 1, to: .contained)), signed: nil)])
        try scene.expect("it waits") { if case .full = $0 { true } else { false } }
        try scene.makeRoom()
        try scene.expect("it is durable") { if case .durable(1, _) = $0 { true } else { false } }
    }
}

private final class JournalScene {
    let journal: Journal
    private let news: Mailbox<Journal.News>
    private let folder: String
    private let reactor: Reactor
    private var unread: [Journal.News] = []

    init() throws {
        folder = NSTemporaryDirectory() + "journal-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        func key(_ name: String, _ seed: UInt8) throws -> NoteSigner { 
            try NoteSigner(
                name: #require(KeyName(name)), algorithm: name == "test/control" || name == "test/policy" ? .cosignature : .note,
                key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32)))
        }
        let control = try key("test/governance", 1)
        let wakeup = try Wakeup()
        news = Mailbox(wakeup: wakeup)
        var woken: () -> Void = {}
        reactor = Reactor(wakeup: wakeup) { woken() }
        journal = try Journal(
            folder: folder, signers: [control],
            keys: .init(control: control.verifier, policy: try key("test/reads", 2).verifier, policyWitness: try key("test/policy", 3).verifier, own: try key("test/control", 4)), news: news)
        _ = try journal.reserveEpochs()
        // Whatever is written needs pages that are not there yet.
        try journal.database.write { db in
            try db.execute(
                sql: """
                    CREATE TABLE ballast (bytes BLOB);
                    CREATE TRIGGER reserving AFTER UPDATE OF reserved ON journal BEGIN INSERT INTO ballast VALUES (zeroblob(100000)); END;
                    CREATE TRIGGER recording AFTER INSERT ON ledger_body BEGIN INSERT INTO ballast VALUES (zeroblob(100000)); END;
                    """)
        }
        woken = { [unowned self] in
            unread += news.take()
            reactor.stop()
        }
        journal.start()
    }

    deinit {
        journal.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func fill() throws { try limit(1) }
    func makeRoom() throws { try limit(1 << 30) }

    /// SQLite goes no lower than to what there is.
    private func limit(_ pages: Int) throws { try journal.database.writeWithoutTransaction { _ = try Int.fetchOne($0, sql: "PRAGMA max_page_count = \(pages)") } }

    func reserved() throws -> UInt64 { try journal.database.read { UInt64(try Int64.fetchOne($0, sql: "SELECT reserved FROM journal") ?? 0) } }

    /// Waits for news; returns what came before it.
    @discardableResult
    func expect(_ what: Comment, _ isIt: (Journal.News) -> Bool) throws -> [Journal.News] {
        var isLate = false
        reactor.every(.seconds(30)) { [unowned self] _ in
            isLate = true
            reactor.stop()
        }
        defer { reactor.forgetLastTimer() }
        var before: [Journal.News] = []
        while true {
            while !unread.isEmpty {
                let next = unread.removeFirst()
                if isIt(next) { return before }
                before.append(next)
            }
            guard !isLate else { throw Late(what: "\(what); news: \(before)") }
            reactor.run()
        }
    }

    struct Late: Error { let what: String }
}
