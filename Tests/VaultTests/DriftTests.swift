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
            SQLiteVault.driftBefore, SQLiteVault.driftAfter, SQLiteVault.driftOfClass, SQLiteVault.driftOfKey, SQLiteVault.newestDriftOfClass, SQLiteVault.driftOfSubject, SQLiteVault.driftSince, SQLiteVault.driftMoved,
        ] {
            let plan = try scene.ask("EXPLAIN QUERY PLAN " + sql.replacing("?", with: "7")).map { $0["detail"] as String }
            // What a step has gathered by the key, and no more, is gone through once again.
            #expect(plan.contains { $0.hasPrefix("SEARCH drift") } && !plan.contains { $0.hasPrefix("SCAN") && !$0.hasPrefix("SCAN (subquery") }, "\(sql): \(plan)")
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

    @Test func `what is old goes in steps, the oldest first, however many are of one minute`() throws {
        let vault = try Scene().vault()
        try write(vault) { try $0.count((0..<25).map { row($0) } + (0..<2_500).map { row(900, "E\($0)") } + [row(1_000), row(1_001)]) }
        var (steps, isMore) = ([Int](), true)
        while isMore, steps.count < 20 {
            try write(vault) { isMore = try $0.forgetDrift(before: 1_000) }
            steps.append(try vault.drift(since: .min).count)
        }
        #expect(steps == [1_527, 527, 2])
        #expect(try vault.drift(since: .min).map(\.minute) == [1_000, 1_001])
        isMore = true
        try write(vault) { isMore = try $0.forgetDrift(before: 1_000) }
        #expect(!isMore, "nothing is left to go")
    }

    @Test func `what was found of a class goes in steps, the newest first, and what drifts meanwhile stays`() throws {
        let vault = try Scene().vault()
        let other = DriftCount(minute: 5, "content", of: "E1", into: "review", isStored: false, events: 1)
        try write(vault) { try $0.count((0..<1_400).map { row(7, "E\($0)") } + (0..<900).map { row(6, "E\($0)") } + (0..<10).map { row(5, "E\($0)") } + [other]) }
        var (steps, through): ([[Int64?]], Int64?) = ([], .max)
        while let minute = through, steps.count < 20 {
            try write(vault) { through = try $0.forgetDrift(of: "activity", through: minute) }
            steps.append([Int64(try vault.drift(since: .min).count), through])
            try write(vault) { try $0.count([row(8, "meanwhile", events: 2)]) }
        }
        #expect(steps == [[1_311, 7], [312, 6], [2, nil]])
        #expect(try vault.drift(since: .min) == [other, row(8, "meanwhile", events: 6)])
    }

    @Test func `what lies ahead is of the present minute, each class and person with all that they had`() throws {
        let vault = try Scene().vault()
        try write(vault) { try $0.count([row(5, events: 3), row(100, events: 2), row(101, events: 4), row(9_000, events: 8), row(9_000, "E2"), row(9_001, isStored: true)]) }
        var isMore = true
        try write(vault) { isMore = try $0.moveDrift(after: 100, to: 5) }
        #expect(!isMore)
        #expect(try vault.drift(since: .min) == [row(5, events: 15), row(5, isStored: true), row(5, "E2"), row(100, events: 2)])
        try write(vault) { isMore = try $0.moveDrift(after: 100, to: 5) }
        #expect(!isMore)
        #expect(try vault.drift(since: .min).count == 4, "once")
    }

    @Test func `however much lies ahead, each step moves so many rows, and everything is counted once at each`() throws {
        let vault = try Scene().vault()
        // Of one minute, and of many: the same people again and again.
        try write(vault) { try $0.count((0..<1_700).map { row(500, "E\($0)") } + (501..<1_301).map { row($0, "E\($0 % 7)") }) }
        var (steps, isMore) = (0, true)
        while isMore, steps < 20 {
            let before = try vault.drift(since: 101).count
            try write(vault) { isMore = try $0.moveDrift(after: 100, to: 5) }
            steps += 1
            let all = try vault.drift(since: .min)
            #expect(all.reduce(0) { $0 + $1.events } == 2_500 && before - all.count { $0.minute > 100 } <= 1_000)
        }
        #expect(steps == 3)
        let all = try vault.drift(since: .min)
        #expect(all.allSatisfy { $0.minute == 5 } && Set(all.map(\.subject)).count == 1_700 && all.count == 1_700)
    }
}
