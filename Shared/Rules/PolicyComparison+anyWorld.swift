package import Gate

extension PolicyComparison {
    /// Whether in some possible company, at some time, anybody may do what they could not. For whoever knows no directory, and no clock.
    ///
    /// Where no document is (nil), ``PolicyDocument/standard`` is what is in force: everything is captured of whoever was told, and nobody reads by a grant. What cannot be
    /// read, or what would take too many people to tell, widens.
    package static let anyWorld = anyWorld(reading: { try? PolicyReader().read(canonical: $0) })

    /// - Parameter read: For whoever knows documents already: reading one takes longer than most comparisons. Nil: it cannot be read.
    package static func anyWorld(reading read: @escaping @Sendable ([UInt8]) -> PolicyDocument?) -> PolicyComparison {
        PolicyComparison(sendsAtOnce: { read($0)?.notices.send == .atOnce }) { old, new in
            guard let new else { return Answer(gains: ["no policy any more"]) }
            guard let after = read(new) else { return Answer(gains: ["a document that cannot be read here"]) }
            guard let before = old.map(read) ?? .standard else { return Answer(gains: ["another document than the one in force, which cannot be read here"]) }
            var worlds = AnyWorld(from: before, to: after)
            return worlds.compare()
        }
    }
}

/// Two documents, compared over all people that there may be.
///
/// A grant's holders and subjects are told apart by names and places, and all combinations of these in a large document are too many. So first each grant that is new, or is another, is held
/// against those that were there one by one, over the names and places of these two alone: what shrank is covered by what it was. Only what is left is compared with all of them together.
///
/// Whoever compares holds up everything else, a pause too, and one operator may send whatever they like: so all of it is bounded, and what is not compared by then widens.
struct AnyWorld {
    private let old: PolicyDocument
    private let new: PolicyDocument
    private let oldRoles: RoleIndex
    private let newRoles: RoleIndex
    /// Roles that somebody may have who had not, or has no more.
    private let changedRoles: Set<String>
    /// Grants of the old document, by purpose.
    private let covers: [String: [Int]]
    private let namesakes: [String: Int]
    /// Of each grant's role and group a number, the same for the same: their names may be thousands.
    private let oldParts: [Parts]
    private let newParts: [Parts]
    private var rolesWithin: [Pair: Bool] = [:]
    private var groupsWithin: [Pair: Bool] = [:]
    let work: Work

    /// A part of the contract: with another bound a change would narrow here that widens there.
    static let peopleMax = 50_000
    /// Holders against holders, subjects against subjects: what is not compared by then counts as not covered. A part of the contract as well.
    static let pairsMax = 2_000
    /// Of everything that the comparison does: a tenth of a second at most. A part of the contract as well.
    static let workMax = 8_000_000
    private var pairs = 0

    private struct Parts {
        let role: Int
        let group: Int
        /// Who is in it depends on a role that is another now.
        let isChanged: Bool
    }

    private struct Pair: Hashable {
        let mine: Int
        let other: Int
    }

