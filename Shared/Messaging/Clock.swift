package import Gate

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The only place that reads the machine's clocks.
package enum Clock {
    /// The continuous clock: it goes on while the machine sleeps, and nobody can set it.
    package static func now() -> Instant {
        #if os(Linux)
        Instant(nanoseconds: read(CLOCK_BOOTTIME))
        #else
        Instant(nanoseconds: read(CLOCK_MONOTONIC))
        #endif
    }

    package static func wall() -> WallTime { WallTime(nanoseconds: read(CLOCK_REALTIME)) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
