import Chassis
import Foundation
import Gate
import Ledger
import Rules

/// One thing to tell, in the bytes that are signed and sent.
struct Message: Hashable, Sendable {
    /// The same on every attempt and after every restart, so that a receiver can drop what it has; never the same for anything else.
    var id: String
    var type: String
    /// A hook is told what is of one incident in the order in which it was put. Nil: it is of none, and waits for nothing.
    var incident: UInt64?
    var body: Data
    var created: WallTime
}

/// Entries of control's journal put into words for other programs.
///
/// The shape is Standard Webhooks' `{"type", "timestamp", "data"}`. Same entry, same bytes: a message that is made twice is one
/// message. People are named by their opaque ids only.
///
/// A message is named after its entry's leaf, not after its place: when a ledger was put back, its places are given out a second time. Whoever has a
/// `tlog-proof` of the entry can compare. So an entry gives one message at most.
enum Bodies {
    static func id(of hash: TreeHash) -> String {
        "msg_" + hash.bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// What an entry gives to tell. Nil: it concerns nobody outside.
    static func message(for followed: FollowedEntry) -> Message? {
        let entry = followed.entry
        return switch entry.deed {
        case .incidentOpened(let number, let title, let closure, let dataClass, let isLeak):
            message(
                "incident.opened", of: number, followed,
                IncidentOpened(
                    entry: entry.index, incident: number, title: title, closure: closure.optional,
                    dataClass: dataClass.isEmpty ? nil : dataClass, isLeak: isLeak, author: entry.author))
        case .found(let finding, 0, let closure?) where finding.detector == Drill.detector:
            message(
                "drill.found", followed,
                Found(
                    entry: entry.index, incident: 0, title: finding.sentence, detector: finding.detector, closure: closure.epoch.number, pause: ClosureBody(closure), dataClass: nil, isLeak: false,
                    author: entry.author))
        case .drillEnded(let number, _, let outcome): message("drill.ended", followed, Drilled(entry: entry.index, drill: number, outcome: outcome))
        case .found(let finding, let number, let closure):
            message(
                closure == nil ? "incident.finding" : "incident.opened", of: number, followed,
                Found(
                    entry: entry.index, incident: number, title: finding.sentence, detector: finding.detector, closure: closure?.epoch.number, pause: closure.map { ClosureBody($0) }, dataClass: finding.selector.classes.count == 1 ? finding.selector.classes.first?.name : nil, isLeak: true,
                    author: entry.author))
        case .paused(let closure):
            message("gate.paused", of: closure.incident, followed, Paused(entry: entry.index, closure: ClosureBody(closure)))
        case .resumed(let epoch, let closures, let reason):
            message(
                "gate.resumed", followed,
                Resumed(
                    entry: entry.index, epoch: epoch.number, closures: closures.map(\.number).sorted(), reason: reason,
                    author: entry.author))
        case .noticesDecided(let number, let count, let digest):
            message("notices.decided", of: number, followed, NoticesDecided(entry, incident: number, people: count, digest: digest))
        case .certified(let certificate):
            // Never called completed when it is not: whoever waits for the stop must hear that it could not be confirmed.
            message(
                certificate.closure.author == "detector \(Drill.detector)" ? "drill.certified" : certificate.isComplete ? "certificate.completed" : "certificate.incomplete", of: certificate.closure.incident, followed,
                Certified(entry: entry.index, certificate: certificate))
        case .began, .operatorsChanged, .vaultKeyAnnounced, .serviceKeyAnnounced, .serviceKeyRetired, .ledgerKeyAnnounced, .ledgerKeyRetired, .proposed, .approved, .withdrawn, .enrolmentOpened, .registered, .removed, .incidentMoved, .incidentNoted, .incidentAssessed, .incidentNotified, .unsealed, .readsRestored,
            .policyApplied, .recordsChanged, .erased, .readmitted, .held, .holdLifted, .drillBegan: nil
        }
    }

    /// Of no entry: of the time that has gone by since one.
    static func message(for reminder: Reminder) -> Message {
        let data = Reminded(
            incident: reminder.incident, title: reminder.title, dataClass: reminder.dataClass.isEmpty ? nil : reminder.dataClass, found: reminder.found.rfc3339, hours: reminder.hours,
            hoursLeft: reminder.left, reportUntil: reminder.reportUntil.rfc3339)
        return message("incident.reminder", of: reminder.incident, id: reminder.id, at: reminder.at, data)
    }

    /// Of nothing that has happened: somebody tries a channel.
    static func test(id: String, at now: WallTime) -> Message { message("notify.test", id: id, at: now, Tried()) }

    private static func message(_ type: String, of incident: UInt64? = nil, _ followed: FollowedEntry, _ data: some Encodable) -> Message {
        message(type, of: incident, id: id(of: followed.hash), at: followed.entry.at, data)
    }

    /// - Parameter incident: nil or 0: of none.
    private static func message(_ type: String, of incident: UInt64? = nil, id: String, at: WallTime, _ data: some Encodable) -> Message {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let envelope = Envelope(type: type, timestamp: at.rfc3339, data: data)
        // These types hold strings and integers alone, which always encode.
        guard let body = try? encoder.encode(envelope) else { preconditionFailure("\(type) holds a value that is not JSON") }
        return Message(id: id, type: type, incident: incident == 0 ? nil : incident, body: body, created: at)
    }
}

private struct Envelope<Content: Encodable>: Encodable {
    var type: String
    var timestamp: String
    var data: Content
}

private struct IncidentOpened: Encodable {
    var entry: UInt64
    var incident: UInt64
    var title: String
    var closure: UInt64?
    var dataClass: String?
    var isLeak: Bool
    var author: String
}

/// What a detector found opens an incident and pauses in one step: this tells both.
private struct Found: Encodable {
    var entry: UInt64
    var incident: UInt64
    var title: String
    var detector: String
    var closure: UInt64?
    var pause: ClosureBody?
    var dataClass: String?
    var isLeak: Bool
    var author: String
}

/// That people get their notices. Nobody's name: the digest stands for all of them.
private struct NoticesDecided: Encodable {
    var entry: UInt64
    var incident: UInt64
    var people: UInt64
    var digest: String
    /// As the policy document has it in `notices.send`.
    var send: String
    /// Whose approval it carries out.
    var proposal: UInt64?
    var author: String

