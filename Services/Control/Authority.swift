import Foundation
import Gate
import Messaging
import Wire

/// Decides what may happen now. Lives on the reactor's thread; does no input or output but through the closures it is given.
///
/// A narrowing acts at once and is recorded in parallel; a widening is durable first, then acts.
final class Authority {
    private(set) var governance: Governance
    private(set) var stoppings: [Epoch: Stopping] = [:]
    private(set) var durable: UInt64
    /// Why the journal cannot be written; nil: it can.
    private(set) var journalTrouble: String?
    var leases: LeaseGrantor<String>
    let lease: Span

    /// A new entry that is to be made durable.
    var append: (Entry) -> Void = { _ in }
    /// The gate is narrower: push it to every service.
    var pushNarrower: (GateState) -> Void = { _ in }
    /// The same again, to those that have not answered.
    var pushAgain: (GateState, Set<String>) -> Void = { _, _ in }
    /// There is more to have: nudge every service.
    var nudge: () -> Void = {}
    /// Durable entries that followers have not got.
    var becameReadable: () -> Void = {}
    /// Agents that are registered no more: tell every service at once.
    var pushRemoved: ([UInt32]) -> Void = { _ in }
    var refuse: (Route, Refusal, String) -> Void = { _, _, _ in }
    var showProgress: (Route, WireProgress) -> Void = { _, _ in }
    var showCertificate: (Route, WireCertificate) -> Void = { _, _ in }
    var answer: (Route, WireOutcome) -> Void = { _, _ in }
    var services: () -> [StopTracker.Service] = { [] }

    private var index: UInt64
    /// Epochs are given from above this one.
    private var pendingEpoch = Epoch.none
    /// The highest that this run has given.
    private var issuedEpoch = Epoch.none
    /// Epochs are running out of what is reserved: reserve more.
    var reserve: (Epoch) -> Void = { _ in }
    private var pendingOrdinal: UInt32 = 0
    private var pendingIncident: UInt64 = 0
    /// Entries that are durable first, by index: applied when the journal has them.
    private var widenings: [UInt64: (entry: Entry, done: () -> Void)] = [:]
    private var outcomes: [Data: WireOutcome] = [:]
    private var outcomeOrder: [Data] = []
    /// Commands that wait for the journal, and where they were asked.
    private var underWay: [Data: Route] = [:]
    private(set) var recentCertificates: [Epoch: WireCertificate] = [:]
    private var restarted = true
    private var policyHeard = false
    private var ingestHeard = false

    static let outcomesMax = 1_024
    static let certificatesMax = 16

    /// - Parameter floor: No epoch up to this one is given again: an earlier run may have, without a trace.
    init(replayed governance: Governance, entries: UInt64, floor: Epoch, lease: Span, at now: Instant) {
        self.governance = governance
        pendingEpoch = max(governance.gate.epoch, floor)
        self.lease = lease
        index = entries
        durable = entries
        leases = LeaseGrantor(lease: lease, startedAt: now)
        self.governance.seal("control has restarted and waits for policy, which knows the latest epoch")
    }

    var entriesWaiting: UInt64 { index - durable }

    // MARK: What peers know

    /// A service has said which epoch it knows. After a restart policy must be heard before anything opens; who knows
    /// a later epoch than the journal proves that the journal has lost something.
    ///
    /// Epochs alone do not tell: a later pause may have hidden one that was lost. So peers name the closures that they hold.
    func heard(_ service: String, epoch claimed: Epoch, closures: [UInt64], releases: Bool, at now: Instant) {
        // Who claims the last epoch that there is leaves none to go on with: so nobody is believed beyond half of what the journal can hold.
        let epoch = min(claimed, Authority.believedMax)
        let known = Set(governance.gate.closures.map(\.epoch) + governance.lifted.map(\.epoch))
        let lost = closures.map { Epoch($0) }.filter { !known.contains($0) && !dropped.contains($0) }.max()
        if lost != nil || epoch > max(governance.gate.epoch, issuedEpoch) {
            let what = lost.map { "closure \($0.number), which the journal does not hold" } ?? "epoch \(epoch.number), the journal only \(governance.gate.epoch.number)"
            governance.seal("\(service) knows \(what): entries were lost. 'sluice resume --all --unseal' opens again")
            pendingEpoch = max(pendingEpoch, epoch)
            lostEpoch = max(lostEpoch ?? epoch, epoch)
            if let lost { lostClosures.insert(lost) }
            pushNarrower(governance.gate)
            return
        }
        if releases { policyHeard = true }
        if service.hasPrefix("ingest") { ingestHeard = true }
        openAfterRestart(at: now)
    }

