import Chance
import Gate
import Rules
import Testing

/// What a diff says, next to every question that can be asked of a small world.
struct PolicyDiffTests {
    /// One reader, one class, one purpose, one subject.
    private struct Cell: Hashable, Comparable {
        let reader: String
        let dataClass: String
        let purpose: String
        let subject: String

        static func < (left: Cell, right: Cell) -> Bool { left.words < right.words }
        var words: String { "\(reader) \(dataClass) \(purpose) \(subject)" }
    }

    private struct BruteForce {
        let world: SmallWorld
        let everybody: [Person]
        let before: Policy
        let after: Policy
        /// Whoever is asked has everything on record, so that grants alone decide.
        let records = Records(notices: ["training", "law"], consents: ["training", "law"])

        init(_ world: SmallWorld) {
            self.world = world
            everybody = world.people + ["E5", "E6"].map { Person($0) }
            before = Policy(world.before)
            after = Policy(world.after)
        }

        private func grants(_ policy: Policy, _ cell: (Person, String, String, Person)) -> [PolicyDocument.Grant] {
            guard case .granted(let grants) = policy.mayRead(cell.0, for: cell.2, DataClass(cell.1), of: cell.3, records: records, at: SmallWorld.now) else { return [] }
            return grants
        }

        private func isWithin(_ one: PolicyDocument.Grant, _ other: PolicyDocument.Grant) -> Bool {
            let lasts = (one.expires ?? .distantFuture) <= (other.expires ?? .distantFuture)
            guard let limit = other.rate else { return lasts }
            guard let rate = one.rate else { return false }
            return lasts && rate.isWithin(limit)
        }

        /// Cells that have access in `new` and none in `old`; and cells that have some of which more is allowed.
        func gains(_ old: Policy, _ new: Policy) -> (whole: Set<Cell>, terms: Set<Cell>) {
            var (whole, terms): (Set<Cell>, Set<Cell>) = ([], [])
            for reader in everybody { for name in ["low", "middle", "high", "never"] { for purpose in ["training", "law"] { for subject in everybody {
                let (was, is_) = (grants(old, (reader, name, purpose, subject)), grants(new, (reader, name, purpose, subject)))
                let cell = Cell(reader: reader.id, dataClass: name, purpose: purpose, subject: subject.id)
                if was.isEmpty, !is_.isEmpty { whole.insert(cell) }
                if !was.isEmpty, is_.contains(where: { one in !was.contains { isWithin(one, $0) } }) { terms.insert(cell) }
            } } } }
            return (whole, terms)
        }

        func audience(_ policy: Policy, _ name: String) -> Int {
            everybody.count { reader in
                ["training", "law"].contains { purpose in everybody.contains { !grants(policy, (reader, name, purpose, $0)).isEmpty } }
            }
        }

        static let events: [EventTraits] = {
            var all: [EventTraits] = []
            for shape in EventShape.allCases { for title in ["a", "b"] { for application in ["x", "y"] { for detected in [Set<String>(), ["card"]] {
                all.append(EventTraits(shape, application: application, title: title, detected: detected))
            } } } }
            return all
        }()

        /// Every event of everybody that is captured otherwise, whatever is on record.
        func captures(_ visit: (EventTraits, Person, DataClass?, DataClass?, Minimisation, Minimisation) -> Void) {
            let allRecords = [Records.none, Records(notices: ["training"]), Records(consents: ["training"]), Records(notices: ["law"]), Records(consents: ["law"]), records]
            for traits in BruteForce.events { for subject in everybody { for records in allRecords {
                let (was, is_) = (before.classify(traits), after.classify(traits))
                let old = before.capture(traits.shape, was, of: subject, records: records).minimisation
                let new = after.capture(traits.shape, is_, of: subject, records: records).minimisation
                visit(traits, subject, was, is_, old, new)
            } } }
        }
    }

