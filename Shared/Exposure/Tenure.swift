package import Gate

/// From when to when something counted, by a clock that may be set back meanwhile: all the hours that it may have been.
///
/// The hours that the clock ran through twice are in it, whichever time they are meant by: an exposure names rather one reader too many.
package struct Tenure: Hashable, Sendable {
    package private(set) var from: WallTime
    /// The latest that the clock showed before it was set back, while this counted. Nil: it was not.
    package private(set) var latest: WallTime?

    package init(from: WallTime) { self.from = from }

    /// While this counts, the clock goes from `highest`, the latest that it had shown, back to `moment`.
    package mutating func clockWent(backTo moment: WallTime, from highest: WallTime) {
        from = min(from, moment)
        latest = max(latest ?? highest, highest)
    }

    /// All of it, once it has ended at a moment.
    package func ended(at moment: WallTime) -> Period {
        let last = latest.map { WallTime(nanoseconds: $0.nanoseconds &+ 1) } ?? moment
        return Period(from: min(from, moment), until: max(moment, last))
    }
}
