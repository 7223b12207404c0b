import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Vault
import Wire

/// Segments for a vault that no service runs on: batches of a recording, of many persons, spread over a time.
struct VaultFill {
    var subjects: Int
    /// Of each person.
    var segments: Int
    var from: WallTime
    var until: WallTime
    var batches: [BenchBatch]

    static func subject(_ number: Int) -> String { "B\(number)" }

    /// The time of a person's segment, all persons' in turn.
    private func time(_ number: Int) -> WallTime {
        let step = Double((until - from).nanoseconds) / Double(max(1, segments))
        return from + Span(nanoseconds: Int64(step * Double(number)))
    }

    /// - Returns: events stored.
    @discardableResult func fill(_ vault: any Vault) throws -> Int64 {
        var events: Int64 = 0
        for start in stride(from: 0, to: segments, by: max(1, 512 / subjects)) {
            let end = min(segments, start + max(1, 512 / subjects))
            try vault.transaction { transaction in
                var count: Int64 = 0
                for number in start..<end {
                    for subject in 0..<subjects {
                        let batch = batches[(number &* 31 &+ subject) % batches.count]
                        let first = time(number)
                        try transaction.insert(
                            Segment(
                                scope: Scope(subject: VaultFill.subject(subject), site: "site-\(subject % 10)", team: "team-\(subject % 100)"),
                                dataClass: DataClass("activity"), agent: UInt32(subject + 1), stream: 1, sequence: UInt64(number + 1), first: first,
                                last: first + Span(nanoseconds: batch.spanNanoseconds), count: Int(batch.count), epoch: 0,
                                columnsBytes: Int(batch.columnsBytes), hash: Data(count: 16), blob: Data(batch.payload)))
                        count += Int64(batch.count)
                    }
                }
                try transaction.addTotals(events: count, segments: Int64((end - start) * subjects), oldest: time(start))
                events += count
                return true
            }
            try vault.tidy(isIdle: true)
        }
        return events
    }
}

struct BenchForget: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "forget", abstract: "How long erasing a person takes: until nothing of them can be read, and until their rows are gone.",
        discussion: "EXAMPLE\n  sluice bench forget --events 1000000 --per-segment 500 --per-segment 20\n\nA vault in a temporary folder below --folder, with other people's data between; the code that policy's writer runs.")

    @Option(help: "Events of the person.") var events = 1_000_000
    @Option(help: "Events in a segment; may be repeated.") var perSegment: [Int] = [500, 20]
    @Option(help: "Other people, each with as much.") var others = 3
    @Option(help: "Runs of each.") var runs = 3
    @Option(help: "Recordings to cut batches from: a file or a folder.") var data: String?
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        #if os(Linux)
        var table = FiguresTable("events in a segment", "segments", "keys destroyed", "rows gone", "longest step")
        for size in perSegment {
            let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: size)
            var (unreadable, gone, steps) = ([Double](), [Double](), [Double]())
            for run in 1...runs {
                progress("\(size) events in a segment, run \(run) of \(runs)")
                let path = folder + "/sluice-bench-forget-\(getpid())"
                try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
                defer { try? FileManager.default.removeItem(atPath: path) }
                guard let master = MasterKey(secret: [UInt8].random(MasterKey.bytesCount)) else { throw Complaint("no key could be made") }
                let vault = try SQLiteVault(path: path + "/vault.sqlite", master: master)
                let now = Clock.wall()
                try VaultFill(subjects: others + 1, segments: events / size, from: now - .seconds(90 * 86_400), until: now, batches: batches).fill(vault)
                let begun = Stopwatch.now()
                try vault.erase([ErasureOrder(VaultFill.subject(0), at: Clock.wall())])
                unreadable.append(Stopwatch.now() - begun)
                var last = Stopwatch.now()
                while try vault.eraseNext(atMost: 512) != nil {
                    steps.append(Stopwatch.now() - last)
                    last = Stopwatch.now()
                }
                gone.append(Stopwatch.now() - begun)
                let left = try vault.totals()
                guard left.segments == Int64(events / size * others) else { throw Complaint("the wrong rows are gone: \(left.segments) are left") }
                try vault.close()
            }
            let (first, all, step) = (Figures(unreadable), Figures(gone), Figures(steps))
            if json {
                print("{\"perSegment\":\(size),\"keysDestroyedMs\":\(first.median * 1e3),\"rowsGoneMs\":\(all.median * 1e3),\"longestStepMs\":\(step.max * 1e3)}")
            }
            table.add(
                "\(size)", Show.count(Int64(events / size)), "\(Figures.number(first.median * 1e3)) ms", "\(Figures.number(all.median * 1e3, decimals: 0)) ms (\(Figures.number(all.min * 1e3, decimals: 0))–\(Figures.number(all.max * 1e3, decimals: 0)))",
                "\(Figures.number(step.max * 1e3)) ms")
        }
        if !json { print(table.formatted()) }
        #endif
    }
}

