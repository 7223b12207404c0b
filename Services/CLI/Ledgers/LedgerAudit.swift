import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import Messaging
import SwiftProtobuf
import Vault
import Wire

/// One ledger, checked from its files: every entry, every signature, every rule, the root, and what the other service has cosigned.
struct LedgerAudit {
    let files: LedgerFiles
    let name: LedgerName
    /// Called with the entries done, now and then.
    var progress: (UInt64) -> Void = { _ in }

    struct Report {
        let name: LedgerName
        var entries: UInt64 = 0
        var root = ""
        var erased: UInt64 = 0
        /// Operators' signatures that were checked.
        var signatures: UInt64 = 0
        /// The largest size that the other service has cosigned.
        var cosigned: UInt64 = 0
        /// What is wrong, and with which entry (0: with no one in particular).
        var fault: String?
        var entry: UInt64 = 0
        var seconds = 0.0
    }

    func run() -> Report {
        var report = Report(name: name)
        let started = Clock.now()
        do { try check(&report) } catch {
            report.fault = "\(error)"
        }
        report.seconds = Double((Clock.now() - started).nanoseconds) / 1e9
        return report
    }

    private func check(_ report: inout Report) throws {
        // Before the ledger is looked at: what is kept of it is never newer than what is then seen.
        let kept = try files.kept(name)
        report.cosigned = kept.map(\.checkpoint.size).max() ?? 0
        let (store, database) = try files.open(name)
        defer { try? database.close() }
        var reader: any EntryReader = try name == .governance ? GovernanceReader(files) : ReadsReader()
        // A history that two operators have given up is no history of this ledger any more.
        var checkpoints = kept.map(\.checkpoint)
        if name == .governance { checkpoints = [] }
        let verdict = try store.verify(against: checkpoints) { index, entry in
            reader.take(index + 1, entry)
            if index & 0xfff == 0xfff { progress(index + 1) }
        }
        report.signatures = reader.signatures
        switch verdict {
        case .whole(let size, let root, let erased):
            report.entries = size
            report.root = root.description
            report.erased = erased
        case .faulty(.surplus) where try store.size() < report.cosigned:
            let size = try store.size()
            (report.entry, report.fault) = (size + 1, LedgerFault.truncated(size: size, expected: report.cosigned).words)
            return
        case .faulty(let fault):
            (report.entry, report.fault) = (fault.entry, fault.words)
            return
        }
        if let fault = reader.fault {
            (report.entry, report.fault) = fault
            return
        }
        guard name == .governance else { return }
        // Compared now that it is known which were given up.
        for one in kept.sorted(by: { $0.checkpoint.size < $1.checkpoint.size }) where !reader.abandoned.contains(Array(one.checkpoint.text.utf8)) {
            guard one.checkpoint.size <= report.entries else {
                report.fault = "the last entries are missing: there are \(report.entries), and \(one.checkpoint.size) were cosigned (\(one.place))"
                report.entry = report.entries + 1
                return
            }
            guard try store.root(at: one.checkpoint.size) == one.checkpoint.root else {
                report.fault = "the first \(one.checkpoint.size) entries are others than those that were cosigned (\(one.place)): the ledger was rewritten, or told two stories"
                report.entry = one.checkpoint.size
                return
            }
        }
    }
}

extension LedgerFault {
    /// From 1; 0: no one entry.
    var entry: UInt64 {
        switch self {
        case .edited(let index), .reordered(let index, _), .deleted(let index): index + 1
        case .truncated(let size, _): size + 1
        case .rewritten(let range): range.lowerBound + 1
        case .surplus: 0
        }
    }
}

/// What the entries say, read in order. The first fault counts.
private protocol EntryReader {
    var fault: (UInt64, String)? { get }
    var signatures: UInt64 { get }
    /// Checkpoints that were given up.
    var abandoned: Set<[UInt8]> { get }
    mutating func take(_ number: UInt64, _ entry: LedgerEntry?)
}

private struct GovernanceReader: EntryReader {
    private var fold = GovernanceFold()
    private let anchors: (origin: String, keys: [String])
    private var begun: [String] = []
    private var found: (UInt64, String)?
    /// The registry names the keys that it began with, or others that it has announced since.
    var fault: (UInt64, String)? {
        if let found { return found }
        let known = fold.governance.ledgerKeys.current
        let isNamed = zip(begun, anchors.keys).allSatisfy { $0 == $1 || known[LedgerKeys.name(of: $0)]?.contains($1) ?? false }
        return isNamed ? nil : (1, "it begins with other keys than registry.json names")
    }
    private(set) var signatures: UInt64 = 0
    var abandoned: Set<[UInt8]> { fold.governance.abandoned }

    init(_ files: LedgerFiles) throws {
        let anchors = files.anchors
        self.anchors = (try files.keys(.governance).ledger.name.description, [anchors.control, anchors.policy, anchors.controlWitness, anchors.policyWitness])
    }

    mutating func take(_ number: UInt64, _ entry: LedgerEntry?) {
        guard found == nil else { return }
        guard let entry else {
            found = (number, "entry \(number) was erased: nobody can check what follows from it")
            return
        }
        var recorded = WireRecordedEntry()
        recorded.salt = Data(entry.salt)
        recorded.body = Data(entry.body)
        do throws(FoldFault) {
            let taken = try fold.take(recorded)
            signatures = fold.signatures
            guard case .began(let beginning) = taken.deed else { return }
            let named = [beginning.controlKey, beginning.policyKey, beginning.controlWitness, beginning.policyWitness]
            begun = named
            if beginning.origin != anchors.origin { found = (number, "it begins with other keys than registry.json names") }
        } catch {
            found = (number, "\(error)")
        }
    }
}

private struct ReadsReader: EntryReader {
    private(set) var fault: (UInt64, String)?
    let signatures: UInt64 = 0
    let abandoned: Set<[UInt8]> = []
    private var open: Set<UInt64> = []
    private var last: UInt64 = 0
    private var hasGaps = false

    mutating func take(_ number: UInt64, _ entry: LedgerEntry?) {
        guard fault == nil else { return }
        guard let entry else {
            // Erased with the person that it was of: the leaf says that it was there.
            hasGaps = true
            return
        }
        guard let read = try? WireReadEntry(serializedBytes: entry.body), read.number == number else {
            fault = (number, "entry \(number) cannot be understood, or stands in another's place")
            return
        }
        switch read.what {
        case .opened(let opened):
            guard opened.release > last else {
                fault = (number, "entry \(number) opens release \(opened.release), which is not later than the one before")
                return
            }
            last = opened.release
            open.insert(opened.release)
        case .ended(let ended):
            if open.remove(ended.release) == nil, !hasGaps { fault = (number, "entry \(number) ends release \(ended.release), which no entry opened") }
        case .denied, .moved: break
        case nil: fault = (number, "entry \(number) is of a kind that this version does not know")
        }
    }
}
