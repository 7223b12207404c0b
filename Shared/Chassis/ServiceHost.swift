package import ArgumentParser
import Foundation
import Gate
package import Identity
package import Ledger
package import Logging
package import Messaging
import Synchronization

/// The options that every service has.
package struct ServiceOptions: ParsableArguments {
    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.")
    package var home: String?

    @Option(help: ArgumentHelp("End when this process does.", visibility: .hidden))
    package var withParent: Int32?

    package init() {}
}

/// What surrounds a service: its settings, keys, lock, logger, ZAP handler, reactor thread, and an orderly end.
package struct ServiceHost: Sendable {
    package let name: String
    package let home: Home
    package let settings: SuiteSettings
    package let logger: Logger

    package init(_ name: String, _ options: ServiceOptions) throws {
        Lifecycle.holdSignals()
        Lifecycle.endWith(parent: options.withParent)
        Lifecycle.raiseFileLimit()
        let environment = ProcessInfo.processInfo.environment
        FaultPoint.arm(environment["SLUICE_FAULT"])
        self.name = name
        home = Home.resolve(options.home, environment: environment)
        settings = try SuiteSettings(from: home)
        logger = Lifecycle.logger(name)
        try home.makeFolder(name)
        try home.lock("\(name)/lock")
    }

    /// The folder that is this service's alone.
    package func folder() -> String { home.file(name) }

    /// - Throws: `Complaint` if it is another key than the registry names: whoever connects would find somebody else here.
    package func keys() throws -> CurveKeyPair {
        let path = home.serviceKey(name)
        let pair = try KeyFile.load(path)
        guard let expected = try trusted().key(of: name), expected != pair.publicKey else { return pair }
        throw ServiceHost.otherKey(path, of: name)
    }
    package static func otherKey(_ path: String, of name: String) -> Complaint {
        Complaint("\(path) is not the key that registry.json names for \(name): put the right one back")
    }
    package func trusted() throws -> TrustedNodes { try TrustedNodes(contentsOf: home.file("registry.json")) }

    /// A key of ``TrustedNodes/Anchors``.
    package static func verifier(_ text: String) throws -> VerifierKey {
        do { return try VerifierKey(parsing: text) } catch { throw Complaint("registry.json: '\(text)' is no verifier key (\(error)); 'sluice up' makes it, in a new --home") }
    }

    /// A context whose ZAP handler runs before anything can bind.
    ///
    /// - Parameter isWhole: False: the ledger may know of more, who are asked to try again until it has been read.
    package func context(admitting table: [CurveKey: String]?, isWhole: Bool = true, ioThreads: Int = 1, into admission: Admission = Admission()) throws -> Context {
        // Every peer is one file here; more sockets than files cannot be.
        let context = try Context(ioThreads: ioThreads, sockets: 1_024)
        if let table { if isWhole { admission.admit(table) } else { admission.admit(first: table) } }
        try admission.serve(in: context)
        return context
    }

    /// The service is ready, on a port that strangers are meant for.
    package func announceOpen(_ endpoint: String) { logger.info("listening on \(endpoint), open to every key, for joining alone") }

    /// Shows that the port is closed to strangers. A service that cannot show it does not start.
    package func proveClosed(_ endpoint: String, _ keys: CurveKeyPair, _ context: Context, _ admission: Admission) throws {
        try ClosedDoor.check(ServiceHost.reachable(endpoint), server: keys.publicKey, in: context) { admission.neverAdmit($0) }
        admission.excuseOne()
        logger.info("listening on \(endpoint), closed to unknown keys")
    }

    /// An address that a wildcard binding can be reached by from here.
    package static func reachable(_ endpoint: String) -> String {
        endpoint.replacingOccurrences(of: "tcp://*:", with: "tcp://127.0.0.1:").replacingOccurrences(of: "tcp://0.0.0.0:", with: "tcp://127.0.0.1:")
    }

    /// Builds the service on a thread of its own, runs it until SIGINT, SIGTERM or its own end, and waits for it.
    ///
    /// - Parameter build: Called on the reactor's thread: sockets belong to the thread that made them. It gets a way to make the
    ///   reactor, whose argument is called after each wake-up.
    package func run(
        _ wakeup: Wakeup, _ build: sending @escaping ((@escaping (_ stop: (Int32) -> Void) -> Void) -> Reactor) throws -> Reactor
    ) throws {
        try ServiceHost.run(wakeup, logger: logger, build)
    }

    /// The same for a program that is no service of a suite.
    package static func run(
        _ wakeup: Wakeup, logger: Logger, _ build: sending @escaping ((@escaping (_ stop: (Int32) -> Void) -> Void) -> Reactor) throws -> Reactor
    ) throws {
        let outcome = Mutex<(status: Int32?, failure: String?)>((nil, nil))
        let signalled = Mutex<Bool>(false)
        let ended = SteadySemaphore()
        // Used by the reactor's thread alone once it is started.
        nonisolated(unsafe) let build = build
        startThread("reactor") {
            do {
                weak var made: Reactor?
                let reactor = try build { woken in
                    let reactor = Reactor(wakeup: wakeup) {
                        woken { status in
                            outcome.withLock { $0.status = status }
                            made?.stop()
                        }
                        if signalled.withLock({ $0 }) { made?.stop() }
                    }
                    made = reactor
                    return reactor
                }
                reactor.run()
                outcome.withLock { $0.status = $0.status ?? 0 }
            } catch {
                outcome.withLock { $0.failure = ServiceHost.explain(error) }
            }
            ended.signal()
            // Wakes the main thread out of sigwait.
            kill(getpid(), SIGTERM)
        }
        let signal = Lifecycle.waitForSignal()
        let own = outcome.withLock { $0.status != nil || $0.failure != nil }
        if !own {
            logger.info("signal \(signal): stopping")
            signalled.withLock { $0 = true }
            wakeup.wake()
            // A second signal, or five seconds, ends it whatever it does.
            startThread("impatience") {
                Lifecycle.waitForSignal()
                if outcome.withLock({ $0.status == nil }) { _exit(4) }
            }
            if !ended.wait(atMost: .seconds(5)) { _exit(4) }
        }
        let (status, failure) = outcome.withLock { $0 }
        if let failure { throw Complaint(failure) }
        if let status, status != 0 { throw ExitCode(status) }
    }

    /// An error in one line: what, where, what to do.
    package static func explain(_ error: any Error) -> String {
        if let error = error as? MessagingError, error.isAddressInUse {
            return "\(error.description): another program has this port; stop it, or change suite.json"
        }
        return "\(error)"
    }
}
