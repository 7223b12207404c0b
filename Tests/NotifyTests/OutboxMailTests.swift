import Foundation
import GRDB
import Gate
import Ledger
import Testing

@testable import sluice_notify

struct OutboxMailTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure(["oncall": "1", Outbox.mailChannel: "2"])
    }

    func put(_ mails: Outbox.Mail...) throws { try outbox.put(mails: mails, at: now) }
    func due(at time: WallTime? = nil, besides: Set<String> = []) throws -> [String] { try outbox.dueMails(at: time ?? now, limit: 100, besides: besides).map(\.id) }
    func record(_ number: Int, _ verdict: RetrySchedule.Verdict, mayHaveArrived: Bool = false, hold: WallTime? = nil) throws {
        try outbox.record([.init(id: "mail_\(number)", verdict: verdict, at: now, mayHaveArrived: mayHaveArrived, hold: hold)])
    }

    @Test func `thousands of mails are one transaction, and are put in once`() throws {
        let mails = (1...2_000).lazy.map { Outbox.Mail.test($0, to: "e\($0)@example.com", at: now) }
        #expect(try outbox.put(mails: mails, at: now) == 2_000)
        #expect(try outbox.put(mails: mails.prefix(3), at: now) == 0)
        #expect(try outbox.counts().waiting == 2_000)
        #expect(try outbox.bytes(of: "mail_1999") == Outbox.Mail.test(1_999).bytes)
        #expect(try Outbox(path: outbox.path).counts().waiting == 2_000, "each row is as it was written")
    }

    @Test func `mails of which one cannot be put in leave nothing behind`() throws {
        var bad = Outbox.Mail.test(2)
        bad.id = "a.b"
        #expect(throws: OutboxError.badID("a.b")) { try put(.test(1), bad) }
        #expect(try due() == [])
        try put(.test(1))
        #expect(try due() == ["mail_1"], "the control")
    }

    @Test func `an entry is taken with its mails, or not at all`() throws {
        var told = Outbox.Told.test(1, at: now)
        told.mails = [.test(1), .test(2, to: "sec@example.com")]
        #expect(try outbox.take([told], channels: ["oncall"], at: now) == 3)
        #expect(try due() == ["mail_1", "mail_2"])
        #expect(try outbox.due(at: now, limit: 9).map(\.channel) == ["oncall"], "a hook gets no mail")
        try outbox.database.write { try $0.execute(sql: "CREATE TRIGGER full BEFORE INSERT ON mail BEGIN SELECT RAISE(ABORT, 'full'); END") }
        told = .test(2, at: now)
        told.mails = [.test(3)]
        #expect(throws: OutboxError.self) { try outbox.take([told], channels: ["oncall"], at: now) }
        #expect(try outbox.cursor() == 1)
    }

    @Test func `mails of an incident reach each recipient in order, and nobody else waits for them`() throws {
        try put(.test(1, incident: 7), .test(2, incident: 7), .test(3, to: "sec@example.com", incident: 7), .test(4, incident: 8), .test(5))
        #expect(try due() == ["mail_1", "mail_3", "mail_4", "mail_5"])
        try record(1, .retry(at: now + .seconds(300), why: "451"))
        #expect(try due() == ["mail_3", "mail_4", "mail_5"])
        for number in 3...5 { try record(number, .delivered) }
        #expect(try outbox.nextDueMail(at: now) == now + .seconds(300), "not the time of what waits behind it")
        try record(1, .giveUp(why: "550"))
        #expect(try due() == ["mail_2"])
        try record(2, .delivered)
        #expect(try outbox.nextDueMail(at: now) == nil)
        #expect(try outbox.counts() == Outbox.Counts(delivered: 4, givenUp: 1))
    }

    @Test func `what is in hand is not due a second time`() throws {
        try put(.test(1), .test(2))
        #expect(try due(besides: ["mail_1"]) == ["mail_2"])
        #expect(try outbox.nextDueMail(at: now, besides: ["mail_1", "mail_2"]) == nil)
    }

    @Test func `a server that is not there is left alone for all mails, and a clock that was set back waits for none of it`() throws {
        try put(.test(1), .test(2))
        try record(1, .retry(at: now + .seconds(5), why: "no connection"), hold: now + .seconds(60))
        #expect(try due(at: now + .seconds(59)) == [])
        #expect(try outbox.nextDueMail(at: now) == now + .seconds(60))
        #expect(try due(at: now + .seconds(60)) == ["mail_2", "mail_1"])
        #expect(try due(at: now - .seconds(3 * 365 * 86_400)).count == 2)
        try outbox.configure([Outbox.mailChannel: "3"])
        #expect(try due() == ["mail_2"], "another server has not been tried")
    }

    @Test func `with no channel of mails they are held, and listed`() throws {
        try put(.test(1))
        try outbox.configure(["oncall": "1"])
        #expect(try due() == [])
        #expect(try outbox.counts().held == 1)
        #expect(try outbox.undelivered(limit: 9).map(\.state) == [.held])
    }

    @Test func `an attempt that may have arrived is counted, also when the mail is delivered later`() throws {
        try put(.test(1), .test(2))
        try record(1, .retry(at: now, why: "lost"), mayHaveArrived: true)
        try record(2, .retry(at: now, why: "451"))
        let listed = try outbox.undelivered(limit: 9)
        #expect(listed.map(\.copies) == [1, 0])
        #expect(listed.map(\.recipient) == ["ops@example.com", "ops@example.com"])
        try record(1, .delivered)
        #expect(try outbox.counts() == Outbox.Counts(waiting: 1, delivered: 1, doubled: 1, oldestWaiting: WallTime(nanoseconds: 0)))
    }

    @Test func `each attempt is kept with its answer, and what is about the server is no attempt`() throws {
        try put(.test(1))
        func record(_ verdict: RetrySchedule.Verdict, after seconds: Int64, answer: String = "", isAttempt: Bool = true) throws {
            try outbox.record([.init(id: "mail_1", verdict: verdict, at: now + .seconds(seconds), answer: answer, isAttempt: isAttempt)])
        }
        try record(.retry(at: now, why: "451 4.3.2 not now"), after: 1)
        try record(.retry(at: now, why: "no connection"), after: 2, isAttempt: false)
        try record(.retry(at: now, why: String(repeating: "x", count: 9_000)), after: 3)
        try record(.delivered, after: 4, answer: "250 2.0.0 queued as 4F2")
        try record(.delivered, after: 5, answer: "250 late")
        let attempts = try outbox.attempts(of: "mail_1", on: Outbox.mailChannel)
        #expect(attempts.map(\.number) == [1, 2, 3])
        #expect(attempts.map(\.verdict) == ["retry", "retry", "delivered"])
        #expect(attempts.map(\.answered.code) == [451, nil, 250])
        #expect(attempts.map { ($0.answered.at - now).milliseconds } == [1_000, 3_000, 4_000])
        #expect(attempts.map { $0.answered.text.utf8.count } == [17, Outbox.Answered.textMax, 23])
    }

    @Test func `what was in hand when notify was killed counts as a copy, and what was answered does not`() throws {
        try put(.test(1), .test(2), .test(3))
        let taken = try outbox.exchange([], at: now, limit: 2, besides: [], marks: true) { _ in true }
        #expect(taken.map(\.id) == ["mail_1", "mail_2"])
        let next = try outbox.exchange([.init(id: "mail_1", verdict: .delivered, at: now)], at: now, limit: 1, besides: ["mail_2"], marks: true) { _ in true }
        #expect(next.map(\.id) == ["mail_3"], "what becomes of one and the next are one transaction")
        let again = try Outbox(path: outbox.path)
        #expect(try again.foundInHand() == 2)
        #expect(try again.foundInHand() == 0, "once")
        #expect(try again.undelivered(limit: 9).map(\.copies) == [1, 1])
        #expect(try again.counts().doubled == 2)
        #expect(try again.dueMails(at: now, limit: 9).map(\.id) == ["mail_2", "mail_3"])
        #expect(try again.dueMails(at: now, limit: 9).map(\.attempts) == [0, 0])
    }

    @Test func `whom the rates do not admit is not in hand, and where a second copy replaces the first nothing is noted`() throws {
        try put(.test(1), .test(2))
        #expect(try outbox.exchange([], at: now, limit: 2, besides: [], marks: true) { _ in false } == [])
        var left = 1
        #expect(try outbox.exchange([], at: now, limit: 2, besides: [], marks: false) { _ in left -= 1; return left >= 0 }.count == 1)
        #expect(try outbox.foundInHand() == 0)
    }

    @Test func `a mail whose text is damaged while notify runs is not sent`() throws {
        try put(.test(1))
        #expect(try outbox.bytes(of: "mail_1").count > 0, "the control")
        try outbox.database.write { try $0.execute(sql: "UPDATE mail SET bytes = x'00'") }
        #expect(throws: OutboxError.damaged(path: outbox.path, why: "the text of mail_1 is not what was written")) { try outbox.bytes(of: "mail_1") }
        try outbox.database.write { try $0.execute(sql: "UPDATE delivery SET recipient = 'eve@example.com'") }
        #expect(throws: OutboxError.self) { try due() }
    }
}

