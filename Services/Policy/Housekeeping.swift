import Gate
import Messaging
import Vault

/// What the writer does between commits: it erases, and deletes what is past its time. In steps, each one small transaction, and for a share of its time alone:
/// whoever waits for an acknowledgement waits for one step at most.
///
/// | | beside other work | when nothing else is to be done |
/// | --- | --- | --- |
/// | erasing | half of the time: somebody waits for it | half |
/// | sweeping | a twentieth | half |
struct Housekeeping {
    private enum Deed { case erasing, sweeping }

    private let vault: any Vault
    private var retention: Retention
    private var clock: RetentionClock?
    /// What was begun before a restart is looked for first.
    private var erases = true
    private var sweep: (cursor: SweepCursor, at: WallTime)?
    private var stepAt = Instant(nanoseconds: 0)
    private var sweepAt = Instant(nanoseconds: 0)

    /// Some milliseconds of work.
    private static let rowsPerStep = 128
    /// A few commits make most of an erasure's time.
    private static let rowsPerErasingStep = 512
    /// From the end of a sweep to the beginning of the next.
    private static let sweepEvery = Span.seconds(900)
    /// After it found no room.
    private static let patience = Span.seconds(1)
    private static let erasingShare: Int64 = 2
    private static let sweepingShare: Int64 = 20

    init(vault: any Vault, retention: Retention) {
        self.vault = vault
        self.retention = retention
    }

    /// An erasure was begun, or may begin now.
    mutating func mayErase() {
        erases = true
        stepAt = Instant(nanoseconds: 0)
    }

    /// Another policy document: what it keeps for less goes now, and a sweep that is under way begins anew.
    mutating func keep(_ retention: Retention) {
        guard retention != self.retention else { return }
        self.retention = retention
        sweep = nil
        sweepAt = Instant(nanoseconds: 0)
    }

    /// How long the writer may wait for other work; nil: as long as it likes.
    func rest(at now: Instant) -> Span? {
        guard erases || !retention.spans.isEmpty else { return nil }
        let next = erases || sweep != nil ? stepAt : max(stepAt, sweepAt)
        return next > now ? next - now : .zero
    }

    private func deed(at now: Instant) -> Deed? {
        guard now >= stepAt else { return nil }
        if erases { return .erasing }
        return !retention.spans.isEmpty && (sweep != nil || now >= sweepAt) ? .sweeping : nil
    }

    mutating func step(isIdle: Bool, wall: WallTime = Clock.wall(), at begun: Instant = Clock.now()) throws -> [VaultWriter.News] {
        guard let deed = deed(at: begun) else { return [] }
        var news: [VaultWriter.News] = []
        do {
            switch deed {
            case .erasing:
                if let erasure = try vault.eraseNext(atMost: Housekeeping.rowsPerErasingStep) { news.append(.erasing(erasure)) } else { erases = false }
            case .sweeping: news = try advance(wall, begun)
            }
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

    private mutating func advance(_ wall: WallTime, _ now: Instant) throws -> [VaultWriter.News] {
        if sweep == nil {
            var known = try clock ?? RetentionClock(mark: vault.sweptUntil())
            sweep = (SweepCursor(), known.now(wall: wall, at: now))
            clock = known
        }
        guard let under = sweep else { return [] }
        let swept = try vault.sweep(retention, at: under.at, from: under.cursor, atMost: Housekeeping.rowsPerStep)
        sweep = swept.next.map { ($0, under.at) }
        if sweep == nil { sweepAt = Clock.now() + Housekeeping.sweepEvery }
        return [.swept(swept, isInDoubt: clock?.isInDoubt ?? false)]
    }
}
