import Detection
import Foundation
import GRDB
import Gate
import Messaging
import Rules
import Testing
import Vault
import Wire

@testable import sluice_policy

/// Policy's writer: what it stores of whom, in which order it does what it was told, and what it goes on after.
@Suite struct WriterTests {
    private func segment(_ number: UInt64, of subject: String) -> Segment {
        Segment(
            scope: Scope(subject: subject, site: "berlin", team: "search"), dataClass: DataClass("activity"), agent: 1, stream: 9, sequence: number,
            first: november, last: november + .seconds(1), count: 3, epoch: 1, columnsBytes: 10, hash: Data(count: 16), blob: Data((0..<3_000).map { _ in UInt8.random(in: .min ... .max) }))
    }

    @Test func `what was captured before an erasure and comes after the agreement is not stored, and is counted`() throws {
        let scene = try WriterScene()
        scene.writer.start()
        scene.writer.take(.erase([ErasureOrder("E1", at: november + .seconds(10))]))
        scene.writer.take(.readmit("E1", at: november + .seconds(60)))
        // What comes in one go with them is stored before it is done.
        scene.writer.take(.erasures(["E1"], Route(number: 1)))
        try scene.until { if case .erasures = $0 { true } else { false } }
        // The agent's clock is five seconds ahead: its 62 is 57.
        let times = [0, 30, 62, 66, 90].map { november + .seconds($0) }
        scene.writer.take(.write(try WriterScene.prepared(1, at: times, offset: .seconds(5))))
        scene.writer.take(.write(try WriterScene.prepared(2, at: [november, november + .seconds(64)], offset: .seconds(5))))
        scene.writer.take(.write(try WriterScene.prepared(3, at: [november + .seconds(65)], offset: .seconds(5))))
        // The control: somebody who was never erased.
        scene.writer.take(.write(try WriterScene.prepared(4, of: "E2", at: times)))
        var answers: [VaultWriter.Answer] = []
        for sequence in 1...4 as ClosedRange<UInt64> { answers.append(try scene.answer(of: sequence)) }
        #expect(answers.map(\.events) == [2, 0, 1, 5] && answers.map(\.erased) == [3, 2, 0, 0] && answers.allSatisfy { !$0.isDuplicate })
        #expect(try scene.times(of: "E1") == [65, 66, 90].map { november + .seconds($0) })
        #expect(try scene.times(of: "E2") == times)
        let totals = try scene.vault.totals()
        #expect(totals.events == 8 && totals.segments == 3)
        // Sent again it is known, also the one of which nothing was stored.
        scene.writer.take(.write(try WriterScene.prepared(2, at: [november, november + .seconds(64)], offset: .seconds(5))))
        try scene.until { if case .stored(let answers, _) = $0 { answers.contains { $0.isDuplicate } } else { false } }
        #expect(try scene.vault.totals().events == 8)
    }

    @Test func `what another incident holds since policy last heard of it is not destroyed with the end of the first`() throws {
        let scene = try WriterScene()
        scene.writer.start()
        scene.writer.take(.write(try WriterScene.prepared(1, at: [november])))
        _ = try scene.answer(of: 1)
        var asked: UInt32 = 0
        func state(after works: [VaultWriter.Work]) throws -> Erasure.State? {
            for work in works { scene.writer.take(work) }
            asked += 1
            scene.writer.take(.erasures(["E1"], Route(number: asked)))
            guard case .erasures(_, let found) = try scene.until({ if case .erasures(Route(number: asked), _) = $0 { true } else { false } }) else { return nil }
            return found.first?.state
        }
        #expect(try state(after: [.hold(incident: 1, ["E1"]), .erase([ErasureOrder("E1", at: november + .seconds(10))])]) == .waiting)
        #expect(try state(after: [.keepHolds([2: ["E1"]])]) == .waiting)
        #expect(try scene.times(of: "E1") == [november])
        // The control: nobody holds it any more.
        #expect(try state(after: [.keepHolds([:])]) != .waiting)
    }

