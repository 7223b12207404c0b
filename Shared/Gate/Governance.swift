/// What a node is to the suite.
package enum Role: Hashable, Sendable { case agent, service, operate, reader }

/// A key that is registered, and whom it stands for.
package struct Node: Hashable, Sendable {
    package var name: String
    /// A short number in place of the name; never used again after the node is gone.
    package var ordinal: UInt32
    /// CURVE public key, 32 bytes.
    package var key: [UInt8]
    package var role: Role
    package var scope: Scope

    package init(name: String, ordinal: UInt32, key: [UInt8], role: Role, scope: Scope) {
        self.name = name
        self.ordinal = ordinal
        self.key = key
        self.role = role
        self.scope = scope
    }
}

/// Where an incident stands. It moves forwards; an operator can open again what is closed.
package enum IncidentState: String, Hashable, Sendable, CaseIterable, Comparable {
    case open, contained, assessed, notified, closed

    private var rank: Int { IncidentState.allCases.firstIndex(of: self) ?? 0 }
    package static func < (left: IncidentState, right: IncidentState) -> Bool { left.rank < right.rank }
}

package struct Incident: Hashable, Sendable {
    package var number: UInt64
    package var title: String
    package var state: IncidentState
    package var opened: WallTime
    package var moved: WallTime
    package var closure: Epoch
    package var dataClass: String
    package var author: String
    package var isLeak: Bool
    /// What detectors have found of it.
    package var findings: UInt64 = 0
    /// The first steps, in order. The ledger has them all.
    package var steps: [IncidentStep] = []
    package static let stepsMax = 500

    fileprivate mutating func note(_ entry: Entry, _ what: IncidentStep.What) {
        if steps.count < Incident.stepsMax { steps.append(IncidentStep(index: entry.index, at: entry.at, author: entry.author, what: what)) }
    }
}

/// One thing that was decided, in the journal for good.
package struct Entry: Hashable, Sendable {
    package enum Deed: Hashable, Sendable {
        /// The first entry, and no other.
        case began(Beginning)
        case operatorsChanged(removed: [String], added: [Operator])
        case vaultKeyAnnounced([UInt8])
        /// CURVE public key: it counts as the service's, beside the one that did until now.
        case serviceKeyAnnounced([UInt8], service: String, beside: [UInt8])
        case serviceKeyRetired([UInt8], service: String)
        /// Verifier key: what it signs counts under its name, beside what the other does.
        case ledgerKeyAnnounced(String, beside: String)
        case ledgerKeyRetired(String)
        case proposed(number: UInt64, ProposalHash, until: WallTime, Command)
        case approved(number: UInt64)
        case withdrawn(number: UInt64)
        case enrolmentOpened(Enrolment)
        /// - Parameter enrolment: by whose token; nil: by a command.
        case registered([Node], enrolment: UInt64?)
        case removed([UInt32])
        case paused(Closure)
        case resumed(to: Epoch, closures: [Epoch], reason: String)
        case incidentOpened(number: UInt64, title: String, closure: Epoch, dataClass: String, isLeak: Bool)
        case incidentMoved(number: UInt64, to: IncidentState)
        /// A detector's, through policy. It opens the incident and begins the closure, or joins an incident whose closure stops as much already.
        case found(Finding, incident: UInt64, closes: Closure?)
        case incidentNoted(number: UInt64, String)
        /// - Parameter exposure: SHA-256 of the exposure as it was computed: whoever has the ledgers computes the same.
        case incidentAssessed(number: UInt64, exposure: [UInt8], summary: String)
        /// - Parameter digest: ``DecidedNotices/digest``.
        case noticesDecided(incident: UInt64, count: UInt64, digest: [UInt8])
        /// An operator's, who answers for it: of this decision everybody has their notice or is on the list of those who were not reached.
        case incidentNotified(number: UInt64, decision: UInt64, delivered: UInt64, unreachable: UInt64)
        case certified(Certificate)
        /// An operator's: policy finds what it is about.
        case drillBegan(Drill)
        /// Control's: what it came to. Lifts what was closed for it, and nothing else.
        ///
        /// - Parameter epoch: none: nothing of it was in force.
        case drillEnded(number: UInt64, to: Epoch, Drill.Outcome)
        /// - Parameters:
        ///   - dropped: closures that peers held and the ledger had lost.
        ///   - abandons: a checkpoint, as its text, that policy had cosigned of another history; empty: none.
        case unsealed(Epoch, dropped: [Epoch], reason: String, abandons: [UInt8] = [])
        /// Policy's ledger was put back: control may believe the history that begins with `adopts` in place of the one that it knows. Both are checkpoints, as
        /// their texts.
        case readsRestored(abandons: [UInt8], adopts: [UInt8], reason: String)
        /// - Parameters:
        ///   - document: `PolicyDocument.canonical`.
        ///   - over: classes whose audience may go over the document's own limit; two operators have named them.
        case policyApplied([UInt8], over: [String])
        /// - Parameter given: false: it counts no more.
        case recordsChanged([String], purpose: String, RecordKind, given: Bool)
        /// Nothing is to be held on them, and nothing stored, from here on.
        case erased([String])
        /// They may be stored again.
        case readmitted([String])
        /// What there is of them is neither erased nor swept while this incident lasts.
        case held(incident: UInt64, [String])
        case holdLifted(incident: UInt64, [String])
    }

    package var index: UInt64
    package var at: WallTime
    package var author: String
    /// What it carries out: the approved proposal of this number.
    package var proposal: UInt64?
    package var deed: Deed

    package init(index: UInt64, at: WallTime, author: String, proposal: UInt64? = nil, deed: Deed) {
        self.index = index
        self.at = at
        self.author = author
        self.proposal = proposal
        self.deed = deed
    }
}

