import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

struct Read: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read events as NDJSON. The read is on the record before the first byte.",
        discussion: """
            EXAMPLE
              sluice read --purpose model-training --why "tokeniser v3" --class activity --team search > activity.ndjson

            Exit code 0: everything that was asked for. 1: refused or cut off (a pause does that); why is printed, and standard output
            holds whole lines only.
            """)

    @OptionGroup var connection: Connection
    @Option(help: "What the data is used for.") var purpose: String
    @Option(help: "Why it is needed. Recorded.") var why: String
    @Option(name: .customLong("class"), help: ArgumentHelp("A class of data; may be repeated.", valueName: "class")) var dataClass: [String]
    @Option(help: "Only this person; may be repeated.") var subject: [String] = []
    @Option(help: "Only this team; may be repeated.") var team: [String] = []
    @Option(help: "Only the last so many: 90s, 15m, 2h, 7d.") var since: String?
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
        request.credit = UInt32(Limits.releaseCreditMax)
        request.fromUs = try since.map { Clock.wall().microseconds - (try Read.microseconds($0)) } ?? 0
        var decompressor = try ZstdDecompressor()
        var release: WireRelease?
        var output = Data()
        let ended = try client.ask(.releaseRequest, request, silence: .seconds(10)) { message -> WireReleaseEnded? in
            switch message.kind {
            case .release:
                let body = try message.body(WireRelease.self)
                guard body.id == request.id else { return nil }
                release = body
                let text = "release \(body.release)   \(body.subjects) subjects   at most \(body.events) events   recorded before the first byte\n"
                FileHandle.standardError.write(Data(text.utf8))
            case .chunk:
                var message = message
                let chunk = try message.body(WireChunk.self)
                guard let payload = message.takePayload(), chunk.release == release?.release else { return nil }
                try write(chunk, payload, &decompressor, &output)
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
        FileHandle.standardOutput.write(output)
        if connection.json { FileHandle.standardError.write(Data((try ended.shownAsJSON() + "\n").utf8)) }
        guard ended.code == 0 else { throw Complaint("cut off after \(ended.events) events: \(ended.text)") }
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
