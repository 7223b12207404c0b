import Gate
import Testing

@Suite struct FenceTests {
    private func judge(_ fence: Fence, _ first: Int64, _ last: Int64, offset: Int64 = 0, _ scope: Scope = ada, _ dataClass: DataClass = activity)
        -> Fence.Verdict
    {
        fence.judge(dataClass, of: scope, from: wall(first), to: wall(last), offset: .milliseconds(offset))
    }

    /// Open now; there was a closure from 1000 to 2000.
    private var lifted: Fence {
        var fence = Fence(gate: GateState(epoch: Epoch(2)))
        fence.remember(closure(1, .both, Selector(sites: ["north"]), from: wall(1_000), until: wall(2_000)))
        return fence
    }

    @Test func `with nothing heard, a batch is kept by its sender`() {
        #expect(judge(Fence(), 0, 1) == .keep(.none))
    }

    @Test func `with no closure, now or ever, a batch is whole`() {
        #expect(judge(Fence(gate: GateState(epoch: Epoch(1))), 0, 1) == .whole)
    }

    @Test func `a batch in scope of a closure in force is kept, however old its events`() {
        let fence = Fence(gate: GateState(epoch: Epoch(1), closures: [closure(1, .capture, Selector(sites: ["north"]), from: wall(1_000))]))
        #expect(judge(fence, 0, 1) == .keep(Epoch(1)))
        #expect(judge(fence, 0, 1, ben) == .whole)
    }

    @Test func `a closure of reading does not stop a batch`() {
        #expect(judge(Fence(gate: GateState(epoch: Epoch(1), closures: [closure(1, .read)])), 0, 1) == .whole)
    }

    @Test func `a lifted closure cuts out its own interval: first moment included, end excluded`() {
        let range = wall(1_000)..<wall(2_000)
        #expect(judge(lifted, 0, 999) == .whole)
        #expect(judge(lifted, 0, 1_000) == .without([range]))
        #expect(judge(lifted, 1_200, 1_300) == .without([range]))
        #expect(judge(lifted, 1_999, 5_000) == .without([range]))
        #expect(judge(lifted, 2_000, 5_000) == .whole)
        #expect(judge(lifted, 0, 5_000) == .without([range]))
        #expect(judge(lifted, 1_200, 1_300, ben) == .whole)
    }

    @Test(arguments: [Int64(-3_600_000), -40, 0, 40, 3_600_000]) func `an interval is judged on the agent's clock`(offset: Int64) {
        #expect(judge(lifted, 900 + offset, 999 + offset, offset: offset) == .whole)
        let range = wall(1_000 + offset)..<wall(2_000 + offset)
        #expect(judge(lifted, 1_500 + offset, 1_501 + offset, offset: offset) == .without([range]))
        #expect(judge(lifted, 2_000 + offset, 2_001 + offset, offset: offset) == .whole)
    }

    @Test(arguments: [Int64.min, .max]) func `an offset at the end of time does not trap, nor do times`(offset: Int64) {
        for (first, last) in [(WallTime.distantPast, WallTime.distantFuture), (.distantPast, .distantPast), (.distantFuture, .distantPast)] {
            guard case .keep = lifted.judge(activity, of: ada, from: first, to: last, offset: Span(nanoseconds: offset)) else { continue }
            Issue.record("nothing is closed now")
        }
    }

    @Test func `several lifted closures cut out each its own`() {
        var fence = lifted
        fence.remember(closure(3, .capture, from: wall(4_000), until: wall(5_000)))
        #expect(judge(fence, 0, 9_000) == .without([wall(1_000)..<wall(2_000), wall(4_000)..<wall(5_000)]))
    }

    @Test func `only lifted closures of capture are remembered, once each`() {
        var fence = lifted
        let version = fence.version
        fence.remember(closure(1, from: wall(1_000), until: wall(2_000)))
        fence.remember(closure(4, from: wall(1_000)))
        fence.remember(closure(5, .read, from: wall(1_000), until: wall(2_000)))
        fence.remember(closure(6, .both, Selector(readers: ["rae"]), from: wall(1_000), until: wall(2_000)))
        #expect(fence.past.map(\.epoch) == [Epoch(1)])
        #expect(fence.version == version)
    }

    @Test func `a push narrows the fence and never opens it`() {
        var fence = Fence(gate: GateState(epoch: Epoch(1), closures: [closure(1)]))
        fence.narrow(to: GateState(epoch: Epoch(2)))
        #expect(judge(fence, 0, 1) == .keep(Epoch(2)))
        fence.set(GateState(epoch: Epoch(3)))
        #expect(judge(fence, 0, 1) == .whole)
        fence.narrow(to: GateState(epoch: Epoch(4), closures: [closure(4)]))
        #expect(judge(fence, 0, 1) == .keep(Epoch(4)))
    }

    @Test func `whatever changes the verdict changes the version, and nothing else does`() {
        var fence = Fence()
        var versions = [fence.version]
        fence.set(GateState(epoch: Epoch(1)))
        versions.append(fence.version)
        fence.narrow(to: GateState(epoch: Epoch(2), closures: [closure(2)]))
        versions.append(fence.version)
        fence.remember(closure(1, from: wall(0), until: wall(1)))
        versions.append(fence.version)
        #expect(versions == [0, 1, 2, 3])
        fence.set(fence.gate)
        fence.narrow(to: fence.gate)
        fence.narrow(to: GateState(epoch: Epoch(1), closures: [closure(1)]))
        #expect(fence.version == 3)
    }
}
