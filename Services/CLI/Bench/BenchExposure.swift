import ArgumentParser
import Chassis
import Exposure
import Foundation
import Gate
import Rules

#if os(Linux)
struct BenchExposure: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exposure", abstract: "Who could read what and who did, of a large company with a long history.",
        discussion: """
            EXAMPLE
              sluice bench exposure
              sluice bench exposure --subjects 10000 --releases 100000 --versions 1000 --runs 5 --json

            A history made from a seed, assessed at a hundredth, a tenth and the whole of its size, each in a process of its own. Two thirds of the versions change a grant, the others
            the members of a role; everybody of the directory may gain a right, and a hundred keys read.
            """)
    @Option(help: "Subjects, in teams and sites, each with two classes.") var subjects = 10_000
    @Option(help: "Releases, each of one to twenty subjects.") var releases = 100_000
    @Option(help: "Versions of the policy document.") var versions = 1_000
    @Option(help: "Runs of each size.") var runs = 3
    @Option(help: "Seed of the history.") var seed: UInt64 = 1
    @Flag(help: "Print JSON.") var json = false
    /// One size alone, in this process.
    @Flag(help: .hidden) var once = false

    fileprivate struct Measured: Codable {
        var subjects: Int
        var releases: Int
        var versions: Int
        var seconds: Double
        /// Of the processor, by all threads.
        var processor: Double
        var peakBytes: Int
        var rows: Int
        var groups: Int
        var windows: Int
        var could: Int
        var lines: Int
        var bytes: Int
    }

    func run() throws {
        if once {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            return print(String(decoding: try encoder.encode(measure()), as: UTF8.self))
        }
        progress("\(Machine.description), load \(Machine.load), seed \(seed)")
        var table = FiguresTable("subjects × releases × versions", "seconds", "of processor", "peak memory", "rows", "groups", "windows", "people who could", "bytes of JSON")
        for divisor in [100, 10, 1] {
            let all = try (0..<runs).map { _ in try child(divisor) }
            let figures = Figures(all.map(\.seconds))
            let one = all[0]
            if json {
                for one in all { print(String(decoding: try JSONSerialization.data(withJSONObject: one.object, options: [.sortedKeys]), as: UTF8.self)) }
            } else {
                table.add(
                    "\(Show.number(one.subjects)) × \(Show.number(one.releases)) × \(Show.number(one.versions))", figures.formatted(decimals: 2), Figures(all.map(\.processor)).formatted(decimals: 2), Show.bytes(Int64(all.map(\.peakBytes).max() ?? 0)),
                    Show.number(one.rows), Show.number(one.groups), Show.number(one.windows), Show.number(one.could), Show.bytes(Int64(one.bytes)))
            }
        }
        if !json { print(table.formatted()) }
    }

    private func child(_ divisor: Int) throws -> Measured {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try Suite.binaries() + "/sluice")
        process.arguments = ["bench", "exposure", "--once", "--seed", "\(seed)", "--subjects", "\(max(1, subjects / divisor))", "--releases", "\(max(1, releases / divisor))", "--versions", "\(max(1, versions / divisor))"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Complaint("a run of the benchmark ended with \(process.terminationStatus)") }
        return try JSONDecoder().decode(Measured.self, from: data)
    }

    private func measure() -> Measured {
        let history = LargeHistory(subjects: subjects, releases: releases, versions: versions, seed: seed)
        let (started, used) = (Stopwatch.now(), CPUTime(of: getpid())?.total ?? 0)
        let assessment = Assessment(history.question, from: history.value)
        let lines = assessment.lines
        let seconds = Stopwatch.now() - started
        return Measured(
            subjects: subjects, releases: releases, versions: versions, seconds: seconds, processor: (CPUTime(of: getpid())?.total ?? 0) - used, peakBytes: ProcessFile.residentBytesPeak(of: getpid()) ?? 0, rows: assessment.exposed.count,
            groups: assessment.groups.count, windows: assessment.groups.reduce(0) { $0 + $1.windows.count }, could: assessment.totals.people, lines: lines.count,
            bytes: lines.reduce(0) { $0 + $1.count + 1 })
    }
}

extension BenchExposure.Measured {
    fileprivate var object: [String: Any] {
        ["subjects": subjects, "releases": releases, "versions": versions, "seconds": seconds, "processor_seconds": processor, "peak_bytes": peakBytes, "rows": rows, "groups": groups, "windows": windows, "could_people": could, "lines": lines, "bytes": bytes]
    }
}

