import GRDB

extension Outbox {
    /// Shipped migrations are frozen: a new version adds, and never edits.
    ///
    /// - Parameter path: Named in what they throw.
    static func migrator(for path: String) -> DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("001-outbox") { db in
            // Times are microseconds since 1970.
            try db.execute(
                sql: """
                    CREATE TABLE message (
                        id TEXT PRIMARY KEY NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL, created INTEGER NOT NULL
                    ) STRICT;
                    CREATE TABLE channel (
                        name TEXT PRIMARY KEY NOT NULL,
                        address TEXT,
                        state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'removed')),
                        since INTEGER,
                        why TEXT,
                        held_until INTEGER
                    ) STRICT;
                    CREATE TABLE delivery (
                        message TEXT NOT NULL REFERENCES message (id),
                        channel TEXT NOT NULL REFERENCES channel (name),
                        state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'given-up')),
                        attempts INTEGER NOT NULL DEFAULT 0,
                        next_at INTEGER NOT NULL,
                        last_error TEXT,
                        delivered_at INTEGER,
                        PRIMARY KEY (message, channel)
                    ) STRICT;
                    CREATE INDEX delivery_pending ON delivery (channel, next_at) WHERE state = 'pending';
                    CREATE TABLE cursor (one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1), entry INTEGER NOT NULL) STRICT;
                    INSERT INTO cursor (one, entry) VALUES (1, 0);
                    """)
        }
        migrator.registerMigration("002-entries") { db in
            // What was taken, by its place: the hash of its leaf. So a ledger that was put back is told from the one that was followed.
            try db.execute(sql: "CREATE TABLE entry (number INTEGER PRIMARY KEY NOT NULL, hash BLOB NOT NULL) STRICT")
        }
        migrator.registerMigration("003-digests") { db in
            for (table, columns) in columnsOf003 {
                try db.execute(sql: "ALTER TABLE \(table) ADD COLUMN digest BLOB")
                try db.execute(sql: "UPDATE \(table) SET digest = \(digest(of: table, columns))")
            }
        }
        migrator.registerMigration("004-mail") { db in
            // A new digest would make of what the disk has changed what was written.
            for (table, columns) in columnsOf003 where table == Table.delivery.rawValue {
                guard try Row.fetchOne(db, sql: "SELECT 1 FROM \(table) WHERE digest IS NOT \(digest(of: table, columns))") == nil else {
                    throw OutboxError.damaged(path: path, why: "a delivery is not what was written")
                }
            }
            // The recipient of a mail; a hook has none. What is of one incident keeps its order for each of them. How many attempts may have arrived unseen.
            // The bytes of a mail are a table of their own: they are what there is of a person, and can be erased without the fact that it was sent.
            try db.execute(
                sql: """
                    ALTER TABLE delivery ADD COLUMN recipient TEXT;
                    ALTER TABLE delivery ADD COLUMN incident INTEGER;
                    ALTER TABLE delivery ADD COLUMN copies INTEGER NOT NULL DEFAULT 0;
                    CREATE TABLE mail (message TEXT PRIMARY KEY NOT NULL REFERENCES message (id), bytes BLOB NOT NULL, digest BLOB) STRICT;
                    CREATE INDEX delivery_order ON delivery (recipient, incident) WHERE state = 'pending' AND incident IS NOT NULL;
                    """)
            try db.execute(sql: "UPDATE delivery SET digest = \(digest(of: Table.delivery.rawValue, columnsOf004))")
        }
        migrator.registerMigration("005-notices") { db in
            guard try Row.fetchOne(db, sql: "SELECT 1 FROM delivery WHERE digest IS NOT \(digest(of: Table.delivery.rawValue, columnsOf004))") == nil else {
                throw OutboxError.damaged(path: path, why: "a delivery is not what was written")
            }
            // Whether it is being handed over: after a kill it may have arrived. Each attempt with its answer, and what came back. The decisions that two operators have signed,
            // and what people are sent by them: its bytes last, so that who counts does not read them.
            try db.execute(
                sql: """
                    ALTER TABLE delivery ADD COLUMN in_hand INTEGER NOT NULL DEFAULT 0;
                    CREATE TABLE attempt (
                        message TEXT NOT NULL REFERENCES message (id),
                        channel TEXT NOT NULL REFERENCES channel (name),
                        number INTEGER NOT NULL,
                        at INTEGER NOT NULL,
                        verdict TEXT NOT NULL CHECK (verdict IN ('delivered', 'retry', 'given-up', 'disabled')),
                        code INTEGER,
                        answer TEXT NOT NULL,
                        digest BLOB,
                        PRIMARY KEY (message, channel, number)
                    ) STRICT;
                    CREATE TABLE bounce (
                        message TEXT PRIMARY KEY NOT NULL REFERENCES message (id), at INTEGER NOT NULL, status TEXT NOT NULL, why TEXT NOT NULL, digest BLOB
                    ) STRICT;
                    CREATE TABLE decision (
                        id INTEGER PRIMARY KEY NOT NULL,
                        number INTEGER NOT NULL,
                        root BLOB NOT NULL,
                        incident INTEGER NOT NULL,
                        people INTEGER NOT NULL,
                        held INTEGER NOT NULL DEFAULT 0,
                        octets INTEGER NOT NULL DEFAULT 0,
                        last_at INTEGER NOT NULL,
                        taken_at INTEGER,
                        escalations INTEGER NOT NULL DEFAULT 0,
                        escalated_at INTEGER,
                        escalated_to TEXT,
                        digest BLOB,
                        UNIQUE (number, root)
                    ) STRICT;
                    CREATE TABLE notice (
                        decision INTEGER NOT NULL REFERENCES decision (id),
                        subject TEXT NOT NULL,
                        leaf BLOB NOT NULL,
                        language TEXT NOT NULL,
                        message TEXT UNIQUE REFERENCES message (id),
                        recipient TEXT,
                        unreachable TEXT,
                        escalated_at INTEGER,
                        digest BLOB,
                        bytes BLOB NOT NULL,
                        PRIMARY KEY (decision, subject)
                    ) STRICT;
                    """)
            try db.execute(sql: "UPDATE delivery SET digest = \(digest(of: Table.delivery.rawValue, columnsOf005Delivery))")
        }
        migrator.registerMigration("006-receipts") { db in
            // That it was opened: the first time that somebody said so, and how.
            try db.execute(
                sql: """
                    CREATE TABLE receipt (
                        message TEXT PRIMARY KEY NOT NULL REFERENCES message (id),
                        at INTEGER NOT NULL,
                        way TEXT NOT NULL CHECK (way IN ('link', 'disposition', 'seen')),
                        digest BLOB
                    ) STRICT
                    """)
        }
        migrator.registerMigration("007-rounds") { db in
            for (table, columns) in columnsOf005 {
                guard try Row.fetchOne(db, sql: "SELECT 1 FROM \(table) WHERE digest IS NOT \(digest(of: table, columns))") == nil else {
                    throw OutboxError.damaged(path: path, why: "a row of \(table) is not what was written")
                }
            }
            // What was coming was not compared part by part: whoever brings it begins anew.
            try db.execute(
                sql: """
                    CREATE TEMP TABLE coming AS SELECT message FROM notice WHERE decision IN (SELECT id FROM decision WHERE taken_at IS NULL);
                    DELETE FROM notice WHERE decision IN (SELECT id FROM decision WHERE taken_at IS NULL);
                    DELETE FROM decision WHERE taken_at IS NULL;
                    DELETE FROM mail WHERE message IN (SELECT message FROM coming);
                    DELETE FROM message WHERE id IN (SELECT message FROM coming);
                    DROP TABLE coming;
                    """)
            // Who goes first: 0, operators. When the bytes were removed. Of a decision: the tree's edge over what is here, so that each part is compared when it comes; who brought it;
            // whether it is being dropped; up to whom those that are taken have a delivery, and since when all have. Parts of an escalation that are out, while there is more of it.
            // The bytes of a notice are a table of their own: marking a person does not write them again, and counting people does not pass over them.
            try db.execute(
                sql: """
                    ALTER TABLE message ADD COLUMN removed_at INTEGER;
                    ALTER TABLE delivery ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
                    UPDATE delivery SET rank = 1 WHERE message IN (SELECT id FROM message WHERE type = 'notice');
                    DROP INDEX delivery_pending;
                    CREATE INDEX delivery_pending ON delivery (channel, rank, next_at) WHERE state = 'pending';
                    ALTER TABLE decision ADD COLUMN part INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE decision ADD COLUMN edge BLOB;
                    ALTER TABLE decision ADD COLUMN operator TEXT;
                    ALTER TABLE decision ADD COLUMN dropping INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE decision ADD COLUMN spread_to TEXT;
                    ALTER TABLE decision ADD COLUMN spread_at INTEGER;
                    UPDATE decision SET spread_at = taken_at;
                    CREATE TABLE page (
                        decision INTEGER NOT NULL,
                        subject TEXT NOT NULL,
                        digest BLOB,
                        bytes BLOB NOT NULL,
                        PRIMARY KEY (decision, subject),
                        FOREIGN KEY (decision, subject) REFERENCES notice (decision, subject)
                    ) STRICT;
                    INSERT INTO page (decision, subject, bytes, digest) SELECT decision, subject, bytes, digest('page', decision, subject, bytes) FROM notice;
                    ALTER TABLE notice DROP COLUMN bytes;
                    ALTER TABLE notice ADD COLUMN same_as TEXT REFERENCES message (id);
                    CREATE INDEX notice_same ON notice (same_as) WHERE same_as IS NOT NULL;
                    ALTER TABLE notice ADD COLUMN removed_at INTEGER;
                    CREATE INDEX notice_kept ON notice (decision, subject) WHERE removed_at IS NULL;
                    CREATE INDEX message_kept ON message (created) WHERE removed_at IS NULL AND type <> 'notice';
                    """)
            for (table, columns) in columnsOf007 { try db.execute(sql: "UPDATE \(table) SET digest = \(digest(of: table, columns))") }
        }
        migrator.registerMigration("008-tallies") { db in
            // How the people of a decision stand once nobody of it is waited for. Whatever changes that removes it.
            try db.execute(
                sql: """
                    CREATE TABLE tally (
                        decision INTEGER PRIMARY KEY NOT NULL REFERENCES decision (id),
                        delivered INTEGER NOT NULL,
                        opened INTEGER NOT NULL,
                        unreachable INTEGER NOT NULL,
                        untold INTEGER NOT NULL,
                        digest BLOB
                    ) STRICT;
                    CREATE TRIGGER tally_delivery AFTER UPDATE OF state ON delivery WHEN NEW.rank = 1 AND NEW.state IS NOT OLD.state BEGIN
                        DELETE FROM tally WHERE decision IN (SELECT decision FROM notice WHERE message = NEW.message UNION SELECT decision FROM notice WHERE same_as = NEW.message);
                    END;
                    CREATE TRIGGER tally_bounce AFTER INSERT ON bounce BEGIN
                        DELETE FROM tally WHERE decision IN (SELECT decision FROM notice WHERE message = NEW.message UNION SELECT decision FROM notice WHERE same_as = NEW.message);
                    END;
                    CREATE TRIGGER tally_receipt AFTER INSERT ON receipt BEGIN
                        DELETE FROM tally WHERE decision IN (SELECT decision FROM notice WHERE message = NEW.message UNION SELECT decision FROM notice WHERE same_as = NEW.message);
                    END;
                    CREATE TRIGGER tally_escalation AFTER UPDATE OF escalated_at ON notice WHEN NEW.escalated_at IS NOT OLD.escalated_at BEGIN
                        DELETE FROM tally WHERE decision = NEW.decision;
                    END;
                    """)
        }
        return migrator
    }

    /// What stood in each row, and in its digest, before there was mail.
    private static let columnsOf003 = [
        ("message", ["id", "type", "body", "created"]),
        ("delivery", ["message", "channel", "state", "attempts", "next_at", "last_error", "delivered_at"]),
        ("channel", ["name", "address", "state", "since", "why", "held_until"]),
        ("cursor", ["one", "entry"]),
        ("entry", ["number", "hash"]),
    ]

    /// Of a delivery, before each attempt was kept.
    private static let columnsOf004 = ["message", "channel", "state", "attempts", "next_at", "last_error", "delivered_at", "recipient", "incident", "copies"]

    /// Of a delivery, before operators went first.
    private static let columnsOf005Delivery = columnsOf004 + ["in_hand"]

    /// Of the tables that the next step changes, as it found them.
    private static let columnsOf005 = [
        ("message", ["id", "type", "body", "created"]),
        ("delivery", columnsOf005Delivery),
        ("decision", ["id", "number", "root", "incident", "people", "held", "octets", "last_at", "taken_at", "escalations", "escalated_at", "escalated_to"]),
        ("notice", ["decision", "subject", "leaf", "language", "message", "recipient", "unreachable", "escalated_at", "bytes"]),
    ]

    /// And as it left them. Not those of today: a later step adds to those, and this one still has to find its own.
    private static let columnsOf007 = [
        ("message", ["id", "type", "body", "created", "removed_at"]),
        ("delivery", columnsOf005Delivery + ["rank"]),
        (
            "decision",
            [
                "id", "number", "root", "incident", "people", "held", "octets", "last_at", "taken_at", "escalations", "escalated_at", "escalated_to", "part", "edge", "operator", "dropping", "spread_to",
                "spread_at",
            ]
        ),
        ("notice", ["decision", "subject", "leaf", "language", "message", "recipient", "unreachable", "escalated_at", "same_as", "removed_at"]),
    ]

    /// SQLite ignores a pragma that it cannot obey. So each is read back.
    ///
    /// - Throws: ``OutboxError/unsafe(path:pragma:wanted:found:)``.
    static func checkPragmas(_ db: Database, _ path: String) throws {
        let wanted = [
            ("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("trusted_schema", "0"), ("cell_size_check", "1"),
        ]
        for (pragma, wanted) in wanted {
            let found = try String.fetchOne(db, sql: "PRAGMA \(pragma)")
            guard found == wanted else { throw OutboxError.unsafe(path: path, pragma: pragma, wanted: wanted, found: found) }
        }
    }
}
