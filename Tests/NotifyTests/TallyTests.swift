import Chance
import Foundation
import GRDB
import Gate
import Mail
import Testing

@testable import sluice_notify

/// What is looked at every ten seconds is what is not finished.
struct TallyTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)
    let day = Span.seconds(86_400)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
    }

    /// A decision of so many, all of whom a server has taken but those without an address.
    private func told(_ number: UInt64, _ people: Int, without: Int = 0) throws {
        let notices: [Outbox.Notice] = (1...people).map { .test($0, to: $0 > people - without ? nil : "", decision: number) }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(number: number, incident: number, notices), at: now)
        try outbox.record((1...people - without).map { .init(id: "mail_\(number)_E" + "000\($0)".suffix(4), verdict: .delivered, at: now, answer: "250") })
    }
    private func tallied() throws -> [UInt64] { try outbox.rounds(of: nil, limit: 0).filter(\.isTallied).map(\.decision.number) }
    private func escalate(at time: WallTime, names: Int = 100) throws -> [[String]] {
        var named: [[String]] = []
        let (mails, dpo) = (OperatorMails(try .folder()), [try MailAddress("dpo@example.com")])
        _ = try outbox.escalate(after: day, at: time, to: ["dpo@example.com"], names: names) { one in
            named.append(one.new)
            return mails.mails(for: one, to: dpo, at: time)
        }
        return named
    }

    @Test func `people of a decision that is finished are not looked at again, and those of one that is not are`() throws {
        try told(8, 3)
        let open: [Outbox.Notice] = (1...2).map { .test($0, decision: 9) }
        _ = try outbox.hold(open, from: 0, of: Outbox.Decision(number: 9, incident: 9, open), at: now)
        #expect(try outbox.people() == counts(waiting: 2, delivered: 3))
        #expect(try tallied() == [8])
        // Who looked would see this: one of each, by a hand that nothing here hears of.
        try outbox.database.write { try $0.execute(sql: "UPDATE notice SET unreachable = 'seen' WHERE subject = 'E0001'") }
        #expect(try outbox.people() == counts(waiting: 1, delivered: 3, unreachable: 1))
        #expect(try escalate(at: now + day) == [["E0001", "E0002"]], "of decision 9, and of 8 nobody was looked at")
        // The control: what is heard of has everybody looked at.
        #expect(try outbox.returned("mail_8_E0002", recipient: nil, status: "5.1.1", why: "gone", at: now) == .noted)
        #expect(try tallied() == [])
        #expect(try escalate(at: now + day + .seconds(1)) == [["E0001", "E0002"]], "of decision 8")
        #expect(try outbox.people() == counts(waiting: 1, delivered: 1, unreachable: 3))
        #expect(try tallied() == [8])
    }

    @Test func `who is on the list and in no escalation yet is found by it all the same`() throws {
        try told(8, 5, without: 3)
        #expect(try outbox.people() == counts(delivered: 2, unreachable: 3))
        #expect(try tallied() == [8])
        #expect(try escalate(at: now + day, names: 2) == [["E0003", "E0004"]])
        #expect(try tallied() == [], "some of them are told of")
        #expect(try outbox.people() == counts(delivered: 2, unreachable: 3))
        #expect(try escalate(at: now + day, names: 2) == [["E0005"]] && outbox.people() == counts(delivered: 2, unreachable: 3))
        #expect(try escalate(at: now + day + day) == [] && tallied() == [8])
    }

    @Test func `a decision whose mails are another one's changes with those`() throws {
        try told(8, 2)
        let again: [Outbox.Notice] = (1...2).map { number in
            var notice = Outbox.Notice.test(number, decision: 8)
            guard case .mail(var mail) = notice.way else { return notice }
            mail.id = "mail_12_\(notice.subject)"
            notice.way = .mail(mail)
            return notice
        }
        _ = try outbox.hold(again, from: 0, of: Outbox.Decision(number: 12, incident: 8, again), at: now)
        #expect(try outbox.people() == counts(delivered: 4) && tallied() == [8, 12])
        #expect(try outbox.opened([.init(id: "mail_8_E0001", recipient: nil, way: .link)], at: now) == [.noted])
        #expect(try tallied() == [] && outbox.people() == counts(delivered: 4, opened: 2))
    }

    @Test(arguments: 1...8) func `whatever happens, what is kept is what counting gives`(_ seed: UInt64) throws {
        var chance = SplitMix64(seed: seed)
        for number in UInt64(8)...10 {
            let notices: [Outbox.Notice] = (1...6).map { .test($0, to: chance.chance(20) ? nil : "", decision: number) }
            _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(number: number, incident: number, notices), at: now)
        }
        for step in 1...120 {
            let id = "mail_\(8 + chance.below(3))_E000\(1 + chance.below(6))"
            let time = now + .seconds(Int64(step) * 3_600)
            switch chance.below(7) {
            case 0: _ = try outbox.returned(id, recipient: nil, status: "5.1.1", why: "gone", at: time)
            case 1: _ = try outbox.opened([.init(id: id, recipient: nil, way: chance.chance(50) ? .link : .seen)], at: time)
            case 2: _ = try escalate(at: time, names: 1 + chance.below(4))
            case 3: try outbox.record([.init(id: id, verdict: .retry(at: time, why: "450"), at: time)])
            case 4: try outbox.record([.init(id: id, verdict: .giveUp(why: "550"), at: time)])
            default: try outbox.record([.init(id: id, verdict: .delivered, at: time, answer: "250")])
            }
            let kept = try outbox.people()
            let after = try outbox.people()
            let listed = try outbox.rounds(of: nil, limit: 9).map(\.unreached)
            try outbox.database.write { try $0.execute(sql: "DELETE FROM tally") }
            let counted = try NoticeCounts(outbox.rounds(of: nil, limit: 0))
            #expect(kept == counted && after == counted, "seed \(seed), step \(step)")
            #expect(try outbox.rounds(of: nil, limit: 9).map(\.unreached) == listed)
            _ = try outbox.people()
        }
        #expect(try tallied() == [8, 9, 10], "the control: seed \(seed) comes to an end")
        _ = try Outbox(path: outbox.path)
    }

    /// What is asked every ten seconds, as SQLite goes about it: a row of each decision, and of people those that an index names.
    @Test func `the questions of every ten seconds read decisions whole and people by their decision alone`() throws {
        try told(8, 3)
        _ = try outbox.people()
        var asked: [String] = []
        try outbox.database.write { db in db.trace { asked.append($0.expandedDescription) } }
        _ = try outbox.people()
        _ = try escalate(at: now + day)
        try outbox.database.write { db in db.trace(options: []) }
        let questions = asked.filter { $0.hasPrefix("SELECT") }
        #expect(questions.count >= 3, "\(asked)")
        for question in questions {
            let plan = try outbox.database.read { try Row.fetchAll($0, sql: "EXPLAIN QUERY PLAN \(question)").map { $0["detail"] as String } }
            let scanned = plan.filter { $0.hasPrefix("SCAN") && !$0.hasPrefix("SCAN decision") && $0 != "SCAN CONSTANT ROW" }
            #expect(scanned.isEmpty, "\(question): \(plan)")
        }
        #expect(!questions.contains { $0.contains("FROM notice LEFT JOIN delivery") && $0.contains("GROUP BY") }, "and nobody is counted")
    }

    private func counts(waiting: UInt64 = 0, delivered: UInt64 = 0, opened: UInt64 = 0, unreachable: UInt64 = 0) -> NoticeCounts {
        var counts = NoticeCounts()
        (counts.waiting, counts.delivered, counts.opened, counts.unreachable) = (waiting, delivered, opened, unreachable)
        return counts
    }
}
