import Mail
import Testing

struct DeliveryReportTests {
    private func report(_ text: String) -> DeliveryReport? { DeliveryReport(Array(text.utf8)) }

    /// As Postfix has it.
    private let postfix = """
        Return-Path: <>
        From: MAILER-DAEMON@mx.example.com (Mail Delivery System)
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status;
        \tboundary="4F2.1764/mx.example.com"

        This is a MIME-encapsulated message.

        --4F2.1764/mx.example.com
        Content-Description: Notification
        Content-Type: text/plain; charset=us-ascii

        I'm sorry. Action: failed
        --4F2.1764/mx.example.com
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mx.example.com
        X-Postfix-Queue-ID: 4F2

        Final-Recipient: rfc822; ada@example.org
        Original-Recipient: rfc822;ada@example.org
        Action: failed
        Status: 5.1.1
        Diagnostic-Code: smtp; 550 5.1.1 <ada@example.org>: Recipient address
            rejected: User unknown

        Final-Recipient: rfc822; bob@example.org
        Action: delayed
        Status: 4.4.1 (no route)

        --4F2.1764/mx.example.com
        Content-Type: message/rfc822

        From: Sluice <sluice@example.com>
        Message-ID: <mail_0a1b@example.com>
        Content-Type: multipart/mixed; boundary=x

        --x
        --4F2.1764/mx.example.com--
        """

    @Test func `a report is read whole, with or without carriage returns`() throws {
        for text in [postfix, postfix.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")] {
            let found = try #require(report(text))
            #expect(found.messageID == "mail_0a1b@example.com")
            #expect(found.recipients.map(\.final) == ["ada@example.org", "bob@example.org"])
            #expect(found.recipients.map(\.original) == ["ada@example.org", nil])
            #expect(found.recipients.map(\.hasFailed) == [true, false])
            #expect(found.recipients.map(\.status) == ["5.1.1", "4.4.1"])
            #expect(found.recipients[0].diagnostic == "550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown")
        }
    }

    @Test func `another mail is none, whatever it quotes`() {
        for text in ["", "\n", "Subject: hello\n\n" + postfix, postfix.replacing("multipart/report", with: "multipart/mixed"), postfix.replacing("Action:", with: "Axtion:"), postfix.replacing("boundary=", with: "bound=")] {
            #expect(report(text) == nil)
        }
    }

    @Test func `what is hostile is cut, and plain`() throws {
        let long = try #require(report(postfix.replacing("550 5.1.1", with: "550 \u{1B}[31m" + String(repeating: "x", count: 10_000))))
        #expect(long.recipients[0].diagnostic.utf8.count <= DeliveryReport.textMax && long.recipients[0].diagnostic.hasPrefix("550 ?[31mx"))
        let group = "\n\nFinal-Recipient: rfc822; a@b\nAction: failed\n"
        let many = try #require(report(postfix.replacing("\n\nFinal-Recipient: rfc822; bob", with: String(repeating: group, count: 1_000) + "\nFinal-Recipient: rfc822; bob")))
        #expect(many.recipients.count == DeliveryReport.recipientsMax)
        // A thousand deep: the inner ones are text.
        var deep = postfix
        for depth in 0..<1_000 { deep = "Content-Type: multipart/report; boundary=b\(depth)\n\n--b\(depth)\n" + deep }
        #expect(report(deep) == nil)
        let padded = postfix.replacing("I'm sorry", with: String(repeating: "x\n", count: DeliveryReport.bytesMax))
        #expect(report(padded) == nil, "what comes after that much is not looked for")
    }

    @Test func `a report that was cut off tells what it has`() throws {
        let end = try #require(postfix.firstRange(of: "Message-ID"))
        let cut = String(postfix[..<end.lowerBound])
        #expect(try #require(report(cut)).messageID == nil)
    }
}
