import Chance
import Gate
import Testing

@Suite struct StopTrackerTests {
    /// Policy and two ingests, granted a whole lease just now, and three agents.
    private func tracker(_ closure: Closure = closure(1), leases: [Instant?] = [at(3_000), at(3_000), at(3_000)], lease: Span = lease)
        -> StopTracker
    {
        StopTracker(
            closure: closure, at: at(0), lease: lease,
            services: [
                .init(name: "policy", leaseUntil: leases[0], releases: true),
                .init(name: "east", leaseUntil: leases[1], grantsAgents: true),
                .init(name: "west", leaseUntil: leases[2], grantsAgents: true),
            ], agents: ["ada", "ben", "cyn"])
    }

    private let bound = StopTracker.withDrift(lease)

    @Test func `when everybody answers, it is complete as fast as the slowest answer`() {
        var stop = tracker()
        stop.durable(in: .journal)
        for (name, after) in [("policy", Int64(10)), ("east", 20), ("west", 30)] { stop.acknowledged(service: name, at: at(after)) }
        stop.reported(by: "east", leased: ["ada", "ben"])
        stop.reported(by: "west", leased: ["cyn"])
        for (agent, after) in [("ada", Int64(40)), ("ben", 55)] { stop.acknowledged(agent: agent, at: at(after)) }
        #expect(!stop.isStopped)
        stop.acknowledged(agent: "cyn", at: at(50))
        let certificate = stop.certificate(issued: wall(60))
        #expect(stop.isComplete && certificate.isComplete)
        #expect(certificate.agents["ben"] == .acknowledged(after: .milliseconds(55)))
        #expect(certificate.completeAfter == .milliseconds(55))
        #expect(certificate.readingAfter == .milliseconds(10))
        #expect(certificate.durableIn == [.journal])
        #expect(certificate.epoch == Epoch(1))
    }

    @Test func `silent services and agents count as stopped when the slowest clock has seen their lease end, and not before`() {
        var stop = tracker()
        stop.durable(in: .vault)
        stop.acknowledged(service: "policy", at: at(5))
        stop.tick(at: at(0) + bound - Span(nanoseconds: 1))
        #expect(!stop.isStopped)
        #expect(stop.certificate(issued: wall(0)).unconfirmed.count == 5)
        stop.tick(at: at(0) + bound)
        let certificate = stop.certificate(issued: wall(0))
        #expect(certificate.isComplete)
        #expect(certificate.services["east"] == .leaseEnded(by: bound))
        #expect(certificate.agents == ["ada": .leaseEnded(by: bound), "ben": .leaseEnded(by: bound), "cyn": .leaseEnded(by: bound)])
        #expect(certificate.completeAfter == bound)
        #expect(stop.allEnded == at(0) + bound)
    }

    /// 1 / 1.002 of the true rate: a lease of 3 s lasts 6 ms longer, however much of it is left when the pause comes.
    @Test(arguments: [Int64(2_900), 1_000, 1, 0, -5]) func `a slow clock lengthens the whole lease`(left: Int64) {
        let stop = tracker(leases: [at(left), at(left), at(left)])
        #expect(stop.allEnded == at(left + 6))
        #expect(stop.certificate(issued: wall(0)).services.isEmpty)
    }

    @Test func `a lease that ended before the command, by the slowest clock, needs no answer`() {
        var stop = tracker(leases: [at(-6), nil, at(-60)])
        stop.durable(in: .journal)
        let certificate = stop.certificate(issued: wall(0))
        #expect(certificate.isComplete)
        #expect(Set(certificate.services.values) == [.noLease])
        #expect(Set(certificate.agents.values) == [.noLease])
        #expect(certificate.completeAfter == .zero)
        #expect(certificate.readingAfter == .zero)
    }

    @Test func `whatever it was told about leases, it waits for one and its drift at the longest`() {
        var random = SplitMix64(seed: 5)
        for round in 0..<1_000 {
            let leases = (0..<3).map { _ in random.chance(20) ? nil : Optional(at(random.span(-4_000, 9_000))) }
            var stop = tracker(leases: leases)
            stop.durable(in: .journal)
            stop.tick(at: at(0) + bound)
            #expect(stop.isComplete, "round \(round)")
            #expect(stop.certificate(issued: wall(0)).completeAfter <= bound, "round \(round)")
        }
    }