    @Test func `a thousand entries of the directory go in steps, and a batch waits for one`() throws {
        let people = (0..<1_000).map { DirectoryEntry(subject: "D\($0)", name: "Ada \($0)") }
        let scene = try WriterScene(prepare: { vault, _ in try vault.put(people, at: november) })
        let late = try WriterScene.prepared(1, at: [november])
        let writer = scene.writer
        // In the middle of it.
        scene.vault.watch { [unowned vault = scene.vault] call in
            if call.hasPrefix("remove"), vault.calls.count(where: { $0 == call }) == 2 { writer.take(.write(late)) }
        }
        scene.writer.take(.directory(DirectoryJob(id: Data(count: 16), route: Route(number: 1), author: "ops-1", people: [], removed: people.map(\.subject))))
        scene.writer.start()
        let done = try scene.until { if case .directory = $0 { true } else { false } }
        guard case .directory(let job) = done else { return }
        #expect(job.removedCount == 1_000 && job.storedCount == 0)
        #expect(scene.vault.calls.filter { $0 != "eraseNext" } == Array(repeating: "remove 100", count: 10))
        let stored = scene.places { if case .stored = $0 { true } else { false } }
        let finished = scene.places { if case .directory = $0 { true } else { false } }
        #expect(stored.count == 1 && finished.count == 1 && stored[0] < finished[0])
        #expect(try scene.vault.peopleCount() == 0)
    }

    @Test func `the entry of somebody whom an incident holds is not removed, and none beside it`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.put(["E1", "E2"].map { DirectoryEntry(subject: $0, name: "Ada") }, at: november)
            try vault.hold(4, ["E1"])
        })
        scene.writer.start()
        func remove() { scene.writer.take(.directory(DirectoryJob(id: Data(count: 16), route: Route(number: 1), author: "ops-1", people: [], removed: ["E2", "E1"]))) }
        remove()
        let refused = try scene.until { if case .directoryRefused = $0 { true } else { false } }
        guard case .directoryRefused(_, let refusal, let text) = refused else { return }
        #expect(refusal == .notAllowed && text.contains("E1") && !text.contains("E2"))
        #expect(try scene.vault.peopleCount() == 2)
        scene.writer.take(.lift(incident: 4, ["E1"]))
        remove()
        try scene.until { if case .directory(let job) = $0 { job.removedCount == 2 } else { false } }
    }

    @Test func `what was told while the disk was full is done in the order in which it was told`() throws {
        let scene = try WriterScene()
        let writer = scene.writer
        scene.vault.watch { [unowned vault = scene.vault] call in
            guard call == "erase", vault.calls.count <= 2 else { return }
            // It comes while the erasure finds no room.
            if vault.calls.count == 1 { writer.take(.hold(incident: 4, ["E1"])) }
            throw DatabaseError(resultCode: .SQLITE_FULL)
        }
        scene.writer.take(.erase([ErasureOrder("E1", at: november)]))
        scene.writer.start()
        try scene.until { if case .erasing(let erasure) = $0 { erasure.state == .done } else { false } }
        scene.writer.take(.readmit("E1", at: november))
        scene.writer.take(.lift(incident: 4, ["E1"]))
        scene.writer.take(.directory(DirectoryJob(id: Data(count: 16), route: Route(number: 1), author: "ops-1", people: [DirectoryEntry(subject: "E1")], removed: [])))
        try scene.until { if case .directory = $0 { true } else { false } }
        #expect(scene.vault.calls.filter { $0 != "eraseNext" } == ["erase", "erase", "erase", "hold", "readmit", "lift", "put 1"])
        #expect(scene.places { if case .full = $0 { true } else { false } }.count == 2, "full, and not any more")
    }

    /// Writes over the beginning of the page that holds these bytes.
    private func damage(_ path: String, where bytes: Data) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        try queue.close()
        var file = try Data(contentsOf: URL(fileURLWithPath: path))
        let place = try #require(file.range(of: bytes)).lowerBound
        let page = place / 8_192 * 8_192
        file.replaceSubrange(page..<page + 8, with: Data(repeating: 0xEE, count: 8))
        try file.write(to: URL(fileURLWithPath: path))
    }

    private func body(_ path: String, _ sql: String) throws -> Data {
        let queue = try DatabaseQueue(path: path)
        defer { try? queue.close() }
        let found = try queue.read { try Data.fetchOne($0, sql: sql) }
        return try #require(found)
    }

    @Test func `one damaged page refuses the reads that need it, and nothing else ends`() throws {
        var spoilt = Data()
        let scene = try WriterScene(
            prepare: { vault, path in
                try vault.transaction { transaction in
                    for number in 1...20 as ClosedRange<UInt64> { try transaction.insert(segment(number, of: "OLD")) }
                    for number in 21...40 as ClosedRange<UInt64> { try transaction.insert(segment(number, of: "NEW")) }
                    return true
                }
                spoilt = try body(path, "SELECT substr(body, 1, 64) FROM segment WHERE number = 5")
            }, spoil: { try damage($0, where: spoilt) })
        scene.writer.start()
        let mailbox = Mailbox<ReleaseDecider.News>(wakeup: try Wakeup())
        let decider = ReleaseDecider(vault: scene.vault, writer: scene.writer, news: mailbox)
        decider.start()
        defer { decider.stop() }
        decider.decide(WriterScene.job(["OLD"]))
        var told: [ReleaseDecider.News] = []
        for _ in 0..<15_000 where told.isEmpty {
            told = mailbox.take()
            usleep(2_000)
        }
        #expect(told.count { if case .damaged = $0 { true } else { false } } == 1, "it is refused, and told")
        // Others are read, and what comes is stored.
        decider.decide(WriterScene.job(["NEW"]))
        scene.writer.take(.write(try WriterScene.prepared(1, at: [Clock.wall()])))
        try scene.until { if case .released(_, let release, _) = $0 { release.decided.events == 60 } else { false } }
        #expect(try scene.answer(of: 1).events == 1)
        #expect(scene.places { if case .failed = $0 { true } else { false } } == [])
    }
}

