import ArgumentParser
import Chassis
import Foundation
import Gate
import Wire

/// What an agent's session costs ingest while it lasts: libzmq's queues grow with what has gone through them, and only a long look shows where that ends.
struct BenchHold: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold",
        abstract: "Memory of the services, minute by minute, while many agents hold their permits and publish at an ordinary pace.",
        discussion: """
            EXAMPLE
              sluice bench hold --agents 10000 --minutes 15
              sluice bench hold --agents 10000 --minutes 60 --pace 10

            Each agent has a real CURVE session and renews its permit every second; with --pace it publishes a batch every so many seconds, too.
            """)

    @Option(help: "Agents.") var agents = 10_000
    @Option(help: "How long to look, once all hold a permit.") var minutes = 15
    @Option(help: "Seconds from one batch of an agent to its next; 0: they publish nothing.") var pace: Double = 0
    @Option(help: "Events a batch.") var events = 50
    @Option(help: "Recordings: a file or a folder.") var data: String?
    @Flag(help: "Agents keep their connections for ever, as no agent does: what that would cost.") var ageless = false
    @Flag(help: "Agents on libzmq, as sluice-agent has it, instead of the generator's own connections.") var libzmq = false
    @Option(help: "Where the suite lives for the while.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...15_000).contains(agents), (1...1_440).contains(minutes), pace >= 0, events > 0 else {
            throw ValidationError("--agents 1 to 15000, --minutes 1 to 1440, --pace of 0 or more and --events of 1 or more are expected")
        }
    }

    /// Bytes, `minute` minutes after all agents held a permit.
    struct Row: Encodable {
        var minute: Int
        var ingestBytesAnAgent: Int
        var resident: [String: Int]
        /// Of ingest, in that minute, percent of one processor.
        var cpu: Double
    }

    func run() throws {
        #if os(Linux)
        progress("\(Machine.description); load \(Machine.load) before")
        let bench = try BenchSuite(below: folder, libzmq: libzmq)
        defer { bench.stop() }
        try bench.register(agents)
        let empty = bench.usage()["ingest"]?.resident ?? 0
        var arguments: [String] = []
        if pace > 0 {
            try BenchBatch.save(BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: events), to: bench.folder + "/batches")
            arguments = ["--batches", bench.folder + "/batches", "--pace", "\(pace)"]
        }
        if ageless { arguments.append("--ageless") }
        let outputs = try [0..<agents / 2, agents / 2..<agents].filter { !$0.isEmpty }.map { try bench.startSwarm($0, arguments: arguments).output }
        _ = try bench.waitUntilHeld(outputs, since: 1, seconds: 120)
        var rows = [row(0, bench.usage(), empty, since: bench.usage())]
        let begun = Stopwatch.now()
        for minute in 1...minutes {
            let before = bench.usage()
            while Stopwatch.now() < begun + Double(minute) * 60 {
                try bench.suite.watch(isServing: true)
                usleep(100_000)
            }
            rows.append(row(minute, bench.usage(), empty, since: before))
            progress("\(minute) min: ingest \(Figures.number(Double(rows[minute].ingestBytesAnAgent) / 1e3)) kB an agent, \(Figures.number(rows[minute].cpu)) % of a processor")
        }
        let status = try bench.status()
        let events = status.services.first { $0.name == "policy" }?.gauges["vault.events"] ?? 0
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        }
        var table = FiguresTable("minute", "ingest, kB an agent", "ingest, % of a processor", "ingest, MiB", "control", "policy")
        for row in rows {
            func mebibytes(_ name: String) -> String { Figures.number(Double(row.resident[name] ?? 0) / 1_048_576) }
            table.add("\(row.minute)", Figures.number(Double(row.ingestBytesAnAgent) / 1e3), Figures.number(row.cpu), mebibytes("ingest"), mebibytes("control"), mebibytes("policy"))
        }
        print(table.formatted())
        print("at the end \(status.agentsCurrent) of \(agents) agents held a permit; \(Show.count(events)) events in the vault")
        #endif
    }

    #if os(Linux)
    private func row(_ minute: Int, _ usage: [String: (cpu: Double, resident: Int)], _ empty: Int, since before: [String: (cpu: Double, resident: Int)]) -> Row {
        Row(
            minute: minute, ingestBytesAnAgent: ((usage["ingest"]?.resident ?? 0) - empty) / agents, resident: usage.mapValues(\.resident),
            cpu: ((usage["ingest"]?.cpu ?? 0) - (before["ingest"]?.cpu ?? 0)) / 60 * 100)
    }
    #endif
}
