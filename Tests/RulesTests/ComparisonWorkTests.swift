import Chance
import Foundation
import Gate
import Testing

@testable import Rules

/// Documents that one operator might sign so that control compares them for minutes, and pauses nothing meanwhile.
struct ComparisonWorkTests {
    private static func document(_ change: (inout PolicyDocument) -> Void) -> PolicyDocument {
        var document = PolicyDocument(
            classes: (0..<6).map { .init("class-\($0)", retention: .seconds(3_600), audienceMax: nil) }, assignments: (0..<6).map { .init("class-\($0)", sources: [Event.Text.Source.allCases[$0]]) },
            capture: [.init(as: .keep)], purposes: [.init("p", basis: .contract, classes: Set((0..<6).map { "class-\($0)" }))], roles: [.init("r", members: ["E1"])])
        change(&document)
        return document
    }

    private static func group(sites: some Sequence<Int> = [], teams: some Sequence<Int> = [], subjects: some Sequence<Int> = []) -> Group.Match {
        .init(sites: Set(sites.map { "s\($0)" }), teams: Set(teams.map { "t\($0)" }), subjects: Set(subjects.map { "E\($0)" }))
    }

    /// With what makes one another than the next.
    static let absurd: [(name: String, before: PolicyDocument, after: PolicyDocument)] = {
        var all: [(String, PolicyDocument, PolicyDocument)] = []
        func add(_ name: String, _ make: (inout PolicyDocument) -> Void, _ change: (inout PolicyDocument) -> Void) {
            let before = document(make)
            var after = before
            change(&after)
            all.append((name, before, after))
        }
        add("a thousand capture rules that each leave out a site and a team of two hundred", { document in
            document.capture = (0..<999).map { .init(classes: ["class-\($0 % 6)"], people: Group(except: group(sites: [$0 % 200], teams: [$0 / 5])), as: $0 % 2 == 0 ? .keep : .timing) }
        }, { $0.capture.append(.init(as: .redact(nil))) })
        add("the same, of which each event may move between thirty classes", { document in
            document.classes = (0..<30).map { .init("class-\($0)", retention: .seconds(3_600), audienceMax: nil) }
            document.purposes[0].classes = Set(document.classes.map(\.name))
            document.assignments = (0..<900).map { .init("class-\($0 % 30)", titles: [try! Glob("x\($0)")]) }
            document.capture = (0..<900).map { .init(people: Group(except: group(sites: [$0 % 200], teams: [$0 / 5])), as: $0 % 2 == 0 ? .keep : .timing) }
        }, { $0.assignments.removeFirst(300); $0.assignments += (0..<30).map { .init("class-\($0)", titles: [try! Glob("y\($0)")]) } })
        add("rules that redact hundreds of types each", { document in
            document.capture = (0..<60).map { rule in .init(people: Group(except: group(sites: [rule], teams: [rule])), as: .redact(Set((0..<300).map { "type-\(rule * 300 + $0)" }))) }
        }, { $0.capture.append(.init(as: .redact(["one"]))) })
        add("two thousand grants over two sites and two teams each, all another", { document in
            document.grants = (0..<2_000).map { .init("g\($0)", role: "r", purpose: "p", classes: ["class-\($0 % 6)"], subjects: Group(only: group(sites: [$0 % 200, $0 % 7], teams: [$0 / 10, $0 % 11]))) }
        }, { document in
            for index in document.grants.indices { document.grants[index].subjects.only?.sites.insert("s\(index % 13)") }
        })
        add("a grant over ten thousand people, beside a thousand over a few of them", { document in
            document.grants = (0..<1_000).map { .init("g\($0)", role: "r", purpose: "p", classes: ["class-0"], subjects: Group(only: group(subjects: $0 * 10..<$0 * 10 + 10))) }
        }, { $0.grants = [.init("all", role: "r", purpose: "p", classes: ["class-0"], subjects: Group(only: group(subjects: 0..<10_000)))] })
        add("a thousand grants to a thousand roles that each rest on all before them", { document in
            document.roles = (0..<1_000).map { .init("r\($0)", members: ["E\($0)"], includes: $0 == 0 ? [] : ["r\($0 - 1)"]) }
            document.grants = (0..<1_000).map { .init("g\($0)", role: "r\($0)", purpose: "p", classes: ["class-0"]) }
        }, { $0.roles[0].members = ["E0", "another"] })
        add("grants to holders told apart in a thousand ways, over subjects told apart in as many", { document in
            document.roles = (0..<600).map { role in .init("r\(role)", members: Set((0..<12).map { "E\((role * 37 + $0 * 101) % 1_000)" })) }
            document.grants = (0..<600).map { grant in
                .init("g\(grant)", role: "r\(grant)", purpose: "p", classes: ["class-0"], subjects: Group(only: group(subjects: (0..<12).map { (grant * 53 + $0 * 71) % 1_000 })))
            }
        }, { document in
            for index in document.grants.indices { document.grants[index].role = "r\((index + 1) % 600)" }
        })
        add("moves into thirty classes that ten thousand small grants name", { document in
            document.classes = (0..<30).map { .init("class-\($0)", retention: .seconds(3_600), audienceMax: nil) }
            document.purposes[0].classes = Set(document.classes.map(\.name))
            document.assignments = (0..<30).map { .init("class-\($0)", titles: [try! Glob("x\($0)")]) }
            document.grants = (0..<3_000).map { .init("g\($0)", role: "r", purpose: "p", classes: ["class-\($0 % 30)"], expires: WallTime(nanoseconds: Int64($0 + 1) * 1_000_000_000)) }
        }, { $0.assignments += (0..<30).map { .init("class-\($0)", titles: [try! Glob("y\($0)")]) } })
        return all
    }()

