import Foundation
import GRDB
import Gate
import Synchronization

/// The data keys of a vault, in a file of their own: who has the vault's file, or a backup of it, has no key, not even a wrapped one.
///
/// So this file is replicated and never archived: a key that was destroyed here is destroyed for every copy of the vault. What is deleted is overwritten, and
/// the log is cut after each deletion. Beside the keys stand who was erased and what incidents hold, so that a decision and its keys are one transaction.
///
/// Keys in use are kept in memory, unwrapped, for the thread that writes and those that read: to read one and unwrap it costs ten times what encrypting with it does.
final class DataKeys: Sendable {
    private struct Known {
        var byPlace: [DataKeyPlace: DataKey] = [:]
        var byNumber: [Int64: DataKey] = [:]
        /// Above every number that there ever was.
        var next: Int64 = 1
        var erased: Set<String> = []
        var wereErased: Set<String> = []
        /// Since when those who agreed anew are stored.
        var storedFrom: [String: WallTime] = [:]
        var held: [String: Set<UInt64>] = [:]
        /// How often keys of persons were destroyed since the start; and at which time of these, each person's last.
        var destructions: UInt64 = 0
        var destroyed: [String: UInt64] = [:]
        /// Of the file: every change goes by the next, in its own transaction.
        var generation: Int64 = 0
        /// A key that was destroyed may be in the log yet.
        var mustEmptyLog = false
    }

    /// A few hundred bytes each. Past it all are forgotten, and read again as they are needed.
    static let keysMax = 16_384
    let path: String
    private let file: any DatabaseWriter
    private let master: MasterKey
    private let known = Mutex(Known())
    private let pass: @Sendable (StaticString) -> Void
    /// A log that is larger is written back in the next gap.
    private static let logBytesMax = 1 << 20

    /// - Parameters:
    ///   - masters: The one whose id the file names is used; a file that names none becomes the first one's.
    ///   - vault: The vault's path, for errors.
    ///   - pass: Called at places where a test ends the process.
    /// - Throws: `StoreError`, `VaultRefused`.
    init(path: String, masters: [MasterKey], vault: String, pass: @escaping @Sendable (StaticString) -> Void = { _ in }) throws {
        self.path = path
        self.pass = pass
        let file = try DataKeys.open(path)
        self.file = file
        do {
            master = try SQLiteStore.naming(path) { try DataKeys.master(of: file, masters, path: path, vault: vault) }
            let (next, generation, holds) = try SQLiteStore.naming(path) {
                try file.read { db in
                    (
                        try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'data_key'") ?? 0,
                        try Int64.fetchOne(db, sql: "SELECT number FROM generation") ?? 0,
                        try Row.fetchAll(db, sql: "SELECT subject, incident FROM hold")
                    )
                }
            }
            known.withLock { known in
                known.next = next + 1
                known.generation = generation
                for row in holds { known.held[row[0], default: []].insert(UInt64(bitPattern: row[1])) }
            }
            try SQLiteStore.naming(path) { try reload([]) }
        } catch {
            try? file.close()
            throw error
        }
    }

    /// The one of `masters` that the keys are wrapped under.
    private static func master(of file: any DatabaseWriter, _ masters: [MasterKey], path: String, vault: String) throws -> MasterKey {
        guard let first = masters.first else { throw VaultRefused.otherMasterKey(path: vault) }
        return try file.write { db in
            let id = try Data.fetchOne(db, sql: "SELECT id FROM master_key")
            if let id, let master = masters.first(where: { $0.id == id }) { return master }
            // A name of the master key that was changed is damage; the keys themselves say whose they are.
            let rows = try Row.fetchAll(db, sql: "SELECT number, subject, month, wrapped FROM data_key UNION ALL SELECT 0, '', -1, wrapped FROM commitment LIMIT 8")
            let isOurs = rows.contains { row in
                masters.contains { DataKey(row[0], for: DataKeyPlace(subject: row[1], month: row[2]), unwrapping: row[3], under: $0) != nil }
            }
            guard !isOurs else { throw StoreError.damaged(path: path, "the id of the master key in it was changed") }
            guard id == nil, rows.isEmpty else { throw VaultRefused.otherMasterKey(path: vault) }
            try db.execute(sql: "INSERT INTO master_key VALUES (1, ?)", arguments: [first.id])
            return first
        }
    }

