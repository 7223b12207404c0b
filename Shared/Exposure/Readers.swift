import Gate
import Rules

/// Whoever may have had a right: keys, and people without one.
struct Readers {
    /// Somebody for as long as they had the same key, or none, and were in the same place.
    private struct Standing {
        let identity: Int
        /// Nil: no key.
        let key: Int?
        let atoms: [Int]
        let period: Period
    }

    /// Who has a set of rights, as far as it does not depend on when.
    private struct Holders {
        var identities: Bits
        var keys: Bits
        /// Keys in the order of their names, those that hold during the whole question.
        var whole: [Int] = []
        /// Standings that begin or end in between.
        var partial: [Int] = []
    }

    private struct Asked: Hashable {
        let holders: Int?
        let period: Period
        let closures: [Int]
    }

    private struct Found {
        let audience: Int
        /// Beside those of ``Holders``; nil: these alone.
        let identities: [Int]
        let keys: [Int]
        let isWhole: Bool
    }

    private let asked: Period
    private var standings: [Standing] = []
    private var identities: [String: Int] = [:]
    /// By name and person.
    private var keys: [(name: String, person: String)] = []
    private var known: [Int?: Holders] = [:]
    private var found: [Asked: Found] = [:]
    private var audienceNumbers: [Assessment.Audience: Int] = [:]
    private(set) var audiences: [Assessment.Audience] = []

    /// - Parameter scope: Its readers alone, if it names any; and then nobody without a key.
    init(_ history: ExposureHistory, _ timeline: PolicyTimeline, _ whereabouts: Whereabouts, in asked: Period, _ scope: Selector, _ atoms: inout Atoms) {
        self.asked = asked
        let all = history.keys.sorted { ($0.name, $0.person?.id ?? "", $0.period.from) < ($1.name, $1.person?.id ?? "", $1.period.from) }
        for key in all where scope.readers.isEmpty || scope.readers.contains(key.name) {
            guard let period = key.period.overlap(asked) else { continue }
            let person = key.person?.id ?? ""
            if keys.last.map({ ($0.name, $0.person) != (key.name, person) }) ?? true { keys.append((key.name, person)) }
            let held = ([Person(key.name)] + (key.person.map { [$0] } ?? [])).map { atoms.number(of: $0) }
            standings.append(Standing(identity: identity(of: key.person?.id ?? key.name), key: keys.count - 1, atoms: held, period: period))
        }
        guard scope.readers.isEmpty else { return }
        var people = Set(whereabouts.people)
        for document in timeline.documents {
            for role in document.roles {
                people.formUnion(role.members)
                people.formUnion(role.people?.only?.subjects ?? [])
            }
        }
        // The name of a key is no person's, if the registry ever had it.
        people.subtract(history.keys.lazy.map(\.name))
        for id in people.sorted() {
            let identity = identity(of: id)
            for state in whereabouts.states(of: id) {
                standings.append(Standing(identity: identity, key: nil, atoms: [atoms.number(of: state.person ?? Person(id))], period: state.period))
            }
        }
    }

    private mutating func identity(of name: String) -> Int {
        if let known = identities[name] { return known }
        identities[name] = identities.count
        return identities.count - 1
    }

    var edges: [WallTime] { standings.flatMap { [$0.period.from, $0.period.until] } }
    var noPeople: Bits { Bits(count: identities.count) }
    var noKeys: Bits { Bits(count: keys.count) }

    /// The audience of a window.
    ///
    /// - Parameters:
    ///   - set: Atoms; nil: every key.
    ///   - closures: Numbers of those among `all` that close certain readers out, and bear on this window.
    mutating func audience(
        _ number: Int?, _ set: Bits?, in period: Period, _ closures: [Int], of all: [Closure], people: inout Bits, keys counted: inout Bits
    ) -> Int {
        let question = Asked(holders: number, period: period, closures: closures)
        let holders = holders(number, set)
        let answer = found[question] ?? find(holders, set, period, closures.map { all[$0] })
        found[question] = answer
        if answer.isWhole {
            people.formUnion(holders.identities)
            counted.formUnion(holders.keys)
        }
        for identity in answer.identities { people.insert(identity) }
        for key in answer.keys { counted.insert(key) }
        return answer.audience
    }

