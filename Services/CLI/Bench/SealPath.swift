#if os(Linux)
import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Rules
import Seal
import SwiftProtobuf
import Synchronization
import Vault
import Wire

/// The whole way of a batch in one process, with its seal and without: agents pack it, a relay passes it on, and what policy does with it ends in a vault.
///
/// Nothing can tell a service to take what is not sealed, so the services themselves cannot be measured without. Here are the calls that agents, ingest and policy
/// make of a batch, over CURVE sessions on loopback and on as many threads. What is left out (leases, registry, counts, fence, policy document) would be the same
/// work in both: of all that services do a seal is a smaller share than of what is measured here.
final class SealPath {
    struct Round {
        var batchesPerSecond: Double
        /// Of processor, all threads together, a batch.
        var microseconds: Double
        var batches: Int
    }

    /// As a workstation has it: what it observed, and what it packed of that.
    struct Source {
        var events: [Event]
        var columnsBytes: Int
        var span: Int64
        var packed: [UInt8]
    }

    private final class Agent {
        let number: Int
        let stream = UInt64.random(in: 1...UInt64(Int64.max))
        var sealer: Sealer
        var next: UInt64 = 1
        var oldest: UInt64 = 1
        var isWelcome = false

        init(_ number: Int, sealer: consuming Sealer) {
            self.number = number
            self.sealer = sealer
        }
    }

    private static let origin = "sluice/bench/governance"
    private let shared: SealPathState
    private let peers: LeanSwarm
    private var agents: [Agent] = []
    private let sources: [Source]
    private let window: UInt64
    private let packs: Bool
    private var compressor: ZstdCompressor
    private var isPublishing = false
    private var acknowledged = 0
    private var lastAcknowledged = 0.0
    private var failure: (any Error)?
    /// All of the payloads that were sent, by whether they were sealed.
    private(set) var sent: [Bool: (batches: Int, bytes: Int)] = [:]

    /// - Parameters:
    ///   - packs: Agents encode and compress each batch when they send it, and not once before all of it.
    ///   - folder: Where the vault lies.
    init(_ batches: [BenchBatch], agents count: Int, window: Int, packs: Bool, folder: String) throws {
        self.window = UInt64(window)
        self.packs = packs
        compressor = try ZstdCompressor()
        sources = try SealPath.unpacked(batches)
        guard let key = VaultKey.make(), let master = MasterKey(secret: [UInt8].random(MasterKey.bytesCount)) else { throw Complaint("no key could be made") }
        let keys = try (0..<count).map { _ in try CurveKeyPair.generate() }
        let base = try SuiteHome.freePortBase()
        let names = (0..<count).map { BenchSuite.agentName($0) }
        let settings = SealPathSettings(
            agentsEndpoint: "tcp://127.0.0.1:\(base + 1)", policyEndpoint: "tcp://127.0.0.1:\(base + 2)", ingest: try CurveKeyPair.generate(), policy: try CurveKeyPair.generate(),
            agents: Dictionary(zip(keys.map(\.publicKey), names)) { first, _ in first }, origin: SealPath.origin, vaultKey: key)
        shared = try SealPathState(vault: SQLiteVault(path: folder + "/vault.sqlite", master: master))
        try shared.start(settings)
        peers = try LeanSwarm(endpoint: settings.agentsEndpoint, server: settings.ingest.publicKey)
        for number in 0..<count {
            agents.append(Agent(number, sealer: try Sealer(vault: key.publicKey, origin: SealPath.origin, agent: names[number], at: Clock.now())))
            peers.add(keys[number])
        }
        peers.received = { [unowned self] index, message in
            do { try take(agents[index], message) } catch { failure = error }
        }
        try greet()
    }

    private static func unpacked(_ batches: [BenchBatch]) throws -> [Source] {
        var decompressor = try ZstdDecompressor()
        return try batches.map { batch in
            let columns = try batch.payload.withUnsafeBytes { try decompressor.decompress($0, expected: Int(batch.columnsBytes), max: Limits.columnsBytesMax) }
            let first = WallTime(nanoseconds: 1_700_000_000_000_000_000)
            let extent = BatchExtent(first: first, last: first + Span(nanoseconds: batch.spanNanoseconds), count: Int(batch.count))
            return Source(
                events: try ColumnsCodec.decode(columns, extent: extent), columnsBytes: columns.count, span: batch.spanNanoseconds, packed: batch.payload)
        }
    }

    // MARK: Agents

