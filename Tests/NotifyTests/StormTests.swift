import Foundation
import GRDB
import Gate
import Ledger
import Testing

@testable import sluice_notify

/// What operators are told when too much happens at once.
struct StormTests {
    let now = WallTime(nanoseconds: 1_800_000_000_000_000_000)

    private func told(_ number: Int, _ type: String = "gate.paused", to recipients: [String] = ["ops@example.com"]) -> Outbox.Told {
        var told = Outbox.Told(index: UInt64(number), hash: TreeHash(leaf: Array("\(number)".utf8)), message: nil)
        told.mails = recipients.map {
            Outbox.Mail(id: "mail_\(number)_\($0.count)", type: type, recipient: $0, incident: nil, bytes: Data("Subject: \(number)\r\n\r\n".utf8), created: now, words: "pause \(number)\nof E\(number)")
        }
        return told
    }

    @Test func `the first go at once, and the rest within a minute`() {
        var storm = Storm()
        let first = (1...Storm.aloneMax).map { _ in storm.way(isOpening: false, at: now) }
        #expect(first.allSatisfy { $0 == .alone })
        let next = [storm.way(isOpening: false, at: now), storm.way(isOpening: true, at: now), storm.way(isOpening: false, at: now + .seconds(59))]
        #expect(next == [.joins(at: now + Storm.window), .alone, .joins(at: now + Storm.window)], "of an incident the first has a place of its own")
        let due = [storm.isDue(at: now + .seconds(59)), storm.isDue(at: now + Storm.window), storm.isDue(at: now + Storm.window)]
        #expect(due == [false, true, false])
        let after = storm.way(isOpening: false, at: now + Storm.window)
        #expect(after == .alone, "it is over")
    }

    @Test func `a clock that is set back holds up nothing for longer than a window`() {
        var storm = Storm()
        for _ in 0...Storm.aloneMax { _ = storm.way(isOpening: false, at: now) }
        let (isDue, way) = (storm.isDue(at: now - .seconds(3_600)), storm.way(isOpening: false, at: now - .seconds(3_600)))
        #expect(isDue && way == .alone)
    }

    @Test func `of ten thousand each operator gets a few mails, and nothing of any is lost`() throws {
        let folder = try Folder()
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
        let mails = OperatorMails(try .folder())
        var storm = Storm()
        let recipients = ["ops@example.com", "security@example.com"]
        _ = try outbox.take(storm.sorted((1...10_000).map { told($0, to: recipients) }, at: now), channels: [], at: now)
        #expect(try outbox.dueMails(at: now, limit: 100_000).count == 2 * Storm.aloneMax, "at once, and no others")
        let time = now + Storm.window
        let isDue = storm.isDue(at: time)
        #expect(isDue)
        #expect(try outbox.join(at: time) { mails.mail(joining: $0, to: $1, at: time) } == 2 * (10_000 - Storm.aloneMax))
        let due = try outbox.dueMails(at: time, limit: 100_000)
        #expect(due.count == 2 * (Storm.aloneMax + 10))
        for recipient in recipients {
            var found: Set<String> = []
            for mail in due where mail.recipient == recipient {
                let text = String(decoding: try outbox.bytes(of: mail.id), as: UTF8.self)
                if mail.id.count < 30 { found.insert(text.components(separatedBy: "\r\n")[0].replacing("Subject: ", with: "of E")) }
                for block in text.components(separatedBy: "\r\n\r\n") {
                    guard let data = Data(base64Encoded: block.components(separatedBy: "\r\n--")[0], options: .ignoreUnknownCharacters) else { continue }
                    for line in String(decoding: data, as: UTF8.self).components(separatedBy: "\n") where line.hasPrefix("of E") { found.insert(line) }
                }
            }
            #expect(found == Set((1...10_000).map { "of E\($0)" }))
        }
        // A kill later, or an entry that comes again: nothing is told twice.
        #expect(try Outbox(path: outbox.path).join(at: time) { mails.mail(joining: $0, to: $1, at: time) } == 0)
        #expect(try outbox.put(mails: told(777, to: recipients).mails, at: time) == 0)
    }

    @Test func `what nobody has joined goes alone, and so does what is alone`() throws {
        let folder = try Folder()
        let outbox = try Outbox(path: folder["outbox.sqlite"])
        try outbox.configure([Outbox.mailChannel: "1"])
        var storm = Storm()
        _ = try outbox.take(storm.sorted((1...Storm.aloneMax + 1).map { told($0) }, at: now), channels: [], at: now)
        #expect(try outbox.dueMails(at: now, limit: 99).count == Storm.aloneMax)
        #expect(try outbox.dueMails(at: now + Storm.window + Storm.window, limit: 99).count == Storm.aloneMax + 1)
        #expect(try outbox.join(at: now) { _, _ in nil } == 0)
        #expect(try outbox.dueMails(at: now, limit: 99).count == Storm.aloneMax + 1)
    }
}