    static func open(_ path: String) throws -> any DatabaseWriter {
        try SQLiteStore.open(path, overwrites: true, version: 3) { step, db in
            if step == 2 {
                try db.execute(
                    sql: "CREATE TABLE commitment (only INTEGER PRIMARY KEY CHECK (only = 1), wrapped BLOB NOT NULL, begun INTEGER NOT NULL) STRICT")
            }
            if step == 3 {
                try db.execute(
                    sql: """
                        CREATE TABLE generation (only INTEGER PRIMARY KEY CHECK (only = 1), number INTEGER NOT NULL) STRICT;
                        INSERT INTO generation VALUES (1, 0);
                        """)
            }
            guard step == 1 else { return }
            // A number never comes back: what a destroyed key encrypted must not be taken for another's.
            try db.execute(
                sql: """
                    CREATE TABLE data_key (
                        number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, month INTEGER NOT NULL, made_us INTEGER NOT NULL,
                        wrapped BLOB NOT NULL, UNIQUE (subject, month)) STRICT;
                    CREATE TABLE master_key (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
                    CREATE TABLE vault (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
                    CREATE TABLE erasure (
                        subject TEXT PRIMARY KEY, at_us INTEGER NOT NULL, state INTEGER NOT NULL, readmitted_us INTEGER) STRICT;
                    CREATE TABLE hold (incident INTEGER NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (incident, subject)) STRICT, WITHOUT ROWID;
                    """)
        }
    }

    func close() throws { try file.close() }

    /// The log is written back in the gaps: it does not grow, and what was destroyed leaves it.
    func tidy() throws {
        if known.withLock({ $0.mustEmptyLog }) { return _ = try emptyLog() }
        let bytes = (try? FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int) ?? 0
        if bytes > DataKeys.logBytesMax { _ = try SQLiteStore.emptyLog(file) }
    }

    /// A key that was destroyed may be in the log yet.
    var holdsDestroyed: Bool { known.withLock { $0.mustEmptyLog } }

    /// - Returns: false: it could not be, and is tried again by ``tidy()``.
    @discardableResult func emptyLog() throws -> Bool {
        let isEmpty = try SQLiteStore.emptyLog(file)
        known.withLock { $0.mustEmptyLog = !isEmpty }
        return isEmpty
    }

    // MARK: Which of its states this is

    /// Grows with every change. The vault remembers the last that it has seen, so that an older file, put back, is noticed.
    var generation: Int64 { known.withLock { $0.generation } }

    private static let nextGeneration = "UPDATE generation SET number = number + 1 RETURNING number"

    private func change<Value>(_ body: (Database) throws -> Value) throws -> Value {
        let (value, generation) = try writing { db in (try body(db), try Int64.fetchOne(db, sql: DataKeys.nextGeneration) ?? 0) }
        known.withLock { $0.generation = generation }
        return value
    }

    /// This file counts as the newest from here on, although the vault has seen a later one.
    func succeed(_ generation: Int64) throws {
        try change { try $0.execute(sql: "UPDATE generation SET number = MAX(number, ?)", arguments: [generation]) }
    }

    // MARK: Which vault they are for

    /// The vault that these are the keys of; nil: none yet.
    func vaultID() throws -> Data? { try SQLiteStore.naming(path) { try file.read { try Data.fetchOne($0, sql: "SELECT id FROM vault") } } }

    func isEmpty() throws -> Bool {
        try SQLiteStore.naming(path) { try file.read { try !(Bool.fetchOne($0, sql: "SELECT EXISTS (SELECT * FROM data_key)") ?? false) } }
    }

    func belong(to vault: Data) throws {
        try SQLiteStore.naming(path) { try file.write { try $0.execute(sql: "INSERT INTO vault VALUES (1, ?)", arguments: [vault]) } }
    }

