import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Rules
import Synchronization
import Vault
import Wire

/// Decides on releases, and again on those that run when something has changed. On a thread of its own: to count what there is of everyone takes its
/// time, and neither batches nor closures wait for it.
final class ReleaseDecider: Sendable {
    enum News: Sendable {
        case denied(ReleaseJob, ReadRefusal, Reader)
        /// An ordinary employee may have it. Nothing was released to find that out.
        case openToAll(ReleaseJob, subjects: Int, events: Int64)
        /// They may, and they are no more than the document lets read it.
        case openToFew(ReleaseJob)
        /// It would be of somebody who is planted.
        case foundPlanted(ReleaseJob, PolicyDocument.LeakReaction, PlantedFound)
        /// The same of one that runs: it was planted meanwhile.
        case planted(Int64, version: UInt64, PolicyDocument.LeakReaction, PlantedFound)
        /// Who could read what was counted: of these classes more than the document lets. What is decided after it comes after it.
        case counted(PolicyDocument.LeakReaction, [AudienceWatch.Found])
        /// The directory is not what was written: who could read is counted without it.
        case uncounted(String)
        /// A running release was looked at again. Nil: nothing speaks against it.
        case reconsidered(Int64, version: UInt64, Reader, Whereabouts, ReadRefusal?)
        /// What it needs of the vault is not what was written.
        case damaged(ReleaseJob, String)
        /// The same of one that runs.
        case unreadable(Int64, String)
        case failed(String)
    }

    private enum Work: Sendable {
        case decide(ReleaseJob)
        /// Who could read, as things are now.
        case count
        /// What is due.
        case reconsider
        case stop
    }

    private struct Again: Sendable {
        let job: ReleaseJob
        let release: OpenedRelease
        let reader: Reader
        let rules: ReadRules
    }

    private let vault: any Vault
    private let writer: VaultWriter
    private let news: Mailbox<News>
    private let work = Queue<Work>()
    /// By release, the newest alone: a directory of a hundred thousand people comes in a hundred messages, and each changes the rules.
    private let due = Mutex<[Int64: Again]>([:])
    /// The newest alone, with everybody who has moved since the last was taken.
    private let toCount = Mutex<Count?>(nil)

    struct Count: Sendable {
        var rules: ReadRules
        /// Whom readers' keys stand for, where two operators have placed them.
        var keys: [Person]
        /// In order. Nil: not in the directory any more.
        var moved: [(subject: String, person: Person?)]
    }

    /// The directory and what it came to: the thread's own.
    private struct Audience {
        var directory: [String: Person]?
        var watch = AudienceWatch()
    }

    /// Read at once: some milliseconds.
    private static let peoplePage = 1_000

    init(vault: any Vault, writer: VaultWriter, news: Mailbox<News>) {
        self.vault = vault
        self.writer = writer
        self.news = news
    }

    func start() { startThread("decider") { [self] in run() } }
    func stop() { work.put(.stop) }
    /// The writer gets it, or it is denied.
    func decide(_ job: ReleaseJob) { work.put(.decide(job)) }
    /// Before whatever is decided from here on.
    func count(_ next: Count) {
        let isFirst = toCount.withLock { known in
            defer {
                var next = next
                next.moved = (known?.moved ?? []) + next.moved
                known = next
            }
            return known == nil
        }
        if isFirst { work.put(.count) }
    }
    /// By the rules of now, in the place of whatever has not begun yet for this release.
    func reconsider(_ job: ReleaseJob, _ release: OpenedRelease, _ reader: Reader, by rules: ReadRules) {
        let isFirst = due.withLock { due in
            defer { due[release.number] = Again(job: job, release: release, reader: reader, rules: rules) }
            return due.isEmpty
        }
        if isFirst { work.put(.reconsider) }
    }

    private func run() {
        do {
            var audience = Audience()
            while true {
                for item in work.takeAll() {
                    switch item {
                    case .count:
                        let next = toCount.withLock { next in
                            defer { next = nil }
                            return next
                        }
                        if let next { try countNow(next, &audience) }
                    case .decide(let job):
                        do { try decideNow(job) } catch where vault.isDamage(error) { news.post(.damaged(job, vault.words(error))) }
                    case .reconsider:
                        let again = due.withLock { due in
                            defer { due = [:] }
                            return due.values.sorted { $0.release.number < $1.release.number }
                        }
                        for one in again {
                            do { try reconsiderNow(one.job, one.release, one.reader, one.rules) } catch where vault.isDamage(error) { news.post(.unreadable(one.release.number, vault.words(error))) }
                        }
                    case .stop: return
                    }
                }
            }
        } catch {
            news.post(.failed("\(error)"))
        }
    }

    private func countNow(_ next: Count, _ audience: inout Audience) throws {
        // What is not kept is read when it is asked for, with all that has moved.
        if var known = audience.directory {
            audience.directory = nil
            for (subject, person) in next.moved { known[subject] = person }
            audience.directory = known
        }
        guard let policy = next.rules.policy else { return }
        let over = next.rules.text?.over ?? []
        var people: [Person] = []
        if AudienceWatch.limits(policy.document, over: over) {
            // Whom the document names and who has a key is known all the same. The next count tries again.
            if audience.directory == nil { do { audience.directory = try directory() } catch where vault.isDamage(error) { news.post(.uncounted(vault.words(error))) } }
            people = audience.directory.map { Array($0.values) } ?? []
        }
        let found = audience.watch.look(at: policy, entry: next.rules.index, over: over, directory: people, keys: next.keys, at: Clock.wall())
        news.post(.counted(policy.document.reaction(to: .audience), found))
    }

