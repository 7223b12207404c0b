import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Rules
import Vault
import Wire

/// What an event takes on the disk, by kind.
struct BenchRest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rest", abstract: "Bytes at rest an event, by kind, beside the same events as NDJSON with zstd -3.",
        discussion: """
            EXAMPLE
              sluice bench rest --data recordings/ --texts labelled.ndjson.gz --per-segment 500 --per-segment 50

            A vault in a temporary folder below --folder: encrypted, with its keys, index and free pages, as the files stand when it is closed. The peer is one file of \
            everything, in the clear, that nothing can be erased from.
            Texts are written as they stand; keys are the same texts typed key by key, with the times that the recording's keys have; windows are made from the texts: \
            one for each, of 12 applications.
            """)

    @Option(help: "Events in a segment; may be repeated.") var perSegment: [Int] = [500, 50]
    @Option(help: "People that the events are dealt out to.") var subjects = 10
    @Option(help: "Recordings: a file or a folder.") var data: String?
    @Option(help: "Texts: NDJSON with a field text. Without it the recording's own.") var texts: String?
    @Option(help: "On the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard perSegment.allSatisfy({ (1...4_096).contains($0) }), subjects > 0 else { throw ValidationError("--per-segment 1 to 4096 and --subjects more than 0 are expected") }
    }

    struct Row: Encodable {
        var kind: String
        var events: Int
        var perSegment: Int
        var vaultBytes: Double
        var blobBytes: Double
        var lineBytes: Double
        var zstdBytes: Double
    }

    func run() throws {
        #if os(Linux)
        let recorded = try BenchBatch.events(BenchBatch.recordings(data ?? Up.findRecording(nil)))
        let typed = try BenchBatch.events([Up.findRecording(nil)])
        let written = try texts.map(words) ?? (recorded + typed).compactMap { if case .text(let text) = $0.detail { text.text } else { nil } }
        guard !written.isEmpty else { throw Complaint("there are no texts: name a file with --texts") }
        let steps = gaps(of: typed)
        let start = WallTime(nanoseconds: 1_767_600_000_000_000_000)
        let kinds: [(String, [Event])] = [
            ("pointer", recorded.filter { $0.kind == .pointer }), ("key", keys(written, steps, from: start)), ("window", windows(written, from: start)),
            ("text", written.enumerated().map { Event(at: start + .seconds(Int64($0.offset * 40)), detail: .text(Event.Text($0.element, source: .chat, app: "Chat"))) }),
        ]
        var rows: [Row] = []
        for (kind, events) in kinds where !events.isEmpty {
            let (lines, packed) = try asLines(events)
            for size in perSegment {
                progress("\(kind), \(size) events a segment")
                let (files, blobs) = try store(events, size)
                let count = Double(events.count)
                rows.append(
                    Row(
                        kind: kind, events: events.count, perSegment: size, vaultBytes: Double(files) / count, blobBytes: Double(blobs) / count,
                        lineBytes: Double(lines) / count, zstdBytes: Double(packed) / count))
            }
        }
        if json { return print(String(decoding: try JSONEncoder().encode(rows), as: UTF8.self)) }
        var table = FiguresTable("kind", "events", "a segment", "vault: bytes an event", "of these, ciphertext", "NDJSON", "NDJSON, zstd -3", "ratio")
        for row in rows {
            table.add(
                row.kind, Show.count(Int64(row.events)), "\(row.perSegment)", Figures.number(row.vaultBytes), Figures.number(row.blobBytes), Figures.number(row.lineBytes),
                Figures.number(row.zstdBytes), Figures.number(row.vaultBytes / row.zstdBytes, decimals: 2))
        }
        print(table.formatted())
        #endif
    }

    #if os(Linux)
    private func words(_ path: String) throws -> [String] {
        try BenchBatch.contents(path).split(separator: UInt8(ascii: "\n")).compactMap { (try JSONSerialization.jsonObject(with: $0) as? [String: Any])?["text"] as? String }
    }

    /// From one key to the next, in the order in which they came.
    private func gaps(of events: [Event]) -> [Span] {
        let times = events.filter { $0.kind == .key }.map(\.at)
        let gaps = zip(times, times.dropFirst()).map { $1 - $0 }.filter { $0 > .zero && $0 < .seconds(2) }
        return gaps.isEmpty ? [.milliseconds(80)] : gaps
    }

    private func keys(_ texts: [String], _ steps: [Span], from start: WallTime) -> [Event] {
        var (events, at, step) = ([Event](), start, 0)
        for text in texts {
            for character in text {
                for action in [Event.Key.Action.down, .up] {
                    events.append(Event(at: at, detail: .key(Event.Key(action, character == "\n" ? "Enter" : String(character)))))
                    at = at + steps[step % steps.count]
                    step += 1
                }
            }
        }
        return events
    }

    private func windows(_ texts: [String], from start: WallTime) -> [Event] {
        var at = start
        return texts.enumerated().map { number, text in
            let length = Span.milliseconds(Int64(2_000 + number * 7_919 % 90_000))
            defer { at = at + length }
            let title = String(text.prefix(40)).replacing("\n", with: " ")
            return Event(
                at: at, duration: length,
                detail: .window(Event.Window(app: "Application \(number * 31 % 12)", title: title, url: number % 3 == 0 ? "https://wiki.example/page/\(number * 17 % 400)" : nil)))
        }
    }

    private func asLines(_ events: [Event]) throws -> (lines: Int, packed: Int) {
        var lines: [UInt8] = []
        for event in events {
            lines += EventLine.line(of: event)
            lines.append(UInt8(ascii: "\n"))
        }
        var compressor = try ZstdCompressor()
        return (lines.count, try compressor.compress(lines, level: .dense).count)
    }

    /// - Returns: bytes of the vault's files once it is closed, and of the ciphertext in them.
    private func store(_ events: [Event], _ size: Int) throws -> (files: Int, blobs: Int) {
        let path = folder + "/sluice-bench-rest-\(getpid())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        guard let master = MasterKey(secret: [UInt8].random(MasterKey.bytesCount)) else { throw Complaint("no key could be made") }
        let vault = try SQLiteVault(path: path + "/vault.sqlite", master: master)
        let empty = try bytes(below: path)
        var compressor = try ZstdCompressor()
        var (blobs, sequence) = (0, UInt64(0))
        let parts = stride(from: 0, to: events.count, by: size).map { events[$0..<min($0 + size, events.count)] }
        for group in stride(from: 0, to: parts.count, by: 256).map({ parts[$0..<min($0 + 256, parts.count)] }) {
            var segments: [Segment] = []
            for part in group {
                let columns = try ColumnsCodec.encode(Array(part))
                let blob = try compressor.compress(columns.bytes)
                let subject = Int(sequence) % subjects
                sequence += 1
                blobs += blob.count
                segments.append(
                    Segment(
                        scope: Scope(subject: VaultFill.subject(subject), site: "site-\(subject % 10)", team: "team-\(subject % 100)"), dataClass: DataClass("activity"),
                        agent: UInt32(subject + 1), stream: 1, sequence: sequence, first: columns.extent.first, last: columns.extent.last, count: part.count, epoch: 0,
                        columnsBytes: columns.bytes.count, hash: Data(count: 16), blob: Data(blob)))
            }
            let made = segments
            try vault.transaction { transaction in
                for segment in made { try transaction.insert(segment) }
                return true
            }
        }
        try vault.close()
        return (max(0, try bytes(below: path) - empty), blobs)
    }

    private func bytes(below path: String) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: path).reduce(0) { sum, name in
            let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
            return sum + ((attributes[.size] as? NSNumber)?.intValue ?? 0)
        }
    }
    #endif
}
