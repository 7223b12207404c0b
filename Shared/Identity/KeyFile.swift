import Foundation
package import Messaging

/// Why a key file is not used.
package enum KeyFileError: Error, Hashable, Sendable, CustomStringConvertible {
    case unreadable(path: String, String)
    /// Somebody else could have read it: it is no secret any more.
    case exposed(path: String, mode: UInt16)
    case foreign(path: String)
    case notAKey(path: String, bytes: Int)

    package var description: String {
        switch self {
        case .unreadable(let path, let why): "cannot read the key \(path): \(why); put it back from a backup"
        case .exposed(let path, let mode):
            "\(path) may be read by others (mode \(String(mode & 0o777, radix: 8))): make a new key, or 'chmod 600' it if you know that nobody has"
        case .foreign(let path): "\(path) belongs to another user: a secret key must be this user's own"
        case .notAKey(let path, let bytes): "\(path) holds no key: 40 characters of Z85 are expected, it has \(bytes) bytes; put the right one back"
        }
    }
}

/// A CURVE secret key on disk: 40 characters of Z85 and a newline, mode 0600. The public key is computed from it.
package enum KeyFile {
    package static func load(_ path: String) throws(KeyFileError) -> CurveKeyPair {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0 else { throw .unreadable(path: path, String(cString: strerror(errno))) }
        guard facts.st_mode & 0o077 == 0 else { throw .exposed(path: path, mode: UInt16(truncatingIfNeeded: facts.st_mode)) }
        guard facts.st_uid == geteuid() else { throw .foreign(path: path) }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &buffer, buffer.count)
        guard count >= 0 else { throw .unreadable(path: path, String(cString: strerror(errno))) }
        let text = String(decoding: buffer.prefix(count), as: UTF8.self)
        let line = text.hasSuffix("\n") ? String(text.dropLast()) : text
        guard let secret = CurveKey(z85: line), let open = CurveKeyPair.publicKey(of: secret) else {
            throw .notAKey(path: path, bytes: count)
        }
        return CurveKeyPair(publicKey: open, secretKey: secret)
    }

    /// Makes a key where there is none, readable by nobody else from its first moment; loads it where there is one.
    package static func loadOrMake(_ path: String) throws -> CurveKeyPair {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            guard errno == EEXIST else { throw KeyFileError.unreadable(path: path, String(cString: strerror(errno))) }
            return try load(path)
        }
        defer { close(descriptor) }
        let pair = try CurveKeyPair.generate()
        let line = Array((pair.secretKey.z85 + "\n").utf8)
        guard write(descriptor, line, line.count) == line.count, fsync(descriptor) == 0 else {
            throw KeyFileError.unreadable(path: path, String(cString: strerror(errno)))
        }
        return pair
    }
}
