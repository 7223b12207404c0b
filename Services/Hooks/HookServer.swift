import Foundation
import Gate
import HTTPTypes
import HummingbirdCore
import Identity
import Logging
import Messaging
import NIOCore
import NIOHTTPTypes
import Rules
import Synchronization
import Webhooks

/// Why a request, or a connection, was not taken, since this process began. Shown in `sluice status`.
final class HookCounts: Sendable {
    enum Name: String, CaseIterable {
        case requests, unauthenticated, limited, malformed
        /// Connections that ended at once: their address had enough.
        case crowded
        case tooLarge = "too-large"
        case wrongType = "wrong-type"
        case unstored
    }

    private let counts = Mutex<[Name: UInt64]>([:])

    func count(_ name: Name) { counts.withLock { $0[name, default: 0] += 1 } }
    var all: [String: UInt64] { counts.withLock { counts in Dictionary(uniqueKeysWithValues: Name.allCases.map { ($0.rawValue, counts[$0] ?? 0) }) } }
}

/// The doors to which other systems bring their reports: HTTP/1.1, three paths, and nothing else.
///
/// Who speaks is asked first, then how much and how often; only then is a body looked into. A signed body has to be read before it is known who sent it: there how often comes
/// first, and once more when it is known (``Allowances``).
final class HookServer: Sendable {
    private let intake: Intake
    private let counts: HookCounts
    private let credentials: Mutex<Credentials>
    private let allowances = Mutex(Allowances())
    private let connections = Mutex(ConnectionTable())
    private let now: @Sendable () -> Instant
    private let wall: @Sendable () -> WallTime

    /// Bodies. 1 MiB is three thousand alerts.
    static let bodyBytesMax = 1 << 20
    /// From the first byte of a request to its last; a connection on which nothing comes ends as soon.
    static let requestWithin = TimeAmount.seconds(10)
    /// Of all; what comes then waits. How many of one address: ``ConnectionTable``.
    static let connectionsMax = 64
    static let headerBytesMax = 16 << 10
    /// What a refused sender may go on sending before the connection ends: an answer that meets a full pipe is not read.
    private static let drainedMax = 4 << 20

    init(
        _ intake: Intake, credentials: Credentials, counts: HookCounts, now: @escaping @Sendable () -> Instant = { Clock.now() }, wall: @escaping @Sendable () -> WallTime = { Clock.wall() }
    ) {
        self.intake = intake
        self.counts = counts
        self.credentials = Mutex(credentials)
        self.now = now
        self.wall = wall
    }

    func use(_ change: (inout Credentials) -> Void) { credentials.withLock { change(&$0) } }

    func admit(_ network: Network) -> Bool {
        let isAdmitted = connections.withLock { $0.admit(network) }
        if !isAdmitted { counts.count(.crowded) }
        return isAdmitted
    }

    func left(_ network: Network) { connections.withLock { $0.left(network) } }

    /// What a request came to. Its words are for whoever sent it.
    struct Answer: Error {
        var status: HTTPResponse.Status
        var words: String
        var retryAfter: Span?
        /// The body was not read to its end.
        var isEarly = true

        init(_ status: HTTPResponse.Status, _ words: String, after retryAfter: Span? = nil, isEarly: Bool = true) {
            self.status = status
            self.words = words
            self.retryAfter = retryAfter
            self.isEarly = isEarly
        }
    }

    /// The connection is not used again.
    private struct Ended: Error {}

    @Sendable func respond(to request: Request, with writer: consuming ResponseWriter, on channel: any Channel) async throws {
        counts.count(.requests)
        var body = Body(request.body)
        let answer = await answer(to: request, &body, from: Network(channel.remoteAddress?.ipAddress ?? ""))
        var head = HTTPResponse(status: answer.status)
        let words = ByteBuffer(string: answer.words + "\n")
        head.headerFields[.contentType] = "application/json"
        head.headerFields[.contentLength] = "\(words.readableBytes)"
        if answer.status == .unauthorized { head.headerFields[.wwwAuthenticate] = "Bearer, Basic realm=\"sluice\"" }
        if let wait = answer.retryAfter { head.headerFields[.retryAfter] = "\(max(1, (wait.milliseconds + 999) / 1_000))" }
        let ends = answer.isEarly && answer.status != .ok
        if ends { head.headerFields[.connection] = "close" }
        try await writer.write(response: head, body: ResponseBody(byteBuffer: words))
        guard ends else { return }
        var left = HookServer.drainedMax
        while left > 0, let part = try await body.next() { left -= part.readableBytes }
        throw Ended()
    }

    /// A request's body can be walked once: who refuses it halfway, and drains the rest, goes on where reading ended.
    struct Body {
        private let whole: RequestBody
        private var parts: RequestBody.AsyncIterator?

        init(_ whole: RequestBody) { self.whole = whole }

        mutating func next() async throws -> ByteBuffer? {
            var parts = parts ?? whole.makeAsyncIterator()
            defer { self.parts = parts }
            return try await parts.next()
        }
    }

    func answer(to request: Request, _ body: inout Body, from network: Network) async -> Answer {
        do throws(Answer) { return try await judge(request, &body, from: network) } catch { return error }
    }

