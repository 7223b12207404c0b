import Foundation
import GRDB
import Gate
import Ledger
import Webhooks

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What must still be told, to whom, and what became of it. Durable before anything is sent.
///
/// A delivery is one message to one receiver on one channel: a hook, or one recipient of a mail. It is in one of these states, and moves as its attempts end:
///
/// | state | means | next |
/// | --- | --- | --- |
/// | *waiting* | pending: it is due, or will be at its time | *delivered*, *waiting* again, *given up*, *held* |
/// | *held* | pending, and its channel is disabled (the receiver answered 410) or removed (no longer in the settings) | *waiting*, when the channel is back |
/// | *delivered* | the receiver has said that it has it | – |
/// | *given up* | refused for good (5xx to a mail), or its last attempt after 75 hours has failed; listed for ever | – |
///
/// At least once, and the id is the same each time, as a `webhook-id` or a `Message-ID`. An attempt whose answer was lost after all had been sent counts in `copies`: the
/// receiver may have it twice. So does a mail that was in hand when notify was killed. Each attempt is kept with its answer. What is of one incident reaches a recipient of mails, or a hook, in order: a later one is not due before the earlier is delivered or given up;
/// what operators are told waits for nobody's notice. What was delivered long ago loses its bytes (``remove(before:closed:limit:at:)``); nothing that was to be sent is deleted, and nothing leaves the lists silently. All times are arguments. Every call blocks on the disk: not for the cooperative pool.
struct Outbox: Sendable {
    let database: any DatabaseWriter
    let path: String

