import Chassis
import Foundation
import Gate
import Messaging
import Synchronization
import Wire

/// Takes entries into the outbox and answers for it, on a thread of its own: the reactor never waits for the disk.
final class OutboxThread: Sendable {
    enum News: Sendable {
        case deliveries(Route, WireDeliveries)
        /// And the newest drill: when the entry of its finding was made, and when the last hook had it.
        case counts(WireDeliveries, drill: (made: WallTime, told: WallTime?)?)
        /// Of a hand-over: what to answer.
        case held(Route, WireNoticesHeld)
        case notHeld(Route, Refusal, String)
        /// Two operators' decision goes out, as of now.
        case taken(Outbox.Decision)
        case standing(Route, WireNoticesStanding)
        case tended(NoticeCounts)
        case bounces(BounceBox.Look)
        case dropped(number: UInt64, held: UInt64)
        /// Entries up to this one were compared with what was taken.
        case read(UInt64)
        /// Control's ledger is another than the one that was taken, from the entry after this one on.
        case forked(after: UInt64, taken: UInt64)
        /// Two operators have given up what was taken after the fork.
        case restored(fork: UInt64, taken: UInt64)
        case failed(String)
    }

    enum Work: Sendable {
        case take([FollowedEntry])
        /// Of no entry, but of the time.
        case remind([Reminder])
        case deliveries(Route)
        /// A part of a decision's notices, or the question how many are here.
        case notices(Route, WireNoticeBatch, Outbox.Decision)
        case standing(Route, WireNoticesQuery)
        /// What nobody asks for and only time brings about.
        case tend
        case count
        case stop

        /// What others are told of, which waits for nothing else here.
        fileprivate var isNews: Bool {
            switch self {
            case .take, .remind: true
            case .deliveries, .notices, .standing, .tend, .count, .stop: false
            }
        }

        /// What looks at all that there is takes long when that is much: one that waits is enough.
        fileprivate func isNeedless(beside waiting: [Work]) -> Bool {
            switch self {
            case .tend: waiting.contains { if case .tend = $0 { true } else { false } }
            case .count: waiting.contains { if case .count = $0 { true } else { false } }
            default: false
            }
        }
    }

    private let outbox: Outbox
    private let channels: [String]
    private let mails: OperatorMails
    private let notices: NoticeMails
    private let settings: MailSettings
    private let delivery: Delivery
    private let news: Mailbox<News>
    private let queue = Mutex<[Work]>([])
    private let filled = SteadySemaphore()
    private let ended = SteadySemaphore()

    init(outbox: Outbox, channels: [String], mail settings: MailSettings, notices: NoticeMails, delivery: Delivery, news: Mailbox<News>) {
        self.outbox = outbox
        self.channels = channels
        mails = OperatorMails(settings)
        self.notices = notices
        self.settings = settings
        self.delivery = delivery
        self.news = news
    }

    func put(_ item: Work) {
        let isTaken = queue.withLock { list in
            guard !item.isNeedless(beside: list) else { return false }
            if item.isNews, let place = list.firstIndex(where: { !$0.isNews }) { list.insert(item, at: place) } else { list.append(item) }
            return true
        }
        if isTaken { filled.signal() }
    }

    func start() { startThread("outbox") { [self] in run() } }

    func stop() {
        put(.stop)
        ended.wait(atMost: .seconds(4))
    }

    private func run() {
        defer { ended.signal() }
        var reader = LedgerReader(into: outbox, channels: channels, mails: mails.mails)
        while true {
            filled.wait()
            guard let item = queue.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { continue }
            do {
                switch item {
                case .take(let entries): try take(entries, with: &reader)
                case .remind(let due): try remind(due)
                case .deliveries(let route): news.post(.deliveries(route, try list(limit: 500)))
                case .notices(let route, let batch, let decision): try take(batch, of: decision, from: route)
                case .standing(let route, let query): news.post(.standing(route, try NoticeWords.standing(query, in: outbox, channel: settings.server == nil ? "maildir" : "mail")))
                case .tend: try tend()
                case .count: news.post(.counts(try list(limit: 0), drill: try outbox.newest("drill.found")))
                case .stop: return
                }
            } catch {
                return news.post(.failed("\(error)"))
            }
        }
    }

