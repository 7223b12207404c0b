import Chassis
import Foundation
import Gate
import Ledger
import Messaging
import Rules
import Seal
import Vault
import Wire

/// The two threads behind policy's reactor: one opens batches, one writes them, many in one commit. A third checks the read ledger once, at the start.
///
/// Nothing is acknowledged before its commit. The fence is asked three times: when a batch is opened, inside the transaction
/// before it commits, and once more for what was being committed when a closure came.
final class VaultWriter: Sendable {
    enum News: Sendable {
        /// Durable: per batch where it came from, which, and its size; and how many segments the vault has ever stored.
        case stored([Answer], segments: UInt64)
        case refused(Batch, BatchRefused)
        case busy(Batch, milliseconds: UInt32)
        /// Whatever was under way when the fence changed has been judged by the new one.
        case fenced(Epoch)
        /// The closure is in the vault's own store.
        case recorded(Epoch)
        case totals(VaultTotals)
        case full(Bool)
        /// The read ledger has so many entries.
        case grew(UInt64)
        case offered(ReadLedger.Offer)
        /// Kept on disk, so it may be told.
        case cosigned(Checkpoint, Data)
        /// What came as control's cosignature is none.
        case badCosignature
        case released(ReleaseJob, OpenedRelease, person: DirectoryEntry?)
        /// It would be of more than the document lets one reader have, or than they ever had.
        case foundBreadth(ReleaseJob, PolicyDocument.LeakReaction, String)
        /// What runs is served in another hour, or by another document: of these for too long.
        case served(PolicyDocument.LeakReaction, [ReadTally.LongRead], at: WallTime)
        /// It would take too much.
        case overRate(ReleaseJob, ReadRefusal, DecidedRelease)
        /// That this was denied is on the record.
        case denied(DeniedAnswer)
        case releaseRefused(ReleaseJob, Refusal, String)
        /// What a look at the key files brought; nil: nothing has changed, and why.
        case keys([VaultKeyID]?, why: String)
        /// An erasure was asked for, has gone on, or is done.
        case erasing(Erasure)
        case erasures(Route, [Erasure])
        case swept(Swept, isInDoubt: Bool)
        /// How far what is stored was judged again.
        case rescanned(Rescan)
        /// Of what was judged again.
        case drifted([Drift])
        case directory(DirectoryJob)
        case directoryRefused(DirectoryJob, Refusal, String)
        /// A piece of what is stored is not what was written; what did not need it goes on.
        case damaged(String)
        /// Every entry of the read ledger is what was recorded, and every segment there that was stored and is not deleted.
        case audited(UInt64, segments: Int64)
        case failed(String)
    }

    /// What the opener's thread takes, in order.
    private enum Arrival: Sendable {
        case batch(SealedBatch)
        case look(Set<VaultKeyID>)
        case stop
    }

    struct Answer: Sendable {
        let ingest: Int
        let agent: UInt32
        let stream: UInt64
        let sequence: UInt64
        let bytes: Int
        let events: Int
        let dropped: Int
        /// Captured of somebody before they were erased, or while they are: not stored.
        var erased = 0
        var reviewed = Reviewed()
        let isDuplicate: Bool
        /// Before this one: neither here nor at the agent.
        let lost: UInt64
    }

    enum Work: Sendable {
        case write(Prepared)
        case fence(Epoch, gate: Data, at: WallTime)
        case release(ReleaseJob, DecidedRelease)
        case ended(ReleaseEnd)
        /// Another hour of the clock has begun, or another document is in force.
        case served(PolicyDocument.LeakReaction)
        /// With whoever waits for an answer.
        case denied(DeniedRead, DeniedAnswer?)
        /// What was taken before this start.
        case tally(ReadTally)
        /// Make the next offer to control, from where it says that it is.
        case offer(from: UInt64)
        /// Keep and cosign a checkpoint of control's.
        case cosign(SignedNote, Checkpoint)
        /// Keep control's cosignature of ours.
        case keep(Data)
        case erase([ErasureOrder])
        case readmit(String, at: WallTime)
        case hold(incident: UInt64, Set<String>)
        case lift(incident: UInt64, Set<String>)
        /// These, and no others.
        case keepHolds([UInt64: Set<String>])
        /// How far it has come with these.
        case erasures(Set<String>, Route)
        case directory(DirectoryJob)
        /// What drifted of the class was found: it is counted anew. Not after this minute; at first, .max.
        case forgetDrift(DataClass, through: Int64)
        /// What drifted in minutes that lie ahead drifted in this one.
        case settleDrift(in: Int64)
        /// From now on this is deleted when.
        case retain(Retention)
        case rescan(Rescanner)
        case stop

