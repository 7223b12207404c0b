import Foundation
import Gate
import Messaging
import Rules
import Tracing
import Vault
import Wire

/// Which releases carry canaries, and from what they are made.
struct Canaries: Sendable {
    let key: CanaryKey
    let fence: SharedFence

    /// Under which a person's own data goes to them ('sluice export'): nothing is in it that was not of them. It takes an operator, and one person by name.
    static let exempt = "subject-access"

    static func carries(_ record: ReleaseRecord) -> Bool { !(record.readsDirectory && record.purpose == exempt) }

    func of(_ release: OpenedRelease, _ record: ReleaseRecord) -> ReleaseCanaries? {
        guard Canaries.carries(record) else { return nil }
        return ReleaseCanaries(
            makers: [
                CanaryMaker(key, for: .release(UInt64(release.number), salt: Array(record.canarySalt)), rate: CanaryShare.rate(events: release.decided.events)),
                CanaryMaker(key, for: .reader(record.reader), rate: CanaryShare.ofReaders),
            ], fence: fence, until: record.selection.until)
    }
}

/// The canaries of one release, chunk by chunk.
struct ReleaseCanaries {
    fileprivate init(makers: [CanaryMaker], fence: SharedFence, until: WallTime) {
        self.makers = makers
        self.fence = fence
        self.until = until
    }

    private let makers: [CanaryMaker]
    private let fence: SharedFence
    private let until: WallTime
    /// Of one person and class: they come one after the other.
    private var pool = TextPool()
    private var poolOf: ReadPlace?
    private var poolReadAt: UInt64 = 0
    /// Chunks that are opened to see whether there are texts in them. Where there are none, few are.
    private var looks = ReleaseCanaries.looksMax

    private static let looksMax = 64
    /// A chunk of fewer may have one behind its last event: later events of a batch come there.
    private static let fewEvents = 8
    private static let batchSpan = Span.seconds(1)
    /// On both sides of a pause, for what clocks differ by.
    private static let pauseMargin = Span.seconds(5)

    private func place(_ segment: Segment) -> CanaryMaker.Place {
        CanaryMaker.Place(stream: segment.stream, sequence: segment.sequence, dataClass: segment.dataClass)
    }

    /// Whether a segment is to be opened.
    mutating func wants(_ segment: Segment) -> Bool {
        if makers.contains(where: { $0.share(of: segment.count, at: place(segment)) > 0 }) { return true }
        let home = ReadPlace(segment.scope, segment.dataClass)
        guard home == poolOf else { return looks > 0 }
        return pool.learned > 0 ? !pool.isFull : looks > 0
    }

    /// The events of a segment with canaries among them, each marked as what it is.
    ///
    /// - Parameter readAt: The vault's count of destructions before it was read: nothing is made of what may have gone since.
    mutating func add(to events: [Event], of segment: Segment, readAt: UInt64) -> [(event: Event, isCanary: Bool)] {
        let home = ReadPlace(segment.scope, segment.dataClass)
        if home != poolOf || readAt != poolReadAt { (pool, poolOf, poolReadAt) = (TextPool(), home, readAt) }
        let known = pool.learned
        pool.learn(events)
        if pool.learned == known { looks -= 1 }
        var canaries: [Event] = []
        for maker in makers {
            // By the whole segment: what is asked for of it may be less, and the next reader's the same.
            let share = maker.share(of: segment.count, at: place(segment))
            guard share > 0 else { continue }
            canaries += maker.make(share, among: events, at: place(segment), texts: pool, until: end(of: events, segment))
        }
        var merged = events.map { (event: $0, isCanary: false) }
        guard !canaries.isEmpty else { return merged }
        for canary in canaries {
            // Behind the last that is not later: batches mostly stand in the order of their times.
            let place = (merged.lastIndex { $0.event.at <= canary.at } ?? -1) + 1
            merged.insert((canary, true), at: place)
        }
        return merged
    }

    /// Canaries begin before this. Nothing may look as if it had been captured in a pause.
    private func end(of events: [Event], _ segment: Segment) -> WallTime {
        guard let first = events.lazy.map(\.at).min(), let last = events.lazy.map(\.at).max() else { return .distantPast }
        let later = min(first + ReleaseCanaries.batchSpan, until, Clock.wall())
        guard events.count < ReleaseCanaries.fewEvents, later > last else { return last }
        let verdict = fence.latest.judge(
            segment.dataClass, of: segment.scope, from: first - ReleaseCanaries.pauseMargin, to: later + ReleaseCanaries.pauseMargin, offset: .zero)
        return verdict == .whole ? later : last
    }
}
