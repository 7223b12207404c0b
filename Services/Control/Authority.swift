import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Rules
import SwiftProtobuf
import Wire

/// Decides what may happen now. Lives on the reactor's thread; does no input or output but through the closures it is given.
///
/// A narrowing acts at once and is recorded in parallel; a widening is durable first, then acts.
final class Authority {
    /// What is in force: every entry that narrows, from its command on; every other from when it is durable.
    private(set) var governance: Governance
    /// The fold of all entries, also of those that are not durable yet: what the next command is judged by.
    private(set) var planned: Governance
    private(set) var known: KnownOperators
    private var seen: SeenNonces
    /// What was signed for each proposal.
    private var statements: [UInt64: WireSignedCommand]
    private(set) var durable: UInt64
    /// Why the journal cannot be written, or epochs not be reserved in it; nil: they can.
    var journalTrouble: String?
    var leases: LeaseGrantor<String>
    let stops: Stops
    private var drills = DrillWatch()

    /// New entries that are to be made durable together, and what was signed for each.
    var append: ([(Entry, WireSignedCommand?)]) -> Void = { _ in }
    /// Who commands, or a service's key, has changed: others may connect.
    var operatorsChanged: () -> Void = {}
    /// The gate is narrower: push it to every service.
    var pushNarrower: (GateState) -> Void = { _ in }
    /// There is more to have: nudge every service.
    var nudge: () -> Void = {}
    /// Durable entries that followers have not got.
    var becameReadable: () -> Void = {}
    /// Something was taken away: tell every service at once.
    var pushWithdrawn: (WireNarrow) -> Void = { _ in }
    var refuse: (Route, Refusal, String) -> Void = { _, _, _ in }
    var answer: (Route, WireOutcome) -> Void = { _, _ in }
    /// The registry: who is a service, and whose keys are taken.
    var trusted: TrustedNodes?
    /// Policy's ledger is not believed: what was cosigned of it, and what is offered in its place.
    var readsInTrouble: (abandons: String, adopts: String)?
    private let compare: PolicyComparison
    private let reading: PolicyReading
    /// Two operators have said which of them counts.
    var readsRestored: () -> Void = {}
    /// Others count of those that ledgers are signed with.
    var ledgerKeysChanged: () -> Void = {}
    /// The keys that this ledger is signed with now; empty: not known.
    var signing: () -> [String] = { [] }

    /// Of the newest entry, durable or not.
    private var index: UInt64
    /// Epochs are given from above this one.
    private var pendingEpoch = Epoch.none
    /// The highest that this run has given.
    private var issuedEpoch = Epoch.none
    /// Epochs are running out of what is reserved: reserve more.
    var reserve: (Epoch) -> Void = { _ in }
    /// Entries that are durable first, by index: applied when the journal has them.
    private var widenings: [UInt64: (entry: Entry, done: () -> Void)] = [:]
    private var outcomes: [ProposalHash: (outcome: WireOutcome, session: String)] = [:]
    private var outcomeOrder: [ProposalHash] = []
    /// Commands that wait for the journal.
    private var underWay: [ProposalHash: Waiting] = [:]
    /// What narrowed acts already, and is answered when it is durable: by its last entry.
    private var answersDue: [UInt64: [() -> Void]] = [:]
    private var restarted = true
    private var policyHeard = false
    private var ingestHeard = false

    /// A command that is answered when it is durable: told before that it was done, nobody would say it again if it were forgotten.
    private struct Waiting {
        /// Where it was asked last.
        var route: Route
        let session: String
        /// What is in force already, for people; nil: it takes effect when it is durable.
        let acts: String?
        let since: Instant
        /// Who asked knows that it is not durable. Said once: `refused` names no command, and would be taken for the answer to their next one.
        var isTold = false
    }

    /// What is in force and would be forgotten if control ended now, a line each.
    var pending: [String] { underWay.values.compactMap(\.acts).sorted() }

    static let outcomesMax = 1_024

