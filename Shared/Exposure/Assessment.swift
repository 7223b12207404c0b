package import Gate

/// What is asked: which data, and when it may have been exposed.
package struct ExposureQuestion: Hashable, Sendable {
    package var incident: UInt64
    package var period: Period
    /// As of a closure: which subjects, classes, readers and purposes.
    package var scope: Selector

    package init(incident: UInt64, _ period: Period, of scope: Selector) {
        self.incident = incident
        self.period = period
        self.scope = scope
    }
}

/// Who could read what, and who did: for each subject and class a list, and what no list can say.
///
/// *Could* is what policy, directory, registry and gate allowed; *did* is what the ledger of reads has. Neither is inferred from the other. The same
/// history gives the same assessment, whatever order it came in; see ``lines`` for its bytes.
package struct Assessment: Hashable, Sendable {
    package var question: ExposureQuestion
    /// In the order of their bytes; of one subject, by class.
    package var exposed: [ExposedSubject] = []
    package var groups: [CouldRead] = []
    package var audiences: [Audience] = []
    /// That fall into the period and the scope, by number.
    package var releases: [ReleaseInScope] = []
    /// Releases to policy's own probe: on record, and read by nobody.
    package var probes: [UInt64] = []
    package var gaps: [Gap] = []
    /// Subjects that would be among these and are nobody's: two operators have signed that, and they are in no number. In the order of their bytes.
    package var planted: [String] = []
    package var totals = Totals()

    /// What was open of one class of one subject.
    package struct ExposedSubject: Hashable, Sendable {
        package var subject: String
        package var dataClass: DataClass
        /// From the first to the last moment at which somebody could read some of it; nil: nobody could.
        package var period: Period?
        /// Those that were there to be read; nil: nobody knows any more.
        package var events: Int64?
        /// Which of ``groups``: whoever had the same rights over what lay in the same places. What it says holds within `period`; nil: as `period`.
        package var could: Int?
        package var did: [Part]
        /// Words of ``Gap`` that concern this one.
        package var gaps: [String]
    }

    /// What of a release was of one class of one subject. From zero: perhaps none.
    package struct Part: Hashable, Sendable {
        /// Which of ``releases``.
        package var release: Int
        package var events: ClosedRange<Int64>
    }

    package struct CouldRead: Hashable, Sendable {
        package var dataClass: DataClass
        /// By time.
        package var windows: [Window]
        /// Altogether, over all windows.
        package var people: Int
        package var keys: Int
    }

    /// One grant, for as long as it let the same readers read.
    package struct Window: Hashable, Sendable {
        package var period: Period
        /// Empty: no document was in force, and every key could read.
        package var grant: String
        package var role: String
        package var purpose: String
        /// Entries of control's ledger: the first and the last document in which it stood so.
        package var policies: ClosedRange<UInt64>
        /// Which of ``audiences``.
        package var audience: Int
    }

    package struct Audience: Hashable, Sendable {
        /// Persons, and jobs, that had the right: with a key or without.
        package var people: Int
        /// Those that had a key, and so could really ask.
        package var keys: [Key]

        package struct Key: Hashable, Sendable {
            package var name: String
            /// Empty: nobody of the directory, it is a job's.
            package var person: String
            /// When, in the order of time; empty: all of the window.
            package var periods: [Period]
        }
    }

    package struct ReleaseInScope: Hashable, Sendable {
        package var release: ExposureHistory.ReleaseOnRecord
        /// Events of the scope in it.
        package var events: ClosedRange<Int64>
        /// Subjects of the scope in it.
        package var subjects: ClosedRange<Int>
    }

    package struct Totals: Hashable, Sendable {
        /// Of whom something could be read.
        package var subjects = 0
        package var events: Int64 = 0
        /// How many rows have a number of events; the others are in no sum.
        package var eventsUnknown = 0
        package var people = 0
        package var keys = 0
        package var releases = 0
        package var readers = 0
        package var readSubjects = 0...0
        package var readEvents: ClosedRange<Int64> = 0...0

        package init() {}
    }
}
