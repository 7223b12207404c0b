import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

@Suite struct KeysFileTests {
    @Test func `the vault's file and its log hold no key, not even a wrapped one`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1), segment(2, of: "E2")])
        let wrapped = try scene.ask("SELECT wrapped FROM data_key", in: scene.keys).map { $0[0] as Data }
        #expect(wrapped.count == 2)
        for (name, bytes) in try scene.bytes() where name.hasPrefix("vault") {
            for key in wrapped { #expect(bytes.range(of: key) == nil, "\(name)") }
        }
        // The control: the same search finds them where they are.
        #expect(try scene.bytes().contains { name, bytes in name.hasPrefix("keys") && bytes.range(of: wrapped[0]) != nil })
    }

    @Test func `a key is durable before the first segment under it`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        // What happens between the two commits: the keys are there, the rows are not.
        try vault.database.writeWithoutTransaction { db in
            let made = DataKeys.Made()
            let key = try vault.keys.key(for: DataKeyPlace(of: segment(1)), made: made)
            #expect(try scene.ask("SELECT * FROM data_key", in: scene.keys).isEmpty)
            try db.inTransaction {
                try vault.store(made, in: db)
                #expect(try scene.ask("SELECT number FROM data_key", in: scene.keys).map { $0[0] as Int64 } == [key.number])
                return .rollback
            }
        }
        // The next transaction uses it.
        try vault.store([segment(1)])
        #expect(try scene.ask("SELECT number FROM data_key", in: scene.keys).count == 1)
        #expect(try scene.vault().all().map { try $0.get().sequence } == [1])
    }

    @Test func `a vault of version 3 gives its keys away, and nothing of them stays in its file`() throws {
        let scene = try Scene()
        let wrapped = try version3(scene, keys: 200)
        // The control: they were there.
        #expect(try scene.bytes()["vault.sqlite"]?.range(of: wrapped[150]) != nil)
        let vault = try scene.vault()
        #expect(try vault.all().map { try $0.get().sequence } == [1])
        try vault.store([segment(2, of: "NEW")])
        #expect(try scene.ask("SELECT MAX(number) FROM data_key", in: scene.keys)[0][0] as Int64 == 201)
        try vault.close()
        for (name, bytes) in try scene.bytes() where name.hasPrefix("vault") {
            for key in wrapped { #expect(bytes.range(of: key) == nil, "\(name)") }
        }
        #expect(try scene.ask("SELECT COUNT(*) FROM data_key", in: scene.keys)[0][0] as Int64 == 201)
        #expect(try scene.vault().all().map { try $0.get().sequence } == [1, 2])
    }

    @Test func `a migration that ended between the two files is done again`() throws {
        let scene = try Scene()
        _ = try version3(scene, keys: 3)
        // The keys were written, the vault was not.
        let keys = try DataKeys(path: scene.keys, masters: [try master(7)], vault: scene.path)
        let rows = try scene.ask("SELECT number, subject, month, wrapped FROM data_key")
        try keys.take(rows, id: master(7).id, sequence: 3)
        try keys.close()
        let vault = try scene.vault()
        #expect(try vault.all().map { try $0.get().sequence } == [1])
        #expect(try scene.ask("SELECT COUNT(*) FROM data_key", in: scene.keys)[0][0] as Int64 == 3)
    }

    @Test func `a migration under another master key changes nothing`() throws {
        let scene = try Scene()
        _ = try version3(scene, keys: 3)
        #expect(throws: VaultRefused.otherMasterKey(path: scene.path)) { try scene.vault(8) }
        #expect(try scene.ask("SELECT COUNT(*) FROM data_key")[0][0] as Int64 == 3)
        try FileManager.default.removeItem(atPath: scene.keys)
        #expect(try scene.vault(7).all().map { try $0.get().sequence } == [1])
    }

    @Test func `a file of keys that is missing, or another vault's, is not replaced by an empty one`() throws {
        let scene = try Scene()
        var vault = try scene.vault()
        try vault.store([segment(1)])
        try vault.close()
        try FileManager.default.moveItem(atPath: scene.keys, toPath: scene.folder + "/away")
        for _ in 0..<2 { #expect(throws: VaultRefused.keysMissing(path: scene.keys)) { try scene.vault() } }
        #expect(!FileManager.default.fileExists(atPath: scene.keys))

        let other = try Scene()
        try other.vault().close()
        try FileManager.default.copyItem(atPath: other.keys, toPath: scene.keys)
        #expect(throws: VaultRefused.otherKeys(path: scene.keys)) { try scene.vault() }
        try FileManager.default.removeItem(atPath: scene.keys)
        try FileManager.default.moveItem(atPath: scene.folder + "/away", toPath: scene.keys)
        vault = try scene.vault()
        #expect(try vault.all().map { try $0.get().sequence } == [1])
    }

    @Test func `a vault that is missing is not replaced by an empty one while there are keys of it`() throws {
        let scene = try Scene()
        var vault = try scene.vault()
        try vault.store([segment(1)])
        try vault.close()
        let whole = try scene.bytes()
        try FileManager.default.removeItem(atPath: scene.path)
        for _ in 0..<2 { #expect(throws: VaultRefused.vaultMissing(path: scene.path, keys: scene.keys)) { try scene.vault() } }
        #expect(!FileManager.default.fileExists(atPath: scene.path))
        #expect(try scene.bytes()["vault.sqlite-wal"] == whole["vault.sqlite-wal"])
        // One that was cut to nothing is none either.
        try scene.restore("vault.sqlite", ["vault.sqlite": Data()])
        for _ in 0..<2 { #expect(throws: VaultRefused.vaultMissing(path: scene.path, keys: scene.keys)) { try scene.vault() } }
        try scene.restore("vault.sqlite", whole)
        vault = try scene.vault()
        #expect(try vault.all().map { try $0.get().sequence } == [1])
        try vault.close()
        // The control: where neither is, both are begun anew.
        for file in try scene.bytes().keys { try FileManager.default.removeItem(atPath: scene.folder + "/" + file) }
        #expect(try scene.vault().all().isEmpty)
    }

    @Test func `a newer version of either file is refused`() throws {
        for file in ["vault.sqlite", "keys.sqlite"] {
            let scene = try Scene()
            try scene.vault().close()
            try scene.edit("PRAGMA user_version = 99", in: scene.folder + "/" + file)
            #expect { try scene.vault() } throws: { ($0 as? StoreError)?.description.contains("newer Sluice (format 99") == true }
        }
    }

    @Test func `a number never comes back, also when an older file of keys was put back and taken by its name`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1)])
        try vault.close()
        let old = try scene.bytes()
        let again = try scene.vault()
        try again.store([segment(2, of: "E2")])
        try again.close()
        try scene.restore("keys.sqlite", old)
        let older = try scene.ask("SELECT number FROM generation", in: scene.keys)[0][0] as Int64
        let later = try SQLiteVault(path: scene.path, masters: [master(7)], olderKeys: older)
        try later.store([segment(3, of: "E3")])
        let found = try later.all()
        #expect(refusal(found[1]) == SegmentUnreadable(row: 2, why: .keyMissing))
        #expect((try? found[2].get())?.sequence == 3)
    }

    @Test func `a file of keys from before anything that was done with them is refused, and a vault from before is not`() throws {
        let deeds: [(String, (SQLiteVault) throws -> Void)] = [
            ("a key", { try $0.store([segment(2, of: "E2")]) }), ("an erasure", { try $0.erase([ErasureOrder("E1", at: november)]) }),
            ("a hold", { try $0.hold(4, ["E1"]) }), ("a lift", { try $0.lift(3, nil) }), ("an entry", { try $0.put([DirectoryEntry(subject: "E1")], at: november) }),
            ("a removal", { try $0.removePeople(["E9"]) }), ("an agreement", { try $0.readmit("E8", at: november) }),
            ("a sweep", { _ = try $0.sweep(Retention([DataClass("activity"): .seconds(1)]), at: november + month + month, from: SweepCursor(), atMost: 9) }),
        ]
        for (what, deed) in deeds {
            let scene = try Scene()
            var vault = try scene.vault()
            try vault.store([segment(1)])
            try vault.put([DirectoryEntry(subject: "E9", name: "Ada")], at: november)
            try vault.hold(3, ["E7"])
            try vault.erase([ErasureOrder("E8", at: november)])
            while try vault.eraseNext(atMost: 9) != nil {}
            try vault.close()
            let files = try scene.bytes()
            vault = try scene.vault()
            let before = vault.keys.generation
            try deed(vault)
            let after = vault.keys.generation
            #expect(after > before, "\(what)")
            try vault.close()
            let newest = try scene.bytes()
            try scene.restore("keys.sqlite", files)
            for _ in 0..<2 {
                #expect(throws: VaultRefused.olderKeys(path: scene.keys, generation: before, seen: after), "\(what)") { try scene.vault() }
            }
            let master = try master(7)
            #expect(throws: VaultRefused.self) { try SQLiteVault(path: scene.path, masters: [master], olderKeys: before - 1) }
            // The control: with today's keys an older vault opens.
            try scene.restore("keys.sqlite", newest)
            try scene.restore("vault.sqlite", files)
            try scene.vault().close()
            // And there is a way for who has no newer replica: once.
            try scene.restore("vault.sqlite", newest)
            try scene.restore("keys.sqlite", files)
            try SQLiteVault(path: scene.path, masters: [master], olderKeys: before).close()
            vault = try scene.vault()
            #expect(vault.keys.generation > after, "\(what)")
            try vault.close()
        }
    }

    @Test func `an older version's vault that is put back beside newer keys brings no destroyed key along`() throws {
        let scene = try Scene()
        _ = try version3(scene, keys: 3)
        let old = try scene.bytes()
        var vault = try scene.vault()
        try vault.erase([ErasureOrder("E1", at: november)])
        while try vault.eraseNext(atMost: 9) != nil {}
        // Swept, not erased: gone as well.
        try vault.keys.destroy(vault.keys.numbers(of: "E2").map(\.number))
        try vault.noteKeys()
        try vault.close()
        let newest = try scene.bytes()
        try scene.restore("vault.sqlite", old)
        // The control: it has them.
        #expect(try scene.ask("SELECT subject FROM data_key ORDER BY number").map { $0[0] as String } == ["E1", "E2", "E3"])
        // It knows nothing of what the keys vouch for since, and is refused; and on the way nothing of it was taken.
        #expect(throws: StoreError.self) { try scene.vault() }
        #expect(try scene.ask("SELECT subject FROM data_key", in: scene.keys).map { $0[0] as String } == ["E3"])
        try scene.restore("vault.sqlite", newest)
        vault = try scene.vault()
        #expect(try vault.all().isEmpty && vault.isErased("E1"))
    }

    @Test func `an older version's vault beside another's keys is refused, and keeps its own`() throws {
        for other in [1, 5] {
            let scene = try Scene()
            _ = try version3(scene, keys: 3)
            let strange = try Scene()
            let vault = try strange.vault()
            for number in 0..<other { try vault.store([segment(UInt64(number + 1), of: "S\(number)")]) }
            try vault.close()
            try FileManager.default.copyItem(atPath: strange.keys, toPath: scene.keys)
            #expect(throws: VaultRefused.otherKeys(path: scene.keys)) { try scene.vault() }
            #expect(try scene.ask("SELECT COUNT(*) FROM data_key")[0][0] as Int64 == 3)
        }
    }

    @Test func `keys are not wrapped anew while a vault's are taken over by half`() throws {
        let scene = try Scene()
        _ = try version3(scene, keys: 3)
        let keys = try DataKeys(path: scene.keys, masters: [try master(7)], vault: scene.path)
        try keys.take(scene.ask("SELECT number, subject, month, wrapped FROM data_key"), id: master(7).id, sequence: 3)
        try keys.close()
        #expect(throws: VaultRefused.notTakenOver(path: scene.path)) { try SQLiteVault.rewrap(scene.path, from: master(7), to: master(8)) }
        #expect(try scene.vault(7).all().map { try $0.get().sequence } == [1])
        // The control: taken over, they are.
        #expect(try SQLiteVault.rewrap(scene.path, from: master(7), to: master(8)) == 3)
    }

    @Test func `what a reader keeps in a log holds nobody up, is shown, and goes when the reader does`() throws {
        for file in ["vault.sqlite", "keys.sqlite"] {
            let scene = try Scene()
            let vault = try scene.vault()
            try vault.store([segment(1), segment(2, of: "E2")])
            let reader = try DatabaseQueue(path: scene.folder + "/" + file)
            let (reads, goes, gone) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            Thread.detachNewThread {
                try? reader.read { db in
                    _ = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM sqlite_schema")
                    reads.signal()
                    goes.wait()
                }
                gone.signal()
            }
            reads.wait()
            try vault.erase([ErasureOrder("E1", at: november)])
            #expect(try vault.totals().holdsDestroyedKeys == (file == "keys.sqlite"))
            for _ in 0..<3 { #expect(try vault.eraseNext(atMost: 9)?.state == .log, "\(file)") }
            #expect(try vault.erasures().map(\.state) == [.log] && vault.isUntidy, "\(file)")
            #expect(try vault.all().map { try $0.get().sequence } == [2])
            goes.signal()
            gone.wait()
            try reader.close()
            #expect(try vault.eraseNext(atMost: 9)?.state == .done, "\(file)")
            #expect(try !vault.isUntidy && !vault.totals().holdsDestroyedKeys && vault.eraseNext(atMost: 9) == nil)
        }
    }

    @Test func `the log of the keys is written back in the gaps, also when nothing is destroyed`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        func log() throws -> Int { try scene.bytes()["keys.sqlite-wal"]?.count ?? 0 }
        var highest = 0
        for round in 0..<12 {
            try vault.store((0..<300).map { segment(UInt64(round * 300 + $0 + 1), of: "R\(round)-\($0)", blob: "x") })
            for number in 0..<30 { try vault.store([segment(UInt64(9_000 + round * 30 + number), of: "Q\(round)-\(number)", blob: "x")]) }
            try vault.tidy(isIdle: true)
            highest = max(highest, try log())
        }
        #expect(highest < 2 << 20, "\(highest) bytes")
        #expect(try scene.ask("SELECT COUNT(*) FROM data_key", in: scene.keys)[0][0] as Int64 == 3_960)
    }

    @Test func `all keys are wrapped anew, or none`() throws {
        let scene = try Scene()
        let vault = try scene.vault(1)
        try vault.store((1...50).map { segment(UInt64($0), of: "E\($0)") })
        try vault.close()
        let old = try scene.ask("SELECT wrapped FROM data_key", in: scene.keys).map { $0[0] as Data }
        #expect(throws: VaultRefused.otherMasterKey(path: scene.keys)) { try SQLiteVault.rewrap(scene.path, from: master(3), to: master(2)) }
        // One that cannot be unwrapped stops it, and nothing has changed.
        let good = old[20]
        try scene.edit("UPDATE data_key SET wrapped = zeroblob(60) WHERE number = 21", in: scene.keys)
        #expect(throws: VaultRefused.keyChanged(path: scene.keys, number: 21)) { try SQLiteVault.rewrap(scene.path, from: master(1), to: master(2)) }
        try scene.edit("UPDATE data_key SET wrapped = ? WHERE number = 21", [good], in: scene.keys)
        #expect(try scene.vault(1).all().count == 50)

        #expect(try SQLiteVault.rewrap(scene.path, from: master(1), to: master(2)) == 50)
        #expect(try SQLiteVault.rewrap(scene.path, from: master(1), to: master(2)) == 0, "done again it is done")
        #expect(throws: VaultRefused.otherMasterKey(path: scene.path)) { try scene.vault(1) }
        #expect(try scene.vault(2).all().allSatisfy { (try? $0.get()) != nil })
        // While they are exchanged both keys lie there.
        let either = try SQLiteVault(path: scene.path, masters: [master(1), master(2)])
        #expect(try either.all().allSatisfy { (try? $0.get()) != nil })
        let bytes = try scene.bytes()
        for (name, file) in bytes where name.hasPrefix("keys") { for key in old { #expect(file.range(of: key) == nil, "\(name)") } }
    }

    /// As the version before wrote it: one segment of E1, keys of more persons.
    private func version3(_ scene: Scene, keys count: Int) throws -> [Data] {
        let master = try master(7)
        var wrapped: [Data] = []
        let old = try SQLiteStore.open(scene.path, pageBytes: 8_192, version: 3) { step, db in
            guard step == 3 else { return }
            try db.execute(
                sql: """
                    CREATE TABLE segment (
                        number INTEGER PRIMARY KEY, subject TEXT NOT NULL, class TEXT NOT NULL, first_ns INTEGER NOT NULL,
                        last_ns INTEGER NOT NULL, agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL,
                        site TEXT NOT NULL, team TEXT NOT NULL, count INTEGER NOT NULL, epoch INTEGER NOT NULL,
                        columns_bytes INTEGER NOT NULL, hash BLOB NOT NULL, key INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
                    CREATE INDEX segment_time ON segment (subject, class, first_ns);
                    CREATE INDEX segment_batch ON segment (stream, sequence);
                    CREATE TABLE stream (
                        agent INTEGER NOT NULL, stream INTEGER NOT NULL, sequence INTEGER NOT NULL, lost INTEGER NOT NULL,
                        PRIMARY KEY (agent, stream)) STRICT, WITHOUT ROWID;
                    CREATE TABLE gate (epoch INTEGER PRIMARY KEY, body BLOB NOT NULL, at_us INTEGER NOT NULL) STRICT;
                    CREATE TABLE total (
                        only INTEGER PRIMARY KEY CHECK (only = 1), events INTEGER NOT NULL, segments INTEGER NOT NULL, oldest_ns INTEGER) STRICT;
                    INSERT INTO total VALUES (1, 4, 1, NULL);
                    CREATE TABLE data_key (
                        number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, month INTEGER NOT NULL, wrapped BLOB NOT NULL,
                        UNIQUE (subject, month)) STRICT;
                    CREATE TABLE master_key (only INTEGER PRIMARY KEY CHECK (only = 1), id BLOB NOT NULL) STRICT;
                    """)
            try SQLiteStore.createLedgerTables(in: db)
            try db.execute(sql: "INSERT INTO master_key VALUES (1, ?)", arguments: [master.id])
            for number in 1...count {
                let place = DataKeyPlace(subject: "E\(number)", month: 202_611)
                let (key, box) = try DataKey.make(Int64(number), for: place, under: master)
                wrapped.append(box)
                try db.execute(sql: "INSERT INTO data_key (subject, month, wrapped) VALUES (?, ?, x'')", arguments: [place.subject, place.month])
                try db.execute(sql: "UPDATE data_key SET wrapped = ? WHERE number = ?", arguments: [box, number])
                guard number == 1 else { continue }
                let stored = segment(1)
                let columns = SegmentColumns(stored, key: 1, number: 0)
                try db.execute(
                    sql: "INSERT INTO segment VALUES (1, 'E1', 'activity', ?, ?, 3, ?, 1, 'berlin', 'search', 4, 7, 81, ?, 1, ?)",
                    arguments: [columns.first, columns.last, columns.stream, columns.hash, try key.seal(stored.blob, beside: columns)])
            }
        }
        try old.close()
        return wrapped
    }
}
