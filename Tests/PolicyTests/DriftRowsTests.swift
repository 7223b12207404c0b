import Foundation
import Gate
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
        #expect(rows.prune(at: 100_000) == 100_000 - 10_080 && rows.prune(at: 100_059) == nil && rows.prune(at: 100_060) != nil && rows.prune(at: 5) != nil, "once an hour, and after a clock that was put back")
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
        try write(second) { try $0.forgetDrift(of: "activity") }
        #expect(try second.drift(since: 0).map(\.dataClass) == ["content"])
        try write(second) { try $0.forgetDrift(before: 3) }
        #expect(try second.drift(since: 0) == [])
    }

    private final class Folder {
        let path = NSTemporaryDirectory() + "drift-" + UUID().uuidString
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
    }
}
