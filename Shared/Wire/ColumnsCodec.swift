package import Gate
package import Rules
import SwiftProtobuf

/// A batch of events as bytes: `Columns` in `capture.proto`, not yet compressed, with what its header must say.
package struct EncodedColumns: Hashable, Sendable {
    package var bytes: [UInt8]
    package var extent: BatchExtent
}

/// Between events and columns. What comes in is checked whole before one event is built.
package enum ColumnsCodec {
    /// Packs events, in the order given.
    ///
    /// - Parameter events: 1 to ``Limits/eventsPerBatchMax``; times within ``Event/times`` and ``Event/durationMax``.
    /// - Throws: `count`, `time`, `stringTooLong` (the index is the event's), `tooLarge`.
    package static func encode(_ events: [Event]) throws(ColumnsError) -> EncodedColumns {
        guard 1...Limits.eventsPerBatchMax ~= events.count else { throw .count(events.count) }
        let extent = try extent(of: events)
        var writer = ColumnsWriter(events, extent: extent)
        for (index, event) in events.enumerated() {
            guard writer.add(event) else { throw .stringTooLong(index: index, bytes: writer.longestString) }
        }
        let columns = writer.finish()
        // Serialising fails only for what is larger than 2 GiB.
        guard let bytes: [UInt8] = try? columns.serializedBytes() else {
            throw .tooLarge(bytes: .max, max: Limits.columnsBytesMax)
        }
        guard bytes.count <= Limits.columnsBytesMax else { throw .tooLarge(bytes: bytes.count, max: Limits.columnsBytesMax) }
        return EncodedColumns(bytes: bytes, extent: extent)
    }

    /// An upper bound of what an event adds to its batch, in bytes. A batch is closed before the sum of these, and 1 KiB for the
    /// columns' own headers, is more than ``Limits/columnsBytesMax``.
    package static func bytesMax(of event: Event) -> Int {
        // A number takes 10 bytes at most and an event fills 8 columns at most; a string adds its tag and length.
        func cost(_ text: String?) -> Int { text.map { $0.utf8.count + 8 } ?? 0 }
        let texts =
            switch event.detail {
            case .pointer(let pointer): cost(pointer.button)
            case .key(let key): cost(key.key)
            case .window(let window): cost(window.app) + cost(window.title) + cost(window.url)
            case .presence: 0
            case .text(let text): cost(text.text) + cost(text.app) + cost(text.label)
            }
        return 80 + texts
    }

    /// Checks a batch without building its events.
    ///
    /// - Throws: every case of ``ColumnsError``; see there.
    package static func scan(_ bytes: [UInt8], extent: BatchExtent) throws(ColumnsError) -> ColumnsScan {
        try ColumnsScan(parse(bytes), extent: extent)
    }

    /// Checks a batch, and keeps it at hand: for whoever may have to look into it, and mostly need not.
    ///
    /// - Throws: every case of ``ColumnsError``, exactly when ``scan(_:extent:)`` does.
    package static func open(_ bytes: [UInt8], extent: BatchExtent) throws(ColumnsError) -> OpenColumns {
        let columns = try parse(bytes)
        return OpenColumns(scan: try ColumnsScan(columns, extent: extent), columns: columns, extent: extent)
    }

    /// The events of a batch, in its order.
    ///
    /// - Throws: every case of ``ColumnsError``, exactly when ``scan(_:extent:)`` does.
    package static func decode(_ bytes: [UInt8], extent: BatchExtent) throws(ColumnsError) -> [Event] {
        let columns = try parse(bytes)
        _ = try ColumnsScan(columns, extent: extent)
        var reader = ColumnsReader(columns, extent: extent)
        return (0..<extent.count).map { reader.event($0) }
    }

    /// What is left of a batch.
    package struct Filtered: Hashable, Sendable {
        /// Nil: nothing is left. The bytes that came in, if nothing was dropped.
        package var kept: EncodedColumns?
        package var dropped: Int
    }

    /// Drops the events that touch one of `ranges`, as ``Fence/Verdict/without(_:)`` names them: a range holds its start and not
    /// its end, an event holds both its ends.
    ///
    /// - Throws: every case of ``ColumnsError``, also where nothing is to be dropped.
    package static func filter(
        _ bytes: [UInt8], extent: BatchExtent, dropping ranges: [Range<WallTime>]
    ) throws(ColumnsError) -> Filtered {
        let concerned = ranges.filter { $0.lowerBound <= extent.last && extent.first < $0.upperBound }
        guard !concerned.isEmpty else {
            _ = try scan(bytes, extent: extent)
            return Filtered(kept: EncodedColumns(bytes: bytes, extent: extent), dropped: 0)
        }
        return try filter(bytes, extent: extent) { event in
            let (start, end) = event.span
            return !concerned.contains { $0.lowerBound <= end && start < $0.upperBound }
        }
    }

    /// Keeps the events for which `keeping` is true.
    package static func filter(
        _ bytes: [UInt8], extent: BatchExtent, keeping isKept: (Event) -> Bool
    ) throws(ColumnsError) -> Filtered {
        let events = try decode(bytes, extent: extent)
        let kept = events.filter(isKept)
        let dropped = events.count - kept.count
        if dropped == 0 { return Filtered(kept: EncodedColumns(bytes: bytes, extent: extent), dropped: 0) }
        return Filtered(kept: kept.isEmpty ? nil : try encode(kept), dropped: dropped)
    }

    private static func parse(_ bytes: [UInt8]) throws(ColumnsError) -> WireColumns {
        guard bytes.count <= Limits.columnsBytesMax else { throw .tooLarge(bytes: bytes.count, max: Limits.columnsBytesMax) }
        do { return try WireColumns(serializedBytes: bytes) } catch { throw .notColumns }
    }

    private static func extent(of events: [Event]) throws(ColumnsError) -> BatchExtent {
        var extent = BatchExtent(first: .distantFuture, last: .distantPast, count: events.count)
        for (index, event) in events.enumerated() {
            guard Event.times.contains(event.at), .zero...Event.durationMax ~= event.duration ?? .zero else {
                throw .time(event: index)
            }
            let span = event.span
            extent.first = min(extent.first, span.start)
            extent.last = max(extent.last, span.end)
        }
        return extent
    }
}
