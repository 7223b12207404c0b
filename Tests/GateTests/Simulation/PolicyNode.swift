import Chance
import Gate

/// Policy's shell: the fence, the vault behind it, and reads.
final class PolicyNode: Service {
    let host: Host
    private unowned let world: World

    // On disk.
    private(set) var storedEpoch = Epoch.none
    private var stored: [String: Int] = [:]
    private var storedGate = GateState.unheard

    // Lost in a crash.
    private(set) var lease = LeaseHolder()
    private(set) var fence = Fence()

    init(host: Host, in world: World) {
        self.host = host
        self.world = world
    }

    private var now: Instant { host.instant(at: world.now) }

    func start() {
        lease = LeaseHolder(epoch: storedEpoch)
        // Sealed until control is heard, with the closures that were written down.
        fence = Fence(gate: GateState(epoch: storedGate.epoch, closures: storedGate.closures, seal: "control has not been heard"))
        world.every(World.lease.nanoseconds / 3, jitter: World.lease.nanoseconds / 10, on: host) { [unowned self] in renew() }
        world.every(150 * World.millisecond, jitter: 100 * World.millisecond, on: host) { [unowned self] in read() }
        world.every(40 * World.millisecond, jitter: 20 * World.millisecond, on: host) { [unowned self] in write() }
        renew()
    }

    private func renew() {
        let nonce = world.nonce()
        lease.request(nonce, at: now)
        let (gate, seen) = (fence.gate, lease.epoch)
        world.send(from: host, to: world.control.host) { [unowned self] in world.control.renewed(by: self, nonce, under: gate, seen: seen) }
    }

    func granted(_ nonce: Nonce, lease span: Span, gate: GateState, lifted: [Closure]) {
        do throws(LeaseHolder.GrantRefused) {
            try lease.grant(nonce, lease: span, epoch: gate.epoch, at: now)
            // What was closed is remembered before anything opens.
            if world.weakening != .opensBeforeRemembering { for closure in lifted { fence.remember(closure) } }
            fence.set(gate)
        } catch .ended {
            fence.narrow(to: gate)
        } catch {}
        world.monitor.saw(fence.gate.epoch, host)
    }

    func narrowed(to gate: GateState) {
        fence.narrow(to: gate)
        lease.hear(gate.epoch)
        world.monitor.saw(fence.gate.epoch, host)
        acknowledge()
    }

    private func acknowledge() {
        let (epoch, durable) = (fence.gate.epoch, storedEpoch >= fence.gate.epoch)
        world.send(from: host, to: world.control.host) { [unowned self] in world.control.stopped("policy", epoch, durable: durable) }
    }

    private func write() {
        guard world.vaultWorks, storedGate != fence.gate, fence.gate.epoch >= storedEpoch else { return }
        storedEpoch = max(fence.gate.epoch, lease.epoch)
        storedGate = fence.gate
        acknowledge()
    }

    // MARK: The vault

    func received(_ batch: AgentNode.Batch, from agent: AgentNode, through ingest: IngestNode) {
        if batch.sequence <= stored[agent.host.name] ?? 0 { return ingest.relayStored(batch.sequence, to: agent) }
        guard lease.isHeld(at: now), let seen = judge(batch, agent) else { return }
        let version = fence.version
        // Group commit: other batches, a slow disk, or a hung process come between.
        let longest = world.random.chance(5) ? World.lease.nanoseconds : 30 * World.millisecond
        world.after(world.random.span(1, longest), on: host) { [unowned self] in
            var kept = seen
            if world.weakening != .commitsUnfenced {
                guard lease.isHeld(at: now) else { return }
                if fence.version != version {
                    guard let again = judge(batch, agent) else { return }
                    kept = again
                }
            }
            guard batch.sequence == (stored[agent.host.name] ?? 0) + 1 else { return }
            stored[agent.host.name] = batch.sequence
            for event in kept { world.monitor.committed(event, of: agent, knowing: fence.gate.epoch, at: world.now) }
            ingest.relayStored(batch.sequence, to: agent)
        }
    }

    /// What may be committed of a batch; nil: nothing now, the agent keeps it.
    private func judge(_ batch: AgentNode.Batch, _ agent: AgentNode) -> [AgentNode.Captured]? {
        let offset = Span(nanoseconds: agent.host.offset(at: world.now))
        var kept: [AgentNode.Captured] = []
        for event in batch.events {
            switch fence.judge(event.dataClass, of: agent.scope, from: event.first, to: event.last, offset: offset) {
            case .whole: kept.append(event)
            case .keep: return nil
            case .without(let ranges):
                if !ranges.contains(where: { $0.lowerBound <= event.last && event.first < $0.upperBound }) { kept.append(event) }
            }
        }
        return kept
    }

    // MARK: Reads

    private func read() {
        let reading = Reading(
            scope: world.random.pick(World.scopes), dataClass: world.random.pick(World.classes),
            reader: world.random.pick(["rae", "sam"]), purpose: world.random.pick(["support", "training"]))
        // The record of the read becomes durable; then the gate is looked at, in the step that releases.
        world.after(world.random.span(1, 20 * World.millisecond), on: host) { [unowned self] in
            if lease.isHeld(at: now), fence.gate.allows(reading) { world.monitor.released(reading, at: world.now) }
        }
    }
}
