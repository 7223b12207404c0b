import Chance
import Gate

/// Everything there is in one run: the nodes, the network between them, what happens next, and the monitor that watches.
///
/// No clock but its own, no thread, no sleep: time goes from one item of the agenda to the next.
final class World {
    static let lease = Span.seconds(3)
    static let second: Int64 = 1_000_000_000
    static let millisecond: Int64 = 1_000_000

    let seed: UInt64
    let weakening: Weakening?
    var random: SplitMix64
    private(set) var now: Int64 = 0
    let monitor = Monitor()

    private(set) var control: ControlNode!
    private(set) var policy: PolicyNode!
    private(set) var ingests: [IngestNode] = []
    private(set) var agents: [AgentNode] = []
    /// Whether a disk can be written.
    var journalWorks = true
    var vaultWorks = true

    private var agenda = Agenda()
    /// Until when nothing passes from one machine to another, one way.
    private var cut: [String: Int64] = [:]
    private let lossPercent: Int
    private let duplicatePercent: Int
    private let latePercent: Int

    static let classes = [DataClass("activity"), DataClass("content")]
    static let scopes = [
        Scope(subject: "ada", site: "north", team: "blue"), Scope(subject: "ben", site: "north", team: "red"),
        Scope(subject: "cyn", site: "south", team: "red"),
    ]

    init(seed: UInt64, weakening: Weakening? = nil, rough: Bool = true) {
        self.seed = seed
        self.weakening = weakening
        var random = SplitMix64(seed: seed)
        lossPercent = rough ? [0, 2, 15].randomElement(with: &random) : 0
        duplicatePercent = rough ? [0, 5, 20].randomElement(with: &random) : 0
        latePercent = rough ? [0, 10, 40].randomElement(with: &random) : 0
        self.random = random

        control = ControlNode(host: host("control", rate: 0), in: self)
        policy = PolicyNode(host: host("policy"), in: self)
        for number in 0..<(1 + self.random.below(2)) { ingests.append(IngestNode(host: host("ingest\(number)"), in: self)) }
        for scope in World.scopes.prefix(2 + self.random.below(2)) {
            agents.append(AgentNode(host: host(scope.subject, mayStopInSuspend: true), scope: scope, in: self))
        }
    }

    private func host(_ name: String, rate: Int64? = nil, mayStopInSuspend: Bool = false) -> Host {
        let extremes = [Host.slowest, 0, Host.fastest, random.span(Host.slowest, Host.fastest)]
        return Host(
            name, rate: rate ?? random.pick(extremes), origin: random.span(0, 1_000_000 * World.second),
            clockStopsInSuspend: mayStopInSuspend && weakening == .clockStopsInSuspend)
    }

    func start() {
        control.start()
        policy.start()
        for ingest in ingests { ingest.start() }
        for agent in agents { agent.start() }
    }

    /// Runs until `end`, or until the monitor sees a rule broken.
    func run(until end: Int64) {
        while monitor.violation == nil, let item = agenda.next(), item.time <= end {
            now = item.time
            item.work()
        }
    }

    // MARK: What happens when

    /// Something that no process does: a fault, an operator.
    func at(_ time: Int64, _ work: @escaping () -> Void) { agenda.add(at: time, work) }

    /// Something that this run of a process does later, unless it ends before. A stalled one does it when it wakes.
    func after(_ delay: Int64, on host: Host, _ work: @escaping () -> Void) {
        let run = host.run
        agenda.add(at: now + delay) {
            guard host.isUp, host.run == run else { return }
            if host.isStalled { host.postpone(work) } else { work() }
        }
    }

    func every(_ period: Int64, jitter: Int64, on host: Host, _ work: @escaping () -> Void) {
        after(random.span(period - jitter, period + jitter), on: host) { [unowned self] in
            work()
            every(period, jitter: jitter, on: host, work)
        }
    }

    // MARK: The network

    /// Carries a message, perhaps: it may be lost, late, doubled, overtaken. A process that has restarted has a new
    /// session, and nothing that was on its way to the old one reaches it.
    func send(from sender: Host, to receiver: Host, _ message: @escaping () -> Void) {
        guard now >= cut["\(sender.name)>\(receiver.name)"] ?? 0, !random.chance(lossPercent) else { return }
        for _ in 0..<(random.chance(duplicatePercent) ? 2 : 1) {
            let longest = random.chance(latePercent) ? 2 * World.lease.nanoseconds : 20 * World.millisecond
            after(random.span(100_000, longest), on: receiver, message)
        }
    }

    func cut(from sender: Host, to receiver: Host, until end: Int64) { cut["\(sender.name)>\(receiver.name)"] = end }

    func nonce() -> Nonce { Nonce(high: random.next(), low: random.next()) }
}

extension [Int] {
    fileprivate func randomElement(with random: inout SplitMix64) -> Int { random.pick(self) }
}
