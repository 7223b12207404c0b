/// What policy decides about a batch: by the gate as it is now, and by every closure that there ever was.
///
/// A batch that comes in late is judged by when its events were captured, on the agent's clock, corrected by that clock's
/// offset: what was caught between a command and the agent's stop is dropped and counted.
package struct Fence: Hashable, Sendable {
    package enum Verdict: Hashable, Sendable {
        case whole
        /// Closed now. The sender keeps the batch.
        case keep(Epoch)
        /// Events that touch one of these ranges (agent's clock, first inclusive, end exclusive) are dropped.
        case without([Range<WallTime>])
    }

    package private(set) var gate: GateState
    /// Closures of capture that were lifted, oldest first.
    package private(set) var past: [Closure] = []
    /// Changes with every change of the fence; a commit that began under another version looks again.
    package private(set) var version: UInt64 = 0

    package init(gate: GateState = .unheard) { self.gate = gate }

    /// Takes over what was answered to this node's own renewal.
    package mutating func set(_ granted: GateState) {
        guard granted != gate else { return }
        gate = granted
        version += 1
    }

    /// Takes over what was pushed: it can only narrow.
    package mutating func narrow(to pushed: GateState) {
        let before = gate
        guard gate.narrow(to: pushed), gate != before else { return }
        version += 1
    }

    /// Remembers the interval of a closure that has been lifted.
    package mutating func remember(_ lifted: Closure) {
        guard lifted.stopsCapture, lifted.until != nil, !past.contains(where: { $0.epoch == lifted.epoch }) else { return }
        past.append(lifted)
        version += 1
    }

    /// - Parameter offset: The agent's wall clock minus control's.
    package func judge(_ dataClass: DataClass, of scope: Scope, from first: WallTime, to last: WallTime, offset: Span) -> Verdict {
        guard gate.allowsCapture(scope, dataClass) else { return .keep(gate.epoch) }
        var ranges: [Range<WallTime>] = []
        for closure in past {
            guard let until = closure.until, closure.selector.matches(scope, dataClass) else { continue }
            let start = closure.from + offset
            let end = until + offset
            if start <= last, first < end, start < end { ranges.append(start..<end) }
        }
        return ranges.isEmpty ? .whole : .without(ranges)
    }
}
