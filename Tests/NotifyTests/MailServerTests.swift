import Foundation
import Gate
import Mail
import Messaging
import Testing

@testable import sluice_notify

/// Against a server that speaks SMTP over TLS, and fails some of the recipients by how they are called.
@Suite(.enabled(if: TLSServer.isPossible), .timeLimit(.minutes(5)))
struct MailServerTests {
    let folder: Folder
    let outbox: Outbox
    let clock = TestClock()
    let server: TLSServer
    let mail: MailSettings

    private static let script = """
        import os, socket, ssl, sys, threading, time
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[1])
        taken = os.path.join(os.path.dirname(sys.argv[1]), 'taken')
        lock = threading.Lock()
        def serve(plain):
            try:
                lines = context.wrap_socket(plain, server_side=True).makefile('rwb', buffering=0)
                say = lambda text: lines.write(text.encode() + b'\\r\\n')
                say('220 test')
                who = ''
                while line := lines.readline().decode():
                    word = line[:4].upper()
                    if word == 'RCPT':
                        who = line.split('<')[1].split('@')[0]
                        while who.startswith('slow'):
                            say('250-not yet')
                            time.sleep(0.02)
                        say('550 5.1.1 nobody here' if who.startswith('gone') else '451 4.3.2 not now' if who.startswith('later') else '250 ok')
                    elif word == 'DATA':
                        say('354 go on')
                        while lines.readline() not in (b'.\\r\\n', b''): pass
                        with lock, open(taken, 'a') as file: file.write(who + '\\n')
                        if who.startswith('drop'): return plain.close()
                        if who.startswith('silent'): time.sleep(600)
                        say('250 2.0.0 queued as ' + who)
                    elif word == 'QUIT': return say('221 bye')
                    else: say('250 ok')
            except OSError: pass
        listener = socket.create_server(('127.0.0.1', 0))
        print(listener.getsockname()[1], flush=True)
        while True: threading.Thread(target=serve, args=[listener.accept()[0]], daemon=True).start()
        """

    init() throws {
        folder = try Folder()
        outbox = try Outbox(path: folder["outbox.sqlite"])
        server = try TLSServer(folder: folder, script: MailServerTests.script)
        let text = #"{"mail":{"url":"smtps://127.0.0.1:\#(server.port)","from":"sluice@example.com","operators":[],"ca":"\#(folder["cert.pem"])"}}"#
        mail = try NotifyFile.read(json: Data(text.utf8), path: "p").mail
    }

    /// Who was handed over whole, in order.
    var taken: [String] { ((try? String(contentsOfFile: folder["taken"], encoding: .utf8)) ?? "").split(separator: "\n").map(String.init) }

    func deliver(until condition: @escaping () throws -> Bool) async throws {
        let clock = clock
        let delivery = try Delivery(from: outbox, to: .none, mail: MailRoute(settings: mail, folder: folder["none"]), now: { clock.now }, jitter: { 0 })
        async let duty: Void = delivery.run()
        try await eventually(condition)
        delivery.stop()
        try await duty
    }

    func take(_ names: [String]) throws {
        let notices = names.enumerated().map { Outbox.Notice.test($0.offset + 1, to: "\($0.element)@example.com") }
        _ = try outbox.hold(notices, from: 0, of: Outbox.Decision(notices), at: clock.now)
    }

    @Test func `with half of the recipients failing everybody else has theirs, once, and each answer is kept`() async throws {
        try take((1...40).map { $0 % 4 == 0 ? "gone\($0)" : $0 % 4 == 2 ? "later\($0)" : "ok\($0)" })
        try await deliver { try outbox.rounds(of: 7, limit: 0).first?.waiting == 0 }
        let round = try #require(try outbox.rounds(of: 7, limit: 99).first)
        #expect((round.delivered, round.retrying, round.unreachable) == (20, 10, 10))
        #expect(round.next == clock.now + .seconds(5))
        #expect(taken.sorted() == (1...40).filter { $0 % 2 == 1 }.map { "ok\($0)" }.sorted(), "each once, and nobody else")
        #expect(Set(round.unreached.map(\.why)) == ["550 5.1.1 nobody here"])
        for (subject, code, text) in [("E0001", 250, "250 2.0.0 queued as ok1"), ("E0002", 451, "451 4.3.2 not now"), ("E0004", 550, "550 5.1.1 nobody here")] {
            #expect(try outbox.sent(to: subject, of: 7).first?.attempts.map(\.answered) == [.init(at: clock.now, code: code, text: text)])
        }
        #expect(try outbox.foundInHand() == 0)
    }

    @Test func `a server that drops the connection after the last dot may have it, and gets the same again at its time`() async throws {
        try take(["drop", "ok"])
        try await deliver { try outbox.rounds(of: 7, limit: 0).first.map { $0.retrying == 1 && $0.delivered == 1 } ?? false }
        #expect(taken.sorted() == ["drop", "ok"])
        #expect(try outbox.undelivered(limit: 9).map(\.copies) == [1])
        clock.advance(by: .seconds(5))
        try await deliver { try outbox.undelivered(limit: 9).map(\.attempts) == [2] }
        #expect(taken.sorted() == ["drop", "drop", "ok"])
    }

    @Test func `a server that speaks without an end is left after its time, and has nothing`() throws {
        func send(_ name: String, within total: Span) throws -> MailAnswer {
            let client = try MailClient(#require(mail.server), .init(total: total, final: .seconds(30)))
            return client.send(Data("Subject: x\r\n\r\nx\r\n".utf8), from: mail.from.address, to: try MailAddress("\(name)@example.com"))
        }
        #expect(try send("ok", within: .seconds(30)) == .taken("250 2.0.0 queued as ok"), "the control")
        guard case .unavailable = try send("slow", within: .seconds(1)) else { Issue.record("it was taken, or may have been"); return }
        #expect(taken == ["ok"])
    }

    @Test func `a server that never answers the last dot is left after its time, and may have the mail`() throws {
        let client = try MailClient(#require(mail.server), .init(total: .seconds(30), final: .milliseconds(200)))
        func send(_ name: String) throws -> MailAnswer { client.send(Data("Subject: x\r\n\r\nx\r\n".utf8), from: mail.from.address, to: try MailAddress("\(name)@example.com")) }
        #expect(try send("ok") == .taken("250 2.0.0 queued as ok"), "the control")
        var conversation = MailConversation(handOver: Instant(nanoseconds: 60), final: Span(nanoseconds: 600))
        #expect(!conversation.isOverdue(at: Instant(nanoseconds: 59)) && conversation.isOverdue(at: Instant(nanoseconds: 60)))
        Array("DATA\r\n".utf8).withUnsafeBytes { conversation.said($0) }
        #expect(!conversation.isOverdue(at: Instant(nanoseconds: 659)) && conversation.isOverdue(at: Instant(nanoseconds: 660)), "all of nothing is handed over")
        let short = try MailClient(#require(mail.server), .init(total: .seconds(1), final: .milliseconds(200)))
        let answer = short.send(Data("Subject: x\r\n\r\nx\r\n".utf8), from: mail.from.address, to: try MailAddress("silent@example.com"))
        // Whichever of libcurl's clock and ours comes first. On a machine that is slower than that it is not even connected by then.
        switch answer {
        case .unknown(let why): #expect(why.hasPrefix("all was handed over, and then: "))
        case .unavailable: break
        default: Issue.record("\(answer)")
        }
    }
}
