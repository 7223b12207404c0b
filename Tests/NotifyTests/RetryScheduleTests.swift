import Gate
import Testing

@testable import sluice_notify

struct RetryScheduleTests {
    let schedule = RetrySchedule.standard
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    func wait(after attempt: Int, _ answer: RetrySchedule.Answer = .status(500), jitter: Double = 0) -> Span? {
        guard case .retry(let at, _) = schedule.verdict(on: answer, attempt: attempt, at: now, jitter: jitter) else { return nil }
        return at - now
    }

    @Test func `ten attempts over three days, then it is given up`() {
        let waits = (1...9).map { wait(after: $0) }
        #expect(waits == [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map { Span.seconds($0) })
        #expect(schedule.verdict(on: .status(500), attempt: 10, at: now, jitter: 0) == .giveUp(why: "HTTP 500"))
    }

    @Test func `jitter only ever makes a wait longer, by a fifth at most`() {
        #expect(wait(after: 2, jitter: 1) == .seconds(360))
        #expect(wait(after: 2, jitter: 0.5) == .seconds(330))
        #expect(wait(after: 9, jitter: 1)! <= RetrySchedule.waitMax)
    }

    @Test(arguments: [200, 201, 204, 299]) func `any 2xx is a success`(status: Int) {
        #expect(schedule.verdict(on: .status(status), attempt: 1, at: now, jitter: 0) == .delivered)
    }

    @Test(arguments: [301, 302, 304, 307, 308, 400, 401, 404, 500, 502]) func `anything else is tried again`(status: Int) {
        #expect(wait(after: 1, .status(status)) == .seconds(5))
        #expect(wait(after: 1, .none("refused")) == .seconds(5))
    }

    @Test func `410 disables, even on the last attempt`() {
        for attempt in [1, 10] {
            guard case .disable = schedule.verdict(on: .status(410), attempt: attempt, at: now, jitter: 0) else {
                Issue.record("410 on attempt \(attempt) did not disable")
                continue
            }
        }
    }

    @Test(arguments: [429, 503]) func `Retry-After is obeyed, and holds the whole channel`(status: Int) {
        let answer = RetrySchedule.Answer.status(status, retryAfter: .seconds(90))
        #expect(wait(after: 1, answer) == .seconds(90))
        #expect(schedule.hold(on: answer, at: now) == now + .seconds(90))
        // The schedule's own wait is longer: it stays.
        #expect(wait(after: 2, answer) == .seconds(300))
    }

    @Test func `Retry-After with another status says nothing, and a year is cut to a day`() {
        #expect(schedule.hold(on: .status(500, retryAfter: .seconds(90)), at: now) == nil)
        #expect(schedule.hold(on: .status(503, retryAfter: .seconds(365 * 86_400)), at: now) == now + .seconds(86_400))
    }
}
