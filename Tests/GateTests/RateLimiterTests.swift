import Chance
import Gate
import Testing

@Suite struct RateLimiterTests {
    private func limiter(each: Int = 3, total: Int = 1_000, keysMax: Int = 100) -> RateLimiter<Int> {
        RateLimiter(each: Rate(burst: each, every: .seconds(1)), total: Rate(burst: total, every: .milliseconds(10)), keysMax: keysMax)
    }

    @Test func `a burst passes, the next waits for exactly as long as it is told`() {
        var limiter = limiter()
        for _ in 0..<3 { #expect(limiter.take(1, at: at(0)) == nil) }
        #expect(limiter.take(1, at: at(0)) == .seconds(1))
        #expect(limiter.take(1, at: at(400)) == .milliseconds(600))
        #expect(limiter.take(1, at: at(999)) == .milliseconds(1))
        #expect(limiter.take(1, at: at(1_000)) == nil)
        #expect(limiter.take(1, at: at(1_000)) == .seconds(1))
    }

    @Test func `who waits gets the whole burst back, and no more`() {
        var limiter = limiter()
        for _ in 0..<3 { _ = limiter.take(1, at: at(0)) }
        for _ in 0..<3 { #expect(limiter.take(1, at: at(1_000_000)) == nil) }
        #expect(limiter.take(1, at: at(1_000_000)) != nil)
    }

    @Test func `one that is refused takes nothing from itself or from others`() {
        var limiter = limiter(total: 6)
        for _ in 0..<3 { _ = limiter.take(1, at: at(0)) }
        for _ in 0..<10_000 { #expect(limiter.take(1, at: at(0)) == .seconds(1)) }
        for _ in 0..<3 { #expect(limiter.take(2, at: at(0)) == nil) }
        #expect(limiter.take(1, at: at(1_000)) == nil)
    }

    @Test func `all together have a bound of their own, and who meets it has lost none of theirs`() {
        var limiter = limiter(total: 4)
        for key in 0..<4 { #expect(limiter.take(key, at: at(0)) == nil) }
        #expect(limiter.take(9, at: at(0)) == .milliseconds(10))
        for step in 1...3 { #expect(limiter.take(9, at: at(Int64(step) * 10)) == nil) }
        #expect(limiter.take(9, at: at(40)) == .milliseconds(970), "its own bound: three, then one a second")
    }

    @Test func `the table is bounded, and who does not fit shares one allowance`() {
        var limiter = limiter(keysMax: 10)
        for key in 0..<10 { #expect(limiter.take(key, at: at(0)) == nil) }
        var passed = 0
        for key in 10..<1_000 where limiter.take(key, at: at(0)) == nil { passed += 1 }
        #expect(passed == 3)
        #expect(limiter.count == 10)
        // Who was there before is not disturbed.
        #expect(limiter.take(0, at: at(0)) == nil)
    }

    @Test func `who has its allowance back is forgotten, and makes room`() {
        var limiter = limiter(keysMax: 10)
        for key in 0..<10 { _ = limiter.take(key, at: at(0)) }
        #expect(limiter.take(10, at: at(1_000)) == nil)
        #expect(limiter.count == 1)
    }

    @Test func `over any time nobody gets more than a burst and one each so often`() {
        var random = SplitMix64(seed: 7)
        for round in 0..<200 {
            let rate = Rate(burst: 1 + random.below(5), every: .milliseconds(Int64(1 + random.below(1_000))))
            var limiter = RateLimiter<Int>(each: rate, total: Rate(burst: 1_000_000, every: Span(nanoseconds: 1)), keysMax: 4)
            var now: Int64 = 0
            var taken = 0
            for _ in 0..<200 {
                now += Int64(random.below(300))
                if limiter.take(1, at: at(now)) == nil { taken += 1 }
                #expect(taken <= rate.burst + Int(now / rate.every.milliseconds), "round \(round)")
            }
        }
    }
}
