/// All that a state of governance allows: what may flow, who takes part, who commands.
///
/// The one place that decides on which side a command is. Not its name is asked but its effect: the state before is
/// compared with the state after, and whatever was not allowed before is a ``Gain``. What the suite learns to allow
/// (grants, consents, retention) becomes a member here, and a case of ``Gain``.
package struct Powers: Hashable, Sendable {
    package var gate: GateState
    /// By ordinal.
    package var nodes: [UInt32: Node]
    /// By name.
    package var operators: [String: Operator]
    /// Whoever has the key to it can read what agents send.
    package var vaultKey: [UInt8]
    /// By service: whoever has one of them may act as it.
    package var serviceKeys: [String: [[UInt8]]]
    /// By name: what whoever has one of them signs is believed of a ledger.
    package var ledgerKeys: [String: [String]]
    /// By number.
    package var enrolments: [UInt64: Enrolment]
    /// Checkpoints of policy's ledger that were given up, and what is believed in their place.
    package var readsRestored: [[UInt8]: [UInt8]]
    package var policy: PolicyText?
    package var records: BySubject<SubjectRecords>
    package var erased: BySubject<ErasedSubject>
    /// By incident.
    package var holds: [UInt64: Set<String>]
    /// By incident: what goes out to people.
    package var notices: [UInt64: [DecidedNotices]]

    package init(
        gate: GateState = GateState(), nodes: [UInt32: Node] = [:], operators: [String: Operator] = [:], vaultKey: [UInt8] = [],
        serviceKeys: [String: [[UInt8]]] = [:], ledgerKeys: [String: [String]] = [:], enrolments: [UInt64: Enrolment] = [:], readsRestored: [[UInt8]: [UInt8]] = [:],
        policy: PolicyText? = nil, records: BySubject<SubjectRecords> = .init(), erased: BySubject<ErasedSubject> = .init(), holds: [UInt64: Set<String>] = [:],
        notices: [UInt64: [DecidedNotices]] = [:]
    ) {
        self.gate = gate
        self.nodes = nodes
        self.operators = operators
        self.vaultKey = vaultKey
        self.serviceKeys = serviceKeys
        self.ledgerKeys = ledgerKeys
        self.enrolments = enrolments
        self.readsRestored = readsRestored
        self.policy = policy
        self.records = records
        self.erased = erased
        self.holds = holds
        self.notices = notices
    }

    package init(_ governance: Governance) {
        self.init(
            gate: governance.gate, nodes: governance.nodes, operators: governance.operators.current, vaultKey: governance.vaultKey,
            serviceKeys: governance.serviceKeys.current, ledgerKeys: governance.ledgerKeys.current, enrolments: governance.enrolments, readsRestored: governance.readsRestored, policy: governance.policy,
            records: governance.records, erased: governance.erased, holds: governance.holds, notices: governance.notices)
    }

    /// One thing that is allowed after and was not before.
    package enum Gain: Hashable, Sendable {
        /// What this closure stopped is not stopped by any other.
        case reopens(Closure)
        case unseals
        /// An older state would be taken for the newest one (G3).
        case goesBack(to: Epoch)
        /// New, or with another key, role or scope.
        case admits(Node)
        /// New, or with another key or person.
        case empowers(Operator)
        /// What agents send can be read with another key.
        case sealsTo([UInt8])
        /// Whoever has the key to it is taken for the service.
        case actsAs(String, [UInt8])
        /// What is signed with this key is believed of a ledger.
        case signsWith(String)
        /// A token for a new agent.
        case invites(Enrolment)
        /// What was recorded as read, and is not in the ledger that is taken in its place, is known no more.
        case forgetsReads
        /// By another document: one line, for people.
        case loosens(String)
        /// More people may be able to read it than the document itself allows.
        case exceedsAudience(String)
        /// Sorted.
        case records(RecordKind, purpose: String, [String])
        /// What is captured of them is stored again. Sorted.
        case readmits([String])
        /// What there is of them is kept for as long as the incident lasts. Sorted.
        case holds(incident: UInt64, [String])
        /// So many people are told exactly what has this digest. Nothing calls a mail back.
        case notifies(incident: UInt64, count: UInt64, digest: [UInt8])
    }

    /// What a command would do to what is allowed.
    package enum Consequence: Hashable, Sendable {
        /// Nothing is allowed that was not: one signature, at once.
        case narrows
        /// Something is, whatever else it takes away: two persons' signatures, durable first. Sorted, for people.
        case widens([Gain])
        /// Nothing else is than what the document in force lets one operator say: their signature, durable first.
        case allowed([Gain])

        package var narrows: Bool { self == .narrows }

        package var gains: [Gain] {
            switch self {
            case .narrows: []
            case .widens(let gains), .allowed(let gains): gains
            }
        }
    }

    /// - Parameter compare: asked when the documents differ. Without one, any other document widens.
    package func consequence(of after: Powers, comparing compare: PolicyComparison = .none) -> Consequence {
        var gains = gateGains(of: after) + nodeGains(of: after) + operatorGains(of: after)
        if after.vaultKey != vaultKey { gains.append(.sealsTo(after.vaultKey)) }
        for (service, keys) in after.serviceKeys.sorted(by: { $0.key < $1.key }) {
            let known = serviceKeys[service] ?? []
            gains += keys.filter { !known.contains($0) }.map { .actsAs(service, $0) }
        }
        // Of which nothing stands there any more the registry's key counts, whatever became of it.
        gains += serviceKeys.keys.filter { after.serviceKeys[$0] == nil }.sorted().map { .actsAs($0, []) }
        for (name, keys) in after.ledgerKeys.sorted(by: { $0.key < $1.key }) {
            let known = ledgerKeys[name] ?? []
            gains += keys.filter { !known.contains($0) }.map { .signsWith($0) }
        }
        gains += ledgerKeys.keys.filter { after.ledgerKeys[$0] == nil }.sorted().map { .signsWith($0) }
        gains += after.enrolments.values.filter { enrolments[$0.number] != $0 }.sorted { $0.number < $1.number }.map(Gain.invites)
        if after.readsRestored != readsRestored { gains.append(.forgetsReads) }
        gains += policyGains(of: after, compare)
        gains += (after.policy?.over ?? []).subtracting(policy?.over ?? []).sorted().map(Gain.exceedsAudience)
        gains += subjectGains(of: after)
        let told = noticeGains(of: after)
        guard !told.isEmpty else { return gains.isEmpty ? .narrows : .widens(gains) }
        // By the document of before: whoever changes it has not sent anything yet.
        return gains.isEmpty && after.policy == policy && compare.sendsNoticesAtOnce(policy?.bytes) ? .allowed(told) : .widens(gains + told)
    }

    private func noticeGains(of after: Powers) -> [Gain] {
        guard after.notices != notices else { return [] }
        return after.notices.sorted { $0.key < $1.key }.flatMap { incident, decided -> [Gain] in
            let known = notices[incident] ?? []
            return decided.filter { !known.contains($0) }.map { Gain.notifies(incident: incident, count: $0.count, digest: $0.digest) }
        }
    }

    /// A seal hides closures but does not replace them: it ends by itself when control has heard its peers, and what was
    /// lifted under it would then be open without a second signature.
    private func gateGains(of after: Powers) -> [Gain] {
        var gains: [Gain] = []
        if after.gate.epoch < gate.epoch { gains.append(.goesBack(to: after.gate.epoch)) }
        if gate.seal != nil, after.gate.seal == nil { gains.append(.unseals) }
        // A drill's is lifted with no signature at all: what is lifted under it would be open then.
        for closure in gate.closures where !after.gate.closures.contains(where: { $0.epoch == closure.epoch || !$0.isOfDrill && $0.covers(closure) }) { gains.append(.reopens(closure)) }
        return gains
    }

    private func nodeGains(of after: Powers) -> [Gain] {
        // Equal tables share their storage nearly always, and are then equal without being looked at: a pause must not
        // become slower with each agent.
        guard after.nodes != nodes else { return [] }
        return after.nodes.values.filter { nodes[$0.ordinal] != $0 }.sorted { $0.ordinal < $1.ordinal }.map(Gain.admits)
    }

    private func policyGains(of after: Powers, _ compare: PolicyComparison) -> [Gain] {
        let answer = compare(policy?.bytes, after.policy?.bytes)
        guard !answer.moves.isEmpty else { return answer.gains.map(Gain.loosens) }
        // What is closed by its class is open by another.
        let reopened = after.gate.closures.flatMap { closure in
            answer.moves.filter { closure.selector.classes.contains(DataClass($0.from)) && !closure.selector.classes.contains(DataClass($0.to)) }
                .map { "some events of \($0.from), which is closed at epoch \(closure.epoch.number), become events of \($0.to), which is not" }.sorted()
        }
        return (answer.gains + reopened).map(Gain.loosens)
    }

    private func subjectGains(of after: Powers) -> [Gain] {
        var gains: [Gain] = []
        struct Key: Hashable {
            let kind: RecordKind
            let purpose: String
        }
        var given: [Key: [String]] = [:]
        for (subject, was, value) in after.records.differing(from: records) {
            for kind in RecordKind.allCases {
                for purpose in value[kind].subtracting((was ?? .none)[kind]) { given[Key(kind: kind, purpose: purpose), default: []].append(subject) }
            }
        }
        let sorted = given.sorted { ($0.key.kind.rawValue, $0.key.purpose) < ($1.key.kind.rawValue, $1.key.purpose) }
        gains += sorted.map { .records($0.key.kind, purpose: $0.key.purpose, $0.value.sorted()) }
        /// What is captured from then on is stored; nil: nothing is.
        func stored(_ subject: ErasedSubject?) -> WallTime? { subject.map(\.readmitted) ?? .distantPast }
        func isMore(_ now: WallTime?, than was: WallTime?) -> Bool { now.map { now in was.map { now < $0 } ?? true } ?? false }
        var readmitted = after.erased.differing(from: erased).filter { isMore(stored($0.value), than: stored($0.was)) }.map(\.subject)
        // Who is no more among the erased at all.
        readmitted += erased.differing(from: after.erased).filter { $0.was == nil }.map(\.subject)
        if !readmitted.isEmpty { gains.append(.readmits(readmitted.sorted())) }
        if after.holds != holds {
            for (incident, subjects) in after.holds.sorted(by: { $0.key < $1.key }) {
                let more = subjects.subtracting(holds[incident] ?? [])
                if !more.isEmpty { gains.append(.holds(incident: incident, more.sorted())) }
            }
        }
        return gains
    }

    private func operatorGains(of after: Powers) -> [Gain] {
        after.operators.values.filter { operators[$0.name] != $0 }.sorted { $0.name < $1.name }.map(Gain.empowers)
    }
}

extension Closure {
    /// Whether whatever `other` stops is stopped by this too.
    package func covers(_ other: Closure) -> Bool {
        guard direction == .both || direction == other.direction else { return false }
        return selector.covers(other.selector)
    }
}

extension Selector {
    /// Whether whatever `other` matches is matched by this too, and capture is concerned if it was.
    package func covers(_ other: Selector) -> Bool {
        func isWider<Value>(_ mine: Set<Value>, _ theirs: Set<Value>) -> Bool {
            mine.isEmpty || (!theirs.isEmpty && theirs.isSubset(of: mine))
        }
        return isWider(sites, other.sites) && isWider(teams, other.teams) && isWider(subjects, other.subjects)
            && isWider(classes, other.classes) && isWider(readers, other.readers) && isWider(purposes, other.purposes)
    }
}
