package import Gate

/// How long each class is kept. A class that is not named is kept.
package struct Retention: Hashable, Sendable {
    package var spans: [DataClass: Span]

    package init(_ spans: [DataClass: Span] = [:]) { self.spans = spans }

    /// What ended before it is past its time; nil: it is kept.
    package func edge(of dataClass: DataClass, at now: WallTime) -> WallTime? { spans[dataClass].map { now - $0 } }
}

/// What time it is, for deleting. What was deleted too early does not come back, so a wall clock that leaps ahead is not believed at once.
///
/// It never goes back: a clock that is set back over an edge neither brings anything back nor moves the edge. It goes on as the wall clock does, as far as
/// the continuous clock has gone on as well and ``leapMax`` more; a wall clock further ahead is believed once it has stood there for ``doubt``, counted anew
/// from each start. What had to be deleted meanwhile stays for as long.
///
/// Where no sweep has gone by any time yet, it begins at what was stored last: other machines' clocks say when that was. So a machine whose clock is years
/// ahead deletes nothing by it at its first sweep either, and where nothing is stored there is nothing to delete.
package struct RetentionClock: Hashable, Sendable {
    /// A machine that was off overnight, or over a day.
    package static let leapMax = Span.seconds(36 * 3_600)
    package static let doubt = Span.seconds(6 * 3_600)

    /// The latest that was believed; kept on disk.
    package private(set) var mark: WallTime
    private var seen: Instant?
    private var doubtedSince: Instant?

    package init(mark: WallTime) { self.mark = mark }

    /// - Parameters:
    ///   - mark: What the last sweep went by.
    ///   - newest: What was stored last. An agent whose clock is ahead moves nothing: it counts up to the present.
    package init?(mark: WallTime?, newest: WallTime?, wall: WallTime) {
        guard let known = mark ?? newest.map({ min($0, wall) }) else { return nil }
        self.init(mark: known)
    }

    /// Whether the wall clock is ahead of what can be believed.
    package var isInDoubt: Bool { doubtedSince != nil }

    /// - Returns: the time that deleting goes by.
    package mutating func now(wall: WallTime, at now: Instant) -> WallTime {
        let passed = seen.map { now - $0 } ?? .zero
        seen = now
        // While in doubt the reckoning goes on by the continuous clock alone.
        let reckoned = mark + passed
        if wall - reckoned <= RetentionClock.leapMax {
            doubtedSince = nil
            mark = max(mark, wall)
        } else if let since = doubtedSince, now - since >= RetentionClock.doubt {
            doubtedSince = nil
            mark = wall
        } else {
            doubtedSince = doubtedSince ?? now
            mark = reckoned
        }
        return mark
    }
}

/// Where a sweep has come to. Persons in order, and each one's classes.
package struct SweepCursor: Hashable, Sendable {
    /// Who was visited last; nil: nobody.
    var subject: String?
    /// Of what was left, so far.
    var oldest: Int64?

    package init() {}
}

/// What one step of a sweep did.
package struct Swept: Hashable, Sendable {
    package var segments: Int64 = 0
    package var events: Int64 = 0
    package var keys = 0
    /// Persons whose data an incident holds: passed over.
    package var held = 0
    /// Where to go on; nil: everyone was visited.
    package var next: SweepCursor?
}
