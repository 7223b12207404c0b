import ArgumentParser
import Chassis
import Crypto
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Messaging
import SwiftProtobuf
import Vault
import Wire

#if os(Linux)
struct BenchLedger: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ledger", abstract: "Durable appends by group, the whole check of both ledgers, proofs.",
        discussion: """
            EXAMPLE
              sluice bench ledger
              sluice bench ledger --reads 100000 --signed 10000 --folder /var/tmp

            Makes two ledgers in files as the services write them, and checks them by the code of 'sluice ledger verify'. Times of governance's entries lie a minute
            apart, as people command; everything is deleted at the end.
            """)
    @Option(help: "Entries of the read ledger.") var reads = 1_000_000
    @Option(help: "Signatures in the governance ledger; as many entries again follow from them.") var signed = 100_000
    @Option(help: "Seconds of appending for each size of group.") var seconds = 3.0
    @Option(help: "Where to put the files: on the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        let path = folder + "/sluice-bench-ledger-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let made = try SuiteHome(Home(path), portBase: 7_700, leaseMilliseconds: nil)
        for service in ["control", "policy"] { try made.home.makeFolder(service) }
        let bench = try LedgerBench(made.home)
        progress("\(Machine.description), load \(Machine.load)")
        var lines: [[String: Any]] = []
        for group in [1, 16, 64, 256] {
            let rate = try bench.append(group: group, seconds: seconds)
            lines.append(["what": "append", "group": group, "per_second": rate])
            if !json { print("append, durable, \(group) a commit: \(Figures.number(rate, decimals: 0)) entries/s") }
        }
        progress("writing \(Show.number(reads)) entries of the read ledger")
        try bench.writeReads(reads)
        progress("signing \(Show.number(signed)) commands")
        try bench.writeGovernance(signed)
        let files = try LedgerFiles(made.home)
        for name in [LedgerName.reads, .governance] {
            let report = LedgerAudit(files: files, name: name).run()
            if let fault = report.fault { throw Complaint("the ledger that was made is not whole: \(fault)") }
            lines.append(["what": "verify", "ledger": name.rawValue, "entries": report.entries, "signatures": report.signatures, "seconds": report.seconds])
            if !json { print("verify \(name.rawValue): \(Show.number(report.entries)) entries, \(Show.number(report.signatures)) signatures in \(Figures.number(report.seconds, decimals: 1)) s") }
        }
        let (make, check, bytes) = try bench.proofs(files)
        lines.append(["what": "proof", "make_us": make.median, "check_us": check.median, "bytes": bytes])
        if !json { print("proof of one of \(Show.number(reads)): \(bytes) bytes, made in \(Figures.number(make.median, decimals: 0)) µs, checked in \(Figures.number(check.median, decimals: 0)) µs") }
        guard json else { return }
        for line in lines { print(String(decoding: try JSONSerialization.data(withJSONObject: line, options: [.sortedKeys]), as: UTF8.self)) }
    }
}

/// Ledgers in a home that no service runs on.
private struct LedgerBench {
    let home: Home
    let anchors: TrustedNodes
    let control: NoteSigner
    let policy: NoteSigner
    let controlWitness: NoteSigner
    let policyWitness: NoteSigner

    init(_ home: Home) throws {
        self.home = home
        anchors = try TrustedNodes(contentsOf: home.file("registry.json"))
        let keys = anchors.anchors
        control = try LedgerKey.load(home.ledgerKey("control"), as: ServiceHost.verifier(keys.control))
        policy = try LedgerKey.load(home.ledgerKey("policy"), as: ServiceHost.verifier(keys.policy))
        controlWitness = try LedgerKey.load(home.witnessKey("control"), as: ServiceHost.verifier(keys.controlWitness))
        policyWitness = try LedgerKey.load(home.witnessKey("policy"), as: ServiceHost.verifier(keys.policyWitness))
    }

    private func open(_ name: String, pageBytes: Int = 4_096, _ tables: String) throws -> (any DatabaseWriter, LedgerStore) {
        let database = try SQLiteStore.open(home.file(name), pageBytes: pageBytes, version: 1) { _, db in
            try LedgerStore.createTables(in: db)
            try db.execute(sql: tables)
        }
        return (database, LedgerStore(in: database))
    }

