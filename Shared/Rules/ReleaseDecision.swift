package import Gate

/// Who reads: the name that a key is registered under, and who of the directory has that key.
package struct Reader: Hashable, Sendable {
    package var name: String
    /// Nil: a job, or somebody whom the directory does not know.
    package var person: Person?

    package init(_ name: String, person: Person? = nil) {
        self.name = name
        self.person = person
    }
}

/// What somebody asks to read.
package struct ReadAsked: Hashable, Sendable {
    package var purpose: String
    package var classes: [DataClass]
    /// These, and those of `teams`; everyone when both are empty.
    package var subjects: Set<String>
    package var teams: Set<String>

    package init(purpose: String, classes: [DataClass], subjects: Set<String> = [], teams: Set<String> = []) {
        self.purpose = purpose
        self.classes = classes
        self.subjects = subjects
        self.teams = teams
    }
}

/// One class of what was captured of somebody at one place: all of it may be read, or nothing.
package struct ReadPlace: Hashable, Sendable {
    package var scope: Scope
    package var dataClass: DataClass

    package init(_ scope: Scope, _ dataClass: DataClass) {
        self.scope = scope
        self.dataClass = dataClass
    }
}

/// How much there is of a place in what was asked for.
package struct ReadShare: Hashable, Sendable {
    package var place: ReadPlace
    package var events: Int64

    package init(_ place: ReadPlace, events: Int64) {
        self.place = place
        self.events = events
    }
}

/// Where people are, as far as it is known beside what was captured of them.
package struct Whereabouts: Sendable {
    /// What the directory says. Who moved may be read only by a grant for where they were, and are.
    package var directory: [String: Person]
    /// Where agents of theirs are registered: for whoever is asked for by name and of whom nothing is stored.
    package var registered: [String: [Person]]
    package var records: [String: Records]

    package init(directory: [String: Person] = [:], registered: [String: [Person]] = [:], records: [String: Records] = [:]) {
        self.directory = directory
        self.registered = registered
        self.records = records
    }
}

/// Why a read was refused: whole, whatever else might have been read with it.
package struct ReadRefusal: Error, Hashable, Sendable {
    package enum Why: Hashable, Sendable {
        case denial(Policy.Denial)
        /// It would take more by the grant than its rate allows.
        case overRate(grant: String, GrantRate, taken: GrantTaken)
        /// No document is in force: nobody may read.
        case noDocument
    }

    package var why: Why
    package var dataClass: DataClass?
    /// Who was asked for by name, a team or a person; empty: everyone, or it does not depend on who.
    package var of: String

    package init(_ why: Why, dataClass: DataClass? = nil, of: String = "") {
        self.why = why
        self.dataClass = dataClass
        self.of = of
    }

    /// For ledgers and counters.
    package var word: String {
        switch why {
        case .denial(let denial): denial.word
        case .overRate: "rate"
        case .noDocument: "no-document"
        }
    }
}

/// What of a request may be read, before anybody has asked how much was taken already.
package struct GrantedRead: Hashable, Sendable {
    /// By which grants; any of them will do. Never empty.
    package struct Part: Hashable, Sendable {
        package var share: ReadShare
        package var grants: [String]
    }

    package var parts: [Part]
    /// Of a team or of everyone: subjects of whom something is left out, by why.
    package var leftOut: [String: Int]
}

/// What one release takes by one grant.
package struct ReadUse: Hashable, Sendable {
    package var grant: PolicyDocument.Grant
    package var events: Int64 = 0
    package var subjects: Set<String> = []

    package init(grant: PolicyDocument.Grant, events: Int64 = 0, subjects: Set<String> = []) {
        self.grant = grant
        self.events = events
        self.subjects = subjects
    }
}

/// A read that may begin: by which grant each place goes.
package struct AllowedRead: Hashable, Sendable {
    package var uses: [ReadUse]
    /// By place: which of `uses`.
    package var places: [ReadPlace: Int]

    /// The first moment at which one of its grants is none any more; nil: never.
    package var expiry: (at: WallTime, grant: String)? {
        uses.compactMap { use in use.grant.expires.map { (at: $0, grant: use.grant.name) } }.min { ($0.at, $0.grant) < ($1.at, $1.grant) }
    }
}

/// Whether somebody may have a release. Reads no clock and no disk; what is in the vault and in the ledger comes in as arguments.
///
/// What is named must be allowed: a class, a person or a team of which nothing may be read refuses the whole request, and the reader is told.
/// Of a team, or of everyone, those who may not be read are left out and counted: nobody could know beforehand who they are.
extension Policy {
    package func roles(of reader: Reader) -> Set<String> { roles(of: Person(reader.name)).union(reader.person.map { roles(of: $0) } ?? []) }

