import Gate
import Testing

@testable import Rules

/// What whoever applies a document refuses by the document alone, whoever checks it is told.
struct AppliedDocumentTests {
    private static let classes = """
        version: 1
        classes:
          - {name: activity, retention: 90 days, audience: unlimited}
          - {name: review, retention: 90 days, audience: unlimited}

        """

    private static func canary(of extent: String = "class", planted: Int = 0, events: Int = 0, classes names: String = "[activity, review]", from first: Int = 0) -> String {
        var text = classes + "leaks:\n  - detector: canary\n    close: reading\n    of: \(extent)\n"
        if planted > 0 { text += "    planted: [\((0..<planted).map { "P\($0)" }.joined(separator: ", "))]\n" }
        if events > 0 { text += "    events:\n" + (0..<events).map { "      - {subject: planted/\($0 + first), class: \(names)}\n" }.joined() }
        return text
    }

    @Test func `of planted events each class counts, as it does when the document is applied`() throws {
        #expect(mistakes(AppliedDocumentTests.canary(events: 501)) == [":10:7: 1002 entries in planted events; there are 1000 at most"])
        #expect(mistakes(AppliedDocumentTests.canary(events: 1_001, classes: "review")) == [":10:7: 1001 entries in planted events; there are 1000 at most"])
        for text in [AppliedDocumentTests.canary(events: 500), AppliedDocumentTests.canary(events: 1_000, classes: "review")] {
            let document = try read(text)
            #expect(document.leaks[0].events.count == 1_000)
            #expect(try document.applied(bytesMax: 1 << 20) == document.canonical)
        }
    }

    @Test func `no more subjects are planted than one closure names, if each is to be closed`() throws {
        let over = AppliedDocumentTests.canary(of: "subject", planted: 600, events: 401, classes: "review")
        #expect(mistakes(over) == [":11:7: 1001 subjects in 'planted' and 'events', each of which one finding may close; there are 1000 at most"])
        #expect(mistakes(AppliedDocumentTests.canary(of: "subject", planted: 600, events: 400, classes: "review")) == [], "just short of it")
        #expect(mistakes(AppliedDocumentTests.canary(of: "class", planted: 600, events: 401, classes: "review")) == [], "what closes a class names no subject")
        // As many events of the same subjects are no more subjects.
        #expect(mistakes(AppliedDocumentTests.canary(of: "subject", events: 500)) == [])
    }

    @Test func `a document with more, that an earlier Sluice has let pass, is read where it is in force, and not applied again`() throws {
        let short = try read(AppliedDocumentTests.canary(of: "class", planted: 600, events: 401, classes: "review")).canonical
        let recorded = Array(String(decoding: short, as: UTF8.self).replacingOccurrences(#""of":"class""#, #""of":"subject""#).utf8)
        #expect(recorded != short, "the control")
        #expect(try PolicyReader().read(canonical: recorded).leaks[0].planted.count == 600)
        #expect(throws: Mistakes.self) { try PolicyReader().read(canonical: recorded, isRecorded: false) }
    }

    @Test func `what is longer than may be is told with both numbers, and what is as long is not`() throws {
        let document = try read(AppliedDocumentTests.canary(events: 10))
        let bytes = document.canonical.count
        #expect(try document.applied(bytesMax: bytes) == document.canonical)
        let mistakes = #expect(throws: Mistakes.self) { try document.applied(bytesMax: bytes - 1) }
        #expect(mistakes?.all.map { $0.line(in: "f") } == ["f:1:1: a policy document has at most \(bytes - 1) bytes in its canonical form, not \(bytes)"])
    }

    /// In lower case a letter may take more bytes than it took.
    @Test func `what cannot be read back from the canonical form is not taken for sound`() throws {
        let host = String(repeating: "\u{130}", count: 100)
        let text = AppliedDocumentTests.classes + "leaks: [{detector: outsider, close: reading, of: class, urls: [{url: \"https://a.example/\", private: \"\(host)\"}]}]"
        let document = try read(text)
        let mistakes = #expect(throws: Mistakes.self) { try document.applied(bytesMax: 1 << 20) }
        #expect(mistakes?.all.first.map { $0.place == .start && "\($0.fault)".contains("200 bytes at most") } == true, "\(String(describing: mistakes))")
        #expect(throws: Never.self, "one letter less is sound") { try read(text.replacingOccurrences(host, String(host.dropLast(34)))).applied(bytesMax: 1 << 20) }
    }
}
