package import Gate
package import Messaging
package import Wire

/// A service's session with control: its lease, the gate, and the entries of the journal in order.
///
/// It says "stopped" to whoever asks until control has answered, until every entry is applied that the answer rests on, and
/// whenever the lease has ended.
package final class Follower {
    package let link: Link
    /// What the gate allows, as far as this node knows. Ask ``isHeld(at:)`` too.
    package private(set) var gate: GateState
    package private(set) var applied: UInt64
    /// The gate has changed. `true`: it was pushed, and `Stopped` is expected when it has taken effect.
    package var gateChanged: (GateState, Bool) -> Void = { _, _ in }
    /// Entries that follow on what was applied. False: they could not be applied; the follower acts as stopped.
    package var apply: ([Entry]) -> Bool = { _ in true }
    /// Agents that are registered no more, before the journal says so.
    package var removed: ([UInt32]) -> Void = { _ in }
    package var report: () -> WireServiceReport = { WireServiceReport() }
    package var granted: () -> Void = {}
    /// False: this is not the control, or not the journal, that was followed. The follower acts as stopped from here on.
    package var welcomed: (WireWelcome) -> Bool = { _ in true }

    private var lease: LeaseHolder
    private let span: Span
    private let start: Nonce
    private var required: UInt64 = 0
    /// Why this follower cannot go on; nil: it can.
    package private(set) var broken: String?
    private var renewed: Instant?
    private var reported: Instant?

    /// - Parameter known: What this node has on record of the gate. Whatever it says, nothing is allowed before control has answered.
    package init(link: Link, lease span: Span, applied: UInt64 = 0, known: GateState = .unheard) {
        self.link = link
        self.span = span
        self.applied = applied
        gate = known
        gate.seal(GateState.unheard.seal ?? "")
        lease = LeaseHolder(epoch: known.epoch)
        start = .random()
        link.hello = { [unowned self] in
            var body = WireHello()
            body.software = "sluice 0.1"
            body.start = start.bytes
            body.epoch = lease.epoch.number
            body.entries = self.applied
            body.closures = gate.closures.map(\.epoch.number)
            return body
        }
        link.welcomed = { [unowned self] welcome in
            if !welcomed(welcome) { broken = "control has another journal than the one that was followed" }
            renew(at: Clock.now())
        }
    }

    package var epoch: Epoch { lease.epoch }

    /// Whether this node may go on. Ask at the moment of use.
    package func isHeld(at now: Instant) -> Bool { broken == nil && applied >= required && lease.isHeld(at: now) }

    /// The end of this node's own lease, past which it grants nothing; nil: it holds none.
    package func heldUntil(at now: Instant) -> Instant? { isHeld(at: now) ? lease.until : nil }

    /// Call often: a tenth of a lease is enough.
    package func tick(at now: Instant) {
        link.tick(at: now)
        guard link.isWelcome else { return }
        if renewed.map({ now - $0 >= span / Limits.renewalsPerLease }) ?? true { renew(at: now) }
    }

    package func renew(at now: Instant) {
        let nonce = Nonce.random()
        var body = WireRenew()
        body.nonce = nonce.bytes
        body.epoch = lease.epoch.number
        body.wallUs = Clock.wall().microseconds
        body.entries = applied
        body.closures = gate.closures.map(\.epoch.number)
        // Reports are for people; a nudge must not make them more frequent.
        if reported.map({ now - $0 >= .milliseconds(300) }) ?? true {
            body.service = report()
            reported = now
        }
        lease.request(nonce, at: now)
        renewed = now
        link.send(.renew, body)
    }

    /// Takes what control says.
    ///
    /// - Returns: false if the kind is not this session's.
    package func take(_ message: borrowing Inbound) throws(Frame.Malformed) -> Bool {
        switch message.kind {
        case .grant: try grant(message.body(WireGrant.self))
        case .narrow: try narrow(message.body(WireNarrow.self))
        case .nudge: renew(at: Clock.now())
        case .entries: try entries(message.body(WireEntries.self))
        default: return false
        }
        return true
    }

    private func grant(_ body: WireGrant) {
        guard let nonce = Nonce(body.nonce), body.hasGate, broken == nil else { return }
        let now = Clock.now()
        required = body.entries
        do {
            try lease.grant(nonce, lease: .milliseconds(Int64(body.leaseMs)), epoch: Epoch(body.gate.epoch), at: now)
        } catch {
            // Too late to extend; what it takes away counts all the same.
            if error == .ended, gate.narrow(to: body.gate.value) { gateChanged(gate, false) }
            return
        }
        let next = body.gate.value
        if next != gate {
            gate = next
            gateChanged(gate, false)
        }
        granted()
    }

    private func narrow(_ body: WireNarrow) {
        if !body.removed.isEmpty { removed(body.removed) }
        guard body.hasGate else { return }
        let pushed = body.gate.value
        guard gate.narrow(to: pushed) else { return }
        lease.hear(gate.epoch)
        gateChanged(gate, true)
    }

    private func entries(_ body: WireEntries) {
        guard broken == nil else { return }
        var next: [Entry] = []
        for wire in body.entries where wire.index > applied + UInt64(next.count) {
            guard wire.index == applied + UInt64(next.count) + 1 else { break }
            guard let entry = wire.value else {
                broken = "entry \(wire.index) of the journal cannot be understood: this service is older than control"
                break
            }
            next.append(entry)
        }
        guard !next.isEmpty else { return }
        guard apply(next) else { return }
        applied += UInt64(next.count)
        // Caught up, perhaps: whoever asks by another way than ``isHeld(at:)`` must hear of it now.
        granted()
        // More to come: ask at once.
        if applied < body.last { renew(at: Clock.now()) }
    }
}
