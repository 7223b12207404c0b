import Gate
package import Ledger
import Logging

/// A key that a service signs a ledger with, or cosigns the other's, as it is exchanged while it runs. Lives on the reactor's thread.
///
/// The next one is taken up when it lies in the key's file **and** counts by control's ledger: before that nobody would believe what it signs.
package final class LedgerKeyRing {
    /// What is signed with now.
    package private(set) var present: VerifierKey
    private let file: FileWatch<NoteSigner>
    private let counting: () -> [String]
    private let use: (NoteSigner) -> Void
    private let logger: Logger
    private var offered: NoteSigner?
    private var said = ""

    /// - Parameters:
    ///   - what: `ledger` or `witness`.
    ///   - counting: The keys that count under its name; empty: not known, as while the ledger is caught up with.
    package init(_ host: ServiceHost, _ what: String, present: VerifierKey, counting: @escaping () -> [String], use: @escaping (NoteSigner) -> Void) {
        self.present = present
        self.counting = counting
        self.use = use
        logger = host.logger
        file = FileWatch(host.home.takenUpLedgerKey(host.name, what)) { try LedgerKey.load($0, name: present.name, present.algorithm) }
    }

    /// Call a few times in a second.
    package func tick() {
        if let found = file.take() { offered = found.verifier == present ? nil : found }
        guard let next = offered, case let keys = counting(), !keys.isEmpty else { return }
        guard keys.contains("\(next.verifier)") else {
            let words = "the key that lies in the key's file does not count for \(next.verifier.name) by control's ledger: it is not taken up before it does"
            if said != words { logger.error("\(words)") }
            said = words
            return
        }
        offered = nil
        present = next.verifier
        use(next)
        logger.notice("\(present.name) signs with the key \(present.id) from here on")
    }
}
