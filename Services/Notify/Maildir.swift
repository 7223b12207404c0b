import Foundation

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Mail with no mail server: a folder as <https://cr.yp.to/proto/maildir.html> has it, which mail programs open. Belongs to one thread; blocks on the disk.
///
/// A mail is written below `tmp`, made durable, and then moved to `new`: a reader never sees a half of it. Its name is made of its id, so that what is kept a second
/// time, because notify was killed before it had recorded the first, takes the first one's place, also when a reader has moved that to `cur`.
final class Maildir {
    let path: String
    /// Behind the id of a mail.
    static let suffix = ".sluice"
    /// What readers have moved to `cur`, by name, as far as was looked.
    private var read: Set<String> = []

    init(_ path: String) throws(MaildirFailed) {
        self.path = path
        for folder in ["", "/tmp", "/new", "/cur"] {
            guard mkdir(path + folder, 0o700) == 0 || errno == EEXIST else { throw MaildirFailed(path: path + folder) }
        }
        try look()
    }

    private func look() throws(MaildirFailed) {
        let found: [String]
        do { found = try FileManager.default.contentsOfDirectory(atPath: path + "/cur") } catch { throw MaildirFailed(path: path + "/cur") }
        // Behind the colon stand marks, such as that it was read.
        read = Set(found.compactMap { $0.split(separator: ":").first.map(String.init) })
    }

    /// Durable when it returns. What is there already stays as it is.
    ///
    /// - Parameters:
    ///   - id: Letters, digits, `-` and `_`.
    ///   - isRetry: A reader may have moved it since the first attempt.
    func keep(_ id: String, _ bytes: Data, isRetry: Bool) throws(MaildirFailed) {
        let name = id + Maildir.suffix
        if isRetry { try look() }
        guard !read.contains(name) else { return }
        let draft = "\(path)/tmp/\(name)"
        let file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw MaildirFailed(path: draft) }
        defer { close(file) }
        // A mail program that reads files wants them as the machine writes lines.
        var text = Data(capacity: bytes.count)
        for byte in bytes where byte != 0x0D { text.append(byte) }
        var offset = 0
        while offset < text.count {
            let put = text.withUnsafeBytes { write(file, $0.baseAddress?.advanced(by: offset), $0.count - offset) }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw MaildirFailed(path: draft) }
            offset += put
        }
        guard fsync(file) == 0 else { throw MaildirFailed(path: draft) }
        guard rename(draft, "\(path)/new/\(name)") == 0 else { throw MaildirFailed(path: "\(path)/new/\(name)") }
        let folder = open(path + "/new", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw MaildirFailed(path: path + "/new") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw MaildirFailed(path: path + "/new") }
    }
}

/// A mail is not kept. It is tried again: a full disk has room again some day.
struct MaildirFailed: Error, Hashable, Sendable, CustomStringConvertible {
    var path: String
    var code: Int32

    /// Straight after the call that failed.
    init(path: String) {
        code = errno
        self.path = path
    }

    var description: String { "\(path) cannot be written: \(String(cString: strerror(code)))" }
}
