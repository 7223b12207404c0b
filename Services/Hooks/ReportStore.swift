import Crypto
import Foundation
import GRDB
import Gate
import Rules
import SwiftProtobuf
import Wire

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What was reported, and what control has not been told of it yet. Durable before a sender is answered.
///
/// A report that a rule matches becomes part of a *finding*: *waiting*, *sent* (control may have it; it changes no more), *answered* (control has it for
/// good, in an incident). While one waits, whatever asks for the same closure joins it: a storm is one finding, or one a second, and is counted whole.
/// All times are arguments. Every call blocks on the disk.
struct ReportStore: Sendable {
    private let database: any DatabaseWriter
    let path: String

    /// Why the store cannot be used. Whoever reports keeps what they have, and comes again.
    enum Unusable: Error, Hashable, Sendable, CustomStringConvertible {
        case unopened(path: String, why: String)
        case newer(path: String, unknown: [String])
        case storage(path: String, why: String)

        var description: String {
            switch self {
            case .unopened(let path, let why): "cannot open \(path): \(why)"
            case .newer(let path, let unknown): "\(path) was written by a newer Sluice (\(unknown.joined(separator: ", "))): use that one"
            case .storage(let path, let why): "\(path) cannot be written: \(why)"
            }
        }
    }

    /// A body that was taken: its reports, each with the rules that match it.
    struct Taken: Sendable {
        var hook: Hook
        /// Which rules those are: ``RuleBook/digest``.
        var book: Data
        var reports: [(report: Report, rules: [HookRules.Rule])]
    }

    /// What became of a body's reports.
    struct Receipt: Hashable, Sendable {
        var new = 0
        /// They had come before.
        var known = 0
        /// Some rule asks for a closure, and none did before.
        var matched = 0
    }

    /// Since the first start. Every report that was taken is in one of them.
    struct Totals: Hashable, Sendable {
        /// Firing, and some rule asks for a closure: new, or taken before by rules of which none did.
        var matched: UInt64 = 0
        /// Firing, and new.
        var unmatched: UInt64 = 0
        /// Of what is over.
        var resolved: UInt64 = 0
        /// Taken before.
        var known: UInt64 = 0
        /// Findings that control has not answered.
        var waiting: UInt64 = 0
        /// Findings that it has.
        var answered: UInt64 = 0
    }

    /// A report that comes again is known for so long after it came last. Alertmanager repeats itself every four hours, or as its settings say.
    static let knownFor = Span.seconds(14 * 24 * 3_600)
    /// The oldest go first beyond it: 40 MB of keys.
    static let knownMax = 1_000_000
    /// A clock that was put back must not make everything the newest for ever.
    private static let pruneEvery: UInt64 = 256

    init(path: String) throws(Unusable) {
        self.path = path
        // SQLite would create it readable by all; its WAL takes over the mode.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .unopened(path: path, why: String(cString: strerror(errno))) }
        close(file)
        database = try ReportStore.translated(path) {
            var configuration = Configuration()
            configuration.label = "reports"
            configuration.journalMode = .wal
            configuration.prepareDatabase { try $0.execute(sql: "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON") }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            // GRDB sets NORMAL in WAL mode after it has prepared the connection: a NORMAL commit does not survive a power cut.
            try queue.inDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            let migrator = ReportStore.migrator
            let unknown = try queue.read { try migrator.appliedIdentifiers($0) }.subtracting(migrator.migrations)
            guard unknown.isEmpty else { throw Unusable.newer(path: path, unknown: unknown.sorted()) }
            try migrator.migrate(queue)
            return queue
        }
    }