    /// A release's record: what policy appends most.
    private func read(_ number: Int) throws -> LedgerEntry {
        var body = WireReadEntry()
        body.number = UInt64(number)
        body.atUs = 1_764_000_000_000_000 + Int64(number) * 1_000
        if number & 1 == 1 {
            body.opened.release = UInt64(number / 2 + 1)
            body.opened.reader = "analyst-\(number % 17)"
            body.opened.purpose = "incident"
            body.opened.justification = "ticket \(number)"
            body.opened.classes = ["activity", "content"]
            body.opened.subjects = ["E\(number % 10_000)"]
            body.opened.eventsMax = 500
        } else {
            body.ended.release = UInt64(number / 2)
            body.ended.chunks = 3
            body.ended.events = 500
        }
        guard let entry = LedgerEntry(salt: .random(32), body: [UInt8](try body.serializedData())) else { throw Complaint("no entry") }
        return entry
    }

    /// Entries a second, so many in each commit. SQLite as the services open it: synchronous=FULL, checkpoints between commits.
    func append(group: Int, seconds: Double) throws -> Double {
        let (database, store) = try open("append-\(group).sqlite", "")
        let entries = try (1...group).map { try read($0) }
        var count = 0
        let started = Stopwatch.now()
        while Stopwatch.now() - started < seconds {
            _ = try store.append(entries)
            count += group
            if count % (group * 64) == 0 { try SQLiteStore.checkpoint(database) }
        }
        let elapsed = Stopwatch.now() - started
        try database.close()
        return Double(count) / elapsed
    }

    func writeReads(_ count: Int) throws {
        let (database, store) = try open("policy/vault.sqlite", pageBytes: 8_192, "CREATE TABLE anchor (seen BLOB, cosigned BLOB)")
        for start in stride(from: 1, through: count, by: 4_096) {
            _ = try store.append((start...min(count, start + 4_095)).map { try read($0) })
            try SQLiteStore.checkpoint(database)
        }
        let note = try note(store.checkpoint(origin: policy.verifier.name), policy, controlWitness)
        try database.write { db in try db.execute(sql: "INSERT INTO anchor VALUES (NULL, ?)", arguments: [note]) }
        try database.close()
    }

    private func note(_ checkpoint: Checkpoint, _ ledger: NoteSigner, _ witness: NoteSigner) throws -> Data {
        let text = checkpoint.text
        return Data(try SignedNote(text: text, signatures: [ledger.sign(text, at: 0), witness.sign(text, at: 1_764_000_000)]).bytes)
    }

    /// Pauses, certificates, proposals, approvals, resumes: half of the entries are signed.
    func writeGovernance(_ signatures: Int) throws {
        let (database, store) = try open("control/ledger.sqlite", "CREATE TABLE journal (cosigned BLOB, witnessed BLOB)")
        var writer = try GovernanceWriter(home, anchors)
        while writer.signatures < signatures {
            for round in 0..<128 where writer.signatures < signatures { try writer.cycle(round) }
            _ = try store.append(writer.takeEntries())
            try SQLiteStore.checkpoint(database)
        }
        let note = try note(store.checkpoint(origin: control.verifier.name), control, policyWitness)
        try database.write { db in try db.execute(sql: "INSERT INTO journal VALUES (?, NULL)", arguments: [note]) }
        try database.close()
    }

    func proofs(_ files: LedgerFiles) throws -> (make: Figures, check: Figures, bytes: Int) {
        let (store, database) = try files.open(.reads)
        defer { try? database.close() }
        guard let note = try files.kept(.reads).first?.note else { throw Complaint("the ledger is not cosigned") }
        let size = try store.size()
        var make: [Double] = []
        var check: [Double] = []
        var bytes = 0
        for _ in 0..<500 {
            let index = UInt64.random(in: 0..<size)
            let started = Stopwatch.now()
            guard let entry = try store.entries(index..<index + 1).first?.entry else { continue }
            let proof = try EntryProof(extra: entry.salt + entry.body, index: index, hashes: store.inclusionProof(of: index, in: size), note: note)
            let file = proof.bytes
            let made = Stopwatch.now()
            _ = try EntryProof(parsing: file).verify(entry.leaf, ledger: policy.verifier, witnesses: [controlWitness.verifier])
            make.append((made - started) * 1e6)
            check.append((Stopwatch.now() - made) * 1e6)
            bytes = max(bytes, file.count)
        }
        return (Figures(make), Figures(check), bytes)
    }
}

/// Writes what a year of commands leaves.
private struct GovernanceWriter {
    private(set) var signatures = 0
    private var entries: [LedgerEntry] = []
    private var index: UInt64 = 0
    private var now = WallTime(microseconds: 1_700_000_000_000_000)
    private var epoch: UInt64 = 0
    private var proposal: UInt64 = 0
    private let keys: [String: OperatorKey]
    private let origin: String

