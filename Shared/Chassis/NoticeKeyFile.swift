import Foundation
package import Identity

/// The key that the mails of notices are named with, on disk: 64 hexadecimal digits, 0600. Who has it can forge what comes back of them.
package enum NoticeKeyFile {
    /// - Throws: `Complaint`, ``SecretFileError``: what is there is no key, or others may read it. One that is lost is made anew: mails that are under way keep the ids that stand in the outbox, and the
    ///   links in them count no more.
    package static func loadOrMake(_ path: String) throws -> SecretBytes {
        if !FileManager.default.fileExists(atPath: path) { try SecretFile.write(MasterKeyFile.text(), to: path) }
        return try LedgerKey.text(path).withCopy { bytes in
            guard var secret = MasterKeyFile.secret(of: bytes) else { throw Complaint("\(path) holds no key: 64 hexadecimal digits are expected; put the right one back from a backup, or move it away: another is made") }
            return SecretBytes(wiping: &secret)
        }
    }
}
