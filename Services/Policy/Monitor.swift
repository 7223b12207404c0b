import Chassis
import Enforcement
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import Rules
import Seal
import SwiftProtobuf
import Vault
import Wire

/// The reference monitor: every write to the vault and every read from it passes here. Lives on the reactor's thread.
final class Monitor {
    private final class Peer {
        let user: User
        let route: Route
        let number: Int
        init(user: User, route: Route, number: Int) {
            self.user = user
            self.route = route
            self.number = number
        }
    }

    /// A release that is being streamed.
    private struct Streaming {
        let job: ReleaseJob
        let release: OpenedRelease
        /// As they were last looked at.
        var reader: Reader
        var whereabouts: Whereabouts
        var chunks: Int64 = 0
        var events: Int64 = 0
        /// Not among `events`: nobody did them.
        var canaries: Int64 = 0
        /// By grant.
        var given: [String: Int64] = [:]
        /// Its reader knows the number that it has.
        var isTold = false
    }

    private let binder: Binder
    private let follower: Follower
    private let fence: SharedFence
    private let captureRules: SharedRules
    /// What this machine's operator lets stay at most, whatever the document says.
    private let retention: Retention
    /// The document that what is kept goes by; nil: none yet.
    private var retained: [UInt8]?
    private let writer: VaultWriter
    private let releases: Releases
    private let decider: ReleaseDecider
    private let denied: DeniedCount
    private let admission: Admission
    private let detectors: Detectors
    /// Of the reader that is a detector.
    private let probe: CurveKey
    private let trusted: TrustedNodes
    private let lease: Span
    private let logger: Logger
    private let start = Nonce.random()
    private var registry = Governance()
    /// Registered no more, and the journal may not say so yet.
    private var removed: Set<UInt32> = []
    private var remembered = 0
    private var peers = SessionTable<Peer>()
    private var peersByNumber: [Int: Peer] = [:]
    private var nextPeer = 1
    private var streaming: [Int64: Streaming] = [:]
    private var rules = ReadRules()
    private var pending = 0
    private var pendingBytes = 0
    private var isFull = false
    /// The read ledger was recomputed since the start, and the vault's rows compared. Until then nothing is released: they may have been edited.
    private var isAudited = false
    /// Each holds a page of segments in memory.
    private static let releasesMax = 16
    /// Those whose record is being written: they will be under way too.
    private var opening = 0
    private var totals = VaultTotals()
    private var counters: [String: UInt64] = [:]
    private var quarantine = Quarantine()
    /// Whose data is going, or waits to: what is under way of them to a reader is cut off.
    private var erasing: [String: Erasure] = [:]
    private var sweepClockIsInDoubt = false
    private var rescanned: Rescan?
    /// When it was last asked in how many hours what runs is served.
    private var servedAt: WallTime?
    /// Agents that have a counter of their own for what could not be opened; more share one.
    private static let unsealableNamesMax = 100
    private var unsealable: Set<String> = []
    private var differing: Set<String> = []
    private var anchors: Anchors
    private var keys: KeyWatch
    /// What was last logged of the ledgers.
    private var troubles = (own: "", control: "")
    private let refusals: RefusalLog

    init(
        binder: Binder, follower: Follower, fence: SharedFence, captureRules: SharedRules, retention: Retention, writer: VaultWriter, releases: Releases, decider: ReleaseDecider, denied: DeniedCount, admission: Admission,
        detectors: Detectors, probe: CurveKey, anchors: Anchors, keys: KeyWatch, trusted: TrustedNodes, lease: Span, logger: Logger
    ) {
        self.binder = binder
        self.follower = follower
        self.fence = fence
        self.captureRules = captureRules
        self.retention = retention
        self.writer = writer
        self.releases = releases
        self.decider = decider
        self.denied = denied
        self.admission = admission
        self.detectors = detectors
        self.probe = probe
        self.anchors = anchors
        self.keys = keys
        self.trusted = trusted
        self.lease = lease
        self.logger = logger
        refusals = RefusalLog(logger)
        detectors.rules = { [unowned self] in self.rules }
        detectors.registry = { [unowned self] in registry }
        detectors.closed = { [unowned self] in endOfClosed(follower.gate) }
        binder.received = { [unowned self] route, message in receive(route, message) }
        follower.apply = { [unowned self] in apply($0.map(\.entry)) }
        follower.removed = { [unowned self] ordinals in
            removed.formUnion(ordinals)
            endOfRemoved()
        }
        follower.narrowed = { [unowned self] entries in
            for entry in entries { registry.apply(entry) }
            followRules()
        }
        follower.gateChanged = { [unowned self] gate, pushed in gateChanged(gate, pushed) }
        follower.granted = { [unowned self] in
            let now = Clock.now()
            // Before this node may take anything that rests on what control has said.
            if self.follower.isHeld(at: now) {
                retain()
                detectors.countAudience()
                self.keys.follow(registry, at: now)
                lookForKeys(at: now)
            }
            fence.hold(until: self.follower.heldUntil(at: now))
        }
        follower.anchor = { [unowned self] in self.anchors.renewal(trouble: self.follower.trouble) }
        follower.anchored = { [unowned self] in anchored($0) }
        follower.confirmed = { [unowned self] note, checkpoint in self.writer.take(.cosign(note, checkpoint)) }
        follower.report = { [unowned self] in report() }
    }

    // MARK: What control says

    private func apply(_ entries: [Entry]) {
        for entry in entries {
            if case .removed(let ordinals) = entry.deed {
                // The height that was found would hide the next who come.
                if ordinals.contains(where: { registry.nodes[$0]?.role == .reader }) { detectors.audienceMayDiffer() }
                for ordinal in ordinals { quarantine.forget(ordinal) }
                removed.subtract(ordinals)
            }
            registry.apply(entry)
        }
        govern(entries)
        if var table = follower.admitted(trusted, roles: ["service", "reader"], after: entries) {
            table[probe] = Outsider.user
            admission.admit(table)
            noteNamesake()
        }
        let lifted = registry.lifted[remembered...]
        if !lifted.isEmpty {
            fence.change { fence in for closure in lifted { fence.remember(closure) } }
            remembered = registry.lifted.count
        }
        endOfRemoved()
        let isReaderAnother = entries.contains { entry in
            if case .registered(let nodes, _) = entry.deed { nodes.contains { $0.role == .reader } } else { false }
        }
        if isReaderAnother {
            detectors.audienceMayDiffer()
            rulesChanged { _ in }
        }
        followRules()
        detectors.findDrill()
        detectors.handOver(to: follower.gate)
    }

    /// Of an older ledger: today control refuses the name.
    private func noteNamesake() {
        let governance = follower.fold.governance
        guard governance.node(named: Probe.name) != nil || governance.operators[Probe.name] != nil else { return }
        refusals.note("namesake", "'\(Probe.name)' is registered, and that is policy's own name for asking whether anybody may read: whoever has it is let in nowhere; register them under another", at: Clock.now())
    }