    /// - Parameters:
    ///   - statements: what was signed for the proposals that stand in `fold`.
    ///   - floor: No epoch up to this one is given again: an earlier run may have, without a trace.
    init(_ fold: GovernanceFold, statements: [UInt64: WireSignedCommand], floor: Epoch, lease: Span, at now: Instant) {
        let reading = PolicyReading()
        self.reading = reading
        compare = .remembering(.anyWorld(reading: { reading.document($0) }))
        governance = fold.governance
        planned = fold.governance
        known = fold.known
        seen = fold.seen
        self.statements = statements
        pendingEpoch = max(governance.gate.epoch, floor)
        stops = Stops(lease: lease)
        index = fold.size
        durable = fold.size
        leases = LeaseGrantor(lease: lease, startedAt: now)
        governance.seal("control has restarted and waits for policy, which knows the latest epoch")
    }

    var entriesWaiting: UInt64 { index - durable }

    // MARK: What peers know

    /// A service has said what it knows. After a restart policy must be heard before anything opens; who knows more than the journal proves that the
    /// journal has lost something, until two operators have decided about that.
    func heard(_ service: String, epoch: Epoch, entries: UInt64, closures: [UInt64], releases: Bool, at now: Instant) {
        let epochs = Set(governance.gate.closures.map(\.epoch) + governance.lifted.map(\.epoch))
        let claim = Losses.Claim(epoch: epoch, entries: entries, closures: closures.map { Epoch($0) })
        let verdict = losses.hear(claim, by: service, known: max(governance.gate.epoch, issuedEpoch), durable: durable) {
            epochs.contains($0) || planned.dropped.contains($0)
        }
        switch verdict {
        case .disbelieved: return
        case .lost(let what):
            governance.seal("\(what): entries were lost. 'sluice resume --unseal' by two operators opens again")
            pendingEpoch = max(pendingEpoch, min(epoch, Losses.believedMax))
            pushNarrower(governance.gate)
        case .known:
            if releases { policyHeard = true }
            if service.hasPrefix("ingest") { ingestHeard = true }
            openAfterRestart(at: now)
        }
    }

    /// What a service claims and is not believed: it gets no lease; nil: it claims nothing of that kind.
    func disbelieved(_ service: String) -> String? { losses.disbelieved[service] }

    /// Policy has cosigned a longer ledger than this, or another one: entries were lost, whatever its epoch says.
    func outrun(by checkpoint: (size: UInt64, text: String)) {
        // Said before two operators gave that history up, and heard after.
        guard losses.abandoned == nil, !governance.abandoned.contains(Array(checkpoint.text.utf8)) else { return }
        governance.seal(
            "policy has cosigned \(checkpoint.size) entries of this ledger, which has \(durable) or others: entries were lost. 'sluice resume --unseal' by two operators opens again")
        losses.outrun(Array(checkpoint.text.utf8), at: governance.gate.epoch)
        pushNarrower(governance.gate)
    }

    /// After a restart: opens when policy has been heard, and ingest too, or every lease has ended that it could know a pause by.
    private func openAfterRestart(at now: Instant) {
        guard restarted, losses.epoch == nil, policyHeard, ingestHeard || now >= leases.unknownUntil else { return }
        restarted = false
        governance.unseal(atLeast: governance.gate.epoch)
        nudge()
    }

    private var losses = Losses()
    /// Something is lost: nothing is granted.
    var hasLost: Bool { losses.epoch != nil }

    // MARK: Commands

    /// A command, or an approval, as it came in: who signed what, and where the answer goes.
    private struct Order {
        let wire: WireSignedCommand
        let verified: VerifiedCommand
        /// Whose session brought it.
        let session: String
        let route: Route
        let now: Instant
        let wall: WallTime
        var author: String { verified.author.name }
        var id: Data { Data(verified.statement.nonce) }
    }

