import Foundation
import Gate
import Messaging
import Rules
import Testing
import Tracing
import Vault
import Wire

@testable import sluice_policy

@Suite struct ReleaseCanariesTests {
    private let key = CanaryKey(secret: [UInt8](repeating: 5, count: CanaryKey.bytesCount))!

    private func fence(_ closed: Closure? = nil) -> SharedFence {
        let fence = SharedFence()
        fence.change {
            $0.set(GateState())
            if let closed { $0.remember(closed) }
        }
        fence.hold(until: Clock.now() + .seconds(3_600))
        return fence
    }

    /// A pointer that moves in steps of 20 to 60 ms, and rests now and then.
    private static func pointer(_ count: Int, from start: WallTime, step: Int) -> [Event] {
        (0..<count).map { number in
            let at = start + .milliseconds(Int64(number * 40 + number / 10 * 400 + (number * 7919 + step) % 20))
            return Event(at: at, detail: .pointer(Event.Pointer(.move, x: Int32(400 + (number * 31 + step * 17) % 300), y: Int32(300 + (number * 13 + step) % 200))))
        }
    }

    private static func segment(_ sequence: UInt64, _ events: [Event]) throws -> Segment {
        let columns = try ColumnsCodec.encode(events)
        var compressor = try ZstdCompressor()
        return Segment(
            scope: Scope(subject: "E1", site: "berlin", team: "search"), dataClass: DataClass("activity"), agent: 1, stream: 9, sequence: sequence, first: columns.extent.first,
            last: columns.extent.last, count: events.count, epoch: 1, columnsBytes: columns.bytes.count, hash: Data(count: 16), blob: Data(try compressor.compress(columns.bytes)))
    }

    private static func opened(_ number: Int64, events: Int64) throws -> OpenedRelease { try WriterScene.opened(number, of: ["E1"], events: events) }

    @Test func `a release holds all that is stored, and its canaries, which are counted apart`() throws {
        // The last is as long as a chunk may be.
        let chunks = (0..<20).map { Self.pointer($0 == 19 ? 4_096 : 300, from: november + .seconds(Int64($0) * 3_600), step: $0) }
        let scene = try WriterScene(prepare: { vault, _ in
            try vault.transaction { transaction in
                for (number, events) in chunks.enumerated() { try transaction.insert(Self.segment(UInt64(number + 1), events)) }
                return true
            }
        })
        let mailbox = Mailbox<Releases.News>(wakeup: try Wakeup())
        let releases = Releases(vault: scene.vault, canaries: Canaries(key: key, fence: fence()), news: mailbox)
        releases.start()
        defer { releases.stop() }
        func read(_ job: ReleaseJob, _ number: Int64) throws -> (events: [Event], canaries: Int, counts: [Int]) {
            releases.begin(job, try Self.opened(number, events: Int64(chunks.reduce(0) { $0 + $1.count })))
            var decompressor = try ZstdDecompressor()
            var (events, canaries, counts) = ([Event](), 0, [Int]())
            for _ in 0..<15_000 {
                for item in mailbox.take() {
                    switch item {
                    case .chunk(_, _, _, let chunk, let blob, let marked, _):
                        let columns = try decompressor.decompress([UInt8](blob), expected: Int(chunk.columnsBytes), max: Limits.columnsBytesMax)
                        let extent = BatchExtent(first: WallTime(nanoseconds: chunk.firstNs), last: WallTime(nanoseconds: chunk.lastNs), count: Int(chunk.count))
                        events += try ColumnsCodec.decode(columns, extent: extent)
                        canaries += marked
                        counts.append(Int(chunk.count))
                        releases.credit(number, 1)
                    case .finished: return (events, canaries, counts)
                    case .failed(_, let why): Issue.record("it failed: \(why)")
                    }
                }
                usleep(2_000)
            }
            throw WriterScene.Never.came
        }
        let (stored, got) = (chunks.flatMap { $0 }, try read(WriterScene.job([]), 1))
        #expect(got.canaries > stored.count / 100)
        #expect(got.events.count == stored.count + got.canaries)
        #expect(got.events.filter(Set(stored).contains) == stored, "all that is stored, in its order")
        #expect(got.counts.allSatisfy { $0 <= Limits.eventsPerBatchMax } && got.counts.count == chunks.count + 1, "the last comes as two")
        #expect(got.events.map(\.at) == got.events.map(\.at).sorted(), "each is where its time is")
        // A person's own is theirs.
        var own = WriterScene.job(["E1"], directory: true)
        #expect(try read(own, 2).canaries > 0, "the control: for another purpose")
        own = ReleaseJob(
            id: own.id, route: own.route, user: own.user, reader: own.reader,
            record: ReleaseRecord(
                reader: "ops-1", purpose: "subject-access", justification: "theirs", selection: own.record.selection, at: november, epoch: 1, readsDirectory: true),
            credit: 1, rules: WriterScene.rules, registered: [:])
        let mine = try read(own, 3)
        #expect(mine.canaries == 0 && mine.events == stored)
    }

    @Test func `behind a lonely event a canary may stand, but never near a pause`() throws {
        let words = "the budget of this quarter is with the board and nobody has seen the figures of it yet so we wait for them before the meeting".split(separator: " ")
        func added(_ fence: SharedFence) throws -> [(event: Event, canary: Event)] {
            let opened = try Self.opened(1, events: 1_000)
            var canaries = try #require(Canaries(key: key, fence: fence).of(opened, WriterScene.job([]).record))
            var added: [(Event, Event)] = []
            for number in 0..<1_200 {
                let text = (0..<12).map { String(words[(number * 5 + $0 * (number % 7 + 1)) % words.count]) }.joined(separator: " ")
                let event = Event(at: november + .seconds(Int64(number) * 30), detail: .text(Event.Text(text, source: .chat)))
                for found in canaries.add(to: [event], of: try Self.segment(UInt64(number + 1), [event]), readAt: 0) where found.isCanary { added.append((event, found.event)) }
            }
            return added
        }
        let open = try added(fence())
        #expect(open.count > 5)
        #expect(open.allSatisfy { $0.event.at < $0.canary.at && $0.canary.at <= $0.event.at + .seconds(1) })
        // Capture was paused in all of that time but at its beginning, as the fence remembers; what is asked for is the pause's neighbourhood.
        let first = try #require(open.first)
        let pause = Closure(
            epoch: Epoch(2), direction: .both, selector: Selector(), reason: "a test", author: "ops-1", incident: 1, from: first.event.at + .seconds(3), until: november + .seconds(86_400))
        let paused = try added(fence(pause))
        #expect(!paused.contains { $0.canary.at > first.event.at - .seconds(1) })
    }
}
