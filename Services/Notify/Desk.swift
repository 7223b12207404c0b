import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import Wire

/// Notify's sessions: follows control's journal, and answers operators who ask what was delivered.
final class Desk {
    private let binder: Binder
    private let follower: Follower
    private let hooks: Hooks
    private let outbox: OutboxThread
    private let alerts: AlertSender?
    private var reminders = Reminders()
    /// When incidents were last looked at.
    private var looked: Instant?
    private let journals: JournalMark
    private let admission: Admission
    private let trusted: TrustedNodes
    private var comparison: Comparison
    private let lease: Span
    private let logger: Logger
    private let refusalLog: RefusalLog
    private let start = Nonce.random()
    private var peers = SessionTable<User>()
    private var counts = WireDeliveries()
    /// The newest drill, as the outbox has it.
    private var drill: (made: WallTime, told: WallTime?)?
    private var notices = NoticeCounts()
    /// Mails to operators that were joined to fewer, in this run.
    private var joined: UInt64 = 0
    /// When what only time brings about was last looked after.
    private var tended: Instant?
    private var handovers = Handovers()
    /// The decisions whose notices may come, as the outbox was last told; nil: not in this run.
    private var open: Set<Outbox.Decision>?
    private var questions = Questions()
    /// When bytes that were kept for long enough were last looked for, and how many were removed since that was said.
    private var removal: (looked: Instant?, removed: Int) = (nil, 0)
    private var returned = Returned()

    private static let removeEvery = Span.seconds(3_600)
    private static let tendEvery = Span.seconds(10)

    init(
        binder: Binder, follower: Follower, hooks: Hooks, outbox: OutboxThread, alerts: AlertSender?, journals: JournalMark, admission: Admission, trusted: TrustedNodes,
        cursor: UInt64, lease: Span, logger: Logger
    ) {
        self.binder = binder
        self.follower = follower
        self.hooks = hooks
        self.outbox = outbox
        self.alerts = alerts
        self.journals = journals
        self.admission = admission
        self.trusted = trusted
        comparison = Comparison(taken: cursor)
        self.lease = lease
        self.logger = logger
        refusalLog = RefusalLog(logger)
        binder.received = { [unowned self] route, message in receive(route, message) }
        follower.link.received = { [unowned follower] message in _ = try? follower.take(message) }
        follower.welcomed = { [unowned self] in welcomed($0) }
        // The outbox takes them in its own time and in order; after a crash its cursor says how far it came.
        follower.apply = { [unowned self] entries in
            if let table = follower.admitted(trusted, roles: ["service"], after: entries.map(\.entry)) { self.admission.admit(table) }
            self.outbox.put(.take(entries))
        }
        follower.granted = { [unowned self] in judge() }
        follower.gateChanged = { [unowned follower] gate, _ in
            var body = WireStopped()
            body.epoch = gate.epoch.number
            follower.link.send(.stopped, body)
        }
        follower.report = { [unowned self] in
            self.outbox.put(.count)
            var report = WireServiceReport()
            report.counters["delivered"] = counts.delivered
            report.counters["mails.joined"] = joined
            report.counters["handshakes.refused"] = self.admission.refusals
            report.counters["ledger.governance.refused"] = comparison.refusals
            report.gauges["ledger.trouble"] = comparison.trouble.isEmpty ? 0 : 1
            for (word, count) in self.binder.refusals { report.counters["refused.\(word)"] = count }
            report.gauges["waiting"] = Int64(counts.waiting)
            report.gauges["held"] = Int64(counts.held)
            report.gauges["given-up"] = Int64(counts.givenUp)
            report.gauges["drill.us"] = drill?.made.microseconds ?? 0
            report.gauges["drill.told.us"] = drill?.told?.microseconds ?? 0
            report.gauges["notices.waiting"] = Int64(notices.waiting)
            report.gauges["notices.retrying"] = Int64(notices.retrying)
            report.gauges["notices.delivered"] = Int64(notices.delivered)
            report.gauges["notices.opened"] = Int64(notices.opened)
            report.gauges["notices.unreachable"] = Int64(notices.unreachable)
            report.gauges["notices.coming"] = Int64(notices.coming)
            report.gauges["notices.untold"] = Int64(notices.untold)
            if let addresses = notices.escalatesTo { report.gauges["escalation.to"] = Int64(addresses) }
            if let bounces = returned.last {
                report.counters["bounces"] = returned.noted
                report.gauges["bounces.left"] = Int64(bounces.left)
                report.gauges["bounces.trouble"] = bounces.trouble == nil ? 0 : 1
            }
            report.gauges["hooks"] = Int64(self.hooks.all.count)
            if let told = self.alerts?.counts {
                report.counters["alerts.sent"] = told.sent
                report.counters["alerts.failed"] = told.failed
                report.gauges["alerts.firing"] = Int64(told.firing)
                report.gauges["alerts.failing"] = Int64(told.failing?.attempts ?? 0)
            }
            return report
        }
    }

