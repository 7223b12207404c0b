import Foundation
import Gate
import Ledger

/// The clock of GDPR Article 33: from the discovery of a leak to the report to the authority. Reads no clock.
///
/// Operators are reminded until somebody says that it was told, or that it is over. What was missed, because nobody ran or because the clock was set forward, is said
/// once each. A clock that is set back says nothing twice: each reminder has one id for good, and the outbox takes an id once.
struct Reminders: Sendable {
    static let clock = Span.seconds(72 * 3_600)
    static let hours: [Int64] = [24, 48, 66]

    /// Handed on in this run, and due still.
    private var told: Set<Reminder> = []

    /// Those that are due and were not handed on in this run, earliest first.
    mutating func next(_ incidents: some Collection<Incident>, at now: WallTime) -> [Reminder] {
        let due = incidents.flatMap { Reminders.due($0, at: now) }
        defer { told = Set(due) }
        return due.filter { !told.contains($0) }.sorted { ($0.at, $0.incident) < ($1.at, $1.incident) }
    }

    /// All whose time has come.
    static func due(_ incident: Incident, at now: WallTime) -> [Reminder] {
        guard incident.isLeak, incident.state < .notified else { return [] }
        return hours.map { Reminder(incident: incident.number, title: incident.title, dataClass: incident.dataClass, found: incident.opened, hours: $0) }.filter { $0.at <= now }
    }
}

struct Reminder: Hashable, Sendable {
    var incident: UInt64
    var title: String
    var dataClass: String
    var found: WallTime
    /// Since it was found.
    var hours: Int64

    var at: WallTime { found + .seconds(hours * 3_600) }

    /// What it is named after, as an entry's message after its leaf: the incident and its beginning, because a ledger that was put back gives its numbers out a second time.
    var hash: TreeHash { TreeHash(leaf: Array("incident.reminder\n\(incident)\n\(found.nanoseconds)\n\(hours)".utf8)) }
    var id: String { Bodies.id(of: hash) }
    /// Of the 72, in hours.
    var left: Int64 { max(0, Reminders.clock.milliseconds / 3_600_000 - hours) }
    var reportUntil: WallTime { found + Reminders.clock }
}
