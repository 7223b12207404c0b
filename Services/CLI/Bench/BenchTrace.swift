import ArgumentParser
import Chassis
import Foundation
import Gate
import Rules
import Tracing
import Wire

struct BenchTrace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "How long a file is searched for the release that it is of.",
        discussion: """
            EXAMPLE
              sluice bench trace
              sluice bench trace --megabytes 1000 --releases 100000 --json

            The file is NDJSON of a pointer, made here from a seed, with the canaries of one release among as many as are asked for; it lies in the system's cache.
            """)

    @Option(help: "Of the file.") var megabytes = 1_000
    @Option(help: "That it is compared with.") var releases: UInt64 = 10_000
    @Option(help: "Searches; the median is shown.") var runs = 3
    @Option(help: "Where the file is made.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...100_000).contains(megabytes), releases > 0, runs > 0 else { throw ValidationError("--megabytes 1 to 100000, --releases and --runs more than 0 are expected") }
    }

    func run() throws {
        let path = folder + "/sluice-bench-trace-\(getpid()).ndjson"
        defer { unlink(path) }
        guard let key = CanaryKey(secret: [UInt8](repeating: 7, count: CanaryKey.bytesCount)) else { throw Complaint("no key") }
        let mine = releases / 2 + 1
        progress("making \(megabytes) MB")
        let canaries = try make(path, key, mine)
        var (seconds, lines, found) = ([Double](), 0, [LeakTrace.Match]())
        for run in 1...runs {
            progress("run \(run) of \(runs)")
            let begun = Stopwatch.now()
            let trace = try TraceCommand.search(LeakFile(path), [key])
            found = trace.matches([key.id: (1...releases).map { .release($0) } + [.reader("job")]])
            seconds.append(Stopwatch.now() - begun)
            lines = trace.lines
        }
        guard found.contains(where: { $0.marked == .release(mine) }), found.allSatisfy({ $0.marked == .release(mine) }) else {
            throw Complaint("the release was not found, or another was: \(found)")
        }
        let figures = Figures(seconds)
        let sure = -(found.first?.chance ?? 0)
        if json {
            return print(
                "{\"megabytes\":\(megabytes),\"lines\":\(lines),\"canaries\":\(canaries),\"releases\":\(releases),\"seconds\":\(figures.median),\"megabytesPerSecond\":\(Double(megabytes) / figures.median),\"sure\":\(sure)}")
        }
        var table = FiguresTable("file", "lines", "canaries", "releases compared", "seconds", "MB/s", "sure")
        table.add("\(Show.number(megabytes)) MB", Show.number(lines), Show.number(canaries), Show.number(releases), Figures.number(figures.median, decimals: 1), Figures.number(Double(megabytes) / figures.median, decimals: 0), "1 in 10^\(Int(sure))")
        print(table.formatted())
    }

    /// - Returns: how many canaries are in it.
    private func make(_ path: String, _ key: CanaryKey, _ release: UInt64) throws -> Int {
        guard let file = fopen(path, "w") else { throw Complaint("cannot make \(path): \(String(cString: strerror(errno)))") }
        defer { fclose(file) }
        // About so many bytes a line.
        let maker = CanaryMaker(key, for: .release(release), rate: CanaryShare.rate(events: Int64(megabytes) * 1_000_000 / 82))
        var (state, written, canaries, sequence) = (UInt64(20_261_126), 0, 0, UInt64(0))
        var (now, x, y) = (Int64(1_795_680_000_000), 900, 500)
        func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
        while written < megabytes * 1_000_000 {
            sequence += 1
            var events = (0..<500).map { _ in
                now += Int64(8 + below(12) * (below(20) == 0 ? 60 : 1))
                (x, y) = (min(1_919, max(0, x + below(31) - 15)), min(1_079, max(0, y + below(31) - 15)))
                return Event(at: WallTime(nanoseconds: now * 1_000_000), detail: .pointer(Event.Pointer(.move, x: Int32(x), y: Int32(y))))
            }
            let place = CanaryMaker.Place(stream: 1, sequence: sequence, dataClass: DataClass("activity"))
            let made = maker.make(maker.share(of: events.count, at: place), among: events, at: place, texts: TextPool(), until: WallTime(nanoseconds: now * 1_000_000))
            canaries += made.count
            events += made
            for event in events {
                let line = EventLine.line(of: event) + [0x0A]
                guard fwrite(line, 1, line.count, file) == line.count else { throw Complaint("cannot write \(path): \(String(cString: strerror(errno)))") }
                written += line.count
            }
        }
        return canaries
    }
}
