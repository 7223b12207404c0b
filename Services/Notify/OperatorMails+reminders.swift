import Foundation
import Mail

/// The clock of Article 33 by mail.
extension OperatorMails {
    /// One for each operator and reminder.
    func mails(for reminders: [Reminder]) -> [Outbox.Mail] {
        reminders.flatMap { reminder -> [Outbox.Mail] in
            let letter = OperatorMails.letter(for: reminder)
            return operators.compactMap { recipient in
                let id = OperatorMails.id(of: reminder.hash, for: recipient)
                guard let message = OperatorMails.message(letter, id: id, from: from, to: recipient, at: reminder.at) else { return nil }
                return Outbox.Mail(id: id, type: letter.type, recipient: "\(recipient)", incident: letter.incident, bytes: Data(message.bytes), created: reminder.at)
            }
        }
    }

    static func letter(for reminder: Reminder) -> Letter {
        Letter(
            "incident.reminder", "incident \(reminder.incident): \(reminder.left) of 72 hours are left to report it",
            [
                "Incident \(reminder.incident) was found \(reminder.hours) hours ago, at \(reminder.found.rfc3339)\(reminder.dataClass.isEmpty ? "" : ", class \(reminder.dataClass)"): \(reminder.title)",
                "GDPR, Article 33: the authority is to be told by \(reminder.reportUntil.rfc3339), in part if not all is known. A draft with the numbers: sluice incident report \(reminder.incident)",
                "Nobody has said yet that it was notified, or closed it.",
            ], incident: reminder.incident, command: "sluice incident show \(reminder.incident)")
    }
}
