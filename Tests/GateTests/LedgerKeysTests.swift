import Gate
import Testing

@Suite struct LedgerKeysTests {
    private func begun() -> LedgerKeys {
        LedgerKeys(Beginning(origin: "o", operators: [], controlKey: "o+c", policyKey: "reads+1", controlWitness: "control+1", policyWitness: "policy+1"))
    }

    @Test func `what a key signs counts beside the one before until that is retired`() throws {
        var keys = begun()
        #expect(keys.current == ["reads": ["reads+1"], "control": ["control+1"], "policy": ["policy+1"]])
        try keys.announce("reads+2", beside: "reads+1")
        #expect(keys.current["reads"] == ["reads+1", "reads+2"])
        try keys.retire("reads+1")
        #expect(keys.current["reads"] == ["reads+2"] && keys.retired == ["reads+1"])
        try keys.announce("reads+3", beside: "reads+2")
        try keys.retire("reads+3")
        #expect(keys.current == ["reads": ["reads+2"], "control": ["control+1"], "policy": ["policy+1"]], "given up before it was used")
    }

    @Test func `a ledger's key is announced under its own name, beside the one that counts, and never comes back`() throws {
        var keys = begun()
        #expect(throws: LedgerKeysRefused.unknownName) { try keys.announce("nobody+2", beside: "nobody+1") }
        #expect(throws: LedgerKeysRefused.unknownName, "control's own ledger's") { try keys.announce("o+d", beside: "o+c") }
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

    @Test func `a key that signs is gained, and one that signs no more is not`() {
        let (one, two) = (Powers(ledgerKeys: ["reads": ["reads+1"]]), Powers(ledgerKeys: ["reads": ["reads+1", "reads+2"]]))
        #expect(one.consequence(of: two) == .widens([.signsWith("reads+2")]))
        #expect(two.consequence(of: one) == .narrows && two.consequence(of: two) == .narrows)
    }
}
