import Foundation
import Gate
import Rules
import Vault
import Wire

/// Takes events out of segments that are packed already. One for each thread: it owns a decompressor and a compressor.
struct SegmentCutter: ~Copyable {
    private var decompressor: ZstdDecompressor
    private var compressor: ZstdCompressor

    init() throws {
        let decompressor = try ZstdDecompressor()
        let compressor = try ZstdCompressor()
        self.decompressor = decompressor
        self.compressor = compressor
    }

    mutating func open(_ segment: Segment) throws -> OpenColumns {
        let columns = try unpacked(segment)
        return try ColumnsCodec.open(columns, extent: BatchExtent(first: segment.first, last: segment.last, count: segment.count))
    }

    mutating func events(of segment: Segment) throws -> [Event] { try open(segment).events() }

    /// The events for which `keeping` is true, packed anew; the segment itself, if these are all; nil: none is.
    mutating func filter(_ segment: Segment, keeping isKept: (Event) -> Bool) throws -> Segment? {
        let filtered = try ColumnsCodec.filter(
            unpacked(segment), extent: BatchExtent(first: segment.first, last: segment.last, count: segment.count), keeping: isKept)
        guard filtered.dropped > 0 else { return segment }
        return try filtered.kept.map { try packed($0, as: segment) }
    }

    /// Other events in the place of a segment's.
    mutating func pack(_ events: [Event], as segment: Segment) throws -> Segment { try packed(ColumnsCodec.encode(events), as: segment) }

    private mutating func unpacked(_ segment: Segment) throws -> [UInt8] {
        try segment.blob.withUnsafeBytes { try decompressor.decompress($0, expected: segment.columnsBytes, max: Limits.columnsBytesMax) }
    }

    private mutating func packed(_ columns: EncodedColumns, as segment: Segment) throws -> Segment {
        var left = segment
        left.blob = Data(try compressor.compress(columns.bytes))
        left.columnsBytes = columns.bytes.count
        (left.first, left.last, left.count) = (columns.extent.first, columns.extent.last, columns.extent.count)
        return left
    }
}
