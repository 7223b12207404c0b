import Gate
import Seal
import Testing

@testable import sluice_policy

@Suite struct KeyWatchTests {
    private let keys: [VaultPublicKey]
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: 1_000_000_000) + .milliseconds(milliseconds) }
    private let wall = WallTime(nanoseconds: 1_795_500_000_000_000_000)

    init() throws { keys = try (1...3).map { number in try #require(VaultPublicKey(raw: Array(repeating: UInt8(number), count: 32))) } }

    private func ledger(announced: Int...) -> Governance {
        var governance = Governance()
        for (place, number) in announced.enumerated() {
            governance.apply(Entry(index: UInt64(place + 1), at: wall, author: "control", deed: .vaultKeyAnnounced(keys[number].raw)))
        }
        return governance
    }

    @Test func `nothing is looked for while every key is there, nor for one that was announced before another`() {
        var watch = KeyWatch(held: [keys[1].id])
        watch.follow(ledger(announced: 0, 1), at: at(0))
        #expect(watch.due(at: at(0)) == nil && watch.missing.isEmpty && watch.trouble.isEmpty)
    }

    @Test func `a key that is announced is looked for at once, and again, until it is there`() {
        var watch = KeyWatch(held: [keys[0].id])
        watch.follow(ledger(announced: 0, 1), at: at(0))
        #expect(watch.due(at: at(0)) == [keys[1].id])
        #expect(watch.due(at: at(5_000)) == nil, "one look at a time")
        let isNews = watch.found(nil, why: "mode 0644", at: at(10))
        #expect(isNews && watch.trouble == "mode 0644" && watch.refusals == 1)
        #expect(watch.due(at: at(20)) == nil)
        #expect(watch.due(at: at(1_010)) == [keys[1].id])
        let isNewsAgain = watch.found(nil, why: "mode 0644", at: at(1_020))
        #expect(!isNewsAgain && watch.refusals == 2, "counted each time, said once")
        #expect(watch.due(at: at(2_020)) != nil)
        _ = watch.found([keys[0].id], why: "", at: at(2_030))
        #expect(watch.refusals == 3 && watch.trouble.contains("\(keys[1].id)"), "files without it are no better")
        #expect(watch.due(at: at(3_030)) != nil)
        let isGood = watch.found([keys[1].id, keys[0].id], why: "", at: at(3_040))
        #expect(isGood && watch.missing.isEmpty && watch.trouble.isEmpty && watch.refusals == 3)
        #expect(watch.due(at: at(9_000)) == nil)
    }

    @Test func `when a missing key is wanted no more, the opener hears that too`() {
        var watch = KeyWatch(held: [keys[0].id])
        watch.follow(ledger(announced: 0, 1), at: at(0))
        _ = watch.due(at: at(0))
        watch.follow(ledger(announced: 0, 1, 0), at: at(1))
        _ = watch.found(nil, why: "no such file", at: at(2))
        #expect(watch.due(at: at(1_002)) == [])
        _ = watch.found([keys[0].id], why: "", at: at(1_003))
        #expect(watch.due(at: at(9_000)) == nil)
    }
}
