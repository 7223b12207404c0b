import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import Rules
import Wire

/// Control's sessions with services and operators.
final class Sessions {
    /// A peer that has said `Hello`.
    final class Peer {
        let user: User
        let route: Route
        /// Services: index of the last entry sent or had.
        var sent: UInt64 = 0
        var paging = false
        /// This run of it has been granted a lease; what its earlier run was granted says nothing of it.
        var isGranted = false
        var status = WireServiceStatus()

        init(user: User, route: Route) {
            self.user = user
            self.route = route
        }
    }

    let binder: Binder
    let authority: Authority
    let journal: Journal
    private let joining: Joining
    let trusted: TrustedNodes
    let admission: Admission
    let lease: Span
    let started = Clock.now()
    private let start = Nonce.random()
    private let logger: Logger
    private let refusals: RefusalLog
    private var peers = SessionTable<Peer>()
    /// The newest session of each service.
    private(set) var services: [String: Peer] = [:]
    /// The newest session of the joining process.
    private var joiner: Peer?
    /// The newest session of the doors for reports.
    private var reporter: Peer?
    /// As the ingests last said: whose session is there without a lease, and, by ordinal, who holds one.
    private(set) var silent: [String: [WireSilence]] = [:]
    private(set) var current: [String: [UInt32]] = [:]
    let anchors: Anchors
    /// The newest entries, so that a slow disk delays no follower's. A grant rests on entries that were sent before it.
    private var recent: [Recorded] = []
    private var recentNodes = 0
    /// What control has signed for the newest durable entry.
    private var checkpoint: Data
    private static let recentMax = 256
    /// Of their certificates: 30 bytes a node.
    private static let recentNodesMax = 500_000

    init(
        binder: Binder, authority: Authority, journal: Journal, joining: Joining, trusted: TrustedNodes, admission: Admission, lease: Span, logger: Logger
    ) {
        self.binder = binder
        self.authority = authority
        self.journal = journal
        self.joining = joining
        self.trusted = trusted
        self.admission = admission
        self.lease = lease
        self.logger = logger
        refusals = RefusalLog(logger)
        checkpoint = journal.checkpoint
        anchors = Anchors(authority: authority, journal: journal, logger: logger)
        binder.received = { [unowned self] route, message in receive(route, message) }
        authority.append = { [unowned self] entries in
            do {
                let recorded = try entries.map { try Recorded($0, signed: $1) }
                for entry in recorded { remember(entry) }
                self.journal.append(recorded)
            } catch {
                // Protobuf refuses nothing that these values can hold; if it did, an index would be missing and the journal's thread would end us.
                self.logger.critical("entry \(entries[0].0.index) cannot be written: \(error)")
            }
        }
        authority.trusted = trusted
        joining.ingestKey = { [unowned self] in usedKey(of: "ingest") ?? trusted.keys(of: "ingest", by: authority.governance).first }
        authority.readsRestored = { [unowned self] in anchors.judgeAgain() }
        authority.ledgerKeysChanged = { [unowned self] in
            self.journal.sign(by: self.authority.governance.ledgerKeys)
            anchors.judgeAgain()
        }
        authority.signing = { [unowned journal] in journal.signing.map { "\($0)" } }
        joining.ledgerKey = { [unowned journal] in journal.signing.last.map { "\($0)" } }
        anchors.nudgePolicy = { [unowned self] in
            if let peer = services["policy"] { self.binder.send(.nudge, WireNudge(), to: peer.route) }
        }
        authority.operatorsChanged = { [unowned self] in admitOperators() }
        admitOperators()
        authority.reserve = { [unowned journal] in journal.gave($0) }
        authority.stops.pushAgain = { [unowned self] names in push(self.authority.governance.gate, to: names) }
        authority.pushNarrower = { [unowned self] gate in push(gate) }
        authority.becameReadable = { [unowned self] in for peer in services.values { page(peer) } }
        authority.pushWithdrawn = { [unowned self] body in
            let frame = Frame.bytes(.narrow, body)
            for peer in services.values { self.binder.send(frame, to: peer.route) }
        }
        authority.refuse = { [unowned binder] route, refusal, text in binder.refuse(refusal, text, kind: .command, to: route) }
        authority.nudge = { [unowned self] in nudge() }
        authority.answer = { [unowned binder] route, outcome in binder.send(.outcome, outcome, to: route) }
        authority.stops.showProgress = { [unowned binder] route, progress in binder.send(.progress, progress, to: route) }
        authority.stops.showCertificate = { [unowned self] route, certificate in
            binder.send(.certificate, certificate, to: route)
            self.logger.info("certificate \(certificate.epoch): \(certificate.complete ? "complete" : "NOT complete") after \(certificate.completeAfterUs / 1000) ms")
        }
        authority.stops.services = { [unowned self] in stopServices() }
        joining.joined = { [unowned self] route, body in
            logger.info("\(body.name) has joined, number \(body.ordinal)")
            let governance = self.authority.governance
            self.journal.complete(body, for: route, vaultKey: governance.vaultKeyIndex, serverKey: governance.serviceKeys.announcedAt["ingest"])
        }
    }

