package import Foundation
package import Gate

/// One row of the vault: events of one subject and one class, in one blob, from one batch of one agent.
package struct Segment: Sendable {
    package var scope: Scope
    package var dataClass: DataClass
    package var agent: UInt32
    package var stream: UInt64
    package var sequence: UInt64
    package var first: WallTime
    package var last: WallTime
    package var count: Int
    package var epoch: UInt64
    /// Length of the columns, uncompressed.
    package var columnsBytes: Int
    /// SHA-256 of the payload as it came, first 16 bytes: what came twice must be the same twice.
    package var hash: Data
    /// zstd over columns: what a store encrypts.
    package var blob: Data

    package init(
        scope: Scope, dataClass: DataClass, agent: UInt32, stream: UInt64, sequence: UInt64, first: WallTime, last: WallTime, count: Int,
        epoch: UInt64, columnsBytes: Int, hash: Data, blob: Data
    ) {
        self.scope = scope
        self.dataClass = dataClass
        self.agent = agent
        self.stream = stream
        self.sequence = sequence
        self.first = first
        self.last = last
        self.count = count
        self.epoch = epoch
        self.columnsBytes = columnsBytes
        self.hash = hash
        self.blob = blob
    }
}

/// Where an agent's numbering runs: each agent numbers each of its streams from 1.
package struct StreamKey: Hashable, Sendable {
    package var agent: UInt32
    package var stream: UInt64

    package init(agent: UInt32, stream: UInt64) {
        self.agent = agent
        self.stream = stream
    }
}

/// What somebody asks to read.
package struct Selection: Hashable, Sendable {
    package var classes: [DataClass]
    /// These subjects; or those of `teams`; or everyone when both are empty.
    package var subjects: [String]
    package var teams: [String]
    package var from: WallTime
    package var until: WallTime

    package init(classes: [DataClass], subjects: [String], teams: [String], from: WallTime, until: WallTime) {
        self.classes = classes
        self.subjects = subjects
        self.teams = teams
        self.from = from
        self.until = until
    }
}

/// How much a selection has of one class of what was captured of somebody at one place.
package struct SegmentShare: Hashable, Sendable {
    package var scope: Scope
    package var dataClass: DataClass
    package var events: Int64
}

/// The record of one read. Durable before the first byte leaves.
package struct ReleaseRecord: Sendable {
    package var reader: String
    package var purpose: String
    package var justification: String
    package var selection: Selection
    package var at: WallTime
    package var epoch: UInt64
    /// Their entry in the directory as well.
    package var readsDirectory: Bool
    /// Of events; empty: all of them.
    package var fields: [String]
    /// What its canaries are derived from beside its number, which comes again once a vault was restored.
    package var canarySalt: Data

    package init(
        reader: String, purpose: String, justification: String, selection: Selection, at: WallTime, epoch: UInt64, readsDirectory: Bool = false, fields: [String] = [],
        canarySalt: Data = Data()
    ) {
        self.canarySalt = canarySalt
        self.fields = fields
        self.readsDirectory = readsDirectory
        self.reader = reader
        self.purpose = purpose
        self.justification = justification
        self.selection = selection
        self.at = at
        self.epoch = epoch
    }
}

/// A place in a selection, to go on from.
package struct SegmentCursor: Hashable, Sendable {
    package var subject = ""
    package var dataClass = ""
    package var first = Int64.min
    package var row = Int64.min

    package init() {}
}

package struct VaultTotals: Hashable, Sendable {
    package var events: Int64 = 0
    package var segments: Int64 = 0
    package var oldest: WallTime?
    package var bytes: Int64 = 0
    /// A key that was destroyed may be in the log of the file of keys yet: somebody reads it.
    package var holdsDestroyedKeys = false
    package init() {}
}

/// What may be done in one transaction. All of it becomes durable together, or none.
package protocol VaultTransaction {
    /// The last sequence stored of a stream; 0: none.
    func highWater(_ key: StreamKey) throws -> UInt64
    func setHighWater(_ key: StreamKey, _ sequence: UInt64, lost: UInt64) throws
    func insert(_ segment: Segment) throws
    /// Takes out what a closure turned out to forbid after it was written.
    func remove(_ key: StreamKey, sequence: UInt64) throws
    /// The hash of a stored batch; nil when nothing of it is stored any more.
    func hash(of key: StreamKey, sequence: UInt64) throws -> Data?
    func addTotals(events: Int64, segments: Int64, oldest: WallTime?) throws
    func record(gate: Data, epoch: UInt64, at: WallTime) throws
    func open(_ release: ReleaseRecord, subjects: Int, events: Int64) throws -> Int64
    func close(_ release: Int64, chunks: Int64, events: Int64, code: Int, at: WallTime) throws
}

