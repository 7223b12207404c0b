import Detection
import Enforcement
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
        /// By kind: of these a number is all that is left.
        var counted: [String: UInt64] = [:]
        /// Of those accepted: without what was found in them, or for their time alone.
        var minimised: UInt64 = 0
    }

    fileprivate struct Open {
        var events: [Event] = []
        var bytes = 0
        var since: Instant
    }

    fileprivate struct State {
        var holder: PermitHolder
        var open: [DataClass: Open] = [:]
        var closed: [Gathered] = []
        var counts = Counts()
        var isSpoolFull = false
        /// What is kept to.
        var rules: HeldRules
        var enforcer: Enforcer
        /// What ingest has sent, and no permit has named yet.
        var next: HeldRules?
        /// Keys that wait, with the class by which they were let in.
        var waiting: [Int: DataClass] = [:]
        var number = 0
    }

    private let state: Mutex<State>
    /// Batches that wait for the spool: more means that its disk hangs.
    fileprivate static let closedMax = 64
    /// Called, outside the lock, when a batch has been closed before its time.
    private let batchClosed: @Sendable () -> Void

    init(holder: PermitHolder, batchClosed: @escaping @Sendable () -> Void) {
        state = Mutex(State(holder: holder, rules: .standard, enforcer: Recorder.standardEnforcer()))
        self.batchClosed = batchClosed
    }

    /// Nobody looks into anything by it, so that there is nothing to refuse.
    private static func standardEnforcer() -> Enforcer {
        do throws(DetectorRefused) { return try Enforcer(HeldRules.standard.rulings, detector: nil) } catch { preconditionFailure("\(error)") }
    }

    // MARK: Events

    /// Takes an event, or says why not. Counted either way.
    ///
    /// A key may wait until it is known what it types: it is taken, and counted when it is let go.
    func take(_ line: EventLine) -> String? {
        let event = line.event
        return changing { state in
            let now = Clock.now()
            let wall = Clock.wall()
            state.holder.tick(at: now, wall: wall)
            if let reason = state.judge(event, at: now, wall: wall) {
                state.counts.refused[reason, default: 0] += 1
                return reason
            }
            state.counts.unknownFields += UInt64(line.unknownFields)
            return nil
        }
    }

    /// Whether ``take(_:)`` would not refuse it for want of a permit.
    func mayTake(_ event: Event, at now: Instant) -> Bool {
        state.withLock { state in
            guard state.holder.lease.isHeld(at: now), !state.holder.permit.classes.isEmpty else { return false }
            let dataClass = state.enforcer.classify(event)
            if state.rules.rulings[EventShape(event), dataClass].minimisation == .drop { return true }
            return dataClass.map { state.holder.permit.classes.contains($0) } ?? true
        }
    }

    /// Runs something that may close batches.
    private func changing<Answer: Sendable>(_ body: (inout sending State) -> Answer) -> Answer {
        let (answer, isClosed) = state.withLock { state in
            let before = state.closed.count
            let answer = body(&state)
            return (answer, state.closed.count > before)
        }
        if isClosed { batchClosed() }
        return answer
    }

    /// Counts what was not even an event.
    func refuse(_ reason: String) { state.withLock { $0.counts.refused[reason, default: 0] += 1 } }

    /// Batches that are full, old enough, or `all`.
    func gather(at now: Instant, all: Bool = false) -> [Gathered] {
        state.withLock { state in
            state.settle(all ? state.enforcer.finish() : state.enforcer.tick(at: now), at: now)
            for (dataClass, open) in state.open where all || now - open.since >= Limits.batchAge { state.close(dataClass) }
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
        let epoch = change { state in
            // Another document counts from here, if it is the one that is permitted by; and never by a push.
            var next: (rules: HeldRules, enforcer: Enforcer)?
            if !permit.classes.isEmpty, permit.rules != state.rules.hash, let rules = [state.next, .standard].compactMap({ $0 }).first(where: { $0.hash == permit.rules }),
                let enforcer = try? Enforcer(rules.rulings, detector: rules.detector)
            {
                next = (rules, enforcer)
            }
            do throws(LeaseHolder.GrantRefused) {
                try state.holder.grant(
                    nonce, lease: lease, permit: permit.bound(to: next?.rules.hash ?? state.rules.hash), at: Clock.now(), wall: Clock.wall())
                if let next { state.use(next.rules, next.enforcer, at: Clock.now()) }
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
        let epoch = change { state in
            refused = state.holder.narrow(to: permit.bound(to: state.rules.hash), at: Clock.now(), wall: Clock.wall())
        }
        if let refused { refuse(refused) }
        return epoch
    }

    /// Has rules at hand for when a permit names them.
    func hold(_ rules: HeldRules) { state.withLock { $0.next = rules } }

    /// The hash of the newest rules that there are.
    var newestRules: [UInt8] { state.withLock { $0.next?.hash ?? $0.rules.hash } }

    func stop() { _ = change { $0.holder.stop(at: Clock.now(), wall: Clock.wall()) } }

    func tick() { _ = change { $0.holder.tick(at: Clock.now(), wall: Clock.wall()) } }

    private func change(_ body: (inout State) -> Void) -> Epoch? {
        changing { state in
            let before = state.holder.permit.epoch
            let classes = state.holder.permit.classes
            body(&state)
            let closed = classes.subtracting(state.holder.permit.classes)
            // What was accepted under the old permit is sealed under it, keys that still wait among it.
            if !closed.isEmpty { state.settle(state.enforcer.finish(), at: Clock.now()) }
            for dataClass in closed { state.close(dataClass) }
            return state.holder.permit.epoch == before ? nil : state.holder.permit.epoch
        }
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
        /// The hash of the rules kept to; empty: those without a policy document.
        var rules: [UInt8]
        /// The document's entry in control's ledger, as the permit says; 0: none.
        var policy: UInt64
        /// Keys that wait until it is known what they type.
        var waiting: Int
        var isRulesMissing: Bool
    }

    func view(at now: Instant = Clock.now()) -> View {
        state.withLock { state in
            View(
                epoch: state.holder.lease.epoch, permitEpoch: state.holder.permit.epoch, classes: state.holder.lease.isHeld(at: now) ? state.holder.permit.classes : [],
                leaseLeft: state.holder.lease.remaining(at: now), intervals: state.holder.intervals, counts: state.counts,
                rules: state.rules.hash, policy: state.holder.permit.policy, waiting: state.enforcer.count,
                isRulesMissing: state.holder.permit.policy != 0 && state.holder.permit.rules != state.rules.hash)
        }
    }

    func isCapturing(_ dataClass: DataClass, at now: Instant) -> Bool { state.withLock { $0.holder.isCapturing(dataClass, at: now) } }

    /// Whether policy would take a batch of this class, be it to drop it: what is captured no more, because a consent was withdrawn, must not lie here for ever.
    func maySend(_ dataClass: DataClass, at now: Instant) -> Bool {
        state.withLock { state in
            if state.holder.isCapturing(dataClass, at: now) { return true }
            return state.holder.lease.isHeld(at: now) && !state.holder.permit.classes.isEmpty && !state.rules.captured.contains(dataClass)
        }
    }
}

extension Recorder.State {
    /// What becomes of an event now. Whatever is refused leaves no trace but a number.
    /// - Returns: why it was not taken.
    fileprivate mutating func judge(_ event: Event, at now: Instant, wall: WallTime) -> String? {
        let span = event.span
        func refusal(_ dataClass: DataClass) -> String? {
            if let refused = holder.judge(dataClass, from: span.start, to: span.end, at: now, wall: wall) { return refused.rawValue }
            return isSpoolFull || closed.count > Recorder.closedMax ? "spool-full" : nil
        }
        func pass(_ reason: String) -> String {
            settle(enforcer.pass(event, at: now), at: now)
            return reason
        }
        guard holder.lease.isHeld(at: now) else { return pass(CaptureRefused.noLease.rawValue) }
        guard enforcer.holdsBack(event) else {
            number += 1
            var reason: String?
            let decided = enforcer.take(event, id: number, at: now)
            // Its own outcome is the last; before it come keys that it has let go.
            settle(decided.dropLast(), at: now)
            guard let verdict = decided.last?.verdict else { return nil }
            if let dataClass = verdict.dataClass, verdict.left != .dropped { reason = refusal(dataClass) }
            if let reason { return reason }
            return count(verdict, at: now)
        }
        let dataClass = enforcer.classify(event)
        if let dataClass, let reason = refusal(dataClass) { return pass(reason) }
        number += 1
        waiting[number] = dataClass
        settle(enforcer.take(event, id: number, at: now), at: now)
        return nil
    }

    /// Keys that are let go.
    mutating func settle(_ decided: some Sequence<Enforcer.Decided>, at now: Instant) {
        for (id, verdict) in decided {
            let taken = waiting.removeValue(forKey: id)
            // It was let in by another class than it turned out to have, or by none: was that one permitted, then?
            if case .kept(let dataClass, let event) = verdict.left, dataClass != taken,
                !holder.intervals.contains(dataClass, from: event.span.start, to: event.span.end)
            {
                counts.refused[CaptureRefused.outsideInterval.rawValue, default: 0] += 1
                continue
            }
            if let reason = count(verdict, at: now) { counts.refused[reason, default: 0] += 1 }
        }
    }

    /// - Returns: why nothing is left of it.
    private mutating func count(_ verdict: Verdict, at now: Instant) -> String? {
        switch verdict.left {
        case .dropped: return verdict.reason.word
        case .counted(let kind):
            counts.counted[kind.word, default: 0] += 1
            return nil
        case .kept(let dataClass, let event):
            counts.accepted += 1
            if verdict.isLess { counts.minimised += 1 }
            append(event, dataClass, at: now)
            return nil
        }
    }

    private mutating func append(_ event: Event, _ dataClass: DataClass, at now: Instant) {
        let bytes = ColumnsCodec.bytesMax(of: event)
        if let open = open[dataClass], open.events.count >= Limits.eventsPerBatchMax || open.bytes + bytes > Limits.columnsBytesMax { close(dataClass) }
        open[dataClass, default: Recorder.Open(since: now)].events.append(event)
        open[dataClass]!.bytes += bytes
    }

    mutating func close(_ dataClass: DataClass) {
        guard let open = open.removeValue(forKey: dataClass), !open.events.isEmpty else { return }
        closed.append(Recorder.Gathered(dataClass: dataClass, events: open.events, epoch: holder.permit.epoch))
    }

    /// Keeps to other rules. What waits is decided by those under which it was let in.
    mutating func use(_ rules: HeldRules, _ enforcer: Enforcer, at now: Instant) {
        settle(self.enforcer.finish(), at: now)
        self.rules = rules
        self.enforcer = enforcer
    }
}