    init(_ entry: Entry, incident: UInt64, people: UInt64, digest: [UInt8]) {
        self.entry = entry.index
        (self.incident, self.people) = (incident, people)
        self.digest = digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        send = (entry.proposal == nil ? NoticeTerms.Sending.atOnce : .twoOperators).rawValue
        proposal = entry.proposal
        author = entry.author
    }
}

private struct Tried: Encodable {
    var note = "Somebody tries whether this channel works. It does, and nothing else has happened."
}

/// So many hours of the 72 are over since it was found, and nobody has said that it was told.
private struct Reminded: Encodable {
    var incident: UInt64
    var title: String
    var dataClass: String?
    var found: String
    var hours: Int64
    var hoursLeft: Int64
    var reportUntil: String
}

/// What a drill came to. Times are of its own path; what is missing did not come about.
private struct Drilled: Encodable {
    var entry: UInt64
    var drill: UInt64
    var readsClosedUs: Int64?
    var certificateMs: Int64?
    var noticeMs: Int64?
    var agents: UInt32
    var agentsAll: UInt32
    var missed: [String]

    init(entry: UInt64, drill: UInt64, outcome: Drill.Outcome) {
        self.entry = entry
        self.drill = drill
        readsClosedUs = outcome.readsClosed?.microseconds
        certificateMs = outcome.certificate?.millisecondsUp
        noticeMs = outcome.notice?.millisecondsUp
        agents = outcome.agents
        agentsAll = outcome.agentsAll
        missed = outcome.missed
    }
}

private struct Paused: Encodable {
    var entry: UInt64
    var closure: ClosureBody
}

private struct Resumed: Encodable {
    var entry: UInt64
    var epoch: UInt64
    var closures: [UInt64]
    var reason: String
    var author: String
}

/// Agents are counted, not listed: there may be 10,000. The certificate itself has them all.
private struct Certified: Encodable {
    var entry: UInt64
    var closure: ClosureBody
    var issued: String
    var leaseMs: Int64
    var complete: Bool
    var completeAfterMs: Int64
    var readingStoppedAfterMs: Int64?
    var durableIn: [String]
    var services: [String: ServiceStop]
    var agents: AgentStops
    var unconfirmed: [String]

