import Gate

/// How fast messages may go out. What is not named is not bounded.
struct Rates: Hashable, Sendable {
    var channels: [String: Rate] = [:]
    /// For all channels together that go there. Lower case.
    var hosts: [String: Rate] = [:]
}

/// Keeps channels and hosts to their rates. Reads no clock.
///
/// For each it keeps the moment at which all that was taken is given back: a bucket that leaks, as one number. A moment further ahead than a full bucket was written
/// before the clock was set back, and does not count.
struct Pace: Sendable {
    private enum Key: Hashable { case channel(String), host(String) }

    private let rates: Rates
    private var full: [Key: WallTime] = [:]

    init(_ rates: Rates) { self.rates = rates }

    /// Asks for one message.
    ///
    /// - Returns: nil: it may go. Else after how long it is worth asking again; nothing was taken then, from neither.
    mutating func take(_ channel: String, host: String?, at now: WallTime) -> Span? {
        var bounds: [(key: Key, rate: Rate)] = []
        if let rate = rates.channels[channel] { bounds.append((.channel(channel), rate)) }
        if let host, let rate = rates.hosts[host] { bounds.append((.host(host), rate)) }
        var longest: Span?
        var next: [Key: WallTime] = [:]
        for (key, rate) in bounds {
            let depth = Span(nanoseconds: rate.every.nanoseconds * Int64(rate.burst))
            let until = full[key].map { $0 > now + depth ? now : max($0, now) } ?? now
            let over = until + rate.every - now - depth
            if over > .zero { longest = max(longest ?? over, over) }
            next[key] = until + rate.every
        }
        if longest == nil { full.merge(next) { $1 } }
        return longest
    }
}
