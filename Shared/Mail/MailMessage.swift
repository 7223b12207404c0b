package import Gate
import Rules

/// One mail, as bytes for a server: the same parts make the same bytes, so that what is sent again is what was sent.
///
/// Text and HTML as alternatives, and files beside them (RFC 5322, RFC 2045 to 2049). All of it is ASCII, in lines ended by CRLF, of at most 76 octets but for a long
/// address or id, which some readers do not join again; no line of a body begins with a dot. A server needs neither 8BITMIME nor SMTPUTF8. What could write a header
/// of its own is refused in ``init``, before anything is made.
package struct MailMessage: Hashable, Sendable {
    /// A file that goes with it.
    package struct Attachment: Hashable, Sendable {
        package let fileName: String
        package let mediaType: String
        package let content: [UInt8]

        /// - Parameters:
        ///   - fileName: Letters, digits, `.`, `_` and `-`, no dot first: what a person saves is a file in the folder that they chose.
        ///   - mediaType: `text/plain`, without parameters.
        package init(fileName: String, mediaType: String = "application/octet-stream", content: [UInt8]) throws(MailRefused) {
            try MailRefused.check(fileName, .fileName, most: 100) { $0.isLetterOrDigit || "._-".unicodeScalars.contains($0) }
            if fileName.hasPrefix(".") { throw .character(".", in: .fileName) }
            try MailRefused.check(mediaType, .mediaType, most: 100) { $0.isLetterOrDigit || "/.+-".unicodeScalars.contains($0) }
            self.fileName = fileName
            self.mediaType = mediaType
            self.content = content
        }
    }

    package let from: Mailbox
    package let to: Mailbox
    package let replyTo: Mailbox?
    /// Whom a mail program may tell that it was shown (RFC 8098), if its reader lets it.
    package let notify: Mailbox?
    package let subject: String
    package let date: WallTime
    /// `<id@domain>` of the sender's domain: the same for the same id, whenever it is sent.
    package let messageID: String
    private let language: String
    private let text: String
    private let html: String
    private let attachments: [Attachment]

    /// Octets. RFC 5322 ends a line at 998; folded, a subject may be longer, and no subject of ours is.
    package static let subjectMax = 998
    package static let idMax = 128
    /// Octets of text, HTML and files together, before they grow by a third on the way. Servers commonly take 10 MB.
    package static let contentMax = 6 << 20

    /// - Parameters:
    ///   - id: Names this notice to this recipient: letters, digits and `_-`, dots between them.
    ///   - date: When it was made, not when this attempt is: a second copy is the first.
    ///   - language: `de`, as in RFC 5646.
    package init(
        id: String, from: Mailbox, to: Mailbox, replyTo: Mailbox? = nil, notify: Mailbox? = nil, subject: String, date: WallTime, language: String = "en", text: String, html: String,
        attachments: [Attachment] = []
    ) throws(MailRefused) {
        try MailRefused.check(id, .id, most: MailMessage.idMax) { $0.isLetterOrDigit || "._-".unicodeScalars.contains($0) }
        if id.hasPrefix(".") || id.hasSuffix(".") || id.contains("..") { throw .character(".", in: .id) }
        guard !subject.isEmpty else { throw .empty(.subject) }
        try MailRefused.check(subject, .subject, most: MailMessage.subjectMax)
        try MailRefused.check(language, .language, most: 35) { $0.isLetterOrDigit || $0 == "-" }
        guard !text.isEmpty else { throw .empty(.text) }
        let octets = attachments.reduce(text.utf8.count + html.utf8.count) { $0 + $1.content.count }
        guard octets <= MailMessage.contentMax else { throw .long(.attachments, octets: octets, most: MailMessage.contentMax) }
        (self.from, self.to, self.replyTo, self.notify, self.subject, self.date) = (from, to, replyTo, notify, subject, date)
        messageID = "<\(id)@\(from.address.domain)>"
        (self.language, self.text, self.html, self.attachments) = (language, text, html, attachments)
    }

    /// What goes after `DATA`, without the dot that ends it.
    package var bytes: [UInt8] {
        var lines = ["Date: \(MailMessage.stamp(date))", from.line("From"), to.line("To")]
        if let replyTo { lines.append(replyTo.line("Reply-To")) }
        if let notify { lines.append(notify.line("Disposition-Notification-To")) }
        lines += [
            MailMessage.line(subject: subject), "Message-ID: \(messageID)", "MIME-Version: 1.0",
            // RFC 3834: no answer by a machine is wanted.
            "Auto-Submitted: auto-generated", "Content-Language: \(language)",
        ]
        var bytes = Array((lines.joined(separator: "\r\n") + "\r\n").utf8)
        let alternatives = MailMessage.multipart(
            "alternative", parts: [part("text/plain", text)] + (html.isEmpty ? [] : [part("text/html", html)]))
        bytes += attachments.isEmpty ? alternatives : MailMessage.multipart("mixed", parts: [alternatives] + attachments.map(part))
        return bytes
    }

    private func part(_ mediaType: String, _ content: String) -> [UInt8] {
        Array("Content-Type: \(mediaType); charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Language: \(language)\r\n\r\n".utf8) + QuotedPrintable.encoded(content)
    }

    private func part(_ file: Attachment) -> [UInt8] {
        let head = "Content-Type: \(file.mediaType)\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n filename=\"\(file.fileName)\"\r\n\r\n"
        return Array(head.utf8) + Base64Lines.encoded(file.content)
    }

    /// With its own header, and a boundary that nothing inside can hold: in both encodings a `=` is followed by two digits of hex, a line's end, or nothing.
    private static func multipart(_ kind: String, parts: [[UInt8]]) -> [UInt8] {
        let boundary = "=_sluice_\(kind)"
        var bytes = Array("Content-Type: multipart/\(kind);\r\n boundary=\"\(boundary)\"\r\n\r\n".utf8)
        for part in parts {
            bytes += "--\(boundary)\r\n".utf8
            bytes += part
            if part.suffix(2) != [0x0D, 0x0A] { bytes += [0x0D, 0x0A] }
        }
        return bytes + "--\(boundary)--\r\n".utf8
    }

    private static func line(subject: String) -> String {
        let key = "Subject: "
        return subject.utf8.count <= 76 - key.utf8.count && subject.isPlain ? key + subject : key + EncodedWords.folded(subject, after: key.utf8.count)
    }

    private static let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `Thu, 26 Nov 2026 13:27:07 +0000`. Before 1970 there was no Sluice: that is its beginning.
    static func stamp(_ time: WallTime) -> String {
        let seconds = max(0, time.nanoseconds) / 1_000_000_000
        let stamp = WallTime(nanoseconds: seconds * 1_000_000_000).day
        let date = stamp.prefix(10).split(separator: "-")
        let clock = stamp.utf8.count > 10 ? String(stamp.dropFirst(11).dropLast()) : "00:00:00"
        let month = months[(Int(date[1]) ?? 1) - 1]
        return "\(weekdays[Int(seconds / 86_400 % 7)]), \(date[2]) \(month) \(date[0]) \(clock) +0000"
    }
}

/// RFC 2045, 6.8: bytes as lines of 76 letters.
enum Base64Lines {
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encoded(_ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(content.count * 4 / 3 + content.count / 28 + 8)
        for start in stride(from: 0, to: content.count, by: 3) {
            let count = min(3, content.count - start)
            var bits = UInt32(content[start]) << 16
            if count > 1 { bits |= UInt32(content[start + 1]) << 8 }
            if count > 2 { bits |= UInt32(content[start + 2]) }
            for place in 0..<4 { bytes.append(place <= count ? letters[Int(bits >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "=")) }
            if start % 57 == 54 { bytes += [0x0D, 0x0A] }
        }
        return bytes
    }
}
