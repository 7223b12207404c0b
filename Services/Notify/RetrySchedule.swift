import Gate

/// When a delivery is tried again, and when it is over. Reads no clock, draws no lots.
///
/// A delivery is *pending* until a 2xx (*delivered*) or until its last attempt has failed (*given up*, and listed as such).
/// A 410 disables the channel: its deliveries stay pending and are held until an operator, or a new address, enables it.
struct RetrySchedule: Hashable, Sendable {
    /// What became of an attempt.
    enum Answer: Hashable, Sendable {
        /// The receiver's status, and how long it wants to be left alone.
        case status(Int, retryAfter: Span? = nil)
        /// There was none, for this reason.
        case none(String)
    }

    enum Verdict: Hashable, Sendable {
        case delivered
        case retry(at: WallTime, why: String)
        case disable(why: String)
        case giveUp(why: String)
    }

    /// The wait before each attempt; the first counts from the message, each other from the attempt before it.
    var waits: [Span]

    /// The example of Standard Webhooks 1.0.0: ten attempts over three days.
    static let standard = RetrySchedule(waits: [
        .zero, .seconds(5), .seconds(5 * 60), .seconds(30 * 60), .seconds(2 * 3600), .seconds(5 * 3600), .seconds(10 * 3600),
        .seconds(14 * 3600), .seconds(20 * 3600), .seconds(24 * 3600),
    ])

    /// A wait grows by up to this part, so that what failed together does not come back together.
    static let jitterMax = 0.2

    /// The longest that a receiver may ask us to wait. Anything longer would outlast the schedule.
    static let retryAfterMax = Span.seconds(24 * 3600)

    /// No wait is longer. A later time in the outbox means that the clock has been set back since.
    static let waitMax = Span(nanoseconds: Int64(Double(Span.seconds(24 * 3600).nanoseconds) * (1 + jitterMax)))

    /// - Parameters:
    ///   - attempt: the number of the one just made, from 1.
    ///   - jitter: drawn evenly from 0..<1.
    func verdict(on answer: Answer, attempt: Int, at now: WallTime, jitter: Double) -> Verdict {
        let why: String
        switch answer {
        case .status(200..<300, _): return .delivered
        case .status(410, _): return .disable(why: "HTTP 410: the receiver wants no more")
        case .status(let status, _) where (300..<400).contains(status): why = "HTTP \(status): redirects are not followed"
        case .status(let status, _): why = "HTTP \(status)"
        case .none(let reason): why = reason
        }
        guard waits.indices.contains(attempt) else { return .giveUp(why: why) }
        let wait = Span(nanoseconds: Int64(Double(waits[attempt].nanoseconds) * (1 + RetrySchedule.jitterMax * min(max(jitter, 0), 1))))
        return .retry(at: max(now + wait, hold(on: answer, at: now) ?? now), why: why)
    }

    /// Until when the whole channel is left alone: an overloaded receiver is not helped by our other messages.
    func hold(on answer: Answer, at now: WallTime) -> WallTime? {
        guard case .status(let status, let wait?) = answer, status == 429 || status == 503, wait > .zero else { return nil }
        return now + min(wait, RetrySchedule.retryAfterMax)
    }
}

extension RetrySchedule {
    /// The longest that a server which is not there is left alone: mails that come meanwhile wait no longer for its return.
    static let unavailableMax = Span.seconds(60)

    /// What follows from an attempt to send a mail. A refusal of this recipient is final. What is about the server is no attempt at a recipient: nobody is given up for it, nobody's next
    /// attempt lies hours away when it is back, and the mail is due again as soon as the server is not left alone any more.
    func verdict(on answer: MailAnswer, attempt: Int, at now: WallTime, jitter: Double) -> Verdict {
        switch answer {
        case .taken: .delivered
        case .refused(let why): .giveUp(why: why)
        case .unavailable(let why): .retry(at: now, why: why)
        case .later(let why), .unknown(let why): verdict(on: .none(why), attempt: attempt, at: now, jitter: jitter)
        }
    }

    /// Until when the server is left alone: ten thousand mails need not each find out that it is not there.
    ///
    /// - Parameter failures: how often in a row the server was not there, this time included.
    func hold(on answer: MailAnswer, failures: Int, at now: WallTime) -> WallTime? {
        guard case .unavailable = answer else { return nil }
        return now + min(waits.indices.contains(failures) ? waits[failures] : RetrySchedule.unavailableMax, RetrySchedule.unavailableMax)
    }
}