@Suite struct ReleasesTests {
    @Test func `a chunk that waited for credit while its subject was erased is known by it`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for (number, subject) in ["E1", "E2", "E3"].enumerated() {
                    for segment in try WriterScene.prepared(UInt64(number + 1), of: subject, at: [november]).segments { try transaction.insert(segment) }
                }
                return true
            }
        })
        let mailbox = Mailbox<Releases.News>(wakeup: try Wakeup())
        let releases = Releases(vault: scene.vault, canaries: nil, news: mailbox)
        releases.start()
        defer { releases.stop() }
        func opened(_ number: Int64) throws -> OpenedRelease { try WriterScene.opened(number, of: ["E1", "E2", "E3"], events: 1) }
        // Of everybody, one chunk at a time: the others are in memory, decrypted.
        releases.begin(WriterScene.job([]), try opened(1))
        func next() throws -> String {
            for _ in 0..<15_000 {
                for item in mailbox.take() {
                    if case .chunk(_, _, _, let chunk, _, _, let readAt) = item { return chunk.subject + (releases.wasErased(chunk.subject, since: readAt) ? ", erased" : "") }
                }
                usleep(2_000)
            }
            throw WriterScene.Never.came
        }
        #expect(try next() == "E1")
        try scene.vault.erase([ErasureOrder("E2", at: november)])
        // All of it: whoever looked only for erasures under way would let it through.
        while try scene.vault.eraseNext(atMost: 9) != nil {}
        releases.credit(1, 1)
        #expect(try next() == "E2, erased")
        releases.credit(1, 1)
        #expect(try next() == "E3", "the control: who was not erased")
        // And what is asked for anew has nothing of them.
        releases.begin(WriterScene.job([]), try opened(2))
        #expect(try next() == "E1")
        releases.credit(2, 1)
        #expect(try next() == "E3")
    }
}

@Suite struct HousekeepingTests {
    private let retention = Retention([DataClass("activity"): .seconds(90 * 86_400)])

