import Chance
import Gate

/// An agent's shell: a permit holder, a spool, and a local tool that never stops offering events.
final class AgentNode {
    /// An event as it was taken, with what only the simulation knows: when that really was.
    struct Captured {
        var dataClass: DataClass
        var first: WallTime
        var last: WallTime
        var began: Int64
        var ended: Int64
    }

    struct Batch {
        var sequence: Int
        var events: [Captured]
    }

    let host: Host
    let scope: Scope
    private unowned let world: World

    // On disk.
    private var storedEpoch = Epoch.none
    private var storedIntervals: [DataClass: [OpenIntervals.Interval]] = [:]
    private var spool: [Batch] = []
    private var sealed = 0

    // Lost in a crash.
    private(set) var holder = PermitHolder()
    private(set) var ingest: IngestNode
    private var gathering: [Captured] = []
    private var newest: (nonce: Nonce, sent: Instant)?
    private var answered: Int64 = 0

    init(host: Host, scope: Scope, in world: World) {
        self.host = host
        self.scope = scope
        self.world = world
        ingest = world.ingests[0]
    }

    var now: Instant { host.instant(at: world.now) }
    private var wall: WallTime { host.wall(at: world.now) }

    func start() {
        holder = PermitHolder(
            intervals: OpenIntervals(restoring: storedIntervals), epoch: world.weakening == .agentForgetsEpoch ? .none : storedEpoch)
        holder.tick(at: now, wall: wall)
        gathering = []
        newest = nil
        answered = world.now
        ingest = world.random.pick(world.ingests)
        world.every(World.lease.nanoseconds / 3, jitter: World.lease.nanoseconds / 10, on: host) { [unowned self] in renew() }
        world.every(150 * World.millisecond, jitter: 120 * World.millisecond, on: host) { [unowned self] in offer() }
        world.every(400 * World.millisecond, jitter: 100 * World.millisecond, on: host) { [unowned self] in ship() }
        renew()
    }

    // MARK: The permit

    func renew() {
        if world.now - answered > World.lease.nanoseconds { ingest = world.random.pick(world.ingests) }
        let nonce = world.nonce()
        holder.request(nonce, at: now)
        newest = (nonce, now)
        let (epoch, ingest) = (holder.permit.epoch, ingest)
        world.send(from: host, to: ingest.host) { [unowned self] in ingest.renewed(by: self, nonce, under: epoch) }
    }

    func granted(_ nonce: Nonce, lease: Span, permit: Permit) {
        answered = world.now
        switch world.weakening {
        case .countsFromTheAnswer where newest?.nonce == nonce:
            holder.request(nonce, at: now)
            newest = nil
        case .takesAnyAnswer:
            holder.request(nonce, at: newest?.sent ?? now)
        default: break
        }
        try? holder.grant(nonce, lease: lease, permit: permit, at: now, wall: wall)
        store()
    }

    func narrowed(to permit: Permit) {
        if world.weakening == .pushExtends {
            let nonce = world.nonce()
            holder.request(nonce, at: now)
            try? holder.grant(nonce, lease: World.lease, permit: permit, at: now, wall: wall)
        } else {
            holder.narrow(to: permit, at: now, wall: wall)
        }
        store()
        let (epoch, ingest) = (holder.permit.epoch, ingest)
        world.send(from: host, to: ingest.host) { [unowned self] in ingest.stopped(self, epoch) }
    }

    private func store() {
        storedEpoch = holder.lease.epoch
        storedIntervals = holder.intervals.past
        for (dataClass, open) in holder.intervals.current where open.start < open.end { storedIntervals[dataClass, default: []].append(open) }
        world.monitor.saw(holder.lease.epoch, host, keptOnDisk: true)
    }

    // MARK: Events

    /// The local tool has one: from just now, or from its own queue.
    private func offer() {
        holder.tick(at: now, wall: wall)
        let age = world.random.chance(30) ? world.random.span(0, 3 * World.lease.nanoseconds) : 0
        let ended = max(world.now - age, 0)
        let began = ended - world.random.span(0, 20 * World.millisecond)
        let event = Captured(
            dataClass: world.random.pick(World.classes), first: host.wall(at: began), last: host.wall(at: ended), began: began, ended: ended)
        let refused = holder.judge(event.dataClass, from: event.first, to: event.last, at: now, wall: wall)
        store()
        guard refused == nil else { return world.monitor.refused(refused!) }
        world.monitor.captured(event, by: self, at: world.now)
        gathering.append(event)
    }

    private func ship() {
        if !gathering.isEmpty, spool.count < 8 {
            sealed += 1
            spool.append(Batch(sequence: sealed, events: gathering))
            gathering = []
        }
        guard let first = spool.first else { return }
        let ingest = ingest
        world.send(from: host, to: ingest.host) { [unowned self] in ingest.relay(first, from: self) }
    }

    func stored(_ sequence: Int) { spool.removeAll { $0.sequence <= sequence } }
}
