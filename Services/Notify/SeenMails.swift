import Foundation
import Gate

/// Which of the mails that are kept in the home a mail program has marked as seen: `cur/ID.sluice:2,S`. Belongs to one thread.
///
/// Who can write there can read what lies there, too: it is the owner of the home who says so.
final class SeenMails {
    struct Look: Hashable, Sendable {
        /// And were not before.
        var opened = 0
        /// There is more to look at.
        var hasMore = false
    }

    private let listing: FolderListing
    private let outbox: Outbox
    /// By a hash of their names.
    private var noted: Set<Int> = []

    /// Names that are read in a look, and noted in one transaction.
    static let namesMax = 2_000
    /// Names that are kept. With more they are asked for anew, which changes nothing.
    static let notedMax = 100_000

    init(_ folder: String, outbox: Outbox) {
        listing = FolderListing([folder + "/cur"])
        self.outbox = outbox
    }

    func look(at now: WallTime) throws(OutboxError) -> Look {
        var seen: [String] = []
        let isEnd: Bool
        // Before the first mail there is no folder.
        do throws(FolderUnreadable) { isEnd = try listing.read(SeenMails.namesMax) { _, name in if let id = SeenMails.id(of: name), !noted.contains(id.hashValue) { seen.append(id) } } } catch { return Look() }
        let outcomes = try outbox.opened(seen.map { .init(id: $0, recipient: nil, way: .seen) }, at: now)
        if noted.count + seen.count > SeenMails.notedMax { noted = [] }
        for id in seen { noted.insert(id.hashValue) }
        return Look(opened: outcomes.count { $0 == .noted }, hasMore: !isEnd)
    }

    /// Of a mail that ``Maildir`` has kept and somebody has seen.
    static func id(of name: String) -> String? {
        let parts = name.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].hasPrefix("2,"), parts[1].dropFirst(2).contains("S"), parts[0].hasSuffix(Maildir.suffix) else { return nil }
        return String(parts[0].dropLast(Maildir.suffix.count))
    }
}
