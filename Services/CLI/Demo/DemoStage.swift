#if os(Linux)
import CLinux
import Chassis
import Foundation
import Identity
import Messaging
import Wire

/// The suite on which a story is played: one of its own, which ends with it, or one that was running.
final class DemoStage {
    let home: Home
    let client: Client
    /// Started here; nil: it was running.
    private let suite: Suite?
    private var agents: [ChildProcess] = []
    private let first: Signer
    private let second: Signer

    var isOwn: Bool { suite != nil }

    /// On a suite that runs.
    init(at given: Home) throws {
        home = try DemoStage.enter(given)
        suite = nil
        client = try Client("control", home: home, as: SuiteHome.operators[0])
        (first, second) = try DemoStage.signers(home)
    }

    /// The path of a Unix socket has 107 bytes at most, and a folder's may have more: agents are told theirs from here.
    private static func enter(_ given: Home) throws -> Home {
        let home = Home(URL(fileURLWithPath: given.path).path)
        guard chdir(home.path) == 0 else { throw Complaint("cannot enter \(home.path): \(String(cString: strerror(errno)))") }
        return home
    }

    private static func input(of agent: String) -> String { "agents/\(agent)/tool.sock" }

    private init(_ home: Home, _ suite: Suite) throws {
        self.home = home
        self.suite = suite
        client = try Client("control", home: home, as: SuiteHome.operators[0])
        (first, second) = try DemoStage.signers(home)
        _ = try suite.waitUntilServing(client, seconds: 60)
    }

    /// Both, because the mistake takes two.
    private static func signers(_ home: Home) throws -> (Signer, Signer) {
        (try Signer(SuiteHome.operators[0], home: home, passphraseFile: nil), try Signer(SuiteHome.operators[1], home: home, passphraseFile: nil))
    }

    static func own(_ teller: DemoTeller) throws -> DemoStage {
        let begun = Stopwatch.now()
        var template = Array((ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp").utf8CString.dropLast() + Array("/sluice-demo-XXXXXX".utf8CString))
        guard let made = mkdtemp(&template) else { throw Complaint("cannot make a folder: \(String(cString: strerror(errno)))") }
        let home = Home(String(cString: made) + "/home")
        setenv("MALLOC_ARENA_MAX", "2", 0)
        setenv("SWIFT_BACKTRACE", "registers=none", 0)
        do {
            // No canaries: who counts what was read counts what was sent.
            let suite = try Suite(SuiteHome(home, portBase: SuiteHome.freePortBase(), leaseMilliseconds: nil), policy: ["--no-canaries"])
            do {
                _ = try enter(home)
                try suite.start()
                let stage = try DemoStage(home, suite)
                teller.tell("a suite of its own serves after \(String(format: "%.1f", Stopwatch.now() - begun)) s, in \(home.path); nothing else is touched")
                return stage
            } catch {
                suite.stop()
                throw error
            }
        } catch {
            try? FileManager.default.removeItem(atPath: URL(fileURLWithPath: home.path).deletingLastPathComponent().path)
            throw error
        }
    }

    // MARK: What operators do

    /// A command that one signs and another approves, if it takes two.
    @discardableResult
    func both(_ deed: WireCommand.OneOf_Deed) throws -> WireOutcome { try client.command(deed, by: first, and: second) }

    /// A command of one. What would take two waits for the second.
    @discardableResult
    func one(_ deed: WireCommand.OneOf_Deed) throws -> WireOutcome { try client.command(deed, by: first) }

    /// Who agreed, for people.
    var operators: String { "\(first.name) and \(second.name)" }

    // MARK: What agents do

    /// Makes an agent's folder; its key is to be registered.
    func makeAgent(_ name: String, _ subject: String, site: String, team: String) throws -> WireNode {
        SuiteHome.node(name, key: try SuiteHome.makeAgent(name, in: home, client).key, subject: subject, site: site, team: team)
    }

    func makeReader(_ name: String, _ subject: String, site: String, team: String) throws -> WireNode {
        var node = SuiteHome.node(name, key: try KeyFile.loadOrMake(home.key(name)).publicKey, subject: subject, site: site, team: team)
        node.role = .reader
        return node
    }

    /// Starts it, and returns when it captures something.
    func startAgent(_ name: String) throws {
        let folder = home.file("agents/\(name)")
        let path = try Suite.binaries() + "/sluice-agent"
        do {
            agents.append(try ChildProcess([path, "run", "--home", folder, "--socket", DemoStage.input(of: name)], output: home.file("logs/agent-\(name).log"), appending: true))
        } catch { throw Complaint("cannot start \(path): \(error)") }
        let id = agents.last?.id ?? 0
        try wait("\(name) captures") {
            let status = FileManager.default.contents(atPath: folder + "/status.json").flatMap { try? JSONSerialization.jsonObject(with: $0) } as? [String: Any]
            return status?["pid"] as? Int == Int(id) && (status?["classes"] as? [String])?.isEmpty == false ? true : nil
        }
    }

    /// Hands an agent lines of NDJSON, as a capture tool does.
    func send(_ lines: [String], to name: String) throws {
        let path = DemoStage.input(of: name)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Complaint("the path of the agent's socket is too long: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let connected = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) } }
        guard connected == 0 else { throw Complaint("cannot reach \(path): \(String(cString: strerror(errno)))") }
        let bytes = Array(lines.map { $0 + "\n" }.joined().utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { throw Complaint("\(name) does not take events: \(String(cString: strerror(errno)))") }
            sent += count
        }
    }

    // MARK: Waiting, and the end

    /// Asks again and again until it is so.
    ///
    /// - Throws: `Complaint` after `seconds`, on a signal, or when a service of its own does not start.
    @discardableResult
    func wait<Value>(_ what: String, seconds: Double = 60, until condition: () throws -> Value?) throws -> Value {
        let deadline = Stopwatch.now() + seconds
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        while true {
            if let value = try condition() { return value }
            var moment = timespec(tv_sec: 0, tv_nsec: 20_000_000)
            guard sigtimedwait(&set, nil, &moment) < 0 else { throw Complaint("interrupted, before \(what)") }
            try suite?.watch(isServing: true)
            guard Stopwatch.now() < deadline else { throw Complaint("it did not come about within \(Int(seconds)) s that \(what); logs are in \(home.file("logs"))") }
        }
    }

    /// Ends what was started here, and nothing else.
    func end(keeping: Bool) {
        for agent in agents { agent.end(within: 6) }
        suite?.stop()
        guard isOwn, !keeping else { return }
        try? FileManager.default.removeItem(atPath: URL(fileURLWithPath: home.path).deletingLastPathComponent().path)
    }

    /// What is left, and how to go on.
    func farewell(_ ending: LeakEnding, keeping: Bool) -> [String] {
        let resume = "sluice resume \(ending.incident.closure) --reason \"demonstration over\" --home \(home.path), then another operator: sluice approve N --as \(second.name) --home \(home.path)"
        if !isOwn { return ["", "EVERYTHING IS STOPPED at \(home.path), until two operators resume it: \(resume)"] }
        guard keeping else { return ["", "the suite is ended and its folder removed; --keep leaves it. A company would go on with: sluice resume \(ending.incident.closure), and a second operator's approval"] }
        return ["", "the suite is ended; its folder stays: \(home.path)", "  sluice exposure \(ending.incident.incident) --home \(home.path)", "  sluice up --agents 0 --home \(home.path)     and then: \(resume)"]
    }
}
#endif
