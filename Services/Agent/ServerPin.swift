import Chassis
import Foundation
import Ledger
import Logging
import Messaging
import Wire

/// Which keys of ingest this agent takes: the one in agent.json, and beside it the newest that control's ledger has announced (`server.proof`), unless
/// that was retired before ingest was ever met under it (`server.retired`).
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
    private let ledger: LedgerPin
    private let logger: Logger
    private var said: ServiceKeyNotProven?
    /// The announced key that was retired last. What was announced before is not taken any more.
    private var retired: ServiceKeyRetirement?

    init(folder: String, pinned: CurveKey, ledger: LedgerPin, logger: Logger) {
        self.folder = folder
        self.pinned = pinned
        self.ledger = ledger
        self.logger = logger
        // Checked like what comes: the files may be anybody's.
        if let data = FileManager.default.contents(atPath: retiredPath) {
            do throws(ServiceKeyNotProven) {
                guard let proof = WireEntryProof(file: data) else { throw .entry(.unreadable) }
                // Accepted when it came, by a key that counted then.
                retired = try ServiceKeyRetirement.check(proof, of: "ingest", ledger: ledger.everBelieved)
            } catch {
                refused += 1
                logger.error("\(retiredPath) retires no key of ingest: \(error)")
            }
        }
        guard let data = FileManager.default.contents(atPath: proofPath) else { return }
        do throws(ServiceKeyNotProven) {
            guard let proof = WireEntryProof(file: data) else { throw .entry(.unreadable) }
            announced = try check(proof)
        } catch {
            refused += 1
            logger.error("\(proofPath) names no key of ingest: \(error)")
        }
    }

    private var proofPath: String { folder + "/server.proof" }
    private var retiredPath: String { folder + "/server.retired" }

    private func check(_ proof: WireEntryProof) throws(ServiceKeyNotProven) -> ServiceKeyAnnouncement {
        let next = try ServiceKeyAnnouncement.check(proof, of: "ingest", ledger: ledger.keys, accepted: announced)
        if let retired, next.index < retired.index { throw .older(index: next.index, accepted: retired.index) }
        return next
    }

    /// Each is tried; the one that was met last comes first.
    var keys: [CurveKey] { [pinned] + (announced.map { $0.key == pinned ? [] : [$0.key] } ?? []) }

    /// Takes what is offered as ingest's key, if control's ledger has announced it and none since.
    func take(_ proof: WireEntryProof) {
        do throws(ServiceKeyNotProven) {
            let next: ServiceKeyAnnouncement
            do throws(ServiceKeyNotProven) { next = try check(proof) } catch .older(let index, let accepted) {
                // The one that counts since the newer was retired, and the one that this agent has.
                guard accepted == retired?.index, let known = try? ServiceKeyAnnouncement.check(proof, of: "ingest", ledger: ledger.keys, accepted: nil), known.key == pinned
                else { throw .older(index: index, accepted: accepted) }
                return
            }
            guard next != announced else { return resign(proof) }
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

    /// The same entry: kept anew if what is kept was signed with a key of control's ledger that counts no more, or the next start would not believe it.
    private func resign(_ proof: WireEntryProof) {
        guard let data = FileManager.default.contents(atPath: proofPath), let kept = WireEntryProof(file: data), (try? ProvenEntry(kept, ledger: ledger.keys)) == nil else { return }
        try? proof.file?.write(to: URL(fileURLWithPath: proofPath), options: .atomic)
    }

    /// Takes what is offered as a key of ingest's that counts no more, if control's ledger says so. Of one under which ingest was met nothing changes:
    /// there would be none left.
    func take(retired proof: WireEntryProof) {
        do throws(ServiceKeyNotProven) {
            let gone = try ServiceKeyRetirement.check(proof, of: "ingest", ledger: ledger.keys)
            guard let announced, announced.key == gone.key, announced.index < gone.index, gone.key != pinned else { return }
            self.announced = nil
            retired = gone
            // Before the other goes: a start in between knows that it does not count.
            try? proof.file?.write(to: URL(fileURLWithPath: retiredPath), options: .atomic)
            unlink(proofPath)
            logger.info("ingest will not go by the key \(gone.key.z85): it was retired by entry \(gone.index)")
        } catch {
            refused += 1
            if said != error { logger.error("a key of ingest is said to be retired, and that is not taken: \(error)") }
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
