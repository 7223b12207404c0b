import Gate
import Rules

/// Gathers events into columns. The times must lie inside the extent, and fit in 64 bits.
struct ColumnsWriter {
    private var columns = WireColumns()
    private let unit: Int64
    private var previous: Int64
    private var at: [Int64] = []
    private var kinds: [UInt32] = []
    private var durations: [UInt64] = []
    private var actions: [UInt32] = []
    private var xs: [Int32] = []
    private var ys: [Int32] = []
    private var buttons: [UInt32] = []
    private var dxs: [UInt64] = []
    private var dys: [UInt64] = []
    private var x: Int32 = 0
    private var y: Int32 = 0
    private var strings: [String] = []
    private var indexes: [ExactText: UInt32] = [:]
    private(set) var longestString = 0

    init(_ events: [Event], extent: BatchExtent) {
        unit = ColumnsWriter.unit(events, first: extent.first)
        previous = extent.first.nanoseconds
        at.reserveCapacity(events.count)
        kinds.reserveCapacity(events.count)
        durations.reserveCapacity(events.count)
    }

    /// The longest that all times are multiples of, counted from the first: a batch with an odd start still gets milliseconds.
    private static func unit(_ events: [Event], first: WallTime) -> Int64 {
        var unit: Int64 = 1_000_000
        for event in events {
            while unit > 1, (event.at.nanoseconds - first.nanoseconds) % unit != 0 || (event.duration?.nanoseconds ?? 0) % unit != 0 {
                unit /= 1_000
            }
        }
        return unit
    }

    /// - Returns: whether all its strings are short enough.
    mutating func add(_ event: Event) -> Bool {
        at.append((event.at.nanoseconds - previous) / unit)
        previous = event.at.nanoseconds
        kinds.append(UInt32(event.kind.rawValue))
        durations.append(event.duration.map { UInt64($0.nanoseconds / unit) + 1 } ?? 0)
        switch event.detail {
        case .pointer(let pointer): add(pointer)
        case .key(let key):
            columns.keyAction.append(UInt32(key.action.rawValue))
            columns.key.append(index(key.key))
        case .window(let window):
            columns.window.append(index(window.app))
            columns.window.append(index(window.title))
            columns.window.append(index(window.url))
        case .presence(let presence): columns.presence.append(UInt32(presence.rawValue))
        case .text(let text):
            columns.text.append(index(text.text))
            columns.text.append(UInt32(text.source.rawValue))
            columns.text.append(index(text.app))
            columns.text.append(index(text.label))
        }
        return longestString <= Limits.lineBytesMax
    }

    private mutating func add(_ pointer: Event.Pointer) {
        switch pointer.action {
        case .move: actions.append(1)
        case .drag: actions.append(2)
        case .down: actions.append(3)
        case .up: actions.append(4)
        case .scroll(let dx, let dy):
            actions.append(5)
            dxs.append(ColumnsWriter.optional(dx))
            dys.append(ColumnsWriter.optional(dy))
        }
        xs.append(pointer.x &- x)
        ys.append(pointer.y &- y)
        (x, y) = (pointer.x, pointer.y)
        buttons.append(index(pointer.button))
    }

    private static func optional(_ value: Int32?) -> UInt64 {
        value.map { UInt64(UInt32(bitPattern: ($0 << 1) ^ ($0 >> 31))) + 1 } ?? 0
    }

    /// From 1 in ``strings``; 0 for none.
    private mutating func index(_ text: String?) -> UInt32 {
        guard let text else { return 0 }
        let exact = ExactText(text: text)
        if let known = indexes[exact] { return known }
        longestString = max(longestString, text.utf8.count)
        strings.append(text)
        indexes[exact] = UInt32(strings.count)
        return UInt32(strings.count)
    }

    /// Columns in which no event has anything are left out.
    mutating func finish() -> WireColumns {
        columns.version = 1
        columns.unitNs = UInt32(unit)
        columns.at = at
        columns.kind = kinds.allSatisfy { $0 == kinds[0] } ? [kinds[0]] : kinds
        if durations.contains(where: { $0 != 0 }) { columns.duration = durations }
        columns.pointerAction = actions
        columns.x = xs
        columns.y = ys
        if buttons.contains(where: { $0 != 0 }) { columns.button = buttons }
        if dxs.contains(where: { $0 != 0 }) { columns.dx = dxs }
        if dys.contains(where: { $0 != 0 }) { columns.dy = dys }
        columns.strings = strings
        return columns
    }
}

/// A text that is equal only to the same bytes. `String` also equals another spelling of the same characters, and one of
/// the two would be lost.
private struct ExactText: Hashable {
    var text: String

    static func == (left: ExactText, right: ExactText) -> Bool {
        // Swift's equality is quick, and false only where the bytes differ as well.
        left.text == right.text && left.text.utf8.elementsEqual(right.text.utf8)
    }

    func hash(into hasher: inout Hasher) {
        let done: Void? = text.utf8.withContiguousStorageIfAvailable { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        if done == nil { for byte in text.utf8 { hasher.combine(byte) } }
    }
}
