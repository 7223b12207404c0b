import ArgumentParser
import Chassis
import Exposure
import Foundation
import Gate
import Messaging
import Wire

/// What the commands on an exposure take.
struct ExposureOptions: ParsableArguments {
    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Argument(help: "The incident's number.") var incident: UInt64
    @OptionGroup var scope: ExposureScope

    func files() throws -> ExposureFiles { try scope.files(incident, in: Home.resolve(home, environment: ProcessInfo.processInfo.environment)) }
}

/// What of an incident is looked at.
struct ExposureScope: ParsableArguments {
    @Option(help: ArgumentHelp("Since when, in UTC: 2026-11-23T09:55:02Z. Default: since the policy that let more people read what the incident is of (of a release that was seen outside: no later than it).", valueName: "time")) var since: String?
    @Option(help: ArgumentHelp("Until when. Default: when reading stopped by the incident's closure.", valueName: "time")) var until: String?
    @Option(name: .customLong("class"), help: ArgumentHelp("Only this class; may be repeated. Default: those that the incident closed.", valueName: "class")) var dataClass: [String] = []
    @Option(help: ArgumentHelp("The directory as it was: CSV or JSON with id, site and team. Without it people who had a right and no key are a gap.", valueName: "file")) var people: String?

    func files(_ incident: UInt64, in home: Home) throws -> ExposureFiles {
        func time(_ text: String?) throws -> WallTime? {
            try text.map { text in
                guard let time = WallTime(rfc3339: text) else { throw Complaint("'\(text)' is no time in UTC: 2026-11-23T09:55:02Z") }
                return time
            }
        }
        return try ExposureFiles(.init(incident: incident, since: time(since), until: time(until), classes: dataClass, people: people), in: LedgerFiles(home), at: Clock.wall())
    }
}

struct ExposureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exposure", abstract: "Who could have read what in an incident, and who did: per person and class, with what cannot be known.",
        discussion: """
            EXAMPLE
              sluice exposure 7
              sluice exposure 7 --subject E1042        what, when, who could, who did, and which file proves that it is on record
              sluice exposure 7 --subject E1042 --proofs for-E1042
              sluice exposure 7 --csv > exposed.csv
              sluice exposure 7 --json | jq 'select(.kind == "gap")'

            From the ledgers and the vault in the home's files; nothing need run, and the same files give the same bytes. 'could' is what policy, registry and
            gate allowed, 'did' what the ledger of reads has. What no record says is a gap, and named; so is a ledger that is not whole. Planted subjects
            are nobody's: they are in no number, and how many there are is said.

            One person's part can be given to them: it has neither the incident's title nor who put a policy in force, since people write there whom it concerns, and names nobody else but who
            could read and who did.

            --proofs writes a file for each read of that person, as their notice has them attached: read-N.tlog-proof, that entry N is in the ledger of reads,
            under a checkpoint that control has cosigned (C2SP tlog-proof). Its 'extra' is the entry's leaf: nobody else's ids are in it.
            """)
    @OptionGroup var options: ExposureOptions
    @Option(help: ArgumentHelp("This person's part alone.", valueName: "subject")) var subject: String?
    @Option(help: ArgumentHelp("With --subject: write the proof files of the reads of that person into this folder, which is made. What is there already is not written over.", valueName: "folder"))
    var proofs: String?
    @Flag(help: "Print CSV, a row for each person and class.") var csv = false
    @Flag(help: "Print JSON, a line for each thing.") var json = false

    func validate() throws {
        if csv, json { throw ValidationError("--csv and --json exclude each other") }
        if proofs != nil, subject == nil { throw ValidationError("--proofs writes one person's files: say whose, --subject") }
    }

    func run() throws {
        let files = try options.files()
        let assessment = subject.map { files.assessment.part(of: $0) } ?? files.assessment
        // First: what is printed names them.
        let written = try proofs.map { try ReadProofs(of: assessment, options.incident, in: files.home).write(of: assessment, to: $0) }
        if csv {
            print(Assessment.csvHead)
            for row in assessment.csvRows { print(row) }
        } else if json {
            for line in assessment.lines { print(String(decoding: line, as: UTF8.self)) }
        } else {
            let view = ExposureView(files, assessment, of: subject)
            for line in subject == nil ? view.summary + [""] + view.rows : view.summary + view.details + view.proofs(written, proofs) { print(Terminal.safe(line)) }
        }
    }
}

/// An exposure for people.
struct ExposureView {
    private let files: ExposureFiles
    private let assessment: Assessment
    /// One person's part, which can be given to them: of nobody else it says more than who could read and who did. Nil: it is of all.
    private let subject: String?

    init(_ files: ExposureFiles, _ assessment: Assessment, of subject: String? = nil) {
        self.files = files
        self.assessment = assessment
        self.subject = subject
    }

