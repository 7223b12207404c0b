import Foundation
import GRDB
import Gate
import Ledger
import Mail
import Testing

@testable import sluice_notify

struct NoticesTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
    }

    func due(at time: WallTime? = nil) throws -> [String] { try outbox.dueMails(at: time ?? now, limit: 100).map(\.recipient) }
    func answer(_ subject: Int, _ verdict: RetrySchedule.Verdict, answer: String = "", at time: WallTime? = nil) throws {
        guard case .mail(let mail) = Outbox.Notice.test(subject).way else { return }
        try outbox.record([.init(id: mail.id, verdict: verdict, at: time ?? now, answer: answer)])
    }
    /// All of them taken.
    func take(_ notices: [Outbox.Notice], number: UInt64 = 9) throws -> Outbox.Decision {
        let decision = Outbox.Decision(number: number, notices)
        #expect(try outbox.hold(notices, from: 0, of: decision, at: now) == .taken(UInt64(notices.count), new: true))
        return decision
    }

    @Test func `each person stands in one state, and they are as many as were signed for`() throws {
        let decision = try take((1...4).map { .test($0) } + [.test(5, to: nil), .test(6)])
        try answer(1, .delivered, answer: "250 2.0.0 queued")
        try answer(2, .retry(at: now + .seconds(300), why: "451 4.3.2 not now"))
        try answer(3, .giveUp(why: "550 5.1.1 nobody here"))
        try answer(6, .delivered)
        #expect(try outbox.returned("mail_9_E0006", recipient: "E0006@Example.com", status: "5.2.2", why: "mailbox full", at: now) == .noted)
        let round = try #require(try outbox.rounds(of: 7, limit: 9).first)
        #expect((round.waiting, round.retrying, round.delivered, round.unreachable) == (1, 1, 1, 3))
        #expect(round.waiting + round.retrying + round.delivered + round.unreachable == decision.count)
        #expect(round.next == now + .seconds(300) && round.takenAt == now && !round.hasMore)
        #expect(
            round.unreached == [
                .init(subject: "E0003", why: "550 5.1.1 nobody here"), .init(subject: "E0005", why: "there is no address"), .init(subject: "E0006", why: "it came back: 5.2.2 mailbox full"),
            ])
        let first = try #require(try outbox.rounds(of: 7, limit: 2).first)
        #expect(first.unreached.map(\.subject) == ["E0003", "E0005"] && first.hasMore)
        #expect(try outbox.rounds(of: 7, after: "E0005", limit: 2).first?.unreached.map(\.subject) == ["E0006"])
        #expect(try outbox.rounds(of: 8, limit: 9) == [])
        #expect(NoticeCounts(try outbox.rounds(of: nil, limit: 0)).unreachable == 3)
    }

    @Test func `one person's notice is shown byte for byte, with each attempt and its answer, by decision`() throws {
        _ = try take([.test(1), .test(2, to: nil)])
        _ = try take([.test(1, decision: 12)], number: 12)
        try answer(1, .retry(at: now + .seconds(5), why: "451 4.3.2 not now"))
        try answer(1, .delivered, answer: "250 2.0.0 queued", at: now + .seconds(5))
        let sent = try outbox.sent(to: "E0001", of: 7)
        #expect(sent.map(\.decision) == [9, 12] && sent.map(\.state) == ["delivered", "waiting"])
        #expect(sent[0].bytes == Outbox.Notice.test(1).bytes && sent[0].messageID == "<mail_9_E0001@example.com>")
        #expect(sent[0].attempts.map(\.answered.code) == [451, 250] && sent[1].attempts == [])
        let other = try #require(try outbox.sent(to: "E0002", of: 7).first)
        #expect(other.messageID == nil && other.state == "unreachable" && other.why == "there is no address")
        #expect(try outbox.sent(to: "E0003", of: 7) == [])
        _ = try outbox.hold(0..<1, of: Signed(number: 13, (3...4).map { Outbox.Notice.test($0, decision: 13) }), at: now)
        #expect(try outbox.sent(to: "E0003", of: 7) == [], "what is only coming was not sent")
    }

    @Test func `a second decision about a person waits for their first, and a number that is given out anew is another decision`() throws {
        _ = try take([.test(1)])
        _ = try take([.test(1, decision: 12)], number: 12)
        #expect(try due() == ["e0001@example.com"])
        try answer(1, .delivered)
        #expect(try outbox.dueMails(at: now, limit: 9).map(\.id) == ["mail_12_E0001"])
        #expect(try take([.test(2)]).number == 9)
        #expect(try outbox.rounds(of: 7, limit: 0).map(\.decision.number) == [9, 9, 12])
    }

    @Test func `half of the recipients failing holds up nobody else`() throws {
        _ = try take((1...40).map { .test($0) })
        var (sent, rounds) = (0, 0)
        // Every second is tried again later, and comes back behind all the others.
        while true {
            let next = try outbox.dueMails(at: now, limit: 4)
            guard !next.isEmpty else { break }
            rounds += 1
            try outbox.record(
                next.map { mail in
                    let fails = (Int(mail.id.suffix(4)) ?? 0) % 2 == 0
                    sent += fails ? 0 : 1
                    return .init(id: mail.id, verdict: fails ? .retry(at: now + .seconds(5), why: "451") : .delivered, at: now)
                })
        }
        #expect(sent == 20 && rounds == 10, "each was tried once")
        #expect(try outbox.nextDueMail(at: now) == now + .seconds(5))
    }
}
