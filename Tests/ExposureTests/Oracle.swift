import Exposure
import Gate
import Rules

/// Asks the rules themselves, at every moment at which anything changes: may this one read that, now?
struct Oracle {
    /// Somebody could read something at a moment.
    struct Cell: Hashable, CustomStringConvertible {
        let at: WallTime
        let subject: String
        let dataClass: String
        let key: String
        let grant: String
        let policy: UInt64

        var description: String { "\((at - ms(0)).milliseconds) ms: \(key) \(dataClass) of \(subject) by '\(grant)' of \(policy)" }
    }

    /// Of one subject and class.
    struct Row: Hashable {
        var period: Period?
        var events: Int64 = 0
        var people: Set<String> = []
        var keys: Set<String> = []
    }

    private(set) var cells: Set<Cell> = []
    private(set) var rows: [[String]: Row] = [:]
    /// Who is nobody, and would be among them or in what they were read in.
    let planted: Set<String>
    let moments: [WallTime]

    init(_ history: ExposureHistory, _ question: ExposureQuestion) {
        var edges: Set<WallTime> = [question.period.from]
        for version in history.policies {
            edges.insert(version.at)
            if case .known(let document) = version.document { edges.formUnion(document.grants.compactMap(\.expires)) }
        }
        for period in history.keys.map(\.period) + history.directory.map(\.period) + history.records.map(\.period) { edges.formUnion([period.from, period.until]) }
        for closure in history.closures { edges.formUnion([closure.from, closure.until ?? .distantFuture]) }
        edges.formUnion(history.holdings.map(\.first))
        edges.formUnion(history.erasures.map(\.at))
        moments = edges.filter { question.period.contains($0) }.sorted()
        planted = Oracle.planted(history, question)
        let policies = history.policies.map { version -> Policy? in if case .known(let document) = version.document { Policy(document) } else { nil } }
        var read: Set<ExposureHistory.Holding> = []
        for (number, now) in moments.enumerated() {
            guard let place = history.policies.lastIndex(where: { $0.at <= now }) else { continue }
            let gate = GateState(epoch: Epoch(99), closures: history.closures.filter { $0.from <= now && $0.until.map { now < $0 } ?? true })
            let directory = Dictionary(uniqueKeysWithValues: history.directory.filter { $0.period.contains(now) }.map { ($0.person.id, $0.person) })
            let records = Dictionary(uniqueKeysWithValues: history.records.filter { $0.period.contains(now) }.map { ($0.subject, $0.records) })
            let next = number + 1 < moments.count ? moments[number + 1] : question.period.until
            for holding in history.holdings where holding.first <= now {
                let subject = holding.place.scope.subject
                if SmallHistory.nobody.contains(subject) { continue }
                if let erased = history.erasures.first(where: { $0.subject == subject })?.at, holding.first < erased, erased <= now { continue }
                for (key, reader) in Oracle.readers(history, directory, policies, at: now) {
                    let grants = Oracle.grants(policies[place], reader, key, holding.place, Whereabouts(directory: directory, records: records), gate, question, now)
                    guard !grants.isEmpty else { continue }
                    read.insert(holding)
                    let dataClass = holding.place.dataClass.name
                    var row = rows[[subject, dataClass]] ?? Row()
                    row.period = Period(from: row.period?.from ?? now, until: next)
                    row.people.insert(reader.person?.id ?? reader.name)
                    if let key {
                        row.keys.insert(key)
                        for grant in grants { cells.insert(Cell(at: now, subject: subject, dataClass: dataClass, key: key, grant: grant, policy: history.policies[place].index)) }
                    }
                    rows[[subject, dataClass]] = row
                }
            }
        }
        for holding in history.holdings where read.contains(holding) {
            rows[[holding.place.scope.subject, holding.place.dataClass.name]]?.events += holding.events ?? 0
        }
    }

