import Chassis
import Gate
import Identity
import Rules
import Wire

/// What a command would do if it were carried out now: what would be recorded, and what would be allowed then that is not.
///
/// A view of the state for the length of one question. It changes nothing, and nobody keeps it: while it is there, whatever changes the state copies it.
struct Planning {
    /// The fold of all entries, also of those that are not durable yet.
    let planned: Governance
    /// What is in force.
    let inForce: Governance
    /// Of the newest entry, durable or not.
    let index: UInt64
    /// Epochs are given from above this one.
    let issued: Epoch
    let losses: Losses
    /// Policy's ledger is not believed: what was cosigned of it, and what is offered in its place.
    let readsInTrouble: (abandons: String, adopts: String)?
    /// The registry: who is a service, and whose keys are taken.
    let trusted: TrustedNodes?
    /// Which document lets anybody do what another does not.
    let compare: PolicyComparison
    let reading: PolicyReading
    /// The keys that this ledger is signed with now; empty: not known.
    var signing: [String] = []

    /// What would be recorded if the command were carried out now. Changes nothing.
    func deeds(of command: Command, by author: String, at wall: WallTime) throws(Refused) -> [Entry.Deed] {
        switch command {
        case .pause(let selector, let direction, let reason):
            try Planning.check(reason: reason)
            try check(selector)
            return [.paused(closure(selector, direction, reason, author, wall))]
        case .leak(let dataClass, let reason, let source):
            try Planning.check(reason: reason)
            guard source.utf8.count <= Limits.nameBytesMax else {
                throw Refused(.invalid, "the source of a leak has at most \(Limits.nameBytesMax) bytes")
            }
            let selector = Selector(classes: dataClass.isEmpty ? [] : [DataClass(dataClass)])
            try check(selector)
            let title = source.isEmpty || source == "operator" ? reason : "\(reason) (noticed by \(source))"
            return [.paused(closure(selector, .both, title, author, wall))]
        case .resume(let closures, let reason, let unseal, let drops, let abandons): return try planResume(closures, reason, unseal, (drops, abandons))
        case .register(let nodes): return try planRegistration(nodes)
        case .remove(let names):
            let gone = names.compactMap { planned.node(named: $0)?.ordinal }
            return gone.isEmpty ? [] : [.removed(gone)]
        case .closeIncident(let number):
            guard let incident = planned.incidents[number] else { throw Refused(.notFound, "there is no incident \(number)") }
            guard !planned.gate.closures.contains(where: { $0.epoch == incident.closure }) else {
                throw Refused(.invalid, "incident \(number) has closure \(incident.closure.number) in force: resume it first")
            }
            if let held = planned.holds[number] {
                throw Refused(.invalid, "incident \(number) holds what there is of \(held.count) people: lift that first ('sluice hold list')")
            }
            return incident.state == .closed ? [] : [.incidentMoved(number: number, to: .closed)]
        case .reopenIncident(let number):
            guard try incident(number).state == .closed else { return [] }
            return [.incidentMoved(number: number, to: .open)]
        case .noteIncident(let number, let text):
            _ = try incident(number)
            try Planning.check(reason: text)
            return [.incidentNoted(number: number, text)]
        case .assessIncident(let number, let exposure, let summary):
            guard try incident(number).state != .closed else { throw Refused(.invalid, "incident \(number) is closed: open it again first") }
            try Planning.check(reason: summary)
            return [.incidentAssessed(number: number, exposure: exposure, summary: summary)]
        case .sendNotices(let number, let count, let digest):
            do throws(NoticesRefused) { try planned.check(decidingNotices: number, count: count, digest: digest) } catch { throw Refused(error, number) }
            return [.noticesDecided(incident: number, count: count, digest: digest)]
        case .incidentNotified(let number, let decision, let delivered, let unreachable):
            do throws(NoticesRefused) { try planned.check(notified: number, by: decision, delivered: delivered, unreachable: unreachable) } catch { throw Refused(error, number) }
            if planned.incidents[number]?.state == .notified, planned.incidents[number]?.steps.contains(where: { $0.what == .notified(delivered: delivered, unreachable: unreachable) && $0.index > decision }) == true { return [] }
            return [.incidentNotified(number: number, decision: decision, delivered: delivered, unreachable: unreachable)]
        case .changeOperators(let removing, let adding):
            guard !removing.isEmpty || !adding.isEmpty else { throw Refused(.invalid, "name an operator to add or to remove") }
            for new in adding {
                if planned.node(named: new.name)?.role == .reader { throw Refused(.invalid, "'\(new.name)' is the name of a reader") }
                try refuseProbe(new.name)
                do throws(PublicKeyError) { _ = try OperatorPublicKey(raw: new.key) } catch { throw Refused(.invalid, "the key of \(new.name) \(error)") }
            }
            var trial = planned.operators
            do throws(OperatorsRefused) { try trial.change(removing: Set(removing), adding: adding) } catch { throw Refused(error) }
            try checkSessions(of: adding, removing: removing)
            return [.operatorsChanged(removed: removing, added: adding)]
        case .announceVaultKey(let key):
            return key == planned.vaultKey ? [] : [.vaultKeyAnnounced(key)]
        case .announceServiceKey(let key, let service, let before): return try deeds(announcing: key, for: service, beside: before)
        case .retireServiceKey(let key, let service): return try deeds(retiring: key, of: service)
        case .announceLedgerKey(let key, let before):
            if planned.ledgerKeys.current[LedgerKeys.name(of: key)] == [before, key] { return [] }
            do throws(LedgerKeysRefused) { try planned.check(announcingLedgerKey: key, beside: before) } catch { throw Refused(error, LedgerKeys.name(of: key)) }
            return [.ledgerKeyAnnounced(key, beside: before)]
        case .retireLedgerKey(let key):
            var trial = planned.ledgerKeys
            do throws(LedgerKeysRefused) { try trial.retire(key) } catch { throw Refused(error, LedgerKeys.name(of: key)) }
            // What nobody can sign for any more nobody follows: everything would stop, and no other key could be announced.
            if planned.isOwn(key), !signing.isEmpty, !signing.contains(where: { trial.current[LedgerKeys.name(of: key)]?.contains($0) ?? false }) {
                throw Refused(.invalid, "control signs its ledger with this key alone: 'sluice ledger-key use control.ledger' on its machine first, then retire this one")
            }
            return [.ledgerKeyRetired(key)]
        case .enrol(let asked, let seconds):
            guard [asked.scope.site, asked.scope.team, asked.name].allSatisfy({ $0.utf8.count <= Limits.nameBytesMax }),
                (1...Limits.nameBytesMax).contains(asked.scope.subject.utf8.count), (1...86_400).contains(seconds)
            else { throw Refused(.invalid, "an enrolment has a subject, perhaps a site, a team and a name, of at most \(Limits.nameBytesMax) bytes each, and is good for at most a day") }
            var enrolment = asked
            enrolment.number = planned.nextEnrolment
            enrolment.until = wall + .seconds(Int64(seconds))
            return [.enrolmentOpened(enrolment)]
        case .restoreReads(let abandons, let adopts, let reason):
            try Planning.check(reason: reason)
            guard let held = readsInTrouble, Array(held.abandons.utf8) == abandons, Array(held.adopts.utf8) == adopts else {
                throw Refused(.notFound, "policy's ledger is not in trouble, or by other checkpoints than these: 'sluice status' shows it")
            }
            if planned.readsRestored[abandons] == adopts { return [] }
            return [.readsRestored(abandons: abandons, adopts: adopts, reason: reason)]
        case .applyPolicy(let document, let over): return try deeds(applying: document, over: over)
        case .changeRecords(let subjects, let purpose, let kind, let given): return try deeds(changing: subjects, purpose, kind, given: given)
        case .erase(let subjects): return try deeds(erasing: subjects)
        case .readmit(let subjects): return try deeds(readmitting: subjects)
        case .hold(let incident, let subjects): return try deeds(holding: subjects, incident)
        case .liftHold(let incident, let subjects): return try deeds(lifting: subjects, incident)
        case .drill(let sites, let bounds): return try deeds(drilling: sites, bounds)
        case .withdraw(let number):
            var trial = planned.proposals
            do throws(ApprovalRefused) { try trial.withdraw(number, by: author, of: planned.operators, at: wall) } catch { throw Refused(error) }
            return [.withdrawn(number: number)]
        }
    }

