import Mail
import Testing

struct ReceiptTests {
    private func receipt(_ text: String) -> Receipt? { Receipt(Array(text.utf8)) }
    private func subject(_ subject: String, more: String = "") -> Receipt? { receipt("From: Ada <ada@example.org>\n\(more)Subject: \(subject)\n\n") }
    private let digits = "0123456789abcdef0123456789abcdef01234567"
    private var link: Receipt? { ReceiptCode(digits: digits).map { .link($0) } }

    /// As Thunderbird has it.
    private let shown = """
        From: Ada <ada@example.org>
        Auto-Submitted: auto-replied
        Content-Type: multipart/report; report-type=disposition-notification; boundary="b"

        --b
        Content-Type: text/plain

        It was displayed. There is no guarantee that it has been read.
        --b
        Content-Type: message/disposition-notification; name="MDNPart2.txt"

        Reporting-UA: example.org; Thunderbird
        Final-Recipient: rfc822;ada@example.org
        Original-Message-ID: <mail_0a1b@example.com>
        Disposition: manual-action/MDN-sent-manually; displayed

        --b
        Content-Type: text/rfc822-headers

        Message-ID: <mail_other@example.com>
        --b--
        """

    @Test func `the mail that the link makes is read by its subject, whatever mail programs put around it`() {
        #expect(link != nil && ReceiptCode(digits: digits)?.description == "read-\(digits)")
        for text in ["read-\(digits)", "Re: read-\(digits)", "READ-\(digits.uppercased())", "Fwd: [team] read-\(digits) (2)", "\n read-\(digits)", "read-\(digits)\r", "read-12 read-\(digits)", "=?utf-8?Q?read-\(digits)?="] {
            #expect(subject(text) == link, "\(text)")
        }
        #expect(subject("read-\(digits)", more: "Auto-Submitted: no\n") == link)
    }

    @Test func `what is no code, or a machine's own answer, is none`() {
        for text in [
            "", "read-", "read-\(digits.dropLast())", "read-\(digits)0", "xread-\(digits)", "read-\(digits)-1", "read-\(digits.dropLast())g", "read- \(digits)", "read-\(digits.dropLast(20))\n \(digits.suffix(20))", "read-\(digits.dropLast())\0",
            "read-\(digits.dropLast())\u{FF10}", String(repeating: "x", count: 3_000) + "read-\(digits)",
        ] { #expect(subject(text) == nil, "\(text)") }
        #expect(subject("read-\(digits)", more: "Auto-Submitted: auto-replied\n") == nil)
        #expect(receipt("Subject: hello\n\nSubject: read-\(digits)\n") == nil, "it quotes it")
        #expect(receipt("Subject: hello\nSubject: read-\(digits)\n\n") == nil, "the first counts")
        #expect(receipt(String(repeating: "X: y\n", count: 100_000) + "Subject: read-\(digits)\n\n") == nil, "what comes after so much is not looked for")
        for text in ["", String(digits.dropLast()), digits + "0", "\(digits.dropLast())\n", "\(digits.dropLast())é"] { #expect(ReceiptCode(digits: text) == nil) }
    }

    @Test func `a mail program's word is read, with or without carriage returns, and only that it was shown counts`() throws {
        let expected = Receipt.disposition(.init(messageID: "mail_0a1b@example.com", original: nil, isDisplayed: true))
        for text in [shown, shown.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n"), shown.replacing("; displayed", with: ";DISPLAYED")] { #expect(receipt(text) == expected) }
        let named = shown.replacing("Final-Recipient", with: "Original-Recipient: rfc822; ada@example.org\nFinal-Recipient")
        #expect(receipt(named) == .disposition(.init(messageID: "mail_0a1b@example.com", original: "ada@example.org", isDisplayed: true)))
        for word in ["deleted", "denied", "dispatched", "processed", "failed", "displayed/error", "displayed-not", ""] {
            guard case .disposition(let found)? = receipt(shown.replacing("; displayed", with: "; \(word)")) else { Issue.record("\(word)"); continue }
            #expect(!found.isDisplayed, "\(word)")
        }
    }

    @Test func `a report of another kind, or one that does not say of what, is none, even with a code in its subject`() {
        for (from, to) in [("message/disposition-notification", "text/plain"), ("Original-Message-ID", "X-Message-ID"), ("Disposition:", "X:"), ("<mail_0a1b@example.com>", "mail_0a1b"), ("<mail_0a1b@example.com>", "<>")] {
            #expect(receipt("Subject: read-\(digits)\n" + shown.replacing(from, with: to)) == nil, "\(to)")
        }
        // In a part of a part it is text.
        #expect(receipt("Content-Type: multipart/report; boundary=a\n\n--a\n" + shown) == nil)
    }
}