    /// What does not depend on whose data it is. Ask it before looking at any.
    package func refusal(of asked: ReadAsked, by reader: Reader, at now: WallTime) -> ReadRefusal? {
        let held = roles(of: reader)
        for dataClass in asked.classes {
            if let denial = denial(holding: held, for: asked.purpose, dataClass, at: now) { return ReadRefusal(.denial(denial), dataClass: dataClass) }
        }
        return nil
    }

    /// - Parameter shares: What there is, in the vault's order.
    package func decide(
        _ asked: ReadAsked, by reader: Reader, of shares: [ReadShare], _ whereabouts: Whereabouts, at now: WallTime
    ) throws(ReadRefusal) -> GrantedRead {
        if let refusal = refusal(of: asked, by: reader, at: now) { throw refusal }
        let held = roles(of: reader)
        var granted = GrantedRead(parts: [], leftOut: [:])
        var lists: [[String]: [String]] = [:]
        var targets: [Target: Outcome] = [:]
        var leftOut: [String: Set<String>] = [:]
        for share in shares {
            let subject = share.place.scope.subject
            let who = asked.subjects.contains(subject) ? subject : asked.teams.isEmpty ? "" : share.place.scope.team
            let target = Target(dataClass: share.place.dataClass.name, of: who)
            switch access(to: share.place, holding: held, for: asked.purpose, whereabouts, at: now) {
            case .granted(let grants):
                let names = grants.map(\.name)
                let list = lists[names] ?? names
                lists[list] = list
                granted.parts.append(GrantedRead.Part(share: share, grants: list))
                targets[target] = .served
            case .denied(let denial):
                leftOut[denial.leftOutWord, default: []].insert(subject)
                if targets[target] == nil { targets[target] = .refused(denial) }
            }
        }
        // Of whom nothing is stored may be asked for all the same, by whoever might read it if it were.
        for subject in asked.subjects {
            for dataClass in asked.classes where targets[Target(dataClass: dataClass.name, of: subject)] == nil {
                if let denial = denial(of: subject, dataClass, shares, holding: held, for: asked.purpose, whereabouts, at: now) {
                    targets[Target(dataClass: dataClass.name, of: subject)] = .refused(denial)
                }
            }
        }
        for (target, outcome) in targets.sorted(by: { ($0.key.of, $0.key.dataClass) < ($1.key.of, $1.key.dataClass) }) {
            if case .refused(let denial) = outcome { throw ReadRefusal(.denial(denial), dataClass: DataClass(target.dataClass), of: target.of) }
        }
        granted.leftOut = leftOut.mapValues(\.count)
        return granted
    }

    /// Who or which team was named, empty: everyone; and which class.
    private struct Target: Hashable {
        let dataClass: String
        let of: String
    }

    private enum Outcome { case served, refused(Denial) }

    private func denial(
        of subject: String, _ dataClass: DataClass, _ shares: [ReadShare], holding held: Set<String>, for purpose: String, _ whereabouts: Whereabouts, at now: WallTime
    ) -> Denial? {
        var people = whereabouts.registered[subject] ?? []
        people += shares.lazy.filter { $0.place.scope.subject == subject }.map { Person($0.place.scope) }
        if people.isEmpty { people = [Person(subject)] }
        var first: Denial?
        for person in people {
            switch access(to: person, dataClass, holding: held, for: purpose, whereabouts, at: now) {
            case .granted: return nil
            case .denied(let denial): first = first ?? denial
            }
        }
        return first
    }

    private func access(to place: ReadPlace, holding held: Set<String>, for purpose: String, _ whereabouts: Whereabouts, at now: WallTime) -> Access {
        access(to: Person(place.scope), place.dataClass, holding: held, for: purpose, whereabouts, at: now)
    }

    private func access(
        to person: Person, _ dataClass: DataClass, holding held: Set<String>, for purpose: String, _ whereabouts: Whereabouts, at now: WallTime
    ) -> Access {
        let records = whereabouts.records[person.id] ?? .none
        let there = mayRead(holding: held, for: purpose, dataClass, of: person, records: records, at: now)
        guard case .granted(let grants) = there, var present = whereabouts.directory[person.id] else { return there }
        present.site = present.site ?? person.site
        present.team = present.team ?? person.team
        guard present != person else { return there }
        switch mayRead(holding: held, for: purpose, dataClass, of: present, records: records, at: now) {
        case .denied(let denial): return .denied(denial)
        case .granted(let others):
            let both = grants.filter { grant in others.contains { $0.name == grant.name } }
            return both.isEmpty ? .denied(.subjectNotCovered) : .granted(both)
        }
    }

    // MARK: Rate