    /// When, of a period, there was anybody who could read by such a right: in order, with a pause between any two.
    mutating func presence(_ number: Int?, _ set: Bits?, in period: Period, _ closures: [Closure]) -> [Period] {
        let holders = holders(number, set)
        if closures.isEmpty {
            guard holders.identities.isEmpty else { return [period] }
            return Readers.joined(holders.partial.compactMap { standings[$0].period.overlap(period) })
        }
        return Readers.joined(
            standings.flatMap { standing -> [Period] in
                guard let both = standing.period.overlap(period), Readers.holds(standing, set) else { return [] }
                return left(of: both, standing, closures)
            })
    }

    private func left(of period: Period, _ standing: Standing, _ closures: [Closure]) -> [Period] {
        guard let key = standing.key else { return [period] }
        return period.without(closures.filter { $0.selector.readers.contains(keys[key].name) }.map(\.period))
    }

    private mutating func find(_ holders: Holders, _ set: Bits?, _ period: Period, _ closures: [Closure]) -> Found {
        var periods: [Int: [Period]] = [:]
        var identities: Set<Int> = []
        for number in closures.isEmpty ? holders.partial : Array(standings.indices) {
            let standing = standings[number]
            guard let both = standing.period.overlap(period), closures.isEmpty || Readers.holds(standing, set) else { continue }
            let left = left(of: both, standing, closures)
            guard !left.isEmpty else { continue }
            identities.insert(standing.identity)
            if let key = standing.key { periods[key, default: []] += left }
        }
        if closures.isEmpty { for key in holders.whole { periods[key] = [period] } }
        let listed = periods.keys.sorted().map { key in
            let joined = Readers.joined(periods[key] ?? [])
            return Assessment.Audience.Key(name: keys[key].name, person: keys[key].person, periods: joined == [period] ? [] : joined)
        }
        var count = identities.count
        if closures.isEmpty {
            var people = holders.identities
            for identity in identities { people.insert(identity) }
            count = people.count
        }
        let audience = Assessment.Audience(people: count, keys: listed)
        let number = audienceNumbers[audience] ?? audiences.count
        if number == audiences.count {
            audienceNumbers[audience] = number
            audiences.append(audience)
        }
        return Found(audience: number, identities: identities.sorted(), keys: periods.keys.sorted(), isWhole: closures.isEmpty)
    }

    static func joined(_ periods: [Period]) -> [Period] {
        var joined: [Period] = []
        for period in periods.sorted(by: { ($0.from, $0.until) < ($1.from, $1.until) }) {
            if let last = joined.last, period.from <= last.until { joined[joined.count - 1].until = max(last.until, period.until) } else { joined.append(period) }
        }
        return joined
    }

    private static func holds(_ standing: Standing, _ set: Bits?) -> Bool { set.map { set in standing.atoms.contains { set.contains($0) } } ?? (standing.key != nil) }

    private mutating func holders(_ number: Int?, _ set: Bits?) -> Holders {
        if let known = known[number] { return known }
        var holders = Holders(identities: noPeople, keys: noKeys)
        for (index, standing) in standings.enumerated() where Readers.holds(standing, set) {
            guard standing.period == asked else {
                holders.partial.append(index)
                continue
            }
            holders.identities.insert(standing.identity)
            guard let key = standing.key else { continue }
            holders.keys.insert(key)
            holders.whole.append(key)
        }
        known[number] = holders
        return holders
    }
}

extension Closure {
    var period: Period { Period(from: from, until: until ?? .distantFuture) }
}
