import Dispatch
import Foundation
import Gate
import Messaging
import Synchronization

/// Tells Alertmanager of incidents, and tells it again while they last, on a thread of its own: it may hang, and hold up nobody.
///
/// Nothing of it stands in the outbox. What must be said follows from the incidents (``Alerts``), which stand in control's ledger; what was said before does not matter.
final class AlertSender: Sendable {
    struct Settings: Sendable {
        var client = WebhookClient.Settings()
        var every = Alerts.every
        /// After a failure, and twice as long after each further one, at most ``every``.
        var again = Span.seconds(5)
    }

    struct Counts: Hashable, Sendable {
        /// Tellings that were taken.
        var sent: UInt64 = 0
        var failed: UInt64 = 0
        /// Incidents that last.
        var firing = 0
        /// Since when it has not taken what must be said, how often it was tried, and what came of the last time; nil: it has it.
        var failing: Failing?
    }

    struct Failing: Hashable, Sendable {
        var since: WallTime
        var attempts: Int
        var why: String
    }

    private let target: Alertmanager
    private let settings: Settings
    private let now: @Sendable () -> WallTime
    private let bell = Bell()
    /// Nil: not known yet, and nothing is said.
    private let incidents = Mutex<[Incident]?>(nil)
    private let counted = Mutex(Counts())

    var counts: Counts { counted.withLock { $0 } }

    /// - Parameter now: the wall clock.
    init(to target: Alertmanager, settings: Settings = Settings(), now: @escaping @Sendable () -> WallTime) {
        self.target = target
        self.now = now
        var settings = settings
        settings.client = settings.client.of(target)
        self.settings = settings
    }

    /// How things stand: told at once if it is news.
    func use(_ concerned: [Incident]) {
        let isNew = incidents.withLock { known in
            defer { known = concerned }
            return known != concerned
        }
        guard isNew else { return }
        counted.withLock { $0.firing = concerned.count { $0.state != .closed } }
        bell.ring()
    }

    func start() { startThread("alerts") { [self] in run() } }
    /// A request that is under way ends with the process.
    func stop() { bell.stop() }

    private func run() {
        do throws(WebhookClient.Unusable) {
            var client = try WebhookClient(settings.client)
            while !bell.isStopped { bell.wait(atMost: tell(with: &client)) }
        } catch { fail("\(error)") }
    }

    /// - Returns: until the next time.
    private func tell(with client: inout WebhookClient) -> Span {
        let alerts = incidents.withLock { $0 }.map { Alerts.told(of: Alerts.concerned($0, at: now()), labels: target.labels, at: now()) } ?? []
        guard !alerts.isEmpty else {
            counted.withLock { $0.failing = nil }
            return settings.every
        }
        let answer = client.post(Alerts.body(alerts), to: target.url, lines: AlertSender.lines(target))
        if case .status(200..<300, _) = answer {
            counted.withLock {
                $0.sent += 1
                $0.failing = nil
            }
            return settings.every
        }
        let attempts = fail(AlertSender.words(answer))
        return min(settings.every, Span(nanoseconds: settings.again.nanoseconds << min(attempts - 1, 10)))
    }

    @discardableResult
    private func fail(_ why: String) -> Int {
        counted.withLock { counts in
            counts.failed += 1
            counts.failing = Failing(since: counts.failing?.since ?? now(), attempts: (counts.failing?.attempts ?? 0) + 1, why: why)
            return counts.failing?.attempts ?? 1
        }
    }

    static func lines(_ target: Alertmanager) -> [String] { ["content-type: application/json"] + (target.authorization.map { [$0.line] } ?? []) }

    static func words(_ answer: RetrySchedule.Answer) -> String {
        switch answer {
        case .status(let status, _): "HTTP \(status)"
        case .none(let why): why
        }
    }
}
