import Chance
import Gate

/// Control's shell, as the simulation needs it: everything that it decides, it decides with `Gate`.
final class ControlNode {
    let host: Host
    private unowned let world: World

    // On disk.
    private(set) var journal: [Entry] = []

    // Lost in a crash.
    private(set) var governance = Governance()
    private var queue: [Entry] = []
    private var grantor = LeaseGrantor<String>(lease: World.lease, startedAt: Instant(nanoseconds: 0))
    private var trackers: [StopTracker] = []
    private var policyHeard = false
    /// The latest epoch that anybody has shown, and whether one of them knew what the journal does not.
    private var latest = Epoch.none
    private(set) var needsOperators = false
    private var settled = Epoch.none
    private var ticks = 0

    init(host: Host, in world: World) {
        self.host = host
        self.world = world
    }

    private var now: Instant { host.instant(at: world.now) }
    private var wall: WallTime { host.wall(at: world.now) }
    private var weakening: Weakening? { world.weakening }

    func start() {
        governance = Governance()
        queue = []
        trackers = []
        policyHeard = false
        needsOperators = false
        settled = .none
        for entry in journal {
            governance.apply(entry)
            if case .unsealed(let epoch, _, _, _) = entry.deed { settled = epoch }
        }
        latest = governance.gate.epoch
        governance.seal("policy has not been heard")
        grantor = LeaseGrantor(lease: World.lease, startedAt: now)
        for closure in governance.lifted { world.monitor.lifted(closure, at: world.now) }
        for closure in governance.gate.closures where governance.certified[closure.epoch] != true { follow(closure, isDurable: true) }
        world.every(20 * World.millisecond, jitter: 5 * World.millisecond, on: host) { [unowned self] in tick() }
        world.every(20 * World.millisecond, jitter: 15 * World.millisecond, on: host) { [unowned self] in write() }
    }

    /// What was on its way to the disk may have arrived there, without anybody having been told.
    func crash() {
        if world.journalWorks, let first = queue.first, world.random.chance(50) { journal.append(first) }
        host.crash()
    }

    // MARK: Operators

    func pause(_ direction: Direction, _ selector: Selector) {
        let closure = Closure(
            epoch: nextEpoch(), direction: direction, selector: selector, reason: "", author: "ops", incident: 0, from: wall)
        let entry = record(.paused(closure))
        governance.apply(entry)
        follow(closure, isDurable: false)
        world.monitor.commanded(closure, at: world.now)
        push()
    }

    func resume(_ choose: ([Closure]) -> [Epoch]) {
        guard governance.gate.seal == nil, !governance.gate.closures.isEmpty else { return }
        _ = record(.resumed(to: nextEpoch(), closures: choose(governance.gate.closures), reason: ""))
    }

    /// Two of them have looked at it, and say that what the journal holds is what counts.
    func unseal() {
        guard needsOperators, policyHeard else { return }
        _ = record(.unsealed(max(latest, governance.gate.epoch), dropped: [], reason: ""))
    }

    /// Later than anything that was ever decided, even in a run whose decisions nobody wrote down: microseconds of the wall clock.
    private func nextEpoch() -> Epoch {
        let unused = weakening == .reusesEpochs ? Epoch.none : Epoch(UInt64(world.now / 1_000))
        latest = governance.nextEpoch(after: max(latest, unused))
        return latest
    }

    // MARK: The journal

    private func record(_ deed: Entry.Deed) -> Entry {
        let entry = Entry(index: UInt64(journal.count + queue.count), at: wall, author: "ops", deed: deed)
        queue.append(entry)
        return entry
    }

    private func write() {
        guard world.journalWorks, !queue.isEmpty else { return }
        let entry = queue.removeFirst()
        journal.append(entry)
        switch entry.deed {
        case .paused(let closure):
            for index in trackers.indices where trackers[index].closure.epoch == closure.epoch { trackers[index].durable(in: .journal) }
        case .resumed:
            governance.apply(entry)
            for closure in governance.lifted { world.monitor.lifted(closure, at: world.now) }
            trackers.removeAll { tracker in !governance.gate.closures.contains { $0.epoch == tracker.closure.epoch } }
        case .unsealed(let epoch, _, _, _):
            governance.apply(entry)
            settled = epoch
            needsOperators = false
            world.monitor.settled(except: Set(governance.gate.closures.map(\.epoch)), at: world.now)
        default: break
        }
    }