struct BenchSweep: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep", abstract: "Batches a second into the vault while a sweep deletes what is past its time, and without one.",
        discussion: "EXAMPLE\n  sluice bench sweep --expired 10000000 --runs 3\n\nThe whole path, as 'bench ingest' measures it, in turns: a vault that holds so many old events, with retention and without.")

    @Option(help: "Events past their time.") var expired = 10_000_000
    @Option(help: "Agents that publish.") var agents = 64
    @Option(help: "Batches without an answer in each agent.") var window = 8
    @Option(help: "Events in a batch.") var events = 500
    @Option(help: "Seconds of each run, after a second of warming up.") var seconds: Double = 5
    @Option(help: "Runs of each.") var runs = 3
    @Option(help: "Recordings to cut batches from: a file or a folder.") var data: String?
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        #if os(Linux)
        let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: events)
        var (plain, swept, ratios, deleted) = ([Double](), [Double](), [Double](), [Double]())
        for run in 1...runs {
            for sweeps in run & 1 == 1 ? [false, true] : [true, false] {
                progress("run \(run) of \(runs), \(sweeps ? "sweeping" : "without")")
                let (rate, gone) = try measure(batches, sweeps: sweeps)
                if sweeps {
                    swept.append(rate)
                    deleted.append(Double(gone))
                } else { plain.append(rate) }
            }
            ratios.append((swept.last ?? 0) / (plain.last ?? 1))
        }
        let (without, with, ratio, gone) = (Figures(plain), Figures(swept), Figures(ratios), Figures(deleted))
        if json {
            return print("{\"without\":\(without.median),\"sweeping\":\(with.median),\"ratio\":\(ratio.median),\"eventsSwept\":\(gone.median)}")
        }
        var table = FiguresTable("", "batches/s", "events swept meanwhile")
        func show(_ figures: Figures) -> String { "\(Figures.number(figures.median, decimals: 0)) (\(Figures.number(figures.min, decimals: 0))–\(Figures.number(figures.max, decimals: 0)))" }
        table.add("without", show(without), "")
        table.add("sweeping", show(with), Show.count(Int64(gone.median)))
        print(table.formatted())
        print("of that without: \(Figures.number(ratio.median, decimals: 2)) (\(Figures.number(ratio.min, decimals: 2))–\(Figures.number(ratio.max, decimals: 2)))")
        #endif
    }

    #if os(Linux)
    private func measure(_ batches: [BenchBatch], sweeps: Bool) throws -> (rate: Double, swept: Int64) {
        let now = Clock.wall()
        let fill = VaultFill(
            subjects: agents, segments: max(1, expired / events / agents), from: now - .seconds(200 * 86_400), until: now - .seconds(100 * 86_400), batches: batches)
        let bench = try BenchSuite(below: folder, libzmq: false, policy: sweeps ? ["--retention", "activity=90"] : []) { try VaultBench.fill($0.home, fill) }
        defer { bench.stop() }
        try bench.register(agents)
        let file = bench.folder + "/batches"
        try BenchBatch.save(batches, to: file)
        let (process, output) = try bench.startSwarm(0..<agents, arguments: ["--batches", file, "--window", "\(window)", "--seconds", "\(seconds)"])
        guard process.wait(seconds: seconds + 60) else { throw Complaint("the load did not end: \(output)") }
        let result = try SwarmResult(printedTo: output)
        let policy = try bench.status().services.first { $0.name == "policy" }
        return (Double(result.batches) / result.seconds, Int64(policy?.counters["events.swept"] ?? 0))
    }
    #endif
}

