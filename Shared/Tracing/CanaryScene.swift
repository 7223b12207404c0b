import Gate
import Rules

/// What the events of a chunk are like: how close to each other, how finely timed, what is pressed and for how long.
struct CanaryScene {
    struct Key {
        let name: String
        /// Nil: keys of this chunk go down, and nothing is said of their way up.
        let dwell: Int64?
        let detail: UInt64?
    }

    /// How a canary's length is like that of its neighbour.
    struct Length { let span: Span? }

    private let events: [Event]
    /// In the order of their times.
    private let order: [Int]
    private let times: [Int64]
    /// All times are multiples of it, counted from the first.
    let grid: Int64
    /// As close as events come to each other, but for the closest tenth.
    let step: Int64
    /// As a rule.
    private let stride: Int64
    /// What is further apart has no neighbours. Nor does a sum with it leave 64 bits.
    private static let stepMax: Int64 = 60_000_000_000
    /// Who holds a key for longer is not typing.
    private static let dwellMax: Int64 = 2_000_000_000
    let until: Int64
    private(set) var xs: ClosedRange<Int32> = 0...0
    private(set) var ys: ClosedRange<Int32> = 0...0
    private(set) var keys: [Key] = []
    /// How long that key is held, 0: nothing is said of its way up; nil: it is not struck here.
    private(set) var backspace: Int64?
    private var windows: [Event.Window] = []
    private var hasMoves = false

    var count: Int { order.count }

    init(_ events: [Event], until: Int64) {
        self.events = events
        let order = events.indices.sorted { (events[$0].at, $0) < (events[$1].at, $1) }
        self.order = order
        let times = order.map { events[$0].at.nanoseconds }
        self.times = times
        self.until = until
        let gaps = zip(times, times.dropFirst()).map { $1 - $0 }.filter { $0 > 0 }.sorted()
        grid = CanaryScene.grid(times, gaps)
        step = max(grid, gaps.isEmpty ? 1_000_000 : gaps[gaps.count / 10])
        stride = min(CanaryScene.stepMax, max(step, gaps.isEmpty ? 50_000_000 : gaps[gaps.count / 2]))
        look()
    }

    /// Few events can be far apart by chance: then it is the digits that they are written with.
    private static func grid(_ times: [Int64], _ gaps: [Int64]) -> Int64 {
        if gaps.count >= 16 {
            var divisor = gaps[0]
            for gap in gaps where divisor > 1 { divisor = CanaryScene.divisor(divisor, gap) }
            return divisor
        }
        var digits: Int64 = 1_000_000
        for time in times { while digits > 1, time % digits != 0 { digits /= 1_000 } }
        return digits
    }

    private static func divisor(_ first: Int64, _ second: Int64) -> Int64 {
        var (large, small) = (first, second)
        while small != 0 { (large, small) = (small, large % small) }
        return large
    }

    private mutating func look() {
        var (minimum, maximum): ((Int32, Int32)?, (Int32, Int32)?)
        var open: [String: Int64] = [:]
        var dwells: [String: Int64] = [:]
        var struck: [String] = []
        for (place, index) in order.enumerated() {
            switch events[index].detail {
            case .pointer(let pointer):
                minimum = minimum.map { (min($0.0, pointer.x), min($0.1, pointer.y)) } ?? (pointer.x, pointer.y)
                if pointer.action == .move { hasMoves = true }
                maximum = maximum.map { (max($0.0, pointer.x), max($0.1, pointer.y)) } ?? (pointer.x, pointer.y)
            case .key(let key):
                if key.action == .down {
                    open[key.key] = times[place]
                    struck.append(key.key)
                } else if let down = open.removeValue(forKey: key.key), times[place] > down, times[place] - down <= CanaryScene.dwellMax {
                    dwells[key.key] = times[place] - down
                }
            case .window(let window): windows.append(window)
            case .presence, .text: break
            }
        }
        if let minimum, let maximum { (xs, ys) = (minimum.0...maximum.0, minimum.1...maximum.1) }
        // Names of several letters do something: a canary that goes to another window would be missed there.
        let letters = struck.filter { $0.count == 1 }
        let names = dwells.isEmpty ? letters : letters.filter { dwells[$0] != nil }
        keys = names.map { Key(name: $0, dwell: dwells[$0], detail: FoldedWords($0).detail) }
        backspace = dwells["Backspace"] ?? (dwells.isEmpty && struck.contains("Backspace") ? 0 : nil)
    }

    func event(_ place: Int) -> Event { events[order[place]] }
    func time(_ place: Int) -> Int64 { times[place] }

    /// Where something between this event and the next would be as far from both as events are here; nil: nowhere.
    func room(after left: Int) -> ClosedRange<Int64>? {
        guard step <= CanaryScene.stepMax, until > times[left] else { return nil }
        let first = times[left] + step
        let end = left + 1 < times.count ? times[left + 1] - step : until - 1
        // Close to what was going on: what stands alone is looked at.
        let last = min(end, times[left] + 16 * stride)
        return first <= last ? first...last : nil
    }

    func hasTime(_ time: Int64) -> Bool {
        var (low, high) = (0, times.count)
        while low < high {
            let middle = (low + high) / 2
            if times[middle] < time { low = middle + 1 } else { high = middle }
        }
        return low < times.count && times[low] == time
    }

    /// The length of what would be there; nil: it would lie over a neighbour that it must not lie over.
    func duration(like neighbour: Event, at: Int64, after left: Int) -> Length? {
        guard let duration = neighbour.duration else { return Length(span: nil) }
        let end = left + 1 < times.count ? times[left + 1] : until
        return times[left] + duration.nanoseconds <= at && at + duration.nanoseconds < end ? Length(span: duration) : nil
    }

    /// What a pointer does that goes on after this; nil: here it never does.
    func going(after pointer: Event.Pointer) -> Event.Pointer.Action? {
        switch pointer.action {
        case .drag: .drag
        case .move, .up, .scroll: hasMoves ? .move : nil
        case .down: nil
        }
    }

    func pointer(after left: Int) -> (pointer: Event.Pointer, at: Int64)? {
        for place in left + 1..<max(left + 1, min(times.count, left + 32)) {
            if case .pointer(let next) = event(place).detail { return (next, times[place]) }
        }
        return nil
    }

    func otherWindow(than window: Event.Window, _ draw: inout Draw) -> Event.Window? {
        let others = windows.filter { $0 != window }
        return others.isEmpty ? nil : others[draw.below(others.count)]
    }

    func nextKeyDown(after left: Int) -> Int64 {
        for place in left + 1..<max(left + 1, times.count) {
            if case .key(let key) = event(place).detail, key.action == .down { return times[place] }
        }
        return until
    }
}
