import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Wire

struct DrillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drill", abstract: "Walk the real path, finding to notice, on planted subjects: timed, and on record.",
        discussion: """
            EXAMPLE
              sluice register drill-berlin --subject planted/berlin --site berlin       once; a second operator approves
              sluice-agent run --home ~/.local/share/sluice/agents/drill-berlin --socket …
              sluice drill --site berlin
              sluice drill --all --certificate 2500 --json
              sluice drill --all --due                                                  only where one is due by the policy document: for a timer that comes more often

            Policy finds, and closes reading there; control closes both ways for the planted subjects of these sites and nobody else; their agents stop; the certificate is made; hooks are told, as drill.found, drill.certified and drill.ended.
            What was closed is opened again by control itself: two operators have signed that a subject whose id begins with planted/ is nobody when they approved its agent.
            Bounds that are not given here are the policy document's ('drills:'), and where that has none, as said below.
            Exit code 0: within its bounds, or none is due. 1: it missed one, and an incident says so; or it could not begin.
            """)

    @OptionGroup var connection: Connection
    @Option(help: ArgumentHelp("At this site; may be repeated.", valueName: "site")) var site: [String] = []
    @Flag(help: "At each site that has a planted agent.") var all = false
    @Flag(help: "Only at sites where one is due, by how often the policy document has them.") var due = false
    @Option(help: ArgumentHelp("Reads are closed in policy within so many milliseconds of the finding. Default: 100.", valueName: "ms")) var readsClosed: Int?
    @Option(help: ArgumentHelp("The certificate is complete within so many milliseconds of the closure. Default: the lease, what a slow clock adds, and 1000.", valueName: "ms")) var certificate: Int?
    @Option(help: ArgumentHelp("Every hook has been told within so many milliseconds of the closure. Default: 10000.", valueName: "ms")) var notice: Int?

    func validate() throws {
        guard all != !site.isEmpty else { throw ValidationError("say where: --site, or --all") }
        for case (let name, let value?) in [("reads-closed", readsClosed), ("certificate", certificate), ("notice", notice)] where !(1...600_000).contains(value) {
            throw ValidationError("--\(name) is \(value): 1 to 600000 milliseconds are expected")
        }
    }

    func run() throws {
        let client = try connection.client()
        var start = WireStartDrill()
        start.sites = try all ? Set(client.agents().map(\.node).filter { Drill.isPlanted($0.subject) }.map(\.site)).sorted() : site
        guard !start.sites.isEmpty else { throw Complaint("no agent is planted: 'sluice register drill-berlin --subject \(Drill.plantedPrefix)berlin --site berlin', and a second operator's approval, plant one") }
        let terms = try DrillCommand.terms(client)
        if due {
            guard terms.every != nil else { throw Complaint("the policy document in force does not say how often drills come: 'drills: {every: day}'") }
            let sites = try terms.due(Set(start.sites), after: DrillCommand.ask(client, newest: Drill.keptMax).map(DrillCommand.place), at: Clock.wall())
            guard !sites.isEmpty else { return try sayNothingIsDue(terms) }
            start.sites = sites.sorted()
        }
        let lease = try client.query(.status(WireStatusQuery())).status.leaseMs
        func bound(_ given: Int?, _ document: Span?, else other: Span) -> UInt32 { UInt32(clamping: (given.map { Span.milliseconds(Int64($0)) } ?? document ?? other).microseconds) }
        start.bounds.readsClosedUs = bound(readsClosed, terms.readsClosed, else: .milliseconds(100))
        start.bounds.certificateUs = bound(certificate, terms.certificate, else: .microseconds(Int64(lease) * 1_002 + 1_000_000))
        start.bounds.noticeUs = bound(notice, terms.notice, else: .seconds(10))
        let number = try client.send(connection.signer().sign(Client.command(.drill(start)), at: 0)).drill
        let deadline = Clock.now() + .milliseconds(Int64(max(Int(start.bounds.certificateUs), Int(start.bounds.noticeUs)) / 1_000 + 30_000))
        var shown: Set<String> = []
        while true {
            guard let drill = try DrillCommand.ask(client, newest: 0).first(where: { $0.began.drill == number }) else { throw Complaint("control has no drill \(number)") }
            if !connection.json {
                for (what, us, words) in DrillView(drill).steps where shown.insert(what).inserted { print("\(Show.time(microseconds: us, milliseconds: true))  \(Terminal.safe(words))") }
                fflush(nil)
            }
            if drill.hasEnded {
                if connection.json { try Show.json(drill) } else { for line in DrillView(drill).verdict(Terminal()) { print(line) } }
                if !drill.ended.missed.isEmpty { throw ExitCode(1) }
                return
            }
            guard Clock.now() < deadline else { throw Complaint("drill \(number) is still under way; 'sluice drills' shows it") }
            usleep(50_000)
        }
    }

    private func sayNothingIsDue(_ terms: DrillTerms) throws {
        let words = "no drill is due: the policy document has \(terms.words)"
        if connection.json { return print(String(decoding: try JSONSerialization.data(withJSONObject: ["due": [String]()]), as: UTF8.self)) }
        print(words)
    }

    /// What the policy document in force says of drills.
    static func terms(_ client: Client) throws -> DrillTerms {
        let document = try client.query(.policy(WirePolicyQuery())).policy.document
        return try document.isEmpty ? .none : PolicyFiles.document(canonical: [UInt8](document)).drills
    }

    static func place(_ drill: WireDrillRecord) -> (sites: Set<String>, began: WallTime) { (Set(drill.began.sites), WallTime(microseconds: drill.atUs)) }

    static func ask(_ client: Client, newest: Int) throws -> [WireDrillRecord] {
        var asked = WireDrillsQuery()
        asked.newest = UInt32(clamping: newest)
        return try client.query(.drills(asked)).drills.drills
    }
}

