import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Ledger
import Messaging
import Rules
import Synchronization
import Testing
import Vault
import Wire

@testable import sluice_policy

let november = WallTime(nanoseconds: 1_795_420_800_000_000_000)

/// A vault of which each call is seen before it is made, and can be made to fail.
final class WatchedVault: Vault {
    let inner: SQLiteVault
    private let seen = Mutex<[String]>([])
    private let watching = Mutex<@Sendable (String) throws -> Void>({ _ in })

    init(_ inner: SQLiteVault) { self.inner = inner }

    /// What was called, in order.
    var calls: [String] { seen.withLock { $0 } }
    func watch(_ body: @escaping @Sendable (String) throws -> Void) { watching.withLock { $0 = body } }

    private func note(_ call: String) throws {
        seen.withLock { $0.append(call) }
        try watching.withLock({ $0 })(call)
    }

    func transaction(_ body: (any VaultTransaction) throws -> Bool) throws { try inner.transaction(body) }
    func gate() throws -> Data? { try inner.gate() }
    func totals() throws -> VaultTotals { try inner.totals() }
    func extent(of selection: Selection) throws -> (subjects: Int, events: Int64) { try inner.extent(of: selection) }
    func shares(of selection: Selection) throws -> [SegmentShare] { try inner.shares(of: selection) }
    func segments(_ selection: Selection, after: SegmentCursor, limit: Int) throws -> (segments: [Result<Segment, SegmentUnreadable>], next: SegmentCursor) {
        try inner.segments(selection, after: after, limit: limit)
    }
    func erase(_ orders: [ErasureOrder]) throws {
        try note("erase")
        try inner.erase(orders)
    }
    func eraseNext(atMost rows: Int) throws -> Erasure? {
        try note("eraseNext")
        return try inner.eraseNext(atMost: rows)
    }
    func readmit(_ subject: String, at: WallTime) throws {
        try note("readmit")
        try inner.readmit(subject, at: at)
    }
    func erasures() throws -> [Erasure] { try inner.erasures() }
    func isErased(_ subject: String) -> Bool { inner.isErased(subject) }
    func storedFrom(_ subject: String) -> WallTime? { inner.storedFrom(subject) }
    var destructions: UInt64 { inner.destructions }
    func wasDestroyed(_ subject: String, since destructions: UInt64) -> Bool { inner.wasDestroyed(subject, since: destructions) }
    func hold(_ incident: UInt64, _ subjects: Set<String>) throws {
        try note("hold")
        try inner.hold(incident, subjects)
    }
    func lift(_ incident: UInt64, _ subjects: Set<String>?) throws {
        try note("lift")
        try inner.lift(incident, subjects)
    }
    func holds() -> [UInt64: Set<String>] { inner.holds() }
    func incidents(holding subject: String) -> Set<UInt64> { inner.incidents(holding: subject) }
    func sweep(_ retention: Retention, at now: WallTime, from cursor: SweepCursor, atMost rows: Int) throws -> Swept {
        try note("sweep")
        return try inner.sweep(retention, at: now, from: cursor, atMost: rows)
    }
    func beginRescan(_ id: Data) throws { try inner.beginRescan(id) }
    func rescanNext(atMost rows: Int, left: (Segment) throws -> [Segment]?) throws -> Rescan? {
        try note("rescanNext")
        return try inner.rescanNext(atMost: rows, left: left)
    }
    func rescan() throws -> Rescan? { try inner.rescan() }
    func sweptUntil() throws -> WallTime? { try inner.sweptUntil() }
    func newest() throws -> WallTime? { try inner.newest() }
    func put(_ people: [DirectoryEntry], at: WallTime) throws {
        try note("put \(people.count)")
        try inner.put(people, at: at)
    }
    func person(_ subject: String) throws -> DirectoryEntry? { try inner.person(subject) }
    func places(of subjects: Set<String>) throws -> [String: Scope] { try inner.places(of: subjects) }
    func removePeople(_ subjects: [String]) throws -> [String] {
        try note("remove \(subjects.count)")
        return try inner.removePeople(subjects)
    }
    func peopleCount() throws -> Int { try inner.peopleCount() }
    func people(after subject: String, atMost count: Int) throws -> [DirectoryEntry] {
        try note("people")
        return try inner.people(after: subject, atMost: count)
    }
    func tidy(isIdle: Bool) throws { try inner.tidy(isIdle: isIdle) }
    var isUntidy: Bool { inner.isUntidy }
    func close() throws { try inner.close() }
    var stored: UInt64 { inner.stored }
    func audit() throws -> Int64 { try inner.audit() }
    func isFull(_ error: any Error) -> Bool { inner.isFull(error) }
    func isDamage(_ error: any Error) -> Bool { inner.isDamage(error) }
    func words(_ error: any Error) -> String { inner.words(error) }
}

/// Policy's writer on a vault in a folder of its own, with an open gate, and no reactor: what it posts is taken by the test.
final class WriterScene {
    let folder = NSTemporaryDirectory() + "writer-" + UUID().uuidString
    var path: String { folder + "/vault.sqlite" }
    let vault: WatchedVault
    let writer: VaultWriter
    private let mailbox: Mailbox<VaultWriter.News>
    private(set) var news: [VaultWriter.News] = []

