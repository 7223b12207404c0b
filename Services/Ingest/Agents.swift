import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import SwiftProtobuf
import Wire

/// The edge: agents' sessions, their leases and permits, and the relay of their batches to policy. Keeps no telemetry.
final class Agents {
    private let follower: Follower
    private let relay: PolicyRelay
    private let announced: AnnouncedKey
    /// This node's own newest key.
    private let server: AnnouncedKey
    private let retired: AnnouncedKey
    private let admission: Admission
    private let lease: Span
    private let logger: Logger
    private let refusals: RefusalLog
    private let start = Nonce.random()
    /// Made when the registry is complete: before that nobody could be told from a stranger.
    private var binder: Binder?
    private let bind: () throws -> Binder

    private var registry = Governance()
    /// Registered no more, and the journal may not say so yet: while its disk is full, for long.
    private var removed: Set<UInt32> = []
    private var sessions = SessionTable<AgentSession>()
    private var byOrdinal: [UInt32: [AgentSession]] = [:]
    private var leases: LeaseGrantor<UInt32>
    /// Agents that have acknowledged, not yet told to control, by epoch.
    private var acknowledged: [Epoch: [UInt32]] = [:]
    private var flushed = Instant(nanoseconds: 0)
    /// Agents that were told to stop by the last gate and have not answered: when there is none, control need not wait for more.
    private var unanswered = 0
    private var permits = PermitTable(classes: Agents.classes)
    /// Why nothing can be made of the policy document.
    private var trouble: String?
    private var counters = Counters()
    private var crowd = PushBack()
    /// Sessions whose renewal waits for its answer, oldest first.
    private var owing: [(session: AgentSession, since: Instant)] = []
    private var shown: (at: Instant, events: UInt64)?

    private struct Counters {
        var batches: UInt64 = 0
        var events: UInt64 = 0
        var bytes: UInt64 = 0
        var busy: UInt64 = 0
        var stored: UInt64 = 0
    }

    /// Before a policy document names them.
    static let classes = ["activity", "content", "conversation", "review"].map { DataClass($0) }
    /// Agents whose lease has ended stay in the list of the silent for so long.
    static let silenceKept = Span.seconds(600)
    /// While a pause goes out, renewals of those who have been told to stop wait so long: they hold no permit that could end.
    static let owedAfter = Span.milliseconds(250)

    init(
        follower: Follower, relay: PolicyRelay, announced: AnnouncedKey, server: AnnouncedKey, retired: AnnouncedKey, admission: Admission, lease: Span,
        logger: Logger,
        bind: @escaping () throws -> Binder
    ) {
        self.follower = follower
        self.relay = relay
        self.announced = announced
        self.server = server
        self.retired = retired
        self.admission = admission
        self.lease = lease
        self.logger = logger
        refusals = RefusalLog(logger)
        self.bind = bind
        leases = LeaseGrantor(lease: lease, startedAt: Clock.now())
        follower.apply = { [unowned self] in apply($0.map(\.entry)) }
        follower.removed = { [unowned self] ordinals in
            removed.formUnion(ordinals)
            for node in ordinals.compactMap({ registry.nodes[$0] }) { revoke(node) }
        }
        follower.narrowed = { [unowned self] entries in
            for entry in entries { registry.apply(entry) }
            rulesMayHaveChanged()
        }
        follower.keyProofsChanged = { [unowned self] proofs in
            var body = WireServerKey()
            body.ledgerKeys = proofs
            tell(.serverKey, body)
        }
        follower.gateChanged = { [unowned self] gate, pushed in gateChanged(gate, pushed) }
        follower.report = { [unowned self] in report() }
        relay.stored = { [unowned self] in stored($0) }
        relay.refused = { [unowned self] in refused($0) }
        relay.busy = { [unowned self] in busy($0) }
        relay.lost = { [unowned self] in lost() }
        announced.changed = { [unowned self] proof in
            var body = WireVaultKey()
            body.vault = proof
            tell(.vaultKey, body)
        }
        server.changed = { [unowned self] proof in
            var body = WireServerKey()
            body.server = proof
            tell(.serverKey, body)
        }
        retired.changed = { [unowned self] proof in
            var body = WireServerKey()
            body.retired = proof
            tell(.serverKey, body)
        }
    }

