import Chance
import Gate
import Rules
import Testing

/// What is said to narrow, next to every reader and subject that there may be, wherever they are.
struct AnyWorldTests {
    /// Whom the documents of a small world name, and somebody whom they do not; each in every place that they tell apart, and in none.
    private static let everybody: [Person] = (0..<8).flatMap { number in
        [Person("E\(number)")] + ["berlin", "lisbon", "oslo"].flatMap { site in ["search", "ads", "sales"].map { Person("E\(number)", site: site, team: $0) } }
    }

    private static let records = Records(notices: ["training", "law"], consents: ["training", "law"])

    private static func answer(_ before: PolicyDocument, _ after: PolicyDocument) -> PolicyComparison.Answer { PolicyComparison.anyWorld(before.canonical, after.canonical) }

    /// Some small worlds have rates that limit nothing, which no document may.
    private static func areReadable(_ world: SmallWorld) -> Bool { [world.before, world.after].allSatisfy { (try? PolicyReader().read(canonical: $0.canonical)) != nil } }

    private static func saysAccess(_ answer: PolicyComparison.Answer) -> Bool { answer.gains.contains { $0.contains("read") && !$0.contains("become events") } }

    /// Somebody who reads somebody's, or for longer or more of it, who could not. Nobody may be in two places at once.
    private static func accessGained(_ before: Policy, _ after: Policy) -> String? {
        func grants(_ policy: Policy, _ reader: Person, _ name: String, _ purpose: String, _ subject: Person) -> [PolicyDocument.Grant] {
            guard case .granted(let grants) = policy.mayRead(reader, for: purpose, DataClass(name), of: subject, records: records, at: .distantPast) else { return [] }
            return grants
        }
        func isWithin(_ one: PolicyDocument.Grant, _ other: PolicyDocument.Grant) -> Bool {
            guard (one.expires ?? .distantFuture) <= (other.expires ?? .distantFuture) else { return false }
            guard let limit = other.rate else { return true }
            return one.rate.map { $0.isWithin(limit) } ?? false
        }
        // Whoever has the same roles by the same grants is asked once.
        for reader in everybody {
            let (held, had) = (after.roles(of: reader), before.roles(of: reader))
            for grant in after.document.grants where held.contains(grant.role) {
                if before.document.grants.contains(grant), had == held, before.document.roles == after.document.roles { continue }
                for subject in everybody where subject.id != reader.id || subject == reader {
                    for name in grant.classes {
                        let is_ = grants(after, reader, name, grant.purpose, subject)
                        guard !is_.isEmpty else { continue }
                        let was = grants(before, reader, name, grant.purpose, subject)
                        if is_.contains(where: { one in !was.contains { isWithin(one, $0) } }) { return "\(reader) reads \(name) of \(subject) for \(grant.purpose)" }
                    }
                }
            }
        }
        return nil
    }

    private static let seeds: [UInt64] = (0..<6).map { 0x51_1c_e0 &+ $0 }

