import Gate
import Messaging
import Rules
import Synchronization
import Wire

/// Takes events, judges each by the permit and its intervals, and gathers what is accepted into batches.
///
/// Shared by the threads that read events and the reactor that hears permits: one lock, held for microseconds. Once a narrower
/// permit is set, nothing outside it is accepted any more, and that is what the agent acknowledges.
final class Recorder: Sendable {
    /// Events of one class, accepted, to be sealed.
    struct Gathered: Sendable {
        var dataClass: DataClass
        var events: [Event]
        var epoch: Epoch
    }

    struct Counts: Sendable {
        var accepted: UInt64 = 0
        var refused: [String: UInt64] = [:]
        var unknownFields: UInt64 = 0
        /// What came as from ingest and was not taken.
        var pushes: [String: UInt64] = [:]
    }

    private struct Open {
        var events: [Event] = []
        var bytes = 0
        var since: Instant
    }

    private struct State {
        var holder: PermitHolder
        var open: [DataClass: Open] = [:]
        var closed: [Gathered] = []
        var counts = Counts()
        var isSpoolFull = false
    }

    private let state: Mutex<State>
    /// Batches that wait for the spool: more means that its disk hangs.
    private static let closedMax = 64
    /// Called, outside the lock, when a batch has been closed before its time.
    private let batchClosed: @Sendable () -> Void

    init(holder: PermitHolder, batchClosed: @escaping @Sendable () -> Void) {
        state = Mutex(State(holder: holder))
        self.batchClosed = batchClosed
    }

    // MARK: Events

    /// Takes an event, or says why not. Counted either way.
    func take(_ line: EventLine) -> String? {
        let event = line.event
        let dataClass = classify(event)
        let span = event.span
        var isClosed = false
        let refused: String? = state.withLock { state in
            let now = Clock.now()
            let wall = Clock.wall()
            state.holder.tick(at: now, wall: wall)
            var reason = state.holder.judge(dataClass, from: span.start, to: span.end, at: now, wall: wall)?.rawValue
            // What is refused leaves no trace but a number.
            if reason == nil, state.isSpoolFull || state.closed.count > Recorder.closedMax { reason = "spool-full" }
            if let reason {
                state.counts.refused[reason, default: 0] += 1
                return reason
            }
            state.counts.accepted += 1
            state.counts.unknownFields += UInt64(line.unknownFields)
            let bytes = ColumnsCodec.bytesMax(of: event)
            if let open = state.open[dataClass],
                open.events.count >= Limits.eventsPerBatchMax || open.bytes + bytes > Limits.columnsBytesMax
            {
                Recorder.close(&state, dataClass)
                isClosed = true
            }
            state.open[dataClass, default: Open(since: now)].events.append(event)
            state.open[dataClass]!.bytes += bytes
            return nil
        }
        if isClosed { batchClosed() }
        return refused
    }

    /// Counts what was not even an event.
    func refuse(_ reason: String) { state.withLock { $0.counts.refused[reason, default: 0] += 1 } }

    private static func close(_ state: inout State, _ dataClass: DataClass) {
        guard let open = state.open.removeValue(forKey: dataClass), !open.events.isEmpty else { return }
        state.closed.append(Gathered(dataClass: dataClass, events: open.events, epoch: state.holder.permit.epoch))
    }

    /// Batches that are full, old enough, or `all`.
    func gather(at now: Instant, all: Bool = false) -> [Gathered] {
        state.withLock { state in
            for (dataClass, open) in state.open where all || now - open.since >= Limits.batchAge { Recorder.close(&state, dataClass) }
            defer { state.closed = [] }
            return state.closed
        }
    }

    func setSpoolFull(_ full: Bool) { state.withLock { $0.isSpoolFull = full } }

    // MARK: The permit

    func refuse(_ push: PushRefused) { state.withLock { $0.counts.pushes[push.rawValue, default: 0] += 1 } }

    /// - Returns: the epoch that is acted under.
    func request(_ nonce: Nonce, at now: Instant) -> Epoch {
        state.withLock { state in
            state.holder.request(nonce, at: now)
            return state.holder.permit.epoch
        }
    }

    /// - Returns: the epoch now acted under, if it has changed.
    func grant(_ nonce: Nonce, lease: Span, permit: Permit) -> Epoch? {
        // No lease: stop at once, not only when the one that is held ends.
        if lease <= .zero { return narrow(to: Permit(epoch: permit.epoch, classes: [])) }
        var refused: PushRefused?
        let epoch = change { holder in
            do throws(LeaseHolder.GrantRefused) {
                try holder.grant(nonce, lease: lease, permit: permit, at: Clock.now(), wall: Clock.wall())
            } catch {
                // A grant that does not count changes nothing; time ends the lease.
                if case .olderEpoch = error { refused = .older }
            }
        }
        if let refused { refuse(refused) }
        return epoch
    }

    func narrow(to permit: Permit) -> Epoch? {
        var refused: PushRefused?
        let epoch = change { refused = $0.narrow(to: permit, at: Clock.now(), wall: Clock.wall()) }
        if let refused { refuse(refused) }
        return epoch
    }

    func stop() { _ = change { $0.stop(at: Clock.now(), wall: Clock.wall()) } }

    func tick() { _ = change { $0.tick(at: Clock.now(), wall: Clock.wall()) } }

    private func change(_ body: (inout PermitHolder) -> Void) -> Epoch? {
        var isClosed = false
        let epoch: Epoch? = state.withLock { state in
            let before = state.holder.permit.epoch
            let classes = state.holder.permit.classes
            body(&state.holder)
            // What was accepted under the old permit is sealed under it.
            for dataClass in classes.subtracting(state.holder.permit.classes) {
                Recorder.close(&state, dataClass)
                isClosed = true
            }
            return state.holder.permit.epoch == before ? nil : state.holder.permit.epoch
        }
        if isClosed { batchClosed() }
        return epoch
    }

    struct View: Sendable {
        /// The highest heard.
        var epoch: Epoch
        /// The one acted under.
        var permitEpoch: Epoch
        var classes: Set<DataClass>
        var leaseLeft: Span
        var intervals: OpenIntervals
        var counts: Counts
    }

    func view(at now: Instant = Clock.now()) -> View {
        state.withLock { state in
            View(
                epoch: state.holder.lease.epoch, permitEpoch: state.holder.permit.epoch, classes: state.holder.lease.isHeld(at: now) ? state.holder.permit.classes : [],
                leaseLeft: state.holder.lease.remaining(at: now), intervals: state.holder.intervals, counts: state.counts)
        }
    }

    func isCapturing(_ dataClass: DataClass, at now: Instant) -> Bool { state.withLock { $0.holder.isCapturing(dataClass, at: now) } }
}