    private func directory() throws -> [String: Person] {
        var all: [String: Person] = [:]
        var last = ""
        while true {
            let page = try vault.people(after: last, atMost: ReleaseDecider.peoplePage)
            guard let end = page.last else { return all }
            for entry in page { all[entry.subject] = Person(listed: entry) }
            last = end.subject
        }
    }

    private func decideNow(_ job: ReleaseJob) throws {
        let reader = job.reader
        guard let policy = job.rules.policy else { return news.post(.denied(job, ReadRefusal(.noDocument), reader)) }
        if let refusal = policy.refusal(of: job.asked, by: reader, at: Clock.wall()) { return news.post(.denied(job, refusal, reader)) }
        let shares = try vault.shares(of: job.record.selection).map { ReadShare(ReadPlace($0.scope, $0.dataClass), events: $0.events) }
        if let planted = try plantedFirst(job, policy, shares) { return news.post(.foundPlanted(job, policy.document.reaction(to: .canary), planted)) }
        let whereabouts = try whereabouts(of: Set(shares.map(\.place.scope.subject)).union(job.record.selection.subjects), job, job.rules)
        let granted: GrantedRead
        do throws(ReadRefusal) { granted = try policy.decide(job.asked, by: reader, of: shares, whereabouts, at: Clock.wall()) } catch { return news.post(.denied(job, error, reader)) }
        let events = granted.parts.reduce(Int64(0)) { $0.addingReportingOverflow($1.share.events).partialValue }
        let subjects = Set(granted.parts.map(\.share.place.scope.subject)).count
        // Before anybody asks how much they had already: that each may read a little is no less a leak.
        guard job.user.role != "probe" else {
            // Nobody counts the directory for what is denied, every two seconds.
            return news.post(try isForFew(job.asked, policy) ? .openToFew(job) : .openToAll(job, subjects: subjects, events: events))
        }
        let planted = policy.planted(in: granted.parts.lazy.map(\.share.place), from: job.record.selection.from, until: job.record.selection.until, by: reader)
        guard planted.isEmpty else { return news.post(.foundPlanted(job, policy.document.reaction(to: .canary), planted)) }
        writer.take(.release(job, DecidedRelease(reader: reader, subjects: subjects, events: events, granted: granted, whereabouts: whereabouts)))
    }

    /// What is planted among all of one class, without a look at where everybody else is: with a hundred thousand people that look takes longer than a finding may. Nil: nothing is found by that alone.
    private func plantedFirst(_ job: ReleaseJob, _ policy: Policy, _ shares: [ReadShare]) throws -> PlantedFound? {
        let selection = job.record.selection
        guard job.user.role != "probe" else { return nil }
        return try policy.plantedAlone(job.asked, from: selection.from, until: selection.until, by: job.reader, of: shares, at: Clock.wall()) { try whereabouts(of: $0, job, job.rules) }
    }

    private func reconsiderNow(_ job: ReleaseJob, _ release: OpenedRelease, _ reader: Reader, _ rules: ReadRules) throws {
        guard let policy = rules.policy else {
            return news.post(.reconsidered(release.number, version: rules.version, reader, Whereabouts(), ReadRefusal(.noDocument)))
        }
        let allowed = release.allowed
        let selection = job.record.selection
        let planted = policy.planted(in: allowed.places.keys, from: selection.from, until: selection.until, by: reader)
        guard planted.isEmpty else { return news.post(.planted(release.number, version: rules.version, policy.document.reaction(to: .canary), planted)) }
        let whereabouts = try whereabouts(of: Set(allowed.places.keys.map(\.scope.subject)), job, rules)
        let now = Clock.wall()
        for (place, use) in allowed.places {
            guard let denial = policy.objection(to: place, by: allowed.uses[use], reader, for: job.record.purpose, whereabouts, at: now) else { continue }
            let refusal = ReadRefusal(.denial(denial), dataClass: place.dataClass, of: place.scope.subject)
            return news.post(.reconsidered(release.number, version: rules.version, reader, whereabouts, refusal))
        }
        news.post(.reconsidered(release.number, version: rules.version, reader, whereabouts, nil))
    }

    /// Whether the directory lists no more people than the document lets read each of these.
    private func isForFew(_ asked: ReadAsked, _ policy: Policy) throws -> Bool {
        let people = try vault.peopleCount()
        guard people > 0 else { return false }
        return asked.classes.allSatisfy { name in policy.document.classes.first { $0.name == name.name }?.audienceMax.map { people <= $0 } ?? true }
    }

    private func whereabouts(of subjects: Set<String>, _ job: ReleaseJob, _ rules: ReadRules) throws -> Whereabouts {
        var whereabouts = Whereabouts(registered: job.registered)
        for subject in subjects { whereabouts.records[subject] = rules.records(of: subject) }
        // As far as it says where they are.
        for (subject, place) in try vault.places(of: subjects) {
            whereabouts.directory[subject] = Person(subject, site: place.site.isEmpty ? nil : place.site, team: place.team.isEmpty ? nil : place.team)
        }
        return whereabouts
    }
}
