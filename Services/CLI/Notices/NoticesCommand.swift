import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import SwiftProtobuf
import Wire

struct NoticesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notices", abstract: "What those are told whose data was exposed in an incident, and whether it has reached them.",
        discussion: """
            EXAMPLE
              sluice notices preview 7 --people people.csv      before anything goes out, with its digest
              sluice notices send 7 --people people.csv         propose it; another operator approves; the same again hands it over
              sluice notices 7                                  how many have theirs
              sluice notices --open                             the mails that were kept, where no mail server is named

            Nothing goes to people that two operators have not signed for, unless the policy document in force says 'notices: {send: at once}': then one.
            """, subcommands: [NoticesStanding.self, NoticesPreview.self, NoticesSend.self], defaultSubcommand: NoticesStanding.self)
}

struct NoticeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notice", abstract: "One person's notice: as it would be sent, and as it was.",
        discussion: "EXAMPLE\n  sluice notice preview 7 E1042 --people people.csv\n  sluice notice show 7 E1042", subcommands: [NoticeShow.self, NoticesPreview.self])
}

struct NoticesStanding: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "How many have their notice, who was not reached, and who was told of that.",
        discussion: "EXAMPLE\n  sluice notices 7\n  sluice notices --open")
    @OptionGroup var connection: Connection
    @Argument(help: "The incident's number.") var incident: UInt64?
    @Flag(help: "Show the mails that were kept in the home, where notify.json names no mail server.") var open = false

    func validate() throws {
        if open == (incident != nil) { throw ValidationError("say which incident's, or --open") }
    }

    func run() throws {
        guard let incident else { return try KeptMails(connection.folder).show(json: connection.json) }
        let standing = try NoticesView.ask(incident, connection.client("notify"))
        if connection.json { return try Show.json(standing) }
        let control = try connection.client()
        let known = try IncidentCommand.ask(incident, control)
        for line in NoticesView(standing, of: known).lines { print(Terminal.safe(line)) }
        // Who is listed is found by somebody who hears of it.
        if standing.rounds.contains(where: { $0.unreachable > 0 }), try EscalationNotes.isNobodyTold(control) {
            print("unreachable people are listed here alone: 'escalation.to' and 'mail.operators' in notify.json name nobody who would be told")
        }
    }
}

struct NoticeShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Exactly what one person was sent, when, by which channel, and what was answered each time.",
        discussion: """
            EXAMPLE
              sluice notice show 7 E1042
              sluice notice show 7 E1042 --html > notice.html

            The notice is as it was signed for. How to confirm that it was read is added behind it when it is sent, where notify.json says 'bounces'. Opened says that this was used, or that a mail program
            says that it was shown: by whom, nobody knows.
            """)
    @OptionGroup var connection: Connection
    @Argument(help: "The incident's number.") var incident: UInt64
    @Argument(help: "The person, by their id.") var subject: String
    @Flag(help: "Print the page of HTML of the newest.") var html = false

    func run() throws {
        var query = WireNoticesQuery()
        query.incident = incident
        query.subject = subject
        let client = try connection.client("notify")
        var patience = Patience()
        let sent = try patience.ask("notify") { try client.query(.notices(query)) }.notices.sent
        guard let newest = sent.last else { throw Complaint("\(subject) was sent nothing of incident \(incident): 'sluice notices \(incident)' shows who was") }
        if connection.json { return try Show.json(SentNotices(sent, to: subject)) }
        if newest.removedUs != 0, html { throw Complaint("\(subject)'s notice of incident \(incident) is not here any more: \(NoticesView.removed(newest))") }
        if html { return print(try WireNotice(serializedBytes: newest.notice).html, terminator: "") }
        for one in sent {
            for line in try NoticesView.lines(of: one, to: subject) { print(Terminal.safe(line)) }
            print()
        }
        if newest.removedUs == 0 { print(Terminal.safeLines(try WireNotice(serializedBytes: newest.notice).text), terminator: "") }
    }
}

