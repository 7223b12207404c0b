import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Wire

struct Read: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read events as NDJSON. The read is on the record before the first byte.",
        discussion: """
            EXAMPLE
              sluice read --purpose model-training --why "tokeniser v3" --class activity --team search --since 7d > activity.ndjson
              sluice read --as tokeniser --purpose model-training --why "tokeniser v3" --class content --field text > texts.ndjson

            Standard output is NDJSON, an event a line, and whole lines only; everything else goes to standard error. Of a team or of everyone those who
            may not be read are left out, and counted; a person or class that is named and may not be read refuses the read.
            Exit code 0: everything that was asked for. 77: denied, or the right to read ended on the way; why is printed, and it is on record. 1: not
            to be had now (a pause does that), cut off, or nobody answers.
            """)

    @OptionGroup var connection: Connection
    @Option(help: "What the data is used for.") var purpose: String
    @Option(help: "Why it is needed. Recorded.") var why: String
    @Option(name: .customLong("class"), help: ArgumentHelp("A class of data; may be repeated.", valueName: "class")) var dataClass: [String]
    @Option(help: "Only this person; may be repeated.") var subject: [String] = []
    @Option(help: "Only this team; may be repeated.") var team: [String] = []
    @Option(help: "Only the last so many: 90s, 15m, 2h, 7d.") var since: String?
    @Option(name: .customLong("field"), help: ArgumentHelp("Only this of each event, beside when and what it was; may be repeated: \(EventField.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "field"))
    var field: [String] = []
    @Flag(help: "Add who and where from to each line: subject, class, stream, sequence.") var origin = false

    func run() throws {
        let client = try connection.client("policy")
        var request = WireReleaseRequest()
        request.id = Nonce.random().bytes
        request.purpose = purpose
        request.justification = why
        request.classes = dataClass
        request.subjects = subject
        request.teams = team
        request.fields = field
        request.credit = UInt32(Limits.releaseCreditMax)
        request.fromUs = try since.map { Clock.wall().microseconds - (try Read.microseconds($0)) } ?? 0
        var decompressor = try ZstdDecompressor()
        var release: WireRelease?
        var output = Data()
        let progress = Progress(isShown: isatty(STDERR_FILENO) == 1 && !connection.json)
        let ended = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> WireReleaseEnded? in
            switch message.kind {
            case .release:
                let body = try message.body(WireRelease.self)
                guard body.id == request.id else { return nil }
                release = body
                for line in Read.lines(of: body) { FileHandle.standardError.write(Data((Terminal.safe(line) + "\n").utf8)) }
            case .chunk:
                var message = message
                let chunk = try message.body(WireChunk.self)
                guard let payload = message.takePayload(), chunk.release == release?.release else { return nil }
                try write(chunk, payload, &decompressor, &output)
                progress.add(Int(chunk.count), of: release?.events ?? 0)
                var credit = WireCredit()
                credit.release = chunk.release
                credit.chunks = 1
                client.send(.credit, credit)
            case .releaseEnded:
                let body = try message.body(WireReleaseEnded.self)
                return body.release == release?.release ? body : nil
            default: break
            }
            return nil
        }
        progress.end()
        FileHandle.standardOutput.write(output)
        if connection.json { FileHandle.standardError.write(Data((try ended.shownAsJSON() + "\n").utf8)) }
        guard ended.code == 0 else {
            let text = "cut off after \(ended.events) events: \(ended.text)"
            if ended.code == Refusal.denied.rawValue { throw ClientError.refused(.denied, text) }
            throw Complaint(text)
        }
        FileHandle.standardError.write(Data("\(ended.events) events, complete\n".utf8))
    }

    private func write(_ chunk: WireChunk, _ payload: borrowing Message, _ decompressor: inout ZstdDecompressor, _ output: inout Data) throws {
        let columns = try decompressor.decompress(payload.array(), expected: Int(chunk.columnsBytes), max: Limits.columnsBytesMax)
        let extent = BatchExtent(first: WallTime(nanoseconds: chunk.firstNs), last: WallTime(nanoseconds: chunk.lastNs), count: Int(chunk.count))
        let prefix = origin
            ? Array("{\"subject\":\(Read.quoted(chunk.subject)),\"class\":\(Read.quoted(chunk.class)),\"stream\":\"\(chunk.stream)\",\"sequence\":\(chunk.sequence),\"event\":".utf8) : []
        for event in try ColumnsCodec.decode(columns, extent: extent) {
            output.append(contentsOf: prefix)
            output.append(contentsOf: EventLine.line(of: event))
            if origin { output.append(UInt8(ascii: "}")) }
            output.append(UInt8(ascii: "\n"))
        }
        if output.count > 1 << 16 {
            FileHandle.standardOutput.write(output)
            output.removeAll(keepingCapacity: true)
        }
    }

    /// What is said before the first byte.
    static func lines(of release: WireRelease) -> [String] {
        var lines = [
            "release \(release.release)   \(Show.number(release.subjects)) subjects   \(Show.count(Int64(clamping: release.events))) events   recorded as entry \(Show.number(release.entry)) before the first byte"
        ]
        if !release.grants.isEmpty {
            let policy = release.policy == 0 ? "a policy that is in force and not recorded yet" : "policy of entry \(Show.number(release.policy))"
            lines.append("by grant \(release.grants.joined(separator: ", ")) to \(release.roles.joined(separator: ", ")), \(policy)")
        }
        if !release.leftOut.isEmpty {
            lines.append("left out: " + release.leftOut.map { "\(Show.number($0.subjects)) (\(Read.word($0.why)))" }.joined(separator: ", "))
        }
        return lines
    }

    static func word(_ why: String) -> String { why.replacingOccurrences(of: "-", with: " ") }

    static func quoted(_ text: String) -> String {
        String(decoding: (try? JSONEncoder().encode(text)) ?? Data("\"\"".utf8), as: UTF8.self)
    }

    static func microseconds(_ text: String) throws -> Int64 {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count > 0, count < 1_000_000 else {
            throw ValidationError("--since is '\(text)': a number and s, m, h or d is expected, for example 7d")
        }
        return count * unit * 1_000_000
    }
}

/// How far a read is, drawn over on a terminal alone: in a file it would be noise.
private final class Progress {
    private let isShown: Bool
    private var events = 0
    private var shown = Instant(nanoseconds: 0)

    init(isShown: Bool) { self.isShown = isShown }

    func add(_ more: Int, of all: UInt64) {
        events += more
        let now = Clock.now()
        guard isShown, now - shown > .milliseconds(200) else { return }
        shown = now
        FileHandle.standardError.write(Data("\r\u{1B}[K\(Show.number(events)) of \(Show.number(all)) events".utf8))
    }

    func end() { if isShown { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) } }
}