    /// What an older vault had in its own file. Done again after a crash it is the same.
    ///
    /// A file that belongs to a vault already has taken them before: what is missing was destroyed here, and does not come back with an older copy of the vault.
    func take(_ rows: [Row], id: Data, sequence: Int64) throws {
        try change { db in
            guard try Data.fetchOne(db, sql: "SELECT id FROM master_key") == id else { throw VaultRefused.otherMasterKey(path: path) }
            if try Data.fetchOne(db, sql: "SELECT id FROM vault") != nil {
                let known = try Row.fetchAll(db, sql: "SELECT number, subject, month FROM data_key WHERE number <= ?", arguments: [sequence])
                let places = Dictionary(uniqueKeysWithValues: rows.map { ($0[0] as Int64, DataKeyPlace(subject: $0[1], month: $0[2])) })
                let last = try Int64.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'data_key'") ?? 0
                // Those of another vault would be lost by this: they are in no other file.
                guard last >= sequence, known.allSatisfy({ places[$0[0]] == DataKeyPlace(subject: $0[1], month: $0[2]) }) else {
                    throw VaultRefused.otherKeys(path: path)
                }
                return
            }
            for row in rows {
                try db.execute(
                    sql: "INSERT INTO data_key (number, subject, month, made_us, wrapped) VALUES (?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
                    arguments: [row[0] as Int64, row[1] as String, row[2] as Int64, row[3] as Data])
            }
            try db.execute(sql: "INSERT INTO sqlite_sequence (name, seq) SELECT 'data_key', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'data_key')")
            try db.execute(sql: "UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = 'data_key'", arguments: [sequence])
        }
        numbersBegin(after: sequence)
    }

    /// No key gets a number that the vault has seen, also when this file was put back.
    func numbersBegin(after number: Int64) { known.withLock { $0.next = max($0.next, number + 1) } }

    // MARK: What the vault is committed to

    /// The key that vouches for the vault's rows, and whether the vault has been committed under it.
    ///
    /// - Parameter make: if there is none.
    func commitmentKey(make: Bool) throws -> (key: CommitmentKey?, isBegun: Bool) {
        try SQLiteStore.naming(path) {
            try file.write { db in
                if let row = try Row.fetchOne(db, sql: "SELECT wrapped, begun FROM commitment") {
                    guard let key = DataKey(0, for: .commitment, unwrapping: row[0], under: master) else {
                        throw StoreError.damaged(path: path, "the key that vouches for the vault's segments was changed")
                    }
                    return (key.forCommitment, row[1])
                }
                guard make else { return (nil, false) }
                let (key, wrapped) = try DataKey.make(0, for: .commitment, under: master)
                try db.execute(sql: "INSERT INTO commitment VALUES (1, ?, 0)", arguments: [wrapped])
                return (key.forCommitment, false)
            }
        }
    }

    func forgetCommitment() throws { try SQLiteStore.naming(path) { try file.write { try $0.execute(sql: "DELETE FROM commitment") } } }

    /// The vault has a commitment from here on, durably: one without is not believed any more.
    func beginCommitment() throws { try SQLiteStore.naming(path) { try change { try $0.execute(sql: "UPDATE commitment SET begun = 1") } } }

    // MARK: Keys

    /// Keys that a transaction of the vault has made: nobody else's before it has committed.
    final class Made {
        fileprivate var keys: [DataKeyPlace: (key: DataKey, wrapped: Data)] = [:]
        var highest: Int64? { keys.values.map(\.key.number).max() }
    }

    /// The key of a place; makes it if there is none.
    func key(for place: DataKeyPlace, made: Made) throws -> DataKey {
        if let key = made.keys[place]?.key ?? known.withLock({ $0.byPlace[place] }) { return key }
        let stored = try reading { db -> DataKey? in
            let statement = try db.cachedStatement(sql: "SELECT number, wrapped FROM data_key WHERE subject = ? AND month = ?")
            guard let row = try Row.fetchOne(statement, arguments: [place.subject, place.month]) else { return nil }
            guard let key = DataKey(row[0], for: place, unwrapping: row[1], under: master) else {
                throw SegmentUnreadable(row: 0, why: .keyChanged)
            }
            publish([place: key])
            return key
        }
        if let stored { return stored }
        let number = known.withLock { $0.next } + Int64(made.keys.count)
        let (key, wrapped) = try DataKey.make(number, for: place, under: master)
        made.keys[place] = (key, wrapped)
        return key
    }

