package import Gate
package import Rules

/// What is left of one event, and why.
package struct Verdict: Hashable, Sendable {
    package enum Left: Hashable, Sendable {
        case kept(DataClass, Event)
        case counted(Event.Kind)
        case dropped
    }

    package var left: Left
    /// The class that it was found to have; nil: none.
    package var dataClass: DataClass?
    package var reason: Policy.CaptureReason
    /// Something was taken out of what is kept.
    package var isLess = false
}

/// What became of events, in numbers: nothing is dropped in silence.
package struct EnforcementCounts: Hashable, Sendable {
    /// By reason: ``Policy/CaptureReason/word``.
    package var dropped: [String: UInt64] = [:]
    /// By kind: of these, how many there were is all that is left.
    package var counted: [String: UInt64] = [:]
    /// Kept without what was found in them, or for their time alone.
    package var minimised: UInt64 = 0

    package init() {}

    package mutating func count(_ verdict: Verdict) {
        switch verdict.left {
        case .kept: if verdict.isLess { minimised += 1 }
        case .counted(let kind): counted[kind.word, default: 0] += 1
        case .dropped: dropped[verdict.reason.word, default: 0] += 1
        }
    }

    package mutating func add(_ other: EnforcementCounts) {
        dropped.merge(other.dropped, uniquingKeysWith: +)
        counted.merge(other.counted, uniquingKeysWith: +)
        minimised += other.minimised
    }
}
