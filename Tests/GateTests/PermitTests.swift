import Chance
import Gate
import Testing

/// A permit holder with shorter verbs, in milliseconds; where only `now` is given, the wall clock shows the same.
private final class Holding {
    private(set) var holder: PermitHolder
    private var renewals: UInt64 = 1_000

    init(_ holder: PermitHolder = PermitHolder()) { self.holder = holder }

    var permit: Permit { holder.permit }
    var lease: LeaseHolder { holder.lease }

    func judge(_ first: Int64, _ last: Int64, now: Int64, shown: Int64? = nil, _ dataClass: DataClass = activity) -> CaptureRefused? {
        holder.tick(at: at(now), wall: wall(shown ?? now))
        return holder.judge(dataClass, from: wall(first), to: wall(last), at: at(now), wall: wall(shown ?? now))
    }

    func request(_ number: UInt64, now: Int64) { holder.request(nonce(number), at: at(now)) }

    func grant(_ number: UInt64, lease span: Span = GateTests.lease, _ permit: Permit, now: Int64, shown: Int64? = nil) throws {
        try holder.grant(nonce(number), lease: span, permit: permit, at: at(now), wall: wall(shown ?? now))
    }

    func renew(_ permit: Permit, now: Int64, shown: Int64? = nil) throws {
        renewals += 1
        request(renewals, now: now)
        try grant(renewals, permit, now: now, shown: shown)
    }

    func narrow(_ permit: Permit, now: Int64, shown: Int64? = nil) { holder.narrow(to: permit, at: at(now), wall: wall(shown ?? now)) }
    func stop(now: Int64) { holder.stop(at: at(now), wall: wall(now)) }
}

@Suite struct PermitTests {
    private let both = Permit(epoch: Epoch(1), classes: [activity, content])

    /// Granted both classes at 0, with the wall clock at 0 and a lease until 3000.
    private func capturing() throws -> Holding {
        let agent = Holding()
        try agent.renew(both, now: 0)
        return agent
    }

    @Test func `without a grant nothing is captured`() {
        let agent = Holding(PermitHolder(epoch: Epoch(3)))
        #expect(agent.judge(0, 0, now: 0) == .noLease)
        #expect(agent.lease.epoch == Epoch(3))
    }

    @Test func `an event within the permit is taken`() throws {
        let agent = try capturing()
        #expect(agent.judge(10, 90, now: 100) == nil)
        #expect(agent.holder.isCapturing(activity, at: at(2_999)))
        #expect(!agent.holder.isCapturing(activity, at: at(3_000)))
    }

    @Test(arguments: [(Int64(2_999), CaptureRefused?.none), (3_000, .noLease), (3_001, .noLease)])
    func `capture ends when the lease does`(now: Int64, expected: CaptureRefused?) throws {
        let agent = try capturing()
        #expect(agent.judge(100, 200, now: now) == expected)
    }

    @Test func `a class that the permit does not hold is not captured`() throws {
        let agent = Holding()
        try agent.renew(Permit(epoch: Epoch(1), classes: [activity]), now: 0)
        #expect(agent.judge(0, 0, now: 1, content) == .closed)
    }

    // MARK: Pushes

    @Test func `a push takes away and never adds`() throws {
        let agent = Holding()
        try agent.renew(Permit(epoch: Epoch(1), classes: [activity]), now: 0)
        agent.narrow(Permit(epoch: Epoch(2), classes: [content, activity]), now: 1)
        #expect(agent.permit == Permit(epoch: Epoch(2), classes: [activity]))
        agent.narrow(Permit(epoch: Epoch(3), classes: [content]), now: 2)
        #expect(agent.permit == Permit(epoch: Epoch(3), classes: []))
    }