        /// It takes steps, and nobody waits for it.
        var isDrift: Bool {
            switch self {
            case .forgetDrift, .settleDrift: true
            default: false
            }
        }
    }

    private let vault: any Vault
    private let reads: ReadLedger
    private let fence: SharedFence
    private let rules: SharedRules
    private let origin: String
    private let vaultKeys: [VaultKey]
    private let loadKeys: @Sendable () throws -> [VaultKey]
    private let retention: Retention
    private let news: Mailbox<News>
    private let arrived = Queue<Arrival>()
    private let work = Queue<Work>()
    private let ended = SteadySemaphore()
    /// Streams whose mark is kept in memory; more are read again.
    private static let streamsMax = 200_000

    /// - Parameters:
    ///   - origin: Of control's ledger: which suite batches are sealed for.
    ///   - keys: What opens them: the present key, and earlier ones.
    ///   - loadKeys: Reads them anew from their files. Called on the opener's thread.
    ///   - retention: What is deleted when.
    init(
        vault: any Vault, reads: ReadLedger, fence: SharedFence, rules: SharedRules, origin: String, keys: [VaultKey], loadKeys: @escaping @Sendable () throws -> [VaultKey],
        retention: Retention, news: Mailbox<News>
    ) {
        self.vault = vault
        self.reads = reads
        self.fence = fence
        self.rules = rules
        self.origin = origin
        vaultKeys = keys
        self.loadKeys = loadKeys
        self.retention = retention
        self.news = news
    }

    func start() {
        startThread("opener") { [self] in openAll() }
        startThread("writer") { [self] in writeAll() }
        startThread("auditor") { [self] in
            do {
                let size = try reads.audit()
                let segments = try vault.audit()
                // Before anybody hears that it is whole, and may be given something.
                work.put(.tally(try reads.tally(at: Clock.wall())))
                news.post(.audited(size, segments: segments))
            } catch { news.post(.failed(vault.words(error))) }
        }
    }

    func stop() {
        arrived.put(.stop)
        ended.wait(atMost: .seconds(4))
    }

    func take(_ batch: SealedBatch) { arrived.put(.batch(batch)) }
    /// Looks for keys that are the vault's and are missing. Until they are here what is sealed to them is answered `busy`, from the next batch on.
    func look(for keys: Set<VaultKeyID>) { arrived.put(.look(keys)) }
    func take(_ item: Work) { work.put(item) }

    // MARK: Opening

    private func openAll() {
        do {
            var unsealer = BatchUnsealer(origin: origin, keys: vaultKeys)
            var cutter = try BatchCutter(rules)
            while true {
                for arrival in arrived.takeAll() {
                    let sealed: SealedBatch
                    switch arrival {
                    case .batch(let batch): sealed = batch
                    case .look(let missing):
                        look(for: missing, &unsealer)
                        continue
                    case .stop: return work.put(.stop)
                    }
                    FaultPoint.pass("after-recv")
                    guard let fence = fence.current() else {
                        news.post(.refused(sealed.batch, BatchRefused(refusal: .leaseEnded, text: "policy's own lease has ended")))
                        continue
                    }
                    do throws(BatchRefused) {
                        work.put(.write(try cutter.prepare(try unsealer.open(sealed), fence: fence, now: Clock.wall())))
                    } catch {
                        news.post(error.awaitsKey ? .busy(sealed.batch, milliseconds: 1_000) : .refused(sealed.batch, error))
                    }
                }
            }
        } catch {
            news.post(.failed("\(error)"))
        }
    }

    /// All of the files, or none: what cannot be read takes no key away.
    private func look(for missing: Set<VaultKeyID>, _ unsealer: inout BatchUnsealer) {
        do {
            let keys = try loadKeys()
            let ids = keys.map(\.publicKey.id)
            unsealer.use(keys)
            unsealer.awaited = missing.subtracting(ids)
            news.post(.keys(ids, why: ""))
        } catch {
            unsealer.awaited = missing
            news.post(.keys(nil, why: "\(error)"))
        }
    }

