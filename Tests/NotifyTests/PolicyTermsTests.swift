import Gate
import Rules
import Testing

@testable import sluice_notify

/// What notify takes of the policy document in force, and of a ledger that it has not compared yet.
@Suite struct PolicyTermsTests {
    private func text(_ escalate: Span?, index: UInt64 = 5) -> PolicyText {
        var document = PolicyDocument.standard
        document.notices.escalate = escalate
        return PolicyText(document.canonical, index: index)
    }

    @Test func `who was not reached is named after the shorter of what policy says and what the settings say`() {
        let settings = MailSettings.Escalation(after: .seconds(24 * 3_600))
        var terms = PolicyTerms()
        #expect(settings.time(by: terms.read(nil)) == .seconds(24 * 3_600))
        #expect(settings.time(by: terms.read(text(.seconds(12 * 3_600)))) == .seconds(12 * 3_600))
        #expect(settings.time(by: terms.read(text(.seconds(48 * 3_600), index: 6))) == .seconds(24 * 3_600))
        #expect(settings.time(by: terms.read(text(nil, index: 7))) == .seconds(24 * 3_600))
        #expect(settings.time(by: terms.read(text(.seconds(3_600), index: 8))) == .seconds(3_600))
        #expect(settings.time(by: terms.read(PolicyText(Array("{}".utf8), index: 9))) == .seconds(24 * 3_600), "what cannot be read here")
        #expect(settings.time(by: terms.read(text(.seconds(3_600), index: 8))) == .seconds(3_600))
        #expect(settings.time(by: terms.read(nil)) == .seconds(24 * 3_600), "no document is believed any more")
    }
}
