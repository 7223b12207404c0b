import Gate

extension PolicyDiff {
    /// One of the two documents, with the people that each of its parts means.
    struct Side {
        let document: PolicyDocument
        let classes: [String: PolicyDocument.Class]
        let purposes: [String: PolicyDocument.Purpose]
        private var grants: [Holding] = []
        private var rules: [(rule: PolicyDocument.CaptureRule, people: Bits)] = []
        private let work: Work

        /// A grant that is in force, with who holds it and whose data it covers.
        private struct Holding {
            let grant: PolicyDocument.Grant
            var readers: Bits
            var subjects: Bits

            /// As much as the other: as long, and as much at a time.
            func isWithin(_ other: Holding) -> Bool { grant.isWithinTerms(of: other.grant) }
        }

        init(_ document: PolicyDocument, _ population: Population, _ now: WallTime, _ work: Work) {
            self.document = document
            self.work = work
            classes = Dictionary(document.classes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            purposes = Dictionary(document.purposes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            var sets = Population.Sets(population, document, within: work)
            for grant in document.grants where grant.isLive(at: now) {
                grants.append(Holding(grant: grant, readers: sets.role(grant.role), subjects: sets.group(grant.subjects)))
            }
            for rule in document.capture { rules.append((rule, sets.group(rule.people))) }
        }

        var readerSets: [Bits] { grants.map(\.readers) }
        var subjectSets: [Bits] { grants.map(\.subjects) + rules.map(\.people) }

        /// From people to blocks. Once, and before anything is asked.
        mutating func compress(_ readers: Partition, _ subjects: Partition) {
            var (knownReaders, knownSubjects): ([Bits: Bits], [Bits: Bits]) = ([:], [:])
            func blocks(_ set: Bits, _ partition: Partition, _ known: inout [Bits: Bits]) -> Bits {
                guard work.take(2 * set.words.count + 10) else { return set }
                if let known = known[set] { return known }
                guard work.take(partition.count / 64 + 2 * set.count) else { return set }
                let blocks = partition.blocks(of: set)
                known[set] = blocks
                return blocks
            }
            for index in grants.indices {
                grants[index].readers = blocks(grants[index].readers, readers, &knownReaders)
                grants[index].subjects = blocks(grants[index].subjects, subjects, &knownSubjects)
            }
            for index in rules.indices { rules[index].people = blocks(rules[index].people, subjects, &knownSubjects) }
            readerBlocks = readers.count
            words = (readers.count + subjects.count) / 64 + 2
        }
        private var readerBlocks = 0
        /// Of a set of readers and one of subjects.
        private var words = 0

        /// Who may read some of it, for whatever purpose.
        func audience(_ name: String) -> Bits {
            var all = Bits(count: readerBlocks)
            guard work.take(grants.count * (10 + words)) else { return all }
            for holding in grants where holding.grant.classes.contains(name) && !holding.subjects.isEmpty { all.formUnion(holding.readers) }
            return all
        }

        /// Somebody may read for it.
        func isGranted(_ purpose: String) -> Bool { grants.contains { $0.grant.purpose == purpose && !$0.readers.isEmpty && !$0.subjects.isEmpty } }

        // MARK: Access

        /// What this side allows on a class and the other does not on one that may be the same: grant by grant, without what another grant covers.
        func access(_ name: String, beyond other: Side, on otherName: String) -> [Access] {
            var found: [Access] = []
            guard work.take(10 * (grants.count + other.grants.count)) else { return found }
            let others = Dictionary(grouping: other.grants.filter { $0.grant.classes.contains(otherName) }, by: \.grant.purpose)
            for mine in grants where mine.grant.classes.contains(name) && !mine.readers.isEmpty && !mine.subjects.isEmpty {
                found += access(mine, name, others[mine.grant.purpose] ?? [])
            }
            return found
        }

        private func access(_ mine: Holding, _ name: String, _ all: [Holding]) -> [Access] {
            var left = mine.readers
            var covers: [Cover] = []
            for one in all {
                guard work.take(20 + 3 * words) else { return [] }
                let isWhole = mine.isWithin(one)
                // Whoever holds one that covers all of it gains nothing.
                if isWhole, mine.subjects.isSubset(of: one.subjects) {
                    left.subtract(one.readers)
                    if left.isEmpty { return [] }
                } else if !one.readers.isDisjoint(with: mine.readers), !one.subjects.isDisjoint(with: mine.subjects) {
                    covers.append(Cover(readers: one.readers, subjects: one.subjects, isWhole: isWhole))
                }
            }
            var split = Splitting(covers: covers, readerBlocks: readerBlocks, words: words, work: work)
            split.run(left.numbers, lacking: mine.subjects, wanting: mine.subjects)
            return split.found.map { key, readers in
                Access(grant: mine.grant.name, role: mine.grant.role, purpose: mine.grant.purpose, dataClass: name, isWhole: key.isWhole, readers: readers, subjects: key.subjects)
            }.sorted { ($0.isWhole ? 0 : 1, $0.subjects.words.lexicographicallyPrecedes($1.subjects.words) ? 0 : 1) < ($1.isWhole ? 0 : 1, 1) }
        }

        private struct Cover {
            let readers: Bits
            let subjects: Bits
            /// It allows no less: as long, as much. Else it only shows that there was some access.
            let isWhole: Bool
        }

        /// Readers, told apart by which grants of the other side they hold as well: for each, whose data is left over.
        private struct Splitting {
            struct Key: Hashable {
                let subjects: Bits
                let isWhole: Bool
            }

            let covers: [Cover]
            let readerBlocks: Int
            let words: Int
            let work: Work
            var found: [Key: Bits] = [:]

            init(covers: [Cover], readerBlocks: Int, words: Int, work: Work) {
                self.covers = covers
                self.readerBlocks = readerBlocks
                self.words = words
                self.work = work
            }

            private struct Part {
                var readers: [Int]
                /// Without any access so far.
                var lacking: Bits
                /// Without as much as this. Holds all of `lacking`.
                var wanting: Bits
                var next: Int
            }

            mutating func run(_ readers: [Int], lacking: Bits, wanting: Bits) {
                var parts = [Part(readers: readers, lacking: lacking, wanting: wanting, next: 0)]
                while var part = parts.popLast() {
                    while part.next < covers.count {
                        let cover = covers[part.next]
                        guard work.take(20 + 2 * part.readers.count + 2 * words) else { return }
                        part.next += 1
                        let held = part.readers.filter { cover.readers.contains($0) }
                        guard !held.isEmpty else { continue }
                        var inside = part
                        inside.readers = held
                        inside.lacking.subtract(cover.subjects)
                        if cover.isWhole { inside.wanting.subtract(cover.subjects) }
                        if held.count == part.readers.count {
                            part = inside
                        } else {
                            part.readers.removeAll { cover.readers.contains($0) }
                            if !inside.wanting.isEmpty { parts.append(inside) }
                        }
                        if part.wanting.isEmpty { break }
                    }
                    note(part.readers, part.lacking, isWhole: true)
                    note(part.readers, part.wanting.subtracting(part.lacking), isWhole: false)
                }
            }

            private mutating func note(_ readers: [Int], _ subjects: Bits, isWhole: Bool) {
                guard !subjects.isEmpty, !readers.isEmpty, work.take(20 + readers.count + 4 * words) else { return }
                let key = Key(subjects: subjects, isWhole: isWhole)
                // One look-up for all: the key is as long as the company.
                var all = found.removeValue(forKey: key) ?? Bits(count: readerBlocks)
                for reader in readers { all.insert(reader) }
                found[key] = all
            }
        }

        // MARK: Capture

        struct Captured {
            /// For each block of subjects.
            let left: [Minimisation]
            /// How much there is to compare.
            let weight: Int
        }

        /// What is left of such an event, of those who have what a purpose asks for.
        func capture(_ shape: EventShape, _ name: String?, _ subjects: Partition) -> Captured {
            var left = Array(repeating: Minimisation?.none, count: subjects.count)
            func done() -> Captured {
                let left = left.map { $0 ?? .drop }
                return Captured(left: left, weight: left.reduce(0) { $0 + $1.weight })
            }
            guard work.take(4 * subjects.count + 10 * rules.count + 10) else { return done() }
            if let name, classes[name]?.retention != nil, document.purposes.contains(where: { $0.classes.contains(name) }) {
                for (rule, people) in rules where shape.isAmong(rule.kinds, rule.sources) && (rule.classes.isEmpty || rule.classes.contains(name)) {
                    let blocks = people.numbers
                    guard work.take(people.words.count + 4 * blocks.count) else { return done() }
                    for block in blocks {
                        guard let before = left[block] else {
                            left[block] = rule.minimisation
                            continue
                        }
                        if case .redact = before, case .redact = rule.minimisation {
                            guard work.take(10 * (before.weight + rule.minimisation.weight)) else { return done() }
                        }
                        left[block] = before.stricter(rule.minimisation)
                    }
                }
            }
            return done()
        }
    }

    /// Events of one class before are of another after.
    struct Move: Hashable {
        let from: String?
        let to: String?
    }

    /// Which classes the events of one shape can have before and after.
    struct Moves {
        /// Of a document's rules on classes, each the same number as the one of the other document that looks at the same.
        private struct Rule {
            let number: Int
            let rule: PolicyDocument.Assignment
        }

        private let old: [Rule]
        private let new: [Rule]
        private let oldRank: [String: Int]
        private let newRank: [String: Int]
        /// Of the classes that both have the order is the same.
        private let isOrderKept: Bool

        init(from old: PolicyDocument, to new: PolicyDocument) {
            var numbers: [PolicyDocument.Assignment: Int] = [:]
            func numbered(_ document: PolicyDocument) -> [Rule] {
                document.assignments.map { rule in
                    // A rule for several shapes is one for each.
                    var bare = rule
                    (bare.kinds, bare.sources) = ([], [])
                    let number = numbers[bare] ?? numbers.count
                    numbers[bare] = number
                    return Rule(number: number, rule: rule)
                }
            }
            func ranks(_ document: PolicyDocument) -> [String: Int] {
                Dictionary(document.classes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
            }
            (self.old, self.new) = (numbered(old), numbered(new))
            let (oldRank, newRank) = (ranks(old), ranks(new))
            (self.oldRank, self.newRank) = (oldRank, newRank)
            isOrderKept = old.classes.map(\.name).filter { newRank[$0] != nil } == new.classes.map(\.name).filter { oldRank[$0] != nil }
        }

        /// What the rules can come to: of those that always match the highest, and each other one above it.
        private static func outcomes(_ rules: some Sequence<PolicyDocument.Assignment>, _ rank: [String: Int]) -> [String?] {
            let base = rules.filter(\.isPlain).map(\.dataClass).max { rank[$0] ?? -1 < rank[$1] ?? -1 }
            let above = Set(rules.filter { !$0.isPlain }.map(\.dataClass)).filter { rank[$0] ?? -1 > base.flatMap { rank[$0] } ?? -1 }
            return [base] + above.sorted().map(Optional.some)
        }

        /// What stays, as far as it can, and what moves: no event makes a move that is not among them.
        subscript(shape: EventShape) -> (stays: [Move], moves: [Move]) {
            func rules(_ all: [Rule]) -> [Int: PolicyDocument.Assignment] {
                Dictionary(all.filter { shape.isAmong($0.rule.kinds, $0.rule.sources) }.map { ($0.number, $0.rule) }, uniquingKeysWith: { first, _ in first })
            }
            let (before, after) = (rules(old), rules(new))
            // Where the order of classes changed, the same rules come to something else.
            let common = isOrderKept ? before.filter { after[$0.key] != nil } : [:]
            let (removed, added) = (before.filter { common[$0.key] == nil }, after.filter { common[$0.key] == nil })
            func higher(_ left: String?, _ right: String?, _ rank: [String: Int]) -> String? {
                (left.flatMap { rank[$0] } ?? -1) >= (right.flatMap { rank[$0] } ?? -1) ? left : right
            }
            // A rule that is common is of a class that is in both.
            let base = Moves.outcomes(common.values, newRank)
            let (olds, news) = (Moves.outcomes(removed.values, oldRank), Moves.outcomes(added.values, newRank))
            // By number: of thirty classes there are tens of thousands of ways to nine hundred moves.
            let names = Array(Set(base + olds + news))
            let places = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
            var found: Set<Int> = []
            for one in base {
                let tos = Set(news.compactMap { places[higher(one, $0, newRank)] })
                for was in olds { if let from = places[higher(one, was, oldRank)] { for to in tos { found.insert(from * names.count + to) } } }
            }
            let sorted = found.map { Move(from: names[$0 / names.count], to: names[$0 % names.count]) }.sorted { ($0.from ?? "", $0.to ?? "") < ($1.from ?? "", $1.to ?? "") }
            return (sorted.filter { $0.from == $0.to }, sorted.filter { $0.from != $0.to })
        }
    }
}