/// Everything that control knows: the fold of its journal. Followers hold the same at an index.
package struct Governance: Sendable {
    package private(set) var gate = GateState()
    /// Lifted closures, oldest first.
    package private(set) var lifted: [Closure] = []
    package private(set) var nodes: [UInt32: Node] = [:]
    package private(set) var ordinals: [String: UInt32] = [:]
    /// Of agents that were registered anew under their name: the ordinal that they had first.
    private var lines: [UInt32: UInt32] = [:]
    package private(set) var incidents: [UInt64: Incident] = [:]
    /// What people are to be told, by incident, oldest first.
    package private(set) var notices: [UInt64: [DecidedNotices]] = [:]
    /// What detectors have found, by id: the entry.
    package private(set) var found: [[UInt8]: (entry: UInt64, incident: UInt64)] = [:]
    /// By number.
    package private(set) var drills: [UInt64: Drill] = [:]
    private var drilling: UInt64?
    /// One that has begun and not ended.
    package var drillUnderWay: Drill? { drilling.flatMap { drills[$0] } }
    /// Epochs that have a certificate, and whether it is complete.
    package private(set) var certified: [Epoch: Bool] = [:]
    package private(set) var nextOrdinal: UInt32 = 1
    package private(set) var beginning: Beginning?
    package private(set) var operators = Operators()
    package private(set) var proposals = Proposals()
    /// What was proposed, by the proposal's number, while it can be approved or carried out.
    package private(set) var proposed: [UInt64: Command] = [:]
    /// X25519 public key that batches are sealed to; empty: none was announced.
    package private(set) var vaultKey: [UInt8] = []
    /// The entry that announced it.
    package private(set) var vaultKeyIndex: UInt64 = 0
    package private(set) var serviceKeys = ServiceKeys()
    package private(set) var ledgerKeys = LedgerKeys()
    /// The entry that last changed which keys sign this ledger; 0: those that it began with.
    package private(set) var ownKeysIndex: UInt64 = 0
    /// Tokens that were given out and not used, by number.
    package private(set) var enrolments: [UInt64: Enrolment] = [:]
    package private(set) var nextEnrolment: UInt64 = 1
    /// The newest tokens that count no more, oldest first.
    package private(set) var spentTokens: [SpentToken] = []
    /// CURVE keys of agents that were removed or got another: none comes back, who has it may have stolen it.
    package private(set) var revokedKeys: Set<[UInt8]> = []
    /// Lost closures that two operators have decided to drop.
    package private(set) var dropped: Set<Epoch> = []
    /// Checkpoints of this ledger, as their texts, whose history two operators have given up.
    package private(set) var abandoned: Set<[UInt8]> = []
    /// Checkpoints of policy's ledger that two operators have given up, and what is believed in their place.
    package private(set) var readsRestored: [[UInt8]: [UInt8]] = [:]
    /// The document that is in force; nil: none was applied.
    package private(set) var policy: PolicyText?
    /// Who was told of which purposes, and agreed to which.
    package private(set) var records = BySubject<SubjectRecords>()
    package private(set) var erased = BySubject<ErasedSubject>()
    /// Of whom what there is is kept, by incident.
    package private(set) var holds: [UInt64: Set<String>] = [:]
    /// The last entry after which something else is allowed than before.
    package private(set) var powersIndex: UInt64 = 0

    package init() {}

    package mutating func apply(_ entry: Entry) {
        if entry.changesPowers { powersIndex = entry.index }
        if !proposed.isEmpty {
            proposals.expire(at: entry.at)
            proposed = proposed.filter { proposals.all[$0.key].map { $0.isOpen || $0.isApplied } ?? false }
        }
        if let number = entry.proposal {
            // Carried out, and not a second time. What unseals may lift closures too, by an entry of its own.
            if case .unsealed = entry.deed, case .resume(let closures, let reason, _, _, _)? = proposed[number], !closures.isEmpty {
                proposed[number] = .resume(closures, reason: reason, unseal: false)
            } else {
                proposed[number] = nil
            }
        }
        switch entry.deed {
        case .began(let beginning):
            self.beginning = beginning
            ledgerKeys = LedgerKeys(beginning)
            try? operators.change(removing: [], adding: beginning.operators)
        case .operatorsChanged(let removed, let added): try? operators.change(removing: Set(removed), adding: added)
        case .vaultKeyAnnounced(let key):
            vaultKey = key
            vaultKeyIndex = entry.index
        case .serviceKeyAnnounced(let key, let service, let before): try? serviceKeys.announce(key, for: service, beside: before, at: entry.index)
        case .serviceKeyRetired(let key, let service): try? serviceKeys.retire(key, of: service, at: entry.index)
        case .ledgerKeyAnnounced(let key, let before):
            try? ledgerKeys.announce(key, beside: before)
            if isOwn(key) { ownKeysIndex = entry.index }
        case .ledgerKeyRetired(let key):
            try? ledgerKeys.retire(key)
            if isOwn(key) { ownKeysIndex = entry.index }
        case .proposed(let number, let hash, let until, let command):
            guard let made = try? proposals.propose(hash, by: entry.author, of: operators, at: entry.at, until: until), made.number == number else { return }
            proposed[number] = command
        case .approved(let number):
            guard let hash = proposals.all[number]?.hash else { return }
            _ = try? proposals.approve(number, hash, by: entry.author, of: operators, at: entry.at)
        case .withdrawn(let number): try? proposals.withdraw(number, by: entry.author, of: operators, at: entry.at)
        case .enrolmentOpened(let enrolment):
            for gone in enrolments.values.filter({ $0.until <= entry.at }).sorted(by: { $0.number < $1.number }) {
                enrolments[gone.number] = nil
                spend(gone.token, .expired(gone.until))
            }
            enrolments[enrolment.number] = enrolment
            nextEnrolment = max(nextEnrolment, enrolment.number + 1)
        case .registered(let added, let enrolment):
            if let enrolment, let opened = enrolments.removeValue(forKey: enrolment), let node = added.first {
                spend(opened.token, .used(by: node.key, ordinal: node.ordinal))
            }
            for node in added {
                if let ordinal = ordinals[node.name], ordinal != node.ordinal, let old = nodes.removeValue(forKey: ordinal), old.key != node.key {
                    // Whose machine was set up anew left its key on the old disk.
                    revokedKeys.insert(old.key)
                }
                if let ordinal = ordinals[node.name], ordinal != node.ordinal { lines[node.ordinal] = line(of: ordinal) }
                nodes[node.ordinal] = node
                ordinals[node.name] = node.ordinal
                nextOrdinal = max(nextOrdinal, node.ordinal + 1)
            }
        case .removed(let gone):
            for ordinal in gone {
                guard let node = nodes.removeValue(forKey: ordinal) else { continue }
                revokedKeys.insert(node.key)
                if ordinals[node.name] == ordinal { ordinals[node.name] = nil }
            }
        case .paused(let closure):
            // Applied already when it was commanded, or coming out of the journal.
            guard !gate.closures.contains(where: { $0.epoch == closure.epoch }) else { return }
            gate.pause(closure)
        case .found(let finding, let number, let closure): take(finding, number, closure, entry)
        case .resumed(let epoch, let closures, _):
            for var closure in gate.resume(Set(closures), to: epoch) {
                closure.until = entry.at
                lifted.append(closure)
                incidents[closure.incident]?.note(entry, .resumed(closure.epoch))
            }
        case .incidentOpened(let number, let title, let closure, let dataClass, let isLeak):
            incidents[number] = Incident(
                number: number, title: title, state: .open, opened: entry.at, moved: entry.at, closure: closure, dataClass: dataClass,
                author: entry.author, isLeak: isLeak)
            incidents[number]?.note(entry, .opened)
        case .incidentMoved(let number, let state): move(number, state, entry)
        case .incidentNoted(let number, let text): incidents[number]?.note(entry, .noted(text))
        case .incidentAssessed(let number, let exposure, let summary):
            incidents[number]?.note(entry, .assessed(exposure: exposure, summary: summary))
            // Assessed again, it stands where it stood.
            if let state = incidents[number]?.state, state < .assessed { move(number, .assessed, entry) }
        case .noticesDecided(let number, let count, let digest):
            notices[number, default: []].append(DecidedNotices(index: entry.index, at: entry.at, count: count, digest: digest))
            incidents[number]?.note(entry, .noticesDecided(count: count))
        case .incidentNotified(let number, _, let delivered, let unreachable):
            incidents[number]?.note(entry, .notified(delivered: delivered, unreachable: unreachable))
            if let state = incidents[number]?.state, state < .notified { move(number, .notified, entry) }
        case .certified(let certificate):
            certified[certificate.epoch] = certificate.isComplete
            incidents[certificate.closure.incident]?.note(entry, .certified(certificate.epoch, isComplete: certificate.isComplete))
        case .drillBegan(let drill): begin(drill, entry)
        case .drillEnded(let number, let epoch, let outcome): endDrill(number, epoch, outcome, entry)
        case .readsRestored(let abandons, let adopts, _): readsRestored[abandons] = adopts
        case .policyApplied(let document, let over): policy = PolicyText(document, over: Set(over), index: entry.index)
        case .recordsChanged(let subjects, let purpose, let kind, let given): change(subjects, purpose, kind, given)
        case .erased(let subjects): erase(subjects, entry)
        case .readmitted(let subjects):
            for subject in subjects where erased[subject]?.readmitted == nil { erased[subject]?.readmitted = entry.at }
        case .held(let incident, let subjects): holds[incident, default: []].formUnion(subjects)
        case .holdLifted(let incident, let subjects): lift(incident, subjects)
        case .unsealed(let epoch, let lost, _, let abandons):
            dropped.formUnion(lost)
            if !abandons.isEmpty { abandoned.insert(abandons) }
            gate.unseal(atLeast: epoch)
        }
    }

    private mutating func move(_ number: UInt64, _ state: IncidentState, _ entry: Entry) {
        incidents[number]?.state = state
        incidents[number]?.moved = entry.at
        incidents[number]?.note(entry, .moved(to: state))
    }

    private mutating func begin(_ begun: Drill, _ entry: Entry) {
        var drill = begun
        (drill.author, drill.began) = (entry.author, entry.at)
        drills[drill.number] = drill
        drilling = drill.number
        if drills.count > Drill.keptMax, let oldest = drills.keys.min() { drills[oldest] = nil }
    }

    private mutating func endDrill(_ number: UInt64, _ epoch: Epoch, _ outcome: Drill.Outcome, _ entry: Entry) {
        drilling = nil
        drills[number]?.ended = entry.at
        drills[number]?.outcome = outcome
        guard epoch != .none, let closed = drills[number]?.closure?.epoch else { return }
        for var closure in gate.resume([closed], to: epoch) {
            closure.until = entry.at
            lifted.append(closure)
        }
    }

    private mutating func take(_ finding: Finding, _ number: UInt64, _ closure: Closure?, _ entry: Entry) {
        // A drill's is no incident.
        if finding.detector == Drill.detector {
            found[finding.id] = (entry.index, 0)
            guard let closure, let drill = drillUnderWay?.number else { return }
            drills[drill]?.finding = finding
            drills[drill]?.closure = closure
            if !gate.closures.contains(where: { $0.epoch == closure.epoch }) { gate.pause(closure) }
            return
        }
        if incidents[number] == nil, let closure {
            let dataClass = closure.selector.classes.count == 1 ? closure.selector.classes.first?.name ?? "" : ""
            incidents[number] = Incident(
                number: number, title: finding.sentence, state: .open, opened: entry.at, moved: entry.at, closure: closure.epoch, dataClass: dataClass, author: entry.author, isLeak: true)
        }
        incidents[number]?.findings += 1
        incidents[number]?.note(entry, .found(finding))
        incidents[number]?.isLeak = true
        found[finding.id] = (entry.index, number)
        guard let closure, !gate.closures.contains(where: { $0.epoch == closure.epoch }) else { return }
        gate.pause(closure)
    }

    /// The incident that a finding joins: not closed, and a closure of it in force stops all that this would. The newest, if there are several; nil: it opens one.
    package func incident(of finding: Finding) -> UInt64? {
        gate.closures.filter { closure in
            closure.covers(finding.closure(.none, incident: 0, from: finding.at)) && incidents[closure.incident].map { $0.state != .closed } ?? false
        }.map(\.incident).max()
    }

    private mutating func change(_ subjects: [String], _ purpose: String, _ kind: RecordKind, _ given: Bool) {
        for subject in subjects {
            var all = records[subject] ?? .none
            if given { all[kind].insert(purpose) } else { all[kind].remove(purpose) }
            records[subject] = all == .none ? nil : all
        }
    }

    /// What they had agreed to is over with it: whoever is stored again has agreed anew.
    private mutating func erase(_ subjects: [String], _ entry: Entry) {
        for subject in subjects {
            let before = erased[subject]
            records[subject] = nil
            // The same again is none.
            if let before, before.readmitted == nil { continue }
            erased[subject] = ErasedSubject(index: entry.index, at: max(entry.at, before.map { $0.at + .microseconds(1) } ?? entry.at), isWaiting: isHeld(subject))
        }
    }

    private mutating func lift(_ incident: UInt64, _ subjects: [String]) {
        guard let left = holds[incident]?.subtracting(subjects) else { return }
        holds[incident] = left.isEmpty ? nil : left
        for subject in subjects where erased[subject]?.isWaiting == true && !isHeld(subject) { erased[subject]?.isWaiting = false }
    }

    /// Whether a key signs this ledger itself, by its name.
    package func isOwn(_ ledgerKey: String) -> Bool { beginning.map { LedgerKeys.name(of: $0.controlKey) == LedgerKeys.name(of: ledgerKey) } ?? false }

    /// Whether an incident keeps what there is of them.
    package func isHeld(_ subject: String) -> Bool { holds.values.contains { $0.contains(subject) } }

    /// Whether nothing of them is stored.
    package func isErased(_ subject: String) -> Bool { erased[subject].map { $0.readmitted == nil } ?? false }

    private mutating func spend(_ token: [UInt8], _ end: SpentToken.End) {
        spentTokens.append(SpentToken(token: token, end: end))
        if spentTokens.count > SpentToken.max { spentTokens.removeFirst(spentTokens.count - SpentToken.max) }
    }

    package mutating func seal(_ why: String) { gate.seal(why) }
    package mutating func unseal(atLeast epoch: Epoch) { gate.unseal(atLeast: epoch) }

    /// The ordinal that a registered agent first had: with a new key or in another place it has another one, and the streams of its spool go on.
    /// Or what was stored and not acknowledged before would be stored again.
    package func line(of ordinal: UInt32) -> UInt32 { lines[ordinal] ?? ordinal }

    package func node(named name: String) -> Node? { ordinals[name].flatMap { nodes[$0] } }

    /// The epoch of the next pause or resume: later than anything decided, applied or not.
    package func nextEpoch(after pending: Epoch) -> Epoch { max(gate.epoch, pending).next }

    package var nextIncident: UInt64 { (incidents.keys.max() ?? 0) + 1 }
}

extension Entry {
    /// Whether it may change what anybody may do. A command that widens must have been written after the last such entry.
    package var changesPowers: Bool {
        switch deed {
        case .proposed, .approved, .withdrawn, .incidentOpened, .incidentMoved, .incidentNoted, .incidentAssessed, .noticesDecided, .incidentNotified, .certified, .drillBegan: false
        // Whoever joins by a token was invited by two: a company that enrols all day must not make every other command stale.
        case .registered(_, let enrolment): enrolment == nil
        case .began, .operatorsChanged, .vaultKeyAnnounced, .serviceKeyAnnounced, .serviceKeyRetired, .ledgerKeyAnnounced, .ledgerKeyRetired, .enrolmentOpened, .removed, .paused, .resumed, .unsealed, .readsRestored, .policyApplied,
            .recordsChanged, .erased, .readmitted, .held, .holdLifted, .drillEnded,
            // What joins is closed already; whoever asked for that to be lifted had not seen what was found since.
            .found: true
        }
    }
}