    private func welcomed(_ welcome: WireWelcome) -> Bool {
        let id = welcome.journal
        guard !id.isEmpty, journals.isKnown(id) else {
            logger.critical("control has another journal than the one whose entries were delivered: nothing more is taken. Move \(journals.path) and the outbox away to begin anew")
            return false
        }
        return true
    }

    /// Whether control's ledger is the one that was delivered: asked when every entry is here and compared that a lease rests on, not before.
    private func judge() {
        let held = follower.applied
        guard follower.isHeld(at: Clock.now()) else { return }
        switch comparison.judge(held: held) {
        case .refused(let why)?: logger.critical("\(why)")
        case .followedAgain?: logger.notice("control's ledger is followed again")
        case nil: break
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
            guard kind == .query || kind == .notices, user.role == "operator", !follower.isNoOperator(user.name), !follower.isRetired(user, trusted) else {
                refusalLog.note("not-allowed \(user.name) \(kind)", "\(user.name) sent what a \(user.role) does not send to notify, or not any more: \(kind)", at: now)
                return binder.refuse(.notAllowed, "a \(user.role) does not send this to notify", kind: kind, to: route)
            }
            if kind == .notices { return hold(try message.body(WireNoticeBatch.self), from: route, by: user.name, at: now) }
            switch try message.body(WireQuery.self).about {
            case .deliveries?: outbox.put(.deliveries(route))
            case .notices(let query)?: ask(query, from: route, by: user.name)
            default: binder.refuse(.invalid, "this question is not known here", kind: kind, to: route)
            }
        } catch {
            binder.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        }
    }

    private func ask(_ query: WireNoticesQuery, from route: Route, by name: String) {
        switch questions.begin(query, from: route, by: name) {
        case .ask: outbox.put(.standing(route, query))
        case .isAsked: break
        case .refuse(let why): binder.refuse(.tooMany, why, kind: .query, to: route)
        }
    }

    /// A part of a hand-over goes to the disk if it is of a decision in the ledger that is followed, and believed.
    private func hold(_ batch: WireNoticeBatch, from route: Route, by name: String, at now: Instant) {
        let isBelieved = follower.isCaughtUp && comparison.isCompared(batch.decision)
        switch handovers.begin(batch, from: route, by: name, decided: isBelieved ? follower.fold.governance.notices : nil, closed: closed) {
        case .take(let decision): outbox.put(.notices(route, by: name, batch, decision))
        case .refuse(let refusal, let why):
            refusalLog.note("notices \(name) \(refusal)", "a hand-over of notices by \(name) is refused: \(why)", at: now)
            binder.refuse(refusal, why, kind: .notices, to: route)
        }
    }