    private static let believedMax = Epoch(1 << 62)

    /// After a restart: opens when policy has been heard, and ingest too, or every lease has ended that it could know a pause by.
    private func openAfterRestart(at now: Instant) {
        guard restarted, lostEpoch == nil, policyHeard, ingestHeard || now >= leases.unknownUntil else { return }
        restarted = false
        governance.unseal(atLeast: governance.gate.epoch)
        nudge()
    }

    /// What somebody knows and the journal does not. While it is set nothing is granted: a grant would make the peer forget it.
    private(set) var lostEpoch: Epoch?
    private var lostClosures: Set<Epoch> = []
    /// Lost closures that operators have decided to drop.
    private var dropped: Set<Epoch> = []

    // MARK: Commands

    enum CommandRefused: Error {
        case refused(Refusal, String)
    }

    func perform(_ command: WireCommand, by author: String, from route: Route, at now: Instant, wall: WallTime) throws {
        guard command.id.count == 16 else { throw CommandRefused.refused(.invalid, "a command has an id of 16 bytes") }
        if let done = outcomes[command.id] {
            answer(route, done)
            return follow(done, route, wall)
        }
        // Sent again while the disk is at work: done once, answered where it was asked last.
        if underWay[command.id] != nil {
            underWay[command.id] = route
            return
        }
        if let journalTrouble, !command.onlyNarrows {
            throw CommandRefused.refused(.journalFull, "nothing widens while the journal cannot be written: \(journalTrouble); free disk space")
        }
        switch command.deed {
        case .pause(let body): try pause(body, command.id, author, route, now, wall)
        case .resume(let body): try resume(body, command.id, author, route, wall)
        case .leak(let body): try leak(body, command.id, author, route, now, wall)
        case .register(let body): try register(body, command.id, author, route, wall)
        case .remove(let body): remove(body, command.id, author, route, wall)
        case .closeIncident(let body): try closeIncident(body.incident, command.id, author, route, wall)
        default: throw CommandRefused.refused(.invalid, "this command is not known here; control may be older than the sender")
        }
    }

    private func pause(
        _ body: WirePause, _ id: Data, _ author: String, _ route: Route?, _ now: Instant, _ wall: WallTime
    ) throws {
        try Authority.check(reason: body.reason)
        let selector = body.selector.value
        try check(selector)
        begin(selector, body.direction.value, title: body.reason, dataClass: "", isLeak: false, id, author, route, now, wall)
    }

    private func leak(
        _ body: WireLeakReport, _ id: Data, _ author: String, _ route: Route?, _ now: Instant, _ wall: WallTime
    ) throws {
        try Authority.check(reason: body.reason)
        guard body.source.utf8.count <= Limits.nameBytesMax else {
            throw CommandRefused.refused(.invalid, "the source of a leak has at most \(Limits.nameBytesMax) bytes")
        }
        let selector = Selector(classes: body.class.isEmpty ? [] : [DataClass(body.class)])
        try check(selector)
        let title = body.source.isEmpty || body.source == "operator" ? body.reason : "\(body.reason) (noticed by \(body.source))"
        begin(selector, .both, title: title, dataClass: body.class, isLeak: true, id, author, route, now, wall)
    }

