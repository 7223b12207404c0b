import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Synchronization
import Wire

struct BenchPause: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "From a pause's arrival at control to the last agent's acknowledgement back at control.",
        discussion: """
            EXAMPLE
              sluice bench pause --agents 100 --agents 1000 --agents 10000 --rounds 20
              sluice bench pause --agents 10000 --under-load --reader
              sluice bench pause --agents 1000 --faults --rounds 100
              sluice bench pause --agents 10000 --finding --rounds 20
              sluice bench pause --agents 10000 --connections 10

            Agents hold real CURVE sessions in two other processes. With --faults 1 % of them are frozen, 1 % are partitioned, and
            ingest is killed and started again in the middle of every pause. With --finding nobody pauses: somebody asks for what they may not read, one denied read is the limit, and control closes both ways for everything because a
            detector has found that; the last agent counts from that request's sending, by this machine's clock. The reference is a plain epoll loop that sends the same bytes
            to as many TCP peers and collects an answer from each.
            """)

    @Option(help: "Agents; may be repeated.") var agents: [Int] = [100, 1_000, 10_000]
    @Option(help: "Pauses of each.") var rounds = 20
    @Flag(help: "While 64 more agents publish as fast as they can.") var underLoad = false
    @Flag(help: "While one reader reads everything that 64 agents have published: shows when it is cut off.") var reader = false
    @Flag(help: "Freeze 1 %, partition 1 %, and kill ingest in the middle of every pause.") var faults = false
    @Flag(help: "The closure comes from a detector's finding, and not from an operator.") var finding = false
    @Option(help: "Seconds after which an agent makes another connection, or up to twice as many; agents do after 120.") var connections: Double = 120
    @Option(help: "Recordings for --under-load: a file or a folder.") var data: String?
    @Flag(help: "Agents on libzmq, as sluice-agent has it, instead of the generator\'s own connections.") var libzmq = false
    @Option(help: "Where the suite lives for the while.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(inversion: .prefixedNo, help: "Measure the reference, too.") var references = true
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard !agents.isEmpty, agents.allSatisfy({ (1...15_000).contains($0) }), rounds > 0 else {
            throw ValidationError("--agents 1 to 15000 and --rounds of 1 or more are expected")
        }
        guard connections >= 1 else { throw ValidationError("--connections of 1 or more is expected: seconds") }
        guard !finding || !faults && !reader else { throw ValidationError("--finding goes with --under-load alone") }
    }

    struct Row: Encodable {
        var agents: Int
        var what: String
        /// Milliseconds: median, p99, min, max.
        var lastAgent: [Double]
        var services: [Double]?
        var reading: [Double]?
        var complete: [Double]?
        var rounds: Int
        var incomplete: Int?
        var overBound: Int?
        /// Agents and services that did not acknowledge, in all rounds, and were stopped by the end of their lease: no median has them.
        var silent: Int?
        var ingestBytesAnAgent: Int?
        var readCutOff: [Double]?
        /// Milliseconds of processor a round, of each service: the pause, the resume, and what renewals cost meanwhile. Nil where ingest was killed.
        var cpu: [String: Double]?
    }

    func run() throws {
        #if os(Linux)
        progress("\(Machine.description); load \(Machine.load) before")
        var rows: [Row] = []
        for count in agents {
            rows.append(try measure(count))
            if references, !faults, let row = reference(count) { rows.append(row) }
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(rows), as: UTF8.self))
            return try check(rows)
        }
        var table = FiguresTable("agents", "what", "last agent, ms: median (min–max)", "p99", "services p50/max", "reading p50/max", "reader cut off p50/max", "certificate max", "incomplete", "ingest", "CPU ms a round")
        for row in rows {
            table.add(
                Figures.number(Double(row.agents), decimals: 0), row.what, "\(Figures.number(row.lastAgent[0])) (\(Figures.number(row.lastAgent[2]))–\(Figures.number(row.lastAgent[3])))",
                Figures.number(row.lastAgent[1]), row.services.map { "\(Figures.number($0[0]))/\(Figures.number($0[3]))" } ?? "",
                row.reading.map { "\(Figures.number($0[0]))/\(Figures.number($0[3]))" } ?? "",
                row.readCutOff.map { "\(Figures.number($0[0]))/\(Figures.number($0[3]))" } ?? "", row.complete.map { Figures.number($0[3]) } ?? "",
                row.incomplete.map { "\($0) of \(row.rounds)\(row.silent.map { $0 == 0 ? "" : ", and \($0) were silent" } ?? "")" } ?? "", row.ingestBytesAnAgent.map { "\($0 >> 10) KiB an agent" } ?? "",
                row.cpu.map { cpu in Suite.order.compactMap { name in cpu[name].map { "\(name) \(Figures.number($0))" } }.joined(separator: ", ") } ?? "")
        }
        print(table.formatted())
        try check(rows)
        #endif
    }

    /// A certificate that is not complete, or later than its bound, is no figure but a failure.
    private func check(_ rows: [Row]) throws {
        if rows.contains(where: { ($0.incomplete ?? 0) + (faults ? $0.overBound ?? 0 : 0) > 0 }) { throw ExitCode(1) }
    }

    #if os(Linux)
    private static func list(_ values: [Double]) -> [Double] {
        let figures = Figures(values)
        return [figures.median, figures.p99, figures.min, figures.max]
    }

    private func measure(_ count: Int) throws -> Row {
        let bench = try BenchSuite(below: folder, libzmq: libzmq)
        defer { bench.stop() }
        let publishers = underLoad || reader ? 64 : 0
        progress("\(count) agents: registering")
        try bench.register(count + publishers)
        let empty = bench.usage()["ingest"]?.resident ?? 0
        // One part freezes, one is partitioned, the others are well.
        let sick = faults ? max(1, count / 100) : 0
        let well = count - 2 * sick
        var outputs: [String] = []
        var frozen: ChildProcess?
        var parts = [0..<well / 2, well / 2..<well].filter { !$0.isEmpty }
        if faults {
            let (process, output) = try bench.startSwarm(well..<well + sick)
            frozen = process
            outputs.append(output)
            outputs.append(try bench.startSwarm(well + sick..<count, arguments: ["--deaf"]).output)
        }
        for part in parts { outputs.append(try bench.startSwarm(part, arguments: ["--connections", "\(connections)"]).output) }
        parts = []
        _ = try bench.waitUntilHeld(outputs, since: 1, seconds: 120)
        let perAgent = ((bench.usage()["ingest"]?.resident ?? 0) - empty) / count
        let steady = faults ? Array(outputs.suffix(2)) : outputs
        if publishers > 0 {
            let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: 500)
            try BenchBatch.save(batches, to: bench.folder + "/batches")
            _ = try bench.startSwarm(count..<count + publishers, arguments: ["--batches", bench.folder + "/batches", "--window", "8"])
            usleep(2_000_000)
            if !underLoad { bench.stopLastSwarm() }
        }
        if finding { try bench.watchForDenied() }
        let reading = reader ? BenchReader(home: bench.made.home, as: SuiteHome.operators[1]) : nil
        defer { reading?.stop() }
        var cutOff: [Double] = []
        var lastAgent: [Double] = []
        var services: [Double] = []
        var readingStopped: [Double] = []
        var complete: [Double] = []
        var incomplete = 0
        var overBound = 0
        var silent = 0
        let bound = Double(bench.made.settings.leaseMilliseconds) + 1_000
        let before = bench.usage()
        for round in 1...rounds {
            if let frozen { kill(frozen.id, SIGSTOP) }
            var killer: Thread?
            if faults, let ingest = bench.suite.id(of: "ingest") {
                // In the middle of the pause: a few milliseconds after the command is on its way.
                killer = Thread {
                    usleep(UInt32.random(in: 5_000...60_000))
                    kill(ingest, SIGKILL)
                }
                killer?.start()
            }
            // The one who waits for the certificate cannot start services again; another thread does, by the same rule as `sluice up`.
            let done = DispatchSemaphore(value: 0)
            if faults {
                // The thread is waited for below; until then this one only waits for the certificate.
                nonisolated(unsafe) let suite = bench.suite
                let isOver = Latch()
                startThread("watch") {
                    while !isOver.isSet {
                        try? suite.watch(isServing: true)
                        usleep(20_000)
                    }
                    done.signal()
                }
                defer {
                    isOver.set()
                    done.wait()
                }
                try note(bench.pause(), bound, &lastAgent, &services, &readingStopped, &complete, &incomplete, &overBound, &silent)
            } else {
                try reading?.waitUntilReading(seconds: 30)
                let start = Clock.now()
                let stop = try finding ? bench.find() : (certificate: bench.pause(), after: 0)
                note(stop.certificate, from: stop.after, bound, &lastAgent, &services, &readingStopped, &complete, &incomplete, &overBound, &silent)
                if let cut = try reading?.cutOff(since: start) { cutOff.append(Double(cut.microseconds) / 1e3) }
            }
            if let frozen { kill(frozen.id, SIGCONT) }
            if round % 10 == 0 { progress("\(count) agents: \(round) of \(rounds), last agent \(Figures.number(lastAgent.last ?? 0)) ms, certificate \(Figures.number(complete.last ?? 0)) ms") }
            let resumed = Clock.wall().microseconds
            try bench.resume()
            _ = try bench.waitUntilHeld(faults ? steady + [outputs[0]] : steady, since: resumed, seconds: 120)
        }
        var cpu: [String: Double] = [:]
        for (name, after) in bench.usage() { if let first = before[name] { cpu[name] = (after.cpu - first.cpu) * 1e3 / Double(rounds) } }
        return Row(
            agents: count, what: faults ? "Sluice, 2 % gone, ingest killed" : finding ? underLoad ? "Sluice, by a finding, under load" : "Sluice, by a finding" : underLoad ? "Sluice, under load" : "Sluice, idle", lastAgent: BenchPause.list(lastAgent),
            services: BenchPause.list(services), reading: BenchPause.list(readingStopped), complete: BenchPause.list(complete), rounds: rounds,
            incomplete: incomplete, overBound: overBound, silent: silent, ingestBytesAnAgent: perAgent,
            readCutOff: cutOff.isEmpty ? nil : BenchPause.list(cutOff), cpu: faults ? nil : cpu)
    }

    /// - Parameter after: Microseconds from the request that made the finding to control's closure; 0 of a pause, which counts from its arrival at control.
    private func note(
        _ certificate: WireCertificate, from after: Int64 = 0, _ bound: Double, _ lastAgent: inout [Double], _ services: inout [Double], _ reading: inout [Double],
        _ complete: inout [Double], _ incomplete: inout Int, _ overBound: inout Int, _ silent: inout Int
    ) {
        let summary = StopSummary(certificate)
        silent += Int(summary.silent)
        func milliseconds(_ us: UInt32) -> Double { Double(Int64(us) + after) / 1e3 }
        lastAgent.append(milliseconds(summary.agentsUs))
        services.append(milliseconds(summary.servicesUs))
        reading.append(milliseconds(certificate.readingAfterUs))
        complete.append(milliseconds(certificate.completeAfterUs))
        if !certificate.complete { incomplete += 1 }
        if milliseconds(certificate.completeAfterUs) > bound { overBound += 1 }
    }

    private func reference(_ count: Int) -> Row? {
        guard let own = try? Suite.binaries() + "/sluice" else { return nil }
        // What a narrower permit and its receipt weigh.
        let outcome = try? FanoutReference.run(peers: count, bytes: 64, answerBytes: 64, rounds: max(20, rounds), processes: min(2, count)) { port, peers in
            try ChildProcess([own, "bench-fanout-peer", "--port", "\(port)", "--count", "\(peers)"])
        }
        guard let rounds = outcome?.rounds else { return nil }
        return Row(agents: count, what: "epoll loop, plain TCP", lastAgent: [rounds.median, rounds.p99, rounds.min, rounds.max], rounds: rounds.count)
    }
    #endif
}

