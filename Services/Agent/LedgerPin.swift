import Chassis
import Foundation
import Ledger
import Logging
import Messaging
import Wire

/// By which keys this agent believes control's ledger: begins with the one in agent.json, and goes on as the ledger itself proves (``LedgerTrust``).
///
/// Ingest hands over the proofs of all changes with its welcome, so that an agent that slept through some of them follows them one by one. What it has come to stands in
/// agent.json before anything rests on it.
final class LedgerPin {
    private(set) var trust: LedgerTrust
    /// What was offered, follows on what is known here by its place, and is not proven.
    private(set) var refused: UInt64 = 0
    private let folder: String
    private let logger: Logger
    private var said: LedgerKeyNotProven?

    init(folder: String, trust: LedgerTrust, logger: Logger) {
        self.folder = folder
        self.trust = trust
        self.logger = logger
    }

    /// Of control's ledger.
    var origin: KeyName { trust.origin }
    var keys: [VerifierKey] { trust.keys }
    /// What this agent has accepted itself in an earlier run may be signed with a key that counted then.
    var everBelieved: [VerifierKey] { trust.keys + trust.retired.sorted { "\($0)" < "\($1)" } }

    /// - Returns: whether other keys are believed now.
    func take(_ proofs: [WireEntryProof]) -> Bool {
        var next = trust
        for proof in proofs.prefix(Limits.ledgerKeyProofsMax) {
            do throws(LedgerKeyNotProven) { _ = try next.take(proof) } catch {
                // Those before the key that this agent began with are signed with others.
                guard case .entry(.notProven(.note(.unsigned))) = error else {
                    refused += 1
                    if said != error { logger.error("another key of control's ledger was offered and is not taken: \(error)") }
                    said = error
                    continue
                }
            }
        }
        guard next != trust else { return false }
        trust = next
        logger.notice("control's ledger is believed by \(keys.map { "\($0.id)" }.joined(separator: " and ")), by entry \(trust.index)")
        let path = folder + "/agent.json"
        guard let data = FileManager.default.contents(atPath: path), var settings = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else { return true }
        settings.merge(AgentSettings.fields(of: trust)) { $1 }
        do {
            try JSONSerialization.data(withJSONObject: settings, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
                .write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            // Ingest says the same at the next start, for as long as it can tell.
            logger.error("\(path) cannot be written: \(error)")
        }
        return true
    }
}
