import ArgumentParser
import Chassis
import Detection
import Foundation

/// What detection finds of what people marked, and how fast it goes through what people write.
struct BenchDetection: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detection",
        abstract: "Megabytes a second of all rules on one thread; precision, recall and F2 on texts that are labelled.",
        discussion: """
            EXAMPLE
              sluice bench detection
              sluice bench detection labelled.ndjson --presidio venv/bin/python

            FILE is NDJSON: {"text": …, "spans": [{"type", "start", "end"}]}, offsets in code points, types as Presidio names them. A finding that overlaps a span of its type
            counts as found. Chat-like text is made here, from a seed: messages of 4 to 34 words, one in ten with a number, an address or a link. Times are
            the thread's processor time. --presidio runs Tests/Bench/presidio.py with that Python over the same texts, in the same run.
            """)

    @Argument(help: ArgumentHelp("Labelled texts, plain or gzip.", valueName: "file")) var path: String?
    @Option(help: "Megabytes of chat-like text.") var megabytes = 16
    @Option(help: "Rounds; the median is shown, with the range.") var rounds = 5
    @Option(help: "Bytes of a batch that is scanned at once.") var batch = 65_536
    @Option(help: ArgumentHelp("A Python with presidio-analyzer, to compare with.", valueName: "python")) var presidio: String?
    @Flag(help: "Score two halves of the texts apart as well, the same two in every run.") var halves = false
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...1_000).contains(megabytes), rounds > 0, batch > 0 else { throw ValidationError("--megabytes 1 to 1000, --rounds and --batch more than 0 are expected") }
        guard presidio == nil || path != nil else { throw ValidationError("--presidio compares on labelled texts: give a file") }
    }

    struct Score: Codable {
        var found = 0
        var missed = 0
        var `false` = 0

        var precision: Double { found == 0 ? 0 : Double(found) / Double(found + `false`) }
        var recall: Double { found == 0 ? 0 : Double(found) / Double(found + missed) }
        /// Recall counts four times as much as precision: what is missed leaves.
        var f2: Double { found == 0 ? 0 : 5 * precision * recall / (4 * precision + recall) }

        static func + (left: Score, right: Score) -> Score { Score(found: left.found + right.found, missed: left.missed + right.missed, false: left.false + right.false) }
    }

    private struct Presidio: Codable {
        var version: String
        var types: [String: Score]
        var megabytesPerSecond: Double
        var chatMegabytesPerSecond: Double?
    }

    private struct Report: Encodable {
        var rules: Int
        var compiledMilliseconds: Double
        var chatMegabytesPerSecond: [Double]
        var labelledMegabytesPerSecond: [Double]?
        var types: [String: Score]?
        var presidio: Presidio?
    }

    func run() throws {
        #if os(Linux)
        let begun = Self.processorTime()
        let detector: Detector
        let scanner: TextScanner
        do {
            detector = try Detector()
            scanner = try detector.makeScanner()
        } catch { throw Complaint("detection does not start: \(error)") }
        let compiled = (Self.processorTime() - begun) * 1e3
        progress("\(Machine.description); load \(Machine.load) before; \(detector.rules.count) rules, \(detector.book.types.count) types, compiled in \(Figures.number(compiled, decimals: 0)) ms")

        let chat = ChatText(bytes: megabytes * 1_000_000)
        var report = Report(rules: detector.rules.count, compiledMilliseconds: compiled, chatMegabytesPerSecond: speeds(scanner, chat.bytes, chat.ends))
        if let path {
            let texts = try LabelledTexts(contentsOf: path)
            report.labelledMegabytesPerSecond = speeds(scanner, texts.repeated.bytes, texts.repeated.ends)
            report.types = texts.scores(scanner)
            if let presidio { report.presidio = try compare(presidio, path, chat) }
            if !json { show(report, texts, halves ? texts.halves(scanner) : nil) }
        } else if !json {
            print("chat-like text  \(Figures(report.chatMegabytesPerSecond).formatted()) MB/s")
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }
        #endif
    }

    private func show(_ report: Report, _ texts: LabelledTexts, _ halves: [(String, Score)]?) {
        var table = FiguresTable("type", "marked", "found", "false", "precision", "recall", "F2", "Presidio P", "R", "F2")
        func add(_ name: String, _ score: Score, _ other: Score?) {
            func share(_ value: Double?) -> String { value.map { Figures.number($0, decimals: 3) } ?? "–" }
            table.add(
                name, "\(score.found + score.missed)", "\(score.found)", "\(score.false)", share(score.precision), share(score.recall), share(score.f2), share(other?.precision),
                share(other?.recall), share(other?.f2))
        }
        let types = report.types ?? [:]
        for type in types.keys.sorted() { add(type, types[type] ?? Score(), report.presidio?.types[type]) }
        add("all", types.values.reduce(Score(), +), report.presidio.map { $0.types.values.reduce(Score(), +) })
        for half in halves ?? [] { add(half.0, half.1, nil) }
        print(table.formatted())
        print("\(texts.texts.count) labelled texts")
        var speeds = FiguresTable("MB/s", "Sluice", "Presidio")
        let presidio = report.presidio
        speeds.add("chat-like text", Figures(report.chatMegabytesPerSecond).formatted(), presidio?.chatMegabytesPerSecond.map { Figures.number($0) } ?? "–")
        speeds.add("labelled texts", Figures(report.labelledMegabytesPerSecond ?? []).formatted(), presidio.map { Figures.number($0.megabytesPerSecond) } ?? "–")
        print(speeds.formatted())
    }

    #if os(Linux)
    private func speeds(_ scanner: TextScanner, _ bytes: [UInt8], _ ends: [Int]) -> [Double] {
        // As policy has them: the texts of a batch at once.
        var batches: [(range: Range<Int>, ends: [Int])] = []
        var start = 0
        var own: [Int] = []
        for end in ends {
            own.append(end - start)
            if end - start >= batch || end == ends.last {
                batches.append((start..<end, own))
                start = end
                own = []
            }
        }
        var found = 0
        return (0..<rounds).map { _ in
            let begun = Self.processorTime()
            bytes.withUnsafeBufferPointer { buffer in
                for batch in batches { scanner.findings(in: UnsafeBufferPointer(rebasing: buffer[batch.range]), ends: batch.ends) { _, _ in found += 1 } }
            }
            return Double(bytes.count) / 1e6 / (Self.processorTime() - begun)
        }
    }

    private func compare(_ python: String, _ path: String, _ chat: ChatText) throws -> Presidio {
        // A tenth of a megabyte: it takes a second for that.
        let sample = NSTemporaryDirectory() + "sluice-bench-chat-\(getpid()).txt"
        let output = sample + ".out"
        defer { for file in [sample, output] { try? FileManager.default.removeItem(atPath: file) } }
        try Data(chat.bytes.prefix(100_000)).write(to: URL(fileURLWithPath: sample))
        let script = "Tests/Bench/presidio.py"
        guard FileManager.default.fileExists(atPath: script) else { throw Complaint("\(script) is not here: run this in the source folder") }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: python)
        process.arguments = [script, path, sample]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0, let answer = try? JSONDecoder().decode(Presidio.self, from: data) else {
            throw Complaint("\(python) \(script) did not answer: is presidio-analyzer installed there?")
        }
        return answer
    }

    /// Of this thread, seconds.
    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    #endif
}

