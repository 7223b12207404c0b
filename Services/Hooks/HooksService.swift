import ArgumentParser
import Chassis
import Foundation
import Gate
import HummingbirdCore
import Identity
import Logging
import Messaging
import NIOCore
import NIOPosix
import Rules
import ServiceLifecycle
import Synchronization
import Wire

@main
struct HooksService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-hooks",
        abstract: "Takes reports of leaks from other systems over HTTP, and tells control what is to be closed for them.",
        discussion: """
            EXAMPLE
              sluice-hooks --home /var/lib/sluice

            Normally started by 'sluice up'. Rules stand in hooks.yaml in the suite's folder, who may report in hooks/alertmanager.tokens and hooks/standard.secrets.
            """)

    @OptionGroup var options: ServiceOptions

    /// Of what can be written to: 64 bodies of 1 MiB twice, one of them parsed, and the rest of the process; and what the threads of Swift's pool take, which grow with the machine.
    ///
    /// The pool has one for each core, and a second set for tasks of another priority. A thread's stack counts whole as soon as it is there, touched or not, and is as large as the
    /// shell allows (8 MiB as a rule): 384 MiB alone end between 20 and 40 cores, where a process that could take no thread would end. 1 MiB more of each is its part of the heap.
    static func memoryMax(cores: Int, stackBytes: Int) -> Int { (384 << 20) + 2 * max(1, cores) * (stackBytes + (1 << 20)) }
    static let filesMax = 256

    func run() throws {
        // Decide.
        let host = try ServiceHost("hooks", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        let files = HookFiles(host)
        let rules = try files.rules()
        let credentials = try files.credentials()
        let address = try HooksService.address(settings.hooks)
        Lifecycle.limit(memory: HooksService.memoryMax(cores: ProcessInfo.processInfo.processorCount, stackBytes: Lifecycle.threadStackBytes), files: HooksService.filesMax)

        // Acquire.
        let keys = try host.keys()
        let pins = PinnedKeys(host.folder())
        guard let controlKey = try host.trusted().key(of: "control") else { throw Complaint("registry.json names no key of control; 'sluice up' makes it") }
        let controlKeys = try pins.load(else: controlKey)
        let store = try ReportStore(path: host.folder() + "/reports.sqlite")
        let wakeup = try Wakeup()
        let news = Mailbox<Intake.News>(wakeup: wakeup)
        let counts = HookCounts()
        let intake = Intake(store, rules: rules, news: news, logger: host.logger)
        let server = HookServer(intake, credentials: credentials, counts: counts)
        let context = try Context()
        host.logger.info("\(rules.rules.rules.count) rules; \(credentials.tokens.count) tokens, \(credentials.secrets.count) secrets")

        // Connect, and run until a signal or a failure.
        intake.start()
        let doors = HooksService.doors(server, at: address, host.logger)
        let ended = SteadySemaphore()
        // Awaited below, after the reactor has ended; ended by the group's shutdown.
        Task {
            do { try await doors.run() } catch { news.post(.failed("cannot serve \(settings.hooks): \(error); another program may have this port: stop it, or change suite.json")) }
            ended.signal()
        }
        defer {
            // Ends by itself; nobody waits for it longer than for the doors.
            Task { await doors.triggerGracefulShutdown() }
            ended.wait(atMost: .seconds(3))
            intake.stop()
        }
        try host.run(wakeup) { reactorOf in
            let control = try Link(.init(endpoint: settings.control, server: controlKey), keys: keys, limits: SocketLimits(), silence: lease, in: context)
            control.accept(controlKeys, at: Clock.now())
            let desk = ReportDesk(host, keys: keys, control: control, pins: pins, intake: intake, counts: counts, lease: lease)
            let reactor = reactorOf { stop in
                for item in news.take() {
                    desk.take(item)
                    if case .failed = item { stop(1) }
                }
            }
            reactor.watch(control)
            reactor.every(.milliseconds(50)) { now in
                files.exchanged(intake, server)
                desk.tick(at: now)
            }
            return reactor
        }
    }

    /// - Parameter endpoint: `http://host:port`.
    private static func address(_ endpoint: String) throws(Complaint) -> BindAddress {
        let prefix = "http://"
        guard endpoint.hasPrefix(prefix), let colon = endpoint.lastIndex(of: ":"), let port = UInt16(endpoint[endpoint.index(after: colon)...]), port > 0,
            case let host = endpoint[endpoint.index(endpoint.startIndex, offsetBy: prefix.count)..<colon], !host.isEmpty, !host.contains("/")
        else { throw Complaint("suite.json: hooks is '\(endpoint)': http://HOST:PORT is expected") }
        return .hostname(host.trimmingCharacters(in: CharacterSet(charactersIn: "[]")), port: Int(port))
    }

    private static func doors(_ server: HookServer, at address: BindAddress, _ logger: Logger) -> ServiceGroup {
        var quiet = Logger(label: "hooks")
        quiet.logLevel = .error
        let channel = HTTP1Channel(
            responder: server.respond,
            configuration: .init(
                additionalChannelHandlers: [DoorKeeper(server), RequestDeadline()], idleTimeout: HookServer.requestWithin,
                httpDecoderConfiguration: .init(maxHeaderFieldSize: HookServer.headerBytesMax, maxHeaderListSize: HookServer.headerBytesMax, maxHeaderFieldCount: 100)))
        let service = channel.server(
            configuration: .init(address: address, serverName: nil, backlog: 128, availableConnectionsDelegate: .maximum(HookServer.connectionsMax, logger: quiet)),
            onServerRunning: { channel in logger.info("listening on http://\(channel.localAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"), for reports alone") },
            eventLoopGroup: MultiThreadedEventLoopGroup(numberOfThreads: 2), logger: quiet)
        return ServiceGroup(configuration: .init(services: [service], logger: quiet))
    }
}

/// The files that say who may report, and what is closed for it. Each is read again when it changes.
struct HookFiles {
    private let home: Home
    private let logger: Logger
    private let watches: (rules: FileWatch<RuleBook>, tokens: FileWatch<Credentials>, secrets: FileWatch<Credentials>)

    init(_ host: ServiceHost) {
        home = host.home
        logger = host.logger
        let said = Said()
        let logger = logger
        // A file that cannot be taken leaves in force what was: said once, until it says something else.
        func watch<Value>(_ path: String, absent: Value? = nil, _ read: @escaping @Sendable (String) throws -> Value) -> FileWatch<Value> {
            FileWatch(path, absent: absent) { path in
                do { return try read(path) } catch {
                    if said.isNew("\(error)", of: path) { logger.error("\(error): what was read before counts") }
                    throw error
                }
            }
        }
        watches = (
            watch(HookFiles.path(home, .rules)) { try HookFiles.rules(of: $0) },
            watch(HookFiles.path(home, .tokens), absent: Credentials(tokens: [])) { Credentials(tokens: try Credentials.tokens(of: $0)) },
            watch(HookFiles.path(home, .secrets), absent: Credentials(secrets: [])) { Credentials(secrets: try Credentials.secrets(of: $0)) }
        )
    }

    private enum File: String { case rules = "hooks.yaml", tokens = "hooks/alertmanager.tokens", secrets = "hooks/standard.secrets" }
    private static func path(_ home: Home, _ file: File) -> String { home.file(file.rawValue) }

    private final class Said: Sendable {
        private let words = Mutex<[String: String]>([:])
        func isNew(_ text: String, of path: String) -> Bool { words.withLock { $0.updateValue(text, forKey: path) != text } }
    }

    /// - Throws: `Complaint` with every mistake. No file is no rule.
    func rules() throws -> RuleBook {
        let path = HookFiles.path(home, .rules)
        return FileManager.default.fileExists(atPath: path) ? try HookFiles.rules(of: path) : .none
    }

    func credentials() throws -> Credentials {
        let (tokens, secrets) = (HookFiles.path(home, .tokens), HookFiles.path(home, .secrets))
        return Credentials(
            tokens: FileManager.default.fileExists(atPath: tokens) ? try Credentials.tokens(of: tokens) : [],
            secrets: FileManager.default.fileExists(atPath: secrets) ? try Credentials.secrets(of: secrets) : [])
    }

    private static func rules(of path: String) throws -> RuleBook {
        guard let bytes = FileManager.default.contents(atPath: path) else { throw Complaint("cannot read \(path)") }
        do throws(Mistakes) { return try RuleBook(reading: bytes) } catch {
            throw Complaint(error.all.map { $0.line(in: path) }.joined(separator: "\n"))
        }
    }

    /// Puts to use what was read since the last call.
    func exchanged(_ intake: Intake, _ server: HookServer) {
        if let rules = watches.rules.take() {
            intake.use(rules)
            logger.notice("\(rules.rules.rules.count) rules are in force")
        }
        if let read = watches.tokens.take() { server.use { $0.tokens = read.tokens } }
        if let read = watches.secrets.take() { server.use { $0.secrets = read.secrets } }
    }
}
