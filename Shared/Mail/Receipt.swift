/// What comes back of a mail that somebody has opened: the mail that its link makes, or what their mail program says (RFC 8098).
///
/// Anybody can write one. What says that it is true is the code, or the id, which only the mail itself has; whose hand it was, neither says.
package enum Receipt: Hashable, Sendable {
    /// By the subject that the link has written.
    case link(ReceiptCode)
    /// Of a mail program.
    case disposition(Disposition)

    package struct Disposition: Hashable, Sendable {
        /// Of the mail that it is about, without its brackets.
        package var messageID: String
        /// As the sender had them; nil: it does not say.
        package var original: String?
        /// It was shown to somebody. Also a mail that was deleted unread, or whose reader says no, has a disposition.
        package var isDisplayed: Bool

        package init(messageID: String, original: String?, isDisplayed: Bool) {
            self.messageID = messageID
            self.original = original
            self.isDisplayed = isDisplayed
        }
    }

    /// - Returns: nil: it is another mail.
    package init?(_ mail: some Collection<UInt8>) {
        if let parts = MailReading.report(mail) {
            guard let found = parts.lazy.compactMap(Receipt.disposition).first else { return nil }
            self = .disposition(found)
        } else {
            var lines = MailReading.lines(mail)[...]
            let head = MailReading.fields(&lines)
            // RFC 3834: what a machine answers by itself, nobody has read.
            guard head["auto-submitted"].map({ MailReading.mediaType($0) == "no" }) ?? true, let code = head["subject"].flatMap(ReceiptCode.init(in:)) else { return nil }
            self = .link(code)
        }
    }

    private static func disposition(_ part: ArraySlice<[UInt8]>) -> Disposition? {
        var body = part
        let type = MailReading.mediaType(MailReading.fields(&body)["content-type"] ?? "")
        guard type == "message/disposition-notification" || type == "message/global-disposition-notification" else { return nil }
        let group = MailReading.fields(&body)
        guard let id = group["original-message-id"].flatMap(MailReading.id), let value = group["disposition"] else { return nil }
        // `manual-action/MDN-sent-manually; displayed/error`.
        let words = MailReading.typed(value).lowercased().split { "/,".contains($0) }.map { MailReading.trimmed($0) }
        return Disposition(messageID: id, original: group["original-recipient"].flatMap(MailReading.address), isDisplayed: words.first == "displayed" && !words.dropFirst().contains("error"))
    }
}

/// What the link in a mail to somebody says of it, in a subject: `read-` and 40 digits of hex.
///
/// 16 name the mail, and 24 are what nobody can make who does not have the key.
package struct ReceiptCode: Hashable, Sendable, CustomStringConvertible {
    /// In lower case.
    package let digits: String

    package static let count = 40
    private static let mark = "read-"

    /// - Returns: nil: it is not ``count`` digits of hex.
    package init?(digits: String) {
        let digits = digits.lowercased()
        guard digits.utf8.count == ReceiptCode.count, digits.utf8.allSatisfy(ReceiptCode.isDigit) else { return nil }
        self.digits = digits
    }

    /// The first in a subject, which mail programs may have put something before, such as `Re:`. The case of its letters says nothing.
    package init?(in subject: String) {
        let text = Array(subject.lowercased().utf8)
        let mark = Array(ReceiptCode.mark.utf8)
        let length = mark.count + ReceiptCode.count
        for start in text.indices where text.count - start >= length && text[start...].starts(with: mark) {
            let digits = text[start + mark.count..<start + length]
            guard digits.allSatisfy(ReceiptCode.isDigit), start == 0 || !ReceiptCode.isWord(text[start - 1]), start + length == text.count || !ReceiptCode.isWord(text[start + length]) else { continue }
            self.digits = String(decoding: digits, as: UTF8.self)
            return
        }
        return nil
    }

    package var description: String { ReceiptCode.mark + digits }

    private static func isDigit(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte || 0x61...0x66 ~= byte }
    private static func isWord(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte || 0x61...0x7A ~= byte || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_") }
}