struct BenchRead: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read", abstract: "How soon a reader has the first chunk of a day among a year's segments, and events a second of everything.",
        discussion: """
            EXAMPLE
              sluice bench read --subjects 20 --segments 7300

            Over CURVE, granted by a policy document, recorded before the first byte, decrypted by policy, and decoded by the reader.
            """)

    @Option(help: "People.") var subjects = 20
    @Option(help: "Segments of each in a year.") var segments = 7_300
    @Option(help: "Events in a segment.") var events = 500
    @Option(help: "Reads of a day.") var rounds = 50
    @Option(help: "Reads of 60 days of everyone.") var runs = 3
    @Option(help: ArgumentHelp("The policy document to read under. It must grant the operator ops-1 class activity of everyone for the purpose bench.", valueName: "file"))
    var policy = "deploy/policy/bench-read.yaml"
    @Option(help: "Recordings to cut batches from: a file or a folder.") var data: String?
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        #if os(Linux)
        let document = try PolicyFiles.document(policy)
        let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: events)
        let now = Clock.wall()
        let year = Span.seconds(365 * 86_400)
        let fill = VaultFill(subjects: subjects, segments: segments, from: now - year, until: now - .seconds(60), batches: batches)
        progress("\(Show.count(Int64(subjects * segments))) segments, \(Show.count(Int64(subjects * segments * events))) events")
        let bench = try BenchSuite(below: folder, libzmq: false) { try VaultBench.fill($0.home, fill) }
        defer { bench.stop() }
        let client = try Client("policy", home: bench.made.home, as: SuiteHome.operators[0])
        try untilAudited { _ = try read(client, from: now - .seconds(2 * 86_400), until: now - .seconds(86_400), subject: nil) }
        try bench.apply(document)
        try untilJudged(bench)
        var (one, all, rates) = ([Double](), [Double](), [Double]())
        for round in 0..<rounds {
            let day = now - Span.seconds(Int64(round * 7 % 360 + 1) * 86_400)
            one.append(try read(client, from: day - .seconds(86_400), until: day, subject: VaultFill.subject(round % subjects)).first * 1e3)
            all.append(try read(client, from: day - .seconds(86_400), until: day, subject: nil).first * 1e3)
        }
        for run in 0..<runs {
            let day = now - Span.seconds(Int64(run * 60 + 31) * 86_400)
            let read = try read(client, from: day - .seconds(60 * 86_400), until: day, subject: nil)
            rates.append(Double(read.events) / read.seconds)
        }
        let (first, everyone, rate) = (Figures(one), Figures(all), Figures(rates))
        if json { return print("{\"firstOfOneMs\":\(first.median),\"firstOfAllMs\":\(everyone.median),\"eventsPerSecond\":\(rate.median)}") }
        var table = FiguresTable("what", "median", "p99")
        table.add("first chunk of a day, one person", "\(Figures.number(first.median)) ms", "\(Figures.number(first.p99)) ms")
        table.add("first chunk of a day, everyone", "\(Figures.number(everyone.median)) ms", "\(Figures.number(everyone.p99)) ms")
        table.add("60 days of everyone, decoded", "\(Show.count(Int64(rate.median))) events/s", "")
        print(table.formatted())
        #endif
    }

    #if os(Linux)
    /// Policy goes through a whole vault after its start, and gives nothing of it before.
    private func untilAudited(_ first: () throws -> Void) throws {
        let begun = Stopwatch.now()
        while true {
            // Without a document nobody reads: that policy says so, and not that it is not ready, is what is waited for.
            do { return try first() } catch ClientError.refused(.denied, _) { return } catch ClientError.refused(.leaseEnded, let text) {
                guard Stopwatch.now() - begun < 300 else { throw Complaint("policy did not serve within five minutes: \(text)") }
                progress("policy checks the vault, \(Int(Stopwatch.now() - begun)) s")
                usleep(500_000)
            }
        }
    }

    /// By the document that was applied policy judges again what is stored, beside everything else; the measure is taken after that.
    private func untilJudged(_ bench: BenchSuite) throws {
        let begun = Stopwatch.now()
        var quiet = 0
        // Reports come three in a lease: of two that are so far apart one is newer than the document.
        while quiet < 2 {
            guard Stopwatch.now() - begun < 3_600 else { throw Complaint("policy did not judge what is stored within an hour") }
            usleep(1_200_000)
            let gauges = try bench.status().services.first { $0.name == "policy" }?.gauges ?? [:]
            quiet = gauges["policy.document"] ?? 0 > 0 && gauges["rescan.running"] != 1 ? quiet + 1 : 0
        }
    }

    /// From the request on: when the first chunk was here, and when all was; decoded.
    private func read(_ client: Client, from: WallTime, until: WallTime, subject: String?) throws -> (first: Double, seconds: Double, events: UInt64) {
        var request = WireReleaseRequest()
        request.id = Nonce.random().bytes
        request.purpose = "bench"
        request.justification = "how long a read takes"
        request.classes = ["activity"]
        request.subjects = subject.map { [$0] } ?? []
        request.fromUs = from.microseconds
        request.untilUs = until.microseconds
        request.credit = UInt32(Limits.releaseCreditMax)
        var decompressor = try ZstdDecompressor()
        var (release, first, sum) = (UInt64(0), 0.0, 0)
        let begun = Stopwatch.now()
        let ended = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> WireReleaseEnded? in
            switch message.kind {
            case .release:
                let body = try message.body(WireRelease.self)
                if body.id == request.id { release = body.release }
            case .chunk:
                var message = message
                let chunk = try message.body(WireChunk.self)
                guard chunk.release == release, let payload = message.takePayload() else { return nil }
                if first == 0 { first = Stopwatch.now() - begun }
                var credit = WireCredit()
                credit.release = release
                credit.chunks = 1
                client.send(.credit, credit)
                let columns = try decompressor.decompress(payload.array(), expected: Int(chunk.columnsBytes), max: Limits.columnsBytesMax)
                let extent = BatchExtent(first: WallTime(nanoseconds: chunk.firstNs), last: WallTime(nanoseconds: chunk.lastNs), count: Int(chunk.count))
                sum &+= try ColumnsCodec.scan(columns, extent: extent).classes().count
            case .releaseEnded:
                let body = try message.body(WireReleaseEnded.self)
                return body.release == release ? body : nil
            default: break
            }
            return nil
        }
        guard ended.code == 0, first > 0 else { throw Complaint("the read was not whole: \(ended.text)") }
        return (first, Stopwatch.now() - begun, ended.events)
    }
    #endif
}