    // MARK: Writing

    private func writeAll() {
        var highWater: [StreamKey: UInt64] = [:]
        var isFull = false
        var totalsShown = Instant(nanoseconds: 0)
        var housekeeping = Housekeeping(vault: vault, retention: retention, knowsHolds: false)
        var tally = ReadTally()
        var driftRows = DriftRows()
        /// What is to be done yet, in the order in which it came, also over a full disk: an erasure and a hold, the other way round, mean something else.
        var fences: [(Epoch, Data, WallTime)] = []
        var others: [Work] = []
        while true {
            var group: [Prepared] = []
            var epochs: [Epoch] = []
            var stopping = false
            // Group commit is by arrival: what waited while the last commit ran goes into this one.
            for item in work.take(atMost: Limits.commitBatchesMax, within: fences.isEmpty && others.isEmpty ? housekeeping.rest(at: Clock.now()) : .zero) {
                switch item {
                case .write(let prepared): group.append(prepared)
                case .fence(let epoch, let gate, let at):
                    fences.append((epoch, gate, at))
                    epochs.append(epoch)
                case .tally(let made): tally = made
                case .release, .ended, .served, .denied, .offer, .cosign, .keep, .erase, .readmit, .hold, .lift, .keepHolds, .erasures, .directory, .rescan, .forgetDrift, .settleDrift: others.append(item)
                case .retain(let retention): housekeeping.keep(retention)
                case .stop: stopping = true
                }
            }
            let didWrite = !(group.isEmpty && fences.isEmpty && others.isEmpty)
            do {
                // No commit is under way on this thread: whatever comes is judged by the new fence.
                for epoch in epochs { news.post(.fenced(epoch)) }
                if !group.isEmpty { try commit(group, &highWater, &driftRows) }
                group = []
                if !fences.isEmpty { try record(fences) }
                fences = []
                while let item = others.first {
                    let rest = try perform(item, &tally)
                    if case .erase = item { housekeeping.mayErase() }
                    if case .lift = item { housekeeping.mayErase() }
                    if case .keepHolds = item { housekeeping.knowsHolds = true; housekeeping.mayErase() }
                    if case .rescan(let rescanner) = item { try housekeeping.judge(by: rescanner) }
                    // Whoever waits for a commit waits for one step of it.
                    others.removeFirst()
                    if let rest {
                        // A read does not wait for all of what is only tidied up.
                        others.insert(rest, at: rest.isDrift ? others.count : 0)
                        break
                    }
                }
                if highWater.count > VaultWriter.streamsMax { highWater = [:] }
                if isFull, didWrite {
                    isFull = false
                    news.post(.full(false))
                }
                let now = Clock.now()
                let isIdle = work.isEmpty && others.isEmpty
                if now - totalsShown > .milliseconds(500) || isIdle, now - totalsShown > .milliseconds(50) {
                    totalsShown = now
                    news.post(.totals(try vault.totals()))
                }
                for item in try housekeeping.step(isIdle: isIdle) {
                    news.post(item)
                    // After the step that found it: whoever is killed in between has not written one step of a walk.
                    if case .drifted(let drifts) = item { try count(drifts, &driftRows) }
                }
                try vault.tidy(isIdle: isIdle)
            } catch where vault.isFull(error) {
                if !isFull { news.post(.full(true)) }
                isFull = true
                highWater = [:]
                for prepared in group { news.post(.busy(prepared.batch, milliseconds: 1_000)) }
                others = others.compactMap { item in
                    switch item {
                    case .release(let job, _): news.post(.releaseRefused(job, .storeFull, "the read cannot be recorded: the vault's disk is full"))
                    case .directory(let job): news.post(.directoryRefused(job, .storeFull, "the directory cannot be written: the vault's disk is full"))
                    // Whoever was denied hears it now.
                    case .denied(let read, let answer):
                        if let answer { news.post(.denied(answer)) }
                        return .denied(read, nil)
                    // Tried again until there is room: until then what was cosigned is not told, and control shows that it waits.
                    default: return item
                    }
                    return nil
                }
                // The closure is in force all the same; recording it is tried again until there is room.
                if !fences.isEmpty || !others.isEmpty { work.pause(milliseconds: 200) }
            } catch {
                // After a failed write nothing is known about what the disk holds: a restart reads it anew.
                news.post(.failed(vault.words(error)))
                ended.signal()
                return
            }
            if stopping {
                // What it would forget it would find again.
                for var item in others where item.isDrift { while let rest = try? perform(item, &tally) { item = rest } }
                try? vault.tidy(isIdle: true)
                try? vault.close()
                ended.signal()
                return
            }
        }
    }

