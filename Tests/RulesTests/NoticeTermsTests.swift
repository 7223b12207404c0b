import Gate
import Testing

@testable import Rules

/// What a document says of notices: who sends them, what they tell of readers, when somebody hears of those who were not reached.
@Suite struct NoticeTermsTests {
    private let noon = WallTime(microseconds: 1_764_000_000_000_000)

    private func document(_ notices: String) throws -> PolicyDocument { try read(classes + (notices.isEmpty ? "" : "notices: \(notices)\n")) }

    @Test func `what is not said is two operators, readers by role, and no time`() throws {
        #expect(try document("").notices == NoticeTerms(send: .twoOperators, readers: .role, escalate: nil))
        #expect(try document("{send: at once, readers: person, escalate: 36 h}").notices == NoticeTerms(send: .atOnce, readers: .person, escalate: .seconds(36 * 3_600)))
        // Said or not, it is one document with one hash.
        #expect(try document("{send: two operators, readers: role}").canonical == document("").canonical && document("").canonical == document("{}").canonical)
    }

    @Test(arguments: ["{send: at once}", "{readers: count}", "{escalate: 720 h}", "{send: at once, readers: person, escalate: 1 h}"]) func `its canonical form is read back`(notices: String) throws {
        let document = try document(notices)
        #expect(document.canonical != (try self.document("")).canonical)
        #expect(try PolicyReader().read(canonical: document.canonical) == document)
    }

    @Test(arguments: [
        "{send: now}", "{send: }", "{send: one}", "{readers: name}", "{escalate: 24}", "{escalate: 0 h}", "{escalate: 721 h}", "{escalate: 1 day}", "{escalate: -1 h}", "{escalate: 99999999999999999999 h}", "{people: all}", "[]", "soon",
    ]) func `what is none is a mistake, and is not taken for what counts where nothing is said`(notices: String) {
        #expect(mistakes(classes + "notices: \(notices)\n").count == 1)
    }

    @Test(arguments: [
        ("", "{send: at once}", [NoticeTerms.Loosening.sending]), ("{send: at once}", "", []), ("{send: at once}", "{send: at once}", []), ("", "{readers: person}", [.naming(.person)]), ("{readers: count}", "", [.naming(.role)]),
        ("{readers: count}", "{readers: person}", [.naming(.person)]), ("{readers: person}", "{readers: count}", []), ("", "{escalate: 24 h}", []), ("{escalate: 24 h}", "{escalate: 12 h}", []), ("{escalate: 24 h}", "{escalate: 25 h}", [.escalating]),
        ("{escalate: 24 h}", "", [.escalating]), ("{readers: count, escalate: 1 h}", "{send: at once}", [.sending, .naming(.role), .escalating]),
    ] as [(String, String, [NoticeTerms.Loosening])]) func `looser terms take two operators, stricter ones take one, and each is told in a sentence`(before: String, after: String, loosenings: [NoticeTerms.Loosening]) throws {
        let (old, new) = (try document(before), try document(after))
        let diff = PolicyDiff(from: old, to: new, people: [], at: noon)
        #expect(diff.widenings == loosenings.map { PolicyDiff.Widening.notices($0) } && (diff.notices != nil) == (before != after) && diff.isEmpty == (before == after))
        // Control and whoever reads the ledger come to the same, without a directory.
        #expect(PolicyComparison.anyWorld(old.canonical, new.canonical).gains == loosenings.map(\.words))
    }

    @Test func `one operator sends by the document that says so, and by no other`() throws {
        func sends(_ bytes: [UInt8]?) -> Bool { PolicyComparison.anyWorld.sendsNoticesAtOnce(bytes) }
        let document = try document("{send: at once}").canonical
        #expect(sends(document))
        #expect(try !sends(self.document("").canonical) && !sends(self.document("{readers: person}").canonical) && !sends(nil))
        #expect(!sends(document + [0x20]) && !sends(Array("{}".utf8)), "what cannot be read lets nobody do anything")
        #expect(!PolicyComparison.none.sendsNoticesAtOnce(document), "who cannot read documents")
    }
}
