import Foundation
import GRDB
import Ledger
import Testing

@Suite struct StoreTests {
    @Test func `entries have the indexes from 0 on, in one transaction each, and are read again`() throws {
        let scene = try Scene()
        #expect(try scene.store.size() == 0)
        #expect(try scene.store.root(at: 0) == MerkleTree.emptyRoot)
        #expect(try scene.store.append([entry(0), entry(1), entry(2)]) == 0..<3)
        #expect(try scene.store.append([]) == 3..<3)
        #expect(try scene.store.append([entry(3)], expecting: 3) == 3..<4)
        let again = try LedgerStore(path: scene.path)
        #expect(try again.entries(1..<4).map(\.entry) == [entry(1), entry(2), entry(3)])
        #expect(try again.entries(2..<2).isEmpty)
        #expect(throws: LedgerError.beyond(size: 4)) { try again.entries(3..<5) }
        #expect(throws: LedgerError.beyond(size: 4)) { try again.root(at: 5) }
        #expect(throws: LedgerError.beyond(size: 4)) { try again.inclusionProof(of: 4, in: 4) }
        #expect(throws: LedgerError.beyond(size: 4)) { try again.inclusionProof(of: .max, in: 4) }
        #expect(throws: LedgerError.beyond(size: 4)) { try again.consistencyProof(from: 1, to: .max) }
    }

    @Test func `an append that was decided on another size records nothing`() throws {
        let scene = try Scene(3)
        #expect(throws: LedgerError.sizeDiffers(expected: 2, found: 3)) { try scene.store.append([entry(3)], expecting: 2) }
        #expect(try scene.store.size() == 3)
    }