    private func commit(_ group: [Prepared], _ highWater: inout [StreamKey: UInt64], _ driftRows: inout DriftRows) throws {
        var pending = group
        while !pending.isEmpty {
            guard let now = fence.current() else {
                for prepared in pending {
                    news.post(.refused(prepared.batch, BatchRefused(refusal: .leaseEnded, text: "policy's own lease has ended")))
                }
                return
            }
            pending = try rejudge(pending, by: now)
            guard !pending.isEmpty else { return }
            var answers: [Answer] = []
            var refusals: [(Batch, BatchRefused)] = []
            var next = highWater
            var committed: [Prepared] = []
            var stillHolds = true
            pending = try pending.map { try withoutErased($0) }
            let minute = DriftTally.minute(of: Clock.wall())
            try vault.transaction { (transaction) -> Bool in
                for prepared in pending {
                    switch try store(prepared, &next, transaction) {
                    case .success(let answer):
                        answers.append(answer)
                        // Also of which nothing is left: its answer stands for all before it, and one of those may be taken out again.
                        if !answer.isDuplicate {
                            committed.append(prepared)
                            try count(prepared.reviewed, in: minute, &driftRows, transaction)
                        }
                    case .failure(let refused): refusals.append((prepared.batch, refused))
                    }
                }
                let events = committed.reduce(into: Int64(0)) { $0 += Int64($1.segments.reduce(0) { $0 + $1.count }) }
                let segments = committed.reduce(into: Int64(0)) { $0 += Int64($1.segments.count) }
                if segments > 0 {
                    try transaction.addTotals(
                        events: events, segments: segments, oldest: committed.flatMap { $0.segments.map(\.first) }.min())
                }
                // The fence, inside the transaction: a pause, or the end of this node's lease, since the batches were judged.
                stillHolds = fence.version() == now.version
                return stillHolds
            }
            guard stillHolds else { continue }
            FaultPoint.pass("after-commit-before-ack")
            highWater = next
            let undone = try undo(committed, judgedBy: now.version, minute, &highWater, &driftRows)
            if !undone.isEmpty {
                answers.removeAll { answer in undone.contains { $0.batch.agent == answer.agent && $0.batch.header.stream == answer.stream && $0.batch.header.sequence == answer.sequence } }
                for prepared in undone { refusals.append((prepared.batch, BatchRefused(refusal: .paused, text: "closed while it was being stored"))) }
            }
            if !answers.isEmpty { news.post(.stored(answers, segments: vault.stored)) }
            for (batch, refused) in refusals { news.post(.refused(batch, refused)) }
            return
        }
    }

    /// Those that the fence still lets in; the others are answered. Judged by an earlier version they are judged again.
    private func rejudge(_ group: [Prepared], by now: Fence) throws -> [Prepared] {
        let rulesNow = rules.version
        guard group.contains(where: { $0.version != now.version || $0.rules != rulesNow }) else { return group }
        var cutter = try BatchCutter(rules)
        var kept: [Prepared] = []
        for prepared in group {
            guard prepared.version != now.version || prepared.rules != rulesNow else {
                kept.append(prepared)
                continue
            }
            do throws(BatchRefused) {
                kept.append(try cutter.prepare(prepared.opened, fence: now, now: Clock.wall()))
            } catch {
                news.post(.refused(prepared.batch, error))
            }
        }
        return kept
    }

