package import Gate

/// Somebody who reads, or whose data it is.
package struct Person: Hashable, Sendable {
    package var id: String
    /// Where the directory says they are; nil: it does not know them. A job with a key of its own is in none.
    package var site: String?
    package var team: String?

    package init(_ id: String, site: String? = nil, team: String? = nil) {
        self.id = id
        self.site = site
        self.team = team
    }

    package init(_ scope: Scope) { self.init(scope.subject, site: scope.site, team: scope.team) }

    /// Who has a reader's key, by what was signed of it: where nothing is said they are nowhere, and half of a place is none: whom a role excepts by team
    /// would have it by site. Nil: nobody, it is a job's.
    package static func holder(of scope: Scope) -> Person? {
        guard !scope.subject.isEmpty else { return nil }
        let isPlaced = !scope.site.isEmpty && !scope.team.isEmpty
        return isPlaced ? Person(scope) : Person(scope.subject)
    }

    package var isListed: Bool { site != nil && team != nil }
}

/// What is on record of a subject: the purposes that they were told of, and those that they agreed to.
package struct Records: Hashable, Sendable {
    package var notices: Set<String>
    package var consents: Set<String>

    package init(notices: Set<String> = [], consents: Set<String> = []) {
        self.notices = notices
        self.consents = consents
    }

    package static let none = Records()

    /// As control's ledger has them.
    package init(_ recorded: SubjectRecords) { self.init(notices: recorded.notices, consents: recorded.consents) }

    package func has(_ record: LegalBasis.Record, for purpose: String) -> Bool {
        switch record {
        case .none: true
        case .notice: notices.contains(purpose) || consents.contains(purpose)
        case .consent: consents.contains(purpose)
        }
    }
}

extension Group {
    /// - Parameter roles: All that the person has, `everyone` among them for whoever is listed.
    func contains(_ person: Person, roles: Set<String>) -> Bool {
        if let except, except.matches(person, roles) { return false }
        return only.map { $0.matches(person, roles) } ?? person.isListed
    }
}

extension Group.Match {
    func matches(_ person: Person, _ held: Set<String>) -> Bool {
        (sites.isEmpty || person.site.map { sites.contains($0) } ?? false) && (teams.isEmpty || person.team.map { teams.contains($0) } ?? false)
            && (subjects.isEmpty || subjects.contains(person.id)) && (roles.isEmpty || !roles.isDisjoint(with: held))
    }
}

/// Who has which role.
struct RoleBook: Sendable {
    private let roles: [PolicyDocument.Role]
    private var places: [String: Int] = [:]
    /// For each role, who includes it.
    private var includedBy: [[Int]]
    private var memberships: [String: [Int]] = [:]
    /// Roles that look at where people are.
    private var looking: [Int] = []

    init(_ roles: [PolicyDocument.Role]) {
        self.roles = roles
        includedBy = Array(repeating: [], count: roles.count)
        for (index, role) in roles.enumerated() { places[role.name] = index }
        for (index, role) in roles.enumerated() {
            for member in role.members { memberships[member, default: []].append(index) }
            for name in role.includes {
                if let place = places[name] { includedBy[place].append(index) } else if name == PolicyDocument.everyone { includers.append(index) }
            }
            if role.people != nil { looking.append(index) }
        }
    }

    /// Roles that include `everyone`.
    private var includers: [Int] = []

    /// By every way: as a member, by place, through roles that are included.
    func roles(of person: Person) -> Set<String> {
        var held: Set<String> = []
        var waiting = memberships[person.id] ?? []
        for index in looking where roles[index].people?.contains(person, roles: []) ?? false { waiting.append(index) }
        if person.isListed {
            held.insert(PolicyDocument.everyone)
            waiting += includers
        }
        while let index = waiting.popLast() {
            if held.insert(roles[index].name).inserted { waiting += includedBy[index] }
        }
        return held
    }
}