    @Test(arguments: seeds)
    func `somebody is said to read more exactly if in some company somebody does`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var (gained, not) = (0, 0)
        for round in 0..<50 {
            let world = SmallWorld(&random)
            guard world.keepsRules, Self.areReadable(world) else { continue }
            let found = Self.accessGained(Policy(world.before), Policy(world.after))
            let answer = Self.answer(world.before, world.after)
            #expect(Self.saysAccess(answer) == (found != nil), "seed \(seed), world \(round): \(found ?? "nobody"), told \(answer.gains)")
            if found == nil { not += 1 } else { gained += 1 }
        }
        #expect(gained > 0 && not > 0, "seed \(seed): \(gained) gained, \(not) did not")
    }

    private static let events: [EventTraits] = EventShape.allCases.flatMap { shape in
        ["a", "b"].flatMap { title in ["x", "y"].flatMap { application in [Set<String>(), ["card"]].map { EventTraits(shape, application: application, title: title, detected: $0) } } }
    }

    private static func capturedMore(_ before: Policy, _ after: Policy) -> Bool {
        let all = [Records.none, Records(notices: ["training"]), Records(consents: ["training"]), Records(notices: ["law"]), Records(consents: ["law"]), records]
        return events.contains { traits in
            everybody.contains { subject in
                let (was, is_) = (before.classify(traits), after.classify(traits))
                return all.contains { records in
                    !after.capture(traits.shape, is_, of: subject, records: records).minimisation.isWithin(before.capture(traits.shape, was, of: subject, records: records).minimisation)
                }
            }
        }
    }

    @Test(arguments: seeds)
    func `what is said to narrow keeps nobody's data longer, captures nothing more and lets nobody read more`(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var (narrows, widens, excess) = (0, 0, 0)
        for round in 0..<40 {
            let world = SmallWorld(&random)
            let (before, after) = (Policy(world.before), Policy(world.after))
            let answer = Self.answer(world.before, world.after)
            guard answer.gains.isEmpty else {
                widens += 1
                continue
            }
            narrows += 1
            #expect(!Self.capturedMore(before, after), "seed \(seed), world \(round)")
            if world.keepsRules { #expect(Self.accessGained(before, after) == nil, "seed \(seed), world \(round)") }
            for old in world.before.classes {
                guard let new = world.after.classes.first(where: { $0.name == old.name }) else {
                    #expect(old.retention == nil, "seed \(seed), world \(round): what is stored of \(old.name) would stay")
                    continue
                }
                #expect(new.retention ?? .zero <= old.retention ?? .zero && (old.audienceMax.map { $0 >= new.audienceMax ?? .max } ?? true))
            }
            for (old, new) in zip(world.before.purposes, world.after.purposes) where world.after.grants.contains(where: { $0.purpose == new.name }) {
                #expect(new.basis.asks >= old.basis.asks)
            }
            // What moved is told, for whoever knows what is closed.
            for traits in Self.events {
                guard let was = before.classify(traits), let is_ = after.classify(traits), was != is_ else { continue }
                #expect(answer.moves.contains(.init(from: was.name, to: is_.name)), "seed \(seed), world \(round)")
            }
            // The control: most of what narrows widens the other way round.
            if !Self.answer(world.after, world.before).gains.isEmpty { excess += 1 }
        }
        #expect(narrows > 3 && widens > 5 && excess > 1, "seed \(seed): \(narrows) narrow, \(widens) widen, \(excess) of them the other way round")
    }

    // MARK: By name

    private static let base = PolicyDocument(
        classes: [.init("low", retention: .seconds(7_200), audienceMax: 5), .init("high", retention: .seconds(7_200), audienceMax: 2)],
        assignments: [.init("low", kinds: [.key]), .init("high", sources: [.chat])], capture: [.init(as: .keep)],
        purposes: [.init("training", basis: .consent, classes: ["low", "high"])],
        roles: [.init("ml", members: ["E1", "E2"]), .init("hr", people: Group(only: .init(sites: ["berlin"], teams: ["hr"])))],
        grants: [.init("a", role: "ml", purpose: "training", classes: ["low"], subjects: Group(only: .init(teams: ["search", "ads"]))), .init("b", role: "hr", purpose: "training", classes: ["high"])])

    private func gains(_ change: (inout PolicyDocument) -> Void) -> [String] {
        var after = Self.base
        change(&after)
        return Self.answer(Self.base, after).gains
    }

    @Test func `each part of a document narrows when it takes away, and widens when it gives`() {
        #expect(gains { _ in } == [])
        #expect(gains { $0.grants.removeLast() } == [])
        #expect(gains { $0.roles[0].members.remove("E1") } == [])
        #expect(gains { $0.roles[0].members.insert("E3") }.count == 1)
        #expect(gains { $0.roles[1].people?.except = .init(subjects: ["E9"]) } == [])
        #expect(gains { $0.roles[1].people?.only?.teams.insert("pay") }.count == 1)
        #expect(gains { $0.grants[0].subjects.only?.teams.remove("ads") } == [])
        #expect(gains { $0.grants[0].subjects.only?.teams.insert("sales") }.count == 1)
        #expect(gains { $0.grants[0].expires = WallTime(day: "2027-01-31") } == [])
        #expect(gains { $0.grants[0].rate = .init(events: 10, per: .day) } == [])
        #expect(gains { $0.grants[1].classes.insert("low") }.count == 1)
        #expect(gains { $0.classes[0].retention = .seconds(3_600) } == [])
        #expect(gains { $0.classes[0].retention = .seconds(10_800) }.count == 1)
        #expect(gains { $0.classes[0].audienceMax = 4 } == [])
        #expect(gains { $0.classes[0].audienceMax = nil }.count == 1)
        #expect(gains { $0.classes.swapAt(0, 1) }.isEmpty == false)
        // Or one person takes it out and puts it in again, for ten years.
        #expect(gains { $0.classes.removeFirst(); $0.assignments.removeFirst(); $0.purposes[0].classes.remove("low"); $0.grants.removeFirst() }.count == 1)
        #expect(gains { $0.capture.append(.init(kinds: [.key], as: .drop)) } == [])
        #expect(gains { $0.capture[0].people.except = .init(sites: ["lisbon"]) } == [])
        #expect(gains { $0.assignments.append(.init("low", kinds: [.window])) }.count == 1)
        #expect(gains { $0.purposes[0].basis = .contract }.isEmpty == false)
        #expect(gains { $0.leaks = [.init(.canary, close: .both, of: .everything)] } == [])
        #expect(gains { $0.leaks = [.init(.canary, close: .read, of: .class)] }.count == 1)
        // Two that together are what was one are no gain.
        #expect(gains {
            $0.grants[0].subjects = Group(only: .init(teams: ["search"]))
            $0.grants.append(.init("c", role: "ml", purpose: "training", classes: ["low"], subjects: Group(only: .init(teams: ["ads"]))))
        } == [])
    }

    @Test func `one that is what two were is no gain`() {
        var before = Self.base
        before.grants[0].subjects = Group(only: .init(teams: ["search"]))
        before.grants.append(.init("c", role: "ml", purpose: "training", classes: ["low"], subjects: Group(only: .init(teams: ["ads"]))))
        #expect(Self.answer(before, Self.base).gains == [])
    }

    @Test func `a rule that raises the class of some events narrows, and is told as a move`() {
        var after = Self.base
        after.assignments.append(.init("high", kinds: [.key], detected: ["card"]))
        after.grants.removeLast()
        let answer = Self.answer(Self.base, after)
        #expect(answer.gains == [] && answer.moves == [.init(from: "low", to: "high")])
        // Where somebody reads the higher one, who did not read the lower, it widens.
        after.grants = Self.base.grants
        #expect(Self.answer(Self.base, after).gains.count == 1)
    }

    @Test func `where no document is everything is captured of whoever was told, and nobody reads`() {
        #expect(PolicyComparison.anyWorld(nil, PolicyDocument.standard.canonical).gains == [])
        var narrower = PolicyDocument.standard
        narrower.capture = [.init(as: .redact(nil))]
        #expect(PolicyComparison.anyWorld(nil, narrower.canonical).gains == [])
        narrower.grants = [.init("a", role: PolicyDocument.everyone, purpose: "operation", classes: ["activity"])]
        #expect(PolicyComparison.anyWorld(nil, narrower.canonical).gains.count == 1)
    }

    @Test func `what cannot be read, or not be told apart, widens`() {
        let base = Self.base.canonical
        #expect(PolicyComparison.anyWorld(base, Array("{}".utf8)).gains.count == 1)
        #expect(PolicyComparison.anyWorld(Array("{}".utf8), base).gains.count == 1)
        #expect(PolicyComparison.anyWorld(base, base + [0x20]).gains.count == 1)
        #expect(PolicyComparison.anyWorld(base, nil).gains.count == 1)
        // Three hundred sites and as many teams, each told from each other, in one grant that no other covers alone.
        var (before, after) = (Self.base, Self.base)
        func places(_ from: Int) -> Group { Group(only: .init(sites: ["site-\(from)"], teams: ["team-\(from)"])) }
        before.grants = (0..<300).map { .init("g\($0)", role: "ml", purpose: "training", classes: ["low"], subjects: places($0)) }
        after.grants = [.init("all", role: "ml", purpose: "training", classes: ["low"], subjects: Group(only: .init(sites: Set((0..<300).map { "site-\($0)" }), teams: Set((0..<300).map { "team-\($0)" }))))]
        #expect(Self.answer(before, after).gains.count == 1)
    }
}