/// The store behind policy: what it keeps of events is ciphertext. One engine is embedded (SQLite); another, for several machines, follows.
package protocol Vault: Sendable {
    /// Runs `body` in one transaction on the one connection that writes. False from `body` rolls it back.
    func transaction(_ body: (any VaultTransaction) throws -> Bool) throws
    /// The gate as it was last recorded; nil: never.
    func gate() throws -> Data?
    func totals() throws -> VaultTotals
    /// Segments that it has ever stored, durably: it grows with each, and never goes back, whatever is erased or swept. One that was put back has fewer.
    var stored: UInt64 { get }
    /// Compares the rows that there are with those that were committed, all of them.
    ///
    /// - Returns: how many there are.
    /// - Throws: `StoreError.damaged`: some were deleted, added or exchanged, by whomever.
    func audit() throws -> Int64
    /// For people: which file has failed, and what to do.
    func words(_ error: any Error) -> String
    func extent(of selection: Selection) throws -> (subjects: Int, events: Int64)
    /// The same, told apart by whose and where it is, in the order of ``segments(_:after:limit:)``; of one subject and class by site and team.
    func shares(of selection: Selection) throws -> [SegmentShare]
    /// The next segments of a selection, in the order of subject, class and time. Empty: there are no more. One that cannot be opened, or was
    /// changed, stands in its place as what it is.
    func segments(
        _ selection: Selection, after: SegmentCursor, limit: Int
    ) throws -> (segments: [Result<Segment, SegmentUnreadable>], next: SegmentCursor)
    // Erasing. On the writer's thread, but for what is only asked.

    /// Destroys everything held on those named: their keys, durably, before it returns, unless an incident holds them; their rows go with ``eraseNext(atMost:)``.
    /// Whatever of it was done before is not done again.
    func erase(_ orders: [ErasureOrder]) throws
    /// Deletes the next rows of somebody who is being erased, in one small transaction, bounded by their bytes too; and then what the logs hold of them.
    ///
    /// - Returns: how far they are, `log` if it is to be tried again; nil: nothing is left to be deleted of anybody.
    func eraseNext(atMost rows: Int) throws -> Erasure?
    /// Somebody who was erased agreed anew: what comes from now on is stored, or, if the erasure waits for an incident, from its end on. Nothing of before comes back.
    func readmit(_ subject: String, at: WallTime) throws
    func erasures() throws -> [Erasure]
    /// Whether nothing of them may be stored. From memory: it is asked for each batch.
    func isErased(_ subject: String) -> Bool
    /// Somebody who was erased and agreed anew: what was captured before is not stored, however late it comes. Nil: everybody else. From memory.
    func storedFrom(_ subject: String) -> WallTime?
    /// How often keys of persons were destroyed since the start, for who reads: asked before a page is read, and handed back with each segment of it.
    var destructions: UInt64 { get }
    /// Whether a person's keys were destroyed since then: what was read of them is not released. From memory.
    func wasDestroyed(_ subject: String, since destructions: UInt64) -> Bool
    /// What is held on these is neither erased nor swept until ``lift(_:_:)``. Who is erased already stays so.
    func hold(_ incident: UInt64, _ subjects: Set<String>) throws
    /// - Parameter subjects: nil: of everybody.
    func lift(_ incident: UInt64, _ subjects: Set<String>?) throws
    func holds() -> [UInt64: Set<String>]
    /// The incidents that hold what there is of a person. From memory.
    func incidents(holding subject: String) -> Set<UInt64>

    // Retention.

    /// Deletes what is past its time, persons in order, in one small transaction; and keys of months that nothing is left of.
    func sweep(_ retention: Retention, at now: WallTime, from cursor: SweepCursor, atMost rows: Int) throws -> Swept
    /// The latest time that a sweep has gone by.
    func sweptUntil() throws -> WallTime?
    /// When the last was captured of what came in last, by the agents' clocks; nil: nothing is stored.
    func newest() throws -> WallTime?

    // Judging again.

    /// Begins a walk over everything that is stored now, by rules of this id. If such a one was begun before, it goes on, or is done; one by other rules ends.
    func beginRescan(_ id: Data) throws
    /// Judges the next segments, persons in order, in one small transaction.
    ///
    /// - Parameter left: What takes a segment's place: less of the same events, of the same person, in any class; nothing: it goes; nil: it stays.
    /// - Returns: how far it is; nil: there is nothing to be judged.
    func rescanNext(atMost rows: Int, left: (Segment) throws -> [Segment]?) throws -> Rescan?
    func rescan() throws -> Rescan?

    // The directory. Each entry is encrypted under a key of its person.

    func put(_ people: [DirectoryEntry], at: WallTime) throws
    /// Nil: there is none, or its key is gone.
    func person(_ subject: String) throws -> DirectoryEntry?
    /// Where the directory has these people, by subject, of those whom it lists; empty names where it does not say.
    func places(of subjects: Set<String>) throws -> [String: Scope]
    /// In one transaction. Whom an incident holds stays.
    ///
    /// - Returns: these.
    @discardableResult func removePeople(_ subjects: [String]) throws -> [String]
    func peopleCount() throws -> Int
    /// The next entries, by subject. Of one that cannot be read the subject alone. Empty: there are no more.
    func people(after subject: String, atMost count: Int) throws -> [DirectoryEntry]

    /// Housekeeping on the writer's thread, in a gap.
    func tidy(isIdle: Bool) throws
    /// A log holds what was deleted: ``tidy(isIdle:)`` is to be called again soon.
    var isUntidy: Bool { get }
    func close() throws
    /// Whether an error says that there is no room: it may pass.
    func isFull(_ error: any Error) -> Bool
    /// Whether an error says that a piece of what is stored is not what was written: whoever does not need it goes on.
    func isDamage(_ error: any Error) -> Bool
}