    /// What runs and is closed now, by control or by a finding.
    private func endOfClosed(_ gate: GateState) {
        for (number, stream) in streaming where !readingAllowed(stream.job.record, gate) { end(number, .paused) }
    }

    /// The document and the records of consent, as they are now.
    private func followRules() {
        defer {
            retain()
            detectors.countAudience()
        }
        guard registry.policy != rules.text || registry.records != rules.records else { return }
        rulesChanged { [registry] rules in
            rules.records = registry.records
            guard registry.policy != rules.text else { return }
            // The same document, recorded now.
            if registry.policy?.bytes != rules.text?.bytes { rules.policy = registry.policy.map { Policy($0) } }
            detectors.audienceMayDiffer()
            rules.text = registry.policy
            rules.index = registry.policy?.index ?? 0
        }
        if rules.policy.map({ $0.document == .nothing }) ?? false { logger.critical("the policy document in force cannot be read here: nobody may read anything") }
        if let mistakes = captureRules.set(registry.policy, records: registry.records) {
            logger.critical("the policy document in force cannot be read here: \(mistakes); nothing is stored")
        }
    }

    /// Deletes by the document in force. Not before everything has been read that control knows: after a start documents come into force one after the other, as
    /// they once did, and what an earlier one would have deleted is what a later one keeps.
    private func retain() {
        guard follower.isCaughtUp, follower.isHeld(at: Clock.now()) else { return }
        let inForce = captureRules.latest
        guard let text = inForce.text, text.bytes != retained, let policy = inForce.policy else { return }
        retained = text.bytes
        let unknown = VaultOptions.unknown(retention, to: policy.document)
        if !unknown.isEmpty { logger.error("--retention names \(unknown.joined(separator: ", ")), which the policy document in force does not have: nothing is deleted by it") }
        writer.take(.retain(Retention(policy.document, atMost: retention)))
        rescan()
        logger.info("a policy document is in force\(text.index == 0 ? ", before it is recorded" : ": entry \(text.index)")")
    }

    private func anchored(_ answer: WireAnchor) {
        let errand = anchors.hear(answer)
        if let note = errand.keep { writer.take(.keep(note)) }
        if let from = errand.offerFrom { writer.take(.offer(from: from)) }
        // Once, and again when it is something else: whoever is not believed is told so three times in each lease.
        if anchors.controlsTrouble != troubles.own {
            troubles.own = anchors.controlsTrouble
            if troubles.own.isEmpty { logger.notice("control believes the read ledger again") } else {
                counters["ledger.reads.refused", default: 0] += 1
                logger.critical("control does not believe the read ledger: \(troubles.own)")
            }
        }
    }

    private func noteTrouble() {
        let trouble = follower.trouble ?? ""
        guard trouble != troubles.control else { return }
        troubles.control = trouble
        if trouble.isEmpty { logger.notice("control's ledger is believed again") } else {
            counters["ledger.governance.refused", default: 0] += 1
            logger.critical("control's ledger is not believed, policy acts as stopped: \(trouble)")
        }
    }

    private func lookForKeys(at now: Instant) {
        if let missing = keys.due(at: now) { writer.look(for: missing) }
    }

    private func noteKeys(_ found: [VaultKeyID]?, _ why: String) {
        guard keys.found(found, why: why, at: Clock.now()) else { return }
        if keys.trouble.isEmpty { logger.notice("batches open to \(keys.held.count) vault keys from now on") } else {
            logger.error("a vault key that is announced or proposed is missing: batches sealed to it wait at their agents, until it lies in keys/vault/policy.vault or beside it: \(keys.trouble)")
        }
    }

    private func gateChanged(_ gate: GateState, _ pushed: Bool) {
        // Both at once: a gate that opens, beside the lease from before it, would be a gate that nobody has granted.
        fence.change(heldUntil: follower.heldUntil(at: Clock.now())) { fence in
            if pushed { fence.narrow(to: gate) } else { fence.set(gate) }
        }
        // Reading stops here, in process, before anything is acknowledged.
        endOfClosed(gate)
        detectors.handOver(to: gate)
        guard let body = try? WireGateState(gate).serializedData() else { return }
        writer.take(.fence(gate.epoch, gate: body, at: Clock.wall()))
        logger.info("epoch \(gate.epoch.number)\(pushed ? " pushed" : ""): \(gate.closures.count) closures in force\(gate.seal.map { ", sealed: \($0)" } ?? "")")
    }

    /// Whether anything of it could still be read. Each chunk is asked about again, with its own subject.
    private func readingAllowed(_ record: ReleaseRecord, _ gate: GateState) -> Bool {
        guard gate.seal == nil else { return false }
        return !(gate.closures.filter(\.stopsReading) + fence.latest.found.values).contains { $0.endsAll(of: record) }
    }

    // MARK: Messages

    private func receive(_ route: Route, _ message: consuming Inbound) {
        let now = Clock.now()
        let kind = message.kind
        do {
            if kind == .hello { return try greet(route, message, now) }
            guard let peer = peers.hear(route, at: now) else { return binder.askForHello(kind, route) }
            if follower.isRetired(peer.user, trusted) { return refuseRetired(peer.user, kind, route) }
            if peer.user.role == "operator", follower.isNoOperator(peer.user.name) {
                return binder.refuse(.unknownNode, "\(peer.user.name) is no operator any more", kind: kind, to: route)
            }
            guard isRegistered(peer.user) else {
                return binder.refuse(.unknownNode, "\(peer.user.name) is no reader any more", kind: kind, to: route)
            }
            switch (kind, peer.user.role) {
            case (.relay, "service") where peer.user.name.hasPrefix("ingest"): try relay(peer, message, now)
            case (.renew, _):
                var grant = WireGrant()
                grant.nonce = try message.body(WireRenew.self).nonce
                binder.send(.grant, grant, to: route)
            case (.releaseRequest, "operator"), (.releaseRequest, "reader"), (.releaseRequest, "probe"):
                try request(peer, message.body(WireReleaseRequest.self), now)
            case (.query, "operator"): try query(peer, message.body(WireQuery.self))
            case (.directory, "operator"): try directory(peer, message.body(WireDirectory.self))
            case (.credit, "operator"), (.credit, "reader"):
                let body = try message.body(WireCredit.self)
                if let stream = streaming[Int64(clamping: body.release)], stream.job.route == route {
                    releases.credit(Int64(clamping: body.release), Int(body.chunks))
                }
            default:
                refusals.note("not-allowed \(peer.user.name) \(kind)", "\(peer.user.name) sent what a \(peer.user.role) does not send to policy: \(kind)", at: now)
                binder.refuse(.notAllowed, "a \(peer.user.role) does not send this to policy", kind: kind, to: route)
            }
        } catch let error as Frame.Malformed {
            binder.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        } catch {
            binder.refuse(.invalid, "\(error)", kind: kind, to: route)
        }
    }

