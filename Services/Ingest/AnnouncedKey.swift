import Chassis
import Gate
import Ledger
import Messaging
import SwiftProtobuf
import Wire

/// The entry of control's ledger that announced a key, or retired one, with its proof: fetched from control, handed to agents. They believe nobody's
/// word for which key it is, and this node's neither.
final class AnnouncedKey {
    private let follower: Follower
    private let lease: Span
    private let newest: (Governance) -> UInt64
    private let announces: (WireEntry.OneOf_Deed) -> Bool
    private(set) var proof: WireEntryProof?
    /// Of the entry that `proof` is of.
    private var index: UInt64 = 0
    /// The change of control's own keys after which it was asked for: what was signed with a key that is retired since is proof to nobody.
    private var keys: UInt64 = 0
    /// How many keys of control's ledger vouch for it. Control may sign with another one since: who knows that one alone believes nothing else.
    private var signers = 0
    private var asked: Instant?
    /// There is another one.
    var changed: (WireEntryProof) -> Void = { _ in }

    /// - Parameters:
    ///   - newest: the entry that did so, by the ledger; 0: none has.
    ///   - announces: whether a deed does.
    init(follower: Follower, lease: Span, newest: @escaping (Governance) -> UInt64, announces: @escaping (WireEntry.OneOf_Deed) -> Bool) {
        self.follower = follower
        self.lease = lease
        self.newest = newest
        self.announces = announces
    }

    /// The vault's, which agents seal to.
    static func ofVault(_ follower: Follower, lease: Span) -> AnnouncedKey {
        AnnouncedKey(follower: follower, lease: lease) { $0.vaultKeyIndex } announces: { if case .vaultKeyAnnounced = $0 { true } else { false } }
    }

    /// This node's own, which agents take beside the one that they know; until one was announced there is none to fetch.
    static func ofIngest(_ follower: Follower, lease: Span) -> AnnouncedKey {
        AnnouncedKey(follower: follower, lease: lease) { $0.serviceKeys.announcedAt["ingest"] ?? 0 } announces: {
            if case .serviceKeyAnnounced(let body) = $0 { body.service == "ingest" } else { false }
        }
    }

    /// The last of this node's own that counts no more: agents that were told of it, and never met this node under it, go on trying it otherwise.
    static func retiredOfIngest(_ follower: Follower, lease: Span) -> AnnouncedKey {
        AnnouncedKey(follower: follower, lease: lease) { $0.serviceKeys.retiredAt["ingest"] ?? 0 } announces: {
            if case .serviceKeyRetired(let body) = $0 { body.service == "ingest" } else { false }
        }
    }

    /// Asks control for as long as the newest announcement is not here. Only once what control says is followed to its end: or each key that the
    /// ledger ever announced would be asked for at every start.
    func tick(at now: Instant) {
        let governance = follower.fold.governance
        // Agents hear of the key first, and then of what it signs.
        let isStale = keys != governance.ownKeysIndex && follower.keyProofs.last?.index ?? 0 >= governance.ownKeysIndex
        guard follower.isHeld(at: now), case let newest = newest(governance), index != newest || newest > 0 && (isStale || signersNow > signers) else { return }
        // The key was retired: an older one counts, and nobody is told of this one any more.
        if newest < index {
            index = 0
            proof = nil
        }
        guard newest > 0 else { return }
        guard asked.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true else { return }
        asked = now
        var query = WireQuery()
        query.proof.index = newest
        follower.link.send(.query, query)
    }

    func take(_ answer: WireAnswer) {
        guard case .proof(let found) = answer.about, let entry = try? WireEntry(serializedBytes: found.entry.body), case let known = follower.fold.governance,
            entry.index != index || keys != known.ownKeysIndex || signersNow > signers, entry.index == newest(known), let deed = entry.deed, announces(deed),
            (try? ProvenEntry(found, ledger: follower.trust.keys)) != nil
        else { return }
        index = entry.index
        keys = known.ownKeysIndex
        let lines = String(decoding: found.proof, as: UTF8.self).split(separator: "\n")
        signers = lines.count { $0.hasPrefix("\u{2014} \(follower.trust.origin) ") }
        proof = found
        changed(found)
    }

    private var signersNow: Int { follower.newest?.note.signatures.count { $0.name == follower.trust.origin } ?? 0 }
}
