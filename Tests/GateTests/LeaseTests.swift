import Chance
import Gate
import Testing

@Suite struct LeaseTests {
    @Test func `a lease counts from the request, not from the answer`() throws {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(2_000))
        #expect(holder.until == at(3_000))
        #expect(holder.remaining(at: at(2_000)) == .seconds(1))
    }

    @Test(arguments: [Int64(1), 1_000, 1_000_000]) func `a lease is held just before its end, and never at it or after`(delta: Int64) throws {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(0))
        let end = at(0) + lease
        #expect(holder.isHeld(at: end - Span(nanoseconds: delta)))
        #expect(!holder.isHeld(at: end))
        #expect(!holder.isHeld(at: end + Span(nanoseconds: delta)))
        #expect(holder.remaining(at: end) == .zero)
        #expect(holder.remaining(at: end + lease) == .zero)
    }

    @Test func `only the answer to the newest request counts`() throws {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        holder.request(nonce(2), at: at(1_000))
        #expect(throws: LeaseHolder.GrantRefused.notNewest) { try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(1_100)) }
        #expect(!holder.isHeld(at: at(1_100)))
        try holder.grant(nonce(2), lease: lease, epoch: Epoch(1), at: at(1_200))
        #expect(holder.until == at(4_000))
    }

    @Test func `an answer counts once`() throws {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(10))
        #expect(throws: LeaseHolder.GrantRefused.notNewest) { try holder.grant(nonce(1), lease: .seconds(60), epoch: Epoch(1), at: at(20)) }
        #expect(holder.until == at(3_000))
    }

    @Test func `an answer that nobody asked for extends nothing`() {
        var holder = LeaseHolder()
        #expect(throws: LeaseHolder.GrantRefused.notNewest) { try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(0)) }
        #expect(holder.until == nil)
    }

    @Test func `an answer from an epoch before one that was heard is refused`() {
        var holder = LeaseHolder(epoch: Epoch(4))
        holder.request(nonce(1), at: at(0))
        holder.hear(Epoch(5))
        #expect(throws: LeaseHolder.GrantRefused.olderEpoch(seen: Epoch(5))) {
            try holder.grant(nonce(1), lease: lease, epoch: Epoch(4), at: at(10))
        }
        #expect(!holder.isHeld(at: at(10)))
        #expect(holder.epoch == Epoch(5))
    }

    @Test func `an epoch never goes back by hearing an older one`() {
        var holder = LeaseHolder(epoch: Epoch(5))
        holder.hear(Epoch(3))
        #expect(holder.epoch == Epoch(5))
    }

    @Test(arguments: [Int64(3_000), 3_001, 10_000]) func `a grant that arrives when it has ended is dead, though its epoch is heard`(arrival: Int64) {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        #expect(throws: LeaseHolder.GrantRefused.ended) { try holder.grant(nonce(1), lease: lease, epoch: Epoch(2), at: at(arrival)) }
        #expect(!holder.isHeld(at: at(arrival)))
        #expect(holder.epoch == Epoch(2))
    }

    @Test(arguments: [Int64(0), -5_000]) func `a grant of nothing, or of less, is no lease`(milliseconds: Int64) {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        #expect(throws: LeaseHolder.GrantRefused.ended) {
            try holder.grant(nonce(1), lease: .milliseconds(milliseconds), epoch: Epoch(1), at: at(0))
        }
    }

    @Test func `a lease given up is over, and its outstanding request with it`() throws {
        var holder = LeaseHolder()
        holder.request(nonce(1), at: at(0))
        try holder.grant(nonce(1), lease: lease, epoch: Epoch(1), at: at(1))
        holder.request(nonce(2), at: at(2))
        holder.stop()
        #expect(!holder.isHeld(at: at(3)))
        #expect(throws: LeaseHolder.GrantRefused.notNewest) { try holder.grant(nonce(2), lease: lease, epoch: Epoch(1), at: at(4)) }
    }

    // MARK: Granting

    @Test func `a grantor grants its lease, and never past the end of its own`() {
        var grantor = LeaseGrantor<String>(lease: lease, startedAt: at(0))
        let spanA = grantor.grant("a", ownUntil: at(9_000), at: at(1_000))
        #expect(spanA == lease)
        let spanB = grantor.grant("b", ownUntil: at(3_500), at: at(1_000))
        #expect(spanB == .milliseconds(2_500))
        #expect(grantor.granted == ["a": at(4_000), "b": at(3_500)])
    }

    @Test(arguments: [nil, at(500), at(1_000)]) func `a grantor without a lease grants nothing`(own: Instant?) {
        var grantor = LeaseGrantor<String>(lease: lease, startedAt: at(0))
        let spanA = grantor.grant("a", ownUntil: own, at: at(1_000))
        #expect(spanA == nil)
        #expect(grantor.granted.isEmpty)
    }

    @Test func `a lease granted counts as held until the slowest clock has seen its end`() {
        var grantor = LeaseGrantor<String>(lease: lease, startedAt: at(0))
        _ = grantor.grant("a", ownUntil: at(9_000), at: at(0))
        #expect(grantor.isHeld("a", at: at(3_000)))
        // Granted by a clock that is 0.2 % fast to one that is 0.2 % slow.
        #expect(grantor.isHeld("a", at: at(3_000) + .milliseconds(11)))
        #expect(!grantor.isHeld("a", at: at(3_000) + .milliseconds(12)))
        #expect(!grantor.isHeld("b", at: at(0)))
        grantor.forget("a")
        #expect(!grantor.isHeld("a", at: at(1)))
    }

    @Test func `after a restart, leases of the earlier run count as live for a whole lease`() {
        let grantor = LeaseGrantor<String>(lease: lease, startedAt: at(500))
        #expect(grantor.unknownUntil >= at(3_500))
        #expect(grantor.unknownUntil <= at(3_520))
    }

    @Test func `however it is asked, a chain of leases ends with the first`() throws {
        var random = SplitMix64(seed: 1)
        for round in 0..<1_000 {
            let own = at(random.span(0, 5_000))
            var grantor = LeaseGrantor<Int>(lease: lease, startedAt: at(0))
            var holder = LeaseHolder()
            for step in 0..<10 {
                let sent = at(Int64(step) * 700)
                let received = sent + .milliseconds(random.span(0, 300))
                holder.request(nonce(UInt64(step)), at: sent)
                guard let span = grantor.grant(1, ownUntil: own, at: received) else { continue }
                try? holder.grant(nonce(UInt64(step)), lease: span, epoch: .none, at: received + .milliseconds(random.span(0, 3_000)))
            }
            #expect(!holder.isHeld(at: own), "round \(round)")
            #expect(holder.until.map { $0 <= own } ?? true, "round \(round)")
        }
    }
}