    /// Its connection may stand for as long as it likes.
    private func refuseRetired(_ user: User, _ kind: Kind, _ route: Route) {
        counters["refused.retired-key", default: 0] += 1
        binder.refuse(.unknownNode, "this key of \(user.name) was retired", kind: kind, to: route)
    }

    /// Policy's ledger is signed with another key from here on.
    func offerAgain() { if let from = anchors.signAgain() { writer.take(.offer(from: from)) } }

    /// Control's ledger is cosigned with another key from here on: what there is of it at once, so that everybody sees that the key is there.
    func cosignAgain() { if let newest = follower.newest { writer.take(.cosign(newest.note, newest.checkpoint)) } }

    /// Everybody who has said `Hello`.
    var routes: [Route] { peers.all.map(\.0) }

    private func greet(_ route: Route, _ message: borrowing Inbound, _ now: Instant) throws {
        let hello = try message.body(WireHello.self)
        guard hello.protocol == UInt32(Limits.version) else {
            return binder.refuse(.unsupportedVersion, "this is protocol \(Limits.version)", kind: .hello, to: route)
        }
        guard let user = User(message.user) else { return binder.refuse(.unknownNode, "this key is not registered", kind: .hello, to: route) }
        if follower.isRetired(user, trusted) { return refuseRetired(user, .hello, route) }
        if let old = peers.hear(route, at: now) { peersByNumber[old.number] = nil }
        let peer = Peer(user: user, route: route, number: nextPeer)
        nextPeer += 1
        peersByNumber[peer.number] = peer
        peers.greet(route, peer, at: now)
        var welcome = WireWelcome()
        welcome.node = user.name
        welcome.leaseMs = UInt32(lease.milliseconds)
        welcome.epoch = follower.epoch.number
        welcome.start = start.bytes
        welcome.wallUs = Clock.wall().microseconds
        binder.send(.welcome, welcome, to: route)
    }

    private func relay(_ peer: Peer, _ message: consuming Inbound, _ now: Instant) throws {
        let body = try message.body(WireRelay.self)
        let header: WireBatchHeader
        do {
            header = try WireBatchHeader(serializedBytes: body.header)
        } catch {
            return refuse(peer, body.agent, WireBatchHeader(), BatchRefused(refusal: .malformed, text: "the batch's header cannot be read"))
        }
        var taken = message
        guard let payload = taken.takePayload() else {
            return refuse(peer, body.agent, header, BatchRefused(refusal: .malformed, text: "a batch has a payload"))
        }
        guard follower.isHeld(at: now) else {
            return refuse(peer, body.agent, header, BatchRefused(refusal: .leaseEnded, text: "policy's own lease has ended"))
        }
        guard let node = registry.nodes[body.agent], node.role == .agent, !removed.contains(body.agent) else {
            return refuse(peer, body.agent, header, BatchRefused(refusal: .unknownNode, text: "no such agent is registered"))
        }
        // Ingest goes by a document, or by somebody's consent, that has not come here yet.
        guard body.entries <= follower.applied else { return busy(peer, body.agent, header, milliseconds: 200) }
        guard !quarantine.holds(body.agent) else {
            return refuse(
                peer, body.agent, header,
                BatchRefused(
                    refusal: .quarantined,
                    text: "\(Limits.unsealableMax) batches of this agent could not be opened: nothing of it is taken until it is registered with a new key"))
        }
        let bytes = payload.count
        guard pending < Limits.pendingMax, pendingBytes + bytes <= Limits.pendingBytesMax else {
            return busy(peer, body.agent, header, milliseconds: 100)
        }
        pending += 1
        pendingBytes += bytes
        let batch = Batch(
            agent: body.agent, line: registry.line(of: body.agent), name: node.name, scope: node.scope, offset: .microseconds(body.offsetUs), header: header, oldest: body.oldest,
            bytes: bytes, ingest: peer.number)
        writer.take(SealedBatch(batch: batch, header: [UInt8](body.header), payload: payload.withUnsafeBytes { Array($0) }))
    }

    private func noteUnsealable(_ batch: Batch) {
        counters["unsealable", default: 0] += 1
        if unsealable.count < Monitor.unsealableNamesMax { unsealable.insert(batch.name) }
        counters["unsealable.\(unsealable.contains(batch.name) ? batch.name : "others")", default: 0] += 1
        refusals.note("unsealable \(batch.name)", "a batch of agent \(batch.name) could not be opened: it was not sealed as that agent, or was changed", at: Clock.now())
        guard quarantine.note(batch.agent) else { return }
        counters["agents.quarantined", default: 0] += 1
        logger.error("agent \(batch.name) (\(batch.agent)) is quarantined: \(Limits.unsealableMax) of its batches could not be opened; register it with a new key when you know why")
    }

    private func refuse(_ peer: Peer?, _ agent: UInt32, _ header: WireBatchHeader, _ refused: BatchRefused) {
        counters["refused.\(refused.refusal.word)", default: 0] += 1
        guard let peer else { return }
        var body = WireRefused()
        body.code = refused.refusal.rawValue
        body.text = refused.text
        body.kind = UInt32(Kind.relay.rawValue)
        body.agent = agent
        body.stream = header.stream
        body.sequence = header.sequence
        body.epoch = refused.epoch
        body.expected = refused.expected
        binder.send(.refused, body, to: peer.route)
    }

    private func busy(_ peer: Peer?, _ agent: UInt32, _ header: WireBatchHeader, milliseconds: UInt32) {
        counters["busy", default: 0] += 1
        guard let peer else { return }
        var body = WireBusy()
        body.retryMs = milliseconds
        body.kind = UInt32(Kind.relay.rawValue)
        body.agent = agent
        body.stream = header.stream
        body.sequence = header.sequence
        binder.send(.busy, body, to: peer.route)
    }

    // MARK: Reading

