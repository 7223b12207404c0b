import Foundation
import Gate
import Mail
import Testing

@testable import sluice_notify

@Suite(.timeLimit(.minutes(5)))
struct MailLaneTests {
    let folder: Folder
    let outbox: Outbox
    let clock = TestClock()

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
    }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: folder["mail/new"])) ?? []).sorted() }

    /// Delivers until a condition holds, and stops.
    func deliver(connections: Int = 1, to path: String = "mail", until condition: @escaping () throws -> Bool) async throws {
        var settings = try MailSettings.folder()
        settings.connections = connections
        let clock = clock
        let delivery = try Delivery(from: outbox, to: .none, mail: MailRoute(settings: settings, folder: folder[path]), now: { clock.now }, jitter: { 0 })
        async let duty: Void = delivery.run()
        try await eventually(condition)
        delivery.stop()
        try await duty
    }

    @Test(arguments: [1, 4]) func `each mail is kept once, as it was put in`(connections: Int) async throws {
        try outbox.put(mails: (1...12).map { .test($0) }, at: clock.now)
        try await deliver(connections: connections) { try outbox.counts().delivered == 12 }
        #expect(Set(names) == Set((1...12).map { "mail_\($0).sluice" }))
        #expect(try String(contentsOfFile: folder["mail/new/mail_7.sluice"], encoding: .utf8) == "Subject: 7\n\n.7\n")
        #expect(try outbox.undelivered(limit: 1) == [])
    }

    @Test func `mails of an incident leave in order over many connections`() async throws {
        // What is later has the earlier name, so that the order is not that of the ids.
        try outbox.put(mails: (1...10).map { .test(11 - $0, incident: 7) }, at: clock.now)
        try await deliver(connections: 4) { try outbox.counts().delivered == 10 }
        let times = try (1...10).map { try FileManager.default.attributesOfItem(atPath: folder["mail/new/mail_\(11 - $0).sluice"])[.modificationDate] as? Date ?? .distantPast }
        #expect(times == times.sorted())
    }

    @Test func `a place where nothing can be kept is tried again at its time, and shown`() async throws {
        try Data().write(to: URL(fileURLWithPath: folder["file"]))
        try outbox.put(mails: [.test(1), .test(2)], at: clock.now)
        try await deliver(to: "file/mail") { try outbox.undelivered(limit: 1).first?.lastError != nil }
        #expect(try outbox.undelivered(limit: 9).map(\.attempts) == [0, 0], "nobody's attempt is used up")
        #expect(try outbox.undelivered(limit: 9).map { $0.lastError != nil } == [true, false], "the second need not find it out as well")
        #expect(try outbox.undelivered(limit: 1).first?.lastError?.contains("cannot be written: Not a directory") == true)
        #expect(try outbox.nextDueMail(at: clock.now) == clock.now + .seconds(5))
        clock.advance(by: .seconds(5))
        try await deliver { try outbox.counts().delivered == 2 }
        #expect(names == ["mail_1.sluice", "mail_2.sluice"])
    }

    @Test func `what was killed before it was recorded is kept once, also when a reader has moved it`() throws {
        let maildir = try Maildir(folder["mail"])
        try maildir.keep("mail_1", Data("a\r\nb".utf8), isRetry: false)
        try Maildir(folder["mail"]).keep("mail_1", Data("a\r\nb".utf8), isRetry: false)
        #expect(names == ["mail_1.sluice"])
        try FileManager.default.moveItem(atPath: folder["mail/new/mail_1.sluice"], toPath: folder["mail/cur/mail_1.sluice:2,S"])
        try Maildir(folder["mail"]).keep("mail_1", Data("a\r\nb".utf8), isRetry: false)
        #expect(names == [], "after a restart")
        try maildir.keep("mail_1", Data("a\r\nb".utf8), isRetry: true)
        #expect(names == [], "after an attempt that has failed")
        try maildir.keep("mail_1", Data("a\r\nb".utf8), isRetry: false)
        #expect(names == [], "and it is remembered")
        try maildir.keep("mail_2", Data("c".utf8), isRetry: false)
        #expect(names == ["mail_2.sluice"], "the control")
        #expect(try FileManager.default.attributesOfItem(atPath: folder["mail/new/mail_2.sluice"])[.posixPermissions] as? Int == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder["mail/tmp"]) == [])
    }

    @Test func `mails go at the channel's rate`() async throws {
        try outbox.put(mails: (1...3).map { .test($0) }, at: clock.now)
        var settings = Delivery.Settings()
        settings.rates.channels[Outbox.mailChannel] = Rate(burst: 1, every: .seconds(10))
        let clock = clock
        let delivery = try Delivery(from: outbox, to: .none, mail: MailRoute(settings: .folder(), folder: folder["mail"]), settings: settings, now: { clock.now }, jitter: { 0 })
        async let duty: Void = delivery.run()
        for count in 1...3 {
            try await eventually { try outbox.counts().delivered == count }
            #expect(names.count == count, "on this clock the next is due in ten seconds")
            clock.advance(by: .seconds(10))
            delivery.wake()
        }
        delivery.stop()
        try await duty
    }

    @Test func `no server there is a failure that names it, and nothing is sent`() throws {
        let server = MailSettings.Server(url: "smtps://127.0.0.1:1", host: "127.0.0.1")
        let client = try MailClient(server, .init(connect: .milliseconds(500), total: .seconds(2)))
        let answer = client.send(Data("x".utf8), from: try MailAddress("a@example.com"), to: try MailAddress("b@example.com"))
        guard case .unavailable(let why) = answer else { Issue.record("\(answer)"); return }
        #expect(why.hasSuffix("(libcurl 7)"))
    }

    @Test func `of a server's answer the code and little plain text are taken`() {
        func reply(_ text: String) -> MailReply? { Array(text.utf8).withUnsafeBytes { MailReply($0) } }
        #expect(reply("550 5.1.1 no such user\r\n")?.code == 550)
        #expect(reply("550 5.1.1 no such user\r\n")?.text == "550 5.1.1 no such user")
        #expect(reply("421-\u{1B}[31mred\u{7}\r\nmore")?.text == "421-?[31mred?")
        #expect(reply("550 " + String(repeating: "x", count: 9_000))?.text.utf8.count == MailReply.textMax)
        for text in ["", "55", "OK then", "5x0 a"] { #expect(reply(text) == nil) }
    }

    /// What a conversation that failed comes to: `C:` was said, `S:` was heard, `body` was handed over so far.
    private func answer(_ lines: [String], isTLS: Bool = true) -> MailAnswer {
        let body = Array("a mail".utf8)
        return body.withUnsafeBytes { bytes in
            var conversation = MailConversation()
            conversation.body = bytes
            for line in lines {
                if let count = Int(line) {
                    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
                    defer { room.deallocate() }
                    _ = conversation.read(into: room)
                } else if line.hasPrefix("C:") {
                    Array((line.dropFirst(2) + "\r\n").utf8).withUnsafeBytes { conversation.said($0) }
                } else {
                    Array((line.dropFirst(2) + "\r\n").utf8).withUnsafeBytes { conversation.heard($0) }
                }
            }
            return conversation.answer("why", isTLS: isTLS)
        }
    }

    private static let greeted = ["S:220 hello", "C:EHLO me", "S:250-SIZE", "S:250 AUTH PLAIN"]
    private static let begun = greeted + ["C:MAIL FROM:<a@b>", "S:250 ok", "C:RCPT TO:<c@d>"]
    private static let sent = begun + ["S:250 ok", "C:DATA", "S:354 go on"]

    private static func row(_ begun: [String], _ more: [String], _ meaning: MailAnswer) -> (lines: [String], meaning: MailAnswer) { (begun + more, meaning) }
    static let failures: [(lines: [String], meaning: MailAnswer)] = [
        row([], [], .unavailable("why")),
        row([], ["S:554 no service"], .unavailable("why: 554 no service")),
        row(greeted, ["C:AUTH PLAIN c2VjcmV0", "S:535 no"], .unavailable("why: 535 no")),
        row(greeted, ["C:MAIL FROM:<a@b>", "S:550 who are you"], .unavailable("550 who are you")),
        row(greeted, ["C:MAIL FROM:<a@b>", "S:452 full"], .unavailable("452 full")),
        row(greeted, ["C:MAIL FROM:<a@b> SIZE=9", "S:552 too large"], .refused("552 too large")),
        row(begun, ["S:550-5.1.1 no", "S:550 5.1.1 such user"], .refused("550 5.1.1 such user")),
        row(begun, ["S:450 busy", "C:QUIT", "S:221 bye"], .later("450 busy")),
        row(begun, ["S:550 no", "C:QUIT", "S:421 bye"], .refused("550 no")),
        row(begun, ["S:421 closing"], .unavailable("421 closing")),
        row(begun, ["S:530 log in"], .unavailable("530 log in")),
        row(begun, [], .unavailable("why")),
        row(begun, ["S:250 ok", "C:DATA", "S:554 no"], .refused("554 no")),
        row(sent, [], .unavailable("why")),
        row(sent, ["5"], .unavailable("why")),
        row(sent, ["6"], .unknown("all was handed over, and then: why")),
        row(sent, ["5", "5"], .unknown("all was handed over, and then: why")),
        row(sent, ["6", "S:451 scanner is away"], .later("451 scanner is away")),
        row(sent, ["6", "S:554 a virus"], .refused("554 a virus")),
        row(sent, ["6", "S:421 closing"], .unavailable("421 closing")),
    ]

    @Test(arguments: failures) func `what a failure means stands in where the conversation was`(_ failure: (lines: [String], meaning: MailAnswer)) {
        #expect(answer(failure.lines) == failure.meaning)
    }

    @Test func `without TLS it is the server's fault, whatever it has said`() {
        #expect(answer(Self.greeted + ["S:550 no"], isTLS: false) == .unavailable("why"))
    }
}