    private func begin(
        _ selector: Selector, _ direction: Direction, title: String, dataClass: String, isLeak: Bool, _ id: Data, _ author: String,
        _ route: Route?, _ now: Instant, _ wall: WallTime
    ) {
        let incident = max(governance.nextIncident, pendingIncident + 1)
        pendingIncident = incident
        let closure = Closure(
            epoch: governance.nextEpoch(after: pendingEpoch), direction: direction, selector: selector, reason: title, author: author,
            incident: incident, from: wall)
        issue(closure.epoch)
        narrow(.paused(closure), author, wall)
        let entry = index
        // Pushed before anything is written, and before anything is counted that grows with the agents: neither a disk that is full, or
        // slow, nor ten thousand names delay anybody's stop. No answer can come in before this call returns.
        pushNarrower(governance.gate)
        flush()
        let agents =
            closure.stopsCapture
            ? Set(governance.nodes.values.lazy.filter { $0.role == .agent && selector.matches($0.scope) }.map(\.name)) : []
        stoppings[closure.epoch] = Stopping(
            tracker: StopTracker(closure: closure, at: now, lease: lease, services: services(), agents: agents),
            entry: entry, asker: route, shown: now, pushed: now)
        narrow(
            .incidentOpened(number: incident, title: title, closure: closure.epoch, dataClass: dataClass, isLeak: isLeak), author, wall)
        flush()
        var outcome = WireOutcome()
        outcome.epoch = closure.epoch.number
        outcome.incident = incident
        outcome.closure = WireClosure(closure)
        finish(id, outcome, route)
    }

    /// Who asks again, on a new connection perhaps, is shown the same pause to its end: what went to the old one is lost.
    private func follow(_ outcome: WireOutcome, _ route: Route, _ wall: WallTime) {
        guard outcome.hasClosure else { return }
        let epoch = Epoch(outcome.epoch)
        if stoppings[epoch] != nil {
            stoppings[epoch]?.asker = route
            if let stopping = stoppings[epoch], stopping.overdue {
                showCertificate(route, WireCertificate(stopping.tracker.certificate(issued: wall)))
            }
        } else if let certificate = recentCertificates[epoch] {
            showCertificate(route, certificate)
        }
    }

    private func issue(_ epoch: Epoch) {
        pendingEpoch = epoch
        issuedEpoch = epoch
        reserve(epoch)
    }

    private func resume(_ body: WireResume, _ id: Data, _ author: String, _ route: Route, _ wall: WallTime) throws {
        try Authority.check(reason: body.reason)
        if governance.gate.seal != nil {
            guard body.unseal else { throw CommandRefused.refused(.sealed, governance.gate.seal ?? "") }
            guard lostEpoch != nil else {
                throw CommandRefused.refused(.sealed, "policy has not been heard since control started: start it, it opens by itself")
            }
        }
        let inForce = Set(governance.gate.closures.map(\.epoch))
        let asked = body.closures.isEmpty ? inForce : Set(body.closures.map { Epoch($0) })
        if let unknown = asked.subtracting(inForce).min() {
            let list = inForce.map { "\($0.number)" }.sorted().joined(separator: ", ")
            throw CommandRefused.refused(
                .notFound, "no closure \(unknown.number) is in force\(list.isEmpty ? "; none is" : "; in force: \(list)")")
        }
        let unseals = body.unseal && lostEpoch != nil
        guard !asked.isEmpty || unseals else { throw CommandRefused.refused(.notFound, "nothing is closed") }
        let lifted = governance.gate.closures.filter { asked.contains($0.epoch) }
        if unseals {
            let epoch = governance.nextEpoch(after: pendingEpoch)
            issue(epoch)
            widen(.unsealed(epoch, dropped: [], reason: body.reason), author, wall) { [self] in
                lostEpoch = nil
                dropped.formUnion(lostClosures)
                lostClosures = []
                restarted = false
                nudge()
                guard asked.isEmpty else { return }
                var outcome = WireOutcome()
                outcome.epoch = governance.gate.epoch.number
                finish(id, outcome, route)
            }
        }
        guard !asked.isEmpty else { return }
        let epoch = governance.nextEpoch(after: pendingEpoch)
        issue(epoch)
        underWay[id] = route
        widen(.resumed(to: epoch, closures: asked.sorted(), reason: body.reason), author, wall) { [self] in
            nudge()
            var outcome = WireOutcome()
            outcome.epoch = governance.gate.epoch.number
            outcome.lifted = lifted.map { WireClosure($0) }
            finish(id, outcome, route)
        }
    }

