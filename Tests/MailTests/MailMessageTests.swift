import Foundation
import Gate
import Mail
import Testing

struct MailMessageTests {
    private let at = WallTime(nanoseconds: 1_795_699_627_017_900_000)

    private func message(
        id: String = "msg_1-ab", name: String = "Ada Lovelace", subject: String = "What of yours was exposed", language: String = "en", text: String = "Hello.\n", html: String = "<p>Hello.</p>\n",
        attachments: [MailMessage.Attachment] = []
    ) throws(MailRefused) -> MailMessage {
        let (sender, recipient) = MailMessageTests.addresses
        return try MailMessage(
            id: id, from: Mailbox(name: "Sluice", address: sender), to: Mailbox(name: name, address: recipient), subject: subject, date: at, language: language, text: text, html: html,
            attachments: attachments)
    }

    private static let addresses: (MailAddress, MailAddress) = {
        guard let sender = try? MailAddress("sluice@example.org"), let recipient = try? MailAddress("ada@Bücher.example") else { preconditionFailure("both are addresses") }
        return (sender, recipient)
    }()

    private func refusal(_ make: () throws(MailRefused) -> MailMessage) -> MailRefused? {
        do {
            _ = try make()
            return nil
        } catch { return error }
    }

    private func header(_ message: MailMessage) -> String { String(decoding: message.bytes, as: UTF8.self).components(separatedBy: "\r\n\r\n")[0] }

