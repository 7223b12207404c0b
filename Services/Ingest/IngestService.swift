import ArgumentParser
import CJemalloc
import Chassis
import Gate
import Identity
import Logging
import Messaging
import Wire

struct IngestService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "The only port that workstations reach: sessions, permits, and the relay of batches to policy.",
        discussion: "EXAMPLE\n  sluice-ingest --home /var/lib/sluice\n\nKeeps no telemetry. Normally started by 'sluice up'.")

    @OptionGroup var options: ServiceOptions

    func run() throws {
        // Decide.
        let host = try ServiceHost("ingest", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        // Control, which must push a pause at once, goes first when both want the processor.
        Lifecycle.lowerPriority(to: 5)

        // Acquire.
        host.logger.debug("memory is jemalloc \(String(cString: sluice_allocator()))'s")
        let keys = try host.keys()
        let trusted = try host.trusted()
        let wakeup = try Wakeup()
        guard let controlKey = trusted.key(of: "control"), let policyKey = trusted.key(of: "policy") else {
            throw Complaint("registry.json names no key of control or policy; 'sluice up' makes it")
        }
        let ledgerKey = try ServiceHost.verifier(trusted.anchors.control)
        let admission = Admission()
        let context = try host.context(admitting: nil, ioThreads: 2, into: admission)
        // An I/O thread of its own: what goes to and from control must not queue behind ten thousand agents.
        let controlContext = try Context()
        let pins = PinnedKeys(host.folder())
        let controlKeys = try pins.load(else: controlKey)
        let ledgerPins = PinnedLedgerKeys(host.folder())
        let trust = try ledgerPins.load(else: ledgerKey)

        // Connect, and run until a signal or a failure.
        try host.run(wakeup) { reactorOf in
            let batches = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: Limits.relayedMax, receiveMax: Limits.relayedMax)
            let agentsSide = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: 1_000, receiveMax: 64)
            let control = try Link(
                .init(endpoint: settings.control, server: controlKey), keys: keys, limits: SocketLimits(), silence: lease, in: controlContext)
            let policy = try Link(
                .init(endpoint: settings.policy, server: policyKey), keys: keys, limits: batches, silence: lease, in: context)
            control.accept(controlKeys, at: Clock.now())
            let follower = Follower(link: control, lease: lease, trust: trust)
            follower.trustChanged = { ledgerPins.keep($0) }
            follower.unknownSigner = { host.logger.error("\($0): nothing new is believed before its announcement is here; if that does not come, registry.json names the wrong key of control's ledger") }
            let ring = KeyRing(
                host, keys: keys, endpoint: settings.ingest, trusted: trusted, links: ["control": control, "policy": policy], pins: pins, context: context
            ) { follower.isCaughtUp ? follower.fold.governance : Governance() }
            let announced = AnnouncedKey.ofVault(follower, lease: lease)
            let server = AnnouncedKey.ofIngest(follower, lease: lease)
            let retired = AnnouncedKey.retiredOfIngest(follower, lease: lease)
            control.received = { message in
                // What cannot be read is no permission: the lease runs out. Nor is it a key.
                if message.kind == .answer, let answer = try? message.body(WireAnswer.self) {
                    for key in [announced, retired, server] { key.take(answer) }
                    return
                }
                _ = try? follower.take(message)
            }
            let relay = PolicyRelay(link: policy, lease: lease)
            let agents = Agents(
                follower: follower, relay: relay, announced: announced, server: server, retired: retired, admission: admission, lease: lease, logger: host.logger
            ) {
                let binder = try Binder(settings.ingest, keys: ring.keys, limits: agentsSide, in: context)
                ring.binder = binder
                ring.admission = admission
                return binder
            }
            ring.routes = { agents.routes }
            var failure = false
            let reactor = reactorOf { stop in if failure { stop(1) } }
            follower.contradicted = { host.logger.critical("control grants what its own ledger says is closed since epoch \($0.number): nothing is allowed before they agree") }
            follower.missed = { host.logger.warning("entry \($0) of control's ledger has not come, and later ones have: nothing is allowed before it is here") }
            follower.broke = { why in
                host.logger.critical("\(why): ingest ends, and follows anew when it is started again")
                failure = true
                wakeup.wake()
            }
            ring.failed = { why in
                host.logger.critical("\(why)")
                failure = true
                wakeup.wake()
            }
            reactor.watch(control)
            reactor.watch(policy)
            reactor.afterRound { agents.flush(at: $0) }
            reactor.every(.milliseconds(5)) { [unowned reactor] now in
                agents.flush(at: now)
                agents.answerOwed(at: now)
                announced.tick(at: now)
                // What does not count any more is told first: an older key may count again.
                retired.tick(at: now)
                server.tick(at: now)
                do {
                    if let binder = try agents.openWhenReady(at: now) {
                        reactor.watch(binder)
                        try host.proveClosed(settings.ingest, ring.keys, context, admission)
                    }
                } catch {
                    host.logger.critical("\(ServiceHost.explain(error))")
                    failure = true
                    wakeup.wake()
                }
            }
            reactor.every(.milliseconds(10)) { ring.tick(at: $0) }
            reactor.every(.milliseconds(100)) { now in
                follower.tick(at: now)
                relay.tick(at: now)
            }
            reactor.every(lease / 2) { agents.tick(at: $0) }
            return reactor
        }
    }
}
