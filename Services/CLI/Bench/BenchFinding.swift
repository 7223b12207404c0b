import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Wire

#if os(Linux)
struct BenchFinding: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finding",
        abstract: "From what makes a finding to the moment when the last reader that streams is cut off.",
        discussion: """
            EXAMPLE
              sluice bench finding --readers 8 --rounds 100

            Readers stream all that 64 agents have published, again and again. Somebody asks for what they may not read, and one denied read is the limit: from that request's sending to the last
            reader's hearing that reading is closed, detection included, all by this process's clock. Then two operators resume.
            """)
    @Option(help: "Readers that stream.") var readers = 8
    @Option(help: "Findings.") var rounds = 20
    @Option(help: "Seconds for which agents publish what is read.") var seconds = 4
    @Option(help: "Recordings: a file or a folder.") var data: String?
    @Option(help: "Where the suite lives for the while.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...12).contains(readers), rounds > 0, seconds > 0 else { throw ValidationError("--readers 1 to 12, --rounds and --seconds of 1 or more are expected") }
    }

    private struct Row: Encodable {
        var readers: Int
        var rounds: Int
        /// Milliseconds: median, p99, min, max.
        var cutOff: [Double]
        /// Until whoever asked was told no.
        var answered: [Double]
        /// Until control's closure for it was in force.
        var closed: [Double]
    }

    private static let agents = 64

    func run() throws {
        progress("\(Machine.description); load \(Machine.load) before")
        let bench = try BenchSuite(below: folder, libzmq: false)
        defer { bench.stop() }
        try bench.register(BenchFinding.agents)
        let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: 500)
        try BenchBatch.save(batches, to: bench.folder + "/batches")
        let (_, output) = try bench.startSwarm(0..<BenchFinding.agents, arguments: ["--batches", bench.folder + "/batches", "--window", "8"])
        _ = try bench.waitUntilHeld([output], since: 1, seconds: 60)
        usleep(UInt32(seconds) * 1_000_000)
        bench.stopSwarms()
        // Not before: the generator keeps to no document.
        try bench.apply(BenchFinding.document)
        try wait("policy goes by the document, and has judged what is stored by it") {
            let gauges = try policy(bench)?.gauges ?? [:]
            return gauges["policy.document"] ?? 0 > 0 && gauges["rescan.segments"] ?? 0 > 0 && gauges["rescan.running"] == 0
        }
        let streaming = (0..<readers).map { _ in BenchReader(home: bench.made.home, as: SuiteHome.operators[1]) }
        defer { for reader in streaming { reader.stop() } }
        let curious = try Client("policy", home: bench.made.home, as: SuiteHome.operators[0])
        var (cutOff, answered, closed) = ([Double](), [Double](), [Double]())
        while cutOff.count < rounds {
            for reader in streaming { try reader.waitUntilReading(seconds: 30) }
            let start = Clock.now()
            guard try BenchFinding.ask(curious) else { continue }
            answered.append(milliseconds(since: start))
            try wait("control closes what was found") { try !bench.client.query(.closures(WireClosuresQuery())).closures.closures.isEmpty }
            closed.append(milliseconds(since: start))
            // Nil: it had come to its end by itself just before.
            let cuts = try streaming.map { try $0.cutOff(since: start) }
            if cuts.allSatisfy({ $0 != nil }) {
                cutOff.append((cuts.compactMap { $0 }.max().map { Double($0.microseconds) } ?? 0) / 1e3)
                if cutOff.count % 10 == 0 { progress("\(cutOff.count) of \(rounds): \(Figures.number(cutOff.last ?? 0)) ms") }
            }
            try bench.resume()
        }
        let row = Row(readers: readers, rounds: rounds, cutOff: list(cutOff), answered: list(answered), closed: list(closed))
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(row), as: UTF8.self))
        }
        var table = FiguresTable("readers", "last cut off, ms: median (min–max)", "p99", "asker answered p50/max", "closed by control p50/max")
        table.add("\(readers)", "\(Figures.number(row.cutOff[0])) (\(Figures.number(row.cutOff[2]))–\(Figures.number(row.cutOff[3])))", Figures.number(row.cutOff[1]),
            "\(Figures.number(row.answered[0]))/\(Figures.number(row.answered[3]))", "\(Figures.number(row.closed[0]))/\(Figures.number(row.closed[3]))")
        print(table.formatted())
    }

    /// Everything may be read by the operators for one purpose, and of one class nothing.
    static var document: PolicyDocument {
        var document = PolicyDocument.standard
        document.purposes = [.init("bench", basis: .legalObligation, classes: ["activity", "content", "conversation", "review"])]
        document.roles = [.init("bench", members: Set(SuiteHome.operators))]
        document.grants = [.init("bench", role: "bench", purpose: "bench", classes: ["activity", "content", "conversation"])]
        document.leaks = [.init(.denied, close: .read, of: .everything, limit: LeakLimit(reads: 0, per: .hour))]
        return document
    }

    /// Asks for what nobody may read.
    ///
    /// - Returns: false: policy has not heard of the resume before this yet.
    static func ask(_ client: Client) throws -> Bool {
        var request = WireReleaseRequest()
        request.id = Nonce.random().bytes
        request.purpose = "bench"
        request.justification = "what nobody may"
        request.classes = ["review"]
        request.credit = 1
        do {
            _ = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> Bool? in message.kind == .release ? true : nil }
        } catch ClientError.refused(.denied, _) {
            return true
        } catch ClientError.refused(.paused, _) {
            usleep(20_000)
            return false
        }
        throw Complaint("policy released what nobody may read")
    }

    private func policy(_ bench: BenchSuite) throws -> WireServiceStatus? { try bench.status().services.first { $0.name == "policy" } }

    private func wait(_ what: String, until isSo: () throws -> Bool) throws {
        let deadline = Stopwatch.now() + 60
        while try !isSo() {
            guard Stopwatch.now() < deadline else { throw Complaint("after 60 s it is not so that \(what)") }
            usleep(2_000)
        }
    }

    private func milliseconds(since start: Instant) -> Double { Double((Clock.now() - start).microseconds) / 1e3 }

    private func list(_ values: [Double]) -> [Double] {
        let figures = Figures(values)
        return [figures.median, figures.p99, figures.min, figures.max]
    }
}