    /// A closure may come while SQLite is syncing: what that commit held and the closure forbids is taken out again, before
    /// anything is acknowledged and before the closure is. The sender keeps it; after the resume the fence drops exactly the events
    /// from inside the closure, and counts them.
    ///
    /// - Returns: what was taken out: of each stream everything from the first forbidden batch on, so that its sequence has no gap.
    private func undo(
        _ committed: [Prepared], judgedBy version: UInt64, _ minute: Int64, _ highWater: inout [StreamKey: UInt64], _ driftRows: inout DriftRows
    ) throws -> [Prepared] {
        let now = fence.latest
        guard now.version != version else { return [] }
        var firsts: [StreamKey: UInt64] = [:]
        for prepared in committed {
            let isForbidden = prepared.segments.contains { segment in
                now.gate.closures.contains { closure in
                    closure.stopsCapture && closure.selector.matches(segment.scope, segment.dataClass)
                        && segment.last >= closure.from + prepared.batch.offset
                }
            }
            guard isForbidden else { continue }
            let sequence = prepared.batch.header.sequence
            firsts[prepared.batch.key] = min(firsts[prepared.batch.key] ?? sequence, sequence)
        }
        guard !firsts.isEmpty else { return [] }
        let undone = committed.filter { prepared in firsts[prepared.batch.key].map { prepared.batch.header.sequence >= $0 } ?? false }
        try vault.transaction { transaction in
            for prepared in undone {
                try transaction.remove(prepared.batch.key, sequence: prepared.batch.header.sequence)
                let events = prepared.segments.reduce(0) { $0 + $1.count }
                try transaction.addTotals(events: -Int64(events), segments: -Int64(prepared.segments.count), oldest: nil)
                try count(prepared.reviewed, in: minute, times: -1, &driftRows, transaction)
            }
            for (key, first) in firsts { try transaction.setHighWater(key, first - 1, lost: 0) }
            return true
        }
        for (key, first) in firsts { highWater[key] = first - 1 }
        return undone
    }

    /// Nothing is held on somebody who is erased, until they agree anew, and nothing that was captured before: what comes is counted, forgotten here, and
    /// by the agent with its receipt.
    ///
    /// On the thread that erases: nobody is erased between this and the commit.
    private func withoutErased(_ prepared: Prepared) throws -> Prepared {
        let (subject, offset) = (prepared.batch.scope.subject, prepared.batch.offset)
        var left = prepared
        if vault.isErased(subject) {
            left.segments = []
            left.reviewed.drift = nil
        } else if let from = vault.storedFrom(subject).map({ $0 + offset }), prepared.segments.contains(where: { $0.first < from }) {
            var cutter = try SegmentCutter()
            left.segments = try prepared.segments.compactMap { segment in
                segment.first >= from ? segment : segment.last < from ? nil : try cutter.filter(segment) { $0.at >= from }
            }
            if left.segments.isEmpty { left.reviewed.drift = nil }
        }
        left.erased += prepared.events - left.events
        return left
    }

    private func store(
        _ prepared: Prepared, _ highWater: inout [StreamKey: UInt64], _ transaction: any VaultTransaction
    ) throws -> Result<Answer, BatchRefused> {
        let batch = prepared.batch
        let header = batch.header
        let mark = try highWater[batch.key] ?? transaction.highWater(batch.key)
        highWater[batch.key] = mark
        func answer(isDuplicate: Bool, dropped: Int = 0, lost: UInt64 = 0) -> Answer {
            Answer(
                ingest: batch.ingest, agent: batch.agent, stream: header.stream, sequence: isDuplicate ? mark : header.sequence,
                bytes: batch.bytes, events: isDuplicate ? 0 : prepared.events, dropped: dropped, erased: isDuplicate ? 0 : prepared.erased,
                reviewed: isDuplicate ? Reviewed() : prepared.reviewed, isDuplicate: isDuplicate, lost: lost)
        }
        if header.sequence <= mark {
            if let known = try transaction.hash(of: batch.key, sequence: header.sequence), known != prepared.hash {
                return .failure(
                    BatchRefused(refusal: .differs, text: "another batch with sequence \(header.sequence) is stored already"))
            }
            return .success(answer(isDuplicate: true))
        }
        var lost: UInt64 = 0
        if header.sequence > mark + 1 {
            // Sequences that the sender does not hold any more can never come; what it holds must come first.
            guard batch.oldest > mark + 1, header.sequence == batch.oldest else {
                return .failure(
                    BatchRefused(refusal: .outOfOrder, text: "sequence \(mark + 1) comes next", expected: mark + 1))
            }
            lost = batch.oldest - mark - 1
        }
        for segment in prepared.segments { try transaction.insert(segment) }
        try transaction.setHighWater(batch.key, header.sequence, lost: lost)
        highWater[batch.key] = header.sequence
        return .success(answer(isDuplicate: false, dropped: prepared.dropped, lost: lost))
    }