    /// Makes them durable: before the first row under one of them commits, for a row without its key is lost. One that its vault's transaction then does not use
    /// is used by the next.
    func store(_ made: Made, at now: WallTime) throws {
        guard let highest = made.highest else { return }
        try change { db in
            for (place, made) in made.keys {
                // An erasure of the past must not reach what was made after they agreed anew, whatever the clock says.
                try db.execute(
                    sql: """
                        INSERT INTO data_key (number, subject, month, made_us, wrapped)
                        VALUES (?1, ?2, ?3, MAX(?4, COALESCE((SELECT readmitted_us FROM erasure WHERE subject = ?2), ?4)), ?5)
                        """,
                    arguments: [made.key.number, place.subject, place.month, now.microseconds, made.wrapped])
            }
        }
        known.withLock { $0.next = highest + 1 }
        publish(made.keys.mapValues(\.key))
    }

    private func publish(_ keys: [DataKeyPlace: DataKey]) {
        known.withLock { known in
            if known.byNumber.count + keys.count > DataKeys.keysMax { (known.byPlace, known.byNumber) = ([:], [:]) }
            for (place, key) in keys {
                known.byPlace[place] = key
                known.byNumber[key.number] = key
            }
        }
    }

    /// The key that a row names.
    func key(_ number: Int64) throws -> Result<DataKey, SegmentUnreadable.Why> {
        if let key = known.withLock({ $0.byNumber[number] }) { return .success(key) }
        // Remembered before the file is let go: an erasure forgets what is in memory after it has written.
        return try reading { db in
            let statement = try db.cachedStatement(sql: "SELECT subject, month, wrapped FROM data_key WHERE number = ?")
            guard let row = try Row.fetchOne(statement, arguments: [number]) else { return .failure(.keyMissing) }
            let place = DataKeyPlace(subject: row[0], month: row[1])
            guard let key = DataKey(number, for: place, unwrapping: row[2], under: master) else { return .failure(.keyChanged) }
            publish([place: key])
            return .success(key)
        }
    }

    /// A full disk is left as SQLite says it: it may pass.
    private func reading<Value>(_ body: (Database) throws -> Value) throws -> Value {
        do { return try file.read(body) } catch let error as DatabaseError where !error.isFull { throw SQLiteStore.named(path, error) }
    }

    private func writing<Value>(_ body: (Database) throws -> Value) throws -> Value {
        do { return try file.write(body) } catch let error as DatabaseError where !error.isFull { throw SQLiteStore.named(path, error) }
    }

    func forgetAll() { known.withLock { ($0.byPlace, $0.byNumber) = ([:], [:]) } }

    /// The numbers and months of a person's keys.
    func numbers(of subject: String) throws -> [(number: Int64, month: Int64)] {
        try reading { db in
            try Row.fetchAll(db.cachedStatement(sql: "SELECT number, month FROM data_key WHERE subject = ?"), arguments: [subject]).map { ($0[0], $0[1]) }
        }
    }

    /// Nil: the first.
    func subject(after subject: String?) throws -> String? {
        let sql = "SELECT subject FROM data_key WHERE subject \(subject == nil ? ">=" : ">") ? ORDER BY subject LIMIT 1"
        return try reading { db in try String.fetchOne(db.cachedStatement(sql: sql), arguments: [subject ?? ""]) }
    }

    /// - Returns: how many there were.
    @discardableResult func destroy(_ numbers: [Int64]) throws -> Int {
        guard !numbers.isEmpty else { return 0 }
        let count = try change { db in
            try numbers.reduce(0) { count, number in
                try db.execute(sql: "DELETE FROM data_key WHERE number = ?", arguments: [number])
                return count + db.changesCount
            }
        }
        let gone = Set(numbers)
        forget { gone.contains($0.number) }
        try emptyLog()
        return count
    }

    private func forget(_ isGone: (DataKey) -> Bool) {
        known.withLock { known in
            known.byPlace = known.byPlace.filter { !isGone($0.value) }
            known.byNumber = known.byNumber.filter { !isGone($0.value) }
        }
    }

    // MARK: Who is erased

