import Foundation
import Gate
import Testing

@testable import sluice_notify

@Suite(.timeLimit(.minutes(5)))
struct WebhookClientTests {
    /// Posts once, on this thread: each of these answers within a second or so.
    func post(_ url: String, total: Span = .seconds(120), authorities: String? = nil, mayBePrivate: Bool = true, ownPorts: Set<UInt16> = []) throws -> RetrySchedule.Answer {
        var client = try WebhookClient(.init(connect: .seconds(60), total: total, authorities: authorities, mayBePrivate: mayBePrivate, ownPorts: ownPorts))
        return client.post(Data("{}".utf8), to: url, lines: ["content-type: application/json"])
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
            #expect(ContinuousClock.now - start < .seconds(20))
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

    /// H01 of the faults that Sluice must bear. Each is tried at a port where somebody answers, and would if it were asked.
    @Test(arguments: [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::]",
        "169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]",
    ]) func `an address that is not the internet's is not connected to, however it is written, unless it was asked for`(host: String) throws {
        let receiver = Receiver()
        let url = "http://\(host):\(receiver.port)/hook"
        guard case .none(let why) = try post(url, mayBePrivate: false) else { Issue.record("\(host) has answered"); return }
        // Where there is no version 6, libcurl does not try.
        #expect(why.contains("allow_private") || host.hasPrefix("[") && why.hasSuffix("(libcurl 6)"), "\(why)")
        #expect(receiver.connections == 0)
        // The control: some of these lead to the receiver.
        guard ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost"].contains(host) else { return }
        #expect(try post(url) == .status(200))
        #expect(receiver.connections == 1)
    }

    @Test func `no hook leads to where the suite itself listens`() throws {
        let receiver = Receiver()
        guard case .none(let why) = try post(receiver.url, ownPorts: [receiver.port]) else { Issue.record("it has answered"); return }
        #expect(why.contains("own services"), "\(why)")
        #expect(receiver.connections == 0)
        let answer = try post(receiver.url, ownPorts: [receiver.port &+ 1])
        #expect(answer == .status(200), "\(answer)")
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

    @Test(.enabled(if: TLSServer.isPossible)) func `a certificate that has expired is refused, also where it is vouched for`() throws {
        let folder = try Folder()
        let server = try TLSServer(folder: folder, hasExpired: true)
        // By its date alone: the test above has taken one that is the same otherwise.
        #expect(isNone(try post("https://127.0.0.1:\(server.port)/", authorities: folder["cert.pem"]), libcurl: 60))
    }
}