    @Test func `an agent that no ingest names holds no lease, once all ingests have said whom they lease to`() {
        var stop = tracker()
        stop.reported(by: "east", leased: ["ada"])
        #expect(stop.stoppedAgents.isEmpty)
        stop.reported(by: "east", leased: ["ben"])
        stop.reported(by: "west", leased: [])
        #expect(stop.stoppedAgents == ["ben": .noLease, "cyn": .noLease])
        stop.acknowledged(agent: "ada", at: at(9))
        #expect(stop.stoppedAgents["ada"] == .acknowledged(after: .milliseconds(9)))
    }

    @Test func `an acknowledgement counts once, and only from those who are awaited`() {
        var stop = tracker()
        stop.acknowledged(agent: "ada", at: at(10))
        stop.acknowledged(agent: "ada", at: at(90))
        stop.acknowledged(agent: "eve", at: at(90))
        stop.acknowledged(service: "nobody", at: at(90))
        #expect(stop.stoppedAgents == ["ada": .acknowledged(after: .milliseconds(10))])
        #expect(stop.stoppedServices.isEmpty)
    }

    @Test func `stopped but written down nowhere is not complete, and says why`() {
        var stop = tracker()
        stop.tick(at: at(4_000))
        #expect(stop.isStopped && !stop.isComplete)
        let certificate = stop.certificate(issued: wall(0))
        #expect(!certificate.isComplete)
        #expect(certificate.unconfirmed.count == 1)
        #expect(certificate.unconfirmed[0].contains("neither journal nor vault"))
        stop.durable(in: .vault)
        #expect(stop.certificate(issued: wall(0)).isComplete)
    }

    @Test func `who is awaited is named, a hundred agents at the most`() {
        var stop = StopTracker(
            closure: closure(1), at: at(0), lease: lease, services: [.init(name: "east", leaseUntil: at(3_000), grantsAgents: true)],
            agents: Set((0..<130).map { "agent\($0)" }))
        stop.durable(in: .journal)
        let unconfirmed = stop.certificate(issued: wall(0)).unconfirmed
        #expect(unconfirmed.count == 102)
        #expect(unconfirmed.first!.hasPrefix("east"))
        #expect(unconfirmed.last! == "and 30 more agents")
    }

    @Test func `a closure of capture says nothing about reading`() {
        var stop = tracker(closure(1, .capture))
        stop.acknowledged(service: "policy", at: at(5))
        stop.tick(at: at(4_000))
        #expect(stop.certificate(issued: wall(0)).readingAfter == nil)
    }

    @Test func `reading stopped when policy's lease ended, if policy is silent`() {
        var stop = tracker(leases: [at(1_000), at(3_000), at(3_000)])
        stop.tick(at: at(1_006))
        #expect(stop.certificate(issued: wall(0)).readingAfter == .milliseconds(1_006))
    }

    @Test func `progress tells who has answered, who is silent, and when it will be over`() {
        var stop = tracker()
        stop.acknowledged(service: "policy", at: at(10))
        stop.acknowledged(service: "east", at: at(20))
        stop.reported(by: "east", leased: ["ada", "ben"])
        stop.reported(by: "west", leased: [])
        stop.acknowledged(agent: "ada", at: at(30))
        let progress = stop.progress(at: at(100))
        #expect((progress.services, progress.servicesAll, progress.servicesAfter) == (2, 3, .milliseconds(20)))
        #expect((progress.agents, progress.agentsAll, progress.agentsAfter) == (1, 2, .milliseconds(30)))
        #expect((progress.silent, progress.elapsed, progress.ended) == (1, .milliseconds(100), bound))
        stop.tick(at: at(4_000))
        let last = stop.progress(at: at(4_000))
        #expect(last.services == 3 && last.agents == 1 && last.agentsAll == 2 && last.silent == 1)
    }
}
