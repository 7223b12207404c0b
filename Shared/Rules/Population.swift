/// Everybody whom a diff speaks of: the directory, and whoever a document names who is not in it.
package struct Population: Sendable {
    /// The directory first, in its order.
    package let people: [Person]
    private let places: [String: Int]
    /// Of who may be in several places: all of them.
    private var copies: [String: [Int]] = [:]
    let listed: Bits
    private var sites: [String: Bits]
    private var teams: [String: Bits]

    /// - Parameter directory: Of two entries with one id the first counts.
    package init(_ directory: [Person], and documents: [PolicyDocument]) {
        var people: [Person] = []
        var places: [String: Int] = [:]
        for person in directory where places[person.id] == nil {
            places[person.id] = people.count
            people.append(person)
        }
        var named: Set<String> = []
        for document in documents {
            for role in document.roles { named.formUnion(role.members) }
            let groups = document.grants.map(\.subjects) + document.capture.map(\.people) + document.roles.compactMap(\.people)
            for group in groups { named.formUnion(group.only?.subjects ?? []) }
        }
        for id in named.sorted() where places[id] == nil {
            places[id] = people.count
            people.append(Person(id))
        }
        self.init(people: people, places: places)
    }

    private init(people: [Person], places: [String: Int]) {
        var listed = Bits(count: people.count)
        var sites: [String: [Int]] = [:]
        var teams: [String: [Int]] = [:]
        for (index, person) in people.enumerated() {
            if person.isListed { listed.insert(index) }
            if let site = person.site { sites[site, default: []].append(index) }
            if let team = person.team { teams[team, default: []].append(index) }
        }
        let count = people.count
        func bits(_ members: [Int]) -> Bits {
            var bits = Bits(count: count)
            for member in members { bits.insert(member) }
            return bits
        }
        self.people = people
        self.places = places
        self.listed = listed
        self.sites = sites.mapValues(bits)
        self.teams = teams.mapValues(bits)
    }

    /// All people that there may be in any company, as far as documents tell them apart: somebody in each place, whom none names; and of those whom they name one of
    /// each sort, in each place and in none. What nobody of these is in, nobody is.
    ///
    /// - Returns: nil: they would be more than `peopleMax`, or it is too much work.
    init?(anyOf documents: [PolicyDocument], peopleMax: Int, within work: Work) {
        var (siteSets, teamSets, nameSets): (Set<Set<String>>, Set<Set<String>>, Set<Set<String>>) = ([], [], [])
        guard work.take(documents.reduce(100) { $0 + 250 * $1.nameCount }) else { return nil }
        for document in documents {
            let groups = document.grants.map(\.subjects) + document.capture.map(\.people) + document.roles.compactMap(\.people)
            for match in groups.flatMap({ [$0.only, $0.except] }).compactMap({ $0 }) {
                siteSets.insert(match.sites)
                teamSets.insert(match.teams)
                nameSets.insert(match.subjects)
            }
            for role in document.roles { nameSets.insert(role.members) }
        }
        let (sites, teams, names) = (Population.sorts(in: siteSets), Population.sorts(in: teamSets), Population.sorts(in: nameSets))
        let (count, overflow) = ((sites.count + 1) * (teams.count + 1)).multipliedReportingOverflow(by: names.count + 1)
        guard !overflow, count + names.count < peopleMax else { return nil }
        // Each is somebody, and has a bit in the set of each site and team.
        guard work.take(count * 10 + names.count * 10 + (sites.count + teams.count + 2) * (count / 64 + 10)) else { return nil }
        func another(than sorts: [[String]]) -> String {
            let all = Set(sorts.joined())
            return (0...).lazy.map { "another \($0)" }.first { !all.contains($0) } ?? ""
        }
        var people: [Person] = []
        var copies: [String: [Int]] = [:]
        let (somewhere, someTeam, somebody) = (sites.map { $0[0] } + [another(than: sites)], teams.map { $0[0] } + [another(than: teams)], another(than: names))
        for site in somewhere { for team in someTeam { people.append(Person(somebody, site: site, team: team)) } }
        for name in names.map({ $0[0] }) {
            let first = people.count
            people.append(Person(name))
            for site in somewhere { for team in someTeam { people.append(Person(name, site: site, team: team)) } }
            copies[name] = Array(first..<people.count)
        }
        self.init(people: people, places: [:])
        // Who is of a sort is in the same lists: one stands for all of them.
        for sort in names { for name in sort { self.copies[name] = copies[sort[0]] } }
        for sort in sites { for site in sort.dropFirst() { self.sites[site] = self.sites[sort[0]] } }
        for sort in teams { for team in sort.dropFirst() { self.teams[team] = self.teams[sort[0]] } }
    }

    /// The members of some sets, those together that are in the same of them. Each sort in order, and the sorts as well.
    private static func sorts(in sets: Set<Set<String>>) -> [[String]] {
        var memberships: [String: [Int]] = [:]
        for (number, set) in sets.enumerated() { for member in set { memberships[member, default: []].append(number) } }
        return Dictionary(grouping: memberships.keys) { memberships[$0] ?? [] }.values.map { $0.sorted() }.sorted { $0[0] < $1[0] }
    }

    /// People as they were at several times, or in several places: an id may stand here several times, and whoever names it means all of them.
    package init(states people: [Person]) {
        var copies: [String: [Int]] = [:]
        for (index, person) in people.enumerated() { copies[person.id, default: []].append(index) }
        self.init(people: people, places: [:])
        self.copies = copies
    }

    /// Where somebody of this id is among the people.
    func insert(_ id: String, into bits: inout Bits) {
        if let place = places[id] { bits.insert(place) }
        for place in copies[id] ?? [] { bits.insert(place) }
    }

    /// Which of the people somebody of this id is; nil: none, or there are several.
    func place(of id: String) -> Int? { places[id] }

    /// In how many places somebody of this id is among the people.
    func count(of id: String) -> Int { copies[id]?.count ?? 1 }

    /// A directory for when there is none: one person of each site and team that the documents name, and of such as they do not. Nobody can
    /// be in another place, so what nobody of these gains, nobody gains who has no role by name.
    package static func standIns(for documents: [PolicyDocument]) -> [Person] {
        var sites: Set<String> = ["elsewhere"]
        var teams: Set<String> = ["any other"]
        for document in documents {
            let groups = document.grants.map(\.subjects) + document.capture.map(\.people) + document.roles.compactMap(\.people)
            for match in groups.flatMap({ [$0.only, $0.except] }) {
                sites.formUnion(match?.sites ?? [])
                teams.formUnion(match?.teams ?? [])
            }
        }
        return sites.sorted().flatMap { site in teams.sorted().map { Person("somebody of \(site), \($0)", site: site, team: $0) } }
    }

    /// The sets of one document. What ``Group/contains(_:roles:)`` says of one person, this says of all at once.
    package struct Sets {
        let population: Population
        private let work: Work
        private var roles: [String: Bits] = [:]
        private var groups: [Group: Bits] = [:]

        package init(_ population: Population, _ document: PolicyDocument) { self.init(population, document, within: .unbounded) }

        init(_ population: Population, _ document: PolicyDocument, within work: Work) {
            self.population = population
            self.work = work
            roles[PolicyDocument.everyone] = population.listed
            let byName = Dictionary(document.roles.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            // Included before including, without recursion: a chain may be long.
            for name in byName.keys where roles[name] == nil {
                var waiting = [name]
                while let top = waiting.last {
                    guard roles[top] == nil, let role = byName[top] else {
                        waiting.removeLast()
                        continue
                    }
                    let missing = role.includes.filter { roles[$0] == nil && byName[$0] != nil }
                    guard missing.isEmpty else {
                        waiting += missing
                        continue
                    }
                    // Once for each role, however often it was come by: that depends on the order.
                    guard work.take((1 + role.includes.count) * (60 + words)) else { return }
                    var bits = Bits(count: population.people.count)
                    insert(role.members, into: &bits)
                    if let people = role.people { bits.formUnion(group(people)) }
                    for included in role.includes { if let included = roles[included] { bits.formUnion(included) } }
                    roles[top] = bits
                    waiting.removeLast()
                }
            }
        }

        package func role(_ name: String) -> Bits { roles[name] ?? Bits(count: population.people.count) }

        private var words: Int { population.people.count / 64 + 1 }

        private func insert(_ names: Set<String>, into bits: inout Bits) {
            for name in names {
                guard work.take(30 + population.count(of: name)) else { return }
                population.insert(name, into: &bits)
            }
        }

        package mutating func group(_ group: Group) -> Bits {
            guard work.take(20 + 40 * group.nameCount) else { return Bits(count: population.people.count) }
            if let known = groups[group] { return known }
            var bits = group.only.map { match($0) } ?? population.listed
            if let except = group.except { bits.subtract(match(except)) }
            groups[group] = bits
            return bits
        }

        private func match(_ match: Group.Match) -> Bits {
            var bits: Bits?
            func narrow(_ values: Set<String>, _ set: (String) -> Bits?) {
                guard !values.isEmpty else { return }
                var any = Bits(count: population.people.count)
                guard work.take(values.count * (30 + words)) else { return }
                for value in values { if let more = set(value) { any.formUnion(more) } }
                if bits == nil { bits = any } else { bits?.formIntersection(any) }
            }
            narrow(match.sites) { population.sites[$0] }
            narrow(match.teams) { population.teams[$0] }
            narrow(match.roles) { roles[$0] }
            if !match.subjects.isEmpty {
                var named = Bits(count: population.people.count)
                insert(match.subjects, into: &named)
                if bits == nil { bits = named } else { bits?.formIntersection(named) }
            }
            return bits ?? Bits(count: population.people.count)
        }
    }
}

extension PolicyDocument {
    /// Names in its groups and roles: how much there is to look at.
    var nameCount: Int {
        let groups = grants.map(\.subjects) + capture.map(\.people) + roles.compactMap(\.people)
        return groups.reduce(0) { $0 + 1 + $1.nameCount } + roles.reduce(0) { $0 + 1 + $1.members.count + $1.includes.count }
    }
}

extension Group {
    var nameCount: Int { [only, except].reduce(0) { $0 + ($1.map { $0.sites.count + $0.teams.count + $0.subjects.count + $0.roles.count } ?? 0) } }
}
