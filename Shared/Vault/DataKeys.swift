import Foundation
import GRDB
import Synchronization

/// The data keys of a vault that are in use, unwrapped, for the thread that writes and those that read.
///
/// To read one from its table and unwrap it costs ten times what encrypting with it does.
final class DataKeys: Sendable {
    private struct Known {
        var byPlace: [DataKeyPlace: DataKey] = [:]
        var byNumber: [Int64: DataKey] = [:]
    }

    /// A few hundred bytes each. Past it all are forgotten, and read again as they are needed.
    static let keysMax = 16_384
    private let master: MasterKey
    private let known = Mutex(Known())

    init(master: MasterKey) { self.master = master }

    static func createTable(in db: Database) throws {
        // A number never comes back: what a destroyed key encrypted must not be taken for another's.
        try db.execute(
            sql: """
                CREATE TABLE data_key (
                    number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, month INTEGER NOT NULL, wrapped BLOB NOT NULL,
                    UNIQUE (subject, month)) STRICT;
                CREATE TABLE master_key (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
                """)
    }

    /// Keys that a transaction has made: nobody else's before it has committed.
    final class Made {
        fileprivate var keys: [DataKeyPlace: DataKey] = [:]
    }

    /// The key of a place; makes it if there is none.
    func key(for place: DataKeyPlace, made: Made, in db: Database) throws -> DataKey {
        if let key = made.keys[place] ?? known.withLock({ $0.byPlace[place] }) { return key }
        if let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT number, wrapped FROM data_key WHERE subject = ? AND month = ?"), arguments: [place.subject, place.month])
        {
            guard let key = DataKey(row[0], for: place, unwrapping: row[1], under: master) else {
                throw SegmentUnreadable(row: 0, why: .keyChanged)
            }
            publish([place: key])
            return key
        }
        try db.execute(sql: "INSERT INTO data_key (subject, month, wrapped) VALUES (?, ?, x'')", arguments: [place.subject, place.month])
        let (key, wrapped) = try DataKey.make(db.lastInsertedRowID, for: place, under: master)
        try db.execute(sql: "UPDATE data_key SET wrapped = ? WHERE number = ?", arguments: [wrapped, key.number])
        made.keys[place] = key
        return key
    }

    /// The transaction that made them has committed.
    func publish(_ made: Made) { publish(made.keys) }

    private func publish(_ keys: [DataKeyPlace: DataKey]) {
        guard !keys.isEmpty else { return }
        known.withLock { known in
            if known.byNumber.count + keys.count > DataKeys.keysMax { known = Known() }
            for (place, key) in keys {
                known.byPlace[place] = key
                known.byNumber[key.number] = key
            }
        }
    }

    /// The key that a row names.
    func key(_ number: Int64, in db: Database) throws -> Result<DataKey, SegmentUnreadable.Why> {
        if let key = known.withLock({ $0.byNumber[number] }) { return .success(key) }
        let statement = try db.cachedStatement(sql: "SELECT subject, month, wrapped FROM data_key WHERE number = ?")
        guard let row = try Row.fetchOne(statement, arguments: [number]) else { return .failure(.keyMissing) }
        let place = DataKeyPlace(subject: row[0], month: row[1])
        guard let key = DataKey(number, for: place, unwrapping: row[2], under: master) else { return .failure(.keyChanged) }
        publish([place: key])
        return .success(key)
    }

    /// Whether these are the keys of this vault; a vault without any becomes this one's.
    func claim(in db: Database) throws -> Bool {
        if let id = try Data.fetchOne(db, sql: "SELECT id FROM master_key") { return id == master.id }
        try db.execute(sql: "INSERT INTO master_key VALUES (1, ?)", arguments: [master.id])
        return true
    }
}

/// Why a segment is not read.
package struct SegmentUnreadable: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Why: Error, Hashable, Sendable {
        /// Destroyed, perhaps on purpose.
        case keyMissing
        case keyChanged
        /// The blob, or a column beside it, is not what was stored.
        case changed
    }

    /// Its number; 0: none yet.
    package var row: Int64
    package var why: Why

    package var description: String {
        switch why {
        case _ where row == 0: "a data key was changed in the vault's file: restore a backup"
        case .keyMissing: "segment \(row) cannot be read: its key is not there any more"
        case .keyChanged: "segment \(row) cannot be read: its key was changed in the vault's file"
        case .changed: "segment \(row) cannot be read: it was changed in the vault's file"
        }
    }
}

/// Why a vault is not used.
package enum VaultRefused: Error, Hashable, Sendable, CustomStringConvertible {
    case otherMasterKey(path: String)
    case inTheClear(path: String)

    package var description: String {
        switch self {
        case .otherMasterKey(let path): "\(path) is encrypted under another master key than keys/policy.master: put the right one back"
        case .inTheClear(let path): "\(path) was written in the clear by an older Sluice: read what you need with that version, then start with another --home"
        }
    }
}
