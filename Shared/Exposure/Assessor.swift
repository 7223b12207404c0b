import Gate
import Rules

extension Assessment {
    package init(_ question: ExposureQuestion, from history: ExposureHistory) {
        self.init(question: question)
        var assessor = Assessor(question, history)
        assessor.assess(&self)
    }
}

/// Answers one question from one history.
private struct Assessor {
    private let asked: Period
    private let scope: Selector
    private let history: ExposureHistory
    private let classes: [DataClass]
    private let timeline: PolicyTimeline
    private let tenures: GrantTenures
    private let closures: [Closure]
    private var readers: Readers
    private var subjects: Subjects

    /// What is the same for all subjects of a kind.
    private struct Group {
        let could: Int?
        /// Of each place: when somebody could read what was there, in order, with a pause between any two.
        let open: [[Period]]
    }

    /// As they are, and by ``alike(_:)``.
    private var groups: [Subjects.Kind: Group] = [:]
    /// Of each atom: the first of those that the same grants cover.
    private let alike: [Int]
    private let closuresLookAtSites: Bool
    private let closuresLookAtTeams: Bool
    private var people: Bits
    private var keys: Bits

    init(_ question: ExposureQuestion, _ history: ExposureHistory) {
        let period = question.period
        self.history = history
        asked = period
        scope = question.scope
        timeline = PolicyTimeline(history.policies, in: period)
        var atoms = Atoms(timeline.documents)
        let whereabouts = Whereabouts(history.directory, in: period)
        var classes = scope.classes
        if classes.isEmpty {
            classes.formUnion(history.holdings.lazy.map(\.place.dataClass))
            for release in history.releases { classes.formUnion(release.classes) }
        }
        self.classes = classes.sorted()
        closures = history.closures.filter { $0.stopsReading && $0.period.overlap(period) != nil }.sorted { $0.epoch < $1.epoch }
        readers = Readers(history, timeline, whereabouts, in: period, scope, &atoms)
        // What versions there are changes something, whatever it is; so does the end of a grant.
        let expiries = timeline.documents.flatMap { $0.grants.compactMap(\.expires) }
        let edges = timeline.versions.flatMap { [$0.period.from, $0.period.until] } + expiries + closures.flatMap { [$0.from, $0.until ?? .distantFuture] } + readers.edges
        subjects = Subjects(history, whereabouts, in: period, scope, self.classes, edges: edges, &atoms)
        tenures = GrantTenures(timeline.versions, atoms, of: self.classes)
        alike = tenures.alike(atoms.people.count)
        closuresLookAtSites = closures.contains { !$0.selector.sites.isEmpty }
        closuresLookAtTeams = closures.contains { !$0.selector.teams.isEmpty }
        people = readers.noPeople
        keys = readers.noKeys
    }

    mutating func assess(_ all: inout Assessment) {
        all.gaps = history.gaps + timeline.gaps
        if history.holdingsAreFewer { all.gaps.append(.holdingsFewer) }
        let parts = ReleasesInScope(history, timeline, asked, scope, classes, &subjects)
        all.releases = parts.releases
        all.probes = parts.probes
        all.planted = history.planted(all.question, classes)
        all.gaps += parts.gaps
        var (erased, unplaced): (Set<String>, Set<String>) = ([], [])
        let order = subjects.rows.indices.sorted { (subjects.rows[$0].subject, subjects.rows[$0].dataClass) < (subjects.rows[$1].subject, subjects.rows[$1].dataClass) }
        for number in order {
            let row = subjects.rows[number]
            let name = subjects.names[row.subject]
            var exposed = Assessment.ExposedSubject(subject: name, dataClass: classes[row.dataClass], period: nil, events: 0, could: nil, did: parts.byRow[number], gaps: [])
            if let kind = row.kind {
                let group = group(of: kind, &all)
                read(row, group, &exposed)
            } else {
                exposed.events = nil
                exposed.gaps.append("place-unknown")
            }
            if let at = subjects.erased[name], at > asked.from {
                exposed.gaps.insert("erased", at: 0)
                erased.insert(name)
            }
            guard exposed.could != nil || !exposed.did.isEmpty || timeline.isUnknownAtTimes else { continue }
            if row.kind == nil { unplaced.insert(name) }
            all.exposed.append(exposed)
        }
        all.audiences = readers.audiences
        for subject in subjects.names.indices where !subjects.hasRow(subject) {
            // Erased, and nothing says that there was anything.
            if let at = subjects.erased[subjects.names[subject]], asked.from < at { erased.insert(subjects.names[subject]) }
        }
        if !erased.isEmpty { all.gaps.append(.erased(erased.sorted())) }
        if !unplaced.isEmpty { all.gaps.append(.placeUnknown(unplaced.sorted())) }
        all.gaps = Set(all.gaps).sorted(by: Gap.precedes)
        all.totals = all.sums(people: people.count, keys: keys.count)
    }

