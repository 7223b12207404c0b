import ArgumentParser
import Chassis
import Foundation
import Gate
import Rules
import YAML

#if os(Linux)
struct BenchPolicyDiff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy-diff", abstract: "What a change of policy does, for a large company.",
        discussion: """
            EXAMPLE
              sluice bench policy-diff
              sluice bench policy-diff --people 100000 --roles 200 --grants 1000 --runs 5

            Two documents of one company, made from a seed: once with one grant more, once with each role and grant another. Times include finding blocks of people who are alike; reading a document's
            YAML is a line of its own.
            """)
    @Option(help: "People in the directory.") var people = 100_000
    @Option(help: "Roles, half of them by name, half by site and team.") var roles = 200
    @Option(help: "Grants.") var grants = 1_000
    @Option(help: "Runs of each.") var runs = 5
    @Option(help: "Seed of the company.") var seed: UInt64 = 1
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        var random = SeededChance(seed: seed)
        let directory = (0..<people).map { Person("E\($0)", site: "site-\(random.below(12))", team: "team-\(random.below(150))") }
        let (before, other) = (document(&random), document(&random))
        var more = before
        more.grants.append(.init("one-more", role: PolicyDocument.everyone, purpose: "purpose-1", classes: ["class-3"]))
        let now = WallTime(day: "2026-11-25") ?? .distantPast
        progress("\(Machine.description), load \(Machine.load), seed \(seed)")
        var lines: [[String: Any]] = []
        for (name, after) in [("one grant more", more), ("everything another", other)] {
            var seconds: [Double] = []
            var gains = 0
            for _ in 0..<runs {
                let started = Stopwatch.now()
                let diff = PolicyDiff(from: before, to: after, people: directory, at: now)
                seconds.append(Stopwatch.now() - started)
                gains = diff.gains.count
            }
            note(name, seconds, "\(Show.number(gains)) parts of access gained", &lines)
        }
        var (fewer, member, shorter) = (before, before, before)
        fewer.grants.removeLast()
        member.roles[0].members.remove(member.roles[0].members.first ?? "")
        for index in shorter.classes.indices { shorter.classes[index].retention = .seconds(86_400) }
        for (name, after) in [("any company: one grant less", fewer), ("any company: one member less of a role", member), ("any company: kept for a day", shorter), ("any company: one grant more", more), ("any company: everything another", other)] {
            let (old, new) = (before.canonical, after.canonical)
            var seconds: [Double] = []
            var gains = 0
            for _ in 0..<runs {
                let started = Stopwatch.now()
                gains = PolicyComparison.anyWorld(old, new).gains.count
                seconds.append(Stopwatch.now() - started)
            }
            note(name, seconds, gains == 0 ? "narrows, \(Show.bytes(Int64(new.count)))" : "\(Show.number(gains)) gains", &lines)
        }
        let text = before.canonical
        var seconds: [Double] = []
        for _ in 0..<runs {
            let started = Stopwatch.now()
            _ = try PolicyFiles.told("the document") { () throws(Mistakes) in try PolicyReader(detections: []).read(YAMLText.tree(text)) }
            seconds.append(Stopwatch.now() - started)
        }
        note("reading one as YAML", seconds, Show.bytes(Int64(text.count)), &lines)
        guard json else { return }
        for line in lines { print(String(decoding: try JSONSerialization.data(withJSONObject: line, options: [.sortedKeys]), as: UTF8.self)) }
    }

    private func note(_ what: String, _ seconds: [Double], _ detail: String, _ lines: inout [[String: Any]]) {
        let figures = Figures(seconds.map { $0 * 1e3 })
        lines.append(["what": what, "median_ms": figures.median, "runs_ms": seconds.map { $0 * 1e3 }, "detail": detail])
        guard !json else { return }
        let range = (seconds.min() ?? 0, seconds.max() ?? 0)
        print("\(what): \(Figures.number(figures.median, decimals: 0)) ms (\(Figures.number(range.0 * 1e3, decimals: 0))–\(Figures.number(range.1 * 1e3, decimals: 0))), \(detail)")
    }

    /// A company that grew: roles by name of a few hundred people, roles by place that include others, grants over teams, sites, a few people and everybody.
    private func document(_ random: inout SeededChance) -> PolicyDocument {
        let classes = (0..<6).map { PolicyDocument.Class("class-\($0)", retention: .seconds(86_400 * 90), audienceMax: 1_000) }
        let purposes = (0..<10).map { PolicyDocument.Purpose("purpose-\($0)", basis: .consent, classes: Set(classes.map(\.name))) }
        func match(_ random: inout SeededChance) -> Group.Match {
            switch random.below(4) {
            case 0: .init(sites: ["site-\(random.below(12))"])
            case 1: .init(sites: ["site-\(random.below(12))"], teams: ["team-\(random.below(150))", "team-\(random.below(150))"])
            case 2: .init(subjects: ["E\(random.below(people))", "E\(random.below(people))"])
            default: .init(teams: ["team-\(random.below(150))", "team-\(random.below(150))", "team-\(random.below(150))"])
            }
        }
        let roles = (0..<self.roles).map { index -> PolicyDocument.Role in
            var role = PolicyDocument.Role("role-\(index)")
            if index % 2 == 0 { role.members = Set((0..<20 + random.below(400)).map { _ in "E\(random.below(people))" }) } else { role.people = Group(only: match(&random)) }
            if index > 10, random.below(3) == 0 { role.includes = ["role-\(random.below(index))"] }
            return role
        }
        let grants = (0..<self.grants).map { index -> PolicyDocument.Grant in
            let group = random.below(10) == 0 ? Group(except: match(&random)) : Group(only: match(&random))
            let role = random.below(50) == 0 ? PolicyDocument.everyone : "role-\(random.below(self.roles))"
            let taken = Set((0..<1 + random.below(3)).map { _ in "class-\(random.below(6))" })
            let rate = random.below(2) == 0 ? nil : GrantRate(events: 1_000 * (1 + random.below(9)), per: .day)
            return .init("grant-\(index)", role: role, purpose: "purpose-\(random.below(10))", classes: taken, subjects: group, expires: random.below(4) == 0 ? WallTime(day: "2027-0\(1 + random.below(9))-01") : nil, rate: rate)
        }
        let capture = [PolicyDocument.CaptureRule(as: .redact(nil))] + (0..<20).map { _ in
            PolicyDocument.CaptureRule(classes: ["class-\(random.below(6))"], people: Group(only: match(&random)), as: .timing)
        }
        let rules = (0..<6).map { PolicyDocument.Assignment("class-\($0)", sources: [Event.Text.Source.allCases[$0]]) } + [PolicyDocument.Assignment("class-0", kinds: [.pointer, .key, .window, .presence])]
        return PolicyDocument(classes: classes, assignments: rules, capture: capture, purposes: purposes, roles: roles, grants: grants)
    }
}

/// SplitMix64: the same seed makes the same company.
struct SeededChance {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }
}
#endif
