import Chance
import Gate
import Testing

@Suite struct GovernanceTests {
    private func entry(_ index: UInt64, _ deed: Entry.Deed) -> Entry { Entry(index: index, at: wall(Int64(index)), author: "ops", deed: deed) }

    private func node(_ name: String, _ ordinal: UInt32, key: UInt8 = 1) -> Node {
        Node(name: name, ordinal: ordinal, key: Array(repeating: key, count: 32), role: .agent, scope: ada)
    }

    private func fold(_ entries: [Entry]) -> Governance {
        var governance = Governance()
        for entry in entries { governance.apply(entry) }
        return governance
    }

    @Test func `pauses and resumes fold into the gate, and what was lifted keeps its interval`() {
        let governance = fold([
            entry(1, .paused(closure(1, from: wall(1)))), entry(2, .paused(closure(2, .read, from: wall(2)))),
            entry(3, .resumed(to: Epoch(3), closures: [Epoch(1)], reason: "over")),
        ])
        #expect(governance.gate.epoch == Epoch(3))
        #expect(governance.gate.closures.map(\.epoch) == [Epoch(2)])
        #expect(governance.lifted == [closure(1, from: wall(1), until: wall(3))])
    }

    @Test func `a pause that acted before it was written down is applied once`() {
        var governance = fold([entry(1, .paused(closure(1)))])
        governance.apply(entry(1, .paused(closure(1))))
        #expect(governance.gate.closures.count == 1)
    }

    @Test func `a pause that lands while a resume is being written ends in the same state, live and replayed`() {
        let first = entry(1, .paused(closure(1, .capture)))
        let resume = entry(2, .resumed(to: Epoch(2), closures: [Epoch(1)], reason: "over"))
        let pause = entry(3, .paused(closure(3, .read)))
        // Live: the pause acts when it is commanded, the resume when it is durable; both are then found in the journal.
        let live = fold([first, pause, resume, pause])
        let replayed = fold([first, resume, pause])
        #expect(live.gate == replayed.gate)
        #expect(live.lifted == replayed.lifted)
        #expect(live.gate.epoch == Epoch(3))
        #expect(live.gate.closures.map(\.epoch) == [Epoch(3)])
    }

    @Test func `however pauses overtake resumes, replay in the journal's order gives what was live`() {
        var random = SplitMix64(seed: 6)
        for round in 0..<300 {
            var live = Governance()
            var journal: [Entry] = []
            var waiting: [Entry] = []
            var latest = Epoch.none
            for index in UInt64(1)...12 {
                latest = live.nextEpoch(after: latest)
                if random.chance(50) || live.gate.closures.isEmpty {
                    let pause = entry(index, .paused(closure(latest.number, anyDirection(&random), anySelector(&random))))
                    live.apply(pause)
                    waiting.append(pause)
                } else {
                    let chosen = live.gate.closures.map(\.epoch).filter { _ in random.chance(50) }
                    waiting.append(entry(index, .resumed(to: latest, closures: chosen, reason: "")))
                }
                while !waiting.isEmpty, random.chance(40) { settle(&waiting, &journal, &live) }
            }
            while !waiting.isEmpty { settle(&waiting, &journal, &live) }
            let replayed = fold(journal)
            #expect(replayed.gate == live.gate, "round \(round)")
            #expect(Set(replayed.lifted) == Set(live.lifted), "round \(round)")
        }
    }

    /// The oldest entry is durable now: what widens acts, what narrows has acted already.
    private func settle(_ waiting: inout [Entry], _ journal: inout [Entry], _ live: inout Governance) {
        let entry = waiting.removeFirst()
        journal.append(entry)
        if case .resumed = entry.deed { live.apply(entry) }
    }

    @Test func `the next epoch is later than anything decided, applied or not`() {
        let governance = fold([entry(1, .paused(closure(4)))])
        #expect(governance.nextEpoch(after: .none) == Epoch(5))
        #expect(governance.nextEpoch(after: Epoch(9)) == Epoch(10))
    }

    @Test func `sealing closes, and an unsealing in the journal opens at its epoch`() {
        var governance = fold([entry(1, .paused(closure(1)))])
        governance.seal("a peer knows more")
        #expect(!governance.gate.allowsCapture(ada, activity))
        governance.apply(entry(2, .unsealed(Epoch(8), dropped: [], reason: "looked at")))
        #expect(governance.gate.seal == nil)
        #expect(governance.gate.epoch == Epoch(8))
        #expect(governance.gate.closures.map(\.epoch) == [Epoch(1)], "what was paused stays paused")
    }

    @Test func `a node that is registered anew replaces its earlier self, and no number is used twice`() {
        var governance = fold([entry(1, .registered([node("ada", 1), node("ben", 2)], enrolment: nil)), entry(2, .registered([node("ada", 3, key: 9)], enrolment: nil))])
        #expect(governance.node(named: "ada") == node("ada", 3, key: 9))
        #expect(governance.nodes[1] == nil)
        #expect(governance.nextOrdinal == 4)
        governance.apply(entry(3, .removed([3, 77])))
        #expect(governance.node(named: "ada") == nil)
        #expect(governance.nodes.keys.sorted() == [2])
        #expect(governance.nextOrdinal == 4)
    }

    @Test func `removing an earlier self leaves the later one`() {
        let governance = fold([entry(1, .registered([node("ada", 1)], enrolment: nil)), entry(2, .registered([node("ada", 2)], enrolment: nil)), entry(3, .removed([1]))])
        #expect(governance.node(named: "ada")?.ordinal == 2)
    }

    @Test func `a key may be changed under the same number`() {
        let governance = fold([entry(1, .registered([node("ada", 1)], enrolment: nil)), entry(2, .registered([node("ada", 1, key: 9)], enrolment: nil))])
        #expect(governance.node(named: "ada") == node("ada", 1, key: 9))
    }

    @Test func `incidents open, move and are numbered on`() {
        let governance = fold([
            entry(1, .incidentOpened(number: 1, title: "leak", closure: Epoch(1), dataClass: "review", isLeak: true)),
            entry(2, .incidentMoved(number: 1, to: .contained)), entry(3, .incidentMoved(number: 5, to: .closed)),
        ])
        #expect(governance.incidents[1]?.state == .contained)
        #expect(governance.incidents[1]?.opened == wall(1))
        #expect(governance.incidents[1]?.moved == wall(2))
        #expect(governance.incidents.count == 1)
        #expect(governance.nextIncident == 2)
    }

    @Test func `certificates are remembered with their completeness`() {
        var stop = StopTracker(closure: closure(1), at: at(0), lease: lease, services: [], agents: [])
        var governance = fold([entry(1, .certified(stop.certificate(issued: wall(0))))])
        #expect(governance.certified == [Epoch(1): false])
        stop.durable(in: .journal)
        governance.apply(entry(2, .certified(stop.certificate(issued: wall(0)))))
        #expect(governance.certified == [Epoch(1): true])
    }
}
