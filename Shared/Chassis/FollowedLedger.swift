package import Foundation
package import Gate
package import Ledger
package import Wire
import Identity
import SwiftProtobuf

/// Why control's ledger is followed no more. Each may be an error of the disk, or control telling two stories.
package enum NotFollowed: Error, Hashable, Sendable, CustomStringConvertible {
    /// No note, or not signed by the key that this node was given.
    case unsigned(NoteRefused)
    case checkpoint(CheckpointRefused)
    /// Of another ledger, or of another size than the message says.
    case otherLedger(KeyName)
    case putBack(size: UInt64, had: UInt64)
    case unreadable(UInt64)
    case entry(FoldFault)
    case otherHistory(FoldFault)
    /// By a key that the ledger itself, in what the checkpoint is of, has retired, and by none that counts.
    case retiredKey(KeyName)

    package var description: String {
        switch self {
        case .unsigned(let why): "control's checkpoint is not signed as it must be: \(why)"
        case .checkpoint(let why): "control's checkpoint cannot be read: \(why)"
        case .otherLedger(let name): "control's checkpoint is of another ledger (\(name)), or of another size than it says"
        case .putBack(let size, let had): "control's ledger has \(size) entries and had \(had): it was put back"
        case .unreadable(let index): "entry \(index) of control's ledger cannot be read"
        case .entry(let fault): "control's ledger is not believed: \(fault)"
        case .otherHistory(let fault): "control's ledger has another history than was followed: \(fault)"
        case .retiredKey(let name): "control's checkpoint is signed with a key of \(name) that the ledger has retired: whoever signs may have stolen it"
        }
    }

    /// By nobody who is known here: there may be a key by now that is not known yet, and its announcement on the way.
    package var isUnknownSigner: Bool {
        if case .unsigned(.unsigned) = self { true } else { false }
    }
}

/// An entry of control's ledger as it was taken.
package struct FollowedEntry: Sendable {
    package let entry: Entry
    /// Of its leaf. No other entry has it, whatever place it stands at: the salt is its own.
    package let hash: TreeHash

    package init(_ entry: Entry, hash: TreeHash) {
        self.entry = entry
        self.hash = hash
    }

    package var index: UInt64 { entry.index }
}

