import Foundation
import GRDB
import Gate
import Testing

@testable import Vault

/// What is true of the embedded engine's files; what every engine does is in ContractTests.
@Suite struct ErasureTests {
    @Test func `a backup of the vault from before an erasure opens nothing, and is erased again by itself`() throws {
        let scene = try Scene()
        var vault = try scene.vault()
        try vault.store([segment(1), segment(2, of: "E2")])
        try vault.close()
        let backup = try scene.bytes()
        vault = try scene.vault()
        try vault.erase([ErasureOrder("E1", at: .distantFuture)])
        while try vault.eraseNext(atMost: 10) != nil {}
        try vault.close()

        try scene.restore("vault.sqlite", backup)
        vault = try scene.vault()
        // The control: the rows are back.
        #expect(try scene.ask("SELECT COUNT(*) FROM segment WHERE subject = 'E1'")[0][0] as Int64 == 1)
        #expect(try vault.all().map { try $0.get().sequence } == [2])
        #expect(try vault.eraseNext(atMost: 10)?.state == .done)
        #expect(try scene.ask("SELECT COUNT(*) FROM segment WHERE subject = 'E1'")[0][0] as Int64 == 0)
    }

    @Test func `when the keys were put back as well, the list of who is erased erases again`() throws {
        let scene = try Scene()
        var vault = try scene.vault()
        try vault.store([segment(1), segment(2, of: "E2")])
        try vault.close()
        let files = try scene.bytes()
        vault = try scene.vault()
        let order = ErasureOrder("E1", at: november)
        try vault.erase([order])
        while try vault.eraseNext(atMost: 10) != nil {}
        try vault.close()

        for name in ["vault.sqlite", "keys.sqlite"] { try scene.restore(name, files) }
        vault = try scene.vault()
        // The control: without the list the person would be read.
        #expect(try vault.all().count == 2)
        try vault.erase([order])
        #expect(try vault.all().map { try $0.get().sequence } == [2])
        while try vault.eraseNext(atMost: 10) != nil {}
        #expect(try scene.ask("SELECT subject FROM segment").map { $0[0] as String } == ["E2"])
    }

    @Test func `destroyed keys and deleted rows lie in no file any more`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store((1...40).map { segment(UInt64($0), of: $0 % 2 == 0 ? "E1" : "E2", blob: String(repeating: "blob \($0) ", count: 100)) })
        let key = try scene.ask("SELECT wrapped FROM data_key WHERE subject = 'E1'", in: scene.keys)[0][0] as Data
        let body = try scene.ask("SELECT substr(body, 100, 64) FROM segment WHERE subject = 'E1'").map { $0[0] as Data }
        func places(_ bytes: Data) throws -> [String] { try scene.bytes().filter { $0.value.range(of: bytes) != nil }.map(\.key) }
        #expect(try places(key) != [] && places(body[0]) != [], "the control")
        try vault.erase([ErasureOrder("E1", at: .distantFuture)])
        #expect(try places(key) == [], "as soon as it has begun")
        while try vault.eraseNext(atMost: 7) != nil {}
        try vault.tidy(isIdle: true)
        for one in body { #expect(try places(one) == []) }
    }

    @Test func `a key that a reader's thread had in memory opens nothing after the erasure`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1)])
        #expect(try vault.all().count == 1)
        try vault.erase([ErasureOrder("E1", at: .distantFuture)])
        #expect(try vault.all().isEmpty)
        #expect(throws: SegmentUnreadable.Why.keyMissing) { try vault.keys.key(1).get() }
    }

    @Test func `months that nothing is left of lose their key, and no other does`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        try vault.store([segment(1), segment(2, at: november + month), segment(3, of: "E2")])
        func months() throws -> [String] {
            try scene.ask("SELECT subject, month FROM data_key ORDER BY subject, month", in: scene.keys).map { "\($0[0] as String) \($0[1] as Int64)" }
        }
        let retention = Retention([DataClass("activity"): .seconds(20 * 86_400)])
        let now = november + month + .seconds(86_400)
        #expect(try vault.sweep(retention, at: now, from: SweepCursor(), atMost: 100).keys == 2)
        #expect(try months() == ["E1 202612"])
        // One that was made for a segment that then did not come goes as well.
        let unused = DataKeys.Made()
        _ = try vault.keys.key(for: DataKeyPlace(subject: "E9", month: 202_501), made: unused)
        try vault.keys.store(unused, at: november)
        #expect(try vault.sweep(retention, at: now, from: SweepCursor(), atMost: 100).keys == 1)
        // The present month's is kept, also when it is empty for now.
        _ = try vault.sweep(retention, at: november + Span.seconds(62 * 86_400), from: SweepCursor(), atMost: 100)
        #expect(try scene.ask("SELECT COUNT(*) FROM segment")[0][0] as Int64 == 0)
    }

    @Test func `the months of keys and their extents agree`() {
        for month: Int64 in [196_912, 197_001, 200_002, 202_402, 202_611, 202_612, 209_912, 226_201] {
            let extent = DataKeyPlace(subject: "", month: month).extent
            #expect(DataKeyPlace.month(of: WallTime(nanoseconds: extent?.lowerBound ?? 0)) == month)
            #expect(DataKeyPlace.month(of: WallTime(nanoseconds: (extent?.upperBound ?? 0) - 1)) == month)
            #expect(DataKeyPlace.month(of: WallTime(nanoseconds: extent?.upperBound ?? 0)) != month)
        }
        #expect(DataKeyPlace(subject: "", month: DataKeyPlace.directory).extent == nil)
    }

    @Test func `the directory lies in the vault as ciphertext`() throws {
        let scene = try Scene()
        let vault = try scene.vault()
        let name = "Ada-\(UUID().uuidString)"
        try vault.put([DirectoryEntry(subject: "E1", name: name), DirectoryEntry(subject: "E2", name: "Bob")], at: november)
        for (file, bytes) in try scene.bytes() { #expect(bytes.range(of: Data(name.utf8)) == nil, "\(file)") }
        #expect(try vault.person("E1")?.name == name)
        #expect(try vault.places(of: ["E1"])["E1"]?.subject == "E1")
        // Entries that were exchanged, or changed, are not believed.
        try scene.edit("UPDATE person SET body = (SELECT body FROM person WHERE subject = 'E2'), key = (SELECT key FROM person WHERE subject = 'E2') WHERE subject = 'E1'")
        #expect(throws: SegmentUnreadable(row: 0, why: .changed)) { try vault.person("E1") }
        #expect(throws: SegmentUnreadable(row: 0, why: .changed), "also where it is known from before") { try vault.places(of: ["E1"]) }
    }
}