    // MARK: Drift

    /// Of a document that has a limit on it, in the transaction that stores what drifted.
    private func count(_ reviewed: Reviewed, in minute: Int64, times: Int64 = 1, _ rows: inout DriftRows, _ transaction: any VaultTransaction) throws {
        guard let drift = reviewed.drift, countsDrift else { return }
        // As for the read ledger: the embedded vault alone keeps it yet.
        try (transaction as? any SQLiteVaultTransaction)?.count(rows.counts(of: drift, in: minute, isStored: false, times: times))
    }

    private var countsDrift: Bool { rules.latest.policy?.document.reaction(to: .drift).limit != nil }

    private func count(_ drifts: [Drift], _ rows: inout DriftRows) throws {
        guard countsDrift else { return }
        let minute = DriftTally.minute(of: Clock.wall())
        try vault.transaction { transaction in
            try (transaction as? any SQLiteVaultTransaction)?.count(drifts.flatMap { rows.counts(of: $0, in: minute, isStored: true) })
            return true
        }
    }

    /// - Returns: what `body` says of the next step; nil: this vault counts no drift.
    private func changeDrift<Next>(_ body: (any SQLiteVaultTransaction) throws -> Next?) throws -> Next? {
        var next: Next?
        try vault.transaction { transaction in
            guard let transaction = transaction as? any SQLiteVaultTransaction else { return false }
            next = try body(transaction)
            return true
        }
        return next
    }

    private func record(_ fences: [(Epoch, Data, WallTime)]) throws {
        try vault.transaction { transaction in
            for (epoch, gate, at) in fences { try transaction.record(gate: gate, epoch: epoch.number, at: at) }
            return true
        }
        for (epoch, _, _) in fences { news.post(.recorded(epoch)) }
    }

    /// - Returns: what is left of it, after a step; nil: nothing.
    private func perform(_ item: Work, _ tally: inout ReadTally) throws -> Work? {
        switch item {
        case .release(let job, let decided):
            do { try open(job, decided, &tally) } catch where vault.isDamage(error) && job.record.readsDirectory {
                news.post(.damaged(vault.words(error)))
                news.post(.releaseRefused(job, .unreadable, "their entry of the directory is damaged on the vault's disk: restore a backup, or ask without it"))
            }
        case .ended(let end):
            let now = Clock.wall()
            try vault.transaction { transaction in
                try transaction.close(end.number, chunks: end.chunks, events: end.events, code: end.code, at: now)
                try reads.ended(end, at: now, in: transaction)
                return true
            }
            tally.ended(UInt64(end.number), by: end.reader, given: end.given, at: now)
            news.post(.grew(try reads.size()))
        case .served(let reaction):
            let now = Clock.wall()
            tally.served(at: now)
            news.post(.served(reaction, tally.excess(ofHoursOver: reaction.limit, reaction.past, at: now), at: now))
        case .denied(let read, let answer):
            try vault.transaction { transaction in
                try reads.denied(read, at: Clock.wall(), in: transaction)
                return true
            }
            if let answer { news.post(.denied(answer)) }
            news.post(.grew(try reads.size()))
        case .offer(let from): news.post(.offered(try reads.offer(from: from, stored: vault.stored)))
        case .cosign(let note, let checkpoint): news.post(.cosigned(checkpoint, try reads.cosign(note, at: Clock.wall())))
        case .keep(let note): if !(try reads.keep(cosigned: note)) { news.post(.badCosignature) }
        case .erase(let orders):
            try vault.erase(orders)
            let named = Set(orders.map(\.subject))
            for erasure in try vault.erasures() where named.contains(erasure.subject) { news.post(.erasing(erasure)) }
        case .readmit(let subject, let at): try vault.readmit(subject, at: at)
        case .hold(let incident, let subjects): try vault.hold(incident, subjects)
        case .lift(let incident, let subjects): try vault.lift(incident, subjects)
        case .keepHolds(let holds):
            // What begins before what is over: lifting a person's last hold destroys at once what waited for it.
            for (incident, subjects) in holds { try vault.hold(incident, subjects) }
            for (incident, subjects) in vault.holds() {
                let over = subjects.subtracting(holds[incident] ?? [])
                if !over.isEmpty { try vault.lift(incident, over) }
            }
        case .erasures(let subjects, let route): news.post(.erasures(route, try vault.erasures().filter { subjects.contains($0.subject) }))
        case .directory(var job):
            let held = job.removed.filter { !vault.incidents(holding: $0).isEmpty }
            guard held.isEmpty else {
                news.post(.directoryRefused(job, .notAllowed, "what there is of \(held.sorted().prefix(10).joined(separator: ", ")) is held for an incident: the entry stays until that is lifted"))
                return nil
            }
            do {
                let author = job.author
                let isDone = try job.step(vault) { places in
                    try vault.transaction { transaction in
                        try reads.moved(places, by: author, at: Clock.wall(), in: transaction)
                        return true
                    }
                    news.post(.grew(try reads.size()))
                }
                guard isDone else { return .directory(job) }
                news.post(.directory(job))
            } catch where vault.isDamage(error) {
                news.post(.damaged(vault.words(error)))
                news.post(.directoryRefused(job, .unreadable, "an entry is damaged on the vault's disk: restore a backup"))
            }
        case .forgetDrift(let dataClass, let minute):
            return try changeDrift { try $0.forgetDrift(of: dataClass.name, through: minute) }.map { .forgetDrift(dataClass, through: $0) }
        case .settleDrift(let minute):
            let isMore = try changeDrift { try $0.moveDrift(after: minute + DriftTally.aheadMax, to: minute) }
            return isMore == true ? item : nil
        case .write, .fence, .tally, .retain, .rescan, .stop: break
        }
        return nil
    }