/// What tests and measurements do with a vault while no service runs on it. A test kills it in the middle.
struct VaultBench: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-vault", shouldDisplay: false)

    enum Deed: String, ExpressibleByArgument { case fill, forget, sweep, check }

    @Argument var deed: Deed
    @Option var home: String
    @Option var subjects = 4
    @Option var segments = 2_000
    @Option var days: Int64 = 100
    @Option var retention: Int64 = 50
    @Option var subject = "B0"
    @Option var rows = 16
    /// Recordings to cut segments from, and events of each; else they hold nothing that can be read.
    @Option var data: String?
    @Option var events = 500

    static func open(_ home: Home) throws -> SQLiteVault {
        try home.makeFolder("policy")
        return try SQLiteVault(path: home.file("policy/vault.sqlite"), masters: MasterKeyFile.loadAll(home.masterKey), pass: { FaultPoint.pass($0) })
    }

    #if os(Linux)
    static func fill(_ home: Home, _ fill: VaultFill) throws {
        let vault = try open(home)
        try fill.fill(vault)
        try vault.close()
    }
    #endif

    func run() throws {
        #if os(Linux)
        let home = Home(home)
        FaultPoint.arm(ProcessInfo.processInfo.environment["SLUICE_FAULT"])
        if deed == .fill {
            let batches = try data.map { try BenchBatch.cut(BenchBatch.recordings($0), events: events) }
                ?? [BenchBatch(count: 10, columnsBytes: 100, spanNanoseconds: 1_000_000_000, payload: [UInt8].random(700))]
            let now = Clock.wall()
            return try VaultBench.fill(
                home, VaultFill(subjects: subjects, segments: segments, from: now - .seconds(days * 86_400), until: now, batches: batches))
        }
        let vault = try VaultBench.open(home)
        switch deed {
        case .fill: break
        case .forget:
            say("begins")
            try vault.erase([ErasureOrder(subject, at: Clock.wall())])
            say("keys")
            while let step = try vault.eraseNext(atMost: rows) { say("rows \(step.segments)") }
        case .sweep:
            say("begins")
            var cursor: SweepCursor? = SweepCursor()
            let spans = [DataClass("activity"): Span.seconds(retention * 86_400)]
            while let from = cursor {
                let step = try vault.sweep(Retention(spans), at: Clock.wall(), from: from, atMost: rows)
                say("rows \(step.segments) keys \(step.keys)")
                cursor = step.next
            }
        case .check: try check(vault)
        }
        try vault.close()
        #endif
    }

    /// At once: a test goes by it.
    private func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }

    /// What can be read of whom, and what stands there that cannot.
    private func check(_ vault: SQLiteVault) throws {
        var (readable, unreadable) = ([String: Int](), 0)
        var cursor = SegmentCursor()
        let selection = Selection(classes: [DataClass("activity")], subjects: [], teams: [], from: .distantPast, until: .distantFuture)
        while true {
            let (segments, next) = try vault.segments(selection, after: cursor, limit: 256)
            for segment in segments {
                switch segment {
                case .success(let segment): readable[segment.scope.subject, default: 0] += 1
                case .failure: unreadable += 1
                }
            }
            guard segments.count == 256 else { break }
            cursor = next
        }
        let erasures = try vault.erasures().map { ["subject": $0.subject, "state": "\($0.state)", "segments": $0.segments] as [String: Any] }
        let totals = try vault.totals()
        let object: [String: Any] = ["readable": readable, "unreadable": unreadable, "erasures": erasures, "segments": totals.segments, "events": totals.events]
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self))
    }
}