    /// Every millisecond that is asked about: was there something of theirs, or was it under way to somebody?
    private static func planted(_ history: ExposureHistory, _ question: ExposureQuestion) -> Set<String> {
        let scope = question.scope
        func isAskedAbout(_ dataClass: DataClass) -> Bool { scope.classes.isEmpty || scope.classes.contains(dataClass) }
        func isThere(_ place: Scope) -> Bool { (scope.sites.isEmpty || scope.sites.contains(place.site)) && (scope.teams.isEmpty || scope.teams.contains(place.team)) }
        return Set(
            SmallHistory.nobody.filter { id in
                guard scope.subjects.isEmpty || scope.subjects.contains(id) else { return false }
                let held = history.holdings.filter { $0.place.scope.subject == id }
                let isGone = held.isEmpty && (history.holdingsAreFewer || history.erasures.contains { $0.subject == id })
                let mayBeThere = held.contains { isThere($0.place.scope) } || isGone || (scope.sites.isEmpty && scope.teams.isEmpty)
                return (20..<80).map { ms($0) }.contains { now in
                    held.contains { isThere($0.place.scope) && isAskedAbout($0.place.dataClass) && $0.first <= now }
                        || mayBeThere
                            && history.releases.contains { release in
                                release.reader != SmallHistory.probe && release.opened <= now && release.ended.map { now < $0 } ?? true
                                    && release.classes.contains(where: isAskedAbout) && (release.included ?? release.subjects).contains(id)
                                    && (scope.readers.isEmpty || scope.readers.contains(release.reader)) && (scope.purposes.isEmpty || scope.purposes.contains(release.purpose))
                            }
                }
            })
    }

    /// With a key, by its name, and without.
    private static func readers(_ history: ExposureHistory, _ directory: [String: Person], _ policies: [Policy?], at now: WallTime) -> [(key: String?, Reader)] {
        var all: [(String?, Reader)] = history.keys.filter { $0.period.contains(now) }.map { key in
            (key.name, Reader(key.name, person: key.person))
        }
        // Who left the directory may be named in a role all the same.
        var people = Set(history.directory.map(\.person.id))
        for policy in policies { for role in policy?.document.roles ?? [] { people.formUnion(role.members.union(role.people?.only?.subjects ?? [])) } }
        people.subtract(history.keys.map(\.name))
        all += people.map { (nil, Reader("", person: directory[$0] ?? Person($0))) }
        return all
    }

    private static func grants(
        _ policy: Policy?, _ reader: Reader, _ key: String?, _ place: ReadPlace, _ whereabouts: Whereabouts, _ gate: GateState, _ question: ExposureQuestion, _ now: WallTime
    ) -> Set<String> {
        func isOpen(_ purpose: String) -> Bool { gate.allows(Reading(scope: place.scope, dataClass: place.dataClass, reader: reader.name, purpose: purpose)) }
        guard question.scope.matches(Reading(scope: place.scope, dataClass: place.dataClass, reader: reader.name, purpose: question.scope.purposes.first ?? "")) else { return [] }
        guard let policy else { return key != nil && isOpen("whatever they say") ? [""] : [] }
        var found: Set<String> = []
        for purpose in SmallHistory.purposes where question.scope.purposes.isEmpty || question.scope.purposes.contains(purpose) {
            guard isOpen(purpose) else { continue }
            let asked = ReadAsked(purpose: purpose, classes: [place.dataClass], subjects: [place.scope.subject])
            let granted = try? policy.decide(asked, by: reader, of: [ReadShare(place, events: 1)], whereabouts, at: now)
            found.formUnion(granted?.parts.flatMap(\.grants) ?? [])
        }
        return found
    }
}

extension Assessment {
    /// What it says of those moments, as the oracle does.
    func cells(at moments: [WallTime]) -> Set<Oracle.Cell> {
        var cells: Set<Oracle.Cell> = []
        for one in exposed {
            guard let could = one.could, let period = one.period else { continue }
            for now in moments where period.contains(now) {
                for window in groups[could].windows where window.period.contains(now) {
                    for key in audiences[window.audience].keys where key.periods.isEmpty || key.periods.contains(where: { $0.contains(now) }) {
                        cells.insert(.init(at: now, subject: one.subject, dataClass: one.dataClass.name, key: key.name, grant: window.grant, policy: 0))
                    }
                }
            }
        }
        return cells
    }
}