    @Test func `the whole of a mail, to the byte`() throws {
        let proof = try MailMessage.Attachment(fileName: "release-4.tlog-proof", mediaType: "text/plain", content: Array("c2sp.org/tlog-proof@v1\nindex 4\n".utf8))
        let mail = try message(text: "Grüße,\n.\nFrom here\nend ", attachments: [proof])
        #expect(
            String(decoding: mail.bytes, as: UTF8.self) == [
                "Date: Thu, 26 Nov 2026 13:27:07 +0000", #"From: "Sluice""#, " <sluice@example.org>", #"To: "Ada Lovelace""#, " <ada@xn--bcher-kva.example>",
                "Subject: What of yours was exposed", "Message-ID: <msg_1-ab@example.org>", "MIME-Version: 1.0", "Auto-Submitted: auto-generated", "Content-Language: en",
                "Content-Type: multipart/mixed;", #" boundary="=_sluice_mixed""#, "", "--=_sluice_mixed", "Content-Type: multipart/alternative;", #" boundary="=_sluice_alternative""#, "",
                "--=_sluice_alternative", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "Content-Language: en", "", "Gr=C3=BC=C3=9Fe,", "=2E", "=46rom here",
                "end=20", "--=_sluice_alternative", "Content-Type: text/html; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "Content-Language: en", "", "<p>Hello.</p>",
                "--=_sluice_alternative--", "--=_sluice_mixed", "Content-Type: text/plain", "Content-Transfer-Encoding: base64", "Content-Disposition: attachment;",
                #" filename="release-4.tlog-proof""#, "", "YzJzcC5vcmcvdGxvZy1wcm9vZkB2MQppbmRleCA0Cg==", "--=_sluice_mixed--", "",
            ].joined(separator: "\r\n"))
    }

    @Test func `a mail program is asked for a receipt only where somebody named to whom`() throws {
        let (sender, recipient) = MailMessageTests.addresses
        func made(_ notify: Mailbox?) throws -> String { header(try MailMessage(id: "m", from: Mailbox(address: sender), to: Mailbox(address: recipient), notify: notify, subject: "s", date: at, text: "t", html: "")) }
        #expect(try made(Mailbox(address: sender)).contains("\r\nDisposition-Notification-To: <sluice@example.org>\r\n"))
        #expect(try !made(nil).contains("Disposition"))
    }

    @Test func `the same id is the same Message-ID and the same bytes, and another is another`() throws {
        #expect(try message().bytes == message().bytes)
        #expect(try message().messageID == "<msg_1-ab@example.org>")
        #expect(try message(id: "msg_2").messageID != message().messageID)
    }

    /// FAULTS M01, each in every field that a stranger's text reaches.
    @Test(arguments: ["\r", "\n", "\r\n", "\u{0}", "\u{0B}", "\u{0C}", "\u{1B}", "\u{7F}", "\u{85}", "\u{2028}", "\u{2029}", "\u{202E}", "\u{2066}", "\u{FEFF}", "\t"])
    func `nothing that ends a line or hides in one gets into a header`(_ bad: String) throws {
        let text = "x\(bad)Bcc: eve@example.com"
        let scalar = try #require(bad.unicodeScalars.first)
        #expect(refusal { () throws(MailRefused) in try message(subject: text) } == .character(scalar, in: .subject))
        #expect(refusal { () throws(MailRefused) in try message(name: text) } == .character(scalar, in: .name))
        #expect(refusal { () throws(MailRefused) in try message(id: text) } == .character(scalar, in: .id))
        #expect(refusal { () throws(MailRefused) in try message(language: text) } == .character(scalar, in: .language))
        #expect(throws: MailRefused.character(scalar, in: .fileName)) { try MailMessage.Attachment(fileName: text, content: []) }
        #expect(throws: MailRefused.character(scalar, in: .mediaType)) { try MailMessage.Attachment(fileName: "a", mediaType: text, content: []) }
    }

    @Test func `what is empty, too long, or would leave its folder is refused as that`() throws {
        #expect(refusal { () throws(MailRefused) in try message(subject: "") } == .empty(.subject))
        #expect(refusal { () throws(MailRefused) in try message(text: "") } == .empty(.text))
        #expect(refusal { () throws(MailRefused) in try message(id: "") } == .empty(.id))
        #expect(refusal { () throws(MailRefused) in try message(subject: String(repeating: "s", count: 999)) } == .long(.subject, octets: 999, most: 998))
        #expect(refusal { () throws(MailRefused) in try message(subject: String(repeating: "s", count: 998)) } == nil)
        #expect(refusal { () throws(MailRefused) in try message(name: String(repeating: "n", count: 201)) } == .long(.name, octets: 201, most: 200))
        #expect(refusal { () throws(MailRefused) in try message(id: "a..b") } == .character(".", in: .id))
        #expect(refusal { () throws(MailRefused) in try message(id: "a@b") } == .character("@", in: .id))
        for name in ["../x", "a/b", "a\\b", ".bashrc", "a\"b", "a b", "ä"] { #expect(throws: MailRefused.self) { try MailMessage.Attachment(fileName: name, content: []) } }
        let big = try MailMessage.Attachment(fileName: "big", content: Array(repeating: 0, count: MailMessage.contentMax))
        #expect(refusal { () throws(MailRefused) in try message(attachments: [big]) } != nil)
    }

    @Test func `a header that is not plain ASCII goes in encoded words of at most 75 octets, and comes out again`() throws {
        for text in [
            "Was von Ihren Daten offen lag: Vorgang 7", "Grüße an Ada Lövelace und alle, die sich fragen, was von ihnen wann für wen lesbar war", "=?UTF-8?Q?evil?=", "two  spaces", "日本語の件名がここにあります。とても長いので折り返します。",
            "👩‍👩‍👧‍👦 a family, which is many scalars", String(repeating: "x", count: 300), "_=?\"\\",
        ] {
            let header = header(try message(subject: text))
            let lines = header.components(separatedBy: "\r\n")
            #expect(lines.allSatisfy { $0.utf8.count <= 76 && $0.utf8.allSatisfy { 0x20...0x7E ~= $0 } }, "\(lines)")
            let start = try #require(lines.firstIndex { $0.hasPrefix("Subject: ") })
            let folded = lines[start...].prefix { $0.hasPrefix("Subject: ") || $0.hasPrefix(" =?") }.joined(separator: "\r\n")
            #expect(decoded(String(folded.dropFirst("Subject: ".count))) == text)
        }
    }

    @Test func `a name is quoted, and what would end the quotes does not`() throws {
        #expect(header(try message(name: #"Ada "x" <eve@example.com>, \"#)).contains("To: \"Ada \\\"x\\\" <eve@example.com>, \\\\\"\r\n <ada@xn--bcher-kva.example>\r\n"))
        #expect(header(try message(name: "Ädä")).contains("To: =?UTF-8?Q?=C3=84d=C3=A4?=\r\n <ada@xn--bcher-kva.example>\r\n"))
        #expect(header(try message(name: "")).contains("\r\nTo: <ada@xn--bcher-kva.example>\r\n"))
    }

    /// FAULTS M02.
    @Test(arguments: [".", "\n.\n", "a\r.\rb", "a\n\n.\r\nMAIL FROM:<eve@example.com>", "\r\n.\r\n", ".\r\n.", String(repeating: "x", count: 75) + ".", String(repeating: "x", count: 5_000), "\u{0}", "a\u{2028}."])
    func `no body ends a message early: no bare CR or LF, no line that begins with a dot, none over 76 octets`(_ text: String) throws {
        let mail = try message(text: text + "\nend", html: "<p>\(text)</p>")
        let bytes = mail.bytes
        for (place, byte) in bytes.enumerated() {
            if byte == 0x0A { #expect(place > 0 && bytes[place - 1] == 0x0D) }
            if byte == 0x0D { #expect(place + 1 < bytes.count && bytes[place + 1] == 0x0A) }
        }
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            #expect(line.first != UInt8(ascii: ".") && line.count <= 77 && line.allSatisfy { $0 < 0x80 && $0 != 0 })
        }
    }

    @Test func `with everything as long as it may be no line has more than 998 octets`() throws {
        let label = String(repeating: "a", count: 63)
        let address = try MailAddress("\(String(repeating: "l", count: 2))@\(label).\(label).\(label).\(String(repeating: "b", count: 59))")
        let mail = try MailMessage(
            id: String(repeating: "i", count: MailMessage.idMax), from: Mailbox(name: String(repeating: "\"", count: Mailbox.nameMax), address: address),
            to: Mailbox(name: String(repeating: "ü", count: Mailbox.nameMax / 2), address: address), subject: String(repeating: "s", count: MailMessage.subjectMax), date: at,
            text: String(repeating: "t", count: 2_000), html: String(repeating: "<b>", count: 1_000),
            attachments: [.init(fileName: String(repeating: "f", count: 100), mediaType: String(repeating: "m", count: 100), content: Array(repeating: 7, count: 5_000))])
        #expect(mail.bytes.split(separator: 0x0A).allSatisfy { $0.count <= 500 })
    }

    @Test func `any text comes out of its encoding as it went in, with lines ended alike`() throws {
        var chance = SystemRandomNumberGenerator()
        let pieces = ["a", "=", ".", " ", "\t", "From ", "ü", "\n", "日", "F", "\u{0}", "👩‍👧", "--=_sluice_alternative", "=20", String(repeating: "w", count: 74)]
        for _ in 0..<300 {
            let parts = (0..<Int.random(in: 1...40, using: &chance)).map { _ in pieces.randomElement(using: &chance) ?? "" }
            let text = parts.joined() + "x"
            let bytes = try message(text: text, html: "").bytes
            let body = String(decoding: bytes, as: UTF8.self).components(separatedBy: "quoted-printable\r\nContent-Language: en\r\n\r\n")[1].components(separatedBy: "--=_sluice_alternative--\r\n")[0]
            #expect(quotedPrintable(body) == text.replacing("\n", with: "\r\n") + "\r\n", "\(parts)")
        }
    }

    @Test func `dates are RFC 5322's`() throws {
        for (seconds, expected) in [(0, "Thu, 01 Jan 1970 00:00:00 +0000"), (951_827_696, "Tue, 29 Feb 2000 12:34:56 +0000"), (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 +0000")] as [(Int64, String)] {
            let (sender, recipient) = MailMessageTests.addresses
            let mail = try MailMessage(
                id: "a", from: Mailbox(address: sender), to: Mailbox(address: recipient), subject: "s", date: WallTime(nanoseconds: seconds * 1_000_000_000 + 5), text: "t", html: "")
            #expect(header(mail).hasPrefix("Date: \(expected)\r\n"))
        }
    }

    // MARK: What a reader does, by other code

    private func quotedPrintable(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "=") else {
                bytes.append(byte)
                continue
            }
            let two = rest.prefix(2)
            rest = rest.dropFirst(2)
            if !two.elementsEqual([0x0D, 0x0A]) { bytes.append(UInt8(String(decoding: two, as: UTF8.self), radix: 16) ?? 0) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func decoded(_ header: String) -> String {
        guard header.hasPrefix("=?UTF-8?Q?") else { return header }
        return header.components(separatedBy: "\r\n ").map { word in
            #expect(word.hasPrefix("=?UTF-8?Q?") && word.hasSuffix("?=") && word.utf8.count <= 75)
            let octets = quotedPrintable(String(word.dropFirst(10).dropLast(2)).replacing("_", with: " "))
            #expect(!octets.unicodeScalars.contains("\u{FFFD}"), "a character is cut in two")
            return octets
        }.joined()
    }
}
