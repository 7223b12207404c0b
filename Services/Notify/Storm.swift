import Gate

/// Which of what operators are told by mail goes at once and alone, and which joins the others of its minute in one mail: nobody reads ten thousand. Reads no clock.
///
/// Openings of incidents have a share of their own: what else is told takes none of their places. Notices to people are none of its business.
struct Storm: Sendable {
    enum Way: Hashable, Sendable {
        case alone
        /// With the others that wait then.
        case joins(at: WallTime)
    }

    static let window = Span.seconds(60)
    /// Within a window, of openings and of everything else each.
    static let aloneMax = 20

    private var alone: [Bool: [WallTime]] = [:]
    /// When those that wait are joined; nil: none does.
    private(set) var joinsAt: WallTime?

    /// Where one more goes.
    mutating func way(isOpening: Bool, at now: WallTime) -> Way {
        // A time ahead was before the clock was set back.
        var before = (alone[isOpening] ?? []).filter { $0 <= now && now - $0 < Storm.window }
        defer { alone[isOpening] = before }
        guard before.count >= Storm.aloneMax else {
            before.append(now)
            return .alone
        }
        if let time = joinsAt, time > now, time - now <= Storm.window { return .joins(at: time) }
        joinsAt = now + Storm.window
        return .joins(at: now + Storm.window)
    }

    /// Whether those that wait are joined now. They are, once it has said so.
    mutating func isDue(at now: WallTime) -> Bool {
        guard let time = joinsAt, time <= now || time - now > Storm.window else { return false }
        joinsAt = nil
        return true
    }

    /// Entries with the ways of their mails: all mails of an entry, one for each operator, go the same way.
    mutating func sorted(_ entries: [Outbox.Told], at now: WallTime) -> [Outbox.Told] {
        entries.map { entry in
            guard let first = entry.mails.first, case .joins(let time) = way(isOpening: first.type == "incident.opened", at: now) else { return entry }
            var entry = entry
            for place in entry.mails.indices { entry.mails[place].joins = time }
            return entry
        }
    }
}
