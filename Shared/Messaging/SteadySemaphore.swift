import CZMQ
package import Gate

#if canImport(Glibc)
import Glibc
#else
import Darwin
import Dispatch
#endif

/// A semaphore whose time-outs go by a clock that nobody sets.
///
/// On Linux libdispatch waits until a time of the wall clock: when that is put back by an hour, a wait of 100 ms takes an hour.
package final class SteadySemaphore: Sendable {
    #if os(Linux)
    private let descriptor: Int32

    /// Made when a service starts, for its threads: without a descriptor left there is no service.
    package init() {
        descriptor = eventfd(0, Int32(EFD_SEMAPHORE) | Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        precondition(descriptor >= 0, "cannot make an eventfd: \(String(cString: strerror(errno)))")
    }

    deinit { close(descriptor) }

    package func signal() {
        var one: UInt64 = 1
        // It blocks at 2^64 - 2 signals that nobody waited for.
        while write(descriptor, &one, MemoryLayout<UInt64>.size) < 0, errno == EINTR {}
    }

    /// Blocks until it is signalled, one wait for each signal, or until the time is over.
    ///
    /// - Parameter span: Nil: for as long as it takes.
    /// - Returns: whether it was signalled.
    @discardableResult package func wait(atMost span: Span? = nil) -> Bool {
        let deadline = span.map { Clock.now() + $0 }
        while true {
            var count: UInt64 = 0
            if read(descriptor, &count, MemoryLayout<UInt64>.size) > 0 { return true }
            var milliseconds: Int32 = -1
            if let deadline {
                let left = deadline - Clock.now()
                guard left > .zero else { return false }
                // Rounded up, or the last part of a millisecond is spent in circles.
                milliseconds = Int32(clamping: left.nanoseconds / 1_000_000 + 1)
            }
            var one = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            poll(&one, 1, milliseconds)
        }
    }
    #else
    private let semaphore = DispatchSemaphore(value: 0)

    package init() {}
    package func signal() { semaphore.signal() }
    @discardableResult package func wait(atMost span: Span? = nil) -> Bool {
        guard let span else { semaphore.wait(); return true }
        return semaphore.wait(timeout: .now() + .nanoseconds(Int(span.nanoseconds))) == .success
    }
    #endif
}
