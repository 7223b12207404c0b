import Chance
import Gate
import Testing

/// Everything that anybody may do in a state, one by one, in a company of two people, two readers, three classes and two kinds of events.
///
/// Written from what the members mean and not from how they are compared: it asks the gate for each event, reads the documents itself, and knows no ``Powers/Gain``.
private enum Deed: Hashable {
    enum Flow: Hashable {
        case captures(Scope, DataClass)
        case reads(Reading)
        /// Events of a kind, of whatever class the document makes them.
        case capturesKind(Int, Scope)
        case readsKind(Int, Scope, reader: String, purpose: String)
        case readsStored(Reading)
    }

    /// - Parameter unsealed: as it is when the seal has ended, which it does by itself.
    case flows(Flow, unsealed: Bool)
    /// This state is taken for the newest.
    case isNewest(UInt64)
    case takesPart(Node)
    case commands(Operator)
    /// What agents send can be opened.
    case opens([UInt8])
    case actsAs(String, [UInt8])
    case signs(name: String, key: String)
    /// Who has this token joins at this time.
    case joins(token: [UInt8], name: String, Scope, at: WallTime)
    case forgetsReads([UInt8], for: [UInt8])
    case reachesMore(String)
    case wasTold(String, RecordKind, purpose: String)
    /// What was captured of them then.
    case isStored(String, at: WallTime)
    case isKept(String, incident: UInt64)
    case isTold(DecidedNotices, incident: UInt64)
}

/// A policy document of this company, in four bytes: the classes of both kinds, which kinds are captured, and who may read what.
private struct Document: Hashable {
    static let classes = [activity, content, DataClass("review")]
    static let readers = ["rae", "sam"]
    var classOf: [Int]
    var isCaptured: [Bool]
    /// By class, then by reader.
    var isGranted: [[Bool]]

    /// What counts where none is: everything is captured, and nobody reads.
    init(_ bytes: [UInt8]?) {
        let bytes = bytes ?? [0, 1, 3, 0]
        classOf = [Int(bytes[0]), Int(bytes[1])]
        isCaptured = [bytes[2] & 1 == 1, bytes[2] & 2 == 2]
        isGranted = (0..<3).map { place in (0..<2).map { bytes[3] >> UInt8(2 * place + $0) & 1 == 1 } }
    }

    static func any(_ random: inout SplitMix64) -> [UInt8] { [UInt8(random.below(3)), UInt8(random.below(3)), UInt8(random.below(4)), UInt8(random.below(64))] }

    /// What it allows while no closure is in force.
    var possible: Set<String> {
        var all: Set<String> = []
        for kind in 0..<2 where isCaptured[kind] {
            all.insert("captures \(kind)")
            for reader in 0..<2 where isGranted[classOf[kind]][reader] { all.insert("\(reader) reads \(kind)") }
        }
        for place in 0..<3 { for reader in 0..<2 where isGranted[place][reader] { all.insert("\(reader) reads what is stored of \(place)") } }
        return all
    }

    /// What the floor above hands down: what the document alone allows, and what changes its class.
    static let comparison = PolicyComparison { old, new in
        let (before, after) = (Document(old), Document(new))
        var moves: Set<PolicyComparison.Move> = []
        for kind in 0..<2 where before.classOf[kind] != after.classOf[kind] {
            moves.insert(.init(from: classes[before.classOf[kind]].name, to: classes[after.classOf[kind]].name))
        }
        return .init(gains: after.possible.subtracting(before.possible).sorted(), moves: moves)
    }
}

/// The registry's, of services that no entry names a key of.
private let registry: [UInt8] = [77]
private let services = ["ingest", "notify", "hooks"]
private let ledgers = ["reads", "governance"]
private let people = ["ada", "ben"]
private let times: [WallTime] = (0...6).map { wall($0) }