    // MARK: The registry

    private func apply(_ entries: [Entry]) {
        for entry in entries {
            switch entry.deed {
            case .registered(let nodes, _):
                for node in nodes where node.role == .agent {
                    if let old = registry.node(named: node.name), old.ordinal != node.ordinal { revoke(old) }
                    // Removed since, and read anew from an entry before that: this ingest was started meanwhile.
                    if !removed.contains(node.ordinal), let key = CurveKey(node.key) { admission.admit(key, as: "agent/\(node.ordinal)") }
                }
                registry.apply(entry)
            case .removed(let ordinals):
                for node in ordinals.compactMap({ registry.nodes[$0] }) { revoke(node) }
                registry.apply(entry)
                removed.subtract(ordinals)
            case .policyApplied, .recordsChanged, .erased, .readmitted: registry.apply(entry)
            // The gate comes with every grant; what else control has decided is not needed here.
            default: break
            }
        }
        rulesMayHaveChanged()
    }

    /// By another policy document, or a record of somebody: who may capture less is told at once; who may capture more, or must do it otherwise, is asked to ask.
    private func rulesMayHaveChanged() {
        guard permits.set(registry.policy, records: registry.records) else { return }
        if permits.rules.trouble != trouble, let why = permits.rules.trouble { logger.critical("\(why); nothing is captured") }
        trouble = permits.rules.trouble
        let nudge = Frame.bytes(.nudge, WireNudge())
        for (_, session) in sessions.all {
            let allowed = permits.number(for: session.node.scope)
            guard allowed != session.permit else { continue }
            if permits.narrows(allowed, from: session.permit) {
                session.permit = permits.intersection(allowed, session.permit)
                binder?.send(permits.narrowFrame(session.permit), to: session.route)
            }
            if allowed != session.permit { binder?.send(nudge, to: session.route) }
        }
    }

    /// A live connection cannot be cut, so every message asks the registry; here the lease goes, and the next handshake fails.
    private func revoke(_ node: Node) {
        if let key = CurveKey(node.key) { admission.revoke(key) }
        leases.forget(node.ordinal)
        for session in byOrdinal.removeValue(forKey: node.ordinal) ?? [] {
            var narrow = WireNarrow()
            narrow.permit.epoch = follower.epoch.number
            binder?.send(.narrow, narrow, to: session.route)
            sessions.end(session.route)
        }
    }

    /// Opens the port once the registry is complete and the vault's key is here: before that nobody could capture anything.
    func openWhenReady(at now: Instant) throws -> Binder? {
        guard binder == nil, follower.isHeld(at: now), announced.proof != nil else { return nil }
        admission.open()
        let binder = try bind()
        binder.received = { [unowned self] route, message in receive(route, message) }
        self.binder = binder
        return binder
    }

    // MARK: Messages from agents

    private func receive(_ route: Route, _ message: consuming Inbound) {
        guard let binder else { return }
        let now = Clock.now()
        let kind = message.kind
        do {
            if kind == .hello { return try greet(route, message, now, binder) }
            guard let session = sessions.hear(route, at: now) else { return binder.askForHello(kind, route) }
            switch kind {
            case .batch: try batch(session, message, now, binder)
            case .renew: try renew(session, message.body(WireRenew.self), now, binder)
            case .stopped: try stopped(session, Epoch(message.body(WireStopped.self).epoch))
            case .goodbye: goodbye(session)
            default:
                refusals.note("not-allowed \(session.node.name)", "agent \(session.node.name) sent what no agent sends: \(kind)", at: now)
                binder.refuse(.notAllowed, "an agent does not send this", kind: kind, to: route)
            }
        } catch let error as Frame.Malformed {
            binder.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        } catch {
            binder.refuse(.invalid, "\(error)", kind: kind, to: route)
        }
    }

