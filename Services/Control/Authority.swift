import Chassis
import Foundation
import Gate
import Identity
import Messaging
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
    private var known: KnownOperators
    private var seen: SeenNonces
    /// What was signed for each proposal.
    private var statements: [UInt64: WireSignedCommand]
    private(set) var stoppings: [Epoch: Stopping] = [:]
    private(set) var durable: UInt64
    /// Why the journal cannot be written; nil: it can.
    private(set) var journalTrouble: String?
    var leases: LeaseGrantor<String>
    let lease: Span

    /// New entries that are to be made durable together, and what was signed for each.
    var append: ([(Entry, WireSignedCommand?)]) -> Void = { _ in }
    /// Who commands has changed: others may connect.
    var operatorsChanged: () -> Void = {}
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
    /// Policy's ledger is not believed: what was cosigned of it, and what is offered in its place.
    var readsInTrouble: (abandons: String, adopts: String)?
    /// Two operators have said which of them counts.
    var readsRestored: () -> Void = {}

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
    private(set) var recentCertificates: [Epoch: WireCertificate] = [:]
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
    static let certificatesMax = 16

    /// - Parameters:
    ///   - statements: what was signed for the proposals that stand in `fold`.
    ///   - floor: No epoch up to this one is given again: an earlier run may have, without a trace.
    init(_ fold: GovernanceFold, statements: [UInt64: WireSignedCommand], floor: Epoch, lease: Span, at now: Instant) {
        governance = fold.governance
        planned = fold.governance
        known = fold.known
        seen = fold.seen
        self.statements = statements
        pendingEpoch = max(governance.gate.epoch, floor)
        self.lease = lease
        index = fold.size
        durable = fold.size
        leases = LeaseGrantor(lease: lease, startedAt: now)
        governance.seal("control has restarted and waits for policy, which knows the latest epoch")
    }

    var entriesWaiting: UInt64 { index - durable }

    // MARK: What peers know

    /// A service has said which epoch it knows. After a restart policy must be heard before anything opens; who knows
    /// a later epoch than the journal proves that the journal has lost something.
    ///
    /// Epochs alone do not tell: a later pause may have hidden one that was lost. So peers name the closures that they hold.
    /// Indexes tell the rest: who has entries that are not here proves that the ledger was put back.
    func heard(_ service: String, epoch claimed: Epoch, entries: UInt64, closures: [UInt64], releases: Bool, at now: Instant) {
        // Who claims the last epoch that there is leaves none to go on with: so nobody is believed beyond half of what the journal can hold.
        let epoch = min(claimed, Authority.believedMax)
        let epochs = Set(governance.gate.closures.map(\.epoch) + governance.lifted.map(\.epoch))
        let lost = closures.map { Epoch($0) }.filter { !epochs.contains($0) && !planned.dropped.contains($0) }.max()
        if lost != nil || epoch > max(governance.gate.epoch, issuedEpoch) || entries > durable {
            let what =
                lost.map { "closure \($0.number), which the ledger does not hold" }
                ?? (entries > durable ? "entry \(entries), the ledger only \(durable)" : "epoch \(epoch.number), the ledger only \(governance.gate.epoch.number)")
            governance.seal("\(service) knows \(what): entries were lost. 'sluice resume --unseal' by two operators opens again")
            pendingEpoch = max(pendingEpoch, epoch)
            lostEpoch = max(lostEpoch ?? epoch, epoch)
            // One peer must not make an entry that is too long to be sent.
            if let lost, lostClosures.count < Authority.lostClosuresMax { lostClosures.insert(lost) }
            pushNarrower(governance.gate)
            return
        }
        if releases { policyHeard = true }
        if service.hasPrefix("ingest") { ingestHeard = true }
        openAfterRestart(at: now)
    }

    /// Policy has cosigned a longer ledger than this, or another one: entries were lost, whatever its epoch says.
    func outrun(by checkpoint: (size: UInt64, text: String)) {
        // Said before two operators gave that history up, and heard after.
        guard abandoned == nil, !governance.abandoned.contains(Array(checkpoint.text.utf8)) else { return }
        governance.seal(
            "policy has cosigned \(checkpoint.size) entries of this ledger, which has \(durable) or others: entries were lost. 'sluice resume --unseal' by two operators opens again")
        abandoned = Array(checkpoint.text.utf8)
        lostEpoch = max(lostEpoch ?? .none, governance.gate.epoch)
        pushNarrower(governance.gate)
    }

    /// What policy has cosigned of a history that this ledger does not continue, as its text.
    private var abandoned: [UInt8]?

    private static let lostClosuresMax = 1_000
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
            return follow(done.outcome, route, wall)
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
        let deeds = try plan(command, order.author, wall)
        let consequence = consequence(of: deeds, by: order.author, wall)
        try admit(order, narrows: consequence.narrows)
        // Only for what is recorded: whoever reads the ledger sees no other.
        if !deeds.isEmpty { seen.remember(verified, at: wall) }
        if consequence.narrows { act(command, deeds, order) } else { try propose(command, order) }
    }

    private func admit(_ order: Order, narrows: Bool) throws(Refused) {
        let ledger = VerifiedCommand.Ledger(origin: planned.beginning?.origin ?? "", current: planned.powersIndex...max(index, planned.powersIndex))
        do throws(CommandRefused) { try order.verified.admit(to: ledger, at: order.wall, seen: seen, narrows: narrows) } catch { throw Refused(error) }
        if let journalTrouble, !narrows {
            throw Refused(.journalFull, "nothing widens while the ledger cannot be written: \(journalTrouble); free disk space")
        }
    }

    /// Which side a command is on: the state before it is compared with the state after it.
    private func consequence(of deeds: [Entry.Deed], by author: String, _ wall: WallTime) -> Powers.Consequence {
        var after = planned
        for (number, deed) in deeds.enumerated() { after.apply(Entry(index: index + 1 + UInt64(number), at: wall, author: author, deed: deed)) }
        let consequence = Powers(planned).consequence(of: Powers(after))
        // The seal that an unsealing lifts is this run's, and stands in no entry.
        guard deeds.contains(where: \.alwaysTakesTwo) else { return consequence }
        let isUnsealing = deeds.contains { if case .unsealed = $0 { true } else { false } }
        if case .widens(let gains) = consequence { return .widens((isUnsealing ? [.unseals] : []) + gains) }
        return .widens(isUnsealing ? [.unseals] : [])
    }

    /// What would be recorded if the command were carried out now. Changes nothing.
    private func plan(_ command: Command, _ author: String, _ wall: WallTime) throws(Refused) -> [Entry.Deed] {
        switch command {
        case .pause(let selector, let direction, let reason):
            try Authority.check(reason: reason)
            try check(selector)
            return [.paused(closure(selector, direction, reason, author, wall))]
        case .leak(let dataClass, let reason, let source):
            try Authority.check(reason: reason)
            guard source.utf8.count <= Limits.nameBytesMax else {
                throw Refused(.invalid, "the source of a leak has at most \(Limits.nameBytesMax) bytes")
            }
            let selector = Selector(classes: dataClass.isEmpty ? [] : [DataClass(dataClass)])
            try check(selector)
            let title = source.isEmpty || source == "operator" ? reason : "\(reason) (noticed by \(source))"
            return [.paused(closure(selector, .both, title, author, wall))]
        case .resume(let closures, let reason, let unseal): return try planResume(closures, reason, unseal)
        case .register(let nodes): return try planRegistration(nodes)
        case .remove(let names):
            let gone = names.compactMap { planned.node(named: $0)?.ordinal }
            return gone.isEmpty ? [] : [.removed(gone)]
        case .closeIncident(let number):
            guard let incident = planned.incidents[number] else { throw Refused(.notFound, "there is no incident \(number)") }
            guard !planned.gate.closures.contains(where: { $0.epoch == incident.closure }) else {
                throw Refused(.invalid, "incident \(number) has closure \(incident.closure.number) in force: resume it first")
            }
            return incident.state == .closed ? [] : [.incidentMoved(number: number, to: .closed)]
        case .changeOperators(let removing, let adding):
            guard !removing.isEmpty || !adding.isEmpty else { throw Refused(.invalid, "name an operator to add or to remove") }
            for new in adding {
                do throws(PublicKeyError) { _ = try OperatorPublicKey(raw: new.key) } catch { throw Refused(.invalid, "the key of \(new.name) \(error)") }
            }
            var trial = planned.operators
            do throws(OperatorsRefused) { try trial.change(removing: Set(removing), adding: adding) } catch { throw Refused(error) }
            return [.operatorsChanged(removed: removing, added: adding)]
        case .announceVaultKey(let key):
            return key == planned.vaultKey ? [] : [.vaultKeyAnnounced(key)]
        case .enrol(let asked, let seconds):
            guard [asked.scope.site, asked.scope.team, asked.name].allSatisfy({ $0.utf8.count <= Limits.nameBytesMax }),
                (1...Limits.nameBytesMax).contains(asked.scope.subject.utf8.count), (1...86_400).contains(seconds)
            else { throw Refused(.invalid, "an enrolment has a subject, perhaps a site, a team and a name, of at most \(Limits.nameBytesMax) bytes each, and is good for at most a day") }
            var enrolment = asked
            enrolment.number = planned.nextEnrolment
            enrolment.until = wall + .seconds(Int64(seconds))
            return [.enrolmentOpened(enrolment)]
        case .restoreReads(let abandons, let adopts, let reason):
            try Authority.check(reason: reason)
            guard let held = readsInTrouble, Array(held.abandons.utf8) == abandons, Array(held.adopts.utf8) == adopts else {
                throw Refused(.notFound, "policy's ledger is not in trouble, or by other checkpoints than these: 'sluice status' shows it")
            }
            if planned.readsRestored[abandons] == adopts { return [] }
            return [.readsRestored(abandons: abandons, adopts: adopts, reason: reason)]
        case .withdraw(let number):
            var trial = planned.proposals
            do throws(ApprovalRefused) { try trial.withdraw(number, by: author, of: planned.operators, at: wall) } catch { throw Refused(error) }
            return [.withdrawn(number: number)]
        }
    }

    private func closure(_ selector: Selector, _ direction: Direction, _ title: String, _ author: String, _ wall: WallTime) -> Closure {
        Closure(
            epoch: planned.nextEpoch(after: pendingEpoch), direction: direction, selector: selector, reason: title, author: author,
            incident: planned.nextIncident, from: wall)
    }

    private func planResume(_ asked: [Epoch], _ reason: String, _ unseal: Bool) throws(Refused) -> [Entry.Deed] {
        try Authority.check(reason: reason)
        if governance.gate.seal != nil {
            guard unseal else { throw Refused(.sealed, governance.gate.seal ?? "") }
            guard lostEpoch != nil else {
                throw Refused(.sealed, "policy has not been heard since control started: start it, it opens by itself")
            }
        }
        let inForce = Set(planned.gate.closures.map(\.epoch))
        if let unknown = Set(asked).subtracting(inForce).min() {
            let list = inForce.map { "\($0.number)" }.sorted().joined(separator: ", ")
            throw Refused(.notFound, "no closure \(unknown.number) is in force\(list.isEmpty ? "; none is" : "; in force: \(list)")")
        }
        let unseals = unseal && lostEpoch != nil
        guard !asked.isEmpty || unseals else { throw Refused(.notFound, inForce.isEmpty ? "nothing is closed" : "name the closures to lift: who approves must see which") }
        var deeds: [Entry.Deed] = []
        var epoch = planned.nextEpoch(after: pendingEpoch)
        if unseals {
            deeds.append(.unsealed(epoch, dropped: lostClosures.sorted(), reason: reason, abandons: abandoned ?? []))
            epoch = epoch.next
        }
        if !asked.isEmpty { deeds.append(.resumed(to: epoch, closures: Set(asked).sorted(), reason: reason)) }
        return deeds
    }

    /// Those that are not registered as they are.
    private func planRegistration(_ asked: [Node]) throws(Refused) -> [Entry.Deed] {
        guard !asked.isEmpty, asked.count <= Limits.nodesPerEntryMax else {
            throw Refused(.invalid, "1 to \(Limits.nodesPerEntryMax) nodes are registered at once, not \(asked.count)")
        }
        var added: [Node] = []
        var keyHolders = Dictionary(planned.nodes.values.map { ($0.key, $0.name) }) { first, _ in first }
        var ordinal = planned.nextOrdinal
        for var node in asked {
            guard node.role == .agent, !node.name.isEmpty, !node.scope.subject.isEmpty,
                [node.name, node.scope.subject, node.scope.site, node.scope.team].allSatisfy({ $0.utf8.count <= Limits.nameBytesMax })
            else {
                throw Refused(
                    .invalid, "an agent has a name, a subject, perhaps a site and a team, of at most \(Limits.nameBytesMax) bytes each, and a key of 32")
            }
            guard !planned.revokedKeys.contains(node.key) else {
                throw Refused(.revokedKey, "the key of '\(node.name)' was taken away with an agent: it never comes back, make a new one")
            }
            if let holder = keyHolders[node.key], holder != node.name {
                throw Refused(.invalid, "the key of '\(node.name)' is the key of '\(holder)': one key is one agent")
            }
            keyHolders[node.key] = node.name
            // The same again is the same agent: a second start registers nothing new.
            if let known = planned.node(named: node.name), known.key == node.key, known.scope == node.scope { continue }
            node.ordinal = ordinal
            ordinal += 1
            added.append(node)
        }
        return added.isEmpty ? [] : [.registered(added, enrolment: nil)]
    }

    /// Carries out what narrows, at once. A pause is answered at once as well: its certificate says what is durable. All else is answered when it is.
    private func act(_ command: Command, _ deeds: [Entry.Deed], _ order: Order) {
        var outcome = WireOutcome()
        outcome.epoch = governance.gate.epoch.number
        switch (command, deeds.first) {
        case (.leak(let dataClass, _, _), .paused(let closure)?): return begin(closure, dataClass: dataClass, isLeak: true, order)
        case (_, .paused(let closure)?): return begin(closure, dataClass: "", isLeak: false, order)
        case (.remove, .removed(let ordinals)?):
            outcome.nodes = ordinals.compactMap { planned.nodes[$0] }.map { WireNode($0) }
            narrow(.removed(ordinals), order.author, order.wall, order.wire)
            pushRemoved(ordinals)
        case (.register(let nodes), nil): outcome.nodes = nodes.compactMap { planned.node(named: $0.name) }.map { WireNode($0) }
        default:
            for deed in deeds { narrow(deed, order.author, order.wall, order.wire) }
            if case .withdraw(let number) = command { outcome.proposal = proposal(number, at: order.wall) }
        }
        flush()
        outcome.entry = index
        // What it found done already may itself be on its way.
        let last = index
        guard last > durable else { return finish(order.verified.hash, order.session, outcome, order.id, order.route) }
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: "\(command.done), by \(order.author)", since: order.now)
        answersDue[last, default: []].append { [self] in finish(order.verified.hash, order.session, outcome, order.id, order.route) }
    }

    private func begin(_ closure: Closure, dataClass: String, isLeak: Bool, _ order: Order) {
        issue(closure.epoch)
        let now = order.now
        narrow(.paused(closure), order.author, order.wall, order.wire)
        let entry = index
        // Pushed before anything is written, and before anything is counted that grows with the agents: neither a disk that is full, or
        // slow, nor ten thousand names delay anybody's stop. No answer can come in before this call returns.
        pushNarrower(governance.gate)
        flush()
        let agents =
            closure.stopsCapture
            ? Set(governance.nodes.values.lazy.filter { $0.role == .agent && closure.selector.matches($0.scope) }.map(\.name)) : []
        stoppings[closure.epoch] = Stopping(
            tracker: StopTracker(closure: closure, at: now, lease: lease, services: services(), agents: agents),
            entry: entry, asker: order.route, shown: now, pushed: now)
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
            for deed in try plan(command, proposer, order.wall) { deeds.append((deed, approved.number)) }
            // Approved and never carried out, it could be carried out at any later time.
            guard deeds.count > 1 else { throw Refused(.notFound, "there is nothing left to do of proposal \(approved.number): withdraw it") }
        }
        seen.remember(order.verified, at: order.wall)
        underWay[order.verified.hash] = Waiting(route: order.route, session: order.session, acts: nil, since: order.now)
        let lifted = lifted(by: deeds.map(\.0))
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
                    lostEpoch = nil
                    lostClosures = []
                    abandoned = nil
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
            if let command = planned.proposed[number], let deeds = try? plan(command, proposal.proposer.name, wall),
                case .widens(let gains) = consequence(of: deeds, by: proposal.proposer.name, wall)
            {
                wire.gains = gains.prefix(100).map(\.line)
                if gains.count > 100 { wire.gains.append("and \(gains.count - 100) more") }
            }
        case .applied: wire.state = "applied"
        case .expired: wire.state = "expired"
        case .withdrawn: wire.state = "withdrawn"
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

    private static func check(reason: String) throws(Refused) {
        guard !reason.isEmpty, reason.utf8.count <= Limits.reasonBytesMax else {
            throw Refused(.invalid, "a reason has 1 to \(Limits.reasonBytesMax) bytes: it is what people will read")
        }
    }

    /// A pause of something that does not exist would stop nothing and look like a success.
    private func check(_ selector: Selector) throws(Refused) {
        let values = selector.sites.count + selector.teams.count + selector.subjects.count + selector.classes.count
        guard values + selector.readers.count + selector.purposes.count <= Limits.selectorValuesMax else {
            throw Refused(.invalid, "a selector names at most \(Limits.selectorValuesMax) values")
        }
        // Every closure in force is in every grant: one of megabytes would cost each service its lease.
        let names = [selector.sites, selector.teams, selector.subjects, Set(selector.classes.map(\.name)), selector.readers, selector.purposes]
        guard names.allSatisfy({ $0.allSatisfy { $0.utf8.count <= Limits.nameBytesMax } }) else {
            throw Refused(.invalid, "a value of a selector has at most \(Limits.nameBytesMax) bytes")
        }
        func missing(_ asked: Set<String>, _ what: String, _ known: (Node) -> String) throws(Refused) {
            guard !asked.isEmpty else { return }
            let there = Set(governance.nodes.values.map(known))
            if let unknown = asked.subtracting(there).min() {
                throw Refused(.notFound, "no agent has the \(what) '\(unknown)': nothing was stopped; 'sluice agents' lists them")
            }
        }
        try missing(selector.sites, "site") { $0.scope.site }
        try missing(selector.teams, "team") { $0.scope.team }
        try missing(selector.subjects, "subject") { $0.scope.subject }
        let known = Set(Authority.classes.map { DataClass($0) })
        if let unknown = selector.classes.subtracting(known).min() {
            throw Refused(
                .notFound, "there is no class '\(unknown.name)': nothing was stopped; there are \(Authority.classes.joined(separator: ", "))")
        }
    }

    /// The policy document will name them.
    static let classes = ["activity", "content", "conversation", "review"]

    // MARK: The ledger

    private var unflushed: [(Entry, WireSignedCommand?)] = []

    /// In force at once; recorded by ``flush()``.
    private func narrow(_ deed: Entry.Deed, _ author: String, _ wall: WallTime, _ signed: WireSignedCommand? = nil) {
        index += 1
        let entry = Entry(index: index, at: wall, author: author, deed: deed)
        apply(entry)
        planned.apply(entry)
        unflushed.append((entry, signed))
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
        case .operatorsChanged:
            known = KnownOperators(governance.operators)
            operatorsChanged()
        default: break
        }
    }

    /// What narrowed while something that widens waited for the disk was applied before it, and must not be undone by it: an agent that was removed
    /// before its registration was durable stays removed.
    private func catchUp() {
        let (seal, commanded) = (governance.gate.seal, governance.operators)
        governance = planned
        if let seal { governance.seal(seal) }
        guard governance.operators != commanded else { return }
        known = KnownOperators(governance.operators)
        operatorsChanged()
    }

    func becameDurable(_ upTo: UInt64) {
        journalTrouble = nil
        let before = durable
        durable = upTo
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
        for (epoch, stopping) in stoppings where stopping.entry <= upTo { stoppings[epoch]?.tracker.durable(in: .journal) }
    }

    func journalIsFull(_ why: String) {
        journalTrouble = why
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
        if !underWay.isEmpty {
            for (hash, waiting) in underWay where now - waiting.since > Limits.durableWithin {
                tellUndurable(hash, "the disk has not confirmed it within \(Limits.durableWithin.milliseconds / 1_000) s")
            }
        }
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

extension Entry.Deed {
    /// Whatever it seems to change, it takes two persons: what it gives up stands in no state that could be compared. ``GovernanceFold`` asks for
    /// the same.
    fileprivate var alwaysTakesTwo: Bool {
        switch self {
        case .unsealed, .readsRestored: true
        default: false
        }
    }
}
