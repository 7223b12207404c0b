import Foundation
import Gate
import Identity
import Messaging
import Rules
import Wire

/// A reader with the rights of an ordinary employee, who tries every few seconds what nobody of that kind may read: over policy's own port, as any reader does.
///
/// Lives on the reactor's thread. It holds no role and no grant: whatever is released to it is released to everybody.
final class Outsider {
    let link: Link
    /// One purpose and one class at a time, in turn.
    private var next = 0
    private var askedAt: Instant?
    private var asking: (id: Data, purpose: String, dataClass: String, release: UInt64, events: UInt64)?
    /// Probes that were answered, and since when none is.
    private(set) var probes: UInt64 = 0
    private(set) var answeredAt: Instant
    /// - Parameters: class, purpose, sentence.
    var found: (DataClass, String, String) -> Void = { _, _, _ in }

    static let every = Span.seconds(2)
    static let name = "sluice-outsider"
    static let user = "probe/\(name)"

    init(_ link: Link) {
        self.link = link
        answeredAt = Clock.now()
        link.received = { [unowned self] in take($0) }
    }

    /// - Parameter policy: Nil: no document is in force, and nobody has said what an ordinary employee may not read.
    func tick(_ policy: Policy?, at now: Instant) {
        link.tick(at: now)
        guard let policy else { return answeredAt = now }
        guard link.isWelcome, askedAt.map({ now - $0 >= Outsider.every }) ?? true else { return }
        // What the document means for everybody is no leak.
        let limited = Set(policy.document.classes.filter { $0.audienceMax != nil }.map(\.name))
        let wishes = policy.document.purposes.flatMap { purpose in purpose.classes.sorted().filter(limited.contains).map { (purpose.name, $0) } }
        guard !wishes.isEmpty else { return answeredAt = now }
        let (purpose, dataClass) = wishes[next % wishes.count]
        next = (next + 1) % wishes.count
        askedAt = now
        var body = WireReleaseRequest()
        body.id = Data([UInt8].random(16))
        body.classes = [dataClass]
        body.purpose = purpose
        body.justification = "may anybody read this? asked by policy itself"
        body.credit = 1
        asking = (body.id, purpose, dataClass, 0, 0)
        link.send(.releaseRequest, body)
    }

    private func take(_ message: consuming Inbound) {
        let now = Clock.now()
        switch message.kind {
        case .refused:
            // Denied is as it should be. Anything else, as a pause, tells nothing, and is no silence either.
            probes += 1
            answeredAt = now
            asking = nil
        case .release:
            guard let body = try? message.body(WireRelease.self), var probe = asking, body.id == probe.id else { return }
            probes += 1
            answeredAt = now
            probe.release = body.release
            asking = probe
            found(
                DataClass(probe.dataClass), probe.purpose,
                "probe \"ordinary employee\" may read \(body.events) events of \(body.subjects) people, class \(probe.dataClass), for \(probe.purpose) (release \(body.release))")
        default: break
        }
    }
}