/// What a node believes of control's ledger: the entries, each checked, and what control has signed for them. Reads no clock, touches no socket and no disk.
///
/// A node that is a witness also knows what it has cosigned in earlier runs (``witnessed``). It needs no proof that this continues: it has every entry, and
/// computes the root at that size itself.
package struct FollowedLedger: Sendable {
    package private(set) var fold = GovernanceFold()
    /// The last checkpoint that this node has cosigned, in this run or before.
    package private(set) var witnessed: Checkpoint?
    /// Signed by control, and all of it here and right: what may be cosigned next.
    package private(set) var confirmed: (note: SignedNote, checkpoint: Checkpoint)?
    /// Messages whose entries do not follow on those before them. What is missing is asked for again.
    package private(set) var gaps: UInt64 = 0
    /// By which keys control's ledger is believed. Goes by the ledger as soon as that is confirmed.
    package private(set) var trust: LedgerTrust
    /// Whether the first entries are those that were cosigned; nil: they are not all here yet.
    private var continues: Bool?
    /// Signed for more entries than are here: compared when they are.
    private var awaited: (note: SignedNote, checkpoint: Checkpoint, signers: [VerifierKey])?
    private var believed: (note: Data, size: UInt64) = (Data(), 0)
    /// The ledger's own keys that count by the entries here, since the entry that changed them: read once.
    private var counting: (index: UInt64, keys: [VerifierKey]) = (0, [])

    package init(trust: LedgerTrust, witnessed: Checkpoint? = nil) {
        self.trust = trust
        self.witnessed = witnessed
        continues = witnessed.map { $0.size == 0 } == true ? true : nil
    }

    /// Entries taken.
    package var applied: UInt64 { fold.size }

    /// Why this node does not believe control's ledger, though each entry of it is in order; nil: it does, or cannot say yet.
    package var trouble: String? {
        guard let witnessed, !fold.governance.abandoned.contains(Array(witnessed.text.utf8)) else { return nil }
        if continues == false { return "the first \(witnessed.size) entries are others than those that were cosigned: 'sluice ledger restore governance' says what to do" }
        guard continues == nil, believed.size > 0, believed.size < witnessed.size else { return nil }
        return "\(witnessed.size) entries were cosigned, and there are fewer: it was put back; 'sluice ledger restore governance' says what to do"
    }

    /// What was cosigned is kept on disk.
    package mutating func cosigned(_ checkpoint: Checkpoint) {
        guard checkpoint.size <= applied else { return }
        witnessed = checkpoint
        continues = true
    }

    /// What is to be cosigned now, if anything: what was cosigned last is continued by it, or was given up.
    package var next: (note: SignedNote, checkpoint: Checkpoint)? {
        guard let confirmed, trouble == nil, continues != nil || witnessed == nil || isAbandoned, confirmed.checkpoint != witnessed else { return nil }
        return confirmed
    }

    private var isAbandoned: Bool { witnessed.map { fold.governance.abandoned.contains(Array($0.text.utf8)) } ?? false }

    /// Takes control's word for how its ledger stands.
    ///
    /// - Returns: false: what it says, and the message's size, do not go together; nothing rests on it.
    package mutating func believe(_ note: Data, of size: UInt64) throws(NotFollowed) -> Bool {
        guard note != believed.note else { return size == believed.size }
        let (signed, signers) = try check(note)
        let checkpoint: Checkpoint
        do throws(CheckpointRefused) { checkpoint = try Checkpoint(parsing: signed.text) } catch { throw .checkpoint(error) }
        guard checkpoint.origin == trust.origin, checkpoint.size == size else { throw .otherLedger(checkpoint.origin) }
        guard size >= applied else { throw .putBack(size: size, had: applied) }
        believed = (note, size)
        awaited = (signed, checkpoint, signers)
        try compare()
        return true
    }

    /// Whether what stands beside entries is signed by who is believed: before that none of them is taken.
    ///
    /// - Throws: `unsigned`.
    package func checkSigned(_ note: Data) throws(NotFollowed) {
        if note != believed.note { _ = try check(note) }
    }

    private func check(_ note: Data) throws(NotFollowed) -> (SignedNote, [VerifierKey]) {
        do throws(NoteRefused) {
            let signed = try SignedNote(parsing: [UInt8](note))
            return (signed, try signed.verify(oneOf: trust.keys).map(\.key))
        } catch { throw .unsigned(error) }
    }

    /// Takes what proves a key of control's ledger, or that one counts no more.
    ///
    /// - Returns: whether other keys are believed now.
    package mutating func take(key proof: WireEntryProof) throws(LedgerKeyNotProven) -> Bool { try trust.take(proof) }

    private mutating func compare() throws(NotFollowed) {
        guard let (note, checkpoint, signers) = awaited, checkpoint.size == applied else { return }
        awaited = nil
        do throws(FoldFault) { try fold.compare(checkpoint) } catch { throw .otherHistory(error) }
        if case let index = fold.governance.ownKeysIndex, index > 0 {
            let isNew = counting.index != index
            if isNew { counting = (index, fold.governance.ledgerKeys.verifiers(trust.origin)) }
            guard counting.keys.contains(where: { signers.contains($0) }) else { throw .retiredKey(trust.origin) }
            // The ledger knows of more that were retired than proofs have told.
            if isNew || trust.index != index || trust.keys != counting.keys { trust.follow(fold.governance) }
        }
        confirmed = (note, checkpoint)
    }

    /// Takes what follows on what is here; what is known already is skipped.
    package mutating func take(_ body: WireEntries) throws(NotFollowed) -> [FollowedEntry] {
        var next: [FollowedEntry] = []
        for recorded in body.recorded {
            guard let wire = try? WireEntry(serializedBytes: recorded.body) else { throw .unreadable(applied + 1) }
            guard wire.index > applied else { continue }
            guard wire.index == applied + 1 else {
                gaps += 1
                break
            }
            let entry: Entry
            do throws(FoldFault) { entry = try fold.take(recorded) } catch { throw .entry(error) }
            guard let hash = fold.newest else { throw .unreadable(applied) }
            next.append(FollowedEntry(entry, hash: hash))
            if let witnessed, witnessed.size == applied, continues == nil { continues = fold.frontier.root == witnessed.root }
            try compare()
        }
        return next
    }
}
