import Chance
import Exposure
import Gate
import Rules

/// Milliseconds of a small world's clock.
func ms(_ value: Int) -> WallTime { WallTime(nanoseconds: 1_000_000_000_000_000_000) + .milliseconds(Int64(value)) }
func ms(_ from: Int, _ until: Int) -> Period { Period(from: ms(from), until: ms(until)) }

extension SplitMix64 {
    mutating func some<Value: Hashable>(of values: [Value], _ percent: Int = 40) -> Set<Value> { Set(values.filter { _ in chance(percent) }) }
    mutating func someAtLeastOne<Value: Hashable>(of values: [Value]) -> Set<Value> { some(of: values).union([pick(values)]) }
    mutating func shuffled<Value>(_ values: [Value]) -> [Value] {
        var values = values
        for index in values.indices.reversed() where index > 0 { values.swapAt(index, below(index + 1)) }
        return values
    }
}

/// A company of a handful of people during a tenth of a second, in which everything changes that can.
struct SmallHistory {
    static let asked = ms(20, 80)
    static let classes = ["activity", "content", "review"]
    static let purposes = ["training", "law"]
    static let sites = ["berlin", "lisbon"]
    private static let teams = ["search", "ads"]
    static let ids = ["E0", "E1", "E2", "E3", "E4"]
    /// Who is nobody.
    static let nobody = ["planted/p0", "planted/p1", "planted/p2"]
    /// Policy's own, as whom it asks whether anybody may read.
    static let probe = "probe"
    /// Keys: of a person of the directory, of a job, of a person that no directory knows.
    static let keys = [("k0", "E0"), ("k1", ""), ("k2", "E9"), ("k3", "E1")]
    private static let roleNames = ["r0", "r1", PolicyDocument.everyone]
    /// What roles name: people, keys, and somebody of whom nothing else is known.
    private static let members = ids + ["k0", "k1", "k2", "E9", "X1"]

    var history = ExposureHistory()

    init(_ random: inout SplitMix64) {
        policies(&random)
        for (name, person) in SmallHistory.keys {
            for period in SmallHistory.periods(&random) {
                let isPlaced = random.chance(70)
                let place = (site: isPlaced ? random.pick(SmallHistory.sites) : nil, team: isPlaced ? random.pick(SmallHistory.teams) : nil)
                history.keys.append(.init(name, person: person.isEmpty ? nil : Person(person, site: place.site, team: place.team), period))
            }
        }
        for id in SmallHistory.ids where random.chance(80) {
            for period in SmallHistory.periods(&random) {
                history.directory.append(.init(Person(id, site: random.pick(SmallHistory.sites), team: random.pick(SmallHistory.teams)), period))
            }
        }
        for id in SmallHistory.ids where random.chance(70) {
            for period in SmallHistory.periods(&random) {
                let records = Records(notices: random.some(of: SmallHistory.purposes, 60), consents: random.some(of: SmallHistory.purposes, 60))
                history.records.append(.init(id, records, period))
            }
        }
        for epoch in 0..<random.below(4) {
            var selector = Selector()
            if random.chance(20) { selector.teams = [random.pick(SmallHistory.teams)] }
            if random.chance(20) { selector.subjects = random.someAtLeastOne(of: SmallHistory.ids) }
            if random.chance(30) { selector.classes = [DataClass(random.pick(SmallHistory.classes))] }
            if random.chance(30) { selector.readers = random.someAtLeastOne(of: SmallHistory.keys.map(\.0)) }
            if random.chance(30) { selector.purposes = [random.pick(SmallHistory.purposes)] }
            let from = random.below(100)
            history.closures.append(
                Closure(
                    epoch: Epoch(UInt64(epoch + 1)), direction: random.pick([.read, .both, .capture]), selector: selector, reason: "", author: "", incident: 0, from: ms(from),
                    until: random.chance(70) ? ms(from + random.below(40)) : nil))
        }
        for id in SmallHistory.ids {
            let home = Scope(subject: id, site: random.pick(SmallHistory.sites), team: random.pick(SmallHistory.teams))
            for _ in 0..<random.below(4) {
                let scope = random.chance(70) ? home : Scope(subject: id, site: random.pick(SmallHistory.sites), team: random.pick(SmallHistory.teams))
                let place = ReadPlace(scope, DataClass(random.pick(SmallHistory.classes)))
                history.holdings.append(.init(place, first: ms(random.chance(50) ? 0 : random.below(100)), events: Int64(1 + random.below(50))))
            }
            if random.chance(15) { history.erasures.append(.init(id, at: ms(random.below(100)))) }
        }
        planted(&random)
    }