    private static func time(_ time: WallTime) -> String { Show.time(microseconds: time.microseconds, milliseconds: true) }
    static func span(_ period: Period) -> String { "\(time(period.from)) – \(time(period.until))" }
    static func range<Value: BinaryInteger>(_ range: ClosedRange<Value>) -> String {
        range.lowerBound == range.upperBound ? Show.number(range.lowerBound) : "\(Show.number(range.lowerBound)) to \(Show.number(range.upperBound))"
    }
    static func count(_ range: ClosedRange<some BinaryInteger>, _ one: String) -> String { "\(self.range(range)) \(one)\(range == 1...1 ? "" : "s")" }
    static func people(_ number: Int) -> String { number == 1 ? "1 person" : "\(Show.number(number)) people" }

    /// What an incident comes to, in a few lines.
    var summary: [String] {
        let incident = files.incident
        let found = incident.opened
        let end = found + .seconds(72 * 3_600)
        var lines = ["incident \(incident.number)   \(incident.state.rawValue)   found \(ExposureView.time(found))   72 h end \(ExposureView.time(end))\(subject == nil ? "   \"\(incident.title)\"" : "")"]
        if let cause = files.cause {
            let by = files.record.applied.first { $0.index == cause.index }?.by.joined(separator: ", ") ?? "?"
            lines.append("since        policy \(cause.index) at \(ExposureView.time(cause.at))\(subject == nil ? " (\(by))" : "")\(cause.growth.map { ": \($0)" } ?? ", which let somebody read more")\(cause.earlierWords.map { "; \($0)" } ?? "")")
        }
        for release in files.seen { lines.append("since        release \(release.release) of \(Show.time(microseconds: release.atUs, milliseconds: true)) was seen outside") }
        let totals = assessment.totals
        let period = assessment.question.period
        for name in Set(assessment.exposed.filter { $0.could != nil }.map(\.dataClass)).sorted() {
            let rows = assessment.exposed.filter { $0.dataClass == name && $0.could != nil }
            let events = rows.compactMap(\.events).reduce(0, +)
            let unknown = rows.count { $0.events == nil }
            let hull = Period(from: rows.compactMap(\.period?.from).min() ?? period.from, until: rows.compactMap(\.period?.until).max() ?? period.until)
            lines.append("exposed      \(name.name) \(ExposureView.span(hull))   \(ExposureView.people(rows.count))   \(Show.number(events)) events\(unknown == 0 ? "" : ", and of \(unknown) nobody knows how many any more")")
        }
        if totals.subjects == 0 { lines.append("exposed      nothing that is on record, \(ExposureView.span(period))") }
        lines.append("could read   \(ExposureView.people(totals.people)), \(Show.number(totals.keys)) with a key")
        let did = totals.releases == 0 ? "nobody that is on record" : "\(ExposureView.count(totals.readers...totals.readers, "reader")), \(ExposureView.count(totals.readSubjects, "subject")), \(ExposureView.count(totals.readEvents, "event")) in \(ExposureView.count(totals.releases...totals.releases, "release"))"
        lines.append("did read     \(did)")
        if !assessment.probes.isEmpty {
            lines.append("probed       by policy itself, whether everybody may read: \(ExposureView.count(assessment.probes.count...assessment.probes.count, "release")), which nobody read")
        }
        let words = assessment.gaps.map(\.words)
        for (place, gap) in words.enumerated() { lines.append("\(place == 0 ? "gaps         " : "             ")\(gap)") }
        if words.isEmpty { lines.append("gaps         none") }
        if let planted = assessment.plantedWords { lines.append("planted      \(planted) (--json names them)") }
        lines.append("             what left is outside: nothing here says what became of it")
        return lines
    }

    /// Everybody, a line for each class.
    var rows: [String] {
        assessment.exposed.map { one in
            let could = one.could.map { assessment.groups[$0] }
            let least = one.did.reduce(Int64(0)) { $0 + $1.events.lowerBound }
            let most = one.did.reduce(Int64(0)) { $0 + $1.events.upperBound }
            let readers = Set(one.did.map { assessment.releases[$0.release].release.reader }).sorted()
            return "\(one.subject)   \(one.dataClass.name)   \(one.period.map(ExposureView.span) ?? "nobody could")   \(one.events.map { "\(Show.number($0)) events" } ?? "events unknown")   could: \(ExposureView.people(could?.people ?? 0)), \(could?.keys ?? 0) with a key   did: \(readers.isEmpty ? "nobody" : "\(readers.joined(separator: ", ")), \(ExposureView.count(least...most, "event"))")\(one.gaps.isEmpty ? "" : "   [\(one.gaps.joined(separator: ", "))]")"
        }
    }

