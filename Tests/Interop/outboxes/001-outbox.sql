CREATE TABLE channel (
    name TEXT PRIMARY KEY NOT NULL,
    address TEXT,
    state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled', 'removed')),
    since INTEGER,
    why TEXT,
    held_until INTEGER
) STRICT;
INSERT INTO "channel" VALUES('oncall','1','active',NULL,NULL,NULL);
INSERT INTO "channel" VALUES('audit','1','active',NULL,NULL,NULL);
CREATE TABLE cursor (one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1), entry INTEGER NOT NULL) STRICT;
INSERT INTO "cursor" VALUES(1,3);
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
INSERT INTO "delivery" VALUES('msg_j_1','oncall','pending',0,1800000000000000,'HTTP 500',NULL);
INSERT INTO "delivery" VALUES('msg_j_1','audit','delivered',1,1800000000000000,NULL,1800000000000000);
INSERT INTO "delivery" VALUES('msg_j_2','oncall','pending',0,1800000000000000,'HTTP 500',NULL);
INSERT INTO "delivery" VALUES('msg_j_2','audit','pending',0,1800000000000000,'HTTP 500',NULL);
INSERT INTO "delivery" VALUES('msg_j_3','oncall','pending',0,1800000000000000,'HTTP 500',NULL);
INSERT INTO "delivery" VALUES('msg_j_3','audit','pending',0,1800000000000000,'HTTP 500',NULL);
CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
INSERT INTO "grdb_migrations" VALUES('001-outbox');
CREATE TABLE message (
    id TEXT PRIMARY KEY NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL, created INTEGER NOT NULL
) STRICT;
INSERT INTO "message" VALUES('msg_j_1','gate.paused',X'7B226E756D626572223A317D',1800000000000000);
INSERT INTO "message" VALUES('msg_j_2','gate.paused',X'7B226E756D626572223A327D',1800000000000000);
INSERT INTO "message" VALUES('msg_j_3','gate.paused',X'7B226E756D626572223A337D',1800000000000000);
CREATE INDEX delivery_pending ON delivery (channel, next_at) WHERE state = 'pending';
