import Chance
import Exposure
import Gate
import Rules
import Testing

/// Releases of which it is known what was really in them, and records as policy would have written them.
struct DidTests {
    private static let classes = ["activity", "content", "review"].map { DataClass($0) }

    private struct World {
        var history = ExposureHistory()
        /// By release: what of whom was in it.
        var given: [UInt64: [ReadPlace: Int64]] = [:]
        /// Of which the vault is as it was.
        var unchanged: Set<UInt64> = []

        init(_ random: inout SplitMix64) {
            history.policies = [.init(index: 1, at: .distantPast, .none)]
            history.keys = [.init("job", .always)]
            var held: [(place: ReadPlace, events: Int64)] = []
            for subject in ["E1", "E2", "E3", "planted/x"] {
                for dataClass in DidTests.classes where random.chance(70) {
                    held.append((ReadPlace(Scope(subject: subject, site: "berlin", team: random.pick(["search", "ads"])), dataClass), Int64(1 + random.below(9))))
                }
            }
            history.holdings = held.map { .init($0.place, first: ms(0), events: $0.events) }
            for number in UInt64(1)...UInt64(1 + random.below(6)) {
                let classes = DidTests.classes.filter { _ in random.chance(60) }
                let teams = random.chance(40) ? [random.pick(["search", "ads"])] : []
                let subjects = teams.isEmpty && random.chance(60) ? random.someAtLeastOne(of: ["E1", "E2", "E3"]) : []
                guard !classes.isEmpty else { continue }
                // As it goes out: by person, then class.
                let selected = held.filter { one in
                    let scope = one.place.scope
                    return classes.contains(one.place.dataClass) && (subjects.contains(scope.subject) || teams.contains(scope.team) || subjects.isEmpty && teams.isEmpty)
                }.sorted { ($0.place.scope.subject, $0.place.dataClass) < ($1.place.scope.subject, $1.place.dataClass) }
                let most = selected.reduce(Int64(0)) { $0 + $1.events }
                let isCutOff = random.chance(40)
                let left = isCutOff ? Int64(random.below(Int(most) + 1)) : most
                var rest = left
                for one in selected {
                    let part = min(rest, one.events)
                    rest -= part
                    if part > 0 { given[number, default: [:]][one.place] = part }
                }
                let included = random.chance(70) ? Set(selected.map(\.place.scope.subject)).sorted() : nil
                let hasEnd = random.chance(85)
                var release = ExposureHistory.ReleaseOnRecord(
                    number: number, entry: number, reader: "job", policy: 0, purpose: "p", classes: classes, subjects: subjects.sorted(), included: included, opened: ms(30), ended: hasEnd ? ms(40) : nil,
                    events: hasEnd ? left : most, most: most)
                release.teams = teams
                release.cutOff = isCutOff && hasEnd ? "paused" : ""
                if random.chance(60) {
                    release.shares = selected.map { .init($0.place.scope.subject, $0.place.dataClass, events: $0.events) }
                    // Something has come since.
                    if random.chance(30), let last = release.shares?.indices.last { release.shares?[last].events += 1 } else if hasEnd { unchanged.insert(number) }
                }
                history.releases.append(release)
            }
        }
    }

    @Test func `what was in a release lies within what is said, and is said exactly where the vault is as it was`() {
        var (parts, exact) = (0, 0)
        for seed in UInt64(0)..<2_000 {
            var random = SplitMix64(seed: seed)
            let world = World(&random)
            let scope = Selector(classes: random.chance(50) ? Set(DidTests.classes.filter { _ in random.chance(60) }) : [])
            let found = Assessment(ExposureQuestion(incident: 1, ms(20, 80), of: scope), from: world.history)
            #expect(found.exposed.allSatisfy { !Drill.isPlanted($0.subject) }, "seed \(seed): nobody is exposed")
            for release in world.history.releases {
                let inScope = (world.given[release.number] ?? [:]).filter { scope.classes.isEmpty || scope.classes.contains($0.key.dataClass) }.filter { !Drill.isPlanted($0.key.scope.subject) }
                for (place, events) in inScope {
                    let row = found.exposed.first { $0.subject == place.scope.subject && $0.dataClass == place.dataClass }
                    let part = row?.did.first { found.releases[$0.release].release.number == release.number }
                    #expect(part?.events.contains(events) ?? false, "seed \(seed), release \(release.number)")
                    if world.unchanged.contains(release.number) { #expect(part?.events == events...events, "seed \(seed), release \(release.number)") }
                    parts += 1
                    if part?.events == events...events { exact += 1 }
                }
                // And nobody else is said to have been in it for certain.
                for row in found.exposed {
                    guard let part = row.did.first(where: { found.releases[$0.release].release.number == release.number }) else { continue }
                    let given = inScope.filter { $0.key.scope.subject == row.subject && $0.key.dataClass == row.dataClass }.values.reduce(0, +)
                    #expect(part.events.contains(given), "seed \(seed), release \(release.number), \(row.subject)")
                }
                let told = found.releases.first { $0.release.number == release.number }
                #expect(told?.events.contains(inScope.values.reduce(0, +)) ?? inScope.isEmpty, "seed \(seed), release \(release.number)")
                #expect(told?.subjects.contains(Set(inScope.keys.map(\.scope.subject)).count) ?? inScope.isEmpty, "seed \(seed), release \(release.number)")
            }
        }
        print("exposure, what was read: 2,000 seeds, \(parts) parts, \(exact) exact")
        #expect(parts > 10_000 && exact > parts / 3 && exact < parts)
    }
}
