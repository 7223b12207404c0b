import Gate
import Rules

/// Which document was in force when, in the period of a question.
struct PolicyTimeline {
    struct Version {
        let index: UInt64
        let period: Period
        let document: ExposureHistory.PolicyVersion.Document
    }

    private(set) var versions: [Version] = []
    private(set) var gaps: [Gap] = []
    /// Of all documents, in the period of the question or not.
    private(set) var periods: [UInt64: Period] = [:]

    init(_ all: [ExposureHistory.PolicyVersion], in asked: Period) {
        let sorted = all.sorted { $0.index < $1.index }
        if let first = sorted.first, first.at > asked.from { gaps.append(.policyBefore(first.at)) }
        if sorted.isEmpty { gaps.append(.policyBefore(asked.until)) }
        for (place, version) in sorted.enumerated() {
            let next = place + 1 < sorted.count ? sorted[place + 1] : nil
            let latest = version.tenure.latest ?? version.at
            var period = Period(from: version.at, until: next?.at ?? .distantFuture)
            if let next, next.at < latest {
                // What was set back runs through these hours twice: either document may be meant by a time in them.
                let doubted = Period(from: next.at, until: WallTime(nanoseconds: latest.nanoseconds &+ 1))
                period = Period(from: min(version.at, next.at), until: doubted.until)
                if doubted.overlap(asked) != nil { gaps.append(.clockBack(doubted, entry: next.index)) }
            }
            periods[version.index] = period
            guard let within = period.overlap(asked) else { continue }
            versions.append(Version(index: version.index, period: within, document: version.document))
            if case .unknown(let why) = version.document { gaps.append(.policy(index: version.index, within, why: why)) }
        }
    }

    var documents: [PolicyDocument] { versions.compactMap { if case .known(let document) = $0.document { document } else { nil } } }
    var isUnknownAtTimes: Bool { gaps.contains { if case .clockBack = $0 { false } else { true } } }
}

/// People and places as documents tell them apart: whom none names is known by where they are alone.
struct Atoms {
    private let named: Set<String>
    private(set) var people: [Person] = []
    private var places: [Person: Int] = [:]

    init(_ documents: [PolicyDocument]) {
        var named: Set<String> = []
        for document in documents {
            for role in document.roles { named.formUnion(role.members) }
            for group in document.grants.map(\.subjects) + document.roles.compactMap(\.people) {
                named.formUnion(group.only?.subjects ?? [])
                named.formUnion(group.except?.subjects ?? [])
            }
        }
        self.named = named
    }

    mutating func number(of person: Person) -> Int {
        let known = named.contains(person.id) ? person : Person("", site: person.site, team: person.team)
        if let number = places[known] { return number }
        places[known] = people.count
        people.append(known)
        return people.count - 1
    }
}

/// Where people were, by what the directory said.
struct Whereabouts {
    private var listings: [String: [(person: Person, period: Period)]] = [:]
    private let asked: Period

    init(_ all: [ExposureHistory.Listing], in asked: Period) {
        self.asked = asked
        for listing in all {
            guard let period = listing.period.overlap(asked) else { continue }
            listings[listing.person.id, default: []].append((listing.person, period))
        }
        for id in listings.keys { listings[id]?.sort { ($0.period.from, $0.period.until) < ($1.period.from, $1.period.until) } }
    }

    /// In no order.
    var people: some Collection<String> { listings.keys }

    /// The whole period of the question. Nil: in the directory there was nobody of that id.
    func states(of id: String) -> [(person: Person?, period: Period)] {
        guard let listed = listings[id] else { return [(nil, asked)] }
        return listed.map { ($0.person, $0.period) } + asked.without(listed.map(\.period)).map { (nil, $0) }
    }
}
