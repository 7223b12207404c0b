import ArgumentParser
import CLinux
import Chassis
import Foundation
import Gate
import Histogram
import Identity
import Messaging
import Seal
import SwiftProtobuf
import Wire

/// The other side of the benchmarks: agents with real CURVE sessions, in a process of their own. Started by `sluice bench`.
struct SwarmCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-swarm", shouldDisplay: false)

    @Option var ingest: String
    @Option var server: String
    /// Secret keys, 32 bytes each.
    @Option var keys: String
    @Option var lease = 3_000
    /// Batches to publish, in the form of ``BenchBatch``; left out: the agents only hold their permits.
    @Option var batches: String?
    /// What the batches are sealed to and as: the vault's key, base64; control's origin; the number of the first agent's name.
    @Option var vault = ""
    @Option var origin = ""
    @Option var first = 0
    @Option var window = 1
    /// Seconds from one batch of an agent to its next; 0: as fast as the window lets it.
    @Option var pace: Double = 0
    @Option var warmUp: Double = 1
    /// 0: until ended.
    @Option var seconds: Double = 0
    /// Connections last as long as there is no reason to make another: how it was, to be compared.
    @Flag var ageless = false
    /// As `connectionSeconds` of an agent's settings.
    @Option var connections = Double(ConnectionAge.least.nanoseconds) / 1e9
    /// Once they hold a permit the agents neither hear nor say anything any more: partitioned, as their ingest sees it.
    @Flag var deaf = false
    /// Agents' connections are libzmq's own, as in `sluice-agent`, and not the generator's.
    @Flag var libzmq = false

    func run() throws {
        #if os(Linux)
        Lifecycle.ignoreBrokenPipes()
        Lifecycle.raiseFileLimit()
        // As ingest: ten thousand workstations would not share its processor.
        Lifecycle.lowerPriority(to: 5)
        try BenchSwarm(self).run()
        #endif
    }
}

#if os(Linux)
final class BenchSwarm {
    private struct Agent {
        var keys: CurveKeyPair
        var isWelcome = false
        /// The connection is another by the agent's own wish.
        var isMoving = false
        var greeted = Instant(nanoseconds: 0)
        var heard = Instant(nanoseconds: 0)
        var patience = Span.zero
        var age: ConnectionAge
        var heldUntil = Instant(nanoseconds: 0)
        var requested = Instant(nanoseconds: 0)
        /// No renewal before: as `sluice-agent`, for a third of a lease after a narrowing to nothing.
        var quietUntil = Instant(nanoseconds: 0)
        var epoch: UInt64 = 0
        var mayCapture = false
        // Publishing.
        var stream: UInt64 = 0
        var oldest: UInt64 = 1
        var next: UInt64 = 1
        /// With a pace: the newest batch that may be sent.
        var paced: UInt64 = 0
        var pacedAt = Instant(nanoseconds: 0)
        /// A ring, by sequence. What is sent again is the same frames.
        var sent: [Sent] = []
        var sealer: SwarmSealer?
        var notBefore = Instant(nanoseconds: 0)
        /// As in `sluice-agent`: one batch asks whether there is room again.
        var isAsking = false
        var batch = 0
    }

    private struct Sent {
        var sequence: UInt64 = 0
        var at = Instant(nanoseconds: 0)
        var header = Data()
        var payload: [UInt8] = []
    }

    /// A sealer is nobody's to copy, and agents are values here.
    private final class SwarmSealer {
        private var sealer: Sealer

        init(vault: VaultPublicKey, origin: String, agent: String) throws { sealer = try Sealer(vault: vault, origin: origin, agent: agent, at: Clock.now()) }

        func seal(_ payload: [UInt8], _ header: WireBatchHeader, _ bytes: Data, at now: Instant) -> [UInt8]? {
            try? sealer.seal(payload, stream: header.stream, sequence: header.sequence, header: [UInt8](bytes), at: now)
        }
    }

    private let options: SwarmCommand
    private let swarm: any Peers
    private let lease: Span
    private let lasting: Span
    private var agents: [Agent] = []
    private var batches: [BenchBatch] = []
    private var held = 0
    private var isMeasuring = false
    private var latencies = Histogram<UInt64>(highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: .three)
    private var acknowledged: UInt64 = 0
    private var events: UInt64 = 0
    private var bytes: UInt64 = 0
    private var busy: UInt64 = 0
    private var refused: [UInt32: UInt64] = [:]
    private var everHeld = false
    private let hello: HeadedBytes