    @Test func `an append within a transaction that is rolled back leaves nothing`() throws {
        struct Changed: Error {}
        let queue = try DatabaseQueue()
        try queue.write { try LedgerStore.createTables(in: $0) }
        let store = LedgerStore(in: queue)
        #expect(throws: Changed.self) {
            try queue.write { db in
                _ = try store.append([entry(0)], in: db)
                throw Changed()
            }
        }
        #expect(try store.size() == 0)
        #expect(try store.append([entry(0)]) == 0..<1)
    }

    @Test func `roots and proofs of earlier sizes come from the store and hold`() throws {
        let scene = try Scene(37)
        let all = try (0..<37).map { try entry($0).leaf }
        for size in 0...37 as ClosedRange<UInt64> {
            let root = try scene.store.root(at: size)
            #expect(root.bytes == Naive().root(all.map(\.bytes)[..<Int(size)]))
            for index in 0..<size {
                let proof = try scene.store.inclusionProof(of: index, in: size)
                try MerkleProof.checkInclusion(of: all[Int(index)].hash, at: index, in: size, root: root, proof: proof)
            }
            let proof = try scene.store.consistencyProof(from: size, to: 37)
            try MerkleProof.checkConsistency(
                older: size, olderRoot: root, size: 37, root: scene.store.root(at: 37), proof: proof)
        }
    }

    @Test func `what is whole is said to be, against every checkpoint`() throws {
        let scene = try Scene(21)
        let root = try scene.store.root(at: 21)
        #expect(try scene.store.verify(against: []) == .whole(size: 21, root: root, erased: 0))
        let checkpoints = try (0...21).map { try scene.checkpoint(at: $0) }
        #expect(try scene.store.verify(against: checkpoints.reversed()) == .whole(size: 21, root: root, erased: 0))
        #expect(try Scene().store.verify(against: []) == .whole(size: 0, root: MerkleTree.emptyRoot, erased: 0))
    }

    @Test func `an erased body is gone from the file, and root and proofs stay`() throws {
        let scene = try Scene()
        let secret = Array("what the subject wanted erased".utf8)
        let salt = [UInt8](repeating: 0x5a, count: 32)
        _ = try scene.store.append([entry(0), try #require(LedgerEntry(salt: salt, body: secret)), entry(2)])
        let before = try scene.checkpoint(at: 3)
        try scene.store.erase([1])
        try scene.store.erase([1])
        #expect(throws: LedgerError.beyond(size: 3)) { try scene.store.erase([3]) }
        #expect(try scene.store.verify(against: [before]) == .whole(size: 3, root: before.root, erased: 1))
        let read = try scene.store.entries(0..<3)
        #expect(read[1].entry == nil)
        #expect(try read[2].entry == entry(2))
        let proof = try scene.store.inclusionProof(of: 1, in: 3)
        try MerkleProof.checkInclusion(of: read[1].leaf.hash, at: 1, in: 3, root: before.root, proof: proof)
        try scene.tamper("PRAGMA user_version = 1")
        let queue = try DatabaseQueue(path: scene.path)
        _ = try queue.writeWithoutTransaction { try $0.checkpoint(.truncate) }
        let file = try Data(contentsOf: URL(fileURLWithPath: scene.path))
        #expect(file.range(of: Data(secret)) == nil)
        #expect(file.range(of: Data(salt)) == nil)
        #expect(file.range(of: Data("body 2".utf8)) != nil, "the search itself finds what is there")
    }

    struct Tampering: Sendable, CustomTestStringConvertible {
        let sql: String
        let fault: LedgerFault
        var testDescription: String { "\(fault)" }

        init(_ sql: String, _ fault: LedgerFault) { (self.sql, self.fault) = (sql, fault) }
    }

    /// `table` with the rows 4 and 7 exchanged.
    private static func swap(_ table: String, _ condition: String = "TRUE") -> String {
        """
        UPDATE \(table) SET number = -4 WHERE number = 4 AND \(condition); UPDATE \(table) SET number = 4 WHERE number = 7 AND \(condition);
        UPDATE \(table) SET number = 7 WHERE number = -4 AND \(condition);
        """
    }

    static let tamperings = [
        Tampering("UPDATE ledger_body SET body = x'00' WHERE number = 5", .edited(5)),
        Tampering("UPDATE ledger_body SET salt = zeroblob(32) WHERE number = 5", .edited(5)),
        Tampering("UPDATE ledger_body SET salt = NULL WHERE number = 5", .edited(5)),
        Tampering("UPDATE ledger_leaf SET leaf = CAST(x'01' || zeroblob(32) AS BLOB) WHERE number = 5", .edited(5)),
        Tampering("UPDATE ledger_leaf SET leaf = x'00' WHERE number = 5", .edited(5)),
        Tampering(
            "UPDATE ledger_body SET salt = NULL, body = NULL WHERE number = 5; UPDATE ledger_leaf SET leaf = CAST(x'01' || zeroblob(32) AS BLOB) WHERE number = 5",
            .edited(5)),
        Tampering("UPDATE ledger_hash SET hash = zeroblob(32) WHERE level = 0 AND number = 5", .edited(5)),
        Tampering("UPDATE ledger_hash SET hash = zeroblob(32) WHERE level = 2 AND number = 1", .rewritten(4..<8)),
        Tampering("DELETE FROM ledger_hash WHERE level = 1 AND number = 2", .rewritten(4..<6)),
        Tampering("DELETE FROM ledger_leaf WHERE number = 5", .deleted(5)),
        Tampering("DELETE FROM ledger_body WHERE number = 5", .deleted(5)),
        Tampering("DELETE FROM ledger_leaf WHERE number = 0", .deleted(0)),
        Tampering("DELETE FROM ledger_leaf WHERE number >= 9", .truncated(size: 9, expected: 11)),
        Tampering("DELETE FROM ledger_leaf WHERE number >= 9; DELETE FROM ledger_body WHERE number >= 9", .truncated(size: 9, expected: 11)),
        Tampering(swap("ledger_body"), .reordered(4, holds: 7)),
        Tampering(swap("ledger_body") + swap("ledger_leaf"), .reordered(4, holds: 7)),
        Tampering(swap("ledger_body") + swap("ledger_leaf") + swap("ledger_hash", "level = 0"), .rewritten(4..<6)),
        Tampering("INSERT INTO ledger_hash VALUES (9, 9, zeroblob(32))", .surplus),
        Tampering("INSERT INTO ledger_body VALUES (-1, NULL, NULL)", .surplus),
        Tampering("INSERT INTO ledger_leaf VALUES (-1, x'00')", .surplus),
    ]

    @Test(arguments: tamperings)
    func `what was edited, deleted, reordered or truncated is named`(_ tampering: Tampering) throws {
        let scene = try Scene(11)
        try scene.tamper(tampering.sql)
        #expect(try scene.store.verify(against: []) == .faulty(tampering.fault))
    }

    @Test func `a ledger cut back to an earlier one shows against a checkpoint alone`() throws {
        let (scene, earlier) = (try Scene(11), try Scene(9))
        let kept = try scene.checkpoint(at: 11)
        #expect(try earlier.store.verify(against: []) == .whole(size: 9, root: earlier.store.root(at: 9), erased: 0))
        #expect(try earlier.store.verify(against: [kept]) == .faulty(.truncated(size: 9, expected: 11)))
    }

    @Test func `a ledger written anew with one entry changed shows between two checkpoints`() throws {
        let scene = try Scene(11)
        let kept = try [4, 6, 8, 11].map { try scene.checkpoint(at: $0) }
        let forged = try Scene()
        _ = try forged.store.append((0..<11).map { try entry($0 == 7 ? 70 : $0) })
        guard case .whole = try forged.store.verify(against: []) else {
            Issue.record("the forgery agrees with itself")
            return
        }
        #expect(try forged.store.verify(against: [kept[3]]) == .faulty(.rewritten(0..<11)))
        #expect(try forged.store.verify(against: kept) == .faulty(.rewritten(6..<8)))
    }

    @Test func `an entry under the wrong index, or of a truncated ledger, is not read as if nothing were`() throws {
        let scene = try Scene(11)
        try scene.tamper("DELETE FROM ledger_leaf WHERE number = 5")
        #expect(throws: LedgerError.entryMissing(5)) { try scene.store.entries(3..<8) }
        try scene.tamper("DELETE FROM ledger_leaf WHERE number >= 9")
        #expect(throws: LedgerError.self, "the hashes of what was cut off are in the way") { try scene.store.append([entry(9)]) }
    }

    @Test func `a salt of another length is no entry`() {
        #expect(LedgerEntry(salt: [UInt8](repeating: 1, count: 31), body: []) == nil)
        #expect(LedgerEntry(salt: [UInt8](repeating: 1, count: 33), body: []) == nil)
        #expect(LedgerLeaf(bytes: [UInt8](repeating: 1, count: 32)) == nil)
        #expect(LedgerLeaf(bytes: [UInt8](repeating: 2, count: 33)) == nil)
    }

    /// Figures for people; nothing is asserted of time.
    @Test func `appends one by one and by hundreds`() throws {
        let scene = try Scene()
        let clock = ContinuousClock()
        for (batch, batches) in [(1, 200), (100, 50)] {
            var slowest = Duration.zero
            let took = try clock.measure {
                for number in 0..<batches {
                    let entries = try (0..<batch).map { try entry(number * batch + $0) }
                    slowest = max(slowest, try clock.measure { _ = try scene.store.append(entries) })
                }
            }
            let seconds = Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18
            print("ledger: \(batches) appends of \(batch): \(Int(Double(batch * batches) / seconds)) entries/s, slowest append \(slowest)")
        }
        let size = try scene.store.size()
        let verified = try clock.measure { _ = try scene.store.verify(against: []) }
        let proven = try clock.measure { for index in 0..<100 as Range<UInt64> { _ = try scene.store.inclusionProof(of: index * 50, in: size) } }
        print("ledger: \(size) entries verified in \(verified), 100 inclusion proofs in \(proven)")
        #expect(size == 5_200)
    }
}