    private func register(_ body: WireRegister, _ id: Data, _ author: String, _ route: Route, _ wall: WallTime) throws {
        guard !body.nodes.isEmpty, body.nodes.count <= Limits.nodesPerEntryMax else {
            throw CommandRefused.refused(.invalid, "1 to \(Limits.nodesPerEntryMax) nodes are registered at once, not \(body.nodes.count)")
        }
        var nodes: [Node] = []
        var keyHolders = Dictionary(governance.nodes.values.map { ($0.key, $0.name) }) { first, _ in first }
        var ordinal = max(governance.nextOrdinal, pendingOrdinal)
        for wire in body.nodes {
            guard var node = wire.value, node.role == .agent, !node.name.isEmpty, !node.scope.subject.isEmpty,
                [node.name, node.scope.subject, node.scope.site, node.scope.team].allSatisfy({ $0.utf8.count <= Limits.nameBytesMax })
            else {
                throw CommandRefused.refused(
                    .invalid, "an agent has a name, a subject, perhaps a site and a team, of at most \(Limits.nameBytesMax) bytes each, and a key of 32")
            }
            let holder = keyHolders[node.key]
            if let holder, holder != node.name {
                throw CommandRefused.refused(.invalid, "the key of '\(node.name)' is the key of '\(holder)': one key is one agent")
            }
            keyHolders[node.key] = node.name
            // The same again is the same agent: a second start registers nothing new.
            if let known = governance.node(named: node.name), known.key == node.key, known.scope == node.scope {
                node.ordinal = known.ordinal
            } else {
                node.ordinal = ordinal
                ordinal += 1
            }
            nodes.append(node)
        }
        pendingOrdinal = ordinal
        var outcome = WireOutcome()
        outcome.nodes = nodes.map { WireNode($0) }
        outcome.epoch = governance.gate.epoch.number
        let added = nodes.filter { governance.nodes[$0.ordinal] != $0 }
        guard !added.isEmpty else { return finish(id, outcome, route) }
        underWay[id] = route
        widen(.registered(added, enrolment: nil), author, wall) { [self] in
            finish(id, outcome, route)
        }
    }

    private func remove(_ body: WireRemove, _ id: Data, _ author: String, _ route: Route, _ wall: WallTime) {
        let nodes = body.names.compactMap { governance.node(named: $0) }
        var outcome = WireOutcome()
        outcome.nodes = nodes.map { WireNode($0) }
        if !nodes.isEmpty {
            narrow(.removed(nodes.map(\.ordinal)), author, wall)
            pushRemoved(nodes.map(\.ordinal))
            flush()
        }
        finish(id, outcome, route)
    }

    private func closeIncident(_ number: UInt64, _ id: Data, _ author: String, _ route: Route, _ wall: WallTime) throws {
        guard let incident = governance.incidents[number] else {
            throw CommandRefused.refused(.notFound, "there is no incident \(number)")
        }
        guard !governance.gate.closures.contains(where: { $0.epoch == incident.closure }) else {
            throw CommandRefused.refused(.invalid, "incident \(number) has closure \(incident.closure.number) in force: resume it first")
        }
        if incident.state != .closed { narrow(.incidentMoved(number: number, to: .closed), author, wall) }
        flush()
        finish(id, WireOutcome(), route)
    }

