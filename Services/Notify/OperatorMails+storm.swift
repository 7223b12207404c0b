import Foundation
import Gate
import Ledger
import Mail

/// Many in one: the counts, the subjects, and a file in which each stands as it would have come.
extension OperatorMails {
    func mail(joining all: [Outbox.Joining], to recipient: String, at now: WallTime) -> Outbox.Mail? {
        let letter = OperatorMails.letter(joining: all)
        // Who was told before is told the same by the same id.
        let hash = TreeHash(leaf: Array(("mails.joined\n" + all.map(\.id).joined(separator: "\n")).utf8))
        let text = all.map { "\($0.created.rfc3339)   \($0.words)" }.joined(separator: "\n----\n")
        do throws(MailAddressRefused) {
            let to = try MailAddress(recipient)
            let file: MailMessage.Attachment
            do throws(MailRefused) { file = try MailMessage.Attachment(fileName: "joined.txt", mediaType: "text/plain", content: Array(text.utf8)) } catch { return nil }
            let id = OperatorMails.id(of: hash, for: to)
            guard let message = OperatorMails.message(letter, id: id, from: from, to: to, at: now, files: [file]) else { return nil }
            return Outbox.Mail(id: id, type: letter.type, recipient: recipient, incident: nil, bytes: Data(message.bytes), created: now)
        } catch { return nil }
    }

    static func letter(joining all: [Outbox.Joining]) -> Letter {
        let counts = Dictionary(all.map { ($0.type, 1) }, uniquingKeysWith: +).sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        let subjects = all.prefix(shownOfJoined).map { String($0.words.prefix { $0 != "\n" }) }
        let more = all.count > shownOfJoined ? ["and \(all.count - shownOfJoined) more, in the file."] : []
        return Letter(
            "mails.joined", "\(all.count) more that came at once: \(counts)",
            ["More than \(Storm.aloneMax) came within a minute. Those before these came alone; these \(all.count) are joined: \(counts).", "The attached file has each as it would have come. Their subjects:"] + subjects + more,
            incident: nil, command: "sluice status")
    }

    private static let shownOfJoined = 50
}
