import Chassis
import Exposure
import Foundation
import GRDB
import Gate
import Ledger
import Messaging

/// That reads are on record, each as a file that shows nothing of whom else they were: the entry's leaf, and no entry.
///
/// All are under one checkpoint, which is kept with the first proposal of an incident's notices: with a newer one, whoever approves would come to another digest.
struct ReadProofs {
    /// By entry. Of one that is not what control has cosigned there is none.
    private(set) var files: [UInt64: Data] = [:]
    /// The last of the entries, where control has not cosigned that far.
    private(set) var uncosigned: UInt64?
    /// A later checkpoint would make other files.
    private var isKept = true

    /// What was read is cosigned within a second, and that it was is kept within two more.
    static let patience = Span.seconds(10)

    /// As it is attached to a notice, too.
    static func fileName(_ entry: UInt64) -> String { "read-\(entry).tlog-proof" }

    init(of assessment: Assessment, _ incident: UInt64, in home: Home, keeping: Bool = false) throws {
        let entries = Set(assessment.releases.map(\.release.entry)).sorted()
        guard let last = entries.last else { return }
        let ledgers = try LedgerFiles(home)
        let path = home.noticeCheckpoint(incident)
        let note: SignedNote
        if let kept = try ReadProofs.kept(path, ledgers), kept.checkpoint.size >= last { note = kept.note } else {
            // What nobody has cosigned proves nothing yet.
            guard let found = try ledgers.cosigned(.reads, covering: last, within: keeping ? ReadProofs.patience : .zero), found.checkpoint.size >= last else {
                uncosigned = last
                return
            }
            note = found.note
            if keeping { try ReadProofs.keep(note, path) } else { isKept = false }
        }
        files = try ledgers.leafProofs(entries, under: note)
    }

    /// Why whoever computes them again for a notice does not get the same; nil: they do.
    var unstable: String? {
        if let uncosigned { return "proof files come with them, and the record of the reads has not been cosigned up to entry \(uncosigned) yet: control and policy have to run, then try again" }
        return isKept ? nil : "proof files come with them, whose checkpoint 'sluice notices send' keeps"
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

extension ReadProofs {
    /// Writes them all, or none: nothing that lies there already is written over.
    ///
    /// - Returns: their names, in the order of the entries. Empty: nothing was read.
    func write(of assessment: Assessment, to folder: String) throws -> [String] {
        if let uncosigned { throw Complaint("no proof file was written: the record of the reads has not been cosigned up to entry \(uncosigned) yet. Control and policy have to run; then try again") }
        let entries = Set(assessment.releases.map(\.release.entry)).sorted()
        guard !entries.isEmpty else { return [] }
        if let unproven = entries.first(where: { files[$0] == nil }) {
            throw Complaint("no proof file was written: entry \(unproven) of the ledger of reads is not what control has cosigned. 'sluice ledger verify' says what is wrong with it")
        }
        func path(_ entry: UInt64) -> String { (folder as NSString).appendingPathComponent(ReadProofs.fileName(entry)) }
        if let taken = entries.map(path).first(where: { FileManager.default.fileExists(atPath: $0) }) {
            throw Complaint("\(taken) is there already, and nothing was written: name a folder without it, or move it away")
        }
        do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch { throw Complaint("cannot make \(folder): \(error.localizedDescription)") }
        for (entry, file) in files.sorted(by: { $0.key < $1.key }) {
            do { try file.write(to: URL(fileURLWithPath: path(entry)), options: .withoutOverwriting) } catch { throw Complaint("cannot write \(path(entry)): \(error.localizedDescription)") }
        }
        return entries.map(ReadProofs.fileName)
    }
}