    /// Who is an operator, and by which keys services are known, by the ledger: they may connect.
    private func admitOperators() {
        var table = trusted.admitted(["service", "join", "hooks"], by: authority.governance)
        for member in authority.governance.operators.current.values {
            if let key = CurveKey(member.session) { table[key] = "operator/\(member.name)" }
        }
        admission.admit(table)
    }

    // MARK: Messages

    private func receive(_ route: Route, _ message: consuming Inbound) {
        let now = Clock.now()
        let kind = message.kind
        do {
            if kind == .hello { return try greet(route, message, now) }
            guard let peer = peers.hear(route, at: now) else { return binder.askForHello(kind, route) }
            // A connection cannot be cut: whoever was removed since is asked for, and not answered.
            if peer.user.role == "operator", authority.governance.operators[peer.user.name] == nil {
                return binder.refuse(.unknownNode, "\(peer.user.name) is no operator any more", kind: kind, to: route)
            }
            if !trusted.counts(peer.user, by: authority.governance) { return refuseRetired(peer.user, kind, route) }
            switch (kind, peer.user.role) {
            case (.renew, "service"): try renew(peer, message.body(WireRenew.self), now)
            case (.stopped, "service"): try stopped(peer, message.body(WireStopped.self), now)
            case (.finding, "service") where peer.user.name == "policy":
                guard let finding = try message.body(WireFinding.self).value else { return binder.refuse(.invalid, "a finding has an id of 16 bytes, a detector and a sentence", kind: .finding, to: route) }
                authority.take(finding, from: route, at: now, wall: Clock.wall())
            case (.finding, "hooks"):
                // It can say that something was reported, and nothing else: what it names is closed, as if policy had found it.
                guard let finding = try message.body(WireFinding.self).value, finding.detector == LeakDetector.report.rawValue else { return binder.refuse(.invalid, "what hooks finds is a report", kind: .finding, to: route) }
                authority.take(finding, from: route, at: now, wall: Clock.wall())
            case (.renew, "hooks"):
                let body = try message.body(WireRenew.self)
                if body.hasService { hookDoors = body.service.counters }
                reporter = peer
                reporterHeard = now
                binder.send(.grant, keysGrant(body.nonce, for: "hooks"), to: route)
            case (.command, "operator"): try command(peer, message.body(WireSignedCommand.self), now)
            case (.joinRequest, "join"): try join(peer, message.body(WireJoinRequest.self))
            case (.renew, "join"):
                // It keeps its session so, and holds nothing.
                let body = try message.body(WireRenew.self)
                if body.hasService { joinPort = body.service.counters }
                joiner = peer
                binder.send(.grant, keysGrant(body.nonce, for: "join"), to: route)
            case (.query, "operator"), (.query, "service"): try query(peer, message.body(WireQuery.self), now)
            default:
                refusals.note("not-allowed \(peer.user.name) \(kind)", "\(peer.user.name) sent what a \(peer.user.role) does not send to control: \(kind)", at: now)
                binder.refuse(.notAllowed, "a \(peer.user.role) does not send this to control", kind: kind, to: route)
            }
        } catch let error as Frame.Malformed {
            binder.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        } catch {
            binder.refuse(.invalid, "\(error)", kind: kind, to: route)
        }
        authority.advance(at: Clock.now(), wall: Clock.wall())
    }

    /// For whom no ledger is followed: which keys of theirs and of control's count, and no lease.
    private func keysGrant(_ nonce: Data, for service: String) -> WireGrant {
        var grant = WireGrant()
        grant.nonce = nonce
        grant.keys = serviceKeys.keys.filter { [service, "control"].contains($0.service) }
        return grant
    }

