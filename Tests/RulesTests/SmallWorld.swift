import Chance
import Gate
import Rules

extension SplitMix64 {
    mutating func some<Value: Hashable>(of values: [Value], _ percent: Int = 40) -> Set<Value> { Set(values.filter { _ in chance(percent) }) }
    mutating func someAtLeastOne<Value: Hashable>(of values: [Value]) -> Set<Value> { some(of: values).union([pick(values)]) }
}

/// Two documents and a handful of people: small enough to ask every question there is.
struct SmallWorld {
    static let now = WallTime(nanoseconds: 1_000_000_000_000_000_000)
    let people: [Person]
    let before: PolicyDocument
    let after: PolicyDocument
    /// The rules on classes are the same, so that nothing is told generously.
    let keepsRules: Bool

    private static let sites = ["berlin", "lisbon"]
    private static let teams = ["search", "ads"]
    /// E5 and E6 are in no directory.
    private static let ids = ["E0", "E1", "E2", "E3", "E4", "E5", "E6"]
    private static let purposes = ["training", "law"]
    private static let classes = ["low", "middle", "high", "never"]

    init(_ random: inout SplitMix64) {
        people = (0..<5).map { _ in 0 }.enumerated().map { index, _ in
            Person(SmallWorld.ids[index], site: random.pick(SmallWorld.sites), team: random.pick(SmallWorld.teams))
        }
        keepsRules = random.chance(50)
        before = SmallWorld.document(&random)
        after = SmallWorld.changed(before, &random, keepsRules: keepsRules)
    }

    private static func match(_ random: inout SplitMix64, roles: [String]) -> Group.Match {
        var match = Group.Match()
        if random.chance(40) { match.sites = random.someAtLeastOne(of: sites) }
        if random.chance(40) { match.teams = random.someAtLeastOne(of: teams) }
        if random.chance(25) { match.subjects = random.someAtLeastOne(of: ids) }
        if !roles.isEmpty, random.chance(25) { match.roles = random.someAtLeastOne(of: roles) }
        if match == Group.Match() { match.sites = [random.pick(sites)] }
        return match
    }

    private static func group(_ random: inout SplitMix64, roles: [String]) -> Group {
        Group(only: random.chance(60) ? match(&random, roles: roles) : nil, except: random.chance(30) ? match(&random, roles: roles) : nil)
    }

    private static let roleNames = ["r0", "r1", "r2", PolicyDocument.everyone]

    private static func role(_ index: Int, _ random: inout SplitMix64) -> PolicyDocument.Role {
        // Includes what comes before it: never a circle.
        let includes = random.some(of: Array(roleNames[..<index]), 30).union(random.chance(5) ? [PolicyDocument.everyone] : [])
        return .init("r\(index)", members: random.some(of: ids, 30), includes: includes, people: random.chance(30) ? group(&random, roles: []) : nil)
    }

    private static func rate(_ random: inout SplitMix64) -> GrantRate? {
        guard random.chance(60) else { return nil }
        return GrantRate(events: random.chance(70) ? random.pick([1, 24, 100]) : nil, subjects: random.chance(30) ? random.pick([2, 50]) : nil, per: random.pick(GrantRate.Period.allCases))
    }

    private static func grant(_ index: Int, _ random: inout SplitMix64) -> PolicyDocument.Grant {
        let expires: WallTime? = random.pick([nil, now - .seconds(1), now, now + .seconds(10), now + .seconds(20)])
        return .init(
            "g\(index)", role: random.pick(roleNames), purpose: random.pick(purposes), classes: random.someAtLeastOne(of: Array(classes[..<3])),
            subjects: group(&random, roles: roleNames), expires: expires, rate: rate(&random))
    }

    private static func minimisation(_ random: inout SplitMix64) -> Minimisation {
        random.pick([.drop, .count, .timing, .redact(nil), .redact(["card"]), .redact(["card", "iban"]), .keep, .keep])
    }

    private static func captureRule(_ random: inout SplitMix64) -> PolicyDocument.CaptureRule {
        .init(
            kinds: random.chance(30) ? [random.pick(Event.Kind.allCases)] : [], classes: random.chance(30) ? random.someAtLeastOne(of: Array(classes[..<3])) : [],
            people: group(&random, roles: roleNames), as: minimisation(&random))
    }

    /// Titles are a or b, applications x or y: every rule can match, and fail to.
    private static func assignment(_ random: inout SplitMix64) -> PolicyDocument.Assignment {
        var rule = PolicyDocument.Assignment(random.pick(classes))
        if random.chance(40) { rule.kinds = random.someAtLeastOne(of: [.key, .window, .text]) }
        if random.chance(50), let glob = try? Glob(random.pick(["a", "b", "*"])) { rule.titles = [glob] }
        if random.chance(30), let glob = try? Glob(random.pick(["x", "y"])) { rule.applications = [glob] }
        if random.chance(20) { rule.detected = ["card"] }
        return rule
    }

    private static func purpose(_ name: String, _ random: inout SplitMix64) -> PolicyDocument.Purpose {
        .init(name, basis: random.pick([.consent, .contract, .legalObligation]), classes: Set(classes[..<3]))
    }

    private static func dataClass(_ name: String, _ random: inout SplitMix64) -> PolicyDocument.Class {
        .init(name, retention: name == "never" ? nil : .seconds(random.pick([3_600, 7_200])), audienceMax: random.pick([nil, 2, 3]))
    }

    private static func document(_ random: inout SplitMix64) -> PolicyDocument {
        PolicyDocument(
            classes: classes.map { dataClass($0, &random) }, assignments: (0..<random.below(5)).map { _ in assignment(&random) },
            capture: (0..<1 + random.below(3)).map { _ in captureRule(&random) }, purposes: purposes.map { purpose($0, &random) },
            roles: (0..<3).map { role($0, &random) }, grants: (0..<1 + random.below(4)).map { grant($0, &random) },
            leaks: random.chance(50) ? [.init(.canary, close: random.pick([.read, .both]), of: random.pick([.everything, .class]))] : [])
    }

    private static func changed(_ old: PolicyDocument, _ random: inout SplitMix64, keepsRules: Bool) -> PolicyDocument {
        var new = old
        for _ in 0..<1 + random.below(3) {
            switch random.below(keepsRules ? 7 : 9) {
            case 0: new.roles[random.below(3)].members.formSymmetricDifference([random.pick(ids)])
            case 1: if !new.grants.isEmpty { new.grants.remove(at: random.below(new.grants.count)) }
            case 2: new.grants.append(grant(new.grants.count + 10, &random))
            case 3:
                guard !new.grants.isEmpty else { continue }
                let index = random.below(new.grants.count)
                let other = grant(index, &random)
                switch random.below(4) {
                case 0: new.grants[index].expires = other.expires
                case 1: new.grants[index].rate = other.rate
                case 2: new.grants[index].subjects = other.subjects
                default: new.grants[index].classes = other.classes
                }
            case 4: new.capture[random.below(new.capture.count)] = captureRule(&random)
            case 5:
                let index = random.below(3)
                new.classes[index] = dataClass(new.classes[index].name, &random)
            case 6:
                if random.chance(50) { new.purposes[0] = purpose(new.purposes[0].name, &random) } else { new.leaks = [.init(.canary, close: random.pick([.read, .both]), of: random.pick([.everything, .class]))] }
            case 7: new.assignments.append(assignment(&random))
            default:
                if random.chance(20) { new.classes.swapAt(0, 1) } else if !new.assignments.isEmpty { new.assignments.remove(at: random.below(new.assignments.count)) }
            }
        }
        return new
    }
}
