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
    /// What policy has closed for readers by itself, by the finding's id, until control's closure for it is in force. It lets nothing through that the gate does not.
    package private(set) var found: [[UInt8]: Closure] = [:]
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

    /// Closes to readers what the finding names, at once and for as long as nobody says otherwise.
    package mutating func close(for finding: Finding) {
        var closure = finding.closure(gate.epoch, incident: 0, from: finding.at)
        closure.direction = .read
        guard found.updateValue(closure, forKey: finding.id) != closure else { return }
        version += 1
    }

    /// Control has closed what it names, or has joined it to what is closed: from here on the gate decides.
    package mutating func handOver(_ id: [UInt8]) {
        guard found.removeValue(forKey: id) != nil else { return }
        version += 1
    }

    package func allows(_ reading: Reading) -> Bool { gate.allows(reading) && !found.values.contains { $0.selector.matches(reading) } }

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
