import Gate
import Messaging
import Rules
import Vault

/// What the writer does between commits: it erases, and deletes what is past its time. In steps, each one small transaction, and for a share of its time alone:
/// whoever waits for an acknowledgement waits for one step at most.
///
/// | | beside other work | when nothing else is to be done |
/// | --- | --- | --- |
/// | erasing | half of the time: somebody waits for it | half |
/// | sweeping, judging again, forgetting what drifted a week ago | a twentieth | half |
struct Housekeeping {
    private enum Deed { case erasing, forgetting, sweeping, judging }

    private let vault: any Vault
    private var retention: Retention
    private var clock: RetentionClock?
    /// Nothing is swept before: what an incident holds since this process last heard of it would go.
    var knowsHolds: Bool
    /// What was begun before a restart is looked for first.
    private var erases = true
    private var sweep: (cursor: SweepCursor, at: WallTime)?
    private var stepAt = Instant(nanoseconds: 0)
    /// An erasure that cannot go on now keeps nothing else waiting.
    private var eraseAt = Instant(nanoseconds: 0)
    private var sweepAt = Instant(nanoseconds: 0)
    /// At the start, and then by the clock alone: what drifted once goes whether or not anything drifts again.
    private var forgetAt = Instant(nanoseconds: 0)
    private var walk: RescanWalk?
    /// False: everything was judged, but for what incidents hold, or what is damaged.
    private var judges = false
    /// The last that was done of the two that go on for long: the other is next.
    private var lastSwept = false

    /// Some milliseconds of work.
    private static let rowsPerStep = 128
    /// A few commits make most of an erasure's time.
    private static let rowsPerErasingStep = 512
    /// What is a little older than a week is in no count: it is not kept for much longer.
    private static let forgetEvery = Span.seconds(3_600)
    /// From the end of a sweep to the beginning of the next.
    private static let sweepEvery = Span.seconds(900)
    /// After it found no room, or somebody who reads what was deleted in a log.
    private static let patience = Span.seconds(1)
    /// After it found a page that is not what was written: it will not be another one soon.
    private static let patienceWithDamage = Span.seconds(60)
    private static let erasingShare: Int64 = 2
    private static let sweepingShare: Int64 = 20

    init(vault: any Vault, retention: Retention, knowsHolds: Bool = true) {
        self.vault = vault
        self.knowsHolds = knowsHolds
        self.retention = retention
    }

    /// An erasure was begun, or may begin now; what an incident held may be judged again.
    mutating func mayErase() {
        erases = true
        judges = walk != nil
        stepAt = Instant(nanoseconds: 0)
        eraseAt = stepAt
    }

    /// From now on everything stored is judged by these rules, if it was not before.
    mutating func judge(by rescanner: Rescanner) throws {
        try vault.beginRescan(rescanner.id)
        walk = try RescanWalk(rescanner)
        judges = true
    }

    /// Another policy document: what it keeps for less goes now, and a sweep that is under way begins anew.
    mutating func keep(_ retention: Retention) {
        guard retention != self.retention else { return }
        self.retention = retention
        sweep = nil
        sweepAt = Instant(nanoseconds: 0)
    }

    /// How long the writer may wait for other work.
    func rest(at now: Instant) -> Span {
        var next = max(stepAt, forgetAt)
        if erases { next = min(next, max(stepAt, eraseAt)) }
        if judges || sweep != nil { next = min(next, stepAt) }
        if knowsHolds, !retention.spans.isEmpty { next = min(next, max(stepAt, sweepAt)) }
        if vault.isUntidy { next = min(next, now + Housekeeping.patience) }
        return next > now ? next - now : .zero
    }

    private func deed(at now: Instant) -> Deed? {
        guard now >= stepAt else { return nil }
        if erases, now >= eraseAt { return .erasing }
        if now >= forgetAt { return .forgetting }
        let sweeps = knowsHolds && !retention.spans.isEmpty && (sweep != nil || now >= sweepAt)
        guard sweeps, judges else { return sweeps ? .sweeping : judges ? .judging : nil }
        return lastSwept ? .judging : .sweeping
    }