    private func greet(_ route: Route, _ message: borrowing Inbound, _ now: Instant, _ binder: Binder) throws {
        let hello = try message.body(WireHello.self)
        guard hello.protocol == UInt32(Limits.version) else {
            return binder.refuse(.unsupportedVersion, "this is protocol \(Limits.version)", kind: .hello, to: route)
        }
        guard let user = User(message.user), user.role == "agent", let ordinal = UInt32(user.name), let node = registry.nodes[ordinal],
            !removed.contains(ordinal)
        else {
            return binder.refuse(.unknownNode, "this key is not registered", kind: .hello, to: route)
        }
        // A second Hello on the same connection takes the place of the first.
        if let old = sessions.hear(route, at: now) { forget(old) }
        // The same process on a new connection: what it had before is dead, and must hold up nobody's certificate.
        let session = AgentSession(route: route, node: node, start: hello.start)
        for old in byOrdinal[ordinal] ?? [] where !hello.start.isEmpty && old.start == hello.start {
            session.goOn(from: old)
            forget(old)
            sessions.end(old.route)
        }
        sessions.greet(route, session, at: now)
        byOrdinal[ordinal, default: []].append(session)
        var welcome = WireWelcome()
        welcome.node = node.name
        welcome.ordinal = ordinal
        welcome.leaseMs = UInt32(lease.milliseconds)
        welcome.epoch = follower.epoch.number
        welcome.start = start.bytes
        welcome.wallUs = Clock.wall().microseconds
        welcome.window = UInt32(Limits.window)
        if let proof = announced.proof { welcome.vault = proof }
        if let proof = server.proof { welcome.server = proof }
        if let proof = retired.proof { welcome.serverRetired = proof }
        welcome.ledgerKeys = follower.keyProofs.map(\.proof)
        binder.send(.welcome, welcome, to: route)
    }

    /// Who does not hear of a key goes on with the one before, and hears of it when it greets again.
    private func tell(_ kind: Kind, _ body: some SwiftProtobuf.Message) {
        let frame = Frame.bytes(kind, body)
        for (route, _) in sessions.all { binder?.send(frame, to: route) }
    }

    /// Everybody who has said `Hello`.
    var routes: [Route] { sessions.all.map(\.0) }

    private func forget(_ session: AgentSession) {
        let ordinal = session.node.ordinal
        byOrdinal[ordinal]?.removeAll { $0 === session }
        if byOrdinal[ordinal]?.isEmpty ?? false { byOrdinal[ordinal] = nil }
        for (_, list) in session.abandon() { for item in list { relay.settle(bytes: item.bytes) } }
    }

    private func renew(_ session: AgentSession, _ body: WireRenew, _ now: Instant, _ binder: Binder) {
        session.hasRenewed = true
        session.renewed = now
        session.rules = body.rules
        session.noteOffset((WallTime(microseconds: body.wallUs) - Clock.wall()).microseconds)
        if body.hasAgent { session.report = AgentCounts(body.agent) }
        acknowledge(session, Epoch(body.epoch))
        if session.isToldToStop, permits.number(for: session.node.scope) == PermitTable.nothing {
            if session.owed == nil { owing.append((session, now)) }
            session.owed = body.nonce
            return
        }
        session.owed = nil
        grant(session, body.nonce, now, binder)
    }

    /// Answers what was put off while a pause went out to everybody: the word that stops goes before the word that changes nothing.
    ///
    /// Measured with 10,000 agents: a third of what a pause cost was spent on renewals of agents that had already stopped.
    func answerOwed(at now: Instant) {
        guard let binder else { return }
        let due = owing.prefix { now - $0.since >= Agents.owedAfter }
        guard !due.isEmpty else { return }
        owing.removeFirst(due.count)
        for (session, _) in due {
            guard let nonce = session.owed else { continue }
            session.owed = nil
            // Its session may have ended meanwhile: whoever comes back asks anew.
            guard byOrdinal[session.node.ordinal]?.contains(where: { $0 === session }) ?? false else { continue }
            grant(session, nonce, now, binder)
        }
    }

