import Chassis
import Exposure
import Foundation
import GRDB
import Gate
import Ledger
import Messaging
import Rules
import SwiftProtobuf
import Vault
import Wire

/// What the vault's file says of reads, and of what there was to be read.
struct ReadsRecord {
    private(set) var releases: [ExposureHistory.ReleaseOnRecord] = []
    private(set) var holdings: [ExposureHistory.Holding] = []
    private(set) var holdingsAreFewer = false
    private(set) var hasDirectory = false
    private(set) var fault: String?

    /// Of these the vault is asked what was in each: an answer takes a walk over what was asked for.
    private static let sharesMax = 2_000

    /// - Parameters:
    ///   - edges: Moments at which what was captured is told apart.
    ///   - concerns: Which releases the vault is asked about.
    init(_ files: LedgerFiles, until: WallTime, edges: [WallTime], since: WallTime, concerns: (ExposureHistory.ReleaseOnRecord) -> Bool) throws {
        let (store, database) = try files.open(.reads)
        defer { try? database.close() }
        var asked: [UInt64: (from: Int64, until: Int64)] = [:]
        (releases, asked, fault) = try ReadsRecord.releases(store)
        try SQLiteStore.naming(files.path(.reads)) {
            try database.read { db in
                hasDirectory = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM person)") ?? false
                let swept = try Int64.fetchOne(db, sql: "SELECT swept_us FROM housekeeping")
                // What was judged again since may have another class than it had, or be gone; when that was nobody wrote down.
                // A backup may be of an earlier version, which knew of the last walk alone.
                let before = try db.columns(in: "rescan").contains { $0.name == "changed_before" } ? " OR changed_before > 0" : ""
                let judged = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM rescan WHERE changed > 0\(before))") ?? false
                holdingsAreFewer = judged || swept.map { WallTime(microseconds: $0) > since } ?? false
                holdings = try ReadsRecord.holdings(db, until: until, edges: edges)
                var left = ReadsRecord.sharesMax
                for index in releases.indices where left > 0 && concerns(releases[index]) {
                    guard let range = asked[releases[index].number] else { continue }
                    left -= 1
                    releases[index].shares = try ReadsRecord.shares(of: releases[index], range.from, range.until, db)
                }
            }
        }
    }

    private static func releases(
        _ store: LedgerStore
    ) throws -> (releases: [ExposureHistory.ReleaseOnRecord], asked: [UInt64: (from: Int64, until: Int64)], fault: String?) {
        var releases: [ExposureHistory.ReleaseOnRecord] = []
        var asked: [UInt64: (from: Int64, until: Int64)] = [:]
        var places: [UInt64: Int] = [:]
        var fault: String?
        let size = try store.size()
        for start in stride(from: UInt64(0), to: size, by: 256) {
            for (offset, recorded) in try store.entries(start..<min(size, start + 256)).enumerated() {
                guard let entry = recorded.entry, let wire = try? WireReadEntry(serializedBytes: entry.body) else {
                    fault = "entry \(start + UInt64(offset) + 1) of the ledger of reads cannot be read, or was erased"
                    continue
                }
                switch wire.what {
                case .opened(let read):
                    places[read.release] = releases.count
                    asked[read.release] = (read.fromUs, read.untilUs)
                    releases.append(ExposureHistory.ReleaseOnRecord(read, entry: start + UInt64(offset) + 1, at: WallTime(microseconds: wire.atUs)))
                case .ended(let read):
                    guard let place = places[read.release] else { continue }
                    // Policy's clock was set back meanwhile: when it ended nobody knows.
                    let ended = WallTime(microseconds: wire.atUs)
                    releases[place].ended = ended < releases[place].opened ? nil : ended
                    releases[place].events = Int64(clamping: read.events)
                    releases[place].cutOff = read.code == 0 ? "" : Refusal(rawValue: read.code)?.word ?? "\(read.code)"
                case .denied, .moved, nil: continue
                }
            }
        }
        return (releases, asked, fault)
    }

    private static func holdings(_ db: Database, until: WallTime, edges: [WallTime]) throws -> [ExposureHistory.Holding] {
        struct Slice: Hashable {
            let place: ReadPlace
            let number: Int
        }
        var slices: [Slice: (first: Int64, events: Int64)] = [:]
        let sorted = Set(edges).sorted().map(\.nanoseconds)
        let rows = try Row.fetchCursor(db, sql: "SELECT subject, site, team, class, first_ns, count FROM segment WHERE first_ns < ?", arguments: [until.nanoseconds])
        while let row = try rows.next() {
            let first: Int64 = row[4]
            var (low, high) = (0, sorted.count)
            while low < high {
                let middle = (low + high) / 2
                if sorted[middle] <= first { low = middle + 1 } else { high = middle }
            }
            let slice = Slice(place: ReadPlace(Scope(subject: row[0], site: row[1], team: row[2]), DataClass(row[3] as String)), number: low)
            let known = slices[slice] ?? (first, 0)
            slices[slice] = (min(known.first, first), known.events + (row[5] as Int64))
        }
        return slices.map { .init($0.key.place, first: WallTime(nanoseconds: $0.value.first), events: $0.value.events) }
    }

    /// As policy counts them when it opens a release, in the order in which it sends them.
    private static func shares(of release: ExposureHistory.ReleaseOnRecord, _ from: Int64, _ until: Int64, _ db: Database) throws -> [ExposureHistory.ReleaseOnRecord.Share]? {
        func list(_ values: [String]) -> String { Array(repeating: "?", count: values.count).joined(separator: ", ") }
        var condition = "class IN (\(list(release.classes.map(\.name)))) AND first_ns < ? AND last_ns >= ?"
        var arguments = StatementArguments(release.classes.map(\.name))
        arguments += [WallTime(microseconds: until).nanoseconds, WallTime(microseconds: from).nanoseconds]
        if let included = release.included {
            guard included.count <= 4_096 else { return nil }
            condition += " AND subject IN (\(list(included)))"
            arguments += StatementArguments(included)
        }
        if !release.teams.isEmpty {
            condition += " AND (team IN (\(list(release.teams)))\(release.subjects.isEmpty ? "" : " OR subject IN (\(list(release.subjects)))"))"
            arguments += StatementArguments(release.teams) + StatementArguments(release.subjects)
        }
        let rows = try Row.fetchAll(db, sql: "SELECT subject, class, SUM(count), SUM(first_ns < \(WallTime(microseconds: from).nanoseconds) OR last_ns >= \(WallTime(microseconds: until).nanoseconds)) FROM segment WHERE \(condition) GROUP BY subject, class ORDER BY subject, class", arguments: arguments)
        // Of what lies on an edge a part is given: how much, only the end of a release says that came to its end.
        guard release.cutOff.isEmpty || rows.allSatisfy({ ($0[3] as Int64) == 0 }) else { return nil }
        return rows.map { .init($0[0], DataClass($0[1] as String), events: $0[2]) }
    }
}

extension ExposureHistory.ReleaseOnRecord {
    init(_ read: WireReadOpened, entry: UInt64, at: WallTime) {
        // Whoever was named and nobody else, where the entry has no list of its own.
        let isNamed = read.teams.isEmpty && !read.subjects.isEmpty
        let included: [String]? = !read.included.isEmpty ? read.included : read.subjectCount == 0 ? [] : isNamed ? read.subjects : nil
        self.init(
            number: read.release, entry: entry, reader: read.reader, person: read.person, policy: read.policy, purpose: read.purpose, classes: read.classes.map { DataClass($0) },
            subjects: read.subjects, included: included, opened: at, ended: nil, events: Int64(clamping: read.eventsMax), most: Int64(clamping: read.eventsMax))
        teams = read.teams
        roles = Set(read.uses.map(\.role)).sorted()
        grants = read.uses.map(\.grant)
    }
}
