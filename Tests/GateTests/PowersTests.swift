import Chance
import Gate
import Testing

@Suite struct PowersTests {
    private func node(_ name: String, _ ordinal: UInt32, key: UInt8 = 1, role: Role = .agent) -> Node {
        Node(name: name, ordinal: ordinal, key: Array(repeating: key, count: 32), role: role, scope: ada)
    }

    private func powers(_ closures: [Closure] = [], epoch: UInt64? = nil, seal: String? = nil, nodes: [Node] = [], _ members: [Operator] = []) -> Powers {
        Powers(
            gate: GateState(epoch: Epoch(epoch ?? closures.map(\.epoch.number).max() ?? 0), closures: closures, seal: seal),
            nodes: Dictionary(uniqueKeysWithValues: nodes.map { ($0.ordinal, $0) }),
            operators: Dictionary(uniqueKeysWithValues: members.map { ($0.name, $0) }))
    }

    @Test func `taking away narrows`() {
        let before = powers([closure(1)], nodes: [node("a", 1), node("b", 2)], [ops("ops-1", key: 1), ops("ops-2", key: 2)])
        #expect(before.consequence(of: before) == .narrows, "nothing is gained by nothing")
        #expect(before.consequence(of: powers([closure(1), closure(2)], nodes: [node("a", 1)], [ops("ops-1", key: 1)])) == .narrows)
        #expect(before.consequence(of: powers([closure(1)], seal: "test")) == .narrows)
    }

    @Test func `each thing that is gained is named`() {
        let before = powers([closure(1)], nodes: [node("a", 1)], [ops("ops-1", key: 1)])
        #expect(before.consequence(of: powers([], epoch: 2, nodes: [node("a", 1)], [ops("ops-1", key: 1)])) == .widens([.reopens(closure(1))]))
        let added = powers([closure(1)], nodes: [node("a", 1), node("b", 2, role: .reader)], [ops("ops-1", key: 1), ops("ops-2", key: 2)])
        #expect(before.consequence(of: added) == .widens([.admits(node("b", 2, role: .reader)), .empowers(ops("ops-2", key: 2))]))
        let rekeyed = powers([closure(1)], nodes: [node("a", 1, key: 9)], [ops("ops-1", key: 9)])
        #expect(before.consequence(of: rekeyed) == .widens([.admits(node("a", 1, key: 9)), .empowers(ops("ops-1", key: 9))]))
    }

    @Test func `a command that does both counts as widening`() {
        let before = powers([closure(1)], nodes: [node("a", 1), node("b", 2)])
        let after = powers([closure(2, .both, Selector(sites: ["north"]))], nodes: [])
        #expect(before.consequence(of: after) == .widens([.reopens(closure(1))]))
    }

    @Test func `a closure may be replaced by a wider one`() {
        let north = closure(1, .capture, Selector(sites: ["north"], classes: [activity]))
        #expect(powers([north]).consequence(of: powers([closure(2, .both, Selector(sites: ["north", "south"]))])) == .narrows)
        #expect(powers([closure(2)]).consequence(of: powers([north], epoch: 3)) == .widens([.reopens(closure(2))]))
    }

    @Test func `a drill's closure replaces none, because its end lifts it and nobody signs for that`() {
        let planted = Selector(subjects: ["planted/north"])
        let real = closure(1, .both, planted)
        var drill = closure(2, .both, planted)
        #expect(powers([real, drill]).consequence(of: powers([drill], epoch: 3)) == .narrows, "the control: a pause of an operator's does")
        drill.author = "detector \(Drill.detector)"
        #expect(powers([real, drill]).consequence(of: powers([drill], epoch: 3)) == .widens([.reopens(real)]))
        #expect(powers([real, drill]).consequence(of: powers([real, drill], epoch: 3)) == .narrows)
    }

    @Test func `what is lifted under a seal is gained, because a seal ends by itself`() {
        #expect(powers([closure(1)], seal: "restarted").consequence(of: powers([], epoch: 2, seal: "restarted")) == .widens([.reopens(closure(1))]))
        #expect(powers(seal: "restarted").consequence(of: powers()) == .widens([.unseals]))
    }

    @Test func `an epoch that goes back is no narrowing`() {
        #expect(powers([closure(2)], epoch: 5).consequence(of: powers([closure(2)], epoch: 4)) == .widens([.goesBack(to: Epoch(4))]))
    }

    @Test func `a closure covers another exactly if it stops all that the other stops`() {
        var random = SplitMix64(seed: 11)
        var covered = 0
        for round in 0..<20_000 {
            let (one, other) = (closure(1, anyDirection(&random), anySelector(&random)), closure(2, anyDirection(&random), anySelector(&random)))
            guard one.covers(other) else { continue }
            covered += 1
            let (mine, theirs) = (allowed(by: GateState(epoch: Epoch(2), closures: [one])), allowed(by: GateState(epoch: Epoch(2), closures: [other])))
            #expect(zip(mine, theirs).allSatisfy { !$0 || $1 }, "round \(round): \(one) \(other)")
        }
        #expect(covered > 1_000)
    }

    // MARK: Rows that are no more

    @Test func `where nothing stands any more what counted before the first entry counts again, and that is gained`() {
        #expect(Powers(serviceKeys: ["ingest": [[1]]]).consequence(of: Powers()) == .widens([.actsAs("ingest", [])]))
        #expect(Powers(ledgerKeys: ["reads": ["reads+1"]]).consequence(of: Powers()) == .widens([.signsWith("reads")]))
        func erased(_ readmitted: Int64?) -> Powers { Powers(erased: .init(["ada": ErasedSubject(index: 1, at: wall(1), readmitted: readmitted.map(wall))])) }
        for (before, after) in [(erased(nil), Powers()), (erased(3), Powers()), (erased(3), erased(2)), (erased(nil), erased(9))] {
            #expect(before.consequence(of: after) == .widens([.readmits(["ada"])]))
        }
        #expect([erased(nil), erased(3)].allSatisfy { Powers().consequence(of: $0).narrows } && erased(2).consequence(of: erased(3)).narrows, "the control")
    }
}
