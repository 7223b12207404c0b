/// How a node is known to have stopped, and how long after the command.
package enum Stop: Hashable, Sendable {
    /// It said so.
    case acknowledged(after: Span)
    /// It did not; its lease had ended by then.
    case leaseEnded(by: Span)
    /// It held no lease when the command arrived.
    case noLease
}

/// The proof of a stop: who stopped, how that is known, when it was complete, and what could not be confirmed.
package struct Certificate: Hashable, Sendable {
    package var closure: Closure
    package var lease: Span
    package var issued: WallTime
    package var services: [String: Stop]
    package var agents: [String: Stop]
    /// After the command: capture and reading stopped everywhere in scope.
    package var completeAfter: Span
    /// After the command: reading stopped. Nil: the closure leaves reading alone.
    package var readingAfter: Span?
    package var durableIn: Set<Store>
    /// What stands in the way of completeness, for people. Empty: complete.
    package var unconfirmed: [String]

    package var isComplete: Bool { unconfirmed.isEmpty }
    package var epoch: Epoch { closure.epoch }

    /// Where the record of a pause may be durable. One is enough.
    package enum Store: String, Hashable, Sendable, CaseIterable { case journal, vault }

    package init(
        closure: Closure, lease: Span, issued: WallTime, services: [String: Stop], agents: [String: Stop], completeAfter: Span,
        readingAfter: Span?, durableIn: Set<Store>, unconfirmed: [String]
    ) {
        self.closure = closure
        self.lease = lease
        self.issued = issued
        self.services = services
        self.agents = agents
        self.completeAfter = completeAfter
        self.readingAfter = readingAfter
        self.durableIn = durableIn
        self.unconfirmed = unconfirmed
    }
}

