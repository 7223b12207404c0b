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
/// A report about one of our mails is noted and moved to the folder `.Sluice` within, where a mail program still shows it. Whatever else lies there is somebody's: it is left,
/// and looked at once in a run. A kill between the noting and the moving notes it a second time, which changes nothing.
final class BounceBox {
    /// What one look came to.
    struct Look: Hashable, Sendable {
        /// Mails that are undeliverable by it, and were not before.
        var noted = 0
        /// Reports about ours: also that one is late, or has arrived.
        var handled = 0
        /// All that was left in the folder, up to now.
        var left = 0
        /// Why the folder could not be read.
        var trouble: String?
        /// There is more to look at.
        var hasMore = false
    }

    private let folder: String
    private let outbox: Outbox
    /// What was left, by what stands before the colon: behind it are marks that mail programs change.
    private var seen: Set<String> = []

    /// Files that are opened in a look: a full mailbox holds nobody up.
    static let filesMax = 500
    /// Names that are kept. Beyond them what is left is looked at again each time.
    static let seenMax = 100_000

    init(_ folder: String, outbox: Outbox) {
        self.folder = folder
        self.outbox = outbox
    }

    func look(at now: WallTime) throws(OutboxError) -> Look {
        var look = Look()
        for part in ["new", "cur"] {
            guard let listing = opendir("\(folder)/\(part)") else {
                look.trouble = "\(folder)/\(part) cannot be read: \(String(cString: strerror(errno)))"
                break
            }
            defer { closedir(listing) }
            while let entry = readdir(listing) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
                let unique = String(name.prefix { $0 != ":" })
                guard !name.hasPrefix("."), !seen.contains(unique) else { continue }
                guard look.handled + look.left < BounceBox.filesMax else {
                    look.hasMore = true
                    break
                }
                if try take("\(folder)/\(part)/\(name)", at: now, &look), put(aside: name, from: part) {
                    look.handled += 1
                } else {
                    look.left += 1
                    if seen.count < BounceBox.seenMax { seen.insert(unique) }
                }
            }
        }
        look.left = seen.count
        return look
    }

    /// - Returns: whether it is about one of ours.
    private func take(_ path: String, at now: WallTime, _ look: inout Look) throws(OutboxError) -> Bool {
        guard let bytes = BounceBox.beginning(of: path), let report = DeliveryReport(bytes), let id = report.messageID.flatMap(BounceBox.ours) else { return false }
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

    /// What is before the `@` of a `Message-ID`, if it can be one of ours.
    private static func ours(_ messageID: String) -> String? {
        guard let at = messageID.firstIndex(of: "@"), messageID.hasPrefix("mail_") else { return nil }
        return String(messageID[..<at])
    }

    /// Nil: it is no plain file, or gone by now.
    private static func beginning(of path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
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
    private func put(aside name: String, from part: String) -> Bool {
        let target = "\(folder)/.Sluice"
        for made in ["", "/tmp", "/new", "/cur"] { guard mkdir(target + made, 0o700) == 0 || errno == EEXIST else { return false } }
        return rename("\(folder)/\(part)/\(name)", "\(target)/cur/\(name.contains(":") ? name : name + ":2,")") == 0
    }
}

/// Looks into the mailbox every now and then, on a thread of its own: a full one, or a disk that hangs, holds up nothing else.
final class BounceWatch: Sendable {
    private let settings: MailSettings.Bounces
    private let outbox: Outbox
    private let now: @Sendable () -> WallTime
    private let bell = Bell()

    /// - Parameter now: the wall clock.
    init(_ settings: MailSettings.Bounces, outbox: Outbox, now: @escaping @Sendable () -> WallTime) {
        self.settings = settings
        self.outbox = outbox
        self.now = now
    }

    /// - Parameters:
    ///   - told: what a look came to, from this thread.
    ///   - failed: the outbox cannot be written: nobody looks any more.
    func start(told: @escaping @Sendable (BounceBox.Look) -> Void, failed: @escaping @Sendable (OutboxError) -> Void) {
        let thread = Thread { [self] in
            let box = BounceBox(settings.folder, outbox: outbox)
            do throws(OutboxError) {
                while !bell.isStopped {
                    let look = try box.look(at: now())
                    told(look)
                    bell.wait(atMost: look.hasMore ? .milliseconds(100) : settings.every)
                }
            } catch { failed(error) }
        }
        thread.name = "bounces"
        thread.start()
    }

    /// It ends by itself, within a look. Nothing of it is lost: what was not noted lies there still.
    func stop() { bell.stop() }
}