    /// What was taken is asked here, where releases come one after the other: two at once cannot both have the last of it.
    private func open(_ job: ReleaseJob, _ decided: DecidedRelease, _ tally: inout ReadTally) throws {
        let (record, now) = (job.record, Clock.wall())
        let classes = Set(record.selection.classes)
        guard let policy = job.rules.policy else { return news.post(.overRate(job, ReadRefusal(.noDocument), decided)) }
        let allowed: AllowedRead
        do throws(ReadRefusal) {
            allowed = try policy.allow(decided.granted, at: now) { grant in
                tally.taken(by: record.reader, grant.name, since: now - .seconds(Int64(grant.rate?.per.hours ?? 0) * 3_600))
            }
        } catch { return news.post(.overRate(job, error, decided)) }
        // Before it reads, and not after: who would go over what the document finds too broad gets nothing of it.
        let (reaction, parts) = (policy.document.reaction(to: .breadth), allowed.parts)
        if let excess = reaction.limit.flatMap({ tally.taken(by: record.reader, since: now - $0.period, and: parts).excess(over: $0) }).map({ "of \($0)" })
                ?? reaction.limit.flatMap({ tally.excess(of: record.reader, and: classes, over: $0, at: now) })
                ?? reaction.past.flatMap({ reaction.isCleared(decided.reader) ? nil : tally.days.excess(of: record.reader, and: parts, of: classes, over: $0, at: now) })
        {
            return news.post(.foundBreadth(job, reaction, "\(record.reader) would have read \(excess)"))
        }
        // What cannot be read is not recorded as released.
        let person = try record.readsDirectory ? record.selection.subjects.first.flatMap(vault.person) : nil
        var number: Int64 = 0
        // Recorded before released: the reader gets nothing until this has returned.
        try vault.transaction { transaction in
            number = try transaction.open(record, subjects: decided.subjects, events: decided.events)
            try reads.opened(job, decided, allowed, number, in: transaction)
            FaultPoint.pass("before-release-record")
            return true
        }
        FaultPoint.pass("after-release-record")
        tally.opened(UInt64(number), by: record.reader, parts, of: classes, at: now)
        let entry = try reads.size()
        news.post(.grew(entry))
        news.post(.released(job, OpenedRelease(number: number, entry: entry, decided: decided, allowed: allowed), person: person))
    }
}