struct DrillsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drills", abstract: "List drills, and how their times go.",
        discussion: "EXAMPLE\n  sluice drills\n  sluice drills --last 50 --json\n\nMedians are of the drills that are listed, and of what came about in them.")
    @OptionGroup var connection: Connection
    @Option(help: "So many, the newest.") var last = 20

    func validate() throws {
        guard (1...Drill.keptMax).contains(last) else { throw ValidationError("--last is \(last): 1 to \(Drill.keptMax) are expected") }
    }

    func run() throws {
        let client = try connection.client()
        let drills = try DrillCommand.ask(client, newest: last)
        let terms = try DrillCommand.terms(client)
        let sites = try Set(client.agents().map(\.node).filter { Drill.isPlanted($0.subject) }.map(\.site))
        let due = try terms.every == nil ? [] : terms.due(sites, after: DrillCommand.ask(client, newest: Drill.keptMax).map(DrillCommand.place), at: Clock.wall())
        let trend = DrillTrend(drills, terms: terms, due: due)
        if connection.json { return try trend.showJSON(drills) }
        if drills.isEmpty { return print("there was no drill: 'sluice drill --help' says how to have one") }
        for drill in drills { print(Terminal.safe(DrillView(drill).line)) }
        print(trend.line)
        for line in trend.termLines { print(Terminal.safe(line)) }
    }
}

/// One drill for people.
struct DrillView {
    private let drill: WireDrillRecord

    init(_ drill: WireDrillRecord) { self.drill = drill }

    private static func span(_ us: UInt32) -> String { us == 0 ? "–" : Show.span(microseconds: us) }

    /// What has happened so far, each with a name of its own.
    var steps: [(what: String, us: Int64, words: String)] {
        var steps = [("began", drill.atUs, "DRILL \(drill.began.drill)   \(drill.began.sites.joined(separator: ", ")), by \(drill.author)   planted: \(drill.began.subjects.joined(separator: ", "))")]
        guard drill.foundUs > 0 else { return steps }
        steps.append(("found", drill.foundUs, "FINDING  drill   \(drill.closure.reason)"))
        steps.append(("closed", drill.closure.fromUs, "PAUSED   \(Show.selector(drill.closure)), epoch \(drill.closure.epoch), by \(drill.closure.author)"))
        guard drill.hasEnded else { return steps }
        let ended = drill.ended
        steps.append(("reads", drill.foundUs + Int64(ended.readsClosedUs), "reads closed in policy, after \(DrillView.span(ended.readsClosedUs))"))
        if ended.certificateUs > 0 { steps.append(("certificate", drill.closure.fromUs + Int64(ended.certificateUs), "STOPPED  \(ended.agents)/\(ended.agentsAll) planted agents have acknowledged   certificate \(drill.closure.epoch), after \(DrillView.span(ended.certificateUs))")) }
        if ended.noticeUs > 0 { steps.append(("notice", drill.closure.fromUs + Int64(ended.noticeUs), "told     \(ended.hooks) hooks, after \(DrillView.span(ended.noticeUs))")) }
        return steps
    }

