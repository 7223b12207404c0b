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
///
/// Who goes first and has to wait is the next at each bound that they wait for: what can wait is not asked for there again before them.
struct Pace: Sendable {
    private enum Key: Hashable { case channel(String), host(String) }

    private let rates: Rates
    private var full: [Key: WallTime] = [:]
    /// Until when a place is kept for whoever goes first. Given up when nobody has come for it.
    private var kept: [Key: WallTime] = [:]

    /// After the moment at which the place is free: for a thread to wake up, and commit what it has.
    static let keptFor = Span.seconds(1)

    init(_ rates: Rates) { self.rates = rates }

    /// Asks for one message.
    ///
    /// - Parameter goesFirst: False: it waits for those that do.
    /// - Returns: nil: it may go. Else after how long it is worth asking again; nothing was taken then, from neither.
    mutating func take(_ channel: String, host: String?, at now: WallTime, goesFirst: Bool = true) -> Span? {
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
            // One that is further ahead was kept before the clock was set back.
            if !goesFirst, let until = kept[key], until > now, until <= now + rate.every + Pace.keptFor { longest = max(longest ?? .zero, until - now) }
        }
        if let longest {
            if goesFirst { for (key, _) in bounds { kept[key] = now + longest + Pace.keptFor } }
            return longest
        }
        full.merge(next) { $1 }
        if goesFirst { for (key, _) in bounds { kept[key] = nil } }
        return nil
    }
}
