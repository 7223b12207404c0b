import Chassis
import Foundation
import Gate
import Ledger
import SwiftProtobuf
import Testing
import Wire

/// SplitMix64: small, and the same in every run for one seed.
private struct Chance {
    var state: UInt64
    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}

@Suite struct RandomHistoriesTests {
    /// Decides as control does, by the state so far, and keeps what it decided as values.
    private struct History {
        var scribe: Scribe
        var live = Governance()
        var chance: Chance
        /// What was signed for each proposal.
        var statements: [UInt64: WireSignedCommand] = [:]
        var names = 0

        init(seed: UInt64) throws {
            scribe = try Scribe()
            chance = Chance(state: seed)
            for entry in scribe.entries { live.apply(try #require(WireEntry(serializedBytes: entry.body).value)) }
        }

        /// The last entry that was written, as a value, on the live state.
        mutating func settle(_ before: UInt64) throws {
            for entry in scribe.entries[Int(before)...] { live.apply(try #require(WireEntry(serializedBytes: entry.body).value)) }
        }

        mutating func step() throws {
            let before = scribe.index
            let open = live.proposals.open
            switch chance.below(7) {
            case 0: try scribe.pause(live.nextEpoch(after: .none).number, by: ["ops-1", "ops-2"][chance.below(2)], selector: Selector(sites: chance.below(2) == 0 ? [] : ["s\(chance.below(3))"]))
            case 1:
                let command = try command()
                let number = live.proposals.nextNumber
                statements[number] = try scribe.propose(number, command, by: ["ops-1", "ops-2"][chance.below(2)])
            case 2:
                guard !open.isEmpty else { return }
                let proposal = open[chance.below(open.count)]
                let other = proposal.proposer.name == "ops-1" ? "ops-2" : "ops-1"
                try scribe.write(.approved(number: proposal.number), by: other, scribe.approve(proposal.number, of: #require(statements[proposal.number]), by: other))
                try settle(before)
                return try carryOut(proposal.number, by: other)
            case 3:
                guard let proposal = open.first else { return }
                try scribe.write(.withdrawn(number: proposal.number), by: "ops-2", scribe.sign(.withdraw(proposal: proposal.number), by: "ops-2"))
            case 4:
                guard let node = live.nodes.values.min(by: { $0.ordinal < $1.ordinal }) else { return }
                try scribe.write(.removed([node.ordinal]), by: "ops-1", scribe.sign(.remove(names: [node.name]), by: "ops-1"))
            case 5:
                let number = live.nextIncident
                try scribe.write(.incidentOpened(number: number, title: "t", closure: live.gate.epoch, dataClass: "", isLeak: false), by: "control")
            default:
                guard let number = live.incidents.keys.min(by: { _, _ in false }), live.incidents[number]?.state != .closed else { return }
                try scribe.write(.incidentMoved(number: number, to: .closed), by: "ops-1", scribe.sign(.closeIncident(number), by: "ops-1"))
            }
            try settle(before)
        }

        private mutating func command() throws -> Command {
            names += 1
            switch chance.below(3) {
            case 0: return .resume(live.gate.closures.map(\.epoch), reason: "over \(names)", unseal: false)
            case 1: return .register([agent("a\(names)", 0, key: UInt8(names % 240))])
            default:
                let enrolment = Enrolment(number: 0, name: "", scope: agent("e\(names)", 0, key: 1).scope, token: .init(repeating: UInt8(names % 250), count: 32), until: .distantPast)
                return .enrol(enrolment, validSeconds: 600)
            }
        }

        /// What control would record for an approved proposal, if it is still right.
        private mutating func carryOut(_ number: UInt64, by author: String) throws {
            let before = scribe.index
            switch live.proposed[number] {
            case .resume(let asked, let reason, _, _, _):
                guard !asked.isEmpty, Set(asked).isSubset(of: live.gate.closures.map(\.epoch)) else { return }
                try scribe.write(.resumed(to: live.nextEpoch(after: .none), closures: asked, reason: reason), by: author, proposal: number)
            case .register(let nodes):
                guard !nodes.contains(where: { live.revokedKeys.contains($0.key) }) else { return }
                var node = nodes[0]
                node.ordinal = live.nextOrdinal
                try scribe.write(.registered([node], enrolment: nil), by: author, proposal: number)
            case .enrol(var enrolment, _):
                enrolment.number = live.nextEnrolment
                enrolment.until = scribe.now + .seconds(600)
                try scribe.write(.enrolmentOpened(enrolment), by: author, proposal: number)
            default: return
            }
            try settle(before)
        }
    }

    @Test func `whatever is decided by the rules is taken, and the fold of the bytes is the state of who decided`() throws {
        for round in 0..<40 {
            let seed = UInt64(round) &* 7_919 &+ 1
            var history = try History(seed: seed)
            for _ in 0..<60 { try history.step() }
            let fold = try history.scribe.fold()
            let (live, replayed) = (history.live, fold.governance)
            #expect(fold.size == history.scribe.index, "seed \(seed)")
            #expect(Powers(live) == Powers(replayed), "seed \(seed)")
            #expect(live.proposals == replayed.proposals, "seed \(seed)")
            #expect(live.proposed == replayed.proposed, "seed \(seed)")
            #expect(live.incidents == replayed.incidents, "seed \(seed)")
            #expect(live.lifted == replayed.lifted && live.revokedKeys == replayed.revokedKeys, "seed \(seed)")
            #expect(live.powersIndex == replayed.powersIndex && live.nextOrdinal == replayed.nextOrdinal, "seed \(seed)")
        }
    }

    @Test func `of a history in which one entry is left out, or comes twice, nothing is taken from there on`() throws {
        for round in 0..<10 {
            let seed = UInt64(round) &* 104_729 &+ 5
            var history = try History(seed: seed)
            for _ in 0..<40 { try history.step() }
            let entries = history.scribe.entries
            let place = 1 + history.chance.below(entries.count - 2)
            for changed in [Array(entries[..<place] + entries[(place + 1)...]), Array(entries[...place] + entries[place...])] {
                var fold = GovernanceFold()
                #expect(throws: FoldFault.self, "seed \(seed)") { for entry in changed { _ = try fold.take(entry) } }
                #expect(fold.size <= UInt64(place + 1), "seed \(seed)")
            }
        }
    }
}
