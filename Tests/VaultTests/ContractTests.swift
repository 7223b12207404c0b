import Foundation
import Gate
import Testing

@testable import Vault

/// An engine behind the `Vault` protocol, and how a test gets at it.
protocol VaultEngine: Sendable, CustomTestStringConvertible {
    /// A store of its own, empty, which goes with the one who holds it.
    func make() throws -> any VaultPlace
}

/// Where one store lies: opened, closed and opened again as after a crash.
protocol VaultPlace {
    func open() throws -> any Vault
}

struct EmbeddedSQLite: VaultEngine {
    var testDescription: String { "SQLite" }
    func make() throws -> any VaultPlace { try Scene() }
}

extension Scene: VaultPlace {
    func open() throws -> any Vault { try vault() }
}

/// What every engine does. A second one is added to `engines`, and passes.
@Suite struct ContractTests {
    static let engines: [any VaultEngine] = [EmbeddedSQLite()]
    private static let classes = ["activity", "content", "review"].map { DataClass($0) }

    private func everything(from: WallTime = .distantPast, until: WallTime = .distantFuture, of subjects: [String] = [], teams: [String] = []) -> Selection {
        Selection(classes: ContractTests.classes, subjects: subjects, teams: teams, from: from, until: until)
    }

    private func read(_ vault: any Vault, _ selection: Selection, page: Int = 3) throws -> [Result<Segment, SegmentUnreadable>] {
        var found: [Result<Segment, SegmentUnreadable>] = []
        var cursor = SegmentCursor()
        while true {
            let (segments, next) = try vault.segments(selection, after: cursor, limit: page)
            found += segments
            guard segments.count == page else { return found }
            cursor = next
        }
    }

    private func sequences(_ vault: any Vault, _ selection: Selection? = nil) throws -> [UInt64] {
        try read(vault, selection ?? everything()).map { try $0.get().sequence }
    }

    private func store(_ vault: any Vault, _ segments: [Segment], commits: Bool = true) throws {
        try vault.transaction { transaction in
            for segment in segments {
                try transaction.insert(segment)
                try transaction.addTotals(events: Int64(segment.count), segments: 1, oldest: segment.first)
            }
            return commits
        }
    }

    private func eraseAll(_ vault: any Vault, rows: Int = 2) throws -> [Erasure] {
        var steps: [Erasure] = []
        while let step = try vault.eraseNext(atMost: rows) { steps.append(step) }
        return steps
    }

    @discardableResult private func sweepAll(_ vault: any Vault, _ retention: Retention, at now: WallTime, rows: Int = 3) throws -> Swept {
        var sum = Swept()
        var cursor: SweepCursor? = SweepCursor()
        while let from = cursor {
            let step = try vault.sweep(retention, at: now, from: from, atMost: rows)
            #expect(step.segments <= Int64(rows))
            sum.segments += step.segments
            sum.events += step.events
            sum.keys += step.keys
            sum.held += step.held
            cursor = step.next
        }
        return sum
    }

    private func of(_ dataClass: String, _ segment: Segment) -> Segment {
        var segment = segment
        segment.dataClass = DataClass(dataClass)
        return segment
    }

    // MARK: Segments

