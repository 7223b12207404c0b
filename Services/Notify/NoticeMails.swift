import Chassis
import Foundation
import Gate
import Mail
import Notices
import SwiftProtobuf
import Wire

/// Makes a mail of each notice, as it was signed.
///
/// What two operators have signed for is who gets what; whether it can be sent is found here. Somebody whose address, or whose notice, makes no mail is unreachable for that
/// reason, and everybody else gets theirs.
struct NoticeMails: Sendable {
    let from: Mail.Mailbox
    let key: NoticeKey
    /// What is added to each; nil: nothing, because nobody reads what comes back.
    let receipts: Receipts?

    struct Receipts: Sendable {
        var templates: NoticeTemplates
        /// Mail programs, too.
        var asksProgram: Bool
    }

    init(from: Mail.Mailbox, key: NoticeKey, receipts: Receipts? = nil) { (self.from, self.key, self.receipts) = (from, key, receipts) }

    init(_ settings: MailSettings, key: NoticeKey, _ templates: NoticeTemplates) {
        self.init(from: settings.from, key: key, receipts: settings.bounces.map { Receipts(templates: templates, asksProgram: $0.asksProgram) })
    }

    /// - Throws: `Complaint`: all are checked, and one that cannot be used is named.
    static func templates(_ settings: MailSettings, of path: String) throws -> NoticeTemplates {
        do throws(TemplateRefused) { return try NoticeTemplates(folder: settings.templates) } catch { throw Complaint("\(path): templates cannot be used: \(error.words)") }
    }

    /// - Parameter now: the mail's date: when it was made, and not when an attempt is.
    /// - Throws: it is no notice: whoever hands it over has something else than was signed for.
    func notice(_ bytes: Data, of decision: Outbox.Decision, at now: WallTime) throws(NotANotice) -> Outbox.Notice {
        guard bytes.count <= Limits.noticeBytesMax, let body = try? WireNotice(serializedBytes: bytes), 1...Limits.nameBytesMax ~= body.subject.utf8.count,
            // SQLite ends a text at its first NUL: two subjects would be one.
            body.subject.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control })
        else { throw NotANotice() }
        return Outbox.Notice(subject: body.subject, language: String(body.language.prefix(35)), bytes: bytes, way: way(body, decision, now))
    }

    private func way(_ body: WireNotice, _ decision: Outbox.Decision, _ now: WallTime) -> Outbox.Notice.Way {
        guard !body.address.isEmpty else { return .unreachable(why: Outbox.Answered(at: now, code: nil, text: body.unaddressed.isEmpty ? "there is no address" : body.unaddressed).text) }
        let address: MailAddress
        do throws(MailAddressRefused) { address = try MailAddress(body.address) } catch { return .unreachable(why: "the address is none that mail is sent to: \(error.words)") }
        let id = key.id(of: body.subject, decision)
        do throws(MailRefused) {
            var files: [MailMessage.Attachment] = []
            for file in body.attachments { files.append(try .init(fileName: file.name, mediaType: NoticeMails.mediaType(of: file.name), content: [UInt8](file.body))) }
            let (text, html) = framed(body, decision)
            let message = try MailMessage(
                id: id, from: from, to: Mail.Mailbox(address: address), notify: receipts?.asksProgram ?? false ? Mail.Mailbox(address: from.address) : nil, subject: body.title, date: now,
                language: body.language.isEmpty ? "en" : body.language, text: text, html: html, attachments: files)
            return .mail(Outbox.Mail(id: id, type: "notice", recipient: "\(address)", incident: decision.incident, bytes: Data(message.bytes), created: now))
        } catch { return .unreachable(why: "no mail can be made of the notice: \(error.words)") }
    }

    /// What was signed for, and behind it what is added. An empty text stays empty, and makes no mail.
    private func framed(_ body: WireNotice, _ decision: Outbox.Decision) -> (text: String, html: String) {
        guard let receipts, !body.text.isEmpty, let code = key.code(of: body.subject, decision) else { return (body.text, body.html) }
        return receipts.templates.framed(text: body.text, html: body.html, language: body.language, ReceiptFrame(address: from.address, code: code, asksProgram: receipts.asksProgram))
    }

    private static func mediaType(of name: String) -> String {
        switch name.split(separator: ".").last?.lowercased() {
        case "json": "application/json"
        case "pdf": "application/pdf"
        default: "application/octet-stream"
        }
    }
}

struct NotANotice: Error, Hashable, Sendable {}
