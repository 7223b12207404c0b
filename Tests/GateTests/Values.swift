import Chance
import Gate

// Short ways to write the values that the claims are about. All times are made up; nothing here reads a clock.

let lease = Span.seconds(3)

/// A moment of a continuous clock, in milliseconds.
func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

/// A moment of a wall clock, in milliseconds from an hour that does not matter.
func wall(_ milliseconds: Int64) -> WallTime { WallTime(nanoseconds: 1_700_000_000_000_000_000 + milliseconds * 1_000_000) }

func nonce(_ number: UInt64) -> Nonce { Nonce(high: 7, low: number) }

let activity = DataClass("activity")
let content = DataClass("content")
let ada = Scope(subject: "ada", site: "north", team: "blue")
let ben = Scope(subject: "ben", site: "south", team: "red")

func closure(
    _ epoch: UInt64, _ direction: Direction = .both, _ selector: Selector = .everything, from: WallTime = wall(0), until: WallTime? = nil
) -> Closure {
    Closure(
        epoch: Epoch(epoch), direction: direction, selector: selector, reason: "test", author: "ops", incident: 0, from: from, until: until)
}

func reading(_ scope: Scope = ada, _ dataClass: DataClass = activity, by reader: String = "rae", for purpose: String = "support") -> Reading {
    Reading(scope: scope, dataClass: dataClass, reader: reader, purpose: purpose)
}

/// Any state of the gate that one history may lead to. In it, an epoch begins one closure only.
func anyGate(of history: [Closure], with random: inout SplitMix64) -> GateState {
    var gate = GateState()
    for closure in history where random.chance(40) { gate.pause(closure) }
    gate.unseal(atLeast: Epoch(UInt64(random.below(history.count + 2))))
    if random.chance(10) { gate.seal("test") }
    return gate
}

func anyHistory(_ count: Int, with random: inout SplitMix64) -> [Closure] {
    (1...count).map { closure(UInt64($0), anyDirection(&random), anySelector(&random)) }
}

func anyDirection(_ random: inout SplitMix64) -> Direction { random.pick([.capture, .read, .both]) }

func anySelector(_ random: inout SplitMix64) -> Selector {
    var selector = Selector()
    if random.chance(30) { selector.sites = [random.pick(["north", "south"])] }
    if random.chance(30) { selector.teams = [random.pick(["blue", "red"])] }
    if random.chance(30) { selector.subjects = [random.pick(["ada", "ben"])] }
    if random.chance(30) { selector.classes = [random.pick([activity, content])] }
    if random.chance(15) { selector.readers = [random.pick(["rae", "sam"])] }
    if random.chance(15) { selector.purposes = [random.pick(["support", "training"])] }
    return selector
}

/// Everything that a gate may be asked in these tests.
let allReadings: [Reading] = [ada, ben].flatMap { scope in
    [activity, content].flatMap { dataClass in
        ["rae", "sam"].flatMap { reader in ["support", "training"].map { reading(scope, dataClass, by: reader, for: $0) } }
    }
}

/// Which of them it allows; captures first, then reads.
func allowed(by gate: GateState) -> [Bool] {
    allReadings.map { gate.allowsCapture($0.scope, $0.dataClass) } + allReadings.map { gate.allows($0) }
}