struct BenchRestart: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restart", abstract: "From ingest's death to the moment when every agent holds a permit again.",
        discussion: """
            EXAMPLE
              sluice bench restart --agents 10000 --rounds 5
              sluice bench restart --agents 10000 --rounds 5 --pause

            With --pause everything is paused when half of the agents are back: the certificate must be complete within a lease and a second.
            """)

    @Option(help: "Agents.") var agents = 10_000
    @Option(help: "Restarts.") var rounds = 5
    @Flag(help: "Pause everything in the middle of the storm, and resume.") var pause = false
    @Flag(help: "Agents on libzmq, as sluice-agent has it, instead of the generator\'s own connections.") var libzmq = false
    @Option(help: "Where the suite lives for the while.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        #if os(Linux)
        progress("\(Machine.description); load \(Machine.load) before")
        let bench = try BenchSuite(below: folder, libzmq: libzmq)
        defer { bench.stop() }
        try bench.register(agents)
        var outputs: [String] = []
        for part in [0..<agents / 2, agents / 2..<agents] where !part.isEmpty { outputs.append(try bench.startSwarm(part).output) }
        let begun = Clock.wall().microseconds
        let held = try bench.waitUntilHeld(outputs, since: 1, seconds: 180)
        progress("first: \(Figures.number(Double(held - begun) / 1e6)) s")
        var seconds: [Double] = []
        var stops: [Stop] = []
        let before = bench.usage()
        var ingestCPU = 0.0
        for _ in 1...rounds {
            guard let ingest = bench.suite.id(of: "ingest") else { continue }
            let killed = Clock.wall().microseconds
            kill(ingest, SIGKILL)
            if pause { stops.append(try stop(bench, killed)) }
            // A lease may outlive ingest: only what was granted after the new one counts.
            let all = try bench.waitUntilHeld(outputs, since: max(killed + 500_000, pause ? Clock.wall().microseconds : 0), seconds: 180)
            seconds.append(Double(all - killed) / 1e6)
            // Of the one that was started: it ends with the next round.
            ingestCPU += bench.usage()["ingest"]?.cpu ?? 0
            progress("\(Figures.number(seconds.last ?? 0)) s")
        }
        let figures = Figures(seconds)
        var cpu = ["ingest": ingestCPU / Double(rounds)]
        for (name, after) in bench.usage() where name != "ingest" { if let first = before[name] { cpu[name] = (after.cpu - first.cpu) / Double(rounds) } }
        let late = stops.filter { !$0.complete || $0.certificateMs > Double(bench.made.settings.leaseMilliseconds) * 1.002 + 1_000 }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            let told = Told(agents: agents, rounds: rounds, medianS: figures.median, minS: figures.min, maxS: figures.max, stops: stops, late: late.count, cpuS: cpu)
            encoder.keyEncodingStrategy = .convertToSnakeCase
            print(String(decoding: try encoder.encode(told), as: UTF8.self))
        } else {
            print("\(agents) agents hold a permit again after \(figures.formatted()) s, \(rounds) restarts")
            print("processor time a restart: \(Suite.order.compactMap { name in cpu[name].map { "\(name) \(Figures.number($0)) s" } }.joined(separator: ", "))")
            if pause {
                let complete = Figures(stops.map(\.certificateMs))
                print("paused with \(stops.map { "\($0.connected)" }.joined(separator: ", ")) agents back: certificates complete after \(complete.formatted()) ms; late or incomplete: \(late.count)")
            }
        }
        if !late.isEmpty { throw ExitCode(1) }
        #endif
    }

    #if os(Linux)
    /// A pause in the middle of the storm.
    private struct Stop: Encodable {
        /// Agents that ingest had a session with, as control last heard.
        var connected: UInt32
        var certificateMs: Double
        var complete: Bool
    }

    private struct Told: Encodable {
        var agents: Int
        var rounds: Int
        var medianS: Double
        var minS: Double
        var maxS: Double
        var stops: [Stop]
        var late: Int
        /// Seconds of processor a restart, of each service.
        var cpuS: [String: Double]
    }

    /// Waits until half of the agents are back with the new ingest, pauses everything, and resumes.
    private func stop(_ bench: BenchSuite, _ killed: Int64) throws -> Stop {
        let deadline = Stopwatch.now() + 120
        var status = WireStatus()
        repeat {
            guard Stopwatch.now() < deadline else { throw Complaint("half of the agents are not back after 120 s") }
            try bench.suite.watch(isServing: true)
            usleep(10_000)
            status = try bench.status()
            // What the ingest that was killed had said does not count.
        } while status.services.first { $0.name == "ingest" }.map { $0.seenUs < killed + 50_000 } ?? true || status.agentsConnected * 2 < agents
        let certificate = try bench.pause()
        try bench.resume()
        return Stop(connected: status.agentsConnected, certificateMs: Double(certificate.completeAfterUs) / 1e3, complete: certificate.complete)
    }
    #endif
}

/// Set by one thread, seen by another.
final class Latch: Sendable {
    private let value = Mutex<Bool>(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}