/// Texts in which people marked what there is.
private struct LabelledTexts {
    struct Text: Decodable {
        var text: String
        var spans: [Span]
    }

    struct Span: Decodable {
        var type: String
        var start: Int
        var end: Int
    }

    let texts: [Text]

    /// What Presidio's research set calls them, and what detection does.
    private static let types = [
        "CREDIT_CARD": "card", "EMAIL_ADDRESS": "mail", "PHONE_NUMBER": "phone", "US_SSN": "ssn", "IBAN_CODE": "iban", "IP_ADDRESS": "ip",
    ]

    init(contentsOf path: String) throws {
        let data = try BenchBatch.contents(path)
        let decoder = JSONDecoder()
        var texts: [Text] = []
        for (number, line) in data.split(separator: 0x0A).enumerated() where !line.isEmpty {
            do { texts.append(try decoder.decode(Text.self, from: Data(line))) } catch { throw Complaint("\(path), line \(number + 1): {\"text\", \"spans\"} is expected") }
        }
        guard !texts.isEmpty else { throw Complaint("\(path) has no labelled texts") }
        self.texts = texts
    }

    /// Often enough to be measured.
    var repeated: (bytes: [UInt8], ends: [Int]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        repeat {
            for text in texts {
                bytes.append(contentsOf: text.text.utf8)
                ends.append(bytes.count)
            }
        } while bytes.count < 4_000_000
        return (bytes, ends)
    }

