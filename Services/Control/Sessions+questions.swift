import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Wire

/// What operators and services may ask control.
extension Sessions {
    func query(_ peer: Peer, _ body: WireQuery, _ now: Instant) {
        var answer = WireAnswer()
        switch body.about {
        case .status: answer.status = status(now)
        case .certificate(let epoch):
            guard let found = authority.stops.certificate(Epoch(epoch), at: Clock.wall()) else { return journal.certificate(for: peer.route, epoch) }
            answer.certificate = found
        case .incidents(let asked):
            answer.incidents = WireIncidents()
            answer.incidents.incidents =
                if asked.incident > 0 { authority.governance.incidents[asked.incident].map { [wire($0, steps: true)] } ?? [] } else {
                    authority.governance.incidents.values.sorted { $0.number < $1.number }.suffix(1_000).map { wire($0, steps: false) }
                }
        case .agents(let asked): answer.agents = agents(asked)
        case .closures:
            answer.closures = WireClosures()
            answer.closures.closures = authority.governance.gate.closures.map { WireClosure($0) }
        case .journal(let asked):
            peer.sent = asked.after
            return journal.page(for: peer.route, after: asked.after)
        case .proposals(let asked):
            answer.proposals = WireProposals()
            let numbers =
                if asked.number > 0 { [asked.number] } else if asked.all { Array(authority.planned.proposals.all.keys) } else { authority.planned.proposals.open.map(\.number) }
            var bytes = 0
            for number in numbers.sorted().suffix(1_000) {
                var proposal = authority.proposal(number, at: Clock.wall())
                guard proposal.proposal == number else { continue }
                bytes += proposal.signed.statement.count
                // A list must arrive; each can be asked for by its number.
                if bytes > Sessions.statementsShownMax, numbers.count > 1 { proposal.clearSigned() }
                answer.proposals.proposals.append(proposal)
            }
        case .operators:
            answer.operators = WireOperators()
            answer.operators.operators = authority.governance.operators.current.values.sorted { $0.name < $1.name }.map { WireOperator($0) }
            answer.operators.origin = authority.governance.beginning?.origin ?? ""
            answer.operators.currentFrom = authority.planned.powersIndex
            answer.operators.last = authority.durable
        case .serviceKeys: answer.serviceKeys = serviceKeys
        case .policy: answer.policy = policyInForce
        case .records(let asked):
            guard (1...Limits.subjectsPerCommandMax).contains(asked.subjects.count) else {
                return binder.refuse(.invalid, "a question names 1 to \(Limits.subjectsPerCommandMax) subjects", kind: .query, to: peer.route)
            }
            answer.records.records = asked.subjects.map { records(of: $0) }
        case .holds:
            answer.holds = WireHolds()
            answer.holds.holds = authority.governance.holds.sorted { $0.key < $1.key }.map { WireHold($0.key, $0.value.sorted()) }
        case .drills(let asked):
            answer.drills = WireDrills()
            let newest = authority.governance.drills.values.sorted { $0.number > $1.number }.prefix(asked.newest == 0 ? Drill.keptMax : Int(asked.newest))
            answer.drills.drills = newest.map { WireDrillRecord($0) }
        case .pause(let asked):
            do throws(Refused) {
                guard peer.user.role == "operator" else { throw Refused(.notAllowed, "an operator pauses") }
                answer.rehearsal = WireRehearsal(try authority.rehearse(asked, at: now, wall: Clock.wall()), current: currentAgents)
            } catch { return binder.refuse(error.refusal, error.text, kind: .query, to: peer.route) }
        case .proof(let asked): return journal.proof(for: peer.route, asked.index)
        case .certificateFile(let epoch): return journal.certificateFile(for: peer.route, epoch)
        case .vaultKey: return journal.proof(for: peer.route, authority.governance.vaultKeyIndex)
        default: return binder.refuse(.invalid, "this question is not known here; notify knows deliveries", kind: .query, to: peer.route)
        }
        binder.send(.answer, answer, to: peer.route)
    }

    private var policyInForce: WirePolicyInForce {
        var answer = WirePolicyInForce()
        guard let policy = authority.governance.policy else { return answer }
        answer.document = Data(policy.bytes)
        answer.over = policy.over.sorted()
        answer.entry = policy.index
        return answer
    }

    private func records(of subject: String) -> WireSubjectRecords {
        let governance = authority.governance
        var answer = WireSubjectRecords()
        answer.subject = subject
        answer.notices = governance.records[subject]?.notices.sorted() ?? []
        answer.consents = governance.records[subject]?.consents.sorted() ?? []
        if let erased = governance.erased[subject], erased.readmitted == nil {
            answer.erased = erased.index
            answer.waiting = erased.isWaiting
        }
        answer.holds = governance.holds.filter { $0.value.contains(subject) }.map(\.key).sorted()
        return answer
    }

    private func wire(_ incident: Incident, steps: Bool) -> WireIncident {
        var wire = WireIncident(incident)
        if authority.governance.certified[incident.closure] != nil { wire.certificates = [incident.closure.number] }
        wire.inForce = authority.governance.gate.closures.contains { $0.epoch == incident.closure }
        if steps { wire.steps = incident.steps.map { WireIncidentStep($0) } }
        return wire
    }