    private func request(_ peer: Peer, _ body: WireReleaseRequest, _ now: Instant) {
        func refuse(_ refusal: Refusal, _ text: String) {
            counters["reads.refused", default: 0] += 1
            binder.refuse(refusal, text, kind: .releaseRequest, to: peer.route) { $0.epoch = follower.epoch.number }
        }
        guard body.id.count == 16 else { return refuse(.invalid, "a request has an id of 16 bytes") }
        guard !body.classes.isEmpty, body.classes.count + body.subjects.count + body.teams.count <= Limits.selectorValuesMax else {
            return refuse(.invalid, "a request names at least one class, and at most \(Limits.selectorValuesMax) values")
        }
        // What is denied is recorded as it was asked.
        guard (body.classes + body.subjects + body.teams).allSatisfy({ $0.utf8.count <= Limits.nameBytesMax }) else {
            return refuse(.invalid, "a class, a subject and a team have at most \(Limits.nameBytesMax) bytes")
        }
        guard !body.purpose.isEmpty, body.purpose.utf8.count <= Limits.nameBytesMax, !body.justification.isEmpty,
            body.justification.utf8.count <= Limits.reasonBytesMax
        else { return refuse(.invalid, "a read has a purpose and a reason: they are recorded") }
        guard body.fields.count <= EventField.allCases.count, body.fields.allSatisfy({ EventField(rawValue: $0) != nil }) else {
            return refuse(.invalid, "a field is one of \(EventField.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        guard follower.isHeld(at: now) else { return refuse(.leaseEnded, "policy's own lease has ended: nothing is released") }
        guard isAudited else { return refuse(.leaseEnded, "the ledger of reads and the vault are being checked after policy's start: try again in some seconds") }
        guard !isFull else { return refuse(.storeFull, "the read cannot be recorded: the vault's disk is full") }
        guard streaming.count + opening < Monitor.releasesMax else { return refuse(.storeFull, "\(Monitor.releasesMax) releases are running: try again later") }
        let record = ReleaseRecord(
            reader: peer.user.name, purpose: body.purpose, justification: body.justification,
            selection: Selection(
                classes: body.classes.map { DataClass($0) }, subjects: body.subjects, teams: body.teams,
                from: WallTime(microseconds: body.fromUs), until: body.untilUs == 0 ? Clock.wall() : WallTime(microseconds: body.untilUs)),
            at: Clock.wall(), epoch: follower.epoch.number, readsDirectory: body.directory, fields: body.fields, canarySalt: Nonce.random().bytes)
        let job = ReleaseJob(
            id: body.id, route: peer.route, user: peer.user, reader: reader(peer.user), record: record,
            credit: min(max(1, Int(body.credit)), Limits.releaseCreditMax), rules: rules, registered: rules.policy == nil ? [:] : registered(body.subjects))
        guard !body.directory || body.subjects.count == 1 && body.teams.isEmpty else {
            return refuse(.invalid, "the directory is read of one person at a time")
        }
        guard !body.directory || peer.user.role == "operator" else {
            return deny(job, .notAllowed, "directory", "a reader is not told whom an id stands for")
        }
        guard readingAllowed(record, follower.gate) else {
            return deny(job, .paused, "paused", "reading is paused at epoch \(follower.gate.epoch.number)\(follower.gate.seal.map { ": \($0)" } ?? "")")
        }
        opening += 1
        decider.decide(job)
    }

    /// Refuses it, and puts on record that it was asked for; the reader hears of it when that is durable.
    private func deny(_ job: ReleaseJob, _ refusal: Refusal, _ why: String, _ text: String) {
        guard job.user.role != "probe" else {
            detectors.noteProbeDenied()
            return tell(DeniedAnswer(route: job.route, refusal: refusal, text: text))
        }
        counters["reads.refused", default: 0] += 1
        counters["reads.denied", default: 0] += 1
        if why == ReadRefusal(.noDocument).word { counters["reads.denied.no-document", default: 0] += 1 }
        if refusal == .denied { detectors.noteDenied(job.record.reader) }
        let answer = DeniedAnswer(route: job.route, refusal: refusal, text: text)
        // A pause is answered at once, as everything that stops: its record is behind.
        let waits = refusal != .paused
        if let read = denied.note(DeniedRead(job, why: why), isFull: isFull, at: Clock.now()) {
            writer.take(.denied(read, waits ? answer : nil))
            if waits { return }
        }
        tell(answer)
    }

    private func tell(_ answer: DeniedAnswer) {
        binder.refuse(answer.refusal, answer.text, kind: .releaseRequest, to: answer.route) { $0.epoch = follower.epoch.number }
    }

    /// As control's ledger has them, or, at the start of a suite, its registry.
    private func reader(_ user: User) -> Reader {
        // Somebody of whom nobody has said anything but that they are there: what they may read, everybody may.
        if user.role == "probe" { return Reader(user.name, person: Person(user.name, site: "", team: "")) }
        if user.role == "operator" { return Reader(user.name, key: Scope(subject: follower.fold.governance.operators[user.name]?.person ?? "", site: "", team: "")) }
        return Reader(user.name, key: registry.node(named: user.name)?.scope ?? Scope(subject: trusted.nodes.first { $0.name == user.name }?.subject ?? "", site: "", team: ""))
    }

    private func registered(_ subjects: [String]) -> [String: [Person]] {
        guard !subjects.isEmpty else { return [:] }
        let named = Set(subjects)
        return Dictionary(grouping: registry.nodes.values.lazy.filter { $0.role == .agent && named.contains($0.scope.subject) }.map { Person($0.scope) }, by: \.id)
    }

    /// Readers that the ledger has, or the registry; of everybody else this says nothing.
    private func isRegistered(_ user: User) -> Bool {
        user.role != "reader" || registry.node(named: user.name).map { $0.role == .reader && !removed.contains($0.ordinal) } ?? false || trusted.nodes.contains { $0.role == "reader" && $0.name == user.name }
    }

    /// What runs for whoever may ask for nothing any more.
    private func endOfRemoved() {
        for (number, stream) in streaming {
            let user = stream.job.user
            guard !isRegistered(user) || user.role == "operator" && follower.isNoOperator(user.name) else { continue }
            end(number, .denied, "\(user.name) was removed", why: "removed")
        }
    }

    /// What decides has changed: whatever runs is looked at again, and until then asked for chunk by chunk.
    private func rulesChanged(_ change: (inout ReadRules) -> Void) {
        change(&rules)
        rules.version += 1
        for stream in streaming.values { decider.reconsider(stream.job, stream.release, reader(stream.job.user), by: rules) }
    }

    /// Why this must not go out to this reader now; nil: it may.
    private func objection(to place: ReadPlace, _ stream: Streaming) -> ReadRefusal? {
        guard let policy = rules.policy else { return ReadRefusal(.noDocument) }
        let allowed = stream.release.allowed
        guard let use = allowed.places[place] else { return ReadRefusal(.denial(.noGrant), dataClass: place.dataClass) }
        var whereabouts = stream.whereabouts
        whereabouts.records[place.scope.subject] = rules.records(of: place.scope.subject)
        let denial = policy.objection(to: place, by: allowed.uses[use], stream.reader, for: stream.job.record.purpose, whereabouts, at: Clock.wall())
        return denial.map { ReadRefusal(.denial($0), dataClass: place.dataClass, of: place.scope.subject) }
    }

    private func end(_ number: Int64, _ refusal: ReadRefusal) {
        guard let stream = streaming[number] else { return }
        let record = stream.job.record
        end(number, refusal.refusal, refusal.text(record.reader, record.purpose), why: refusal.word)
    }

    func take(_ news: [ReleaseDecider.News]) -> Bool {
        for item in news {
            switch item {
            case .denied(let job, let refusal, let reader):
                opening -= 1
                deny(job, refusal.refusal, refusal.word, refusal.text(reader.name, job.record.purpose))
            case .openToFew(let job):
                opening -= 1
                deny(job, .denied, "probe", "all the people that there are may read it")
            case .openToAll(let job, let subjects, let events):
                opening -= 1
                detectors.openToAll(job.record, subjects: subjects, events: events)
                deny(job, .denied, "probe", "everybody may read it")
            case .foundPlanted(let job, let reaction, let planted):
                opening -= 1
                detectors.foundPlanted(job.record, reaction, planted)
                // Whoever reads is not told who is planted.
                deny(job, .paused, "canary", "reading is closed")
            case .planted(let number, let version, let reaction, let planted):
                // Of an earlier state of things: another answer is on its way.
                guard let stream = streaming[number], version == rules.version else { continue }
                detectors.foundPlanted(stream.job.record, reaction, planted, isRunning: true)
                // Where the document closes something else, this ends all the same.
                end(number, .paused, "reading is closed", why: "canary")
            case .uncounted(let why):
                noteDamage(why)
                logger.critical("the directory cannot be read: who could read what is counted without it, and an audience over its limit may not be found")
            case .counted(let reaction, let all): detectors.counted(reaction, all)
            case .reconsidered(let number, let version, let reader, let whereabouts, let refusal):
                // Of an earlier state of things: another answer is on its way.
                guard streaming[number] != nil, version == rules.version else { continue }
                (streaming[number]!.reader, streaming[number]!.whereabouts) = (reader, whereabouts)
                if let refusal { end(number, refusal) }
            case .damaged(let job, let why):
                opening -= 1
                noteDamage(why)
                counters["reads.refused", default: 0] += 1
                binder.refuse(.unreadable, "a part of what is asked for is damaged on the vault's disk: ask for less, or have a backup restored", kind: .releaseRequest, to: job.route)
            case .unreadable(let number, let why):
                noteDamage(why)
                end(number, .unreadable, "a part of what it rests on is damaged on the vault's disk")
            case .failed(let why):
                logger.critical("the vault cannot be read: \(why); policy ends, nothing more is stored or released")
                return false
            }
        }
        return true
    }

    /// - Parameter why: A word for the ledger, where it was the right to read that ended.
    private func end(_ number: Int64, _ refusal: Refusal?, _ text: String = "", why word: String = "") {
        guard let stream = streaming.removeValue(forKey: number) else { return }
        releases.cancel(number)
        var body = WireReleaseEnded()
        body.release = UInt64(number)
        body.chunks = UInt64(stream.chunks)
        body.events = UInt64(stream.events)
        body.code = refusal?.rawValue ?? 0
        body.text = text.isEmpty ? (refusal == .paused ? "reading is paused at epoch \(follower.epoch.number)" : refusal?.word ?? "") : text
        body.epoch = follower.epoch.number
        // Before its reader has heard of it there is nothing that could end: the request is refused.
        if stream.isTold { binder.send(.releaseEnded, body, to: stream.job.route) } else { binder.refuse(refusal ?? .paused, body.text, kind: .releaseRequest, to: stream.job.route) }
        if refusal != nil { counters["releases.cut", default: 0] += 1 }
        writer.take(
            .ended(
                ReleaseEnd(
                    number: number, reader: stream.job.record.reader, chunks: stream.chunks, events: stream.events, canaries: stream.canaries, given: stream.given, code: Int(body.code), why: word)))
    }

    // MARK: Erasing

    /// Carries out what control's ledger says about people. What it said before this start is handed over whole, once, when the ledger has been caught up with: a backup that was put
    /// back has forgotten some of it, and what was done already is not done again.
    private func govern(_ entries: [Entry]) {
        guard hasHandedOver else {
            guard follower.isCaughtUp else { return }
            hasHandedOver = true
            return handOver()
        }
        for entry in entries {
            switch entry.deed {
            case .erased(let subjects): erase(subjects.compactMap { subject in follower.fold.governance.erased[subject].map { ErasureOrder(subject, at: $0.at) } })
            // By this machine's clock: it is what data keys are made by.
            case .readmitted(let subjects):
                // Erased once more in the same page: that is what counts, and its order says so already.
                for subject in subjects where follower.fold.governance.erased[subject]?.readmitted != nil { writer.take(.readmit(subject, at: Clock.wall())) }
            case .held(let incident, let subjects): writer.take(.hold(incident: incident, Set(subjects)))
            case .holdLifted(let incident, let subjects): writer.take(.lift(incident: incident, Set(subjects)))
            default: break
            }
        }
    }

    private func handOver() {
        // What was to go before an incident held it goes first, and what waits for one comes after it is held.
        let (waiting, gone) = follower.fold.governance.erased.all.reduce(into: ([ErasureOrder](), [ErasureOrder]())) { lists, row in
            let order = ErasureOrder(row.subject, at: row.value.at, readmitted: row.value.readmitted)
            if row.value.isWaiting { lists.0.append(order) } else { lists.1.append(order) }
        }
        erase(gone)
        writer.take(.keepHolds(follower.fold.governance.holds))
        erase(waiting)
    }

    private func erase(_ orders: [ErasureOrder]) {
        for first in stride(from: 0, to: orders.count, by: Monitor.ordersPerStep) {
            writer.take(.erase(Array(orders[first..<min(orders.count, first + Monitor.ordersPerStep)])))
        }
    }

    private var hasHandedOver = false
    /// Each is a few look-ups: whoever waits for an acknowledgement waits for no more than these.
    private static let ordersPerStep = 256

    /// Nothing of them is to be read any more, also before their keys are destroyed.
    private func isGone(_ subject: String) -> Bool { registry.erased[subject].map { $0.readmitted == nil && !$0.isWaiting } ?? false }

    private func query(_ peer: Peer, _ body: WireQuery) {
        if case .pause(let asked)? = body.about {
            var answer = WireAnswer()
            answer.rehearsal = rehearse(Closure(asked.pause))
            binder.send(.answer, answer, to: peer.route)
            return
        }
        guard case .erasures(let asked)? = body.about, (1...Limits.subjectsPerCommandMax).contains(asked.subjects.count) else {
            return binder.refuse(.invalid, "policy answers what a pause would end, and how far erasures have come, of 1 to \(Limits.subjectsPerCommandMax) subjects; control answers the rest", kind: .query, to: peer.route)
        }
        writer.take(.erasures(Set(asked.subjects), peer.route))
    }

    /// What is under way that a closure would end.
    private func rehearse(_ closure: Closure) -> WireRehearsal {
        var answer = WireRehearsal()
        guard closure.stopsReading else { return answer }
        let ended = streaming.filter { closure.mayEnd($0.value.job.record) }.sorted { $0.key < $1.key }
        answer.readsAll = UInt32(clamping: ended.count)
        answer.reads = ended.prefix(Limits.rehearsedNamesMax).map { number, stream in
            var read = WireRunningRead()
            let record = stream.job.record
            (read.release, read.reader, read.purpose) = (UInt64(number), record.reader, record.purpose)
            read.classes = record.selection.classes.map(\.name).sorted()
            read.atOnce = closure.endsAll(of: record)
            return read
        }
        return answer
    }

    /// Everything that is stored is judged again by the policy document in force, once what comes in is judged by it: when it comes into force, and at each start. A walk
    /// that was interrupted goes on, and one that was finished is not done again.
    private func rescan() { if let rescanner = Rescanner(captureRules) { writer.take(.rescan(rescanner)) } }

    private func noteDamage(_ why: String) {
        counters["vault.damaged", default: 0] += 1
        refusals.note("damaged", "a part of the vault is damaged on its disk, and what needs it is refused; restore a backup: \(why)", at: Clock.now())
    }

    private func note(_ rescan: Rescan) {
        if rescan.state != rescanned?.state {
            switch rescan.state {
            case .walking: logger.notice("judging again what is stored")
            case .held: logger.notice("judged again: \(rescan.seen) segments, of \(rescan.changed) of them less is left; \(rescan.held) persons wait for the incidents that hold what there is")
            case .done: logger.notice("judged again: \(rescan.seen) segments, of \(rescan.changed) of them less is left, \(rescan.events) events are gone; \(rescan.unreadable) could not be read")
            }
        }
        rescanned = rescan
    }

    private func note(_ erasure: Erasure) {
        switch erasure.state {
        case .waiting:
            logger.notice("the erasure of \(erasure.subject) waits: incident \(erasure.holds.sorted().map(String.init).joined(separator: ", ")) holds what there is; nothing new is stored")
        case .rows:
            if erasing[erasure.subject]?.state != .rows { logger.notice("erasing \(erasure.subject): their keys are destroyed") }
        case .log:
            if erasing[erasure.subject]?.state != .log { logger.notice("erasing \(erasure.subject): nothing is left but in a log of SQLite's, which somebody reads: it is emptied as soon as nobody does") }
        case .done:
            logger.notice("erased \(erasure.subject): \(erasure.events) events in \(erasure.segments) segments")
            counters["subjects.erased", default: 0] += 1
        }
        if erasure.state != .waiting, erasing[erasure.subject]?.state != erasure.state {
            // Their entry of the directory goes with their keys.
            detectors.haveMoved([(erasure.subject, nil)])
            detectors.countAudience()
        }
        erasing[erasure.subject] = erasure.state == .done ? nil : erasure
        if erasure.state != .waiting { for (number, stream) in streaming where stream.job.record.selection.subjects.contains(erasure.subject) { end(number, .notFound, "\(erasure.subject) is erased") } }
    }

    // MARK: The directory

    private func directory(_ peer: Peer, _ body: WireDirectory) {
        func refuse(_ refusal: Refusal, _ text: String) { binder.refuse(refusal, text, kind: .directory, to: peer.route) }
        guard body.id.count == 16 else { return refuse(.invalid, "a request has an id of 16 bytes") }
        guard !body.people.isEmpty || !body.removed.isEmpty, body.people.count + body.removed.count <= Limits.peoplePerMessageMax else {
            return refuse(.invalid, "a message holds 1 to \(Limits.peoplePerMessageMax) people")
        }
        guard body.people.allSatisfy({ person in
            !person.subject.isEmpty
                && [person.subject, person.name, person.mail, person.team, person.site, person.locale].allSatisfy { $0.utf8.count <= Limits.nameBytesMax }
        }) else { return refuse(.invalid, "each person has a subject, and no value of more than \(Limits.nameBytesMax) bytes") }
        guard follower.isHeld(at: Clock.now()) else { return refuse(.leaseEnded, "policy's own lease has ended: who commands is not known") }
        guard !isFull else { return refuse(.storeFull, "the directory cannot be written: the vault's disk is full") }
        writer.take(.directory(DirectoryJob(id: body.id, route: peer.route, author: peer.user.name, people: body.people.map(\.value), removed: body.removed)))
    }

    /// Where somebody is may take away whose data is read, and add to those who could.
    private func directoryChanged(_ job: DirectoryJob) {
        guard !job.moved.isEmpty else { return }
        detectors.haveMoved(job.moved)
        rulesChanged { _ in }
        detectors.countAudience()
    }

    // MARK: News from the threads

    /// - Returns: false when the process must end.
    func take(_ news: [VaultWriter.News]) -> Bool {
        var groups: [Int: WireStoredGroup] = [:]
        for item in news {
            switch item {
            case .stored(let answers, let segments):
                for answer in answers { stored(answer, &groups) }
                if let from = anchors.grew(vault: segments) { writer.take(.offer(from: from)) }
            case .refused(let batch, let refused):
                settle(batch.bytes)
                if refused.isUnsealable { noteUnsealable(batch) }
                refuse(peersByNumber[batch.ingest], batch.agent, batch.header, refused)
            case .busy(let batch, let milliseconds):
                settle(batch.bytes)
                busy(peersByNumber[batch.ingest], batch.agent, batch.header, milliseconds: milliseconds)
            case .fenced(let epoch): acknowledge(epoch, isDurable: false)
            case .recorded(let epoch): acknowledge(epoch, isDurable: true)
            case .totals(let found): totals = found
            case .full(let full):
                isFull = full
                logger.log(level: full ? .error : .notice, "\(full ? "the vault's disk is full: batches wait at the agents, reads are refused" : "the vault has room again")")
            case .grew(let size): if let from = anchors.grew(to: size) { writer.take(.offer(from: from)) }
            case .offered(let offer):
                if let from = anchors.made(offer) { writer.take(.offer(from: from)) }
                follower.renewIfStopped(at: Clock.now())
            case .badCosignature: counters["ledger.cosignatures.refused", default: 0] += 1
            case .cosigned(let checkpoint, let note):
                anchors.cosigned(checkpoint.size, note)
                follower.cosigned(checkpoint)
            case .released(let job, let release, let person):
                opening -= 1
                begin(job, release, person)
            case .overRate(let job, let refusal, let decided):
                opening -= 1
                deny(job, refusal.refusal, refusal.word, refusal.text(job.record.reader, job.record.purpose, events: decided.events, subjects: decided.subjects))
            case .denied(let answer): tell(answer)
            case .foundBreadth(let job, let reaction, let sentence):
                detectors.foundBreadth(job.record, reaction, sentence)
                opening -= 1
                deny(job, .paused, "breadth", "reading is closed: \(sentence)")
            case .served(let reaction, let long, let at):
                servedAt = at
                for one in long {
                    guard let stream = streaming[Int64(one.release)], !one.isOfPast || !reaction.isCleared(stream.reader) else { continue }
                    detectors.foundBreadth(stream.job.record, reaction, one.words)
                    // Where the document closes something else, this ends all the same.
                    end(Int64(one.release), .paused, "reading is closed: \(one.words)", why: "breadth")
                }
            case .releaseRefused(let job, let refusal, let text):
                opening -= 1
                counters["reads.refused", default: 0] += 1
                binder.refuse(refusal, text, kind: .releaseRequest, to: job.route)
            case .keys(let found, let why): noteKeys(found, why)
            case .erasing(let erasure): note(erasure)
            case .erasures(let route, let found):
                var answer = WireAnswer()
                answer.erasures.erasures = found.map { erasure in
                    var body = WireErasure(erasure)
                    // Somebody may have been erased before: what was done then says nothing of an order that has not come here yet.
                    if let order = follower.fold.governance.erased[erasure.subject], order.at == erasure.at { body.entry = order.index }
                    return body
                }
                binder.send(.answer, answer, to: route)
            case .swept(let swept, let isInDoubt):
                counters["events.swept", default: 0] += UInt64(clamping: swept.events)
                counters["keys.swept", default: 0] += UInt64(swept.keys)
                if isInDoubt, !sweepClockIsInDoubt { logger.warning("this machine's clock has leapt ahead: for now nothing is deleted by it") }
                sweepClockIsInDoubt = isInDoubt
            case .directory(let job):
                var body = WireDirectoryStored()
                (body.id, body.stored, body.removed, body.erased) = (job.id, UInt32(job.storedCount), UInt32(job.removedCount), UInt32(job.erasedCount))
                binder.send(.directoryStored, body, to: job.route)
                directoryChanged(job)
            case .directoryRefused(let job, let refusal, let text):
                binder.refuse(refusal, text, kind: .directory, to: job.route)
                // What was committed before is so.
                directoryChanged(job)
            case .rescanned(let rescan): note(rescan)
            case .drifted(let drifts): detectors.noteDrift(drifts, isStored: true)
            case .damaged(let why): noteDamage(why)
            case .audited(let size, let segments):
                isAudited = true
                logger.info("the ledger of reads is whole: \(size) entries; so is the vault: \(segments) segments")
            case .failed(let why):
                logger.critical("the vault has failed: \(why); policy ends, nothing more is stored or released")
                return false
            }
        }
        // One answer for each ingest and commit.
        for (number, group) in groups {
            if let peer = peersByNumber[number] { binder.send(.storedGroup, group, to: peer.route) }
        }
        return true
    }

    private func stored(_ answer: VaultWriter.Answer, _ groups: inout [Int: WireStoredGroup]) {
        settle(answer.bytes)
        counters["batches", default: 0] += answer.isDuplicate ? 0 : 1
        counters["events", default: 0] += UInt64(answer.events)
        if answer.isDuplicate { counters["duplicates", default: 0] += 1 }
        if answer.dropped > 0 { counters["events.dropped.closed", default: 0] += UInt64(answer.dropped) }
        if answer.erased > 0 { counters["events.dropped.erased", default: 0] += UInt64(answer.erased) }
        note(answer.reviewed, of: answer.agent)
        if let drift = answer.reviewed.drift { detectors.noteDrift([drift], isStored: false) }
        if answer.lost > 0 { noteLost(answer) }
        groups[answer.ingest, default: WireStoredGroup()].agents.append(answer.agent)
        groups[answer.ingest]!.streams.append(answer.stream)
        groups[answer.ingest]!.sequences.append(answer.sequence)
    }

    /// What lies between what the vault has and what the agent still holds can come from nowhere: an agent that was told it is stored, by a vault that was put back
    /// since, or one that has set it aside.
    private func noteLost(_ answer: VaultWriter.Answer) {
        counters["batches.lost", default: 0].add(saturating: answer.lost)
        let agent = registry.nodes[answer.agent]?.name ?? "\(answer.agent)"
        let last = answer.sequence - 1
        let which = answer.lost == 1 ? "batch \(last)" : "batches \(last - answer.lost + 1) to \(last)"
        // What a machine leaves out is its own affair: one that leaves out every other fills no log.
        refusals.note("lost \(agent)", "\(which) of agent \(agent), stream \(String(answer.stream, radix: 16)), \(answer.lost == 1 ? "is" : "are") lost: the agent does not hold them any more, and the vault has none of them; it was put back since they were acknowledged, or the agent has set them aside", at: Clock.now())
    }

    private func note(_ reviewed: Reviewed, of agent: UInt32) {
        guard reviewed != Reviewed() else { return }
        for (reason, count) in reviewed.counts.dropped { counters["events.dropped.\(reason)", default: 0] += count }
        for (kind, count) in reviewed.counts.counted { counters["events.counted.\(kind)", default: 0] += count }
        if reviewed.counts.minimised > 0 { counters["events.minimised", default: 0] += reviewed.counts.minimised }
        guard reviewed.differing > 0 else { return }
        counters["events.differing", default: 0] += UInt64(reviewed.differing)
        let name = registry.nodes[agent]?.name ?? "\(agent)"
        if differing.count < Monitor.unsealableNamesMax { differing.insert(name) }
        counters["events.differing.\(differing.contains(name) ? name : "others")", default: 0] += UInt64(reviewed.differing)
        refusals.note("differing \(name)", "events of agent \(name) were not minimised as the policy document says: it went by another one, or is not itself", at: Clock.now())
    }

    private func settle(_ bytes: Int) {
        pending = max(0, pending - 1)
        pendingBytes = max(0, pendingBytes - bytes)
    }

    private func acknowledge(_ epoch: Epoch, isDurable: Bool) {
        var body = WireStopped()
        body.epoch = epoch.number
        body.durable = isDurable
        follower.link.send(.stopped, body)
    }

    private func begin(_ job: ReleaseJob, _ release: OpenedRelease, _ person: DirectoryEntry?) {
        counters["releases", default: 0] += 1
        let (number, decided) = (release.number, release.decided)
        // The gate may have closed, this node's lease ended, or a right gone, while the record was written.
        streaming[number] = Streaming(job: job, release: release, reader: decided.reader, whereabouts: decided.whereabouts)
        guard follower.isHeld(at: Clock.now()) else { return end(number, .leaseEnded, "policy's own lease has ended") }
        guard readingAllowed(job.record, follower.gate) else { return end(number, .paused) }
        // Who somebody is goes out with this answer: a pause of their team or site stops it as it stops what was captured of them.
        if let person {
            let scope = Scope(subject: person.subject, site: person.site, team: person.team)
            let asks = job.record.selection.classes.map { Reading(scope: scope, dataClass: $0, reader: job.record.reader, purpose: job.record.purpose) }
            let found = fence.latest.found.values
            guard asks.allSatisfy({ ask in follower.gate.allows(ask) && !found.contains { $0.selector.matches(ask) } }) else { return end(number, .paused) }
        }
        endOfRemoved()
        if rules.version != job.rules.version {
            // Nothing is said before it was looked at again: each chunk is asked about meanwhile, and who somebody is was in no chunk.
            guard person == nil else { return end(number, .denied, "what may be read has just changed: ask again", why: "changed") }
            decider.reconsider(job, release, reader(job.user), by: rules)
        }
        guard streaming[number] != nil else { return }
        var body = WireRelease()
        body.id = job.id
        body.release = UInt64(number)
        body.subjects = UInt32(clamping: decided.subjects)
        body.events = UInt64(clamping: decided.events)
        if let person { body.person = WirePerson(person) }
        body.entry = release.entry
        body.policy = job.rules.index
        body.grants = release.allowed.uses.map(\.grant.name)
        body.roles = Set(release.allowed.uses.map(\.grant.role)).sorted()
        body.leftOut = decided.leftOut
        guard binder.send(.release, body, to: job.route) == .sent else { return end(number, .unknownNode, "the reader has gone") }
        streaming[number]?.isTold = true
        releases.begin(job, release)
    }

    func take(_ news: [Releases.News]) {
        for item in news {
            switch item {
            case .chunk(let number, let route, let reading, let chunk, let blob, let canaries, let readAt):
                guard let stream = streaming[number] else { continue }
                // Read before the keys went, however long ago that was: it may have waited for credit.
                guard !releases.wasErased(chunk.subject, since: readAt), !isGone(chunk.subject) else {
                    end(number, .notFound, "somebody in it was erased meanwhile: ask again")
                    continue
                }
                // The gate, in the step that releases a chunk.
                guard fence.allows(reading) else {
                    end(number, follower.isHeld(at: Clock.now()) ? .paused : .leaseEnded)
                    continue
                }
                // And whether the reader may have it, as things are now.
                let place = ReadPlace(reading.scope, reading.dataClass)
                if let refusal = objection(to: place, stream) {
                    end(number, refusal)
                    continue
                }
                guard binder.send(.chunk, chunk, payload: Message(blob), to: route) == .sent else {
                    end(number, .unknownNode, "the reader has gone")
                    continue
                }
                streaming[number]!.chunks += 1
                let events = Int64(chunk.count) - Int64(canaries)
                streaming[number]!.events += events
                streaming[number]!.canaries += Int64(canaries)
                if let use = stream.release.allowed.places[place] {
                    streaming[number]!.given[stream.release.allowed.uses[use].grant.name, default: 0] += events
                }
                counters["events.released", default: 0] += UInt64(events)
            case .finished(let number): end(number, nil)
            case .failed(let number, let why):
                logger.error("release \(number): \(why)")
                counters["releases.unreadable", default: 0] += 1
                end(number, .unreadable, why)
            }
        }
    }

    // MARK: Time

    func tick(at now: Instant) {
        follower.tick(at: now)
        detectors.tick(at: now, isAudited: isAudited)
        refusals.tick(admission, binder.refusals, at: now)
        noteTrouble()
        lookForKeys(at: now)
        fence.hold(until: follower.heldUntil(at: now))
        if !follower.isHeld(at: now) { for number in streaming.keys { end(number, .leaseEnded, "policy's own lease has ended") } }
        for (number, stream) in streaming {
            guard let expiry = stream.release.allowed.expiry, Clock.wall() >= expiry.at else { continue }
            end(number, ReadRefusal(.denial(.expired(grant: expiry.grant, at: expiry.at))))
        }
        detectors.expire(at: Clock.wall())
        if !isFull { for read in denied.due(at: now) { writer.take(.denied(read, nil)) } }
        peers.expire(after: Span(nanoseconds: lease.nanoseconds * 4), at: now) { route, peer in
            peersByNumber[peer.number] = nil
            for (number, stream) in streaming where stream.job.route == route { end(number, .unknownNode, "the reader has gone") }
        }
    }

    private func report() -> WireServiceReport {
        var report = WireServiceReport()
        report.counters = counters
        report.counters["handshakes.refused"] = admission.refusals
        for (word, count) in binder.refusals { report.counters["refused.message.\(word)"] = count }
        report.counters["vault.keys.refused"] = keys.refusals
        report.gauges["vault.keys"] = Int64(keys.held.count)
        report.gauges["vault.keys.missing"] = Int64(keys.missing.count)
        report.gauges["vault.events"] = totals.events
        report.gauges["vault.segments"] = totals.segments
        report.gauges["vault.stored"] = Int64(clamping: anchors.stored)
        report.gauges["vault.stored.witnessed"] = Int64(clamping: anchors.vaultWitnessed)
        report.gauges["vault.bytes"] = totals.bytes
        report.gauges["vault.oldest.us"] = totals.oldest?.microseconds ?? 0
        report.gauges["erasures.waiting"] = Int64(erasing.values.count { $0.state == .waiting })
        report.gauges["erasures.running"] = Int64(erasing.values.count { $0.state == .rows })
        report.gauges["erasures.log"] = Int64(erasing.values.count { $0.state == .log })
        report.gauges["keys.log.destroyed"] = totals.holdsDestroyedKeys ? 1 : 0
        report.gauges["rescan.segments"] = rescanned?.seen ?? 0
        report.gauges["rescan.changed"] = rescanned?.changed ?? 0
        report.gauges["rescan.events.gone"] = rescanned?.events ?? 0
        report.gauges["rescan.unreadable"] = rescanned?.unreadable ?? 0
        report.gauges["rescan.held"] = rescanned?.held ?? 0
        report.gauges["rescan.running"] = rescanned.map { $0.state == .walking } ?? false ? 1 : 0
        report.gauges["retention.clock.doubted"] = sweepClockIsInDoubt ? 1 : 0
        report.gauges["vault.full"] = isFull ? 1 : 0
        report.gauges["agents.quarantined"] = Int64(quarantine.count)
        report.gauges["pending"] = Int64(pending)
        report.gauges["policy.document"] = Int64(clamping: rules.index)
        report.gauges["releases.hours.us"] = servedAt?.microseconds ?? 0
        report.gauges["releases.running"] = Int64(streaming.count)
        detectors.report(into: &report)
        return report
    }
}

extension WireErasure {
    init(_ erasure: Erasure) {
        self.init()
        subject = erasure.subject
        state =
            switch erasure.state {
            case .waiting: "waiting"
            case .rows: "rows"
            case .log: "log"
            case .done: "done"
            }
        segments = UInt64(clamping: erasure.segments)
        events = UInt64(clamping: erasure.events)
        holds = erasure.holds.sorted()
    }
}
