import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

@Suite struct DataKeyTests {
    @Test func `there is a key for each subject and month, and it is stored wrapped`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1), segment(2), segment(3, of: "E2"), segment(4, at: november + month)])
        try vault.store([segment(5, of: "E2")])
        let rows = try scene.ask("SELECT subject, month, length(wrapped) FROM data_key ORDER BY subject, month", in: scene.keys)
        #expect(rows.map { "\($0[0] as String) \($0[1] as Int64) \($0[2] as Int)" } == ["E1 202611 60", "E1 202612 60", "E2 202611 60"])
        #expect(try scene.ask("SELECT DISTINCT key FROM segment").count == 3)
        // By a process that has none of them in memory.
        #expect(try scene.vault().all().map { try $0.get().sequence } == [1, 2, 4, 3, 5])
    }

    @Test func `a key that was destroyed or changed opens nothing, and those of others go on`() throws {
        for (edit, why) in [
            ("DELETE FROM data_key WHERE subject = 'E1'", SegmentUnreadable.Why.keyMissing),
            ("UPDATE data_key SET wrapped = zeroblob(60) WHERE subject = 'E1'", .keyChanged),
            ("UPDATE data_key SET wrapped = x'' WHERE subject = 'E1'", .keyChanged),
            ("UPDATE data_key SET month = 202612 WHERE subject = 'E1'", .keyChanged),
            ("UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE subject = 'E2') WHERE subject = 'E1'", .keyChanged),
        ] {
            let scene = try Scene()
            try scene.vault().store([segment(1), segment(2, of: "E2")])
            try scene.edit(edit, in: scene.keys)
            let found = try scene.vault().all()
            #expect(refusal(found[0]) == SegmentUnreadable(row: 1, why: why), "\(edit)")
            #expect((try? found[1].get())?.sequence == 2, "\(edit)")
        }
    }

    @Test func `a key that was made in a transaction that was rolled back is used for nothing`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1)], commits: false)
        #expect(try scene.ask("SELECT * FROM data_key", in: scene.keys).isEmpty)
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try vault.transaction { transaction in
                try transaction.insert(segment(1))
                throw Stop()
            }
        }
        try vault.store([segment(2), segment(3, of: "E2")])
        #expect(try scene.vault().all().map { try $0.get().sequence } == [2, 3])
    }

    @Test func `a vault opens under its own master key alone`() throws {
        let scene = try Scene()
        let vault = try scene.vault(1)
        try vault.store([segment(1)])
        try vault.close()
        #expect(throws: VaultRefused.otherMasterKey(path: scene.path)) { try scene.vault(2) }
        #expect(try scene.vault(1).all().map { try $0.get().sequence } == [1])
        // Also before anything was stored.
        let empty = try Scene()
        try empty.vault(1).close()
        #expect(throws: VaultRefused.otherMasterKey(path: empty.path)) { try empty.vault(2) }
    }

    @Test func `a vault of version 1 is taken over if it never held anything, and else refused`() throws {
        for (statement, isRefused) in [("", false), ("INSERT INTO stream VALUES (1, 1, 1, 0)", true), ("INSERT INTO segment VALUES (1, 'E1', x'00')", true)] {
            let scene = try Scene()
            let old = try SQLiteStore.open(scene.path, version: 1) { _, db in
                try db.execute(
                    sql: """
                        CREATE TABLE segment (number INTEGER PRIMARY KEY, subject TEXT NOT NULL, body BLOB NOT NULL) STRICT;
                        CREATE TABLE gate (epoch INTEGER PRIMARY KEY, body BLOB NOT NULL, at_us INTEGER NOT NULL) STRICT;
                        CREATE TABLE stream (
                            agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL, lost INTEGER NOT NULL,
                            PRIMARY KEY (agent, stream)) STRICT, WITHOUT ROWID;
                        \(statement)
                        """)
            }
            try old.close()
            if isRefused {
                #expect(throws: VaultRefused.inTheClear(path: scene.path), "\(statement)") { try scene.vault() }
            } else {
                let vault = try scene.vault()
                try vault.store([segment(1)])
                #expect(try vault.all().count == 1)
            }
        }
    }

    @Test func `months are those of the calendar, in UTC`() throws {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var state = seed
        for _ in 0..<2_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let seconds = Int64(state % 9_000_000_000)
            let parts = calendar.dateComponents([.year, .month], from: Date(timeIntervalSince1970: Double(seconds)))
            let expected = try Int64(#require(parts.year)) * 100 + Int64(#require(parts.month))
            #expect(DataKeyPlace.month(of: WallTime(nanoseconds: seconds * 1_000_000_000)) == expected, "\(seconds)")
        }
        #expect(DataKeyPlace.month(of: WallTime(nanoseconds: -1)) == 196_912)
        #expect(DataKeyPlace.month(of: WallTime(nanoseconds: 0)) == 197_001)
    }

    @Test func `keys print as nothing`() throws {
        let key = try master(0x41)
        for text in ["\(key)", String(reflecting: key), "\(Mirror(reflecting: key).children.map { "\($0)" })"] { #expect(!text.contains("AAAA") && !text.contains("65, 65")) }
    }
}
