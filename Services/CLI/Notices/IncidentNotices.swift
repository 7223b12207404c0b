import ArgumentParser
import Chassis
import Exposure
import Foundation
import GRDB
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
    @Option(help: ArgumentHelp("How readers are told of, instead of notices.json's: person, role or count.", valueName: "how")) var readers: NoticeSettings.ReaderNaming?

    @Option(help: ArgumentHelp("A folder of templates instead of notices.json's: files NAME.mustache, which stand for those of their name.", valueName: "folder")) var templates: String?

    /// - Parameter settings: what is named there lies in the home, unless it is a whole path.
    func folder(_ settings: NoticeSettings, _ home: Home) -> String? {
        if let templates { return templates }
        guard !settings.templates.isEmpty else { return nil }
        return settings.templates.hasPrefix("/") ? settings.templates : home.file(settings.templates)
    }

    func settings(_ home: Home) throws -> NoticeSettings {
        var settings = NoticeSettings()
        if let data = FileManager.default.contents(atPath: home.notices) {
            do throws(Mistakes) { settings = try NoticeSettings(json: data) } catch { throw Complaint(error.all.first?.line(in: home.notices) ?? "\(home.notices) cannot be read") }
        }
        settings.contactName = contactName ?? settings.contactName
        settings.contactPoint = contactPoint ?? settings.contactPoint
        settings.readers = readers ?? settings.readers
        return settings
    }
}

/// What the people of an incident are told, computed from the home's files, the file of people and `notices.json`: the same of the same.
struct IncidentNotices {
    let files: ExposureFiles
    let settings: NoticeSettings
    let hasDirectory: Bool
    /// Where the templates are from; nil: they come with the program.
    let folder: String?
    let recipients: NoticeRecipients
    let round: NoticeRound
    /// Why somebody else would not come to the same digest, or not tomorrow; nil: they would.
    let unstable: String?
    private let byID: [String: NoticePerson]

    /// - Parameter keeping: keeps the checkpoint for the proof files in the home, if none is there that is new enough.
    init(_ incident: UInt64, _ options: NoticeOptions, in home: Home, keeping: Bool = false) throws {
        settings = try options.settings(home)
        folder = options.folder(settings, home)
        let templates: NoticeTemplates
        do throws(TemplateRefused) { templates = try NoticeTemplates(folder: folder) } catch { throw Complaint("a template cannot be used: \(error.words)") }
        files = try options.scope.files(incident, in: home)
        hasDirectory = options.scope.people != nil
        let directory = try options.scope.people.map { try PeopleFile.entries($0) } ?? []
        byID = Dictionary(directory.map { ($0.person.id, NoticePerson($0.person.id, name: $0.name, mail: $0.mail, locale: $0.locale)) }) { first, _ in first }
        recipients = NoticeRecipients(files.assessment, byID)
        let epoch = files.incident.closure
        let closure = files.record.closures.first { $0.epoch == epoch }
        let told = NoticeIncident(incident, found: files.incident.opened, closure: closure, certificate: files.record.certificates[epoch])
        let proofs = try ReadProofs(of: files.assessment, incident, in: home, keeping: keeping)
        round = NoticeRound(files.assessment, of: told, to: recipients, settings, templates, proofs: proofs.files)
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

/// That reads are on record, each as a file that shows nothing of whom else they were: the entry's leaf, and no entry.
///
/// All are under one checkpoint, which is kept with the first proposal: with a newer one, whoever approves would come to another digest.
struct ReadProofs {
    private(set) var files: [UInt64: Data] = [:]
    /// Why whoever computes them again does not get the same; nil: they do.
    private(set) var unstable: String?

    /// What was read is cosigned within a second.
    private static let patience = Span.seconds(10)

    init(of assessment: Assessment, _ incident: UInt64, in home: Home, keeping: Bool) throws {
        let entries = Set(assessment.releases.map(\.release.entry)).sorted()
        guard let last = entries.last else { return }
        let ledgers = try LedgerFiles(home)
        let path = home.noticeCheckpoint(incident)
        let note: SignedNote
        if let kept = try ReadProofs.kept(path, ledgers), kept.checkpoint.size >= last { note = kept.note } else {
            // What nobody has cosigned proves nothing yet.
            guard let found = try ReadProofs.cosigned(ledgers, atLeast: last, by: Clock.now() + (keeping ? ReadProofs.patience : .zero)) else {
                unstable = "proof files come with them, and the record of the reads has not been cosigned up to entry \(last) yet: control and policy have to run, then try again"
                return
            }
            note = found
            if keeping { try ReadProofs.keep(note, path) } else { unstable = "proof files come with them, whose checkpoint 'sluice notices send' keeps" }
        }
        let size = try Checkpoint(parsing: note.text).size
        let (store, database) = try ledgers.open(.reads)
        defer { try? database.close() }
        for entry in entries {
            guard let leaf = try store.entries(entry - 1..<entry).first?.leaf else { continue }
            let hashes = try store.inclusionProof(of: entry - 1, in: size)
            files[entry] = Data(try EntryProof(extra: leaf.bytes, index: entry - 1, hashes: hashes, note: note).bytes)
        }
    }

    private static func cosigned(_ ledgers: LedgerFiles, atLeast size: UInt64, by end: Instant) throws -> SignedNote? {
        while true {
            let newest = try ledgers.kept(.reads).filter { $0.note != nil && $0.checkpoint.size >= size }.max { $0.checkpoint.size < $1.checkpoint.size }
            if let note = newest?.note { return note }
            guard Clock.now() < end else { return nil }
            usleep(200_000)
        }
    }

    private static func kept(_ path: String, _ ledgers: LedgerFiles) throws -> (note: SignedNote, checkpoint: Checkpoint)? {
        guard let bytes = FileManager.default.contents(atPath: path) else { return nil }
        let kept = try ledgers.kept(.reads, [UInt8](bytes), in: path, isNote: true)
        return kept.note.map { ($0, kept.checkpoint) }
    }

    private static func keep(_ note: SignedNote, _ path: String) throws {
        let folder = (path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try Data(note.bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch { throw Complaint("cannot write \(path): the proof files' checkpoint is kept there") }
    }
}

extension NoticeSettings.ReaderNaming: ExpressibleByArgument {}

extension Home {
    /// ``NoticeSettings``.
    var notices: String { file("notices.json") }
    /// Under which the proof files of an incident's notices are.
    func noticeCheckpoint(_ incident: UInt64) -> String { file("notices/\(incident).checkpoint") }
}
