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

    // MARK: One signature never gives what was not there

    /// What a command may consist of, whatever it calls itself.
    private enum Deed: CaseIterable { case pause, lift, seal, unseal, register, rekey, remove, addOperator, removeOperator, replaceOperator, goBack }

    private func apply(_ deed: Deed, to powers: inout Powers, with random: inout SplitMix64) {
        let next = Epoch(powers.gate.epoch.number + 1)
        switch deed {
        case .pause: powers.gate.pause(closure(next.number, anyDirection(&random), anySelector(&random)))
        case .lift: _ = powers.gate.resume(Set(powers.gate.closures.map(\.epoch).filter { _ in random.chance(50) }), to: next)
        case .seal: powers.gate.seal("test")
        case .unseal: powers.gate.unseal(atLeast: next)
        case .register:
            let ordinal = UInt32(random.below(6))
            powers.nodes[ordinal] = node("node \(ordinal)", ordinal, key: UInt8(random.below(2)), role: random.pick([.agent, .reader]))
        case .rekey: if let ordinal = powers.nodes.keys.min() { powers.nodes[ordinal]?.key[0] ^= 1 }
        case .remove: powers.nodes[UInt32(random.below(6))] = nil
        case .addOperator:
            let name = "ops-\(random.below(4))"
            powers.operators[name] = ops(name, person: random.pick(["p", "q"]), key: UInt8(random.below(3)))
        case .removeOperator: powers.operators["ops-\(random.below(4))"] = nil
        case .replaceOperator: if let name = powers.operators.keys.min() { powers.operators[name]?.key[0] ^= 1 }
        case .goBack: powers.gate = GateState(epoch: Epoch(powers.gate.epoch.number / 2), closures: powers.gate.closures, seal: powers.gate.seal)
        }
    }

    /// Independent of ``Powers/consequence(of:)``: asks the gate itself for everything there is, also as it is once a seal has ended.
    private func isWithin(_ after: Powers, _ before: Powers) -> Bool {
        func flows(_ gate: GateState) -> [Bool] {
            var unsealed = gate
            unsealed.unseal(atLeast: .none)
            return allowed(by: gate) + allowed(by: unsealed)
        }
        return zip(flows(after.gate), flows(before.gate)).allSatisfy { !$0 || $1 }
            && Set(after.nodes.values).isSubset(of: before.nodes.values) && Set(after.operators.values).isSubset(of: before.operators.values)
            && after.gate.epoch >= before.gate.epoch
    }

    @Test func `whatever a command does, one signature gives nothing that was not allowed`() {
        var random = SplitMix64(seed: 3)
        var (narrowed, widened, widenedTruly) = (0, 0, 0)
        for round in 0..<30_000 {
            var before = Powers()
            for _ in 0..<random.below(8) { apply(random.pick(Deed.allCases), to: &before, with: &random) }
            var after = before
            for _ in 0...random.below(3) { apply(random.pick(Deed.allCases), to: &after, with: &random) }
            if before.consequence(of: after).narrows {
                narrowed += 1
                #expect(isWithin(after, before), "seed 3, round \(round)")
            } else {
                widened += 1
                if !isWithin(after, before) { widenedTruly += 1 }
            }
        }
        // The negative control: most of what is called widening really would have given something.
        #expect(narrowed > 3_000)
        #expect(widenedTruly * 10 > widened * 8)
    }
}
