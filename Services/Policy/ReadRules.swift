import Foundation
import Gate
import Identity
import Messaging
import Rules
import Synchronization
import Vault
import Wire

/// What decides on reads, as control's ledger has it.
struct ReadRules: Sendable {
    /// Another one after everything that may change a decision, the directory too.
    var version: UInt64 = 0
    /// Nil: no document is in force, and nobody may read.
    var policy: Policy?
    var text: PolicyText?
    /// The entry of control's ledger that set the document; 0: none, or one that is in force and not recorded yet.
    var index: UInt64 = 0
    var records = BySubject<SubjectRecords>()

    func records(of subject: String) -> Records {
        records[subject].map { Records(notices: $0.notices, consents: $0.consents) } ?? .none
    }
}

extension Reader {
    /// A key, whose it is, and where two operators have said that they are. The directory says where people are as well, and is one operator's to change: it gives no reader a role.
    init(_ name: String, key scope: Scope) {
        self.init(name, person: Person.holder(of: scope))
    }
}

extension Policy {
    /// The document that is in force. One that this version cannot read allows nothing.
    init(_ text: PolicyText) {
        self.init((try? PolicyReader().read(canonical: text.bytes)) ?? .nothing)
    }
}

/// One read that was asked for.
struct ReleaseJob: Sendable {
    let id: Data
    let route: Route
    let user: User
    let reader: Reader
    let record: ReleaseRecord
    let credit: Int
    let rules: ReadRules
    /// Where agents of the persons who are named are registered.
    let registered: [String: [Person]]

    var asked: ReadAsked {
        ReadAsked(
            purpose: record.purpose, classes: record.selection.classes, subjects: Set(record.selection.subjects), teams: Set(record.selection.teams))
    }
}

/// What was found of a job in the vault, and decided.
struct DecidedRelease: Sendable {
    var reader: Reader
    var subjects: Int
    var events: Int64
    var granted: GrantedRead
    var whereabouts = Whereabouts()
}

/// A release that is on the record.
struct OpenedRelease: Sendable {
    let number: Int64
    /// Of the read ledger.
    let entry: UInt64
    let decided: DecidedRelease
    /// What it may stream.
    let allowed: AllowedRead
}

/// A read that was refused, for the read ledger.
struct DeniedRead: Sendable {
    var record: ReleaseRecord
    var person: String
    var policy: UInt64
    /// A word.
    var why: String
    /// How many it stands for, and since when.
    var count: UInt64 = 1
    var since: WallTime

}

extension DeniedRead {
    init(_ job: ReleaseJob, why: String) {
        self.init(record: job.record, person: job.reader.person?.id ?? "", policy: job.rules.index, why: why, since: job.record.at)
    }
}

/// Bounds what denied reads write: a reader who asks all day must not fill the disk. The first few in a minute are recorded at once, each by itself; the
/// others of the minute are counted, and recorded as one when it is over.
struct DeniedReads: Sendable {
    private struct Minute {
        let began: Instant
        /// Each by itself.
        var recorded = 0
        var more: DeniedRead?
    }

    private static let length = Span.seconds(60)
    /// More than somebody needs who tries what they may; of somebody who goes on it is an entry every seven seconds.
    private static let recordedMax = 8
    /// By reader: registered ones, so they are not many.
    private var minutes: [String: Minute] = [:]

    /// - Parameter isFull: Nothing can be recorded now.
    /// - Returns: what is to be recorded at once; nil: it was counted.
    mutating func note(_ read: DeniedRead, isFull: Bool, at now: Instant) -> DeniedRead? {
        var minute = minutes[read.record.reader] ?? Minute(began: now)
        defer { minutes[read.record.reader] = minute }
        guard isFull || minute.recorded == DeniedReads.recordedMax else {
            minute.recorded += 1
            return read
        }
        if var more = minute.more {
            more.count += 1
            (more.record, more.why, more.policy) = (more.record.merged(with: read.record), read.why, read.policy)
            minute.more = more
        } else {
            minute.more = read
        }
        return nil
    }

    /// What was counted in minutes that are over.
    mutating func due(at now: Instant) -> [DeniedRead] { take { now - $0.began >= DeniedReads.length } }

    /// What was counted and is not recorded.
    mutating func rest() -> [DeniedRead] { take { _ in true } }

    private mutating func take(where isOver: (Minute) -> Bool) -> [DeniedRead] {
        let over = minutes.filter { isOver($0.value) }
        for reader in over.keys { minutes[reader] = nil }
        return over.sorted { $0.key < $1.key }.compactMap(\.value.more)
    }
}

/// The same for the reactor, which notes them, and the main thread, which hands on the rest when policy ends.
final class DeniedCount: Sendable {
    private let reads = Mutex(DeniedReads())

    func note(_ read: DeniedRead, isFull: Bool, at now: Instant) -> DeniedRead? { reads.withLock { $0.note(read, isFull: isFull, at: now) } }
    func due(at now: Instant) -> [DeniedRead] { reads.withLock { $0.due(at: now) } }
    func rest() -> [DeniedRead] { reads.withLock { $0.rest() } }
}

extension ReleaseRecord {
    /// Values that an entry on denied reads names of each kind.
    static let deniedValuesMax = 100

    /// The later one, with what either asked for.
    fileprivate func merged(with later: ReleaseRecord) -> ReleaseRecord {
        func both<Value: Hashable>(_ mine: [Value], _ others: [Value]) -> [Value] {
            let known = Set(mine)
            return Array((mine + others.filter { !known.contains($0) }).prefix(ReleaseRecord.deniedValuesMax))
        }
        var merged = later
        merged.selection.classes = both(selection.classes, later.selection.classes)
        merged.selection.subjects = both(selection.subjects, later.selection.subjects)
        merged.selection.teams = both(selection.teams, later.selection.teams)
        return merged
    }
}

/// Whoever was denied, and waits to hear it until it is on the record.
struct DeniedAnswer: Sendable {
    let route: Route
    let refusal: Refusal
    let text: String
}
