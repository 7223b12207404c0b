import Chance
import Exposure
import Foundation
import Gate
import Rules
import Testing

/// What an assessment says, next to every question that can be asked of a small history.
struct OracleTests {
    /// Nil: they agree.
    private static func difference(_ oracle: Oracle, _ found: Assessment, _ history: ExposureHistory) -> String? {
        let wanted = Set(oracle.cells.map { Oracle.Cell(at: $0.at, subject: $0.subject, dataClass: $0.dataClass, key: $0.key, grant: $0.grant, policy: 0) })
        let said = found.cells(at: oracle.moments)
        if let missing = wanted.subtracting(said).min(by: { $0.description < $1.description }) { return "not said: \(missing)" }
        if let surplus = said.subtracting(wanted).min(by: { $0.description < $1.description }) { return "said, and not so: \(surplus)" }
        // By which document: the one in force lies within the window's.
        for cell in oracle.cells {
            guard let one = found.exposed.first(where: { $0.subject == cell.subject && $0.dataClass.name == cell.dataClass }), let could = one.could else { return "no row: \(cell)" }
            let windows = found.groups[could].windows.filter { $0.period.contains(cell.at) && $0.grant == cell.grant }
            guard windows.contains(where: { $0.policies.contains(cell.policy) }) else { return "another document: \(cell)" }
        }
        let rows = Dictionary(uniqueKeysWithValues: found.exposed.filter { $0.could != nil }.map { ([$0.subject, $0.dataClass.name], $0) })
        guard Set(rows.keys) == Set(oracle.rows.keys) else { return "rows \(rows.keys.sorted { "\($0)" < "\($1)" }), not \(oracle.rows.keys.sorted { "\($0)" < "\($1)" })" }
        for (name, row) in rows {
            guard let wanted = oracle.rows[name], let could = row.could else { continue }
            if row.period != wanted.period { return "\(name) from \(String(describing: row.period)), not \(String(describing: wanted.period))" }
            if row.events != wanted.events { return "\(name) \(row.events ?? -1) events, not \(wanted.events)" }
            let group = found.groups[could]
            if group.people != wanted.people.count || group.keys != wanted.keys.count {
                return "\(name) \(group.people) people with \(group.keys) keys, not \(wanted.people.sorted()) with \(wanted.keys.sorted())"
            }
        }
        let people = oracle.rows.values.reduce(into: Set<String>()) { $0.formUnion($1.people) }
        if found.totals.people != people.count { return "\(found.totals.people) people in all, not \(people.count)" }
        if found.planted != oracle.planted.sorted() { return "\(found.planted) left out, not \(oracle.planted.sorted())" }
        if let nobody = found.exposed.first(where: { SmallHistory.nobody.contains($0.subject) }) { return "nobody is exposed: \(nobody.subject)" }
        return nil
    }

    private static func question(_ random: inout SplitMix64) -> ExposureQuestion {
        var scope = Selector()
        if random.chance(40) { scope.classes = random.someAtLeastOne(of: SmallHistory.classes.map { DataClass($0) }) }
        if random.chance(15) { scope.teams = ["search"] }
        if random.chance(15) { scope.sites = [random.pick(SmallHistory.sites)] }
        if random.chance(15) { scope.subjects = random.someAtLeastOne(of: SmallHistory.ids + SmallHistory.nobody) }
        if random.chance(15) { scope.purposes = ["training"] }
        if random.chance(15) { scope.readers = random.someAtLeastOne(of: SmallHistory.keys.map(\.0)) }
        return ExposureQuestion(incident: 7, SmallHistory.asked, of: scope)
    }

    @Test func `who could read is what the rules say, asked at every moment at which anything changes`() {
        let seeds = 0..<(ProcessInfo.processInfo.environment["SLUICE_EXPOSURE_SEEDS"].flatMap(UInt64.init) ?? 200)
        var (rows, cells, planted, byPlace) = (0, 0, 0, 0)
        for seed in seeds {
            var random = SplitMix64(seed: seed)
            let history = SmallHistory(&random).history
            let question = OracleTests.question(&random)
            let oracle = Oracle(history, question)
            let difference = OracleTests.difference(oracle, Assessment(question, from: history), history)
            #expect(difference == nil, "seed \(seed)")
            if difference != nil { return }
            rows += oracle.rows.count
            cells += oracle.cells.count
            planted += oracle.planted.count
            if !question.scope.sites.isEmpty || !question.scope.teams.isEmpty { byPlace += oracle.planted.count }
        }
        print("exposure oracle: seeds \(seeds), \(rows) rows, \(cells) times that a key could read, \(planted) times that nobody was left out, \(byPlace) of them by place")
        // Worlds in which nobody may do anything say nothing.
        #expect(rows > seeds.count && cells > 10 * seeds.count && planted > seeds.count / 2 && byPlace > seeds.count / 10)
    }

    /// The control: an assessment that misses one thing of the history is found out.
    @Test(arguments: ["a closure", "a move", "a record", "a key's end", "a document", "an erasure", "an event", "a probe's name", "a planted subject's team"])
    func `a history with one thing less is found out`(_ what: String) {
        var found = 0
        for seed in UInt64(0)..<80 {
            var random = SplitMix64(seed: seed)
            let history = SmallHistory(&random).history
            let question = OracleTests.question(&random)
            var less = history
            switch what {
            case "a closure": if !less.closures.isEmpty { less.closures.removeLast() }
            case "a move": for index in less.directory.indices { less.directory[index].person.team = less.directory[index].person.team == "search" ? "ads" : "search" }
            case "a record": if !less.records.isEmpty { less.records.removeLast() }
            case "a key's end": for index in less.keys.indices { less.keys[index].period.until = .distantFuture }
            case "a document": if less.policies.count > 1 { less.policies.removeLast() }
            case "an erasure": less.erasures = []
            case "a probe's name": less.probe = ""
            case "a planted subject's team":
                for index in less.holdings.indices where SmallHistory.nobody.contains(less.holdings[index].place.scope.subject) {
                    less.holdings[index].place.scope.team = less.holdings[index].place.scope.team == "search" ? "ads" : "search"
                }
            default: if let last = less.holdings.indices.last { less.holdings[last].events? += 1 }
            }
            if OracleTests.difference(Oracle(history, question), Assessment(question, from: less), history) != nil { found += 1 }
        }
        #expect(found >= 3)
    }

    @Test func `the same history in another order makes the same bytes`() {
        var lines = 0
        for seed in UInt64(0)..<100 {
            var random = SplitMix64(seed: seed)
            let history = SmallHistory(&random).history
            let question = OracleTests.question(&random)
            var other = history
            other.policies = random.shuffled(history.policies)
            other.keys = random.shuffled(history.keys)
            other.directory = random.shuffled(history.directory)
            other.records = random.shuffled(history.records)
            other.closures = random.shuffled(history.closures)
            other.holdings = random.shuffled(history.holdings)
            other.erasures = random.shuffled(history.erasures)
            other.releases = random.shuffled(history.releases)
            let (first, second) = (Assessment(question, from: history), Assessment(question, from: other))
            #expect(first.lines == second.lines, "seed \(seed)")
            #expect(first.csvRows == second.csvRows, "seed \(seed)")
            lines += first.lines.count
        }
        #expect(lines > 300)
    }
}