    init(_ options: SwarmCommand) throws {
        self.options = options
        guard let server = CurveKey(z85: options.server) else { throw Complaint("--server is no key") }
        let data = FileManager.default.contents(atPath: options.keys) ?? Data()
        lease = .milliseconds(Int64(options.lease))
        lasting = Span(nanoseconds: Int64(options.connections * 1e9))
        swarm = options.libzmq
            ? try LibzmqSwarm(Link.Address(endpoint: options.ingest, server: server)) : try LeanSwarm(endpoint: options.ingest, server: server)
        var body = WireHello()
        body.protocol = UInt32(Limits.version)
        body.start = Nonce.random().bytes
        hello = Frame.bytes(.hello, body)
        if let path = options.batches { batches = try BenchBatch.load(path) }
        let vault = Data(base64Encoded: options.vault).flatMap { VaultPublicKey(raw: [UInt8]($0)) }
        guard batches.isEmpty || vault != nil else { throw Complaint("--vault is no key") }
        for start in stride(from: 0, to: data.count - 31, by: 32) {
            guard let secret = CurveKey(data[start..<start + 32]), let open = CurveKeyPair.publicKey(of: secret) else { throw Complaint("a bad key") }
            let keys = CurveKeyPair(publicKey: open, secretKey: secret)
            // They have not all begun now: at any moment some are making another connection.
            let begun = Clock.now() - Span(nanoseconds: .random(in: 0...max(1, lasting.nanoseconds)))
            var agent = Agent(keys: keys, age: ConnectionAge(from: begun, least: lasting))
            agent.stream = .random(in: 1...UInt64(Int64.max))
            agent.batch = agents.count
            if !batches.isEmpty, let vault {
                agent.sealer = try SwarmSealer(vault: vault, origin: options.origin, agent: BenchSuite.agentName(options.first + agents.count))
            }
            agent.heard = Clock.now()
            agent.patience = patience()
            agents.append(agent)
        }
        for agent in agents { try swarm.add(agent.keys) }
        swarm.received = { [unowned self] index, message in try? take(index, message) }
        swarm.opened = { [unowned self] index in
            // Ingest has gone and come back: what it permitted before is not counted as held from the one that is there now.
            if !agents[index].isMoving { lapse(index) }
            agents[index].isMoving = false
            greet(index, Clock.now())
        }
    }

    func run() throws {
        let started = Clock.now()
        var begun: Instant?
        var usage = BenchSwarm.usage()
        var slot = 0
        var slotAt = started
        // Each agent is looked at in one of fifty slots of a third of a lease.
        let slots = 10
        let slotSpan = Span(nanoseconds: lease.nanoseconds / Limits.renewalsPerLease / Int64(slots))
        while true {
            swarm.poll(milliseconds: 1)
            var now = Clock.now()
            while slotAt <= now {
                for index in stride(from: slot, to: agents.count, by: slots) { look(index, now) }
                slot = (slot + 1) % slots
                slotAt = slotAt + slotSpan
                now = Clock.now()
                if now - slotAt > .seconds(1) { slotAt = now }
            }
            if options.seconds > 0, begun == nil, everHeld, now - started > Span(nanoseconds: Int64(options.warmUp * 1e9)) {
                begun = now
                isMeasuring = true
                usage = BenchSwarm.usage()
            }
            if let begun, now - begun >= Span(nanoseconds: Int64(options.seconds * 1e9)) {
                isMeasuring = false
                return report(seconds: Double((now - begun).nanoseconds) / 1e9, cpu: BenchSwarm.usage() - usage)
            }
        }
    }

