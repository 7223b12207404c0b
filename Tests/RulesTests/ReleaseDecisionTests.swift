import Chance
import Gate
import Rules
import Testing

/// What is decided on a whole request, next to what ``Policy/mayRead(_:for:_:of:records:at:)`` says of every piece of it.
struct ReleaseDecisionTests {
    /// A document, a vault, a directory that may say otherwise, and a request.
    private struct Case {
        let policy: Policy
        let shares: [ReadShare]
        let whereabouts: Whereabouts
        let reader: Reader
        let asked: ReadAsked
        let now = SmallWorld.now

        init(_ random: inout SplitMix64) {
            let world = SmallWorld(&random)
            policy = Policy(world.before)
            let (sites, teams) = (["berlin", "lisbon"], ["search", "ads"])
            var whereabouts = Whereabouts()
            for person in world.people {
                whereabouts.records[person.id] = Records(notices: random.some(of: ["training", "law"], 70), consents: random.some(of: ["training", "law"], 60))
                // Who moved, and whoever the directory knows half.
                if random.chance(30) { whereabouts.directory[person.id] = Person(person.id, site: random.pick(sites), team: random.chance(50) ? random.pick(teams) : nil) }
                if random.chance(50) { whereabouts.registered[person.id] = [person] }
            }
            var places: Set<ReadPlace> = []
            for person in world.people where random.chance(80) {
                for name in ["low", "middle", "high"] where random.chance(60) {
                    places.insert(ReadPlace(Scope(subject: person.id, site: person.site ?? "", team: person.team ?? ""), DataClass(name)))
                    if random.chance(20) { places.insert(ReadPlace(Scope(subject: person.id, site: random.pick(sites), team: random.pick(teams)), DataClass(name))) }
                }
            }
            let classes = random.someAtLeastOne(of: ["low", "middle", "high"])
            asked = ReadAsked(
                purpose: random.pick(["training", "law", "training", "law", "other"]), classes: classes.sorted().map { DataClass($0) },
                subjects: random.chance(40) ? random.someAtLeastOne(of: world.people.map(\.id) + ["E6"]) : [], teams: random.chance(40) ? random.someAtLeastOne(of: teams) : [])
            let everyone = asked.subjects.isEmpty && asked.teams.isEmpty
            shares = places.sorted { "\($0)" < "\($1)" }.filter { [asked] place in
                classes.contains(place.dataClass.name) && (everyone || asked.subjects.contains(place.scope.subject) || asked.teams.contains(place.scope.team))
            }.map { ReadShare($0, events: Int64(random.below(40))) }
            self.whereabouts = whereabouts
            let person = random.pick(world.people)
            reader = random.chance(50) ? Reader(random.pick(["E5", "E6", person.id])) : Reader("job", person: person)
        }

        /// By piece, and by each thing that the reader is.
        func grants(_ person: Person, _ dataClass: DataClass) -> Set<String> {
            let readers = [Person(reader.name)] + (reader.person.map { [$0] } ?? [])
            func ask(_ subject: Person) -> Set<String> {
                Set(readers.flatMap { one -> [String] in
                    guard case .granted(let grants) = policy.mayRead(one, for: asked.purpose, dataClass, of: subject, records: whereabouts.records[subject.id] ?? .none, at: now)
                    else { return [] }
                    return grants.map(\.name)
                })
            }
            guard let known = whereabouts.directory[person.id] else { return ask(person) }
            return ask(person).intersection(ask(Person(person.id, site: known.site ?? person.site, team: known.team ?? person.team)))
        }

        func grants(_ place: ReadPlace) -> Set<String> { grants(Person(place.scope), place.dataClass) }

