import Foundation
import Gate
import Messaging
import Wire

/// One workstation's session: whose it is, what it was permitted, what it has under way.
final class AgentSession {
    let route: Route
    let node: Node
    /// Of the process on the other side: the same on every connection that it makes.
    let start: Data
    /// When it last asked for a permit on this session; a session that has not done so for a lease holds none.
    var renewed = Instant(nanoseconds: 0)
    /// The agent has said that capture outside the permit of this epoch has stopped.
    var acknowledged = Epoch.none
    /// The permit last granted or pushed, by its number in ``PermitTable``.
    var permit = PermitTable.nothing
    /// It was told that nothing is permitted any more, and has not acknowledged it.
    var isToldToStop = false
    /// The nonce of a renewal that is answered a little later: see ``Agents/answerOwed(at:)``.
    var owed: Data?
    /// The hash of the newest rules that it says to have.
    var rules = Data()
    var report = AgentCounts()
    /// Has asked for a permit on this session: its clock's offset is known.
    var hasRenewed = false
    /// Batches under way in all streams.
    private(set) var count = 0
    /// More than any window: one agent must not take what is meant for all.
    static let underWayMax = 256
    private var offsets: [Int64] = []
    private var nextOffset = 0
    /// Relayed and not answered, oldest first in each stream.
    private(set) var underWay: [UInt64: [Relayed]] = [:]

    struct Relayed {
        var sequence: UInt64
        var bytes: Int
        var since: Instant
    }

    init(route: Route, node: Node, start: Data) {
        self.start = start
        self.route = route
        self.node = node
    }

    /// The agent's wall clock minus this one, microseconds: of the last samples the one that travelled fastest.
    ///
    /// A delay makes the agent seem behind, its events later than they were: what is in doubt counts as captured after a closure.
    var offset: Int64 { offsets.max() ?? 0 }

    func noteOffset(_ microseconds: Int64) {
        if offsets.count < 8 { offsets.append(microseconds) } else { offsets[nextOffset] = microseconds }
        nextOffset = (nextOffset + 1) % 8
    }

    /// On from another connection of the same process: what it has counted, and how its clock stands.
    func goOn(from old: AgentSession) {
        report = old.report
        (offsets, nextOffset) = (old.offsets, old.nextOffset)
    }

    func relayed(_ stream: UInt64, _ item: Relayed) {
        underWay[stream, default: []].append(item)
        count += 1
    }

    /// Takes out what is answered: everything up to `sequence`, or that one alone.
    func answered(_ stream: UInt64, upTo sequence: UInt64, _ each: (Relayed) -> Void) {
        guard let list = underWay[stream] else { return }
        let done = list.prefix { $0.sequence <= sequence }
        done.forEach(each)
        underWay[stream]!.removeFirst(done.count)
        count -= done.count
        if underWay[stream]!.isEmpty { underWay[stream] = nil }
    }

    func refused(_ stream: UInt64, _ sequence: UInt64, _ each: (Relayed) -> Void) {
        guard let index = underWay[stream]?.firstIndex(where: { $0.sequence == sequence }) else { return }
        each(underWay[stream]!.remove(at: index))
        count -= 1
        if underWay[stream]!.isEmpty { underWay[stream] = nil }
    }

    /// Forgets everything that is under way: policy has lost it.
    func abandon() -> [UInt64: [Relayed]] {
        defer {
            underWay = [:]
            count = 0
        }
        return underWay
    }
}
