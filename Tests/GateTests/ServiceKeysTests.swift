import Gate
import Testing

private func key(_ byte: UInt8) -> [UInt8] { Array(repeating: byte, count: 32) }

@Suite struct ServiceKeysTests {
    private func announced() throws -> ServiceKeys {
        var keys = ServiceKeys()
        try keys.announce(key(2), for: "ingest", beside: key(1), at: 7)
        return keys
    }

    @Test func `a key counts beside the one before until that is retired, and the next one after that`() throws {
        var keys = try announced()
        #expect(keys.current == ["ingest": [key(1), key(2)]] && keys.announcedAt == ["ingest": 7])
        #expect(keys.holder(of: key(1)) == "ingest" && keys.holder(of: key(3)) == nil)
        try keys.retire(key(1), of: "ingest", at: 8)
        #expect(keys.current == ["ingest": [key(2)]])
        try keys.announce(key(3), for: "ingest", beside: key(2), at: 9)
        #expect(keys.current == ["ingest": [key(2), key(3)]] && keys.announcedAt == ["ingest": 9])
        // Given up before it was used.
        try keys.retire(key(3), of: "ingest", at: 8)
        #expect(keys.current == ["ingest": [key(2)]] && keys.retired == [key(1), key(3)])
    }

    @Test func `the entry that is shown is that of the newest key that counts`() throws {
        var keys = try announced()
        #expect(keys.retiredAt.isEmpty)
        try keys.retire(key(1), of: "ingest", at: 8)
        #expect(keys.announcedAt == ["ingest": 7] && keys.retiredAt == ["ingest": 8])
        try keys.announce(key(3), for: "ingest", beside: key(2), at: 9)
        try keys.retire(key(3), of: "ingest", at: 10)
        #expect(keys.announcedAt == ["ingest": 7] && keys.retiredAt == ["ingest": 10], "the older one counts again alone")
        // The registry's was announced by no entry.
        var first = try announced()
        try first.retire(key(2), of: "ingest", at: 8)
        #expect(first.announcedAt.isEmpty && first.current == ["ingest": [key(1)]])
    }

    @Test func `a service has never more than two keys, and never none`() throws {
        var keys = try announced()
        #expect(throws: ServiceKeysRefused.underWay) { try keys.announce(key(3), for: "ingest", beside: key(2), at: 9) }
        try keys.retire(key(1), of: "ingest", at: 8)
        #expect(throws: ServiceKeysRefused.last) { try keys.retire(key(2), of: "ingest", at: 8) }
        #expect(throws: ServiceKeysRefused.unknown) { try keys.retire(key(1), of: "ingest", at: 8) }
        #expect(throws: ServiceKeysRefused.unknown, "nothing was announced for it") { try keys.retire(key(2), of: "policy", at: 8) }
    }

    @Test func `a key that was retired never comes back, for any service, on either side`() throws {
        var keys = try announced()
        try keys.retire(key(1), of: "ingest", at: 8)
        #expect(throws: ServiceKeysRefused.retired) { try keys.announce(key(1), for: "ingest", beside: key(2), at: 9) }
        #expect(throws: ServiceKeysRefused.retired) { try keys.announce(key(1), for: "policy", beside: key(5), at: 9) }
        #expect(throws: ServiceKeysRefused.retired) { try keys.announce(key(6), for: "policy", beside: key(1), at: 9) }
        #expect(keys.current == ["ingest": [key(2)]], "nothing was changed")
    }

    @Test func `one key is one service's, and stands beside the one that counts`() throws {
        var keys = try announced()
        #expect(throws: ServiceKeysRefused.keyInUse(by: "ingest")) { try keys.announce(key(2), for: "policy", beside: key(5), at: 9) }
        #expect(throws: ServiceKeysRefused.keyInUse(by: "ingest")) { try keys.announce(key(6), for: "policy", beside: key(1), at: 9) }
        #expect(throws: ServiceKeysRefused.keyInUse(by: "policy")) { try keys.announce(key(5), for: "policy", beside: key(5), at: 9) }
        try keys.retire(key(1), of: "ingest", at: 8)
        #expect(throws: ServiceKeysRefused.besideAnother) { try keys.announce(key(3), for: "ingest", beside: key(9), at: 9) }
        for unfit in [[], Array(key(3).dropLast()), key(0), [1] + Array(repeating: 0, count: 31), [0xec] + Array(repeating: 0xff, count: 30) + [0x7f]] {
            #expect(throws: ServiceKeysRefused.unfit) { try keys.announce(unfit, for: "ingest", beside: key(2), at: 9) }
        }
    }

    @Test func `a key of an agent, or of an operator's tools, or one that was taken away, is no service's`() throws {
        var state = Governance()
        let ops = ["ops-1", "ops-2"].enumerated().map { Operator(name: $1, person: $1, key: key(UInt8(20 + $0)), session: key(UInt8(30 + $0))) }
        state.apply(Entry(
            index: 1, at: WallTime(microseconds: 1), author: "control",
            deed: .began(Beginning(origin: "o", operators: ops, controlKey: "c", policyKey: "p", controlWitness: "cw", policyWitness: "pw"))))
        let desks = [1, 2].map { Node(name: "desk-\($0)", ordinal: $0, key: key(UInt8(40 + $0)), role: .agent, scope: Scope(subject: "E", site: "", team: "")) }
        state.apply(Entry(index: 2, at: WallTime(microseconds: 2), author: "ops-1", deed: .registered(desks, enrolment: nil)))
        state.apply(Entry(index: 3, at: WallTime(microseconds: 3), author: "ops-1", deed: .removed([2])))
        #expect(throws: ServiceKeysRefused.keyInUse(by: "desk-1")) { try state.check(announcing: key(41), for: "ingest", beside: key(1)) }
        #expect(throws: ServiceKeysRefused.retired) { try state.check(announcing: key(42), for: "ingest", beside: key(1)) }
        #expect(throws: ServiceKeysRefused.keyInUse(by: "ops-2")) { try state.check(announcing: key(31), for: "ingest", beside: key(1)) }
        #expect(throws: Never.self, "the control") { try state.check(announcing: key(2), for: "ingest", beside: key(1)) }
    }

    @Test func `a key that counts is gained, and one that counts no more is not`() {
        let (one, two) = (Powers(serviceKeys: ["ingest": [key(1)]]), Powers(serviceKeys: ["ingest": [key(1), key(2)]]))
        #expect(one.consequence(of: two) == .widens([.actsAs("ingest", key(2))]))
        #expect(Powers().consequence(of: two) == .widens([.actsAs("ingest", key(1)), .actsAs("ingest", key(2))]))
        #expect(two.consequence(of: one) == .narrows)
        #expect(two.consequence(of: Powers(serviceKeys: ["ingest": [key(2)]])) == .narrows)
        #expect(two.consequence(of: Powers(serviceKeys: ["ingest": [key(2)], "policy": [key(1)]])) == .widens([.actsAs("policy", key(1))]))
    }
}