    func take(_ item: OutboxThread.News) -> Bool {
        switch item {
        case .held(let route, let body):
            _ = handovers.end(route)
            binder.send(.noticesHeld, body, to: route)
        case .notHeld(let route, let refusal, let why):
            logger.error("a hand-over of notices by \(handovers.end(route)) is refused: \(why)")
            binder.refuse(refusal, why, kind: .notices, to: route)
        case .taken(let decision): logger.notice("\(decision.count) people are told of incident \(decision.incident), by entry \(decision.number)")
        case .standing(let route, let body):
            questions.end(route)
            var answer = WireAnswer()
            answer.notices = body
            binder.send(.answer, answer, to: route)
        case .joined(let count):
            joined += UInt64(count)
            logger.notice("\(count) mails to operators came too many at once, and were joined")
        case .tended(let counts):
            if counts.untold > notices.untold { logger.warning("nobody is told of people who have no notice in time, \(counts.untold) now: name somebody in 'escalation.to', or in 'mail.operators', in notify.json") }
            notices = counts
        case .spread(let number, let before):
            if before > 0 { logger.notice("\(before) people had exactly what entry \(number) decided by an earlier decision: they are not sent it again") }
        case .dropped(let one): logger.warning("\(one)")
        case .removed(let count): removal.removed += count
        case .bounces(let look):
            for line in returned.take(look) {
                switch line {
                case .error(let text): logger.error("\(text)")
                case .notice(let text): logger.notice("\(text)")
                }
            }
        case .deliveries(let route, let body):
            var answer = WireAnswer()
            answer.deliveries = body
            if let told = alerts?.counts, let failing = told.failing { answer.deliveries.deliveries.append(.init(failing, of: told.firing)) }
            binder.send(.answer, answer, to: route)
        case .counts(let body, let newest): (counts, drill) = (body, newest)
        case .read(let index):
            comparison.compared(to: index)
            judge()
        case .forked(let after, let taken): comparison.forked(after: after, taken: taken)
        case .restored(let after, let taken):
            logger.notice("control's ledger was restored: \(taken) entries were delivered, those after entry \(after) are given up, and the ledger goes on from there")
            comparison.restored()
        case .failed(let why):
            logger.critical("the outbox has failed: \(why); notify ends and takes it up again at its next start")
            return false
        }
        return true
    }

    func tick(at now: Instant) {
        follower.tick(at: now)
        if follower.isCaughtUp { admission.open() }
        refusalLog.tick(admission, binder.refusals, at: now)
        look(at: now)
        if tended.map({ now - $0 >= Desk.tendEvery }) ?? true {
            tended = now
            // Of a ledger that is not believed nothing is taken, and notify's own settings count.
            outbox.put(.tend(comparison.isUndoubted ? follower.fold.governance.policy : nil))
        }
        remove(at: now)
        peers.expire(after: Span(nanoseconds: lease.nanoseconds * 4), at: now) { _, _ in }
    }

    /// Looks at the incidents, each second: of what lasts Alertmanager is told, of what takes too long operators are, and what is half handed over makes room when the rest of it cannot come any more.
    ///
    /// While control is away it goes on by what was heard last. While this node catches up, or does not believe the ledger, by nothing.
    private func look(at now: Instant) {
        guard looked.map({ now - $0 >= .seconds(1) }) ?? true, isBelieved else { return }
        looked = now
        outbox.put(.join)
        let (incidents, time) = (follower.fold.governance.incidents.values, Clock.wall())
        alerts?.use(Alerts.concerned(incidents, at: time))
        let due = reminders.next(incidents, at: time)
        if !due.isEmpty { outbox.put(.remind(due)) }
        let open = Handovers.open(follower.fold.governance.notices, closed: closed)
        guard open != self.open else { return }
        self.open = open
        outbox.put(.open(open))
    }

    /// Looks once an hour for bytes that were kept for long enough. Which incidents are closed is known when the ledger was read and is believed.
    private func remove(at now: Instant) {
        guard removal.looked.map({ now - $0 >= Desk.removeEvery }) ?? true, isBelieved else { return }
        if removal.removed > 0 { logger.notice("the bytes of \(removal.removed) notices and messages that were told long ago were removed") }
        removal = (now, 0)
        outbox.put(.remove(closed: closed))
    }

    /// Whether all of control's ledger is here, and may be gone by.
    private var isBelieved: Bool { follower.isCaughtUp && comparison.isBelieved(held: follower.applied) }

    private var closed: Set<UInt64> { Set(follower.fold.governance.incidents.values.filter { $0.state == .closed }.map(\.number)) }

    /// Everybody who has said `Hello`.
    var routes: [Route] { peers.all.map(\.0) }

    func stop() { outbox.stop() }
}

extension WireDelivery {
    /// What Alertmanager has not taken, as one more that waits.
    fileprivate init(_ failing: AlertSender.Failing, of firing: Int) {
        self.init()
        id = "alerts-\(firing)"
        type = "incidents"
        channel = Alertmanager.name
        state = "waiting"
        attempts = UInt32(clamping: failing.attempts)
        lastError = failing.why
        createdUs = failing.since.microseconds
    }
}
