import Foundation
import Gate
import Ledger
import Mail

/// Of those whose notice did not reach them, for somebody who can find them otherwise. Named by their opaque ids: an address would tell whoever reads this mail on its way.
extension OperatorMails {
    func mails(for escalation: Outbox.Escalation, to recipients: [MailAddress], at now: WallTime) -> [Outbox.Mail] {
        let letter = OperatorMails.letter(for: escalation)
        let decision = escalation.decision
        let hash = TreeHash(leaf: Array("notices.unreached\n\(decision.number)\n\(decision.root)\n\(escalation.number)".utf8))
        return recipients.compactMap { recipient in
            let id = OperatorMails.id(of: hash, for: recipient)
            guard let message = OperatorMails.message(letter, id: id, from: from, to: recipient, at: now) else { return nil }
            return Outbox.Mail(id: id, type: letter.type, recipient: "\(recipient)", incident: letter.incident, bytes: Data(message.bytes), created: now)
        }
    }

    static func letter(for escalation: Outbox.Escalation) -> Letter {
        let decision = escalation.decision
        // Fifteen to a paragraph: one of all of them would be cut.
        var names: [String] = []
        for start in stride(from: 0, to: escalation.new.count, by: 15) { names.append(escalation.new[start..<min(start + 15, escalation.new.count)].joined(separator: ", ")) }
        let others = escalation.newCount - escalation.new.count
        return Letter(
            "notices.unreached", "incident \(decision.incident): \(escalation.count) of \(decision.count) people have no notice yet",
            [
                "Of \(decision.count) people who are to be told of incident \(decision.incident) by entry \(decision.number), \(escalation.count) have no notice yet.",
                escalation.number == 1 ? "They are:" : "Since the mail before this one there are also:",
            ] + names + (others > 0 ? ["and \(others) more."] : [])
                + ["Tell them some other way: the law asks that each of them is told. Why each was not reached stands in the list."], incident: decision.incident, command: "sluice notices \(decision.incident)")
    }
}
