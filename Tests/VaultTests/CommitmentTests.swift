import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

/// Rows that somebody takes out, puts in or exchanges, in the vault's file or in a copy that is put back.
@Suite struct CommitmentTests {
    private func filled(_ scene: Scene) throws {
        let vault = try scene.vault()
        try vault.store([segment(1), segment(2), segment(3, of: "E2")])
        try vault.store([segment(4, of: "E2"), segment(5, at: november - month)])
        try vault.close()
    }

    private func isDamaged(_ error: any Error, _ scene: Scene, _ words: String = "") -> Bool {
        guard case .damaged(scene.path, let why)? = error as? StoreError else { return false }
        return words.isEmpty || why.contains(words)
    }

    @Test func `a vault that nobody else has written is whole, and has stored as many as there ever were`() throws {
        let scene = try Scene()
        try filled(scene)
        let vault = try scene.vault()
        #expect(try vault.audit() == 5 && vault.stored == 5)
        try vault.store([segment(6)], commits: false)
        #expect(try vault.audit() == 5 && vault.stored == 5, "rolled back")
        // What a closure takes out, what is erased and what is swept may go.
        try vault.transaction { transaction in
            try transaction.remove(StreamKey(agent: 3, stream: 0x8877_6655_4433_2211), sequence: 1)
            return true
        }
        #expect(try vault.audit() == 4 && vault.stored == 5)
        try vault.erase([ErasureOrder("E2", at: november + .seconds(9))])
        while try vault.eraseNext(atMost: 1) != nil {}
        #expect(try vault.audit() == 2 && vault.stored == 5)
        let retention = Retention([DataClass("activity"): .seconds(86_400)])
        #expect(try vault.sweep(retention, at: november + .seconds(60), from: SweepCursor(), atMost: 100).segments == 1)
        #expect(try vault.audit() == 1 && vault.stored == 5)
        try vault.store([segment(7)])
        #expect(vault.stored == 6)
        try vault.close()
        #expect(try scene.vault().audit() == 2)
        #expect(try scene.ask("SELECT MAX(number) FROM segment")[0][0] as Int64 == 6, "no number comes twice")
    }

    @Test func `a row that was deleted, copied, moved or put back is noticed`() throws {
        let columns = "subject, class, first_ns, last_ns, agent, stream, sequence, site, team, count, epoch, columns_bytes, hash, key, body"
        let deeds = [
            "DELETE FROM segment WHERE number = 1": "it has 4 segments, and 5 were stored",
            "DELETE FROM segment": "it has 0 segments",
            "INSERT INTO segment (\(columns)) SELECT \(columns) FROM segment WHERE number = 1": "it has 6 segments",
            "DELETE FROM segment WHERE number = 1; INSERT INTO segment (\(columns)) SELECT \(columns) FROM segment WHERE number = 2": "others than those",
            "UPDATE segment SET number = 9 WHERE number = 2": "others than those",
            "UPDATE segment SET subject = 'E3' WHERE number = 2": "others than those",
            "UPDATE segment SET first_ns = first_ns + 1 WHERE number = 2": "others than those",
        ]
        for (deed, words) in deeds {
            let scene = try Scene()
            try filled(scene)
            try scene.edit(deed)
            let vault = try scene.vault()
            #expect { try vault.audit() } throws: { isDamaged($0, scene, words) }
        }
    }

    @Test func `what a vault is committed to cannot be written by who has not its keys`() throws {
        let deeds = [
            "UPDATE commitment SET stored = stored - 1", "UPDATE commitment SET rows = 4; DELETE FROM segment WHERE number = 1",
            "UPDATE commitment SET unbound = 5", "UPDATE commitment SET sum = zeroblob(32)", "UPDATE commitment SET sum = x'00'", "UPDATE commitment SET tag = zeroblob(32)",
            "UPDATE housekeeping SET longest_ns = 0", "DELETE FROM commitment", "DROP TABLE commitment",
            // As if it were from before there was one.
            "DROP TABLE commitment; ALTER TABLE stream DROP COLUMN tag; ALTER TABLE gate DROP COLUMN tag; PRAGMA user_version = 4; DELETE FROM segment WHERE number = 1",
        ]
        for deed in deeds {
            let scene = try Scene()
            try filled(scene)
            try scene.edit(deed)
            #expect { try scene.vault() } throws: { "\($0)".contains(scene.path) }
        }
    }

    @Test func `yesterdays row of it beside todays rows, or todays beside yesterdays, is noticed; a whole vault of yesterday is not, and has stored less`() throws {
        let scene = try Scene()
        try filled(scene)
        let early = try scene.ask("SELECT stored, rows, sum, tag FROM commitment")[0]
        let before = try scene.bytes()
        let vault = try scene.vault()
        try vault.store([segment(6)])
        let late = try scene.ask("SELECT stored, rows, sum, tag FROM commitment")[0]
        try vault.close()
        func put(_ row: Row) throws {
            try scene.edit("UPDATE commitment SET stored = ?, rows = ?, sum = ?, tag = ?", [row[0] as Int64, row[1] as Int64, row[2] as Data, row[3] as Data])
        }
        try put(early)
        #expect { try scene.vault().audit() } throws: { isDamaged($0, scene, "it has 6 segments, and 5 were stored") }
        try put(late)
        #expect(try scene.vault().audit() == 6, "the control")
        try scene.restore("vault.sqlite", before)
        #expect(try scene.vault().audit() == 5)
        #expect(try scene.vault().stored == 5)
        try put(late)
        #expect { try scene.vault().audit() } throws: { isDamaged($0, scene, "it has 5 segments, and 6 were stored") }
    }

