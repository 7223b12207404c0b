import Foundation
import GRDB
import Gate
import Ledger
import Testing

@testable import sluice_notify

/// What is handed over part by part, and what follows when all of it is here.
struct HandoverTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
    }

    func due(_ outbox: Outbox? = nil) throws -> [String] { try (outbox ?? self.outbox).dueMails(at: now, limit: 100).map(\.recipient) }
    func counts(_ table: String) throws -> Int { try outbox.database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM \(table)") } ?? -1 }

    @Test func `nobody is told before all that was signed for is here, and then everybody is`() throws {
        let signed = Signed((1...10).map { .test($0) })
        #expect(try outbox.held(of: signed.decision) == .held(0))
        #expect(try outbox.hold(0..<4, of: signed, at: now) == .held(4))
        #expect(try outbox.hold(4..<9, of: signed, at: now) == .held(9))
        #expect(try outbox.spread(at: now) == nil && due() == [] && outbox.counts().waiting == 0)
        #expect(try outbox.rounds(of: 7, limit: 9).map(\.held) == [9])
        #expect(try outbox.hold(9..<10, of: signed, at: now) == .taken(10, new: true))
        #expect(try outbox.rounds(of: 7, limit: 9).map(\.waiting) == [10], "from then on they wait for their turn")
        #expect(try outbox.spreadAll(at: now).map(\.queued) == [10])
        #expect(try due() == (1...10).map { "e" + "000\($0)".suffix(4) + "@example.com" })
        #expect(try Outbox(path: outbox.path).counts().waiting == 10, "each row is as it was written")
    }

    @Test func `an interrupted hand-over goes on where it stopped, and handed over twice it goes out once`() throws {
        let signed = Signed((1...6).map { .test($0) })
        #expect(try outbox.hold(0..<4, of: signed, at: now) == .held(4))
        let again = try Outbox(path: outbox.path)
        #expect(try again.held(of: signed.decision) == .held(4))
        #expect(try again.hold(0..<4, of: signed, at: now) == .held(4), "its answer was lost")
        #expect(try again.hold(5..<6, of: signed, at: now) == .held(4), "not where it stopped")
        #expect(try again.hold(4..<6, of: signed, at: now) == .taken(6, new: true))
        #expect(try again.hold(4..<6, of: signed, at: now) == .taken(6, new: false))
        #expect(try again.held(of: signed.decision) == .taken(6, new: false))
        try again.spreadAll(at: now)
        #expect(try due(again).count == 6)
    }

    @Test func `each part of every size is shown to be signed for, and no other passes for it`() throws {
        for count in [1, 2, 3, 5, 8] {
            let signed = Signed(number: UInt64(count), (1...count).map { .test($0, decision: UInt64(count)) })
            for end in 1...count {
                var wrong = signed.notices[end - 1]
                wrong.bytes.append(0)
                let refused = try outbox.hold([wrong], from: UInt64(end - 1), of: signed.decision, proof: signed.proof(to: end), by: "ops-2", at: now)
                guard case .differs = refused else { Issue.record("\(end) of \(count): \(refused)"); return }
                #expect(try outbox.hold(end - 1..<end, of: signed, at: now) == (end == count ? .taken(UInt64(count), new: true) : .held(UInt64(end))))
            }
        }
    }

    @Test(arguments: ["other bytes", "out of order", "twice", "one more", "no proof", "another's proof"])
    func `a part that is not what was signed for leaves what is here, and the next goes on`(_ fault: String) throws {
        let signed = Signed((1...5).map { .test($0) })
        _ = try outbox.hold(0..<2, of: signed, at: now)
        var (part, proof) = (Array(signed.notices[2..<4]), signed.proof(to: 4))
        switch fault {
        case "other bytes": part[1].bytes.append(0)
        case "out of order": part.swapAt(0, 1)
        case "twice": part[0] = signed.notices[1]
        case "one more": (part, proof) = (Array(signed.notices[2...]) + [.test(6)], [])
        case "no proof": proof = []
        default: proof = signed.proof(to: 3)
        }
        let answer = try outbox.hold(part, from: 2, of: signed.decision, proof: proof, by: "ops-2", at: now)
        guard case .differs = answer else { Issue.record("\(answer)"); return }
        #expect(try outbox.held(of: signed.decision) == .held(2) && counts("notice") == 2 && counts("mail") == 2 && counts("page") == 2)
        #expect(try outbox.hold(2..<5, of: signed, at: now) == .taken(5, new: true), "the control")
        try outbox.spreadAll(at: now)
        #expect(try due().count == 5)
    }

    @Test func `two operators who hand over the same decision help each other`() throws {
        let signed = Signed((1...6).map { .test($0) })
        #expect(try outbox.hold(0..<2, of: signed, by: "ops-1", at: now) == .held(2))
        #expect(try outbox.hold(0..<3, of: signed, by: "ops-2", at: now) == .held(2), "it begins where the other is")
        #expect(try outbox.hold(2..<5, of: signed, by: "ops-2", at: now) == .held(5))
        #expect(try outbox.hold(2..<4, of: signed, by: "ops-1", at: now) == .held(5))
        #expect(try outbox.hold(5..<6, of: signed, by: "ops-1", at: now) == .taken(6, new: true))
        #expect(try outbox.spreadAll(at: now).map(\.queued) == [6])
    }

    @Test func `a disk that fails in the middle of a part leaves what was there, and nobody is told`() throws {
        let signed = Signed((1...4).map { .test($0) })
        _ = try outbox.hold(0..<2, of: signed, at: now)
        try outbox.database.write { try $0.execute(sql: "CREATE TRIGGER full BEFORE INSERT ON mail WHEN NEW.message LIKE '%E0004' BEGIN SELECT RAISE(ABORT, 'full'); END") }
        #expect(throws: OutboxError.self) { try outbox.hold(2..<4, of: signed, at: now) }
        #expect(try outbox.held(of: signed.decision) == .held(2) && counts("notice") == 2)
        #expect(try outbox.spread(at: now) == nil && due() == [] && counts("delivery") == 0)
        try outbox.database.write { try $0.execute(sql: "DROP TRIGGER full") }
        #expect(try outbox.hold(2..<4, of: signed, at: now) == .taken(4, new: true))
    }

    @Test func `taking is one statement, and what follows is in steps that a restart goes on with, each once`() throws {
        let signed = Signed((1...25).map { .test($0) } + [.test(26, to: nil)])
        _ = try outbox.hold(0..<26, of: signed, at: now)
        #expect(try counts("delivery") == 0, "nothing but the decision has changed")
        var steps: [Outbox.Spread] = []
        // Each step by a run of its own, as if each one before it had been killed.
        while let step = try Outbox(path: outbox.path).spread(at: now, limit: 4) { steps.append(step) }
        #expect(steps.map(\.queued) == [4, 4, 4, 4, 4, 4, 1])
        #expect(steps.map(\.before) == [nil, nil, nil, nil, nil, nil, 0])
        let last = try Outbox(path: outbox.path)
        #expect(try last.spread(at: now, limit: 4) == nil)
        #expect(try due(last).count == 25 && Set(due(last)).count == 25)
        #expect(try last.rounds(of: 7, limit: 0).map { [$0.waiting, $0.unreachable] } == [[25, 1]])
    }

    @Test func `a step that fails halfway leaves nothing behind, and is made again`() throws {
        let signed = Signed((1...6).map { .test($0) })
        _ = try outbox.hold(0..<6, of: signed, at: now)
        #expect(try outbox.spread(at: now, limit: 2)?.queued == 2)
        try outbox.database.write { try $0.execute(sql: "CREATE TRIGGER full BEFORE INSERT ON delivery WHEN NEW.recipient LIKE 'e0004%' BEGIN SELECT RAISE(ABORT, 'full'); END") }
        #expect(throws: OutboxError.self) { try outbox.spread(at: now, limit: 2) }
        #expect(try due().count == 2)
        try outbox.database.write { try $0.execute(sql: "DROP TRIGGER full") }
        try outbox.spreadAll(at: now, limit: 2)
        #expect(try due().count == 6)
    }

    @Test func `what the disk has changed is not sent`() throws {
        let signed = Signed((1...4).map { .test($0) })
        _ = try outbox.hold(0..<4, of: signed, at: now)
        try outbox.database.write { try $0.execute(sql: "UPDATE notice SET recipient = 'eve@example.com' WHERE subject = 'E0002'") }
        #expect(throws: OutboxError.damaged(path: outbox.path, why: "the notice of E0002 is not what was written")) { try outbox.spread(at: now) }
        #expect(try due() == [])
        let other = Signed(number: 12, (1...4).map { .test($0, decision: 12) })
        _ = try outbox.hold(0..<2, of: other, at: now)
        try outbox.database.write { try $0.execute(sql: "UPDATE decision SET edge = zeroblob(32) WHERE number = 12") }
        #expect(throws: OutboxError.damaged(path: outbox.path, why: "the decision of entry 12 is not what was written")) { try outbox.hold(2..<4, of: other, at: now) }
    }

    // MARK: Room

    @Test func `what is not whole after seven days is dropped in steps, by whose it was, and what is taken never is`() throws {
        _ = try outbox.hold([.test(1, decision: 8)], from: 0, of: Outbox.Decision(number: 8, [.test(1, decision: 8)]), at: now)
        let signed = Signed((1...8).map { .test($0) })
        _ = try outbox.hold(0..<5, of: signed, by: "ops-2", at: now)
        #expect(try outbox.dropStale(at: now + .seconds(7 * 86_400)).isEmpty)
        let late = now + .seconds(7 * 86_400 + 1)
        #expect(try outbox.dropStale(at: late) == [.init(number: 9, held: 5, name: "ops-2")])
        #expect(try outbox.dropStale(at: late) == [], "once")
        #expect(try outbox.hold(5..<8, of: signed, at: late) == .full, "not beside what is being dropped")
        // A kill between the steps leaves the rest of them to the next run.
        #expect(try outbox.dropSome(limit: 2) && Outbox(path: outbox.path).dropSome(limit: 2))
        while try Outbox(path: outbox.path).dropSome(limit: 2) {}
        #expect(try outbox.held(of: signed.decision) == .held(0))
        #expect(try counts("mail") == 1 && counts("notice") == 1 && counts("page") == 1 && counts("delivery") == 1 && counts("decision") == 1)
        #expect(try outbox.hold(0..<8, of: signed, at: late) == .taken(8, new: true))
    }

    @Test func `what something newer took the place of, or whose incident is closed, makes room at once, and what may come or has come stays`() throws {
        let (old, new) = (Signed((1...6).map { .test($0) }), Signed(number: 12, (1...6).map { .test($0, decision: 12) }))
        let (other, whole) = (Signed(number: 10, incident: 8, (1...3).map { .test($0, decision: 10) }), Signed(number: 5, (1...2).map { .test($0, decision: 5) }))
        _ = try outbox.hold(0..<4, of: old, by: "ops-2", at: now)
        _ = try outbox.hold(0..<1, of: other, at: now)
        _ = try outbox.hold(0..<2, of: whole, at: now)
        #expect(try outbox.dropPassed(besides: [old.decision, other.decision]) == [], "the control: the rest of these may come")
        try fill(9, Outbox.comingMax - 1)
        #expect(try outbox.hold(0..<1, of: new, at: now) == .full)
        #expect(try outbox.dropPassed(besides: [new.decision, other.decision]) == [.init(number: 9, held: 4, name: "ops-2", why: .passed)])
        #expect(try outbox.dropPassed(besides: [new.decision, other.decision]) == [], "once")
        while try outbox.dropSome(limit: 3) {}
        #expect(try outbox.hold(0..<1, of: new, at: now) == .held(1), "there is room for it")
        // Incident 8 is closed.
        #expect(try outbox.dropPassed(besides: [new.decision]).map(\.number) == [10])
        while try outbox.dropSome() {}
        #expect(try outbox.held(of: old.decision) == .held(0) && outbox.held(of: other.decision) == .held(0) && outbox.held(of: new.decision) == .held(1))
        #expect(try outbox.held(of: whole.decision) == .taken(2, new: false), "what is taken goes out, whatever came after it")
        #expect(try Outbox(path: outbox.path).dropPassed(besides: [new.decision]) == [], "each row is as it was written")
    }

    @Test func `an entry that a ledger which was put back has for something else is another decision`() throws {
        let (first, again) = (Signed((1...3).map { .test($0) }), Signed((4...6).map { .test($0) }))
        _ = try outbox.hold(0..<2, of: first, at: now)
        #expect(first.decision.number == again.decision.number)
        #expect(try outbox.dropPassed(besides: [again.decision]).map(\.held) == [2])
    }

    private func fill(_ number: Int, _ octets: Int64) throws {
        try outbox.database.write { db in
            try db.execute(sql: "UPDATE decision SET octets = ? WHERE number = ?", arguments: [octets, number])
            try Outbox.stamp(.decision, db)
        }
    }

    @Test func `one decision does not fill the room, and is dropped where it would`() throws {
        let (large, other) = (Signed((1...3).map { .test($0) }), Signed(number: 12, (1...3).map { .test($0, decision: 12) }))
        _ = try outbox.hold(0..<1, of: large, at: now)
        try fill(9, Outbox.roundMax)
        #expect(Outbox.roundMax <= Outbox.comingMax / 2)
        #expect(try outbox.hold(0..<3, of: other, at: now) == .taken(3, new: true), "there is room for another")
        #expect(try outbox.hold(1..<2, of: large, at: now) == .tooLarge)
        #expect(try outbox.hold(1..<2, of: large, at: now) == .full && outbox.rounds(of: 7, limit: 0).map(\.decision.number) == [12])
        while try outbox.dropSome() {}
        #expect(try outbox.held(of: large.decision) == .held(0) && counts("notice") == 3)
    }

    @Test func `more than may lie here unsent is refused, and leaves what is here`() throws {
        let (first, second) = (Signed((1...3).map { .test($0) }), Signed(number: 12, (1...3).map { .test($0, decision: 12) }))
        _ = try outbox.hold(0..<1, of: first, at: now)
        try fill(9, Outbox.comingMax)
        #expect(try outbox.hold(0..<1, of: second, at: now) == .full)
        #expect(try outbox.held(of: first.decision) == .held(1) && outbox.held(of: second.decision) == .held(0))
    }
}

