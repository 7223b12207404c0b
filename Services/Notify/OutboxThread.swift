import Chassis
import Foundation
import Gate
import Ledger
import Messaging
import Rules
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
        /// By the entry of a decision: each of its notices has its delivery; so many were not queued, as the same bytes were before.
        case spread(number: UInt64, before: UInt64)
        case dropped(Outbox.Dropped)
        case removed(Int)
        /// Mails to operators that were joined to fewer.
        case joined(Int)
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
        case notices(Route, by: String, WireNoticeBatch, Outbox.Decision)
        case standing(Route, WireNoticesQuery)
        /// What nobody asks for and only time brings about, by the policy document in force.
        case tend(PolicyText?)
        /// Some of the deliveries of a decision that is taken.
        case spread
        /// Some of the notices that are dropped.
        case drop
        /// By control's ledger the notices of these decisions may come, and of no other.
        case open(Set<Outbox.Decision>)
        /// Some of the bytes that were kept for long enough, of these closed incidents and of none.
        case remove(closed: Set<UInt64>)
        case count
        /// What came too many at once, when its time has come.
        case join
        case stop
    }

    private let outbox: Outbox
    private let channels: [String]
    private let mails: OperatorMails
    private let notices: NoticeMails
    private let settings: MailSettings
    private let delivery: Delivery
    private let news: Mailbox<News>
    private let queue = Mutex(WorkQueue())
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

    func put(_ item: Work) { if queue.withLock({ $0.put(item) }) { filled.signal() } }

    func start() {
        // What an earlier run has left undone.
        put(.spread)
        put(.drop)
        startThread("outbox") { [self] in run() }
    }

    func stop() {
        put(.stop)
        ended.wait(atMost: .seconds(4))
    }

    private func run() {
        defer { ended.signal() }
        var reader = LedgerReader(into: outbox, channels: channels, mails: mails.mails)
        var terms = PolicyTerms()
        // What an earlier run has left waits for nobody.
        var isFirst = true
        while true {
            filled.wait()
            guard let item = queue.withLock({ $0.next() }) else { continue }
            do {
                switch item {
                case .take(let entries): try take(entries, with: &reader)
                case .remind(let due): try remind(due)
                case .deliveries(let route): news.post(.deliveries(route, try list(limit: 500)))
                case .notices(let route, let name, let batch, let decision): try take(batch, of: decision, from: route, by: name)
                case .standing(let route, let query): news.post(.standing(route, try NoticeWords.standing(query, in: outbox, channel: settings.server == nil ? "maildir" : "mail")))
                case .tend(let policy): try tend(by: terms.read(policy))
                case .spread: try spread()
                case .drop: if try outbox.dropSome() { put(.drop) }
                case .open(let decisions): drop(try outbox.dropPassed(besides: decisions))
                case .remove(let closed): try remove(closed)
                case .count: news.post(.counts(try list(limit: 0), drill: try outbox.newest("drill.found")))
                case .join where isFirst || reader.storm.isDue(at: Clock.wall()):
                    isFirst = false
                    try join()
                case .join: break
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
    private func take(_ batch: WireNoticeBatch, of decision: Outbox.Decision, from route: Route, by name: String) throws {
        let answer = try held(batch, decision, by: name)
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
                put(.spread)
            }
        case .differs(let why): return news.post(.notHeld(route, .differs, "\(why), by entry \(decision.number): nothing of this part is kept"))
        case .tooLarge:
            put(.drop)
            return news.post(.notHeld(route, .tooLarge, "the notices of entry \(decision.number) come to more than \(Outbox.roundMax >> 30) GiB with their mails: what was here of them is dropped, and nothing was sent"))
        case .full: return news.post(.notHeld(route, .storeFull, "there is no room for them here, or what was here of them before is still being dropped: try again in a minute"))
        }
        news.post(.held(route, held))
    }

    private func held(_ batch: WireNoticeBatch, _ decision: Outbox.Decision, by name: String) throws(OutboxError) -> Outbox.Handover {
        let known = try outbox.held(of: decision)
        guard case .held(let first) = known, first == batch.first, !batch.notices.isEmpty else { return known }
        let (maker, now) = (self.notices, Clock.wall())
        var notices: [Outbox.Notice] = []
        for bytes in batch.notices {
            do throws(NotANotice) { notices.append(try maker.notice(bytes, of: decision, at: now)) } catch {
                return .differs(why: "number \(first + UInt64(notices.count)) is no notice")
            }
        }
        var proof: [TreeHash] = []
        for bytes in batch.proof {
            guard let hash = TreeHash(bytes: bytes) else { return .differs(why: "a hash of the proof has \(bytes.count) bytes") }
            proof.append(hash)
        }
        // A full disk is no reason to stop telling others: nothing of this part is there, and all before it is.
        do throws(OutboxError) { return try outbox.hold(notices, from: first, of: decision, proof: proof, by: name, at: now) } catch {
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
    private func tend(by terms: NoticeTerms) throws {
        let now = Clock.wall()
        let (recipients, after) = (settings.escalatesTo, settings.escalation.time(by: terms))
        let new = try outbox.escalate(after: after, at: now, to: recipients.map { "\($0)" }) { mails.mails(for: $0, to: recipients, at: now) }
        if new > 0 { delivery.wake() }
        drop(try outbox.dropStale(at: now))
        var counts = try outbox.people()
        counts.escalatesTo = recipients.count
        if recipients.isEmpty { counts.untold = try outbox.overdue(after: after, at: now) }
        news.post(.tended(counts))
    }

    private func drop(_ begun: [Outbox.Dropped]) {
        for one in begun { news.post(.dropped(one)) }
        if !begun.isEmpty { put(.drop) }
    }

    private func join() throws {
        let now = Clock.wall()
        let joined = try outbox.join(at: now) { mails.mail(joining: $0, to: $1, at: now) }
        if joined > 0 { news.post(.joined(joined)) }
        delivery.wake()
    }

    /// One step. Whatever came meanwhile is next, and then the next step.
    private func spread() throws {
        guard let step = try outbox.spread(at: Clock.wall(), hasServer: settings.server != nil) else { return }
        FaultPoint.pass("after-notices-spread")
        if step.queued > 0 { delivery.wake() }
        if let before = step.before { news.post(.spread(number: step.decision, before: before)) }
        put(.spread)
    }

    private func remove(_ closed: Set<UInt64>) throws {
        let now = Clock.wall()
        let removed = try outbox.remove(before: now - settings.keep, closed: closed, at: now)
        guard removed > 0 else { return }
        news.post(.removed(removed))
        put(.remove(closed: closed))
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