    @Test(arguments: absurd.indices) func `what would take too much to compare takes two, and is given up after so much work`(_ index: Int) throws {
        let (name, before, after) = Self.absurd[index]
        // Documents that may be sent.
        for document in [before, after] { _ = try PolicyReader().read(canonical: document.canonical) }
        var worlds = AnyWorld(from: before, to: after)
        let answer = worlds.compare()
        #expect(worlds.work.isUsedUp && answer.gains.count == 1, "\(name): \(answer.gains.prefix(3))")
        // As every follower comes to it, whose sets are in another order.
        #expect(PolicyComparison.anyWorld(before.canonical, after.canonical) == answer, "\(name)")
        // The same again is no other, and takes no work.
        #expect(PolicyComparison.anyWorld(before.canonical, before.canonical).gains == [])
    }

    @Test func `what takes something away from a document of a thousand grants is compared to the end`() {
        var random = SplitMix64(seed: 7)
        func places() -> Group.Match {
            switch random.below(4) {
            case 0: Self.group(sites: [random.below(12)])
            case 1: Self.group(sites: [random.below(12)], teams: [random.below(150), random.below(150)])
            case 2: Self.group(subjects: [random.below(100_000), random.below(100_000)])
            default: Self.group(teams: [random.below(150), random.below(150), random.below(150)])
            }
        }
        let before = Self.document { document in
            document.roles = (0..<200).map { role in
                .init("r\(role)", members: role % 2 == 0 ? Set((0..<20 + random.below(60)).map { _ in "E\(random.below(100_000))" }) : [], people: role % 2 == 0 ? nil : Group(only: places()))
            }
            document.grants = (0..<1_000).map { grant in
                .init("g\(grant)", role: "r\(random.below(200))", purpose: "p", classes: ["class-\(random.below(6))", "class-\(random.below(6))"], subjects: Group(only: places()))
            }
            document.capture += (0..<20).map { .init(classes: ["class-\($0 % 6)"], people: Group(only: places()), as: .timing) }
        }
        let narrower: [(inout PolicyDocument) -> Void] = [
            { $0.grants.removeLast() }, { $0.grants.removeFirst(500) }, { document in
                let role = document.roles.firstIndex { role in !role.members.isEmpty && document.grants.contains { $0.role == role.name } } ?? 0
                document.roles[role].members.remove(document.roles[role].members.sorted()[0])
            },
            { for index in $0.grants.indices { $0.grants[index].expires = WallTime(day: "2027-01-31") } }, { for index in $0.grants.indices { $0.grants[index].rate = .init(events: 10, per: .day) } },
            { for index in $0.classes.indices { $0.classes[index].retention = .seconds(1_800) } }, { $0.grants[7].subjects.except = Self.group(sites: [3]) }, { $0.capture.append(.init(kinds: [.text], as: .drop)) },
            { document in for index in document.grants.indices where index % 20 == 0 { document.grants[index].classes = [document.grants[index].classes.sorted()[0]] } },
        ]
        for (number, change) in narrower.enumerated() {
            var after = before
            change(&after)
            var worlds = AnyWorld(from: before, to: after)
            #expect(worlds.compare().gains == [] && !worlds.work.isUsedUp, "change \(number)")
            // The control: the other way round it widens.
            #expect(!PolicyComparison.anyWorld(after.canonical, before.canonical).gains.isEmpty, "change \(number)")
        }
    }
}