    init(entry: UInt64, certificate: Certificate) {
        self.entry = entry
        closure = ClosureBody(certificate.closure)
        issued = certificate.issued.rfc3339
        leaseMs = certificate.lease.millisecondsUp
        complete = certificate.isComplete
        completeAfterMs = certificate.completeAfter.millisecondsUp
        readingStoppedAfterMs = certificate.readingAfter?.millisecondsUp
        durableIn = certificate.durableIn.map(\.rawValue).sorted()
        services = certificate.services.mapValues(ServiceStop.init)
        agents = AgentStops(certificate.agents.values)
        unconfirmed = certificate.unconfirmed
    }
}

private struct ServiceStop: Encodable {
    var how: String
    var afterMs: Int64

    init(_ stop: Stop) {
        how =
            switch stop {
            case .acknowledged: "acknowledged"
            case .leaseEnded: "lease_ended"
            case .noLease: "no_lease"
            }
        afterMs = stop.after.millisecondsUp
    }
}

private struct AgentStops: Encodable {
    var acknowledged = 0
    var leaseEnded = 0
    var noLease = 0

    init(_ stops: some Sequence<Stop>) {
        for stop in stops {
            switch stop {
            case .acknowledged: acknowledged += 1
            case .leaseEnded: leaseEnded += 1
            case .noLease: noLease += 1
            }
        }
    }
}

private struct ClosureBody: Encodable {
    var epoch: UInt64
    var direction: String
    var scope: Scope
    var reason: String
    var author: String
    var incident: UInt64?
    var from: String

    /// Each list that is not empty narrows it; with no list, everything.
    struct Scope: Encodable {
        var sites: [String]
        var teams: [String]
        var subjects: [String]
        var classes: [String]
        var readers: [String]
        var purposes: [String]
    }

    init(_ closure: Closure) {
        epoch = closure.epoch.number
        direction =
            switch closure.direction {
            case .capture: "capture"
            case .read: "read"
            case .both: "both"
            }
        let selector = closure.selector
        scope = Scope(
            sites: selector.sites.sorted(), teams: selector.teams.sorted(), subjects: selector.subjects.sorted(),
            classes: selector.classes.map(\.name).sorted(), readers: selector.readers.sorted(), purposes: selector.purposes.sorted())
        reason = closure.reason
        author = closure.author
        incident = closure.incident == 0 ? nil : closure.incident
        from = closure.from.rfc3339
    }
}

extension Epoch {
    fileprivate var optional: UInt64? { self == .none ? nil : number }
}

extension Span {
    /// Rounded up: what is said to have stopped within a time has.
    fileprivate var millisecondsUp: Int64 { nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0) }
}

extension WallTime {
    /// `2026-11-23T23:24:24.017Z`: UTC, milliseconds, cut off and not rounded.
    ///
    /// By hand, because a formatter's locale and rounding are not ours. Dates after
    /// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>, whose years begin in March.
    var rfc3339: String {
        let (seconds, fraction) = nanoseconds.flooredDivision(by: 1_000_000_000)
        let (days, second) = seconds.flooredDivision(by: 86_400)
        let (era, dayOfEra) = (days + 719_468).flooredDivision(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shifted + 2) / 5 + 1
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return year.digits(4) + "-" + month.digits(2) + "-" + day.digits(2) + "T" + (second / 3_600).digits(2) + ":"
            + (second / 60 % 60).digits(2) + ":" + (second % 60).digits(2) + "." + (fraction / 1_000_000).digits(3) + "Z"
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    fileprivate func digits(_ count: Int) -> String {
        let text = String(self)
        return String(repeating: "0", count: Swift.max(0, count - text.utf8.count)) + text
    }
}
