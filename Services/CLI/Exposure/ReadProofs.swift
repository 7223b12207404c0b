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
    /// Entries that control has cosigned, and of which something else lies there now: nothing proves those reads.
    private(set) var unproven: [UInt64] = []
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
        unproven = entries.filter { files[$0] == nil }
    }

    /// For operators: which, and what to do; nil: each is proven.
    var unprovenWords: String? {
        guard !unproven.isEmpty else { return nil }
        let more = unproven.count > 10 ? " and \(Show.number(unproven.count - 10)) more" : ""
        return "\(unproven.count == 1 ? "entry" : "entries") \(unproven.prefix(10).map(String.init).joined(separator: ", "))\(more) of the ledger of reads \(unproven.count == 1 ? "is" : "are") not what control has cosigned: no file proves \(unproven.count == 1 ? "that read" : "those reads"), and whose they were is told so. 'sluice ledger verify' says what is wrong"
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
        if let unproven = unproven.first {
            throw Complaint("no proof file was written: entry \(unproven) of the ledger of reads is not what control has cosigned. 'sluice ledger verify' says what is wrong with it")
        }
        func path(_ entry: UInt64) -> String { (folder as NSString).appendingPathComponent(ReadProofs.fileName(entry)) }
        if let taken = entries.map(path).first(where: { FileManager.default.fileExists(atPath: $0) }) {
            throw Complaint("\(taken) is there already, and nothing was written: name a folder without it, or move it away")
        }
        let made = ReadProofs.missing(folder)
        // Each beside its place first: a disk that fills up meanwhile leaves nothing that looks like all of it.
        var (parts, placed): ([String], [String]) = ([], [])
        do {
            do { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) } catch { throw Complaint("cannot make \(folder): \(error.localizedDescription)") }
            for entry in entries {
                parts.append("\(path(entry)).part-\(getpid())")
                do { try files[entry]?.write(to: URL(fileURLWithPath: parts[parts.count - 1]), options: .withoutOverwriting) } catch {
                    throw Complaint("cannot write \(path(entry)), and no proof file was written: \(error.localizedDescription)")
                }
            }
            for (entry, part) in zip(entries, parts) {
                // Unlike a rename it writes over nothing that came meanwhile.
                guard link(part, path(entry)) == 0 else { throw Complaint("cannot write \(path(entry)), and no proof file was written: \(String(cString: strerror(errno)))") }
                placed.append(path(entry))
            }
        } catch {
            for file in parts + placed { unlink(file) }
            for folder in made { rmdir(folder) }
            throw error
        }
        for part in parts { unlink(part) }
        return entries.map(ReadProofs.fileName)
    }

    /// Folders on the way that are not there yet, the innermost first.
    private static func missing(_ folder: String) -> [String] {
        var (missing, path): ([String], String) = ([], (folder as NSString).standardizingPath)
        while !path.isEmpty, !FileManager.default.fileExists(atPath: path) {
            missing.append(path)
            path = (path as NSString).deletingLastPathComponent
        }
        return missing
    }
}
