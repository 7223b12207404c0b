package import Gate
package import Foundation

// Between the ground floor's values and the bytes. What cannot be understood counts as "no".

extension WireSelector {
    package init(_ selector: Selector) {
        sites = selector.sites.sorted()
        teams = selector.teams.sorted()
        subjects = selector.subjects.sorted()
        classes = selector.classes.map(\.name).sorted()
        readers = selector.readers.sorted()
        purposes = selector.purposes.sorted()
    }

    package var value: Selector {
        Selector(
            sites: Set(sites), teams: Set(teams), subjects: Set(subjects), classes: Set(classes.map { DataClass($0) }),
            readers: Set(readers), purposes: Set(purposes))
    }
}

extension WireDirection {
    package init(_ direction: Direction) {
        switch direction {
        case .capture: self = .capture
        case .read: self = .read
        case .both: self = .both
        }
    }

    package var value: Direction {
        switch self {
        case .capture: .capture
        case .read: .read
        case .both, .unknown, .UNRECOGNIZED: .both
        }
    }
}

extension WireClosure {
    package init(_ closure: Closure) {
        epoch = closure.epoch.number
        direction = WireDirection(closure.direction)
        selector = WireSelector(closure.selector)
        reason = closure.reason
        author = closure.author
        incident = closure.incident
        fromUs = closure.from.microseconds
        untilUs = closure.until?.microseconds ?? 0
    }

    package var value: Closure {
        Closure(
            epoch: Epoch(epoch), direction: direction.value, selector: selector.value, reason: reason, author: author,
            incident: incident, from: WallTime(microseconds: fromUs), until: untilUs == 0 ? nil : WallTime(microseconds: untilUs))
    }
}

extension WireGateState {
    package init(_ gate: GateState) {
        epoch = gate.epoch.number
        closures = gate.closures.map { WireClosure($0) }
        sealed = gate.seal ?? ""
    }

    package var value: GateState {
        GateState(epoch: Epoch(epoch), closures: closures.map(\.value), seal: sealed.isEmpty ? nil : sealed)
    }
}

extension WirePermit {
    package init(_ permit: Permit) {
        epoch = permit.epoch.number
        classes = permit.classes.map(\.name).sorted()
        rules = Data(permit.rules)
        policy = permit.policy
    }

    package var value: Permit {
        Permit(epoch: Epoch(epoch), classes: Set(classes.map { DataClass($0) }), rules: [UInt8](rules), policy: policy)
    }
}

