import Foundation
import GRDB
import Gate
import Testing

@testable import sluice_notify

/// What was told long ago loses its bytes, and nothing else does.
struct RetentionTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)
    let day = Span.seconds(86_400)
    let keep = Span.seconds(90 * 86_400)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure(["oncall": "1", Outbox.mailChannel: "1"])
    }

    /// As notify does it, step by step, at a time.
    private func remove(at time: WallTime, closed: Set<UInt64> = [7], _ outbox: Outbox? = nil) throws -> Int {
        var (all, step) = (0, 0)
        repeat {
            step = try (outbox ?? self.outbox).remove(before: time - keep, closed: closed, limit: 3, at: time)
            all += step
        } while step > 0
        return all
    }
    private func rows(_ table: String) throws -> Int { try outbox.database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM \(table)") } ?? -1 }
    private func answer(_ subject: Int, _ verdict: RetrySchedule.Verdict, at time: WallTime) throws {
        try outbox.record([.init(id: "mail_9_E000\(subject)", verdict: verdict, at: time, answer: "250 queued")])
    }
    /// Five delivered, each a day after the one before.
    private func deliver() throws {
        let notices = (1...5).map { Outbox.Notice.test($0) }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: now)
        for subject in 1...5 { try answer(subject, .delivered, at: now + .seconds(Int64(subject) * 86_400)) }
    }
    private func contains(_ text: String) throws -> Bool {
        try outbox.database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        return try Data(contentsOf: URL(fileURLWithPath: outbox.path)).range(of: Data(text.utf8)) != nil
    }

    @Test func `the bytes of a notice go when they were kept for long enough after the last attempt, each at its own time`() throws {
        try deliver()
        #expect(try remove(at: now + keep) == 0)
        #expect(try remove(at: now + keep + day - Span(nanoseconds: 1_000)) == 0)
        #expect(try remove(at: now + keep + day) == 1)
        #expect(try remove(at: now + keep + .seconds(3 * 86_400)) == 2)
        #expect(try rows("page") == 2 && rows("mail") == 2)
        #expect(try remove(at: now + keep + .seconds(400 * 86_400)) == 2)
        #expect(try remove(at: now + keep + .seconds(400 * 86_400)) == 0, "once")
    }

    @Test func `a receipt or a report that comes after the address was removed counts by the mail's id`() throws {
        try deliver()
        let late = now + keep + .seconds(9 * 86_400)
        #expect(try remove(at: late) == 5)
        #expect(try outbox.opened([.init(id: "mail_9_E0001", recipient: "e0001@example.com", way: .disposition)], at: late) == [.noted])
        #expect(try outbox.isMail("mail_9_E0002", for: "e0002@example.com"))
        #expect(try outbox.returned("mail_9_E0002", recipient: "e0002@example.com", status: "5.1.1", why: "gone", at: late) == .noted)
        #expect(try outbox.rounds(of: 7, limit: 9).map { [$0.delivered, $0.opened, $0.unreachable] } == [[4, 1, 1]])
    }

    @Test func `what stays shows how it was delivered, and nothing is told twice`() throws {
        try deliver()
        #expect(try contains("notice of E0001") && contains("e0001@example.com"), "the control")
        let late = now + keep + .seconds(9 * 86_400)
        #expect(try remove(at: late) == 5)
        #expect(try !contains("notice of E0001") && !contains("To E0001.") && !contains("e0001@example.com"), "in no free page either")
        let again = try Outbox(path: outbox.path)
        let sent = try #require(try again.sent(to: "E0001", of: 7).first)
        #expect(sent.bytes.isEmpty && sent.removedAt == late && sent.state == "delivered" && sent.messageID == "mail_9_E0001")
        #expect(sent.attempts.map(\.answered) == [.init(at: now + day, smtp: "250 queued")])
        #expect(try again.rounds(of: 7, limit: 9).map(\.delivered) == [5])
        // The same round: by its entry, and decided anew after the ledger was put back.
        let notices = (1...5).map { Outbox.Notice.test($0) }
        #expect(try again.held(of: Outbox.Decision(notices)) == .taken(5, new: false))
        let anew = notices.map { notice in
            var notice = notice
            if case .mail(var mail) = notice.way {
                mail.id = "mail_12_\(notice.subject)"
                notice.way = .mail(mail)
            }
            return notice
        }
        let decision = Outbox.Decision(number: 12, anew)
        #expect(try again.hold(anew, from: 0, of: decision, proof: [], by: "ops-1", at: late) == .taken(5, new: true))
        #expect(try again.spreadAll(at: late).last?.before == 5)
        #expect(try again.dueMails(at: late, limit: 9) == [])
    }

    @Test func `what is of an open incident, undelivered, or of somebody of whom nobody was told stays for ever`() throws {
        let notices = (1...5).map { Outbox.Notice.test($0) } + [.test(6, to: nil)]
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: now)
        let coming = Signed(number: 12, (1...2).map { .test($0, decision: 12) })
        _ = try outbox.hold(0..<1, of: coming, at: now)
        try answer(1, .delivered, at: now)
        try answer(2, .retry(at: now + day, why: "451"), at: now)
        try answer(3, .giveUp(why: "550"), at: now)
        try answer(4, .delivered, at: now)
        let late = now + .seconds(1_000 * 86_400)
        #expect(try remove(at: late, closed: []) == 0 && remove(at: late, closed: [8]) == 0, "its incident is open")
        #expect(try remove(at: late) == 2, "E0001 and E0004")
        #expect(try rows("page") == 5)
        // They are told of: then the bytes stay for as long again.
        let (to, mails) = (try MailSettings.folder().operators, OperatorMails(try .folder()))
        _ = try outbox.escalate(after: day, at: late, to: to.map { "\($0)" }) { mails.mails(for: $0, to: to, at: late) }
        #expect(try remove(at: late + keep - day) == 0)
        #expect(try remove(at: late + keep) == 2, "E0003, who was given up, and E0006, who has no address; not who is tried again, nor who waits")
        #expect(try outbox.sent(to: "E0002", of: 7).first?.bytes.isEmpty == false && outbox.sent(to: "E0005", of: 7).first?.bytes.isEmpty == false)
        #expect(try outbox.dueMails(at: late, limit: 9).map(\.id).suffix(2) == ["mail_9_E0005", "mail_9_E0002"], "and go out")
        #expect(try outbox.bytes(of: "mail_9_E0002").count > 0 && outbox.held(of: coming.decision) == .held(1))
    }

    @Test func `an event loses its bytes, not its id, and only when everybody has it`() throws {
        func message(_ number: Int, incident: UInt64?) -> Message {
            let body = incident.map { #"{"type":"x","timestamp":"y","data":{"incident":\#($0)}}"# } ?? #"{"type":"x","timestamp":"y","data":{}}"#
            return Message(id: "msg_\(number)", type: "incident.opened", body: Data(body.utf8), created: now)
        }
        let all = [message(1, incident: 7), message(2, incident: 8), message(3, incident: nil), message(4, incident: nil)]
        try outbox.put(all, channels: ["oncall"], at: now)
        try outbox.put(mails: [.test(1, incident: 7, at: now), .test(2, incident: 8, at: now), .test(3, at: now), .test(4, at: now)], at: now)
        for number in 1...3 {
            try outbox.delivered("msg_\(number)", on: "oncall", at: now)
            try outbox.delivered("mail_\(number)", on: Outbox.mailChannel, at: now)
        }
        try outbox.failed("msg_4", on: "oncall", why: "HTTP 500", retryAt: nil)
        #expect(try remove(at: now + keep - day) == 0)
        #expect(try remove(at: now + keep) == 4, "of incident 8, which is open, and of what was not delivered nothing")
        #expect(try rows("mail") == 2 && rows("attempt") == 3)
        #expect(try outbox.put(all, channels: ["oncall"], at: now + keep) == 0 && outbox.put(mails: [.test(1, at: now)], at: now) == 0, "told once")
        #expect(try Outbox(path: outbox.path).undelivered(limit: 9).map(\.id) == ["msg_4", "mail_4"])
        #expect(try remove(at: now + keep, closed: [7, 8]) == 2)
    }

    @Test func `a kill between two steps leaves the rest to the next run`() throws {
        try deliver()
        let late = now + keep + .seconds(9 * 86_400)
        #expect(try outbox.remove(before: late - keep, closed: [7], limit: 2, at: late) == 2)
        let again = try Outbox(path: outbox.path)
        #expect(try remove(at: late, again) == 3)
    }
}
