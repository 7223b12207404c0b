import Chassis
import Foundation
import Gate
import Messaging
import Synchronization

/// Sends what is due, and records what became of it. One thread for each hook: a receiver that hangs holds up nobody else.
///
/// At least once: a message whose answer was not recorded, because of a kill or a power cut in between, goes out again with the
/// same id. Nothing here runs on the cooperative pool.
final class Delivery: Sendable {
    struct Settings: Sendable {
        var schedule = RetrySchedule.standard
        var client = WebhookClient.Settings()
        var mail = MailClient.Settings()
        var rates = Rates()
        /// Read from the outbox at a time.
        var batch = 64
        /// What a hook takes within so long is recorded together: a commit waits for the disk longer than a quick receiver takes to answer. What a slow one has taken is
        /// recorded before it gets the next. What is not recorded goes out twice when a kill comes in between.
        var together = Span.milliseconds(20)
        /// The longest sleep: a wall clock that was set forward is noticed by then.
        var sleepMax = Span.seconds(30)
    }

    private let lanes: [any Lane]

    /// Makes the outbox's channels those of the settings. Blocks on the disk.
    ///
    /// - Parameters:
    ///   - mail: How mails leave; nil: not at all, and what there is of them is held.
    ///   - now: the wall clock.
    ///   - jitter: draws from 0..<1.
    init(
        from outbox: Outbox, to hooks: Hooks, mail: MailRoute? = nil, settings: Settings = Settings(), now: @escaping @Sendable () -> WallTime,
        jitter: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) throws(OutboxError) {
        var addresses = Dictionary(uniqueKeysWithValues: hooks.all.map { ($0.name, $0.fingerprint) })
        if let mail { addresses[Outbox.mailChannel] = mail.settings.fingerprint }
        try outbox.configure(addresses)
        let pace = SharedPace(settings.rates)
        var lanes: [any Lane] = hooks.all.map { HookLane(hook: $0, outbox: outbox, settings: settings, pace: pace, now: now, jitter: jitter) }
        if let mail { lanes.append(MailLane(mail, outbox: outbox, settings: settings, pace: pace, now: now, jitter: jitter)) }
        // With no channel there is nothing to do, and still a duty: it ends when it is told to.
        self.lanes = lanes.isEmpty ? [IdleLane(sleepMax: settings.sleepMax)] : lanes
    }

    /// Looks at the outbox now: something was taken, or a channel enabled.
    func wake() { for lane in lanes { lane.bell.ring() } }

    /// Ends ``run()`` as soon as the requests in hand have their answers: at most a request's total time.
    func stop() { for lane in lanes { lane.bell.stop() } }

    /// Returns when stopped, or when its task is cancelled, with nothing in hand.
    ///
    /// - Throws: the first failure of a lane, after all of them have ended. Nothing may be sent that cannot be recorded.
    func run() async throws(DeliveryFailed) {
        let failure = await withTaskCancellationHandler {
            await withTaskGroup(of: DeliveryFailed?.self) { group in
                for lane in lanes { group.addTask { await lane.run() } }
                var first: DeliveryFailed?
                for await failure in group {
                    guard let failure else { continue }
                    first = first ?? failure
                    stop()
                }
                return first
            }
        } onCancel: {
            stop()
        }
        if let failure { throw failure }
    }
}

enum DeliveryFailed: Error, Hashable, Sendable {
    case outbox(OutboxError)
    case client(WebhookClient.Unusable)
}

/// The deliveries of one channel, on a thread of their own.
protocol Lane: AnyObject, Sendable {
    var bell: Bell { get }
    /// Works until the bell says stop, and returns with nothing in hand.
    func work() throws(DeliveryFailed)
}

extension Lane {
    func run() async -> DeliveryFailed? {
        await withCheckedContinuation { continuation in
            let thread = Thread { continuation.resume(returning: self.failure()) }
            thread.name = "delivery"
            // Resolving a name and TLS go deep; the default of a Foundation thread is 512 KiB.
            thread.stackSize = 1 << 20
            thread.start()
        }
    }

    private func failure() -> DeliveryFailed? {
        do {
            try work()
            return nil
        } catch { return error }
    }
}

private final class IdleLane: Lane {
    let bell = Bell()
    private let sleepMax: Span

    init(sleepMax: Span) { self.sleepMax = sleepMax }

    func work() { while !bell.isStopped { bell.wait(atMost: sleepMax) } }
}

/// The pace of all lanes: several may go to one host.
final class SharedPace: Sendable {
    private let pace: Mutex<Pace>

    init(_ rates: Rates) { pace = Mutex(Pace(rates)) }

    /// As ``Pace/take(_:host:at:goesFirst:)``.
    func take(_ channel: String, host: String?, at now: WallTime, goesFirst: Bool = true) -> Span? {
        pace.withLock { $0.take(channel, host: host, at: now, goesFirst: goesFirst) }
    }
}

