import ArgumentParser
import Chassis
import Foundation
import GRDB
import Gate
import Identity
import Ledger
import SwiftProtobuf
import Vault
import Wire

struct WhoRead: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "who-read", abstract: "Every read on record that held, or may have held, something of a person.",
        discussion: """
            EXAMPLE
              sluice who-read E1042
              sluice who-read E1042 --denied              and who wanted to, and was not let
              sluice who-read E1042 --json | jq -s 'map(.reader) | unique'

            From the read ledger in the home's files; 'sluice ledger verify' checks those. A read of a team or of everyone names no persons: it is listed,
            and said to be of whom, unless its entry names who was in it, or says that nobody was. 'perhaps' stands where something was deleted since, so that
            nothing is left that says which teams the person was in.
            """)
    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Argument(help: "The person's id.") var subject: String
    @Flag(help: "Also reads that were denied.") var denied = false
    @Flag(help: "Print JSON, a read a line.") var json = false

    func run() throws {
        let files = try LedgerFiles(Home.resolve(home, environment: ProcessInfo.processInfo.environment))
        let found = try ReadsOfPerson(subject, in: files).allAndDenied()
        if json {
            for read in found.reads { print(String(decoding: try read.json(), as: UTF8.self)) }
            if denied { for read in found.denied { print(String(decoding: try read.json(), as: UTF8.self)) } }
            return
        }
        if found.reads.isEmpty { print("no read of \(Terminal.safe(subject)) is on record") }
        for read in found.reads { print(Terminal.safe(read.line)) }
        guard denied else { return }
        if found.denied.isEmpty { print("none was denied") }
        for read in found.denied { print(Terminal.safe(read.line)) }
    }
}

/// One read of which the ledger says that a person was in it, or does not say that they were not.
struct ReadOfPerson: Encodable {
    /// Its number in the read ledger.
    var entry: UInt64
    var release: UInt64
    var atUs: Int64
    var reader: String
    /// What its grants were for; of before default deny and without a policy document, as the registry has it now; empty: it is not in it any more.
    var role: String
    var grants: [String]
    /// The entry of control's ledger that set the policy document; 0: none was in force, before default deny, or it was not recorded yet.
    var policy: UInt64
    var purpose: String
    var justification: String
    var classes: [String]
    var fromUs: Int64
    var untilUs: Int64
    /// Who was asked for: the person, a team, or everyone.
    var asked: String
    /// Events of all who were asked for: what left, or at most.
    var events: UInt64
    var hasEnded: Bool
    /// A word; empty: it was not.
    var cutOff: String
    var directory: Bool

    var line: String {
        let extent = "\(Show.time(microseconds: fromUs)) to \(Show.time(microseconds: untilUs))"
        let left = hasEnded ? "\(Show.number(events)) events\(cutOff.isEmpty ? "" : ", cut off: \(cutOff)")" : "\(Show.number(events)) events at most"
        return "\(Show.time(microseconds: atUs))   \(reader)\(role.isEmpty ? "" : ", \(role)")   \(purpose)   \(classes.joined(separator: ","))\(directory ? ", directory" : "")   of \(asked)   \(extent)   \(left)   release \(release)   entry \(entry)   \"\(justification)\""
    }
}

/// A read that would have held, or might have held, something of a person, and was denied; or many within a minute.
struct DeniedOfPerson: Encodable {
    var entry: UInt64
    var atUs: Int64
    var sinceUs: Int64
    var reader: String
    var purpose: String
    var justification: String
    var classes: [String]
    var asked: String
    var denied: String
    var count: UInt64

    var line: String {
        "\(Show.time(microseconds: atUs))   \(reader)   \(purpose)   \(classes.joined(separator: ","))   of \(asked)   DENIED: \(Read.word(denied))\(count > 1 ? ", \(Show.number(count)) times since \(Show.time(microseconds: sinceUs))" : "")   entry \(entry)   \"\(justification)\""
    }
}

extension Encodable {
    fileprivate func line() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}

extension ReadOfPerson { func json() throws -> Data { try line() } }
extension DeniedOfPerson { func json() throws -> Data { try line() } }

/// Reads of one person, from the files of the read ledger.
struct ReadsOfPerson {
    private let subject: String
    private let files: LedgerFiles

    init(_ subject: String, in files: LedgerFiles) {
        self.subject = subject
        self.files = files
    }

    func all() throws -> [ReadOfPerson] { try allAndDenied().reads }