    func isErased(_ subject: String) -> Bool { known.withLock { $0.erased.contains(subject) } }
    /// Also if they were readmitted since: of what was erased rows may be left.
    func wasErased(_ subject: String) -> Bool { known.withLock { $0.wereErased.contains(subject) } }
    func isHeld(_ subject: String) -> Bool { known.withLock { $0.held[subject] != nil } }
    func incidents(holding subject: String) -> Set<UInt64> { known.withLock { $0.held[subject] ?? [] } }
    func storedFrom(_ subject: String) -> WallTime? { known.withLock { $0.storedFrom[subject] } }
    var destructions: UInt64 { known.withLock { $0.destructions } }
    func wasDestroyed(_ subject: String, since count: UInt64) -> Bool { known.withLock { $0.destroyed[subject].map { $0 > count } ?? false } }

    func erasures() throws -> [Erasure] {
        let rows = try reading { try Row.fetchAll($0, sql: "SELECT subject, at_us, state, readmitted_us FROM erasure ORDER BY subject") }
        return rows.map { erasure($0) }
    }

    func erasure(of subject: String) throws -> Erasure? {
        try reading { try Row.fetchOne($0, sql: "SELECT subject, at_us, state, readmitted_us FROM erasure WHERE subject = ?", arguments: [subject]) }
            .map { erasure($0) }
    }

    /// The next one of which rows are left, or if there is none, what was deleted is in a log.
    func unfinished() throws -> Erasure? {
        try reading { try Row.fetchOne($0, sql: "SELECT subject, at_us, state, readmitted_us FROM erasure WHERE state IN (1, 3) ORDER BY state LIMIT 1") }
            .map { erasure($0) }
    }

    private func erasure(_ row: Row) -> Erasure {
        let subject: String = row[0]
        return Erasure(
            subject: subject, at: WallTime(microseconds: row[1]), state: Erasure.State(rawValue: row[2]) ?? .rows,
            readmitted: (row[3] as Int64?).map { WallTime(microseconds: $0) }, holds: known.withLock { $0.held[subject] ?? [] })
    }

    /// Destroys the keys of everyone named whom no incident holds, and keeps that it was asked: one transaction for all.
    ///
    /// - Parameter isLeft: Whether the vault has rows of them that would have to go.
    func erase(_ orders: [ErasureOrder], isLeft: (ErasureOrder) throws -> Bool) throws {
        var begun: [ErasureOrder] = []
        for var order in orders {
            let old = try erasure(of: order.subject)
            let isNew = old.map { order.at > $0.at } ?? true
            // An older order says nothing of what was agreed to since.
            if !isNew { order.readmitted = old?.readmitted ?? order.readmitted }
            let hasKeys = try reading { db in
                try Bool.fetchOne(
                    db, sql: "SELECT EXISTS (SELECT 1 FROM data_key WHERE subject = ? AND made_us < ?)",
                    arguments: [order.subject, order.readmitted?.microseconds ?? .max]) ?? false
            }
            if try isNew || order.readmitted != old?.readmitted || hasKeys || (old?.state == .done && isLeft(order)) { begun.append(order) }
        }
        guard !begun.isEmpty else { return }
        let held = known.withLock { $0.held }
        try change { db in
            for order in begun {
                let state: Erasure.State = held[order.subject] == nil ? .rows : .waiting
                try db.execute(
                    sql: """
                        INSERT INTO erasure VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                            at_us = MAX(at_us, excluded.at_us), state = excluded.state, readmitted_us = excluded.readmitted_us
                        """,
                    arguments: [order.subject, order.at.microseconds, state.rawValue, order.readmitted?.microseconds])
                if state == .rows { try DataKeys.destroyKeys(of: order.subject, in: db) }
            }
        }
        pass("erase-after-keys")
        try reload(Set(begun.map(\.subject).filter { held[$0] == nil }))
    }

    /// All that were made before they agreed anew; without that, all. Not by when they were erased: that is another machine's clock.
    private static func destroyKeys(of subject: String, in db: Database) throws {
        try db.execute(
            sql: "DELETE FROM data_key WHERE subject = ?1 AND made_us < COALESCE((SELECT readmitted_us FROM erasure WHERE subject = ?1), ?2)",
            arguments: [subject, Int64.max])
    }

