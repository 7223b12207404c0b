package import Foundation
package import Ledger
package import Messaging
import SwiftProtobuf
package import Wire

/// Why an entry is not believed to stand in control's ledger.
package enum EntryNotProven: Error, Hashable, Sendable {
    /// No entry, or no proof, that could be looked at.
    case unreadable
    case notProven(EntryProofRefused)
    /// The entry says that it stands elsewhere than where it was proven to be.
    case misplaced(index: UInt64, proven: UInt64)
}

/// An entry of control's ledger, with all that anybody needs to believe it who has the ledger's key: whoever hands it over.
package struct ProvenEntry: Sendable {
    package let body: WireEntry
    /// From 1.
    package let index: UInt64
    /// Those of the ledger's keys that signed.
    package let signers: [VerifierKey]

    /// - Parameter ledger: The keys that it is believed by; one of them has signed. Not empty.
    package init(_ proof: WireEntryProof, ledger: [VerifierKey]) throws(EntryNotProven) {
        guard let entry = LedgerEntry(salt: [UInt8](proof.entry.salt), body: [UInt8](proof.entry.body)) else { throw .unreadable }
        do {
            let file = try EntryProof(parsing: [UInt8](proof.proof))
            signers = try file.verify(entry.leaf, ledger: ledger).signatories.map(\.key)
            index = file.index + 1
        } catch {
            throw .notProven(error)
        }
        // Only now is anything of it read: it is what control recorded.
        guard let body = try? WireEntry(serializedBytes: proof.entry.body) else { throw .unreadable }
        guard body.index == index else { throw .misplaced(index: body.index, proven: index) }
        self.body = body
    }
}

extension WireEntryProof {
    /// From a file as `sluice ledger prove` writes it: C2SP tlog-proof, whose `extra` is salt and body.
    package init?(file: Data) {
        guard let proof = try? EntryProof(parsing: [UInt8](file)), let extra = proof.extra, extra.count > 32 else { return nil }
        self.init()
        entry.salt = Data(extra[..<32])
        entry.body = Data(extra[32...])
        self.proof = file
    }

    /// The same file, of what control answers.
    package var file: Data? {
        guard let proof = try? EntryProof(parsing: [UInt8](proof)),
            let whole = try? EntryProof(extra: [UInt8](entry.salt + entry.body), index: proof.index, hashes: proof.hashes, note: proof.note)
        else { return nil }
        return Data(whole.bytes)
    }
}

/// Why a key is not taken for a service's.
package enum ServiceKeyNotProven: Error, Hashable, Sendable, CustomStringConvertible {
    case entry(EntryNotProven)
    /// It is in the ledger, and announces, or retires, no key of this service.
    case otherDeed
    case badKey
    /// Another key was announced since.
    case older(index: UInt64, accepted: UInt64)
    /// Two keys at one place: control's ledger has two histories.
    case contradicts(index: UInt64)

    package var description: String {
        switch self {
        case .entry(let why): "control's ledger does not prove it: \(why)"
        case .otherDeed: "the entry that is named says nothing of that kind of a key of this service"
        case .badKey: "what is announced is no CURVE key"
        case .older(let index, let accepted): "it was announced by entry \(index), and entry \(accepted) was accepted: it is an older one"
        case .contradicts(let index): "entry \(index) of control's ledger announced two different keys: tell an operator"
        }
    }
}

/// A service's key, as control's ledger announced it.
package struct ServiceKeyAnnouncement: Hashable, Sendable {
    package let key: CurveKey
    /// Of the entry in control's ledger, from 1.
    package let index: UInt64

    /// - Parameters:
    ///   - proof: What somebody gave, whoever that was.
    ///   - ledger: Keys that control's ledger is believed by; pinned, or proven by one that was.
    ///   - accepted: The one that was last taken.
    package static func check(
        _ proof: WireEntryProof, of service: String, ledger: [VerifierKey], accepted: ServiceKeyAnnouncement?
    ) throws(ServiceKeyNotProven) -> ServiceKeyAnnouncement {
        let entry: ProvenEntry
        do throws(EntryNotProven) { entry = try ProvenEntry(proof, ledger: ledger) } catch { throw .entry(error) }
        guard case .serviceKeyAnnounced(let deed) = entry.body.deed, deed.service == service else { throw .otherDeed }
        guard let key = CurveKey(deed.key) else { throw .badKey }
        if let accepted {
            guard entry.index >= accepted.index else { throw .older(index: entry.index, accepted: accepted.index) }
            guard entry.index > accepted.index || key == accepted.key else { throw .contradicts(index: entry.index) }
        }
        return ServiceKeyAnnouncement(key: key, index: entry.index)
    }
}

/// A service's key that counts no more, as control's ledger says.
package struct ServiceKeyRetirement: Hashable, Sendable {
    package let key: CurveKey
    /// Of the entry in control's ledger, from 1.
    package let index: UInt64

    /// - Parameters:
    ///   - proof: What somebody gave, whoever that was.
    ///   - ledger: Keys that control's ledger is believed by; pinned, or proven by one that was.
    package static func check(_ proof: WireEntryProof, of service: String, ledger: [VerifierKey]) throws(ServiceKeyNotProven) -> ServiceKeyRetirement {
        let entry: ProvenEntry
        do throws(EntryNotProven) { entry = try ProvenEntry(proof, ledger: ledger) } catch { throw .entry(error) }
        guard case .serviceKeyRetired(let deed) = entry.body.deed, deed.service == service else { throw .otherDeed }
        guard let key = CurveKey(deed.key) else { throw .badKey }
        return ServiceKeyRetirement(key: key, index: entry.index)
    }
}
