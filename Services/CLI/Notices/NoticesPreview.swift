import ArgumentParser
import Chassis
import Exposure
import Foundation
import Gate
import Mail
import Notices
import Rules

struct NoticesPreview: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview", abstract: "Before anything goes out: how many people, in which languages, who has no address; or one person's page as it would be sent.",
        discussion: """
            EXAMPLE
              sluice notices preview 7 --people people.csv
              sluice notices preview 7 E1042 --people people.csv
              sluice notices preview 7 E1042 --people people.csv --html > notice.html

            Computed from the home's files as 'sluice exposure' is, with the same numbers; nothing is sent and nothing recorded. Names, addresses and languages are of the
            file of people (id, site, team, name, mail, locale): the directory itself is kept by policy alone. Who writes, whom to ask and how readers are told of is in
            notices.json in the suite's folder: organisation, contactName, contactPoint, readers (person, role or count; role), measures ({"en": […], "de": […]}).
            """)

    @OptionGroup var options: ExposureOptions
    @Argument(help: "This person's page alone.") var subject: String?
    @Option(help: ArgumentHelp("Whom to ask, instead of notices.json's.", valueName: "name")) var contactName: String?
    @Option(help: ArgumentHelp("How to reach them, instead of notices.json's.", valueName: "address")) var contactPoint: String?
    @Option(help: ArgumentHelp("How readers are told of, instead of notices.json's: person, role or count.", valueName: "how")) var readers: NoticeSettings.ReaderNaming?
    @Flag(help: "Print the page of HTML.") var html = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        if html, json { throw ValidationError("--html and --json exclude each other") }
        if html, subject == nil { throw ValidationError("--html is of one person's page: say whose") }
    }

    func run() throws {
        let files = try options.files()
        let directory = try options.people.map { try PeopleFile.entries($0) } ?? []
        let people = directory.map { NoticePerson($0.person.id, name: $0.name, mail: $0.mail, locale: $0.locale) }
        let byID = Dictionary(people.map { ($0.subject, $0) }) { first, _ in first }
        guard let subject else { return try show(NoticePreview(files, NoticeRecipients(files.assessment, byID), hasDirectory: options.people != nil)) }
        let facts = try facts(subject, files, byID[subject] ?? NoticePerson(subject))
        let page: NoticePage
        do throws(TemplateRefused) { page = try NoticeTemplates().page(of: facts) } catch { throw Complaint("a template cannot be used: \(error.words)") }
        if json { return try NoticePreview.show(facts, page) }
        print(html ? page.html : "Subject: \(page.subject)\n\n\(page.text)", terminator: "")
    }

    private func show(_ preview: NoticePreview) throws {
        if json { return try NoticePreview.show(preview.object) }
        for line in preview.lines { print(Terminal.safe(line)) }
    }

    private func facts(_ subject: String, _ files: ExposureFiles, _ person: NoticePerson) throws -> NoticeFacts {
        let (incident, settings) = (files.incident, try settings(files))
        let told = NoticeIncident(
            incident.number, found: incident.opened, closure: files.record.closures.first { $0.epoch == incident.closure }, certificate: files.record.certificates[incident.closure])
        do throws(NoticeRefused) { return try NoticeFacts(files.assessment.part(of: subject), of: told, to: person, settings) } catch {
            switch error {
            case .notExposed: throw Complaint("nothing of \(subject) was exposed in incident \(incident.number): they get no notice")
            case .noContact: throw Complaint("a notice names whom to ask: contactName and contactPoint in \(files.home.notices), or --contact-name and --contact-point")
            }
        }
    }

    private func settings(_ files: ExposureFiles) throws -> NoticeSettings {
        var settings = NoticeSettings()
        if let data = FileManager.default.contents(atPath: files.home.notices) {
            do throws(Mistakes) { settings = try NoticeSettings(json: data) } catch { throw Complaint(error.all.first?.line(in: files.home.notices) ?? "\(files.home.notices) cannot be read") }
        }
        settings.contactName = contactName ?? settings.contactName
        settings.contactPoint = contactPoint ?? settings.contactPoint
        settings.readers = readers ?? settings.readers
        return settings
    }
}

extension NoticeSettings.ReaderNaming: ExpressibleByArgument {}

/// What a round of notices would be.
struct NoticePreview {
    private let files: ExposureFiles
    private let recipients: NoticeRecipients
    private let hasDirectory: Bool

    init(_ files: ExposureFiles, _ recipients: NoticeRecipients, hasDirectory: Bool) {
        (self.files, self.recipients, self.hasDirectory) = (files, recipients, hasDirectory)
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
        guard hasDirectory else { return lines + ["             in which language and where to is not known: --people FILE names the directory", "             nothing is sent: this is a preview"] }
        lines.append("languages    \(languages.map { "\($0.name) \(Show.number($0.count))" }.joined(separator: "   "))")
        lines.append("addresses    \(Show.number(recipients.reachable.count)) can be reached by mail")
        if !withoutAddress.isEmpty { lines.append("             \(Show.number(withoutAddress.count)) without an address: \(some(withoutAddress))") }
        if !notInDirectory.isEmpty { lines.append("             \(Show.number(notInDirectory.count)) not in the file of people: \(some(notInDirectory))") }
        for one in refused { lines.append("             \(one.subject)'s address is none: \(one.words)") }
        return lines + ["             nothing is sent: this is a preview"]
    }

    var object: [String: Any] {
        let totals = files.assessment.totals
        return [
            "incident": files.incident.number, "subjects": recipients.count, "exposed_subjects": totals.subjects, "exposed_events": totals.events,
            "did_subjects": [totals.readSubjects.lowerBound, totals.readSubjects.upperBound], "languages": Dictionary(uniqueKeysWithValues: languages.map { ($0.name, $0.count) }),
            "reachable": recipients.reachable.map(\.person.subject), "without_address": withoutAddress, "not_in_directory": notInDirectory,
            "refused_addresses": refused.map { ["subject": $0.subject, "why": $0.words] },
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
            "did_events": [totals.readEvents.lowerBound, totals.readEvents.upperBound], "proofs": facts.proofs.map(\.fileName),
        ])
    }

    static func show(_ object: [String: Any]) throws {
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}

extension Home {
    /// ``NoticeSettings``.
    var notices: String { file("notices.json") }
}
