import Chassis
import Gate
import Rules
import Wire

/// What an agent says of its events. Of its words only those that are known are kept: each becomes a counter that control holds and
/// people see, in every report of this ingest, whose size costs it its lease.
struct AgentCounts: Hashable, Sendable {
    private(set) var accepted: UInt64 = 0
    private(set) var refused: [String: UInt64] = [:]
    /// Of what came to it as from this ingest. Not zero: somebody speaks in its name, or it is not itself.
    private(set) var pushes: [String: UInt64] = [:]

    /// Of what is left a number alone, by kind.
    private(set) var counted: [String: UInt64] = [:]
    private(set) var minimised: UInt64 = 0

    init() {}

    init(_ report: WireAgentReport) {
        accepted = report.eventsAccepted
        for (reason, count) in report.eventsRefused {
            refused[AgentCounts.reasons.contains(reason) ? reason : AgentCounts.other, default: 0].add(saturating: count)
        }
        for (kind, count) in report.eventsCounted { counted[AgentCounts.kinds.contains(kind) ? kind : AgentCounts.other, default: 0].add(saturating: count) }
        minimised = report.eventsMinimised
        for (reason, count) in report.pushesRefused {
            pushes[AgentCounts.pushReasons.contains(reason) ? reason : AgentCounts.other, default: 0].add(saturating: count)
        }
    }

    static let pushReasons: Set<String> = Set(PushRefused.allCases.map(\.rawValue))

    /// Of an agent that has words of its own.
    static let other = "other"
    static let reasons: Set<String> = Set(CaptureRefused.allCases.map(\.rawValue)).union(EventLineError.words).union(["spool-full"]).union(Policy.CaptureReason.words)
    static let kinds: Set<String> = Set(Event.Kind.allCases.map(\.word))
}
