/// A moment on one process's continuous clock, in nanoseconds. Says nothing outside that process and is never stored.
///
/// The shell reads it from a clock that goes on in suspend (`ContinuousClock`): a lease must end while a laptop sleeps.
package struct Instant: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (left: Instant, right: Span) -> Instant { Instant(nanoseconds: left.nanoseconds &+ right.nanoseconds) }
    package static func - (left: Instant, right: Span) -> Instant { Instant(nanoseconds: left.nanoseconds &- right.nanoseconds) }
    package static func - (left: Instant, right: Instant) -> Span { Span(nanoseconds: left.nanoseconds &- right.nanoseconds) }
}

/// A length of time, in nanoseconds.
///
/// Not `Swift.Duration`: its 128 bits cost ten times as much to compare on the path of a batch, and nothing here is
/// longer than 292 years.
package struct Span: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    package static let zero = Span(nanoseconds: 0)
    package static func seconds(_ value: Int64) -> Span { Span(nanoseconds: value * 1_000_000_000) }
    package static func milliseconds(_ value: Int64) -> Span { Span(nanoseconds: value * 1_000_000) }
    /// Stops short of the ends, which no clock is off by: what a message says may be anything, and is negated later.
    package static func microseconds(_ value: Int64) -> Span {
        Span(nanoseconds: min(max(value, -microsecondsMax), microsecondsMax) * 1_000)
    }
    private static let microsecondsMax = Int64.max / 1_000

    package var milliseconds: Int64 { nanoseconds / 1_000_000 }
    package var microseconds: Int64 { nanoseconds / 1_000 }

    package static func < (left: Span, right: Span) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (left: Span, right: Span) -> Span { Span(nanoseconds: left.nanoseconds &+ right.nanoseconds) }
    package static func - (left: Span, right: Span) -> Span { Span(nanoseconds: left.nanoseconds &- right.nanoseconds) }
    package static func / (left: Span, right: Int64) -> Span { Span(nanoseconds: left.nanoseconds / right) }
}

/// A moment on a wall clock, in nanoseconds since 1970. May jump; decides nothing about leases.
package struct WallTime: Hashable, Comparable, Sendable {
    package var nanoseconds: Int64

    package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    /// Beyond its ends: the end on that side.
    package init(microseconds: Int64) {
        let (product, overflow) = microseconds.multipliedReportingOverflow(by: 1_000)
        nanoseconds = overflow ? (microseconds > 0 ? .max : .min) : product
    }

    package var microseconds: Int64 { nanoseconds / 1_000 }

    package static let distantPast = WallTime(nanoseconds: .min)
    package static let distantFuture = WallTime(nanoseconds: .max)

    package static func < (left: WallTime, right: WallTime) -> Bool { left.nanoseconds < right.nanoseconds }
    package static func + (left: WallTime, right: Span) -> WallTime {
        let (sum, overflow) = left.nanoseconds.addingReportingOverflow(right.nanoseconds)
        return overflow ? (right.nanoseconds > 0 ? .distantFuture : .distantPast) : WallTime(nanoseconds: sum)
    }
    package static func - (left: WallTime, right: Span) -> WallTime { left + Span(nanoseconds: 0 &- right.nanoseconds) }
    package static func - (left: WallTime, right: WallTime) -> Span {
        let (difference, overflow) = left.nanoseconds.subtractingReportingOverflow(right.nanoseconds)
        return Span(nanoseconds: overflow ? (left > right ? .max : .min) : difference)
    }
}
