import Gate

extension PolicyDiff {
    /// One of the two documents, with the people that each of its parts means.
    struct Side {
        let document: PolicyDocument
        let classes: [String: PolicyDocument.Class]
        let purposes: [String: PolicyDocument.Purpose]
        private var grants: [Holding] = []
        private var rules: [(rule: PolicyDocument.CaptureRule, people: Bits)] = []

        /// A grant that is in force, with who holds it and whose data it covers.
        private struct Holding {
            let grant: PolicyDocument.Grant
            var readers: Bits
            var subjects: Bits

            /// As much as the other: as long, and as much at a time.
            func isWithin(_ other: Holding) -> Bool { grant.isWithinTerms(of: other.grant) }
        }

        init(_ document: PolicyDocument, _ population: Population, _ now: WallTime) {
            self.document = document
            classes = Dictionary(document.classes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            purposes = Dictionary(document.purposes.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            var sets = Population.Sets(population, document)
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
                if let known = known[set] { return known }
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
        }
        private var readerBlocks = 0

        /// Who may read some of it, for whatever purpose.
        func audience(_ name: String) -> Bits {
            var all = Bits(count: readerBlocks)
            for holding in grants where holding.grant.classes.contains(name) && !holding.subjects.isEmpty { all.formUnion(holding.readers) }
            return all
        }

        /// Somebody may read for it.
        func isGranted(_ purpose: String) -> Bool { grants.contains { $0.grant.purpose == purpose && !$0.readers.isEmpty && !$0.subjects.isEmpty } }

        // MARK: Access

        /// What this side allows on a class and the other does not on one that may be the same: grant by grant, without what another grant covers.
        func access(_ name: String, beyond other: Side, on otherName: String) -> [Access] {
            var found: [Access] = []
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
                let isWhole = mine.isWithin(one)
                // Whoever holds one that covers all of it gains nothing.
                if isWhole, mine.subjects.isSubset(of: one.subjects) {
                    left.subtract(one.readers)
                    if left.isEmpty { return [] }
                } else if !one.readers.isDisjoint(with: mine.readers), !one.subjects.isDisjoint(with: mine.subjects) {
                    covers.append(Cover(readers: one.readers, subjects: one.subjects, isWhole: isWhole))
                }
            }
            var split = Splitting(covers: covers, readerBlocks: readerBlocks)
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
            var found: [Key: Bits] = [:]

            init(covers: [Cover], readerBlocks: Int) {
                self.covers = covers
                self.readerBlocks = readerBlocks
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
                guard !subjects.isEmpty, !readers.isEmpty else { return }
                let key = Key(subjects: subjects, isWhole: isWhole)
                // One look-up for all: the key is as long as the company.
                var all = found.removeValue(forKey: key) ?? Bits(count: readerBlocks)
                for reader in readers { all.insert(reader) }
                found[key] = all
            }
        }

        // MARK: Capture

        /// For each block of subjects, what is left of such an event, of those who have what a purpose asks for.
        func capture(_ shape: EventShape, _ name: String?, _ subjects: Partition) -> [Minimisation] {
            var left = Array(repeating: Minimisation?.none, count: subjects.count)
            if let name, classes[name]?.retention != nil, document.purposes.contains(where: { $0.classes.contains(name) }) {
                for (rule, people) in rules where shape.isAmong(rule.kinds, rule.sources) && (rule.classes.isEmpty || rule.classes.contains(name)) {
                    for block in people.numbers { left[block] = left[block]?.stricter(rule.minimisation) ?? rule.minimisation }
                }
            }
            return left.map { $0 ?? .drop }
        }
    }

    /// Events of one class before are of another after.
    struct Move: Hashable {
        let from: String?
        let to: String?
    }

    /// Which classes the events of one shape can have before and after.
    struct Moves {
        private let shape: EventShape
        private let old: PolicyDocument
        private let new: PolicyDocument

        init(_ shape: EventShape, from old: PolicyDocument, to new: PolicyDocument) {
            self.shape = shape
            self.old = old
            self.new = new
        }

        /// What the rules can come to: of those that always match the highest, and each other one above it.
        private func outcomes(_ rules: [PolicyDocument.Assignment], _ rank: [String: Int]) -> [String?] {
            let base = rules.filter(\.isPlain).map(\.dataClass).max { rank[$0] ?? -1 < rank[$1] ?? -1 }
            let above = Set(rules.filter { !$0.isPlain }.map(\.dataClass)).filter { rank[$0] ?? -1 > base.flatMap { rank[$0] } ?? -1 }
            return [base] + above.sorted().map(Optional.some)
        }

        /// What stays, as far as it can, and what moves: no event makes a move that is not among them.
        var all: (stays: [Move], moves: [Move]) {
            func ranks(_ document: PolicyDocument) -> [String: Int] {
                Dictionary(document.classes.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
            }
            let (oldRank, newRank) = (ranks(old), ranks(new))
            // A rule for several shapes is one for each.
            func rules(_ document: PolicyDocument) -> Set<PolicyDocument.Assignment> {
                Set(
                    document.assignments.filter { shape.isAmong($0.kinds, $0.sources) }.map {
                        var rule = $0
                        (rule.kinds, rule.sources) = ([], [])
                        return rule
                    })
            }
            let (before, after) = (rules(old), rules(new))
            let shared = old.classes.map(\.name).filter { newRank[$0] != nil }
            // Where the order of classes changed, the same rules come to something else.
            let common = shared == new.classes.map(\.name).filter { oldRank[$0] != nil } ? before.intersection(after) : []
            let (removed, added) = (before.subtracting(common), after.subtracting(common))
            func higher(_ left: String?, _ right: String?, _ rank: [String: Int]) -> String? {
                (left.flatMap { rank[$0] } ?? -1) >= (right.flatMap { rank[$0] } ?? -1) ? left : right
            }
            let olds = outcomes(Array(removed), oldRank)
            let news = outcomes(Array(added), newRank)
            // A rule that is common is of a class that is in both.
            let base = outcomes(Array(common), newRank)
            var found: Set<Move> = []
            for one in base {
                for was in olds { for is_ in news { found.insert(Move(from: higher(one, was, oldRank), to: higher(one, is_, newRank))) } }
            }
            let sorted = found.sorted { ($0.from ?? "", $0.to ?? "") < ($1.from ?? "", $1.to ?? "") }
            return (sorted.filter { $0.from == $0.to }, sorted.filter { $0.from != $0.to })
        }
    }
}
