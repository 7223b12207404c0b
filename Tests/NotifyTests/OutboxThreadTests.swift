import Foundation
import Gate
import Ledger
import Messaging
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_notify

/// In which order the outbox's thread comes to what waits for it.
struct WorkQueueTests {
    private func put(_ items: [OutboxThread.Work]) -> [String] {
        var queue = WorkQueue()
        for item in items { _ = queue.put(item) }
        var names: [String] = []
        while let next = queue.next() { names.append(name(next)) }
        return names
    }

    private func name(_ item: OutboxThread.Work) -> String {
        switch item {
        case .take(let entries): "take \(entries.count)"
        case .remind(let due): "remind \(due.count)"
        case .remove(let closed): "remove \(closed.count)"
        case .notices(_, let name, _, _): "notices of \(name)"
        default: "\(item)".components(separatedBy: "(")[0]
        }
    }

    private let route = Route(number: 1)
    private var part: OutboxThread.Work { .notices(route, by: "ops-1", WireNoticeBatch(), Outbox.Decision(number: 9, incident: 7, count: 1, root: MerkleTree.emptyRoot)) }

    @Test func `entries and reminders go before everything else, in their own order`() {
        #expect(put([part, .tend(nil), .take([]), .spread, .remind([]), .deliveries(route), .take([])]) == ["take 0", "remind 0", "take 0", "notices of ops-1", "tend", "spread", "deliveries"])
    }

    @Test func `who asks waits for one step of what is in steps, and not for all of them`() {
        var queue = WorkQueue()
        for item in [OutboxThread.Work.spread, .deliveries(route)] { _ = queue.put(item) }
        #expect(queue.next().map(name) == "spread")
        // The next step, behind those who came meanwhile.
        _ = queue.put(.spread)
        #expect(queue.next().map(name) == "deliveries")
        #expect(queue.next().map(name) == "spread")
    }

    @Test func `of what looks at everything one that waits is enough, and of what somebody asks none is left out`() {
        let once: [OutboxThread.Work] = [.tend(nil), .count, .spread, .drop, .remove(closed: [])]
        #expect(put(once + once) == ["tend", "count", "spread", "drop", "remove 0"])
        var queue = WorkQueue()
        var isTaken = [queue.put(.tend(nil)), queue.put(.tend(nil))]
        _ = queue.next()
        isTaken.append(queue.put(.tend(nil)))
        #expect(isTaken == [true, false, true], "one that it is at may have passed what comes now")
        #expect(put([.deliveries(route), .deliveries(route), part, part]).count == 4)
    }
}

