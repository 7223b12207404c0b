import Chassis
import Crypto
import Foundation
import Gate
import Ledger
import Mail

/// What control's ledger tells operators by mail, in plain words.
///
/// The same entry makes the same bytes for the same recipient, whenever it is read: a mail is named after the entry's leaf and whom it is for, as a webhook's message is
/// after the leaf alone. Other people are named by their opaque ids only.
struct OperatorMails: Sendable {
    let from: Mail.Mailbox
    let operators: [MailAddress]

    init(_ settings: MailSettings) { (from, operators) = (settings.from, settings.operators) }

    /// One for each operator; none, if the entry concerns nobody outside.
    @Sendable func mails(for followed: FollowedEntry) -> [Outbox.Mail] {
        guard !operators.isEmpty, let letter = OperatorMails.letter(for: followed.entry) else { return [] }
        return operators.compactMap { recipient in
            let id = OperatorMails.id(of: followed.hash, for: recipient)
            guard let message = OperatorMails.message(letter, id: id, from: from, to: recipient, at: followed.entry.at) else { return nil }
            return Outbox.Mail(id: id, type: letter.type, recipient: "\(recipient)", incident: letter.incident, bytes: Data(message.bytes), created: followed.entry.at, words: "\(letter.subject)\n\(letter.text)")
        }
    }

    /// An address is told to nobody by it: who has the ledger could try some, and has the directory as well.
    static func id(of hash: TreeHash, for recipient: MailAddress) -> String {
        var both = SHA256()
        both.update(data: hash.bytes)
        both.update(data: Data("\(recipient)".utf8))
        return "mail_" + both.finalize().prefix(20).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// Nil only for what ``Letter`` does not let through.
    static func message(_ letter: Letter, id: String, from: Mail.Mailbox, to: MailAddress, at time: WallTime, files: [MailMessage.Attachment] = []) -> MailMessage? {
        do throws(MailRefused) { return try MailMessage(id: id, from: from, to: Mail.Mailbox(address: to), subject: letter.subject, date: time, text: letter.text, html: "", attachments: files) } catch { return nil }
    }

    /// One thing to tell.
    struct Letter: Hashable, Sendable {
        let type: String
        let subject: String
        let text: String
        /// Whose order it keeps.
        let incident: UInt64?

        /// Octets of what follows on `[Sluice] `. What a person reads of it in a list of mails is shorter.
        static let subjectMax = 200

        /// - Parameter lines: Paragraphs.
        init(_ type: String, _ subject: String, _ lines: [String], incident: UInt64?, command: String) {
            self.type = type
            self.subject = "[Sluice] " + Letter.line(subject, most: Letter.subjectMax)
            text = (lines.map { Letter.line($0, most: 4_000) } + ["Look at it with: \(command)"]).joined(separator: "\n\n") + "\n"
            self.incident = incident == 0 ? nil : incident
        }

        /// In one line, of characters that are seen: reasons and titles are what somebody typed, or what another system sent.
        static func line(_ text: String, most: Int) -> String {
            let plain = String(String.UnicodeScalarView(text.unicodeScalars.map { isSeen($0) ? $0 : " " }))
            guard plain.utf8.count > most else { return plain }
            var cut = ""
            for character in plain {
                guard cut.utf8.count + String(character).utf8.count <= most - 3 else { break }
                cut.append(character)
            }
            return cut + "…"
        }

        private static func isSeen(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
            default: !(0xFFF9...0xFFFB).contains(scalar.value)
            }
        }
    }