    private static func usage() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }

    private func report(seconds: Double, cpu: Double) {
        let result = SwarmResult(
            seconds: seconds, batches: acknowledged, events: events, bytes: bytes, busy: busy, refused: refused.values.reduce(0, +),
            p50: Double(latencies.valueAtPercentile(50)) / 1e3, p99: Double(latencies.valueAtPercentile(99)) / 1e3, cpu: cpu)
        if let line = try? JSONEncoder().encode(result) { print(String(decoding: line, as: UTF8.self)) }
    }

    private func look(_ index: Int, _ now: Instant) {
        if options.deaf, everHeld { return }
        if !agents[index].isWelcome {
            if now - agents[index].greeted > lease { greet(index, now) }
        } else if now >= agents[index].quietUntil {
            renew(index, now)
        }
        if agents[index].mayCapture, now >= agents[index].heldUntil { lapse(index) }
        // As the agent does: after four leases without a word, with jitter, a new socket; and when it is old and nothing is under way.
        let isOld = agents[index].isWelcome && !options.ageless && agents[index].next == agents[index].oldest && agents[index].age.isOver(at: now)
        if isOld || now - agents[index].heard > agents[index].patience {
            agents[index].age = ConnectionAge(from: now, least: lasting)
            agents[index].heard = now
            agents[index].patience = patience()
            agents[index].isWelcome = false
            agents[index].isMoving = isOld
            agents[index].greeted = Instant(nanoseconds: 0)
            try? swarm.renew(index, agents[index].keys)
        }
        publish(index, now)
    }

    private func greet(_ index: Int, _ now: Instant) {
        if options.deaf, everHeld { return }
        if swarm.send(hello, from: index) == .sent { agents[index].greeted = now }
    }

    private func patience() -> Span { Span(nanoseconds: lease.nanoseconds * Int64.random(in: 400...800) / 100) }

    private func renew(_ index: Int, _ now: Instant) {
        var body = WireRenew()
        body.nonce = Nonce.random().bytes
        body.epoch = agents[index].epoch
        body.wallUs = Clock.wall().microseconds
        agents[index].requested = now
        swarm.send(Frame.bytes(.renew, body), from: index)
    }

    private func lapse(_ index: Int) {
        guard agents[index].mayCapture else { return }
        agents[index].mayCapture = false
        held -= 1
    }

    private func take(_ index: Int, _ message: consuming Inbound) throws(Frame.Malformed) {
        if options.deaf, everHeld { return }
        let now = Clock.now()
        agents[index].heard = now
        switch message.kind {
        case .welcome:
            agents[index].isWelcome = true
            agents[index].next = agents[index].oldest
            renew(index, now)
        case .grant:
            let body = try message.body(WireGrant.self)
            permit(index, body.permit)
            agents[index].heldUntil = agents[index].requested + .milliseconds(Int64(body.leaseMs))
            let may = !body.permit.classes.isEmpty && now < agents[index].heldUntil
            if may != agents[index].mayCapture {
                agents[index].mayCapture = may
                held += may ? 1 : -1
                if held == agents.count {
                    everHeld = true
                    print("held \(held) \(Clock.wall().microseconds)")
                    fflush(nil)
                }
            }
            publish(index, now)
        case .narrow:
            let body = try message.body(WireNarrow.self)
            if body.permit.classes.isEmpty {
                lapse(index)
                let third = lease / Limits.renewalsPerLease
                agents[index].quietUntil = min(now, agents[index].requested + third) + third
            }
            agents[index].epoch = max(agents[index].epoch, body.permit.epoch)
            acknowledge(index)
        case .nudge: renew(index, now)
        case .stored:
            let body = try message.body(WireStored.self)
            stored(index, body.sequence, now)
        case .busy:
            let body = try message.body(WireBusy.self)
            if isMeasuring { busy += 1 }
            agents[index].next = max(agents[index].oldest, min(agents[index].next, body.sequence))
            agents[index].notBefore = now + .milliseconds(Int64(body.retryMs))
            agents[index].isAsking = true
        case .refused:
            let body = try message.body(WireRefused.self)
            if body.code == Refusal.helloFirst.rawValue {
                if agents[index].isWelcome || now - agents[index].greeted > .seconds(1) {
                    agents[index].isWelcome = false
                    agents[index].greeted = now
                    swarm.send(hello, from: index)
                }
            } else if body.stream != 0 {
                if isMeasuring { refused[body.code, default: 0] += 1 }
                let to = body.code == Refusal.outOfOrder.rawValue ? body.expected : body.sequence
                agents[index].next = max(agents[index].oldest, min(agents[index].next, to))
                agents[index].notBefore = now + .milliseconds(body.code == Refusal.outOfOrder.rawValue ? 1 : 200)
            }
        default: break
        }
    }

    private func permit(_ index: Int, _ permit: WirePermit) {
        guard permit.epoch > agents[index].epoch else { return }
        agents[index].epoch = permit.epoch
        acknowledge(index)
    }

    private func acknowledge(_ index: Int) {
        var body = WireStopped()
        body.epoch = agents[index].epoch
        swarm.send(Frame.bytes(.stopped, body), from: index)
    }

    private func stored(_ index: Int, _ sequence: UInt64, _ now: Instant) {
        while agents[index].oldest <= sequence {
            if isMeasuring {
                let sent = agents[index].sent[Int(agents[index].oldest % UInt64(agents[index].sent.count))]
                latencies.record(UInt64(clamping: (now - sent.at).microseconds))
                acknowledged += 1
                let batch = batches[(agents[index].batch + Int(agents[index].oldest)) % batches.count]
                events += UInt64(batch.count)
                bytes += UInt64(sent.payload.count)
            }
            agents[index].oldest += 1
        }
        agents[index].next = max(agents[index].next, agents[index].oldest)
        agents[index].isAsking = false
        publish(index, now)
    }

    private func publish(_ index: Int, _ now: Instant) {
        guard !batches.isEmpty, agents[index].mayCapture, now >= agents[index].notBefore, now < agents[index].heldUntil else { return }
        if options.pace > 0 {
            let pace = Span(nanoseconds: Int64(options.pace * 1e9))
            // Not all in one moment: each begins somewhere in its first span.
            if agents[index].paced == 0 { (agents[index].paced, agents[index].pacedAt) = (1, now - Span(nanoseconds: .random(in: 0...pace.nanoseconds))) }
            if now - agents[index].pacedAt >= pace { (agents[index].paced, agents[index].pacedAt) = (agents[index].paced + 1, now) }
            guard agents[index].next < agents[index].paced else { return }
        }
        if agents[index].sent.isEmpty { agents[index].sent = [Sent](repeating: Sent(), count: options.window * 2) }
        while agents[index].next < agents[index].oldest + (agents[index].isAsking ? 1 : UInt64(options.window)), options.pace == 0 || agents[index].next < agents[index].paced {
            let sequence = agents[index].next
            let place = Int(sequence % UInt64(agents[index].sent.count))
            if agents[index].sent[place].sequence != sequence {
                guard let made = seal(index, sequence, now) else { return }
                agents[index].sent[place] = made
            }
            var body = WireBatch()
            body.header = agents[index].sent[place].header
            body.oldest = agents[index].oldest
            let result = agents[index].sent[place].payload.withUnsafeBytes { swarm.send(Frame.bytes(.batch, body), payload: $0, from: index) }
            guard result == .sent else { return }
            agents[index].sent[place].at = now
            agents[index].next += 1
        }
    }

    /// As an agent does when it closes a batch: once.
    private func seal(_ index: Int, _ sequence: UInt64, _ now: Instant) -> Sent? {
        let batch = batches[(agents[index].batch + Int(sequence)) % batches.count]
        var header = WireBatchHeader()
        header.stream = agents[index].stream
        header.sequence = sequence
        header.class = "activity"
        let last = Clock.wall().nanoseconds
        header.firstNs = last - batch.spanNanoseconds
        header.lastNs = last
        header.count = batch.count
        header.epoch = agents[index].epoch
        header.payloadBytes = UInt32(batch.payload.count + Encapsulation.overheadBytes)
        header.columnsBytes = batch.columnsBytes
        guard let bytes = try? header.serializedData(), let payload = agents[index].sealer?.seal(batch.payload, header, bytes, at: now) else { return nil }
        return Sent(sequence: sequence, at: now, header: bytes, payload: payload)
    }
}
#endif

/// What a swarm measured.
struct SwarmResult: Codable, Sendable {
    var seconds: Double
    var batches: UInt64
    var events: UInt64
    var bytes: UInt64
    var busy: UInt64
    var refused: UInt64
    /// Milliseconds from sending to the acknowledgement.
    var p50: Double
    var p99: Double
    /// Seconds of processor that the swarm itself took.
    var cpu: Double
}

extension SwarmResult {
    /// The last line of what a swarm that has ended printed to this file.
    init(printedTo path: String) throws {
        let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
        guard let line = text.split(separator: "\n").last, let result = try? JSONDecoder().decode(SwarmResult.self, from: Data(line.utf8)) else {
            throw Complaint("the load gave no result: \(text.suffix(200))")
        }
        self = result
    }
}
