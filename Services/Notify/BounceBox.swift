import Foundation
import Gate
import Mail

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Reads what comes back, from the Maildir of the mailbox that mails are from. Belongs to one thread; blocks on the disk.
///
/// A report about one of our mails, or a receipt for one, is noted and moved to the folder `.Sluice` within, where a mail program still shows it. Whatever else lies there is
/// somebody's: it is left, and looked at once in a run. A kill between the noting and the moving notes it a second time, which changes nothing.
final class BounceBox {
    /// What one look came to.
    struct Look: Hashable, Sendable {
        /// Mails that are undeliverable by it, and were not before.
        var noted = 0
        /// Mails that were opened by it, and were not before.
        var opened = 0
        /// Reports about ours: also that one is late, or has arrived.
        var handled = 0
        /// All that was left in the folder, up to now.
        var left = 0
        /// Why the folder could not be read.
        var trouble: String?
        /// Why what is about ours is noted, and lies where it lay.
        var unmoved: String?
        /// There is more to look at.
        var hasMore = false
    }

    /// What a look may take, and what is kept from one to the next.
    struct Bounds {
        /// Files that are opened in a look: a full mailbox holds nobody up.
        var files = 500
        /// Names that are read in a look.
        var names = 20_000
        /// Files that a pass hands on, the oldest first; the others are the next one's.
        var found = 20_000
        /// What was looked at, by name.
        var known = 100_000
    }

    private let folder: String
    private let outbox: Outbox
    private let key: NoticeKey
    private let bounds: Bounds
    private let listing: FolderListing
    private var looked: LookedAt
    /// Of the pass that is under way, and when it began.
    private var found: [LookedAt.File] = []
    private var began: WallTime?
    private var isCut = false
    /// It has left files that could not be kept: they are looked at again, and not at once.
    private var isFull = false
    /// Of the last pass, the oldest first: these are looked at next.
    private var waiting: ArraySlice<LookedAt.File> = []
    /// Since the beginning.
    private(set) var filesOpened = 0
    /// As long as nothing can be put aside.
    private var unmoved: String?

    init(_ folder: String, outbox: Outbox, key: NoticeKey, _ bounds: Bounds = Bounds()) {
        self.folder = folder
        self.outbox = outbox
        self.key = key
        self.bounds = bounds
        listing = FolderListing([folder + "/new", folder + "/cur"])
        looked = LookedAt(namesMax: bounds.known)
    }

    func look(at now: WallTime) throws(OutboxError) -> Look {
        var look = Look()
        if looked.beginsAnew(at: now) { endPass() }
        do throws(FolderUnreadable) { look.hasMore = try !find(at: now) } catch {
            endPass()
            look.trouble = "\(error)"
        }
        var files = 0
        while files < bounds.files, let file = waiting.popFirst() {
            files += 1
            // It was moved: the next pass finds it where it is.
            guard let content = BounceBox.content(of: file.path) else { continue }
            filesOpened += 1
            if try take(content, at: now, &look), put(aside: file) { look.handled += 1 } else if !looked.insert(file, of: began ?? now) { isFull = true }
        }
        if waiting.isEmpty, !look.hasMore, look.trouble == nil {
            look.hasMore = isCut && !isFull
            endPass()
        } else if !waiting.isEmpty { look.hasMore = true }
        look.left = looked.count
        look.unmoved = unmoved
        return look
    }

    private func endPass() {
        listing.rewind()
        (found, waiting, began, isCut, isFull) = ([], [], nil, false, false)
    }

    /// Goes on with the pass, if what the last one has found is done with.
    ///
    /// - Returns: whether there is something to look at, or nothing more to find.
    private func find(at now: WallTime) throws(FolderUnreadable) -> Bool {
        guard waiting.isEmpty else { return true }
        began = began ?? now
        let isEnd = try listing.read(bounds.names) { folder, name in
            guard let file = looked.file(folder, name) else { return }
            found.append(file)
            if found.count >= 2 * bounds.found { cut() }
        }
        guard isEnd else { return false }
        cut()
        (waiting, found) = (found[...], [])
        return true
    }

    private func cut() {
        found.sort()
        guard found.count > bounds.found else { return }
        found.removeLast(found.count - bounds.found)
        isCut = true
    }

    /// - Returns: whether it is about one of ours.
    private func take(_ content: [UInt8], at now: WallTime, _ look: inout Look) throws(OutboxError) -> Bool {
        if let report = DeliveryReport(content) { return try take(report, at: now, &look) }
        let receipt: Outbox.Receipt
        switch Receipt(content) {
        case .link(let code)?:
            guard let id = try mail(with: code) else { return false }
            receipt = .init(id: id, recipient: nil, way: .link)
        case .disposition(let disposition)?:
            guard let id = BounceBox.ours(disposition.messageID) else { return false }
            guard disposition.isDisplayed else { return try outbox.isMail(id, for: disposition.original) }
            receipt = .init(id: id, recipient: disposition.original, way: .disposition)
        case nil: return false
        }
        let outcome = try outbox.opened([receipt], at: now)
        if outcome == [.noted] { look.opened += 1 }
        return outcome != [.foreign]
    }

    private func take(_ report: DeliveryReport, at now: WallTime, _ look: inout Look) throws(OutboxError) -> Bool {
        guard let id = report.messageID.flatMap(BounceBox.ours) else { return false }
        var isOurs = false
        for recipient in report.recipients {
            let named = recipient.original ?? recipient.final
            guard recipient.hasFailed else {
                if !isOurs { isOurs = try outbox.isMail(id, for: named) }
                continue
            }
            // A mail of ours has one recipient: where the report names the address that it was sent on to, it is about them still.
            switch try outbox.returned(id, recipient: recipient.original, status: recipient.status, why: recipient.diagnostic, at: now) {
            case .noted: (isOurs, look.noted) = (true, look.noted + 1)
            case .known: isOurs = true
            case .foreign: break
            }
        }
        return isOurs
    }

    /// The mail that has this code; nil: none, or the code is somebody's invention.
    private func mail(with code: ReceiptCode) throws(OutboxError) -> String? {
        try outbox.noticeMails(beginning: NoticeKey.beginning(of: code)).first { key.code(of: $0.subject, $0.decision) == code }?.id
    }

    /// What is before the `@` of a `Message-ID`, if it can be one of ours.
    private static func ours(_ messageID: String) -> String? {
        guard let at = messageID.firstIndex(of: "@"), messageID.hasPrefix("mail_") else { return nil }
        return String(messageID[..<at])
    }

    /// As much of it as is looked at; nothing of what is no plain file. Nil: it is not there any more.
    private static func content(of path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return errno == ENOENT ? nil : [] }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return [] }
        let wanted = min(Int(status.st_size), DeliveryReport.bytesMax)
        return [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
            while count < wanted {
                let got = read(file, buffer.baseAddress?.advanced(by: count), wanted - count)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { return }
                count += got
            }
        }
    }

    /// As Maildir++ has a folder within.
    private func put(aside file: LookedAt.File) -> Bool {
        let target = "\(folder)/.Sluice"
        var isMade = true
        for made in ["", "/tmp", "/new", "/cur"] where isMade { isMade = mkdir(target + made, 0o700) == 0 || errno == EEXIST }
        guard isMade, rename(file.path, "\(target)/cur/\(file.name.contains(":") ? file.name : file.name + ":2,")") == 0 else {
            let why = String(cString: strerror(errno))
            // Somebody else may have moved it: that is no trouble.
            if errno != ENOENT { unmoved = "what is about our mails cannot be put aside in \(target): \(why)" }
            return false
        }
        unmoved = nil
        return true
    }
}