    static func letter(for entry: Entry) -> Letter? {
        let at = "\(entry.at.rfc3339), entry \(entry.index) of the ledger."
        switch entry.deed {
        case .incidentOpened(let number, let title, let closure, let dataClass, let isLeak):
            return Letter(
                "incident.opened", "incident \(number): \(title)",
                [
                    "Incident \(number) was opened\(isLeak ? ", a leak" : "")\(dataClass.isEmpty ? "" : ", of class \(dataClass)"): \(title)", "By \(entry.author), \(at)",
                    closure == .none ? "Nothing was closed for it." : "Closed for it: epoch \(closure.number). Its certificate follows when everything has stopped.",
                ], incident: number, command: "sluice incident show \(number)")
        case .found(let finding, _, _) where finding.detector == Drill.detector: return nil
        case .found(let finding, let number, let closure):
            return Letter(
                closure == nil ? "incident.finding" : "incident.opened", "incident \(number): \(finding.sentence)",
                [
                    "Detector \(finding.detector) has found: \(finding.sentence)", "Incident \(number), \(at)",
                    closure.map { "Closed for it: epoch \($0.epoch.number), \(words($0)). Its certificate follows when everything has stopped." } ?? "Nothing more was closed for it.",
                ], incident: number, command: "sluice incident show \(number)")
        case .paused(let closure):
            return Letter(
                "gate.paused", "paused, epoch \(closure.epoch.number): \(closure.reason)",
                ["Paused: \(words(closure)).", "Reason: \(closure.reason)", "By \(closure.author), \(at)", "The certificate follows when everything has stopped."],
                incident: closure.incident, command: "sluice closures")
        case .resumed(let epoch, let closures, let reason):
            let lifted = closures.sorted().map { String($0.number) }.joined(separator: ", ")
            return Letter(
                "gate.resumed", "resumed, epoch \(epoch.number): \(reason)", ["Resumed. Lifted: the closures of epochs \(lifted).", "Reason: \(reason)", "Proposed by \(entry.author), \(at)"], incident: nil,
                command: "sluice status")
        case .certified(let certificate) where certificate.closure.isOfDrill: return nil
        case .certified(let certificate):
            let number = certificate.closure.epoch.number
            let (incident, command) = (certificate.closure.incident, "sluice certificate \(number)")
            let end: [String] = ["Reason: \(certificate.closure.reason)", at]
            guard certificate.isComplete else {
                let found: [String] = ["It is not confirmed that everything that epoch \(number) closes has stopped:"] + certificate.unconfirmed.prefix(50)
                return Letter("certificate.incomplete", "NOT confirmed: the stop of epoch \(number)", found + end, incident: incident, command: command)
            }
            let counts = "\(certificate.agents.count) agents, \(certificate.services.count) services"
            return Letter(
                "certificate.completed", "stopped everywhere, certificate \(number)",
                ["Everything that epoch \(number) closes has stopped, \(milliseconds(certificate.completeAfter)) ms after the command: \(counts)."] + end, incident: incident, command: command)
        case .noticesDecided(let number, let count, let digest): return letter(decided: number, count, digest, by: entry)
        case .drillEnded(let number, _, let outcome) where !outcome.missed.isEmpty:
            return Letter("drill.missed", "drill \(number) has missed its bounds", ["Drill \(number) has ended, and missed:"] + outcome.missed.prefix(50) + [at], incident: nil, command: "sluice drills")
        default: return nil
        }
    }

    private static func words(_ closure: Closure) -> String {
        let what =
            switch closure.direction {
            case .capture: "capture"
            case .read: "reading"
            case .both: "capture and reading"
            }
        let selector = closure.selector
        let named: [(String, [String])] = [
            ("site", selector.sites.sorted()), ("team", selector.teams.sorted()), ("subject", selector.subjects.sorted()), ("class", selector.classes.map(\.name).sorted()),
            ("reader", selector.readers.sorted()), ("purpose", selector.purposes.sorted()),
        ]
        var parts: [String] = []
        for (name, values) in named where !values.isEmpty {
            let more = values.count > 20 ? " and \(values.count - 20) more" : ""
            parts.append("\(name) \(values.prefix(20).joined(separator: ", "))\(more)")
        }
        return parts.isEmpty ? "\(what) of everything" : "\(what) of \(parts.joined(separator: "; "))"
    }

    /// Rounded up: what is said to have stopped within a time has.
    private static func milliseconds(_ span: Span) -> Int64 { span.nanoseconds / 1_000_000 + (span.nanoseconds % 1_000_000 > 0 ? 1 : 0) }
}