    private func grant(_ session: AgentSession, _ nonce: Data, _ now: Instant, _ binder: Binder) {
        var grant = WireGrant()
        grant.nonce = nonce
        grant.wallUs = Clock.wall().microseconds
        if let span = leases.grant(session.node.ordinal, ownUntil: follower.heldUntil(at: now), at: now) {
            grant.leaseMs = UInt32(clamping: span.milliseconds)
            session.permit = permits.number(for: session.node.scope)
        } else {
            // Nobody has told this ingest within its own lease that anything may go on.
            session.permit = PermitTable.nothing
        }
        // In this order, and on one connection: who is permitted something has what it must keep to.
        let given = permits.given(session.permit)
        if let frame = given.frame, session.rules != Data(given.hash) { binder.send(frame, to: session.route) }
        binder.send(permits.grantFrame(session.permit, grant), to: session.route)
    }

    private func batch(_ session: AgentSession, _ message: consuming Inbound, _ now: Instant, _ binder: Binder) throws {
        let sent = try message.body(WireBatch.self)
        guard let header = try? WireBatchHeader(serializedBytes: sent.header) else {
            throw Frame.Malformed(refusal: .malformed, kind: Kind.batch.rawValue)
        }
        let ordinal = session.node.ordinal
        func refuse(_ refusal: Refusal, _ text: String) {
            binder.refuse(refusal, text, kind: .batch, to: session.route) {
                $0.stream = header.stream
                $0.sequence = header.sequence
                $0.epoch = follower.epoch.number
            }
        }
        guard session.hasRenewed, leases.isHeld(ordinal, at: now), follower.isHeld(at: now) else { return refuse(.noLease, "renew first") }
        var taken = message
        guard let payload = taken.takePayload() else { return refuse(.malformed, "a batch has a payload") }
        let bytes = payload.count
        guard bytes == Int(header.payloadBytes), bytes <= Limits.payloadBytesMax else {
            return refuse(.malformed, "the payload has \(bytes) bytes, the header says \(header.payloadBytes)")
        }
        guard session.count < AgentSession.underWayMax, relay.hasRoom(for: bytes) else { return pushBack(header, to: session, now, binder) }
        var body = WireRelay()
        body.agent = ordinal
        body.offsetUs = session.offset
        // Never written anew: what was sealed is bound to these bytes.
        body.header = sent.header
        body.oldest = sent.oldest
        body.entries = follower.applied
        guard relay.send(body, payload: payload, bytes: bytes) else { return pushBack(header, to: session, now, binder) }
        session.relayed(header.stream, AgentSession.Relayed(sequence: header.sequence, bytes: bytes, since: now))
        counters.batches += 1
        counters.events += UInt64(header.count)
        counters.bytes += UInt64(bytes)
    }

    private func pushBack(_ header: WireBatchHeader, to session: AgentSession, _ now: Instant, _ binder: Binder) {
        counters.busy += 1
        var busy = WireBusy()
        busy.retryMs = UInt32(clamping: crowd.retry(at: now, spread: .random(in: 0...1)).milliseconds)
        busy.kind = UInt32(Kind.batch.rawValue)
        busy.stream = header.stream
        busy.sequence = header.sequence
        binder.send(.busy, busy, to: session.route)
    }

    private func goodbye(_ session: AgentSession) {
        acknowledge(session, follower.epoch)
        forget(session)
        sessions.end(session.route)
        if byOrdinal[session.node.ordinal] == nil { leases.forget(session.node.ordinal) }
    }

    // MARK: Answers from policy

    private func stored(_ group: WireStoredGroup) {
        guard group.agents.count == group.streams.count, group.agents.count == group.sequences.count else { return }
        let now = Clock.now()
        var body = WireStored()
        for index in group.agents.indices {
            body.stream = group.streams[index]
            body.sequence = group.sequences[index]
            let frame = Frame.bytes(.stored, body)
            for session in byOrdinal[group.agents[index]] ?? [] {
                session.answered(body.stream, upTo: body.sequence) { item in
                    relay.settle(bytes: item.bytes)
                    relay.note(latency: now - item.since)
                    counters.stored += 1
                    crowd.serve(1)
                }
                binder?.send(frame, to: session.route)
            }
        }
    }

    private func refused(_ body: WireRefused) {
        for session in byOrdinal[body.agent] ?? [] {
            session.refused(body.stream, body.sequence) { relay.settle(bytes: $0.bytes) }
            var onward = body
            onward.agent = 0
            onward.kind = UInt32(Kind.batch.rawValue)
            binder?.send(.refused, onward, to: session.route)
        }
    }

