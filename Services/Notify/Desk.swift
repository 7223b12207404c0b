import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Wire

/// Notify's sessions: follows control's journal, and answers operators who ask what was delivered.
final class Desk {
    private let binder: Binder
    private let follower: Follower
    private let hooks: Hooks
    private let outbox: Outbox
    private let delivery: Delivery
    private let news: Mailbox<OutboxThread.News>
    private let journals: JournalMark
    private let admission: Admission
    private let trusted: TrustedNodes
    /// Entries up to this one were taken by an earlier run.
    private let cursor: UInt64
    /// Nothing more can be taken, and why.
    private let refusesLedger: (String) -> Void
    private let lease: Span
    private let logger: Logger
    private let start = Nonce.random()
    private var peers = SessionTable<User>()
    /// Made when control has said which journal it is: message ids name it.
    private var thread: OutboxThread?
    private var counts = WireDeliveries()

    init(
        binder: Binder, follower: Follower, hooks: Hooks, outbox: Outbox, delivery: Delivery, news: Mailbox<OutboxThread.News>,
        journals: JournalMark, admission: Admission, trusted: TrustedNodes, cursor: UInt64, lease: Span, logger: Logger,
        refusesLedger: @escaping (String) -> Void
    ) {
        self.binder = binder
        self.follower = follower
        self.hooks = hooks
        self.outbox = outbox
        self.delivery = delivery
        self.news = news
        self.journals = journals
        self.admission = admission
        self.trusted = trusted
        self.cursor = cursor
        self.refusesLedger = refusesLedger
        self.lease = lease
        self.logger = logger
        binder.received = { [unowned self] route, message in receive(route, message) }
        follower.link.received = { [unowned follower] message in _ = try? follower.take(message) }
        follower.welcomed = { [unowned self] in welcomed($0) }
        // The outbox takes them in its own time and in order; after a crash its cursor says how far it came.
        follower.apply = { [unowned self] entries in
            if let table = follower.admitted(trusted, roles: ["service"], after: entries) { self.admission.admit(table) }
            let news = entries.filter { $0.index > self.cursor }
            if !news.isEmpty { thread?.put(.take(news)) }
        }
        follower.granted = { [unowned self] in
            guard follower.isHeld(at: Clock.now()), follower.applied < self.cursor else { return }
            refusesLedger("control's ledger has \(follower.applied) entries, and \(self.cursor) were delivered: it was put back")
        }
        follower.gateChanged = { [unowned follower] gate, _ in
            var body = WireStopped()
            body.epoch = gate.epoch.number
            follower.link.send(.stopped, body)
        }
        follower.report = { [unowned self] in
            thread?.put(.count)
            var report = WireServiceReport()
            report.counters["delivered"] = counts.delivered
            report.counters["handshakes.refused"] = self.admission.refusals
            for (word, count) in self.binder.refusals { report.counters["refused.\(word)"] = count }
            report.gauges["waiting"] = Int64(counts.waiting)
            report.gauges["held"] = Int64(counts.held)
            report.gauges["given-up"] = Int64(counts.givenUp)
            report.gauges["hooks"] = Int64(self.hooks.all.count)
            return report
        }
    }

    private func welcomed(_ welcome: WireWelcome) -> Bool {
        let id = welcome.journal
        guard !id.isEmpty, journals.isKnown(id) else {
            logger.critical("control has another journal than the one whose entries were delivered: nothing more is taken. Move \(journals.path) and the outbox away to begin anew")
            return false
        }
        guard thread == nil else { return true }
        do {
            let bodies = try Bodies(journal: id.map { String(format: "%02x", $0) }.joined())
            let made = OutboxThread(outbox: outbox, bodies: bodies, channels: hooks.all.map(\.name), delivery: delivery, news: news)
            made.start()
            thread = made
            return true
        } catch {
            logger.critical("\(error)")
            return false
        }
    }

    private func receive(_ route: Route, _ message: consuming Inbound) {
        let now = Clock.now()
        let kind = message.kind
        do throws(Frame.Malformed) {
            if kind == .hello {
                let hello = try message.body(WireHello.self)
                guard hello.protocol == UInt32(Limits.version) else {
                    return binder.refuse(.unsupportedVersion, "this is protocol \(Limits.version)", kind: .hello, to: route)
                }
                guard let user = User(message.user) else {
                    return binder.refuse(.unknownNode, "this key is not registered", kind: .hello, to: route)
                }
                peers.greet(route, user, at: now)
                var welcome = WireWelcome()
                welcome.node = user.name
                welcome.leaseMs = UInt32(lease.milliseconds)
                welcome.start = start.bytes
                welcome.wallUs = Clock.wall().microseconds
                binder.send(.welcome, welcome, to: route)
                return
            }
            guard let user = peers.hear(route, at: now) else { return binder.askForHello(kind, route) }
            guard kind == .query, user.role == "operator", !follower.isNoOperator(user.name) else {
                return binder.refuse(.notAllowed, "a \(user.role) does not send this to notify", kind: kind, to: route)
            }
            guard case .deliveries? = try message.body(WireQuery.self).about, let thread else {
                return binder.refuse(.invalid, "this question is not known here", kind: kind, to: route)
            }
            thread.put(.deliveries(route))
        } catch {
            binder.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        }
    }

    func take(_ item: OutboxThread.News) -> Bool {
        switch item {
        case .deliveries(let route, let body):
            var answer = WireAnswer()
            answer.deliveries = body
            binder.send(.answer, answer, to: route)
        case .counts(let body): counts = body
        case .failed(let why):
            logger.critical("the outbox has failed: \(why); notify ends and takes it up again at its next start")
            return false
        }
        return true
    }

    func tick(at now: Instant) {
        follower.tick(at: now)
        peers.expire(after: Span(nanoseconds: lease.nanoseconds * 4), at: now) { _, _ in }
    }

    func stop() { thread?.stop() }
}