    private func status(_ now: Instant) -> WireStatus {
        var status = WireStatus()
        let governance = authority.governance
        status.gate = WireGateState(governance.gate)
        status.leaseMs = UInt32(lease.milliseconds)
        status.upUs = (now - started).microseconds
        status.entries = authority.durable
        status.entriesWaiting = authority.entriesWaiting
        status.journal = authority.journalTrouble ?? ""
        status.pending = Array(authority.pending.prefix(Sessions.pendingShownMax))
        status.wallUs = Clock.wall().microseconds
        status.incidentsOpen = UInt32(governance.incidents.values.count { $0.state != .closed })
        for node in trusted.nodes where node.role == "service" && node.name != "control" {
            var service = services[node.name]?.status ?? WireServiceStatus()
            service.name = node.name
            if let until = authority.leases.granted[node.name], until > now {
                service.leaseLeftMs = UInt32(clamping: (until - now).milliseconds)
            }
            service.connected = (services[node.name]?.isGranted ?? false) && service.leaseLeftMs > 0
            status.services.append(service)
        }
        status.agentsRegistered = UInt32(governance.nodes.values.count { $0.role == .agent })
        status.agentsCurrent = UInt32(currentAgents.count)
        let silences = silentAgents
        status.agentsConnected = status.agentsCurrent + UInt32(silences.count)
        status.silent = silences.sorted { $0.key < $1.key }.prefix(50).compactMap { ordinal, since in
            governance.nodes[ordinal].map { AgentState(node: $0, state: "silent", since: since).wire }
        }
        status.counters["handshakes.refused"] = admission.refusals
        for (word, count) in binder.refusals { status.counters["refused.\(word)"] = count }
        status.counters["refused.retired-key"] = retiredKeysRefused
        for (word, count) in joinPort { status.counters["joins.\(word)"] = count }
        for (word, count) in hookDoors { status.counters["hooks.\(word)"] = count }
        if isReporterSilent(at: now) { status.counters["hooks.silent"] = 1 }
        for (word, count) in refusedJoins { status.counters["joins.refused.\(word)"] = count }
        for (word, count) in refusedCommands { status.counters["commands.refused.\(word)"] = count }
        for (ledger, count) in anchors.refused { status.counters["ledger.\(ledger).refused"] = count }
        if claimsRefused > 0 { status.counters["claims.refused"] = claimsRefused }
        status.ledgers = anchors.ledgers
        status.proposalsOpen = UInt32(authority.planned.proposals.open.count)
        return status
    }

    /// Ordinals whose lease is live, as the ingests that hold one themselves last said.
    private var currentAgents: Set<UInt32> {
        let now = Clock.now()
        var all: Set<UInt32> = []
        for (name, ordinals) in current where authority.leases.isHeld(name, at: now) { all.formUnion(ordinals) }
        return all
    }

    private var silentAgents: [UInt32: Int64] {
        let now = Clock.now()
        var all: [UInt32: Int64] = [:]
        for (name, list) in silent where authority.leases.isHeld(name, at: now) {
            for silence in list { all[silence.agent] = silence.sinceUs }
        }
        return all
    }

    private struct AgentState {
        var node: Node
        var state: String
        var since: Int64
        var wire: WireAgentStatus {
            var wire = WireAgentStatus()
            wire.node = WireNode(node)
            wire.state = state
            wire.sinceUs = since
            return wire
        }
    }

    private static let agentsPerPage = 2_000
    private static let statementsShownMax = 2 << 20
    private static let pendingShownMax = 1_000

    private func agents(_ asked: WireAgentsQuery) -> WireAgents {
        let selector = asked.selector.value
        let current = currentAgents
        let silent = silentAgents
        var answer = WireAgents()
        let nodes = authority.governance.nodes.values
            .filter { $0.role == .agent && selector.matches($0.scope) && $0.name > asked.after }.sorted { $0.name < $1.name }
        answer.agents = nodes.prefix(Sessions.agentsPerPage).map { node in
            if current.contains(node.ordinal) { return AgentState(node: node, state: "current", since: 0).wire }
            if let since = silent[node.ordinal] { return AgentState(node: node, state: "silent", since: since).wire }
            return AgentState(node: node, state: "absent", since: 0).wire
        }
        answer.more = nodes.count > Sessions.agentsPerPage
        return answer
    }
}

extension WireIncident {
    init(_ incident: Incident) {
        self.init()
        self.incident = incident.number
        title = incident.title
        state = incident.state.rawValue
        openedUs = incident.opened.microseconds
        movedUs = incident.moved.microseconds
        closure = incident.closure.number
        self.class = incident.dataClass
        author = incident.author
        leak = incident.isLeak
        findings = incident.findings
    }
}

extension WireIncidentStep {
    init(_ step: IncidentStep) {
        self.init()
        entry = step.index
        atUs = step.at.microseconds
        author = step.author
        switch step.what {
        case .opened: what = "opened"
        case .found(let finding):
            (what, detector, text) = ("found", finding.detector, finding.sentence)
            (foundUs, closedAfterUs) = (finding.at.microseconds, UInt32(clamping: finding.closedAfter.microseconds))
        case .moved(let state): (what, text) = ("moved", state.rawValue)
        case .certified(let epoch, let isComplete): (what, text) = ("certified", "certificate \(epoch.number), \(isComplete ? "complete" : "NOT complete")")
        case .resumed(let epoch): (what, text) = ("resumed", "epoch \(epoch.number) lifted")
        case .noted(let said): (what, text) = ("noted", said)
        case .assessed(let computed, let summary): (what, exposure, text) = ("assessed", Data(computed), summary)
        case .noticesDecided(let count): (what, text) = ("decided", "\(count) people are told")
        case .notified(let delivered, let unreachable): (what, text) = ("notified", "\(delivered) have their notice, \(unreachable) were not reached")
        }
    }
}
