/// For each class, when an agent held a permit for it, on the agent's wall clock. Bounded; the oldest are forgotten first, so
/// forgetting refuses.
package struct OpenIntervals: Hashable, Sendable {
    package struct Interval: Hashable, Sendable {
        package var start: WallTime
        /// How far it is known to have been open. Moves on while it is open.
        package var end: WallTime

        package init(start: WallTime, end: WallTime) {
            self.start = start
            self.end = end
        }
    }

    /// In the order in which they were opened.
    package private(set) var past: [DataClass: [Interval]] = [:]
    package private(set) var current: [DataClass: Interval] = [:]
    package let intervalsMax: Int

    package init(intervalsMax: Int = 256) { self.intervalsMax = intervalsMax }

    /// What was on disk: an interval that was open when the process died ended when that was last written.
    package init(restoring stored: [DataClass: [Interval]], intervalsMax: Int = 256) {
        self.intervalsMax = intervalsMax
        past = stored.mapValues { Array($0.suffix(intervalsMax)) }
    }

    package func contains(_ dataClass: DataClass, from start: WallTime, to end: WallTime) -> Bool {
        guard start <= end else { return false }
        if let open = current[dataClass], open.start <= start, end <= open.end { return true }
        return past[dataClass]?.contains { $0.start <= start && end <= $0.end } ?? false
    }

    /// Opens those of `classes` that are not open. Those that are go on.
    mutating func open(_ classes: Set<DataClass>, at now: WallTime) {
        for dataClass in classes where current[dataClass] == nil { current[dataClass] = Interval(start: now, end: now) }
    }

    mutating func extend(to now: WallTime) {
        for (dataClass, interval) in current where interval.end < now { current[dataClass]!.end = now }
    }

    mutating func close(_ classes: Set<DataClass>? = nil, at now: WallTime) {
        for (dataClass, interval) in current where classes?.contains(dataClass) ?? true {
            current[dataClass] = nil
            // Empty when the wall clock went back since it was opened.
            let closed = Interval(start: interval.start, end: now)
            if closed.start < closed.end { past[dataClass, default: []].append(closed) }
            if past[dataClass, default: []].count > intervalsMax { past[dataClass]!.removeFirst() }
        }
    }

    /// Takes away what lies in the future: after a clock was set back, an interval of "then" must not admit what comes "now".
    mutating func clip(to now: WallTime) {
        for (dataClass, intervals) in past where intervals.contains(where: { $0.end > now }) {
            past[dataClass] = intervals.compactMap { interval in
                interval.start < now ? Interval(start: interval.start, end: min(interval.end, now)) : nil
            }
        }
    }
}