    private func busy(_ body: WireBusy) {
        for session in byOrdinal[body.agent] ?? [] {
            session.refused(body.stream, body.sequence) { relay.settle(bytes: $0.bytes) }
            var onward = body
            onward.agent = 0
            onward.kind = UInt32(Kind.batch.rawValue)
            counters.busy += 1
            binder?.send(.busy, onward, to: session.route)
        }
    }

    /// Policy has come back and knows nothing of what was under way: agents send it again at once.
    private func lost() {
        for (_, session) in sessions.all {
            for (stream, list) in session.abandon() {
                var busy = WireBusy()
                busy.retryMs = 20
                busy.kind = UInt32(Kind.batch.rawValue)
                busy.stream = stream
                busy.sequence = list[0].sequence
                binder?.send(.busy, busy, to: session.route)
            }
        }
    }

    // MARK: The gate

    private func gateChanged(_ gate: GateState, _ pushed: Bool) {
        let now = Clock.now()
        // Control has not had this ingest's answer. Its agents have been told; whom that did not reach is told with its next renewal.
        if gate == permits.gate, let newest = gate.closures.last(where: \.stopsCapture) { return tellWhoIsLeased(gate, newest.epoch, now) }
        permits.set(gate)
        // Nothing is granted under the old gate from here on, and control hears so before anything is counted.
        if pushed {
            var body = WireStopped()
            body.epoch = gate.epoch.number
            follower.link.send(.stopped, body)
        }
        if let newest = gate.closures.last(where: \.stopsCapture) { tellWhoIsLeased(gate, newest.epoch, now) } else { acknowledgeOwn(gate) }
        var wider: [AgentSession] = []
        unanswered = 0
        for (_, session) in sessions.all {
            let allowed = permits.number(for: session.node.scope)
            narrow(session, gate, allowed)
            if permits.intersection(allowed, session.permit) != allowed { wider.append(session) }
        }
        // Only a renewal that the agent asks for can extend: ask it to ask.
        let nudge = Frame.bytes(.nudge, WireNudge())
        for session in wider { binder?.send(nudge, to: session.route) }
        logger.info("epoch \(gate.epoch.number)\(pushed ? " pushed" : ""): \(gate.closures.count) closures in force")
    }

    /// This ingest grants nothing any more in the scope of any closure; these agents hold a lease from before.
    private func tellWhoIsLeased(_ gate: GateState, _ epoch: Epoch, _ now: Instant) {
        var body = WireStopped()
        body.epoch = gate.epoch.number
        body.first = true
        let unknown = leases.unknownUntil - now
        if unknown > .zero { body.unknownMs = UInt32(clamping: unknown.milliseconds + 1) }
        let capture = gate.closures.filter(\.stopsCapture)
        let concernsEveryone = capture.contains { $0.selector.concernsEveryone }
        body.leased = leases.granted.keys.filter { ordinal in
            guard leases.isHeld(ordinal, at: now), let node = registry.nodes[ordinal] else { return false }
            return concernsEveryone || capture.contains { $0.selector.matches(node.scope) }
        }
        follower.link.send(.stopped, body)
    }

    private func acknowledgeOwn(_ gate: GateState) {
        var body = WireStopped()
        body.epoch = gate.epoch.number
        body.first = true
        follower.link.send(.stopped, body)
    }

    private func narrow(_ session: AgentSession, _ gate: GateState, _ allowed: Int) {
        guard gate.seal != nil
            || gate.closures.contains(where: { $0.stopsCapture && $0.epoch > session.acknowledged && $0.selector.matches(session.node.scope) })
        else { return }
        session.permit = permits.intersection(allowed, session.permit)
        let result = binder?.send(permits.narrowFrame(session.permit), to: session.route)
        // Who could not be told hears it with its next grant, and that one must not wait.
        if session.permit == PermitTable.nothing, result == .sent {
            session.isToldToStop = true
            unanswered += 1
        }
    }

    private func stopped(_ session: AgentSession, _ epoch: Epoch) { acknowledge(session, epoch) }

