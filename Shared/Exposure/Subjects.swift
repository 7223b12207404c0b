import Gate
import Rules

/// Whose data there was, where it lay, and what they had on record; with those taken together of whom all of it is the same.
struct Subjects {
    /// What decides who could read what lay in one place.
    struct Place: Hashable {
        let scope: Scope
        /// The subject where it was captured.
        let there: Int
        let spans: [Span]

        struct Span: Hashable {
            let period: Period
            /// Where the directory had them; nil: nowhere.
            let present: Int?
            /// Which of ``Subjects/records``.
            let records: Int
        }
    }

    /// Subjects with equal places, of one class. A closure that names one sets that one apart.
    struct Kind: Hashable {
        let dataClass: Int
        let places: [Place]
    }

    /// One class of one subject.
    struct Row {
        let subject: Int
        let dataClass: Int
        var kind: Kind?
        /// Of each place of its kind: what lay there. Nil: nobody knows how much.
        var slices: [[(first: WallTime, events: Int64?)]] = []
        var hasPlace: Bool { kind != nil }
    }

    private(set) var names: [String] = []
    /// Subjects in the order of their bytes, each by class.
    private(set) var rows: [Row] = []
    private(set) var records: [Records] = []
    /// Of each subject and class, by `subject * classes + class`: its row, or -1.
    private var rowNumbers: [Int32] = []
    private let classCount: Int
    private var numbers: [String: Int] = [:]
    /// Teams that subjects have something in, by class.
    private(set) var rowsByTeam: [String: [Int]] = [:]
    private(set) var erased: [String: WallTime] = [:]

    /// - Parameters:
    ///   - edges: All moments at which anything changes but what is of subjects.
    init(
        _ history: ExposureHistory, _ whereabouts: Whereabouts, in asked: Period, _ scope: Selector, _ classes: [DataClass], edges: [WallTime], _ atoms: inout Atoms
    ) {
        classCount = classes.count
        let edges = Array(Set(edges.filter { asked.contains($0) } + [asked.from, asked.until])).sorted()
        for erasure in history.erasures { erased[erasure.subject] = max(erasure.at, erased[erasure.subject] ?? .distantPast) }
        let places = Dictionary(classes.enumerated().map { ($1, $0) }) { first, _ in first }
        let closuresNaming = Set(history.closures.lazy.filter(\.stopsReading).flatMap(\.selector.subjects))
        let kept = Dictionary(grouping: history.records, by: \.subject)
        names = Subjects.names(history, scope, places)
        numbers = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        rowNumbers = Array(repeating: -1, count: names.count * classCount)
        var bySubject: [[ExposureHistory.Holding]] = Array(repeating: [], count: names.count)
        for holding in history.holdings {
            guard let number = numbers[holding.place.scope.subject], places[holding.place.dataClass] != nil, scope.matches(holding.place.scope), holding.first < asked.until else { continue }
            bySubject[number].append(holding)
        }
        var recordNumbers: [Records: Int] = [:]
        func number(of records: Records) -> Int {
            if let known = recordNumbers[records] { return known }
            recordNumbers[records] = recordNumbers.count
            self.records.append(records)
            return recordNumbers.count - 1
        }
        for (subject, name) in names.enumerated() {
            guard !bySubject[subject].isEmpty else { continue }
            let mine = kept[name] ?? []
            var recorded = mine.compactMap { one in one.period.overlap(asked).map { (number(of: one.records), $0) } }
            recorded += asked.without(recorded.map(\.1)).map { (number(of: .none), $0) }
            let states = whereabouts.states(of: name)
            for (dataClass, ofClass) in Dictionary(grouping: bySubject[subject], by: { places[$0.place.dataClass] ?? 0 }).sorted(by: { $0.key < $1.key }) {
                var row = Row(subject: subject, dataClass: dataClass)
                var all: [(Place, [(first: WallTime, events: Int64?)])] = []
                let lying = Dictionary(grouping: ofClass) { holding in
                    Lying(site: holding.place.scope.site, team: holding.place.scope.team, isErased: erased[name].map { holding.first < $0 } ?? false)
                }
                for (at, slices) in lying {
                    let first = slices.lazy.map(\.first).min() ?? asked.from
                    let last = at.isErased ? erased[name] ?? asked.until : asked.until
                    guard first < asked.until, last > asked.from else { continue }
                    // Of one place, to the edge before and that after: nothing changes between, and those whose data began one batch later stay of one kind. The
                    // subject's own times say the rest.
                    let existing = lying.count == 1 && states.count == 1 && recorded.count == 1
                        ? Period(from: Subjects.edge(atOrBefore: first, edges), until: Subjects.edge(atOrAfter: last, edges))
                        : Period(from: max(first, asked.from), until: min(last, asked.until))
                    let there = Person(name, site: at.site, team: at.team)
                    var spans: [Place.Span] = []
                    for state in states {
                        guard let overlap = state.period.overlap(existing) else { continue }
                        let present = state.person.map { Person(name, site: $0.site ?? at.site, team: $0.team ?? at.team) }
                        for record in recorded {
                            guard let both = overlap.overlap(record.1) else { continue }
                            spans.append(Place.Span(period: both, present: present.map { atoms.number(of: $0) }, records: record.0))
                        }
                    }
                    spans.sort { ($0.period.from, $0.period.until, $0.present ?? -1, $0.records) < ($1.period.from, $1.period.until, $1.present ?? -1, $1.records) }
                    let named = closuresNaming.contains(name) ? name : ""
                    all.append((Place(scope: Scope(subject: named, site: at.site, team: at.team), there: atoms.number(of: there), spans: spans), slices.map { ($0.first, $0.events) }))
                    rowsByTeam[at.team, default: []].append(rows.count)
                }
                all.sort { Subjects.precedes($0.0, $1.0) }
                row.kind = Kind(dataClass: dataClass, places: all.map(\.0))
                row.slices = all.map(\.1)
                rowNumbers[subject * classCount + dataClass] = Int32(rows.count)
                rows.append(row)
            }
        }
        for team in rowsByTeam.keys { rowsByTeam[team] = Array(Set(rowsByTeam[team] ?? [])).sorted() }
    }

