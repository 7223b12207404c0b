package import Gate
package import Rules

/// Makes the canaries of one release, or of one reader: events that never happened, each like those it stands among, which whoever has the key can tell.
///
/// Of many events that would do, one is taken whose marks are those of the release. Without the key a mark is a coin that nobody sees fall: which event was
/// made is not in its time, its order, its precision, nor in how often there is such a one.
package struct CanaryMaker: Sendable {
    /// Where a chunk comes from. The same key, release and place give the same canaries.
    package struct Place: Hashable, Sendable {
        package var stream: UInt64
        package var sequence: UInt64
        package var dataClass: DataClass

        package init(stream: UInt64, sequence: UInt64, dataClass: DataClass) {
            self.stream = stream
            self.sequence = sequence
            self.dataClass = dataClass
        }
    }

    /// One of so many events of a chunk that has canaries. Then most chunks of a large release have none, and need not be opened.
    static let density = 32.0
    /// The same of canaries that are a reader's: they are few, and a small release is to have some.
    static let densityOfReaders = 128.0
    /// From this rate on all chunks have their part: a release is small, and chance is not to decide how many it gets.
    static let even = 0.01

    private let hash: MarkHash
    private let codes: MarkCodes
    private let draws: KeyedHash
    private let rate: Double
    private let density: Double

    /// - Parameter rate: Canaries for each event.
    package init(_ key: CanaryKey, for marked: Marked, rate: Double) {
        hash = MarkHash(key)
        codes = MarkCodes(key, of: marked)
        draws = KeyedHash(key.bytes("draws", marked.bytes, count: 16))
        if case .reader = marked { density = CanaryMaker.densityOfReaders } else { density = CanaryMaker.density }
        self.rate = min(rate, 1 / density)
    }

    private func draw(_ place: Place, _ purpose: UInt64) -> Draw {
        Draw(draws, stream: place.stream ^ draws(place.dataClass.name.utf8), sequence: place.sequence &* 4 &+ purpose)
    }

    /// How many canaries a chunk of so many events is to have; mostly none.
    package func share(of count: Int, at place: Place) -> Int {
        var draw = draw(place, 0)
        if rate < CanaryMaker.even, draw.unit() >= rate * density { return 0 }
        let share = Double(count) * (rate < CanaryMaker.even ? 1 / density : rate)
        return Int(share) + (draw.unit() < share - share.rounded(.down) ? 1 : 0)
    }

    /// - Parameters:
    ///   - count: At most; one that has its Backspace with it may be more.
    ///   - until: Canaries begin before this.
    /// - Returns: canaries, in the order of their times; fewer than asked for where nothing would look like its neighbours.
    package func make(_ count: Int, among events: [Event], at place: Place, texts: TextPool, until: WallTime) -> [Event] {
        guard count > 0, !events.isEmpty else { return [] }
        var draw = draw(place, 1)
        let scene = CanaryScene(events, until: until.nanoseconds)
        var made: [Event] = []
        var taken: [Int64] = []
        while made.count < count {
            let before = made.count
            for attempt in 0..<CanaryMaker.triesOfCanary {
                // Before the tries run out one does that is told by its time alone.
                let isPicky = attempt < CanaryMaker.pickyTries
                guard let (left, at) = time(in: scene, taken, &draw) else { break }
                guard let more = self.events(like: left, at: at, scene, texts, isPicky, &draw) else { continue }
                taken += more.map(\.at.nanoseconds)
                made += more
                break
            }
            // There is no room for more: events that stand close, or that nothing can be like.
            guard made.count > before else { break }
        }
        return made.sorted { $0.at < $1.at }
    }

    /// Times that carry the mark and come to nothing, as a rule because what stands there has no like.
    private static let triesOfCanary = 16
    private static let pickyTries = 12
    /// Sixteen times what is needed as a rule: a byte is one of 256.
    private static let triesOfTime = 4_096
    /// Of one gap between events, so that a long one does not get all.
    private static let triesOfGap = 32

    // MARK: When

    private func time(in scene: CanaryScene, _ taken: [Int64], _ draw: inout Draw) -> (left: Int, at: Int64)? {
        // All moments of a millisecond have its mark.
        let stride = scene.grid >= 1_000_000 ? scene.grid : (1_000_000 + scene.grid - 1) / scene.grid * scene.grid
        var tries = 0
        while tries < CanaryMaker.triesOfTime {
            tries += 1
            let left = draw.below(scene.count)
            guard let range = scene.room(after: left) else { continue }
            let steps = Int(clamping: (range.upperBound - range.lowerBound) / stride + 1)
            let start = draw.below(steps)
            for step in 0..<min(steps, CanaryMaker.triesOfGap) {
                tries += 1
                let at = range.lowerBound + stride * Int64((start + step) % steps)
                let when = hash.when(at)
                // As far from each other as events are.
                guard when.byte == codes[.when, when.row], !taken.contains(where: { ($0 - at).magnitude < scene.step }) else { continue }
                guard scene.grid < 1_000_000 else { return (left, at) }
                let millisecond = MarkHash.millisecond(at) * 1_000_000
                let first = max(range.lowerBound, at - (at - millisecond) / scene.grid * scene.grid)
                let moments = (min(range.upperBound, millisecond + 999_999) - first) / scene.grid + 1
                var fine = first
                for _ in 0..<512 {
                    fine = first + scene.grid * Int64(draw.below(Int(clamping: moments)))
                    if MarkHash.isFine(fine), hash.exact(fine).byte == codes[.exact, when.row] { break }
                }
                return (left, fine)
            }
        }
        return nil
    }

    // MARK: What

    private func events(like left: Int, at: Int64, _ scene: CanaryScene, _ texts: TextPool, _ isPicky: Bool, _ draw: inout Draw) -> [Event]? {
        let neighbour = scene.event(left)
        guard let duration = scene.duration(like: neighbour, at: at, after: left) else { return nil }
        func event(_ detail: Event.Detail) -> [Event] { [Event(at: WallTime(nanoseconds: at), duration: duration.span, detail: detail)] }
        switch neighbour.detail {
        case .pointer(let pointer):
            guard let action = scene.going(after: pointer), let position = position(at: at, after: left, pointer, scene, isPicky, &draw) else { return nil }
            return event(.pointer(Event.Pointer(action, x: position.x, y: position.y, button: action == .drag ? pointer.button : nil)))
        case .key: return keys(at: at, after: left, scene, isPicky, &draw)
        case .window(let window):
            guard let other = scene.otherWindow(than: window, &draw) else { return nil }
            return event(.window(other))
        case .presence: return nil
        case .text(let text):
            var words = 0
            for byte in text.text.utf8 where byte == 0x20 { words += 1 }
            guard let made = texts.text(from: text.source, words: words + 1, hash, codes, &draw) else { return nil }
            return event(.text(Event.Text(made, source: text.source, app: text.app, label: text.label)))
        }
    }

    private func position(at: Int64, after left: Int, _ pointer: Event.Pointer, _ scene: CanaryScene, _ isPicky: Bool, _ draw: inout Draw) -> (x: Int32, y: Int32)? {
        // On the way to where it is next, if it is anywhere.
        let next = scene.pointer(after: left)
        let part = next.map { Double(at - scene.time(left)) / Double(max(1, $0.at - scene.time(left))) } ?? 0
        let (dx, dy) = next.map { (Double($0.pointer.x) - Double(pointer.x), Double($0.pointer.y) - Double(pointer.y)) } ?? (0, 0)
        let radius = min(24, max(6, Int(max(dx.magnitude, dy.magnitude) / 3)))
        let (width, middle) = (2 * radius + 1, (x: Int(Double(pointer.x) + dx * part), y: Int(Double(pointer.y) + dy * part)))
        // One in eight is to be told by where it was alone.
        let byPlace = draw.below(8) == 0
        let (when, start) = (hash.when(at), draw.below(width * width))
        for step in 0..<width * width {
            let offset = (start + step) % (width * width)
            let (x, y) = (Int32(clamping: middle.x + offset % width - radius), Int32(clamping: middle.y + offset / width - radius))
            guard scene.xs.contains(x), scene.ys.contains(y) else { continue }
            let position = MarkHash.position(x, y)
            if byPlace {
                let place = hash.place(position)
                if place.byte == codes[.place, place.row] { return (x, y) }
            } else if hash.what(at, position).byte == codes[.what, when.row] {
                return (x, y)
            }
        }
        guard !isPicky else { return nil }
        func near(_ value: Int, _ range: ClosedRange<Int32>) -> Int32 { min(max(Int32(clamping: value + draw.below(width) - radius), range.lowerBound), range.upperBound) }
        return (near(middle.x, scene.xs), near(middle.y, scene.ys))
    }

    /// A key that was struck by mistake, and taken back: what was typed stays as it was. Where nobody takes anything back, there is none.
    private func keys(at: Int64, after left: Int, _ scene: CanaryScene, _ isPicky: Bool, _ draw: inout Draw) -> [Event]? {
        guard !scene.keys.isEmpty, let back = scene.backspace else { return nil }
        let (when, start) = (hash.when(at), draw.below(scene.keys.count))
        var (key, isFound) = (scene.keys[start], false)
        for step in 0..<scene.keys.count {
            let other = scene.keys[(start + step) % scene.keys.count]
            guard let detail = other.detail, hash.what(at, detail).byte == codes[.what, when.row] else { continue }
            (key, isFound) = (other, true)
            break
        }
        guard isFound || !isPicky else { return nil }
        func down(_ name: String, _ at: Int64) -> Event { Event(at: WallTime(nanoseconds: at), detail: .key(Event.Key(.down, name))) }
        func up(_ name: String, _ at: Int64) -> Event { Event(at: WallTime(nanoseconds: at), detail: .key(Event.Key(.up, name))) }
        var (made, end) = ([down(key.name, at)], at)
        if let dwell = key.dwell {
            guard let released = marked(near: at + dwell, by: dwell / 4, after: at, scene, &draw) else { return nil }
            made.append(up(key.name, released))
            end = released
        }
        // Before the next key goes down, or another letter would be taken back.
        guard let again = marked(near: end + 2 * scene.step, by: scene.step, after: end, scene, &draw), again < min(scene.nextKeyDown(after: left), scene.until) else { return nil }
        made.append(down("Backspace", again))
        guard back > 0 else { return made }
        guard let last = marked(near: again + back, by: back / 4, after: again, scene, &draw), last < scene.until else { return nil }
        return made + [up("Backspace", last)]
    }

    /// A time about there, on the grid, with the mark if there is one.
    private func marked(near middle: Int64, by reach: Int64, after first: Int64, _ scene: CanaryScene, _ draw: inout Draw) -> Int64? {
        let steps = max(1, 2 * reach / scene.grid + 1)
        let start = max(first + scene.grid, middle - reach)
        var at = start
        for _ in 0..<256 {
            at = first + (start - first + scene.grid * Int64(draw.below(Int(clamping: steps)))) / scene.grid * scene.grid
            let when = hash.when(at)
            if at > first, when.byte == codes[.when, when.row], !scene.hasTime(at) { return at }
        }
        return at > first && !scene.hasTime(at) ? at : nil
    }
}
