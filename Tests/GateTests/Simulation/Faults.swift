import Chance
import Gate

/// A run: operators who pause and resume, and, if it is a rough one, everything else that a day brings.
extension World {
    static let length = 30 * World.second

    /// Plays a whole run, and tells what the monitor has seen.
    @discardableResult
    static func play(seed: UInt64, _ weakening: Weakening? = nil, rough: Bool = true) -> Monitor {
        let world = World(seed: seed, weakening: weakening, rough: rough)
        world.start()
        world.planCommands()
        if rough { world.planFaults() }
        world.run(until: length)
        return world.monitor
    }

    // MARK: Operators

    private func planCommands() {
        var time = World.second
        while time < World.length {
            time += random.span(World.second / 2, 6 * World.second)
            let isPause = random.chance(60)
            at(time) { [unowned self] in isPause ? pause() : resume() }
        }
        for time in stride(from: 3 * World.second, to: World.length, by: 3 * Int(World.second)) {
            at(Int64(time)) { [unowned self] in
                if control.host.isUp, !control.host.isStalled { control.unseal() }
            }
        }
    }

    private func pause() {
        guard control.host.isUp, !control.host.isStalled else { return }
        control.pause(random.pick([.capture, .both, .both, .read]), selector())
        guard let epoch = monitor.latestCommand else { return }
        at(now + World.lease.nanoseconds + World.second) { [unowned self] in
            // A restart, a stall or a full disk in between is no part of the promise.
            if control.host.isUp, !control.host.isStalled, journalWorks { monitor.isDue(epoch) }
        }
    }

    private func resume() {
        guard control.host.isUp, !control.host.isStalled else { return }
        control.resume { [unowned self] closures in
            let chosen = closures.filter { _ in random.chance(60) }
            return (chosen.isEmpty ? closures : chosen).map(\.epoch)
        }
    }

    private func selector() -> Selector {
        let scope = random.pick(World.scopes)
        let dataClass = random.pick(World.classes)
        return switch random.below(8) {
        case 0: Selector(sites: [scope.site])
        case 1: Selector(teams: [scope.team])
        case 2: Selector(subjects: [scope.subject])
        case 3: Selector(classes: [dataClass])
        case 4: Selector(sites: [scope.site], classes: [dataClass])
        case 5: Selector(readers: ["rae"])
        case 6: Selector(purposes: ["training"])
        default: .everything
        }
    }

    // MARK: Faults

    private func planFaults() {
        let hosts = [control.host, policy.host] + ingests.map(\.host) + agents.map(\.host)
        let (crashes, stalls, cuts, steps, fullDisks) = (
            random.below(6), random.below(6), random.below(10), random.below(4), random.below(3)
        )
        for _ in 0..<crashes { plan { [unowned self] in crash(random.pick(hosts)) } }
        for _ in 0..<stalls {
            plan { [unowned self] in
                stall(random.pick(hosts + [policy.host] + agents.map(\.host)))
                pauseSoon()
            }
        }
        for _ in 0..<cuts {
            plan { [unowned self] in
                cutOneWay()
                pauseSoon()
            }
        }
        for _ in 0..<steps {
            plan { [unowned self] in
                // Less than the step that an agent must notice is not a step.
                let length = random.chance(50) ? random.span(World.second, 20 * World.second) : random.span(World.second, 3_600 * World.second)
                random.pick(agents).host.stepWall(by: random.chance(50) ? length : -length, at: now)
            }
        }
        for _ in 0..<fullDisks { plan { [unowned self] in fillDisk() } }
        // What single faults seldom add up to.
        if random.chance(30) { plan { [unowned self] in crashAfterPause() } }
        if random.chance(30) { plan { [unowned self] in pauseAfterCrash() } }
    }

    private func plan(_ fault: @escaping () -> Void) { at(random.span(0, World.length), fault) }

    /// Trouble alone breaks nothing: half of it comes with a pause.
    private func pauseSoon() {
        guard random.chance(50) else { return }
        at(now + random.span(0, World.lease.nanoseconds)) { [unowned self] in pause() }
    }

    private func cutOneWay() {
        let ingest = random.pick(ingests).host
        let ends = random.pick(agents.map { ($0.host, ingest) } + [(control.host, ingest), (control.host, policy.host), (ingest, policy.host)])
        let until = now + random.span(World.second / 5, 9 * World.second)
        let isBoth = random.chance(30)
        let isForth = random.chance(50)
        if isBoth || isForth { cut(from: ends.0, to: ends.1, until: until) }
        if isBoth || !isForth { cut(from: ends.1, to: ends.0, until: until) }
    }

    private func crash(_ host: Host, for down: Int64? = nil, then follow: @escaping () -> Void = {}) {
        guard host.isUp else { return }
        if host === control.host {
            control.crash()
            monitor.disturbed = now
        } else {
            host.crash()
        }
        at(now + (down ?? random.span(World.millisecond, 2 * World.lease.nanoseconds))) { [unowned self] in
            host.restart(at: now, origin: random.span(0, 1_000_000 * World.second))
            if host === control.host { control.start() }
            if host === policy.host { policy.start() }
            for ingest in ingests where host === ingest.host { ingest.start() }
            for agent in agents where host === agent.host { agent.start() }
            if host === control.host { monitor.disturbed = now }
            follow()
        }
    }

    private func stall(_ host: Host) {
        guard host.isUp, !host.isStalled else { return }
        let run = host.run
        // The worst moment for an agent: its answer will be the first thing that it finds when it wakes.
        if random.chance(50) { for agent in agents where agent.host === host { agent.renew() } }
        host.stall(at: now)
        if host === control.host { monitor.disturbed = now }
        at(now + random.span(World.second / 10, 9 * World.second)) { [unowned self] in
            guard host.isUp, host.run == run else { return }
            if host === control.host { monitor.disturbed = now }
            for work in host.wake(at: now) { work() }
        }
    }

    private func fillDisk() {
        let isJournal = random.chance(50)
        if isJournal {
            journalWorks = false
            monitor.disturbed = now
        } else {
            vaultWorks = false
        }
        at(now + random.span(World.second, 8 * World.second)) { [unowned self] in
            if isJournal {
                journalWorks = true
                monitor.disturbed = now
            } else {
                vaultWorks = true
            }
        }
    }

    /// A pause that control's disk does not take, a crash, and another pause before control has heard its peers.
    private func crashAfterPause() {
        guard control.host.isUp, !control.host.isStalled, journalWorks else { return }
        journalWorks = false
        monitor.disturbed = now
        pause()
        at(now + random.span(World.millisecond, World.second)) { [unowned self] in
            crash(control.host) { [unowned self] in
                journalWorks = true
                monitor.disturbed = now
                at(now + random.span(World.millisecond, World.second / 3)) { [unowned self] in pause() }
            }
        }
    }

    /// Agents that nobody can reach, a grantor that forgets about them, and a pause.
    private func pauseAfterCrash() {
        let until = now + random.span(World.second, 6 * World.second)
        for agent in agents {
            for ingest in ingests {
                cut(from: ingest.host, to: agent.host, until: until)
                if random.chance(50) { cut(from: agent.host, to: ingest.host, until: until) }
            }
        }
        for host in random.chance(50) ? ingests.map(\.host) : [control.host] {
            crash(host, for: random.span(World.millisecond, World.second / 5)) { [unowned self] in
                at(now + random.span(World.second / 10, World.second)) { [unowned self] in pause() }
            }
        }
    }
}
