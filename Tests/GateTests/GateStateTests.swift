import Chance
import Gate
import Testing

@Suite struct GateStateTests {
    // MARK: Selectors

    @Test func `a selector without lists matches everything`() {
        for reading in allReadings { #expect(Selector.everything.matches(reading)) }
        #expect(Selector.everything.concernsCapture)
    }

    @Test func `every list that is not empty must hold the value`() {
        let selector = Selector(sites: ["north"], teams: ["blue", "green"], classes: [content])
        #expect(selector.matches(ada))
        #expect(selector.matches(ada, content))
        #expect(!selector.matches(ada, activity))
        #expect(!selector.matches(ben, content))
        #expect(!Selector(sites: ["north"], teams: ["red"]).matches(ada))
        #expect(Selector(subjects: ["ada"]).matches(ada))
        #expect(!Selector(subjects: ["ada"]).matches(ben))
    }

    @Test func `a selector of readers or purposes matches their reads only`() {
        let selector = Selector(readers: ["rae"], purposes: ["training"])
        #expect(selector.matches(reading(by: "rae", for: "training")))
        #expect(!selector.matches(reading(by: "sam", for: "training")))
        #expect(!selector.matches(reading(by: "rae", for: "support")))
    }

    @Test func `a closure for readers or purposes leaves capture alone`() {
        #expect(!closure(1, .both, Selector(readers: ["rae"])).stopsCapture)
        #expect(!closure(1, .capture, Selector(purposes: ["training"])).stopsCapture)
        #expect(closure(1, .both, Selector(readers: ["rae"])).stopsReading)
    }

    @Test(arguments: [(Direction.capture, true, false), (.read, false, true), (.both, true, true)])
    func `a closure stops its own direction`(direction: Direction, capture: Bool, read: Bool) {
        #expect(closure(1, direction).stopsCapture == capture)
        #expect(closure(1, direction).stopsReading == read)
    }

    // MARK: The gate

    @Test func `a node that has heard nothing allows nothing`() {
        #expect(!allowed(by: .unheard).contains(true))
        #expect(!allowed(by: GateState()).contains(false))
    }

    @Test func `a pause closes its scope and nothing else`() {
        var gate = GateState()
        gate.pause(closure(1, .both, Selector(subjects: ["ada"], classes: [content])))
        #expect(gate.epoch == Epoch(1))
        #expect(!gate.allowsCapture(ada, content))
        #expect(gate.allowsCapture(ada, activity))
        #expect(gate.allowsCapture(ben, content))
        #expect(!gate.allows(reading(ada, content)))
        #expect(gate.allows(reading(ada, activity)))
        #expect(gate.permit(for: ada, of: [activity, content]) == Permit(epoch: Epoch(1), classes: [activity]))
    }

    @Test func `a resume lifts what it names, and tells what it lifted`() {
        var gate = GateState()
        gate.pause(closure(1))
        gate.pause(closure(2, .read))
        #expect(gate.resume([Epoch(1), Epoch(9)], to: Epoch(3)).map(\.epoch) == [Epoch(1)])
        #expect(gate.epoch == Epoch(3))
        #expect(gate.allowsCapture(ada, activity))
        #expect(!gate.allows(reading()))
    }

    @Test func `a resume that a later pause overtook keeps the later epoch and the later closure`() {
        var gate = GateState()
        gate.pause(closure(1, .capture))
        gate.pause(closure(3, .read))
        _ = gate.resume([Epoch(1)], to: Epoch(2))
        #expect(gate.epoch == Epoch(3))
        #expect(gate.closures.map(\.epoch) == [Epoch(3)])
    }

    @Test func `a seal closes everything, and unsealing never takes the epoch back`() {
        var gate = GateState(epoch: Epoch(7))
        gate.seal("restart")
        #expect(!allowed(by: gate).contains(true))
        gate.unseal(atLeast: Epoch(3))
        #expect(gate.epoch == Epoch(7))
        #expect(!allowed(by: gate).contains(false))
        gate.unseal(atLeast: Epoch(9))
        #expect(gate.epoch == Epoch(9))
    }

    @Test func `an older push says nothing new`() {
        var gate = GateState(epoch: Epoch(5))
        let isTaken = gate.narrow(to: GateState(epoch: Epoch(4), closures: [closure(4)]))
        #expect(!isTaken)
        #expect(gate == GateState(epoch: Epoch(5)))
    }

    @Test func `whatever is pushed, nothing opens, what is pushed closes, and the epoch does not go back`() {
        var random = SplitMix64(seed: 2)
        for round in 0..<2_000 {
            let history = anyHistory(6, with: &random)
            var gate = anyGate(of: history, with: &random)
            let (before, pushed) = (gate, anyGate(of: history, with: &random))
            let isTaken = gate.narrow(to: pushed)
            for ((was, now), says) in zip(zip(allowed(by: before), allowed(by: gate)), allowed(by: pushed)) {
                #expect(was || !now, "round \(round)")
                if isTaken { #expect(says || !now, "round \(round)") }
            }
            #expect(gate.epoch >= before.epoch, "round \(round)")
            #expect(isTaken == (pushed.epoch >= before.epoch), "round \(round)")
            if !isTaken { #expect(gate == before, "round \(round)") }
            #expect(gate.isNarrower(than: before), "round \(round)")
            let once = gate
            _ = gate.narrow(to: pushed)
            #expect(gate == once, "twice is once, round \(round)")
        }
    }

    @Test func `a state that is called narrower allows nothing that the other does not`() {
        var random = SplitMix64(seed: 3)
        // Closures are known by their epochs, so both states come out of one history.
        for round in 0..<500 {
            let history = anyHistory(5, with: &random)
            let (one, other) = (anyGate(of: history, with: &random), anyGate(of: history, with: &random))
            guard one.isNarrower(than: other) else { continue }
            for (mine, its) in zip(allowed(by: one), allowed(by: other)) { #expect(its || !mine, "round \(round)") }
        }
    }
}