    /// Who could and who did, for each class of those that there are.
    var details: [String] {
        var lines: [String] = []
        for one in assessment.exposed {
            lines += ["", "\(one.subject)   \(one.dataClass.name)   \(one.period.map(ExposureView.span) ?? "nobody could")   \(one.events.map { "\(Show.number($0)) events" } ?? "events unknown")"]
            for window in one.could.map({ assessment.groups[$0].windows }) ?? [] {
                guard let period = one.period?.overlap(window.period) else { continue }
                let audience = assessment.audiences[window.audience]
                let by = window.grant.isEmpty ? "no policy was in force" : "grant \(window.grant) to \(window.role) for \(window.purpose), policy \(window.policies.lowerBound)\(window.policies.count > 1 ? " to \(window.policies.upperBound)" : "")"
                lines.append("  could  \(ExposureView.span(period))   \(ExposureView.people(audience.people))   by \(by)")
                for key in audience.keys {
                    lines.append("         \(key.name)\(key.person.isEmpty ? "" : " (\(key.person))")\(key.periods.isEmpty ? "" : "   \(key.periods.map(ExposureView.span).joined(separator: ", "))")")
                }
            }
            for part in one.did {
                let release = assessment.releases[part.release].release
                lines.append("  did    \(ExposureView.time(release.opened))   \(release.reader)\(release.person.isEmpty ? "" : " (\(release.person))")   \(release.purpose)   \(ExposureView.count(part.events, "event"))\(release.cutOff.isEmpty ? "" : ", cut off: \(release.cutOff)")   release \(release.number)   \(ReadProofs.fileName(release.entry))")
            }
            if one.did.isEmpty { lines.append("  did    nobody that is on record") }
        }
        if assessment.exposed.isEmpty, let planted = assessment.planted.first { return ["", "\(planted) is planted, and nobody's: there is no exposure of it"] }
        return lines.isEmpty ? ["", "nothing of \(assessment.question.scope.subjects.sorted().joined(separator: ", ")) is on record there"] : lines
    }

    /// What proves that these reads are on record.
    ///
    /// - Parameters:
    ///   - written: names of files; nil: none were asked for.
    func proofs(_ written: [String]?, _ folder: String?) -> [String] {
        guard !assessment.releases.isEmpty else { return written == nil ? [] : ["", "proof files  none: no read is on record"] }
        guard let written, let folder else { return ["", "proof files  \(Set(assessment.releases.map { ReadProofs.fileName($0.release.entry) }).count), as they are named above: --proofs FOLDER writes them"] }
        return ["", "proof files  in \(folder): \(written.joined(separator: ", "))"]
    }
}

extension Cause {
    /// What it did.
    var growth: String? { audience.map { "the audience of \($0.dataClass.name) went \(Show.number($0.before)) → \(Show.number($0.after))" } }

    /// Which others it may have been; nil: there are none.
    var earlierWords: String? {
        guard !earlier.isEmpty else { return nil }
        return "before it \(earlier.count == 1 ? "policy" : "policies") \(earlier.map { "\($0)" }.joined(separator: ", ")) let somebody read more of it, too: --since says another time"
    }
}

extension Assessment {
    /// Why a sum of what is stored, or of what left, may be more than is counted here; nil: nobody is planted there.
    var plantedWords: String? {
        switch planted.count {
        case 0: nil
        case 1: "1 planted subject is nobody's and is not counted"
        default: "\(Show.number(planted.count)) planted subjects are nobody's and are not counted"
        }
    }
}

extension Gap {
    /// For people.
    var words: String {
        func list(_ values: [String]) -> String { values.count <= 5 ? values.joined(separator: ", ") : "\(values.prefix(5).joined(separator: ", ")) and \(Show.number(values.count - 5)) more" }
        func list(_ values: [UInt64]) -> String { list(values.map { "\($0)" }) }
        return switch self {
        case .policy(let index, let period, let why): "policy \(index), in force \(ExposureView.span(period)), is not known: \(why)"
        case .policyBefore(let at): "nothing says which policy was in force before \(Show.time(microseconds: at.microseconds))"
        case .reads(let why): "who did read is not known whole: \(why)"
        case .governance(let why): "what was allowed is not known whole: \(why)"
        case .directoryUnknown: "who was in which team and site is not given (--people): who had a right by place, and no key, is not counted, nor who of the subjects had moved"
        case .directoryBefore: "no history of the directory is kept: which people and subjects were in another team or site is not known"
        case .keysUndated(let readers): "since when \(list(readers)) may read is not on record: registry.json names them, and no entry"
        case .clockBack(let period, let entry): "control's clock was set back before entry \(entry): \(ExposureView.span(period)) may mean either policy"
        case .clockApart(let release, let by): "release \(release) went by a policy that was not in force then: the clocks are \(Show.span(microseconds: by.microseconds)) apart"
        case .releasedBefore(let releases): "\(ExposureView.count(releases.count...releases.count, "release")) had left before: \(list(releases))"
        case .notNamed(let releases): "\(ExposureView.count(releases.count...releases.count, "release")) named no persons, so that each who might be in it is listed: \(list(releases))"
        case .notEnded(let releases): "of \(ExposureView.count(releases.count...releases.count, "release")) no end is recorded: \(list(releases))"
        case .holdingsFewer: "some of what was there has been swept since: events are those that are left"
        case .erased(let subjects): "erased since, so that nobody knows how much there was: \(list(subjects))"
        case .placeUnknown(let subjects): "nothing says in which team and site what was captured was: \(list(subjects))"
        }
    }
}
