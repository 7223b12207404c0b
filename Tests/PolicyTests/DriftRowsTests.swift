import Foundation
import Gate
import Messaging
import Rules
import Testing
import Vault

@testable import sluice_policy

/// What drifted is counted over as long as a week: a restart must forget nothing of it.
struct DriftRowsTests {
    private func drift(_ events: Int, of subject: String = "E1") -> Drift { Drift(DataClass("activity"), of: subject, into: ["review": events]) }

    @Test func `as many people are named in a minute as a finding would name, and the others are counted together`() {
        var rows = DriftRows()
        for number in 0..<DriftTally.subjectsMax { #expect(rows.counts(of: drift(1, of: "E\(number)"), in: 7, isStored: false).map(\.subject) == ["E\(number)"]) }
        #expect(rows.counts(of: drift(3, of: "X"), in: 7, isStored: true) == [DriftCount(minute: 7, "activity", of: "", into: "review", isStored: true, events: 3)])
        #expect(rows.counts(of: drift(1, of: "E5"), in: 7, isStored: false).map(\.subject) == ["E5"], "who is named stays so")
        #expect(rows.counts(of: drift(1, of: "X"), in: 8, isStored: false, times: -1) == [DriftCount(minute: 8, "activity", of: "X", into: "review", isStored: false, events: -1)])
    }

    @Test func `what was written before a restart is counted after it, what was found or taken out again is not, and of whom was erased nobody is named`() throws {
        let folder = try Folder()
        let master = try #require(MasterKey(secret: Array(repeating: 7, count: 32)))
        let first = try SQLiteVault(path: folder.path + "/vault.sqlite", master: master)
        func write(_ vault: SQLiteVault, _ body: (any SQLiteVaultTransaction) throws -> Void) throws {
            try vault.transaction { transaction in
                try body(try #require(transaction as? any SQLiteVaultTransaction))
                return true
            }
        }
        var rows = DriftRows()
        try write(first) { transaction in
            for (minute, subject) in [(Int64(1), "E1"), (2, "E1"), (2, "E2"), (2, "E2")] { try transaction.count(rows.counts(of: drift(2, of: subject), in: minute, isStored: false)) }
            try transaction.count(rows.counts(of: drift(2, of: "E2"), in: 2, isStored: false, times: -1))
            try transaction.count(rows.counts(of: Drift(DataClass("content"), of: "E1", into: ["review": 9]), in: 2, isStored: true))
        }
        try first.close()
        let second = try SQLiteVault(path: folder.path + "/vault.sqlite", master: master)
        defer { try? second.close() }
        let kept = try second.drift(since: 2)
        #expect(kept.map { "\($0.minute) \($0.dataClass) \($0.into) \($0.subject) \($0.isStored) \($0.events)" } == ["2 activity review E1 false 2", "2 activity review E2 false 2", "2 content review E1 true 9"])
        #expect(try second.drift(since: 0).count == 4)
        var tally = DriftTally(try second.drift(since: 0))
        let found = tally.note(drift(1, of: "E3"), isStored: false, over: LeakLimit(events: 6, per: .week), at: WallTime(nanoseconds: 3 * 60_000_000_000))
        #expect(found?.subjects == ["E1", "E2", "E3"] && found?.sentence.hasPrefix("7 events of class activity were of a higher class") == true)
        try second.erase([ErasureOrder("E2", at: november)])
        while try second.eraseNext(atMost: 100).map({ $0.state != .done }) ?? false {}
        #expect(try second.drift(since: 0).allSatisfy { $0.subject != "E2" })
        try write(second) { _ = try $0.forgetDrift(of: "activity", through: .max) }
        #expect(try second.drift(since: 0).map(\.dataClass) == ["content"])
        try write(second) { _ = try $0.forgetDrift(before: 3) }
        #expect(try second.drift(since: 0) == [])
    }

    /// As it came, or lay, in these minutes from november on.
    private func scene(_ minutes: [Int64]) throws -> WriterScene {
        try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for segment in try WriterScene.prepared(1, at: [november]).segments { try transaction.insert(segment) }
                let counts = minutes.map { DriftCount(minute: DriftTally.minute(of: november) + $0, "activity", of: "E1", into: "review", isStored: false, events: 1) }
                try #require(transaction as? any SQLiteVaultTransaction).count(counts)
                return true
            }
        })
    }

    private func minutes(_ scene: WriterScene) throws -> [Int64] { try scene.vault.inner.drift(since: .min).map { $0.minute - DriftTally.minute(of: november) } }

    @Test func `what drifted goes after a week by the clock, at the start and each hour, though nothing drifts again`() throws {
        let scene = try scene([-DriftRows.reach - 500, -DriftRows.reach - 1, -DriftRows.reach, 30 - DriftRows.reach, 0])
        var housekeeping = Housekeeping(vault: scene.vault, retention: Retention(), knowsHolds: false)
        let start = Clock.now()
        func pass(_ wall: WallTime, after seconds: Int64) throws { for number in 0..<6 as Range<Int64> { _ = try housekeeping.step(isIdle: true, wall: wall, at: start + .seconds(seconds + number)) } }
        try pass(november, after: 0)
        #expect(try minutes(scene) == [-DriftRows.reach, 30 - DriftRows.reach, 0])
        try pass(november + .seconds(31 * 60), after: 31 * 60)
        #expect(try minutes(scene).count == 3, "not yet again")
        let next = housekeeping.rest(at: start + .seconds(31 * 60))
        #expect(next > .seconds(28 * 60) && next < .seconds(31 * 60), "and nobody has to come for it: \(next)")
        try pass(november + .seconds(61 * 60), after: 61 * 60)
        #expect(try minutes(scene) == [0])
        // A clock that leaps ahead is not believed at once: what went too early would not be found any more.
        let month = november + .seconds(30 * 86_400)
        try pass(month, after: 130 * 60)
        #expect(try minutes(scene) == [0])
        try pass(month + RetentionClock.doubt, after: 131 * 60 + RetentionClock.doubt.milliseconds / 1_000)
        #expect(try minutes(scene) == [], "and one that stays there is")
    }

    @Test func `by a clock that was set back nothing goes`() throws {
        let scene = try scene([-DriftRows.reach - 1, 0])
        var housekeeping = Housekeeping(vault: scene.vault, retention: Retention(), knowsHolds: false)
        for number in 0..<6 as Range<Int64> { _ = try housekeeping.step(isIdle: true, wall: WallTime(nanoseconds: 0), at: Clock.now() + .seconds(number)) }
        #expect(try minutes(scene).count == 2)
    }

    @Test func `the writer moves what lies ahead to the minute that it is told, in what is kept as well`() throws {
        let scene = try scene([0, 60, 61, 400 * 1_440])
        scene.writer.start()
        scene.writer.take(.settleDrift(in: DriftTally.minute(of: november)))
        scene.writer.take(.offer(from: 0))
        try scene.until { if case .offered = $0 { true } else { false } }
        #expect(try scene.vault.inner.drift(since: .min).map { [$0.minute - DriftTally.minute(of: november), $0.events] } == [[0, 3], [60, 1]])
    }

    @Test func `however much there is, the writer goes on with it between what others wait for, and to its end when it stops`() throws {
        let scene = try scene((0..<1_100).map { 100 + $0 } + (0..<1_100).map { 2_000 + $0 })
        scene.writer.start()
        scene.writer.take(.settleDrift(in: DriftTally.minute(of: november)))
        scene.writer.take(.offer(from: 0))
        try scene.until { if case .offered = $0 { true } else { false } }
        for _ in 0..<15_000 where try minutes(scene) != [0] { usleep(2_000) }
        #expect(try scene.vault.inner.drift(since: .min).map(\.events) == [2_200])
        let many = try self.scene((0..<3_300).map { $0 })
        many.writer.start()
        many.writer.take(.forgetDrift(DataClass("activity"), through: .max))
        many.writer.stop()
        let vault = try SQLiteVault(path: many.path, master: try #require(MasterKey(secret: Array(repeating: 7, count: 32))))
        defer { try? vault.close() }
        #expect(try vault.drift(since: .min).isEmpty)
    }

    private final class Folder {
        let path = NSTemporaryDirectory() + "drift-" + UUID().uuidString
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }
}