    private func greet(_ route: Route, _ message: borrowing Inbound, _ now: Instant) throws {
        let hello = try message.body(WireHello.self)
        guard hello.protocol == UInt32(Limits.version) else {
            return binder.refuse(.unsupportedVersion, "this is protocol \(Limits.version)", kind: .hello, to: route)
        }
        // The handshake admits registered keys only; a message without an owner is still nobody's.
        guard let user = User(message.user) else { return binder.refuse(.unknownNode, "this key is not registered", kind: .hello, to: route) }
        if !trusted.counts(user, by: authority.governance) { return refuseRetired(user, .hello, route) }
        let peer = Peer(user: user, route: route)
        peers.greet(route, peer, at: now)
        if user.role == "service" {
            peer.status.name = user.name
            peer.status.connected = true
            peer.sent = hello.entries
            services[user.name] = peer
            logger.info("\(user.name) is here, at entry \(hello.entries), epoch \(hello.epoch)")
            authority.heard(user.name, epoch: Epoch(hello.epoch), entries: hello.entries, closures: hello.closures, releases: false, at: now)
            // It may have begun anew on another vault: it shows its ledger before it gets a lease.
            if user.name == "policy" { anchors.hear(nil) }
        }
        var welcome = WireWelcome()
        welcome.node = user.name
        welcome.leaseMs = UInt32(lease.milliseconds)
        welcome.epoch = authority.governance.gate.epoch.number
        welcome.start = start.bytes
        welcome.wallUs = Clock.wall().microseconds
        welcome.journal = journal.id
        binder.send(.welcome, welcome, to: route)
    }

    /// Its connection may stand for as long as it likes.
    private func refuseRetired(_ user: User, _ kind: Kind, _ route: Route) {
        retiredKeysRefused += 1
        binder.refuse(.unknownNode, "this key of \(user.name) was retired", kind: kind, to: route)
    }

    private(set) var retiredKeysRefused: UInt64 = 0
    /// What control cosigns policy's ledger with.
    var cosigner: () -> VerifierKey? = { nil }

    /// Everybody who has said `Hello`.
    var routes: [Route] { peers.all.map(\.0) }

    /// Who was last spoken to, by which of its keys; nil: not in this run.
    private func usedKey(of service: String) -> CurveKey? {
        switch service {
        case "control": binder.keys.publicKey
        case "join": joiner?.user.key
        case "hooks": reporter?.user.key
        default: services[service]?.user.key
        }
    }

    var serviceKeys: WireServiceKeys {
        var answer = WireServiceKeys()
        let governance = authority.governance
        for node in trusted.nodes where node.hasKeysOfItsOwn {
            let keys = trusted.keys(of: node.name, by: governance)
            for key in keys {
                var wire = WireServiceKey()
                wire.service = node.name
                wire.key = Data(key.bytes)
                wire.used = usedKey(of: node.name) == key
                if key == keys.last { wire.entry = governance.serviceKeys.announcedAt[node.name] ?? 0 }
                answer.keys.append(wire)
            }
        }
        let used = Set((anchors.used.values + [cosigner()].compactMap { $0 } + journal.signing).map { "\($0)" })
        for (_, keys) in governance.ledgerKeys.current.sorted(by: { $0.key < $1.key }) {
            for key in keys {
                var wire = WireLedgerKey()
                wire.key = key
                wire.used = used.contains(key)
                answer.ledgers.append(wire)
            }
        }
        return answer
    }

    private func renew(_ peer: Peer, _ body: WireRenew, _ now: Instant) {
        let name = peer.user.name
        // Two processes may have had one key: whoever goes on renewing is who is pushed to.
        services[name] = peer
        peer.status.seenUs = Clock.wall().microseconds
        peer.status.epoch = body.epoch
        peer.status.entries = body.entries
        if body.hasService {
            peer.status.counters = body.service.counters
            peer.status.gauges = body.service.gauges
            current[name] = body.service.current
            silent[name] = body.service.silent
        }
        if name == "policy" { anchors.hear(body.hasAnchor ? body.anchor : nil) }
        if name == "notify", body.hasService { authority.heard(notify: body.service.gauges) }
        authority.heard(
            name, epoch: Epoch(body.epoch), entries: body.entries, closures: body.closures, releases: name == "policy" && anchors.isJudged, at: now)
        let disbelieved = authority.disbelieved(name)
        if let disbelieved, peer.status.trouble.isEmpty {
            claimsRefused += 1
            logger.critical("\(disbelieved); it gets no lease")
        }
        peer.status.trouble = disbelieved ?? ""
        // What it says it has is what it has: a push that was lost is sent again.
        if body.entries < peer.sent, !peer.paging { peer.sent = body.entries }
        page(peer)
        if let withdrawn = authority.withdrawn { binder.send(.narrow, withdrawn, to: peer.route) }
        var grant = WireGrant()
        grant.nonce = body.nonce
        grant.wallUs = Clock.wall().microseconds
        grant.entries = authority.durable
        grant.checkpoint = checkpoint
        grant.ledgerKeys = journal.keyProofs(after: body.ledgerKeys)
        if name == "policy" { grant.anchor = anchors.answer }
        if name == "policy", !anchors.isBelieved {
            grant.gate = WireGateState(authority.governance.gate)
        } else if !authority.hasLost, disbelieved == nil {
            let span = authority.leases.grant(name, ownUntil: Instant(nanoseconds: .max), at: now) ?? .zero
            grant.leaseMs = UInt32(clamping: span.milliseconds)
            peer.isGranted = true
            grant.gate = WireGateState(authority.governance.gate)
        }
        binder.send(.grant, grant, to: peer.route)
    }