extension IncidentCommand {
    struct Notified: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put on record that everybody has their notice, or is listed as not reached: under your signature.",
            discussion: """
                EXAMPLE
                  sluice incident notified 7

                The numbers are notify's, and this refuses while one notice still waits or is tried again. An operator says it and not a program: what the law asks for is that
                somebody answers for it.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: "Its number.") var incident: UInt64

        func run() throws {
            let standing = try NoticesView.ask(incident, connection.client("notify"))
            let round: WireNoticeRound
            switch standing.settled(by: try IncidentCommand.ask(incident, connection.client())) {
            case .nothingDecided: throw Complaint("nobody was sent anything of incident \(incident): 'sluice notices send \(incident)' first")
            case .notHandedOver(let entry): throw Complaint("the newest notices of incident \(incident), entry \(entry), were not handed over: 'sluice notices send \(incident) --people FILE' does that")
            case .open(let open):
                throw Complaint("that is not everybody: \(standing.rounds.count > 1 ? "entry \(open.decision)   " : "")\(NoticesView.line(open)). 'sluice notices \(incident)' shows how it goes on")
            case .everybody(let newest): round = newest
            }
            let outcome = try connection.client().command(.incidentNotified(WireIncidentNotified(incident, round.decision, round.delivered, round.unreachable)), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("incident \(incident) is notified: \(Show.number(round.delivered)) have their notice, \(Show.number(round.unreachable)) were not reached   entry \(outcome.entry)")
        }
    }
}

/// Whether anybody hears of those who were not reached, by notify's last report.
enum EscalationNotes {
    static func isNobodyTold(_ client: Client) throws -> Bool {
        try client.query(.status(WireStatusQuery())).status.services.first { $0.name == "notify" }?.gauges["escalation.to"] == 0
    }
}

/// How an incident's notices stand, for people.
struct NoticesView {
    private let standing: WireNoticesStanding
    private let incident: WireIncident

    init(_ standing: WireNoticesStanding, of incident: WireIncident) { (self.standing, self.incident) = (standing, incident) }

    /// With all who were not reached, page by page.
    static func ask(_ incident: UInt64, _ client: Client) throws -> WireNoticesStanding {
        var query = WireNoticesQuery()
        query.incident = incident
        var patience = Patience()
        var standing = try patience.ask("notify") { try client.query(.notices(query)) }.notices
        for index in standing.rounds.indices {
            while standing.rounds[index].more, let last = standing.rounds[index].unreached.last {
                query.after = last.subject
                let decision = standing.rounds[index].decision
                guard let page = try patience.ask("notify", { try client.query(.notices(query)) }).notices.rounds.first(where: { $0.decision == decision }), !page.unreached.isEmpty else { break }
                standing.rounds[index].unreached += page.unreached
                standing.rounds[index].more = page.more
            }
            query.after = ""
        }
        return standing
    }

    var lines: [String] {
        let decided = incident.decided
        let missing = decided.filter { entry in !standing.rounds.contains { $0.decision == entry && ($0.taken || $0.held > 0) } }
        var lines: [String] = []
        for round in standing.rounds {
            lines.append((decided.count > 1 ? "entry \(round.decision)   " : "") + NoticesView.line(round))
            if round.opened > 0 { lines.append("  opened: the link of their mail was used, or a mail program says that it was shown; by whom, that does not say") }
            for one in round.unreached.prefix(10) { lines.append("  \(one.subject)   \(one.why)") }
            if round.unreached.count > 10 { lines.append("  and \(Show.number(round.unreached.count - 10)) more: --json lists them") }
        }
        for entry in missing { lines.append("entry \(entry)   approved, and not handed over: 'sluice notices send \(incident.incident) --people FILE' does that") }
        if lines.isEmpty { return ["incident \(incident.incident)   nothing was sent: 'sluice notices preview \(incident.incident)' shows what would be"] }
        if missing.isEmpty, case .everybody = standing.settled(by: incident), !["notified", "closed"].contains(incident.state) {
            lines.append("everybody has theirs or is listed: 'sluice incident notified \(incident.incident)' puts that on record")
        }
        return lines
    }

    static func line(_ round: WireNoticeRound) -> String {
        guard round.taken else { return "\(Show.number(round.held)) of \(Show.number(round.count)) handed over; nothing goes out before all are: the same 'sluice notices send' again" }
        var parts = ["\(Show.number(round.count)) subjects", "delivered \(Show.number(round.delivered))", "opened \(Show.number(round.opened))"]
        if round.waiting > 0 { parts.append("waiting \(Show.number(round.waiting))") }
        if round.retrying > 0 { parts.append("retrying \(Show.number(round.retrying))\(round.nextUs == 0 ? "" : " (next \(Show.time(microseconds: round.nextUs)))")") }
        if round.unreachable > 0 {
            parts.append("unreachable \(Show.number(round.unreachable)) → listed\(round.escalatedTo.isEmpty ? "" : ", escalated to \(round.escalatedTo.joined(separator: ", "))")")
        }
        return parts.joined(separator: "   ")
    }

    /// What is gone, and why. What stays of it is how it was delivered.
    static func removed(_ sent: WireSentNotice) -> String {
        let since = sent.attempts.last.map { "\(Show.number((sent.removedUs - $0.atUs) / 86_400_000_000)) days after its last attempt" } ?? "long after it was decided"
        return "its text, page, files and address were removed \(Show.time(microseconds: sent.removedUs)), \(since), as 'keep' in notify.json says; how it was delivered stays on record"
    }

    /// What became of one person's, without what it says.
    static func lines(of sent: WireSentNotice, to subject: String) throws -> [String] {
        let notice = try WireNotice(serializedBytes: sent.notice)
        var head = ["entry \(sent.decision)", subject]
        if sent.removedUs == 0 { head.append(notice.address.isEmpty ? "no address: \(notice.unaddressed)" : notice.address) }
        if !sent.channel.isEmpty { head.append("by \(sent.channel)") }
        head.append(sent.state + (sent.why.isEmpty ? "" : ": \(sent.why)") + (sent.nextUs == 0 ? "" : ", next \(Show.time(microseconds: sent.nextUs))"))
        if sent.openedUs != 0 { head.append("opened \(Show.time(microseconds: sent.openedUs))") }
        var lines = [head.joined(separator: "   ")]
        if sent.openedUs != 0 { lines.append("  opened: its link was used, or a mail program says that it was shown; by whom, that does not say") }
        if !sent.id.isEmpty { lines.append("  Message-ID \(sent.id)") }
        for one in sent.attempts { lines.append("  \(Show.time(microseconds: one.atUs, milliseconds: true))   \(one.code == 0 ? "" : "\(one.code) ")\(one.answer)") }
        guard sent.removedUs == 0 else { return lines + ["  \(removed(sent))"] }
        lines.append("  \(Show.number(sent.notice.count)) bytes, language \(notice.language), \(Show.number(notice.attachments.count)) files\(notice.attachments.isEmpty ? "" : ": " + notice.attachments.map(\.name).joined(separator: ", "))")
        lines.append("  Subject: \(notice.title)")
        return lines
    }
}

extension WireIncident {
    /// The entries that decided that its people are told, as far as its steps are listed.
    fileprivate var decided: [UInt64] { steps.filter { $0.what == "decided" }.map(\.entry) }
}

extension WireNoticesStanding {
    fileprivate func settled(by incident: WireIncident) -> Settled {
        settled(incident.decided, listed: incident.steps.count < Incident.stepsMax ? .max : incident.steps.last?.entry ?? 0)
    }
}

/// For scripts: with what was sent read, and its bytes as they are.
struct SentNotices: SwiftProtobufJSON {
    private let sent: [WireSentNotice]
    private let subject: String
    init(_ sent: [WireSentNotice], to subject: String) { (self.sent, self.subject) = (sent, subject) }

    static var zeros: [String: Any] { [:] }

    func shownAsJSON() throws -> String {
        let objects = try sent.map { one in
            let notice = try WireNotice(serializedBytes: one.notice)
            return [
                "decision": one.decision, "subject": subject, "address": notice.address, "unaddressed": notice.unaddressed, "language": notice.language, "title": notice.title, "text": notice.text,
                "html": notice.html, "files": notice.attachments.map(\.name), "channel": one.channel, "id": one.id, "state": one.state, "why": one.why, "next_us": one.nextUs, "opened_us": one.openedUs, "removed_us": one.removedUs,
                "attempts": one.attempts.map { ["at_us": $0.atUs, "code": $0.code, "answer": $0.answer] as [String: Any] }, "notice": one.notice.base64EncodedString(),
            ] as [String: Any]
        }
        return String(decoding: try JSONSerialization.data(withJSONObject: ["sent": objects], options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)
    }
}

/// The Maildir of a home whose notify.json names no mail server.
struct KeptMails {
    private let path: String
    init(_ home: Home) { path = home.file("notify/mail") }

    private static let shownMax = 20

    func show(json: Bool) throws {
        let files = ["new", "cur"].flatMap { folder in (try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)"))?.sorted().map { "\(path)/\(folder)/\($0)" } ?? [] }
        guard FileManager.default.fileExists(atPath: path) else { throw Complaint("there is no \(path): no mail was kept here. Where notify.json names a mail server, mails go there") }
        if json { return print(String(decoding: try JSONSerialization.data(withJSONObject: ["path": path, "mails": files], options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self)) }
        print("\(path)   \(Show.number(files.count)) mails; any mail program opens it: mutt -f \(path)")
        for file in files.prefix(KeptMails.shownMax) {
            let head = KeptMails.head(file)
            print(Terminal.safe("  \(head["date"] ?? "")   to \(head["to"] ?? "?")   \(head["subject"] ?? "")"))
            print(Terminal.safe("    \(file)"))
        }
        if files.count > KeptMails.shownMax { print("  and \(Show.number(files.count - KeptMails.shownMax)) more") }
    }

    /// Of its header, unfolded and with small names; words that are encoded are read.
    private static func head(_ file: String) -> [String: String] {
        guard let handle = FileHandle(forReadingAtPath: file), let bytes = try? handle.read(upToCount: 16 << 10) else { return [:] }
        let text = String(decoding: bytes, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
        var fields: [String: String] = [:]
        var name = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.isEmpty { break }
            if line.first == " " || line.first == "\t" {
                fields[name, default: ""] += line
                continue
            }
            guard let colon = line.firstIndex(of: ":") else { continue }
            name = line[..<colon].lowercased()
            fields[name] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        }
        return fields.mapValues(decoded)
    }

    /// `=?UTF-8?Q?…?=` as ``MailMessage`` writes it.
    private static func decoded(_ text: String) -> String {
        guard text.contains("=?UTF-8?Q?") else { return text }
        var bytes: [UInt8] = []
        for word in text.components(separatedBy: "=?UTF-8?Q?").dropFirst() {
            let body = Array(word.components(separatedBy: "?=")[0].utf8)
            var index = 0
            while index < body.count {
                if body[index] == UInt8(ascii: "="), index + 2 < body.count, let byte = UInt8(String(decoding: body[index + 1...index + 2], as: UTF8.self), radix: 16) {
                    bytes.append(byte)
                    index += 3
                } else {
                    bytes.append(body[index] == UInt8(ascii: "_") ? UInt8(ascii: " ") : body[index])
                    index += 1
                }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
