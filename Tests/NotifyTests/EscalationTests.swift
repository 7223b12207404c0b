import Foundation
import GRDB
import Gate
import Ledger
import Mail
import Testing

@testable import sluice_notify

struct EscalationTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)
    let day = Span.seconds(86_400)
    let mails: OperatorMails
    let dpo: [MailAddress]

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
        mails = OperatorMails(try .folder())
        dpo = [try MailAddress("dpo@example.com")]
        let notices: [Outbox.Notice] = (1...5).map { .test($0) } + [.test(6, to: nil)]
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: now)
        for number in 1...3 { try outbox.record([.init(id: "mail_9_E000\(number)", verdict: .delivered, at: now)]) }
        try outbox.record([.init(id: "mail_9_E0004", verdict: .giveUp(why: "550"), at: now)])
    }

    func escalate(at time: WallTime, names: Int = Outbox.escalatedNamesMax) throws -> [String] {
        let known = try Set(letters().map(\.id))
        _ = try outbox.escalate(after: day, at: time, to: dpo.map { "\($0)" }, names: names) { mails.mails(for: $0, to: dpo, at: time) }
        return try letters().filter { !known.contains($0.id) }.map(\.text)
    }
    func letters() throws -> [(id: String, text: String)] {
        try outbox.database.read { db in
            try Row.fetchAll(db, sql: "SELECT mail.message, mail.bytes FROM mail JOIN message ON message.id = mail.message WHERE type = 'notices.unreached'").map {
                ($0[0], String(decoding: ($0[1] as Data), as: UTF8.self).replacing("=\r\n", with: ""))
            }
        }
    }

    @Test func `who is not reached after a day is told of once, by their ids alone, and again when there are more`() throws {
        #expect(try escalate(at: now + day - .seconds(1)) == [])
        let first = try escalate(at: now + day)
        #expect(first.count == 1)
        #expect(first[0].contains("3 of 6 people have no notice yet") && first[0].contains("E0004, E0005, E0006"))
        #expect(!first[0].contains("e0004@example.com") && !first[0].contains("E0001"))
        #expect(try escalate(at: now + day + day) == [], "nobody new")
        let round = try #require(try outbox.rounds(of: 7, limit: 9).first)
        #expect(round.escalatedTo == ["dpo@example.com"] && round.escalatedAt == now + day)
        // What a server had taken comes back.
        _ = try outbox.returned("mail_9_E0002", recipient: nil, status: "5.1.1", why: "gone", at: now + day)
        let second = try escalate(at: now + day + day)
        #expect(second.count == 1 && second[0].contains("4 of 6 people") && second[0].contains("there are also:") && !second[0].contains("E0004"))
        #expect(try Outbox(path: outbox.path).counts().waiting == 3, "E0005, and two letters")
    }

    @Test func `with nobody to tell, who is not reached in time is counted, and so is whoever was told of not`() throws {
        #expect(try outbox.overdue(after: day, at: now + day - .seconds(1)) == 0)
        #expect(try outbox.overdue(after: day, at: now + day) == 3)
        #expect(try outbox.escalate(after: day, at: now + day, to: []) { _ in [] } == 0)
        #expect(try outbox.overdue(after: day, at: now + day) == 3, "nobody was told")
        _ = try escalate(at: now + day)
        #expect(try outbox.overdue(after: day, at: now + day) == 0)
    }

    @Test func `mails about one decision are an hour apart, and there is an end to them`() throws {
        _ = try escalate(at: now + day)
        var (time, told) = (now + day, 0)
        let more: [Outbox.Notice] = (1...40).map { .test($0, decision: 11) }
        func comeBack(_ number: Int) throws { _ = try outbox.returned("mail_11_E" + "000\(number)".suffix(4), recipient: nil, status: "5.1.1", why: "", at: time) }
        _ = try outbox.hold(more, from: 0, of: Outbox.Decision(number: 11, more), at: now)
        for number in 1...40 { try outbox.record([.init(id: "mail_11_E" + "000\(number)".suffix(4), verdict: .delivered, at: now)]) }
        for number in 1...20 {
            try comeBack(2 * number - 1)
            told += try escalate(at: time).count
            try comeBack(2 * number)
            #expect(try escalate(at: time + .seconds(60)).isEmpty)
            time = time + .seconds(3_600)
        }
        #expect(told == Outbox.escalationsMax)
    }

    @Test func `with nobody to tell nothing is noted`() throws {
        #expect(try outbox.escalate(after: day, at: now + day, to: []) { _ in Issue.record("asked"); return [] } == 0)
        #expect(try outbox.rounds(of: 7, limit: 0).first?.escalatedAt == nil)
    }

    /// Decision 11 with so many, of whom nobody has theirs: nothing else is new after this.
    private func missed(_ count: Int) throws -> [String] {
        _ = try escalate(at: now + day)
        let notices = (1...count).map { Outbox.Notice.test($0, to: nil, decision: 11) }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(number: 11, notices), at: now)
        return notices.map(\.subject)
    }

    @Test func `more than one mail names are told of in parts at once, each of them in one`() throws {
        let all = try missed(10)
        let time = now + day + .seconds(1)
        let parts = try (0..<5).map { _ in try escalate(at: time, names: 4) }
        #expect(parts.map(\.count) == [1, 1, 1, 0, 0])
        let letters = parts.flatMap { $0 }
        for subject in all { #expect(letters.count { $0.contains(subject) } == 1, "\(subject)") }
        #expect(letters[0].contains("They are:") && letters[0].contains("E0004") && letters[0].contains("6 others follow in another mail"))
        #expect(letters[1].contains("The mail before this one goes on:") && letters[1].contains("E0008") && letters[1].contains("2 others follow"))
        #expect(letters[2].contains("E0010") && !letters[2].contains("others follow"))
        let notice = try outbox.database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM notice JOIN decision ON decision.id = decision WHERE number = 11 AND notice.escalated_at IS NULL") }
        #expect(notice == 0)
        #expect(try outbox.database.read { try Int.fetchOne($0, sql: "SELECT escalations FROM decision WHERE number = 11") } == 1, "parts of one")
    }

    @Test func `a kill between two parts leaves the others to the next run`() throws {
        _ = try missed(5)
        #expect(try escalate(at: now + day + .seconds(1), names: 3)[0].contains("E0003"))
        let again = try Outbox(path: outbox.path)
        var named: [[String]] = []
        _ = try again.escalate(after: day, at: now + day + .seconds(2), to: ["dpo@example.com"], names: 3) { part in
            named.append(part.new)
            return mails.mails(for: part, to: dpo, at: now)
        }
        #expect(named == [["E0004", "E0005"]])
    }

    @Test func `when the others have theirs before they are named the escalation is over, and who comes back later is another`() throws {
        _ = try escalate(at: now + day)
        let notices = (1...4).map { Outbox.Notice.test($0, decision: 11) }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(number: 11, notices), at: now)
        let time = now + day + .seconds(1)
        #expect(try escalate(at: time, names: 2).first?.contains("2 others follow") == true)
        for subject in 3...4 { try outbox.record([.init(id: "mail_11_E000\(subject)", verdict: .delivered, at: time)]) }
        #expect(try escalate(at: time + .seconds(60), names: 2) == [])
        _ = try outbox.returned("mail_11_E0003", recipient: nil, status: "5.1.1", why: "gone", at: time)
        let later = try escalate(at: time + .seconds(3_601), names: 2)
        #expect(later.count == 1 && later[0].contains("there are also:") && later[0].contains("E0003") && !later[0].contains("E0001"))
    }

    @Test func `whom no mail could name is not said to be told of`() throws {
        _ = try missed(3)
        #expect(try outbox.escalate(after: day, at: now + day + .seconds(1), to: ["dpo@example.com"]) { _ in [] } == 0)
        #expect(try escalate(at: now + day + .seconds(2)).first?.contains("E0003") == true)
    }

    @Test func `beside a thousand names the mail has a list of all of them`() throws {
        let all = try missed(1_010)
        let letter = try #require(try escalate(at: now + day + .seconds(1)).first)
        #expect(letter.contains("and 10 more: the attached list has all 1010.") && letter.contains("filename=\"unreached-7-1-1.txt\""))
        let encoded = try #require(letter.components(separatedBy: "unreached-7-1-1.txt").last).components(separatedBy: "\r\n\r\n")
        let list = String(decoding: try #require(Data(base64Encoded: encoded[1].components(separatedBy: "\r\n--")[0].replacing("\r\n", with: ""))), as: UTF8.self)
        #expect(list.split(separator: "\n").map(String.init) == all)
    }
}