    private func greet() throws {
        var body = WireHello()
        body.protocol = UInt32(Limits.version)
        body.start = Nonce.random().bytes
        let hello = Frame.bytes(.hello, body)
        try poll(atMost: 30, "the agents are not welcome") {
            for agent in agents where !agent.isWelcome { _ = peers.send(hello, from: agent.number) }
            peers.poll(milliseconds: 50)
            return agents.allSatisfy(\.isWelcome)
        }
    }

    private func poll(atMost seconds: Double, _ what: String, until isDone: () throws -> Bool) throws {
        let deadline = Stopwatch.now() + seconds
        while try !isDone() {
            if let failure { throw failure }
            if let failure = shared.failure { throw Complaint(failure) }
            guard Stopwatch.now() < deadline else { throw Complaint("\(what) after \(Int(seconds)) s") }
        }
    }

    private func take(_ agent: Agent, _ message: consuming Inbound) throws {
        switch message.kind {
        case .welcome: agent.isWelcome = true
        case .stored:
            let body = try message.body(WireStored.self)
            guard body.stream == agent.stream, body.sequence >= agent.oldest, body.sequence < agent.next else { throw Complaint("an answer to what was not sent") }
            acknowledged += Int(body.sequence + 1 - agent.oldest)
            lastAcknowledged = Stopwatch.now()
            agent.oldest = body.sequence + 1
            if isPublishing { try publish(agent) }
        default: throw Complaint("an answer of kind \(message.kind)")
        }
    }

    private func publish(_ agent: Agent) throws {
        while agent.next < agent.oldest + window {
            let source = sources[(agent.number + Int(agent.next)) % sources.count]
            var (packed, columnsBytes) = (source.packed, source.columnsBytes)
            if packs {
                let columns = try ColumnsCodec.encode(source.events)
                (packed, columnsBytes) = (try compressor.compress(columns.bytes), columns.bytes.count)
            }
            let isSealed = shared.isSealed.load(ordering: .relaxed)
            var header = WireBatchHeader()
            header.stream = agent.stream
            header.sequence = agent.next
            header.class = "activity"
            header.lastNs = Clock.wall().nanoseconds
            header.firstNs = header.lastNs - source.span
            header.count = UInt32(source.events.count)
            header.payloadBytes = UInt32(packed.count + (isSealed ? Encapsulation.overheadBytes : 0))
            header.columnsBytes = UInt32(columnsBytes)
            var body = WireBatch()
            body.header = try header.serializedData()
            body.oldest = agent.oldest
            let payload = isSealed
                ? try agent.sealer.seal(packed, stream: header.stream, sequence: header.sequence, header: [UInt8](body.header), at: Clock.now()) : packed
            let frame = Frame.bytes(.batch, body)
            guard payload.withUnsafeBytes({ peers.send(frame, payload: $0, from: agent.number) }) == .sent else { throw Complaint("an agent cannot send") }
            sent[isSealed, default: (0, 0)].batches += 1
            sent[isSealed]!.bytes += payload.count
            agent.next += 1
        }
    }

    // MARK: Rounds

    /// Everything that was under way is stored before and after, and SQLite's log is written back: a round begins as the one before it began.
    func round(isSealed: Bool, seconds: Double) throws -> Round {
        shared.isSealed.store(isSealed, ordering: .sequentiallyConsistent)
        isPublishing = true
        for agent in agents { try publish(agent) }
        let begins = Stopwatch.now() + max(0.1, seconds / 5)
        try run(until: begins)
        let (first, from, processor) = (acknowledged, lastAcknowledged, SealPath.processorTime())
        try run(until: from + seconds)
        let (count, elapsed, used) = (acknowledged - first, lastAcknowledged - from, SealPath.processorTime() - processor)
        isPublishing = false
        try poll(atMost: 30, "batches are not acknowledged") {
            peers.poll(milliseconds: 1)
            return agents.allSatisfy { $0.oldest == $0.next }
        }
        try shared.rest()
        return Round(batchesPerSecond: Double(count) / elapsed, microseconds: used / Double(count) * 1e6, batches: count)
    }

    /// To the first answer from then on: commits answer many at once, and a round that ended between two would be short of one.
    private func run(until time: Double) throws {
        try poll(atMost: max(30, time - Stopwatch.now() + 30), "nothing is acknowledged") {
            peers.poll(milliseconds: 1)
            return lastAcknowledged >= time
        }
    }

    /// Of all threads of this process, seconds.
    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Batches that seals were taken off, by policy's own count.
    var opened: Int { shared.opened.load(ordering: .relaxed) }

    /// What was acknowledged is in the vault, all of it.
    func finish() throws {
        let stored = try shared.stop()
        let count = sent.values.reduce(0) { $0 + $1.batches }
        guard stored == count else { throw Complaint("\(count) batches were acknowledged, and the vault has \(stored)") }
    }
}
#endif
