import Foundation
import Gate
import Identity
import Messaging
import Rules
import Wire

/// A reader with the rights of an ordinary employee, who asks every few seconds for what few may read: over policy's own port, as any reader does.
///
/// Lives on the reactor's thread. It holds no role and no grant: what it would be released, everybody would. Nothing is: that it may is what is found.
final class Outsider {
    let link: Link
    /// One purpose and one class at a time, in turn.
    private var next = 0
    private var askedAt: Instant?
    private var greetedAt: Instant?
    private var asking: Data?
    /// Those that said whether everybody may.
    private(set) var probes: UInt64 = 0
    /// When the last of them did.
    private(set) var answeredAt: Instant

    static let every = Span.seconds(2)
    /// After so long without an answer another is asked.
    private static let patience = Span.seconds(10)
    static let user = "probe/\(Probe.name)"

    init(_ link: Link) {
        self.link = link
        answeredAt = Clock.now()
        link.received = { [unowned self] in take($0) }
    }

    /// What it asks for: each purpose with each of its classes whose audience is limited, but those that two operators have named as open to more.
    static func wishes(_ document: PolicyDocument, over: Set<String>) -> [(purpose: String, dataClass: String)] {
        let limited = Set(document.classes.filter { $0.audienceMax != nil }.map(\.name)).subtracting(over)
        return document.purposes.flatMap { purpose in purpose.classes.sorted().filter(limited.contains).map { (purpose.name, $0) } }
    }

    /// - Parameter policy: Nil: no document is in force, and nobody may read anything.
    func tick(_ policy: Policy?, over: Set<String>, at now: Instant) {
        link.tick(at: now)
        // Who says nothing for long is forgotten, and has to begin anew.
        if link.isWelcome, greetedAt.map({ now - $0 >= .seconds(1) }) ?? true {
            greetedAt = now
            var body = WireRenew()
            body.nonce = Data([UInt8].random(16))
            link.send(.renew, body)
        }
        guard let policy, case let wishes = Outsider.wishes(policy.document, over: over), !wishes.isEmpty else { return answeredAt = now }
        guard link.isWelcome, askedAt.map({ now - $0 >= (asking == nil ? Outsider.every : Outsider.patience) }) ?? true else { return }
        let (purpose, dataClass) = wishes[next % wishes.count]
        next = (next + 1) % wishes.count
        askedAt = now
        var body = WireReleaseRequest()
        body.id = Data([UInt8].random(16))
        body.classes = [dataClass]
        body.purpose = purpose
        body.justification = "may anybody read this? asked by policy itself"
        body.credit = 1
        asking = body.id
        link.send(.releaseRequest, body)
    }

    private func take(_ message: consuming Inbound) {
        guard message.kind == .refused, let body = try? message.body(WireRefused.self), asking != nil else { return }
        asking = nil
        // A pause, a lease that has ended, a vault that is full: it says nothing of what would be otherwise.
        guard body.code == Refusal.denied.rawValue else { return }
        probes += 1
        answeredAt = Clock.now()
    }
}
