import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import Wire

@main
struct ControlService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-control",
        abstract: "Decides what may happen now: grants leases, takes operators' commands, certifies every stop.",
        discussion: "EXAMPLE\n  sluice-control --home /var/lib/sluice\n\nNormally started by 'sluice up', which makes the home folder.")

    @OptionGroup var options: ServiceOptions

    func run() throws {
        // Decide.
        let host = try ServiceHost("control", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))

        // Acquire.
        let session = try host.keys()
        let trusted = try host.trusted()
        guard let ingestKey = trusted.key(of: "ingest") else { throw Complaint("registry.json names no key of ingest; 'sluice up' makes it") }
        let wakeup = try Wakeup()
        let news = Mailbox<Journal.News>(wakeup: wakeup)
        let signers = try LedgerKey.all(host.home, "control", "ledger", as: ServiceHost.verifier(trusted.anchors.control))
        let keys = PolicyWitness.Keys(
            control: signers[0].verifier, policy: try ServiceHost.verifier(trusted.anchors.policy),
            policyWitness: try ServiceHost.verifier(trusted.anchors.policyWitness),
            own: try LedgerKey.load(host.home.witnessKey("control"), as: ServiceHost.verifier(trusted.anchors.controlWitness)))
        let journal = try Journal(folder: host.folder(), signers: signers, keys: keys, news: news)
        var fold = GovernanceFold()
        var statements = Statements()
        if try journal.replay(&fold, &statements) == 0 { try journal.begin(Beginning.entries(trusted), &fold) }
        let gate = fold.governance.gate
        host.logger.info("ledger: \(fold.size) entries, epoch \(gate.epoch.number), \(gate.closures.count) closures in force, operators \(fold.governance.operators.current.keys.sorted().joined(separator: ", "))")
        let (replayed, signed) = (fold, statements.all)
        let floor = try journal.reserveEpochs()
        let admission = Admission()
        let context = try host.context(admitting: trusted.admitted(["service", "join", "hooks"]), into: admission)

        // Connect, and run until a signal or a failure.
        journal.start()
        try host.run(wakeup) { reactorOf in
            let binder = try Binder(settings.control, keys: session, limits: SocketLimits(), in: context)
            let authority = Authority(replayed, statements: signed, floor: floor, lease: lease, at: Clock.now())
            let joining = Joining(authority: authority, ingest: settings.ingest, ingestKey: ingestKey, lease: lease)
            let sessions = Sessions(
                binder: binder, authority: authority, journal: journal, joining: joining, trusted: trusted, admission: admission, lease: lease, logger: host.logger)
            let ring = KeyRing(host, keys: session, endpoint: settings.control, trusted: trusted, links: [:], context: context) { authority.governance }
            ring.binder = binder
            ring.admission = admission
            ring.routes = { sessions.routes }
            let witnessRing = LedgerKeyRing(host, "witness", present: keys.own.verifier) {
                authority.governance.ledgerKeys.current[keys.own.verifier.name.description] ?? []
            } use: { journal.cosign(with: $0) }
            sessions.cosigner = { witnessRing.present }
            let ledgerRing = LedgerKeyRing(host, "ledger", present: signers[0].verifier) {
                authority.governance.ledgerKeys.current[signers[0].verifier.name.description] ?? []
            } use: { journal.sign(by: authority.governance.ledgerKeys, also: $0) }
            var failure = false
            ring.failed = { why in
                host.logger.critical("\(why)")
                failure = true
                wakeup.wake()
            }
            let reactor = reactorOf { stop in
                if failure { stop(1) }
                for item in news.take() where !sessions.take(item) { stop(1) }
            }
            reactor.watch(binder)
            reactor.every(.milliseconds(10)) { sessions.tick(at: $0) }
            reactor.every(.milliseconds(10)) { ring.tick(at: $0) }
            reactor.every(.milliseconds(100)) { _ in for ring in [ledgerRing, witnessRing] { ring.tick() } }
            try host.proveClosed(settings.control, session, context, admission)
            return reactor
        }
        journal.stop()
    }
}
