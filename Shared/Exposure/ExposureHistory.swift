package import Gate
package import Rules

/// All that is on record of who was allowed what, and who read what, as far as an exposure asks for it. Whoever has the ledgers has the same.
///
/// Times are those of the entries. The order of everything in here says nothing, but for that of policy versions: it is their index that counts.
package struct ExposureHistory: Sendable {
    package var policies: [PolicyVersion] = []
    /// Keys that read: readers' and operators'.
    package var keys: [ReaderKey] = []
    package var directory: [Listing] = []
    /// Nobody of whom there is none here has anything on record.
    package var records: [RecordsKept] = []
    /// Those that stop reading, lifted or in force.
    package var closures: [Closure] = []
    package var holdings: [Holding] = []
    package var erasures: [ErasureDone] = []
    package var releases: [ReleaseOnRecord] = []
    /// Under which policy asks itself whether anybody may read: no reader, unless a key was ever registered under it.
    package var probe = ""
    /// Whose releases nobody read; nil: there is no such name, or a key has it.
    var probeReader: String? { probe.isEmpty || keys.contains { $0.name == probe } ? nil : probe }
    /// What whoever gathered all this could not find.
    package var gaps: [Gap] = []
    /// Of some of what was there nothing is left: swept, or erased. What is not among the holdings may have been there.
    package var holdingsAreFewer = false

    package init() {}

    /// One policy document, from its entry to the next one.
    package struct PolicyVersion: Sendable {
        package enum Document: Hashable, Sendable {
            /// Before there was one, in a ledger that began before default deny: every key that is registered may read every class. Nothing says when such a suite
            /// was brought to a version that denies; who could read is rather too many than too few. In any other nobody may: that is known.
            case none
            case known(PolicyDocument)
            /// There was one, and it is not known what it said. Why, for people.
            case unknown(String)
        }

        /// The entry of control's ledger; 0: before there was one.
        package var index: UInt64
        /// From its entry on; it ends with the next one's.
        package var tenure: Tenure
        package var document: Document
        package var at: WallTime { tenure.from }

        package init(index: UInt64, at: WallTime, _ document: Document) {
            self.index = index
            self.document = document
            tenure = Tenure(from: at)
        }
    }

    /// A key as long as it counted. Registered anew under its name it is another one.
    package struct ReaderKey: Hashable, Sendable {
        package var name: String
        /// Whose it is, and where two operators have said that they are: the directory gives no reader a role. Nil: a job's.
        package var person: Person?
        package var period: Period

        package init(_ name: String, person: Person? = nil, _ period: Period) {
            self.name = name
            self.person = person
            self.period = period
        }
    }

    /// Where the directory said that somebody was, as long as it did.
    package struct Listing: Hashable, Sendable {
        package var person: Person
        package var period: Period

        package init(_ person: Person, _ period: Period) {
            self.person = person
            self.period = period
        }
    }

    /// What a subject had been told of and agreed to, as long as that counted.
    package struct RecordsKept: Hashable, Sendable {
        package var subject: String
        package var records: Records
        package var period: Period

        package init(_ subject: String, _ records: Records, _ period: Period) {
            self.subject = subject
            self.records = records
            self.period = period
        }
    }

    /// Some of what the vault has of a place. Of one place there may be several, each of another time.
    package struct Holding: Hashable, Sendable {
        package var place: ReadPlace
        /// When the first of it was captured: before, nobody could read it.
        package var first: WallTime
        /// Nil: it was there, and nobody knows any more how much.
        package var events: Int64?

        package init(_ place: ReadPlace, first: WallTime, events: Int64?) {
            self.place = place
            self.first = first
            self.events = events
        }
    }

    package struct ErasureDone: Hashable, Sendable {
        package var subject: String
        package var at: WallTime

        package init(_ subject: String, at: WallTime) {
            self.subject = subject
            self.at = at
        }
    }

    /// One release, as the read ledger has it.
    package struct ReleaseOnRecord: Hashable, Sendable {
        package var number: UInt64
        /// Of the read ledger.
        package var entry: UInt64
        package var reader: String
        package var person: String
        package var roles: [String] = []
        package var grants: [String] = []
        package var policy: UInt64
        package var purpose: String
        package var classes: [DataClass]
        /// As it was asked: these, and those of `teams`; everyone when both are empty.
        package var subjects: [String]
        package var teams: [String] = []
        /// Who is in it, and nobody else; nil: the entry does not say, they are too many.
        package var included: [String]?
        package var opened: WallTime
        /// Nil: nobody has recorded its end.
        package var ended: WallTime?
        /// What left; while no end is recorded, what may have.
        package var events: Int64
        /// What there was of it when it was opened.
        package var most: Int64
        /// Why it ended early; empty: it did not.
        package var cutOff = ""
        /// What the vault has now of what was asked for, in the order in which it goes out: person, class. Nil: nobody has asked the vault.
        package var shares: [Share]?

        package struct Share: Hashable, Sendable {
            package var subject: String
            package var dataClass: DataClass
            package var events: Int64

            package init(_ subject: String, _ dataClass: DataClass, events: Int64) {
                self.subject = subject
                self.dataClass = dataClass
                self.events = events
            }
        }

        package init(
            number: UInt64, entry: UInt64, reader: String, person: String = "", policy: UInt64, purpose: String, classes: [DataClass], subjects: [String],
            included: [String]?, opened: WallTime, ended: WallTime?, events: Int64, most: Int64
        ) {
            self.number = number
            self.entry = entry
            self.reader = reader
            self.person = person
            self.policy = policy
            self.purpose = purpose
            self.classes = classes
            self.subjects = subjects
            self.included = included
            self.opened = opened
            self.ended = ended
            self.events = events
            self.most = most
        }
    }
}
