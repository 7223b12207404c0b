/// 128 random bits that bind an answer to the request that it answers.
package struct Nonce: Hashable, Sendable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// The right to go on, for a while. Reads no clock, touches no socket.
///
/// States: *stopped* (never held, ended, refused) and *held until*. Moves: ``request(_:at:)`` notes that the holder has asked;
/// ``grant(_:lease:epoch:at:)`` answers the newest request; time ends it, noticed at the moment of use by ``isHeld(at:)``.
/// Silence counts as "stop": work must not run unsupervised exactly when the supervisor is broken.
package struct LeaseHolder: Hashable, Sendable {
    package enum GrantRefused: Error, Hashable, Sendable {
        /// Not the answer to the newest request: late, repeated, or made up.
        case notNewest
        /// It had ended before it arrived.
        case ended
        /// From an epoch before one that this node has seen.
        case olderEpoch(seen: Epoch)
    }

    private struct Request: Hashable, Sendable { var nonce: Nonce, sent: Instant }

    /// The end of the lease; nil: stopped.
    package private(set) var until: Instant?
    /// The highest epoch heard. Never goes back.
    package private(set) var epoch: Epoch
    private var newest: Request?

    package init(epoch: Epoch = .none) { self.epoch = epoch }

    package func isHeld(at now: Instant) -> Bool { until.map { now < $0 } ?? false }

    /// What is left of the lease; zero when stopped.
    package func remaining(at now: Instant) -> Span { until.map { max(.zero, $0 - now) } ?? .zero }

    /// Notes that a renewal is being sent. Every earlier request is forgotten: its answer will not count.
    package mutating func request(_ nonce: Nonce, at now: Instant) { newest = Request(nonce: nonce, sent: now) }

    /// Takes an answer. The lease counts from the moment the request was sent: the grantor counted from later.
    package mutating func grant(_ nonce: Nonce, lease: Span, epoch granted: Epoch, at now: Instant) throws(GrantRefused) {
        guard let newest, newest.nonce == nonce else { throw .notNewest }
        self.newest = nil
        guard granted >= epoch else { throw .olderEpoch(seen: epoch) }
        epoch = granted
        let end = newest.sent + max(.zero, lease)
        guard now < end else { throw .ended }
        until = end
    }

    /// A later epoch was heard by another way than a grant. Whatever was asked for before it does not count any more.
    package mutating func hear(_ pushed: Epoch) {
        guard pushed > epoch else { return }
        epoch = pushed
    }

    /// The lease has ended. A request that is under way may still be answered in time.
    package mutating func lapse() { until = nil }

    /// Gives the lease up: the session has ended, or the grantor has said no.
    package mutating func stop() {
        until = nil
        newest = nil
    }
}

/// Grants leases, never past the end of its own, and remembers until when it has.
package struct LeaseGrantor<Holder: Hashable & Sendable>: Sendable {
    package let lease: Span
    /// For each holder, the end of the last lease granted, on this process's clock.
    package private(set) var granted: [Holder: Instant] = [:]
    /// Leases that an earlier run of this process granted have all ended by then.
    package let unknownUntil: Instant

    package init(lease: Span, startedAt start: Instant) {
        self.lease = lease
        unknownUntil = start + lease + lease / 250
    }

    /// The lease that may be granted at `now`: nil when the grantor's own has ended.
    package mutating func grant(_ holder: Holder, ownUntil: Instant?, at now: Instant) -> Span? {
        guard let ownUntil, now < ownUntil else { return nil }
        let span = min(lease, ownUntil - now)
        granted[holder] = now + span
        return span
    }

    package mutating func forget(_ holder: Holder) { granted[holder] = nil }

    /// Whether `holder` may still go on. Its clock may be slower than true and this one faster, each by ε (FAULTS: 0.002).
    package func isHeld(_ holder: Holder, at now: Instant) -> Bool { granted[holder].map { now < $0 + lease / 250 } ?? false }
}
