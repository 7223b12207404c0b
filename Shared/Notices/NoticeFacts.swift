package import Exposure
package import Gate
import Rules

/// What one person is told of one incident: numbers, times and kinds, never content, and of nobody else more than policy allows.
///
/// What may not be told is not in here, so no template can tell it: readers' names are left out, or never taken in, as ``NoticeSettings/ReaderNaming`` says.
package struct NoticeFacts: Hashable, Sendable {
    package var incident: UInt64
    package var person: NoticePerson
    package var language: NoticeLanguage
    package var settings: NoticeSettings
    package var found: WallTime
    /// When reading stopped; nil: nothing on record says that it did.
    package var stopped: WallTime?
    /// When it was certain that it had stopped everywhere, with the number of the certificate.
    package var contained: Contained?
    /// Whether capture was stopped, too.
    package var captureStopped: Bool
    package var kinds: [Kind]
    /// As `sluice exposure` has them for this person.
    package var totals: Assessment.Totals
    package var gaps: [Gap]
    package var proofs: [Proof]
    /// Entries of reads that nothing proves, though they are on record: what is recorded of them is not what control has cosigned.
    package var unproven: [UInt64] = []

    package struct Contained: Hashable, Sendable {
        package var at: WallTime
        package var certificate: UInt64
    }

    /// One class of the person's data.
    package struct Kind: Hashable, Sendable {
        package var dataClass: DataClass
        /// Nil: nobody could.
        package var period: Period?
        /// Nil: nobody knows any more.
        package var events: Int64?
        package var people: Int
        package var keys: Int
        package var ways: [Way]
        package var reads: [Read]

        /// Of the reads together.
        package var readEvents: ClosedRange<Int64> {
            reads.reduce(0...0) { $0.lowerBound + $1.events.lowerBound...$0.upperBound + $1.events.upperBound }
        }
    }

    /// By what somebody could read, and when.
    package struct Way: Hashable, Sendable {
        package var period: Period
        /// Empty: no policy was in force.
        package var role: String
        package var purpose: String
        package var people: Int
        package var keys: Int
        /// Those with a key; empty unless policy allows to name them.
        package var names: [String]
    }

    package struct Read: Hashable, Sendable {
        package var release: UInt64
        /// Of the ledger of reads.
        package var entry: UInt64
        package var at: WallTime
        package var reader: Reader
        package var purpose: String
        package var events: ClosedRange<Int64>
        /// It was stopped before its end.
        package var wasCutOff: Bool
    }

    package enum Reader: Hashable, Sendable {
        case person(String)
        /// Empty: they had none, and a key.
        case roles([String])
        case somebody
    }

    /// A file that comes with the notice, and what it proves.
    package struct Proof: Hashable, Sendable {
        package var fileName: String
        package var entry: UInt64
    }
}

/// What a notice takes of an incident. Not its title: people write there whom it concerns.
package struct NoticeIncident: Hashable, Sendable {
    package var number: UInt64
    package var found: WallTime
    package var closure: Closure?
    package var certificate: Certificate?

    package init(_ number: UInt64, found: WallTime, closure: Closure? = nil, certificate: Certificate? = nil) {
        self.number = number
        self.found = found
        self.closure = closure
        self.certificate = certificate
    }
}

extension Assessment {
    /// Who is to be told: of whom something could be read, or was, or may have been. In the order of their bytes.
    package var affected: [String] {
        var subjects: [String] = []
        for one in exposed where one.isAffected && subjects.last != one.subject { subjects.append(one.subject) }
        return subjects
    }
}

extension Assessment.ExposedSubject {
    fileprivate var isAffected: Bool { could != nil || !did.isEmpty }
}

extension NoticeFacts {
    /// - Parameter part: the person's own, of ``Assessment/part(of:)``.
    package init(_ part: Assessment, of incident: NoticeIncident, to person: NoticePerson, _ settings: NoticeSettings) throws(NoticeRefused) {
        guard !settings.contactName.isEmpty, !settings.contactPoint.isEmpty else { throw .noContact }
        let mine = part.exposed.filter { $0.subject == person.subject && $0.isAffected }
        guard !mine.isEmpty else { throw .notExposed(subject: person.subject) }
        self.incident = incident.number
        self.person = person
        self.settings = settings
        language = NoticeLanguage(locale: person.locale)
        found = incident.found
        let closure = incident.closure.flatMap { $0.stopsReading ? $0 : nil }
        // A closure alone does not say that reading had stopped: the certificate does.
        stopped = closure.flatMap { closure in incident.certificate?.readingAfter.map { closure.from + $0 } }
        contained = incident.certificate.flatMap { $0.isComplete ? Contained(at: $0.closure.from + $0.completeAfter, certificate: $0.epoch.number) : nil }
        captureStopped = incident.closure?.direction == .both
        kinds = mine.map { Kind($0, in: part, settings.readers) }
        totals = part.totals
        gaps = part.gaps
        proofs = part.releases.map { Proof(fileName: "read-\($0.release.entry).tlog-proof", entry: $0.release.entry) }
    }
}

extension NoticeFacts.Kind {
    fileprivate init(_ one: Assessment.ExposedSubject, in part: Assessment, _ naming: NoticeSettings.ReaderNaming) {
        let could = one.could.map { part.groups[$0] }
        dataClass = one.dataClass
        period = one.period
        events = one.events
        people = could?.people ?? 0
        keys = could?.keys ?? 0
        // What is said of the group holds within the person's own times.
        ways = (could?.windows ?? []).compactMap { window in
            guard let period = one.period?.overlap(window.period) else { return nil }
            let audience = part.audiences[window.audience]
            return .init(
                period: period, role: naming == .count ? "" : window.role, purpose: window.purpose, people: audience.people, keys: audience.keys.count,
                names: naming == .person ? audience.keys.map { NoticeFacts.name($0.name, $0.person) } : [])
        }
        reads = one.did.map { did in
            let release = part.releases[did.release].release
            let reader: NoticeFacts.Reader =
                switch naming {
                case .person: .person(NoticeFacts.name(release.reader, release.person))
                case .role: .roles(release.roles.sorted())
                case .count: .somebody
                }
            return .init(
                release: release.number, entry: release.entry, at: release.opened, reader: reader, purpose: release.purpose, events: did.events, wasCutOff: !release.cutOff.isEmpty)
        }
    }
}

extension NoticeFacts {
    fileprivate static func name(_ key: String, _ person: String) -> String { person.isEmpty || person == key ? key : "\(key) (\(person))" }
}
