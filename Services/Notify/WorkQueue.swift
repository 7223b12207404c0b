/// What waits for the outbox's thread, and in which order it comes to it.
struct WorkQueue {
    private(set) var waiting: [OutboxThread.Work] = []

    /// - Returns: false: it waits already, and once is enough.
    mutating func put(_ item: OutboxThread.Work) -> Bool {
        guard !isNeedless(item) else { return false }
        if WorkQueue.isNews(item), let place = waiting.firstIndex(where: { !WorkQueue.isNews($0) }) { waiting.insert(item, at: place) } else { waiting.append(item) }
        return true
    }

    mutating func next() -> OutboxThread.Work? { waiting.isEmpty ? nil : waiting.removeFirst() }

    /// What others are told of, which waits for nothing else here.
    private static func isNews(_ item: OutboxThread.Work) -> Bool {
        switch item {
        case .take, .remind: true
        case .deliveries, .notices, .standing, .tend, .spread, .drop, .open, .remove, .count, .join, .stop: false
        }
    }

    /// What looks at all that there is takes long when that is much: one that waits is enough.
    private func isNeedless(_ item: OutboxThread.Work) -> Bool {
        switch item {
        case .tend: waiting.contains { if case .tend = $0 { true } else { false } }
        case .count: waiting.contains { if case .count = $0 { true } else { false } }
        case .join: waiting.contains { if case .join = $0 { true } else { false } }
        case .spread: waiting.contains { if case .spread = $0 { true } else { false } }
        case .drop: waiting.contains { if case .drop = $0 { true } else { false } }
        case .remove: waiting.contains { if case .remove = $0 { true } else { false } }
        // Each in its place: a part that was taken by one of them comes after it.
        case .take, .remind, .deliveries, .notices, .standing, .open, .stop: false
        }
    }
}