extension BenchSuite {
    /// Puts a document in force by which one denied read closes both ways for everything, and waits until policy goes by it.
    func watchForDenied() throws {
        var document = BenchFinding.document
        document.leaks = [.init(.denied, close: .both, of: .everything, limit: LeakLimit(reads: 0, per: .hour))]
        try apply(document)
        let deadline = Stopwatch.now() + 60
        while try status().services.first(where: { $0.name == "policy" })?.gauges["policy.document"] ?? 0 == 0 {
            guard Stopwatch.now() < deadline else { throw Complaint("after 60 s policy does not go by the document") }
            usleep(10_000)
        }
    }

    /// Has a detector find something, and waits for the certificate of what control closes for it.
    ///
    /// - Returns: with microseconds from the request's sending to control's closure.
    func find() throws -> (certificate: WireCertificate, after: Int64) {
        let curious = try Client("policy", home: made.home, as: SuiteHome.operators[0])
        var sent = Clock.wall().microseconds
        while try !BenchFinding.ask(curious) { sent = Clock.wall().microseconds }
        let deadline = Stopwatch.now() + 60
        while true {
            if let closure = try client.query(.closures(WireClosuresQuery())).closures.closures.first {
                // Before it is made there is none, or one that says so.
                if let certificate = try? client.query(.certificate(closure.epoch)).certificate, certificate.epoch == closure.epoch, certificate.complete { return (certificate, max(0, closure.fromUs - sent)) }
            }
            guard Stopwatch.now() < deadline else { throw Complaint("after 60 s there is no complete certificate of what was found") }
            usleep(20_000)
        }
    }
}
#endif
