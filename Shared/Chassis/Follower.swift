import Foundation
package import Gate
package import Identity
package import Ledger
package import Messaging
import Rules
import SwiftProtobuf
package import Wire

/// A service's session with control: its lease, the gate, and the entries of control's ledger in order, every signature and every root checked.
///
/// It says "stopped" to whoever asks until control has answered, until every entry is applied that the answer rests on, and
/// whenever the lease has ended.
package final class Follower {
    package let link: Link
    /// What the gate allows, as far as this node knows. Ask ``isHeld(at:)`` too.
    package private(set) var gate: GateState
    package var applied: UInt64 { ledger.applied }
    /// The gate has changed. `true`: it was pushed, and `Stopped` is expected when it has taken effect.
    package var gateChanged: (GateState, Bool) -> Void = { _, _ in }
    /// Entries that follow on what was applied, checked.
    package var apply: ([FollowedEntry]) -> Void = { _ in }
    /// Agents that are registered no more, before the journal says so. Said again with each grant until it does.
    package var removed: ([UInt32]) -> Void = { _ in }
    /// What narrows and is in force before the journal has it: to be applied to what is known. Each again after every entry that is applied, until it is
    /// recorded: what was decided before it, and became durable after it came, must not undo it.
    package var narrowed: ([Entry]) -> Void = { _ in }
    /// Not recorded yet, with the indexes that they will have.
    private var pushed: [Entry] = []
    /// Came while this node caught up with the ledger, and narrow nothing of what it had by then.
    private var unjudged: [Entry] = []
    package var report: () -> WireServiceReport = { WireServiceReport() }
    package var granted: () -> Void = {}
    /// False: this is not the control, or not the journal, that was followed. The follower acts as stopped from here on.
    package var welcomed: (WireWelcome) -> Bool = { _ in true }

    private var lease: LeaseHolder
    private let span: Span
    private let start: Nonce
    private var required: UInt64 = 0
    /// The ledger so far, as this node has checked it.
    private var ledger: FollowedLedger
    package var fold: GovernanceFold { ledger.fold }
    /// By which keys control's ledger is believed.
    package var trust: LedgerTrust { ledger.trust }
    /// A checkpoint of control's that this node has checked and, as a witness, may cosign: keep it on disk, then call ``cosigned(_:)``.
    package var confirmed: (SignedNote, Checkpoint) -> Void = { _, _ in }
    /// What a witness says of both ledgers with each renewal.
    package var anchor: () -> WireAnchor? = { nil }
    /// What control says of them with each grant.
    package var anchored: (WireAnchor) -> Void = { _ in }
    /// This follower cannot go on, and why: the process ends, and begins anew if it is started again.
    package var broke: (String) -> Void = { _ in }
    /// Why this follower cannot go on; nil: it can.
    package private(set) var broken: String? {
        didSet { if oldValue == nil, let broken { broke(broken) } }
    }
    /// Other keys than before sign control's ledger: to be kept on disk.
    package var trustChanged: (LedgerTrust) -> Void = { _ in }
    private var trusted: LedgerTrust {
        didSet { if oldValue != trusted { trustChanged(trusted) } }
    }
    /// What proves the keys that control's ledger was ever signed with, in its order, as far as control tells.
    package private(set) var keyProofs: [(index: UInt64, proof: WireEntryProof)] = []
    /// There are more.
    package var keyProofsChanged: ([WireEntryProof]) -> Void = { _ in }
    /// What control signs with is not known here: nothing new is believed, and what is held runs out. Said once, until it is known.
    package var unknownSigner: (String) -> Void = { _ in }
    private var isUnknownSigner = false
    /// An entry did not come, and those after it did: said once, until what was missing is here.
    package var missed: (UInt64) -> Void = { _ in }
    private var hasMissed = false
    /// Control grants a gate that lets through what its ledger says is closed, the closure that began at this epoch: said once, until they agree.
    package var contradicted: (Epoch) -> Void = { _ in }
    private var isContradicted = false
    private var isAccused = false
    private var contradictions: UInt64 = 0
    private var pushesRefused: UInt64 = 0
    /// How many entries control was last heard to have.
    private var told: UInt64?
    /// Whether ``fold`` is the present: while it is caught up with, page by page, it is the past, and nothing that changes with time may go by it.
    package var isCaughtUp: Bool { told.map { applied >= $0 } ?? false }
    private var renewed: Instant?
    private var reported: Instant?

    /// - Parameters:
    ///   - known: What this node has on record of the gate. Whatever it says, nothing is allowed before control has answered.
    ///   - trust: what control's checkpoints are signed with.
    ///   - witnessed: a witness: what it has cosigned last, in an earlier run.
    package init(link: Link, lease span: Span, trust: LedgerTrust, known: GateState = .unheard, witnessed: Checkpoint? = nil) {
        self.link = link
        self.span = span
        ledger = FollowedLedger(trust: trust, witnessed: witnessed)
        trusted = trust
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
    package func isHeld(at now: Instant) -> Bool {
        broken == nil && applied >= required && !isContradicted && ledger.trouble == nil && lease.isHeld(at: now)
    }

    /// The end of this node's own lease, past which it grants nothing; nil: it holds none.
    package func heldUntil(at now: Instant) -> Instant? { isHeld(at: now) ? lease.until : nil }

    /// Who may connect to this node, if `entries` have changed it: those of the registry's roles, and the ledger's operators.
    package func admitted(_ trusted: TrustedNodes, roles: Set<String>, after entries: [Entry]) -> [CurveKey: String]? {
        let hasChanged = entries.contains { entry in
            switch entry.deed {
            case .began, .operatorsChanged, .serviceKeyAnnounced, .serviceKeyRetired: true
            case .registered(let nodes, _): roles.contains("reader") && nodes.contains { $0.role == .reader }
            case .removed: roles.contains("reader")
            default: false
            }
        }
        guard hasChanged else { return nil }
        return trusted.admittedWithLedger(roles, by: fold.governance)
    }

    /// Taken away, as control says, and the ledger does not say so yet.
    private var removedOperators: Set<String> = []
    private var retiredKeys: Set<[UInt8]> = []

    /// Whether the ledger says so, or control. Asked for each message: a connection cannot be cut.
    package func isNoOperator(_ name: String) -> Bool {
        removedOperators.contains(name) || fold.governance.beginning != nil && fold.governance.operators[name] == nil
    }

    /// Whether the ledger, or control, says that this service's key counts no more. Asked for each message, likewise.
    package func isRetired(_ user: User, _ trusted: TrustedNodes) -> Bool {
        !trusted.counts(user, by: fold.governance) || user.key.map { user.role == "service" && retiredKeys.contains($0.bytes) } ?? false
    }

    /// Call often: a tenth of a lease is enough.
    package func tick(at now: Instant) {
        link.tick(at: now)
        guard link.isWelcome else { return }
        if renewed.map({ now - $0 >= span / Limits.renewalsPerLease }) ?? true { renew(at: now) }
    }

    /// Asks at once, if no lease is held: there is something to say that may bring one.
    package func renewIfStopped(at now: Instant) {
        if link.isWelcome, !isHeld(at: now) { renew(at: now) }
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
            body.service.counters["entries.gaps"] = ledger.gaps
            body.service.counters["gate.contradicted"] = contradictions
            body.service.counters["narrow.refused"] = pushesRefused
            body.service.gauges["narrowed.unrecorded"] = Int64(pushed.count)
            reported = now
        }
        if let anchor = anchor() { body.anchor = anchor }
        body.ledgerKeys = keyProofs.last?.index ?? 0
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
        if body.hasAnchor { anchored(body.anchor) }
        let isTrusted = take(keys: body.ledgerKeys)
        defer { if isTrusted { renew(at: Clock.now()) } }
        guard let nonce = Nonce(body.nonce), broken == nil, believe(body.checkpoint, of: body.entries), body.hasGate else { return }
        let now = Clock.now()
        required = body.entries
        told = max(told ?? 0, body.entries)
        do {
            try lease.grant(nonce, lease: .milliseconds(Int64(body.leaseMs)), epoch: Epoch(body.gate.epoch), at: now)
        } catch {
            // Too late to extend; what it takes away counts all the same.
            let before = gate
            // Who is granted nothing is told so with each renewal: it is news once.
            if error == .ended, gate.narrow(to: body.gate.value), gate != before { gateChanged(gate, false) }
            return
        }
        let next = body.gate.value
        if next != gate {
            gate = next
            compareGate(granted: true)
            gateChanged(gate, false)
        } else {
            compareGate(granted: true)
        }
        granted()
    }

    /// What control says of the gate is compared with what its ledger, which two persons have signed, says is closed: a grant alone opens nothing.
    ///
    /// The gate may have more closures, since a pause acts before it is recorded; and it may lack one that another covers, since lifting that gains
    /// nothing, and so acts before it is recorded as well.
    private func compareGate(granted: Bool) {
        // Until it has caught up this node holds no lease, and the gate may rest on what it does not have yet.
        guard applied >= required else { return }
        let open = gate.seal != nil ? nil : fold.governance.gate.closures.first { recorded in !gate.closures.contains { $0.covers(recorded) } }
        isContradicted = open != nil
        // After a lost connection a pause may come in an entry before it comes in a grant: nothing is allowed meanwhile, and nobody is accused.
        guard granted else { return }
        if let open, !isAccused {
            contradictions += 1
            contradicted(open.epoch)
        }
        isAccused = open != nil
    }

    private func narrow(_ body: WireNarrow) {
        if !body.removed.isEmpty { removed(body.removed) }
        removedOperators.formUnion(body.removedOperators)
        retiredKeys.formUnion(body.retiredKeys.map { [UInt8]($0) })
        take(body.narrowed.compactMap(\.value))
        guard body.hasGate else { return }
        let pushed = body.gate.value
        guard gate.narrow(to: pushed) else { return }
        lease.hear(gate.epoch)
        gateChanged(gate, true)
    }

    /// Control alone says so, and nobody's signature is on it: so it can only narrow. What does not comes with its entry, or never.
    private func take(_ deeds: [Entry]) {
        let known = pushed.count
        unjudged = []
        for entry in deeds where entry.index > applied && !pushed.contains(where: { $0.index == entry.index }) {
            switch entry.deed {
            case .policyApplied, .recordsChanged(_, _, _, given: false), .erased: break
            default:
                pushesRefused += 1
                continue
            }
            var before = ledger.fold.governance
            for earlier in pushed { before.apply(earlier.unrecorded) }
            var after = before
            after.apply(entry.unrecorded)
            guard Powers(before).consequence(of: Powers(after), comparing: .anyWorld).narrows else {
                // Of the past it may be something else: it is looked at again when that is the present, before a lease is held.
                if isCaughtUp { pushesRefused += 1 } else { unjudged.append(entry) }
                continue
            }
            pushed.append(entry)
        }
        if pushed.count > known { narrowed(pushed[known...].map(\.unrecorded)) }
    }

    private func believe(_ note: Data, of size: UInt64) -> Bool {
        do throws(NotFollowed) {
            let holds = try ledger.believe(note, of: size)
            isUnknownSigner = false
            trusted = ledger.trust
            confirm()
            return holds
        } catch {
            if error.isUnknownSigner { return hearOfUnknownSigner(error) }
            broken = "\(error)"
            return false
        }
    }

    /// Not a reason to end: the announcement of the key that is not known yet comes with a grant, and entries are asked for again.
    private func hearOfUnknownSigner(_ why: NotFollowed) -> Bool {
        if !isUnknownSigner { unknownSigner("\(why)") }
        isUnknownSigner = true
        return false
    }

    /// - Returns: whether another key is believed now.
    private func take(keys proofs: [WireEntryProof]) -> Bool {
        var isTrusted = false
        let known = keyProofs.count
        for proof in proofs.prefix(Limits.ledgerKeyProofsMax) {
            guard let entry = try? WireEntry(serializedBytes: proof.entry.body), entry.index > keyProofs.last?.index ?? 0 else { continue }
            keyProofs.append((entry.index, proof))
            // What does not follow on the keys that are known here may do so elsewhere: agents know older ones.
            if (try? ledger.take(key: proof)) == true { isTrusted = true }
        }
        guard keyProofs.count > known else { return false }
        keyProofs = keyProofs.suffix(Limits.ledgerKeyProofsMax)
        trusted = ledger.trust
        keyProofsChanged(keyProofs.map(\.proof))
        return isTrusted
    }

    private func entries(_ body: WireEntries) {
        guard broken == nil else { return }
        if !body.checkpoint.isEmpty {
            do throws(NotFollowed) { try ledger.checkSigned(body.checkpoint) } catch {
                if error.isUnknownSigner { _ = hearOfUnknownSigner(error) } else { broken = "\(error)" }
                return
            }
        }
        told = max(told ?? 0, body.last)
        let next: [FollowedEntry]
        let gaps = ledger.gaps
        do throws(NotFollowed) { next = try ledger.take(body) } catch {
            broken = "\(error)"
            return
        }
        trusted = ledger.trust
        if ledger.gaps > gaps {
            if !hasMissed { missed(applied + 1) }
            hasMissed = true
        } else if !next.isEmpty {
            hasMissed = false
        }
        guard !next.isEmpty else { return }
        // The root first: what is not believed is not handed on, and notify tells nobody of it.
        if !body.checkpoint.isEmpty, body.last >= applied, !believe(body.checkpoint, of: body.last) { return }
        for case .operatorsChanged(let removed, _) in next.map(\.entry.deed) { removedOperators.subtract(removed) }
        apply(next)
        pushed.removeAll { $0.index <= applied }
        if !pushed.isEmpty { narrowed(pushed.map(\.unrecorded)) }
        if !unjudged.isEmpty { take(unjudged) }
        compareGate(granted: false)
        confirm()
        // Caught up, perhaps: whoever asks by another way than ``isHeld(at:)`` must hear of it now.
        granted()
        // More to come, or what proves a key: ask at once.
        if applied < body.last || fold.governance.ownKeysIndex > keyProofs.last?.index ?? 0 { renew(at: Clock.now()) }
    }

    /// Hands on what may be cosigned, once.
    private func confirm() {
        guard let next = ledger.next, next.checkpoint != handed else { return }
        handed = next.checkpoint
        confirmed(next.note, next.checkpoint)
    }

    private var handed: Checkpoint?

    /// The last checkpoint of control's that this node has checked, to be cosigned once more; nil: none, or it is not believed.
    package var newest: (note: SignedNote, checkpoint: Checkpoint)? { trouble == nil ? ledger.confirmed : nil }

    /// What was handed on by ``confirmed`` is kept on disk, and cosigned.
    package func cosigned(_ checkpoint: Checkpoint) { ledger.cosigned(checkpoint) }

    /// Why this node, a witness, does not believe control's ledger; nil: it does.
    package var trouble: String? { ledger.trouble }
}

extension Entry {
    /// As it is in force before it is recorded: at no index.
    fileprivate var unrecorded: Entry { Entry(index: 0, at: at, author: author, deed: deed) }
}