    init(_ home: Home, _ trusted: TrustedNodes) throws {
        origin = String(trusted.anchors.control.prefix { $0 != "+" })
        var keys: [String: OperatorKey] = [:]
        var operators: [Operator] = []
        for name in SuiteHome.operators {
            let key = try Signer.load(home.signingKey(name), passphraseFile: nil)
            keys[name] = key
            operators.append(Operator(name: name, person: name, key: key.publicKey.raw, session: .init(repeating: 1, count: 32)))
        }
        self.keys = keys
        let anchors = trusted.anchors
        try write(
            .began(
                Beginning(
                    origin: origin, operators: operators, controlKey: anchors.control, policyKey: anchors.policy, controlWitness: anchors.controlWitness,
                    policyWitness: anchors.policyWitness)), by: "control")
        try write(.vaultKeyAnnounced(.init(repeating: 7, count: 32)), by: "control")
    }

    mutating func takeEntries() -> [LedgerEntry] {
        defer { entries = [] }
        return entries
    }

    mutating func cycle(_ round: Int) throws {
        epoch += 1
        proposal += 1
        let selector = Selector(teams: ["team-\(round % 10)"])
        let closure = Closure(epoch: Epoch(epoch), direction: .both, selector: selector, reason: "a drill", author: "ops-1", incident: proposal, from: now)
        try write(.paused(closure), by: "ops-1", sign(Identity.Statement.Purpose.command, WireCommand(.pause(selector, .both, reason: "a drill")).serializedData(), by: "ops-1"))
        try write(.incidentOpened(number: proposal, title: "a drill", closure: Epoch(epoch), dataClass: "", isLeak: false), by: "ops-1")
        var stops: [String: Stop] = [:]
        for agent in 0..<20 { stops["agent-\(agent)"] = .acknowledged(after: .milliseconds(12)) }
        let certificate = Certificate(
            closure: closure, lease: .seconds(3), issued: now, services: ["policy": .acknowledged(after: .milliseconds(2))], agents: stops, completeAfter: .milliseconds(13),
            readingAfter: .milliseconds(2), durableIn: [.journal], unconfirmed: [])
        try write(.certified(certificate), by: "control")
        try write(.incidentMoved(number: proposal, to: .contained), by: "control")
        let command = Command.resume([Epoch(epoch)], reason: "over", unseal: false)
        let proposed = try sign(Identity.Statement.Purpose.command, WireCommand(command).serializedData(), by: "ops-1")
        guard let hash = ProposalHash(Array(SHA256.hash(data: proposed.statement))) else { return }
        try write(.proposed(number: proposal, hash, until: now + .seconds(3_600), command), by: "ops-1", proposed)
        try write(.approved(number: proposal), by: "ops-2", sign(Identity.Statement.Purpose.approval, Data(ApprovedProposal(number: proposal, hash: hash).bytes), by: "ops-2"))
        epoch += 1
        try write(.resumed(to: Epoch(epoch), closures: [closure.epoch], reason: "over"), by: "ops-2", proposal: proposal)
        try write(.incidentMoved(number: proposal, to: .closed), by: "ops-1", sign(Identity.Statement.Purpose.command, WireCommand(.closeIncident(proposal)).serializedData(), by: "ops-1"))
    }

    private mutating func sign(_ purpose: Identity.Statement.Purpose, _ body: Data, by name: String) throws -> WireSignedCommand {
        guard let key = keys[name] else { throw Complaint("there is no key of \(name)") }
        signatures += 1
        now = now + .seconds(60)
        let from = UInt64(now.microseconds / 1_000)
        let signed = try SignedCommand(Identity.Statement(purpose, origin: origin, index: index, from: from, until: from + 300_000, author: name, body: [UInt8](body)), by: key)
        var wire = WireSignedCommand()
        wire.statement = Data(signed.bytes)
        wire.signature = Data(signed.signature)
        wire.key = Data(signed.key.bytes)
        return wire
    }

    private mutating func write(_ deed: Entry.Deed, by author: String, _ signed: WireSignedCommand? = nil, proposal: UInt64? = nil) throws {
        index += 1
        var body = WireEntry(Entry(index: index, at: now, author: author, proposal: proposal, deed: deed))
        if let signed { body.signed = signed }
        guard let entry = LedgerEntry(salt: .random(32), body: [UInt8](try body.serializedData())) else { throw Complaint("no entry") }
        entries.append(entry)
    }
}
#endif
