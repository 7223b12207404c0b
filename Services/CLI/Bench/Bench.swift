import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Messaging
import Rules
import Wire

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure this machine: real services, real sessions, and a reference beside each figure.",
        discussion: "EXAMPLE\n  sluice bench ingest --agents 64 --window 1 --window 8\n  sluice bench pause --agents 10000 --rounds 20\n  sluice bench restart --agents 10000",
        subcommands: [BenchIngest.self, BenchPause.self, BenchHold.self, BenchRestart.self, BenchSeal.self, BenchLedger.self, BenchPolicyDiff.self, BenchExposure.self, BenchForget.self, BenchSweep.self, BenchRead.self, BenchRest.self, BenchTrace.self, BenchDetection.self, BenchFinding.self, BenchFindings.self, BenchCommands.self, BenchNotify.self])
}

struct FanoutPeer: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-fanout-peer", shouldDisplay: false)
    @Option var port: UInt16
    @Option var count: Int

    func run() throws {
        #if os(Linux)
        try FanoutReference.runPeer(port: port, count: count)
        #endif
    }
}

#if os(Linux)
/// A suite of its own for a measurement, in a temporary folder, with agents registered.
final class BenchSuite {
    let folder: String
    let made: SuiteHome
    let suite: Suite
    let client: Client
    private let operators: (Signer, Signer)
    private let own: String
    private var swarms: [ChildProcess] = []
    private var secrets: [[UInt8]] = []

    private let libzmq: Bool

    /// - Parameters:
    ///   - parent: On the disk that is measured.
    ///   - policy: More arguments of sluice-policy.
    ///   - prepare: What is in the home before anything runs.
    init(below parent: String, libzmq: Bool, policy: [String] = [], prepare: (SuiteHome) throws -> Void = { _ in }) throws {
        self.libzmq = libzmq
        folder = parent + "/sluice-bench-\(getpid())"
        made = try SuiteHome(Home(folder), portBase: SuiteHome.freePortBase(), leaseMilliseconds: nil)
        setenv("MALLOC_ARENA_MAX", "2", 0)
        // A crash shows where, and not what lay in registers and behind them.
        setenv("SWIFT_BACKTRACE", "registers=none", 0)
        try prepare(made)
        suite = try Suite(made, policy: policy)
        operators = (
            try Signer(SuiteHome.operators[0], home: made.home, passphraseFile: nil), try Signer(SuiteHome.operators[1], home: made.home, passphraseFile: nil)
        )
        own = try Suite.binaries() + "/sluice"
        try suite.start()
        client = try Client("control", home: made.home, as: SuiteHome.operators[0])
        _ = try suite.waitUntilServing(client, seconds: 30)
    }

    static func agentName(_ number: Int) -> String { "bench-\(number)" }

    /// Registers so many agents and remembers their secret keys.
    func register(_ count: Int) throws {
        var waiting: [WireNode] = []
        for number in 0..<count {
            let keys = try CurveKeyPair.generate()
            secrets.append(keys.secretKey.bytes)
            waiting.append(SuiteHome.node(BenchSuite.agentName(number), key: keys.publicKey, subject: "B\(number)", site: "site-\(number % 10)", team: "team-\(number % 100)"))
            if waiting.count == Limits.nodesPerEntryMax || number == count - 1 {
                var body = WireRegister()
                body.nodes = waiting
                _ = try client.command(.register(body), by: operators.0, and: operators.1)
                waiting = []
            }
        }
    }

    func apply(_ policy: PolicyDocument) throws { _ = try client.command(.applyPolicy(WirePolicyApplied(policy.canonical, [])), by: operators.0, and: operators.1) }