    @Test func `whatever is pushed, the permit does not grow and the lease does not move`() throws {
        var random = SplitMix64(seed: 4)
        for round in 0..<1_000 {
            let agent = try capturing()
            for step in Int64(1)...5 {
                let (permit, until, epoch) = (agent.permit, agent.lease.until, agent.lease.epoch)
                let classes = [activity, content].filter { _ in random.chance(50) }
                let pushed = Permit(epoch: Epoch(UInt64(random.below(5))), classes: Set(classes))
                agent.narrow(pushed, now: step)
                #expect(agent.permit.classes.isSubset(of: permit.classes), "round \(round)")
                #expect(agent.lease.until == until, "round \(round)")
                #expect(agent.lease.epoch >= epoch, "round \(round)")
                if pushed.epoch >= epoch { #expect(agent.permit.classes.isSubset(of: pushed.classes), "round \(round)") }
            }
        }
    }

    @Test func `a push says what it may not, and one that only takes away says nothing`() throws {
        var holder = PermitHolder()
        holder.request(nonce(1), at: at(0))
        try holder.grant(nonce(1), lease: .milliseconds(3_000), permit: Permit(epoch: Epoch(5), classes: [activity]), at: at(0), wall: wall(0))
        func push(_ epoch: UInt64, _ classes: Set<DataClass>, _ now: Int64) -> PushRefused? {
            holder.narrow(to: Permit(epoch: Epoch(epoch), classes: classes), at: at(now), wall: wall(now))
        }
        #expect(push(4, [], 1) == .older)
        #expect(push(5, [activity], 2) == nil)
        #expect(push(6, [activity, content], 3) == .opening)
        #expect(push(6, [], 4) == nil)
        // Its lease has ended: what was permitted is not known any more, and nothing is held against anybody.
        #expect(push(7, [activity], 1_000_000) == nil)
    }

    @Test func `a push from an older epoch changes nothing`() throws {
        let agent = Holding()
        try agent.renew(Permit(epoch: Epoch(5), classes: [activity]), now: 0)
        agent.narrow(Permit(epoch: Epoch(4), classes: []), now: 1)
        #expect(agent.permit == Permit(epoch: Epoch(5), classes: [activity]))
    }

    @Test func `an answer from before a pause that was pushed does not reopen`() throws {
        let agent = try capturing()
        agent.request(2, now: 100)
        agent.narrow(Permit(epoch: Epoch(2), classes: []), now: 150)
        #expect(throws: LeaseHolder.GrantRefused.olderEpoch(seen: Epoch(2))) {
            try agent.grant(2, both, now: 200)
        }
        #expect(agent.judge(10, 20, now: 200) == .closed)
    }