    private func stopped(_ peer: Peer, _ body: WireStopped, _ now: Instant) {
        let epoch = Epoch(body.epoch)
        let name = peer.user.name
        let isIngest = name.hasPrefix("ingest")
        if body.first, isIngest { authority.reported(by: name, epoch: epoch, leased: body.unknownMs > 0 ? everyAgent : body.leased) }
        if !body.agents.isEmpty, isIngest { return authority.stopped(agents: body.agents, epoch: epoch, at: now) }
        authority.stops.stopped(service: name, epoch: epoch, isDurable: body.durable && name == "policy", at: now)
    }

    /// An ingest that has just started cannot say which leases its earlier run granted: all of them, then.
    private var everyAgent: [UInt32] { authority.governance.nodes.values.filter { $0.role == .agent }.map(\.ordinal) }

    private func command(_ peer: Peer, _ body: WireSignedCommand, _ now: Instant) {
        do throws(Refused) {
            try authority.perform(body, in: peer.user.name, from: peer.route, at: now, wall: Clock.wall())
        } catch {
            refusedCommands[error.refusal.word, default: 0] += 1
            // By its reason too: one number stands for several, and one must not hide another.
            refusals.note("command \(peer.user.name) \(error.refusal.word) \(error.reason)", "a command by \(peer.user.name) was refused: \(error.text)", at: now)
            binder.refuse(error.refusal, error.text, kind: .command, to: peer.route)
        }
    }

    private func join(_ peer: Peer, _ body: WireJoinRequest) {
        do throws(Refused) {
            try joining.take(body, from: peer.route, wall: Clock.wall())
        } catch {
            refusedJoins[error.refusal.word, default: 0] += 1
            refusals.note("join \(error.refusal.word) \(error.reason)", "a machine may not join: \(error.text)", at: Clock.now())
            binder.refuse(error.refusal, error.text, kind: .joinRequest, to: peer.route) { $0.id = body.id }
        }
    }

    /// Of services that two operators had decided about already.
    private(set) var claimsRefused: UInt64 = 0
    private(set) var refusedJoins: [String: UInt64] = [:]
    private(set) var refusedCommands: [String: UInt64] = [:]
    /// Of the joining process: what it refused without asking.
    private(set) var joinPort: [String: UInt64] = [:]
    /// Of the doors for reports: what came, and what has become of it.
    private(set) var hookDoors: [String: UInt64] = [:]
    private var reporterHeard: Instant?
    /// It was here, and says nothing any more: what is reported waits there, or with its senders.
    func isReporterSilent(at now: Instant) -> Bool { reporterHeard.map { now - $0 > Span(nanoseconds: lease.nanoseconds * 4) } ?? false }

    // MARK: Pushes

    private func push(_ gate: GateState, to names: Set<String>? = nil) {
        var body = WireNarrow()
        body.gate = WireGateState(gate)
        let frame = Frame.bytes(.narrow, body)
        for (name, peer) in services where names?.contains(name) ?? true { binder.send(frame, to: peer.route) }
    }

    private func nudge() {
        let frame = Frame.bytes(.nudge, WireNudge())
        for peer in services.values { binder.send(frame, to: peer.route) }
    }

    private func remember(_ entry: Recorded) {
        recent.append(entry)
        recentNodes += entry.nodes
        while recent.count > Sessions.recentMax || recentNodes > Sessions.recentNodesMax, let first = recent.first, first.index <= authority.durable {
            recentNodes -= first.nodes
            recent.removeFirst()
        }
    }

