import Foundation
import Ledger
import Seal
import SwiftProtobuf
import Wire

/// Why an agent does not seal to a key that it is given.
enum AnnouncementRefused: Error, Hashable, Sendable, CustomStringConvertible {
    case absent
    /// No entry, or no proof, that could be looked at.
    case unreadable
    case notProven(EntryProofRefused)
    /// It is in the ledger, and announces no key.
    case otherDeed
    /// The entry says that it stands elsewhere than where it was proven to be.
    case misplaced(index: UInt64, proven: UInt64)
    case badKey
    /// Another key was announced since.
    case older(index: UInt64, accepted: UInt64)
    /// Two keys at one place: control's ledger has two histories.
    case contradicts(index: UInt64)

    var description: String {
        switch self {
        case .absent: "ingest has named no vault key yet"
        case .unreadable: "the vault key that ingest names comes without a proof that can be read"
        case .notProven(.note(.unsigned)):
            "the vault key that ingest names is not signed with a key of control's ledger that this agent knows: if the key was exchanged more often while this agent was off than ingest can tell, join anew ('sluice enrol', then 'sluice-agent join' with an empty folder)"
        case .notProven(let why): "control's ledger does not prove the vault key that ingest names: \(why)"
        case .otherDeed: "the entry that ingest names announces no vault key"
        case .misplaced(let index, let proven): "the vault key's entry says that it is number \(index) and is proven as number \(proven)"
        case .badKey: "the announced vault key is no X25519 key"
        case .older(let index, let accepted): "the vault key of entry \(index) is older than the one of entry \(accepted) that this agent has accepted"
        case .contradicts(let index): "entry \(index) of control's ledger announced two different vault keys: tell an operator"
        }
    }
}

/// The vault's key, as control's ledger announced it: what an agent seals to.
struct VaultAnnouncement: Hashable, Sendable {
    let key: VaultPublicKey
    /// Of the entry in control's ledger, from 1.
    let index: UInt64

    /// - Parameters:
    ///   - proof: What ingest gave, whoever that was.
    ///   - ledger: Keys that control's ledger is believed by; pinned, or proven by one that was.
    ///   - accepted: The one that was last taken.
    static func check(
        _ proof: WireEntryProof, ledger: [VerifierKey], accepted: VaultAnnouncement?
    ) throws(AnnouncementRefused) -> VaultAnnouncement {
        guard let entry = LedgerEntry(salt: [UInt8](proof.entry.salt), body: [UInt8](proof.entry.body)) else { throw .unreadable }
        let proven: UInt64
        do {
            let file = try EntryProof(parsing: [UInt8](proof.proof))
            _ = try file.verify(entry.leaf, ledger: ledger)
            proven = file.index + 1
        } catch {
            throw .notProven(error)
        }
        // Only now is anything of it read: it is what control recorded.
        guard let body = try? WireEntry(serializedBytes: proof.entry.body) else { throw .unreadable }
        guard case .vaultKeyAnnounced(let deed) = body.deed else { throw .otherDeed }
        guard body.index == proven else { throw .misplaced(index: body.index, proven: proven) }
        guard let key = VaultPublicKey(raw: [UInt8](deed.key)) else { throw .badKey }
        if let accepted {
            guard proven >= accepted.index else { throw .older(index: proven, accepted: accepted.index) }
            guard proven > accepted.index || key == accepted.key else { throw .contradicts(index: proven) }
        }
        return VaultAnnouncement(key: key, index: proven)
    }
}
