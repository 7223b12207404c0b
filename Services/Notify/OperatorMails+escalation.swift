import Foundation
import Gate
import Ledger
import Mail

/// Of those whose notice did not reach them, for somebody who can find them otherwise. Named by their opaque ids: an address would tell whoever reads this mail on its way.
extension OperatorMails {
    func mails(for escalation: Outbox.Escalation, to recipients: [MailAddress], at now: WallTime) -> [Outbox.Mail] {
        let letter = OperatorMails.letter(for: escalation)
        let decision = escalation.decision
        let part = escalation.part > 1 ? "\n\(escalation.part)" : ""
        let hash = TreeHash(leaf: Array("notices.unreached\n\(decision.number)\n\(decision.root)\n\(escalation.number)\(part)".utf8))
        let list = OperatorMails.list(of: escalation)
        return recipients.compactMap { recipient in
            let id = OperatorMails.id(of: hash, for: recipient)
            guard let message = OperatorMails.message(letter, id: id, from: from, to: recipient, at: now, files: list) else { return nil }
            return Outbox.Mail(id: id, type: letter.type, recipient: "\(recipient)", incident: letter.incident, bytes: Data(message.bytes), created: now)
        }
    }

    static func letter(for escalation: Outbox.Escalation) -> Letter {
        let decision = escalation.decision
        // Fifteen to a paragraph: one of all of them would be cut.
        var names: [String] = []
        let named = Array(escalation.new.prefix(namedMax))
        for start in stride(from: 0, to: named.count, by: 15) { names.append(named[start..<min(start + 15, named.count)].joined(separator: ", ")) }
        let others = escalation.new.count - named.count
        if others > 0 { names.append("and \(others) more: the attached list has all \(escalation.new.count).") }
        if escalation.left > 0 { names.append("\(escalation.left) others follow in another mail, at once.") }
        let opening = escalation.part > 1 ? "The mail before this one goes on:" : escalation.number == 1 ? "They are:" : "Since the mail before this one there are also:"
        return Letter(
            "notices.unreached", "incident \(decision.incident): \(escalation.count) of \(decision.count) people have no notice yet",
            [
                "Of \(decision.count) people who are to be told of incident \(decision.incident) by entry \(decision.number), \(escalation.count) have no notice yet.",
                opening,
            ] + names + ["Tell them some other way: the law asks that each of them is told. Why each was not reached stands in the list."], incident: decision.incident, command: "sluice notices \(decision.incident)")
    }

    /// Subjects in the mail's own words. More of them stand in a file, all together: a mail program shows a page.
    static let namedMax = 1_000

    /// One to a line.
    private static func list(of escalation: Outbox.Escalation) -> [MailMessage.Attachment] {
        guard escalation.new.count > namedMax else { return [] }
        let lines = Array((escalation.new.joined(separator: "\n") + "\n").utf8)
        do throws(MailRefused) { return [try MailMessage.Attachment(fileName: "unreached-\(escalation.decision.incident)-\(escalation.number)-\(escalation.part).txt", mediaType: "text/plain", content: lines)] } catch { return [] }
    }
}
