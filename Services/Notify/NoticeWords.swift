import Gate
import Wire

/// How notices stand, as the wire has it.
enum NoticeWords {
    /// - Parameter channel: How mails leave by the settings of now.
    static func standing(_ query: WireNoticesQuery, in outbox: Outbox, channel: String) throws(OutboxError) -> WireNoticesStanding {
        var body = WireNoticesStanding()
        body.incident = query.incident
        // Who asks for one person's does not wait until everybody is counted.
        guard query.subject.isEmpty else {
            body.sent = try outbox.sent(to: query.subject, of: query.incident).map { WireSentNotice($0, channel) }
            return body
        }
        body.rounds = try outbox.rounds(of: query.incident, after: query.after, limit: Limits.unreachedPerAnswerMax).map { WireNoticeRound($0) }
        return body
    }
}

extension WireNoticeRound {
    fileprivate init(_ round: Outbox.Round) {
        self.init()
        decision = round.decision.number
        count = round.decision.count
        held = round.held
        taken = round.takenAt != nil
        takenUs = round.takenAt?.microseconds ?? 0
        waiting = round.waiting
        retrying = round.retrying
        nextUs = round.next?.microseconds ?? 0
        delivered = round.delivered
        opened = round.opened
        unreachable = round.unreachable
        unreached = round.unreached.map { one in
            var body = WireUnreachedSubject()
            (body.subject, body.why) = (one.subject, one.why)
            return body
        }
        more = round.hasMore
        escalatedTo = round.escalatedTo
        escalatedUs = round.escalatedAt?.microseconds ?? 0
    }
}

extension WireSentNotice {
    fileprivate init(_ sent: Outbox.Sent, _ channel: String) {
        self.init()
        decision = sent.decision
        notice = sent.bytes
        removedUs = sent.removedAt?.microseconds ?? 0
        self.channel = sent.messageID == nil ? "" : channel
        id = sent.messageID ?? ""
        state = sent.state
        why = sent.why
        nextUs = sent.next?.microseconds ?? 0
        openedUs = sent.opened?.microseconds ?? 0
        attempts = sent.attempts.map { attempt in
            var body = WireNoticeAttempt()
            body.atUs = attempt.answered.at.microseconds
            body.code = UInt32(clamping: attempt.answered.code ?? 0)
            body.answer = attempt.answered.text
            return body
        }
    }
}

/// People of all decisions that are taken, by state; and notices that wait for the rest of their decision.
struct NoticeCounts: Hashable, Sendable {
    var waiting: UInt64 = 0
    var retrying: UInt64 = 0
    var delivered: UInt64 = 0
    /// Of them.
    var opened: UInt64 = 0
    var unreachable: UInt64 = 0
    var coming: UInt64 = 0
    /// Addresses that are told of those who were not reached; nil: nobody has looked yet.
    var escalatesTo: Int?
    /// Not reached in time, and nobody is told of them because there is nobody to tell.
    var untold: UInt64 = 0

    init() {}

    init(_ rounds: [Outbox.Round]) {
        for round in rounds {
            waiting += round.waiting
            retrying += round.retrying
            delivered += round.delivered
            opened += round.opened
            unreachable += round.unreachable
            if round.takenAt == nil { coming += round.held }
        }
    }
}
