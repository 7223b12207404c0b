import Foundation
import Identity
package import Tracing

/// The key that canaries are derived from, on disk: 64 hexadecimal digits, 0600. Who has it can tell canaries, and make some that name another.
package enum CanaryKeyFile {
    package static func load(_ path: String) throws -> CanaryKey {
        try LedgerKey.text(path).withCopy { bytes in
            guard var secret = MasterKeyFile.secret(of: bytes) else { throw Complaint("\(path) holds no key: 64 hexadecimal digits are expected; put the right one back from a backup") }
            defer { wipe(&secret) }
            guard let key = CanaryKey(secret: secret) else { throw Complaint("\(path) holds no key of \(CanaryKey.bytesCount) bytes") }
            return key
        }
    }

    /// The present one first, then those before it: releases of their time are told by them.
    package static func loadAll(_ path: String) throws -> [CanaryKey] {
        var keys = FileManager.default.fileExists(atPath: path) ? [try load(path)] : []
        var number = 1
        while FileManager.default.fileExists(atPath: "\(path).\(number)") {
            keys.append(try load("\(path).\(number)"))
            number += 1
        }
        return keys
    }

    package static func loadOrMake(_ path: String) throws -> CanaryKey {
        if !FileManager.default.fileExists(atPath: path) {
            do { try SecretFile.write(MasterKeyFile.text(), to: path) } catch { throw Complaint("there is no \(path), and it cannot be made here (\(error)): 'sluice canary-key new' makes it") }
        }
        return try load(path)
    }
}
