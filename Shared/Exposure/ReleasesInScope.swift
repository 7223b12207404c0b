import Gate
import Rules

/// What the ledger of reads says of a question: which releases, and what of them was of whom.
struct ReleasesInScope {
    /// Further apart than this, control's clock and policy's are not one: a release under way may be older than the document that came meanwhile.
    static let clocksApartMax = Span.seconds(5)

    private(set) var releases: [Assessment.ReleaseInScope] = []
    /// Of each row of the subjects.
    private(set) var byRow: [[Assessment.Part]]
    private(set) var gaps: [Gap] = []
    private(set) var probes: [UInt64] = []
    private let history: ExposureHistory
    private let scope: Selector
    private let places: [DataClass: Int]
    private let classes: [DataClass]
    private let rowsOfClass: [[Int]]

    init(
        _ history: ExposureHistory, _ timeline: PolicyTimeline, _ asked: Period, _ scope: Selector, _ classes: [DataClass], _ subjects: inout Subjects
    ) {
        self.history = history
        self.scope = scope
        self.classes = classes
        places = Dictionary(classes.enumerated().map { ($1, $0) }) { first, _ in first }
        byRow = Array(repeating: [], count: subjects.rows.count)
        var rowsOfClass: [[Int]] = Array(repeating: [], count: classes.count)
        for (number, row) in subjects.rows.enumerated() { rowsOfClass[row.dataClass].append(number) }
        self.rowsOfClass = rowsOfClass
        let probe = history.probeReader
        var (before, unnamed, endless): ([UInt64], [UInt64], [UInt64]) = ([], [], [])
        for release in history.releases.sorted(by: { $0.number < $1.number }) {
            guard release.classes.contains(where: { places[$0] != nil }), scope.readers.isEmpty || scope.readers.contains(release.reader),
                scope.purposes.isEmpty || scope.purposes.contains(release.purpose), release.opened < asked.until
            else { continue }
            if release.reader == probe {
                if release.ended.map({ $0 > asked.from }) ?? true { probes.append(release.number) }
                continue
            }
            let isBefore = release.ended.map { $0 <= asked.from } ?? false
            let rows = isBefore && release.included == nil ? [] : rows(of: release, &subjects)
            if isBefore {
                if release.events > 0, release.included.map({ _ in !rows.isEmpty }) ?? true { before.append(release.number) }
                continue
            }
            guard !rows.isEmpty || release.included == nil else { continue }
            let isExact = note(release, rows, subjects)
            if release.included == nil, !isExact { unnamed.append(release.number) }
            if release.ended == nil { endless.append(release.number) }
            guard release.policy > 0, let period = timeline.periods[release.policy] else { continue }
            let apart = max(period.from - release.opened, release.opened - period.until)
            if apart > ReleasesInScope.clocksApartMax { gaps.append(.clockApart(release: release.number, by: apart)) }
        }
        if !before.isEmpty { gaps.append(.releasedBefore(before)) }
        if !unnamed.isEmpty { gaps.append(.notNamed(unnamed)) }
        if !endless.isEmpty { gaps.append(.notEnded(endless)) }
    }

    /// What may have been in it: by person and class.
    private mutating func rows(of release: ExposureHistory.ReleaseOnRecord, _ subjects: inout Subjects) -> [Int] {
        let classes = Set(release.classes.compactMap { places[$0] }).sorted()
        guard let included = release.included else {
            guard !release.subjects.isEmpty || !release.teams.isEmpty else { return classes.flatMap { rowsOfClass[$0] } }
            let wanted = Set(classes)
            var found = Set(release.teams.flatMap { subjects.rowsByTeam[$0] ?? [] }.filter { wanted.contains(subjects.rows[$0].dataClass) })
            for subject in release.subjects {
                guard let number = subjects.number(of: subject) else { continue }
                found.formUnion(classes.compactMap { row(number, $0, release, &subjects) })
            }
            return found.sorted()
        }
        return included.flatMap { subject -> [Int] in
            guard let number = subjects.number(of: subject) else { return [] }
            return classes.compactMap { row(number, $0, release, &subjects) }
        }
    }