    /// How many events went, and nil behind it while the clock is in doubt.
    private func sweep(_ housekeeping: inout Housekeeping, wall: WallTime, at now: Instant) throws -> [Int64?] {
        var (events, isInDoubt) = (Int64(0), false)
        for number in 0..<5 as Range<Int64> {
            for item in try housekeeping.step(isIdle: true, wall: wall, at: now + .seconds(number)) {
                guard case .swept(let swept, let doubt) = item else { continue }
                events += swept.events
                isInDoubt = doubt
            }
        }
        return [events] + (isInDoubt ? [nil] : [])
    }

    @Test func `the first sweep of a machine whose clock is years ahead deletes nothing that is not old by others' clocks`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for (number, time) in [november - Span.seconds(100 * 86_400), november].enumerated() {
                    for segment in try WriterScene.prepared(UInt64(number + 1), at: [time]).segments { try transaction.insert(segment) }
                }
                return true
            }
        })
        var housekeeping = Housekeeping(vault: scene.vault, retention: retention)
        let (wall, now) = (november + Span.seconds(400 * 86_400), Clock.now())
        #expect(try sweep(&housekeeping, wall: wall, at: now) == [1, nil])
        #expect(try scene.times(of: "E1") == [november])
        // The control: a clock that stays there for long is believed.
        let long = RetentionClock.doubt + .seconds(60)
        #expect(try sweep(&housekeeping, wall: wall + long, at: now + long) == [1])
        #expect(try scene.times(of: "E1") == [])
    }

    @Test func `an empty vault teaches nothing about the time`() throws {
        let scene = try WriterScene()
        var housekeeping = Housekeeping(vault: scene.vault, retention: retention)
        _ = try sweep(&housekeeping, wall: november + Span.seconds(400 * 86_400), at: Clock.now())
        #expect(try scene.vault.sweptUntil() == nil && !scene.vault.calls.contains("sweep"))
    }

    /// By the rules of a document: keys keep their time, and what was pressed before a time is not kept at all.
    private func rescanner(_ id: UInt8, dropping: WallTime? = nil) -> Rescanner {
        var document = PolicyDocument.standard
        document.capture = [PolicyDocument.CaptureRule(as: .timing)]
        let policy = Policy(document)
        return Rescanner(id: Data([id])) {
            { segment, columns in
                let told = Records(notices: ["operation"])
                let parts = columns.events().reduce(into: [DataClass: [Event]]()) { left, event in
                    let (minimisation, _) = policy.capture(EventShape(event), segment.dataClass, of: Person(segment.scope), records: told)
                    guard case .event(let kept) = minimisation.apply(to: event), event.at >= dropping ?? .distantPast else { return }
                    left[segment.dataClass, default: []].append(kept)
                }
                return Rescanner.Judged(left: parts)
            }
        }
    }

    @Test func `what is stored is judged again between commits, by the rules that came, and once`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for number in 1...200 as ClosedRange<UInt64> {
                    for segment in try WriterScene.prepared(number, of: "E\(number % 3)", at: [november, november + .seconds(Int64(number))]).segments {
                        try transaction.insert(segment)
                        try transaction.addTotals(events: 2, segments: 1, oldest: nil)
                    }
                }
                return true
            }
        })
        let late = try WriterScene.prepared(1, of: "E9", at: [november])
        let writer = scene.writer
        scene.vault.watch { [unowned vault = scene.vault] call in
            if call == "rescanNext", vault.calls.count(where: { $0 == call }) == 2 { writer.take(.write(late)) }
        }
        scene.writer.take(.rescan(rescanner(1, dropping: november + .seconds(1))))
        scene.writer.start()
        let done = try scene.until { if case .rescanned(let rescan) = $0 { rescan.state == .done } else { false } }
        guard case .rescanned(let rescan) = done else { return }
        #expect(rescan.seen == 200 && rescan.changed == 200 && rescan.events == 200 && rescan.unreadable == 0)
        let stored = scene.places { if case .stored = $0 { true } else { false } }
        let last = scene.places { if case .rescanned = $0 { true } else { false } }.last
        #expect(stored.count == 1 && stored[0] < last ?? 0, "a batch waits for one step")
        #expect(scene.vault.calls.count >= 7, "in steps")
        #expect(try scene.vault.totals().events == 201)
        var cutter = try SegmentCutter()
        let selection = Selection(classes: [DataClass("activity")], subjects: ["E0", "E1", "E2"], teams: [], from: .distantPast, until: .distantFuture)
        let events = try scene.vault.segments(selection, after: SegmentCursor(), limit: 1_000).segments.flatMap { try cutter.events(of: $0.get()) }
        #expect(events.count == 200 && events.allSatisfy { $0.detail == .key(Event.Key(.down, "")) && $0.at > november })
        // The same rules again find nothing to do; others do.
        let calls = scene.vault.calls.count
        scene.writer.take(.rescan(rescanner(1)))
        scene.writer.take(.rescan(rescanner(2)))
        try scene.until { if case .rescanned(let rescan) = $0 { rescan.id == Data([2]) && rescan.state == .done } else { false } }
        #expect(try scene.vault.inner.rescan()?.changed == 1, "of the batch that came later, which is by the rules of now what it was by those of then but for its keys")
        #expect(scene.vault.calls.count > calls)
    }

    @Test func `a segment that opens and holds no events is left, and counted`() throws {
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for var segment in try WriterScene.prepared(1, at: [november]).segments {
                    try transaction.insert(segment)
                    segment.blob = Data("none".utf8)
                    segment.sequence = 2
                    try transaction.insert(segment)
                }
                return true
            }
        })
        scene.writer.take(.rescan(rescanner(1)))
        scene.writer.start()
        let done = try scene.until { if case .rescanned(let rescan) = $0 { rescan.state == .done } else { false } }
        guard case .rescanned(let rescan) = done else { return }
        #expect(rescan.unreadable == 1 && rescan.changed == 1 && rescan.events == 0)
    }

    @Test func `by the document in force, what was typed is found in what is stored, and what rules forbid goes`() throws {
        let document = PolicyDocument(
            classes: [.init("activity", retention: .seconds(86_400), audienceMax: nil), .init("conversation", retention: .seconds(864_000), audienceMax: nil)],
            assignments: [.init("activity", kinds: [.pointer, .key, .window, .presence]), .init("conversation", sources: [.chat])],
            capture: [.init(kinds: [.text], as: .redact(nil)), .init(kinds: [.pointer], as: .keep), .init(kinds: [.presence], as: .drop), .init(kinds: [.key], as: .timing)],
            purposes: [.init("operation", basis: .legalObligation, classes: ["activity", "conversation"])])
        let rules = SharedRules()
        #expect(Rescanner(rules)?.id == nil, "no document, nothing to judge by")
        #expect(rules.set(PolicyText(document.canonical, index: 7), records: BySubject(["E1": SubjectRecords()])) == nil)
        let card = "my card is 4111 1111 1111 1111, thanks"
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                try transaction.insert(Self.stored([.text(.init(card, source: .chat)), .text(.init("see you", source: .chat))], as: "conversation", 1))
                try transaction.insert(Self.stored([.key(.init(.down, "a")), .pointer(.init(.move, x: 4, y: 5)), .presence(.away)], as: "activity", 2))
                try transaction.insert(Self.stored([.pointer(.init(.move, x: 4, y: 5))], as: "activity", 3))
                return true
            }
        })
        scene.writer.take(.rescan(try #require(Rescanner(rules))))
        scene.writer.start()
        let done = try scene.until { if case .rescanned(let rescan) = $0 { rescan.state == .done } else { false } }
        guard case .rescanned(let rescan) = done else { return }
        #expect(rescan.seen == 3 && rescan.changed == 2 && rescan.events == 1)
        var cutter = try SegmentCutter()
        let selection = Selection(
            classes: ["activity", "conversation"].map { DataClass($0) }, subjects: [], teams: [], from: .distantPast, until: .distantFuture)
        let left = try scene.vault.segments(selection, after: SegmentCursor(), limit: 9).segments.flatMap { try cutter.events(of: $0.get()).map(\.detail) }
        #expect(left.contains(.text(.init("my card is [card], thanks", source: .chat))) && left.contains(.text(.init("see you", source: .chat))))
        #expect(left.contains(.key(.init(.down, ""))) && left.count { $0 == .pointer(.init(.move, x: 4, y: 5)) } == 2 && left.count == 5)
    }

    private static func stored(_ details: [Event.Detail], as name: String, _ sequence: UInt64) throws -> Segment {
        let columns = try ColumnsCodec.encode(details.enumerated().map { Event(at: november + .seconds(Int64($0)), detail: $1) })
        var compressor = try ZstdCompressor()
        return Segment(
            scope: Scope(subject: "E1", site: "berlin", team: "search"), dataClass: DataClass(name), agent: 1, stream: 5, sequence: sequence,
            first: columns.extent.first, last: columns.extent.last, count: details.count, epoch: 1, columnsBytes: columns.bytes.count,
            hash: Data(count: 16), blob: Data(try compressor.compress(columns.bytes)))
    }

    /// The document says the same throughout: what is found by it changes with the program.
    @Test func `what the rules of detection did not know when it was stored is found once they do, and drifts from its class`() throws {
        let document = PolicyDocument(
            classes: [.init("conversation", retention: .seconds(864_000), audienceMax: nil), .init("credential", retention: nil, audienceMax: nil)],
            assignments: [.init("conversation", sources: [.chat]), .init("credential", sources: [.chat], detected: ["iban"])],
            capture: [.init(kinds: [.text], as: .redact(nil))], purposes: [.init("operation", basis: .legalObligation, classes: ["conversation"])])
        let (card, iban) = ("my card is 4111 1111 1111 1111, thanks", "to DE89370400440532013000 please")
        // Programs from before anybody wrote down how long Germany's are, and from before there were rules for cards as well.
        let middle = RuleBook.ownText.replacing("\niban DE 22\n", with: "\n")
        let first = middle.components(separatedBy: "\nrule ").filter { !$0.hasPrefix("card-") }.joined(separator: "\nrule ")
        func rescanner(_ ruleText: String = RuleBook.ownText) throws -> Rescanner {
            let rules = SharedRules(ruleText: ruleText)
            #expect(rules.set(PolicyText(document.canonical, index: 7), records: BySubject(["E1": SubjectRecords()])) == nil)
            return try #require(Rescanner(rules))
        }
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                try transaction.insert(Self.stored([.text(.init(card, source: .chat)), .text(.init("see you", source: .chat))], as: "conversation", 1))
                try transaction.insert(Self.stored([.text(.init(iban, source: .chat)), .text(.init("bye", source: .chat))], as: "conversation", 2))
                return true
            }
        })
        scene.writer.start()
        func texts(after rescanner: Rescanner) throws -> [String] {
            scene.writer.take(.rescan(rescanner))
            try scene.until { if case .rescanned(let rescan) = $0 { rescan.id == rescanner.id && rescan.state == .done } else { false } }
            var cutter = try SegmentCutter()
            let selection = Selection(classes: [DataClass("conversation")], subjects: [], teams: [], from: .distantPast, until: .distantFuture)
            return try scene.vault.segments(selection, after: SegmentCursor(), limit: 9).segments.flatMap { try cutter.events(of: $0.get()) }.compactMap {
                if case .text(let text) = $0.detail { text.text } else { nil }
            }
        }
        let old = try rescanner(first)
        #expect(Set(try texts(after: old)) == [card, "see you", iban, "bye"], "the control: a walk by rules that do not know them leaves them")
        let cards = try rescanner(middle)
        #expect(Set(try texts(after: cards)) == ["my card is [card], thanks", "see you", iban, "bye"])
        let all = try rescanner()
        #expect(Set(try texts(after: all)) == ["my card is [card], thanks", "see you", "bye"], "what is never stored goes")
        let again = try rescanner()
        #expect(Set([old.id, cards.id, all.id]).count == 3 && again.id == all.id, "the same rules are the same walk")
        let drifts = scene.news.compactMap { if case .drifted(let drifts) = $0 { drifts } else { nil } }.flatMap { $0 }
        #expect(drifts == [Drift(DataClass("conversation"), of: "E1", into: ["credential": 1])])
    }
}
