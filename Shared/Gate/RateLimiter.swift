/// So many at once, and one more each so often.
package struct Rate: Hashable, Sendable {
    package var burst: Int
    package var every: Span

    package init(burst: Int, every: Span) {
        self.burst = max(1, burst)
        self.every = every
    }

    /// What may be ahead: of what was taken, the last is given back after so long.
    fileprivate var depth: Span { Span(nanoseconds: every.nanoseconds * Int64(burst)) }
}

/// Bounds how often somebody, and everybody together, gets something. Reads no clock.
///
/// For each key it keeps the moment at which all that it took is given back (a bucket that leaks, as one number). Who is past that moment
/// is as if never seen, and is forgotten; so the table holds who came lately, and never more than ``keysMax``. Beyond that newcomers share
/// one allowance: forgetting somebody for them would give a flood from many keys as many fresh ones.
package struct RateLimiter<Key: Hashable & Sendable>: Sendable {
    package let each: Rate
    package let total: Rate
    package let keysMax: Int
    private var full: [Key: Instant] = [:]
    private var others: Instant?
    private var all: Instant?

    package init(each: Rate, total: Rate, keysMax: Int) {
        self.each = each
        self.total = total
        self.keysMax = keysMax
    }

    package var count: Int { full.count }

    /// Asks for one.
    ///
    /// - Returns: nil: it may go on. Else after how long it is worth asking again; nothing was taken then, from nobody.
    package mutating func take(_ key: Key, at now: Instant) -> Span? {
        if full[key] == nil, full.count >= keysMax { forget(at: now) }
        let isKnown = full[key] != nil || full.count < keysMax
        let (mine, wait) = RateLimiter.taken(isKnown ? full[key] : others, each, now)
        if let wait { return wait }
        // Each one's own bound is asked first: who is over it takes nothing from the others.
        let (everybody, crowd) = RateLimiter.taken(all, total, now)
        if let crowd { return crowd }
        if isKnown { full[key] = mine } else { others = mine }
        all = everybody
        return nil
    }

    private static func taken(_ until: Instant?, _ rate: Rate, _ now: Instant) -> (next: Instant, wait: Span?) {
        let begun = max(until ?? now, now)
        let next = begun + rate.every
        let over = (next - now) - rate.depth
        return over > .zero ? (begun, over) : (next, nil)
    }

    private mutating func forget(at now: Instant) { full = full.filter { $0.value > now } }
}