    /// When it was open to somebody, and how much of it.
    private func read(_ row: Subjects.Row, _ group: Group, _ exposed: inout Assessment.ExposedSubject) {
        var (from, until) = (WallTime.distantFuture, WallTime.distantPast)
        for (slices, periods) in zip(row.slices, group.open) {
            for slice in slices {
                guard let first = periods.first(where: { $0.until > slice.first }), let last = periods.last else { continue }
                from = min(from, max(first.from, slice.first))
                until = max(until, last.until)
                exposed.events = exposed.events.flatMap { sum in slice.events.map { sum.addingReportingOverflow($0).partialValue } }
            }
        }
        guard from < until else { return }
        exposed.could = group.could
        exposed.period = Period(from: from, until: until)
        guard let erased = subjects.erased[exposed.subject], erased > from, row.slices.joined().allSatisfy({ $0.first < erased }) else { return }
        exposed.period?.until = min(until, erased)
    }

    // MARK: Could

    private struct Reach {
        let series: Int
        let closures: [Int]
        var period: Period
        var policies: ClosedRange<UInt64>
    }

    /// The same for all whom no grant and no closure tells apart, whatever their teams are called.
    private func alike(_ kind: Subjects.Kind) -> Subjects.Kind {
        let places = kind.places.map { place in
            let scope = Scope(subject: place.scope.subject, site: closuresLookAtSites ? place.scope.site : "", team: closuresLookAtTeams ? place.scope.team : "")
            let spans = place.spans.map { Subjects.Place.Span(period: $0.period, present: $0.present.map { alike[$0] }, records: $0.records) }
            return Subjects.Place(scope: scope, there: alike[place.there], spans: spans)
        }
        return Subjects.Kind(dataClass: kind.dataClass, places: places)
    }

    private mutating func group(of kind: Subjects.Kind, _ all: inout Assessment) -> Group {
        if let known = groups[kind] { return known }
        let general = alike(kind)
        let group = groups[general] ?? makeGroup(of: general, &all)
        (groups[kind], groups[general]) = (group, group)
        return group
    }

    private mutating func makeGroup(of kind: Subjects.Kind, _ all: inout Assessment) -> Group {
        var open: [[Period]] = []
        var (people, keys) = (readers.noPeople, readers.noKeys)
        var reaches: [Reach] = []
        for place in kind.places {
            let here = opened(joined(reach(place, kind.dataClass)))
            open.append(Readers.joined(here.map(\.period)))
            reaches += here
        }
        if kind.places.count > 1 { reaches = opened(joined(reaches)) }
        reaches.sort { left, right in
            if left.period != right.period { return (left.period.from, left.period.until) < (right.period.from, right.period.until) }
            return (tenures.ranks[left.series], left.policies.lowerBound) < (tenures.ranks[right.series], right.policies.lowerBound)
        }
        var could = Assessment.CouldRead(dataClass: classes[kind.dataClass], windows: [], people: 0, keys: 0)
        for reach in reaches {
            let series = tenures.series[reach.series]
            let audience = readers.audience(series.holders, set(of: series), in: reach.period, reach.closures, of: closures, people: &people, keys: &keys)
            could.windows.append(
                .init(period: reach.period, grant: series.grant, role: series.role, purpose: series.purpose, policies: reach.policies, audience: audience))
        }
        (could.people, could.keys) = (people.count, keys.count)
        self.people.formUnion(people)
        self.keys.formUnion(keys)
        let group = Group(could: reaches.isEmpty ? nil : all.groups.count, open: open)
        if !reaches.isEmpty { all.groups.append(could) }
        return group
    }

