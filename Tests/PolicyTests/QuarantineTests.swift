import Testing
import Wire

@testable import sluice_policy

@Suite struct QuarantineTests {
    @Test func `an agent is quarantined by the last batch that it may waste, once, and no other with it`() {
        var quarantine = Quarantine()
        for number in 1...Limits.unsealableMax + 3 {
            #expect(quarantine.holds(7) == (number > Limits.unsealableMax))
            let isLast = quarantine.note(7)
            #expect(isLast == (number == Limits.unsealableMax))
        }
        #expect(!quarantine.holds(8) && quarantine.count == 1)
        let isOther = quarantine.note(8)
        #expect(!isOther)
    }

    @Test func `an agent that was removed is forgotten`() {
        var quarantine = Quarantine()
        for _ in 0..<Limits.unsealableMax { _ = quarantine.note(7) }
        quarantine.forget(7)
        #expect(!quarantine.holds(7) && quarantine.count == 0)
    }

    @Test func `it is bounded, and who is quarantined stays`() {
        var quarantine = Quarantine()
        for _ in 0..<Limits.unsealableMax { _ = quarantine.note(1) }
        for agent in 2...UInt32(Quarantine.agentsMax * 2) { _ = quarantine.note(agent) }
        #expect(quarantine.counts.count <= Quarantine.agentsMax)
        #expect(quarantine.holds(1))
    }
}
