import Foundation
import Gate
import Identity
import Ledger
import Synchronization

@testable import sluice_notify

let secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
let otherSecretText = "whsec_" + Data(repeating: 7, count: 32).base64EncodedString()

/// A wall clock that a test sets.
final class TestClock: Sendable {
    private let time = Mutex(WallTime(nanoseconds: 1_800_000_000_000_000_000))

    var now: WallTime { time.withLock { $0 } }
    func advance(by span: Span) { time.withLock { $0 = $0 + span } }
}

/// A folder of its own, gone when the test is.
final class Folder: Sendable {
    let path = NSTemporaryDirectory() + "notify-" + UUID().uuidString

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(_ name: String) -> String { path + "/" + name }
}

extension Hooks {
    /// Hooks by name and URL, all with the same secrets.
    static func to(_ urls: KeyValuePairs<String, String>, secrets: [String] = [secretText]) throws -> Hooks {
        let hooks = urls.map { ["name": $0.key, "url": $0.value, "secrets": secrets, "allow_private": true] as [String: Any] }
        return try Hooks(json: JSONSerialization.data(withJSONObject: ["hooks": hooks]), path: "test")
    }
}

extension Message {
    static func test(_ number: Int, of incident: UInt64? = nil, at time: WallTime = WallTime(nanoseconds: 0)) -> Message {
        Message(id: "msg_j_\(number)", type: "gate.paused", incident: incident, body: Data(#"{"number":\#(number)}"#.utf8), created: time)
    }
}

extension Outbox.Told {
    /// An entry that tells the message of its number.
    static func test(_ number: Int, of incident: UInt64? = nil, at time: WallTime = WallTime(nanoseconds: 0), leaf: String? = nil) -> Outbox.Told {
        Outbox.Told(index: UInt64(number), hash: TreeHash(leaf: Array((leaf ?? "\(number)").utf8)), message: .test(number, of: incident, at: time))
    }
}

/// A delivery that runs, over an outbox on a clock that stands still until it is moved.
struct Scene {
    let folder: Folder
    let clock: TestClock
    let outbox: Outbox
    let delivery: Delivery
    private let duty: Task<Void, any Error>

    init(folder: Folder, clock: TestClock = TestClock(), hooks: Hooks, total: Span = .seconds(10), together: Span = .milliseconds(20), file: String = "outbox.sqlite") throws {
        self.folder = folder
        self.clock = clock
        outbox = try Outbox(path: folder[file])
        var settings = Delivery.Settings()
        settings.client = WebhookClient.Settings(connect: .seconds(2), total: total)
        settings.together = together
        let delivery = try Delivery(from: outbox, to: hooks, settings: settings, now: { clock.now }, jitter: { 0 })
        self.delivery = delivery
        // Awaited, and told to stop, by stop().
        duty = Task { try await delivery.run() }
    }

    func take(_ numbers: ClosedRange<Int>, on channels: [String] = ["oncall"]) throws {
        for number in numbers {
            try outbox.take([.test(number, at: clock.now)], channels: channels, at: clock.now)
        }
        delivery.wake()
    }

    func advance(by span: Span) {
        clock.advance(by: span)
        delivery.wake()
    }

    /// Ends the delivery. What it had in hand is recorded then.
    func stop() async throws {
        delivery.stop()
        try await duty.value
    }
}

extension Outbox.Mail {
    static func test(_ number: Int, to recipient: String = "ops@example.com", incident: UInt64? = nil, at time: WallTime = WallTime(nanoseconds: 0)) -> Outbox.Mail {
        Outbox.Mail(id: "mail_\(number)", type: "gate.paused", recipient: recipient, incident: incident, bytes: Data("Subject: \(number)\r\n\r\n.\(number)\r\n".utf8), created: time)
    }
}

/// What was answered where it does not matter.
extension Outbox {
    func delivered(_ id: String, on channel: String, at now: WallTime) throws(OutboxError) { try delivered(id, on: channel, .init(at: now, code: 204, text: "HTTP 204")) }
    func failed(_ id: String, on channel: String, why: String, retryAt: WallTime?, hold: WallTime? = nil) throws(OutboxError) {
        try failed(id, on: channel, .init(at: retryAt ?? WallTime(nanoseconds: 0), code: nil, text: why), retryAt: retryAt, hold: hold)
    }
    func disable(_ channel: String, after id: String, why: String, at now: WallTime) throws(OutboxError) { try disable(channel, after: id, .init(at: now, code: 410, text: why)) }
}

/// What two operators would have signed, with what proves each part of it.
struct Signed {
    let decision: Outbox.Decision
    let notices: [Outbox.Notice]
    private var tree = MerkleLevels()

    init(number: UInt64 = 9, incident: UInt64 = 7, _ notices: [Outbox.Notice]) {
        self.notices = notices
        for notice in notices { tree.append(TreeHash(leaf: notice.bytes)) }
        decision = Outbox.Decision(number: number, incident: incident, count: tree.size, root: tree.root)
    }

    /// For the part that ends before this one.
    func proof(to end: Int) -> [TreeHash] { tree.consistencyProof(older: UInt64(end)) }
}

extension Outbox {
    /// A part as it was signed.
    func hold(_ part: Range<Int>, of signed: Signed, by name: String = "ops-1", at now: WallTime) throws(OutboxError) -> Handover {
        try hold(Array(signed.notices[part]), from: UInt64(part.lowerBound), of: signed.decision, proof: signed.proof(to: part.upperBound), by: name, at: now)
    }

    /// All of a decision in one part, with what follows when it is taken.
    func hold(_ notices: [Notice], from first: UInt64, of decision: Decision, at now: WallTime) throws(OutboxError) -> Handover {
        let answer = try hold(notices, from: first, of: decision, proof: [], by: "ops-1", at: now)
        if case .taken(_, new: true) = answer { _ = try spreadAll(at: now) }
        return answer
    }

    /// - Returns: steps, the last of each decision with what was not sent again.
    @discardableResult
    func spreadAll(at now: WallTime, limit: Int = 1_000) throws(OutboxError) -> [Spread] {
        var steps: [Spread] = []
        while let step = try spread(at: now, limit: limit) { steps.append(step) }
        return steps
    }
}

extension NoticeKey {
    static let test = NoticeKey(SecretBytes([UInt8](repeating: 1, count: 32)))
}

extension Outbox.Decision {
    /// Of these, as two operators would have signed it.
    init(number: UInt64 = 9, incident: UInt64 = 7, _ notices: [Outbox.Notice]) {
        var frontier = MerkleFrontier()
        for notice in notices { _ = frontier.append(TreeHash(leaf: notice.bytes)) }
        self.init(number: number, incident: incident, count: UInt64(notices.count), root: frontier.root)
    }
}

extension Outbox.Notice {
    /// E0001 …, each with a mail of its own; nil: with no address.
    static func test(_ number: Int, to address: String? = "", decision: UInt64 = 9) -> Outbox.Notice {
        let subject = "E" + String("000\(number)".suffix(4))
        let mail = Outbox.Mail(
            id: "mail_\(decision)_\(subject)", type: "notice", recipient: address == "" ? "\(subject.lowercased())@example.com" : address ?? "", incident: 7,
            bytes: Data("Date: x\r\nMessage-ID: <mail_\(decision)_\(subject)@example.com>\r\n\r\nTo \(subject).\r\n".utf8), created: WallTime(nanoseconds: 0))
        return Outbox.Notice(subject: subject, language: "de", bytes: Data("notice of \(subject) by \(decision)".utf8), way: address == nil ? .unreachable(why: "there is no address") : .mail(mail))
    }
}