/// Decided anew after control's ledger was put back.
struct DecidedAnewTests {
    let folder: Folder
    let outbox: Outbox
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
    }

    /// The same bytes, whose mail has another id, as it does by another entry.
    private func again(_ subjects: ClosedRange<Int>, number: UInt64) -> [Outbox.Notice] {
        subjects.map { subject in
            var notice = Outbox.Notice.test(subject)
            guard case .mail(var mail) = notice.way else { return notice }
            mail.id = "mail_\(number)_\(notice.subject)"
            notice.way = .mail(mail)
            return notice
        }
    }
    private func take(_ notices: [Outbox.Notice], _ number: UInt64, incident: UInt64 = 7) throws -> UInt64? {
        let decision = Outbox.Decision(number: number, incident: incident, notices)
        guard case .taken(_, new: true) = try outbox.hold(notices, from: 0, of: decision, proof: [], by: "ops-1", at: now) else { return nil }
        return try outbox.spreadAll(at: now, limit: 2).last?.before
    }
    private func answer(_ id: String, _ verdict: RetrySchedule.Verdict) throws { try outbox.record([.init(id: id, verdict: verdict, at: now, answer: "250 queued")]) }
    private func due() throws -> [String] { try outbox.dueMails(at: now, limit: 99).map(\.id) }

    @Test func `what was delivered to a person about this incident is not sent again, and shown as delivered then`() throws {
        #expect(try take((1...4).map { .test($0) }, 9) == 0)
        for subject in 1...4 { try answer("mail_9_E000\(subject)", .delivered) }
        #expect(try take(again(1...5, number: 5), 5) == 4)
        #expect(try due() == ["mail_5_E0005"], "who was not told by the first")
        let round = try #require(try outbox.rounds(of: 7, limit: 9).first { $0.decision.number == 5 })
        #expect((round.delivered, round.waiting) == (4, 1))
        let sent = try #require(try outbox.sent(to: "E0001", of: 7).first { $0.decision == 5 })
        #expect(sent.state == "delivered" && sent.messageID == "<mail_9_E0001@example.com>" && sent.attempts.map(\.answered.text) == ["250 queued"] && sent.bytes == Outbox.Notice.test(1).bytes)
        #expect(try Outbox(path: outbox.path).counts().waiting == 1)
        // And once more: by the one that was sent, not by the one that was not.
        #expect(try take(again(1...4, number: 6), 6) == 4)
        #expect(try outbox.returned("mail_9_E0001", recipient: nil, status: "5.1.1", why: "gone", at: now) == .noted)
        #expect(try outbox.rounds(of: 7, limit: 9).map(\.unreachable) == [1, 1, 1], "it stands as that one does")
    }

    @Test func `what was only kept in the Maildir here is sent once there is a server`() throws {
        #expect(try take((1...2).map { .test($0) }, 9) == 0)
        try outbox.record([.init(id: "mail_9_E0001", verdict: .delivered, at: now, answer: MailLane.keptAnswer), .init(id: "mail_9_E0002", verdict: .delivered, at: now, answer: "250 queued")])
        let notices = again(1...2, number: 5)
        #expect(try outbox.hold(notices, from: 0, of: Outbox.Decision(number: 5, incident: 7, notices), proof: [], by: "ops-1", at: now) == .taken(2, new: true))
        #expect(try outbox.spread(at: now, hasServer: true)?.before == 1)
        #expect(try due() == ["mail_5_E0001"])
        // The control: without a server both have theirs.
        let third = again(1...2, number: 6)
        #expect(try take(third, 6) == 2)
    }

    @Test func `what waits is not sent twice, and what came back or was given up is sent anew`() throws {
        #expect(try take((1...3).map { .test($0) }, 9) == 0)
        try answer("mail_9_E0001", .giveUp(why: "550"))
        try answer("mail_9_E0002", .delivered)
        _ = try outbox.returned("mail_9_E0002", recipient: nil, status: "5.2.2", why: "full", at: now)
        #expect(try take(again(1...3, number: 5), 5) == 1)
        #expect(try due() == ["mail_9_E0003", "mail_5_E0001", "mail_5_E0002"])
    }

    @Test func `other bytes, another incident and another person are another notice`() throws {
        #expect(try take((1...2).map { .test($0) }, 9) == 0)
        for subject in 1...2 { try answer("mail_9_E000\(subject)", .delivered) }
        #expect(try take([.test(1, decision: 12)], 12) == 0)
        #expect(try take(again(2...2, number: 13), 13, incident: 8) == 0)
        #expect(try due() == ["mail_12_E0001", "mail_13_E0002"])
    }
}