    // MARK: Stops

    private func follow(_ closure: Closure, isDurable: Bool) {
        let earlier = weakening == .controlForgetsLeases ? nil : Optional(grantor.unknownUntil)
        func until(_ name: String) -> Instant? { [grantor.granted[name], earlier].compactMap(\.self).max() }
        var services = [StopTracker.Service(name: "policy", leaseUntil: until("policy"), releases: true)]
        for ingest in world.ingests {
            services.append(.init(name: ingest.host.name, leaseUntil: until(ingest.host.name), grantsAgents: true))
        }
        let agents = closure.stopsCapture ? world.agents.filter { closure.selector.matches($0.scope) }.map(\.host.name) : []
        var tracker = StopTracker(closure: closure, at: now, lease: World.lease, services: services, agents: Set(agents))
        if isDurable { tracker.durable(in: .journal) }
        if weakening == .certifiesUnheard { tracker.tick(at: tracker.allEnded) }
        trackers.append(tracker)
    }

    private func tick() {
        ticks += 1
        for index in trackers.indices { trackers[index].tick(at: now) }
        if ticks % 5 == 0, trackers.contains(where: { !$0.isComplete }) { push() }
        for tracker in trackers where tracker.isComplete {
            let certificate = tracker.certificate(issued: wall)
            _ = record(.certified(certificate))
            world.monitor.completed(certificate, in: world)
        }
        trackers.removeAll(where: \.isComplete)
    }

    private func push() {
        let gate = governance.gate
        world.send(from: host, to: world.policy.host) { [world] in world.policy.narrowed(to: gate) }
        for ingest in world.ingests { world.send(from: host, to: ingest.host) { ingest.narrowed(to: gate) } }
    }

    // MARK: Services

    /// A service wants to go on. It says what it acts under, and the latest that it has ever seen.
    func renewed(by service: any Service, _ nonce: Nonce, under gate: GateState, seen: Epoch) {
        look(at: gate, seen: seen)
        if service === world.policy { policyHeard = true }
        if policyHeard, !needsOperators, governance.gate.seal != nil {
            governance.unseal(atLeast: seen)
            world.monitor.unsealed(at: governance.gate.epoch, in: world)
        }
        let name = service.host.name
        for index in trackers.indices where trackers[index].closure.epoch <= gate.epoch {
            trackers[index].acknowledged(service: name, at: now)
        }
        // Nobody takes over a gate that lacks a closure before two operators have said, on disk, that it is no more.
        guard !needsOperators else { return }
        guard let span = grantor.grant(name, ownUntil: now + World.lease, at: now) else { return }
        let (granted, lifted) = (governance.gate, governance.lifted)
        world.send(from: host, to: service.host) { service.granted(nonce, lease: span, gate: granted, lifted: lifted) }
    }

    /// Whether a peer knows of anything that this control does not: then it stays closed, or closes.
    ///
    /// Epochs alone do not show it: a pause that was never written down has an earlier epoch than one that came after the restart.
    private func look(at gate: GateState, seen: Epoch) {
        if weakening == .ignoresPeersClosures { return }
        let known = Set(governance.gate.closures.map(\.epoch)).union(governance.lifted.map(\.epoch))
        let unknown = gate.closures.contains { $0.epoch > settled && !known.contains($0.epoch) }
        let isLater = seen > max(governance.gate.epoch, latest)
        latest = max(latest, seen)
        guard isLater || (unknown && weakening != .comparesEpochsOnly) else { return }
        needsOperators = true
        governance.seal("a peer knows more than the journal")
    }

    /// A service has taken over the gate of `epoch`, with what that means for its agents.
    func stopped(_ name: String, _ epoch: Epoch, durable: Bool = false, agents: [(name: String, epoch: Epoch)] = [], leased: [String]? = nil) {
        for index in trackers.indices {
            let needed = trackers[index].closure.epoch
            for agent in agents where agent.epoch >= needed { trackers[index].acknowledged(agent: agent.name, at: now) }
            guard epoch >= needed else { continue }
            trackers[index].acknowledged(service: name, at: now)
            if durable { trackers[index].durable(in: .vault) }
            if let leased { trackers[index].reported(by: name, leased: leased) }
        }
    }
}

/// A node that holds a lease from control.
protocol Service: AnyObject {
    var host: Host { get }
    func granted(_ nonce: Nonce, lease: Span, gate: GateState, lifted: [Closure])
}
