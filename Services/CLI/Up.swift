import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Wire

struct Up: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the whole suite on this machine, in the foreground.",
        discussion: """
            EXAMPLE
              sluice up
              sluice up --home /tmp/sluice --port-base 8700 --agents 0

            Makes keys, settings and databases below --home at the first start, and goes on with them at the next. Ctrl-C stops
            everything in order.
            """)

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Option(help: "Services listen on the seven ports after this one. Default: what suite.json says, else 7700.") var portBase: Int?
    @Option(help: "The lease, in milliseconds. Default: what suite.json says, else 3000.") var lease: Int?
    @Option(help: "Agents that replay a recording.") var agents = 3
    @Option(help: "What they replay: NDJSON, also gzipped.") var recording: String?
    @Option(help: "How much faster than recorded.") var speed: Double = 10
    @Option(help: ArgumentHelp("Delete this class after so many days; may be repeated. Default: everything is kept.", valueName: "class=days"))
    var retention: [String] = []
    @Flag(help: "Release what is stored and nothing else: a file that leaks cannot be traced.") var noCanaries = false
    @Flag(help: "Print one JSON status a second.") var json = false

    func validate() throws {
        if let portBase, !(1...65_528).contains(portBase) { throw ValidationError("--port-base is \(portBase): 1 to 65528 is expected") }
        guard (0...100).contains(agents) else { throw ValidationError("--agents is \(agents): 0 to 100 is expected") }
        if let lease, !(300...600_000).contains(lease) { throw ValidationError("--lease is \(lease): 300 to 600000 milliseconds are expected") }
    }

    func run() throws {
        #if os(Linux)
        Lifecycle.holdSignals()
        let begun = Stopwatch.now()
        let folder = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
        try folder.makeFolder()
        try folder.checkRoom()
        try folder.lock("up.lock")
        let made = try SuiteHome(folder, portBase: portBase, leaseMilliseconds: lease)
        let recording = agents > 0 ? try Up.findRecording(self.recording) : ""
        // Two arenas: with one for each thread glibc holds several times what is in use.
        setenv("MALLOC_ARENA_MAX", "2", 0)
        // A crash shows where, and not what lay in registers and behind them.
        setenv("SWIFT_BACKTRACE", "registers=none", 0)
        let suite = try Suite(made, policy: retention.flatMap { ["--retention", $0] } + (noCanaries ? ["--no-canaries"] : []))
        defer { suite.stop() }
        try suite.start()
        let client = try Client("control", home: folder, as: SuiteHome.operators[0])
        let status = try suite.waitUntilServing(client, seconds: 20)
        announce(made, seconds: Stopwatch.now() - begun)
        try startAgents(suite, client, recording)
        try live(suite, client, status)
        #else
        throw Complaint("'sluice up' runs the services on Linux only")
        #endif
    }

    #if os(Linux)
    private func announce(_ made: SuiteHome, seconds: Double) {
        guard !json else { return }
        let terminal = Terminal()
        print("\(terminal.bold("Sluice")) serves after \(String(format: "%.1f", seconds)) s   home \(made.home.path)")
        for (name, endpoint, what) in [
            ("control", made.settings.control, "operators and services"), ("ingest", made.settings.ingest, "agents"),
            ("policy", made.settings.policy, "readers and services"), ("notify", made.settings.notify, "operators and services"),
            ("join", made.settings.join, "machines with a token"), ("hooks", made.settings.hooks, "reports of leaks"),
        ] { print("  \(name.padding(toLength: 9, withPad: " ", startingAt: 0)) \(endpoint.padding(toLength: 24, withPad: " ", startingAt: 0)) \(what)") }
        if made.isNew {
            let keys = made.home.file("keys")
            print(terminal.yellow("MADE THE FIRST TWO OPERATORS, \(SuiteHome.operators.joined(separator: " and ")): what is widened takes both."))
            print(terminal.yellow("Their keys lie in the clear in \(keys). Give ops-2.key and ops-2.secret to ANOTHER PERSON, and put yours under a passphrase: sluice key protect ops-1"))
        }
        print("In another terminal: sluice status\(home.map { " --home \($0)" } ?? "")")
        fflush(nil)
    }

    private static let people = [("E1001", "berlin", "search"), ("E1002", "berlin", "ads"), ("E1003", "paris", "search"), ("E1004", "paris", "maps")]

    private func startAgents(_ suite: Suite, _ client: Client, _ recording: String) throws {
        guard agents > 0 else { return }
        var register = WireRegister()
        var folders: [(String, String)] = []
        for number in 1...agents {
            let name = "desk-\(number)"
            let (folder, key) = try SuiteHome.makeAgent(name, in: suite.home.home, client)
            let (subject, site, team) = Up.people[(number - 1) % Up.people.count]
            let person = number <= Up.people.count ? subject : "E\(1_000 + number)"
            register.nodes.append(SuiteHome.node(name, key: key, subject: person, site: site, team: team))
            folders.append((name, folder))
        }
        do {
            let (first, second) = (SuiteHome.operators[0], SuiteHome.operators[1])
            let outcome = try client.command(
                .register(register), by: Signer(first, home: suite.home.home, passphraseFile: nil), and: Signer(second, home: suite.home.home, passphraseFile: nil))
            if outcome.hasProposal, outcome.proposal.state == "open" { ProposalView.show(outcome.proposal, home: home) }
        } catch {
            // Their keys may be with other people by now: the agents of this machine are registered by them, then.
            print(Terminal().yellow("the agents were not registered: \(error)"))
        }
        for (name, folder) in folders {
            try suite.startAgent(name, arguments: ["replay", recording, "--home", folder, "--speed", "\(speed)", "--loop"])
        }
    }

    static func findRecording(_ asked: String?) throws -> String {
        let candidates = asked.map { [$0] } ?? [
            "deploy/data/session.ndjson.gz", (try? Suite.binaries()).map { $0 + "/../../deploy/data/session.ndjson.gz" } ?? "",
            (try? Suite.binaries()).map { $0 + "/../../../deploy/data/session.ndjson.gz" } ?? "",
        ]
        guard let found = candidates.first(where: { access($0, R_OK) == 0 }) else {
            throw Complaint("there is no recording at \(candidates[0]): name one with --recording, or start with --agents 0")
        }
        return found
    }

    /// For a second looks after the services: what has ended is started again within a fraction of a lease.
    ///
    /// - Returns: whether it is to end.
    private func wait(_ suite: Suite, _ signals: inout sigset_t) throws -> Bool {
        for _ in 0..<20 {
            var moment = timespec(tv_sec: 0, tv_nsec: 50_000_000)
            if sigtimedwait(&signals, nil, &moment) > 0 { return true }
            try suite.watch(isServing: true)
        }
        return false
    }

    /// Shows the status once a second until SIGINT or SIGTERM.
    private func live(_ suite: Suite, _ client: Client, _ first: WireStatus) throws {
        let terminal = Terminal()
        var client = client
        var drawn = 0
        var shownEvents = 0
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        var quiet = 0
        while true {
            if try wait(suite, &set) { break }
            // Who asks a control that is not there waits for seconds, and starts nothing meanwhile.
            let status = suite.isRunning("control") ? try? client.query(.status(WireStatusQuery())).status : nil
            // Control may go by another key than when this session began.
            if status == nil, let anew = try? Client("control", home: suite.home.home, as: SuiteHome.operators[0]) { client = anew }
            if json {
                if let status { try Show.json(status) }
                continue
            }
            if terminal.isTerminal, drawn > 0 { terminal.write("\u{1B}[\(drawn)A\u{1B}[J") }
            for event in suite.events[shownEvents...] { print(terminal.yellow(event)) }
            shownEvents = suite.events.count
            let lines = status.map { StatusView($0, terminal: terminal).lines } ?? [terminal.red("control does not answer")]
            if terminal.isTerminal {
                print(lines.joined(separator: "\n"))
                drawn = lines.count
            } else {
                if quiet % 60 == 0 { print(lines.joined(separator: "\n")) }
                quiet += 1
            }
            fflush(nil)
        }
        if !json { print("stopping: agents, join, hooks, ingest, policy, notify, control") }
    }
    #endif
}