private func flows(_ gate: GateState, _ document: Document) -> [Deed.Flow] {
    var all: [Deed.Flow] = []
    for scope in [ada, ben] {
        for dataClass in Document.classes where gate.allowsCapture(scope, dataClass) { all.append(.captures(scope, dataClass)) }
        for kind in 0..<2 where document.isCaptured[kind] && gate.allowsCapture(scope, Document.classes[document.classOf[kind]]) { all.append(.capturesKind(kind, scope)) }
        for (number, reader) in Document.readers.enumerated() {
            for purpose in ["support", "training"] {
                for (place, dataClass) in Document.classes.enumerated() {
                    let wish = reading(scope, dataClass, by: reader, for: purpose)
                    guard gate.allows(wish) else { continue }
                    all.append(.reads(wish))
                    guard document.isGranted[place][number] else { continue }
                    all.append(.readsStored(wish))
                    for kind in 0..<2 where document.isCaptured[kind] && document.classOf[kind] == place { all.append(.readsKind(kind, scope, reader: reader, purpose: purpose)) }
                }
            }
        }
    }
    return all
}

private func possible(in powers: Powers) -> Set<Deed> {
    let document = Document(powers.policy?.bytes)
    var unsealed = powers.gate
    unsealed.unseal(atLeast: .none)
    var all = Set(flows(powers.gate, document).map { Deed.flows($0, unsealed: false) } + flows(unsealed, document).map { Deed.flows($0, unsealed: true) })
    for epoch in powers.gate.epoch.number...64 { all.insert(.isNewest(epoch)) }
    for node in powers.nodes.values { all.insert(.takesPart(node)) }
    for member in powers.operators.values { all.insert(.commands(member)) }
    if !powers.vaultKey.isEmpty { all.insert(.opens(powers.vaultKey)) }
    for service in services { for key in powers.serviceKeys[service] ?? [registry] { all.insert(.actsAs(service, key)) } }
    for name in ledgers { for key in powers.ledgerKeys[name] ?? ["\(name)+registry"] { all.insert(.signs(name: name, key: key)) } }
    for enrolment in powers.enrolments.values {
        for time in times where time < enrolment.until { all.insert(.joins(token: enrolment.token, name: enrolment.name, enrolment.scope, at: time)) }
    }
    for (abandoned, adopted) in powers.readsRestored { all.insert(.forgetsReads(abandoned, for: adopted)) }
    for name in powers.policy?.over ?? [] { all.insert(.reachesMore(name)) }
    for person in people {
        for kind in RecordKind.allCases { for purpose in powers.records[person]?[kind] ?? [] { all.insert(.wasTold(person, kind, purpose: purpose)) } }
        for time in times where powers.erased[person].map({ $0.readmitted.map { $0 <= time } ?? false }) ?? true { all.insert(.isStored(person, at: time)) }
        for (incident, held) in powers.holds where held.contains(person) { all.insert(.isKept(person, incident: incident)) }
    }
    for (incident, decided) in powers.notices { for one in decided { all.insert(.isTold(one, incident: incident)) } }
    return all
}

/// The members of a state, each with what a command may make of it, whatever the command calls itself.
private enum Member: CaseIterable {
    case gate, nodes, operators, vaultKey, serviceKeys, ledgerKeys, enrolments, readsRestored, policy, records, erased, holds, notices

    /// Puts the one state's member in the other's place.
    func copy(from source: Powers, to target: inout Powers) {
        switch self {
        case .gate: target.gate = source.gate
        case .nodes: target.nodes = source.nodes
        case .operators: target.operators = source.operators
        case .vaultKey: target.vaultKey = source.vaultKey
        case .serviceKeys: target.serviceKeys = source.serviceKeys
        case .ledgerKeys: target.ledgerKeys = source.ledgerKeys
        case .enrolments: target.enrolments = source.enrolments
        case .readsRestored: target.readsRestored = source.readsRestored
        case .policy: target.policy = source.policy
        case .records: target.records = source.records
        case .erased: target.erased = source.erased
        case .holds: target.holds = source.holds
        case .notices: target.notices = source.notices
        }
    }

