import Foundation
import Gate
import Ledger
import Messaging
import Wire

/// Who hands notices over at the moment, each part after the answer to the one before it. Touches no disk and no socket.
struct Handovers {
    /// Operators at once: each has megabytes in hand.
    static let most = 4

    /// Whose part goes to the disk, by the session that it came by: one of each operator, however many sessions they have.
    private var underWay: [String: Route] = [:]

    enum Answer: Hashable, Sendable { case take(Outbox.Decision), refuse(Refusal, String) }

    /// - Parameters:
    ///   - name: The operator's.
    ///   - decided: By the ledger that is followed, of each incident the oldest first; nil: it is not believed, or not read yet.
    ///   - closed: Incidents that are.
    mutating func begin(_ batch: WireNoticeBatch, from route: Route, by name: String, decided: [UInt64: [DecidedNotices]]?, closed: Set<UInt64>) -> Answer {
        guard batch.notices.count <= Limits.noticesPerBatchMax, batch.notices.count <= 1 || batch.notices.reduce(0, { $0 + $1.count }) <= Limits.noticeBatchBytesMax else {
            return .refuse(.tooLarge, "a part has \(Limits.noticesPerBatchMax) notices and \(Limits.noticeBatchBytesMax) bytes at most")
        }
        guard let decision = decided.flatMap({ Handovers.open($0, closed: closed).first { $0.number == batch.decision } }) else {
            return .refuse(.notFound, "entry \(batch.decision) is not the newest decision about the notices of an incident that is not closed, as far as notify has heard")
        }
        guard underWay[name] == nil else { return .refuse(.tooMany, "another part that \(name) hands over goes to the disk: the next comes after its answer") }
        guard underWay.count < Handovers.most else { return .refuse(.tooMany, "\(underWay.keys.sorted().joined(separator: ", ")) hand notices over, and \(Handovers.most) do at a time: the next comes after one of their parts") }
        underWay[name] = route
        return .take(decision)
    }

    /// - Returns: whose it was.
    mutating func end(_ route: Route) -> String {
        guard let name = underWay.first(where: { $0.value == route })?.key else { return "somebody" }
        underWay[name] = nil
        return name
    }

    /// The decisions whose notices may come: of each incident that is not closed the newest.
    ///
    /// What was decided again was wrong, and of a closed incident nobody is told any more: an old approval sends nothing.
    static func open(_ decided: [UInt64: [DecidedNotices]], closed: Set<UInt64>) -> Set<Outbox.Decision> {
        Set(decided.compactMap { incident, decided in
            guard !closed.contains(incident), let one = decided.last, let root = TreeHash(bytes: one.digest) else { return nil }
            return Outbox.Decision(number: one.index, incident: incident, count: one.count, root: root)
        })
    }
}