    private func incident(_ number: UInt64) throws(Refused) -> Incident {
        guard let incident = planned.incidents[number] else { throw Refused(.notFound, "there is no incident \(number): 'sluice incidents' lists them") }
        return incident
    }

    private func closure(_ selector: Selector, _ direction: Direction, _ title: String, _ author: String, _ wall: WallTime) -> Closure {
        Closure(
            epoch: planned.nextEpoch(after: issued), direction: direction, selector: selector, reason: title, author: author,
            incident: planned.nextIncident, from: wall)
    }

    /// - Parameter given: what an unsealing gives up, as it was signed.
    private func planResume(_ asked: [Epoch], _ reason: String, _ unseal: Bool, _ given: (drops: [Epoch], abandons: [UInt8])) throws(Refused) -> [Entry.Deed] {
        try Planning.check(reason: reason)
        if inForce.gate.seal != nil {
            guard unseal else { throw Refused(.sealed, inForce.gate.seal ?? "") }
            guard losses.epoch != nil else {
                throw Refused(.sealed, "policy has not been heard since control started: start it, it opens by itself")
            }
        }
        let inForce = Set(planned.gate.closures.map(\.epoch))
        if let unknown = Set(asked).subtracting(inForce).min() {
            let list = inForce.map { "\($0.number)" }.sorted().joined(separator: ", ")
            throw Refused(.notFound, "no closure \(unknown.number) is in force\(list.isEmpty ? "; none is" : "; in force: \(list)")")
        }
        let claimed = unseal ? losses.claimed : nil
        guard !asked.isEmpty || claimed != nil else { throw Refused(.notFound, inForce.isEmpty ? "nothing is closed" : "name the closures to lift: who approves must see which") }
        var deeds: [Entry.Deed] = []
        var epoch = planned.nextEpoch(after: max(issued, claimed?.epoch ?? .none))
        if let claimed {
            // Whoever signed has seen what is lost by it, and nothing else is given up in their name.
            guard claimed.closures == Set(given.drops), claimed.abandoned == given.abandons else {
                throw Refused(.notFound, "what is known of lost entries is not, or not any more, what this gives up: 'sluice status' shows it; propose it again")
            }
            deeds.append(.unsealed(epoch, dropped: claimed.closures.sorted(), reason: reason, abandons: claimed.abandoned))
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
            // A reader may be a job: then nobody's, and nowhere. Where a person is gives roles, so it is signed by two as the rest.
            guard !node.scope.subject.isEmpty && node.role == .agent || node.role == .reader && (!node.scope.subject.isEmpty || node.scope.site.isEmpty && node.scope.team.isEmpty), !node.name.isEmpty,
                [node.name, node.scope.subject, node.scope.site, node.scope.team].allSatisfy({ $0.utf8.count <= Limits.nameBytesMax })
            else {
                throw Refused(
                    .invalid, "an agent has a name, a subject, perhaps a site and a team, of at most \(Limits.nameBytesMax) bytes each, and a key of 32; a reader a name, perhaps a subject, with a subject perhaps a site and a team, and a key")
            }
            // Grants go by names: nobody may come to have another's.
            try refuseProbe(node.name)
            if let known = planned.node(named: node.name), known.role != node.role {
                throw Refused(.invalid, "'\(node.name)' is \(known.role == .reader ? "a reader" : "an agent"): remove it first, or take another name")
            }
            if node.role == .reader, planned.operators[node.name] != nil || trusted?.nodes.contains(where: { $0.name == node.name }) ?? false {
                throw Refused(.invalid, "'\(node.name)' is the name of an operator, a service or a reader of the registry")
            }
            guard !planned.revokedKeys.contains(node.key) else {
                throw Refused(.revokedKey, "the key of '\(node.name)' was taken away with an agent: it never comes back, make a new one")
            }
            if let holder = holderBesideAgents(of: node.key) {
                throw Refused(.invalid, "the key of '\(node.name)' is, or was, the key of \(holder): whoever has it would be both")
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
        guard !added.isEmpty else { return [] }
        try planned.checkCertifiable(with: added)
        return [.registered(added, enrolment: nil)]
    }

    private func refuseProbe(_ name: String) throws(Refused) {
        if name == Probe.name { throw Refused(.invalid, "'\(name)' is the name under which policy asks itself whether anybody may read: take another") }
    }

    /// Which side a command is on: the state before it is compared with the state after it.
    func consequence(of deeds: [Entry.Deed], by author: String, at wall: WallTime) -> Powers.Consequence {
        var after = planned
        for (number, deed) in deeds.enumerated() { after.apply(Entry(index: index + 1 + UInt64(number), at: wall, author: author, deed: deed)) }
        let consequence = Powers(planned).consequence(of: Powers(after), comparing: compare)
        // The seal that an unsealing lifts is this run's, and stands in no entry.
        guard deeds.contains(where: \.alwaysTakesTwo) else { return consequence }
        let isUnsealing = deeds.contains { if case .unsealed = $0 { true } else { false } }
        return .widens((isUnsealing ? [.unseals] : []) + consequence.gains)
    }

    private static func check(reason: String) throws(Refused) {
        guard !reason.isEmpty, reason.utf8.count <= Limits.reasonBytesMax else {
            throw Refused(.invalid, "a reason has 1 to \(Limits.reasonBytesMax) bytes: it is what people will read")
        }
    }

    /// A pause of something that does not exist would stop nothing and look like a success.
    /// Whether there is something of all that it names.
    func knows(_ selector: Selector) -> Bool {
        do { try check(selector) } catch { return false }
        return true
    }

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
            let there = Set(inForce.nodes.values.lazy.filter { $0.role == .agent }.map(known))
            if let unknown = asked.subtracting(there).min() {
                throw Refused(.notFound, "no agent has the \(what) '\(unknown)': nothing was stopped; 'sluice agents' lists them")
            }
        }
        try missing(selector.sites, "site") { $0.scope.site }
        try missing(selector.teams, "team") { $0.scope.team }
        try missing(selector.subjects, "subject") { $0.scope.subject }
        guard !selector.classes.isEmpty, let classes else { return }
        if let unknown = selector.classes.subtracting(classes.map { DataClass($0) }).min() {
            throw Refused(.notFound, "there is no class '\(unknown.name)': nothing was stopped; there are \(classes.joined(separator: ", "))")
        }
    }