    /// Opens or creates the file, mode 0600, and brings it up to date.
    ///
    /// - Throws: every case of ``OutboxError``. Holding an outbox means that a commit survives a power cut.
    init(path: String) throws(OutboxError) {
        self.path = path
        // SQLite would create it readable by all; its WAL takes over the mode.
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw .unopened(path: path, why: String(cString: strerror(errno))) }
        close(file)
        database = try Outbox.translated(path) {
            var configuration = Configuration()
            configuration.label = "outbox"
            configuration.journalMode = .wal
            configuration.prepareDatabase { db in
                try db.execute(sql: "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON")
                db.add(function: Outbox.digest)
            }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            // GRDB sets NORMAL in WAL mode after it has prepared the connection: a NORMAL commit does not survive a power cut.
            try queue.inDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            try queue.read { try Outbox.checkPragmas($0, path) }
            let migrator = Outbox.migrator(for: path)
            let unknown = try queue.read { try migrator.appliedIdentifiers($0) }.subtracting(migrator.migrations)
            guard unknown.isEmpty else { throw OutboxError.newer(path: path, unknown: unknown.sorted()) }
            // Before rows of an older version get digests: what is damaged must not be taken for what was written.
            try queue.read { try Outbox.checkPages($0, path) }
            try migrator.migrate(queue)
            try queue.read { try Outbox.checkRows($0, path) }
            return queue
        }
    }

    /// Takes over entries of control's ledger, in order, with what they give to tell: all of it, or nothing, and never twice.
    ///
    /// Of an entry at or below the cursor the hash alone is kept, if there is none yet: an older Sluice kept none.
    ///
    /// - Parameters:
    ///   - fork: after which entry the ledger goes on otherwise than it was taken: what was taken after it is forgotten in the same transaction, so that
    ///     a kill leaves the one history or the other. What was to be told stays. Nil: it goes on as it was.
    ///   - now: our own clock, from which the first attempt counts; `created` is control's.
    /// - Returns: messages that are new. One whose id is known has been told, or is being told.
    @discardableResult
    func take(_ entries: [Told], from fork: UInt64? = nil, channels: [String], at now: WallTime) throws(OutboxError) -> Int {
        for entry in entries {
            guard Int64(exactly: entry.index) != nil else { throw .index(entry.index) }
            if let message = entry.message, !StandardWebhook.isID(message.id) { throw .badID(message.id) }
            for mail in entry.mails where !StandardWebhook.isID(mail.id) { throw .badID(mail.id) }
        }
        return try writing { db in
            var cursor = try Outbox.cursor(db)
            if let fork = fork.map(Int64.init(clamping:)), fork < cursor {
                try db.execute(sql: "DELETE FROM entry WHERE number > ?", arguments: [fork])
                cursor = fork
            }
            var new = 0
            for entry in entries {
                let index = Int64(entry.index)
                try db.execute(sql: "INSERT OR IGNORE INTO entry (number, hash) VALUES (?, ?)", arguments: [index, Data(entry.hash.bytes)])
                if db.changesCount > 0 { try Outbox.stamp(.entry, db, where: "number = ?", [index]) }
                guard index > cursor else { continue }
                cursor = index
                if let message = entry.message, try Outbox.insert(message, channels, now, db) { new += 1 }
                for mail in entry.mails where try Outbox.insert(mail, now, db) { new += 1 }
            }
            try db.execute(sql: "UPDATE cursor SET entry = ?", arguments: [cursor])
            try Outbox.stamp(.cursor, db)
            return new
        }
    }

    /// Takes messages that come from no entry. One whose id is known has been told, or is being told.
    ///
    /// - Returns: those that are new.
    @discardableResult
    func put(_ messages: [Message], channels: [String], at now: WallTime) throws(OutboxError) -> Int {
        for message in messages where !StandardWebhook.isID(message.id) { throw .badID(message.id) }
        return try writing { db in try messages.count { try Outbox.insert($0, channels, now, db) } }
    }

    /// - Returns: false: it is there already.
    private static func insert(_ message: Message, _ channels: [String], _ now: WallTime, _ db: Database) throws -> Bool {
        try db.execute(
            sql: "INSERT INTO message (id, type, body, created) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            arguments: [message.id, message.type, message.body, message.created.microseconds])
        guard db.changesCount > 0 else { return false }
        try stamp(.message, db, where: "id = ?", [message.id])
        for channel in channels {
            try db.execute(sql: "INSERT OR IGNORE INTO channel (name) VALUES (?)", arguments: [channel])
            if db.changesCount > 0 { try stamp(.channel, db, where: "name = ?", [channel]) }
            let incident = message.incident.map { Int64(clamping: $0) }
            try db.execute(
                sql: "INSERT INTO delivery (message, channel, next_at, incident) VALUES (?, ?, ?, ?)",
                arguments: [message.id, channel, try firstTurn(of: incident, on: channel, at: now, db).microseconds, incident])
        }
        try stamp(.delivery, db, where: "message = ?", [message.id])
        return true
    }

    /// The hashes of entries that were taken, by their index. An older Sluice kept none.
    func hashes(_ range: ClosedRange<UInt64>) throws(OutboxError) -> [UInt64: TreeHash] {
        try reading { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT number, hash FROM entry WHERE number BETWEEN ? AND ?",
                arguments: [Int64(clamping: range.lowerBound), Int64(clamping: range.upperBound)])
            var found: [UInt64: TreeHash] = [:]
            for row in rows { found[UInt64(row[0] as Int64)] = TreeHash(bytes: row[1] as Data) }
            return found
        }
    }

    /// The root of the first entries that were taken; nil: not all of their hashes are there.
    func root(at size: UInt64) throws(OutboxError) -> TreeHash? {
        try reading { db in
            var frontier = MerkleFrontier()
            let rows = try Row.fetchCursor(db, sql: "SELECT number, hash FROM entry WHERE number <= ? ORDER BY number", arguments: [Int64(clamping: size)])
            while let row = try rows.next() {
                guard UInt64(row[0] as Int64) == frontier.size + 1, let hash = TreeHash(bytes: row[1] as Data) else { return nil }
                _ = frontier.append(hash)
            }
            return frontier.size == size ? frontier.root : nil
        }
    }

    /// The index of the last entry taken; 0: none.
    func cursor() throws(OutboxError) -> UInt64 { try reading { UInt64(try Outbox.cursor($0)) } }

    /// Makes the channels those of the settings: name, and a fingerprint of the address.
    ///
    /// One that is not among them is removed, and what is pending on it held. A disabled one stays disabled, unless its address
    /// has changed: the 410 was the old address's.
    func configure(_ addresses: [String: String]) throws(OutboxError) {
        try writing { db in
            try db.execute(sql: "UPDATE channel SET state = 'removed' WHERE state = 'active'")
            for (name, address) in addresses {
                try db.execute(
                    sql: """
                        INSERT INTO channel (name, address) VALUES (:name, :address)
                        ON CONFLICT (name) DO UPDATE SET
                            state = CASE WHEN state = 'disabled' AND address = :address THEN state ELSE 'active' END,
                            since = CASE WHEN state = 'disabled' AND address = :address THEN since END,
                            why = CASE WHEN state = 'disabled' AND address = :address THEN why END,
                            held_until = CASE WHEN address = :address THEN held_until END,
                            address = :address
                        """, arguments: ["name": name, "address": address])
            }
            try Outbox.stamp(.channel, db)
        }
    }

    /// What may be sent to hooks now, first that which has been due for longest.
    ///
    /// - Parameter channel: nil: on all of them.
    func due(at now: WallTime, limit: Int, on channel: String? = nil) throws(OutboxError) -> [Due] {
        try reading { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT delivery.message, type, body, created, channel, attempts, incident,
                        \(Table.message.isWhole) AND \(Table.delivery.isWhole) AND \(Table.channel.isWhole) AS whole FROM delivery
                    JOIN message ON message.id = delivery.message JOIN channel ON channel.name = delivery.channel
                    WHERE delivery.state = 'pending' AND channel.state = 'active' AND delivery.recipient IS NULL \(channel == nil ? "" : "AND channel = :channel AND rank = 0")
                        AND NOT (next_at > :now AND next_at <= :horizon)
                        AND NOT (ifnull(held_until, 0) > :now AND ifnull(held_until, 0) <= :horizon)
                    ORDER BY next_at, delivery.rowid LIMIT :limit
                    """,
                arguments: ["now": now.microseconds, "horizon": Outbox.horizon(now), "limit": limit] + (channel.map { ["channel": $0] } ?? StatementArguments())
            ).map { row in
                guard row["whole"] else { throw OutboxError.damaged(path: path, why: "the delivery of \(row["message"] as String) to \(row["channel"] as String) is not what was written") }
                return Due(
                    message: Message(
                        id: row["message"], type: row["type"], incident: (row["incident"] as Int64?).map { UInt64(clamping: $0) }, body: row["body"],
                        created: WallTime(microseconds: row["created"])),
                    channel: row["channel"], attempts: row["attempts"])
            }
        }
    }

    /// When something becomes due on a channel; in the past: something is. Nil: nothing is waiting there.
    func nextDue(on channel: String, at now: WallTime) throws(OutboxError) -> WallTime? {
        try reading { db in
            let next = try Int64.fetchOne(
                db,
                sql: """
                    SELECT min(max(CASE WHEN next_at > :horizon THEN :now ELSE next_at END,
                        CASE WHEN ifnull(held_until, 0) > :horizon THEN :now ELSE ifnull(held_until, 0) END))
                    FROM delivery JOIN channel ON channel.name = delivery.channel
                    WHERE delivery.state = 'pending' AND channel.state = 'active' AND channel = :channel
                    """, arguments: ["channel": channel, "now": now.microseconds, "horizon": Outbox.horizon(now)])
            return next.map(WallTime.init(microseconds:))
        }
    }

    /// No wait reaches past this. A time beyond it was written before the clock was set back, and counts as come.
    static func horizon(_ now: WallTime) -> Int64 { (now + RetrySchedule.waitMax).microseconds }

    /// The receiver has it.
    func delivered(_ id: String, on channel: String, _ answered: Answered) throws(OutboxError) {
        try writing { try Outbox.delivered(id, channel, answered, $0) }
    }

    /// As many at once: one commit.
    func delivered(_ deliveries: [(id: String, answered: Answered)], on channel: String) throws(OutboxError) {
        try writing { db in for delivery in deliveries { try Outbox.delivered(delivery.id, channel, delivery.answered, db) } }
    }

    static func delivered(_ id: String, _ channel: String, _ answered: Answered, _ db: Database) throws {
        try db.execute(
            sql: """
                UPDATE delivery SET state = 'delivered', attempts = attempts + 1, delivered_at = ?, last_error = NULL, in_hand = 0
                WHERE message = ? AND channel = ? AND state <> 'delivered'
                """, arguments: [answered.at.microseconds, id, channel])
        guard db.changesCount > 0 else { return }
        try stamp(.delivery, db, where: "message = ? AND channel = ?", [id, channel])
        try insert(answered, "delivered", id, channel, db)
    }

    /// An attempt has failed.
    ///
    /// - Parameters:
    ///   - retryAt: nil: it was the last; the delivery is given up and listed.
    ///   - hold: until when the whole channel is left alone, because the receiver asked for it, or is not there.
    func failed(_ id: String, on channel: String, _ answered: Answered, retryAt: WallTime?, hold: WallTime? = nil) throws(OutboxError) {
        try writing { try Outbox.failed(id, channel, answered, retryAt: retryAt, hold: hold, mayHaveArrived: false, $0) }
    }

    static func failed(
        _ id: String, _ channel: String, _ answered: Answered, retryAt: WallTime?, hold: WallTime?, mayHaveArrived: Bool, isAttempt: Bool = true, _ db: Database
    ) throws {
        try db.execute(
            sql: """
                UPDATE delivery SET state = ?, attempts = attempts + ?, last_error = ?, next_at = ifnull(?, next_at), copies = copies + ?, in_hand = 0
                WHERE message = ? AND channel = ? AND state = 'pending'
                """,
            arguments: [retryAt == nil ? "given-up" : "pending", isAttempt ? 1 : 0, answered.text, retryAt?.microseconds, mayHaveArrived ? 1 : 0, id, channel])
        if db.changesCount > 0 {
            try stamp(.delivery, db, where: "message = ? AND channel = ?", [id, channel])
            if isAttempt { try insert(answered, retryAt == nil ? "given-up" : "retry", id, channel, db) }
            if let retryAt, channel != mailChannel { try keepBehind(id, channel, until: retryAt, at: answered.at, db) }
        }
        guard let hold else { return }
        try db.execute(sql: "UPDATE channel SET held_until = ? WHERE name = ?", arguments: [hold.microseconds, channel])
        try stamp(.channel, db, where: "name = ?", [channel])
    }

    /// The receiver wants no more: its channel is disabled, and what is pending on it held, this message included.
    func disable(_ channel: String, after id: String, _ answered: Answered) throws(OutboxError) {
        try writing { db in
            try db.execute(
                sql: """
                    UPDATE delivery SET attempts = attempts + 1, last_error = ?
                    WHERE message = ? AND channel = ? AND state = 'pending'
                    """, arguments: [answered.text, id, channel])
            if db.changesCount > 0 {
                try Outbox.stamp(.delivery, db, where: "message = ? AND channel = ?", [id, channel])
                try Outbox.insert(answered, "disabled", id, channel, db)
            }
            try db.execute(
                sql: "UPDATE channel SET state = 'disabled', since = ?, why = ? WHERE name = ? AND state = 'active'",
                arguments: [answered.at.microseconds, answered.text, channel])
            try Outbox.stamp(.channel, db, where: "name = ?", [channel])
        }
    }

    /// Lets a disabled channel go on with what was held. A removed one comes back with the settings only.
    func enable(_ channel: String) throws(OutboxError) {
        try writing { db in
            try db.execute(
                sql: """
                    UPDATE channel SET state = 'active', since = NULL, why = NULL, held_until = NULL
                    WHERE name = ? AND state = 'disabled'
                    """, arguments: [channel])
            try Outbox.stamp(.channel, db, where: "name = ?", [channel])
        }
    }

    func counts() throws(OutboxError) -> Counts {
        try reading { db in
            let row = try Row.fetchOne(
                db,
                sql: """
                    SELECT count(*) FILTER (WHERE delivery.state = 'pending' AND channel.state = 'active') AS waiting,
                        count(*) FILTER (WHERE delivery.state = 'pending' AND channel.state <> 'active') AS held,
                        count(*) FILTER (WHERE delivery.state = 'delivered') AS delivered,
                        count(*) FILTER (WHERE delivery.state = 'given-up') AS given_up,
                        count(*) FILTER (WHERE copies > 0) AS doubled,
                        (SELECT min(created) FROM delivery JOIN message ON message.id = delivery.message WHERE delivery.state = 'pending') AS oldest
                    FROM delivery JOIN channel ON channel.name = delivery.channel
                    """)
            guard let row else { return Counts() }
            let oldest: Int64? = row["oldest"]
            return Counts(
                waiting: row["waiting"], held: row["held"], delivered: row["delivered"], givenUp: row["given_up"], doubled: row["doubled"],
                oldestWaiting: oldest.map(WallTime.init(microseconds:)))
        }
    }

    /// The newest message of this type: when it was made, and when the last of its channels had it; nil: there is none that is for anybody, or, in the second, it has not come everywhere.
    func newest(_ type: String) throws(OutboxError) -> (made: WallTime, told: WallTime?)? {
        try reading { db in
            let row = try Row.fetchOne(
                db,
                sql: """
                    SELECT created, count(*) = count(delivered_at) AS whole, max(delivered_at) AS told FROM message JOIN delivery ON delivery.message = message.id
                    WHERE type = ? GROUP BY message.id ORDER BY created DESC LIMIT 1
                    """, arguments: [type])
            guard let row else { return nil }
            let told: Int64? = row["whole"] ? row["told"] : nil
            return (WallTime(microseconds: row["created"]), told.map(WallTime.init(microseconds:)))
        }
    }

    /// Who has not been told what, and why: everything that is pending or given up, oldest first.
    func undelivered(limit: Int) throws(OutboxError) -> [Undelivered] {
        try reading { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT delivery.message, type, created, channel, delivery.state, channel.state <> 'active' AS held, attempts, next_at,
                        last_error, recipient, copies
                    FROM delivery JOIN message ON message.id = delivery.message JOIN channel ON channel.name = delivery.channel
                    WHERE delivery.state <> 'delivered' ORDER BY created, delivery.rowid LIMIT ?
                    """, arguments: [limit]
            ).map { row in
                let state: Undelivered.State =
                    if row["state"] == "given-up" { .givenUp } else if row["held"] { .held } else {
                        .waiting(until: WallTime(microseconds: row["next_at"]))
                    }
                return Undelivered(
                    id: row["message"], type: row["type"], created: WallTime(microseconds: row["created"]), channel: row["channel"],
                    state: state, attempts: row["attempts"], lastError: row["last_error"], recipient: row["recipient"], copies: row["copies"])
            }
        }
    }

    /// Every channel that a message was ever for, by name.
    func channels() throws(OutboxError) -> [Channel] {
        try reading { db in
            try Row.fetchAll(db, sql: "SELECT name, state, since, why, held_until FROM channel ORDER BY name").map { row in
                let since: Int64? = row["since"]
                let state: Channel.State =
                    switch row["state"] as String {
                    case "active": .active
                    case "removed": .removed
                    default: .disabled(since: WallTime(microseconds: since ?? 0), why: row["why"] ?? "")
                    }
                let until: Int64? = row["held_until"]
                return Channel(name: row["name"], state: state, heldUntil: until.map(WallTime.init(microseconds:)))
            }
        }
    }

    private static func cursor(_ db: Database) throws -> Int64 { try Int64.fetchOne(db, sql: "SELECT entry FROM cursor") ?? 0 }
}

