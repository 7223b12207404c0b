import Foundation
import Gate
import Identity
import Ledger
import Mail
import Notices
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_notify

struct NoticeMailsTests {
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)
    let decision = Outbox.Decision(number: 9, incident: 7, count: 1, root: MerkleTree.emptyRoot)
    let maker: NoticeMails

    init() throws { maker = NoticeMails(from: try MailSettings.folder().from, key: .test) }

    private func notice(_ address: String, title: String = "Ihre Daten", file: String? = nil, by maker: NoticeMails? = nil) throws -> Outbox.Notice {
        var body = WireNotice()
        (body.subject, body.address, body.language, body.title, body.text, body.html) = ("E1042", address, "de", title, "Guten Tag", "<p>Guten Tag</p>")
        if let file {
            var attachment = WireNoticeAttachment()
            (attachment.name, attachment.body) = (file, Data("{}".utf8))
            body.attachments = [attachment]
        }
        return try (maker ?? self.maker).notice(body.serializedData(), of: decision, at: now)
    }
    private func mail(_ notice: Outbox.Notice) throws -> (Outbox.Mail, text: String) {
        guard case .mail(let mail) = notice.way else { throw NotANotice() }
        return (mail, String(decoding: mail.bytes, as: UTF8.self))
    }

    @Test func `a notice becomes a mail in its language, with its files, under an id that it keeps`() throws {
        let (mail, text) = try mail(notice("ada@Bücher.example", file: "proof.json"))
        #expect(mail.recipient == "ada@xn--bcher-kva.example" && mail.incident == 7)
        #expect(text.contains("Content-Language: de") && text.contains("filename=\"proof.json\"") && text.contains("Auto-Submitted: auto-generated"))
        #expect(text.contains("Message-ID: <\(mail.id)@localhost>"))
        #expect(try self.mail(notice("ada@Bücher.example")).0.id == mail.id, "the same person and decision")
        #expect(!text.contains("Disposition-Notification-To") && !text.contains("mailto:"), "nobody reads what comes back")
    }

    @Test func `its id and its code are of the key, the decision and the person, and neither tells the other`() throws {
        let key = NoticeKey.test
        let (id, code) = (key.id(of: "E1042", decision), try #require(key.code(of: "E1042", decision)))
        #expect(try mail(notice("ada@example.com")).0.id == id)
        #expect(key.id(of: "E1042", decision) == id && NoticeKey.test.code(of: "E1042", decision) == code, "after a restart")
        #expect(id.hasPrefix(NoticeKey.beginning(of: code)) && !id.contains(code.digits.suffix(24)))
        var (later, corrected) = (decision, decision)
        later.number = 10
        corrected.root = TreeHash(leaf: [1])
        let others = [("E1042", later), ("E1042", corrected), ("E1043", decision), ("E104", decision), ("", decision)]
        for (subject, decision) in others { #expect(key.id(of: subject, decision) != id && key.code(of: subject, decision) != code, "\(subject)") }
        let stranger = NoticeKey(SecretBytes([UInt8](repeating: 2, count: 32)))
        #expect(stranger.id(of: "E1042", decision) != id && stranger.code(of: "E1042", decision) != code, "who has the ledger has not the key")
    }

    @Test func `where somebody reads what comes back, the mail says how to confirm it, in its language, behind what was signed`() throws {
        var settings = try MailSettings.folder()
        settings.bounces = .init(folder: "/nowhere")
        let code = try #require(NoticeKey.test.code(of: "E1042", decision))
        let asking = try mail(notice("ada@example.com", by: NoticeMails(settings, key: .test, NoticeTemplates()))).text
        let text = asking.replacing("=\r\n", with: "").replacing("=3D", with: "=")
        #expect(text.contains("\r\nDisposition-Notification-To: <sluice@localhost>\r\n"))
        #expect(text.contains("Guten Tag\r\n") && text.contains("BEIM VERSENDEN") && text.contains("<mailto:sluice@localhost?subject=\(code)>"))
        #expect(text.contains("<p>Guten Tag</p><aside lang=\"de\"") && text.contains("<a href=\"mailto:sluice@localhost?subject=\(code)\""))
        #expect(text.contains("Mailprogramm bietet"))
        settings.bounces?.asksProgram = false
        let silent = try mail(notice("ada@example.com", by: NoticeMails(settings, key: .test, NoticeTemplates()))).text
        #expect(!silent.contains("Disposition-Notification-To") && !silent.contains("Mailprogramm bietet") && silent.contains("mailto:"))
    }

    @Test(arguments: [
        "a@example.com\r\nRCPT TO:<eve@example.com>", "a@example.com\nBcc: eve@example.com", "a@example.com, eve@example.com", "<a@example.com>", "a b@example.com", "nobody", "a@127.0.0.1",
        "\u{202E}moc.elpmaxe@a",
    ]) func `an address that could reach somebody else makes its person unreachable, and says why`(_ address: String) throws {
        guard case .unreachable(let why) = try notice(address).way else { Issue.record("a mail"); return }
        #expect(why.hasPrefix("the address is none that mail is sent to: ") && !why.contains("eve"))
    }

    @Test func `who has no address, or a notice that makes no mail, is unreachable for that reason`() throws {
        var body = WireNotice()
        (body.subject, body.unaddressed) = ("E1", "not in the directory")
        #expect(try maker.notice(body.serializedData(), of: decision, at: now).way == .unreachable(why: "not in the directory"))
        body.unaddressed = ""
        #expect(try maker.notice(body.serializedData(), of: decision, at: now).way == .unreachable(why: "there is no address"))
        for bad in [try notice("a@example.com", title: "x\r\nBcc: eve@example.com"), try notice("a@example.com", file: "../proof.json")] {
            guard case .unreachable(let why) = bad.way else { Issue.record("a mail"); return }
            #expect(why.hasPrefix("no mail can be made of the notice: "))
        }
    }

    @Test func `what is no notice, or too large for one, is refused as that`() throws {
        for bytes in [Data([0xFF, 0xFF]), Data(), Data(repeating: 0, count: Limits.noticeBytesMax + 1)] {
            #expect(throws: NotANotice.self) { try maker.notice(bytes, of: decision, at: now) }
        }
        // On the disk the text ends there, and two people would be one.
        var body = WireNotice()
        body.subject = "E1\0x"
        #expect(throws: NotANotice.self) { try maker.notice(body.serializedData(), of: decision, at: now) }
        body.subject = "E1x"
        #expect(throws: Never.self) { try maker.notice(body.serializedData(), of: decision, at: now) }
    }
}
