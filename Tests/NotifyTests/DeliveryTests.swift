import Foundation
import GRDB
import Gate
import Testing
import Webhooks

@testable import sluice_notify

@Suite(.timeLimit(.minutes(5)))
struct DeliveryTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    func verifies(_ request: Receiver.Request, at time: WallTime, secret: String = secretText) throws -> Bool {
        let headers = StandardWebhook.Headers(
            id: request.id, timestamp: try #require(Int64(request["webhook-timestamp"])), signature: request["webhook-signature"])
        return StandardWebhook.verifies(headers, body: request.body, secret: try .init(secret), at: time)
    }

    @Test func `each message arrives once, signed, as the bytes in the outbox`() async throws {
        let receiver = Receiver()
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url], secrets: [secretText, otherSecretText]))
        try scene.take(1...20)
        var arrived = receiver.requests.makeAsyncIterator()
        var ids: [String] = []
        for _ in 1...20 {
            let request = try #require(await arrived.next())
            ids.append(request.id)
            #expect(request.line == "POST /hook HTTP/1.1")
            #expect(request["content-type"] == "application/json")
            #expect(request["expect"] == "")
            #expect(String(decoding: request.body, as: UTF8.self) == #"{"number":\#(request.id.dropFirst(6))}"#)
            #expect(try verifies(request, at: scene.clock.now))
            #expect(try verifies(request, at: scene.clock.now, secret: otherSecretText))
        }
        #expect(ids == (1...20).map { "msg_j_\($0)" })
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(delivered: 20))

        // Again over the same file: nothing is left, so the next to arrive is the next to be taken.
        let again = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]))
        try again.take(20...21)
        #expect(await arrived.next()?.id == "msg_j_21")
        try await again.stop()
    }

    @Test func `after a 500 it comes again at its time, with the same id and a fresh timestamp`() async throws {
        let receiver = Receiver(script: [.status(500), .close, .status(200)])
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...1)
        var arrived = receiver.requests.makeAsyncIterator()
        let first = try #require(await arrived.next())
        try await scene.stop()
        #expect(try scene.outbox.undelivered(limit: 1).first?.lastError == "HTTP 500")
        #expect(try scene.outbox.nextDue(on: "oncall", at: scene.clock.now) == scene.clock.now + .seconds(5))

        let second = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]))
        second.advance(by: .seconds(5))
        let retried = try #require(await arrived.next())
        try await second.stop()
        #expect(try second.outbox.undelivered(limit: 1).first?.lastError?.contains("libcurl 52") == true, "closed without an answer")

        let third = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]))
        third.advance(by: .seconds(300))
        let last = try #require(await arrived.next())
        try await third.stop()
        #expect([first.id, retried.id, last.id] == ["msg_j_1", "msg_j_1", "msg_j_1"])
        let times = [first, retried, last].compactMap { Int64($0["webhook-timestamp"]) }
        #expect(times == [times[0], times[0] + 5, times[0] + 305])
        #expect(try verifies(last, at: scene.clock.now))
        #expect(first.body == last.body)
        #expect(try third.outbox.counts() == Outbox.Counts(delivered: 1))
    }

    @Test func `a retry wakes the delivery by itself`() async throws {
        let receiver = Receiver(script: [.status(500), .status(200)])
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        var settings = Delivery.Settings()
        settings.schedule = RetrySchedule(waits: [.zero, .milliseconds(50)])
        let wall: @Sendable () -> WallTime = { WallTime(nanoseconds: Int64(Date().timeIntervalSince1970 * 1e9)) }
        let delivery = try Delivery(from: outbox, to: .to(["oncall": receiver.url]), settings: settings, now: wall)
        async let duty: Void = delivery.run()
        try outbox.take([.test(1)], channels: ["oncall"], at: wall())
        delivery.wake()
        var arrived = receiver.requests.makeAsyncIterator()
        #expect(await arrived.next()?.id == "msg_j_1")
        #expect(await arrived.next()?.id == "msg_j_1")
        delivery.stop()
        try await duty
        #expect(try outbox.counts().delivered == 1)
    }

    @Test func `after the last attempt it is given up, and listed`() async throws {
        let receiver = Receiver(script: [.status(500)])
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...1)
        var arrived = receiver.requests.makeAsyncIterator()
        for wait in RetrySchedule.standard.waits.dropFirst() {
            #expect(await arrived.next()?.id == "msg_j_1")
            // The answer may not be recorded yet; only then does the time count from here.
            try await eventually { try scene.outbox.nextDue(on: "oncall", at: scene.clock.now) == scene.clock.now + wait }
            scene.advance(by: wait)
        }
        #expect(await arrived.next()?.id == "msg_j_1")
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(givenUp: 1))
        let listed = try #require(try scene.outbox.undelivered(limit: 1).first)
        #expect((listed.state, listed.attempts, listed.lastError) == (.givenUp, 10, "HTTP 500"))
    }

    @Test func `what is of one incident comes in order: after a 500 the next waits, and other incidents and other hooks do not`() async throws {
        let (receiver, other) = (Receiver(script: [.status(500), .status(200)]), Receiver())
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url, "other": other.url]))
        let told = [Outbox.Told.test(1, of: 7, at: scene.clock.now), .test(2, of: 7, at: scene.clock.now), .test(3, of: 8, at: scene.clock.now), .test(4, at: scene.clock.now)]
        // At once: all are due before the first is tried.
        try scene.outbox.take(told, channels: ["oncall", "other"], at: scene.clock.now)
        scene.delivery.wake()
        var (arrived, there) = (receiver.requests.makeAsyncIterator(), other.requests.makeAsyncIterator())
        func next(_ count: Int, of arrived: inout AsyncStream<Receiver.Request>.Iterator) async throws -> [String] {
            var ids: [String] = []
            while ids.count < count { ids.append(String(try #require(await arrived.next()).id.dropFirst(6))) }
            return ids
        }
        #expect(try await next(3, of: &arrived) == ["1", "3", "4"])
        #expect(try await next(4, of: &there) == ["1", "2", "3", "4"])
        // One that comes while the first waits is behind them.
        try scene.outbox.take([.test(5, of: 7, at: scene.clock.now)], channels: ["oncall"], at: scene.clock.now)
        try await eventually { try scene.outbox.counts() == Outbox.Counts(waiting: 3, delivered: 6, oldestWaiting: scene.clock.now) }
        #expect(try scene.outbox.undelivered(limit: 9).map(\.state) == Array(repeating: .waiting(until: scene.clock.now + .seconds(5)), count: 3), "and says until when")
        scene.advance(by: .seconds(5))
        #expect(try await next(3, of: &arrived) == ["1", "2", "5"])
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(delivered: 9))
    }

    @Test func `what is given up lets the next of its incident go`() async throws {
        let receiver = Receiver { $0.id == "msg_j_1" ? .status(500) : .status(200) }
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.outbox.take([.test(1, of: 7, at: scene.clock.now), .test(2, of: 7, at: scene.clock.now)], channels: ["oncall"], at: scene.clock.now)
        scene.delivery.wake()
        var arrived = receiver.requests.makeAsyncIterator()
        for wait in RetrySchedule.standard.waits.dropFirst() {
            #expect(await arrived.next()?.id == "msg_j_1")
            try await eventually { try scene.outbox.nextDue(on: "oncall", at: scene.clock.now) == scene.clock.now + wait }
            scene.advance(by: wait)
        }
        #expect([await arrived.next()?.id, await arrived.next()?.id] == ["msg_j_1", "msg_j_2"])
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(delivered: 1, givenUp: 1))
    }

    @Test func `two hooks on one host share its rate`() async throws {
        let receivers = [Receiver(), Receiver()]
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        var settings = Delivery.Settings()
        settings.rates.hosts["127.0.0.1"] = Rate(burst: 1, every: .seconds(10))
        let clock = TestClock()
        let delivery = try Delivery(from: outbox, to: .to(["one": receivers[0].url, "two": receivers[1].url]), settings: settings, now: { clock.now }, jitter: { 0 })
        try outbox.take([.test(1, at: clock.now), .test(2, at: clock.now)], channels: ["one", "two"], at: clock.now)
        async let duty: Void = delivery.run()
        for count in 1...4 {
            try await eventually { try outbox.counts().delivered >= count }
            #expect(try outbox.counts().delivered == count, "on this clock the next of both is due in ten seconds")
            clock.advance(by: .seconds(10))
            delivery.wake()
        }
        delivery.stop()
        try await duty
        for receiver in receivers {
            var arrived = receiver.requests.makeAsyncIterator()
            #expect([await arrived.next()?.id, await arrived.next()?.id] == ["msg_j_1", "msg_j_2"])
        }
    }

    @Test func `a restart in the middle delivers what was left`() async throws {
        let receiver = Receiver { $0.id == "msg_j_3" ? .status(500) : .status(200) }
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...3)
        var arrived = receiver.requests.makeAsyncIterator()
        for _ in 1...3 { _ = await arrived.next() }
        try await scene.stop()
        try scene.take(4...5)

        let healthy = Receiver()
        let again = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": healthy.url]))
        again.advance(by: .seconds(5))
        var rest = healthy.requests.makeAsyncIterator()
        let ids = Set([await rest.next()?.id, await rest.next()?.id, await rest.next()?.id])
        #expect(ids == ["msg_j_3", "msg_j_4", "msg_j_5"])
        try await again.stop()
        #expect(try again.outbox.counts() == Outbox.Counts(delivered: 5))
    }

    /// What the disk holds when the receiver has the message and the sender has not heard it is copied, and opened as after a kill.
    @Test func `killed between sending and recording, it sends again with the same id`() async throws {
        let folder = folder
        let receiver = Receiver { request in
            for end in ["", "-wal"] where !FileManager.default.fileExists(atPath: folder["killed" + end]) {
                try? FileManager.default.copyItem(atPath: folder["outbox.sqlite" + end], toPath: folder["killed" + end])
            }
            return .status(200)
        }
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...1)
        var arrived = receiver.requests.makeAsyncIterator()
        let first = try #require(await arrived.next())
        try await scene.stop()
        #expect(try scene.outbox.counts().delivered == 1)

        let killed = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]), file: "killed")
        killed.advance(by: .seconds(60))
        let second = try #require(await arrived.next())
        try await killed.stop()
        #expect(second.id == first.id)
        #expect(second.body == first.body)
        #expect(Int64(second["webhook-timestamp"])! >= Int64(first["webhook-timestamp"])!)
        #expect(try verifies(second, at: killed.clock.now))
        #expect(try killed.outbox.counts() == Outbox.Counts(delivered: 1))
    }

    /// As after a kill while the receiver has the 30th of 40 in hand: of what it had taken, all was recorded, or nothing yet.
    @Test(arguments: [(Span.zero, 30), (Span.seconds(3_600), 1)]) func `killed in a backlog, it sends again what was not recorded, and then the rest, in order`(_ together: Span, _ first: Int) async throws {
        let folder = folder
        let receiver = Receiver { request in
            for end in ["", "-wal"] where request.id == "msg_j_30" && !FileManager.default.fileExists(atPath: folder["killed" + end]) {
                try? FileManager.default.copyItem(atPath: folder["outbox.sqlite" + end], toPath: folder["killed" + end])
            }
            return .status(200)
        }
        var arrived = receiver.requests.makeAsyncIterator()
        func ids(_ count: Int) async throws -> [String] {
            var ids: [String] = []
            while ids.count < count { ids.append(try #require(await arrived.next()).id) }
            return ids
        }
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]), together: together)
        // At once, so that nothing is written while the file is copied.
        try scene.outbox.take((1...40).map { .test($0, at: scene.clock.now) }, channels: ["oncall"], at: scene.clock.now)
        scene.delivery.wake()
        #expect(try await ids(40) == (1...40).map { "msg_j_\($0)" })
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(delivered: 40))

        let killed = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]), together: together, file: "killed")
        #expect(try await ids(41 - first) == (first...40).map { "msg_j_\($0)" })
        try await killed.stop()
        #expect(try killed.outbox.counts() == Outbox.Counts(delivered: 40))
    }

    @Test(arguments: [301, 302, 307, 308]) func `a redirect is a failure and is not followed`(status: Int) async throws {
        let elsewhere = Receiver()
        let receiver = Receiver(script: [.status(status, headers: ["location: \(elsewhere.url)"])])
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url, "elsewhere": elsewhere.url]))
        try scene.take(1...1)
        var arrived = receiver.requests.makeAsyncIterator()
        _ = await arrived.next()
        try scene.take(2...2, on: ["elsewhere"])
        var there = elsewhere.requests.makeAsyncIterator()
        #expect(await there.next()?.id == "msg_j_2", "the redirected one would have come first")
        try await scene.stop()
        #expect(try scene.outbox.undelivered(limit: 1).first?.lastError == "HTTP \(status): redirects are not followed")
    }

    @Test func `410 disables the channel, shows it, and sends nothing more`() async throws {
        let receiver = Receiver(script: [.status(410)])
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...3)
        var arrived = receiver.requests.makeAsyncIterator()
        #expect(await arrived.next()?.id == "msg_j_1")
        try await scene.stop()
        #expect(try scene.outbox.counts() == Outbox.Counts(held: 3, oldestWaiting: scene.clock.now))
        #expect(
            try scene.outbox.channels().map(\.state) == [.disabled(since: scene.clock.now, why: "HTTP 410: the receiver wants no more")])
        #expect(try scene.outbox.undelivered(limit: 9).map(\.attempts) == [1, 0, 0])
    }

    @Test(arguments: ["1800", "date"]) func `Retry-After holds the channel, in seconds or as a date`(form: String) async throws {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        let value = form == "date" ? formatter.string(from: Date() + 1_800) : form
        let receiver = Receiver(script: [.status(429, headers: ["retry-after: \(value)"]), .status(200)])
        let scene = try Scene(folder: folder, hooks: .to(["oncall": receiver.url]))
        try scene.take(1...2)
        var arrived = receiver.requests.makeAsyncIterator()
        #expect(await arrived.next()?.id == "msg_j_1")
        try await scene.stop()
        let next = try #require(try scene.outbox.nextDue(on: "oncall", at: scene.clock.now)) - scene.clock.now
        // A date is of the machine's clock, and the pool may be busy for a while.
        #expect(next <= .seconds(1_800) && next >= .seconds(form == "date" ? 1_200 : 1_800))
        #expect(try scene.outbox.undelivered(limit: 9).map(\.attempts) == [1, 0], "the second has not been tried")

        let again = try Scene(folder: folder, clock: scene.clock, hooks: .to(["oncall": receiver.url]))
        again.advance(by: .seconds(1_800))
        #expect(Set([await arrived.next()?.id, await arrived.next()?.id]) == ["msg_j_1", "msg_j_2"])
        try await again.stop()
        #expect(try again.outbox.counts().delivered == 2)
    }

    @Test func `a receiver that hangs holds up nobody else, and stopping waits for the request in hand only`() async throws {
        let (hanging, healthy) = (Receiver(script: [.hang]), Receiver())
        let scene = try Scene(folder: folder, hooks: .to(["hanging": hanging.url, "healthy": healthy.url]), total: .milliseconds(800))
        try scene.take(1...20, on: ["hanging", "healthy"])
        var stuck = hanging.requests.makeAsyncIterator()
        _ = await stuck.next()
        var arrived = healthy.requests.makeAsyncIterator()
        for _ in 1...20 { _ = await arrived.next() }
        let start = ContinuousClock.now
        try await scene.stop()
        // All twenty would take sixteen seconds. Other tests run beside it, on as many threads as there are processors.
        #expect(ContinuousClock.now - start < .seconds(15))
        let counts = try scene.outbox.counts()
        #expect((counts.waiting, counts.delivered) == (20, 20))
        #expect(try scene.outbox.undelivered(limit: 1).first?.lastError?.contains("libcurl 28") == true, "a timeout")
    }

    @Test func `a delivery with nothing to do stops at once, with and without hooks`() async throws {
        for hooks in [Hooks.none, try .to(["oncall": "http://127.0.0.1:1/"])] {
            let scene = try Scene(folder: folder, hooks: hooks)
            let start = ContinuousClock.now
            try await scene.stop()
            // Below the thirty seconds that it would have slept.
            #expect(ContinuousClock.now - start < .seconds(25))
        }
    }

    @Test func `cancelling its task ends it`() async throws {
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        let delivery = try Delivery(from: outbox, to: .none, now: { WallTime(nanoseconds: 0) })
        // Cancelled and awaited here.
        let duty = Task { try await delivery.run() }
        duty.cancel()
        try await duty.value
    }

    @Test func `what cannot be recorded is not sent over and over: the delivery ends and says why`() async throws {
        let receiver = Receiver()
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        let delivery = try Delivery(from: outbox, to: .to(["oncall": receiver.url]), now: { WallTime(nanoseconds: 0) })
        try outbox.take([.test(1)], channels: ["oncall"], at: WallTime(nanoseconds: 0))
        // A disk that refuses every record of a success.
        try await outbox.database.write {
            try $0.execute(sql: "CREATE TRIGGER full BEFORE UPDATE ON delivery BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
        }
        let error = await #expect(throws: DeliveryFailed.self) { try await delivery.run() }
        guard case .outbox(.storage(_, _, let why)) = error else { Issue.record("\(String(describing: error))"); return }
        #expect(why.contains("disk is full"))
    }
}

/// For what no event tells: looks again every few milliseconds, and gives up after as long as other tests may keep every thread busy.
func eventually(_ condition: () throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try !condition() {
        try #require(ContinuousClock.now < deadline, "it did not come about")
        try await Task.sleep(for: .milliseconds(2))
    }
}