    /// What a release takes at most, as far as anybody plans for: a grant that ends sooner is the last to be gone by.
    private static let releaseSpan = Span.seconds(86_400)

    /// Lays each part to a grant that has room for it: one for all if there is such a one, the most generous first. A release ends with the grant that it rests
    /// on, so that one which ends within a day comes after those that go on, and of several such ones the last to end comes first.
    ///
    /// - Parameter taken: What the reader took by a grant in its period, up to now.
    package func allow(_ granted: GrantedRead, at now: WallTime, taken: (PolicyDocument.Grant) -> GrantTaken) throws(ReadRefusal) -> AllowedRead {
        let named = Set(granted.parts.lazy.flatMap(\.grants))
        let horizon = now + Policy.releaseSpan
        let grants = document.grants.filter { named.contains($0.name) }.sorted { left, right in
            let (mine, others) = (min(left.expires ?? horizon, horizon), min(right.expires ?? horizon, horizon))
            return mine == others ? Policy.isMoreGenerous(left, right) : mine > others
        }
        var uses = grants.map { ReadUse(grant: $0) }
        let before = grants.map { $0.rate == nil ? GrantTaken() : taken($0) }
        let shared = granted.parts.reduce(into: named) { $0.formIntersection($1.grants) }
        let events = granted.parts.reduce(Int64(0)) { $0.addingReportingOverflow($1.share.events).partialValue }
        let subjects = Set(granted.parts.map(\.share.place.scope.subject))
        var places: [ReadPlace: Int] = [:]
        if let one = grants.indices.first(where: { shared.contains(grants[$0].name) && before[$0].hasRoom(for: events, newSubjects: Int64(subjects.subtracting(before[$0].subjects).count), in: grants[$0].rate) }) {
            for part in granted.parts { places[part.share.place] = one }
            (uses[one].events, uses[one].subjects) = (events, subjects)
        } else {
            var new = grants.map { _ in Int64(0) }
            for part in granted.parts {
                let subject = part.share.place.scope.subject
                let mine = grants.indices.filter { part.grants.contains(grants[$0].name) }
                let fitting = mine.first { index in
                    let isKnown = before[index].subjects.contains(subject) || uses[index].subjects.contains(subject)
                    return before[index].hasRoom(for: uses[index].events + part.share.events, newSubjects: new[index] + (isKnown ? 0 : 1), in: grants[index].rate)
                }
                guard let fitting else {
                    guard let most = mine.first, let rate = grants[most].rate else { preconditionFailure("a grant without a rate has room") }
                    throw ReadRefusal(.overRate(grant: grants[most].name, rate, taken: before[most]), dataClass: part.share.place.dataClass)
                }
                places[part.share.place] = fitting
                if !before[fitting].subjects.contains(subject), !uses[fitting].subjects.contains(subject) { new[fitting] += 1 }
                uses[fitting].events += part.share.events
                uses[fitting].subjects.insert(subject)
            }
        }
        // Those that nothing goes by are none.
        let used = uses.indices.filter { !uses[$0].subjects.isEmpty }
        let moved = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
        return AllowedRead(uses: used.map { uses[$0] }, places: places.compactMapValues { moved[$0] })
    }

    private static func isMoreGenerous(_ left: PolicyDocument.Grant, _ right: PolicyDocument.Grant) -> Bool {
        func measure(_ grant: PolicyDocument.Grant) -> (Int, Int) {
            guard let rate = grant.rate else { return (.max, .max) }
            return (rate.events.map { $0 / rate.per.hours } ?? .max, rate.subjects.map { $0 / rate.per.hours } ?? .max)
        }
        let (mine, others) = (measure(left), measure(right))
        return mine == others ? left.name < right.name : mine > others
    }

    // MARK: While it runs

    /// Why a place of a release that is under way may not be read any more by the grant that it rests on; nil: it may. If another grant would do, the reader asks again.
    package func objection(
        to place: ReadPlace, by use: ReadUse, _ reader: Reader, for purpose: String, _ whereabouts: Whereabouts, at now: WallTime
    ) -> Denial? {
        switch access(to: place, holding: roles(of: reader), for: purpose, whereabouts, at: now) {
        case .denied(let denial): return denial
        case .granted(let grants):
            guard let grant = grants.first(where: { $0.name == use.grant.name }) else { return .noGrant }
            guard let rate = grant.rate else { return nil }
            // It was given more room than there is now.
            return use.grant.rate.map { $0.isWithin(rate) } ?? false ? nil : .noGrant
        }
    }
}

extension Policy.Denial {
    /// What is missing, in place of the name that cases of a policy go by.
    package var leftOutWord: String {
        switch self {
        case .noRecord(.consent): "no-consent"
        case .noRecord: "no-notice"
        default: word
        }
    }
}
