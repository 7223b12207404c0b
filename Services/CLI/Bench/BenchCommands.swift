import ArgumentParser
import Chassis
import Foundation

/// From the start of a command's process to its end, as whoever types it waits.
struct BenchCommands: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "commands",
        abstract: "How long operators' commands take, from the process's start to its end, and how soon a suite serves.",
        discussion: "EXAMPLE\n  sluice bench commands --agents 200 --rounds 20\n\nA suite of its own, with agents that hold permits. The reference is a program that does nothing, started in the same way.")

    @Option(help: "Agents that hold permits meanwhile.") var agents = 200
    @Option(help: "Times that each command is run; the median is shown, with the range.") var rounds = 20
    @Option(help: "Where the suite lives for the while.") var folder = "/tmp"
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...10_000).contains(agents), rounds > 0 else { throw ValidationError("--agents 1 to 10000 and --rounds more than 0 are expected") }
    }

    struct Row: Encodable {
        var command: String
        /// Milliseconds.
        var median: Double
        var p99: Double
        var range: [Double]
    }

    private static let commands: [[String]] = [
        ["status"], ["agents"], ["closures"], ["incidents"], ["certificate", "1"], ["proposals"], ["operator", "list"], ["service-key", "list"], ["deliveries"],
        ["ledger", "prove", "1"], ["ledger", "verify"], ["pause", "--team", "team-1", "--reason", "bench"],
    ]

    func run() throws {
        #if os(Linux)
        progress("\(Machine.description); load \(Machine.load) before; each command \(rounds) times")
        let started = Stopwatch.now()
        let bench = try BenchSuite(below: folder, libzmq: false)
        let serving = (Stopwatch.now() - started) * 1e3
        defer { bench.stop() }
        try bench.register(agents)
        let (_, output) = try bench.startSwarm(0..<agents)
        _ = try bench.waitUntilHeld([output], since: 1, seconds: 60)
        _ = try bench.pause()
        try bench.resume()
        let own = try Suite.binaries() + "/sluice"
        var rows = [Row(command: "(a program that does nothing)", Figures(try (0..<rounds).map { _ in try milliseconds(["/bin/true"], in: bench) }))]
        for command in BenchCommands.commands {
            progress(command.joined(separator: " "))
            rows.append(Row(command: command.joined(separator: " "), Figures(try (0..<rounds).map { _ in try milliseconds([own] + command + ["--home", bench.folder], in: bench) })))
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        }
        var table = FiguresTable("command", "ms: median (min–max)", "p99")
        for row in rows { table.add(row.command, "\(Figures.number(row.median)) (\(row.range.map { Figures.number($0) }.joined(separator: "–")))", Figures.number(row.p99)) }
        print(table.formatted())
        print("a new suite, its keys and databases made, served after \(Figures.number(serving)) ms")
        #endif
    }

    #if os(Linux)
    private func milliseconds(_ arguments: [String], in bench: BenchSuite) throws -> Double {
        let output = bench.folder + "/command.out"
        let started = Stopwatch.now()
        let process = try ChildProcess(arguments, output: output)
        var status: Int32 = 0
        // Blocking: a look every two milliseconds would be part of what is measured.
        waitpid(process.id, &status, 0)
        let took = (Stopwatch.now() - started) * 1e3
        guard status == 0 else {
            throw Complaint("\(arguments.joined(separator: " ")) failed: \(String(decoding: FileManager.default.contents(atPath: output) ?? Data(), as: UTF8.self).prefix(300))")
        }
        return took
    }
    #endif
}

extension BenchCommands.Row {
    fileprivate init(command: String, _ figures: Figures) {
        self.init(command: command, median: figures.median, p99: figures.p99, range: [figures.min, figures.max])
    }
}