/// The thread itself, over an outbox.
@Suite(.timeLimit(.minutes(5)))
struct OutboxThreadTests {
    let folder: Folder
    let outbox: Outbox
    let news: Mailbox<OutboxThread.News>
    let thread: OutboxThread
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        news = Mailbox(wakeup: try Wakeup())
        let settings = try MailSettings.folder()
        let delivery = try Delivery(from: outbox, to: .none, mail: MailRoute(settings: settings, folder: folder["mail"]), now: { WallTime(nanoseconds: 1_800_000_000_000_000_000) })
        thread = OutboxThread(outbox: outbox, channels: [], mail: settings, notices: NoticeMails(from: settings.from, key: .test), delivery: delivery, news: news)
    }

    /// What was answered to a part, in a word.
    private func hold(_ batch: WireNoticeBatch, _ decision: Outbox.Decision) async throws -> String {
        thread.put(.notices(Route(number: 1), by: "ops-1", batch, decision))
        return try await heard { item in
            switch item {
            case .held(_, let body): "\(body.held)\(body.taken ? ", taken" : "")"
            case .notHeld(_, let refusal, let why): "\(refusal.word): \(why)"
            default: nil
            }
        }
    }

    private func heard(_ meaning: (OutboxThread.News) -> String?) async throws -> String {
        var found: String?
        try await eventually {
            for item in news.take() where found == nil { found = meaning(item) }
            return found != nil
        }
        return try #require(found)
    }

    private func notices(_ count: Int) throws -> (bytes: [Data], tree: MerkleLevels, decision: Outbox.Decision) {
        let bytes: [Data] = try (1...count).map { number in
            var notice = WireNotice()
            (notice.subject, notice.address, notice.language, notice.title, notice.text) = ("E000\(number)", "e\(number)@example.com", "en", "Your data", "Hello")
            return try notice.serializedData()
        }
        var tree = MerkleLevels()
        for one in bytes { tree.append(TreeHash(leaf: one)) }
        return (bytes, tree, Outbox.Decision(number: 9, incident: 7, count: tree.size, root: tree.root))
    }

    private func batch(_ all: (bytes: [Data], tree: MerkleLevels, decision: Outbox.Decision), _ part: Range<Int>) -> WireNoticeBatch {
        var batch = WireNoticeBatch()
        batch.decision = all.decision.number
        batch.first = UInt64(part.lowerBound)
        batch.notices = Array(all.bytes[part])
        batch.proof = part.isEmpty ? [] : all.tree.consistencyProof(older: UInt64(part.upperBound)).map { Data($0.bytes) }
        return batch
    }

    @Test func `a hand-over is answered part by part, and goes out when the last is here`() async throws {
        let all = try notices(5)
        thread.start()
        #expect(try await hold(batch(all, 0..<0), all.decision) == "0")
        #expect(try await hold(batch(all, 0..<2), all.decision) == "2")
        #expect(try await hold(batch(all, 0..<0), all.decision) == "2")
        #expect(try await hold(batch(all, 3..<5), all.decision) == "2", "not where it stopped")
        #expect(try outbox.counts().waiting == 0)
        thread.put(.notices(Route(number: 1), by: "ops-1", batch(all, 2..<5), all.decision))
        #expect(try await heard { if case .spread(let number, let before) = $0 { "\(number), \(before)" } else { nil } } == "9, 0")
        #expect(try outbox.counts().waiting == 5)
        #expect(try await hold(batch(all, 0..<2), all.decision) == "5, taken", "again, and once")
        #expect(try outbox.counts().waiting == 5)
        thread.stop()
    }

    @Test func `a part that is wrong is refused with what is wrong, and the right one goes on`() async throws {
        let all = try notices(5)
        thread.start()
        #expect(try await hold(batch(all, 0..<2), all.decision) == "2")
        var wrong = batch(all, 2..<3)
        wrong.notices = [Data([0xFF])]
        #expect(try await hold(wrong, all.decision) == "differs: number 2 is no notice, by entry 9: nothing of this part is kept")
        wrong = batch(all, 2..<3)
        wrong.proof[0] = Data([1, 2, 3])
        #expect(try await hold(wrong, all.decision) == "differs: a hash of the proof has 3 bytes, by entry 9: nothing of this part is kept")
        wrong = batch(all, 2..<3)
        wrong.proof = []
        #expect(try await hold(wrong, all.decision).hasPrefix("differs: the notices from number 2 on are not those that were signed for"))
        #expect(try await hold(batch(all, 2..<5), all.decision) == "5, taken")
        thread.stop()
    }

    @Test func `who asks while more than a thousand are queued is answered after a step, and not after all of them`() async throws {
        let signed = Signed((1...1_100).map { .test($0) })
        #expect(try outbox.hold(0..<1_100, of: signed, at: now) == .taken(1_100, new: true))
        thread.put(.spread)
        thread.put(.count)
        thread.start()
        var heard: [String] = []
        try await eventually {
            for item in news.take() {
                switch item {
                case .counts(let body, _): heard.append("\(body.waiting) wait")
                case .spread: heard.append("all are queued")
                default: break
                }
            }
            return heard.count == 2
        }
        #expect(heard == ["1000 wait", "all are queued"])
        #expect(try outbox.counts().waiting == 1_100)
        thread.stop()
    }

    @Test func `what is half here is dropped, and said to be, when the ledger has something newer`() async throws {
        let (old, new) = (Signed((1...3).map { .test($0) }), Signed(number: 12, (1...3).map { .test($0, decision: 12) }))
        _ = try outbox.hold(0..<2, of: old, by: "ops-2", at: now)
        thread.start()
        thread.put(.open([new.decision]))
        #expect(
            try await heard { if case .dropped(let one) = $0 { "\(one)" } else { nil } }
                == "2 notices of entry 9, which ops-2 handed over, are dropped: something newer was decided about their incident, or it is closed. None of them was sent")
        try await eventually { try outbox.held(of: old.decision) == .held(0) }
        thread.stop()
    }

    @Test func `what an earlier run has left undone goes on at the start`() async throws {
        let all = try notices(3)
        let maker = NoticeMails(from: try MailSettings.folder().from, key: .test)
        let made = try all.bytes.map { try maker.notice($0, of: all.decision, at: now) }
        #expect(try outbox.hold(made, from: 0, of: all.decision, proof: [], by: "ops-1", at: now) == .taken(3, new: true))
        let stale = Signed(number: 4, (1...3).map { .test($0, decision: 4) })
        _ = try outbox.hold(0..<2, of: stale, at: now)
        #expect(try outbox.dropStale(at: now + .seconds(8 * 86_400)).count == 1)
        #expect(try outbox.counts().waiting == 0, "the control")
        thread.start()
        try await eventually { try outbox.counts().waiting == 3 && outbox.held(of: stale.decision) == .held(0) }
        thread.stop()
    }
}