struct Register: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Propose an agent, or a reader: a name, a person, and a key. Another operator approves.",
        discussion: """
            EXAMPLE
              sluice register desk-7 --subject E1042 --site berlin --team search
              sluice register tokeniser --reader                        a job that reads: sluice read --as tokeniser
              sluice register ann --reader --subject E2001              a person who reads, with the roles that name E2001
              sluice register ben --reader --subject E5001 --site berlin --team workplace-safety    and with those of this site and team
              sluice register laptop-3 --subject E1042 --site berlin --team search --key 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'

            Without --key it makes the agent's folder, with a new key, below the suite's own; a reader's key in the folder keys. Removing: --remove.
            What a reader may read is the policy document's to say, not the registry's. Roles by site and team go by what is registered here, with two signatures, not by the directory: who moves is registered again.
            """)

    @OptionGroup var connection: Connection
    @Argument(help: "The agent's name.") var name: String
    @Flag(help: "It reads, and captures nothing.") var reader = false
    @Option(help: "Whose telemetry it is; whose key it is, for a reader.") var subject: String?
    @Option(help: "The person's site.") var site = ""
    @Option(help: "The person's team.") var team = ""
    @Option(help: "The agent's CURVE public key, 40 characters of Z85, when it was made elsewhere.") var key: String?
    @Flag(help: "Take it out: an agent stops within a lease, what a reader is reading ends at once.") var remove = false

    func validate() throws {
        if reader, !remove, subject == nil, !site.isEmpty || !team.isEmpty { throw ValidationError("--site and --team of a reader say where a person is: name them with --subject") }
        if !remove, !reader, subject == nil { throw ValidationError("--subject is missing: whose telemetry it is") }
        if let key, CurveKey(z85: key) == nil { throw ValidationError("--key is not 40 characters of Z85") }
    }

    func run() throws {
        let client = try connection.client()
        if remove {
            var body = WireRemove()
            body.names = [name]
            let outcome = try client.command(.remove(body), by: connection.signer())
            guard !outcome.nodes.isEmpty else { throw Complaint("there is no agent or reader '\(name)'") }
            if connection.json { return try Show.json(outcome) }
            return print("removed \(name)")
        }
        var folder: String?
        var publicKey = key.flatMap { CurveKey(z85: $0) }
        if publicKey == nil, reader {
            publicKey = try KeyFile.loadOrMake(connection.folder.key(name)).publicKey
        } else if publicKey == nil {
            let made = try SuiteHome.makeAgent(name, in: connection.folder, client)
            folder = made.folder
            publicKey = made.key
        }
        guard let publicKey else { return }
        var body = WireRegister()
        body.nodes = [SuiteHome.node(name, key: publicKey, subject: subject ?? "", site: site, team: team)]
        if reader { body.nodes[0].role = .reader }
        let outcome = try client.command(.register(body), by: connection.signer())
        if connection.json { return try Show.json(outcome) }
        if outcome.hasProposal {
            ProposalView.show(outcome.proposal, home: connection.home)
            if let folder { print("then: sluice-agent run --home \(folder)") }
            return
        }
        print("registered \(name), number \(outcome.nodes.first?.ordinal ?? 0)\(folder.map { "\nsluice-agent run --home \($0)" } ?? "")")
    }
}