    /// Shipped migrations are frozen.
    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("001-reports") { db in
            // Times are microseconds since 1970. What was reported is not kept: keys, and what a rule says.
            try db.execute(
                sql: """
                    CREATE TABLE seen (key BLOB PRIMARY KEY NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
                    CREATE INDEX seen_at ON seen (at);
                    CREATE TABLE finding (
                        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, cause BLOB NOT NULL, body BLOB NOT NULL, hook TEXT NOT NULL,
                        reports INTEGER NOT NULL, at INTEGER NOT NULL,
                        state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'answered')),
                        incident INTEGER, entry INTEGER
                    ) STRICT;
                    CREATE UNIQUE INDEX finding_waiting ON finding (cause) WHERE state = 'waiting';
                    CREATE INDEX finding_open ON finding (number) WHERE state <> 'answered';
                    CREATE TABLE total (name TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL) STRICT;
                    """)
        }
        migrator.registerMigration("002-unmatched") { db in
            // Which rules have looked at it in vain; null: some matched, or it is over, or an older Sluice took it, which did not say.
            try db.execute(sql: "ALTER TABLE seen ADD COLUMN unmatched BLOB")
        }
        migrator.registerMigration("003-asked") { db in
            // What was asked for when it came, as a digest of each closure, one behind the other; null: nothing, or an older Sluice took it, which did not say.
            try db.execute(sql: "ALTER TABLE seen ADD COLUMN asked BLOB")
        }
        return migrator
    }

    /// Takes bodies, all of them in one transaction: whoever is answered is answered for good.
    func take(_ bodies: [Taken], at now: WallTime) throws(Unusable) -> [Receipt] {
        try writing { db in
            var totals: [String: Int] = [:]
            let receipts = try bodies.map { body in
                var receipt = Receipt()
                for (report, rules) in body.reports {
                    let matching = report.isFiring ? rules : []
                    let (isNew, asked, isMore) = try ReportStore.note(report, matching, by: body.book, db, now)
                    if isNew { receipt.new += 1 } else { receipt.known += 1 }
                    let isAsked = !asked.isEmpty
                    if isAsked { receipt.matched += 1 }
                    totals[isAsked ? "matched" : !isNew ? "known" : report.isFiring ? "unmatched" : "resolved", default: 0] += 1
                    guard isAsked else { continue }
                    for rule in asked { try ReportStore.join(rule, of: report, isMore: isMore, body.hook, db, now) }
                }
                return receipt
            }
            for (name, count) in totals {
                try db.execute(sql: "INSERT INTO total VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count", arguments: [name, count])
            }
            try ReportStore.prune(db, now)
            return receipts
        }
    }

    /// What of its rules a report asks for now: of one that is new, all; of one that came before, those that close what it has not asked for yet.
    ///
    /// Rules change while an alert goes on firing. What a rule asked for once control has for good, and whoever has resumed since is not asked again by a repetition.
    private static func note(_ report: Report, _ matching: [HookRules.Rule], by book: Data, _ db: Database, _ now: WallTime) throws -> (isNew: Bool, asked: [HookRules.Rule], isMore: Bool) {
        let digests = try matching.map { try digest($0) }
        // What is over is known, and has nothing to be looked at again.
        let unmatched = report.isFiring && matching.isEmpty ? book : nil
        try db.execute(sql: "INSERT INTO seen (key, at, unmatched, asked) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", arguments: [report.key, now.microseconds, unmatched, matching.isEmpty ? nil : joined(Set(digests))])
        if db.changesCount > 0 { return (true, matching, false) }
        let row = try Row.fetchOne(db, sql: "SELECT unmatched, asked FROM seen WHERE key = ?", arguments: [report.key])
        let (vain, before) = (row?["unmatched"] as Data?, row?["asked"] as Data?)
        guard !matching.isEmpty, vain != book, let known = before ?? (vain == nil ? nil : Data()) else {
            // As long as it is repeated it is the same one. Of one that an older Sluice took nobody knows what it asked for.
            try db.execute(sql: "UPDATE seen SET at = ?, unmatched = ? WHERE key = ?", arguments: [now.microseconds, vain == nil ? nil : unmatched ?? vain, report.key])
            return (false, [], false)
        }
        let had = parted(known)
        let more = zip(matching, digests).filter { !had.contains($0.1) }.map(\.0)
        try db.execute(sql: "UPDATE seen SET at = ?, unmatched = NULL, asked = ? WHERE key = ?", arguments: [now.microseconds, joined(had.union(digests)), report.key])
        return (false, more, !had.isEmpty)
    }

    private static let digestBytes = 8
    /// Of what a rule closes, whatever it is called.
    private static func digest(_ rule: HookRules.Rule) throws -> Data { Data(SHA256.hash(data: try cause(rule)).prefix(digestBytes)) }
    private static func joined(_ digests: Set<Data>) -> Data { digests.sorted { $0.lexicographicallyPrecedes($1) }.reduce(Data(), +) }
    private static func parted(_ joined: Data) -> Set<Data> {
        Set(stride(from: 0, to: joined.count - joined.count % digestBytes, by: digestBytes).map { Data(joined[joined.startIndex + $0..<joined.startIndex + $0 + digestBytes]) })
    }

    private static func join(_ rule: HookRules.Rule, of report: Report, isMore: Bool, _ hook: Hook, _ db: Database, _ now: WallTime) throws {
        let cause = try cause(rule)
        try db.execute(sql: "UPDATE finding SET reports = reports + 1 WHERE cause = ? AND state = 'waiting'", arguments: [cause])
        guard db.changesCount == 0 else { return }
        let finding = rule.finding(id(of: report, rule, more: try isMore ? digest(rule) : Data()), from: hook, reports: 1, at: now)
        // A key that was forgotten and comes again: control has the finding, and what was closed for it is its own business.
        try db.execute(
            sql: "INSERT INTO finding (id, cause, body, hook, reports, at) VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT (id) DO NOTHING",
            arguments: [Data(finding.id), cause, try WireFinding(finding).serializedData(), hook.rawValue, now.microseconds])
    }

    /// The same for the same report, also where its store has lost it: control takes a finding once.
    ///
    /// - Parameter more: Of what the rule closes, where the report has asked for something before, maybe by a rule of this name.
    static func id(of report: Report, _ rule: HookRules.Rule, more: Data = Data()) -> [UInt8] {
        Array(SHA256.hash(data: Data("sluice hook finding v1\n".utf8) + report.key + Data(rule.name.utf8) + more).prefix(Finding.idBytes))
    }

    /// What is closed, whichever rule says so.
    private static func cause(_ rule: HookRules.Rule) throws -> Data {
        var body = WireFinding()
        body.direction = WireDirection(rule.direction)
        body.selector = WireSelector(rule.selector)
        return try body.serializedData()
    }

    private static func prune(_ db: Database, _ now: WallTime) throws {
        let count = try Int.fetchOne(db, sql: "SELECT count FROM total WHERE name = 'prune'") ?? 0
        try db.execute(sql: "INSERT INTO total VALUES ('prune', 1) ON CONFLICT DO UPDATE SET count = count + 1")
        guard UInt64(count) % pruneEvery == 0 else { return }
        try db.execute(sql: "DELETE FROM seen WHERE at < ?", arguments: [(now - knownFor).microseconds])
        try db.execute(
            sql: "DELETE FROM seen WHERE key IN (SELECT key FROM seen ORDER BY at LIMIT max(0, (SELECT count(*) FROM seen) - ?))", arguments: [knownMax])
        try db.execute(sql: "DELETE FROM finding WHERE state = 'answered' AND number < (SELECT max(number) FROM finding) - 10000")
    }

    /// What control is to be told now: of each closure the one that it may have already, else the one that waits, which changes no more from here on.
    ///
    /// - Parameter resting: Closures for which control has answered lately: what waits for them gathers.
    func due(resting: Set<Data>) throws(Unusable) -> [Finding] {
        try writing { db in
            let waiting = try Row.fetchAll(
                db,
                sql: """
                    SELECT number, cause FROM finding WHERE state = 'waiting'
                    AND NOT EXISTS (SELECT 1 FROM finding AS other WHERE other.cause = finding.cause AND other.state = 'sent') ORDER BY number LIMIT ?
                    """, arguments: [ReportStore.sentMax])
            for row in waiting where !resting.contains(row["cause"]) {
                try db.execute(sql: "UPDATE finding SET state = 'sent' WHERE number = ?", arguments: [row["number"] as Int64])
            }
            return try Row.fetchAll(db, sql: "SELECT body, reports FROM finding WHERE state = 'sent' ORDER BY number LIMIT ?", arguments: [ReportStore.sentMax]).compactMap { row in
                var finding = try WireFinding(serializedBytes: row["body"] as Data).value
                let count: Int64 = row["reports"]
                if count > 1 { finding?.sentence += " (\(count) reports)" }
                return finding
            }
        }
    }

    /// Under way at once: each closes something else.
    static let sentMax = 100

    /// Control has a finding for good.
    ///
    /// - Returns: what it closes, for ``due(resting:)``; nil: it is not one of those that were sent.
    func answered(_ id: [UInt8], incident: UInt64, entry: UInt64) throws(Unusable) -> Data? {
        try writing { db in
            let cause = try Data.fetchOne(db, sql: "SELECT cause FROM finding WHERE id = ? AND state = 'sent'", arguments: [Data(id)])
            try db.execute(
                sql: "UPDATE finding SET state = 'answered', incident = ?, entry = ? WHERE id = ? AND state = 'sent'",
                arguments: [Int64(clamping: incident), Int64(clamping: entry), Data(id)])
            return cause
        }
    }

    func totals() throws(Unusable) -> Totals {
        try ReportStore.translated(path) {
            try database.read { db in
                let counts = try Row.fetchAll(db, sql: "SELECT name, count FROM total").reduce(into: [String: Int64]()) { $0[$1["name"]] = $1["count"] }
                func count(_ name: String) -> UInt64 { UInt64(clamping: counts[name] ?? 0) }
                return Totals(
                    matched: count("matched"), unmatched: count("unmatched"), resolved: count("resolved"), known: count("known"),
                    waiting: UInt64(try Int.fetchOne(db, sql: "SELECT count(*) FROM finding WHERE state <> 'answered'") ?? 0),
                    answered: UInt64(try Int.fetchOne(db, sql: "SELECT count(*) FROM finding WHERE state = 'answered'") ?? 0))
            }
        }
    }

    private func writing<Value>(_ work: (Database) throws -> Value) throws(Unusable) -> Value {
        try ReportStore.translated(path) { try database.write(work) }
    }

    private static func translated<Value>(_ path: String, _ work: () throws -> Value) throws(Unusable) -> Value {
        do { return try work() } catch let error as Unusable { throw error } catch { throw .storage(path: path, why: "\((error as? DatabaseError)?.message ?? "\(error)")") }
    }
}