    func scores(_ scanner: TextScanner) -> [String: BenchDetection.Score] { scores(scanner, texts) }

    /// Two halves that no text is in both of; which is which is the same in every run.
    func halves(_ scanner: TextScanner) -> [(String, BenchDetection.Score)] {
        var random = SplitMix(state: 20_261_125)
        let shuffled = texts.shuffled(using: &random)
        return [("one half", shuffled.prefix(texts.count / 2)), ("the other", shuffled.suffix(texts.count - texts.count / 2))].map { name, texts in
            (name, scores(scanner, Array(texts)).values.reduce(BenchDetection.Score(), +))
        }
    }

    private func scores(_ scanner: TextScanner, _ texts: [Text]) -> [String: BenchDetection.Score] {
        var scores = Dictionary(uniqueKeysWithValues: Self.types.values.map { ($0, BenchDetection.Score()) })
        for text in texts {
            var offsets = [0]
            for scalar in text.text.unicodeScalars { offsets.append(offsets[offsets.count - 1] + String(scalar).utf8.count) }
            let findings = scanner.findings(in: text.text)
            for (label, type) in Self.types {
                let marked = text.spans.filter { $0.type == label && $0.start <= $0.end && $0.end < offsets.count }.map { offsets[$0.start]..<offsets[$0.end] }
                let ours = findings.filter { $0.type.word == type }.map(\.range)
                for span in marked { if ours.contains(where: { $0.overlaps(span) }) { scores[type]?.found += 1 } else { scores[type]?.missed += 1 } }
                for finding in ours where !marked.contains(where: { $0.overlaps(finding) }) { scores[type]?.false += 1 }
            }
        }
        return scores
    }
}

/// A generator that gives the same row for a seed on every machine. Source: Steele, Lea, Flood 2014.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// What people write to each other at work, made from a seed.
struct ChatText {
    private(set) var bytes: [UInt8] = []
    private(set) var ends: [Int] = []

    private static let words = """
        the a to of and in is it you that was for on are with as at be this have from or had by but some what there we can out other were all your when up use how said each \
        she which do their time if will way about many then them write would like so these her long make thing see him two has look more day could go come did my no most \
        over know call first people may side been now find any new work part take get place made live where after back little only round came show every good me give our \
        under name very through just form much great think say help low line before turn cause same mean move right too does tell set three want air well also play small \
        end put home read port large add even land here must big high such follow ask change went need try again near build self ok thanks tomorrow meeting review please \
        deploy branch release customer über später für naïve 好的 спасибо 👍
        """.split(separator: " ")
    /// What there is to find in a message, and what looks like it.
    static let extras = [
        "my number is +49 30 901820", "mail me at ada.lovelace@example.org", "card 4532 0151 1283 0366", "call 555-0147 tomorrow",
        "see https://example.org/docs/getting-started?tab=2#install", "order 20231187 is late", "host 10.1.2.3 is down", "at 12:30 on 2024-05-17", "PR #4521 fixes it",
        "build 8f14e45fceea167a5a36dedd4bea2543 failed",
    ]

    init(bytes count: Int) {
        var random = SplitMix(state: 7)
        while bytes.count < count {
            let length = Int.random(in: 4...34, using: &random)
            for word in 0..<length {
                if word > 0 { bytes.append(0x20) }
                bytes.append(contentsOf: Self.words[Int.random(in: 0..<Self.words.count, using: &random)].utf8)
            }
            if Int.random(in: 0..<10, using: &random) == 0 {
                bytes.append(0x20)
                bytes.append(contentsOf: Self.extras[Int.random(in: 0..<Self.extras.count, using: &random)].utf8)
            }
            bytes.append(0x0A)
            ends.append(bytes.count)
        }
    }
}
