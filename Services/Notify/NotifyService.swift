import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Wire

struct NotifyService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Tells people and systems: takes incidents, pauses and resumes from control, and delivers them until they arrive.",
        discussion: "EXAMPLE\n  sluice-notify --home /var/lib/sluice\n\nHooks and mail stand in notify.json in the suite's folder. Normally started by 'sluice up'.")

    @OptionGroup var options: ServiceOptions

    func run() throws {
        // Decide.
        let host = try ServiceHost("notify", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        let hooks = try Hooks(contentsOf: host.home.file("notify.json"))
        let (mail, rates) = try NotifyFile.read(host.home.file("notify.json"))
        let templates = try NoticeMails.templates(mail, of: host.home.file("notify.json"))

        // Acquire.
        let keys = try host.keys()
        let trusted = try host.trusted()
        guard let controlKey = trusted.key(of: "control") else {
            throw Complaint("registry.json names no key of control; 'sluice up' makes it")
        }
        let ledgerKey = try ServiceHost.verifier(trusted.anchors.control)
        let outbox = try Outbox(path: host.folder() + "/outbox.sqlite")
        let noticeKey = NoticeKey(try NoticeKeyFile.loadOrMake(host.folder() + "/notices.key"))
        let cursor = try outbox.cursor()
        var deliverySettings = Delivery.Settings()
        deliverySettings.rates = rates
        deliverySettings.client.ownPorts = settings.ports
        let route = MailRoute(settings: mail, folder: host.folder() + "/mail")
        let delivery = try Delivery(from: outbox, to: hooks, mail: route, settings: deliverySettings, now: { Clock.wall() })
        var alertSettings = AlertSender.Settings()
        alertSettings.client.ownPorts = settings.ports
        let alerts = hooks.alertmanager.map { AlertSender(to: $0, settings: alertSettings, now: { Clock.wall() }) }
        let wakeup = try Wakeup()
        let news = Mailbox<OutboxThread.News>(wakeup: wakeup)
        let taker = OutboxThread(outbox: outbox, channels: hooks.all.map(\.name), mail: mail, notices: NoticeMails(mail, key: noticeKey, templates), delivery: delivery, news: news)
        let returns = ReturnWatch(mail.bounces, kept: mail.server == nil ? route.folder : nil, outbox: outbox, key: noticeKey, now: { Clock.wall() })
        let journals = JournalMark(path: host.folder() + "/journal")
        let pins = PinnedKeys(host.folder())
        let controlKeys = try pins.load(else: controlKey)
        let ledgerPins = PinnedLedgerKeys(host.folder())
        let trust = try ledgerPins.load(else: ledgerKey)
        let admission = Admission()
        let context = try host.context(admitting: trusted.admitted(["service", "operator"]), isWhole: false, into: admission)
        host.logger.info("\(hooks.all.count) hooks; mail goes to \(mail.server.map { "\($0.host), for \(mail.operators.count) operators" } ?? "\(route.folder)"); entries up to \(cursor) are taken")

        // Connect, and run until a signal or a failure.
        let deliveries = SteadySemaphore()
        taker.start()
        alerts?.start()
        defer { alerts?.stop() }
        returns.start(told: { news.post(.bounces($0)) }, failed: { news.post(.failed("\($0)")) })
        defer { returns.stop() }
        // Awaited below, after the reactor has ended; ended by delivery.stop().
        Task {
            do { try await delivery.run() } catch { news.post(.failed("\(error)")) }
            deliveries.signal()
        }
        defer {
            delivery.stop()
            deliveries.wait(atMost: .seconds(4))
        }
        try host.run(wakeup) { reactorOf in
            let binder = try Binder(settings.notify, keys: keys, limits: SocketLimits(), in: context)
            let control = try Link(
                .init(endpoint: settings.control, server: controlKey), keys: keys, limits: SocketLimits(), silence: lease, in: context)
            control.accept(controlKeys, at: Clock.now())
            let follower = Follower(link: control, lease: lease, trust: trust)
            follower.trustChanged = { ledgerPins.keep($0) }
            follower.unknownSigner = { host.logger.error("\($0): nothing new is believed before its announcement is here; if that does not come, registry.json names the wrong key of control's ledger") }
            var failure = false
            follower.broke = { why in
                host.logger.critical("\(why): notify ends, and follows anew when it is started again")
                failure = true
                wakeup.wake()
            }
            follower.contradicted = { host.logger.critical("control grants what its own ledger says is closed since epoch \($0.number): nothing is allowed before they agree") }
            follower.missed = { host.logger.warning("entry \($0) of control's ledger has not come, and later ones have: nothing is allowed before it is here") }
            let desk = Desk(
                binder: binder, follower: follower, hooks: hooks, outbox: taker, alerts: alerts, journals: journals, admission: admission, trusted: trusted, cursor: cursor,
                lease: lease, logger: host.logger)
            let ring = KeyRing(host, keys: keys, endpoint: settings.notify, trusted: trusted, links: ["control": control], pins: pins, context: context) {
                follower.isCaughtUp ? follower.fold.governance : Governance()
            }
            ring.binder = binder
            ring.admission = admission
            ring.routes = { desk.routes }
            ring.failed = { why in
                host.logger.critical("\(why)")
                failure = true
                wakeup.wake()
            }
            let reactor = reactorOf { stop in
                if failure { stop(1) }
                for item in news.take() where !desk.take(item) { stop(1) }
            }
            reactor.watch(control)
            reactor.watch(binder)
            reactor.every(.milliseconds(100)) { desk.tick(at: $0) }
            reactor.every(.milliseconds(10)) { ring.tick(at: $0) }
            reactor.atEnd { desk.stop() }
            try host.proveClosed(settings.notify, keys, context, admission)
            return reactor
        }
    }
}

/// Which journal the cursor counts in. Beside another one the numbers mean nothing.
struct JournalMark: Sendable {
    var path: String

    /// - Returns: whether it is the journal that was followed before, or the first.
    func isKnown(_ id: Data) -> Bool {
        guard let known = FileManager.default.contents(atPath: path) else {
            return FileManager.default.createFile(atPath: path, contents: id, attributes: [.posixPermissions: 0o600])
        }
        return known == id
    }
}
