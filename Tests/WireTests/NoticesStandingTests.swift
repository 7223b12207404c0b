import Testing
import Wire

/// When everybody who was to be told was: of all decisions about an incident, and not of the newest alone.
@Suite struct NoticesStandingTests {
    private func round(_ decision: UInt64, of count: UInt64 = 3, delivered: UInt64 = 0, unreachable: UInt64 = 0, waiting: UInt64 = 0, retrying: UInt64 = 0, taken: Bool = true) -> WireNoticeRound {
        var round = WireNoticeRound()
        (round.decision, round.count, round.taken, round.held) = (decision, count, taken, taken ? count : 1)
        (round.delivered, round.unreachable, round.waiting, round.retrying) = (delivered, unreachable, waiting, retrying)
        return round
    }

    private func settled(_ rounds: [WireNoticeRound], decided: [UInt64]? = nil, listed: UInt64 = .max) -> WireNoticesStanding.Settled {
        var standing = WireNoticesStanding()
        standing.rounds = rounds
        return standing.settled(decided ?? rounds.map(\.decision), listed: listed)
    }

    private func open(_ rounds: [WireNoticeRound], decided: [UInt64]? = nil) -> UInt64? {
        guard case .open(let round) = settled(rounds, decided: decided) else { return nil }
        return round.decision
    }

    @Test func `one who still waits by an older decision is not overlooked`() {
        let told = round(9, delivered: 2, unreachable: 1)
        #expect(open([told]) == nil && open([round(9, delivered: 2, waiting: 1)]) == 9 && open([round(9, delivered: 2, retrying: 1)]) == 9)
        #expect(open([round(7, delivered: 2, waiting: 1), told]) == 7)
        #expect(open([round(7, delivered: 2, retrying: 1), told]) == 7)
        #expect(open([round(7, delivered: 3), told]) == nil && open([round(7, delivered: 3), round(9, delivered: 2, waiting: 1)]) == 9)
    }

    @Test func `what was never handed over whole goes out to nobody, and nobody waits for it, unless it is the newest`() {
        #expect(open([round(7, taken: false), round(9, delivered: 3)]) == nil)
        #expect(open([round(7, delivered: 3), round(9, taken: false)]) == 9 && open([round(9, taken: false)]) == 9)
        #expect(open([]) == nil)
        #expect(open([round(9, delivered: .max, unreachable: 4)]) == 9, "numbers that are none")
    }

    @Test func `what an operator answers for is the newest that control holds, whatever notify has of a ledger that was given up`() {
        let (old, new) = (round(40, delivered: 3), round(35, delivered: 2, unreachable: 1))
        #expect(settled([new, old], decided: [35]) == .everybody(new), "entry 40 is of another history")
        #expect(settled([round(30, delivered: 3), new], decided: [30, 35]) == .everybody(new), "the control")
        #expect(settled([old], decided: [35]) == .notHandedOver(35) && settled([new], decided: [35, 50]) == .notHandedOver(50))
        #expect(settled([old], decided: []) == .nothingDecided && settled([], decided: []) == .nothingDecided)
        // Of one number there are two, and the later one came later.
        let again = round(40, of: 2, delivered: 2)
        #expect(settled([old, again], decided: [40]) == .everybody(again))
        // Whoever still waits by what was given up is told by it, and is not overlooked; what of it was never whole goes to nobody.
        #expect(open([new, round(40, delivered: 2, waiting: 1)], decided: [35]) == 40)
        #expect(settled([new, round(40, taken: false)], decided: [35]) == .everybody(new))
        #expect(settled([round(40, taken: false), again], decided: [40]) == .everybody(again))
    }

    @Test func `past the end of a list that was cut, what notify has is taken for control's`() {
        let told = round(9, delivered: 3)
        #expect(settled([told], decided: [], listed: 8) == .everybody(told) && settled([told], decided: [], listed: 9) == .nothingDecided)
        #expect(settled([round(7, delivered: 3), told], decided: [7], listed: 8) == .everybody(told))
    }
}
