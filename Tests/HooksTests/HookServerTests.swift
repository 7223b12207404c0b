import Foundation
import Gate
import HTTPTypes
import HummingbirdCore
import Logging
import Messaging
import NIOCore
import Synchronization
import Testing
import Webhooks

@testable import sluice_hooks

/// What the doors answer, and in which order they ask. Time stands still: nothing that was used up comes back.
struct HookServerTests {
    private let doors: Doors

    init() throws { doors = try Doors() }

    @Test func `junk that looks signed uses up nobody's reports, also from behind the same address`() async {
        for number in 0..<Allowances.each.burst {
            let answer = await doors.send("junk-\(number)", by: Doors.other)
            #expect(answer.status == .unauthorized)
        }
        var answers: [Int] = []
        for number in 0..<Allowances.each.burst { answers.append(await doors.send("msg-\(number)").status.code) }
        #expect(answers == .init(repeating: 202, count: Allowances.each.burst))
    }

    @Test func `what is not known to be signed has a bound of its own for each address`() async {
        var answers: [Int] = []
        for number in 0...Allowances.unprovenEach.burst { answers.append(await doors.send("junk-\(number)", by: Doors.other).status.code) }
        #expect(answers == .init(repeating: 401, count: Allowances.unprovenEach.burst) + [429])
        let elsewhere = await doors.send("msg", from: "192.0.2.2")
        #expect(elsewhere.status == .accepted && doors.counts.all["limited"] == 1)
    }

    @Test func `who signs is bounded as well, by what they report`() async {
        var answers: [Int] = []
        for number in 0...Allowances.each.burst { answers.append(await doors.send("msg-\(number)").status.code) }
        #expect(answers == .init(repeating: 202, count: Allowances.each.burst) + [429])
    }

    @Test(arguments: [
        .init(id: "msg", timestamp: Doors.seconds - 301, signature: "v1,AA=="), .init(id: "msg", timestamp: Doors.seconds + 301, signature: "v1,AA=="), .init(id: "msg", timestamp: .min, signature: "v1,AA=="),
        .init(id: "m.sg", timestamp: Doors.seconds, signature: "v1,AA=="), .init(id: "msg", timestamp: Doors.seconds, signature: ""), .init(id: "msg", timestamp: Doors.seconds, signature: "AA=="),
        .init(id: "msg", timestamp: Doors.seconds, signature: [String](repeating: "v1,AA==", count: StandardWebhook.signaturesMax + 1).joined(separator: " ")),
    ] as [StandardWebhook.Headers])
    func `what its headers say already is not read`(_ headers: StandardWebhook.Headers) async {
        let reads = Reads()
        let answer = await doors.send(headers, reads.body)
        #expect(answer.status == .unauthorized && reads.count == 0)
    }

    @Test func `who signs with a key is believed by its public half, and who signs with another is not`() async throws {
        let believed = await doors.send("msg-1", by: Doors.key)
        #expect(believed.status == .accepted)
        let other = await doors.send("msg-2", by: "whsk_" + Data(repeating: 4, count: 32).base64EncodedString())
        #expect(other.status == .unauthorized)
        // The public half as a secret: who knows it alone signs nothing with it.
        let half = try StandardWebhook.SecretKey(Doors.key).publicKey.description.dropFirst(StandardWebhook.PublicKey.prefix.count)
        let forged = await doors.send("msg-3", by: "whsec_" + half)
        #expect(forged.status == .unauthorized)
    }

    @Test func `what its headers do not say is read`() async {
        let reads = Reads()
        let answer = await doors.send(.init(id: "msg", timestamp: Doors.seconds - 299, signature: "v1,AA== v2,AA=="), reads.body)
        #expect(answer.status == .unauthorized && reads.count == 1)
    }
}

/// A body that is empty, and knows whether somebody has asked for it.
private final class Reads: Sendable {
    private let asked = Mutex(0)
    var count: Int { asked.withLock { $0 } }
    var body: RequestBody {
        RequestBody(
            asyncSequence: AsyncStream<ByteBuffer> { [self] in
                asked.withLock { $0 += 1 }
                return nil
            })
    }
}

/// The doors without a socket.
private final class Doors: Sendable {
    let counts = HookCounts()
    let server: HookServer
    private let intake: Intake
    private let folder: Folder

    static let secret = "whsec_" + Data(repeating: 1, count: 32).base64EncodedString()
    static let other = "whsec_" + Data(repeating: 2, count: 32).base64EncodedString()
    static let key = "whsk_" + Data(repeating: 3, count: 32).base64EncodedString()
    static let now = wall(0)
    static let seconds = now.nanoseconds / 1_000_000_000

    init() throws {
        folder = try Folder()
        intake = Intake(try ReportStore(path: folder["reports.sqlite"]), rules: RuleBook.none, news: Mailbox(wakeup: try Wakeup()), logger: Logger(label: "hooks"))
        let credentials = Credentials(secrets: [try .init(Doors.secret), .key(try StandardWebhook.SecretKey(Doors.key).publicKey)])
        server = HookServer(intake, credentials: credentials, counts: counts, now: { Instant(nanoseconds: 0) }, wall: { Doors.now })
        intake.start()
    }

    deinit { intake.stop() }

    /// A message as a sender signs it.
    func send(_ id: String, by secret: String = Doors.secret, from address: String = "192.0.2.1") async -> HookServer.Answer {
        let body = Data("{}".utf8)
        // The tests' own secrets are secrets.
        guard let signer = try? StandardWebhook.Signer(secret) else { preconditionFailure("\(secret) is no secret") }
        return await send(StandardWebhook.headers(id: id, at: Doors.now, body: body, signers: [signer]), RequestBody(buffer: ByteBuffer(bytes: body)), from: address)
    }

    func send(_ headers: StandardWebhook.Headers, _ body: RequestBody, from address: String = "192.0.2.1") async -> HookServer.Answer {
        var fields = HTTPFields()
        for (name, value) in [("webhook-id", headers.id), ("webhook-timestamp", "\(headers.timestamp)"), ("webhook-signature", headers.signature), ("content-type", "application/json")] {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }
        let request = Request(head: HTTPRequest(method: .post, scheme: "http", authority: "sluice.example", path: "/hooks/standard", headerFields: fields), body: body)
        var unread = HookServer.Body(request.body)
        return await server.answer(to: request, &unread, from: Network(address))
    }
}
