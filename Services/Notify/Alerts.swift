import Foundation
import Gate

/// An incident as Alertmanager takes it (`POST /api/v2/alerts`).
struct Alert: Hashable, Sendable, Encodable {
    /// What tells one alert from another there: the same for as long as the incident lasts, or there would be two.
    var labels: [String: String]
    var annotations: [String: String]
    var startsAt: String
    /// In the future: it lasts. In the past: it is over.
    var endsAt: String
}

/// What Alertmanager must be told of incidents: a function of them and of the time, so that a restart forgets nothing and nothing is kept of what was sent.
///
/// An incident lasts until it is closed. Each telling says that it lasts for ``lasts``, far longer than it takes until the next: nobody who is missed for a while
/// must have said by it that a leak is over. So for as long after it was closed, and no longer, it may be believed to last, and is told to be over.
enum Alerts {
    /// From one telling to the next.
    static let every = Span.seconds(60)
    /// Alertmanager's own five minutes (`resolve_timeout`) are for who names no end.
    static let lasts = Span.seconds(1_800)
    /// Told at a time. Of more, leaks that last come first, then what lasts, then what is over, the newest of each: what is told no more is over for whoever hears it.
    static let countMax = 1_000

    /// Those that there is something to say of, oldest first, without what happened in them: a storm of findings is no news of its own.
    static func concerned(_ incidents: some Collection<Incident>, at now: WallTime) -> [Incident] {
        incidents.filter { $0.state != .closed || now < $0.moved + lasts }.map { incident in
            var incident = incident
            (incident.steps, incident.findings) = ([], 0)
            return incident
        }.sorted { $0.number < $1.number }
    }

    /// - Parameter labels: those of the settings.
    static func told(of incidents: [Incident], labels: [String: String], at now: WallTime) -> [Alert] {
        func rank(_ incident: Incident) -> Int { incident.state == .closed ? 2 : incident.isLeak ? 0 : 1 }
        let told = incidents.count <= countMax ? incidents : Array(incidents.sorted { (rank($0), $1.number) < (rank($1), $0.number) }.prefix(countMax)).sorted { $0.number < $1.number }
        return told.flatMap { incident -> [Alert] in
            let isOver = incident.state == .closed
            let alert = self.alert(of: incident, isLeak: incident.isLeak, ends: isOver ? min(incident.moved, now) : now + lasts, labels)
            // What became a leak was told as something less before: that is over.
            return incident.isLeak ? [alert, self.alert(of: incident, isLeak: false, ends: min(incident.opened, now), labels)] : [alert]
        }
    }

    private static func alert(of incident: Incident, isLeak: Bool, ends: WallTime, _ more: [String: String]) -> Alert {
        var labels = ["alertname": "SluiceIncident", "incident": "\(incident.number)", "severity": isLeak ? "critical" : "warning"]
        if !incident.dataClass.isEmpty { labels["class"] = incident.dataClass }
        var annotations = ["summary": incident.title, "state": incident.state.rawValue, "author": incident.author]
        if isLeak { annotations["report_until"] = (incident.opened + Reminders.clock).rfc3339 }
        return Alert(labels: labels.merging(more) { ours, _ in ours }, annotations: annotations, startsAt: min(incident.opened, ends).rfc3339, endsAt: ends.rfc3339)
    }

    /// Of nothing that has happened. It ends by itself.
    static func test(labels: [String: String], at now: WallTime) -> Alert {
        let own = ["alertname": "SluiceTest", "severity": "none"]
        return Alert(labels: own.merging(labels) { ours, _ in ours }, annotations: ["summary": "Somebody tries whether Sluice's alerts arrive."], startsAt: now.rfc3339, endsAt: (now + .seconds(60)).rfc3339)
    }

    static func body(_ alerts: [Alert]) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings alone, which always encode.
        guard let body = try? encoder.encode(alerts) else { preconditionFailure("an alert holds a value that is not JSON") }
        return body
    }
}