/// One hook's deliveries, one after the other.
private final class HookLane: Lane {
    let bell = Bell()
    private let hook: Hooks.Hook
    private let host: String?
    private let outbox: Outbox
    private let settings: Delivery.Settings
    private let pace: SharedPace
    private let now: @Sendable () -> WallTime
    private let jitter: @Sendable () -> Double

    init(
        hook: Hooks.Hook, outbox: Outbox, settings: Delivery.Settings, pace: SharedPace, now: @escaping @Sendable () -> WallTime,
        jitter: @escaping @Sendable () -> Double
    ) {
        self.hook = hook
        host = URLComponents(string: hook.url)?.host?.lowercased()
        self.outbox = outbox
        self.settings = settings
        self.pace = pace
        self.now = now
        self.jitter = jitter
    }

    func work() throws(DeliveryFailed) {
        var client: WebhookClient
        do throws(WebhookClient.Unusable) { client = try WebhookClient(settings.client.of(hook)) } catch { throw .client(error) }
        do throws(OutboxError) {
            while !bell.isStopped {
                let due = try outbox.due(at: now(), limit: settings.batch, on: hook.name)
                var taken = Taken()
                for delivery in due {
                    try awaitTurn(&taken)
                    guard !bell.isStopped, try attempt(delivery, on: hook, with: &client, &taken) else { break }
                }
                try record(&taken)
                guard due.isEmpty else { continue }
                let time = now()
                let next = try outbox.nextDue(on: hook.name, at: time)
                bell.wait(atMost: min(next.map { $0 - time } ?? settings.sleepMax, settings.sleepMax))
            }
        } catch { throw .outbox(error) }
    }

    /// What the receiver has, and the outbox does not know yet. Nothing waits while there is any.
    private struct Taken {
        var deliveries: [(id: String, answered: Outbox.Answered)] = []
        /// When the first of them was begun.
        var since = Instant(nanoseconds: 0)
    }

    private func record(_ taken: inout Taken) throws(OutboxError) {
        guard !taken.deliveries.isEmpty else { return }
        try outbox.delivered(taken.deliveries, on: hook.name)
        taken.deliveries = []
    }

    /// Returns when the rates allow one more, or at the end.
    private func awaitTurn(_ taken: inout Taken) throws(OutboxError) {
        while !bell.isStopped, let wait = pace.take(hook.name, host: host, at: now()) {
            try record(&taken)
            bell.wait(atMost: min(wait, settings.sleepMax))
        }
    }

    /// Sends once and records the answer; of what was taken, with others.
    ///
    /// - Returns: whether it was taken. If not, what else was due may not be any more: the channel is disabled or held, or what is of the same incident waits for this one.
    private func attempt(_ due: Outbox.Due, on hook: Hooks.Hook, with client: inout WebhookClient, _ taken: inout Taken) throws(OutboxError) -> Bool {
        let message = due.message
        if taken.deliveries.isEmpty { taken.since = Clock.now() }
        FaultPoint.pass("hook-in-hand")
        let answer = client.post(message, to: hook, at: now())
        FaultPoint.pass("hook-answered")
        let time = now()
        let verdict = settings.schedule.verdict(on: answer, attempt: due.attempts + 1, at: time, jitter: jitter())
        if case .delivered = verdict {
            taken.deliveries.append((message.id, .init(at: time, http: answer, text: AlertSender.words(answer))))
            if Clock.now() - taken.since >= settings.together { try record(&taken) }
            return true
        }
        try record(&taken)
        let hold = settings.schedule.hold(on: answer, at: time)
        switch verdict {
        case .delivered: break
        case .retry(let at, let why): try outbox.failed(message.id, on: hook.name, .init(at: time, http: answer, text: why), retryAt: at, hold: hold)
        case .giveUp(let why): try outbox.failed(message.id, on: hook.name, .init(at: time, http: answer, text: why), retryAt: nil, hold: hold)
        case .disable(let why): try outbox.disable(hook.name, after: message.id, .init(at: time, http: answer, text: why))
        }
        return false
    }
}

/// Wakes one thread. Rings that nobody has heard yet are one ring.
final class Bell: Sendable {
    private let heard = SteadySemaphore()
    private let state = Mutex((rung: false, stopped: false))

    var isStopped: Bool { state.withLock { $0.stopped } }

    func ring() { signal { $0.rung = true } }
    func stop() { signal { ($0.rung, $0.stopped) = (true, true) } }

    private func signal(_ change: (inout (rung: Bool, stopped: Bool)) -> Void) {
        state.withLock { state in
            if !state.rung { heard.signal() }
            change(&state)
        }
    }

    /// Blocks until a ring, one that came before included, or until the time is over.
    func wait(atMost span: Span) {
        // At least a millisecond, so that a time that is all but come makes no busy loop.
        guard heard.wait(atMost: max(span, .milliseconds(1))) else { return }
        state.withLock { $0.rung = false }
    }
}
