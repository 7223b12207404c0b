import Foundation
package import Gate
package import Identity
import Logging
package import Messaging
import Synchronization
import Wire

/// A service's own key, and those of the services that it connects to, as they are exchanged while it runs. Lives on the reactor's thread.
///
/// The next key of its own is taken up when it lies in the key's file **and** counts by the ledger: until then everybody who reads the ledger
/// would refuse it. Peers are told before the port closes, and come back with the key that counts beside the old one; what they hold goes on meanwhile.
package final class KeyRing {
    /// What this service goes by now.
    package private(set) var keys: CurveKeyPair
    package var binder: Binder?
    /// Peers that are told.
    package var routes: () -> [Route] = { [] }
    /// The port let a stranger in.
    package var failed: (String) -> Void = { _ in }
    /// Of the binder: what this service knocks on its own door with is no stranger.
    package var admission: Admission?
    private let service: String
    private let endpoint: String
    private let trusted: TrustedNodes
    private let links: [String: Link]
    private let governance: () -> Governance
    private let file: FileWatch<CurveKeyPair>
    private let context: Context
    private let pins: PinnedKeys?
    private let logger: Logger
    private var offered: CurveKeyPair?
    private var closing: Instant?
    private var notBefore = Instant(nanoseconds: 0)
    private var known: ServiceKeys?
    /// What was last logged.
    private var said = ""
    private let open = Shared()

    /// For a thread that has nobody to return to.
    private final class Shared: Sendable { let why = Mutex<String?>(nil) }

    /// From the notice to the end of the port. What was sent to so many peers is with the kernel by then (measured: 13 µs a peer); what was not would be
    /// dropped with the socket.
    private static func closes(with peers: Int) -> Span { .milliseconds(50) + .microseconds(Int64(peers) * 20) }
    /// And from there until somebody may look for the new key: who comes too early is away for as long as libzmq waits before the next attempt.
    private static let slack = Span.milliseconds(50)

    /// - Parameters:
    ///   - links: To other services, by their names.
    ///   - governance: As it is now: of who still catches up with the ledger, nothing. By keys of the past nobody would be reached any more.
    ///   - context: Of the binder.
    package init(
        _ host: ServiceHost, keys: CurveKeyPair, endpoint: String, trusted: TrustedNodes, links: [String: Link], pins: PinnedKeys? = nil, context: Context,
        governance: @escaping () -> Governance
    ) {
        service = host.name
        self.endpoint = endpoint
        self.keys = keys
        self.trusted = trusted
        self.links = links
        self.pins = pins
        self.context = context
        self.governance = governance
        logger = host.logger
        file = FileWatch(host.home.takenUpKey(host.name)) { try KeyFile.load($0) }
    }

    /// Call often: a hundred times a second.
    package func tick(at now: Instant) {
        let governance = governance()
        if governance.beginning != nil, known != governance.serviceKeys {
            known = governance.serviceKeys
            for (name, link) in links { link.accept(trusted.keys(of: name, by: governance), at: now) }
            if governance.serviceKeys.current["control"] != nil { pins?.keep(trusted.keys(of: "control", by: governance), retired: governance.serviceKeys.retired.compactMap { CurveKey($0) }) }
            if governance.serviceKeys.retired.contains(keys.publicKey.bytes) {
                logger.critical("the key of this service was retired: nobody takes it for \(service) any more; 'sluice service-key use \(service)' takes up the other")
            }
        }
        if let why = open.why.withLock({ $0 }) { failed(why) }
        if let found = file.take() { offered = found.publicKey == keys.publicKey ? nil : found }
        guard let next = offered, now >= notBefore, governance.beginning != nil else { return }
        guard trusted.keys(of: service, by: governance).contains(next.publicKey) else {
            return say("the key that lies in the key's file does not count by control's ledger: it is not taken up before it does")
        }
        if let closing {
            if now >= closing { takeUp(next, at: now) }
        } else {
            let routes = routes()
            let closes = KeyRing.closes(with: routes.count)
            announce(next, to: routes, after: closes + KeyRing.slack)
            closing = now + closes
        }
    }

    private func announce(_ next: CurveKeyPair, to routes: [Route], after span: Span) {
        var body = WireServerKey()
        body.use = Data(next.publicKey.bytes)
        body.afterMs = UInt32(clamping: span.milliseconds)
        let frame = Frame.bytes(.serverKey, body)
        for route in routes { binder?.send(frame, to: route) }
    }

    private func takeUp(_ next: CurveKeyPair, at now: Instant) {
        closing = nil
        do throws(MessagingError) { try binder?.exchange(next) } catch {
            notBefore = now + .seconds(1)
            return say("cannot listen with the next key: \(error); tried again")
        }
        keys = next
        offered = nil
        for link in links.values { link.use(next, at: now) }
        logger.notice("the key \(next.publicKey.z85) is taken up")
        proveClosed(next.publicKey)
    }

    /// As at the start, but on another thread: a stranger may keep it waiting, and this service's leases may not.
    private func proveClosed(_ key: CurveKey) {
        guard binder != nil else { return }
        let (context, endpoint, open, admission) = (context, ServiceHost.reachable(endpoint), open, admission)
        startThread("closed-door") {
            do {
                try ClosedDoor.check(endpoint, server: key, in: context) { admission?.neverAdmit($0) }
                admission?.excuseOne()
            } catch ClosedDoor.Failure.open(let endpoint) {
                open.why.withLock { $0 = "\(ClosedDoor.Failure.open(endpoint))" }
            } catch {
                // Silence proves nothing, and the socket's options were read back.
            }
        }
    }

    private func say(_ words: String) {
        guard said != words else { return }
        said = words
        logger.error("\(words)")
    }
}

/// The keys of control that its ledger named last: who follows the ledger must reach control first. `SERVICE/control.keys`: a key a line, and behind it
/// `retired` if it counts no more.
///
/// Beside them the registry's key is tried, unless it is known to be retired: a service that was away during a whole exchange knows of the present key
/// from there alone, since `sluice service-key use`, or `pin` on another machine, names it there.
package struct PinnedKeys: Sendable {
    private let path: String

    package init(_ folder: String) { path = folder + "/control.keys" }

    package func load(else key: CurveKey) throws(Complaint) -> [CurveKey] {
        guard let data = FileManager.default.contents(atPath: path) else { return [key] }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n").map { $0.split(separator: " ") }
        let known = lines.compactMap { words in CurveKey(z85: String(words[0])).map { (key: $0, isRetired: words.dropFirst() == ["retired"], words: words.count) } }
        guard known.count == lines.count, known.allSatisfy({ $0.words == ($0.isRetired ? 2 : 1) }), case let keys = known.filter({ !$0.isRetired }).map(\.key), !keys.isEmpty
        else { throw Complaint("\(path) holds no keys: delete it, and the key in registry.json counts") }
        return known.contains { $0.key == key } ? keys : keys + [key]
    }

    /// Whether its service has heard of a key, and not that it is retired.
    package func holds(_ key: CurveKey) -> Bool {
        guard let data = FileManager.default.contents(atPath: path) else { return false }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").contains(key.z85[...])
    }

    /// A hundred bytes, when a key of control is announced or retired: it may be written where it is noticed. Failing costs a look into the registry at the
    /// next start.
    package func keep(_ keys: [CurveKey], retired: [CurveKey] = []) {
        try? (keys.map { $0.z85 + "\n" } + retired.map { "\($0.z85) retired\n" }.sorted()).joined().write(toFile: path, atomically: true, encoding: .utf8)
    }
}
