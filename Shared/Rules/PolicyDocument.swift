package import Gate

/// What may be captured, kept and read: the values of one policy document, checked, with every default written out.
///
/// Text becomes one by ``PolicyReader``, and only what holds together does: every name in it exists, no role includes itself. Order says something in
/// ``classes`` alone; of several rules for one event the strictest counts, and of several grants any.
package struct PolicyDocument: Hashable, Sendable {
    /// From the least sensitive. Never empty.
    package var classes: [Class]
    package var assignments: [Assignment]
    package var capture: [CaptureRule]
    package var purposes: [Purpose]
    package var roles: [Role]
    package var grants: [Grant]
    package var leaks: [LeakReaction]
    package var drills: DrillTerms
    package var notices: NoticeTerms

    package init(
        classes: [Class], assignments: [Assignment] = [], capture: [CaptureRule] = [], purposes: [Purpose] = [], roles: [Role] = [], grants: [Grant] = [],
        leaks: [LeakReaction] = [], drills: DrillTerms = .none, notices: NoticeTerms = .none
    ) {
        self.classes = classes
        self.assignments = assignments
        self.capture = capture
        self.purposes = purposes
        self.roles = roles
        self.grants = grants
        self.leaks = leaks
        self.drills = drills
        self.notices = notices
    }

    /// Default deny, and nothing else: what is in force where no document is.
    package static let nothing = PolicyDocument(classes: [])

    /// The role that everybody of the directory has. No document defines it.
    package static let everyone = "everyone"
}

extension PolicyDocument {
    package struct Class: Hashable, Sendable {
        package var name: String
        /// How long an event of it is kept; nil: it is never stored.
        package var retention: Span?
        /// How many people may be able to read it; nil: no limit.
        package var audienceMax: Int?

        package init(_ name: String, retention: Span?, audienceMax: Int?) {
            self.name = name
            self.retention = retention
            self.audienceMax = audienceMax
        }

        package var dataClass: DataClass { DataClass(name) }
    }

    /// Gives a class to the events that have all the marks it names. Of each mark, one of the values is enough; an empty list asks for nothing.
    package struct Assignment: Hashable, Sendable {
        package var dataClass: String
        package var kinds: Set<Event.Kind>
        package var sources: Set<Event.Text.Source>
        package var applications: Set<Glob>
        package var titles: Set<Glob>
        package var urls: Set<Glob>
        package var labels: Set<Glob>
        /// Types of detected content: `card`, `iban`, …
        package var detected: Set<String>

        package init(
            _ dataClass: String, kinds: Set<Event.Kind> = [], sources: Set<Event.Text.Source> = [], applications: Set<Glob> = [], titles: Set<Glob> = [],
            urls: Set<Glob> = [], labels: Set<Glob> = [], detected: Set<String> = []
        ) {
            self.dataClass = dataClass
            self.kinds = kinds
            self.sources = sources
            self.applications = applications
            self.titles = titles
            self.urls = urls
            self.labels = labels
            self.detected = detected
        }

        /// It looks at nothing but what an event is.
        package var isPlain: Bool { applications.isEmpty && titles.isEmpty && urls.isEmpty && labels.isEmpty && detected.isEmpty }
    }

    /// How far events are minimised before they are written down.
    package struct CaptureRule: Hashable, Sendable {
        package var kinds: Set<Event.Kind>
        package var sources: Set<Event.Text.Source>
        package var classes: Set<String>
        package var people: Group
        package var minimisation: Minimisation

        package init(
            kinds: Set<Event.Kind> = [], sources: Set<Event.Text.Source> = [], classes: Set<String> = [], people: Group = .everyone, as minimisation: Minimisation
        ) {
            self.kinds = kinds
            self.sources = sources
            self.classes = classes
            self.people = people
            self.minimisation = minimisation
        }
    }

    package struct Purpose: Hashable, Sendable {
        package var name: String
        package var basis: LegalBasis
        package var classes: Set<String>

        package init(_ name: String, basis: LegalBasis, classes: Set<String>) {
            self.name = name
            self.basis = basis
            self.classes = classes
        }
    }