    func verdict(_ terminal: Terminal) -> [String] {
        let notice = drill.ended.hooks == 0 ? "   no hook is to be told" : ""
        guard !drill.ended.missed.isEmpty else { return ["\(terminal.green("WITHIN ITS BOUNDS"))\(notice)   what it closed is open again"] }
        return ["\(terminal.red("MISSED"))\(notice)   an incident says so ('sluice incidents'); what it closed is open again"] + drill.ended.missed.map { "  \(Terminal.safe($0))" }
    }

    var line: String {
        let ended = drill.ended
        let end = drill.hasEnded ? (ended.missed.isEmpty ? "within its bounds" : "MISSED: \(ended.missed.joined(separator: "; "))") : "under way"
        return "\(drill.began.drill)   \(Show.time(microseconds: drill.atUs))   \(drill.began.sites.joined(separator: ", "))   by \(drill.author)   reads closed \(DrillView.span(ended.readsClosedUs))   certificate \(DrillView.span(ended.certificateUs))   notice \(DrillView.span(ended.noticeUs))   agents \(ended.agents)/\(ended.agentsAll)   \(end)"
    }
}

/// How the times of several drills go.
struct DrillTrend {
    private let drills: Int
    private let missed: Int
    private let medians: [(name: String, median: UInt32, newest: UInt32)]
    private let terms: DrillTerms
    private let due: Set<String>

    /// - Parameters:
    ///   - records: The newest first. What is under way counts for nothing yet.
    ///   - due: Sites with a planted agent where another should have been by now.
    init(_ records: [WireDrillRecord], terms: DrillTerms, due: Set<String>) {
        (self.terms, self.due) = (terms, due)
        let ended = records.filter(\.hasEnded).map(\.ended)
        drills = ended.count
        missed = ended.count { !$0.missed.isEmpty }
        medians = [("reads_closed_us", \WireDrillEnded.readsClosedUs), ("certificate_us", \.certificateUs), ("notice_us", \.noticeUs)].map { name, path in
            let values = ended.map { $0[keyPath: path] }.filter { $0 > 0 }
            let sorted = values.sorted()
            return (name, sorted.isEmpty ? 0 : sorted[(sorted.count - 1) / 2], values.first ?? 0)
        }
    }

    var line: String {
        let parts = medians.map { "\($0.name.replacingOccurrences(of: "_us", with: "").replacingOccurrences(of: "_", with: " ")) \($0.median == 0 ? "–" : Show.span(microseconds: $0.median))" }
        return "\(drills) ended, \(missed) missed their bounds   medians: \(parts.joined(separator: "   "))"
    }

    /// What the policy document has of drills. Empty: nothing.
    var termLines: [String] {
        guard terms != .none else { return [] }
        let now = terms.every == nil ? "" : due.isEmpty ? "   none is due" : "   DUE at \(due.sorted().joined(separator: ", ")): 'sluice drill --all --due'"
        return ["policy document: \(terms.words)\(now)"]
    }

    func showJSON(_ records: [WireDrillRecord]) throws {
        let list = try records.map { try JSONSerialization.jsonObject(with: Data($0.shownAsJSON().utf8)) }
        var said: [String: Any] = [:]
        for case (let name, let span?) in [("reads_closed_us", terms.readsClosed), ("certificate_us", terms.certificate), ("notice_us", terms.notice)] { said[name] = span.microseconds }
        if let every = terms.every { said["every"] = every.rawValue }
        let object: [String: Any] = ["policy": said, "due": due.sorted(), "drills": list, "ended": drills, "missed": missed, "medians": Dictionary(uniqueKeysWithValues: medians.map { ($0.name, $0.median) })]
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}