    private func judge(_ request: Request, _ body: inout Body, from network: Network) async throws(Answer) -> Answer {
        switch (request.method, request.uri.path) {
        case (.get, "/health"):
            try limit(.stranger, network)
            return Answer(.ok, #"{"status":"ok"}"#, isEarly: false)
        case (.post, "/hooks/alertmanager"):
            guard credentials.withLock({ $0.admits(request.headers[.authorization]) }) else {
                try limit(.stranger, network)
                throw refuse(.unauthenticated, .unauthorized, "a token that counts is needed")
            }
            try check(request)
            try limit(.reporter(.alertmanager), network)
            return try await submit(.init(hook: .alertmanager, body: try await read(&body)))
        case (.post, "/hooks/standard"): return try await signed(request, &body, from: network)
        case (_, "/health"), (_, "/hooks/alertmanager"), (_, "/hooks/standard"):
            try limit(.stranger, network)
            throw Answer(.methodNotAllowed, problem("there is another method for this path"))
        default:
            try limit(.stranger, network)
            throw Answer(.notFound, problem("there is nothing here"))
        }
    }

    private func signed(_ request: Request, _ unread: inout Body, from network: Network) async throws(Answer) -> Answer {
        func field(_ name: String) -> String { HTTPField.Name(name).flatMap { request.headers[$0] } ?? "" }
        let (id, signature) = (field("webhook-id"), field("webhook-signature"))
        let secrets = credentials.withLock { $0.secrets }
        // What is plain before the body is read, is said before.
        guard !secrets.isEmpty, StandardWebhook.isID(id), StandardWebhook.isSignature(signature), let timestamp = Int64(field("webhook-timestamp")) else {
            try limit(.stranger, network)
            throw refuse(.unauthenticated, .unauthorized, "webhook-id, webhook-timestamp and webhook-signature are needed")
        }
        guard StandardWebhook.isPresent(timestamp, at: wall()) else {
            try limit(.stranger, network)
            throw refuse(.unauthenticated, .unauthorized, "the timestamp is more than five minutes away")
        }
        try check(request)
        try limit(.unproven, network)
        let body = try await read(&unread)
        do throws(StandardWebhook.Refused) {
            try StandardWebhook.check(.init(id: id, timestamp: timestamp, signature: signature), body: body, verifiers: secrets, at: wall())
        } catch {
            var answer = refuse(.unauthenticated, .unauthorized, error == .unsigned ? "no signature is right for a secret that counts" : "the timestamp is more than five minutes away")
            answer.isEarly = false
            throw answer
        }
        try limit(.reporter(.standard), network, isEarly: false)
        return try await submit(.init(hook: .standard, id: id, body: body))
    }

    private func submit(_ submission: Intake.Submission) async throws(Answer) -> Answer {
        switch await intake.take(submission) {
        case .taken(let receipt): return Answer(.accepted, #"{"new":\#(receipt.new),"known":\#(receipt.known),"matched":\#(receipt.matched)}"#, isEarly: false)
        case .refused(let why):
            var answer = refuse(.malformed, .badRequest, why.words)
            answer.isEarly = false
            throw answer
        case .unstored:
            counts.count(.unstored)
            throw Answer(.serviceUnavailable, problem("it cannot be stored now"), after: .seconds(5), isEarly: false)
        case .busy:
            counts.count(.limited)
            throw Answer(.serviceUnavailable, problem("too much waits already"), after: .seconds(1), isEarly: false)
        }
    }

    /// What its headers say of the body.
    private func check(_ request: Request) throws(Answer) {
        let type = request.headers[.contentType]?.split(separator: ";").first.map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
        guard type == "application/json" else { throw refuse(.wrongType, .unsupportedMediaType, "application/json is needed") }
        // What is packed may be anything when it is unpacked.
        guard request.headers[.contentEncoding].map({ $0 == "identity" }) ?? true else { throw refuse(.wrongType, .unsupportedMediaType, "no encoding is taken") }
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > HookServer.bodyBytesMax { throw tooLarge }
    }

    private func read(_ body: inout Body) async throws(Answer) -> Data {
        var bytes = Data()
        do {
            while let part = try await body.next() {
                guard bytes.count + part.readableBytes <= HookServer.bodyBytesMax else { throw tooLarge }
                bytes.append(contentsOf: part.readableBytesView)
            }
            return bytes
        } catch { throw error as? Answer ?? Answer(.badRequest, problem("the body did not come whole")) }
    }

    private var tooLarge: Answer { refuse(.tooLarge, .contentTooLarge, "a body has \(HookServer.bodyBytesMax) bytes at most") }

    /// - Parameter isEarly: The body was not read.
    private func limit(_ asker: Allowances.Asker, _ network: Network, isEarly: Bool = true) throws(Answer) {
        guard let wait = allowances.withLock({ $0.take(asker, from: network, at: now()) }) else { return }
        counts.count(.limited)
        throw Answer(.tooManyRequests, problem("too many requests"), after: wait, isEarly: isEarly)
    }

    private func refuse(_ name: HookCounts.Name, _ status: HTTPResponse.Status, _ words: String) -> Answer {
        counts.count(name)
        return Answer(status, problem(words))
    }

    /// Words of ours alone: none needs escaping.
    private func problem(_ words: String) -> String { #"{"error":"\#(words)"}"# }
}