    /// Sends a follower what it has not got yet: from memory, or, far behind, from the journal.
    private func page(_ peer: Peer) {
        guard !peer.paging, peer.sent < authority.durable else { return }
        if let first = recent.first, first.index <= peer.sent + 1 {
            var body = WireEntries()
            var bytes = 0
            for entry in recent[Int(peer.sent + 1 - first.index)..<Int(authority.durable + 1 - first.index)] {
                bytes += entry.wire.body.count
                // More than a frame holds would be sent again and again, and never arrive: the follower asks for the rest.
                guard body.recorded.isEmpty || bytes < Limits.entryBytesMax else { break }
                body.recorded.append(entry.wire)
            }
            body.last = authority.durable
            body.checkpoint = checkpoint
            if binder.send(.entries, body, to: peer.route) == .sent { peer.sent += UInt64(body.recorded.count) }
            return
        }
        peer.paging = true
        journal.page(for: peer.route, after: peer.sent)
    }

    /// News from the journal's thread.
    ///
    /// - Returns: false when the process must end.
    func take(_ news: Journal.News) -> Bool {
        switch news {
        case .durable(let index, let checkpoint):
            self.checkpoint = checkpoint
            if authority.journalTrouble != nil { logger.notice("the journal can be written again") }
            authority.becameDurable(index)
        case .signed(let checkpoint): self.checkpoint = checkpoint
        case .full(let why):
            if authority.journalTrouble == nil { logger.error("the journal cannot be written: \(why); pauses act all the same, nothing widens until there is room") }
            authority.journalIsFull(why)
        case .unreserved(let why):
            if authority.journalTrouble == nil { logger.error("no epochs can be reserved: \(why); pauses act all the same, nothing widens until there is room") }
            authority.journalTrouble = why
        case .reserved:
            logger.notice("epochs are reserved again")
            authority.journalTrouble = nil
        case .page(let route, let entries, let last, let checkpoint):
            guard let peer = peers.hear(route, at: Clock.now()) else { break }
            peer.paging = false
            var body = WireEntries()
            body.recorded = entries
            body.last = last
            body.checkpoint = checkpoint
            if binder.send(.entries, body, to: route) == .sent { peer.sent += UInt64(entries.count) }
        case .anchored(let judged, let judgement): anchors.take(judgement, of: judged)
        case .outrun(let checkpoint): authority.outrun(by: (checkpoint.size, checkpoint.text))
        case .certificateFile(let route, let found):
            guard let found else {
                binder.refuse(.notFound, "the ledger has no such certificate; 'sluice incidents' lists what has one", kind: .query, to: route)
                break
            }
            var answer = WireAnswer()
            answer.certificateFile = found
            binder.send(.answer, answer, to: route)
        case .proof(let route, let found):
            guard let found else {
                binder.refuse(.notFound, "the ledger has no such entry", kind: .query, to: route)
                break
            }
            var answer = WireAnswer()
            answer.proof = found
            binder.send(.answer, answer, to: route)
        case .joined(let route, let body): binder.send(.joined, body, to: route)
        case .certificate(let route, let found):
            guard let found else {
                binder.refuse(.notFound, "there is no such certificate; 'sluice incidents' lists what has one", kind: .query, to: route)
                break
            }
            var answer = WireAnswer()
            answer.certificate = found
            binder.send(.answer, answer, to: route)
        case .failed(let why):
            logger.critical("the journal has failed: \(why); control ends, and every lease with it")
            return false
        }
        authority.advance(at: Clock.now(), wall: Clock.wall())
        return true
    }

    func tick(at now: Instant) {
        authority.advance(at: now, wall: Clock.wall())
        refusals.tick(admission, binder.refusals, at: now)
        peers.expire(after: Span(nanoseconds: lease.nanoseconds * 4), at: now) { route, peer in
            guard let known = services[peer.user.name], known === peer else { return }
            services[peer.user.name] = nil
            logger.notice("\(peer.user.name) has not been heard for four leases")
        }
    }

    private func stopServices() -> [StopTracker.Service] {
        let now = Clock.now()
        return trusted.nodes.filter { $0.role == "service" && $0.name != "control" }.map { node in
            // After a restart every lease that an earlier run may have granted is still out.
            var until = authority.leases.granted[node.name]
            if now < authority.leases.unknownUntil { until = max(until ?? now, authority.leases.unknownUntil) }
            return StopTracker.Service(
                name: node.name, leaseUntil: until, grantsAgents: node.name.hasPrefix("ingest"), releases: node.name == "policy")
        }
    }
}