    mutating func step(isIdle: Bool, wall: WallTime = Clock.wall(), at begun: Instant = Clock.now()) throws -> [VaultWriter.News] {
        guard let deed = deed(at: begun) else { return [] }
        var news: [VaultWriter.News] = []
        do {
            switch deed {
            case .erasing:
                let erasure = try vault.eraseNext(atMost: Housekeeping.rowsPerErasingStep)
                news = erasure.map { [.erasing($0)] } ?? []
                erases = erasure != nil
                if erasure?.state == .log { eraseAt = begun + Housekeeping.patience }
            case .forgetting: if !(try forget(wall, begun)) { forgetAt = begun + Housekeeping.forgetEvery }
            case .sweeping:
                lastSwept = true
                news = try advance(wall, begun)
            case .judging:
                lastSwept = false
                let rescan = try walk?.step(vault)
                judges = rescan?.state == .walking
                news = rescan.map { [.rescanned($0)] } ?? []
                if let drifts = walk?.drifts, !drifts.isEmpty { news.append(.drifted(drifts)) }
            }
        } catch where vault.isDamage(error) {
            // What can be read is stored and released all the same. An erasure stays open, and is shown.
            switch deed {
            case .erasing: eraseAt = begun + Housekeeping.patienceWithDamage
            case .forgetting: forgetAt = begun + Housekeeping.forgetEvery
            case .sweeping: (sweep, sweepAt) = (nil, begun + Housekeeping.sweepEvery)
            case .judging: judges = false
            }
            return [.damaged(vault.words(error))]
        } catch where vault.isFull(error) {
            // Deleting needs room in the log, too. Whether there is any for what comes in, the next commit finds out.
            stepAt = begun + Housekeeping.patience
            return []
        }
        let now = Clock.now()
        let share = deed == .erasing || isIdle ? Housekeeping.erasingShare : Housekeeping.sweepingShare
        stepAt = now + Span(nanoseconds: (now - begun).nanoseconds &* (share - 1))
        return news
    }

    /// What time it is, for deleting; nil: nothing is stored that would say.
    private mutating func time(_ wall: WallTime, _ now: Instant) throws -> WallTime? {
        guard var known = try clock ?? RetentionClock(mark: vault.sweptUntil(), newest: vault.newest(), wall: wall) else { return nil }
        defer { clock = known }
        return known.now(wall: wall, at: now)
    }

    /// What drifted longer ago than any limit looks back: by both clocks, since what went too early is not found any more.
    ///
    /// - Returns: whether there may be more.
    private mutating func forget(_ wall: WallTime, _ now: Instant) throws -> Bool {
        guard let believed = try time(wall, now) else { return false }
        let edge = DriftTally.minute(of: min(believed, wall)) - DriftRows.reach
        var isMore = false
        try vault.transaction { transaction in
            guard let transaction = transaction as? any SQLiteVaultTransaction else { return false }
            isMore = try transaction.forgetDrift(before: edge)
            return true
        }
        return isMore
    }

    private mutating func advance(_ wall: WallTime, _ now: Instant) throws -> [VaultWriter.News] {
        if sweep == nil {
            guard let believed = try time(wall, now) else {
                sweepAt = now + Housekeeping.sweepEvery
                return []
            }
            sweep = (SweepCursor(), believed)
        }
        guard let under = sweep else { return [] }
        let swept = try vault.sweep(retention, at: under.at, from: under.cursor, atMost: Housekeeping.rowsPerStep)
        sweep = swept.next.map { ($0, under.at) }
        if sweep == nil { sweepAt = Clock.now() + Housekeeping.sweepEvery }
        return [.swept(swept, isInDoubt: clock?.isInDoubt ?? false)]
    }
}
