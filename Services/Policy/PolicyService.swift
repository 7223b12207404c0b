import ArgumentParser
import Chassis
import Gate
import Identity
import Ledger
import Logging
import Messaging
import Rules
import Seal
import SwiftProtobuf
import Tracing
import Vault
import Wire

@main
struct PolicyService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-policy",
        abstract: "The reference monitor: every write to the vault and every read from it passes here.",
        discussion: "EXAMPLE\n  sluice-policy --home /var/lib/sluice\n\nNormally started by 'sluice up'.")

    @OptionGroup var options: ServiceOptions
    @OptionGroup var vaultOptions: VaultOptions
    @Flag(help: "Release what is stored and nothing else: a file that leaks cannot be traced.") var noCanaries = false

    func run() throws {
        // Decide.
        let host = try ServiceHost("policy", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        let retention = try vaultOptions.retained()

        // Acquire.
        let keys = try host.keys()
        let trusted = try host.trusted()
        guard let controlKey = trusted.key(of: "control") else {
            throw Complaint("registry.json names no key of control; 'sluice up' makes it")
        }
        let ledgerKey = try ServiceHost.verifier(trusted.anchors.control)
        let vaultKeys = try VaultKeyFile.loadAll(host.home.vaultKey)
        let vault = try SQLiteVault(
            path: host.folder() + "/vault.sqlite", masters: vaultOptions.masters(host.home), olderKeys: vaultOptions.olderKeys, pass: { FaultPoint.pass($0) })
        let signer = try LedgerKey.load(host.home.ledgerKey("policy"), as: ServiceHost.verifier(trusted.anchors.policy))
        let witness = try LedgerKey.load(host.home.witnessKey("policy"), as: ServiceHost.verifier(trusted.anchors.policyWitness))
        let canaryKey = noCanaries ? nil : try CanaryKeyFile.loadOrMake(host.home.canaryKey)
        let reads = try ReadLedger(
            in: vault, path: host.folder() + "/vault.sqlite", signer: signer, witness: witness,
            earlier: LedgerKey.earlier(host.home, "policy", "witness", as: witness.verifier),
            controlWitness: ServiceHost.verifier(trusted.anchors.controlWitness), canaryKey: canaryKey?.id ?? "")
        let (seen, anchored) = (try reads.seen(), try reads.anchored())
        let offer = try reads.offer(from: anchored, stored: vault.stored)
        let recorded = try reads.gate(vault.gate())
        let drift = DriftTally(try vault.drift(since: DriftTally.minute(of: Clock.wall()) - DriftRows.reach))
        let wakeup = try Wakeup()
        let written = Mailbox<VaultWriter.News>(wakeup: wakeup)
        let read = Mailbox<Releases.News>(wakeup: wakeup)
        let fence = SharedFence()
        let rules = SharedRules()
        let writer = VaultWriter(
            vault: vault, reads: reads, fence: fence, rules: rules, origin: ledgerKey.name.description, keys: vaultKeys, loadKeys: { [home = host.home] in try VaultKeyFile.loadAll(home.vaultKey) },
            retention: retention, news: written)
        let releases = Releases(vault: vault, canaries: canaryKey.map { Canaries(key: $0, fence: fence) }, news: read)
        let decided = Mailbox<ReleaseDecider.News>(wakeup: wakeup)
        let decider = ReleaseDecider(vault: vault, writer: writer, news: decided)
        let denied = DeniedCount()
        let pins = PinnedKeys(host.folder())
        let controlKeys = try pins.load(else: controlKey)
        let ledgerPins = PinnedLedgerKeys(host.folder())
        let trust = try ledgerPins.load(else: ledgerKey)
        let admission = Admission()
        // Made anew by each start, and known to nobody else.
        let probe = try CurveKeyPair.generate()
        var admitted = trusted.admitted(["service", "operator", "reader"])
        admitted[probe.publicKey] = Outsider.user
        let context = try host.context(admitting: admitted, isWhole: false, ioThreads: 2, into: admission)
        let exposed = Mailbox<WebOutsider.Found>(wakeup: wakeup)
        let pages = try WebOutsider(headersFile: host.folder() + "/outsider.headers", news: exposed, logger: host.logger)
        let findingFiles = try FindingFiles(host.folder() + "/findings", logger: host.logger)

        // Connect, and run until a signal or a failure.
        writer.start()
        releases.start()
        decider.start()
        findingFiles.start()
        pages.start()
        try host.run(wakeup) { reactorOf in
            let limits = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: Limits.relayedMax, receiveMax: Limits.relayedMax)
            let binder = try Binder(settings.policy, keys: keys, limits: limits, in: context)
            let control = try Link(
                .init(endpoint: settings.control, server: controlKey), keys: keys, limits: SocketLimits(), silence: lease, in: context)
            control.accept(controlKeys, at: Clock.now())
            let follower = Follower(link: control, lease: lease, trust: trust, known: recorded, witnessed: seen.flatMap { try? Checkpoint(parsing: $0.text) })
            follower.trustChanged = { ledgerPins.keep($0) }
            follower.unknownSigner = { host.logger.error("\($0): nothing new is believed before its announcement is here; if that does not come, registry.json names the wrong key of control's ledger") }
            var taken: ((WireOutcome) -> Void)?
            control.received = { message in
                if message.kind == .outcome {
                    if let body = try? message.body(WireOutcome.self) { taken?(body) }
                    return
                }
                // What cannot be read is no permission: the lease runs out.
                _ = try? follower.take(message)
            }
            let outsider = Outsider(
                try Link(
                    .init(endpoint: ServiceHost.reachable(settings.policy), server: keys.publicKey), keys: probe, limits: SocketLimits(frameBytesMax: Limits.payloadBytesMax), silence: .milliseconds(lease.milliseconds * 2), in: context))
            let detectors = Detectors(findings: Findings(findingFiles, fence: fence, logger: host.logger), outsider: outsider, pages: pages, follower: follower, decider: decider, drift: drift)
            detectors.servedOn = { writer.take(.served($0)) }
            detectors.driftFound = { writer.take(.forgetDrift($0, through: .max)) }
            detectors.driftSettled = { writer.take(.settleDrift(in: $0)) }
            let monitor = Monitor(
                binder: binder, follower: follower, fence: fence, captureRules: rules, retention: retention, writer: writer, releases: releases, decider: decider, denied: denied, admission: admission,
                detectors: detectors, probe: probe.publicKey, anchors: Anchors(offer: offer, seen: seen, kept: anchored), keys: KeyWatch(held: vaultKeys.map(\.publicKey.id)), trusted: trusted, lease: lease, logger: host.logger)
            taken = { detectors.taken($0) }
            let ring = KeyRing(host, keys: keys, endpoint: settings.policy, trusted: trusted, links: ["control": control], pins: pins, context: context) {
                follower.isCaughtUp ? follower.fold.governance : Governance()
            }
            let ledgerRings = [
                LedgerKeyRing(host, "ledger", present: signer.verifier) {
                    follower.isCaughtUp ? follower.fold.governance.ledgerKeys.current[signer.verifier.name.description] ?? [] : []
                } use: { signer in
                    reads.sign(with: signer)
                    monitor.offerAgain()
                },
                LedgerKeyRing(host, "witness", present: witness.verifier) {
                    follower.isCaughtUp ? follower.fold.governance.ledgerKeys.current[witness.verifier.name.description] ?? [] : []
                } use: { signer in
                    reads.cosign(with: signer)
                    monitor.cosignAgain()
                },
            ]
            ring.binder = binder
            ring.admission = admission
            ring.routes = { monitor.routes }
            var failure = false
            follower.contradicted = { host.logger.critical("control grants what its own ledger says is closed since epoch \($0.number): nothing is allowed before they agree") }
            follower.missed = { host.logger.warning("entry \($0) of control's ledger has not come, and later ones have: nothing is allowed before it is here") }
            ring.failed = { why in
                host.logger.critical("\(why)")
                failure = true
                wakeup.wake()
            }
            follower.broke = { why in
                host.logger.critical("\(why): policy ends, and follows anew when it is started again")
                failure = true
                wakeup.wake()
            }
            let reactor = reactorOf { stop in
                if failure { stop(1) }
                // What the writer has released was decided before: taken first and heard second, whatever forbids it is heard by then.
                let released = written.take()
                if !monitor.take(decided.take()) { stop(1) }
                if !monitor.take(released) { stop(1) }
                monitor.take(read.take())
                detectors.take(exposed.take())
            }
            reactor.watch(control)
            reactor.watch(binder)
            reactor.watch(outsider.link)
            reactor.every(.milliseconds(50)) { monitor.tick(at: $0) }
            reactor.every(.milliseconds(10)) { ring.tick(at: $0) }
            reactor.every(.milliseconds(100)) { _ in
                if follower.isCaughtUp { reads.go(by: follower.fold.governance.ledgerKeys) }
                for ring in ledgerRings { ring.tick() }
                if follower.isCaughtUp { admission.open() }
                if follower.isCaughtUp { outsider.link.accept(trusted.keys(of: "policy", by: follower.fold.governance), at: Clock.now()) }
            }
            try host.proveClosed(settings.policy, keys, context, admission)
            return reactor
        }
        pages.stop()
        releases.stop()
        decider.stop()
        for read in denied.rest() { writer.take(.denied(read, nil)) }
        writer.stop()
        findingFiles.stop()
    }
}