extension Outbox {
    /// An entry of control's ledger, and what it gives to tell.
    struct Told: Hashable, Sendable {
        var index: UInt64
        /// Of its leaf.
        var hash: TreeHash
        var message: Message?
        var mails: [Mail] = []
    }

    /// A delivery whose time has come.
    struct Due: Hashable, Sendable {
        var message: Message
        var channel: String
        /// Made before this one.
        var attempts: Int
    }

    struct Counts: Hashable, Sendable {
        var waiting = 0
        /// On a channel that is disabled or removed: they wait for an operator.
        var held = 0
        var delivered = 0
        var givenUp = 0
        /// Of all of them: those that the receiver may have twice.
        var doubled = 0
        /// When the oldest message was made that is waiting or held.
        var oldestWaiting: WallTime?
    }

    struct Undelivered: Hashable, Sendable {
        enum State: Hashable, Sendable { case waiting(until: WallTime), held, givenUp }

        var id: String
        var type: String
        var created: WallTime
        var channel: String
        var state: State
        var attempts: Int
        var lastError: String?
        /// Of a mail.
        var recipient: String?
        /// Attempts that may have arrived.
        var copies = 0
    }

    struct Channel: Hashable, Sendable {
        enum State: Hashable, Sendable { case active, disabled(since: WallTime, why: String), removed }

        var name: String
        var state: State
        /// The receiver asked to be left alone until then. In the past: over.
        var heldUntil: WallTime?
    }
}

extension Outbox {
    func writing<Value>(_ work: (Database) throws -> Value) throws(OutboxError) -> Value {
        try Outbox.translated(path) { try database.write(work) }
    }

    func reading<Value>(_ work: (Database) throws -> Value) throws(OutboxError) -> Value {
        try Outbox.translated(path) { try database.read(work) }
    }

    private static func translated<Value>(_ path: String, _ work: () throws -> Value) throws(OutboxError) -> Value {
        do { return try work() } catch let error as OutboxError { throw error } catch let error as DatabaseError {
            // SQLITE_CORRUPT, SQLITE_NOTADB.
            if [11, 26].contains(error.resultCode.rawValue) { throw .damaged(path: path, why: error.message ?? "\(error.resultCode)") }
            throw .storage(path: path, code: error.extendedResultCode.rawValue, why: error.message ?? "\(error.resultCode)")
        } catch { throw .storage(path: path, code: 0, why: "\(error)") }
    }
}