    /// Events of the person that are in the vault, by class, whoever may read them.
    func stored() throws -> [(name: String, events: Int64)] {
        let (_, database) = try files.open(.reads)
        defer { try? database.close() }
        return try SQLiteStore.naming(files.path(.reads)) {
            try database.read { db in
                try Row.fetchAll(db, sql: "SELECT class, SUM(count) AS events FROM segment WHERE subject = ? GROUP BY class ORDER BY class", arguments: [subject])
                    .map { (name: $0["class"], events: $0["events"]) }
            }
        }
    }

    func allAndDenied() throws -> (reads: [ReadOfPerson], denied: [DeniedOfPerson]) {
        let (store, database) = try files.open(.reads)
        defer { try? database.close() }
        // What is there says in which teams the person was, unless some of it has gone: then a read of any team may have held them.
        let (teams, isWhole) = try SQLiteStore.naming(files.path(.reads)) {
            try database.read { db in
                (
                    try String.fetchSet(db, sql: "SELECT DISTINCT team FROM segment WHERE subject = ?", arguments: [subject]),
                    try Bool.fetchOne(
                        db, sql: "SELECT swept_us IS NULL AND NOT EXISTS (SELECT 1 FROM erased WHERE subject = ?) FROM housekeeping", arguments: [subject]) ?? false
                )
            }
        }
        let nodes = try TrustedNodes(contentsOf: files.home.file("registry.json")).nodes
        let roles = Dictionary(nodes.map { ($0.name, $0.role) }) { first, _ in first }
        var found: [ReadOfPerson] = []
        var denied: [DeniedOfPerson] = []
        var places: [UInt64: Int] = [:]
        let size = try store.size()
        for start in stride(from: UInt64(0), to: size, by: 256) {
            for (offset, recorded) in try store.entries(start..<min(size, start + 256)).enumerated() {
                guard let body = recorded.entry?.body else { continue }
                let wire = try WireReadEntry(serializedBytes: body)
                switch wire.what {
                case .opened(let read):
                    // Who is in it is named, unless they are too many. Where it held nothing of anybody the entry says that, and it stays certain whatever was deleted since.
                    let heldNothing = read.included.isEmpty && read.subjectCount == 0 && !read.directory
                    guard heldNothing ? read.subjects.contains(subject) : read.included.isEmpty || read.included.contains(subject) else { continue }
                    guard let asked = asked(read.subjects, read.teams, teams, isWhole) else { continue }
                    let mine = read.uses.filter { use in use.subjects.isEmpty || use.subjects.contains { Int($0) < read.included.count && read.included[Int($0)] == subject } }
                    places[read.release] = found.count
                    found.append(
                        ReadOfPerson(
                            entry: start + UInt64(offset) + 1, release: read.release, atUs: wire.atUs, reader: read.reader,
                            role: mine.isEmpty ? roles[read.reader] ?? "" : Set(mine.map(\.role)).sorted().joined(separator: ", "), grants: mine.map(\.grant), policy: read.policy,
                            purpose: read.purpose, justification: read.justification, classes: read.classes, fromUs: read.fromUs, untilUs: read.untilUs,
                            asked: asked, events: read.eventsMax, hasEnded: false, cutOff: "", directory: read.directory))
                case .ended(let read):
                    guard let place = places[read.release] else { continue }
                    found[place].events = read.events
                    found[place].hasEnded = true
                    found[place].cutOff = read.code == 0 ? "" : Refusal(rawValue: read.code)?.word ?? "\(read.code)"
                case .denied(let read):
                    guard let asked = asked(read.subjects, read.teams, teams, isWhole) ?? (read.subjectCount > read.subjects.count ? "many, perhaps" : nil) else { continue }
                    denied.append(
                        DeniedOfPerson(
                            entry: start + UInt64(offset) + 1, atUs: wire.atUs, sinceUs: read.sinceUs, reader: read.reader, purpose: read.purpose,
                            justification: read.justification, classes: read.classes, asked: asked, denied: read.why, count: read.count))
                case .moved, nil: continue
                }
            }
        }
        return (found, denied)
    }

    /// Nil: the person cannot have been in it.
    private func asked(_ subjects: [String], _ asked: [String], _ teams: Set<String>, _ isWhole: Bool) -> String? {
        if subjects.contains(subject) { return subject }
        if subjects.isEmpty, asked.isEmpty { return "everyone" }
        guard !asked.isEmpty else { return nil }
        if let team = asked.first(where: teams.contains) { return "team \(team)" }
        // Of a sweep nobody knows whose rows went, and in which teams those were: a read of many of a team in which nothing of the person is left may have held
        // them. Rather one too many than one that is not listed.
        return teams.isEmpty || !isWhole ? "team \(asked.joined(separator: ", ")), perhaps" : nil
    }
}