    @Test(arguments: engines) func `what was stored is read by subject, class and time, whatever the page`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(5, of: "E2"), of("review", segment(4)), segment(3, at: november + .seconds(9)), segment(1), segment(2, at: november + .seconds(5))])
        for page in 1...6 { #expect(try read(vault, everything(), page: page).map { try $0.get().sequence } == [1, 2, 3, 4, 5], "\(page) a page") }
        try vault.close()
        #expect(try sequences(place.open()) == [1, 2, 3, 4, 5])
    }

    @Test(arguments: engines) func `a selection is by class, subject or team, and time, its end excluded`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        var other = segment(3, of: "E3")
        other.scope = Scope(subject: "E3", site: "oslo", team: "sales")
        try store(vault, [segment(1), segment(2, of: "E2", at: november + .seconds(10)), other])
        #expect(try sequences(vault, everything(of: ["E2"])) == [2])
        #expect(try sequences(vault, everything(teams: ["sales"])) == [3])
        #expect(try sequences(vault, everything(of: ["E1"], teams: ["sales"])) == [1, 3])
        #expect(try sequences(vault, everything(until: november)) == [])
        #expect(try sequences(vault, everything(from: november + .seconds(3))) == [2])
        #expect(try vault.extent(of: everything()).subjects == 3)
        #expect(try vault.extent(of: everything()).events == 12)
        #expect(try vault.extent(of: everything(of: ["nobody"])).events == 0)
    }

    @Test(arguments: engines) func `a segment that reaches into the time is found, however early it begins`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        var long = segment(1)
        long.last = long.first + .seconds(3 * 86_400)
        try store(vault, [long], commits: false)
        try store(vault, [segment(2, of: "E2"), long, segment(3, of: "E2", at: november + .seconds(2 * 86_400))])
        let day = everything(from: november + .seconds(2 * 86_400), until: november + .seconds(3 * 86_400))
        #expect(try sequences(vault, day) == [1, 3] && vault.extent(of: day).events == 8)
        try vault.close()
        #expect(try sequences(place.open(), day) == [1, 3])
    }

    @Test(arguments: engines) func `any selection finds what a look at each segment finds, whatever the page`(_ engine: any VaultEngine) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        func some(_ all: [String]) -> [String] { all.filter { _ in random(3) == 0 } }
        let (subjects, teams) = (["", "A", "B", "a", "Ä", "E1", "E10"], ["", "x", "y"])
        let vault = try engine.make().open()
        var all: [Segment] = []
        for number in 1...200 {
            var one = segment(UInt64(number), of: subjects[random(7)], at: november + .seconds(Int64(random(1_000))))
            one.scope = Scope(subject: one.scope.subject, site: "s", team: teams[random(3)])
            one.last = one.first + .seconds(Int64(random(10) == 0 ? random(900) : random(5)))
            one.dataClass = ContractTests.classes[random(3)]
            all.append(one)
        }
        try store(vault, all)
        for _ in 0..<300 {
            let from = november + .seconds(Int64(random(1_100)) - 50)
            let selection = Selection(
                classes: ContractTests.classes.filter { _ in random(2) == 0 }, subjects: some(subjects), teams: some(teams), from: from,
                until: from + .seconds(Int64(random(300))))
            let expected = all.filter { one in
                selection.classes.contains(one.dataClass) && one.first < selection.until && one.last >= selection.from
                    && (selection.subjects.isEmpty && selection.teams.isEmpty || selection.subjects.contains(one.scope.subject) || selection.teams.contains(one.scope.team))
            }
            let found = try read(vault, selection, page: 1 + random(20)).map { try $0.get().sequence }
            #expect(found.sorted() == expected.map(\.sequence).sorted(), "\(selection)")
            let extent = try vault.extent(of: selection)
            #expect(extent.subjects == Set(expected.map(\.scope.subject)).count && extent.events == Int64(expected.count * 4))
        }
    }

    @Test(arguments: engines) func `a transaction is all or nothing`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        let key = StreamKey(agent: 3, stream: 9)
        try store(vault, [segment(1)], commits: false)
        struct Stop: Error {}
        #expect(throws: Stop.self) {
            try vault.transaction { transaction in
                try transaction.insert(segment(2))
                try transaction.setHighWater(key, 2, lost: 0)
                throw Stop()
            }
        }
        #expect(try sequences(vault) == [] && vault.totals().events == 0)
        try vault.transaction { transaction in
            #expect(try transaction.highWater(key) == 0)
            try transaction.setHighWater(key, 7, lost: 2)
            try transaction.insert(segment(7))
            #expect(try transaction.hash(of: StreamKey(agent: 3, stream: segment(7).stream), sequence: 7) == segment(7).hash)
            return true
        }
        try vault.close()
        let again = try place.open()
        try again.transaction { transaction in
            #expect(try transaction.highWater(key) == 7)
            try transaction.remove(StreamKey(agent: 3, stream: segment(7).stream), sequence: 7)
            return true
        }
        #expect(try sequences(again) == [])
    }

    @Test(arguments: engines) func `the last gate that was recorded is the one`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        #expect(try vault.gate() == nil)
        for (epoch, body) in [(4, "four"), (5, "five"), (2, "two")] as [(UInt64, String)] {
            try vault.transaction { transaction in
                try transaction.record(gate: Data(body.utf8), epoch: epoch, at: november)
                return true
            }
        }
        try vault.close()
        #expect(try place.open().gate() == Data("five".utf8))
    }

    // MARK: Erasing

    @Test(arguments: engines) func `who is erased cannot be read any more when it has begun, and then is gone, and others are not touched`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, (1...5).map { segment($0) } + [segment(6, of: "E2"), segment(7, at: november + month)])
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada"), DirectoryEntry(subject: "E2", name: "Bob")], at: november)
        try vault.erase([ErasureOrder("E1", at: november + month)])
        #expect(try sequences(vault) == [6])
        #expect(try vault.person("E1") == nil)
        #expect(vault.isErased("E1") && !vault.isErased("E2"))
        let steps = try eraseAll(vault)
        #expect(steps.map(\.state) == [.rows, .rows, .rows, .done])
        #expect(steps.last?.segments == 6 && steps.last?.events == 24)
        #expect(try vault.extent(of: everything()).events == 4 && vault.totals().events == 4 && vault.totals().segments == 1)
        #expect(try vault.person("E2")?.name == "Bob" && vault.peopleCount() == 1)
        try vault.close()
        let again = try place.open()
        #expect(try sequences(again) == [6] && again.eraseNext(atMost: 9) == nil)
        #expect(again.isErased("E1"))
    }

    @Test(arguments: engines) func `an erasure that began is finished after a restart, whatever it had come to`(_ engine: any VaultEngine) throws {
        for done in 0...3 {
            let place = try engine.make()
            let vault = try place.open()
            try store(vault, (1...5).map { segment($0) } + [segment(6, of: "E2")])
            try vault.erase([ErasureOrder("E1", at: november)])
            for _ in 0..<done { _ = try vault.eraseNext(atMost: 2) }
            try vault.close()
            let again = try place.open()
            #expect(try sequences(again) == [6], "\(done) steps")
            _ = try eraseAll(again)
            #expect(try again.extent(of: everything()).events == 4)
            #expect(try again.erasures().map(\.state) == [.done])
            #expect(try again.erasures().map(\.segments) == [5], "\(done) steps")
        }
    }

    @Test(arguments: engines) func `what an incident holds waits, says for what, and goes when the last is lifted`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        var vault = try place.open()
        try store(vault, [segment(1), segment(2, of: "E2")])
        try vault.hold(4, ["E1"])
        try vault.hold(9, ["E1", "E2"])
        try vault.erase([ErasureOrder("E1", at: november)])
        let waiting = try #require(vault.erasures().first)
        #expect(waiting.state == .waiting && waiting.holds == [4, 9])
        #expect(vault.isErased("E1"), "nothing new is stored")
        #expect(try eraseAll(vault) == [] && sequences(vault) == [1, 2])
        #expect(try sweepAll(vault, Retention([DataClass("activity"): .seconds(1)]), at: november + month).held == 2)
        #expect(try sequences(vault) == [1, 2])
        try vault.lift(4, nil)
        try vault.close()
        vault = try place.open()
        #expect(try eraseAll(vault) == [] && vault.erasures()[0].holds == [9])
        // Agreeing anew does not save what is held, and is kept for later.
        try vault.readmit("E1", at: november + .seconds(1))
        #expect(vault.isErased("E1"))
        try vault.lift(9, ["E1"])
        #expect(!vault.isErased("E1"))
        #expect(try sequences(vault) == [2] && eraseAll(vault).last?.state == .done)
    }

    @Test(arguments: engines) func `who agreed anew is stored again, and nothing of before comes back`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(1)])
        let order = ErasureOrder("E1", at: november)
        try vault.erase([order])
        _ = try eraseAll(vault)
        try vault.readmit("E1", at: november + .seconds(60))
        #expect(!vault.isErased("E1"))
        try store(vault, [segment(2)])
        // Whoever keeps the list hands it over again at each start.
        try vault.erase([ErasureOrder("E1", at: november, readmitted: november + .seconds(60))])
        #expect(try eraseAll(vault) == [] && sequences(vault) == [2] && !vault.isErased("E1"))
        // And a second erasure is one.
        try vault.erase([ErasureOrder("E1", at: .distantFuture)])
        #expect(try sequences(vault) == [] && vault.isErased("E1"))
    }

    @Test(arguments: engines) func `who waited for an incident loses every key with it, whatever a clock said when one was made`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(1), segment(2, of: "E2")])
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada")], at: november)
        try vault.hold(4, ["E1"])
        // Another machine's clock, a year behind the one that the keys were made by.
        let order = ErasureOrder("E1", at: november - .seconds(365 * 86_400))
        try vault.erase([order])
        try vault.readmit("E1", at: order.at + .seconds(60))
        try vault.lift(4, nil)
        #expect(try vault.person("E1") == nil)
        #expect(try eraseAll(vault).last?.state == .done && sequences(vault) == [2])
    }

    @Test(arguments: engines) func `what was read before somebody was erased is known by when, and by whom`(_ engine: any VaultEngine) throws {
        let vault = try engine.make().open()
        try store(vault, [segment(1), segment(2, of: "E2"), segment(3, of: "E3")])
        let before = vault.destructions
        try vault.hold(4, ["E3"])
        try vault.erase([ErasureOrder("E1", at: november), ErasureOrder("E3", at: november)])
        let between = vault.destructions
        #expect(vault.wasDestroyed("E1", since: before) && !vault.wasDestroyed("E1", since: between))
        #expect(!vault.wasDestroyed("E2", since: before) && !vault.wasDestroyed("E3", since: before), "what is held is there yet")
        _ = try eraseAll(vault)
        #expect(vault.wasDestroyed("E1", since: before), "also when it is done")
        try vault.lift(4, nil)
        #expect(vault.wasDestroyed("E3", since: between))
        try vault.erase([ErasureOrder("E1", at: november)])
        #expect(!vault.wasDestroyed("E1", since: between), "the same order again is none")
    }

    @Test(arguments: engines) func `from when on somebody is stored again is the later of erasure and agreement, and is kept`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        #expect(vault.storedFrom("E1") == nil)
        try vault.erase([ErasureOrder("E1", at: november)])
        try vault.readmit("E1", at: november + .seconds(60))
        #expect(vault.storedFrom("E1") == november + .seconds(60))
        try vault.close()
        #expect(try place.open().storedFrom("E1") == november + .seconds(60))
    }

    @Test(arguments: engines) func `a step is bounded by what it deletes in bytes too`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        let blob = String(repeating: "x", count: 1_500_000)
        try store(vault, (1...10).map { segment($0, blob: blob) } + (11...20).map { segment($0, of: "E2", blob: blob) })
        try vault.erase([ErasureOrder("E1", at: november)])
        let steps = try eraseAll(vault, rows: 512)
        // Two of them are less than 4 MiB, and three are more.
        #expect(steps.map(\.segments) == [2, 4, 6, 8, 10] && steps.last?.state == .done)
        var swept: [Int64] = []
        var cursor: SweepCursor? = SweepCursor()
        while let from = cursor {
            let step = try vault.sweep(Retention([DataClass("activity"): .seconds(1)]), at: november + month, from: from, atMost: 128)
            swept.append(step.segments)
            cursor = step.next
        }
        #expect(swept.filter { $0 > 0 } == [2, 2, 2, 2, 2] && swept.allSatisfy { $0 <= 2 })
    }

    @Test(arguments: engines) func `what came in last says when that was, whoever sent it`(_ engine: any VaultEngine) throws {
        let vault = try engine.make().open()
        #expect(try vault.newest() == nil)
        try store(vault, [segment(1, at: november + .seconds(60)), segment(2, of: "E0", at: november)])
        #expect(try vault.newest() == november + .seconds(62))
    }

    @Test(arguments: engines) func `a list that is handed over twice does nothing the second time`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(1)])
        let list = ["E1", "NOBODY"].map { ErasureOrder($0, at: november) }
        try vault.erase(list)
        #expect(try eraseAll(vault).map(\.subject).sorted() == ["E1", "NOBODY"])
        try vault.erase(list)
        #expect(try eraseAll(vault) == [])
    }

    // MARK: Retention

    @Test(arguments: engines) func `what is past its time goes, by class, and nothing else`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        let day = Span.seconds(86_400)
        var all: [Segment] = []
        for number in 0..<60 {
            let dataClass = ["activity", "content", "review"][number % 3]
            all.append(of(dataClass, segment(UInt64(number + 1), of: "E\(number % 4)", at: november + Span(nanoseconds: day.nanoseconds * Int64(number)))))
        }
        try store(vault, all)
        let retention = Retention([DataClass("activity"): Span.seconds(10 * 86_400), DataClass("content"): Span.seconds(30 * 86_400)])
        let now = november + Span.seconds(59 * 86_400)
        let left = all.filter { segment in retention.edge(of: segment.dataClass, at: now).map { segment.last >= $0 } ?? true }
        let swept = try sweepAll(vault, retention, at: now)
        #expect(swept.segments == Int64(60 - left.count) && swept.events == 4 * swept.segments)
        #expect(try Set(sequences(vault)) == Set(left.map(\.sequence)))
        #expect(try vault.totals().segments == Int64(left.count) && vault.totals().oldest == left.map(\.first).min())
        #expect(try vault.sweptUntil() == WallTime(microseconds: now.microseconds))
        #expect(try sweepAll(vault, retention, at: now).segments == 0, "the control: once")
        try vault.close()
        #expect(try Set(sequences(place.open())) == Set(left.map(\.sequence)))
    }

    @Test(arguments: engines) func `a segment that reaches over the edge is kept whole`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(1)])
        let retention = Retention([DataClass("activity"): .seconds(60)])
        try sweepAll(vault, retention, at: segment(1).last + .seconds(60))
        #expect(try sequences(vault) == [1])
        try sweepAll(vault, retention, at: segment(1).last + .seconds(60) + Span(nanoseconds: 1))
        #expect(try sequences(vault) == [])
    }

    // MARK: Judging again

    private let rules = Data([1])

    @Test(arguments: engines) func `what stood there when rules changed is judged again once, persons in order, and what came later is not`(_ engine: any VaultEngine) throws {
        let vault = try engine.make().open()
        #expect(try vault.rescan() == nil && vault.rescanNext(atMost: 9) { _ in nil } == nil)
        try store(vault, [segment(1, of: "E2"), of("review", segment(2)), segment(3), segment(4, at: november - .seconds(9)), segment(5, of: "E3")])
        try vault.beginRescan(rules)
        var judged: [UInt64] = []
        func walk(_ rows: Int) throws -> Rescan? {
            try vault.rescanNext(atMost: rows) { segment in
                judged.append(segment.sequence)
                return nil
            }
        }
        _ = try walk(2)
        try store(vault, [segment(6, of: "E9"), segment(7), of("review", segment(8, at: november + .seconds(60)))])
        var last: Rescan?
        while let step = try walk(2) { last = step }
        #expect(judged == [4, 3, 2, 1, 5] && last == Rescan(id: rules, state: .done, seen: 5, changed: 0, events: 0, unreadable: 0, held: 0))
        // The same rules again are no other, and others are.
        try vault.beginRescan(rules)
        #expect(try walk(9) == nil && judged.count == 5)
        try vault.beginRescan(Data([2]))
        while try walk(9) != nil {}
        #expect(judged.count == 13)
    }

    @Test(arguments: engines) func `what is left of a segment takes its place, in whatever class, and totals know of it`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        var vault = try place.open()
        try store(vault, [segment(1), segment(2), segment(3, of: "E2"), segment(4, of: "E2")])
        try vault.beginRescan(rules)
        while try vault.rescanNext(atMost: 3, left: { segment in
            switch segment.sequence {
            case 1: return []
            case 2: return nil
            default:
                var (one, other) = (segment, of("review", segment))
                (one.count, one.blob, one.last) = (1, Data("one".utf8), one.first)
                (other.count, other.blob) = (2, Data("other".utf8))
                return segment.sequence == 3 ? [one, other] : [other]
            }
        }) != nil {}
        try vault.close()
        vault = try place.open()
        let left = try read(vault, everything()).map { try $0.get() }
        #expect(left.map { "\($0.sequence) \($0.dataClass.name) \($0.count) \(String(decoding: $0.blob, as: UTF8.self))" } == [
            "2 activity 4 the blob of a batch", "3 activity 1 one", "3 review 2 other", "4 review 2 other",
        ])
        #expect(try vault.totals().events == 9 && vault.totals().segments == 4 && vault.extent(of: everything()).events == 9)
        let found = try vault.rescan()
        let done = try #require(found)
        #expect(done.state == .done && done.seen == 4 && done.changed == 3 && done.events == 7)
        // What was judged and came apart is not judged again: the next segment of the same batch is known as what it was.
        try vault.transaction { transaction in
            let known = try transaction.hash(of: StreamKey(agent: 3, stream: segment(3).stream), sequence: 3)
            #expect(known == segment(3).hash)
            return true
        }
        // That it did is not forgotten when others judge and change nothing: who was exposed to what had more than there is now.
        try vault.beginRescan(Data([2]))
        while try vault.rescanNext(atMost: 9, left: { _ in nil }) != nil {}
        try vault.beginRescan(Data([3]))
        #expect(try vault.rescan()?.changed == 0 && vault.rescan()?.changedBefore == 3)
    }

    @Test(arguments: engines) func `a walk that was interrupted goes on where it was, and a step that failed changed nothing`(_ engine: any VaultEngine) throws {
        struct Stop: Error {}
        for steps in 0...5 {
            let place = try engine.make()
            var vault = try place.open()
            try store(vault, (1...9).map { segment($0, of: "E\($0 % 3)") })
            try vault.beginRescan(rules)
            var judged: [UInt64] = []
            func left(_ segment: Segment) -> [Segment] {
                judged.append(segment.sequence)
                return []
            }
            for _ in 0..<steps { _ = try vault.rescanNext(atMost: 2, left: left) }
            let before = try sequences(vault)
            var count = 0
            if !before.isEmpty {
                #expect(throws: Stop.self) {
                    try vault.rescanNext(atMost: 2) { _ in
                        count += 1
                        if count == min(2, before.count) { throw Stop() }
                        return []
                    }
                }
            }
            #expect(try sequences(vault) == before)
            try vault.close()
            vault = try place.open()
            try vault.beginRescan(rules)
            while try vault.rescanNext(atMost: 2, left: left) != nil {}
            #expect(judged.sorted() == Array(1...9) && judged.count == 9, "\(steps) steps")
            #expect(try sequences(vault) == [] && vault.totals().segments == 0 && vault.rescan()?.events == 36)
        }
    }

    @Test(arguments: engines) func `what an incident holds is judged when it is lifted, and who is erased meanwhile never`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        var vault = try place.open()
        try store(vault, (1...4).map { segment($0, of: "E\($0)") })
        try vault.hold(7, ["E2", "E4"])
        try vault.beginRescan(rules)
        func walk() throws -> Rescan? {
            var last: Rescan?
            while let step = try vault.rescanNext(atMost: 9, left: { _ in [] }) {
                last = step
                if step.state != .walking { break }
            }
            return last
        }
        #expect(try walk()?.held == 2 && vault.rescan()?.state == .held && sequences(vault) == [2, 4])
        try vault.erase([ErasureOrder("E4", at: november)])
        try vault.close()
        vault = try place.open()
        #expect(try walk()?.state == .held && sequences(vault) == [2, 4], "the control: for as long as it holds")
        try vault.lift(7, nil)
        #expect(try walk()?.state == .done && sequences(vault) == [])
        #expect(try vault.rescan()?.seen == 3 && eraseAll(vault).last?.segments == 1)
    }

    // MARK: The directory

    @Test(arguments: engines) func `an entry of the directory is replaced, read, and removed on its own`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try store(vault, [segment(1)])
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada"), DirectoryEntry(subject: "E2", name: "Bob")], at: november)
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada Lovelace", mail: "ada@example.com", team: "search", site: "berlin", locale: "en-GB")], at: november)
        #expect(try vault.person("E1")?.name == "Ada Lovelace" && vault.peopleCount() == 2)
        #expect(try vault.removePeople(["E1", "NOBODY"]) == [])
        #expect(try vault.person("E1") == nil && vault.peopleCount() == 1)
        #expect(try sequences(vault) == [1], "what was captured is not touched")
        // A sweep leaves the keys of the directory alone.
        try sweepAll(vault, Retention([DataClass("activity"): .seconds(1)]), at: november + month)
        try vault.close()
        #expect(try place.open().person("E2")?.name == "Bob")
    }

    @Test(arguments: engines) func `an entry of the directory that an incident holds stays until it is lifted`(_ engine: any VaultEngine) throws {
        let place = try engine.make()
        let vault = try place.open()
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada"), DirectoryEntry(subject: "E2", name: "Bob")], at: november)
        try vault.hold(4, ["E1"])
        #expect(try vault.removePeople(["E1", "E2"]) == ["E1"])
        #expect(try vault.person("E1")?.name == "Ada" && vault.person("E2") == nil)
        try vault.close()
        let again = try place.open()
        #expect(try again.person("E1")?.name == "Ada" && again.incidents(holding: "E1") == [4])
        try again.lift(4, nil)
        #expect(try again.removePeople(["E1"]) == [] && again.peopleCount() == 0)
    }

    @Test(arguments: engines) func `where people are is what their entries say, however they have changed since it was asked last`(_ engine: any VaultEngine) throws {
        let vault = try engine.make().open()
        let subjects = ["E1", "E2", "E3", "NOBODY"]
        /// Twice: what was opened before says the same.
        func check(_ teams: [String: String]) throws {
            for _ in 0..<2 { #expect(try vault.places(of: Set(subjects)).mapValues(\.team) == teams) }
            #expect(try Dictionary(uniqueKeysWithValues: subjects.compactMap { subject in try vault.person(subject).map { (subject, $0.team) } }) == teams)
        }
        try check([:])
        try vault.put(["E1", "E2", "E3"].map { DirectoryEntry(subject: $0, team: "search") }, at: november)
        try check(["E1": "search", "E2": "search", "E3": "search"])
        try vault.put([DirectoryEntry(subject: "E1", team: "ads")], at: november)
        try check(["E1": "ads", "E2": "search", "E3": "search"])
        #expect(try vault.removePeople(["E2"]) == [])
        try check(["E1": "ads", "E3": "search"])
        try vault.put([DirectoryEntry(subject: "E2", team: "post")], at: november)
        try vault.erase([ErasureOrder("E3", at: november)])
        try check(["E1": "ads", "E2": "post"])
        // Their row may be there yet, and no key opens it.
        try vault.readmit("E3", at: november + .seconds(60))
        try check(["E1": "ads", "E2": "post"])
        _ = try eraseAll(vault)
        try check(["E1": "ads", "E2": "post"])
    }

    @Test(arguments: engines) func `nobody who is erased comes into the directory`(_ engine: any VaultEngine) throws {
        let vault = try engine.make().open()
        try vault.erase([ErasureOrder("E1", at: november)])
        try vault.put([DirectoryEntry(subject: "E1", name: "Ada")], at: november)
        #expect(try vault.person("E1") == nil && vault.peopleCount() == 0)
    }
}