    /// Takes a command: what narrows acts at once; what widens becomes a proposal.
    ///
    /// Sent again as it is, by the same operator's tools, it is answered again and not done again.
    func perform(_ wire: WireSignedCommand, in session: String, from route: Route, at now: Instant, wall exact: WallTime) throws(Refused) {
        // As the ledger will have it: what is judged by a finer time here would be judged otherwise there.
        let wall = WallTime(microseconds: exact.microseconds)
        guard let key = KeyID([UInt8](wire.key)) else { throw Refused(.malformed, "a command has the id of the key that signed it, 32 bytes") }
        let signed = SignedCommand(bytes: [UInt8](wire.statement), signature: [UInt8](wire.signature), key: key)
        let isApproval = wire.statement.starts(with: Array((Statement.Purpose.approval.rawValue + "\n").utf8))
        let verified: VerifiedCommand
        do throws(CommandRefused) { verified = try signed.verified(as: isApproval ? .approval : .command, by: known) } catch { throw Refused(error) }
        // What is not durable yet counts as well: a key that is being taken away commands no more, and approves nothing under its holder's new one.
        guard planned.operators[verified.author.name] == verified.author else { throw Refused(CommandRefused.revokedKey(of: verified.author.name)) }
        let order = Order(wire: wire, verified: verified, session: session, route: route, now: now, wall: wall)
        if let done = outcomes[verified.hash] {
            guard done.session == session else { throw Refused(CommandRefused.replayed) }
            answer(route, done.outcome)
            if done.outcome.hasClosure { stops.follow(Epoch(done.outcome.epoch), route, wall) }
            return
        }
        // Sent again while the disk is at work: done once, answered where it was asked last.
        if let waiting = underWay[verified.hash] {
            guard waiting.session == session else { throw Refused(CommandRefused.replayed) }
            underWay[verified.hash]?.route = route
            underWay[verified.hash]?.isTold = false
            return
        }
        if isApproval { return try approve(order) }
        guard let command = (try? WireCommand(serializedBytes: verified.statement.body))?.value else {
            throw Refused(.invalid, "this command is not known here, or is not whole; control may be older than the sender")
        }
        let deeds = try planning.deeds(of: command, by: order.author, at: wall)
        let consequence = planning.consequence(of: deeds, by: order.author, at: wall)
        try admit(order, narrows: consequence.narrows)
        // Only for what is recorded, and when nothing can refuse it any more: whoever reads the ledger sees no other, and must remember the same.
        switch consequence {
        case .narrows:
            if !deeds.isEmpty { seen.remember(verified, at: wall) }
            act(command, deeds, order)
        case .allowed: actAlone(deeds, order)
        case .widens: try propose(command, order)
        }
    }

    /// Who goes by this key and is no agent.
    func holderBesideAgents(of key: [UInt8]) -> String? { planning.holderBesideAgents(of: key) }

    /// What an unsealing would give up now.
    var claimed: Losses.Claimed? { losses.claimed }

    var planning: Planning {
        Planning(planned: planned, inForce: governance, index: index, issued: pendingEpoch, losses: losses, readsInTrouble: readsInTrouble, trusted: trusted, compare: compare, reading: reading,
            signing: signing())
    }

    private func admit(_ order: Order, narrows: Bool) throws(Refused) {
        let ledger = VerifiedCommand.Ledger(origin: planned.beginning?.origin ?? "", current: planned.powersIndex...max(index, planned.powersIndex))
        do throws(CommandRefused) { try order.verified.admit(to: ledger, at: order.wall, seen: seen, narrows: narrows) } catch { throw Refused(error) }
        if let journalTrouble, !narrows {
            throw Refused(.journalFull, "nothing widens while the ledger cannot be written: \(journalTrouble); free disk space")
        }
    }