    /// After a decision about persons: what is in memory follows, and the log does not keep what was deleted.
    ///
    /// - Parameter subjects: Whose keys were destroyed.
    private func reload(_ subjects: Set<String>) throws {
        let (erased, wereErased, readmitted) = try reading { db in
            (
                // One that waits is waited for, whatever was agreed to since: what came now would be under the keys that are to go.
                try String.fetchSet(db, sql: "SELECT subject FROM erasure WHERE readmitted_us IS NULL OR state = 0"),
                try String.fetchSet(db, sql: "SELECT subject FROM erasure WHERE state <> 0"),
                try Row.fetchAll(db, sql: "SELECT subject, MAX(at_us, readmitted_us) FROM erasure WHERE readmitted_us IS NOT NULL")
            )
        }
        known.withLock { known in
            known.erased = erased
            known.wereErased = wereErased
            known.storedFrom = Dictionary(uniqueKeysWithValues: readmitted.map { ($0[0] as String, WallTime(microseconds: $0[1])) })
            if !subjects.isEmpty { known.destructions += 1 }
            for subject in subjects { known.destroyed[subject] = known.destructions }
            known.byPlace = known.byPlace.filter { !subjects.contains($0.key.subject) }
            known.byNumber = [:]
            for key in known.byPlace.values { known.byNumber[key.number] = key }
        }
        try emptyLog()
    }

    /// No row of them is left.
    func rowsGone(_ subject: String) throws { try change { try $0.execute(sql: "UPDATE erasure SET state = 3 WHERE subject = ? AND state = 1", arguments: [subject]) } }
    /// Nothing of them is left.
    func finish(_ subject: String) throws { try change { try $0.execute(sql: "UPDATE erasure SET state = 2 WHERE subject = ? AND state = 3", arguments: [subject]) } }

    /// Marks who is erased and has rows again, because a backup of the vault was put back.
    func begin(again subjects: [String]) throws {
        guard !subjects.isEmpty else { return }
        try change { db in
            for subject in subjects { try db.execute(sql: "UPDATE erasure SET state = 1 WHERE subject = ? AND state IN (2, 3)", arguments: [subject]) }
        }
    }

    func readmit(_ subject: String, at now: WallTime) throws {
        try change { db in
            try db.execute(
                sql: "UPDATE erasure SET readmitted_us = ? WHERE subject = ? AND readmitted_us IS NULL", arguments: [now.microseconds, subject])
        }
        try reload([])
    }

    // MARK: What incidents hold

    func hold(_ incident: UInt64, _ subjects: Set<String>) throws {
        try change { db in
            for subject in subjects {
                try db.execute(sql: "INSERT INTO hold VALUES (?, ?) ON CONFLICT DO NOTHING", arguments: [Int64(bitPattern: incident), subject])
            }
        }
        known.withLock { known in for subject in subjects { known.held[subject, default: []].insert(incident) } }
    }

    func holds() -> [UInt64: Set<String>] {
        known.withLock { known in
            var holds: [UInt64: Set<String>] = [:]
            for (subject, incidents) in known.held { for incident in incidents { holds[incident, default: []].insert(subject) } }
            return holds
        }
    }

    /// Erasures that waited for nothing else begin with it.
    ///
    /// - Parameter subjects: nil: of everybody.
    func lift(_ incident: UInt64, _ subjects: Set<String>?) throws {
        var begun: Set<String> = []
        let freed = subjects ?? holds()[incident] ?? []
        try change { db in
            for subject in freed { try db.execute(sql: "DELETE FROM hold WHERE incident = ? AND subject = ?", arguments: [Int64(bitPattern: incident), subject]) }
            begun = try String.fetchSet(db, sql: "SELECT subject FROM erasure WHERE state = 0 AND subject NOT IN (SELECT subject FROM hold)")
            for subject in begun {
                // All of them, whatever any clock says of when they were made: while it waited nothing new was stored.
                try db.execute(sql: "DELETE FROM data_key WHERE subject = ?", arguments: [subject])
                try db.execute(sql: "UPDATE erasure SET state = 1 WHERE subject = ?", arguments: [subject])
            }
        }
        known.withLock { known in
            for subject in freed {
                let left = (known.held[subject] ?? []).subtracting([incident])
                known.held[subject] = left.isEmpty ? nil : left
            }
        }
        pass("lift-after-keys")
        try reload(begun)
    }

    // MARK: Another master key

