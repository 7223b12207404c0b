import Foundation
import GRDB
import Gate
import Mail
import Testing

@testable import sluice_notify

/// That notices were opened, as far as somebody says so.
struct ReceiptsTests {
    let folder: Folder
    let outbox: Outbox
    let box: BounceBox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
        for part in ["new", "cur", "tmp"] { try FileManager.default.createDirectory(atPath: folder["mail/" + part], withIntermediateDirectories: true) }
        box = BounceBox(folder["mail"], outbox: outbox, key: .test)
    }

    /// Under the ids that they really have, all of them taken.
    private func take(_ subjects: ClosedRange<Int>, number: UInt64 = 9, state: RetrySchedule.Verdict? = .delivered, mayHaveArrived: Bool = false) throws -> Outbox.Decision {
        var notices = subjects.map { Outbox.Notice.test($0, decision: number) }
        let decision = Outbox.Decision(number: number, notices)
        for place in notices.indices {
            guard case .mail(var mail) = notices[place].way else { continue }
            mail.id = NoticeKey.test.id(of: notices[place].subject, decision)
            notices[place].way = .mail(mail)
        }
        #expect(try outbox.hold(notices, from: 0, of: decision, at: now) == .taken(UInt64(notices.count), new: true))
        if let state {
            try outbox.record(notices.map { .init(id: NoticeKey.test.id(of: $0.subject, decision), verdict: state, at: now, mayHaveArrived: mayHaveArrived) })
        }
        return decision
    }

    private func subject(_ number: Int) -> String { "E" + "000\(number)".suffix(4) }
    private func link(_ number: Int, _ decision: Outbox.Decision) throws -> String {
        "From: somebody@elsewhere.example\nSubject: Re: \(try #require(NoticeKey.test.code(of: subject(number), decision)))\n\n"
    }
    private func disposition(_ number: Int, _ decision: Outbox.Decision, _ word: String = "displayed", original: String? = nil) -> String {
        """
        From: ada@example.org
        Content-Type: multipart/report; report-type=disposition-notification; boundary=b

        --b
        Content-Type: message/disposition-notification

        Original-Recipient: rfc822;\(original ?? "\(subject(number).lowercased())@example.com")
        Original-Message-ID: <\(NoticeKey.test.id(of: subject(number), decision))@example.com>
        Disposition: manual-action/MDN-sent-manually; \(word)
        --b--
        """
    }
    private func put(_ text: String, _ name: String = UUID().uuidString) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: folder["mail/new/\(name)"])) }
    private func round() throws -> Outbox.Round { try #require(try outbox.rounds(of: 7, limit: 9).first) }
    /// Delivered, opened, unreachable.
    private func counts() throws -> [UInt64] {
        let found = try round()
        return [found.delivered, found.opened, found.unreachable]
    }
    private func sent(_ number: Int) throws -> Outbox.Sent { try #require(try outbox.sent(to: subject(number), of: 7).first) }

    @Test func `the link and a mail program's word each open the mail of their person, once, with the first time`() throws {
        let decision = try take(1...3)
        try put(link(1, decision))
        try put(disposition(2, decision))
        #expect(try box.look(at: now) == .init(opened: 2, handled: 2))
        #expect(try counts() == [3, 2, 0])
        #expect(try sent(1).opened == now && sent(2).opened == now && sent(3).opened == nil)
        // Again, by the other way, and after it was killed before it was moved.
        try put(disposition(1, decision))
        try put(link(1, decision))
        #expect(try box.look(at: now + .seconds(9)) == .init(handled: 2))
        #expect(try sent(1).opened == now && round().opened == 2)
        #expect(try Outbox(path: outbox.path).rounds(of: 7, limit: 0).map(\.opened) == [2], "each row is as it was written")
        #expect(NoticeCounts(try outbox.rounds(of: nil, limit: 0)).opened == 2)
    }

    @Test(arguments: ["deleted", "denied", "dispatched", "processed", "failed", "displayed/error"]) func `that a mail was deleted or its reader says no opens nothing, and is put aside`(_ word: String) throws {
        let decision = try take(1...1)
        try put(disposition(1, decision, word))
        #expect(try box.look(at: now) == .init(handled: 1))
        #expect(try round().opened == 0)
    }

    @Test func `what nobody has sent opens nothing, and is left and counted`() throws {
        let decision = try take(1...2)
        var other = decision
        other.number = 12
        let code = try #require(NoticeKey.test.code(of: "E0001", decision)).digits
        try put(link(1, other))
        try put("Subject: read-\(code.prefix(16))\(String(repeating: "0", count: 24))\n\n")
        try put("Subject: read-\(code.dropLast())\0\n\n")
        try put("Subject: read-\(code)\r\nX: y\n\n".replacing(code, with: String(code.reversed())))
        try put(disposition(1, other))
        try put(disposition(1, decision, original: "eve@example.com"))
        try put("Subject: hello\n\nread-\(code)\n")
        try put("Subject: read-\(code)\nAuto-Submitted: auto-replied\n\n")
        try put(String(repeating: "X: y\n", count: 100_000) + "Subject: read-\(code)\n\n")
        try put(String(repeating: "a", count: 1 << 20))
        #expect(try box.look(at: now) == .init(left: 10))
        #expect(try round().opened == 0)
    }

    @Test func `replayed for another decision it opens the one that it was for`() throws {
        let first = try take(1...2)
        let second = try take(1...2, number: 12)
        try put(link(1, first))
        #expect(try box.look(at: now).opened == 1)
        #expect(try outbox.rounds(of: 7, limit: 0).map(\.opened) == [1, 0])
        try put(link(1, second))
        #expect(try box.look(at: now).opened == 1)
        #expect(try outbox.rounds(of: 7, limit: 0).map(\.opened) == [1, 1])
    }

    @Test func `a mail that is under way with an older id is opened by its mail program's word, and comes back by it`() throws {
        let notices: [Outbox.Notice] = [.test(1), .test(2)]
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: now)
        for number in 1...2 { try outbox.record([.init(id: "mail_9_E000\(number)", verdict: .delivered, at: now)]) }
        let decision = Outbox.Decision(notices)
        try put(disposition(1, decision).replacing(NoticeKey.test.id(of: "E0001", decision), with: "mail_9_E0001"))
        try put(BounceBoxTests.report(of: 2))
        #expect(try box.look(at: now) == .init(noted: 1, opened: 1, handled: 2))
    }

    @Test func `what has not left cannot have been opened, and where the server's answer was lost a receipt is it`() throws {
        let decision = try take(1...1, state: nil)
        try put(link(1, decision))
        #expect(try box.look(at: now) == .init(left: 1))
        let lost = try take(2...2, number: 10, state: .retry(at: now + .seconds(300), why: "no answer came"), mayHaveArrived: true)
        #expect(try outbox.rounds(of: 7, limit: 0).map(\.retrying) == [0, 1])
        try put(link(2, lost))
        #expect(try box.look(at: now).opened == 1)
        let round = try #require(try outbox.rounds(of: 7, limit: 0).last)
        #expect([round.retrying, round.delivered, round.opened] == [0, 1, 1])
        #expect(try sent(2).attempts.map(\.verdict) == ["retry", "delivered"] && sent(2).attempts.last?.answered.text == "whoever has it says so: it was opened")
        #expect(try outbox.dueMails(at: now + .seconds(400), limit: 9).map(\.id) == [NoticeKey.test.id(of: "E0001", decision)], "it is not sent again")
        // An attempt that was under way ends after it.
        try outbox.record([.init(id: NoticeKey.test.id(of: "E0002", lost), verdict: .retry(at: now, why: "451 later"), at: now)])
        #expect(try outbox.rounds(of: 7, limit: 0).last?.delivered == 1)
    }

    @Test func `who is unreachable stays on the list, and a receipt that came all the same stands beside it`() throws {
        let decision = try take(1...3)
        let id = NoticeKey.test.id(of: "E0001", decision)
        #expect(try outbox.returned(id, recipient: nil, status: "5.2.2", why: "mailbox full", at: now) == .noted)
        try put(link(1, decision))
        #expect(try box.look(at: now) == .init(opened: 1, handled: 1))
        #expect(try counts() == [2, 0, 1])
        #expect(try round().unreached == [.init(subject: "E0001", why: "it came back: 5.2.2 mailbox full; yet a receipt came, 2027-01-15T08:00:00Z")])
        #expect(try sent(1).state == "unreachable" && sent(1).opened == now)
        // It comes back after it was opened.
        try put(link(2, decision))
        _ = try box.look(at: now)
        #expect(try round().opened == 1)
        #expect(try outbox.returned(NoticeKey.test.id(of: "E0002", decision), recipient: nil, status: "5.1.1", why: "gone", at: now) == .noted)
        #expect(try counts() == [1, 0, 2])
        // Given up with an attempt that may have arrived, and refused with none that may.
        let late = try take(4...4, number: 10, state: .giveUp(why: "no answer in 75 hours"), mayHaveArrived: true)
        let never = try take(5...5, number: 11, state: .giveUp(why: "550 no"))
        try put(link(4, late))
        try put(link(5, never))
        #expect(try box.look(at: now) == .init(opened: 1, handled: 1, left: 1))
        #expect(try outbox.rounds(of: 7, limit: 9).suffix(2).map { "\($0.unreached[0].why)" } == ["no answer in 75 hours; yet a receipt came, 2027-01-15T08:00:00Z", "550 no"])
    }

    @Test func `a kept mail that a mail program has marked as seen is opened`() throws {
        let decision = try take(1...4, state: nil)
        let maildir = try Maildir(folder["kept"])
        let ids = (1...4).map { NoticeKey.test.id(of: subject($0), decision) }
        for id in ids { try maildir.keep(id, Data("Subject: x\r\n\r\n".utf8), isRetry: false) }
        for id in ids.dropFirst() { try outbox.record([.init(id: id, verdict: .delivered, at: now)]) }
        let seen = SeenMails(folder["kept"], outbox: outbox)
        #expect(try seen.look(at: now) == .init())
        func mark(_ place: Int, _ flags: String) throws { try FileManager.default.moveItem(atPath: folder["kept/new/\(ids[place]).sluice"], toPath: folder["kept/cur/\(ids[place]).sluice\(flags)"]) }
        try mark(0, ":2,RS")
        try mark(1, ":2,S")
        try mark(2, ":2,F")
        try mark(3, "")
        try Data().write(to: URL(fileURLWithPath: folder["kept/cur/somebody.else:2,S"]))
        try Data().write(to: URL(fileURLWithPath: folder["kept/cur/mail_unknown.sluice:2,S"]))
        #expect(try seen.look(at: now) == .init(opened: 2))
        #expect(try counts() == [4, 2, 0], "what lies there has come, whether or not that was recorded")
        #expect(try seen.look(at: now) == .init())
        #expect(try SeenMails(folder["kept"], outbox: outbox).look(at: now) == .init(), "after a restart")
        #expect(try SeenMails(folder["nowhere"], outbox: outbox).look(at: now) == .init())
    }
}