    private func set(of series: GrantTenures.Series) -> Bits? { series.holders.map { tenures.sets[$0] } }

    /// Those stretches of each in which there was somebody to read.
    private mutating func opened(_ reaches: [Reach]) -> [Reach] {
        var opened: [Reach] = []
        for reach in reaches {
            let series = tenures.series[reach.series]
            for period in readers.presence(series.holders, set(of: series), in: reach.period, reach.closures.map { closures[$0] }) {
                opened.append(Reach(series: reach.series, closures: reach.closures, period: period, policies: reach.policies))
            }
        }
        return opened
    }

    /// Everything by which somebody may have read what lay in a place.
    private func reach(_ place: Subjects.Place, _ dataClass: Int) -> [Reach] {
        var reaches: [Reach] = []
        var stops: [String: (whole: [Period], some: [Int])] = [:]
        func stop(_ purpose: String) -> (whole: [Period], some: [Int]) {
            if let known = stops[purpose] { return known }
            var stop: (whole: [Period], some: [Int]) = ([], [])
            for (number, closure) in closures.enumerated() where closure.selector.matches(place.scope, classes[dataClass]) {
                // Without a document a purpose is what a reader says.
                guard closure.selector.purposes.isEmpty || !purpose.isEmpty && closure.selector.purposes.contains(purpose) else { continue }
                if closure.selector.readers.isEmpty { stop.whole.append(closure.period) } else { stop.some.append(number) }
            }
            stops[purpose] = stop
            return stop
        }
        for span in place.spans {
            for tenure in tenures.byClass[dataClass] {
                guard let overlap = tenure.period.overlap(span.period) else { continue }
                if let covered = tenure.covered {
                    guard tenures.sets[covered].contains(place.there), span.present.map({ tenures.sets[covered].contains($0) }) ?? true else { continue }
                }
                let purpose = tenures.series[tenure.series].purpose
                guard subjects.records[span.records].has(tenure.asks, for: purpose) else { continue }
                guard scope.purposes.isEmpty || purpose.isEmpty || scope.purposes.contains(purpose) else { continue }
                let stop = stop(purpose)
                for period in stop.whole.isEmpty ? [overlap] : overlap.without(stop.whole) {
                    let some = stop.some.isEmpty ? [] : stop.some.filter { closures[$0].period.overlap(period) != nil }
                    reaches.append(Reach(series: tenure.series, closures: some, period: period, policies: tenure.policies))
                }
            }
        }
        return reaches
    }

    /// Those that follow on each other, or lie over each other, made one.
    private func joined(_ reaches: [Reach]) -> [Reach] {
        func isBefore(_ left: Reach, _ right: Reach) -> Bool {
            if left.series != right.series { return left.series < right.series }
            if left.closures != right.closures { return left.closures.lexicographicallyPrecedes(right.closures) }
            return (left.period.from, left.policies.lowerBound) < (right.period.from, right.policies.lowerBound)
        }
        var joined: [Reach] = []
        for reach in reaches.sorted(by: isBefore) {
            if let last = joined.last, last.series == reach.series, last.closures == reach.closures, reach.period.from <= last.period.until {
                joined[joined.count - 1].period.until = max(last.period.until, reach.period.until)
                joined[joined.count - 1].policies = min(last.policies.lowerBound, reach.policies.lowerBound)...max(last.policies.upperBound, reach.policies.upperBound)
            } else {
                joined.append(reach)
            }
        }
        return joined
    }
}

extension Gap {
    /// By what they are, then by what they say.
    static func precedes(_ left: Gap, _ right: Gap) -> Bool { left.rank == right.rank ? left.line.lexicographicallyPrecedes(right.line) : left.rank < right.rank }
}
