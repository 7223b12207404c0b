import Foundation
import Gate
import Testing

/// The pure cores wired together, under everything that can go wrong (FAULTS.md, P and T; DESIGN.md, invariants).
///
/// `SLUICE_SEED=n` plays one run; `SLUICE_SEEDS=n` plays so many.
@Suite struct SimulationTests {
    private static func setting(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    private static let shards = 4

    private static func seeds(_ shard: Int) -> [UInt64] {
        if let only = setting("SLUICE_SEED") { return shard == 0 ? [only] : [] }
        return (0..<(setting("SLUICE_SEEDS") ?? 200)).filter { Int($0) % shards == shard }
    }

    @Test(arguments: 0..<shards)
    func `whatever fails, a complete certificate is true, is in time, and no epoch goes back`(shard: Int) {
        for seed in SimulationTests.seeds(shard) {
            let monitor = World.play(seed: seed)
            #expect(monitor.violation == nil, "SLUICE_SEED=\(seed)")
        }
    }

    @Test(arguments: Weakening.allCases)
    func `a shell that breaks one rule is caught`(weakening: Weakening) {
        let bound: UInt64 = 400
        let caught = (0..<bound).first { World.play(seed: $0, weakening).violation != nil }
        #expect(caught != nil, "nothing noticed in \(bound) runs that \(weakening.rawValue)")
    }

    @Test func `a seed plays the same run every time`() {
        for seed in UInt64(1)...5 { #expect(World.play(seed: seed).tally == World.play(seed: seed).tally, "SLUICE_SEED=\(seed)") }
    }

    @Test(arguments: [true, false]) func `with one disk full for good, every certificate is complete in time`(isJournal: Bool) {
        for seed in UInt64(0)..<10 {
            let world = World(seed: seed, rough: false)
            if isJournal { world.journalWorks = false } else { world.vaultWorks = false }
            world.start()
            for second in Int64(5)..<12 { world.at(second * World.second) { world.control.pause(.both, .everything) } }
            world.run(until: 12 * World.second + World.lease.nanoseconds + World.second)
            #expect(world.monitor.violation == nil, "SLUICE_SEED=\(seed)")
            #expect(world.monitor.tally.pauses == 7)
            #expect(world.monitor.tally.certificates == 7, "SLUICE_SEED=\(seed)")
        }
    }

    @Test func `what the simulation watches really happens in it`() {
        var total = Monitor.Tally()
        for seed in UInt64(0)..<20 {
            let tally = World.play(seed: seed).tally
            total.captured += tally.captured
            total.committed += tally.committed
            total.released += tally.released
            total.certificates += tally.certificates
            total.resumes += tally.resumes
            total.leaseEnded += tally.leaseEnded
            total.outsideInterval += tally.outsideInterval
        }
        #expect(total.captured > 1_000)
        #expect(total.committed > 1_000)
        #expect(total.released > 1_000)
        #expect(total.certificates > 20)
        #expect(total.resumes > 10)
        #expect(total.leaseEnded > 5)
        #expect(total.outsideInterval > 100)
    }
}