    /// Nil: the person had nothing of that class, or nothing in the scope.
    private mutating func row(_ subject: Int, _ dataClass: Int, _ release: ExposureHistory.ReleaseOnRecord, _ subjects: inout Subjects) -> Int? {
        if let row = subjects.row(subject, dataClass) { return row }
        let name = subjects.names[subject]
        let isKnown = !history.holdingsAreFewer && subjects.erased[name] == nil
        // Where they were is not known: who is asked for by place alone is asked for whoever it was.
        guard scope.concernsEveryone || scope.subjects.contains(name) || !isKnown else { return nil }
        guard !isKnown || release.classes.count == 1 || !subjects.hasRow(subject) else { return nil }
        let row = subjects.addRow(subject, dataClass)
        byRow.append([])
        return row
    }

    /// - Returns: whether it is known of each person how much was theirs.
    private mutating func note(_ release: ExposureHistory.ReleaseOnRecord, _ rows: [Int], _ subjects: Subjects) -> Bool {
        let bounds = bounds(of: release, rows, subjects)
        var (low, high): (Int64, Int64) = (0, 0)
        var (certain, possible): (Set<Int>, Set<Int>) = ([], [])
        for (row, events) in zip(rows, bounds) where events.upperBound > 0 {
            byRow[row].append(Assessment.Part(release: releases.count, events: events))
            low += events.lowerBound
            high = high.addingReportingOverflow(events.upperBound).partialValue
            possible.insert(subjects.rows[row].subject)
            if events.lowerBound > 0 { certain.insert(subjects.rows[row].subject) }
        }
        // Whatever was in it was of the scope, but for what is planted, which nobody counts.
        let named = release.included ?? release.shares?.map(\.subject) ?? (release.subjects.isEmpty || !release.teams.isEmpty ? nil : release.subjects)
        let mayHavePlanted = named?.contains(where: Drill.isPlanted) ?? true
        let isWithin = release.classes.allSatisfy { places[$0] != nil } && scope.concernsEveryone && release.ended != nil
        if isWithin, !mayHavePlanted { low = release.events }
        releases.append(.init(release: release, events: min(low, release.events)...(isWithin ? release.events : min(high, release.events)), subjects: certain.count...possible.count))
        return bounds.allSatisfy { $0.lowerBound == $0.upperBound }
    }

    private func bounds(of release: ExposureHistory.ReleaseOnRecord, _ rows: [Int], _ subjects: Subjects) -> [ClosedRange<Int64>] {
        // Who is asked about by place may have had more elsewhere, and a release does not say where what was in it lay.
        let isByPlace = !scope.sites.isEmpty || !scope.teams.isEmpty
        if !isByPlace, let exact = exact(release, rows, subjects) { return exact }
        // What is in the scope is all that there can be only if nothing else was asked for.
        let isOnly = !isByPlace && rows.count == 1 && release.ended != nil && release.included?.count == 1 && (release.classes.count == 1 || !history.holdingsAreFewer)
            && release.classes.allSatisfy { places[$0] != nil }
        return rows.map { row in
            if isOnly { return release.events...release.events }
            guard !history.holdingsAreFewer, subjects.rows[row].hasPlace, subjects.erased[subjects.names[subjects.rows[row].subject]] == nil else { return 0...release.events }
            let held = subjects.rows[row].slices.joined().reduce(Int64(0)) { sum, slice in sum.addingReportingOverflow(slice.events ?? .max / 2).partialValue }
            return 0...max(0, min(release.events, held))
        }
    }

    /// By what the vault has of it, if that is what it had: as much as there was when it was opened. What was cut off was given in the same order.
    private func exact(_ release: ExposureHistory.ReleaseOnRecord, _ rows: [Int], _ subjects: Subjects) -> [ClosedRange<Int64>]? {
        guard let shares = release.shares, release.ended != nil, shares.reduce(Int64(0), { $0 + $1.events }) == release.most,
            release.events <= release.most, !release.cutOff.isEmpty || release.events == release.most
        else { return nil }
        var left = release.events
        var given: [Int: Int64] = [:]
        for share in shares {
            let part = min(left, share.events)
            left -= part
            guard part > 0, let subject = subjects.number(of: share.subject), let dataClass = places[share.dataClass], let row = subjects.row(subject, dataClass) else { continue }
            given[row, default: 0] += part
        }
        return rows.map { (given[$0] ?? 0)...(given[$0] ?? 0) }
    }
}
