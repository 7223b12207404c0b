import Vault

/// Why the outbox cannot be used. After any of these nothing more is sent until a restart: what was not recorded would be sent
/// over and over, and what was not taken stays in the journal.
enum OutboxError: Error, Hashable, Sendable {
    case unopened(path: String, why: String)
    /// A setting without which a commit might be lost, or the file do harm, did not hold.
    case unsafe(path: String, pragma: String, wanted: String, found: String?)
    /// Migrated by a later version, by these steps.
    case newer(path: String, unknown: [String])
    /// A row or a page is not what was written, or the file is none of SQLite's.
    case damaged(path: String, why: String)
    /// SQLite's extended result code.
    case storage(path: String, code: Int32, why: String)
    case badID(String)
    case index(UInt64)
}

extension OutboxError: CustomStringConvertible {
    /// What is wrong, and what to do about it.
    var description: String {
        switch self {
        case .unopened(let path, let why): "\(path) cannot be opened: \(why)"
        case .unsafe(let path, let pragma, let wanted, let found):
            "\(path): SQLite keeps \(pragma) at \(found ?? "nothing"), not \(wanted): put the file on a local disk that can "
                + "lock and map files"
        case .newer(let path, let unknown):
            "\(path) was written by a newer version of Sluice (\(unknown.joined(separator: ", "))): install that version again; this "
                + "one would lose what it does not know"
        case .storage(let path, let code, _) where [10, 13].contains(code & 0xff) && SQLiteStore.isFull(path):
            "\(path) cannot be used: its disk is full; make room ('df \(path)' shows the disk), then start again"
        case .storage(let path, let code, let why):
            "\(path): SQLite failed with \(code), \(why): look at the disk's space and health, then start again"
        case .damaged(let path, let why):
            "\(path) is damaged: \(why); put a backup of it back, or move it away: then what control's ledger holds is told again, under the ids that it had"
        case .badID(let id): "\(id.debugDescription) cannot be a webhook-id"
        case .index(let index): "\(index) cannot be the index of an entry"
        }
    }
}
