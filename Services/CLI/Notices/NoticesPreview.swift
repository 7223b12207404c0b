import ArgumentParser
import Chassis
import Exposure
import Foundation
import Gate
import Ledger
import Mail
import Notices

struct NoticesPreview: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview", abstract: "Before anything goes out: how many people, in which languages, who has no address; or one person's page as it would be sent.",
        discussion: """
            EXAMPLE
              sluice notices preview 7 --people people.csv
              sluice notices preview 7 E1042 --people people.csv
              sluice notices preview 7 E1042 --people people.csv --html > notice.html

            Computed from the home's files as 'sluice exposure' is, with the same numbers; nothing is sent and nothing recorded. The digest is what two operators sign: of
            exactly the bytes that go out, so whoever is to approve computes it here and compares. Names, addresses and languages are of the
            file of people (id, site, team, name, mail, locale): the directory itself is kept by policy alone. Who writes, whom to ask and how readers are told of is in
            notices.json in the suite's folder: organisation, contactName, contactPoint, readers (person, role or count; role), measures ({"en": […], "de": […]}), templates (a folder).
            """)

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Argument(help: "The incident's number.") var incident: UInt64
    @Argument(help: "This person's page alone.") var subject: String?
    @OptionGroup var options: NoticeOptions
    @Flag(help: "Print the page of HTML.") var html = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        if html, json { throw ValidationError("--html and --json exclude each other") }
        if html, subject == nil { throw ValidationError("--html is of one person's page: say whose") }
    }

    func run() throws {
        let notices = try IncidentNotices(incident, options, in: Home.resolve(home, environment: ProcessInfo.processInfo.environment))
        guard let subject else {
            let preview = try NoticePreview(notices)
            if json { return try NoticePreview.show(preview.object) }
            for line in preview.lines { print(Terminal.safe(line)) }
            return
        }
        let facts = try notices.facts(of: subject)
        let page = notices.round.page(of: facts)
        // Not among what the person is told: standard output is their page.
        if !facts.unproven.isEmpty, let words = notices.unproven.words { FileHandle.standardError.write(Data("sluice: \(words)\n".utf8)) }
        if json { return try NoticePreview.show(facts, page) }
        print(html ? page.html : "Subject: \(page.subject)\n\n\(page.text)", terminator: "")
    }
}

/// What a round of notices would be.
struct NoticePreview {
    private let files: ExposureFiles
    private let recipients: NoticeRecipients
    private let hasDirectory: Bool
    /// What would be signed for; nil: nothing can be, and why.
    private let digest: TreeHash?
    private let undigested: String
    private let unproven: (entries: [UInt64], words: String?)

    /// - Parameter known: the digest, where it was computed.
    init(_ notices: IncidentNotices, _ known: TreeHash? = nil) throws {
        (files, recipients, hasDirectory) = (notices.files, notices.recipients, notices.hasDirectory)
        unproven = notices.unproven
        // Without the directory nobody could be reached, and without somebody to ask nobody is told.
        let hasContact = !notices.settings.contactName.isEmpty && !notices.settings.contactPoint.isEmpty
        digest = hasDirectory && hasContact && notices.unstable == nil && recipients.count > 0 ? try known ?? notices.digest() : nil
        undigested = !hasContact ? "a notice names whom to ask: contactName and contactPoint in \(files.home.notices)" : notices.unstable ?? ""
    }

    private func unreachable(_ isSo: (NoticeRecipients.Unreachable.Why) -> Bool) -> [String] { recipients.unreachable.filter { isSo($0.why) }.map(\.person.subject) }
    private var withoutAddress: [String] { unreachable { $0 == .noAddress } }
    private var notInDirectory: [String] { unreachable { $0 == .notInDirectory } }
    private var refused: [(subject: String, words: String)] {
        recipients.unreachable.compactMap { one in
            guard case .refused(let error) = one.why else { return nil }
            return (one.person.subject, error.words)
        }
    }
    private var languages: [(name: String, count: Int)] { recipients.languages.map { ($0.key.rawValue, $0.value) }.sorted { $0.0 < $1.0 } }

    /// For people.
    var lines: [String] {
        func some(_ subjects: [String]) -> String { subjects.count <= 10 ? subjects.joined(separator: ", ") : "\(subjects.prefix(10).joined(separator: ", ")) and \(Show.number(subjects.count - 10)) more: --json lists them" }
        let totals = files.assessment.totals
        var lines = ["incident \(files.incident.number)   \(ExposureView.people(recipients.count)) would be told, each of their own data; \(ExposureView.range(totals.readSubjects)) of them were read"]
        if let words = unproven.words { lines.append("no proof     \(words)") }
        guard hasDirectory else { return lines + ["             in which language and where to is not known: --people FILE names the directory", "             nothing is sent: this is a preview"] }
        lines.append("languages    \(languages.map { "\($0.name) \(Show.number($0.count))" }.joined(separator: "   "))")
        lines.append("addresses    \(Show.number(recipients.reachable.count)) can be reached by mail")
        if !withoutAddress.isEmpty { lines.append("             \(Show.number(withoutAddress.count)) without an address: \(some(withoutAddress))") }
        if !notInDirectory.isEmpty { lines.append("             \(Show.number(notInDirectory.count)) not in the file of people: \(some(notInDirectory))") }
        for one in refused { lines.append("             \(one.subject)'s address is none: \(one.words)") }
        lines.append("digest       \(digest?.hex ?? "none yet: \(undigested)")")
        return lines + ["             nothing is sent: this is a preview"]
    }

    var object: [String: Any] {
        let totals = files.assessment.totals
        return [
            "digest": digest?.hex ?? "",
            "incident": files.incident.number, "subjects": recipients.count, "exposed_subjects": totals.subjects, "exposed_events": totals.events,
            "did_subjects": [totals.readSubjects.lowerBound, totals.readSubjects.upperBound], "languages": Dictionary(uniqueKeysWithValues: languages.map { ($0.name, $0.count) }),
            "reachable": recipients.reachable.map(\.person.subject), "without_address": withoutAddress, "not_in_directory": notInDirectory,
            "refused_addresses": refused.map { ["subject": $0.subject, "why": $0.words] }, "unproven": unproven.entries,
        ]
    }

    /// One person's, with the numbers under the names that `sluice exposure --json` has for them.
    static func show(_ facts: NoticeFacts, _ page: NoticePage) throws {
        let totals = facts.totals
        let kinds = facts.kinds.map { kind in
            var object: [String: Any] = ["class": kind.dataClass.name, "could_people": kind.people, "could_keys": kind.keys, "did_events": [kind.readEvents.lowerBound, kind.readEvents.upperBound]]
            if let events = kind.events { object["events"] = events }
            return object
        }
        try show([
            "incident": facts.incident, "subject": facts.person.subject, "language": facts.language.rawValue, "mail": facts.person.mail, "title": page.subject, "text": page.text, "html": page.html,
            "kinds": kinds, "exposed_events": totals.events, "could_people": totals.people, "could_keys": totals.keys, "did_releases": totals.releases, "did_readers": totals.readers,
            "did_events": [totals.readEvents.lowerBound, totals.readEvents.upperBound], "proofs": facts.proofs.map(\.fileName), "unproven": facts.unproven,
        ])
    }

    static func show(_ object: [String: Any]) throws {
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}

extension TreeHash {
    /// As it stands in what is approved.
    var hex: String { ProposalView.hex(Array(bytes)) }
}