/// Follows one pause from the command to its certificate.
///
/// States of a node: *awaited*, then one of ``Stop``. States of the whole: *stopping*, *stopped* (nobody is awaited), *complete*
/// (stopped, and the record is durable somewhere). Acknowledgements only make it faster: what makes it certain is that
/// every lease ends.
package struct StopTracker: Sendable {
    /// A service that holds a lease from control, and what follows from it.
    package struct Service: Hashable, Sendable {
        package var name: String
        /// The end of the last lease granted to it; nil: none.
        package var leaseUntil: Instant?
        package var grantsAgents: Bool
        package var releases: Bool

        package init(name: String, leaseUntil: Instant?, grantsAgents: Bool = false, releases: Bool = false) {
            self.name = name
            self.leaseUntil = leaseUntil
            self.grantsAgents = grantsAgents
            self.releases = releases
        }
    }

    package let closure: Closure
    package let lease: Span
    package let start: Instant
    package private(set) var stoppedServices: [String: Stop] = [:]
    package private(set) var stoppedAgents: [String: Stop] = [:]
    package private(set) var durableIn: Set<Certificate.Store> = []
    /// The moment by which every lease has ended that was out when the command arrived.
    package let allEnded: Instant
    private var awaitedServices: [String: Service]
    private var awaitedAgents: Set<String>
    /// Ingests that have not said which agents hold a lease from them.
    private var unreported: Set<String>
    private var leased: Set<String> = []
    private var lastService = Span.zero
    private var lastAgent = Span.zero
    private var reading: Span?

    /// A clock of a node may be slower than ours by this part (FAULTS: ε = 0.002).
    package static func withDrift(_ span: Span) -> Span { span + Span(nanoseconds: span.nanoseconds / 500) }

    package init(closure: Closure, at now: Instant, lease: Span, services: [Service], agents: Set<String>) {
        self.closure = closure
        self.lease = lease
        start = now
        awaitedServices = [:]
        unreported = []
        var ingestsUntil = now
        var until = now
        for service in services {
            // A slow clock lengthens the whole lease, and not only what is left of it; nothing was granted after `now`.
            let ends = service.leaseUntil.map { min($0 + (StopTracker.withDrift(lease) - lease), now + StopTracker.withDrift(lease)) }
            guard let bound = ends, bound > now else {
                stoppedServices[service.name] = .noLease
                continue
            }
            awaitedServices[service.name] = service
            awaitedServices[service.name]!.leaseUntil = bound
            until = max(until, bound)
            guard service.grantsAgents else { continue }
            unreported.insert(service.name)
            ingestsUntil = max(ingestsUntil, bound)
        }
        agentsEnded = ingestsUntil
        awaitedAgents = agents
        if unreported.isEmpty {
            for agent in agents { stoppedAgents[agent] = .noLease }
            awaitedAgents = []
        }
        allEnded = until
        if closure.stopsReading, !awaitedServices.values.contains(where: \.releases) { reading = .zero }
    }

    /// No agent's lease goes on past its ingest's.
    private let agentsEnded: Instant

    /// Services that have not answered, and whose lease has not ended.
    package var awaited: Set<String> { Set(awaitedServices.keys) }
    package var isStopped: Bool { awaitedServices.isEmpty && awaitedAgents.isEmpty }
    package var isComplete: Bool { isStopped && !durableIn.isEmpty }

    /// A service has taken the closure over.
    package mutating func acknowledged(service name: String, at now: Instant) {
        guard let service = awaitedServices.removeValue(forKey: name) else { return }
        stoppedServices[name] = .acknowledged(after: now - start)
        lastService = max(lastService, now - start)
        if service.releases, closure.stopsReading { reading = max(reading ?? .zero, now - start) }
    }

    /// An ingest has said which agents in scope hold a lease from it. Those that no ingest names hold none.
    package mutating func reported(by ingest: String, leased holders: some Sequence<String>) {
        guard unreported.remove(ingest) != nil else { return }
        leased.formUnion(holders)
        guard unreported.isEmpty else { return }
        for agent in awaitedAgents.subtracting(leased) { stoppedAgents[agent] = .noLease }
        awaitedAgents.formIntersection(leased)
    }

    package mutating func acknowledged(agent: String, at now: Instant) {
        guard awaitedAgents.remove(agent) != nil else { return }
        stoppedAgents[agent] = .acknowledged(after: now - start)
        lastAgent = max(lastAgent, now - start)
    }

    package mutating func durable(in store: Certificate.Store) { durableIn.insert(store) }

    /// Lets time pass: a lease that has ended counts as a stop.
    package mutating func tick(at now: Instant) {
        for (name, service) in awaitedServices {
            guard let ends = service.leaseUntil, now >= ends else { continue }
            awaitedServices[name] = nil
            stoppedServices[name] = .leaseEnded(by: ends - start)
            if service.releases, closure.stopsReading { reading = max(reading ?? .zero, ends - start) }
        }
        guard !awaitedAgents.isEmpty, now >= agentsEnded else { return }
        for agent in awaitedAgents { stoppedAgents[agent] = .leaseEnded(by: agentsEnded - start) }
        awaitedAgents = []
    }

    package func certificate(issued: WallTime) -> Certificate {
        var unconfirmed: [String] = []
        for name in awaitedServices.keys.sorted() { unconfirmed.append("\(name) has not answered and its lease has not ended") }
        let silent = awaitedAgents.sorted()
        for name in silent.prefix(100) { unconfirmed.append("agent \(name) has not answered and its lease has not ended") }
        if silent.count > 100 { unconfirmed.append("and \(silent.count - 100) more agents") }
        if durableIn.isEmpty { unconfirmed.append("in force, but neither journal nor vault could record it: free disk space, then ask again") }
        var complete = Span.zero
        for stop in stoppedServices.values { complete = max(complete, stop.after) }
        for stop in stoppedAgents.values { complete = max(complete, stop.after) }
        return Certificate(
            closure: closure, lease: lease, issued: issued, services: stoppedServices, agents: stoppedAgents, completeAfter: complete,
            readingAfter: closure.stopsReading ? reading : nil, durableIn: durableIn, unconfirmed: unconfirmed)
    }

    /// How far the stop has come.
    package struct Progress: Hashable, Sendable {
        package var services: Int
        package var servicesAll: Int
        package var servicesAfter: Span
        package var agents: Int
        package var agentsAll: Int
        package var agentsAfter: Span
        package var silent: Int
        package var elapsed: Span
        package var ended: Span
    }

    package func progress(at now: Instant) -> Progress {
        let acknowledged = stoppedAgents.values.count { if case .acknowledged = $0 { true } else { false } }
        let lapsed = stoppedAgents.values.count { if case .leaseEnded = $0 { true } else { false } }
        return Progress(
            services: stoppedServices.count, servicesAll: stoppedServices.count + awaitedServices.count, servicesAfter: lastService,
            agents: acknowledged, agentsAll: acknowledged + lapsed + awaitedAgents.count, agentsAfter: lastAgent,
            silent: lapsed + awaitedAgents.count, elapsed: now - start, ended: allEnded - start)
    }
}

extension Stop {
    /// How long after the command the node had certainly stopped.
    package var after: Span {
        switch self {
        case .acknowledged(let span), .leaseEnded(let span): span
        case .noLease: .zero
        }
    }
}