    private static func cells(_ all: [PolicyDiff.Access], _ diff: PolicyDiff, whole: Bool) -> Set<Cell> {
        var cells: Set<Cell> = []
        for one in all where one.isWhole == whole {
            for reader in diff.readers(of: one) { for subject in diff.subjects(of: one) {
                cells.insert(Cell(reader: reader.id, dataClass: one.dataClass, purpose: one.purpose, subject: subject.id))
            } }
        }
        return cells
    }

    private static let seeds: [UInt64] = (0..<8).map { 0x51_1c_e0 &+ $0 }

    @Test(arguments: seeds)
    func `gains and losses are those of every reader, class, purpose and subject asked one by one`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var (changed, unchanged, otherWay) = (0, 0, 0)
        for round in 0..<60 {
            let world = SmallWorld(&random)
            let brute = BruteForce(world)
            let diff = PolicyDiff(from: world.before, to: world.after, people: world.people, at: SmallWorld.now)
            let (gained, lost) = (brute.gains(brute.before, brute.after), brute.gains(brute.after, brute.before))
            // A cell may be told by two grants, once as all of it and once as more: what is whole is whole.
            let whole = Self.cells(diff.gains, diff, whole: true)
            let wholeLost = Self.cells(diff.losses, diff, whole: true)
            #expect(whole == gained.whole, "seed \(seed), world \(round)")
            #expect(Self.cells(diff.gains, diff, whole: false) == gained.terms, "seed \(seed), world \(round)")
            #expect(wholeLost == lost.whole, "seed \(seed), world \(round)")
            #expect(Self.cells(diff.losses, diff, whole: false) == lost.terms, "seed \(seed), world \(round)")
            // The control: a diff of the same documents the other way round is told apart.
            let back = PolicyDiff(from: world.after, to: world.before, people: world.people, at: SmallWorld.now)
            if Self.cells(back.gains, back, whole: true) != gained.whole { otherWay += 1 }
            for one in diff.audiences {
                #expect(one.before == brute.audience(brute.before, one.dataClass), "seed \(seed), world \(round), \(one.dataClass)")
                #expect(one.after == brute.audience(brute.after, one.dataClass), "seed \(seed), world \(round), \(one.dataClass)")
            }
            if gained.whole.isEmpty, gained.terms.isEmpty, lost.whole.isEmpty, lost.terms.isEmpty { unchanged += 1 } else { changed += 1 }
        }
        // Worlds in which nothing happens, or always something, would prove little.
        #expect(changed > 10 && unchanged > 5 && otherWay > 10, "seed \(seed): \(changed) changed, \(unchanged) did not, \(otherWay) differ the other way")
    }

    @Test(arguments: seeds)
    func `what is captured otherwise is told, exactly where the rules on classes stay`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var changes = 0
        for round in 0..<40 {
            let world = SmallWorld(&random)
            let brute = BruteForce(world)
            let diff = PolicyDiff(from: world.before, to: world.after, people: world.people, at: SmallWorld.now)
            var told: Set<String> = []
            for one in diff.captures {
                for shape in one.shapes { for subject in diff.subjects(of: one) {
                    told.insert("\(shape) \(one.classBefore ?? "-") \(one.classAfter ?? "-") \(subject.id) \(one.before) \(one.after)")
                } }
            }
            var found: Set<String> = []
            brute.captures { traits, subject, was, is_, old, new in
                if old == new { return }
                // What only some records bring about is told by purpose.
                let all = Records(notices: ["training", "law"], consents: ["training", "law"])
                let complete = (
                    brute.before.capture(traits.shape, was, of: subject, records: all).minimisation, brute.after.capture(traits.shape, is_, of: subject, records: all).minimisation
                )
                guard complete.0 != complete.1 else {
                    #expect(!diff.bases.isEmpty || was != is_, "seed \(seed), world \(round)")
                    return
                }
                // Sets print in an order of their own.
                let words = "\(traits.shape) \(was?.name ?? "-") \(is_?.name ?? "-") \(subject.id)"
                found.insert(words)
                changes += 1
            }
            let toldWithoutWords = Set(told.map { $0.split(separator: " ").map(String.init) }.map { parts -> String in
                let shape = parts[0] == "text" ? parts[0...2].joined(separator: " ") : parts[0]
                let rest = parts[(parts[0] == "text" ? 3 : 1)...].prefix(3).joined(separator: " ")
                return "\(shape) \(rest)"
            })
            #expect(found.isSubset(of: toldWithoutWords), "seed \(seed), world \(round)")
            if world.keepsRules {
                // What is told of a class that no event of ours has, no event of ours shows.
                let reached = Set(BruteForce.events.compactMap { traits in brute.before.classify(traits).map { "\(traits.shape) \($0.name)" } })
                let ours = toldWithoutWords.filter { line in reached.contains { line.hasPrefix($0 + " ") } }
                #expect(ours == found, "seed \(seed), world \(round)")
                #expect(diff.moves.isEmpty)
            }
        }
        #expect(changes > 100, "seed \(seed)")
    }

    @Test(arguments: seeds)
    func `whatever widens anything is said to widen, and what keeps its rules is said to only if it does`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var (widening, narrowing) = (0, 0)
        for round in 0..<60 {
            let world = SmallWorld(&random)
            let brute = BruteForce(world)
            let diff = PolicyDiff(from: world.before, to: world.after, people: world.people, at: SmallWorld.now)
            let gained = brute.gains(brute.before, brute.after)
            var widens = !gained.whole.isEmpty || !gained.terms.isEmpty
            for old in world.before.classes {
                guard let new = world.after.classes.first(where: { $0.name == old.name }) else { continue }
                if new.retention ?? .zero > old.retention ?? .zero { widens = true }
                if new.retention != nil, old.retention != nil, let limit = old.audienceMax, new.audienceMax ?? .max > limit { widens = true }
            }
            var readsMoved = false
            brute.captures { traits, subject, was, is_, old, new in
                if !new.isWithin(old) { widens = true }
                guard let was, let is_, was != is_, new != .drop || old != .drop else { return }
                // An event that somebody reads now who did not read it before.
                for reader in brute.everybody { for purpose in ["training", "law"] {
                    if case .granted = brute.after.mayRead(reader, for: purpose, is_, of: subject, records: brute.records, at: SmallWorld.now),
                        case .denied = brute.before.mayRead(reader, for: purpose, was, of: subject, records: brute.records, at: SmallWorld.now) { readsMoved = true }
                } }
            }
            for (old, new) in zip(world.before.purposes, world.after.purposes) where new.basis.asks < old.basis.asks {
                // Somebody may read for it, of whoever has not what it asked for.
                if brute.everybody.contains(where: { reader in
                    brute.everybody.contains { subject in ["low", "middle", "high"].contains { name in
                        if case .granted = brute.after.mayRead(reader, for: new.name, DataClass(name), of: subject, records: brute.records, at: SmallWorld.now) { true } else { false }
                    } }
                }) { widens = true }
            }
            let (wasLeak, isLeak) = (world.before.reaction(to: .canary), world.after.reaction(to: .canary))
            if (wasLeak.close == .both && isLeak.close == .read) || (wasLeak.of == .everything && isLeak.of == .class) { widens = true }
            if widens || readsMoved { #expect(diff.isWidening, "seed \(seed), world \(round)") }
            if world.keepsRules {
                // A class that no event has may be captured of more people on paper: of those the diff speaks, and no event of ours.
                let onPaper = diff.widenings.allSatisfy { if case .records = $0 { true } else if case .capture = $0 { true } else { false } }
                if !widens, !onPaper { #expect(!diff.isWidening, "seed \(seed), world \(round): \(diff.widenings)") }
            }
            if diff.isWidening { widening += 1 } else { narrowing += 1 }
        }
        #expect(widening > 5 && narrowing > 2, "seed \(seed): \(widening) widen, \(narrowing) do not")
    }

    // MARK: By name

    private let people = (0..<20).map { Person("E\($0)", site: $0 < 10 ? "berlin" : "lisbon", team: $0 % 2 == 0 ? "x" : "y") }

    private func diff(_ before: String, _ after: String, at now: WallTime = WallTime(day: "2026-11-25") ?? .distantPast) throws -> PolicyDiff {
        PolicyDiff(from: try read(before), to: try read(after), people: people, at: now)
    }

    @Test func `a grant to everyone shows the audience, its limit and who gains`() throws {
        let wider = whole.replacingOccurrences("{name: two, role: everyone, purpose: law, classes: review, for: everyone", "{name: two, role: everyone, purpose: law, classes: review, for: {team: x}")
        let after = wider.replacingOccurrences("role: staff, purpose: training", "role: everyone, purpose: training")
        let diff = try diff(whole, after)
        #expect(diff.audiences[1].before == 12 && diff.audiences[1].after == 20 && diff.audiences[1].limit == 40)
        #expect(diff.gains.map(\.grant) == ["one"])
        #expect(diff.count(of: diff.gains[0]) == (8, 10))
        #expect(diff.losses.map(\.grant) == ["two"])
        #expect(diff.isWidening && diff.exceeded == [])
        let limited = try self.diff(whole, after.replacingOccurrences("audience: 40", "audience: 19"))
        #expect(limited.exceeded == ["content"])
    }

    @Test func `the same access by another grant is no gain, and half of it is no loss of the other half`() throws {
        let split = whole.replacingOccurrences(
            "  - {name: two, role: everyone, purpose: law, classes: review, for: everyone, expires: never, rate: unlimited}",
            """
              - {name: north, role: everyone, purpose: law, classes: review, for: {site: berlin}, expires: never, rate: unlimited}
              - {name: south, role: everyone, purpose: law, classes: review, for: {site: lisbon}, expires: never, rate: unlimited}
            """)
        let same = try diff(whole, split)
        #expect(same.gains.isEmpty && same.losses.isEmpty && !same.isWidening)
        let half = try diff(split, split.replacingOccurrences("for: {site: lisbon}, expires: never", "for: {site: lisbon}, expires: 2026-11-25"))
        #expect(half.losses.map(\.grant) == ["south"] && !half.isWidening)
        #expect(half.count(of: half.losses[0]) == (20, 10))
    }

    @Test func `a grant that lasts longer widens, and one that is over does not count`() throws {
        let longer = whole.replacingOccurrences("expires: 2027-01-31", "expires: 2027-02-28")
        let diff = try diff(whole, longer)
        #expect(diff.gains.map(\.isWhole) == [false])
        #expect(diff.widenings.contains(.terms(grant: "one", dataClass: "content", people: 12)))
        // At the end of the first, it is access that they had no more.
        let late = try self.diff(whole, longer, at: WallTime(day: "2027-01-31") ?? .distantPast)
        #expect(late.gains.map(\.isWhole) == [true])
        let over = try self.diff(whole, longer, at: WallTime(day: "2027-02-28") ?? .distantPast)
        #expect(over.gains.isEmpty && over.isWidening == false)
    }

    @Test func `nothing changes when the order does`() throws {
        let shuffled = try read(whole.replacingOccurrences("[pointer, key, window, presence]", "[presence, key, window, pointer]"))
        #expect(PolicyDiff(from: try read(whole), to: shuffled, people: people, at: .distantPast).isEmpty)
    }

    @Test func `without a directory stand-ins gain what somebody would`() throws {
        let (before, after) = (try read(whole), try read(whole.replacingOccurrences("role: staff, purpose: training", "role: everyone, purpose: training")))
        let nobody = PolicyDiff(from: before, to: after, people: [], at: .distantPast)
        let standing = PolicyDiff(from: before, to: after, people: Population.standIns(for: [before, after]), at: .distantPast)
        #expect(!nobody.isWidening && standing.isWidening)
    }
}
