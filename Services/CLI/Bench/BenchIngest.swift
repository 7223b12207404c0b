import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

struct BenchIngest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest",
        abstract: "Batches a second from agents through ingest and policy into the vault, acknowledged after a synchronous commit.",
        discussion: """
            EXAMPLE
              sluice bench ingest --agents 64 --window 1 --window 8 --data recordings/

            Real services and CURVE sessions in processes of their own, in a temporary folder below --folder. The references run
            right after, on the same disk: a plain loop that appends the same bytes with one fdatasync a group, and NATS JetStream with
            sync_interval always and the same number of publishers, where nats-server is on the path.
            """)

    @Option(help: "Agents that publish.") var agents = 64
    @Option(help: "Batches without an answer in each agent; may be repeated.") var window: [Int] = [8, 1]
    @Option(help: "Events in a batch.") var events = 500
    @Option(help: "Seconds of each run, after a second of warming up.") var seconds: Double = 5
    @Option(help: "Runs of each; the median is shown, with the range.") var runs = 3
    @Option(help: "Recordings to cut batches from: a file or a folder.") var data: String?
    @Option(help: ArgumentHelp("Of a hundred events so many are texts of 20 to 200 characters, one in ten of them with something to find.", valueName: "percent")) var text = 0
    @Option(help: ArgumentHelp("Under this policy document. What it leaves of a batch must be of class activity, texts as well, and rest on no consent: deploy/policy/bench.yaml.", valueName: "file"))
    var policy: String?
    @Flag(help: "With --policy: send all as it was recorded, as no honest agent does, so that policy makes each batch anew.") var raw = false
    @Flag(help: "Agents on libzmq, as sluice-agent has it, instead of the generator\'s own connections.") var libzmq = false
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(inversion: .prefixedNo, help: "Measure the references, too.") var references = true
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard agents > 0, agents <= 10_000, !window.isEmpty, window.allSatisfy({ (1...64).contains($0) }), (1...4_096).contains(events), (0...100).contains(text), seconds > 0,
            runs > 0
        else {
            throw ValidationError("--agents 1 to 10000, --window 1 to 64, --events 1 to 4096, --text 0 to 100, --seconds and --runs more than 0 are expected")
        }
    }

    struct Row: Encodable {
        var what: String
        var window: Int
        var batchesPerSecond: Double
        var range: [Double]
        var eventsPerSecond: Double?
        var p50: Double?
        var p99: Double?
        var detail: String
        var memory: [Memory] = []
    }

    /// Whether a service's memory stays flat: medians of the first and the last tenth of the samples, in bytes.
    struct Memory: Encodable {
        var service: String
        var samples: Int
        var first: Int
        var last: Int
        var most: Int
    }

    func run() throws {
        #if os(Linux)
        let document = try raw ? nil : policy.map { try PolicyFiles.document($0) }
        let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: events, texts: text, by: document)
        let bytes = batches.map(\.payload.count).reduce(0, +) / batches.count
        progress("\(Machine.description); load \(Machine.load) before; \(batches.count) batches of \(events) events, \(bytes) bytes packed (\(String(format: "%.2f", Double(bytes) / Double(events))) an event)")
        var rows: [Row] = []
        for window in window {
            rows.append(try measure(batches, window: window))
            if references { rows += reference(batches, window: window) }
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        }
        var table = FiguresTable("what", "window", "batches/s", "events/s", "ack p50", "p99", "")
        for row in rows {
            table.add(
                row.what, "\(row.window)", "\(Figures.number(row.batchesPerSecond, decimals: 0)) (\(row.range.map { Figures.number($0, decimals: 0) }.joined(separator: "–")))",
                row.eventsPerSecond.map { Show.count(Int64($0)) } ?? "", row.p50.map { "\(Figures.number($0)) ms" } ?? "", row.p99.map { "\(Figures.number($0)) ms" } ?? "", row.detail)
        }
        print(table.formatted())
        for row in rows where !row.memory.isEmpty {
            print("memory, window \(row.window), first tenth → last tenth of \(row.memory[0].samples) samples: \(row.memory.map(Self.words).joined(separator: "; "))")
        }
        #endif
    }

    #if os(Linux)
    private func measure(_ batches: [BenchBatch], window: Int) throws -> Row {
        var results: [SwarmResult] = []
        var details: [String] = []
        var memory: [Memory] = []
        for run in 1...runs {
            progress("window \(window), run \(run) of \(runs)")
            let bench = try BenchSuite(below: folder, libzmq: libzmq)
            defer { bench.stop() }
            try bench.register(agents)
            if let policy { try bench.apply(PolicyFiles.document(policy)) }
            let file = bench.folder + "/batches"
            try BenchBatch.save(batches, to: file)
            let before = bench.usage()
            let started = Stopwatch.now()
            let (process, output) = try bench.startSwarm(0..<agents, arguments: ["--batches", file, "--window", "\(window)", "--seconds", "\(seconds)"])
            var held: [String: [Int]] = [:]
            // After the second of warming up, a sample a second, and an hour is told of every minute.
            var ended = process.wait(seconds: 1)
            while !ended, Stopwatch.now() - started < seconds + 60 {
                for (name, usage) in bench.usage() { held[name, default: []].append(usage.resident) }
                ended = process.wait(seconds: 1)
                if let count = held["policy"]?.count, count % 60 == 0 { progress("\(count / 60) min: \(self.memory(held).map(Self.words).joined(separator: ", "))") }
            }
            guard ended else { throw Complaint("the load did not end: \(output)") }
            if run == runs { memory = self.memory(held) }
            let elapsed = Stopwatch.now() - started
            let result = try SwarmResult(printedTo: output)
            results.append(result)
            let after = bench.usage()
            let parts = ["ingest", "policy", "control"].map { name -> String in
                let cpu = ((after[name]?.cpu ?? 0) - (before[name]?.cpu ?? 0)) / elapsed * 100
                return "\(name) \(Int(cpu)) % \((after[name]?.resident ?? 0) >> 20) MiB"
            }
            details.append(parts.joined(separator: ", ") + ", load \(Int(result.cpu / result.seconds * 100)) %" + (result.busy + result.refused > 0 ? ", \(result.busy) busy, \(result.refused) refused" : ""))
        }
        let rates = Figures(results.map { Double($0.batches) / $0.seconds })
        return Row(
            what: "Sluice", window: window, batchesPerSecond: rates.median, range: [rates.min, rates.max],
            eventsPerSecond: Figures(results.map { Double($0.events) / $0.seconds }).median, p50: Figures(results.map(\.p50)).median,
            p99: Figures(results.map(\.p99)).median, detail: details.last ?? "", memory: memory)
    }

    private func memory(_ held: [String: [Int]]) -> [Memory] {
        ["ingest", "policy", "control"].compactMap { name in
            guard let samples = held[name], !samples.isEmpty else { return nil }
            let tenth = max(1, samples.count / 10)
            return Memory(service: name, samples: samples.count, first: Self.median(samples.prefix(tenth)), last: Self.median(samples.suffix(tenth)), most: samples.max() ?? 0)
        }
    }

    private static func median(_ samples: ArraySlice<Int>) -> Int { samples.sorted()[samples.count / 2] }

    private static func words(_ memory: Memory) -> String {
        "\(memory.service) \(mebibytes(memory.first)) → \(mebibytes(memory.last)) MiB, most \(mebibytes(memory.most))"
    }

    private static func mebibytes(_ bytes: Int) -> String { Figures.number(Double(bytes) / 1_048_576) }

    private func reference(_ batches: [BenchBatch], window: Int) -> [Row] {
        let payloads = batches.map(\.payload)
        var rows: [Row] = []
        progress("references, window \(window)")
        if let disk = try? DiskReference.run(batches: payloads, folder: folder, seconds: min(seconds, 3), publishers: agents, window: window) {
            rows.append(
                Row(what: "disk: append, fdatasync a group", window: window, batchesPerSecond: disk.batchesPerSecond, range: [disk.batchesPerSecond, disk.batchesPerSecond],
                    p50: disk.sync.median, p99: disk.sync.p99, detail: "\(Int(disk.batchesPerSync)) batches a sync; stores bytes, reads nothing"))
        }
        for streams in [8, 1] {
            var measured: [NATSReference.Measured] = []
            for _ in 0..<runs {
                switch NATSReference.run(batches: payloads, folder: folder, seconds: seconds, publishers: agents, window: window, streams: streams) {
                case .measured(let one): measured.append(one)
                case .unavailable(let why):
                    progress("NATS: \(why)")
                    return rows
                }
            }
            let rates = Figures(measured.map(\.messagesPerSecond))
            rows.append(
                Row(what: "NATS JetStream \(measured[0].version), sync always, \(streams) stream\(streams == 1 ? "" : "s")", window: window, batchesPerSecond: rates.median, range: [rates.min, rates.max],
                    p50: Figures(measured.map(\.acknowledgement.median)).median, p99: Figures(measured.map(\.acknowledgement.p99)).median,
                    detail: "server \(Int(measured[0].serverMicrosecondsPerMessage)) µs a batch; no CURVE, stores bytes unread\(measured.map(\.errors).reduce(0, +) > 0 ? ", errors" : "")"))
        }
        return rows
    }
    #endif
}
