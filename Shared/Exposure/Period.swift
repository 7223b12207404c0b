package import Gate

/// A stretch of wall time, from its first moment up to the first at which it was over.
package struct Period: Hashable, Sendable {
    package var from: WallTime
    package var until: WallTime

    package init(from: WallTime, until: WallTime) {
        self.from = from
        self.until = until
    }

    package static let always = Period(from: .distantPast, until: .distantFuture)

    package var isEmpty: Bool { from >= until }
    package func contains(_ moment: WallTime) -> Bool { from <= moment && moment < until }
    package func covers(_ other: Period) -> Bool { from <= other.from && other.until <= until }

    /// Nil: they have no moment in common.
    package func overlap(_ other: Period) -> Period? {
        let both = Period(from: max(from, other.from), until: min(until, other.until))
        return both.isEmpty ? nil : both
    }

    /// What is left of this without some others, in order.
    func without(_ others: some Sequence<Period>) -> [Period] {
        var left = [self]
        for other in others {
            left = left.flatMap { one in
                guard let both = one.overlap(other) else { return [one] }
                return [Period(from: one.from, until: both.from), Period(from: both.until, until: one.until)].filter { !$0.isEmpty }
            }
        }
        return left
    }
}