    private func finish(_ id: Data, _ outcome: WireOutcome, _ route: Route?) {
        var outcome = outcome
        outcome.id = id
        outcome.entry = index
        let route = underWay.removeValue(forKey: id) ?? route
        outcomes[id] = outcome
        outcomeOrder.append(id)
        if outcomeOrder.count > Authority.outcomesMax { outcomes[outcomeOrder.removeFirst()] = nil }
        if let route { answer(route, outcome) }
    }

    private static func check(reason: String) throws {
        guard !reason.isEmpty, reason.utf8.count <= Limits.reasonBytesMax else {
            throw CommandRefused.refused(.invalid, "a reason has 1 to \(Limits.reasonBytesMax) bytes: it is what people will read")
        }
    }

    /// A pause of something that does not exist would stop nothing and look like a success.
    private func check(_ selector: Selector) throws {
        let values = selector.sites.count + selector.teams.count + selector.subjects.count + selector.classes.count
        guard values + selector.readers.count + selector.purposes.count <= Limits.selectorValuesMax else {
            throw CommandRefused.refused(.invalid, "a selector names at most \(Limits.selectorValuesMax) values")
        }
        // Every closure in force is in every grant: one of megabytes would cost each service its lease.
        let names = [selector.sites, selector.teams, selector.subjects, Set(selector.classes.map(\.name)), selector.readers, selector.purposes]
        guard names.allSatisfy({ $0.allSatisfy { $0.utf8.count <= Limits.nameBytesMax } }) else {
            throw CommandRefused.refused(.invalid, "a value of a selector has at most \(Limits.nameBytesMax) bytes")
        }
        func missing(_ asked: Set<String>, _ what: String, _ known: (Node) -> String) throws {
            guard !asked.isEmpty else { return }
            let there = Set(governance.nodes.values.map(known))
            if let unknown = asked.subtracting(there).min() {
                throw CommandRefused.refused(.notFound, "no agent has the \(what) '\(unknown)': nothing was stopped; 'sluice agents' lists them")
            }
        }
        try missing(selector.sites, "site") { $0.scope.site }
        try missing(selector.teams, "team") { $0.scope.team }
        try missing(selector.subjects, "subject") { $0.scope.subject }
        let known = Set(Authority.classes.map { DataClass($0) })
        if let unknown = selector.classes.subtracting(known).min() {
            throw CommandRefused.refused(
                .notFound, "there is no class '\(unknown.name)': nothing was stopped; there are \(Authority.classes.joined(separator: ", "))")
        }
    }

    /// The policy document will name them.
    static let classes = ["activity", "content", "conversation", "review"]

    // MARK: The journal

    private var unflushed: [Entry] = []

    private func narrow(_ deed: Entry.Deed, _ author: String, _ wall: WallTime) {
        index += 1
        let entry = Entry(index: index, at: wall, author: author, deed: deed)
        governance.apply(entry)
        unflushed.append(entry)
    }

    private func flush() {
        for entry in unflushed { append(entry) }
        unflushed = []
    }

    private func widen(_ deed: Entry.Deed, _ author: String, _ wall: WallTime, done: @escaping () -> Void) {
        index += 1
        let entry = Entry(index: index, at: wall, author: author, deed: deed)
        widenings[index] = (entry, done)
        append(entry)
    }

    func becameDurable(_ upTo: UInt64) {
        journalTrouble = nil
        let before = durable
        durable = upTo
        // Before anybody is told that there is more to have: what a grant rests on is sent before it.
        becameReadable()
        for index in stride(from: before + 1, through: upTo, by: 1) {
            guard let (entry, done) = widenings.removeValue(forKey: index) else { continue }
            governance.apply(entry)
            done()
        }
        for (epoch, stopping) in stoppings where stopping.entry <= upTo { stoppings[epoch]?.tracker.durable(in: .journal) }
    }

    func journalIsFull(_ why: String) {
        journalTrouble = why
        for (_, route) in underWay {
            refuse(route, .journalFull, "decided, but not in force: the journal cannot be written (\(why)). It takes effect as soon as there is room")
        }
    }