    /// - Parameter prepare: Before the writer starts; the vault is opened again after it.
    init(retention: Retention = Retention(), prepare: (SQLiteVault, String) throws -> Void = { _, _ in }, spoil: (String) throws -> Void = { _ in }) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/vault.sqlite"
        let master = try #require(MasterKey(secret: Array(repeating: 7, count: 32)))
        let first = try SQLiteVault(path: path, master: master)
        try prepare(first, path)
        try first.close()
        try spoil(path)
        let inner = try SQLiteVault(path: path, master: master)
        vault = WatchedVault(inner)
        let reads = try ReadLedger(
            in: inner, path: path, signer: WriterScene.key("reads", .note, folder), witness: WriterScene.key("policy", .cosignature, folder),
            controlWitness: WriterScene.key("control", .cosignature, folder).verifier)
        let fence = SharedFence()
        fence.change { $0.set(GateState()) }
        fence.hold(until: Clock.now() + .seconds(3_600))
        mailbox = Mailbox(wakeup: try Wakeup())
        writer = VaultWriter(vault: vault, reads: reads, fence: fence, rules: SharedRules(), origin: "sluice/test/governance", keys: [], loadKeys: { [] }, retention: retention, news: mailbox)
    }

    private static func key(_ name: String, _ algorithm: NoteAlgorithm, _ folder: String) throws -> NoteSigner {
        try LedgerKey.loadOrMake("\(folder)/\(name).key", name: "sluice/test/\(name)", algorithm)
    }

    deinit {
        writer.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Everything that came up to now, or comes until `isIt` holds for something; fails after 30 s.
    @discardableResult func until(_ isIt: (VaultWriter.News) -> Bool) throws -> VaultWriter.News {
        var from = 0
        for _ in 0..<15_000 {
            news += mailbox.take()
            if let found = news[from...].first(where: isIt) { return found }
            from = news.count
            usleep(2_000)
        }
        throw Never.came
    }

    enum Never: Error { case came }

    func answer(of sequence: UInt64) throws -> VaultWriter.Answer {
        let found = try until {
            if case .stored(let answers, _) = $0 { answers.contains { $0.sequence == sequence } } else { false }
        }
        guard case .stored(let answers, _) = found, let answer = answers.first(where: { $0.sequence == sequence }) else { throw Never.came }
        return answer
    }

    /// Places of the news that hold.
    func places(_ isIt: (VaultWriter.News) -> Bool) -> [Int] { news.indices.filter { isIt(news[$0]) } }

    /// A batch of key presses, as it comes from the opener.
    static func prepared(_ sequence: UInt64, of subject: String = "E1", at times: [WallTime], offset: Span = .zero) throws -> Prepared {
        let columns = try ColumnsCodec.encode(times.map { Event(at: $0, detail: .key(Event.Key(.down, "a"))) })
        var compressor = try ZstdCompressor()
        let packed = try compressor.compress(columns.bytes)
        var header = WireBatchHeader()
        header.stream = 5
        header.sequence = sequence
        header.class = "activity"
        header.firstNs = columns.extent.first.nanoseconds
        header.lastNs = columns.extent.last.nanoseconds
        header.count = UInt32(times.count)
        header.columnsBytes = UInt32(columns.bytes.count)
        let batch = Batch(
            agent: 1, line: 1, name: "desk", scope: Scope(subject: subject, site: "berlin", team: "search"), offset: offset, header: header, oldest: 1,
            bytes: packed.count, ingest: 1)
        let opened = OpenedBatch(batch: batch, packed: Data(packed), hash: Data(SHA256.hash(data: packed).prefix(16)))
        var cutter = try BatchCutter(SharedRules())
        var fence = Fence()
        fence.set(GateState())
        return try cutter.prepare(opened, fence: fence, now: .distantFuture)
    }

    /// The times of a person's events, as they are stored.
    func times(of subject: String) throws -> [WallTime] {
        let selection = Selection(classes: [DataClass("activity")], subjects: [subject], teams: [], from: .distantPast, until: .distantFuture)
        var cutter = try SegmentCutter()
        var times: [WallTime] = []
        for segment in try vault.segments(selection, after: SegmentCursor(), limit: 1_000).segments { times += try cutter.events(of: segment.get()).map(\.at) }
        return times
    }

    /// Under which ops-1 may read all that is stored here, for a test.
    static var rules: ReadRules {
        var rules = ReadRules()
        rules.policy = Policy(
            PolicyDocument(
                classes: [.init("activity", retention: .seconds(90 * 86_400), audienceMax: nil)], purposes: [.init("test", basis: .legalObligation, classes: ["activity"])],
                roles: [.init("readers", members: ["ops-1"])], grants: [.init("all", role: "readers", purpose: "test", classes: ["activity"])]))
        return rules
    }

    /// On the record, by ``rules``: of these, in search.
    static func opened(_ number: Int64, of subjects: [String], events: Int64) throws -> OpenedRelease {
        let policy = try #require(rules.policy)
        let shares = subjects.map { ReadShare(ReadPlace(Scope(subject: $0, site: "berlin", team: "search"), DataClass("activity")), events: events) }
        let granted = try policy.decide(ReadAsked(purpose: "test", classes: [DataClass("activity")]), by: Reader("ops-1"), of: shares, Whereabouts(), at: november)
        let decided = DecidedRelease(reader: Reader("ops-1"), subjects: subjects.count, events: events, granted: granted)
        return OpenedRelease(number: number, entry: 1, decided: decided, allowed: try policy.allow(granted, at: november) { _ in GrantTaken() })
    }

    static func job(_ subjects: [String], directory: Bool = false, rules: ReadRules = WriterScene.rules) -> ReleaseJob {
        ReleaseJob(
            id: Data(count: 16), route: Route(number: 1), user: User("operator/ops-1")!, reader: Reader("ops-1"),
            record: ReleaseRecord(
                reader: "ops-1", purpose: "test", justification: "a test",
                selection: Selection(classes: [DataClass("activity")], subjects: subjects, teams: [], from: .distantPast, until: .distantFuture),
                at: november, epoch: 1, readsDirectory: directory), credit: 1, rules: rules, registered: [:])
    }
}
