import Chance
import Gate
import Rules
import Testing

struct AudienceWatchTests {
    private let now = SmallWorld.now
    private static let seeds: [UInt64] = [1, 2, 3, 4, 5]

    private func document(_ max: Int?, _ grants: PolicyDocument.Grant..., roles: [PolicyDocument.Role] = []) -> PolicyDocument {
        PolicyDocument(
            classes: [.init("activity", retention: .seconds(3_600), audienceMax: nil), .init("review", retention: .seconds(3_600), audienceMax: max)],
            purposes: [.init("p", basis: .contract, classes: ["review"])], roles: [.init("few", members: ["job", "E1"])] + roles, grants: grants)
    }

    private let few = PolicyDocument.Grant("few", role: "few", purpose: "p", classes: ["review"])
    private let all = PolicyDocument.Grant("all", role: PolicyDocument.everyone, purpose: "p", classes: ["review"])
    private func people(_ count: Int) -> [Person] { (0..<count).map { Person("E\($0)", site: "berlin", team: "search") } }

    @Test func `an audience at its limit is none, and one more is a finding, once for each document and when they have become more`() {
        var watch = AudienceWatch()
        func look(_ document: PolicyDocument, _ count: Int, entry: UInt64 = 7, over: Set<String> = [], keys: [Person] = []) -> [String] {
            watch.look(at: Policy(document), entry: entry, over: over, directory: people(count), keys: keys, at: now).map(\.sentence)
        }
        // Everybody of the directory, and the job.
        let limited = document(4, few, all)
        #expect(look(limited, 3) == [])
        #expect(look(limited, 4) == ["the audience of class review went 4 → 5 with a change of the directory or of readers, and its limit is 4"])
        #expect(look(limited, 4) == [], "once")
        #expect(look(limited, 5).count == 1 && look(limited, 4) == [] && look(limited, 5) == [], "fewer, and as many as were found, are no news")
        #expect(look(limited, 3) == [] && look(limited, 4).count == 1, "it was mended, and is so again")
        #expect(look(document(3, few), 100) == [], "the control: who may not read are not counted")
        #expect(look(document(3, few, all), 100, entry: 9) == ["the audience of class review went 2 → 101 with policy document 9, and its limit is 3"])
        #expect(look(document(3, few, all, roles: [.init("another")]), 100, entry: 10).count == 1, "another document that does no better")
        #expect(look(document(3, few, all), 1_000, over: ["review"]) == [], "named by two")
        #expect(look(document(nil, few, all), 1_000) == [])
        var anew = AudienceWatch()
        let found = anew.look(at: Policy(limited), entry: 7, over: [], directory: people(9), keys: [], at: now)
        #expect(found.map(\.sentence) == ["10 people could read class review, and its limit is 4"])
    }

    @Test func `who has a key is where two operators have said, and is one person`() {
        let elsewhere = PolicyDocument.Role("guards", people: Group(only: .init(teams: ["safety"])))
        let limited = document(2, few, PolicyDocument.Grant("g", role: "guards", purpose: "p", classes: ["review"]), roles: [elsewhere])
        func count(_ directory: [Person], _ keys: [Person]) -> Int? {
            var watch = AudienceWatch()
            return watch.look(at: Policy(limited), entry: 1, over: [], directory: directory, keys: keys, at: now).first?.people
        }
        #expect(count(people(5), []) == nil, "job and E1")
        #expect(count(people(5), [Person("E3", site: "berlin", team: "safety")]) == 3, "the directory has them elsewhere")
        #expect(count(people(5), [Person("E1", site: "berlin", team: "safety")]) == nil, "who may already is not counted twice")
        #expect(count(people(5), [Person("X1", site: "berlin", team: "safety")]) == 3, "whom the directory does not know")
        #expect(count([], [Person("X1", site: "berlin", team: "safety")]) == 3, "without a directory, too")
    }

    @Test func `a grant ends without anybody's doing, and whoever comes after it is found again`() {
        var ending = all
        ending.expires = now + .seconds(60)
        let limited = document(4, few, ending)
        var watch = AudienceWatch()
        func look(_ count: Int, at now: WallTime) -> [Int] { watch.look(at: Policy(limited), entry: 7, over: [], directory: people(count), keys: [], at: now).map(\.people) }
        #expect(look(9, at: now) == [10])
        #expect(AudienceWatch.nextExpiry(limited, after: now) == now + .seconds(60))
        let end = now + .seconds(60)
        #expect(AudienceWatch.nextExpiry(limited, after: end) == nil && look(9, at: end) == [], "two")
        #expect(look(9, at: now) == [10], "as a new grant would have it")
        #expect(AudienceWatch.nextExpiry(document(4, few, all), after: now) == nil)
    }

    @Test(arguments: seeds) func `as many are counted as the difference of two documents says`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var exceeded = 0
        for round in 0..<200 {
            let world = SmallWorld(&random)
            let diff = PolicyDiff(from: world.before, to: world.after, people: world.people, at: now)
            var watch = AudienceWatch()
            let found = watch.look(at: Policy(world.after), entry: 1, over: [], directory: world.people, keys: [], at: now)
            let told = diff.audiences.filter { one in one.isExceeded && world.after.classes.contains { $0.name == one.dataClass && $0.retention != nil } }
            #expect(Dictionary(uniqueKeysWithValues: found.map { ($0.dataClass.name, $0.people) }) == Dictionary(uniqueKeysWithValues: told.map { ($0.dataClass, $0.after ?? 0) }), "seed \(seed), world \(round)")
            exceeded += found.count
        }
        #expect(exceeded > 20, "seed \(seed)")
    }
}
