package import Gate

/// What a reader took by one grant in some stretch of time.
package struct GrantTaken: Hashable, Sendable {
    package var events: Int64 = 0
    package var subjects: Set<String> = []
    /// Subjects of releases so large that they were only counted: each counts as another one.
    package var uncounted: Int64 = 0

    package init(events: Int64 = 0, subjects: Set<String> = [], uncounted: Int64 = 0) {
        self.events = events
        self.subjects = subjects
        self.uncounted = uncounted
    }

    /// - Parameters:
    ///   - newSubjects: Those that are not in ``subjects``.
    ///   - rate: Nil: there is no limit.
    func hasRoom(for more: Int64, newSubjects: Int64, in rate: GrantRate?) -> Bool {
        guard let rate else { return true }
        if let max = rate.events, more > Int64(max) - events { return false }
        if let max = rate.subjects, Int64(subjects.count) + newSubjects + uncounted > max { return false }
        return true
    }
}

/// What readers took by each grant in the last week, and of how many people they read on each of the last days, from the entries of the read ledger: a restart forgets nothing.
///
/// Never less than it was: a release counts as long as any moment of it lies in the stretch, one that runs with all that it may give, and one
/// whose end nobody recorded likewise, unless it was opened before the longest stretch. Minutes are not parted.
package struct ReadTally: Sendable {
    /// Of one release by one grant.
    package struct Part: Hashable, Sendable {
        package var grant: String
        package var events: Int64
        package var subjects: [String]
        package var uncounted: Int64

        package init(grant: String, events: Int64, subjects: [String], uncounted: Int64 = 0) {
            self.grant = grant
            self.events = events
            self.subjects = subjects
            self.uncounted = uncounted
        }
    }

    /// A release that goes on in more hours than its reader may read in.
    package struct LongRead: Hashable, Sendable {
        package let release: UInt64
        /// By the reader's own past alone.
        package let isOfPast: Bool
        /// For people.
        package let words: String
    }

    private struct Key: Hashable {
        let reader: String
        let grant: String
    }

    private struct Record {
        /// By minute.
        var minutes: [Int64: (events: Int64, uncounted: Int64)] = [:]
        /// When something of a subject was last taken.
        var subjects: [String: WallTime] = [:]
    }

    /// The longest period of a rate.
    package static let reach = Span.seconds(Int64(GrantRate.Period.week.hours) * 3_600)
    private static let minute = Span.seconds(60)
    private var records: [Key: Record] = [:]
    private var running: [UInt64: (reader: String, parts: [Part], classes: Set<DataClass>, at: WallTime)] = [:]
    private var forgotten = WallTime(nanoseconds: 0)
    /// Of how many people, day by day.
    package private(set) var days = ReadDays()
    private var spread = ReadSpread()

    package init() {}

    /// - Parameter now: When its entry is read again; nil: it was opened just now.
    package mutating func opened(_ release: UInt64, by reader: String, _ parts: [Part], of classes: Set<DataClass> = [], at then: WallTime, readAt now: WallTime? = nil) {
        guard !parts.isEmpty else { return }
        running[release] = (reader, parts, classes, then)
        spread.note(reader, classes, from: then, to: then)
        // A clock that had leapt ahead has noted days that are none yet.
        if let now, ReadDays.isLaterDay(then, than: now) { return }
        days.note(reader, parts, of: classes, at: then)
    }

    /// - Parameter given: By grant.
    package mutating func ended(_ release: UInt64, by reader: String, given: [String: Int64], at now: WallTime) {
        let release = running.removeValue(forKey: release)
        let parts = release?.parts
        if let release {
            spread.note(reader, release.classes, from: release.at, to: now)
            days.served(reader, from: release.at, to: now)
        }
        for (grant, events) in given {
            let part = parts?.first { $0.grant == grant }
            note(Key(reader: reader, grant: grant), events, part?.subjects ?? [], part?.uncounted ?? 0, at: now)
        }
        forget(at: now)
    }

    /// What runs is served now: in this hour as well, whether or not it ends in it. Call it in each hour of the clock.
    package mutating func served(at now: WallTime) {
        for release in running.values {
            spread.note(release.reader, [], from: now, to: now)
            days.served(release.reader, from: now, to: now)
        }
    }

    /// Whose hours are too many while they read, by release, the oldest first: who opens nothing more is found by none that is opened.
    ///
    /// - Parameters:
    ///   - past: Of a reader who is not cleared: the caller knows who is.
    ///   - now: ``served(at:)`` was called for it.
    package func excess(ofHoursOver limit: LeakLimit?, _ past: PastLimit?, at now: WallTime) -> [LongRead] {
        running.sorted { $0.key < $1.key }.compactMap { release, one in
            if let words = limit.flatMap({ spread.excess(ofHours: one.reader, over: $0, at: now) }) { return LongRead(release: release, isOfPast: false, words: "\(one.reader) has read \(words)") }
            return past.flatMap { days.excess(ofHours: one.reader, over: $0, at: now) }.map { LongRead(release: release, isOfPast: true, words: "\(one.reader) has read \($0)") }
        }
    }

    /// Whoever streamed these has ended without a word: now, for all that is known. What is older than the longest stretch ended at an earlier start; or it
    /// would be taken anew at each.
    ///
    /// - Parameter lastSeen: When the newest entry was written: until then they were served, and of what came after nothing is known.
    package mutating func allEnded(at now: WallTime, lastSeen: WallTime? = nil) {
        for (reader, parts, classes, at) in running.values where at > now - ReadTally.reach {
            if let lastSeen {
                spread.note(reader, classes, from: at, to: lastSeen)
                days.served(reader, from: at, to: lastSeen)
            }
            for part in parts { note(Key(reader: reader, grant: part.grant), part.events, part.subjects, part.uncounted, at: now) }
        }
        running = [:]
        forget(at: now)
    }

    package func taken(by reader: String, _ grant: String, since: WallTime) -> GrantTaken {
        var taken = GrantTaken()
        if let record = records[Key(reader: reader, grant: grant)] {
            for (minute, part) in record.minutes where WallTime(nanoseconds: (minute + 1) * ReadTally.minute.nanoseconds) > since {
                taken.events += part.events
                taken.uncounted += part.uncounted
            }
            for (subject, at) in record.subjects where at > since { taken.subjects.insert(subject) }
        }
        for (name, parts, _, _) in running.values where name == reader {
            for part in parts where part.grant == grant {
                taken.events += part.events
                taken.uncounted += part.uncounted
                taken.subjects.formUnion(part.subjects)
            }
        }
        return taken
    }

    /// What a release that is not opened yet would exceed by its classes and its hour, in words; nil: nothing.
    package func excess(of reader: String, and classes: Set<DataClass>, over limit: LeakLimit, at now: WallTime) -> String? {
        spread.excess(
            of: reader, running: running.values.filter { $0.reader == reader }.map { (classes: $0.classes, at: $0.at) }, and: classes, over: limit, at: now)
    }

    /// By all their grants together, with what a release that is not opened yet would add.
    package func taken(by reader: String, since: WallTime, and more: [Part]) -> GrantTaken {
        let grants = Set(records.keys.lazy.filter { $0.reader == reader }.map(\.grant)).union(running.values.lazy.filter { $0.reader == reader }.flatMap { $0.parts.map(\.grant) })
        var all = GrantTaken()
        for grant in grants {
            let taken = taken(by: reader, grant, since: since)
            all.events += taken.events
            all.uncounted += taken.uncounted
            all.subjects.formUnion(taken.subjects)
        }
        for part in more {
            all.events += part.events
            all.uncounted += part.uncounted
            all.subjects.formUnion(part.subjects)
        }
        return all
    }

    private mutating func note(_ key: Key, _ events: Int64, _ subjects: [String], _ uncounted: Int64, at now: WallTime) {
        let minute = now.nanoseconds / ReadTally.minute.nanoseconds
        records[key, default: Record()].minutes[minute, default: (0, 0)].events += events
        records[key]!.minutes[minute]!.uncounted += uncounted
        for subject in subjects { records[key]!.subjects[subject] = max(now, records[key]!.subjects[subject] ?? now) }
    }

    /// Once an hour is enough.
    private mutating func forget(at now: WallTime) {
        guard now - forgotten > .seconds(3_600) else { return }
        forgotten = now
        let since = now - ReadTally.reach
        for key in records.keys {
            records[key]!.minutes = records[key]!.minutes.filter { WallTime(nanoseconds: ($0.key + 1) * ReadTally.minute.nanoseconds) > since }
            records[key]!.subjects = records[key]!.subjects.filter { $0.value > since }
            if records[key]!.minutes.isEmpty, records[key]!.subjects.isEmpty { records[key] = nil }
        }
    }
}