    /// Who has it: members by name, people of the directory by where they are, and whoever has a role that it includes.
    package struct Role: Hashable, Sendable {
        package var name: String
        package var members: Set<String>
        package var includes: Set<String>
        package var people: Group?

        package init(_ name: String, members: Set<String> = [], includes: Set<String> = [], people: Group? = nil) {
            self.name = name
            self.members = members
            self.includes = includes
            self.people = people
        }
    }

    package struct Grant: Hashable, Sendable {
        package var name: String
        package var role: String
        package var purpose: String
        package var classes: Set<String>
        /// Whose data.
        package var subjects: Group
        /// The first moment at which it is none any more; nil: never, and the document says so.
        package var expires: WallTime?
        /// Nil: no limit, and the document says so.
        package var rate: GrantRate?

        package init(
            _ name: String, role: String, purpose: String, classes: Set<String>, subjects: Group = .everyone, expires: WallTime? = nil, rate: GrantRate? = nil
        ) {
            self.name = name
            self.role = role
            self.purpose = purpose
            self.classes = classes
            self.subjects = subjects
            self.expires = expires
            self.rate = rate
        }

        package func isLive(at now: WallTime) -> Bool { expires.map { now < $0 } ?? true }
    }

    /// What a finding of leak detection closes. What no reaction is written for closes reading of everything.
    package struct LeakReaction: Hashable, Sendable {
        package var detector: LeakDetector
        package var close: Direction
        package var of: Extent
        /// Nil: of what has to be counted nothing is ever found.
        package var limit: LeakLimit?
        /// Breadth, beside its limit: how far a day may go beyond the reader's own past; nil: nobody looks at that.
        package var past: PastLimit?
        /// Canary: subjects of whom there is nothing to know. Who reads them is found.
        package var planted: Set<String>
        /// Canary: of somebody planted whose other events may be read.
        package var events: Set<PlantedEvents>
        /// Canary: who may; breadth: whose past nobody looks at. By the name of their key or their own id.
        package var cleared: Set<String>
        /// Outsider: pages that are tried as well.
        package var urls: Set<WebProbe>

        package init(
            _ detector: LeakDetector, close: Direction, of: Extent, limit: LeakLimit? = nil, past: PastLimit? = nil, planted: Set<String> = [], events: Set<PlantedEvents> = [], cleared: Set<String> = [],
            urls: Set<WebProbe> = []
        ) {
            self.detector = detector
            self.close = close
            self.of = of
            self.limit = limit
            self.past = past
            self.planted = planted
            self.events = events
            self.cleared = cleared
            self.urls = urls
        }

        package func isCleared(_ reader: Reader) -> Bool { cleared.contains(reader.name) || reader.person.map { cleared.contains($0.id) } ?? false }
    }
}

/// A GDPR Article 6(1) basis, and what it asks for before a subject's data may be used.
package enum LegalBasis: String, Hashable, Sendable, CaseIterable {
    case consent, contract, legalObligation = "legal-obligation", vitalInterests = "vital-interests", publicTask = "public-task", legitimateInterests = "legitimate-interests"

    /// What must be on record. A consent is informed, so it is a notice as well.
    package enum Record: Int, Hashable, Sendable, Comparable {
        case none, notice, consent

        package static func < (left: Record, right: Record) -> Bool { left.rawValue < right.rawValue }
    }

    /// Where the law itself lays capture down, or a life hangs on it, nothing is waited for.
    package var asks: Record {
        switch self {
        case .consent: .consent
        case .contract, .publicTask, .legitimateInterests: .notice
        case .legalObligation, .vitalInterests: .none
        }
    }
}

