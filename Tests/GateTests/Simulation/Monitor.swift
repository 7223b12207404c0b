import Gate

/// Sees everything that really happens, and holds it against the invariants of DESIGN.md.
final class Monitor {
    struct Tally: Hashable {
        var captured = 0, refused = 0, committed = 0, released = 0
        var pauses = 0, certificates = 0, resumes = 0, leaseEnded = 0, outsideInterval = 0
        /// Grows with everything that happens, in order: equal for equal runs.
        var digest: UInt64 = 0
    }

    private struct Certified {
        var closure: Closure
        /// True time; control's command, the complete certificate, the resume.
        var commanded: Int64
        var complete: Int64?
        var lifted: Int64?
        /// From command to resume by control's wall clock, once it is lifted.
        var interval: Range<Int64>?
    }

    private(set) var violation: String?
    private(set) var tally = Tally()
    private var stops: [Certified] = []
    private var epochs: [String: Epoch] = [:]
    /// When control last could not be expected to keep its promise: crashed, stalled, or without its disk.
    var disturbed: Int64 = 0

    private func broken(_ rule: String) { violation = violation ?? rule }

    private func note(_ value: Int64) { tally.digest = (tally.digest ^ UInt64(bitPattern: value)) &* 0x100_0000_01b3 }

    // MARK: Pauses

    func commanded(_ closure: Closure, at now: Int64) {
        tally.pauses += 1
        stops.append(Certified(closure: closure, commanded: now))
        note(now)
    }

    func completed(_ certificate: Certificate, in world: World) {
        let now = world.now
        guard let index = stops.firstIndex(where: { $0.closure.epoch == certificate.epoch }), stops[index].complete == nil else { return }
        tally.certificates += 1
        tally.leaseEnded += certificate.agents.values.count { if case .leaseEnded = $0 { true } else { false } }
        stops[index].complete = now
        note(now)
        let closure = certificate.closure
        if !certificate.isComplete { broken("a certificate is called complete and is not") }
        // Not earlier than true: nobody could go on at this very moment, woken or not.
        for agent in world.agents where agent.host.isUp && closure.stopsCapture {
            for dataClass in World.classes where closure.selector.matches(agent.scope, dataClass) {
                guard agent.holder.isCapturing(dataClass, at: agent.now) else { continue }
                broken("G1: the certificate \(certificate.epoch.number) is complete, and \(agent.host.name) may capture \(dataClass.name)")
            }
            guard world.policy.host.isUp, world.policy.lease.isHeld(at: world.policy.host.instant(at: now)) else { continue }
            for dataClass in World.classes where closure.selector.matches(agent.scope, dataClass) {
                guard world.policy.fence.gate.allowsCapture(agent.scope, dataClass) else { continue }
                broken("G1: the certificate \(certificate.epoch.number) is complete, and policy would commit \(dataClass.name)")
            }
        }
    }

    /// G2: asked L + 1 s after a command.
    func isDue(_ epoch: Epoch) {
        guard let stop = stops.first(where: { $0.closure.epoch == epoch }), disturbed < stop.commanded else { return }
        if stop.complete == nil, stop.lifted == nil { broken("G2: no complete certificate for \(epoch.number) after L + 1 s") }
    }

    var latestCommand: Epoch? { stops.last?.closure.epoch }

    func lifted(_ closure: Closure, at now: Int64) {
        guard let index = stops.firstIndex(where: { $0.closure.epoch == closure.epoch }), stops[index].lifted == nil else { return }
        tally.resumes += 1
        stops[index].lifted = now
        stops[index].interval = closure.from.nanoseconds..<max(closure.from.nanoseconds, closure.until!.nanoseconds)
        note(now)
    }

    /// Operators have said that these closures are all there are.
    func settled(except epochs: Set<Epoch>, at now: Int64) {
        for index in stops.indices where stops[index].lifted == nil && !epochs.contains(stops[index].closure.epoch) { stops[index].lifted = now }
    }

    // MARK: G1

    private func isStopped(_ stop: Certified, at time: Int64) -> Bool {
        guard let complete = stop.complete else { return false }
        return time > complete && time < stop.lifted ?? .max
    }

    func captured(_ event: AgentNode.Captured, by agent: AgentNode, at now: Int64) {
        tally.captured += 1
        note(now)
        for stop in stops where stop.closure.stopsCapture && stop.closure.selector.matches(agent.scope, event.dataClass) {
            if isStopped(stop, at: now) { broken("G1: \(agent.host.name) captured during \(stop.closure.epoch.number)") }
            guard isStopped(stop, at: event.began), event.began > agent.host.ambiguousUntil else { continue }
            broken("G1: \(agent.host.name) took later what was captured during \(stop.closure.epoch.number)")
        }
    }

    func refused(_ why: CaptureRefused) {
        tally.refused += 1
        if why == .outsideInterval { tally.outsideInterval += 1 }
    }

    /// - Parameter known: The latest epoch that policy has heard of. It cannot apply an interval that it does not know.
    func committed(_ event: AgentNode.Captured, of agent: AgentNode, knowing known: Epoch, at now: Int64) {
        tally.committed += 1
        note(now)
        let isExact = agent.host.offset(at: event.began) == agent.host.offset(at: now)
        for stop in stops where stop.closure.stopsCapture && stop.closure.selector.matches(agent.scope, event.dataClass) {
            if isStopped(stop, at: now) { broken("G1: the vault committed an event in scope of \(stop.closure.epoch.number)") }
            guard isExact, known >= stop.closure.epoch, let interval = stop.interval else { continue }
            let offset = agent.host.offset(at: now)
            guard interval.lowerBound + offset <= event.last.nanoseconds, event.first.nanoseconds < interval.upperBound + offset else { continue }
            broken("the vault committed an event from within the closed interval \(stop.closure.epoch.number)")
        }
    }

    func released(_ reading: Reading, at now: Int64) {
        tally.released += 1
        note(now)
        for stop in stops where stop.closure.stopsReading && stop.closure.selector.matches(reading) && isStopped(stop, at: now) {
            broken("G1: a read returned data in scope of \(stop.closure.epoch.number)")
        }
    }

    // MARK: G3

    /// Per run of a process; for those that keep it on disk, across runs.
    func saw(_ epoch: Epoch, _ host: Host, keptOnDisk: Bool = false) {
        let key = keptOnDisk ? host.name : "\(host.name) \(host.run)"
        if let before = epochs[key], epoch < before { broken("G3: \(host.name) went back from \(before.number) to \(epoch.number)") }
        epochs[key] = epoch
    }

    /// Control may open again: not behind anything that was ever made durable.
    func unsealed(at epoch: Epoch, in world: World) {
        if epoch < world.policy.storedEpoch { broken("G3: control opened at \(epoch.number), behind the vault") }
    }
}