        /// What is named, and every piece of it.
        var targets: [[ReadPlace]] {
            func pieces(_ name: DataClass, _ isIn: (ReadPlace) -> Bool) -> [ReadPlace] { shares.map(\.place).filter { $0.dataClass == name && isIn($0) } }
            return asked.classes.flatMap { name -> [[ReadPlace]] in
                if asked.subjects.isEmpty, asked.teams.isEmpty { return [pieces(name) { _ in true }] }
                return asked.teams.sorted().map { team in pieces(name) { $0.scope.team == team && !asked.subjects.contains($0.scope.subject) } }
                    + asked.subjects.sorted().map { subject in
                        let own = pieces(name) { $0.scope.subject == subject }
                        if !own.isEmpty { return own }
                        let elsewhere = shares.filter { $0.place.scope.subject == subject }.map { Person($0.place.scope) } + (whereabouts.registered[subject] ?? [])
                        // Of whom there is nothing: as if there were one piece, where they are.
                        return elsewhere.contains { !grants($0, name).isEmpty } || !grants(Person(subject), name).isEmpty && elsewhere.isEmpty ? [] : [ReadPlace(Scope(subject: subject, site: "", team: ""), DataClass("never"))]
                    }
            }
        }

        /// Some role of the reader's has a grant that lives, whoever it is of.
        var isEveryClassGranted: Bool {
            let held = policy.roles(of: reader)
            return asked.classes.allSatisfy { name in
                policy.document.grants.contains { $0.purpose == asked.purpose && $0.classes.contains(name.name) && held.contains($0.role) && $0.isLive(at: now) }
            }
        }
    }

    @Test func `a request is granted exactly when every class is, and of everything named some piece is; pieces are those that may be read`() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        var (granted, refused, partly) = (0, 0, 0)
        for round in 0..<6_000 {
            let one = Case(&random)
            let isGranted = one.isEveryClassGranted && one.targets.allSatisfy { pieces in pieces.isEmpty || pieces.contains { !one.grants($0).isEmpty } }
            do throws(ReadRefusal) {
                let read = try one.policy.decide(one.asked, by: one.reader, of: one.shares, one.whereabouts, at: one.now)
                #expect(isGranted, "seed \(seed), round \(round)")
                let may = one.shares.filter { !one.grants($0.place).isEmpty }
                #expect(read.parts.map(\.share) == may, "seed \(seed), round \(round)")
                for part in read.parts { #expect(Set(part.grants) == one.grants(part.share.place), "seed \(seed), round \(round)") }
                let without = Set(one.shares.filter { one.grants($0.place).isEmpty }.map(\.place.scope.subject))
                #expect(read.leftOut.values.reduce(0, +) >= without.count && read.leftOut.isEmpty == without.isEmpty)
                granted += 1
                if !without.isEmpty { partly += 1 }
            } catch {
                #expect(!isGranted, "seed \(seed), round \(round): \(error)")
                refused += 1
            }
        }
        #expect(granted > 100 && refused > 100 && partly > 20, "all kinds were met: \(granted), \(refused), \(partly)")
    }

