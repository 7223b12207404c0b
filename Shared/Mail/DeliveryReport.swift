/// What a mail server says became of a mail that it had taken: a report as RFC 3464 has it, out of a mailbox.
///
/// Anybody can write one. It is read as ``MailReading`` does: what is nested in one of its parts is text, however deep it goes.
package struct DeliveryReport: Hashable, Sendable {
    package struct Recipient: Hashable, Sendable {
        /// As the sender had it; nil: the report does not say.
        package var original: String?
        /// As the server that gave up had it.
        package var final: String?
        /// In lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
        package var action: String
        /// `5.1.1`; empty: the report has none.
        package var status: String
        /// The server's own words.
        package var diagnostic: String

        /// It was not delivered, and nobody tries it again.
        package var hasFailed: Bool { action == "failed" }
    }

    /// Of the mail that it is about, without its brackets; nil: the report does not have it.
    package let messageID: String?
    package let recipients: [Recipient]

    /// What is sent back with it comes last, and of that the header is enough.
    package static let bytesMax = MailReading.bytesMax
    /// Of one report.
    package static let recipientsMax = 100
    /// Octets of what is kept of a field.
    package static let textMax = MailReading.textMax

    /// - Returns: nil: it is another mail.
    package init?(_ mail: some Collection<UInt8>) {
        guard let parts = MailReading.report(mail) else { return nil }
        var recipients: [Recipient]?
        var messageID: String?
        for part in parts {
            var body = part
            switch MailReading.mediaType(MailReading.fields(&body)["content-type"] ?? "") {
            case "message/delivery-status", "message/global-delivery-status": recipients = recipients ?? DeliveryReport.recipients(body)
            case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
                messageID = messageID ?? MailReading.fields(&body)["message-id"].flatMap(MailReading.id)
            default: break
            }
        }
        guard let recipients, !recipients.isEmpty else { return nil }
        self.recipients = recipients
        self.messageID = messageID
    }

    /// The groups after the first, which is about the report.
    private static func recipients(_ lines: ArraySlice<[UInt8]>) -> [Recipient] {
        var rest = lines
        var found: [Recipient] = []
        while !rest.isEmpty, found.count < recipientsMax {
            let group = MailReading.fields(&rest)
            guard let action = group["action"] else { continue }
            found.append(
                Recipient(
                    original: group["original-recipient"].flatMap(MailReading.address), final: group["final-recipient"].flatMap(MailReading.address),
                    action: String(action.prefix { $0.isLetter }).lowercased(), status: status(group["status"] ?? ""), diagnostic: MailReading.typed(group["diagnostic-code"] ?? "")))
        }
        return found
    }

    /// Three numbers with dots between them, or nothing.
    private static func status(_ value: String) -> String {
        let text = value.prefix { $0 == "." || $0.isNumber }
        let numbers = text.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 3 && numbers.allSatisfy { 1...3 ~= $0.count } ? String(text) : ""
    }
}