    init(from old: PolicyDocument, to new: PolicyDocument, within work: Work = Work(atMost: AnyWorld.workMax)) {
        self.old = old
        self.new = new
        self.work = work
        oldRoles = RoleIndex(old.roles)
        newRoles = RoleIndex(new.roles)
        let changedRoles = oldRoles.changed(to: newRoles)
        self.changedRoles = changedRoles
        covers = Dictionary(grouping: old.grants.indices, by: { old.grants[$0].purpose })
        namesakes = Dictionary(old.grants.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        var (roles, groups): ([String: Int], [Group: Int]) = ([:], [:])
        func parts(_ grants: [PolicyDocument.Grant]) -> [Parts] {
            grants.map { grant in
                let (role, group) = (roles[grant.role] ?? roles.count, groups[grant.subjects] ?? groups.count)
                (roles[grant.role], groups[grant.subjects]) = (role, group)
                return Parts(role: role, group: group, isChanged: !changedRoles.isDisjoint(with: grant.subjects.roleNames))
            }
        }
        (oldParts, newParts) = (parts(old.grants), parts(new.grants))
    }

    mutating func compare() -> PolicyComparison.Answer {
        var answer = PolicyComparison.Answer()
        answer.gains += classGains
        let all = PolicyDiff.Moves(from: old, to: new)
        for move in Set(EventShape.allCases.flatMap { all[$0].moves }) { if let from = move.from, let to = move.to { answer.moves.insert(.init(from: from, to: to)) } }
        answer.gains += moveGains(answer.moves)
        answer.gains += captureGains()
        for purpose in old.purposes {
            guard let is_ = new.purposes.first(where: { $0.name == purpose.name }), is_.basis.asks < purpose.basis.asks else { continue }
            if new.grants.contains(where: { $0.purpose == purpose.name }) { answer.gains.append("purpose \(purpose.name) asks its subjects for less") }
        }
        for detector in LeakDetector.allCases where !new.reaction(to: detector).closesAsMuch(as: old.reaction(to: detector)) {
            answer.gains.append("a finding of \(detector.rawValue) closes less")
        }
        answer.gains += new.notices.loosenings(of: old.notices).map(\.words)
        if !new.drills.isWithin(old.drills) { answer.gains.append("drills may take longer, or come less often") }
        answer.gains += grantGains()
        // What was found by then may be half of something.
        if work.isUsedUp { answer.gains = ["it differs from the one in force in more than is compared here: whether anybody gains is not known"] }
        return answer
    }

    // MARK: Classes

    private var classGains: [String] {
        var gains: [String] = []
        for was in old.classes {
            guard let is_ = new.classes.first(where: { $0.name == was.name }) else {
                // What is stored of it has no time any more at which it goes, and no limit that a later document could be compared with.
                if was.retention != nil { gains.append("\(was.name) is no class any more: what is stored of it stays") }
                continue
            }
            if is_.retention ?? .zero > was.retention ?? .zero { gains.append("\(was.name) is kept for longer") }
            // What was never stored had no limit that anybody could have set.
            if was.retention != nil, let limit = was.audienceMax, is_.retention != nil, is_.audienceMax.map({ $0 > limit }) ?? true {
                gains.append("the audience limit of \(was.name) is raised")
            }
        }
        let (before, after) = (Set(old.classes.map(\.name)), Set(new.classes.map(\.name)))
        if old.classes.map(\.name).filter(after.contains) != new.classes.map(\.name).filter(before.contains) {
            gains.append("the order of classes is another: what is the more sensitive of two, and so what is noticed among what is less")
        }
        return gains
    }

    private mutating func moveGains(_ moves: Set<PolicyComparison.Move>) -> [String] {
        var gains: [String] = []
        for move in moves.sorted(by: { ($0.from, $0.to) < ($1.from, $1.to) }) {
            guard let is_ = new.classes.first(where: { $0.name == move.to })?.retention else { continue }
            var widens = is_ > old.classes.first { $0.name == move.from }?.retention ?? .zero
            for number in new.grants.indices where !widens {
                guard work.take(12) else { return [] }
                if new.grants[number].classes.contains(move.to) { widens = !isCovered(number, by: move.from) }
            }
            if widens { gains.append("some events of \(move.from) become events of \(move.to), which somebody reads who could not, or which is kept for longer") }
        }
        return gains
    }

    private func captureGains() -> [String] {
        let isSame =
            Set(old.capture) == Set(new.capture) && Set(old.purposes) == Set(new.purposes) && Set(old.assignments) == Set(new.assignments)
            && old.classes.map({ [$0.name, $0.retention == nil ? "" : "stored"] }) == new.classes.map({ [$0.name, $0.retention == nil ? "" : "stored"] })
            && changedRoles.isDisjoint(with: new.capture.flatMap(\.people.roleNames))
        if isSame { return [] }
        let (before, after) = (part(of: old, oldRoles, capture: old.capture), part(of: new, newRoles, capture: new.capture))
        guard let people = Population(anyOf: [before, after], peopleMax: AnyWorld.peopleMax, within: work) else { return ["capture, for more sorts of people than can be told apart here"] }
        var gains: [String] = []
        for widening in PolicyDiff(from: before, to: after, of: people, at: .distantPast, within: work).widenings {
            switch widening {
            case .capture(let shapes, _): gains.append("more is kept of \(shapes.map { "\($0)" }.joined(separator: ", ")) of somebody")
            case .records(let name): gains.append("\(name) is captured of some who had not agreed, or were not told")
            default: break
            }
        }
        return gains.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    // MARK: Grants

    private mutating func grantGains() -> [String] {
        let known = Set(old.grants.map(\.unnamed))
        var left: [(grant: PolicyDocument.Grant, classes: Set<String>)] = []
        for (number, grant) in new.grants.enumerated() {
            if known.contains(grant.unnamed), !newParts[number].isChanged, !changedRoles.contains(grant.role) { continue }
            // In order: which of them are compared by the time that it is too much must be the same everywhere.
            let uncovered = grant.classes.sorted().filter { !isCovered(number, by: $0) }
            if !uncovered.isEmpty { left.append((grant, Set(uncovered))) }
        }
        guard !left.isEmpty, !work.isUsedUp else { return [] }
        // Several grants together may cover what none does alone.
        let purposes = Dictionary(grouping: left, by: \.grant.purpose).mapValues { $0.reduce(into: Set<String>()) { $0.formUnion($1.classes) } }
        let covers = old.grants.filter { cover in purposes[cover.purpose].map { !$0.isDisjoint(with: cover.classes) } ?? false }
        let before = part(of: old, oldRoles, grants: covers)
        let after = part(
            of: new, newRoles,
            grants: left.map {
                var grant = $0.grant
                grant.classes = $0.classes
                return grant
            })
        guard !covers.isEmpty, let people = Population(anyOf: [before, after], peopleMax: AnyWorld.peopleMax, within: work) else {
            return left.map { "somebody may read \($0.classes.sorted().joined(separator: ", ")) who could not, by grant \"\($0.grant.name)\"" }
        }
        var gains: [String] = []
        for widening in PolicyDiff(from: before, to: after, of: people, at: .distantPast, within: work).widenings {
            switch widening {
            case .access(let grant, let name, _): gains.append("somebody can read \(name) of somebody whose they could not, by grant \"\(grant)\"")
            case .terms(let grant, let name, _): gains.append("somebody can read \(name) for longer, or more at a time, by grant \"\(grant)\"")
            default: break
            }
        }
        return gains
    }

    /// Whether one grant of the old document gave all of it already.
    private mutating func isCovered(_ number: Int, by oldName: String) -> Bool {
        let mine = new.grants[number]
        let candidates = covers[mine.purpose] ?? []
        // That of the same name first: most changes are of one grant.
        let namesake = namesakes[mine.name].flatMap { old.grants[$0].purpose == mine.purpose ? $0 : nil }
        if let namesake, isCovered(number, oldName, by: namesake) { return true }
        for candidate in candidates where candidate != namesake {
            if isCovered(number, oldName, by: candidate) { return true }
            if work.isUsedUp { return false }
        }
        return false
    }

    private mutating func isCovered(_ number: Int, _ oldName: String, by candidate: Int) -> Bool {
        guard work.take(40), old.grants[candidate].classes.contains(oldName), new.grants[number].isWithinTerms(of: old.grants[candidate]) else { return false }
        return isRoleWithin(number, candidate) && isGroupWithin(number, candidate)
    }

    private mutating func isRoleWithin(_ number: Int, _ candidate: Int) -> Bool {
        let (mine, other) = (new.grants[number].role, old.grants[candidate].role)
        if mine == other, !changedRoles.contains(mine) { return true }
        let pair = Pair(mine: newParts[number].role, other: oldParts[candidate].role)
        if let known = rolesWithin[pair] { return known }
        let (before, after) = (PolicyDocument.Grant("", role: other, purpose: "", classes: []), PolicyDocument.Grant("", role: mine, purpose: "", classes: []))
        let isWithin = isWithin(after, of: before) { $0.role($1.role) }
        rolesWithin[pair] = isWithin
        return isWithin
    }

    private mutating func isGroupWithin(_ number: Int, _ candidate: Int) -> Bool {
        let pair = Pair(mine: newParts[number].group, other: oldParts[candidate].group)
        if pair.mine == pair.other, !newParts[number].isChanged { return true }
        if let known = groupsWithin[pair] { return known }
        let everyone = PolicyDocument.everyone
        let (before, after) = (
            PolicyDocument.Grant("", role: everyone, purpose: "", classes: [], subjects: old.grants[candidate].subjects),
            PolicyDocument.Grant("", role: everyone, purpose: "", classes: [], subjects: new.grants[number].subjects)
        )
        let isWithin = isWithin(after, of: before) { $0.group($1.subjects) }
        groupsWithin[pair] = isWithin
        return isWithin
    }

    /// Over the names and places of these two alone.
    private mutating func isWithin(
        _ mine: PolicyDocument.Grant, of other: PolicyDocument.Grant, _ set: (inout Population.Sets, PolicyDocument.Grant) -> Bits
    ) -> Bool {
        pairs += 1
        guard pairs <= AnyWorld.pairsMax, work.take(12_000) else { return false }
        let (before, after) = (part(of: old, oldRoles, grants: [other]), part(of: new, newRoles, grants: [mine]))
        guard let people = Population(anyOf: [before, after], peopleMax: AnyWorld.peopleMax, within: work) else { return false }
        var (olds, news) = (Population.Sets(people, before, within: work), Population.Sets(people, after, within: work))
        let isWithin = set(&news, mine).isSubset(of: set(&olds, other))
        return isWithin && !work.isUsedUp
    }

    /// The document with these rules alone, and the roles that they need.
    private func part(
        of document: PolicyDocument, _ roles: RoleIndex, grants: [PolicyDocument.Grant] = [], capture: [PolicyDocument.CaptureRule] = []
    ) -> PolicyDocument {
        var part = document
        part.grants = grants
        part.capture = capture
        part.leaks = []
        // Which events have which class is nothing to a grant.
        if !grants.isEmpty { (part.assignments, part.purposes) = ([], []) }
        part.roles = Array(roles.reachable(from: grants.flatMap { [$0.role] + $0.subjects.roleNames } + capture.flatMap(\.people.roleNames), within: work).values)
        return part
    }
}

extension PolicyDocument {
    /// What it says of capture, and of nothing else: with the same, the same is kept of every event.
    package var forCapture: PolicyDocument {
        let names = capture.flatMap(\.people.roleNames)
        let needed = RoleIndex(roles).reachable(from: names)
        return PolicyDocument(
            classes: classes.map { Class($0.name, retention: $0.retention.map { _ in .seconds(3_600) }, audienceMax: nil) }, assignments: assignments, capture: capture, purposes: purposes,
            roles: roles.filter { needed[$0.name] != nil })
    }
}

/// Roles by name, and all that they rest on.
struct RoleIndex {
    fileprivate let byName: [String: PolicyDocument.Role]

    init(_ roles: [PolicyDocument.Role]) { byName = Dictionary(roles.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first }) }

    func reachable(from names: [String], within work: Work = .unbounded) -> [String: PolicyDocument.Role] {
        var found: [String: PolicyDocument.Role] = [:]
        var waiting = names
        while let name = waiting.popLast() {
            guard found[name] == nil, let role = byName[name] else { continue }
            guard work.take(250 + 60 * role.includes.count) else { return found }
            found[name] = role
            waiting += role.includes
        }
        return found
    }
}

extension RoleIndex {
    /// Those that are another in the two, and all that rest on them.
    fileprivate func changed(to other: RoleIndex) -> Set<String> {
        var changed = Set(byName.keys).union(other.byName.keys).filter { byName[$0] != other.byName[$0] }
        var includers: [String: [String]] = [:]
        for role in Array(byName.values) + Array(other.byName.values) { for name in role.includes { includers[name, default: []].append(role.name) } }
        var waiting = Array(changed)
        while let name = waiting.popLast() {
            for includer in includers[name] ?? [] where changed.insert(includer).inserted { waiting.append(includer) }
        }
        return changed
    }
}

extension Group {
    fileprivate var roleNames: [String] { Array((only?.roles ?? []).union(except?.roles ?? [])) }
}

extension PolicyDocument.Grant {
    /// Under another name it allows the same.
    fileprivate var unnamed: PolicyDocument.Grant {
        var grant = self
        grant.name = ""
        return grant
    }

    /// As long, and as much at a time, as the other allows.
    func isWithinTerms(of other: PolicyDocument.Grant) -> Bool {
        (other.expires.map { end in expires.map { $0 <= end } ?? false } ?? true) && (other.rate.map { rate?.isWithin($0) ?? false } ?? true)
    }
}