    /// Of the document in force, and those from before there was one: what is stored may be of them. Nil: that cannot be said, and whatever is named is stopped.
    var classes: [String]? {
        let before = ["activity", "content", "conversation", "review"]
        guard let policy = planned.policy else { return before }
        return reading.document(policy).map { document in before + document.classes.map(\.name).filter { !before.contains($0) } }
    }
}

extension Governance {
    /// A pause of everybody must have a certificate, and that is one entry: who does not fit into it is not registered.
    ///
    /// - Throws: `tooLarge`.
    func checkCertifiable(with added: [Node]) throws(Refused) {
        let added = added.filter { ordinals[$0.name] == nil }
        // However long all names are: nothing to count in most suites, because somebody joins fifty times a second.
        guard !added.isEmpty, (nodes.count + added.count) * (Limits.nameBytesMax + Limits.certifiedAgentBytes) > Limits.certifiedBytesMax else { return }
        func bytes(_ nodes: some Sequence<Node>) -> Int { nodes.reduce(0) { $0 + $1.name.utf8.count + Limits.certifiedAgentBytes } }
        let bytes = bytes(nodes.values) + bytes(added)
        guard bytes > Limits.certifiedBytesMax else { return }
        throw Refused(
            .tooLarge, "\(nodes.count) agents are registered, and with these the certificate of a pause would have \(bytes) bytes of names; \(Limits.certifiedBytesMax) fit: remove agents that are gone, use shorter names, or begin another suite")
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