    // MARK: Stops

    func stopped(service: String, epoch: Epoch, isDurable: Bool, at now: Instant) {
        for started in stoppings.keys where started <= epoch {
            stoppings[started]!.tracker.acknowledged(service: service, at: now)
            if isDurable { stoppings[started]!.tracker.durable(in: .vault) }
        }
    }

    func reported(by ingest: String, epoch: Epoch, leased: [UInt32]) {
        let names = leased.compactMap { governance.nodes[$0]?.name }
        for started in stoppings.keys where started <= epoch { stoppings[started]!.tracker.reported(by: ingest, leased: names) }
    }

    func stopped(agents: [UInt32], epoch: Epoch, at now: Instant) {
        for started in stoppings.keys where started <= epoch {
            for ordinal in agents {
                if let name = governance.nodes[ordinal]?.name { stoppings[started]!.tracker.acknowledged(agent: name, at: now) }
            }
        }
    }

    /// Lets time pass, and closes what is complete.
    func advance(at now: Instant, wall: WallTime) {
        openAfterRestart(at: now)
        for (epoch, var stopping) in stoppings {
            stopping.tracker.tick(at: now)
            stoppings[epoch] = stopping
            if stopping.tracker.isComplete {
                stoppings[epoch] = nil
                certify(stopping, wall)
            } else if !stopping.overdue, now - stopping.tracker.start > StopTracker.withDrift(lease) + Limits.certificateSlack {
                stoppings[epoch]!.overdue = true
                if let asker = stopping.asker { showCertificate(asker, WireCertificate(stopping.tracker.certificate(issued: wall))) }
            } else if let asker = stopping.asker, now - stopping.shown > .milliseconds(50) {
                stoppings[epoch]!.shown = now
                showProgress(asker, WireProgress(stopping.tracker.progress(at: now), epoch: epoch))
            }
            let awaited = stopping.tracker.awaited
            if !awaited.isEmpty, now - stopping.pushed > .milliseconds(200) {
                stoppings[epoch]?.pushed = now
                pushAgain(governance.gate, awaited)
            }
        }
    }

    private func certify(_ stopping: Stopping, _ wall: WallTime) {
        let certificate = stopping.tracker.certificate(issued: wall)
        narrow(.certified(certificate), "control", wall)
        let incident = certificate.closure.incident
        if governance.incidents[incident]?.state == .open { narrow(.incidentMoved(number: incident, to: .contained), "control", wall) }
        flush()
        let wire = WireCertificate(certificate)
        recentCertificates[certificate.epoch] = wire
        if recentCertificates.count > Authority.certificatesMax, let oldest = recentCertificates.keys.min() {
            recentCertificates[oldest] = nil
        }
        if let asker = stopping.asker {
            showProgress(asker, WireProgress(stopping.tracker.progress(at: stopping.tracker.start + certificate.completeAfter), epoch: certificate.epoch))
            showCertificate(asker, wire)
        }
    }
}

extension WireCommand {
    /// Whether it can only take away what may flow: such a command never waits for the disk.
    fileprivate var onlyNarrows: Bool {
        switch deed {
        case .pause, .leak, .remove, .closeIncident: true
        default: false
        }
    }
}

extension WireProgress {
    init(_ progress: StopTracker.Progress, epoch: Epoch) {
        self.init()
        self.epoch = epoch.number
        services = UInt32(clamping: progress.services)
        servicesAll = UInt32(clamping: progress.servicesAll)
        servicesUs = UInt32(clamping: progress.servicesAfter.microseconds)
        agents = UInt32(clamping: progress.agents)
        agentsAll = UInt32(clamping: progress.agentsAll)
        agentsUs = UInt32(clamping: progress.agentsAfter.microseconds)
        silent = UInt32(clamping: progress.silent)
        elapsedUs = UInt32(clamping: progress.elapsed.microseconds)
        leaseUs = UInt32(clamping: progress.ended.microseconds)
    }
}
