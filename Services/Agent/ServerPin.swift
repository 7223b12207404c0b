import Chassis
import Foundation
import Ledger
import Logging
import Messaging
import Wire

/// Which keys of ingest this agent takes: the one in agent.json, and beside it the newest that control's ledger has announced (`server.proof`).
///
/// Whoever hands the announcement over is not believed: its proof is. Ingest hands it to who is connected; to a machine that was off during the whole
/// exchange anybody may copy the file. The announced key takes the other's place in agent.json as soon as ingest has been met under it, and there is no
/// way back to the older one.
final class ServerPin {
    private(set) var pinned: CurveKey
    private(set) var announced: ServiceKeyAnnouncement?
    /// What was offered and not taken.
    private(set) var refused: UInt64 = 0
    private let folder: String
    private let ledger: VerifierKey
    private let logger: Logger
    private var said: ServiceKeyNotProven?

    init(folder: String, pinned: CurveKey, ledger: VerifierKey, logger: Logger) {
        self.folder = folder
        self.pinned = pinned
        self.ledger = ledger
        self.logger = logger
        guard let data = FileManager.default.contents(atPath: proofPath) else { return }
        // Checked like what comes: the file may be anybody's.
        do throws(ServiceKeyNotProven) {
            guard let proof = WireEntryProof(file: data) else { throw .entry(.unreadable) }
            announced = try ServiceKeyAnnouncement.check(proof, of: "ingest", ledger: ledger, accepted: nil)
        } catch {
            refused += 1
            logger.error("\(proofPath) names no key of ingest: \(error)")
        }
    }

    private var proofPath: String { folder + "/server.proof" }

    /// Each is tried; the one that was met last comes first.
    var keys: [CurveKey] { [pinned] + (announced.map { $0.key == pinned ? [] : [$0.key] } ?? []) }

    /// Takes what is offered as ingest's key, if control's ledger has announced it and none since.
    func take(_ proof: WireEntryProof) {
        do throws(ServiceKeyNotProven) {
            let next = try ServiceKeyAnnouncement.check(proof, of: "ingest", ledger: ledger, accepted: announced)
            guard next != announced else { return }
            announced = next
            // A kilobyte, once for each key that there ever is.
            try? proof.file?.write(to: URL(fileURLWithPath: proofPath), options: .atomic)
            logger.info("ingest may go by the key \(next.key.z85) too, announced by entry \(next.index)")
        } catch {
            refused += 1
            if said != error { logger.error("another key of ingest was offered and is not taken: \(error)") }
            said = error
        }
    }

    /// Ingest has been met under this key: it has it.
    func met(_ key: CurveKey) {
        guard key != pinned, key == announced?.key else { return }
        pinned = key
        let path = folder + "/agent.json"
        guard let data = FileManager.default.contents(atPath: path), var settings = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else { return }
        settings["serverKey"] = key.z85
        do {
            try JSONSerialization.data(withJSONObject: settings, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
                .write(to: URL(fileURLWithPath: path), options: .atomic)
            logger.notice("ingest goes by the key \(key.z85): agent.json says so now")
        } catch {
            // The proof beside it says the same at the next start.
            logger.error("\(path) cannot be written: \(error)")
        }
    }
}
