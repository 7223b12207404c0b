import Gate
import Rules

/// One grant for as long as it meant the same: of the same people, to the same people, for the same purpose.
struct GrantTenure {
    /// Which of ``GrantTenures/series``.
    let series: Int
    /// Whose data; nil: everybody's.
    let covered: Int?
    let asks: LegalBasis.Record
    let period: Period
    let policies: ClosedRange<UInt64>
}

/// All grants of all documents in a period.
struct GrantTenures {
    /// Tenures that differ in nothing that a reader would notice, but in when, and of whom.
    struct Series: Hashable {
        let grant: String
        let role: String
        let purpose: String
        /// Who has it; nil: every key, since no document was in force.
        let holders: Int?
    }

    private struct Term: Hashable {
        let series: Int
        let covered: Int?
        let asks: LegalBasis.Record
        let expires: WallTime?
        /// By their numbers.
        let classes: [Int]
    }

    private struct Run {
        var period: Period
        var policies: ClosedRange<UInt64>
    }

    private(set) var series: [Series] = []
    /// Sets of atoms that holders and covered mean.
    private(set) var sets: [Bits] = []
    /// By class; each in the order of their series, then of time.
    private(set) var byClass: [[GrantTenure]]
    /// Of each series, its place among all in the order of names.
    private(set) var ranks: [Int] = []

    private let classes: [String: Int]
    private var knownSeries: [Series: Int] = [:]
    private var knownSets: [Bits: Int] = [:]

    /// - Parameter classes: Those that are asked for.
    init(_ versions: [PolicyTimeline.Version], _ atoms: Atoms, of classes: [DataClass]) {
        self.classes = Dictionary(classes.enumerated().map { ($1.name, $0) }) { first, _ in first }
        byClass = Array(repeating: [], count: classes.count)
        let population = Population(states: atoms.people)
        var scene: Scene?
        var running: [Term: Run] = [:]
        for version in versions {
            var next: [Term: Run] = [:]
            for term in terms(of: version.document, population, &scene) {
                var run = running.removeValue(forKey: term) ?? Run(period: version.period, policies: version.index...version.index)
                run.period = Period(from: min(run.period.from, version.period.from), until: max(run.period.until, version.period.until))
                run.policies = run.policies.lowerBound...version.index
                next[term] = run
            }
            for (term, run) in running { end(term, run) }
            running = next
        }
        for (term, run) in running { end(term, run) }
        let sorted = series.indices.sorted { series[$0].words.lexicographicallyPrecedes(series[$1].words) }
        ranks = Array(repeating: 0, count: series.count)
        for (rank, number) in sorted.enumerated() { ranks[number] = rank }
        for index in byClass.indices { byClass[index].sort { ($0.series, $0.period.from, $0.policies.lowerBound) < ($1.series, $1.period.from, $1.policies.lowerBound) } }
    }

    /// Of each of so many atoms, the first of those that are covered by the same.
    func alike(_ count: Int) -> [Int] {
        var alike = Array(repeating: 0, count: count)
        let covered = Set(byClass.joined().compactMap(\.covered)).sorted()
        for number in covered {
            // Those of one kind that are in the set, and those that are not, are of two kinds from here on.
            var split: [Int: Int] = [:]
            for atom in alike.indices where sets[number].contains(atom) != sets[number].contains(alike[atom]) {
                let first = split[alike[atom]] ?? atom
                split[alike[atom]] = first
                alike[atom] = first
            }
        }
        return alike
    }

    /// Documents with the same roles have the same sets.
    private struct Scene {
        let roles: [PolicyDocument.Role]
        var sets: Population.Sets
        var holders: [String: Int] = [:]
        var covered: [Group: Int] = [:]
    }

    private mutating func end(_ term: Term, _ run: Run) {
        var period = run.period
        if let expires = term.expires { period.until = min(period.until, expires) }
        guard !period.isEmpty else { return }
        let tenure = GrantTenure(series: term.series, covered: term.covered, asks: term.asks, period: period, policies: run.policies)
        for dataClass in term.classes { byClass[dataClass].append(tenure) }
    }

    private mutating func terms(of document: ExposureHistory.PolicyVersion.Document, _ population: Population, _ scene: inout Scene?) -> [Term] {
        switch document {
        case .unknown: return []
        case .none:
            let open = Classification.standard.stored.compactMap { classes[$0.name] }.sorted()
            guard !open.isEmpty else { return [] }
            return [Term(series: number(of: Series(grant: "", role: "", purpose: "", holders: nil)), covered: nil, asks: .none, expires: nil, classes: open)]
        case .known(let document):
            if scene?.roles != document.roles { scene = Scene(roles: document.roles, sets: Population.Sets(population, document)) }
            guard var here = scene else { return [] }
            scene = nil
            defer { scene = here }
            let stored = Set(document.classes.filter { $0.retention != nil }.map(\.name))
            let purposes = Dictionary(document.purposes.map { ($0.name, $0) }) { first, _ in first }
            return document.grants.compactMap { grant in
                guard let purpose = purposes[grant.purpose] else { return nil }
                let classes = grant.classes.compactMap { name in stored.contains(name) && purpose.classes.contains(name) ? self.classes[name] : nil }.sorted()
                guard !classes.isEmpty else { return nil }
                let holders = number(ofRole: grant.role, &here)
                let covered = number(of: grant.subjects, &here)
                guard !sets[holders].isEmpty, !sets[covered].isEmpty else { return nil }
                return Term(
                    series: number(of: Series(grant: grant.name, role: grant.role, purpose: grant.purpose, holders: holders)), covered: covered,
                    asks: purpose.basis.asks, expires: grant.expires, classes: classes)
            }
        }
    }

    private mutating func number(ofRole name: String, _ scene: inout Scene) -> Int {
        if let known = scene.holders[name] { return known }
        let number = number(of: scene.sets.role(name))
        scene.holders[name] = number
        return number
    }

    private mutating func number(of group: Group, _ scene: inout Scene) -> Int {
        if let known = scene.covered[group] { return known }
        let number = number(of: scene.sets.group(group))
        scene.covered[group] = number
        return number
    }

    private mutating func number(of set: Bits) -> Int {
        if let known = knownSets[set] { return known }
        knownSets[set] = sets.count
        sets.append(set)
        return sets.count - 1
    }

    private mutating func number(of new: Series) -> Int {
        if let known = knownSeries[new] { return known }
        knownSeries[new] = series.count
        series.append(new)
        return series.count - 1
    }
}

extension GrantTenures.Series {
    fileprivate var words: [String] { [grant, role, purpose] }
}