    /// Carries out what narrows, at once. A pause is answered at once as well: its certificate says what is durable. All else is answered when it is.
    private func act(_ command: Command, _ deeds: [Entry.Deed], _ order: Order) {
        var outcome = WireOutcome()
        outcome.epoch = governance.gate.epoch.number
        let pending = undurable.count
        switch (command, deeds.first) {
        case (.leak(let dataClass, _, _), .paused(let closure)?): return begin(closure, dataClass: dataClass, isLeak: true, order)
        case (_, .paused(let closure)?): return begin(closure, dataClass: "", isLeak: false, order)
        case (.remove, .removed(let ordinals)?):
            outcome.nodes = ordinals.compactMap { planned.nodes[$0] }.map { WireNode($0) }
            narrow(.removed(ordinals), order.author, order.wall, order.wire)
        case (.drill, .drillBegan(let drill)?):
            narrow(.drillBegan(drill), order.author, order.wall, order.wire)
            drills.began(drill, asker: order.route, at: order.now)
            outcome.drill = drill.number
        case (.register(let nodes), nil): outcome.nodes = nodes.compactMap { planned.node(named: $0.name) }.map { WireNode($0) }
        default:
            for deed in deeds { narrow(deed, order.author, order.wall, order.wire) }
            if case .withdraw(let number) = command { outcome.proposal = proposal(number, at: order.wall) }
        }
        if undurable.count > pending, let withdrawn { pushWithdrawn(withdrawn) }
        flush()
        outcome.entry = index
        // What it found done already may itself be on its way.
        let last = index
        guard last > durable else { return finish(order.verified.hash, order.session, outcome, order.id, order.route) }
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: "\(command.done), by \(order.author)", since: order.now)
        answersDue[last, default: []].append { [self] in finish(order.verified.hash, order.session, outcome, order.id, order.route) }
    }

    /// Carries out what the document in force lets one operator say. Durable first: nothing calls back what has begun.
    private func actAlone(_ deeds: [Entry.Deed], _ order: Order) {
        seen.remember(order.verified, at: order.wall)
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: nil, since: order.now)
        let first = index + 1
        widen(deeds.map { ($0, nil) }, order.author, order.wall, order.wire) { [self] in
            nudge()
            var outcome = WireOutcome()
            outcome.epoch = governance.gate.epoch.number
            outcome.entry = first
            finish(order.verified.hash, order.session, outcome, order.id, order.route)
        }
    }

    private func begin(_ closure: Closure, dataClass: String, isLeak: Bool, _ order: Order) {
        issue(closure.epoch)
        let now = order.now
        narrow(.paused(closure), order.author, order.wall, order.wire)
        let entry = index
        // Pushed before anything is written, and before anything is counted that grows with the agents: neither a disk that is full, or
        // slow, nor ten thousand names delay anybody's stop. No answer can come in before this call returns.
        FaultPoint.pass("after-closure-before-push")
        pushNarrower(governance.gate)
        flush()
        stops.begin(closure, entry: entry, agents: agents(in: closure), asker: order.route, at: now)
        narrow(
            .incidentOpened(number: closure.incident, title: closure.reason, closure: closure.epoch, dataClass: dataClass, isLeak: isLeak), order.author,
            order.wall)
        flush()
        var outcome = WireOutcome()
        outcome.epoch = closure.epoch.number
        outcome.incident = closure.incident
        outcome.closure = WireClosure(closure)
        finish(order.verified.hash, order.session, outcome, order.id, order.route)
    }

    // MARK: Findings

    /// Takes what a detector of policy's has noticed: it closes what the finding names and opens an incident, or joins the one that has closed as much.
    ///
    /// It takes one to close, and that may be a machine. Sent again it is answered again and not taken again.
    func take(_ finding: Finding, from route: Route, at now: Instant, wall exact: WallTime) {
        let wall = WallTime(microseconds: exact.microseconds)
        if let known = planned.found[finding.id] {
            // Until it is durable nothing is answered, however often it is sent again.
            if known.entry <= durable { answerFinding(finding, known.incident, known.entry, route) }
            return
        }
        if finding.detector == Drill.detector { return take(drilled: finding, from: route, at: now, wall: wall) }
        var finding = finding
        // A closure for each of thousands would fill every grant.
        if planned.gate.closures.count(where: { $0.author.hasPrefix("detector ") }) >= Authority.detectedMax { finding.selector = .everything }
        // Rules of other systems are not checked against what there is: what names nothing that anybody knows would stop nothing, and look like a stop.
        if finding.detector == LeakDetector.report.rawValue, !planning.knows(finding.selector) { finding.selector = .everything }
        if let number = planned.incident(of: finding) {
            // Thousands of one cause say no more than some; what is closed stays closed.
            if planned.incidents[number].map({ $0.findings >= Authority.findingsMax }) ?? false {
                findingsCounted += 1
                return answerFinding(finding, number, durable, route)
            }
            narrow(.found(finding, incident: number, closes: nil), finding.author, wall)
            let entry = index
            flush()
            return answerFinding(finding, number, entry, route)
        }
        let closure = finding.closure(planned.nextEpoch(after: pendingEpoch), incident: planned.nextIncident, from: wall)
        issue(closure.epoch)
        narrow(.found(finding, incident: closure.incident, closes: closure), finding.author, wall)
        let entry = index
        FaultPoint.pass("after-closure-before-push")
        pushNarrower(governance.gate)
        flush()
        stops.begin(closure, entry: entry, agents: agents(in: closure), asker: nil, at: now)
        answerFinding(finding, closure.incident, entry, route)
    }

    /// Policy has found what a drill is about. What it finds of none is answered and closes nothing: it is about nobody.
    private func take(drilled finding: Finding, from route: Route, at now: Instant, wall: WallTime) {
        guard let drill = planned.drillUnderWay, drill.finding == nil, finding.selector == drill.selector, finding.direction == .both else { return answerFinding(finding, 0, durable, route) }
        let closure = finding.closure(planned.nextEpoch(after: pendingEpoch), incident: 0, from: wall)
        issue(closure.epoch)
        narrow(.found(finding, incident: 0, closes: closure), finding.author, wall)
        let entry = index
        pushNarrower(governance.gate)
        flush()
        stops.begin(closure, entry: entry, agents: agents(in: closure), asker: nil, at: now)
        drills.closed(at: now)
        answerFinding(finding, 0, entry, route)
    }

    /// Ends a drill that is over: durable first, since what it closed is lifted. One that has missed a bound is an incident.
    private func endDrill(at now: Instant, wall exact: WallTime) {
        guard let drill = planned.drillUnderWay, journalTrouble == nil, governance.gate.seal == nil else { return }
        let wall = WallTime(microseconds: exact.microseconds)
        guard case .over(let outcome) = drills.ending(of: drill, agents: planned.plantedAgents(at: drill.sites), foundUs: drill.closure?.from.microseconds ?? 0, at: now) else { return }
        let isClosed = planned.gate.closures.contains { $0.epoch == drill.closure?.epoch }
        let epoch = isClosed ? planned.nextEpoch(after: pendingEpoch) : .none
        if isClosed { issue(epoch) }
        var deeds: [(Entry.Deed, UInt64?)] = [(.drillEnded(number: drill.number, to: epoch, outcome), nil)]
        if !outcome.missed.isEmpty {
            let title = "drill \(drill.number) at \(drill.sites.sorted().joined(separator: ", ")) missed its bounds: \(outcome.missed.joined(separator: "; "))"
            deeds.append((.incidentOpened(number: planned.nextIncident, title: title, closure: .none, dataClass: "", isLeak: false), nil))
        }
        widen(deeds, "control", wall) { [self] in nudge() }
    }

    /// Notify has said what it has told of drills.
    func heard(notify gauges: [String: Int64]) { drills.heard(notify: gauges) }

    /// Closures of detectors in force; what is found beside them closes everything.
    static let detectedMax = 100
    /// Of one incident. More are answered and only counted.
    static let findingsMax: UInt64 = 200
    private(set) var findingsCounted: UInt64 = 0

    /// When it is durable: until then whoever noticed it keeps closed what it has closed.
    private func answerFinding(_ finding: Finding, _ incident: UInt64, _ entry: UInt64, _ route: Route) {
        var outcome = WireOutcome()
        outcome.id = Data(finding.id)
        outcome.incident = incident
        outcome.entry = entry
        let send = { [self] in
            outcome.epoch = governance.gate.epoch.number
            answer(route, outcome)
        }
        if entry > durable { answersDue[entry, default: []].append(send) } else { send() }
    }

    /// Whose capture it stops, by name.
    func agents(in closure: Closure) -> Set<String> {
        guard closure.stopsCapture else { return [] }
        return Set(governance.nodes.values.lazy.filter { $0.role == .agent && closure.selector.matches($0.scope) }.map(\.name))
    }

    private func issue(_ epoch: Epoch) {
        pendingEpoch = epoch
        issuedEpoch = epoch
        reserve(epoch)
    }

    // MARK: Joining

    /// Registers a machine that an enrolment invites: two operators have agreed to it, so it takes no more signatures. Durable first.
    func register(_ node: Node, by enrolment: UInt64, wall: WallTime, done: @escaping () -> Void) {
        widen([(.registered([node], enrolment: enrolment), nil)], "control", wall) { [self] in
            done()
            nudge()
        }
    }

    // MARK: Two persons

    private func propose(_ command: Command, _ order: Order) throws(Refused) {
        var trial = planned.proposals
        let made: Proposal
        do throws(ProposalRefused) {
            made = try trial.propose(order.verified.hash, by: order.author, of: planned.operators, at: order.wall, until: order.wall + Authority.proposalOpen)
        } catch { throw Refused(error) }
        let kept = statements.values.reduce(0) { $0 + $1.statement.count }
        guard kept + order.wire.statement.count <= Authority.statementBytesMax else {
            throw Refused(.notApproved, "what waits for a second person has \(kept) bytes already: approve or withdraw some ('sluice proposals')")
        }
        seen.remember(order.verified, at: order.wall)
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: nil, since: order.now)
        widen([(.proposed(number: made.number, made.hash, until: made.until, command), nil)], order.author, order.wall, order.wire) { [self] in
            var outcome = WireOutcome()
            outcome.epoch = governance.gate.epoch.number
            outcome.proposal = proposal(made.number, at: order.wall)
            finish(order.verified.hash, order.session, outcome, order.id, order.route)
        }
    }

    private func approve(_ order: Order) throws(Refused) {
        guard let approved = try? ApprovedProposal(parsing: order.verified.statement.body) else {
            throw Refused(.malformed, "an approval names a proposal and its hash: SPEC.md, section 14")
        }
        try admit(order, narrows: false)
        var trial = planned.proposals
        let missing: Int
        do throws(ApprovalRefused) {
            missing = try trial.approve(approved.number, approved.hash, by: order.author, of: planned.operators, at: order.wall)
        } catch { throw Refused(error) }
        var deeds: [(Entry.Deed, UInt64?)] = [(.approved(number: approved.number), nil)]
        if missing == 0 {
            guard let command = planned.proposed[approved.number], let proposer = trial.all[approved.number]?.proposer.name else {
                throw Refused(.notFound, "what proposal \(approved.number) asked for is not there any more")
            }
            // Judged anew: what was right when it was proposed may not be any more.
            for deed in try planning.deeds(of: command, by: proposer, at: order.wall) { deeds.append((deed, approved.number)) }
            // Approved and never carried out, it could be carried out at any later time.
            guard deeds.count > 1 else { throw Refused(.notFound, "there is nothing left to do of proposal \(approved.number): withdraw it") }
        }
        seen.remember(order.verified, at: order.wall)
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: nil, since: order.now)
        let lifted = lifted(by: deeds.map(\.0))
        // Who claims something after this was decided about by nobody.
        let claimants = losses.claimants
        for (deed, _) in deeds {
            switch deed {
            case .resumed(let epoch, _, _), .unsealed(let epoch, _, _, _): issue(epoch)
            default: break
            }
        }
        let first = index + 1
        widen(deeds, order.author, order.wall, order.wire) { [self] in
            var outcome = WireOutcome()
            for (deed, _) in deeds {
                switch deed {
                case .registered(let nodes, _): outcome.nodes += nodes.map { WireNode($0) }
                case .unsealed:
                    losses.settle(claimants)
                    restarted = false
                default: break
                }
            }
            if deeds.count > 1 { nudge() }
            outcome.epoch = governance.gate.epoch.number
            outcome.lifted = lifted.map { WireClosure($0) }
            outcome.proposal = proposal(approved.number, at: order.wall)
            outcome.entry = first
            finish(order.verified.hash, order.session, outcome, order.id, order.route)
        }
    }

    private func lifted(by deeds: [Entry.Deed]) -> [Closure] {
        let epochs = deeds.reduce(into: Set<Epoch>()) { if case .resumed(_, let closures, _) = $1 { $0.formUnion(closures) } }
        return planned.gate.closures.filter { epochs.contains($0.epoch) }
    }

    /// Of all that is open: nobody can be shown more, and control keeps it in memory.
    static let statementBytesMax = 16 << 20
    /// A day for the second person.
    static let proposalOpen = Span.seconds(24 * 3_600)

    /// A proposal as it stands, with what it would allow.
    func proposal(_ number: UInt64, at wall: WallTime) -> WireProposal {
        var wire = WireProposal()
        guard let proposal = planned.proposals.all[number] else { return wire }
        wire.proposal = number
        wire.hash = Data(proposal.hash.bytes)
        wire.proposer = proposal.proposer.name
        wire.atUs = proposal.at.microseconds
        wire.untilUs = proposal.until.microseconds
        wire.needed = UInt32(proposal.needed)
        wire.approvedBy = proposal.approvers.map(\.name)
        wire.signed = statements[number] ?? WireSignedCommand()
        switch proposal.state {
        case .open:
            wire.state = wall < proposal.until ? "open" : "expired"
            if let command = planned.proposed[number], let deeds = try? planning.deeds(of: command, by: proposal.proposer.name, at: wall) {
                let gains = planning.consequence(of: deeds, by: proposal.proposer.name, at: wall).gains
                wire.gains = gains.prefix(100).map(\.line)
                if gains.count > 100 { wire.gains.append("and \(gains.count - 100) more") }
            }
        case .applied(_, let at):
            wire.state = "applied"
            wire.endedUs = at.microseconds
        case .expired:
            wire.state = "expired"
            wire.endedUs = proposal.until.microseconds
        case .withdrawn(let by):
            wire.state = "withdrawn"
            wire.withdrawnBy = by
        }
        return wire
    }

    private func finish(_ hash: ProposalHash, _ session: String, _ outcome: WireOutcome, _ id: Data, _ route: Route) {
        var outcome = outcome
        outcome.id = id
        if outcome.entry == 0 { outcome.entry = index }
        let route = underWay.removeValue(forKey: hash)?.route ?? route
        outcomes[hash] = (outcome, session)
        outcomeOrder.append(hash)
        if outcomeOrder.count > Authority.outcomesMax { outcomes[outcomeOrder.removeFirst()] = nil }
        answer(route, outcome)
    }

    // MARK: The ledger

    private var unflushed: [(Entry, WireSignedCommand?)] = []

    /// In force at once; recorded by ``flush()``.
    private func narrow(_ deed: Entry.Deed, _ author: String, _ wall: WallTime, _ signed: WireSignedCommand? = nil) {
        index += 1
        let entry = Entry(index: index, at: wall, author: author, deed: deed)
        apply(entry)
        planned.apply(entry)
        unflushed.append((entry, signed))
        if deed.isPushed { undurable.append(entry) }
    }

    /// Entries that take something away, until they are durable.
    private var undurable: [Entry] = []

    /// What was taken away and stands in no entry that a follower could have: they are told with each grant, or one that starts while the disk is full
    /// would let in who was removed. Nil: nothing.
    var withdrawn: WireNarrow? {
        guard !undurable.isEmpty else { return nil }
        var body = WireNarrow()
        // Of documents the newest that fit: each takes away from the one before it, and all of them would be more than a message.
        var room = Limits.entryBytesMax / 2
        let told = undurable.reversed().filter { entry in
            guard case .policyApplied(let document, _) = entry.deed else { return true }
            room -= document.count
            return room >= 0
        }
        for entry in told.reversed() {
            switch entry.deed {
            case .removed(let ordinals): body.removed += ordinals
            case .operatorsChanged(let removed, _): body.removedOperators += removed
            case .serviceKeyRetired(let key, _): body.retiredKeys.append(Data(key))
            default: body.narrowed.append(WireEntry(entry))
            }
        }
        return body
    }

    private func flush() {
        if !unflushed.isEmpty { append(unflushed) }
        unflushed = []
    }

    /// Recorded now, in force when it is durable. What was signed stands in the first entry.
    private func widen(
        _ deeds: [(Entry.Deed, proposal: UInt64?)], _ author: String, _ wall: WallTime, _ signed: WireSignedCommand? = nil, done: @escaping () -> Void
    ) {
        var made: [(Entry, WireSignedCommand?)] = []
        for (number, (deed, proposal)) in deeds.enumerated() {
            index += 1
            let entry = Entry(index: index, at: wall, author: author, proposal: proposal, deed: deed)
            planned.apply(entry)
            if case .proposed(let proposed, _, _, _) = deed, let signed { statements[proposed] = signed }
            widenings[index] = (entry, number == deeds.count - 1 ? done : {})
            made.append((entry, number == 0 ? signed : nil))
        }
        // In one transaction: an approval without what it approved could be carried out by nobody, or by anybody.
        append(made)
        statements = statements.filter { planned.proposals.all[$0.key]?.isOpen ?? false }
    }

    private func apply(_ entry: Entry) {
        governance.apply(entry)
        switch entry.deed {
        case .readsRestored: readsRestored()
        case .ledgerKeyAnnounced, .ledgerKeyRetired: ledgerKeysChanged()
        case .operatorsChanged:
            known = KnownOperators(governance.operators)
            operatorsChanged()
        case .serviceKeyAnnounced, .serviceKeyRetired: operatorsChanged()
        default: break
        }
    }

    /// What narrowed while something that widens waited for the disk was applied before it, and must not be undone by it: an agent that was removed
    /// before its registration was durable stays removed.
    private func catchUp() {
        let (seal, commanded, keys, ledgers) = (governance.gate.seal, governance.operators, governance.serviceKeys, governance.ledgerKeys)
        governance = planned
        if let seal { governance.seal(seal) }
        if governance.ledgerKeys != ledgers { ledgerKeysChanged() }
        guard governance.operators != commanded || governance.serviceKeys != keys else { return }
        known = KnownOperators(governance.operators)
        operatorsChanged()
    }

    func becameDurable(_ upTo: UInt64) {
        journalTrouble = nil
        let before = durable
        durable = upTo
        undurable.removeAll { $0.index <= upTo }
        // Before anybody is told that there is more to have: what a grant rests on is sent before it.
        becameReadable()
        for index in stride(from: before + 1, through: upTo, by: 1) {
            if let (entry, done) = widenings.removeValue(forKey: index) {
                apply(entry)
                if widenings.isEmpty { catchUp() }
                done()
            }
            for answer in answersDue.removeValue(forKey: index) ?? [] { answer() }
        }
        stops.becameDurable(upTo)
    }

    func journalIsFull(_ why: String) {
        journalTrouble = why
        stops.cannotRecord()
        for hash in underWay.keys { tellUndurable(hash, "the ledger cannot be written: \(why); free disk space") }
    }

    private func tellUndurable(_ hash: ProposalHash, _ why: String) {
        guard let waiting = underWay[hash], !waiting.isTold else { return }
        underWay[hash]?.isTold = true
        let text =
            if let acts = waiting.acts {
                "\(acts): IN FORCE, BUT NOT DURABLE: \(why). It is written by itself as soon as that is possible, and stands in 'sluice status' as pending until then. If control ends before, it is forgotten: look, and say it again"
            } else {
                "decided, but not in force: \(why). It takes effect as soon as it is written"
            }
        refuse(waiting.route, .journalFull, text)
    }

    // MARK: Stops

    func reported(by ingest: String, epoch: Epoch, leased: [UInt32]) { stops.reported(by: ingest, epoch: epoch, leased: names(leased)) }

    func stopped(agents: [UInt32], epoch: Epoch, at now: Instant) { stops.stopped(agents: names(agents), epoch: epoch, at: now) }

    private func names(_ ordinals: [UInt32]) -> [String] { ordinals.compactMap { governance.nodes[$0]?.name } }

    /// Lets time pass, and closes what is complete.
    func advance(at now: Instant, wall: WallTime) {
        openAfterRestart(at: now)
        if !underWay.isEmpty {
            for (hash, waiting) in underWay where now - waiting.since > Limits.durableWithin {
                tellUndurable(hash, "the disk has not confirmed it within \(Limits.durableWithin.milliseconds / 1_000) s")
            }
        }
        for stopping in stops.advance(at: now, wall: wall) { certify(stopping, at: now, wall: wall) }
        endDrill(at: now, wall: wall)
    }

    private func certify(_ stopping: Stopping, at now: Instant, wall: WallTime) {
        let certificate = stopping.tracker.certificate(issued: wall)
        narrow(.certified(certificate), "control", wall)
        let entry = index
        let incident = certificate.closure.incident
        if certificate.epoch == planned.drillUnderWay?.closure?.epoch { drills.certified(certificate) }
        if governance.incidents[incident]?.state == .open { narrow(.incidentMoved(number: incident, to: .contained), "control", wall) }
        flush()
        stops.certified(certificate, of: stopping, entry: entry, at: now)
    }
}

extension Entry.Deed {
    /// Whether services hear of it before it is recorded. What cannot be taken back, as an erasure or the end of a hold, is carried out when it is.
    fileprivate var isPushed: Bool {
        switch self {
        case .removed, .operatorsChanged, .serviceKeyRetired, .policyApplied, .recordsChanged, .erased: true
        default: false
        }
    }
}
