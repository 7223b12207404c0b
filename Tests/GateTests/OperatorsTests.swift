import Gate
import Testing

/// Keys are told apart by one byte here.
func ops(_ name: String, person: String? = nil, key: UInt8) -> Operator {
    Operator(name: name, person: person ?? "person of \(name)", key: Array(repeating: key, count: 32))
}

func operators(_ members: Operator...) -> Operators {
    var operators = Operators()
    do { try operators.change(removing: [], adding: members) } catch { Issue.record(error) }
    return operators
}

@Suite struct OperatorsTests {
    let one = ops("ops-1", key: 1)
    let two = ops("ops-2", key: 2)
    let three = ops("ops-3", key: 3)

    @Test func `the last two operators cannot be removed`() throws {
        var team = operators(one, two, three)
        try team.change(removing: ["ops-3"], adding: [])
        let before = team
        #expect(throws: OperatorsRefused.lastTwo) { try team.change(removing: ["ops-1"], adding: []) }
        #expect(throws: OperatorsRefused.lastTwo) { try team.change(removing: ["ops-1", "ops-2"], adding: []) }
        #expect(team == before)
    }

    @Test func `two keys of one person do not make two operators`() {
        var team = operators(one, two, ops("ops-2b", person: two.person, key: 4))
        #expect(throws: OperatorsRefused.lastTwo) { try team.change(removing: ["ops-1"], adding: []) }
    }

    @Test func `a key can be replaced when there are only two operators`() throws {
        var team = operators(one, two)
        try team.change(removing: ["ops-2"], adding: [ops("ops-2", key: 5)])
        #expect(team["ops-2"]?.key.first == 5)
        #expect(team.revoked[two.key] == two)
    }

    @Test func `a revoked key never comes back, under any name`() throws {
        var team = operators(one, two, three)
        try team.change(removing: ["ops-3"], adding: [])
        #expect(throws: OperatorsRefused.keyRevoked(of: "ops-3")) { try team.change(removing: [], adding: [three]) }
        #expect(throws: OperatorsRefused.keyRevoked(of: "ops-3")) { try team.change(removing: [], adding: [ops("new", key: 3)]) }
    }

    @Test func `a name and a key stand for one operator`() throws {
        var team = operators(one, two, three)
        #expect(throws: OperatorsRefused.nameInUse("ops-1")) { try team.change(removing: [], adding: [ops("ops-1", key: 9)]) }
        #expect(throws: OperatorsRefused.keyInUse(by: "ops-1")) { try team.change(removing: [], adding: [ops("ops-9", key: 1)]) }
        #expect(throws: OperatorsRefused.unknown(name: "ops-9")) { try team.change(removing: ["ops-9"], adding: []) }
        try team.change(removing: ["ops-3"], adding: [])
        #expect(throws: OperatorsRefused.nameInUse("ops-3"), "a name does not pass to another person") {
            try team.change(removing: [], adding: [ops("ops-3", person: "somebody else", key: 9)])
        }
    }
}
