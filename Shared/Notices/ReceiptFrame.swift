import Foundation
package import Mail

/// What is added to a notice when it is sent, outside of what operators have signed for: how whoever gets it can say that they have read it.
///
/// The operators who sign cannot have it in their pages, because its code is made by who sends.
package struct ReceiptFrame: Hashable, Sendable {
    /// Where the mail of the link goes.
    package var address: MailAddress
    package var code: ReceiptCode
    /// Whether mail programs are asked as well (RFC 8098).
    package var asksProgram: Bool

    package init(address: MailAddress, code: ReceiptCode, asksProgram: Bool) {
        self.address = address
        self.code = code
        self.asksProgram = asksProgram
    }

    var values: NoticeValue.Fields {
        ["address": .text("\(address)"), "mailbox": .text(ReceiptFrame.escaped("\(address)")), "code": .text("\(code)"), "asksProgram": .flag(asksProgram)]
    }

    /// For a `mailto:` (RFC 6068): whatever could end the address there, or begin a field, is a number.
    private static func escaped(_ address: String) -> String {
        address.utf8.map { byte in
            let isPlain = 0x30...0x39 ~= byte || 0x41...0x5A ~= byte || 0x61...0x7A ~= byte || "-._~@".utf8.contains(byte)
            return isPlain ? String(Unicode.Scalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }

    /// Of nobody: what templates are checked against.
    static let specimen: NoticeValue.Fields = ["address": .text("sluice@example.org"), "mailbox": .text("sluice@example.org"), "code": .text("read-0"), "asksProgram": .flag(true)]

    /// What every frame has a place for: the link, whole.
    static let parts: Set<String> = ["address", "mailbox", "code", "asksProgram"]
}

extension NoticeTemplates {
    /// The text and the page of a notice with their frame, in the notice's language; in English, if there is none in that.
    ///
    /// - Parameters:
    ///   - text: as it was signed; so is all of it still, and what is added stands behind it.
    ///   - html: gets the frame at the end of its body; an empty one stays empty.
    package func framed(text: String, html: String, language: String, _ frame: ReceiptFrame) -> (text: String, html: String) {
        let (language, values) = (NoticeLanguage(locale: language), NoticeValue.plain(frame.values))
        let text = text + (text.hasSuffix("\n") ? "" : "\n") + NoticePage.wrapped(rendered("receipt-\(language.rawValue)-text", values))
        guard !html.isEmpty else { return (text, "") }
        let page = rendered("receipt-\(language.rawValue)-html", values)
        guard let end = html.range(of: "</body>", options: [.caseInsensitive, .backwards]) else { return (text, html + page) }
        return (text, html[..<end.lowerBound] + page + html[end.lowerBound...])
    }
}