extension Nonce {
    package init?(_ bytes: Data) {
        guard bytes.count == 16 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &words) { _ = bytes.copyBytes(to: $0) }
        self.init(high: words.0, low: words.1)
    }

    package static func random() -> Nonce {
        Nonce(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    package var bytes: Data {
        var words = (high, low)
        return withUnsafeBytes(of: &words) { Data($0) }
    }
}

extension WireRole {
    package init(_ role: Role) {
        switch role {
        case .agent: self = .agent
        case .service: self = .service
        case .operate: self = .operator
        case .reader: self = .reader
        }
    }

    package var value: Role? {
        switch self {
        case .agent: .agent
        case .service: .service
        case .operator: .operate
        case .reader: .reader
        case .unknown, .UNRECOGNIZED: nil
        }
    }
}

extension WireNode {
    package init(_ node: Node) {
        name = node.name
        ordinal = node.ordinal
        key = Data(node.key)
        role = WireRole(node.role)
        subject = node.scope.subject
        site = node.scope.site
        team = node.scope.team
    }

    /// Nil: no role that is known, or no key.
    package var value: Node? {
        guard let role = role.value, key.count == 32 else { return nil }
        return Node(
            name: name, ordinal: ordinal, key: [UInt8](key), role: role, scope: Scope(subject: subject, site: site, team: team))
    }
}

extension WireCertificate {
    package init(_ certificate: Certificate) {
        epoch = certificate.epoch.number
        closure = WireClosure(certificate.closure)
        issuedUs = certificate.issued.microseconds
        services = WireCertificate.stops(certificate.services)
        agents = WireCertificate.stops(certificate.agents)
        completeAfterUs = UInt32(clamping: certificate.completeAfter.microseconds)
        readingAfterUs = UInt32(clamping: certificate.readingAfter?.microseconds ?? 0)
        complete = certificate.isComplete
        unconfirmed = certificate.unconfirmed
        durableIn = certificate.durableIn.map(\.rawValue).sorted()
        leaseMs = UInt32(clamping: certificate.lease.milliseconds)
    }

    package var value: Certificate {
        let closure = self.closure.value
        return Certificate(
            closure: closure, lease: .milliseconds(Int64(leaseMs)), issued: WallTime(microseconds: issuedUs),
            services: WireCertificate.values(services), agents: WireCertificate.values(agents),
            completeAfter: .microseconds(Int64(completeAfterUs)),
            readingAfter: closure.stopsReading ? .microseconds(Int64(readingAfterUs)) : nil,
            durableIn: Set(durableIn.compactMap { Certificate.Store(rawValue: $0) }), unconfirmed: unconfirmed)
    }

    private static func stops(_ stops: [String: Stop]) -> [WireNodeStop] {
        stops.sorted { $0.key < $1.key }.map { name, stop in
            var wire = WireNodeStop()
            wire.node = name
            wire.afterUs = UInt32(clamping: stop.after.microseconds)
            wire.how =
                switch stop {
                case .acknowledged: .acknowledged
                case .leaseEnded: .leaseEnded
                case .noLease: .noLease
                }
            return wire
        }
    }

    private static func values(_ stops: [WireNodeStop]) -> [String: Stop] {
        var values: [String: Stop] = [:]
        for stop in stops {
            let after = Span.microseconds(Int64(stop.afterUs))
            values[stop.node] =
                switch stop.how {
                case .acknowledged: .acknowledged(after: after)
                case .noLease: .noLease
                case .leaseEnded, .unknown, .UNRECOGNIZED: .leaseEnded(by: after)
                }
        }
        return values
    }
}

extension WireEntry {
    package init(_ entry: Entry) {
        index = entry.index
        atUs = entry.at.microseconds
        author = entry.author
        proposal = entry.proposal ?? 0
        switch entry.deed {
        case .began(let beginning): began = WireBegan(beginning)
        case .operatorsChanged(let removed, let added):
            operatorsChanged = WireOperatorsChanged()
            operatorsChanged.removed = removed
            operatorsChanged.added = added.map { WireOperator($0) }
        case .vaultKeyAnnounced(let key):
            vaultKeyAnnounced = WireVaultKeyAnnounced()
            vaultKeyAnnounced.key = Data(key)
        case .serviceKeyAnnounced(let key, let service, let before):
            serviceKeyAnnounced = WireServiceKeyAnnounced()
            serviceKeyAnnounced.service = service
            serviceKeyAnnounced.key = Data(key)
            serviceKeyAnnounced.beside = Data(before)
        case .serviceKeyRetired(let key, let service):
            serviceKeyRetired = WireServiceKeyRetired()
            serviceKeyRetired.service = service
            serviceKeyRetired.key = Data(key)
        case .ledgerKeyAnnounced(let key, let before):
            ledgerKeyAnnounced = WireLedgerKeyAnnounced()
            ledgerKeyAnnounced.key = key
            ledgerKeyAnnounced.beside = before
        case .ledgerKeyRetired(let key):
            ledgerKeyRetired = WireLedgerKeyRetired()
            ledgerKeyRetired.key = key
        case .proposed(let number, let hash, let until, _):
            proposed = WireProposed()
            proposed.proposal = number
            proposed.hash = Data(hash.bytes)
            proposed.untilUs = until.microseconds
        case .approved(let number):
            approved = WireApproved()
            approved.proposal = number
        case .withdrawn(let number):
            withdrawn = WireWithdrawn()
            withdrawn.proposal = number
        case .enrolmentOpened(let enrolment): enrolmentOpened = WireEnrolmentOpened(enrolment)
        case .registered(let nodes, let enrolment):
            registered = WireNodesRegistered()
            registered.nodes = nodes.map { WireNode($0) }
            registered.enrolment = enrolment ?? 0
        case .removed(let ordinals):
            removed = WireNodesRemoved()
            removed.ordinals = ordinals
        case .paused(let closure):
            paused = WireClosure(closure)
        case .resumed(let epoch, let closures, let reason):
            resumed = WireResumed()
            resumed.epoch = epoch.number
            resumed.closures = closures.map(\.number)
            resumed.reason = reason
        case .incidentOpened(let number, let title, let closure, let dataClass, let isLeak):
            incidentOpened = WireIncidentOpened()
            incidentOpened.incident = number
            incidentOpened.title = title
            incidentOpened.closure = closure.number
            incidentOpened.class = dataClass
            incidentOpened.leak = isLeak
        case .incidentMoved(let number, let state):
            incidentMoved = WireIncidentMoved()
            incidentMoved.incident = number
            incidentMoved.state = state.rawValue
        case .found(let finding, let number, let closure):
            found = WireFound()
            found.finding = WireFinding(finding)
            found.incident = number
            if let closure { found.closure = WireClosure(closure) }
        case .drillBegan(let drill): drillBegan = WireDrillBegan(drill)
        case .drillEnded(let number, let epoch, let outcome): drillEnded = WireDrillEnded(number, epoch, outcome)
        case .incidentNoted(let number, let text): incidentNoted = WireIncidentNote(number, text)
        case .incidentAssessed(let number, let exposure, let summary): incidentAssessed = WireIncidentAssessment(number, exposure, summary)
        case .noticesDecided(let number, let count, let digest): noticesDecided = WireNoticesDecided(number, count, digest)
        case .incidentNotified(let number, let decision, let delivered, let unreachable): incidentNotified = WireIncidentNotified(number, decision, delivered, unreachable)
        case .certified(let certificate):
            certified = WireCertificate(certificate)
        case .readsRestored(let abandons, let adopts, let reason):
            readsRestored = WireReadsRestored()
            readsRestored.abandons = Data(abandons)
            readsRestored.adopts = Data(adopts)
            readsRestored.reason = reason
        case .policyApplied(let document, let over): policyApplied = WirePolicyApplied(document, over)
        case .recordsChanged(let subjects, let purpose, let kind, let given): recordsChanged = WireRecordsChanged(subjects, purpose, kind, given)
        case .erased(let subjects): erased = WireSubjects(subjects)
        case .readmitted(let subjects): readmitted = WireSubjects(subjects)
        case .held(let incident, let subjects): held = WireHold(incident, subjects)
        case .holdLifted(let incident, let subjects): holdLifted = WireHold(incident, subjects)
        case .unsealed(let epoch, let dropped, let reason, let abandons):
            unsealed = WireUnsealed()
            unsealed.epoch = epoch.number
            unsealed.dropped = dropped.map(\.number)
            unsealed.reason = reason
            unsealed.abandons = Data(abandons)
        }
    }

    /// Nil: a deed, role or state that is not known here. A follower that meets one acts as stopped.
    package var value: Entry? {
        let deed: Entry.Deed
        switch self.deed {
        case .began(let body):
            guard let beginning = body.value else { return nil }
            deed = .began(beginning)
        case .operatorsChanged(let body):
            let added = body.added.compactMap(\.value)
            guard added.count == body.added.count else { return nil }
            deed = .operatorsChanged(removed: body.removed, added: added)
        case .vaultKeyAnnounced(let body):
            guard body.key.count == 32 else { return nil }
            deed = .vaultKeyAnnounced([UInt8](body.key))
        case .serviceKeyAnnounced(let body): deed = .serviceKeyAnnounced([UInt8](body.key), service: body.service, beside: [UInt8](body.beside))
        case .serviceKeyRetired(let body): deed = .serviceKeyRetired([UInt8](body.key), service: body.service)
        case .ledgerKeyAnnounced(let body): deed = .ledgerKeyAnnounced(body.key, beside: body.beside)
        case .ledgerKeyRetired(let body): deed = .ledgerKeyRetired(body.key)
        case .proposed(let body):
            guard let hash = ProposalHash([UInt8](body.hash)), let command = signed.command?.value else { return nil }
            deed = .proposed(number: body.proposal, hash, until: WallTime(microseconds: body.untilUs), command)
        case .approved(let body): deed = .approved(number: body.proposal)
        case .withdrawn(let body): deed = .withdrawn(number: body.proposal)
        case .enrolmentOpened(let body):
            guard let enrolment = body.value else { return nil }
            deed = .enrolmentOpened(enrolment)
        case .registered(let body):
            let nodes = body.nodes.compactMap(\.value)
            guard nodes.count == body.nodes.count else { return nil }
            deed = .registered(nodes, enrolment: body.enrolment == 0 ? nil : body.enrolment)
        case .removed(let body): deed = .removed(body.ordinals)
        case .paused(let body): deed = .paused(body.value)
        case .resumed(let body):
            deed = .resumed(to: Epoch(body.epoch), closures: body.closures.map { Epoch($0) }, reason: body.reason)
        case .incidentOpened(let body):
            deed = .incidentOpened(
                number: body.incident, title: body.title, closure: Epoch(body.closure), dataClass: body.class, isLeak: body.leak)
        case .incidentMoved(let body):
            guard let state = IncidentState(rawValue: body.state) else { return nil }
            deed = .incidentMoved(number: body.incident, to: state)
        case .found(let body):
            guard let finding = body.finding.value else { return nil }
            deed = .found(finding, incident: body.incident, closes: body.hasClosure ? body.closure.value : nil)
        case .drillBegan(let body):
            guard let drill = body.value else { return nil }
            deed = .drillBegan(drill)
        case .drillEnded(let body): deed = .drillEnded(number: body.drill, to: Epoch(body.epoch), body.value)
        case .incidentNoted(let body): deed = .incidentNoted(number: body.incident, body.text)
        case .incidentAssessed(let body):
            guard body.exposure.count == 32 else { return nil }
            deed = .incidentAssessed(number: body.incident, exposure: [UInt8](body.exposure), summary: body.summary)
        case .noticesDecided(let body):
            guard body.digest.count == DecidedNotices.digestBytes else { return nil }
            deed = .noticesDecided(incident: body.incident, count: body.count, digest: [UInt8](body.digest))
        case .incidentNotified(let body): deed = .incidentNotified(number: body.incident, decision: body.decision, delivered: body.delivered, unreachable: body.unreachable)
        case .certified(let body): deed = .certified(body.value)
        case .unsealed(let body):
            deed = .unsealed(Epoch(body.epoch), dropped: body.dropped.map { Epoch($0) }, reason: body.reason, abandons: [UInt8](body.abandons))
        case .readsRestored(let body): deed = .readsRestored(abandons: [UInt8](body.abandons), adopts: [UInt8](body.adopts), reason: body.reason)
        case .policyApplied(let body):
            guard !body.document.isEmpty else { return nil }
            deed = .policyApplied([UInt8](body.document), over: body.over)
        case .recordsChanged(let body):
            guard let kind = body.kind.value, !body.subjects.isEmpty, !body.purpose.isEmpty else { return nil }
            deed = .recordsChanged(body.subjects, purpose: body.purpose, kind, given: body.given)
        case .erased(let body): deed = .erased(body.subjects)
        case .readmitted(let body): deed = .readmitted(body.subjects)
        case .held(let body): deed = .held(incident: body.incident, body.subjects)
        case .holdLifted(let body): deed = .holdLifted(incident: body.incident, body.subjects)
        case nil: return nil
        }
        return Entry(
            index: index, at: WallTime(microseconds: atUs), author: author, proposal: proposal == 0 ? nil : proposal, deed: deed)
    }
}
