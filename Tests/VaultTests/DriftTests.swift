import GRDB
import Gate
import Testing

@testable import Vault

/// What drifted, minute by minute, beside what is stored.
struct DriftTests {
    private func write(_ vault: SQLiteVault, _ body: (any SQLiteVaultTransaction) throws -> Void) throws {
        try vault.transaction { transaction in
            try body(try #require(transaction as? any SQLiteVaultTransaction))
            return true
        }
    }

    private func row(_ minute: Int64, _ subject: String = "E1", events: Int64 = 1, isStored: Bool = false) -> DriftCount {
        DriftCount(minute: minute, "activity", of: subject, into: "review", isStored: isStored, events: events)
    }

    @Test func `no row is read that is not asked for, of a million as of ten`() throws {
        let scene = try Scene()
        try scene.vault().close()
        for sql in [
            SQLiteVault.oldestDrift, SQLiteVault.driftBefore, SQLiteVault.driftAfter, SQLiteVault.driftOfClass, SQLiteVault.driftOfSubject, SQLiteVault.driftSince, SQLiteVault.driftMoved,
        ] {
            let plan = try scene.ask("EXPLAIN QUERY PLAN " + sql.replacing("?", with: "7")).map { $0["detail"] as String }
            #expect(plan.contains { $0.hasPrefix("SEARCH drift") } && !plan.contains { $0.hasPrefix("SCAN") }, "\(sql): \(plan)")
        }
        // The control: what there is no index for.
        #expect(try scene.ask("EXPLAIN QUERY PLAN DELETE FROM drift WHERE events = 7").map { $0["detail"] as String }.contains { $0.hasPrefix("SCAN") })
    }

    @Test(arguments: [(7, "DROP TABLE drift"), (8, "DROP INDEX drift_class; DROP INDEX drift_subject")])
    func `a vault of a version before keeps what it had counted, and counts from then on`(_ version: Int, _ deed: String) throws {
        let scene = try Scene()
        let first = try scene.vault()
        try first.store([segment(1)])
        try write(first) { try $0.count([row(5, events: 3)]) }
        try first.close()
        try scene.edit("\(deed); PRAGMA user_version = \(version)")
        let known = version == 7 ? [] : [row(5, events: 3)]
        let second = try scene.vault()
        #expect(try second.drift(since: 0) == known && second.all().count == 1)
        #expect(try second.audit() == 1)
        try write(second) { try $0.count([row(5, "E2"), row(6)]) }
        try second.close()
        #expect(try scene.vault().drift(since: 0) == known + [row(5, "E2"), row(6)])
        #expect(try scene.ask("PRAGMA user_version")[0][0] == 9)
        #expect(try scene.ask("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'drift' AND sql IS NOT NULL ORDER BY name").map { $0[0] as String } == ["drift_class", "drift_subject"])
    }

    @Test func `what is old goes in steps, the oldest first, over whatever gaps there are`() throws {
        let vault = try Scene().vault()
        try write(vault) { try $0.count((0..<25).map { row($0) } + [row(900), row(1_000), row(1_001)]) }
        var (steps, isMore) = ([Int](), true)
        while isMore, steps.count < 20 {
            try write(vault) { isMore = try $0.forgetDrift(before: 1_000) }
            steps.append(try vault.drift(since: .min).count)
        }
        #expect(steps == [18, 8, 3, 2, 2])
        #expect(try vault.drift(since: .min).map(\.minute) == [1_000, 1_001])
        isMore = true
        try write(vault) { isMore = try $0.forgetDrift(before: 1_000) }
        #expect(!isMore, "nothing is left to go")
    }

    @Test func `what lies ahead is of the present minute, each class and person with all that they had`() throws {
        let vault = try Scene().vault()
        try write(vault) { try $0.count([row(5, events: 3), row(100, events: 2), row(101, events: 4), row(9_000, events: 8), row(9_000, "E2"), row(9_001, isStored: true)]) }
        try write(vault) { try $0.moveDrift(after: 100, to: 5) }
        #expect(try vault.drift(since: .min) == [row(5, events: 15), row(5, isStored: true), row(5, "E2"), row(100, events: 2)])
        try write(vault) { try $0.moveDrift(after: 100, to: 5) }
        #expect(try vault.drift(since: .min).count == 4, "once")
    }
}
