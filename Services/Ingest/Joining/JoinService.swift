import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Wire

/// The one port that strangers are meant for: a process of its own, so that whatever they do to it, no session of an agent feels it.
struct JoinService: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "The port where a machine with a token becomes an agent. Holds no lease and no telemetry.",
        discussion: """
            EXAMPLE
              sluice-ingest join --home /var/lib/sluice

            Normally started by 'sluice up'. It keeps its memory and its files within bounds, and ends when strangers have used them up:
            whoever supervises it starts it again.
            """)

    @OptionGroup var options: ServiceOptions

    /// Of what can be written to; a suite in peace has a tenth of it.
    static let memoryMax = 256 << 20
    /// 40 KiB of memory each, and every one of them may be a stranger's that never ends.
    static let filesMax = 1_024
    /// With so many open it begins anew. A ROUTER cannot close one connection, and a full table of files would keep everybody out for good.
    static let filesCrowded = 900

    func run() throws {
        // Decide.
        let host = try ServiceHost("join", options)
        let settings = host.settings
        let lease = Span.milliseconds(Int64(settings.leaseMilliseconds))
        Lifecycle.limit(memory: JoinService.memoryMax, files: JoinService.filesMax)
        // Everybody else goes first when they want the processor.
        Lifecycle.lowerPriority(to: 10)

        // Acquire.
        let keys = try host.keys()
        let pins = PinnedKeys(host.folder())
        guard let controlKey = try host.trusted().key(of: "control") else {
            throw Complaint("registry.json names no key of control; 'sluice up' makes it")
        }
        let controlKeys = try pins.load(else: controlKey)
        // No follower of the ledger: until control has said which keys count, another one of control's may be named where the first one was.
        let registry = FileWatch(host.home.file("registry.json")) { try TrustedNodes(contentsOf: $0) }
        let wakeup = try Wakeup()
        let admission = Admission(strangersAs: JoinDesk.role)
        let context = try host.context(admitting: [:], into: admission)
        let controlContext = try Context()

        // Connect, and run until a signal, a crowd or a failure.
        try host.run(wakeup) { reactorOf in
            let limits = SocketLimits(frameBytesMax: Limits.joinBytesMax, sendMax: 8, receiveMax: 8)
            let strangers = try Binder(settings.join, keys: keys, limits: limits, in: context)
            let control = try Link(
                .init(endpoint: settings.control, server: controlKey), keys: keys, limits: SocketLimits(), silence: lease, in: controlContext)
            control.accept(controlKeys, at: Clock.now())
            let desk = JoinDesk(control: control, lease: lease, logger: host.logger)
            desk.open(strangers)
            var isCrowded = false
            let reactor = reactorOf { stop in if isCrowded { stop(1) } }
            reactor.watch(control)
            reactor.watch(strangers)
            let exchanged = JoinKeys(host, present: keys, control: control, first: strangers, pins: pins) { [unowned reactor] pair throws(MessagingError) in
                let door = try Binder(settings.joinNext, keys: pair, limits: limits, in: context)
                reactor.watch(door)
                desk.open(door)
                return door
            }
            desk.granted = { exchanged.hear($0.keys, at: Clock.now()) }
            reactor.every(.milliseconds(50)) { now in
                if let key = registry.take()?.key(of: "control") { exchanged.registered(key, at: now) }
                exchanged.tick(at: now)
                desk.tick(at: now)
            }
            reactor.every(.seconds(1)) { _ in
                guard Lifecycle.openFiles > JoinService.filesCrowded else { return }
                host.logger.error("more than \(JoinService.filesCrowded) connections: all are closed, this process ends and is to be started again")
                isCrowded = true
                wakeup.wake()
            }
            host.announceOpen(settings.join)
            return reactor
        }
    }
}