/// What is left of an event. From the least.
package enum Minimisation: Hashable, Sendable {
    /// Nothing, but for the count of what was dropped.
    case drop
    /// How many there were.
    case count
    /// When, and of which kind.
    case timing
    /// All but what detection found: of these types; nil: of all.
    case redact(Set<String>?)
    case keep

    package var word: String {
        switch self {
        case .drop: "drop"
        case .count: "count"
        case .timing: "timing"
        case .redact: "redact"
        case .keep: "keep"
        }
    }

    static let words = ["drop", "count", "timing", "redact", "keep"]

    private var rank: Int {
        switch self {
        case .drop: 0
        case .count: 1
        case .timing: 2
        case .redact: 3
        case .keep: 4
        }
    }

    /// How much there is to look at.
    var weight: Int { if case .redact(let types?) = self { 1 + types.count } else { 1 } }

    /// The stricter of two; of two redactions, both.
    package func stricter(_ other: Minimisation) -> Minimisation {
        guard case .redact(let mine) = self, case .redact(let others) = other else { return rank <= other.rank ? self : other }
        guard let mine, let others else { return .redact(nil) }
        return .redact(mine.union(others))
    }

    /// Nothing comes through this that does not come through the other.
    package func isWithin(_ other: Minimisation) -> Bool { stricter(other) == self }
}

/// How much a reader may take by one grant, in any stretch of `period`. Several grants do not add up: the most generous one counts.
package struct GrantRate: Hashable, Sendable {
    package enum Period: String, Hashable, Sendable, CaseIterable {
        case hour, day, week

        package var hours: Int { self == .hour ? 1 : self == .day ? 24 : 168 }
    }

    /// Nil: not limited by this, but by the other.
    package var events: Int?
    package var subjects: Int?
    package var per: Period

    package init(events: Int? = nil, subjects: Int? = nil, per: Period) {
        self.events = events
        self.subjects = subjects
        self.per = per
    }

    /// Whoever keeps to this keeps to the other as well.
    package func isWithin(_ other: GrantRate) -> Bool {
        // A longer stretch bounds each shorter one within it; of shorter ones, so many make a longer one.
        let factor = per.hours >= other.per.hours ? 1 : other.per.hours / per.hours
        func isWithin(_ mine: Int?, _ others: Int?) -> Bool {
            guard let others else { return true }
            guard let mine else { return false }
            let (product, overflow) = mine.multipliedReportingOverflow(by: factor)
            return !overflow && product <= others
        }
        return isWithin(events, other.events) && isWithin(subjects, other.subjects)
    }
}

/// People: everybody of the directory, or who is in each list that is not empty; without those of `except`.
package struct Group: Hashable, Sendable {
    package struct Match: Hashable, Sendable {
        package var sites: Set<String>
        package var teams: Set<String>
        package var subjects: Set<String>
        package var roles: Set<String>

        package init(sites: Set<String> = [], teams: Set<String> = [], subjects: Set<String> = [], roles: Set<String> = []) {
            self.sites = sites
            self.teams = teams
            self.subjects = subjects
            self.roles = roles
        }
    }

    /// Nil: everybody.
    package var only: Match?
    package var except: Match?

    package init(only: Match? = nil, except: Match? = nil) {
        self.only = only
        self.except = except
    }

    package static let everyone = Group()
}

/// What notices a leak.
package enum LeakDetector: String, Hashable, Sendable, CaseIterable {
    case audience, outsider, canary, breadth, drift, denied, report

    /// What its finding can name.
    package var extents: Set<Extent> {
        switch self {
        case .audience: [.everything, .class]
        case .outsider: [.everything, .class, .reader]
        case .canary: [.everything, .class, .reader, .purpose, .subject]
        case .breadth: [.everything, .class, .reader, .purpose]
        case .drift: [.everything, .class, .subject]
        case .denied: [.everything, .reader]
        case .report: [.everything, .class]
        }
    }
}

extension LeakDetector {
    /// What its limit can speak of; empty: it has none.
    package var limits: Set<String> {
        switch self {
        case .breadth: ["classes", "events", "hours", "subjects"]
        case .denied: ["reads"]
        case .drift: ["events"]
        case .audience, .outsider, .canary, .report: []
        }
    }
}

/// Which part of the flow a leak's reaction closes: everything, or what the finding names.
package enum Extent: String, Hashable, Sendable, CaseIterable {
    case everything, `class`, reader, purpose, subject
}
