package import Gate
package import Rules
import SwiftProtobuf

/// What a batch's header says of its events, and the columns must bear out.
package struct BatchExtent: Hashable, Sendable {
    /// The earliest start.
    package var first: WallTime
    /// The latest end.
    package var last: WallTime
    /// 1 to ``Limits/eventsPerBatchMax``.
    package var count: Int

    package init(first: WallTime, last: WallTime, count: Int) {
        self.first = first
        self.last = last
        self.count = count
    }

    package init(_ header: WireBatchHeader) {
        self.init(
            first: WallTime(nanoseconds: header.firstNs), last: WallTime(nanoseconds: header.lastNs), count: Int(header.count))
    }
}

/// What is in a batch, found without building its events.
///
/// Whoever holds one knows that ``ColumnsCodec/decode(_:extent:)`` would succeed: both go through the same checks.
package struct ColumnsScan: Hashable, Sendable {
    package let count: Int
    /// Bit n: kind n, or source n, is present.
    private var kindBits: UInt32 = 0
    private var sourceBits: UInt32 = 0

    package var kinds: Set<Event.Kind> { Set(Event.Kind.allCases.filter { kindBits & (1 << UInt32($0.rawValue)) != 0 }) }
    package var sources: Set<Event.Text.Source> {
        Set(Event.Text.Source.allCases.filter { sourceBits & (1 << UInt32($0.rawValue)) != 0 })
    }

    /// What there is, by kind and source.
    package var shapes: [EventShape] {
        EventShape.allCases.filter { shape in
            kindBits & (1 << UInt32(shape.kind.rawValue)) != 0 && shape.source.map { sourceBits & (1 << UInt32($0.rawValue)) != 0 } ?? true
        }
    }

    /// Which classes the events belong to. About 200 ns: ask once for each batch.
    package func classes(by classification: Classification = .standard) -> Set<DataClass> {
        var classes: Set<DataClass> = []
        for kind in Event.Kind.allCases where kindBits & (1 << UInt32(kind.rawValue)) != 0 {
            if let dataClass = classification.classify(kind) { classes.insert(dataClass) }
        }
        for source in Event.Text.Source.allCases where sourceBits & (1 << UInt32(source.rawValue)) != 0 {
            classes.insert(classification.classify(source))
        }
        return classes
    }

    /// Checks everything that the contract says of `Columns`.
    ///
    /// The loops over numbers do not leave early: they collect what is wrong and look for the place afterwards, which lets the
    /// compiler vectorise them. Sums wrap; see ``checkTimes(_:_:unit:extent:)`` for why that hides nothing.
    init(_ columns: WireColumns, extent: BatchExtent) throws(ColumnsError) {
        guard columns.version == 1 else { throw .version(columns.version) }
        guard columns.unknownFields.data.isEmpty else { throw .unknownFields(bytes: columns.unknownFields.data.count) }
        guard [1_000_000, 1_000, 1].contains(columns.unitNs) else { throw .unit(columns.unitNs) }
        count = extent.count
        guard 1...Limits.eventsPerBatchMax ~= count else { throw .count(count) }

        let counts = try ColumnsScan.countKinds(columns.kind, of: count)
        for kind in Event.Kind.allCases where counts[kind] > 0 { kindBits |= 1 << UInt32(kind.rawValue) }
        try ColumnsScan.expect(.at, columns.at.count, count)
        try ColumnsScan.expectAllOrNone(.duration, columns.duration.count, count)
        try ColumnsScan.checkTimes(columns.at, columns.duration, unit: Int64(columns.unitNs), extent: extent)

        let scrolls = try ColumnsScan.countScrolls(columns.pointerAction, pointers: counts[.pointer])
        try ColumnsScan.expect(.x, columns.x.count, counts[.pointer])
        try ColumnsScan.expect(.y, columns.y.count, counts[.pointer])
        try ColumnsScan.expectAllOrNone(.button, columns.button.count, counts[.pointer])
        try ColumnsScan.checkScroll(.dx, columns.dx, scrolls: scrolls)
        try ColumnsScan.checkScroll(.dy, columns.dy, scrolls: scrolls)
        try ColumnsScan.expect(.keyAction, columns.keyAction.count, counts[.key])
        try ColumnsScan.checkRange(.keyAction, columns.keyAction, 1...2)
        try ColumnsScan.expect(.key, columns.key.count, counts[.key])
        try ColumnsScan.expect(.window, columns.window.count, counts[.window] * 3)
        try ColumnsScan.expect(.presence, columns.presence.count, counts[.presence])
        try ColumnsScan.checkRange(.presence, columns.presence, 1...2)
        try ColumnsScan.expect(.text, columns.text.count, counts[.text] * 4)
        sourceBits = try ColumnsScan.checkStrings(columns)
    }

    private struct KindCounts {
        var counts: (Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0)

        subscript(kind: Event.Kind) -> Int {
            get {
                switch kind {
                case .pointer: counts.0
                case .key: counts.1
                case .window: counts.2
                case .presence: counts.3
                case .text: counts.4
                }
            }
            set {
                switch kind {
                case .pointer: counts.0 = newValue
                case .key: counts.1 = newValue
                case .window: counts.2 = newValue
                case .presence: counts.3 = newValue
                case .text: counts.4 = newValue
                }
            }
        }
    }

    private static func countKinds(_ column: [UInt32], of count: Int) throws(ColumnsError) -> KindCounts {
        var counts = KindCounts()
        if column.count != 1 { try expect(.kind, column.count, count) }
        for (index, value) in column.enumerated() {
            guard let kind = UInt8(exactly: value).flatMap(Event.Kind.init(rawValue:)) else {
                throw .value(.kind, index: index, UInt64(value))
            }
            counts[kind] += column.count == 1 ? count : 1
        }
        return counts
    }

    /// Every event lies inside the extent, and touches both its ends somewhere.
    ///
    /// Positions count units from `first`, so they are good from 0 to `steps`. From a good position a sum that wraps comes out
    /// negative, which `low` remembers: the first bad position is always seen, whatever follows it.
    private static func checkTimes(
        _ at: [Int64], _ duration: [UInt64], unit: Int64, extent: BatchExtent
    ) throws(ColumnsError) {
        guard Event.times.contains(extent.first), extent.first <= extent.last,
            extent.last < Event.times.upperBound + Event.durationMax
        else { throw .extent }
        // Neither is negative, so this cannot overflow.
        let (steps, rest) = (extent.last.nanoseconds - extent.first.nanoseconds).quotientAndRemainder(dividingBy: unit)
        guard rest == 0 else { throw .extent }
        let stepsMax = UInt64(Event.durationMax.nanoseconds / unit)
        let startMax = (Event.times.upperBound.nanoseconds - 1 - extent.first.nanoseconds) / unit

        var position: Int64 = 0
        var low = Int64.max
        var high: Int64 = 0
        var latest: Int64 = 0
        var longest: UInt64 = 0
        if duration.isEmpty {
            for difference in at {
                position &+= difference
                low = min(low, position)
                latest = max(latest, position)
            }
            high = latest
        } else {
            for (difference, value) in zip(at, duration) {
                position &+= difference
                low = min(low, position)
                latest = max(latest, position)
                let length = value == 0 ? 0 : value &- 1
                longest = max(longest, length)
                high = max(high, position &+ Int64(truncatingIfNeeded: length))
            }
        }
        if low == 0, high == steps, latest <= min(steps, startMax), longest <= stepsMax { return }
        // Something is wrong. Where?
        position = 0
        for index in at.indices {
            position &+= at[index]
            let length = duration.isEmpty || duration[index] == 0 ? 0 : duration[index] &- 1
            guard 0...min(steps, startMax) ~= position, length <= stepsMax, Int64(length) <= steps - position else {
                throw .time(event: index)
            }
        }
        throw .extent
    }

    private static func countScrolls(_ column: [UInt32], pointers: Int) throws(ColumnsError) -> Int {
        try expect(.pointerAction, column.count, pointers)
        try checkRange(.pointerAction, column, 1...5)
        var scrolls = 0
        for value in column where value == 5 { scrolls &+= 1 }
        return scrolls
    }

    private static func checkScroll(_ name: ColumnsError.Column, _ column: [UInt64], scrolls: Int) throws(ColumnsError) {
        try expectAllOrNone(name, column.count, scrolls)
        // The largest zigzag value of 32 bits, and one for "absent".
        for (index, value) in column.enumerated() where value > 1 << 32 { throw .value(name, index: index, value) }
    }

    private static func checkRange(
        _ name: ColumnsError.Column, _ column: [UInt32], _ range: ClosedRange<UInt32>
    ) throws(ColumnsError) {
        var beyond: UInt32 = 0
        for value in column { beyond = max(beyond, value &- range.lowerBound) }
        guard beyond > range.upperBound - range.lowerBound else { return }
        for (index, value) in column.enumerated() where !range.contains(value) { throw .value(name, index: index, UInt64(value)) }
    }

    /// Every index points at a string, every string has an index that points at it, and none is too long.
    ///
    /// - Returns: which sources occur, a bit each.
    private static func checkStrings(_ columns: WireColumns) throws(ColumnsError) -> UInt32 {
        var uses = StringUses(count: columns.strings.count)
        for (index, string) in columns.button.enumerated() { try uses.add(.button, index, string, required: false) }
        for (index, string) in columns.key.enumerated() { try uses.add(.key, index, string, required: true) }
        for (index, string) in columns.window.enumerated() { try uses.add(.window, index, string, required: index % 3 < 2) }
        var sources: UInt32 = 0
        for (index, value) in columns.text.enumerated() {
            if index % 4 == 1 {
                guard 1...6 ~= value else { throw .value(.text, index: index, UInt64(value)) }
                sources |= 1 << value
            } else {
                try uses.add(.text, index, value, required: index % 4 == 0)
            }
        }
        for (index, string) in columns.strings.enumerated() {
            let bytes = string.utf8.count
            guard bytes <= Limits.lineBytesMax else { throw .stringTooLong(index: index, bytes: bytes) }
            guard uses.used[index] else { throw .unusedString(index: index) }
        }
        return sources
    }

    private struct StringUses {
        var used: [Bool]

        init(count: Int) { used = [Bool](repeating: false, count: count) }

        mutating func add(_ column: ColumnsError.Column, _ index: Int, _ string: UInt32, required: Bool) throws(ColumnsError) {
            guard string != 0 else {
                if required { throw .string(column, index: index, string) }
                return
            }
            guard Int(string) <= used.count else { throw .string(column, index: index, string) }
            used[Int(string) - 1] = true
        }
    }

    private static func expect(_ column: ColumnsError.Column, _ values: Int, _ expected: Int) throws(ColumnsError) {
        guard values == expected else { throw .length(column, values: values, expected: expected) }
    }

    private static func expectAllOrNone(_ column: ColumnsError.Column, _ values: Int, _ expected: Int) throws(ColumnsError) {
        guard values == 0 || values == expected else { throw .length(column, values: values, expected: expected) }
    }
}