@Suite struct RetentionClockTests {
    private let start = Instant(nanoseconds: 1_000)
    private let day = Span.seconds(86_400)
    private func days(_ count: Int64) -> Span { Span.seconds(count * 86_400) }

    @Test func `a clock that is set back moves no edge, and goes on where it was`() {
        var clock = RetentionClock(mark: november)
        #expect(clock.now(wall: november + day, at: start) == november + day)
        #expect(clock.now(wall: november - days(40), at: start + .seconds(60)) == november + day)
        #expect(clock.now(wall: november - days(39), at: start + day) == november + day)
        #expect(clock.now(wall: november + days(2), at: start + days(2)) == november + days(2))
    }

    @Test func `a clock that leaps ahead is believed only when it has stayed there`() {
        var clock = RetentionClock(mark: november)
        #expect(clock.now(wall: november + days(400), at: start) == november)
        #expect(clock.isInDoubt)
        #expect(clock.now(wall: november + days(400) + .seconds(3_600), at: start + .seconds(3_600)) == november + .seconds(3_600))
        // Set right again: nothing was deleted by the wrong one.
        var corrected = clock
        #expect(corrected.now(wall: november + .seconds(7_200), at: start + .seconds(7_200)) == november + .seconds(7_200))
        #expect(!corrected.isInDoubt)
        let later = RetentionClock.doubt + .seconds(1)
        #expect(clock.now(wall: november + days(400) + later, at: start + later) == november + days(400) + later)
        #expect(!clock.isInDoubt)
    }

    @Test func `it never goes back, whatever the clocks say`() {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var state = seed
        func random(_ bound: Int64) -> Int64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int64(state >> 33) % bound
        }
        var clock = RetentionClock(mark: november)
        var (now, last) = (start, WallTime.distantPast)
        for _ in 0..<5_000 {
            now = now + Span.seconds(random(30_000))
            let found = clock.now(wall: november + Span.seconds(random(200_000_000) - 100_000_000), at: now)
            #expect(found >= last)
            last = found
        }
    }

    @Test func `the first sweep believes no clock that is far ahead of what was stored last`() throws {
        var clock = try #require(RetentionClock(mark: nil, newest: november, wall: november + days(400)))
        #expect(clock.now(wall: november + days(400), at: start) == november && clock.isInDoubt)
        var right = try #require(RetentionClock(mark: nil, newest: november, wall: november + .seconds(7_200)))
        #expect(right.now(wall: november + .seconds(7_200), at: start) == november + .seconds(7_200) && !right.isInDoubt, "the control")
        // An agent's clock that is ahead moves it no further than the present.
        var ahead = try #require(RetentionClock(mark: nil, newest: november + days(400), wall: november))
        #expect(ahead.now(wall: november, at: start) == november && !ahead.isInDoubt)
        #expect(RetentionClock(mark: nil, newest: nil, wall: november) == nil, "where nothing is stored there is nothing to go by, and nothing to delete")
        #expect(RetentionClock(mark: november, newest: november + days(9), wall: november + days(9))?.mark == november)
    }

    @Test func `what was believed is where it goes on after a restart`() {
        var clock = RetentionClock(mark: november)
        #expect(clock.now(wall: november, at: start) == november)
        var again = RetentionClock(mark: clock.mark)
        #expect(again.now(wall: november - days(1), at: start) == november)
        #expect(again.now(wall: november + .seconds(5), at: start) == november + .seconds(5))
    }
}
