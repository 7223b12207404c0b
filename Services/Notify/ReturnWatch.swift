import Foundation
import Gate
import Messaging

/// Looks for what comes back every now and then, on a thread of its own: a full mailbox, or a disk that hangs, holds up nothing else.
final class ReturnWatch: Sendable {
    private let bounces: MailSettings.Bounces?
    private let kept: String?
    private let outbox: Outbox
    private let key: NoticeKey
    private let now: @Sendable () -> WallTime
    private let bell = Bell()

    /// - Parameters:
    ///   - bounces: The mailbox that mails are from.
    ///   - kept: The home's own Maildir, if mails are kept there.
    ///   - now: the wall clock.
    init(_ bounces: MailSettings.Bounces?, kept: String?, outbox: Outbox, key: NoticeKey, now: @escaping @Sendable () -> WallTime) {
        self.bounces = bounces
        self.kept = kept
        self.outbox = outbox
        self.key = key
        self.now = now
    }

    /// - Parameters:
    ///   - told: what a look into the mailbox came to, from this thread.
    ///   - failed: the outbox cannot be written: nobody looks any more.
    func start(told: @escaping @Sendable (BounceBox.Look) -> Void, failed: @escaping @Sendable (OutboxError) -> Void) {
        let thread = Thread { [self] in
            let box = bounces.map { BounceBox($0.folder, outbox: outbox, key: key) }
            let seen = kept.map { SeenMails($0, outbox: outbox) }
            do throws(OutboxError) {
                while !bell.isStopped {
                    let time = now()
                    var hasMore = false
                    if let look = try box?.look(at: time) {
                        told(look)
                        hasMore = look.hasMore
                    }
                    if let look = try seen?.look(at: time), look.hasMore { hasMore = true }
                    bell.wait(atMost: hasMore ? .milliseconds(100) : bounces?.every ?? MailSettings.Bounces.everyDefault)
                }
            } catch { failed(error) }
        }
        thread.name = "returns"
        thread.start()
    }

    /// It ends by itself, within a look. Nothing of it is lost: what was not noted lies there still.
    func stop() { bell.stop() }
}
