#if os(Linux)
import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Wire

/// The processes of one suite on this machine: started, watched, started again, and ended in order.
final class Suite {
    private struct Service {
        var name: String
        var process: ChildProcess
        var started: Double
        var failures = 0
        var restartAt: Double?
    }

    let home: SuiteHome
    private let binaries: String
    private let policyArguments: [String]
    private var services: [String: Service] = [:]
    private var agents: [ChildProcess] = []
    /// What was started again, for people.
    private(set) var events: [String] = []

    /// In the order in which they end; they start in the other.
    static let order = ["join", "hooks", "ingest", "policy", "notify", "control"]

    /// - Parameter policy: More arguments of sluice-policy.
    init(_ home: SuiteHome, policy: [String] = []) throws {
        self.home = home
        policyArguments = policy
        binaries = try Suite.binaries()
    }

    /// Where the services' executables are: beside this one.
    static func binaries() throws -> String {
        var path = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        guard count > 0 else { throw Complaint("cannot tell where this program is: \(String(cString: strerror(errno)))") }
        let own = String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)])
    }

    func start() throws { for name in Suite.order.reversed() { try start(name) } }

    private func start(_ name: String) throws {
        let failures = services[name]?.failures ?? 0
        services[name] = Service(name: name, process: try launch(name), started: Stopwatch.now(), failures: failures)
    }

    private func launch(_ name: String) throws -> ChildProcess {
        // Strangers get a process of their own; the program is ingest's.
        let isJoining = name == SuiteHome.joining
        let path = binaries + "/sluice-\(isJoining ? "ingest" : name)"
        guard access(path, X_OK) == 0 else { throw Complaint("\(path) is missing: build it with 'swift build', or use deploy/run") }
        do {
            return try ChildProcess([path] + (isJoining ? ["join"] : []) + ["--home", home.home.path] + (name == "policy" ? policyArguments : []), output: home.home.file("logs/\(name).log"), appending: true)
        } catch {
            throw Complaint("cannot start \(path): \(error)")
        }
    }

    func startAgent(_ name: String, arguments: [String]) throws {
        let path = binaries + "/sluice-agent"
        do {
            agents.append(try ChildProcess([path] + arguments, output: home.home.file("logs/agent-\(name).log"), appending: true))
        } catch {
            throw Complaint("cannot start \(path): \(error)")
        }
    }

    /// The process id of a service.
    func id(of name: String) -> pid_t? { services[name]?.process.id }

    /// Whether it has been started and has not ended, as far as ``watch(isServing:)`` has seen.
    func isRunning(_ name: String) -> Bool { services[name].map { $0.restartAt == nil } ?? false }

    /// Starts again what has ended, a little later each time.
    ///
    /// - Throws: `Complaint` when a service fails again and again before it has ever served: its own words.
    func watch(isServing: Bool) throws {
        for (name, service) in services {
            if let at = service.restartAt {
                if Stopwatch.now() >= at { try start(name) }
                continue
            }
            guard service.process.checkEnded() else {
                if Stopwatch.now() - service.started > 10 { services[name]!.failures = 0 }
                continue
            }
            services[name]!.failures += 1
            let failures = services[name]!.failures
            // The doors for reports are no reason not to serve: what stops everything must run.
            if !isServing, failures >= 2, name != "hooks" { throw Complaint("\(name) does not start: \(lastWords(name))") }
            services[name]!.restartAt = Stopwatch.now() + min(5, 0.1 * Double(1 << min(failures, 6)))
            events.append("\(Show.time(microseconds: Clock.wall().microseconds)) \(name) ended (\(lastWords(name))) and is started again")
        }
    }

    /// The last line that it wrote.
    func lastWords(_ name: String) -> String {
        let path = home.home.file("logs/\(name).log")
        guard let data = FileManager.default.contents(atPath: path) else { return "it left no word in \(path)" }
        let lines = String(decoding: data.suffix(4_096), as: UTF8.self).split(separator: "\n")
        let line = lines.last { $0.hasPrefix("Error: ") } ?? lines.last ?? "it left no word"
        return line.replacingOccurrences(of: "Error: ", with: "") + (lines.isEmpty ? "" : "; more in \(path)")
    }

    /// Ends everything, each after who leans on it: agents, join, hooks, ingest, policy, notify, control.
    func stop() {
        for agent in agents { kill(agent.id, SIGTERM) }
        for agent in agents { agent.end(within: 6) }
        agents = []
        for name in Suite.order {
            services[name]?.process.end(within: 6)
            services[name] = nil
        }
    }

    /// Waits until everything serves.
    func waitUntilServing(_ client: Client, seconds: Double) throws -> WireStatus {
        let deadline = Stopwatch.now() + seconds
        while Stopwatch.now() < deadline {
            try watch(isServing: false)
            var query = WireQuery()
            query.status = WireStatusQuery()
            let status = try? client.ask(.query, query, silence: .milliseconds(300)) { message in
                message.kind == .answer ? try message.body(WireAnswer.self).status : nil
            }
            // Ingest says that it has opened its port by being caught up; notify is no reason to wait.
            if let status, status.gate.sealed.isEmpty, status.services.allSatisfy(\.connected), isListening(home.settings.ingest), isListening(home.settings.join), isServingReports { return status }
            usleep(10_000)
        }
        let missing = Suite.order.filter { services[$0]?.process.checkEnded() ?? true }
        throw Complaint("the suite does not serve after \(Int(seconds)) s\(missing.isEmpty ? "" : ": \(missing.map { "\($0): \(lastWords($0))" }.joined(separator: "; "))"); logs are in \(home.home.file("logs"))")
    }

    /// Or will not, for now: then the status says so.
    private var isServingReports: Bool {
        let isLocal = ["127.0.0.1", "0.0.0.0", "*", "localhost"].contains { home.settings.hooks.contains("//\($0):") }
        return (services["hooks"]?.failures ?? 0) >= 2 || !isLocal || isListening(home.settings.hooks)
    }

    private func isListening(_ endpoint: String) -> Bool {
        guard let port = endpoint.split(separator: ":").last.flatMap({ UInt16($0) }) else { return true }
        return LoopbackPort.isListening(port)
    }
}
#endif