    /// Gives and takes, as it comes.
    func change(_ powers: inout Powers, with random: inout SplitMix64) {
        let next = Epoch(powers.gate.epoch.number + 1)
        let person = random.pick(people)
        switch self {
        case .gate:
            switch random.below(6) {
            case 0, 1:
                var selector = anySelector(&random)
                if random.chance(20) { selector.classes.insert(DataClass("review")) }
                powers.gate.pause(closure(next.number, anyDirection(&random), selector))
            case 2: _ = powers.gate.resume(Set(powers.gate.closures.map(\.epoch).filter { _ in random.chance(50) }), to: next)
            case 3: powers.gate.seal("test")
            case 4: powers.gate.unseal(atLeast: next)
            default: powers.gate = GateState(epoch: Epoch(powers.gate.epoch.number / 2), closures: powers.gate.closures, seal: powers.gate.seal)
            }
        case .nodes:
            let ordinal = UInt32(random.below(4))
            let node = Node(name: "node \(ordinal)", ordinal: ordinal, key: [UInt8(random.below(2))], role: random.pick([.agent, .reader]), scope: random.pick([ada, ben]))
            powers.nodes[ordinal] = random.chance(60) ? node : nil
        case .operators:
            let name = "ops-\(random.below(4))"
            powers.operators[name] = random.chance(60) ? ops(name, person: random.pick(["p", "q"]), key: UInt8(random.below(3))) : nil
        case .vaultKey: powers.vaultKey = [UInt8(random.below(3))]
        case .serviceKeys:
            let key = [random.pick([registry[0], 1, 2])]
            change(&powers.serviceKeys[random.pick(services)], key, with: &random)
        case .ledgerKeys:
            let name = random.pick(ledgers)
            change(&powers.ledgerKeys[name], name + random.pick(["+registry", "+1", "+2"]), with: &random)
        case .enrolments:
            let number = UInt64(random.below(3))
            let made = Enrolment(number: number, name: random.pick(["", "desk"]), scope: random.pick([ada, ben]), token: [UInt8(random.below(2))], until: random.pick(times))
            powers.enrolments[number] = random.chance(60) ? made : nil
        case .readsRestored: powers.readsRestored[[UInt8(random.below(2))]] = random.chance(70) ? [UInt8(random.below(2))] : nil
        case .policy:
            let bytes = random.chance(50) ? powers.policy?.bytes ?? Document.any(&random) : Document.any(&random)
            powers.policy = random.chance(90) ? PolicyText(bytes, over: Set(["activity", "review"].filter { _ in random.chance(30) }), index: UInt64(random.below(3))) : nil
        case .records:
            var records = powers.records[person] ?? .none
            let kind = random.pick(RecordKind.allCases)
            records[kind] = Set(["support", "training"].filter { _ in random.chance(50) })
            powers.records[person] = records == .none ? nil : records
        case .erased:
            let readmitted = random.chance(50) ? random.pick(Array(times.dropFirst())) : nil
            powers.erased[person] = random.chance(70) ? ErasedSubject(index: UInt64(random.below(3)), at: random.pick(times), isWaiting: random.chance(50), readmitted: readmitted) : nil
        case .holds:
            let incident = UInt64(random.below(2))
            let held = Set(people.filter { _ in random.chance(50) })
            powers.holds[incident] = held.isEmpty ? nil : held
        case .notices:
            let incident = UInt64(random.below(2))
            let decided = (0..<random.below(3)).map { _ in DecidedNotices(index: UInt64(random.below(4)), at: random.pick(times), count: 3, digest: [UInt8(random.below(3))]) }
            powers.notices[incident] = decided.isEmpty ? nil : decided
        }
    }

    private func change<Key: Equatable>(_ keys: inout [Key]?, _ key: Key, with random: inout SplitMix64) {
        switch random.below(4) {
        case 0: keys = nil
        case 1: keys = keys.map { $0.filter { $0 != key } }.flatMap { $0.isEmpty ? nil : $0 }
        default: keys = (keys ?? []).filter { $0 != key } + [key]
        }
    }
}

