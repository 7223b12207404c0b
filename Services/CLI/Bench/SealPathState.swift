#if os(Linux)
import Crypto
import Chassis
import Foundation
import Gate
import Messaging
import Seal
import SwiftProtobuf
import Synchronization
import Vault
import Wire

struct SealPathSettings: Sendable {
    var agentsEndpoint: String
    var policyEndpoint: String
    var ingest: CurveKeyPair
    var policy: CurveKeyPair
    /// Their names by their keys.
    var agents: [CurveKey: String]
    var origin: String
    var vaultKey: VaultKey
}

/// What ingest and policy do with a batch, on threads of their own: a relay; a reactor, an opener and a writer. For ``SealPath``.
final class SealPathState: Sendable {
    private struct Sealed: Sendable {
        var agent: UInt32
        var header: WireBatchHeader
        var bytes: [UInt8]
        var payload: [UInt8]
    }

    private enum Arrival: Sendable { case batch(Sealed), stop }
    private enum Work: Sendable { case write(Segment), rest, stop }

    /// What the next batches are. Changed while none is under way.
    let isSealed = Atomic<Bool>(true)
    let opened = Atomic<Int>(0)
    private let failed = Mutex<String?>(nil)
    private let vault: SQLiteVault
    private let arrived = Queue<Arrival>()
    private let work = Queue<Work>()
    private let rested = SteadySemaphore()
    private let ended = SteadySemaphore()
    private let isEnding = Atomic<Bool>(false)
    private let wakeups: (relay: Wakeup, policy: Wakeup)
    private let stored: Mailbox<[StreamKey: UInt64]>

    var failure: String? { failed.withLock { $0 } }

    init(vault: SQLiteVault) throws {
        self.vault = vault
        wakeups = (try Wakeup(), try Wakeup())
        stored = Mailbox(wakeup: wakeups.policy)
    }

    func start(_ settings: SealPathSettings) throws {
        startThread("policy") { [self] in watched { try receive(settings) } }
        startThread("relay") { [self] in watched { try relay(settings) } }
        startThread("opener") { [self] in watched { try open(settings) } }
        startThread("writer") { [self] in watched { try write() } }
    }

    private func watched(_ body: () throws -> Void) {
        do { try body() } catch { fail(error) }
        ended.signal()
    }

    /// SQLite's log is written back, as a vault does it in its gaps.
    func rest() throws {
        work.put(.rest)
        guard rested.wait(atMost: .seconds(30)) else { throw Complaint(failure ?? "the vault does not come to rest") }
    }

    /// - Returns: segments in the vault.
    func stop() throws -> Int {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        wakeups.relay.wake()
        wakeups.policy.wake()
        arrived.put(.stop)
        for _ in 0..<4 where !ended.wait(atMost: .seconds(10)) { throw Complaint("a thread does not end") }
        if let failure { throw Complaint(failure) }
        defer { try? vault.close() }
        return Int(try vault.totals().segments)
    }

    private func run(_ wakeup: Wakeup, woken: @escaping () throws -> Void = {}, watching sources: [any Source]) {
        var reactor: Reactor?
        reactor = Reactor(wakeup: wakeup) { [self] in
            do { try woken() } catch { fail(error) }
            if isEnding.load(ordering: .sequentiallyConsistent) { reactor?.stop() }
        }
        for source in sources { reactor?.watch(source) }
        reactor?.run()
        reactor = nil
    }

    private static func context(admitting names: [CurveKey: String]) throws -> Context {
        let context = try Context(ioThreads: 2)
        let admission = Admission()
        admission.admit(names)
        try admission.serve(in: context)
        return context
    }

    /// The first is told: what follows comes of it.
    private func fail(_ error: any Error) { failed.withLock { $0 = $0 ?? "\(error)" } }

    // MARK: Ingest

