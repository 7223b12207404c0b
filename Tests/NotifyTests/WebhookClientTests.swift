import Foundation
import Gate
import Testing
import Webhooks

@testable import sluice_notify

@Suite(.timeLimit(.minutes(1)))
struct WebhookClientTests {
    /// Posts once, on this thread: each of these answers within a second or so.
    func post(_ url: String, total: Span = .seconds(5), authorities: String? = nil) throws -> RetrySchedule.Answer {
        var client = try WebhookClient(.init(connect: .milliseconds(500), total: total, authorities: authorities))
        let headers = StandardWebhook.headers(id: "msg_1", at: WallTime(nanoseconds: 0), body: Data(), secrets: [try .init(secretText)])
        return client.post(Data("{}".utf8), to: url, headers: headers)
    }

    func isNone(_ answer: RetrySchedule.Answer, libcurl code: Int) -> Bool {
        guard case .none(let why) = answer else { return false }
        return why.hasSuffix("(libcurl \(code))")
    }

    @Test func `headers that never end, and silence, end with the time`() throws {
        for reply in [Receiver.Reply.hang, .dripHeaders] {
            let receiver = Receiver(script: [reply])
            let start = ContinuousClock.now
            #expect(isNone(try post(receiver.url, total: .milliseconds(400)), libcurl: 28))
            #expect(ContinuousClock.now - start < .seconds(2))
        }
    }

    @Test func `a body that drips has answered with its status`() throws {
        let receiver = Receiver(script: [.dripBody])
        #expect(try post(receiver.url, total: .milliseconds(400)) == .status(200))
    }

    @Test func `a body of a gigabyte is read up to the limit, and headers too`() throws {
        let receiver = Receiver(script: [.flood])
        #expect(try post(receiver.url) == .status(200))
        // What the kernel's buffers hold besides.
        #expect(receiver.flooded < 32 << 20)
        let endless = Receiver(script: [.floodHeaders])
        #expect(isNone(try post(endless.url), libcurl: 23))
        #expect(endless.flooded < 32 << 20)
    }

    @Test func `nobody there is a failure, and so is a scheme that is not http`() throws {
        #expect(isNone(try post("http://127.0.0.1:1/"), libcurl: 7))
        #expect(isNone(try post("file:///etc/hostname"), libcurl: 1))
        #expect(isNone(try post("http://user:pw@127.0.0.1:1/"), libcurl: 67))
    }

    @Test(.enabled(if: TLSServer.isPossible))
    func `a certificate that nobody vouches for is refused, and one that the given authority signed is taken`() throws {
        let folder = try Folder()
        let server = try TLSServer(folder: folder)
        #expect(isNone(try post("https://127.0.0.1:\(server.port)/"), libcurl: 60))
        #expect(try post("https://127.0.0.1:\(server.port)/", authorities: folder["cert.pem"]) == .status(204))
        // The right authority, for another name.
        #expect(isNone(try post("https://localhost:\(server.port)/", authorities: folder["cert.pem"]), libcurl: 60))
    }
}
