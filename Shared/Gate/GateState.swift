/// All that may be said about what may happen now: an epoch, the closures in force, and whether everything is sealed.
///
/// States: *sealed* (after a restart, until control knows that nobody has seen a later epoch; everything is closed),
/// *open* (no closure), *closed in part or whole* (closures). Moves: ``pause(_:)`` and ``resume(_:)``, each to a later epoch;
/// ``seal(_:)``, ``unseal(atLeast:)``.
package struct GateState: Hashable, Sendable {
    package private(set) var epoch: Epoch
    /// In force, by the epoch that began them, oldest first.
    package private(set) var closures: [Closure]
    /// Why everything is closed whatever the closures say; nil: it is not.
    package private(set) var seal: String?

    package init(epoch: Epoch = .none, closures: [Closure] = [], seal: String? = nil) {
        self.epoch = epoch
        self.closures = closures
        self.seal = seal
    }

    /// What a node assumes that has heard nothing yet.
    package static let unheard = GateState(seal: "control has not been heard")

    package mutating func pause(_ closure: Closure) {
        precondition(closure.epoch > epoch, "an epoch never goes back")
        epoch = closure.epoch
        closures.append(closure)
    }

    /// Lifts closures. Those that are not in force are left out of the answer.
    ///
    /// The epoch stays when a pause came in while the resume was being made durable: that pause has the later one, and
    /// live and replayed order then end in the same state.
    package mutating func resume(_ epochs: Set<Epoch>, to next: Epoch) -> [Closure] {
        let lifted = closures.filter { epochs.contains($0.epoch) }
        closures.removeAll { epochs.contains($0.epoch) }
        epoch = max(epoch, next)
        return lifted
    }

    package mutating func seal(_ why: String) { seal = why }

    package mutating func unseal(atLeast known: Epoch) {
        seal = nil
        epoch = max(epoch, known)
    }

    /// Takes over a state that was pushed unasked: whatever it says, the result allows no more than before.
    ///
    /// - Returns: whether anything was taken over. An older epoch says nothing that is not known.
    package mutating func narrow(to pushed: GateState) -> Bool {
        guard pushed.epoch >= epoch else { return false }
        let known = Set(closures.map(\.epoch))
        closures += pushed.closures.filter { !known.contains($0.epoch) }
        seal = seal ?? pushed.seal
        epoch = pushed.epoch
        return true
    }

    package func allowsCapture(_ scope: Scope, _ dataClass: DataClass) -> Bool {
        guard seal == nil else { return false }
        return !closures.contains { $0.stopsCapture && $0.selector.matches(scope, dataClass) }
    }

    package func allows(_ reading: Reading) -> Bool {
        guard seal == nil else { return false }
        return !closures.contains { $0.stopsReading && $0.selector.matches(reading) }
    }

    /// What an agent may capture now: of the classes that there are, those that no closure stops.
    package func permit(for scope: Scope, of classes: some Sequence<DataClass>) -> Permit {
        Permit(epoch: epoch, classes: Set(classes.filter { allowsCapture(scope, $0) }))
    }

    /// Whether `other` allows everything that this allows, and so may be taken over without asking anybody.
    package func isNarrower(than other: GateState) -> Bool {
        if seal != nil { return true }
        if other.seal != nil { return false }
        let mine = Set(closures.map(\.epoch))
        return other.closures.allSatisfy { mine.contains($0.epoch) }
    }
}
