import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Tracing

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Which release a file that was found outside is of: who took it, when, for what; and how sure that is.",
        discussion: """
            EXAMPLE
              sluice trace leaked.ndjson
              sluice trace leaked.csv.gz --json | jq '.releases[].reader'

            Every release carries events that nobody did, which look like those beside them and differ from release to release. They are found in NDJSON, CSV or
            plain text, gzip or zstd as well, also where lines are missing or shuffled and fields were removed. The file must have times (with milliseconds), or
            texts of eight words and more; keys, or positions without times, say little.

            Needs the home of policy's machine: the key is there and goes nowhere. The releases are those of its read ledger ('sluice ledger verify' checks it);
            no service need run. 'sluice export' carries no such events: what a person has of their own is of no release.

            How sure: once in so many files that are not of a release, whatever is in them, one would look like this.
            Exit code 0: a release or a reader is named. 3: none is. 1: the file, the key or the ledger cannot be read.
            """)

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Argument(help: ArgumentHelp("What was found ('-': standard input).", valueName: "file")) var path: String
    @Flag(help: "Print JSON, one object.") var json = false

    static let nothingFound = ExitCode(3)

    struct Report: Encodable {
        struct Match: Encodable {
            var release: ReleasesOnRecord.Release?
            var reader: String
            /// What was looked at.
            var toldBy: String
            var found: Int
            var expected: Double
            /// One in ten to this.
            var sure: Double
        }
        var file: String
        var lines: Int
        var bytes: Int
        var seconds: Double
        var releases: [Match]
        /// Told by what all releases to them carry.
        var readers: [Match]
        var compared: Int
        /// Releases that carry nothing.
        var plain: Int
        /// Releases under keys that are not here, by the key's id.
        var withoutKey: [String: Int]
        /// The smallest that can be told, as surely as is promised.
        var leastEvents: [String: Int64]
    }

    func run() throws {
        let begun = Clock.now()
        let folder = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
        let keys = try CanaryKeyFile.loadAll(folder.canaryKey)
        guard !keys.isEmpty else { throw Complaint("there is no \(folder.canaryKey): canaries are told on policy's machine, with the --home of its suite") }
        let record = try ReleasesOnRecord(LedgerFiles(folder))
        let file = try LeakFile(path)
        let trace = try TraceCommand.search(file, keys.filter { record.marked[$0.id] != nil })
        let matches = trace.matches(record.marked)
        let known = Set(keys.map(\.id))
        var report = Report(
            file: path, lines: trace.lines, bytes: file.bytes, seconds: 0, releases: [], readers: [], compared: record.releases.count, plain: record.plain,
            withoutKey: record.marked.filter { !known.contains($0.key) }.mapValues { $0.count { if case .release = $0 { true } else { false } } },
            leastEvents: TraceCommand.leastEvents)
        for match in matches {
            let told = TraceCommand.words(match.mark)
            switch match.marked {
            case .release:
                guard let release = record.releases[match.marked] else { continue }
                report.releases.append(.init(release: release, reader: release.reader, toldBy: told, found: match.found, expected: match.expected, sure: -match.chance))
            case .reader(let name): report.readers.append(.init(reader: name, toldBy: told, found: match.found, expected: match.expected, sure: -match.chance))
            }
        }
        report.seconds = Double((Clock.now() - begun).nanoseconds) / 1e9
        try show(report)
        if report.releases.isEmpty, report.readers.isEmpty { throw TraceCommand.nothingFound }
    }

    /// Reads it to its end; how far it is, is shown on a terminal from the first second on.
    static func search(_ file: LeakFile, _ keys: [CanaryKey]) throws -> LeakTrace {
        var trace = LeakTrace(keys: keys, bytes: file.size == 0 ? 1 << 28 : file.size)
        var buffer = [UInt8](repeating: 0, count: 1 << 22)
        var (filled, shown) = (0, Clock.now())
        let isShown = isatty(STDERR_FILENO) == 1
        while true {
            let count = try buffer.withUnsafeMutableBytes { try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[filled...])) }
            filled += count
            // A line that is longer than all of it is taken in pieces.
            let isLast = count == 0 || filled == buffer.count && !buffer.contains(0x0A)
            let taken = buffer.withUnsafeBufferPointer { trace.take(UnsafeBufferPointer(rebasing: $0[..<filled]), isLast: isLast) }
            if taken > 0 {
                buffer.withUnsafeMutableBytes { bytes in
                    guard taken < filled, let base = bytes.baseAddress else { return }
                    memmove(base, base + taken, filled - taken)
                }
                filled -= taken
            }
            if count == 0 { break }
            if isShown, Clock.now() - shown > .seconds(1) {
                shown = Clock.now()
                let part = file.size > 0 ? "\(min(100, file.position * 100 / file.size)) % of \(Show.bytes(Int64(file.size)))" : Show.bytes(Int64(file.bytes))
                FileHandle.standardError.write(Data("\r\u{1B}[K\(part), \(Show.count(Int64(trace.lines))) lines".utf8))
            }
        }
        if isShown { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        return trace
    }

    private static func words(_ mark: Mark) -> String {
        switch mark {
        case .when: "times to the millisecond"
        case .exact: "times"
        case .what: "times with positions or keys"
        case .place: "positions"
        case .opening: "first words"
        case .closing: "texts"
        }
    }

    private static var leastEvents: [String: Int64] {
        [
            "whole": CanaryShare.leastEvents(bits: 16, sample: 1), "sample": CanaryShare.leastEvents(bits: 16),
            "wholeMilliseconds": CanaryShare.leastEvents(bits: 8, sample: 1), "sampleMilliseconds": CanaryShare.leastEvents(bits: 8),
        ]
    }

    private func show(_ report: Report) throws {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }
        for match in report.releases {
            guard let release = match.release else { continue }
            let who = "\(release.reader)\(release.person.isEmpty ? "" : " (\(release.person))")"
            print(Terminal.safe("release \(release.release)   \(who)   \(Show.time(microseconds: release.atUs))   \(release.purpose)   \(release.classes.joined(separator: ","))   \(Show.number(release.events)) events   entry \(release.entry)   \"\(release.justification)\""))
            print("  \(sure(match))")
        }
        for match in report.readers where !report.releases.contains(where: { $0.reader == match.reader }) {
            print(Terminal.safe("reader \(match.reader)   of releases that were mixed or compared: what all of theirs carry is there, and what one of them carries is not"))
            print("  \(sure(match))")
        }
        let many = report.lines == 1 ? "1 line" : "\(Show.number(report.lines)) lines"
        let (least, of) = (report.leastEvents, "\(report.compared == 1 ? "1 release" : "\(Show.number(report.compared)) releases") compared")
        if report.releases.isEmpty, report.readers.isEmpty {
            print(
                """
                no canary found in \(many); \(of)
                What cannot be told: a release of fewer than \(Show.number(least["whole"] ?? 0)) events, or a twentieth of one of fewer than \(Show.number(least["sample"] ?? 0)) (\(Show.number(least["wholeMilliseconds"] ?? 0)) and \(Show.number(least["sampleMilliseconds"] ?? 0)) where nothing is left
                but times to the millisecond); a file without times to the millisecond and without texts of eight words; a release from which what two readers do not share was removed.
                """)
        } else {
            print("\(many) in \(String(format: "%.1f", report.seconds)) s; \(of)")
        }
        if report.plain > 0 { print("\(Show.number(report.plain)) releases carry no canaries: exports, and what was released with --no-canaries or before there were any") }
        for (key, count) in report.withoutKey.sorted(by: { $0.key < $1.key }) { print("\(Show.number(count)) releases are under the key \(key), which is not here: they cannot be told") }
    }

    private func sure(_ match: Report.Match) -> String {
        let chance = match.sure < 15 ? "once in \(Show.number(Int64(pow(10, match.sure.rounded(.down)))))" : "once in 10^\(Int(match.sure))"
        return "\(Show.number(match.found)) \(match.toldBy) name it, \(Figures.number(match.expected, decimals: match.expected < 10 ? 1 : 0)) would by chance; a file that is of nobody here looks like this \(chance)"
    }
}
