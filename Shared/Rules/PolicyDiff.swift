package import Gate

/// What a change of policy does: who gains, who loses, what agents start or stop sending, what is kept for longer.
///
/// Access is exact: cell by cell of reader × class × purpose × subject, it says what ``Policy/mayRead(_:for:_:of:records:at:)`` would, now and until the grants end. It is found
/// by grants, and by blocks of people who are alike, since the cells of a hundred thousand people are ten thousand million. Which events change their class is told
/// generously, since nobody can say which titles there will be: a move is left out only when no event can make it. So what is said to narrow, narrows.
package struct PolicyDiff: Sendable {
    /// Some readers' access to some subjects' data, by one grant.
    package struct Access: Sendable {
        package let grant: String
        package let role: String
        package let purpose: String
        package let dataClass: String
        /// They had none at all before, or have none after. Else: it lasts longer, or allows more at a time; or less.
        package let isWhole: Bool
        let readers: Bits
        let subjects: Bits
    }

    package struct Audience: Hashable, Sendable {
        package let dataClass: String
        /// Nil: the class is not there.
        package let before: Int?
        package let after: Int?
        package let limitBefore: Int?
        package let limit: Int?

        /// More people than the document itself allows.
        package var isExceeded: Bool { limit.map { after ?? 0 > $0 } ?? false }
    }

    package struct Retention: Hashable, Sendable {
        package let dataClass: String
        package let before: Span?
        package let after: Span?
    }

    /// What agents do otherwise with some events of some people.
    package struct Capture: Sendable {
        /// All to which it happens alike.
        package fileprivate(set) var shapes: [EventShape]
        /// Nil: no rule gives it a class.
        package let classBefore: String?
        package let classAfter: String?
        package let before: Minimisation
        package let after: Minimisation
        let subjects: Bits

        package var isWider: Bool { !after.isWithin(before) }
    }

    /// Why it takes two people.
    package enum Widening: Hashable, Sendable {
        case access(grant: String, dataClass: String, people: Int)
        case terms(grant: String, dataClass: String, people: Int)
        case retention(dataClass: String)
        case audienceLimit(dataClass: String)
        case capture([EventShape], people: Int)
        /// Some who were not told, or did not agree, are captured.
        case records(dataClass: String)
        /// A purpose asks its subjects for less than before.
        case basis(purpose: String)
        /// Events change their class to one that somebody may read, keep or capture more of.
        case moved(from: String, to: String)
        case leak(LeakDetector)
        /// They may take longer, or come less often.
        case drills
        case notices(NoticeTerms.Loosening)
    }

    package private(set) var audiences: [Audience] = []
    package private(set) var gains: [Access] = []
    package private(set) var losses: [Access] = []
    package private(set) var retentions: [Retention] = []
    package private(set) var captures: [Capture] = []
    /// Classes whose events become events of another.
    package private(set) var moves: [(from: String?, to: String?)] = []
    package private(set) var bases: [(purpose: String, before: LegalBasis?, after: LegalBasis?)] = []
    /// Nil: they are as they were.
    package private(set) var drills: (before: DrillTerms, after: DrillTerms)?
    /// Nil: they are as they were.
    package private(set) var notices: (before: NoticeTerms, after: NoticeTerms)?
    package private(set) var leaks: [(detector: LeakDetector, before: PolicyDocument.LeakReaction, after: PolicyDocument.LeakReaction)] = []
    /// In the order of the cases above. Empty: it only narrows, and takes one person.
    package private(set) var widenings: [Widening] = []

    package let population: Population
    private let readers: Partition
    private let subjects: Partition

    package var isWidening: Bool { !widenings.isEmpty }
    /// The classes that more people could read than they may.
    package var exceeded: [String] { audiences.filter(\.isExceeded).map(\.dataClass) }
    package var isEmpty: Bool {
        gains.isEmpty && losses.isEmpty && retentions.isEmpty && captures.isEmpty && moves.isEmpty && bases.isEmpty && leaks.isEmpty && drills == nil && notices == nil && widenings.isEmpty
            && audiences.allSatisfy { $0.before == $0.after && $0.limitBefore == $0.limit }
    }

    package init(from before: PolicyDocument, to after: PolicyDocument, people directory: [Person], at now: WallTime) {
        self.init(from: before, to: after, of: Population(directory, and: [before, after]), at: now)
    }

    /// - Parameter work: Where it is used up, nothing of the difference is true.
    init(from before: PolicyDocument, to after: PolicyDocument, of population: Population, at now: WallTime, within work: Work = .unbounded) {
        self.population = population
        var (old, new) = (Side(before, population, now, work), Side(after, population, now, work))
        readers = Partition(people: population.people.count, by: Set(old.readerSets + new.readerSets), within: work)
        subjects = Partition(people: population.people.count, by: Set(old.subjectSets + new.subjectSets), within: work)
        old.compress(readers, subjects)
        new.compress(readers, subjects)
        guard !work.isUsedUp else { return }
        let classes = after.classes.map(\.name) + before.classes.map(\.name).filter { old in !after.classes.contains { $0.name == old } }

        gains = classes.flatMap { new.access($0, beyond: old, on: $0) }
        losses = classes.flatMap { old.access($0, beyond: new, on: $0) }
        for one in gains {
            let people = readers.people(in: one.readers)
            widenings.append(
                one.isWhole ? .access(grant: one.grant, dataClass: one.dataClass, people: people) : .terms(grant: one.grant, dataClass: one.dataClass, people: people))
        }
        compareClasses(classes, old, new)
        compareCapture(old, new, work)
        comparePurposes(old, new)
        compareLeaks(before, after)
        widenings = PolicyDiff.once(widenings)
    }

    private static func once(_ all: [Widening]) -> [Widening] {
        var seen: Set<Widening> = []
        return all.filter { seen.insert($0).inserted }
    }

    // MARK: What the parts of it mean

    package func count(of access: Access) -> (readers: Int, subjects: Int) { (readers.people(in: access.readers), subjects.people(in: access.subjects)) }
    package func count(of capture: Capture) -> Int { subjects.people(in: capture.subjects) }

    /// How many different people there are in several.
    package func readerCount(of all: some Sequence<Access>) -> Int {
        var union = Bits(count: readers.count)
        for one in all { union.formUnion(one.readers) }
        return readers.people(in: union)
    }

    package func readers(of access: Access) -> [Person] { people(access.readers, readers) }
    package func subjects(of access: Access) -> [Person] { people(access.subjects, subjects) }
    package func subjects(of capture: Capture) -> [Person] { people(capture.subjects, subjects) }

    private func people(_ blocks: Bits, _ partition: Partition) -> [Person] {
        population.people.indices.filter { blocks.contains(partition.block[$0]) }.map { population.people[$0] }
    }

    // MARK: Comparing

    private mutating func compareClasses(_ names: [String], _ old: Side, _ new: Side) {
        for name in names {
            let (was, is_) = (old.classes[name], new.classes[name])
            audiences.append(
                Audience(
                    dataClass: name, before: was.map { _ in readers.people(in: old.audience(name)) }, after: is_.map { _ in readers.people(in: new.audience(name)) },
                    limitBefore: was?.audienceMax, limit: is_?.audienceMax))
            if was?.retention != is_?.retention { retentions.append(.init(dataClass: name, before: was?.retention, after: is_?.retention)) }
            guard let was, let is_ else { continue }
            if is_.retention ?? .zero > was.retention ?? .zero { widenings.append(.retention(dataClass: name)) }
            // What was never stored had no limit that anybody could have set.
            if was.retention != nil, let limit = was.audienceMax, is_.retention != nil, is_.audienceMax.map({ $0 > limit }) ?? true {
                widenings.append(.audienceLimit(dataClass: name))
            }
        }
    }

    private mutating func compareCapture(_ old: Side, _ new: Side, _ work: Work) {
        var moved: Set<Move> = []
        var captured: Set<String> = []
        let all = Moves(from: old.document, to: new.document)
        for shape in EventShape.allCases {
            let (stays, moves) = all[shape]
            // Of each class once, however many moves it has.
            var (olds, news): ([String?: Side.Captured], [String?: Side.Captured]) = ([:], [:])
            for move in stays + moves {
                let was = olds[move.from] ?? old.capture(shape, move.from, subjects)
                let after = news[move.to] ?? new.capture(shape, move.to, subjects)
                (olds[move.from], news[move.to]) = (was, after)
                guard work.take(20 * (was.weight + after.weight)) else { return }
                for change in changes(shape, move, from: was.left, to: after.left) {
                    guard work.take(10 * captures.count + 10) else { return }
                    let same = captures.firstIndex {
                        ($0.classBefore, $0.classAfter, $0.before, $0.after, $0.subjects) == (change.classBefore, change.classAfter, change.before, change.after, change.subjects)
                    }
                    if let same { captures[same].shapes.append(shape) } else { captures.append(change) }
                }
                if let to = move.to, after.left.contains(where: { $0 != .drop }) { captured.insert(to) }
                if move.from != move.to { moved.insert(move) }
            }
        }
        for capture in captures where capture.isWider { widenings.append(.capture(capture.shapes, people: subjects.people(in: capture.subjects))) }
        moves = moved.sorted { ($0.from ?? "", $0.to ?? "") < ($1.from ?? "", $1.to ?? "") }.map { ($0.from, $0.to) }
        for move in moved.sorted(by: { ($0.from ?? "", $0.to ?? "") < ($1.from ?? "", $1.to ?? "") }) {
            guard let from = move.from, let to = move.to, let is_ = new.classes[to]?.retention else { continue }
            if is_ > old.classes[from]?.retention ?? .zero || !new.access(to, beyond: old, on: from).isEmpty { widenings.append(.moved(from: from, to: to)) }
        }
        // A class is captured of whoever has what one of its purposes asks for.
        let stays = new.document.classes.map(\.name).filter { old.classes[$0] != nil }.map { Move(from: $0, to: $0) }
        for move in stays + moves.map({ Move(from: $0.from, to: $0.to) }) {
            guard let from = move.from, let to = move.to, captured.contains(to) else { continue }
            let (was, is_) = (old.document.purposes.filter { $0.classes.contains(from) }, new.document.purposes.filter { $0.classes.contains(to) })
            guard work.take(10 * (old.document.purposes.count + new.document.purposes.count) + was.count * is_.count) else { return }
            let isWithin = is_.allSatisfy { purpose in was.contains { $0.basis.asks == .none || ($0.name == purpose.name && $0.basis.asks <= purpose.basis.asks) } }
            if !isWithin { widenings.append(.records(dataClass: to)) }
        }
    }

    private func changes(_ shape: EventShape, _ move: Move, from was: [Minimisation], to is_: [Minimisation]) -> [Capture] {
        if was == is_ { return [] }
        var found: [[Minimisation]: Bits] = [:]
        for block in 0..<subjects.count where was[block] != is_[block] {
            found[[was[block], is_[block]], default: Bits(count: subjects.count)].insert(block)
        }
        return found.map { .init(shapes: [shape], classBefore: move.from, classAfter: move.to, before: $0[0], after: $0[1], subjects: $1) }.sorted { one, other in
            let (mine, others) = ((one.before.word, one.after.word), (other.before.word, other.after.word))
            return mine == others ? one.subjects.words.lexicographicallyPrecedes(other.subjects.words) : mine < others
        }
    }

    private mutating func comparePurposes(_ old: Side, _ new: Side) {
        for name in Set(old.purposes.keys).union(new.purposes.keys).sorted() {
            let (was, is_) = (old.purposes[name]?.basis, new.purposes[name]?.basis)
            guard was != is_ else { continue }
            bases.append((name, was, is_))
            if let was, let is_, is_.asks < was.asks, new.isGranted(name) { widenings.append(.basis(purpose: name)) }
        }
    }

    private mutating func compareLeaks(_ before: PolicyDocument, _ after: PolicyDocument) {
        for detector in LeakDetector.allCases {
            let (was, is_) = (before.reaction(to: detector), after.reaction(to: detector))
            guard was != is_ else { continue }
            leaks.append((detector, was, is_))
            if !is_.closesAsMuch(as: was) { widenings.append(.leak(detector)) }
        }
        if before.drills != after.drills {
            drills = (before.drills, after.drills)
            if !after.drills.isWithin(before.drills) { widenings.append(.drills) }
        }
        if before.notices != after.notices { notices = (before.notices, after.notices) }
        widenings += after.notices.loosenings(of: before.notices).map { Widening.notices($0) }
    }
}

