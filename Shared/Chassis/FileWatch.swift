import Foundation
import Messaging
import Synchronization

/// Reads a small file again when it has been exchanged, on a thread of its own: no disk on the reactor.
///
/// A file that cannot be read is looked at again until it can: whoever exchanges it may be in the middle of it. The thread ends with the process.
package final class FileWatch<Value: Sendable>: Sendable {
    private let found = Mutex<Value?>(nil)

    /// - Parameter absent: What counts once the file is gone; nil: what was read before.
    package init(_ path: String, absent: Value? = nil, _ read: @escaping @Sendable (String) throws -> Value) {
        startThread("watch") { [weak self] in
            var known: Mark?
            while true {
                let now = Mark(path)
                if now == nil, known != nil, let absent {
                    known = nil
                    guard let self else { return }
                    self.found.withLock { $0 = absent }
                }
                if now != nil, now != known, let value = try? read(path) {
                    known = now
                    guard let self else { return }
                    self.found.withLock { $0 = value }
                }
                usleep(250_000)
            }
        }
    }

    /// What was read last, once.
    package func take() -> Value? {
        found.withLock { value in
            defer { value = nil }
            return value
        }
    }
}

/// Tells one content of a file from another without reading it.
private struct Mark: Hashable, Sendable {
    let inode: UInt64
    let modified: Int64
    let changed: Int64

    init?(_ path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return nil }
        inode = UInt64(facts.st_ino)
        #if os(Linux)
        modified = Int64(facts.st_mtim.tv_sec) * 1_000_000_000 + Int64(facts.st_mtim.tv_nsec)
        changed = Int64(facts.st_ctim.tv_sec) * 1_000_000_000 + Int64(facts.st_ctim.tv_nsec)
        #else
        modified = Int64(facts.st_mtimespec.tv_sec) * 1_000_000_000 + Int64(facts.st_mtimespec.tv_nsec)
        changed = Int64(facts.st_ctimespec.tv_sec) * 1_000_000_000 + Int64(facts.st_ctimespec.tv_nsec)
        #endif
    }
}
