/// What one agent may capture, under one epoch. A class that is not in it may not be captured.
package struct Permit: Hashable, Sendable {
    package var epoch: Epoch
    package var classes: Set<DataClass>
    /// The hash of what says how far events are minimised. Who does not have it may capture nothing. Empty: no policy document is in force.
    package var rules: [UInt8]
    /// The document's index in control's ledger, for people; 0: none.
    package var policy: UInt64

    package init(epoch: Epoch, classes: Set<DataClass>, rules: [UInt8] = [], policy: UInt64 = 0) {
        self.epoch = epoch
        self.classes = classes
        self.rules = rules
        self.policy = policy
    }

    /// What may be captured by whoever keeps to rules with this hash: all of it, or nothing.
    package func bound(to rules: [UInt8]) -> Permit {
        classes.isEmpty || self.rules == rules ? self : Permit(epoch: epoch, classes: [], rules: self.rules, policy: policy)
    }

    package static let nothing = Permit(epoch: .none, classes: [])
}

/// Why an event was not taken.
package enum CaptureRefused: String, Error, Hashable, Sendable, CaseIterable {
    /// No lease: nobody has said within it that capture may go on.
    case noLease = "no-lease"
    /// The permit does not hold the event's class now.
    case closed
    /// Part of the event's span was outside every interval in which its class was permitted.
    case outsideInterval = "outside-interval"
    /// It ends after the present.
    case future
}

/// What an ingest sent and may not, whoever it is. What there is to take away in it is taken away all the same.
package enum PushRefused: String, Error, Hashable, Sendable, CaseIterable {
    /// From an epoch before one that this agent has seen.
    case older
    /// A push that would permit more than is permitted.
    case opening
    /// A grant that answers no renewal of this agent, or the same one again.
    case unasked
}

/// An agent's right to capture: its lease, its permit, and the intervals in which it held one.
///
/// States: *stopped* (no lease) and *capturing* some classes. A renewal that this agent asked for may extend; a push may only
/// narrow; time stops it. The intervals are what an event is judged by: a pause is a fence in time, not a valve.
package struct PermitHolder: Hashable, Sendable {
    package private(set) var lease: LeaseHolder
    package private(set) var permit: Permit
    package private(set) var intervals: OpenIntervals
    private var anchor: Anchor?

    /// Wall and continuous clock read together, to notice that the wall clock was set.
    private struct Anchor: Hashable, Sendable { var instant: Instant, wall: WallTime }

    /// A tool may round its clock to the millisecond; no more than that is forgiven.
    package static let rounding = Span.milliseconds(5)
    /// A wall clock that differs from the continuous one by more has been set.
    package static let step = Span.milliseconds(500)

    package init(intervals: OpenIntervals = OpenIntervals(), epoch: Epoch = .none) {
        lease = LeaseHolder(epoch: epoch)
        permit = Permit(epoch: epoch, classes: [])
        self.intervals = intervals
    }

    package mutating func request(_ nonce: Nonce, at now: Instant) { lease.request(nonce, at: now) }

    /// Takes the answer to a renewal: it may allow more or less than before.
    package mutating func grant(
        _ nonce: Nonce, lease span: Span, permit granted: Permit, at now: Instant, wall: WallTime
    ) throws(LeaseHolder.GrantRefused) {
        tick(at: now, wall: wall)
        do throws(LeaseHolder.GrantRefused) {
            try lease.grant(nonce, lease: span, epoch: granted.epoch, at: now)
        } catch {
            // Too late to extend, but its epoch counts: so does what it takes away.
            if error == .ended { narrow(to: granted, at: now, wall: wall) }
            throw error
        }
        set(granted, at: now, wall: wall)
    }

    /// Takes a push: it can only narrow. One that is older than what is known changes nothing.
    ///
    /// - Returns: what was not taken of it. While no lease is held there is nothing to tell an opening push by.
    @discardableResult
    package mutating func narrow(to pushed: Permit, at now: Instant, wall: WallTime) -> PushRefused? {
        tick(at: now, wall: wall)
        guard pushed.epoch >= lease.epoch else { return .older }
        lease.hear(pushed.epoch)
        let opens = lease.isHeld(at: now) && !pushed.classes.isSubset(of: permit.classes)
        var narrower = pushed
        narrower.classes.formIntersection(permit.classes)
        set(narrower, at: now, wall: wall)
        return opens ? .opening : nil
    }

    /// Lets time pass: ends the intervals with the lease, and extends those that are open to the present.
    package mutating func tick(at now: Instant, wall: WallTime) {
        defer { anchor = Anchor(instant: now, wall: wall) }
        guard let anchor else {
            // The clock may have been set back while this process was not there.
            intervals.clip(to: wall)
            return
        }
        let reckoned = anchor.wall + (now - anchor.instant)
        let drift = wall - reckoned
        let stepped = drift > PermitHolder.step || drift < Span.zero - PermitHolder.step
        if let until = lease.until, now >= until {
            // Noticed late, perhaps by hours: the interval ended when the lease did.
            intervals.close(at: anchor.wall + max(.zero, until - anchor.instant))
            lease.lapse()
            permit.classes = []
        } else if stepped, lease.until != nil {
            // The wall clock was set. What was open is closed where it had really come to, and opens anew.
            intervals.close(at: reckoned)
        } else {
            intervals.extend(to: wall)
        }
        guard stepped else { return }
        // Set back, capturing or not: nothing of "then" may admit what came since the clock was last looked at.
        if wall < reckoned { intervals.clip(to: wall - (now - anchor.instant)) }
        if lease.until != nil { intervals.open(permit.classes, at: wall) }
    }

    /// Stops capture: the session is gone for good, or the agent is about to end.
    package mutating func stop(at now: Instant, wall: WallTime) {
        tick(at: now, wall: wall)
        intervals.close(at: wall)
        lease.stop()
        permit.classes = []
    }

    package func isCapturing(_ dataClass: DataClass, at now: Instant) -> Bool {
        lease.isHeld(at: now) && permit.classes.contains(dataClass)
    }

    /// Judges an event of `dataClass` whose span is `start ... end`.
    ///
    /// Call ``tick(at:wall:)`` first with the same times. The lease is checked here, at the moment of use, and not by a timer.
    package func judge(_ dataClass: DataClass, from start: WallTime, to end: WallTime, at now: Instant, wall: WallTime) -> CaptureRefused? {
        guard lease.isHeld(at: now) else { return .noLease }
        guard permit.classes.contains(dataClass) else { return .closed }
        guard end <= wall + PermitHolder.rounding else { return .future }
        return intervals.contains(dataClass, from: start, to: min(end, wall)) ? nil : .outsideInterval
    }

    private mutating func set(_ next: Permit, at now: Instant, wall: WallTime) {
        intervals.close(permit.classes.subtracting(next.classes), at: wall)
        intervals.clip(to: wall)
        permit = next
        intervals.open(next.classes, at: wall)
    }}