extension PolicyDocument {
    /// What a finding closes. Without a word on it: reading of everything.
    package func reaction(to detector: LeakDetector) -> LeakReaction {
        leaks.first { $0.detector == detector } ?? LeakReaction(detector, close: .read, of: .everything)
    }
}

extension PolicyDocument.LeakReaction {
    private func isNoticed(asSoonAs other: PolicyDocument.LeakReaction) -> Bool {
        if let known = other.limit, !(limit?.isWithin(known) ?? false) { return false }
        if let known = other.past, !(past?.isWithin(known) ?? false) { return false }
        let isTried = other.urls.allSatisfy { page in
            var stricter = page
            stricter.undecided = .finding
            return urls.contains(page) || urls.contains(stricter)
        }
        let isPlanted = planted.isSuperset(of: other.planted) && other.events.allSatisfy { one in
            events.contains(one) || events.contains(PlantedEvents(of: one.subject, one.dataClass)) || planted.contains(one.subject)
        }
        return isTried && isPlanted && (other.planted.isEmpty && other.events.isEmpty && other.past == nil || cleared.isSubset(of: other.cleared))
    }

    func closesAsMuch(as other: PolicyDocument.LeakReaction) -> Bool {
        // Without a limit it has never found anything.
        if !other.detector.limits.isEmpty, other.limit == nil, other.past == nil { return true }
        return (close == .both || close == other.close) && (of == .everything || of == other.of) && isNoticed(asSoonAs: other)
    }
}