    private func acknowledge(_ session: AgentSession, _ claimed: Epoch) {
        // Nobody acknowledges what has not been said: an agent that claims more would never be asked again.
        let epoch = min(claimed, follower.gate.epoch)
        if epoch == follower.gate.epoch, session.isToldToStop {
            session.isToldToStop = false
            unanswered -= 1
        }
        guard epoch > session.acknowledged else { return }
        session.acknowledged = epoch
        // Two machines may have one key: the last of them that can hold a lease makes it true.
        let now = Clock.now()
        let others = byOrdinal[session.node.ordinal] ?? []
        guard others.allSatisfy({ $0.acknowledged >= epoch || now - $0.renewed > StopTracker.withDrift(lease) }) else { return }
        acknowledged[epoch, default: []].append(session.node.ordinal)
    }

    /// Tells control who has stopped: what has come in since the last time, in one message.
    ///
    /// Of a few agents within a millisecond; of ten thousand some hundreds at once: each message costs control and ingest the processor that the
    /// others' answers need.
    func flush(at now: Instant) {
        guard !acknowledged.isEmpty,
            unanswered == 0 || now - flushed >= .microseconds(min(5_000, max(1_000, Int64(sessions.count) / 2)))
        else { return }
        flushed = now
        for (epoch, ordinals) in acknowledged {
            var body = WireStopped()
            body.epoch = epoch.number
            body.agents = ordinals
            follower.link.send(.stopped, body)
        }
        acknowledged = [:]
    }

    // MARK: Time

    /// Call a few times in a lease: it looks at every session.
    func tick(at now: Instant) {
        sessions.expire(after: Span(nanoseconds: lease.nanoseconds * 4), at: now) { _, session in forget(session) }
        refusals.tick(admission, binder?.refusals ?? [:], at: now)
        for (ordinal, until) in leases.granted where now - until > Agents.silenceKept { leases.forget(ordinal) }
    }

    private func report() -> WireServiceReport {
        let now = Clock.now()
        let wall = Clock.wall()
        var report = WireServiceReport()
        for (ordinal, until) in leases.granted {
            if until > now {
                report.current.append(ordinal)
            } else {
                var silence = WireSilence()
                silence.agent = ordinal
                silence.sinceUs = (wall - (now - until)).microseconds
                report.silent.append(silence)
            }
        }
        report.counters["batches"] = counters.batches
        report.counters["events"] = counters.events
        report.counters["bytes"] = counters.bytes
        report.counters["stored"] = counters.stored
        report.counters["busy"] = counters.busy
        report.counters["handshakes.refused"] = admission.refusals
        for (word, count) in binder?.refusals ?? [:] { report.counters["refused.\(word)"] = count }
        var refused: [String: UInt64] = [:]
        var pushes: [String: UInt64] = [:]
        var accepted: UInt64 = 0
        var minimised: UInt64 = 0
        var counted: [String: UInt64] = [:]
        for (_, session) in sessions.all {
            accepted.add(saturating: session.report.accepted)
            minimised.add(saturating: session.report.minimised)
            for (kind, count) in session.report.counted { counted[kind, default: 0].add(saturating: count) }
            for (reason, count) in session.report.pushes { pushes[reason, default: 0].add(saturating: count) }
            for (reason, count) in session.report.refused { refused[reason, default: 0].add(saturating: count) }
        }
        report.counters["agents.events.accepted"] = accepted
        if minimised > 0 { report.counters["agents.events.minimised"] = minimised }
        for (kind, count) in counted { report.counters["agents.events.counted.\(kind)"] = count }
        for (reason, count) in pushes { report.counters["agents.pushes.refused.\(reason)"] = count }
        for (reason, count) in refused { report.counters["agents.events.refused.\(reason)"] = count }
        if let shown, now > shown.at {
            let seconds = Double((now - shown.at).nanoseconds) / 1e9
            report.gauges["events.rate"] = Int64((Double(counters.events - shown.events) / seconds).rounded())
        }
        shown = (now, counters.events)
        report.gauges["sessions"] = Int64(sessions.count)
        report.gauges["under-way"] = Int64(relay.underWay)
        let latency = relay.takeLatencies()
        report.gauges["ack.p50.us"] = latency.p50
        report.gauges["ack.p99.us"] = latency.p99
        return report
    }
}