    @Test func `a vault of the version before is committed to what it holds, once, and goes on`() throws {
        let scene = try Scene()
        try filled(scene)
        for (file, deed) in [(scene.path, "DROP TABLE commitment; ALTER TABLE stream DROP COLUMN tag; ALTER TABLE gate DROP COLUMN tag; ALTER TABLE housekeeping DROP COLUMN keys_generation; DROP TABLE rescan; DROP TABLE rescan_held; PRAGMA user_version = 4"), (scene.keys, "DROP TABLE commitment; DROP TABLE generation; PRAGMA user_version = 1")] {
            try scene.edit(deed, in: file)
        }
        let vault = try scene.vault()
        #expect(try vault.audit() == 5 && vault.stored == 5)
        try vault.store([segment(6)])
        #expect(try vault.all().count { (try? $0.get()) != nil } == 1, "those of before were bound to numbers here, and are taken for such that are not")
        try vault.close()
        #expect(try scene.vault().audit() == 6)
        #expect(try scene.vault().stored == 6)
    }

    @Test func `up to where a stream is stored, and the gate, are believed as they were written, and not otherwise`() throws {
        let scene = try Scene()
        let key = StreamKey(agent: 3, stream: 0xffff_0000_1111_2222)
        func mark(_ vault: SQLiteVault) throws -> UInt64 {
            var mark: UInt64 = 0
            try vault.transaction { transaction in
                mark = try transaction.highWater(key)
                return false
            }
            return mark
        }
        do {
            let vault = try scene.vault()
            #expect(try vault.gate() == nil && mark(vault) == 0)
            try vault.transaction { transaction in
                try transaction.setHighWater(key, 4, lost: 0)
                try transaction.setHighWater(key, 9, lost: 2)
                try transaction.record(gate: Data("closed".utf8), epoch: 7, at: november)
                return true
            }
            try vault.close()
        }
        #expect(try mark(scene.vault()) == 9 && scene.vault().gate() == Data("closed".utf8), "the control")
        let before = try scene.bytes()
        for deed in ["UPDATE stream SET sequence = 8", "UPDATE stream SET sequence = 10", "UPDATE stream SET tag = NULL", "UPDATE stream SET tag = zeroblob(16)"] {
            try scene.edit(deed)
            #expect { try mark(scene.vault()) } throws: { isDamaged($0, scene, "ffff000011112222") }
            try scene.restore("vault.sqlite", before)
        }
        for deed in ["UPDATE gate SET epoch = 8", "UPDATE gate SET body = x'00'", "UPDATE gate SET tag = NULL", "INSERT INTO gate SELECT 8, body, at_us, tag FROM gate"] {
            try scene.edit(deed)
            #expect { try scene.vault().gate() } throws: { isDamaged($0, scene, "the gate") }
            try scene.restore("vault.sqlite", before)
        }
    }

    @Test func `what was changed in a file is called damage of that file, and not another's`() throws {
        let deeds: [(file: KeyPath<Scene, String>, deed: String, damaged: KeyPath<Scene, String>)] = [
            (\.keys, "UPDATE master_key SET id = zeroblob(8)", \.keys), (\.keys, "DELETE FROM master_key", \.keys),
            (\.keys, "UPDATE commitment SET wrapped = zeroblob(60)", \.keys), (\.keys, "UPDATE vault SET id = zeroblob(16)", \.path),
            (\.path, "UPDATE housekeeping SET id = zeroblob(16)", \.path), (\.path, "DELETE FROM housekeeping", \.path),
        ]
        for (file, deed, damaged) in deeds {
            let scene = try Scene()
            try filled(scene)
            try scene.edit(deed, in: scene[keyPath: file])
            #expect { try scene.vault() } throws: { error in
                guard case .damaged(scene[keyPath: damaged], _)? = error as? StoreError else { return false }
                return true
            }
        }
        // The controls.
        let (scene, other) = (try Scene(), try Scene())
        try filled(scene)
        try filled(other)
        #expect(throws: VaultRefused.otherMasterKey(path: scene.path)) { try scene.vault(8) }
        try scene.restore("keys.sqlite", other.bytes())
        #expect(throws: VaultRefused.otherKeys(path: scene.keys)) { try scene.vault() }
        // A replica of the keys from before the vault was committed to anything.
        try other.edit("DELETE FROM commitment", in: other.keys)
        #expect(throws: VaultRefused.keysOlder(path: other.keys)) { try other.vault() }
    }

    @Test func `sums are modulo 2^256, in any order`() throws {
        let key = try DataKey.make(0, for: .commitment, under: master(5)).key.forCommitment
        let elements = (1...50).map { key.element(of: SegmentPlace(number: $0, subject: "E\($0)", dataClass: "activity", first: $0 * 1_000)) }
        #expect(Set(elements).count == 50)
        var (sum, backwards) = (Commitment.Sum(), Commitment.Sum())
        for element in elements { sum += element }
        for element in elements.reversed() { backwards += element }
        #expect(sum == backwards && Commitment.Sum(sum.bytes) == sum)
        for element in elements.shuffled() { sum -= element }
        #expect(sum == Commitment.Sum())
        sum -= Commitment.Sum(limbs: (1, 0, 0, 0))
        #expect(sum.bytes == [UInt8](repeating: 255, count: 32))
        sum += Commitment.Sum(limbs: (1, 0, 0, 0))
        #expect(sum == Commitment.Sum(), "a carry runs through")
        // Where one text ends and the other begins is part of it.
        #expect(key.element(of: SegmentPlace(number: 1, subject: "E1", dataClass: "a", first: 0)) != key.element(of: SegmentPlace(number: 1, subject: "E", dataClass: "1a", first: 0)))
    }
}
