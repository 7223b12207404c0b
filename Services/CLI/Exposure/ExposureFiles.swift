import Chassis
import Exposure
import Foundation
import Gate
import Identity
import Rules
import Wire

/// The exposure of an incident, computed from the files of a home: nothing need run, and whoever has the ledgers gets the same.
///
/// What was captured in time and came out of an agent's spool later counts as if it had been there: no row of the vault says when it was stored.
struct ExposureFiles {
    let home: Home
    let record: GovernanceRecord
    let incident: Incident
    let question: ExposureQuestion
    /// The document that is taken for the cause; nil: the time was given, or there is none.
    let cause: Cause?
    /// Releases that the incident says were seen outside: it begins no later than the first of them.
    let seen: [ReleasesOnRecord.Release]
    let assessment: Assessment

    struct Asked {
        var incident: UInt64
        var since: WallTime?
        var until: WallTime?
        var classes: [String] = []
        /// The directory as a file; nil: none was given.
        var people: String?
    }

    init(_ asked: Asked, in files: LedgerFiles, at now: WallTime) throws {
        let record = try GovernanceRecord(files)
        guard let incident = record.governance.incidents[asked.incident] else {
            throw Complaint("there is no incident \(asked.incident)\(record.fault.map { " in what can be believed of the ledger: \($0)" } ?? ": 'sluice incidents' lists them")")
        }
        home = files.home
        self.record = record
        self.incident = incident
        let closure = record.closures.first { $0.epoch == incident.closure }
        var scope = closure?.selector ?? .everything
        if !asked.classes.isEmpty { scope.classes = Set(asked.classes.map { DataClass($0) }) }
        // Of a report or a finding it is known which class it is of, also where everything was stopped.
        let classes = scope.classes.isEmpty && !incident.dataClass.isEmpty ? [DataClass(incident.dataClass)] : scope.classes
        let directory = try asked.people.map { try PeopleFile.read($0) } ?? []
        // Whose machines are registered is captured, and an employee, with a directory or without.
        let people = directory + record.scopes.keys.sorted().flatMap { record.scopes[$0, default: []].map { Person($0) } } + record.keys.compactMap(\.person)
        let cause = asked.since == nil
            ? Cause(of: classes, found: incident.opened, in: record.policies, widening: Set(record.applied.lazy.filter(\.isWidening).map(\.index)), people: people) : nil
        self.cause = cause
        seen = asked.since == nil ? ExposureFiles.seenOutside(incident, files) : []
        let begun = ([cause?.at ?? record.began ?? .distantPast] + seen.map { WallTime(microseconds: $0.atUs) }).min()!
        let since = asked.since ?? begun
        var uncertain: Gap?
        var stopped: WallTime?
        if asked.until == nil, let closure, closure.stopsReading {
            if let after = record.certificates[closure.epoch]?.readingAfter { stopped = closure.from + after } else {
                // Somebody may have read on until their lease ended, and nobody says when that was.
                uncertain = .governance(why: "no certificate says when reading stopped by closure \(closure.epoch.number): it is counted until \(closure.until == nil ? "now" : "that was lifted")")
                stopped = closure.until
            }
        }
        let until = asked.until ?? stopped ?? now
        guard since < until else { throw Complaint("nothing lies between \(Show.time(microseconds: since.microseconds)) and \(Show.time(microseconds: until.microseconds))") }
        question = ExposureQuestion(incident: incident.number, Period(from: since, until: until), of: scope)
        var history = try ExposureFiles.history(record, question, people: asked.people == nil ? nil : directory, in: files)
        if let uncertain { history.gaps.append(uncertain) }
        assessment = Assessment(question, from: history)
    }

    /// As `sluice leak report --release` words them, where the ledger of reads has that release in that entry.
    private static func seenOutside(_ incident: Incident, _ files: LedgerFiles) -> [ReleasesOnRecord.Release] {
        guard let said = incident.title.firstMatch(of: #/^release (\d+) to .* \(entry (\d+)\)(?:, or an earlier one of this number,)? was seen outside: /#), let number = UInt64(said.1), let entry = UInt64(said.2) else { return [] }
        let all = ((try? ReleasesOnRecord(files))?.all ?? []).filter { $0.release == number }
        return all.contains { $0.entry == entry } ? all : []
    }

    private static func history(_ record: GovernanceRecord, _ question: ExposureQuestion, people: [Person]?, in files: LedgerFiles) throws -> ExposureHistory {
        var history = ExposureHistory()
        let period = question.period
        history.policies = record.policies
        history.keys = record.keys
        history.probe = Probe.name
        history.records = record.records
        history.erasures = record.erasures
        history.closures = record.closures
        history.gaps += record.setBack.filter { if case .clockBack(let doubted, _) = $0 { doubted.overlap(period) != nil } else { true } }
        // What is missing at the end shows in no entry, but in what the other service has cosigned.
        if let fault = record.fault ?? LedgerAudit(files: files, name: .governance).run().fault { history.gaps.append(.governance(why: fault)) }
        let named = Set(record.keys.map(\.name))
        let undated = try TrustedNodes(contentsOf: files.home.file("registry.json")).nodes.filter { $0.role == "reader" && !named.contains($0.name) }
        history.keys += undated.map { .init($0.name, person: $0.subject.map { Person($0) }, .always) }
        if !undated.isEmpty { history.gaps.append(.keysUndated(undated.map(\.name).sorted())) }

        var edges = [period.from] + record.policies.map(\.at) + record.closures.flatMap { [$0.from, $0.until ?? .distantFuture] } + record.keys.flatMap { [$0.period.from, $0.period.until] }
        edges += record.erasures.map(\.at)
        for version in record.policies {
            if case .known(let document) = version.document { edges += document.grants.compactMap(\.expires) }
        }
        let classes = question.scope.classes
        do {
            let reads = try ReadsRecord(files, until: period.until, edges: edges.filter { period.contains($0) }, since: period.from) { release in
                release.opened < period.until && release.ended.map { $0 > period.from } ?? true && (classes.isEmpty || release.classes.contains { classes.contains($0) })
            }
            history.releases = reads.releases
            history.holdings = reads.holdings
            history.holdingsAreFewer = reads.holdingsAreFewer
            if let fault = reads.fault ?? LedgerAudit(files: files, name: .reads).run().fault { history.gaps.append(.reads(why: fault)) }
            if let people {
                history.directory = people.map { .init($0, .always) }
                history.gaps.append(.directoryBefore(period.until))
            } else {
                history.gaps.append(reads.hasDirectory ? .directoryUnknown : .directoryBefore(period.until))
            }
        } catch let error as Complaint {
            history.gaps += [.reads(why: "\(error)"), .directoryUnknown]
            history.holdingsAreFewer = true
        }
        // Of whom nothing is left: where their machines were registered.
        let erased = Set(record.erasures.lazy.filter { $0.at > period.from }.map(\.subject))
        let known = classes.isEmpty ? Set(history.holdings.map(\.place.dataClass)).union(history.releases.flatMap(\.classes)) : classes
        for subject in erased.sorted() {
            for scope in record.scopes[subject] ?? [] { history.holdings += known.map { .init(ReadPlace(scope, $0), first: .distantPast, events: nil) } }
        }
        return history
    }
}
