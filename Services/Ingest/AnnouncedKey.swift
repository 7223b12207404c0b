import Chassis
import Gate
import Messaging
import SwiftProtobuf
import Wire

/// The entry of control's ledger that announced the vault's key, with its proof: fetched from control, handed to agents. They believe nobody's
/// word for which key it is, and this node's neither.
final class AnnouncedKey {
    private let follower: Follower
    private let lease: Span
    private(set) var proof: WireEntryProof?
    /// Of the entry that `proof` is of.
    private var index: UInt64 = 0
    private var asked: Instant?
    /// There is another one.
    var changed: (WireEntryProof) -> Void = { _ in }

    init(follower: Follower, lease: Span) {
        self.follower = follower
        self.lease = lease
    }

    /// Asks control for as long as the newest announcement is not here. Only once what control says is followed to its end: or each key that the
    /// ledger ever announced would be asked for at every start.
    func tick(at now: Instant) {
        guard follower.isHeld(at: now), index < follower.fold.governance.vaultKeyIndex else { return }
        guard asked.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true else { return }
        asked = now
        var query = WireQuery()
        query.vaultKey = WireVaultKeyQuery()
        follower.link.send(.query, query)
    }

    func take(_ answer: WireAnswer) {
        guard case .proof(let found) = answer.about, let entry = try? WireEntry(serializedBytes: found.entry.body), entry.index > index else { return }
        index = entry.index
        proof = found
        changed(found)
    }
}
