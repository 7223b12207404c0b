import Gate
import Testing

@Suite struct PushBackTests {
    private func instant(_ milliseconds: Int) -> Instant { Instant(nanoseconds: Int64(milliseconds) * 1_000_000) }

    /// Ten thousand ask again as they are told; so many are served in a millisecond.
    private func pushes(agents: Int, servedEach: Int, milliseconds: Int) -> (first: Int, last: Int) {
        var pushBack = PushBack()
        var due = [Int: Int]()
        due[0] = agents
        var counts: [Int] = []
        for now in 0..<milliseconds {
            let coming = due.removeValue(forKey: now) ?? 0
            let served = min(coming, servedEach)
            pushBack.serve(served)
            // Who was served has more to send.
            due[now + 1, default: 0] += served
            for index in 0..<(coming - served) {
                let wait = pushBack.retry(at: instant(now), spread: Double(index % 100) / 100)
                due[now + max(1, Int(wait.nanoseconds / 1_000_000)), default: 0] += 1
            }
            counts.append(coming - served)
        }
        let second = counts.prefix(1_000).reduce(0, +)
        return (second, counts.suffix(1_000).reduce(0, +))
    }

    @Test("those who are pushed back come back no faster than others are served, and with a fixed wait they would")
    func aCrowdIsSlowedDown() {
        let (_, last) = pushes(agents: 10_000, servedEach: 10, milliseconds: 20_000)
        // A fixed wait of the shortest: each of ten thousand ten times a second.
        #expect(last < 20_000, "pushed back in the last second: \(last)")
        #expect(last > 0)
    }

    @Test("the wait grows while more are pushed back than served, and shrinks when few are, within its bounds")
    func theWaitFollowsTheLoad() {
        var pushBack = PushBack()
        for now in stride(from: 0, to: 10_000, by: 10) { _ = pushBack.retry(at: instant(now), spread: 0.5) }
        #expect(pushBack.wait == PushBack.longest)
        for now in stride(from: 10_000, to: 20_000, by: 10) {
            pushBack.serve(10)
            _ = pushBack.retry(at: instant(now), spread: 0.5)
        }
        #expect(pushBack.wait == PushBack.shortest)
    }

    @Test("who was pushed back together does not come back together")
    func theyAreSpread() {
        var pushBack = PushBack()
        let first = pushBack.retry(at: instant(0), spread: 0)
        let last = pushBack.retry(at: instant(0), spread: 1)
        #expect(first == PushBack.shortest / 2)
        #expect(last - first == PushBack.shortest)
    }
}
