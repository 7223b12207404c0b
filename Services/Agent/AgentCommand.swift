import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import SwiftProtobuf
import Synchronization
import Wire

@main
struct AgentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-agent",
        abstract: "The workstation side of Sluice: takes events, keeps what the permit allows, and sends it to ingest.",
        version: "0.1.0",
        subcommands: [JoinCommand.self, Run.self, ReplayCommand.self, StatusCommand.self])

    struct Options: ParsableArguments {
        @Option(help: "The agent's own folder, with agent.json and its key. Default: $SLUICE_AGENT_HOME, else $XDG_DATA_HOME/sluice-agent.")
        var home: String?

        @Option(help: ArgumentHelp("End when this process does.", visibility: .hidden))
        var withParent: Int32?

        func folder() throws -> String {
            let environment = ProcessInfo.processInfo.environment
            for folder in [home, environment["SLUICE_AGENT_HOME"]] { if let folder, !folder.isEmpty { return folder } }
            if let data = environment["XDG_DATA_HOME"], !data.isEmpty { return data + "/sluice-agent" }
            guard let own = environment["HOME"], !own.isEmpty else { throw ValidationError("--home is missing: the folder that holds the agent's agent.json") }
            return own + "/.local/share/sluice-agent"
        }
    }

    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take NDJSON events on standard input or a Unix socket.",
            discussion: """
                EXAMPLE
                  capture-tool | sluice-agent run --home ~/.local/share/sluice/agents/desk-1
                  sluice-agent run --home … --socket /run/user/1000/sluice.sock

                At the end of standard input the agent sends what it has, then ends: 0 when all of it is in the vault, 1 when some
                of it waits in the spool for the next run.
                """)

        @OptionGroup var options: Options
        @Option(help: "Listen on this Unix socket instead of reading standard input.")
        var socket: String?
        @Option(help: "Seconds to wait, at the end of the input, for the last acknowledgements.")
        var drain: Double = 30

        func run() throws {
            try AgentRun(options: options, drain: drain).run { recorder, ended in
                if let socket {
                    try SocketInput.start(path: socket, recorder: recorder)
                } else {
                    StandardInput.start(STDIN_FILENO, source: "standard input", recorder: recorder, ended: ended)
                }
            }
        }
    }

    struct ReplayCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replay", abstract: "Play a recording (NDJSON, also gzipped) as if it happened now.",
            discussion: "EXAMPLE\n  sluice-agent replay --home … session.ndjson.gz --speed 10 --loop\n\nWhile capture is stopped the recording stands still.")

        @OptionGroup var options: Options
        @Argument(help: "The recording.") var file: String
        @Option(help: "How many times faster than recorded, more than 0.") var speed: Double = 1
        @Flag(help: "Begin again at the end.") var loop = false
        @Option(help: "Seconds to wait, at the end, for the last acknowledgements.") var drain: Double = 30

        func validate() throws {
            guard speed > 0, speed <= 1_000_000 else { throw ValidationError("--speed is \(speed): more than 0 and at most 1,000,000 is expected") }
        }

        func run() throws {
            let replay = Replay(path: file, speed: speed, loops: loop)
            try AgentRun(options: options, drain: drain).run { recorder, ended in try replay.start(recorder: recorder, ended: ended) }
        }
    }

    struct StatusCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "Show what the agent may capture, what it refused, and what waits in its spool.",
            discussion: "EXAMPLE\n  sluice-agent status --home ~/.local/share/sluice/agents/desk-1 --json")

        @OptionGroup var options: Options
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let folder = try options.folder()
            guard let data = FileManager.default.contents(atPath: folder + "/status.json") else {
                throw Complaint("there is no status in \(folder): the agent has not run there yet")
            }
            let isRunning = AgentRun.isLocked(folder)
            if json {
                var object = (try JSONSerialization.jsonObject(with: data) as? [String: Any]) ?? [:]
                object["isRunning"] = isRunning
                print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self))
                return
            }
            let status = try JSONDecoder().decode(AgentStatus.self, from: data)
            let age = Double(Clock.wall().microseconds - status.atMicroseconds) / 1e6
            let isCapturing = isRunning && !status.classes.isEmpty && age < 5
            print("AGENT   \(status.name)   \(isRunning ? "pid \(status.pid)" : "not running")   \(status.isConnected && isRunning ? "connected" : "not connected")")
            print("PERMIT  epoch \(status.epoch)   \(isCapturing ? "may capture \(status.classes.joined(separator: ", "))   lease \(String(format: "%.1f", Double(status.leaseLeftMilliseconds) / 1_000)) s left" : "stopped: captures nothing")")
            if let policy = status.policy, policy != 0 {
                let rules = status.isRulesMissing == true ? "its rules have not come: nothing is captured" : "rules \((status.rules ?? "").prefix(16))"
                print("POLICY  entry \(policy)   \(rules)")
            } else {
                print("POLICY  no document is in force: everything is kept as it is")
            }
            let refused = status.refused.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
            print("EVENTS  \(status.accepted) accepted   refused: \(refused.isEmpty ? "none" : refused)   \(status.unknownFields) unknown fields dropped")
            let counted = (status.counted ?? [:]).sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
            print("LESS    \(status.minimised ?? 0) of them without what was found, or for their time alone   only counted: \(counted.isEmpty ? "none" : counted)   \(status.waiting ?? 0) keys wait")
            if let pushes = status.pushesRefused, !pushes.isEmpty {
                print("REFUSED from ingest: \(pushes.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))   what it may not send")
            }
            let percent = 100 * Double(status.spoolBytes) / Double(status.spoolBytesMax)
            print("SPOOL   \(status.spoolBatches) batches   \(status.spoolBytes) of \(status.spoolBytesMax) bytes (\(String(format: "%.1f", percent)) %)   \(status.quarantined) set aside")
            if age > 5 { print("        as of \(Int(age)) s ago") }
        }
    }
}