/// A company of many, in which policy changed all the time of an incident.
private struct LargeHistory {
    private(set) var value = ExposureHistory()
    let question: ExposureQuestion

    private static let begin = WallTime(day: "2026-11-01") ?? .distantPast
    private static let classes = ["content", "review"]

    init(subjects: Int, releases: Int, versions: Int, seed: UInt64) {
        var random = SeededChance(seed: seed)
        let (teams, sites) = (150, 12)
        let begin = LargeHistory.begin
        let length = 86_400_000
        let period = Period(from: begin, until: begin + .milliseconds(Int64(length)))
        question = ExposureQuestion(incident: 1, period, of: Selector(classes: Set(LargeHistory.classes.map { DataClass($0) })))
        func team(_ number: Int) -> String { "team-\(number % teams)" }
        func site(_ number: Int) -> String { "site-\(number % teams % sites)" }
        for number in 0..<subjects {
            let scope = Scope(subject: "E\(number)", site: site(number), team: team(number))
            value.directory.append(.init(Person(scope), .always))
            for name in LargeHistory.classes { value.holdings.append(.init(ReadPlace(scope, DataClass(name)), first: begin, events: Int64(1 + random.below(1_000)))) }
            if random.below(10) > 0 { value.records.append(.init(scope.subject, Records(notices: ["review-cycle"], consents: random.below(3) > 0 ? ["training"] : []), .always)) }
        }
        for number in 0..<100 {
            let person = random.below(subjects)
            value.keys.append(.init("reader-\(number)", person: Person("E\(person)", site: site(person), team: team(person)), .always))
        }
        value.policies = LargeHistory.policies(subjects: subjects, versions: versions, length: length, &random)
        for number in 0..<releases {
            let first = random.below(subjects)
            let included = (0..<1 + random.below(20)).map { "E\((first + $0 * teams) % subjects)" }
            let opened = begin + .milliseconds(Int64(random.below(length)))
            let events = Int64(1 + random.below(10_000))
            value.releases.append(
                .init(
                    number: UInt64(number + 1), entry: UInt64(number * 2 + 1), reader: "reader-\(random.below(100))", policy: 0, purpose: "training", classes: [DataClass(LargeHistory.classes[random.below(2)])],
                    subjects: [], included: Array(Set(included)).sorted(), opened: opened, ended: opened + .seconds(2), events: events, most: events))
        }
    }

    private static func policies(subjects: Int, versions: Int, length: Int, _ random: inout SeededChance) -> [ExposureHistory.PolicyVersion] {
        func grant(_ number: Int, _ random: inout SeededChance) -> PolicyDocument.Grant {
            let group = random.below(5) == 0 ? Group() : Group(only: .init(teams: Set((0..<1 + random.below(4)).map { _ in "team-\(random.below(150))" })))
            let role = random.below(20) == 0 ? PolicyDocument.everyone : "role-\(random.below(40))"
            return .init("grant-\(number)", role: role, purpose: random.below(2) == 0 ? "training" : "review-cycle", classes: [classes[random.below(2)]], subjects: group)
        }
        func members(_ random: inout SeededChance) -> Set<String> { Set((0..<5 + random.below(20)).map { _ in "E\(random.below(subjects))" }) }
        var document = PolicyDocument(
            classes: classes.map { .init($0, retention: .seconds(86_400 * 30), audienceMax: nil) },
            purposes: [.init("training", basis: .consent, classes: Set(classes)), .init("review-cycle", basis: .contract, classes: Set(classes))],
            roles: (0..<40).map { number in
                number % 2 == 0 ? .init("role-\(number)", members: members(&random)) : .init("role-\(number)", people: Group(only: .init(teams: ["team-\(random.below(150))", "team-\(random.below(150))"])))
            },
            grants: (0..<100).map { grant($0, &random) })
        return (0..<versions).map { number in
            if number > 0 {
                if random.below(3) > 0 {
                    let place = random.below(document.grants.count)
                    document.grants[place] = grant(place, &random)
                } else {
                    document.roles[random.below(20) * 2].members = members(&random)
                }
            }
            return .init(index: UInt64(number + 1), at: begin + .milliseconds(Int64(length) * Int64(number) / Int64(versions)), .known(document))
        }
    }
}
#endif
