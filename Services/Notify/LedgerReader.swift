import Chassis
import Foundation
import Gate
import Ledger

/// Takes control's ledger into the outbox, and notices when it is another than the one that was taken before. Blocks on the disk: for the outbox's thread.
///
/// Every run reads the ledger from its first entry on. Up to the cursor it is compared, behind it is new. At the first entry that is another than was taken
/// the ledger was put back, and forks: what follows is held, and told to nobody, until an entry behind the fork says that two operators have given the other
/// history up. Then the fork is where the outbox goes on. Nothing of this is kept but the hashes: the next run comes to the same.
struct LedgerReader {
    private let outbox: Outbox
    private let channels: [String]
    private let mails: @Sendable (FollowedEntry) -> [Outbox.Mail]
    private var held: [Outbox.Told] = []
    /// The last entry that both have; nil: there is no other history.
    private(set) var fork: UInt64?
    var storm = Storm()

    /// - Parameter mails: What an entry gives to tell by mail.
    init(into outbox: Outbox, channels: [String], mails: @escaping @Sendable (FollowedEntry) -> [Outbox.Mail] = { _ in [] }) {
        self.outbox = outbox
        self.channels = channels
        self.mails = mails
    }

    /// What became of some entries.
    struct Outcome: Sendable {
        /// Messages that are new.
        var new = 0
        /// Another history was given up: it had so many entries, and the fork lies after this one.
        var restored: (fork: UInt64, taken: UInt64)?
    }

    /// Takes the next entries. They are checked: who signed them, and that an unsealing has two operators behind it.
    mutating func take(_ entries: [FollowedEntry], at now: WallTime) throws(OutboxError) -> Outcome {
        guard let first = entries.first, let last = entries.last else { return Outcome() }
        var cursor = try outbox.cursor()
        var known = first.index <= cursor ? try outbox.hashes(first.index...last.index) : [:]
        var outcome = Outcome()
        var next: [Outbox.Told] = []
        // Of what was taken before, as all is at a start, nothing is made again.
        func told(_ followed: FollowedEntry) -> Outbox.Told { Outbox.Told(index: followed.index, hash: followed.hash, message: Bodies.message(for: followed), mails: mails(followed)) }
        for followed in entries {
            if fork == nil {
                if let hash = known[followed.index], followed.index <= cursor {
                    guard hash != followed.hash else { continue }
                    fork = followed.index - 1
                } else {
                    next.append(told(followed))
                    continue
                }
            }
            held.append(told(followed))
            guard let fork, try givesUp(followed.entry, what: cursor, after: fork) else { continue }
            outcome.new += try outbox.take(storm.sorted(held, at: now), from: fork, channels: channels, at: now)
            outcome.restored = (fork, cursor)
            (held, self.fork) = ([], nil)
            (cursor, known) = (followed.index, [:])
        }
        if !next.isEmpty { outcome.new += try outbox.take(storm.sorted(next, at: now), channels: channels, at: now) }
        return outcome
    }

    /// Whether two operators have given up what was taken. An unsealing that names no checkpoint stands for whatever was lost; one that names a
    /// checkpoint stands for that history alone, as far as the outbox can tell.
    private func givesUp(_ entry: Entry, what taken: UInt64, after fork: UInt64) throws(OutboxError) -> Bool {
        guard case .unsealed(_, _, _, let abandons) = entry.deed else { return false }
        guard !abandons.isEmpty else { return true }
        guard let checkpoint = try? Checkpoint(parsing: String(decoding: abandons, as: UTF8.self)), checkpoint.size > fork else { return false }
        guard checkpoint.size <= taken else { return true }
        return try outbox.root(at: checkpoint.size) == checkpoint.root
    }
}
