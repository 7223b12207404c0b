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

    private func open(_ rounds: [WireNoticeRound]) -> UInt64? {
        var standing = WireNoticesStanding()
        standing.rounds = rounds
        return standing.open?.decision
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
}