    private func take(_ entries: [FollowedEntry], with reader: inout LedgerReader) throws {
        let before = reader.fork
        let outcome = try reader.take(entries, at: Clock.wall())
        if let (fork, taken) = outcome.restored { news.post(.restored(fork: fork, taken: taken)) }
        if let fork = reader.fork, before == nil || outcome.restored != nil { news.post(.forked(after: fork, taken: try outbox.cursor())) }
        if let last = entries.last { news.post(.read(last.index)) }
        if outcome.new > 0 { delivery.wake() }
    }

    /// A kill between the two leaves what is missing to the next run: each is known by its id.
    private func remind(_ due: [Reminder]) throws {
        let now = Clock.wall()
        let new = try outbox.put(due.map(Bodies.message(for:)), channels: channels, at: now) + outbox.put(mails: mails.mails(for: due), at: now)
        if new > 0 { delivery.wake() }
    }

    /// A part of what two operators have decided. Whoever brings it, it is compared with what they signed.
    private func take(_ batch: WireNoticeBatch, of decision: Outbox.Decision, from route: Route) throws {
        let answer = try held(batch, decision)
        var held = WireNoticesHeld()
        held.decision = decision.number
        switch answer {
        case .held(let count):
            FaultPoint.pass("after-notices-held-before-answer")
            held.held = count
        case .taken(let count, let new):
            FaultPoint.pass("after-notices-taken-before-answer")
            (held.held, held.taken) = (count, true)
            if new {
                news.post(.taken(decision))
                delivery.wake()
            }
        case .differs(let why): return news.post(.notHeld(route, .differs, "\(why): all that was here of entry \(decision.number) is dropped, and nothing of it was sent"))
        case .full: return news.post(.notHeld(route, .storeFull, "there is no room for them here"))
        }
        news.post(.held(route, held))
    }

    private func held(_ batch: WireNoticeBatch, _ decision: Outbox.Decision) throws(OutboxError) -> Outbox.Handover {
        let known = try outbox.held(of: decision)
        guard case .held(let first) = known, first == batch.first, !batch.notices.isEmpty else { return known }
        let (maker, now) = (self.notices, Clock.wall())
        var notices: [Outbox.Notice] = []
        for bytes in batch.notices {
            do throws(NotANotice) { notices.append(try maker.notice(bytes, of: decision, at: now)) } catch {
                try outbox.drop(decision)
                return .differs(why: "number \(first + UInt64(notices.count)) is no notice")
            }
        }
        // A full disk is no reason to stop telling others: nothing of this part is there, and all before it is.
        do throws(OutboxError) { return try outbox.hold(notices, from: first, of: decision, at: now) } catch {
            guard case .storage(_, let code, _) = error else { throw error }
            switch code & 0xff {
            case 13: return .full
            // Whatever a part holds, it ends nobody else's telling.
            case 19: return .differs(why: "two of them are one")
            default: throw error
            }
        }
    }

    /// Tells somebody of those who were not reached, and forgets what was never whole.
    private func tend() throws {
        let now = Clock.wall()
        let recipients = settings.escalation.to.isEmpty ? settings.operators : settings.escalation.to
        let new = try outbox.escalate(after: settings.escalation.after, at: now, to: recipients.map { "\($0)" }) { mails.mails(for: $0, to: recipients, at: now) }
        if new > 0 { delivery.wake() }
        for stale in try outbox.dropStale(at: now) { news.post(.dropped(number: stale.number, held: stale.held)) }
        news.post(.tended(NoticeCounts(try outbox.rounds(of: nil, limit: 0))))
    }

    private func list(limit: Int) throws -> WireDeliveries {
        let counts = try outbox.counts()
        var body = WireDeliveries()
        body.delivered = UInt64(counts.delivered)
        body.waiting = UInt64(counts.waiting)
        body.held = UInt64(counts.held)
        body.givenUp = UInt64(counts.givenUp)
        body.doubled = UInt64(counts.doubled)
        guard limit > 0 else { return body }
        body.deliveries = try outbox.undelivered(limit: limit).map { item in
            var delivery = WireDelivery()
            delivery.id = item.id
            delivery.type = item.type
            delivery.channel = item.channel == Outbox.mailChannel ? "mail" : item.channel
            delivery.recipient = item.recipient ?? ""
            delivery.possibleCopies = UInt32(clamping: item.copies)
            switch item.state {
            case .waiting(let until): (delivery.state, delivery.nextUs) = ("waiting", until.microseconds)
            case .held: delivery.state = "held"
            case .givenUp: delivery.state = "given-up"
            }
            delivery.attempts = UInt32(clamping: item.attempts)
            delivery.lastError = item.lastError ?? ""
            delivery.createdUs = item.created.microseconds
            return delivery
        }
        return body
    }
}
