import Foundation
import Gate
import Testing

@testable import sluice_notify

/// What operators are told goes before what people are, however many those are.
@Suite(.timeLimit(.minutes(5)))
struct PriorityTests {
    let folder: Folder
    let outbox: Outbox
    let clock = TestClock()

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
    }

    private func take(_ count: Int, to address: String = "") throws {
        let notices = (1...count).map { Outbox.Notice.test($0, to: address) }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: clock.now)
    }
    private func next(_ limit: Int = 1, besides: Set<String> = [], at time: WallTime? = nil) throws -> [String] {
        try outbox.exchange([], at: time ?? clock.now, limit: limit, besides: besides, marks: true) { _ in true }.map(\.id)
    }

    @Test func `after a round of a thousand an operator's mail is the next`() throws {
        try take(1_000)
        let inHand = try next(4)
        #expect(inHand == (1...4).map { "mail_9_E000\($0)" })
        clock.advance(by: .seconds(1))
        try outbox.put(mails: [.test(1, incident: 7), .test(2)], at: clock.now)
        #expect(try next(3, besides: Set(inHand)) == ["mail_1", "mail_2", "mail_9_E0005"])
    }

    @Test func `one that comes back at its time goes before those who wait, and is not waited for`() throws {
        try take(5)
        try outbox.put(mails: [.test(1)], at: clock.now)
        try outbox.record([.init(id: "mail_1", verdict: .retry(at: clock.now + .seconds(300), why: "451"), at: clock.now)])
        #expect(try next() == ["mail_9_E0001"])
        #expect(try outbox.nextDueMail(at: clock.now) == clock.now, "the others are due")
        #expect(try next(at: clock.now + .seconds(300)) == ["mail_1"])
    }

    @Test func `an operator who is one of the people concerned is told as an operator first`() throws {
        try take(1, to: "ops@example.com")
        try outbox.put(mails: [.test(1, to: "ops@example.com", incident: 7)], at: clock.now)
        #expect(try next(9) == ["mail_1", "mail_9_E0001"], "the notice waits for nobody who goes first later")
        let other = try Outbox(path: folder["other.sqlite"])
        try other.configure([Outbox.mailChannel: "1"])
        try other.put(mails: [.test(1, to: "ops@example.com", incident: 7)], at: clock.now)
        let notices = [Outbox.Notice.test(1, to: "ops@example.com")]
        _ = try other.hold(notices, from: 0, of: Outbox.Decision(notices), at: clock.now)
        #expect(try other.dueMails(at: clock.now, limit: 9).map(\.id) == ["mail_1"], "and keeps its place behind the mail that was before it")
    }

    @Test func `a clock that was set back holds up neither`() throws {
        try take(2)
        try outbox.put(mails: [.test(1)], at: clock.now)
        #expect(try next(9, at: clock.now - .seconds(365 * 86_400)) == ["mail_1", "mail_9_E0001", "mail_9_E0002"])
    }

    @Test func `where the rate lets one mail go at a time the operator's is that one`() async throws {
        var settings = Delivery.Settings()
        settings.rates.channels[Outbox.mailChannel] = Rate(burst: 1, every: .seconds(10))
        let clock = clock
        let delivery = try Delivery(from: outbox, to: .none, mail: MailRoute(settings: .folder(), folder: folder["mail"]), settings: settings, now: { clock.now }, jitter: { 0 })
        try take(200)
        async let duty: Void = delivery.run()
        try await eventually { try outbox.counts().delivered == 1 }
        try outbox.put(mails: [.test(1)], at: clock.now)
        delivery.wake()
        clock.advance(by: .seconds(10))
        delivery.wake()
        try await eventually { try outbox.counts().delivered == 2 }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder["mail/new"]).sorted() == ["mail_1.sluice", "mail_9_E0001.sluice"])
        delivery.stop()
        try await duty
    }
}