extension Powers.Gain {
    /// Counted as widening although nothing may come of it: what two closures stop together; a seal behind which all is closed; a token that is good for less long; a history
    /// that is given up no more; a document that closures make up for; a row that says what counts anyway. Each errs on the side of two persons.
    fileprivate var mayBeNone: Bool {
        switch self {
        case .reopens, .unseals, .invites, .forgetsReads, .loosens: true
        // The registry's, which counts anyway while nothing stands there.
        case .actsAs(_, let key): key == registry || key.isEmpty
        case .signsWith(let key): key.hasSuffix("+registry") || !key.contains("+")
        case .goesBack, .admits, .empowers, .sealsTo, .exceedsAudience, .records, .readmits, .holds, .notifies: false
        }
    }
}

@Suite struct RandomPowersTests {
    private func any(_ random: inout SplitMix64, moves: Int) -> Powers {
        var powers = Powers()
        for _ in 0..<random.below(moves) { random.pick(Member.allCases).change(&powers, with: &random) }
        return powers
    }

    @Test func `whatever is changed in whatever part of a state, what counts as narrowing lets nobody do what they could not`() {
        #expect(Mirror(reflecting: Powers()).children.count == Member.allCases.count, "a new member of Powers is to be changed here too, and to be asked for")
        for seed in UInt64(1)...3 {
            var random = SplitMix64(seed: seed)
            var (narrowed, widened, truly) = (0, 0, 0)
            /// What would have been let through by who forgets a member.
            var missed: [Member: Int] = [:]
            for round in 0..<1_000 {
                let before = any(&random, moves: 24)
                var after = before
                var changed: Set<Member> = []
                for _ in 0...random.below(3) {
                    let member = random.pick(Member.allCases)
                    member.change(&after, with: &random)
                    changed.insert(member)
                }
                let gained = possible(in: after).subtracting(possible(in: before))
                switch before.consequence(of: after, comparing: Document.comparison) {
                case .narrows:
                    narrowed += 1
                    #expect(gained.isEmpty, "seed \(seed), round \(round): \(changed) lets somebody \(gained.first!)")
                case .widens(let gains), .allowed(let gains):
                    widened += 1
                    if !gained.isEmpty { truly += 1 }
                    #expect(!gained.isEmpty || gains.allSatisfy(\.mayBeNone), "seed \(seed), round \(round): \(gains) is nothing that anybody may do")
                }
                // The negative control: a comparison that does not look at one member, for each of them.
                for member in changed where !gained.isEmpty {
                    var blinded = after
                    member.copy(from: before, to: &blinded)
                    if before.consequence(of: blinded, comparing: Document.comparison).narrows { missed[member, default: 0] += 1 }
                }
            }
            #expect(narrowed > 200, "seed \(seed)")
            #expect(truly * 10 > widened * 8, "seed \(seed): \(truly) of \(widened)")
            for member in Member.allCases { #expect(missed[member, default: 0] > 3, "seed \(seed): nobody would have noticed that \(member) is not compared") }
        }
    }

    @Test func `whatever a ledger records, alone it gives nobody anything, unless two have signed for it, and it is known which entries may`() {
        for seed in UInt64(11)...14 {
            var random = SplitMix64(seed: seed)
            var (narrowed, widened) = (0, 0)
            for round in 0..<60 {
                var governance = Governance()
                governance.apply(entry(1, .began(beginning)))
                for step in 2..<24 {
                    let before = governance
                    let made = entry(UInt64(step), deed(in: governance, with: &random))
                    governance.apply(made)
                    let (was, now) = (Powers(before), Powers(governance))
                    let gained = possible(in: now).subtracting(possible(in: was))
                    if was.consequence(of: now, comparing: Document.comparison).narrows {
                        narrowed += 1
                        #expect(gained.isEmpty, "seed \(seed), round \(round), entry \(step): \(made.deed) lets somebody \(gained.first!)")
                    } else {
                        widened += 1
                    }
                    if was != now, !made.isJoining { #expect(made.changesPowers && governance.powersIndex == made.index, "seed \(seed), round \(round): \(made.deed)") }
                }
            }
            #expect(narrowed > 300 && widened > 300, "seed \(seed): \(narrowed), \(widened)")
        }
    }

    private var beginning: Beginning {
        Beginning(
            origin: "governance", operators: [ops("ops-1", key: 1), ops("ops-2", key: 2)], controlKey: "governance+registry", policyKey: "reads+registry", controlWitness: "control+1",
            policyWitness: "policy+1")
    }

    private func entry(_ index: UInt64, _ deed: Entry.Deed) -> Entry { Entry(index: index, at: wall(Int64(index)), author: "ops-1", deed: deed) }

    /// Of any kind; mostly one that does something.
    private func deed(in governance: Governance, with random: inout SplitMix64) -> Entry.Deed {
        let next = governance.nextEpoch(after: .none)
        let (person, key) = (random.pick(people), [UInt8](repeating: UInt8(1 + random.below(200)), count: 32))
        let incident = UInt64(1 + random.below(2))
        switch random.below(24) {
        case 0: return .paused(closure(next.number, anyDirection(&random), anySelector(&random)))
        case 1: return .resumed(to: next, closures: governance.gate.closures.map(\.epoch).filter { _ in random.chance(50) }, reason: "over")
        case 2:
            let ordinal = random.chance(50) ? governance.nodes.keys.min() ?? governance.nextOrdinal : governance.nextOrdinal
            return .registered([Node(name: "node \(random.below(3))", ordinal: ordinal, key: key, role: .agent, scope: random.pick([ada, ben]))], enrolment: nil)
        case 3: return .removed(governance.nodes.keys.filter { _ in random.chance(50) }.sorted())
        case 4: return .operatorsChanged(removed: [], added: [ops("ops-\(random.below(5))", key: key[0])])
        case 5: return .operatorsChanged(removed: [random.pick(governance.operators.current.keys.sorted())], added: [])
        case 6: return .vaultKeyAnnounced(key)
        case 7: return .serviceKeyAnnounced(key, service: random.pick(services), beside: governance.serviceKeys.current["ingest"]?.last ?? [UInt8](repeating: 201, count: 32))
        case 8: return governance.serviceKeys.current.values.first?.first.map { .serviceKeyRetired($0, service: governance.serviceKeys.holder(of: $0) ?? "") } ?? .incidentMoved(number: 1, to: .closed)
        case 9, 10:
            let name = random.pick(ledgers)
            return .ledgerKeyAnnounced("\(name)+\(key[0])", beside: governance.ledgerKeys.current[name]?.last ?? "")
        case 11: return .ledgerKeyRetired(random.pick(governance.ledgerKeys.current[random.pick(ledgers)] ?? [""]))
        case 12:
            return .enrolmentOpened(Enrolment(number: governance.nextEnrolment, name: "", scope: ada, token: key, until: wall(Int64(random.below(30)))))
        case 13:
            guard let enrolment = governance.enrolments.keys.min() else { return .incidentMoved(number: 1, to: .closed) }
            return .registered([Node(name: "joined \(enrolment)", ordinal: governance.nextOrdinal, key: key, role: .agent, scope: ada)], enrolment: enrolment)
        case 14: return .readsRestored(abandons: [UInt8(random.below(2))], adopts: [UInt8(random.below(2))], reason: "")
        case 15, 16: return .policyApplied(Document.any(&random), over: ["review"].filter { _ in random.chance(20) })
        case 17, 18: return .recordsChanged([person], purpose: random.pick(["support", "training"]), random.pick(RecordKind.allCases), given: random.chance(50))
        case 19: return .erased([person])
        case 20: return .readmitted([person])
        case 21: return .held(incident: incident, [person])
        case 22: return .holdLifted(incident: incident, [person])
        default: return random.chance(50) ? .unsealed(next, dropped: [], reason: "") : .incidentOpened(number: governance.nextIncident, title: "", closure: next, dataClass: "", isLeak: false)
        }
    }
}

extension Entry {
    /// By a token, which two had approved: it admits, and makes no command stale.
    fileprivate var isJoining: Bool { if case .registered(_, .some) = deed { true } else { false } }
}