    @Test func `what is planted is found by those who are planted alone exactly when it is found by everybody, of one class and nobody by name`() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        var (found, none, denied, left) = (0, 0, 0, 0)
        for round in 0..<60_000 where round < 8_000 || min(found, none, denied, left) < 50 {
            let one = Case(&random)
            let (first, last) = (one.now - .seconds(Int64(random.below(100))), one.now + .seconds(Int64(random.below(100))))
            let marks = (0..<random.below(5)).map { _ in PlantedEvents(of: "E\(random.below(6))", random.pick(["low", "middle", "high"]), at: random.chance(50) ? nil : one.now + .seconds(Int64(random.below(300)) - 150)) }
            var document = one.policy.document
            document.leaks = [
                .init(.canary, close: .read, of: .reader, planted: random.some(of: ["E0", "E1", "E2", "E3", "E4", "E5"], 25), events: Set(marks), cleared: random.some(of: ["job", "E1", "E5"], 20))
            ]
            let policy = Policy(document)
            // As it is asked, and as it may be asked so that the shares are those of one class of everybody.
            let named = !one.asked.subjects.isEmpty || !one.asked.teams.isEmpty || one.asked.classes.count > 1
            let asked = random.chance(70) ? ReadAsked(purpose: one.asked.purpose, classes: [random.pick(one.asked.classes)]) : one.asked
            let shares = asked == one.asked ? one.shares : one.shares.filter { $0.place.dataClass == asked.classes[0] }
            var looked: Set<String> = []
            let alone = policy.plantedAlone(asked, from: first, until: last, by: one.reader, of: shares, at: one.now) { subjects in
                looked = subjects
                return one.whereabouts
            }
            guard asked != one.asked || !named else {
                #expect(alone == nil && looked.isEmpty, "seed \(seed), round \(round): what is named decides with everybody")
                continue
            }
            #expect(looked.isSubset(of: document.reaction(to: .canary).planted.union(marks.map(\.subject))), "seed \(seed), round \(round): nobody else is looked at")
            do throws(ReadRefusal) {
                let granted = try policy.decide(asked, by: one.reader, of: shares, one.whereabouts, at: one.now)
                let whole = policy.planted(in: granted.parts.map(\.share.place), from: first, until: last, by: one.reader)
                #expect(alone ?? PlantedFound() == whole, "seed \(seed), round \(round)")
                if whole.isEmpty { none += 1 } else { found += 1 }
                if !whole.isEmpty, !granted.leftOut.isEmpty { left += 1 }
            } catch {
                #expect(alone == nil, "seed \(seed), round \(round): \(error)")
                denied += 1
            }
        }
        #expect(min(found, none, denied, left) >= 50, "all kinds were met: \(found), \(none), \(denied), \(left)")
    }

    @Test func `what is taken by each grant stays within its rate, and nothing is refused that one grant alone has room for`() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        var (allowed, over, shared) = (0, 0, 0)
        for round in 0..<60_000 where round < 6_000 || shared <= 5 {
            let one = Case(&random)
            guard let granted = try? one.policy.decide(one.asked, by: one.reader, of: one.shares, one.whereabouts, at: one.now), !granted.parts.isEmpty else { continue }
            var taken: [String: GrantTaken] = [:]
            for grant in one.policy.document.grants {
                taken[grant.name] = GrantTaken(events: Int64(random.below(60)), subjects: random.some(of: ["E0", "E1", "E8", "E9"], 30), uncounted: Int64(random.below(2)))
            }
            func isWithin(_ grant: PolicyDocument.Grant, _ events: Int64, _ subjects: Set<String>) -> Bool {
                let before = taken[grant.name] ?? GrantTaken()
                return (grant.rate?.events).map { before.events + events <= $0 } ?? true
                    && (grant.rate?.subjects).map { Int64(before.subjects.union(subjects).count) + before.uncounted <= $0 } ?? true
            }
            let events = granted.parts.reduce(0) { $0 + $1.share.events }
            let subjects = Set(granted.parts.map(\.share.place.scope.subject))
            let hasOne = one.policy.document.grants.contains { grant in granted.parts.allSatisfy { $0.grants.contains(grant.name) } && isWithin(grant, events, subjects) }
            do throws(ReadRefusal) {
                let read = try one.policy.allow(granted, at: one.now) { taken[$0.name] ?? GrantTaken() }
                for part in granted.parts { #expect(read.places[part.share.place].map { part.grants.contains(read.uses[$0].grant.name) } == true, "seed \(seed), round \(round)") }
                for (index, use) in read.uses.enumerated() {
                    let mine = granted.parts.filter { read.places[$0.share.place] == index }
                    #expect(use.events == mine.reduce(0) { $0 + $1.share.events } && use.subjects == Set(mine.map(\.share.place.scope.subject)))
                    #expect(isWithin(use.grant, use.events, use.subjects), "seed \(seed), round \(round)")
                }
                if hasOne {
                    #expect(read.uses.count == 1)
                    // None that would do alone goes on for longer.
                    let last = one.policy.document.grants.filter { grant in granted.parts.allSatisfy { $0.grants.contains(grant.name) } && isWithin(grant, events, subjects) }
                        .map { $0.expires ?? .distantFuture }.max()
                    #expect(read.expiry?.at ?? .distantFuture == last, "seed \(seed), round \(round)")
                } else { shared += 1 }
                allowed += 1
            } catch {
                #expect(!hasOne && error.word == "rate", "seed \(seed), round \(round): \(error)")
                over += 1
            }
        }
        #expect(allowed > 50 && over > 20 && shared > 5, "all kinds were met: \(allowed), \(over), \(shared)")
    }

    @Test func `a release that several grants give is not cut off by the first that ends, and by the last one it is`() throws {
        let now = SmallWorld.now
        let place = ReadPlace(Scope(subject: "E1", site: "berlin", team: "search"), DataClass("low"))
        func grant(_ name: String, _ seconds: Int64?, _ rate: GrantRate? = nil) -> PolicyDocument.Grant {
            .init(name, role: "jobs", purpose: "law", classes: ["low"], expires: seconds.map { now + .seconds($0) }, rate: rate)
        }
        /// The grant that it rests on, and after how many of these seconds something speaks against it.
        func open(_ grants: [PolicyDocument.Grant], at seconds: [Int64]) throws -> (String, [Int64]) {
            let policy = Policy(
                PolicyDocument(
                    classes: [.init("low", retention: .seconds(3_600), audienceMax: nil)], purposes: [.init("law", basis: .legalObligation, classes: ["low"])],
                    roles: [.init("jobs", members: ["job"])], grants: grants))
            let asked = ReadAsked(purpose: "law", classes: [DataClass("low")])
            let granted = try policy.decide(asked, by: Reader("job"), of: [ReadShare(place, events: 5)], Whereabouts(), at: now)
            let use = try #require(try policy.allow(granted, at: now) { _ in GrantTaken() }.uses.first)
            return (use.grant.name, seconds.filter { policy.objection(to: place, by: use, Reader("job"), for: "law", Whereabouts(), at: now + .seconds($0)) != nil })
        }
        let seconds: [Int64] = [0, 59, 60, 119, 120, 200_000]
        for names in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
            let (first, second, third) = (grant(names[0], 60), grant(names[1], 120), grant(names[2], nil))
            for grants in [[first, second], [second, first]] { #expect(try open(grants, at: seconds) == (names[1], [120, 200_000]), "\(names)") }
            for grants in [[first, second, third], [third, second, first]] { #expect(try open(grants, at: seconds) == (names[2], []), "\(names)") }
        }
        // The control: what it has no room for by the other rests on the one that ends.
        #expect(try open([grant("a", 60), grant("b", 120, GrantRate(events: 4, per: .day))], at: seconds) == ("a", [60, 119, 120, 200_000]))
        #expect(try open([grant("a", 60), grant("b", 120, GrantRate(events: 5, per: .day))], at: seconds) == ("b", [120, 200_000]))
        // What goes on for more than a day is as good as what never ends: then the more generous is gone by.
        #expect(try open([grant("a", nil, GrantRate(events: 9, per: .day)), grant("b", 190_000)], at: seconds) == ("b", [200_000]))
    }

    @Test func `nothing speaks against a running release while nothing changes, and something as soon as its grant does not give a piece any more`() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        var (stays, ends) = (0, 0)
        for round in 0..<6_000 {
            let one = Case(&random)
            guard let granted = try? one.policy.decide(one.asked, by: one.reader, of: one.shares, one.whereabouts, at: one.now),
                let read = try? one.policy.allow(granted, at: one.now, taken: { _ in GrantTaken() })
            else { continue }
            var document = one.policy.document
            switch random.below(4) {
            case 0: document.roles[0].members = []
            case 1: document.grants.removeFirst()
            case 2: document.grants[0].rate = GrantRate(events: 1, per: .week)
            default: document.grants[0].expires = one.now
            }
            let after = Policy(document)
            for (place, use) in read.places {
                #expect(one.policy.objection(to: place, by: read.uses[use], one.reader, for: one.asked.purpose, one.whereabouts, at: one.now) == nil)
                let objection = after.objection(to: place, by: read.uses[use], one.reader, for: one.asked.purpose, one.whereabouts, at: one.now)
                let before = read.uses[use].grant
                let isGiven = (try? after.decide(ReadAsked(purpose: one.asked.purpose, classes: [place.dataClass]), by: one.reader, of: [ReadShare(place, events: 1)], one.whereabouts, at: one.now))
                    .map { $0.parts[0].grants.contains(before.name) } ?? false
                let isTightened = document.grants.first { $0.name == before.name }.flatMap(\.rate).map { now in before.rate.map { !$0.isWithin(now) } ?? true } ?? false
                #expect((objection == nil) == (isGiven && !isTightened), "seed \(seed), round \(round): \(String(describing: objection))")
                if objection == nil { stays += 1 } else { ends += 1 }
            }
        }
        #expect(stays > 50 && ends > 20, "both were met: \(stays), \(ends)")
    }

    @Test func `a document that grants nothing denies whoever asks, and says what is missing`() {
        let policy = Policy(.standard)
        let asked = ReadAsked(purpose: "operation", classes: [.activity])
        #expect(policy.refusal(of: asked, by: Reader("ops-1"), at: SmallWorld.now)?.word == "no-grant")
        #expect(policy.refusal(of: ReadAsked(purpose: "curiosity", classes: [.activity]), by: Reader("ops-1"), at: SmallWorld.now)?.word == "unknown-purpose")
        #expect(policy.refusal(of: ReadAsked(purpose: "operation", classes: [.credential]), by: Reader("ops-1"), at: SmallWorld.now)?.word == "never-stored")
    }

    @Test func `who moved is read only by a grant for where they were and are, and the directory gives nobody more`() throws {
        let policy = Policy(
            PolicyDocument(
                classes: [.init("low", retention: .seconds(3_600), audienceMax: nil)], purposes: [.init("law", basis: .legalObligation, classes: ["low"])], roles: [.init("readers", members: ["r"])],
                grants: [.init("g", role: "readers", purpose: "law", classes: ["low"], subjects: Group(only: .init(teams: ["search"]), except: .init(sites: ["oslo"])))]))
        func isRead(_ captured: String, _ listed: Person?) -> Bool {
            let share = ReadShare(ReadPlace(Scope(subject: "E1", site: "berlin", team: captured), DataClass("low")), events: 1)
            let whereabouts = Whereabouts(directory: listed.map { ["E1": $0] } ?? [:])
            return (try? policy.decide(ReadAsked(purpose: "law", classes: [DataClass("low")]), by: Reader("r"), of: [share], whereabouts, at: .distantPast)) != nil
        }
        let places = [nil, Person("E1"), Person("E1", site: "berlin", team: "search"), Person("E1", site: "oslo", team: "search"), Person("E1", site: "berlin", team: "sales")]
        #expect(places.map { isRead("search", $0) } == [true, true, true, false, false])
        #expect(places.map { isRead("sales", $0) } == [false, false, false, false, false])
    }

    @Test func `fields that were not asked for are not there`() {
        let at = WallTime(nanoseconds: 5)
        let window = Event(at: at, duration: .seconds(2), detail: .window(Event.Window(app: "a", title: "t", url: "u")))
        #expect(window.keeping([.app]) == Event(at: at, detail: .window(Event.Window(app: "a", title: ""))))
        #expect(window.keeping(Set(EventField.allCases)) == window)
        let key = Event(at: at, detail: .key(Event.Key(.down, "x")))
        #expect(key.keeping([.text]) == Event(at: at, detail: .key(Event.Key(.down, ""))))
        let scroll = Event(at: at, detail: .pointer(Event.Pointer(.scroll(dx: 1, dy: 2), x: 3, y: 4, button: "left")))
        #expect(scroll.keeping([.button]) == Event(at: at, detail: .pointer(Event.Pointer(.scroll(dx: nil, dy: nil), x: 0, y: 0, button: "left"))))
        let text = Event(at: at, detail: .text(Event.Text("w", source: .mail, app: "a", label: "l")))
        #expect(text.keeping([.text, .label]) == Event(at: at, detail: .text(Event.Text("w", source: .mail, label: "l"))))
    }
}