/// Whose part goes to the disk.
struct HandoversTests {
    private func batch(_ entry: UInt64, _ notices: [Data] = [Data([1])]) -> WireNoticeBatch {
        var batch = WireNoticeBatch()
        (batch.decision, batch.notices) = (entry, notices)
        return batch
    }
    private let decided: [UInt64: [DecidedNotices]] = [
        7: [.init(index: 20, at: .distantPast, count: 3, digest: Array(repeating: 1, count: 32)), .init(index: 30, at: .distantPast, count: 4, digest: Array(repeating: 2, count: 32))],
        8: [.init(index: 25, at: .distantPast, count: 5, digest: Array(repeating: 3, count: 32))],
    ]
    private func refusal(_ answer: Handovers.Answer) -> Refusal? { if case .refuse(let refusal, _) = answer { refusal } else { nil } }

    @Test func `the newest decision of an incident that is open is taken, and nothing else is`() {
        var handovers = Handovers()
        let (route, root) = (Route(number: 1), TreeHash(bytes: Array(repeating: 2, count: 32)))
        #expect(handovers.begin(batch(30), from: route, by: "ops-1", decided: decided, closed: [8]) == .take(.init(number: 30, incident: 7, count: 4, root: root ?? MerkleTree.emptyRoot)))
        _ = handovers.end(route)
        for entry in [UInt64(20), 25, 31] { #expect(refusal(handovers.begin(batch(entry), from: route, by: "ops-1", decided: decided, closed: [8])) == .notFound, "\(entry)") }
        #expect(refusal(handovers.begin(batch(30), from: route, by: "ops-1", decided: nil, closed: [])) == .notFound, "the ledger is not believed")
        #expect(refusal(handovers.begin(batch(30), from: route, by: "ops-1", decided: decided, closed: [])) == nil, "a refusal leaves nothing under way")
    }

    @Test func `of each incident that is open the newest decision may come, and no other`() {
        func numbers(_ closed: Set<UInt64>) -> Set<UInt64> { Set(Handovers.open(decided, closed: closed).map(\.number)) }
        #expect(numbers([]) == [30, 25] && numbers([8]) == [30] && numbers([7]) == [25] && numbers([7, 8]) == [])
        #expect(Handovers.open(decided, closed: [8]).map { [$0.incident, $0.count] } == [[7, 4]])
        #expect(Handovers.open([7: []], closed: []) == [])
    }

    @Test func `each has one part under way, four have one each, and it is known whose it was`() {
        var handovers = Handovers()
        for number in 1...4 { #expect(refusal(handovers.begin(batch(30), from: Route(number: UInt32(number)), by: "ops-\(number)", decided: decided, closed: [])) == nil) }
        #expect(refusal(handovers.begin(batch(30), from: Route(number: 1), by: "ops-1", decided: decided, closed: [])) == .tooMany)
        let full = "ops-1, ops-2, ops-3, ops-4 hand notices over, and 4 do at a time: the next comes after one of their parts"
        #expect(handovers.begin(batch(30), from: Route(number: 5), by: "ops-5", decided: decided, closed: []) == .refuse(.tooMany, full))
        #expect(handovers.end(Route(number: 2)) == "ops-2")
        #expect(refusal(handovers.begin(batch(30), from: Route(number: 5), by: "ops-5", decided: decided, closed: [])) == nil)
        #expect(handovers.end(Route(number: 9)) == "somebody")
    }

    @Test func `one operator with many sessions has one part under way, and leaves the others their room`() {
        var handovers = Handovers()
        let busy = "another part that ops-1 hands over goes to the disk: the next comes after its answer"
        #expect(refusal(handovers.begin(batch(30), from: Route(number: 1), by: "ops-1", decided: decided, closed: [])) == nil)
        for session in UInt32(2)...9 { #expect(handovers.begin(batch(25), from: Route(number: session), by: "ops-1", decided: decided, closed: []) == .refuse(.tooMany, busy)) }
        #expect(refusal(handovers.begin(batch(30), from: Route(number: 10), by: "ops-2", decided: decided, closed: [])) == nil)
        #expect(handovers.end(Route(number: 2)) == "somebody", "it was refused, and ends nothing")
        #expect(handovers.end(Route(number: 1)) == "ops-1")
        #expect(refusal(handovers.begin(batch(25), from: Route(number: 2), by: "ops-1", decided: decided, closed: [])) == nil)
    }

    @Test func `a part is of a thousand notices and four megabytes, but one notice always fits`() {
        var handovers = Handovers()
        let large = Data(count: Limits.noticeBatchBytesMax / 2 + 1)
        for parts in [Array(repeating: Data([1]), count: Limits.noticesPerBatchMax + 1), [large, large]] {
            #expect(refusal(handovers.begin(batch(30, parts), from: Route(number: 1), by: "ops-1", decided: decided, closed: [])) == .tooLarge)
        }
        #expect(refusal(handovers.begin(batch(30, [Data(count: Limits.noticeBatchBytesMax + 1)]), from: Route(number: 1), by: "ops-1", decided: decided, closed: [])) == nil)
    }
}

/// Who waits for an answer how notices stand.
struct QuestionsTests {
    private func about(_ incident: UInt64) -> WireNoticesQuery {
        var query = WireNoticesQuery()
        query.incident = incident
        return query
    }
    private func isRefused(_ answer: Questions.Answer) -> Bool { if case .refuse = answer { true } else { false } }

    @Test func `a session has one question under way, and the same again is none`() {
        var questions = Questions()
        let route = Route(number: 1)
        #expect(questions.begin(about(7), from: route, by: "ops-1") == .ask)
        #expect(questions.begin(about(7), from: route, by: "ops-1") == .isAsked)
        #expect(questions.begin(about(8), from: route, by: "ops-1") == .refuse("another question is under way: the next comes after its answer"))
        questions.end(route)
        #expect(questions.begin(about(8), from: route, by: "ops-1") == .ask)
    }

    @Test func `one operator has four under way by however many sessions, and all have sixteen`() {
        var questions = Questions()
        for session in 1...9 { #expect(isRefused(questions.begin(about(7), from: Route(number: UInt32(session)), by: "ops-1")) == (session > Questions.ofOneMost)) }
        for one in 2...4 { for session in 1...4 { #expect(questions.begin(about(7), from: Route(number: UInt32(10 * one + session)), by: "ops-\(one)") == .ask) } }
        #expect(questions.begin(about(7), from: Route(number: 50), by: "ops-5") == .refuse("16 questions are under way: the next comes after one of their answers"))
        questions.end(Route(number: 9))
        #expect(isRefused(questions.begin(about(7), from: Route(number: 50), by: "ops-5")), "that one was refused, and ends nothing")
        questions.end(Route(number: 1))
        #expect(questions.begin(about(7), from: Route(number: 50), by: "ops-5") == .ask)
    }
}
