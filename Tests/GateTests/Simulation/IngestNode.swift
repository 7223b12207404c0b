import Gate

/// An ingest's shell: holds a lease, hands down leases and permits, and relays. Nothing on disk.
final class IngestNode: Service {
    let host: Host
    private unowned let world: World
    private var lease = LeaseHolder()
    private var gate = GateState.unheard
    private var grantor = LeaseGrantor<String>(lease: World.lease, startedAt: Instant(nanoseconds: 0))
    /// Under which permit each agent has last said that it acts.
    private var acknowledged: [String: Epoch] = [:]

    init(host: Host, in world: World) {
        self.host = host
        self.world = world
    }

    private var now: Instant { host.instant(at: world.now) }

    func start() {
        lease = LeaseHolder()
        gate = .unheard
        acknowledged = [:]
        grantor = LeaseGrantor(lease: World.lease, startedAt: now)
        world.every(World.lease.nanoseconds / 3, jitter: World.lease.nanoseconds / 10, on: host) { [unowned self] in renew() }
        renew()
    }

    private func renew() {
        let nonce = world.nonce()
        lease.request(nonce, at: now)
        let (gate, seen) = (gate, lease.epoch)
        world.send(from: host, to: world.control.host) { [unowned self] in world.control.renewed(by: self, nonce, under: gate, seen: seen) }
    }

    func granted(_ nonce: Nonce, lease span: Span, gate granted: GateState, lifted: [Closure]) {
        do throws(LeaseHolder.GrantRefused) {
            try lease.grant(nonce, lease: span, epoch: granted.epoch, at: now)
            let before = gate
            gate = granted
            if gate != before { handDown() }
        } catch .ended {
            narrowed(to: granted)
        } catch {}
        world.monitor.saw(gate.epoch, host)
    }

    func narrowed(to pushed: GateState) {
        guard gate.narrow(to: pushed) else { return }
        lease.hear(pushed.epoch)
        world.monitor.saw(gate.epoch, host)
        handDown()
    }

    private func handDown() {
        for agent in world.agents where agent.ingest === self {
            let permit = gate.permit(for: agent.scope, of: World.classes)
            world.send(from: host, to: agent.host) { agent.narrowed(to: permit) }
        }
        report()
    }

    private func report() {
        let epoch = gate.epoch
        let agents = world.agents.compactMap { agent in acknowledged[agent.host.name].map { (agent.host.name, $0) } }
        // Leases that an earlier run granted are not known here: until they have ended, nothing can be said about who holds one.
        let isKnown = now >= grantor.unknownUntil || world.weakening == .ingestForgetsLeases
        let leased = world.agents.map(\.host.name).filter { grantor.isHeld($0, at: now) }
        world.send(from: host, to: world.control.host) { [unowned self] in
            world.control.stopped(host.name, epoch, agents: agents, leased: isKnown ? leased : nil)
        }
    }

    // MARK: Agents

    func renewed(by agent: AgentNode, _ nonce: Nonce, under epoch: Epoch) {
        stopped(agent, epoch)
        guard let span = grantor.grant(agent.host.name, ownUntil: lease.until, at: now) else { return }
        let permit = gate.permit(for: agent.scope, of: World.classes)
        world.send(from: host, to: agent.host) { agent.granted(nonce, lease: span, permit: permit) }
    }

    func stopped(_ agent: AgentNode, _ epoch: Epoch) {
        guard epoch > acknowledged[agent.host.name] ?? .none else { return }
        acknowledged[agent.host.name] = epoch
        report()
    }

    func relay(_ batch: AgentNode.Batch, from agent: AgentNode) {
        guard lease.isHeld(at: now) else { return }
        world.send(from: host, to: world.policy.host) { [unowned self] in world.policy.received(batch, from: agent, through: self) }
    }

    func relayStored(_ sequence: Int, to agent: AgentNode) {
        world.send(from: host, to: agent.host) { agent.stored(sequence) }
    }
}