    /// Starts agents `range` in a process of their own. Its lines go to the file that is returned.
    func startSwarm(_ range: Range<Int>, arguments: [String] = []) throws -> (process: ChildProcess, output: String) {
        let name = folder + "/swarm-\(swarms.count)"
        let data = Data(secrets[range].joined())
        guard FileManager.default.createFile(atPath: name + ".keys", contents: data, attributes: [.posixPermissions: 0o600]) else {
            throw Complaint("cannot write \(name).keys")
        }
        let trusted = try TrustedNodes(contentsOf: made.home.file("registry.json"))
        guard let server = trusted.key(of: "ingest") else { throw Complaint("ingest has no key") }
        let origin = try VerifierKey(parsing: trusted.anchors.control).name.description
        let process = try ChildProcess(
            [own, "bench-swarm", "--ingest", made.settings.ingest, "--server=\(server.z85)", "--keys", name + ".keys", "--lease", "\(made.settings.leaseMilliseconds)",
             "--vault=\(trusted.anchors.vault)", "--origin=\(origin)", "--first", "\(range.lowerBound)"]
                + (libzmq ? ["--libzmq"] : []) + arguments,
            output: name + ".out")
        swarms.append(process)
        return (process, name + ".out")
    }

    /// When, on the wall clock in microseconds, a swarm last held all its permits.
    static func lastHeld(_ output: String) -> Int64? {
        let text = String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").last { $0.hasPrefix("held ") }.flatMap { $0.split(separator: " ").last }.flatMap { Int64($0) }
    }

    /// Waits until every swarm has held all its permits since `wall`.
    func waitUntilHeld(_ outputs: [String], since wall: Int64, seconds: Double) throws -> Int64 {
        let deadline = Stopwatch.now() + seconds
        while Stopwatch.now() < deadline {
            let times = outputs.map { BenchSuite.lastHeld($0) ?? 0 }
            if times.allSatisfy({ $0 >= wall }) { return times.max() ?? 0 }
            try suite.watch(isServing: true)
            usleep(20_000)
        }
        throw Complaint("the agents do not all hold a permit after \(Int(seconds)) s")
    }

    func stopLastSwarm() {
        guard let swarm = swarms.popLast() else { return }
        kill(swarm.id, SIGTERM)
        swarm.end(within: 3)
    }

    func stopSwarms() {
        for swarm in swarms { kill(swarm.id, SIGTERM) }
        for swarm in swarms { swarm.end(within: 3) }
        swarms = []
    }

    func status() throws -> WireStatus { try client.query(.status(WireStatusQuery())).status }

    func pause(_ selector: WireSelector = WireSelector()) throws -> WireCertificate {
        var pause = WirePause()
        pause.direction = .both
        pause.selector = selector
        pause.reason = "bench"
        let command = try operators.0.sign(Client.command(.pause(pause)), at: 0)
        return try client.ask(.command, command.wire, silence: .seconds(30)) { message in
            message.kind == .certificate ? try message.body(WireCertificate.self) : nil
        }
    }

    func resume() throws {
        var resume = WireResume()
        resume.reason = "bench"
        resume.closures = try client.query(.closures(WireClosuresQuery())).closures.closures.map(\.epoch)
        _ = try client.command(.resume(resume), by: operators.0, and: operators.1)
    }

    func stop() {
        stopSwarms()
        suite.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Processor seconds and memory of each service.
    func usage() -> [String: (cpu: Double, resident: Int)] {
        var usage: [String: (cpu: Double, resident: Int)] = [:]
        for name in Suite.order {
            guard let id = suite.id(of: name), let cpu = CPUTime(of: id) else { continue }
            usage[name] = (cpu.total, ProcessFile.residentBytes(of: id) ?? 0)
        }
        return usage
    }
}

/// What a measurement is told to go on about while it runs: to standard error, so that --json stays clean.
func progress(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

/// The machine, as a README names it.
enum Machine {
    static var description: String {
        let info = String(decoding: FileManager.default.contents(atPath: "/proc/cpuinfo") ?? Data(), as: UTF8.self)
        let model = info.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "processor unknown"
        return "\(ProcessInfo.processInfo.processorCount) cores, \(model), \(ProcessInfo.processInfo.operatingSystemVersionString)"
    }

    static var load: String {
        String(decoding: FileManager.default.contents(atPath: "/proc/loadavg") ?? Data(), as: UTF8.self).split(separator: " ").first.map(String.init) ?? "?"
    }
}
#endif
