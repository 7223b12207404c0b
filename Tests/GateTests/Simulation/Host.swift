import Gate

/// A machine with one process on it: its clocks, and whether it runs.
///
/// True time is control's: every other clock is right to one part in 500 of it, and has an origin of its own in each run.
final class Host {
    let name: String
    /// How much faster than true time its continuous clock goes, in millionths.
    private let rate: Int64
    private let clockStopsInSuspend: Bool
    private var origin: Int64
    private var suspended: Int64 = 0
    private var stalledSince: Int64?
    /// Wall clock minus true time, from each moment on.
    private var offsets: [(from: Int64, offset: Int64)] = [(.min, 0)]

    /// Which run of the process this is. What was meant for an earlier one never arrives.
    private(set) var run = 0
    private(set) var isUp = true
    private(set) var backlog: [() -> Void] = []
    /// What comes with a stamp from before this cannot be told from what was captured at the same reading, earlier.
    private(set) var ambiguousUntil = Int64.min

    var isStalled: Bool { stalledSince != nil }

    /// The slowest that a node's clock may be: 1 / 1.002.
    static let slowest: Int64 = -1_996
    static let fastest: Int64 = 2_000
    private static let wallOrigin: Int64 = 1_700_000_000_000_000_000

    init(_ name: String, rate: Int64 = 0, origin: Int64, clockStopsInSuspend: Bool = false) {
        self.name = name
        self.rate = rate
        self.origin = origin
        self.clockStopsInSuspend = clockStopsInSuspend
    }

    func instant(at now: Int64) -> Instant {
        var run = now - suspended
        if clockStopsInSuspend, let stalledSince { run -= now - stalledSince }
        return Instant(nanoseconds: origin + run + run / 1_000_000 * rate + run % 1_000_000 * rate / 1_000_000)
    }

    func offset(at time: Int64) -> Int64 { offsets.last { $0.from <= time }!.offset }
    func wall(at time: Int64) -> WallTime { WallTime(nanoseconds: Host.wallOrigin + time + offset(at: time)) }

    func stepWall(by step: Int64, at now: Int64) {
        offsets.append((now, offset(at: now) + step))
        if step < 0 { ambiguousUntil = isUp ? now : .max }
    }

    func crash() {
        isUp = false
        run += 1
        backlog = []
        stalledSince = nil
    }

    func restart(at now: Int64, origin: Int64) {
        isUp = true
        suspended = 0
        self.origin = origin - now
        if ambiguousUntil == .max { ambiguousUntil = now }
    }

    func stall(at now: Int64) { stalledSince = now }

    func postpone(_ work: @escaping () -> Void) { backlog.append(work) }

    /// - Returns: what came in meanwhile, in order.
    func wake(at now: Int64) -> [() -> Void] {
        if clockStopsInSuspend, let stalledSince { suspended += now - stalledSince }
        stalledSince = nil
        defer { backlog = [] }
        return backlog
    }
}