    private struct Lying: Hashable {
        let site: String
        let team: String
        let isErased: Bool
    }

    private static func precedes(_ left: Place, _ right: Place) -> Bool {
        let (mine, others) = (left.spans.first?.period ?? .always, right.spans.first?.period ?? .always)
        return (left.scope.site, left.scope.team, mine.from, mine.until) < (right.scope.site, right.scope.team, others.from, others.until)
    }

    /// Of the edges, the last that is not later; they begin with the question's own.
    private static func edge(atOrBefore moment: WallTime, _ edges: [WallTime]) -> WallTime {
        let place = edges.firstIndex(after: moment)
        return edges[max(0, place - 1)]
    }

    private static func edge(atOrAfter moment: WallTime, _ edges: [WallTime]) -> WallTime {
        let place = edges.firstIndex(after: WallTime(nanoseconds: moment.nanoseconds &- 1))
        return edges[min(edges.count - 1, place)]
    }

    /// Of whom there is something, of whom there was, and who was in a release.
    private static func names(_ history: ExposureHistory, _ scope: Selector, _ classes: [DataClass: Int]) -> [String] {
        var all: Set<String> = []
        for holding in history.holdings where classes[holding.place.dataClass] != nil { all.insert(holding.place.scope.subject) }
        // What they had may have lain anywhere, but for a scope that names them.
        func mayBe(_ subject: String) -> Bool { scope.subjects.isEmpty || scope.subjects.contains(subject) }
        for erasure in history.erasures where mayBe(erasure.subject) { all.insert(erasure.subject) }
        for release in history.releases where release.classes.contains(where: { classes[$0] != nil }) {
            for subject in release.included ?? release.subjects where mayBe(subject) { all.insert(subject) }
        }
        // Whom two operators have signed to be nobody was not exposed, and is told of nothing.
        return all.filter { !Drill.isPlanted($0) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    func number(of subject: String) -> Int? { numbers[subject] }

    /// Nil: nothing of it is held.
    func row(_ subject: Int, _ dataClass: Int) -> Int? {
        let number = rowNumbers[subject * classCount + dataClass]
        return number < 0 ? nil : Int(number)
    }

    /// For what is on record of somebody of whom nothing is held any more.
    mutating func addRow(_ subject: Int, _ dataClass: Int) -> Int {
        rowNumbers[subject * classCount + dataClass] = Int32(rows.count)
        rows.append(Row(subject: subject, dataClass: dataClass))
        return rows.count - 1
    }

    func hasRow(_ subject: Int) -> Bool { (0..<classCount).contains { rowNumbers[subject * classCount + $0] >= 0 } }
}

extension [WallTime] {
    /// Of a sorted list: the first that is later.
    fileprivate func firstIndex(after moment: WallTime) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] <= moment { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
