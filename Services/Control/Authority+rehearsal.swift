import Chassis
import Gate
import Identity
import Messaging
import Wire

/// What a pause would do if it were commanded now.
struct Rehearsal {
    let closure: Closure
    /// As it would begin, before anybody has answered.
    let tracker: StopTracker
    /// Whose capture it would stop.
    let agents: Set<String>
    /// Whose telemetry it concerns, captured or read: their agents.
    let concerned: [Node]
    /// Sorted; nil: no document says which there are.
    let classes: [String]?
    /// Closures in force that stop as much already.
    let coveredBy: [Epoch]
}

extension Authority {
    /// Plans a pause as ``perform(_:in:from:at:wall:)`` does, and stops there: no entry, no epoch, no push, and nothing that could be sent again as a command.
    ///
    /// - Throws: what the command would be refused with, whoever would sign it included.
    func rehearse(_ asked: WirePauseQuery, at now: Instant, wall exact: WallTime) throws(Refused) -> Rehearsal {
        let wall = WallTime(microseconds: exact.microseconds)
        guard let key = KeyID([UInt8](asked.key)) else { throw Refused(.malformed, "a pause is asked about with the id of the key that would sign it, 32 bytes") }
        let author: Operator
        do throws(CommandRefused) { author = try known.member(holding: key) } catch { throw Refused(error) }
        guard planned.operators[author.name] == author else { throw Refused(CommandRefused.revokedKey(of: author.name)) }
        var command = WireCommand()
        command.pause = asked.pause
        guard let command = command.value, case .paused(let closure)? = try planning.deeds(of: command, by: author.name, at: wall).first else {
            throw Refused(.invalid, "this is no pause")
        }
        let agents = agents(in: closure)
        let named = closure.selector.classes
        return Rehearsal(
            closure: closure, tracker: stops.tracker(closure, agents: agents, at: now), agents: agents,
            concerned: governance.nodes.values.filter { $0.role == .agent && closure.selector.matches($0.scope) },
            classes: named.isEmpty ? planning.classes?.sorted() : named.map(\.name).sorted(),
            coveredBy: governance.gate.closures.filter { $0.covers(closure) }.map(\.epoch))
    }
}

extension WireRehearsal {
    /// - Parameter current: Ordinals of agents whose lease is live.
    init(_ rehearsal: Rehearsal, current: Set<UInt32>) {
        self.init()
        closure = WireClosure(rehearsal.closure)
        services = rehearsal.tracker.awaited.sorted()
        idle = rehearsal.tracker.stoppedServices.keys.sorted()
        agents = UInt32(clamping: rehearsal.agents.count)
        agentNames = rehearsal.agents.smallest(Limits.rehearsedNamesMax)
        agentsCurrent = UInt32(clamping: rehearsal.concerned.count { rehearsal.agents.contains($0.name) && current.contains($0.ordinal) })
        let people = Set(rehearsal.concerned.map(\.scope.subject))
        subjects = UInt32(clamping: people.count)
        subjectNames = people.smallest(Limits.rehearsedNamesMax)
        classes = rehearsal.classes ?? []
        coveredBy = rehearsal.coveredBy.map(\.number)
    }
}

extension Sequence where Element: Comparable {
    /// The first of them in order. To sort all names of a large company would keep a pause waiting.
    fileprivate func smallest(_ count: Int) -> [Element] {
        var kept: [Element] = []
        for one in self where kept.count < count || one < kept[count - 1] {
            var (low, high) = (0, kept.count)
            while low < high {
                let middle = (low + high) / 2
                if kept[middle] < one { low = middle + 1 } else { high = middle }
            }
            kept.insert(one, at: low)
            if kept.count > count { kept.removeLast() }
        }
        return kept
    }
}
