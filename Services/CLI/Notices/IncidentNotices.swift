import ArgumentParser
import Chassis
import Exposure
import Foundation
import Gate
import Ledger
import Mail
import Messaging
import Notices
import Rules

/// What the commands on an incident's notices take.
struct NoticeOptions: ParsableArguments {
    @OptionGroup var scope: ExposureScope
    @Option(help: ArgumentHelp("Whom to ask, instead of notices.json's.", valueName: "name")) var contactName: String?
    @Option(help: ArgumentHelp("How to reach them, instead of notices.json's.", valueName: "address")) var contactPoint: String?
    @Option(help: ArgumentHelp("How readers are told of, instead of notices.json's: person, role or count; at most what the policy document allows.", valueName: "how")) var readers: NoticeSettings.ReaderNaming?

    @Option(help: ArgumentHelp("A folder of templates instead of notices.json's: files NAME.mustache, which stand for those of their name.", valueName: "folder")) var templates: String?

    /// - Parameter settings: what is named there lies in the home, unless it is a whole path.
    func folder(_ settings: NoticeSettings, _ home: Home) -> String? {
        if let templates { return templates }
        guard !settings.templates.isEmpty else { return nil }
        return settings.templates.hasPrefix("/") ? settings.templates : home.file(settings.templates)
    }

    /// - Parameter terms: of the policy document in force. Who sends may tell less of readers than it allows, and not more.
    func settings(_ home: Home, within terms: NoticeTerms) throws -> NoticeSettings {
        var settings = NoticeSettings(readers: terms.readers)
        if let data = FileManager.default.contents(atPath: home.notices) {
            do throws(Mistakes) { settings = try NoticeSettings(json: data, otherwise: settings) } catch { throw Complaint(error.all.first?.line(in: home.notices) ?? "\(home.notices) cannot be read") }
        }
        settings.contactName = contactName ?? settings.contactName
        settings.contactPoint = contactPoint ?? settings.contactPoint
        guard (readers ?? settings.readers) <= terms.readers else {
            let (asked, by) = readers.map { ($0, "--readers") } ?? (settings.readers, "'readers' in \(home.notices)")
            throw Complaint("\(by) asks to tell of readers by \(asked.rawValue), and the policy document allows \(terms.readers.rawValue): 'notices: {readers: \(asked.rawValue)}' in it takes two operators")
        }
        settings.readers = readers ?? settings.readers
        return settings
    }
}

/// What the people of an incident are told, computed from the home's files, the file of people and `notices.json`: the same of the same.
struct IncidentNotices {
    let files: ExposureFiles
    /// Of the policy document in force.
    let terms: NoticeTerms
    let settings: NoticeSettings
    let hasDirectory: Bool
    /// Where the templates are from; nil: they come with the program.
    let folder: String?
    let recipients: NoticeRecipients
    let round: NoticeRound
    /// Why somebody else would not come to the same digest, or not tomorrow; nil: they would.
    let unstable: String?
    /// What ``ReadProofs`` says of reads that nothing proves, and which those are.
    let unproven: (entries: [UInt64], words: String?)
    private let byID: [String: NoticePerson]

    /// - Parameter keeping: keeps the checkpoint for the proof files in the home, if none is there that is new enough.
    init(_ incident: UInt64, _ options: NoticeOptions, in home: Home, keeping: Bool = false) throws {
        files = try options.scope.files(incident, in: home)
        terms = try files.record.governance.policy.map { try PolicyFiles.document(canonical: $0.bytes).notices } ?? NoticeTerms.none
        settings = try options.settings(home, within: terms)
        folder = options.folder(settings, home)
        let templates: NoticeTemplates
        do throws(TemplateRefused) { templates = try NoticeTemplates(folder: folder) } catch { throw Complaint("a template cannot be used: \(error.words)") }
        hasDirectory = options.scope.people != nil
        let directory = try options.scope.people.map { try PeopleFile.entries($0) } ?? []
        byID = Dictionary(directory.map { ($0.person.id, NoticePerson($0.person.id, name: $0.name, mail: $0.mail, locale: $0.locale)) }) { first, _ in first }
        recipients = NoticeRecipients(files.assessment, byID)
        let epoch = files.incident.closure
        let closure = files.record.closures.first { $0.epoch == epoch }
        let told = NoticeIncident(incident, found: files.incident.opened, closure: closure, certificate: files.record.certificates[epoch])
        let proofs = try ReadProofs(of: files.assessment, incident, in: home, keeping: keeping)
        round = NoticeRound(files.assessment, of: told, to: recipients, settings, templates, proofs: proofs.files, unproven: Set(proofs.unproven))
        unproven = (proofs.unproven, proofs.unprovenWords)
        unstable =
            if !(closure?.stopsReading ?? false), options.scope.until == nil { "reading was not stopped by this incident: what could be read changes until --until says when it ended" } else { proofs.unstable }
    }

    func facts(of subject: String) throws -> NoticeFacts {
        do throws(NoticeRefused) { return try round.facts(of: byID[subject] ?? NoticePerson(subject)) } catch { throw complaint(error) }
    }

    /// - Throws: `Complaint`: there is nobody to ask, or a notice is too large.
    func digest() throws -> TreeHash {
        do throws(NoticeRoundRefused) { return try round.digest() } catch { throw complaint(error) }
    }

    /// With its proofs, for handing it over.
    func tree() throws -> MerkleLevels {
        do throws(NoticeRoundRefused) { return try round.tree() } catch { throw complaint(error) }
    }

    func batch(from first: Int) throws -> [Data] {
        do throws(NoticeRoundRefused) { return try round.batch(from: first) } catch { throw complaint(error) }
    }

    private func complaint(_ error: NoticeRoundRefused) -> Complaint {
        switch error {
        case .refused(let error): complaint(error)
        case .tooLarge(let subject): Complaint("the notice of \(subject) has more proof files than one mail takes")
        }
    }

    private func complaint(_ error: NoticeRefused) -> Complaint {
        switch error {
        case .notExposed(let subject): Complaint("nothing of \(subject) was exposed in incident \(files.incident.number): they get no notice")
        case .noContact: Complaint("a notice names whom to ask: contactName and contactPoint in \(files.home.notices), or --contact-name and --contact-point")
        }
    }
}

extension NoticeSettings.ReaderNaming: ExpressibleByArgument {}

extension Home {
    /// ``NoticeSettings``.
    var notices: String { file("notices.json") }
    /// Under which the proof files of an incident's notices are.
    func noticeCheckpoint(_ incident: UInt64) -> String { file("notices/\(incident).checkpoint") }
}
