import Wire

/// Agents that send what nobody can have sealed: counted, and from a limit on not listened to any more.
///
/// An agent is forgotten when it is removed or registered anew: it then has another ordinal. Bounded by the registry, and in any case.
struct Quarantine {
    private(set) var counts: [UInt32: Int] = [:]
    /// Their entries are small; who is quarantined is never dropped for room.
    static let agentsMax = 65_536

    func holds(_ agent: UInt32) -> Bool { counts[agent, default: 0] >= Limits.unsealableMax }

    /// How many are not listened to.
    var count: Int { counts.values.count { $0 >= Limits.unsealableMax } }

    /// Counts a batch that could not be opened.
    ///
    /// - Returns: whether the agent is quarantined by this one.
    mutating func note(_ agent: UInt32) -> Bool {
        if counts[agent] == nil, counts.count >= Quarantine.agentsMax { counts = counts.filter { $0.value >= Limits.unsealableMax } }
        let before = counts[agent, default: 0]
        guard before < Limits.unsealableMax else { return false }
        guard before > 0 || counts.count < Quarantine.agentsMax else { return false }
        counts[agent] = before + 1
        return before + 1 == Limits.unsealableMax
    }

    mutating func forget(_ agent: UInt32) { counts[agent] = nil }
}
