/// How long those wait who are told that there is no room for what they sent: so long that they come back no faster than room is made. Reads no clock.
///
/// With a fixed wait ten thousand agents whose spools are full ask again faster than anything can be answered, and the one who pushes them back does nothing else.
package struct PushBack: Hashable, Sendable {
    package static let shortest = Span.milliseconds(100)
    package static let longest = Span.seconds(5)
    /// What is compared is what happened in so long.
    package static let period = Span.milliseconds(250)

    /// About how long whoever is pushed back now waits.
    package private(set) var wait = PushBack.shortest
    private var since: Instant?
    private var pushed = 0
    private var served = 0

    package init() {}

    /// So many had room, and are done.
    package mutating func serve(_ count: Int) { served += count }

    /// Somebody is pushed back.
    ///
    /// - Parameter spread: From 0 to 1, by chance: who was pushed back together does not come back together.
    /// - Returns: half of ``wait`` to one and a half of it.
    package mutating func retry(at now: Instant, spread: Double) -> Span {
        pushed += 1
        let begun = since ?? now
        since = begun
        if now - begun >= PushBack.period {
            if pushed > served {
                wait = min(PushBack.longest, Span(nanoseconds: wait.nanoseconds * 2))
            } else if pushed * 2 < served {
                wait = max(PushBack.shortest, Span(nanoseconds: wait.nanoseconds / 2))
            }
            (since, pushed, served) = (now, 0, 0)
        }
        return Span(nanoseconds: wait.nanoseconds / 2 + Int64(Double(wait.nanoseconds) * min(1, max(0, spread))))
    }
}