    /// As ingest passes batches on, unread, and answers back.
    private func relay(_ settings: SealPathSettings) throws {
        let context = try SealPathState.context(admitting: settings.agents)
        let batches = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: Limits.relayedMax, receiveMax: Limits.relayedMax)
        let policy = try Link(.init(endpoint: settings.policyEndpoint, server: settings.policy.publicKey), keys: settings.ingest, limits: batches, silence: .seconds(60), in: context)
        let agents = try Binder(
            settings.agentsEndpoint, keys: settings.ingest, limits: SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: 1_000, receiveMax: 64), in: context)
        let ordinals = Dictionary(uniqueKeysWithValues: settings.agents.values.compactMap { name in name.split(separator: "-").last.flatMap { UInt32($0) }.map { (name, $0) } })
        var (byRoute, routes) = ([Route: UInt32](), [UInt32: Route]())
        agents.received = { [self] route, message in
            do {
                switch message.kind {
                case .hello:
                    guard let ordinal = ordinals[message.user], policy.isWelcome else { return }
                    (byRoute[route], routes[ordinal]) = (ordinal, route)
                    agents.send(.welcome, WireWelcome(), to: route)
                case .batch:
                    let sent = try message.body(WireBatch.self)
                    let header = try WireBatchHeader(serializedBytes: sent.header)
                    var taken = message
                    guard let ordinal = byRoute[route], let payload = taken.takePayload(), payload.count == Int(header.payloadBytes) else { throw Complaint("a batch without a session or a payload") }
                    var body = WireRelay()
                    body.agent = ordinal
                    body.header = sent.header
                    body.oldest = sent.oldest
                    guard policy.send(.relay, body, payload: payload) == .sent else { throw Complaint("the relay cannot send") }
                default: throw Complaint("a message of kind \(message.kind) for the relay")
                }
            } catch { fail(error) }
        }
        policy.received = { [self] message in
            do {
                guard message.kind == .storedGroup else { throw Complaint("an answer of kind \(message.kind) for the relay") }
                let group = try message.body(WireStoredGroup.self)
                var body = WireStored()
                for index in group.agents.indices {
                    (body.stream, body.sequence) = (group.streams[index], group.sequences[index])
                    guard let route = routes[group.agents[index]], agents.send(.stored, body, to: route) == .sent else { throw Complaint("an answer cannot be sent") }
                }
            } catch { fail(error) }
        }
        run(wakeups.relay, watching: [policy, agents])
        context.shutDown()
        policy.close()
    }

    // MARK: Policy

    private func receive(_ settings: SealPathSettings) throws {
        let context = try SealPathState.context(admitting: [settings.ingest.publicKey: "ingest"])
        let limits = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: Limits.relayedMax, receiveMax: Limits.relayedMax)
        let ingest = try Binder(settings.policyEndpoint, keys: settings.policy, limits: limits, in: context)
        var relay: Route?
        ingest.received = { [self] route, message in
            do {
                switch message.kind {
                case .hello:
                    relay = route
                    ingest.send(.welcome, WireWelcome(), to: route)
                case .relay:
                    let body = try message.body(WireRelay.self)
                    let header = try WireBatchHeader(serializedBytes: body.header)
                    var taken = message
                    guard let payload = taken.takePayload() else { throw Complaint("a batch without a payload") }
                    arrived.put(.batch(Sealed(agent: body.agent, header: header, bytes: [UInt8](body.header), payload: payload.array())))
                default: throw Complaint("a message of kind \(message.kind) for policy")
                }
            } catch { fail(error) }
        }
        run(
            wakeups.policy,
            woken: { [self] in
                var group = WireStoredGroup()
                for (key, sequence) in stored.take().flatMap({ $0 }) {
                    group.agents.append(key.agent)
                    group.streams.append(key.stream)
                    group.sequences.append(sequence)
                }
                guard !group.agents.isEmpty else { return }
                guard let relay, ingest.send(.storedGroup, group, to: relay) == .sent else { throw Complaint("policy cannot answer") }
            }, watching: [ingest])
        context.shutDown()
    }

    private func open(_ settings: SealPathSettings) throws {
        var opener = Opener(origin: settings.origin, keys: [settings.vaultKey])
        var decompressor = try ZstdDecompressor()
        while true {
            for arrival in arrived.takeAll() {
                guard case .batch(let batch) = arrival else { return work.put(.stop) }
                let header = batch.header
                var packed = batch.payload
                if isSealed.load(ordering: .sequentiallyConsistent) {
                    packed = try opener.open(
                        batch.payload, from: BenchSuite.agentName(Int(batch.agent)), stream: header.stream, sequence: header.sequence, header: batch.bytes)
                    opened.add(1, ordering: .relaxed)
                }
                let hash = Data(SHA256.hash(data: batch.payload).prefix(16))
                let columns = try packed.withUnsafeBytes { try decompressor.decompress($0, expected: Int(header.columnsBytes), max: Limits.columnsBytesMax) }
                let extent = BatchExtent(header)
                guard try ColumnsCodec.open(columns, extent: extent).scan.classes() == [DataClass(header.class)] else { throw Complaint("a batch of several classes") }
                work.put(
                    .write(
                        Segment(
                            scope: Scope(subject: VaultFill.subject(Int(batch.agent)), site: "site-1", team: "team-1"), dataClass: DataClass(header.class),
                            agent: batch.agent, stream: header.stream, sequence: header.sequence, first: extent.first, last: extent.last, count: extent.count,
                            epoch: header.epoch, columnsBytes: Int(header.columnsBytes), hash: hash, blob: Data(packed))))
            }
        }
    }

    /// Group commit by arrival, each transaction durable before its answers.
    private func write() throws {
        var marks: [StreamKey: UInt64] = [:]
        while true {
            var (group, rests, stops): ([Segment], Bool, Bool) = ([], false, false)
            for item in work.take(atMost: Limits.commitBatchesMax) {
                switch item {
                case .write(let segment): group.append(segment)
                case .rest: rests = true
                case .stop: stops = true
                }
            }
            if !group.isEmpty {
                var answers: [StreamKey: UInt64] = [:]
                try vault.transaction { transaction in
                    for segment in group {
                        let key = StreamKey(agent: segment.agent, stream: segment.stream)
                        let mark = try marks[key] ?? transaction.highWater(key)
                        guard segment.sequence == mark + 1 else { throw Complaint("batch \(segment.sequence) came after \(mark)") }
                        try transaction.insert(segment)
                        try transaction.setHighWater(key, segment.sequence, lost: 0)
                        (marks[key], answers[key]) = (segment.sequence, segment.sequence)
                    }
                    try transaction.addTotals(
                        events: group.reduce(0) { $0 + Int64($1.count) }, segments: Int64(group.count), oldest: group.map(\.first).min())
                    return true
                }
                stored.post(answers)
            }
            try vault.tidy(isIdle: work.isEmpty)
            if rests { rested.signal() }
            if stops { return }
        }
    }
}
#endif
