import Gate
import Messaging
import Rules

/// How often somebody may ask, by what is known of them when they do. Reads no clock.
///
/// A signed body shows who sent it only when it has been read, and then each is as much work as it is long. So it is counted twice: before it is read against what its address may
/// have looked at, and once its signature is right as a report. Junk with headers like an honest sender's, from behind the same proxy, uses up no report.
struct Allowances: Sendable {
    enum Asker: Hashable, Sendable {
        /// Has no token, or none of the headers that a signed message has.
        case stranger
        /// Has headers that a signed message has; whether it is one is not known yet.
        case unproven
        case reporter(Hook)
    }

    private var limiters: [Asker: RateLimiter<Network>]

    /// Requests of one address, and of all, for each path. Alertmanager gathers a storm's alerts into one request for each group.
    static let each = Rate(burst: 100, every: .milliseconds(10))
    static let total = Rate(burst: 400, every: .milliseconds(4))
    /// More than what may be reported, so that reports alone never meet it. At its end 300 bodies of 1 MiB a second are read and hashed, once for each secret: half of one core.
    static let unprovenEach = Rate(burst: 200, every: .milliseconds(5))
    static let unprovenTotal = Rate(burst: 600, every: .microseconds(3_333))
    static let strangersEach = Rate(burst: 20, every: .milliseconds(200))
    static let strangersTotal = Rate(burst: 100, every: .milliseconds(10))

    init() {
        limiters = [
            .stranger: .init(each: Allowances.strangersEach, total: Allowances.strangersTotal, keysMax: 4_096),
            .unproven: .init(each: Allowances.unprovenEach, total: Allowances.unprovenTotal, keysMax: 1_024),
        ]
        for hook in Hook.allCases { limiters[.reporter(hook)] = .init(each: Allowances.each, total: Allowances.total, keysMax: 1_024) }
    }

    /// - Returns: nil: it may go on. Else after how long it is worth asking again.
    mutating func take(_ asker: Asker, from network: Network, at now: Instant) -> Span? { limiters[asker]?.take(network, at: now) }
}
