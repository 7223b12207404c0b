package import Gate

/// How long a connection to ingest lasts before its agent makes another one.
///
/// libzmq 4.3.4 keeps each connection's two queues in chunks of 256 messages, 16 KiB, and a spare one of each: whoever renews a permit every second has filled the
/// first after four minutes, and costs ingest 98 kB instead of 42 after nine, for good (`sluice bench hold --ageless`). A new connection begins with what a connection
/// costs, if memory that another left goes back to the kernel (``CJemalloc``), and with new keys of CURVE's.
package struct ConnectionAge: Hashable, Sendable {
    private let due: Instant

    /// Before the first chunk of either queue is full.
    package static let least = Span.seconds(120)

    /// - Parameters:
    ///   - least: It lasts so long, or up to twice that.
    ///   - share: By chance, 0 to 1: connections that were made together are not made anew together.
    package init(from start: Instant, least: Span = ConnectionAge.least, share: Double = .random(in: 0...1)) {
        due = start + least + Span(nanoseconds: Int64(Double(least.nanoseconds) * share))
    }

    package func isOver(at now: Instant) -> Bool { now >= due }
}