    @Test func `a grant that is too late to extend still takes away what it takes away`() throws {
        let agent = try capturing()
        agent.request(2, now: 100)
        #expect(throws: LeaseHolder.GrantRefused.ended) {
            try agent.grant(2, lease: .milliseconds(50), Permit(epoch: Epoch(2), classes: [content]), now: 200)
        }
        #expect(agent.permit == Permit(epoch: Epoch(2), classes: [content]))
        #expect(agent.lease.until == at(3_000))
        #expect(agent.judge(10, 20, now: 200) == .closed)
    }

    // MARK: Intervals

    @Test func `what was queued during a pause is refused for ever, and what came before it is not`() throws {
        let agent = try capturing()
        agent.narrow(Permit(epoch: Epoch(2), classes: []), now: 1_000)
        #expect(agent.judge(500, 600, now: 1_500) == .closed)
        try agent.renew(Permit(epoch: Epoch(3), classes: [activity]), now: 2_000)
        #expect(agent.judge(500, 600, now: 2_100) == nil)
        #expect(agent.judge(1_500, 1_600, now: 2_100) == .outsideInterval)
        #expect(agent.judge(900, 1_001, now: 2_100) == .outsideInterval)
        #expect(agent.judge(900, 2_050, now: 2_100) == .outsideInterval)
        #expect(agent.judge(2_000, 2_050, now: 2_100) == nil)
    }

    @Test func `a lease's end that is noticed hours later ended the interval when it came`() throws {
        let agent = try capturing()
        let late: Int64 = 7_200_000
        #expect(agent.judge(2_000, 2_500, now: late) == .noLease)
        try agent.renew(both, now: late)
        #expect(agent.judge(2_000, 3_000, now: late + 10) == nil)
        #expect(agent.judge(2_000, 3_001, now: late + 10) == .outsideInterval)
        #expect(agent.judge(60_000, 60_001, now: late + 10) == .outsideInterval)
    }

    @Test func `stopping closes at once, and the next grant does not bridge the gap`() throws {
        let agent = try capturing()
        agent.stop(now: 1_000)
        #expect(agent.judge(10, 20, now: 1_001) == .noLease)
        try agent.renew(both, now: 1_500)
        #expect(agent.judge(900, 1_000, now: 1_600) == nil)
        #expect(agent.judge(1_200, 1_300, now: 1_600) == .outsideInterval)
    }

    @Test func `after a restart, what was on disk still counts and the epoch with it`() throws {
        let before = OpenIntervals(restoring: [activity: [.init(start: wall(0), end: wall(1_000))]])
        let agent = Holding(PermitHolder(intervals: before, epoch: Epoch(7)))
        agent.request(1, now: 0)
        #expect(throws: LeaseHolder.GrantRefused.olderEpoch(seen: Epoch(7))) {
            try agent.grant(1, Permit(epoch: Epoch(6), classes: [activity]), now: 1, shown: 5_000)
        }
        try agent.renew(Permit(epoch: Epoch(7), classes: [activity]), now: 2, shown: 5_001)
        #expect(agent.judge(500, 900, now: 10, shown: 5_009) == nil)
        #expect(agent.judge(1_500, 1_900, now: 10, shown: 5_009) == .outsideInterval)
    }

    // MARK: The wall clock is set

    @Test func `an event that ends after the present is refused, but for rounding`() throws {
        let agent = try capturing()
        #expect(agent.judge(100, 205, now: 200) == nil)
        #expect(agent.judge(100, 206, now: 200) == .future)
    }

    @Test func `a clock set forward does not open the hours that it skipped`() throws {
        let agent = try capturing()
        let hour: Int64 = 3_600_000
        #expect(agent.judge(hour / 2, hour / 2 + 1, now: 1_000, shown: hour + 1_000) == .outsideInterval)
        #expect(agent.judge(500, hour + 1_000, now: 1_000, shown: hour + 1_000) == .outsideInterval)
        #expect(agent.judge(500, 1_000, now: 1_010, shown: hour + 1_010) == nil, "captured before it was set")
        #expect(agent.judge(hour + 1_000, hour + 1_010, now: 1_010, shown: hour + 1_010) == nil, "captured since")
        #expect(agent.lease.until == at(3_000), "the lease does not know about it")
    }

    @Test func `a clock set back does not admit now what was open then`() throws {
        let agent = try capturing()
        // Paused at 1000; at 1500 the clock is set back by a second, so the pause now shows times that were open.
        agent.narrow(Permit(epoch: Epoch(2), classes: []), now: 1_000)
        _ = agent.judge(0, 0, now: 1_500, shown: 500)
        try agent.renew(Permit(epoch: Epoch(3), classes: [activity]), now: 1_800, shown: 800)
        #expect(agent.judge(600, 700, now: 1_850, shown: 850) == .outsideInterval)
        #expect(agent.judge(800, 850, now: 1_850, shown: 850) == nil)
    }

    @Test(arguments: [Int64(1_000), 3_600_000]) func `a clock set back while the agent hung admits nothing that came meanwhile`(back: Int64) throws {
        let agent = Holding(PermitHolder(intervals: OpenIntervals(restoring: [activity: [.init(start: wall(-2 * back), end: wall(-1))]])))
        try agent.renew(Permit(epoch: Epoch(1), classes: [activity]), now: 0)
        // It hangs from 0 to 60 s, and so has no lease from 3 s on. Half a second in, the clock is set back.
        let (now, shown) = (Int64(60_000), 60_000 - back)
        #expect(agent.judge(0, 0, now: now, shown: shown) == .noLease)
        try agent.renew(Permit(epoch: Epoch(2), classes: [activity]), now: now, shown: shown)
        #expect(agent.judge(30_000 - back, 30_001 - back, now: now + 1, shown: shown + 1) == .outsideInterval)
        #expect(agent.judge(shown, shown + 1, now: now + 1, shown: shown + 1) == nil)
    }

    @Test func `a clock set back while the lease was over and looked at admits nothing either`() throws {
        let agent = Holding(PermitHolder(intervals: OpenIntervals(restoring: [activity: [.init(start: wall(-90_000), end: wall(0))]])))
        _ = agent.judge(0, 0, now: 0)
        _ = agent.judge(0, 0, now: 1_000, shown: -59_000)
        try agent.renew(Permit(epoch: Epoch(1), classes: [activity]), now: 11_000, shown: -49_000)
        #expect(agent.judge(-55_000, -54_000, now: 11_001, shown: -48_999) == .outsideInterval)
        #expect(agent.judge(-70_000, -69_000, now: 11_001, shown: -48_999) == nil)
    }

    @Test func `a clock set back while the agent was not there admits nothing from its first look on`() throws {
        let before = OpenIntervals(restoring: [activity: [.init(start: wall(-90_000), end: wall(0))]])
        let agent = Holding(PermitHolder(intervals: before, epoch: Epoch(1)))
        _ = agent.judge(0, 0, now: 0, shown: -60_000)
        try agent.renew(Permit(epoch: Epoch(1), classes: [activity]), now: 20_000, shown: -40_000)
        #expect(agent.judge(-50_000, -49_000, now: 20_001, shown: -39_999) == .outsideInterval)
        #expect(agent.judge(-70_000, -69_000, now: 20_001, shown: -39_999) == nil)
    }

    @Test func `a clock set forward and back between two looks changes nothing`() throws {
        let agent = try capturing()
        #expect(agent.judge(10, 90, now: 100) == nil)
        #expect(agent.judge(10, 190, now: 200) == nil)
        #expect(agent.holder.intervals.past.isEmpty)
    }

    @Test func `a clock set forward, looked at, and set back again closes twice`() throws {
        let agent = try capturing()
        _ = agent.judge(0, 0, now: 100, shown: 60_100)
        _ = agent.judge(0, 0, now: 200, shown: 200)
        #expect(agent.judge(10, 90, now: 210, shown: 210) == nil)
        #expect(agent.judge(90, 205, now: 210, shown: 210) == .outsideInterval)
        #expect(agent.judge(200, 210, now: 210, shown: 210) == nil)
        #expect(agent.judge(60_100, 60_100, now: 210, shown: 210) == .future)
    }
}