    /// Wraps every key anew: all of them or none.
    ///
    /// - Returns: how many there are.
    static func rewrap(_ path: String, from old: MasterKey, to new: MasterKey, pass: (StaticString) -> Void) throws -> Int {
        let file = try open(path)
        defer { try? file.close() }
        let count = try file.write { db -> Int in
            let id = try Data.fetchOne(db, sql: "SELECT id FROM master_key")
            if id == new.id { return 0 }
            guard id == nil || id == old.id else { throw VaultRefused.otherMasterKey(path: path) }
            if let wrapped = try Data.fetchOne(db, sql: "SELECT wrapped FROM commitment") {
                guard let key = DataKey(0, for: .commitment, unwrapping: wrapped, under: old) else { throw VaultRefused.keyChanged(path: path, number: 0) }
                try db.execute(sql: "UPDATE commitment SET wrapped = ?", arguments: [try key.wrapped(for: .commitment, under: new)])
            }
            let rows = try Row.fetchCursor(db, sql: "SELECT number, subject, month, wrapped FROM data_key ORDER BY number")
            var count = 0
            while let row = try rows.next() {
                let place = DataKeyPlace(subject: row[1], month: row[2])
                guard let key = DataKey(row[0], for: place, unwrapping: row[3], under: old) else { throw VaultRefused.keyChanged(path: path, number: row[0]) }
                try db.execute(sql: "UPDATE data_key SET wrapped = ? WHERE number = ?", arguments: [try key.wrapped(for: place, under: new), key.number])
                count += 1
            }
            try db.execute(sql: "INSERT INTO master_key VALUES (1, ?) ON CONFLICT DO UPDATE SET id = excluded.id", arguments: [new.id])
            _ = try Int64.fetchOne(db, sql: nextGeneration)
            pass("rewrap-before-commit")
            return count
        }
        pass("rewrap-after-commit")
        // What was wrapped by the old one is in neither file any more.
        _ = try SQLiteStore.emptyLog(file)
        return count
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

    package init(row: Int64, why: Why) {
        self.row = row
        self.why = why
    }

    package var description: String {
        switch why {
        case _ where row == 0: "a data key was changed in the file of keys: put back a replica of it"
        case .keyMissing: "segment \(row) cannot be read: its key is not there any more"
        case .keyChanged: "segment \(row) cannot be read: its key was changed in the file of keys"
        case .changed: "segment \(row) cannot be read: it was changed in the vault's file"
        }
    }
}

/// Why a vault is not used.
package enum VaultRefused: Error, Hashable, Sendable, CustomStringConvertible {
    case otherMasterKey(path: String)
    case inTheClear(path: String)
    /// There are keys of what is in the vault, and nothing is in it.
    case vaultMissing(path: String, keys: String)
    /// The vault holds segments, and there is no file of keys.
    case keysMissing(path: String)
    case otherKeys(path: String)
    /// The vault was committed to its segments under a key that is not there.
    case keysOlder(path: String)
    /// The vault has seen a later state of this file of keys.
    case olderKeys(path: String, generation: Int64, seen: Int64)
    /// The vault has its keys in its own file yet.
    case notTakenOver(path: String)
    case keyChanged(path: String, number: Int64)

    package var description: String {
        switch self {
        case .otherMasterKey(let path): "\(path) is encrypted under another master key than the one in keys/vault/policy.master: put the right one back"
        case .inTheClear(let path): "\(path) was written in the clear by an older Sluice: read what you need with that version, then start with another --home"
        case .vaultMissing(let path, let keys):
            "\(path) is missing, and \(keys) holds the keys of what was in it: put the vault back from a backup, or start with another --home"
        case .keysMissing(let path): "\(path) is missing, and without it nothing in the vault can be read: put back a replica of it, or start with another --home"
        case .otherKeys(let path): "\(path) holds the keys of another vault: put the right one back"
        case .keysOlder(let path): "\(path) is older than the vault, whose segments cannot be checked with it: put a newer replica of it back"
        case .olderKeys(let path, let generation, let seen):
            "\(path) is older than the vault beside it (state \(generation), the vault has seen \(seen)): keys that were destroyed since would come back in it; put back the newest replica, or, if there is none, start sluice-policy once with --older-keys \(generation)"
        case .notTakenOver(let path): "\(path) was written by an older Sluice, and its keys are not all in a file of their own yet: start sluice-policy once, then give the command again"
        case .keyChanged(let path, let number): "\(path): key \(number) was changed or belongs to another master key; nothing was wrapped anew"
        }
    }
}