    /// Before all the others: what somebody takes away of the last of a list is of somebody.
    private mutating func planted(_ random: inout SplitMix64) {
        history.probe = SmallHistory.probe
        history.holdingsAreFewer = random.chance(30)
        for id in SmallHistory.nobody {
            let home = Scope(subject: id, site: random.pick(SmallHistory.sites), team: random.pick(SmallHistory.teams))
            for _ in 0..<random.below(3) {
                history.holdings.insert(.init(ReadPlace(home, DataClass(random.pick(SmallHistory.classes))), first: ms(random.below(100)), events: 1), at: 0)
            }
            if random.chance(15) { history.erasures.insert(.init(id, at: ms(random.below(100))), at: 0) }
        }
        for number in 1..<1 + random.below(5) {
            let opened = random.below(100)
            let reader = random.pick(SmallHistory.keys.map(\.0) + [SmallHistory.probe])
            history.releases.append(
                .init(
                    number: UInt64(number), entry: UInt64(2 * number), reader: reader, policy: 0, purpose: random.pick(SmallHistory.purposes),
                    classes: random.someAtLeastOne(of: SmallHistory.classes).sorted().map { DataClass($0) }, subjects: random.some(of: SmallHistory.nobody).sorted(),
                    included: random.chance(70) ? random.some(of: SmallHistory.ids + SmallHistory.nobody).sorted() : nil, opened: ms(opened),
                    ended: random.chance(80) ? ms(opened + 1 + random.below(30)) : nil, events: 9, most: 9))
        }
    }

    private mutating func policies(_ random: inout SplitMix64) {
        var at = 0
        var index: UInt64 = 0
        var document: PolicyDocument? = random.chance(30) ? nil : SmallHistory.document(&random)
        for _ in 0..<1 + random.below(6) {
            history.policies.append(.init(index: index, at: ms(at), document.map { .known($0) } ?? .none))
            at += random.below(30)
            index += 1 + UInt64(random.below(5))
            document = document.map { SmallHistory.changed($0, &random) } ?? SmallHistory.document(&random)
        }
    }

    /// With a pause between them, or without.
    private static func periods(_ random: inout SplitMix64) -> [Period] {
        guard random.chance(60) else { return [.always] }
        var periods: [Period] = []
        var from = random.below(60)
        for _ in 0..<1 + random.below(3) {
            let until = from + 1 + random.below(40)
            periods.append(ms(from, until))
            from = until + (random.chance(50) ? 0 : random.below(20))
        }
        return periods
    }

    private static func match(_ random: inout SplitMix64, roles: [String]) -> Group.Match {
        var match = Group.Match()
        if random.chance(30) { match.sites = random.someAtLeastOne(of: sites) }
        if random.chance(30) { match.teams = random.someAtLeastOne(of: teams) }
        if random.chance(25) { match.subjects = random.someAtLeastOne(of: ids) }
        if !roles.isEmpty, random.chance(25) { match.roles = random.someAtLeastOne(of: roles) }
        if match == Group.Match() { match.sites = [random.pick(sites)] }
        return match
    }

    private static func group(_ random: inout SplitMix64, roles: [String]) -> Group {
        Group(only: random.chance(50) ? match(&random, roles: roles) : nil, except: random.chance(30) ? match(&random, roles: roles) : nil)
    }

    private static func role(_ index: Int, _ random: inout SplitMix64) -> PolicyDocument.Role {
        .init(
            "r\(index)", members: random.some(of: members, 25), includes: random.some(of: Array(roleNames[..<index]), 30).union(random.chance(10) ? [PolicyDocument.everyone] : []),
            people: random.chance(40) ? group(&random, roles: []) : nil)
    }

    private static func grant(_ index: Int, _ random: inout SplitMix64) -> PolicyDocument.Grant {
        .init(
            "g\(index)", role: random.pick(roleNames), purpose: random.pick(purposes), classes: random.someAtLeastOne(of: classes), subjects: group(&random, roles: roleNames),
            expires: random.pick([nil, nil, ms(random.below(100))]))
    }

    private static func document(_ random: inout SplitMix64) -> PolicyDocument {
        PolicyDocument(
            classes: classes.map { .init($0, retention: random.chance(90) ? .seconds(3_600) : nil, audienceMax: nil) },
            purposes: purposes.map { .init($0, basis: random.pick([.consent, .contract, .legalObligation, .legalObligation]), classes: random.someAtLeastOne(of: classes)) },
            roles: (0..<2).map { role($0, &random) }, grants: (0..<1 + random.below(4)).map { grant($0, &random) })
    }

    private static func changed(_ old: PolicyDocument, _ random: inout SplitMix64) -> PolicyDocument {
        var new = old
        switch random.below(6) {
        case 0: new.roles[random.below(2)].members.formSymmetricDifference([random.pick(members)])
        case 1: if !new.grants.isEmpty { new.grants.remove(at: random.below(new.grants.count)) }
        case 2: new.grants.append(grant(new.grants.count + 10, &random))
        case 3: new.roles[random.below(2)] = role(0, &random)
        case 4: new.purposes[random.below(2)].classes.formSymmetricDifference([random.pick(classes)])
        default: break
        }
        // Names stay one's own.
        if new.roles[1].name == "r0" { new.roles[1].name = "r1" }
        return new
    }
}
