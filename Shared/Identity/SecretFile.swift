import Foundation

/// Why a file of secrets is not read or not written.
package enum SecretFileError: Error, Hashable, Sendable, CustomStringConvertible {
    case unreadable(path: String, String)
    case unwritable(path: String, String)
    /// Somebody else could have read it: it is no secret any more.
    case exposed(path: String, mode: UInt16)
    case foreign(path: String)
    case notAFile(path: String)
    case tooLarge(path: String, bytesMax: Int)
    /// A key that is overwritten is lost for good.
    case exists(path: String)

    package var description: String {
        switch self {
        case .unreadable(let path, let why): "cannot read \(path): \(why)"
        case .unwritable(let path, let why): "cannot write \(path): \(why)"
        case .exposed(let path, let mode):
            "\(path) may be read by others (mode \(String(mode & 0o777, radix: 8))): make a new key, or 'chmod 600 \(path)' if you know that nobody has"
        case .foreign(let path): "\(path) belongs to another user: a secret must be this user's own"
        case .notAFile(let path): "\(path) is not an ordinary file: name the file itself, not a link, a pipe or a folder"
        case .tooLarge(let path, let bytesMax): "\(path) is longer than \(bytesMax) bytes: it holds no key"
        case .exists(let path): "\(path) is there already, and a key is never overwritten: choose another name, or move it away"
        }
    }
}

/// A small file of this user's own, mode 0600 from its first moment.
package enum SecretFile {
    package static let bytesMax = 16 * 1024

    /// - Throws: every ``SecretFileError`` but `unwritable` and `exists`.
    package static func read(_ path: String) throws(SecretFileError) -> SecretBytes {
        // Without O_NONBLOCK opening a pipe would wait for its writer.
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw errno == ELOOP ? .notAFile(path: path) : .unreadable(path: path, reason()) }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw .unreadable(path: path, reason()) }
        guard facts.st_mode & S_IFMT == S_IFREG else { throw .notAFile(path: path) }
        guard facts.st_mode & 0o077 == 0 else { throw .exposed(path: path, mode: UInt16(truncatingIfNeeded: facts.st_mode)) }
        guard facts.st_uid == geteuid() else { throw .foreign(path: path) }
        var buffer = [UInt8](repeating: 0, count: bytesMax + 1)
        defer { wipe(&buffer) }
        var count = 0
        while count < buffer.count {
            let got = buffer.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw .unreadable(path: path, reason()) }
            guard got > 0 else { break }
            count += got
        }
        guard count <= bytesMax else { throw .tooLarge(path: path, bytesMax: bytesMax) }
        var bytes = Array(buffer[..<count])
        return SecretBytes(wiping: &bytes)
    }

    /// Writes a file that is there whole or not at all, durably, and only where there is none.
    ///
    /// A neighbour is written first and then linked to the name: unlike renaming, linking fails where the name is taken.
    /// - Throws: `exists`, `unwritable`.
    package static func write(_ secret: SecretBytes, to path: String) throws(SecretFileError) {
        let draft = "\(path).\(UInt64.random(in: 0 ... .max)).draft"
        let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason()) }
        defer {
            close(descriptor)
            unlink(draft)
        }
        let isWritten = secret.withCopy { bytes in
            var offset = 0
            while offset < bytes.count {
                let put = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset) }
                if put < 0, errno == EINTR { continue }
                guard put > 0 else { return false }
                offset += put
            }
            return fsync(descriptor) == 0
        }
        guard isWritten else { throw .unwritable(path: path, reason()) }
        guard link(draft, path) == 0 else { throw errno == EEXIST ? .exists(path: path) : .unwritable(path: path, reason()) }
        let folder = open(URL(fileURLWithPath: path).deletingLastPathComponent().path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw .unwritable(path: path, reason()) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw .unwritable(path: path, reason()) }
    }

    private static func reason() -> String { String(cString: strerror(errno)) }
}