struct MailScheduleTests {
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    func verdict(_ answer: MailAnswer, attempt: Int = 1) -> RetrySchedule.Verdict { RetrySchedule.standard.verdict(on: answer, attempt: attempt, at: now, jitter: 0) }

    @Test func `the attempts reach over 75 hours`() {
        #expect(RetrySchedule.standard.waits.reduce(Span.zero, +) >= .seconds(75 * 3_600))
    }

    @Test func `a 5xx to a recipient is final, and nothing else is before the schedule ends`() {
        #expect(verdict(.taken("250")) == .delivered)
        #expect(verdict(.refused("550 no")) == .giveUp(why: "550 no"))
        for answer in [MailAnswer.later("451"), .unknown("lost")] {
            guard case .retry(let at, _) = verdict(answer, attempt: 9) else { Issue.record("\(answer)"); continue }
            #expect(at - now == .seconds(24 * 3_600))
            guard case .giveUp = verdict(answer, attempt: 10) else { Issue.record("\(answer)"); continue }
        }
        for attempt in [1, 9, 10, 1_000] { #expect(verdict(.unavailable("no TLS"), attempt: attempt) == .retry(at: now, why: "no TLS"), "it is about the server, and nobody's time goes on") }
    }

    @Test func `what is about the server holds all mails, for a minute at most`() {
        let schedule = RetrySchedule.standard
        #expect(schedule.hold(on: .unavailable("x"), failures: 1, at: now) == now + .seconds(5))
        for failures in [2, 9, 10] { #expect(schedule.hold(on: .unavailable("x"), failures: failures, at: now) == now + .seconds(60)) }
        for answer in [MailAnswer.taken("250"), .refused("550"), .later("451"), .unknown("lost")] { #expect(schedule.hold(on: answer, failures: 2, at: now) == nil) }
    }
}

struct PaceTests {
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    /// What goes out in so many seconds, asked for again as soon as it is worth it.
    func taken(_ pace: inout Pace, _ channel: String, host: String? = nil, from: WallTime, seconds: Int64) -> Int {
        var (time, count) = (from, 0)
        while time < from + .seconds(seconds) {
            if let wait = pace.take(channel, host: host, at: time) { time = time + wait } else { count += 1 }
        }
        return count
    }

    @Test func `a channel goes at its rate, after what it may send at once`() {
        var pace = Pace(Rates(channels: ["a": Rate(burst: 10, every: .milliseconds(100))]))
        #expect(taken(&pace, "a", from: now, seconds: 60) == 10 + 599)
        #expect(taken(&pace, "a", from: now + .seconds(3_600), seconds: 1) == 10 + 9, "an hour of rest is one burst")
        for _ in 1...1_000 { #expect(pace.take("b", host: "h", at: now) == nil, "what is not named is not bounded") }
    }

    @Test func `channels that go to one host share its rate, and who is refused takes nothing`() {
        var pace = Pace(Rates(channels: ["a": Rate(burst: 1, every: .seconds(10))], hosts: ["h": Rate(burst: 1, every: .seconds(1))]))
        #expect(pace.take("a", host: "h", at: now) == nil)
        #expect(pace.take("b", host: "h", at: now) == .seconds(1))
        #expect(pace.take("a", host: "h", at: now + .seconds(2)) == .seconds(8))
        #expect(pace.take("b", host: "h", at: now + .seconds(2)) == nil, "the refusal before took nothing of the host's")
        #expect(pace.take("c", host: "other", at: now) == nil)
    }

    @Test func `who goes first and waits is the next at a host, before whoever asks there meanwhile`() {
        var pace = Pace(Rates(hosts: ["h": Rate(burst: 1, every: .seconds(10))]))
        #expect(pace.take("mail", host: "h", at: now, goesFirst: false) == nil)
        #expect(pace.take("oncall", host: "h", at: now) == .seconds(10))
        // At the moment at which there is a place, whoever comes for it.
        #expect(pace.take("mail", host: "h", at: now + .seconds(10), goesFirst: false) == Pace.keptFor)
        #expect(pace.take("oncall", host: "h", at: now + .seconds(10)) == nil)
        #expect(pace.take("mail", host: "h", at: now + .seconds(15), goesFirst: false) == .seconds(5), "nothing is kept any more")
        #expect(pace.take("mail", host: "h", at: now + .seconds(20), goesFirst: false) == nil)
        // Who does not come back loses the place, and a clock that was set back keeps none.
        #expect(pace.take("oncall", host: "h", at: now + .seconds(20)) == .seconds(10))
        #expect(pace.take("mail", host: "h", at: now + .seconds(31), goesFirst: false) == nil)
        #expect(pace.take("oncall", host: "h", at: now + .seconds(31)) == .seconds(10))
        #expect(pace.take("mail", host: "h", at: now - .seconds(3_600), goesFirst: false) == nil)
    }

    @Test func `a clock that was set back bounds nobody for longer than before`() {
        var pace = Pace(Rates(channels: ["a": Rate(burst: 2, every: .seconds(1))]))
        #expect(taken(&pace, "a", from: now, seconds: 10) == 11)
        let before = now - .seconds(86_400)
        #expect(taken(&pace, "a", from: before, seconds: 10) == 11)
    }
}