/// One run of an agent, whatever its input.
struct AgentRun {
    var options: AgentCommand.Options
    var drain: Double

    static func isLocked(_ folder: String) -> Bool {
        let descriptor = open(folder + "/lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return flock(descriptor, LOCK_SH | LOCK_NB) != 0
    }

    func run(_ startInput: @escaping (Recorder, EndOfInput) throws -> Void) throws {
        // Decide.
        Lifecycle.holdSignals()
        Lifecycle.endWith(parent: options.withParent)
        FaultPoint.arm(ProcessInfo.processInfo.environment["SLUICE_FAULT"])
        let folder = try options.folder()
        let settings = try AgentSettings(home: folder)
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        let logger = Lifecycle.logger("agent \(settings.name)")

        // Acquire.
        let home = Home(folder)
        try home.lock("lock")
        let keys = try KeyFile.load(folder + "/agent.secret")
        guard let server = CurveKey(z85: settings.serverKey) else { throw Complaint("serverKey in agent.json is no key") }
        let ledger = LedgerPin(folder: folder, trust: try settings.trust, logger: logger)
        let spool = try Spool(path: folder + "/spool.sqlite")
        let kept = try spool.vaultProof()
        // What was accepted once is checked like what comes: the file may be anybody's. Without it no key is too old.
        let accepted = kept.flatMap { try? VaultAnnouncement.check(WireEntryProof(serializedBytes: $0), ledger: ledger.everBelieved, accepted: nil) }
        if kept != nil, accepted == nil { logger.error("the vault key that was kept in the spool is not proven: the next one that is counts, however old") }
        let pin = ServerPin(folder: folder, pinned: server, ledger: ledger, logger: logger)
        let wakeup = try Wakeup()
        let news = Mailbox<SpoolThread.News>(wakeup: wakeup)
        let ended = EndOfInput(wakeup: wakeup)
        let holder = PermitHolder(intervals: OpenIntervals(restoring: try spool.intervals()), epoch: try spool.epoch())
        let closed = DispatchSemaphore(value: 0)
        let recorder = Recorder(holder: holder) { closed.signal() }
        let spoolThread = SpoolThread(path: folder, origin: ledger.origin.description, recorder: recorder, settings: settings, news: news)
        let context = try Context()

        // Connect, and run until a signal, a failure, or the end of the input.
        try startInput(recorder, ended)
        spoolThread.start(spool)
        if let accepted { spoolThread.put(.sealTo(accepted.key, proof: nil)) }
        let drained = Mutex<Bool>(true)
        let drainTime = Span(nanoseconds: Int64(drain * 1e9))
        try ServiceHost.run(wakeup, logger: logger) { reactorOf in
            let limits = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: 256, receiveMax: 256)
            let link = try Link(
                .init(endpoint: settings.ingest, server: server), keys: keys, limits: limits,
                silence: Span(nanoseconds: lease.nanoseconds * 4), trying: lease, reconnect: 500...2_500,
                lasting: .seconds(Int64(settings.connectionSeconds)), in: context)
            link.accept(pin.keys, at: Clock.now())
            let uplink = Uplink(
                link: link, recorder: recorder, spool: spoolThread, name: settings.name, ledger: ledger, accepted: accepted, pin: pin, rules: RulesReader(news: news), lease: lease,
                logger: logger)
            var endedAt: Instant?
            let reactor = reactorOf { stop in
                for item in news.take() where !uplink.take(item) { stop(1) }
            }
            reactor.watch(link)
            var present = keys.publicKey
            // 'sluice-agent join --renew' has exchanged it: the old one is revoked by now.
            reactor.every(.milliseconds(500)) { now in
                guard let next = try? KeyFile.load(folder + "/agent.secret"), next.publicKey != present else { return }
                present = next.publicKey
                logger.info("this agent has a new key")
                link.use(next, at: now)
            }
            reactor.every(.milliseconds(50)) { [unowned reactor] now in
                uplink.tick(at: now)
                guard ended.isSet else { return }
                if endedAt == nil { endedAt = now }
                // A batch may be a batch's age away from being closed; then it is on its way.
                let isDrained = uplink.isDrained && now - endedAt! > Limits.batchAge + .milliseconds(500)
                guard isDrained || now - endedAt! > drainTime else { return }
                drained.withLock { $0 = isDrained }
                reactor.stop()
            }
            reactor.atEnd { uplink.sayGoodbye() }
            return reactor
        }
        spoolThread.stop()
        if !drained.withLock({ $0 }) {
            throw Complaint("the input has ended and \(spoolThread.extent.batches) batches wait in the spool for the next run")
        }
    }
}
