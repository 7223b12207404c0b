import Gate
import Rules
import Vault

/// What is written down of drift, so that a restart forgets nothing of it: as many people of a class are named in a minute as a finding would name, and the others together.
///
/// The writer's thread's own. Without it, whoever is restarted every hour would never find what comes slowly.
struct DriftRows {
    private var minute: Int64 = .min
    private var named: [DataClass: Set<String>] = [:]

    /// As long as a limit looks back, in minutes.
    static let reach = Int64(GrantRate.Period.week.hours * 60)

    /// - Parameter times: −1: it is taken out again.
    mutating func counts(of drift: Drift, in minute: Int64, isStored: Bool, times: Int64 = 1) -> [DriftCount] {
        if minute != self.minute { (self.minute, named) = (minute, [:]) }
        var names = named[drift.dataClass] ?? []
        if names.count < DriftTally.subjectsMax { names.insert(drift.subject) }
        named[drift.dataClass] = names
        let subject = names.contains(drift.subject) ? drift.subject : ""
        return drift.into.map { DriftCount(minute: minute, drift.dataClass.name, of: subject, into: $0.key, isStored: isStored, events: times * Int64($0.value)) }
    }
}

extension DriftTally {
    /// As it was before a restart.
    init(_ counts: [DriftCount]) {
        self.init()
        for one in counts { remember(Drift(DataClass(one.dataClass), of: one.subject, into: [one.into: Int(one.events)]), isStored: one.isStored, minute: one.minute) }
    }
}
