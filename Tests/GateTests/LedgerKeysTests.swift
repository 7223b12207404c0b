import Gate
import Testing

@Suite struct LedgerKeysTests {
    private func begun() -> LedgerKeys {
        LedgerKeys(Beginning(origin: "o", operators: [], controlKey: "o+c", policyKey: "reads+1", controlWitness: "control+1", policyWitness: "policy+1"))
    }

    @Test func `what a key signs counts beside the one before until that is retired`() throws {
        var keys = begun()
        #expect(keys.current == ["o": ["o+c"], "reads": ["reads+1"], "control": ["control+1"], "policy": ["policy+1"]])
        try keys.announce("reads+2", beside: "reads+1")
        #expect(keys.current["reads"] == ["reads+1", "reads+2"])
        try keys.retire("reads+1")
        #expect(keys.current["reads"] == ["reads+2"] && keys.retired == ["reads+1"])
        try keys.announce("reads+3", beside: "reads+2")
        try keys.retire("reads+3")
        #expect(keys.current == ["o": ["o+c"], "reads": ["reads+2"], "control": ["control+1"], "policy": ["policy+1"]], "given up before it was used")
    }

    @Test func `a ledger's key is announced under its own name, beside the one that counts, and never comes back`() throws {
        var keys = begun()
        #expect(throws: LedgerKeysRefused.unknownName) { try keys.announce("nobody+2", beside: "nobody+1") }
        #expect(throws: LedgerKeysRefused.unknownName) { try keys.announce("reads+2", beside: "control+1") }
        #expect(throws: LedgerKeysRefused.besideAnother) { try keys.announce("reads+3", beside: "reads+2") }
        #expect(throws: LedgerKeysRefused.known) { try keys.announce("reads+1", beside: "reads+1") }
        #expect(throws: LedgerKeysRefused.last) { try keys.retire("reads+1") }
        #expect(throws: LedgerKeysRefused.unknown) { try keys.retire("reads+2") }
        #expect(keys == begun(), "nothing was changed")
        try keys.announce("reads+2", beside: "reads+1")
        #expect(throws: LedgerKeysRefused.underWay) { try keys.announce("reads+3", beside: "reads+1") }
        try keys.retire("reads+1")
        #expect(throws: LedgerKeysRefused.known) { try keys.announce("reads+1", beside: "reads+2") }
    }

    @Test func `the key of control's own ledger is exchanged likewise, and it is known which entry did so last`() throws {
        var governance = Governance()
        func apply(_ index: UInt64, _ deed: Entry.Deed) { governance.apply(Entry(index: index, at: WallTime(microseconds: 0), author: "ops-1", deed: deed)) }
        apply(1, .began(Beginning(origin: "o", operators: [], controlKey: "o+c", policyKey: "reads+1", controlWitness: "control+1", policyWitness: "policy+1")))
        apply(2, .ledgerKeyAnnounced("reads+2", beside: "reads+1"))
        #expect(governance.ownKeysIndex == 0 && !governance.isOwn("reads+2") && governance.isOwn("o+d"))
        apply(3, .ledgerKeyAnnounced("o+d", beside: "o+c"))
        #expect(governance.ledgerKeys.current["o"] == ["o+c", "o+d"] && governance.ownKeysIndex == 3)
        apply(4, .ledgerKeyRetired("o+c"))
        #expect(governance.ledgerKeys.current["o"] == ["o+d"] && governance.ownKeysIndex == 4)
    }

    @Test func `a key that signs is gained, and one that signs no more is not`() {
        let (one, two) = (Powers(ledgerKeys: ["reads": ["reads+1"]]), Powers(ledgerKeys: ["reads": ["reads+1", "reads+2"]]))
        #expect(one.consequence(of: two) == .widens([.signsWith("reads+2")]))
        #expect(two.consequence(of: one) == .narrows && two.consequence(of: two) == .narrows)
    }
}
