import Crypto
import Foundation
import Gate
import Rules
import Vault
import Wire

/// A batch as ingest relayed it, on its way through policy's threads.
struct Batch: Sendable {
    let agent: UInt32
    let scope: Scope
    /// The agent's wall clock minus ingest's.
    let offset: Span
    let header: WireBatchHeader
    let payload: Data
    /// Where the answer goes.
    let ingest: Int

    var key: StreamKey { StreamKey(agent: agent, stream: header.stream) }
    var dataClass: DataClass { DataClass(header.class) }
    var bytes: Int { payload.count }
}

/// A batch that has been opened, checked and cut into segments.
struct Prepared: Sendable {
    let batch: Batch
    let segments: [Segment]
    let hash: Data
    /// Events taken out by the fence.
    let dropped: Int
    /// Of the fence it was judged by.
    let version: UInt64
}

/// Why a batch goes back.
struct BatchRefused: Error, Sendable {
    let refusal: Refusal
    let text: String
    var epoch: UInt64 = 0
    var expected: UInt64 = 0
}

/// Opens batches. One for each thread: it owns a decompressor and a compressor.
struct Opener: ~Copyable {
    private var decompressor: ZstdDecompressor
    private var compressor: ZstdCompressor

    init() throws {
        let decompressor = try ZstdDecompressor()
        let compressor = try ZstdCompressor()
        self.decompressor = decompressor
        self.compressor = compressor
    }

    mutating func open(_ batch: Batch, fence: Fence, now: WallTime) throws(BatchRefused) -> Prepared {
        let header = batch.header
        guard header.sequence > 0, header.count > 0, header.count <= UInt32(Limits.eventsPerBatchMax) else {
            throw BatchRefused(refusal: .malformed, text: "a batch has a sequence from 1 and 1 to \(Limits.eventsPerBatchMax) events")
        }
        // The vault counts in 63 bits. What it cannot hold must not reach it: the sender would send it again for ever.
        guard [header.sequence, header.oldest, header.epoch].allSatisfy({ $0 <= UInt64(Int64.max) }) else {
            throw BatchRefused(refusal: .malformed, text: "a batch's sequence, oldest and epoch are below 2^63")
        }
        let extent = BatchExtent(header)
        guard extent.last + (.zero - batch.offset) <= now + Opener.futureMax else {
            throw BatchRefused(refusal: .future, text: "the batch ends after the present, also by the agent's own clock")
        }
        let verdict = fence.judge(batch.dataClass, of: batch.scope, from: extent.first, to: extent.last, offset: batch.offset)
        if case .keep(let epoch) = verdict { throw BatchRefused(refusal: .paused, text: "closed at epoch \(epoch.number)", epoch: epoch.number) }
        let columns: [UInt8]
        let scan: ColumnsScan
        do {
            columns = try batch.payload.withUnsafeBytes { bytes in
                try decompressor.decompress(bytes, expected: Int(header.columnsBytes), max: Limits.columnsBytesMax)
            }
            scan = try ColumnsCodec.scan(columns, extent: extent)
        } catch {
            throw BatchRefused(refusal: .unreadable, text: "the batch cannot be opened: \(error)")
        }
        let classes = scan.classes()
        guard Classification.standard.stored.contains(batch.dataClass) else {
            throw BatchRefused(refusal: .wrongClass, text: "nothing of class '\(header.class)' is stored")
        }
        // SHA-256 of what came, so that what comes twice can be compared.
        let hash = Data(SHA256.hash(data: batch.payload).prefix(16))
        if classes == [batch.dataClass], verdict == .whole {
            let segment = segment(of: batch, batch.dataClass, extent, Int(header.columnsBytes), hash, batch.payload)
            return Prepared(batch: batch, segments: [segment], hash: hash, dropped: 0, version: fence.version)
        }
        do {
            return try cut(batch, fence, extent, columns, hash, classes)
        } catch {
            throw BatchRefused(refusal: .unreadable, text: "the batch cannot be cut: \(error)")
        }
    }

    /// An event may end so much after policy's present: two machines' clocks.
    static let futureMax = Span.seconds(2)

    /// By class, and without what the fence forbids. Each part is packed anew.
    private mutating func cut(
        _ batch: Batch, _ fence: Fence, _ extent: BatchExtent, _ columns: [UInt8], _ hash: Data, _ classes: Set<DataClass>
    ) throws -> Prepared {
        var segments: [Segment] = []
        var kept = 0
        for dataClass in classes.sorted() {
            var ranges: [Range<WallTime>] = []
            switch fence.judge(dataClass, of: batch.scope, from: extent.first, to: extent.last, offset: batch.offset) {
            case .whole: break
            case .without(let found): ranges = found
            case .keep(let epoch):
                // The agent called it something else: the part that is closed must not come in with the rest.
                throw BatchRefused(refusal: .paused, text: "closed at epoch \(epoch.number)", epoch: epoch.number)
            }
            let filtered = try ColumnsCodec.filter(columns, extent: extent) { event in
                let span = event.span
                return classify(event) == dataClass && !ranges.contains { $0.lowerBound <= span.end && span.start < $0.upperBound }
            }
            guard let part = filtered.kept else { continue }
            let blob = Data(try compressor.compress(part.bytes))
            segments.append(segment(of: batch, dataClass, part.extent, part.bytes.count, hash, blob))
            kept += part.extent.count
        }
        return Prepared(batch: batch, segments: segments, hash: hash, dropped: extent.count - kept, version: fence.version)
    }

    private func segment(
        of batch: Batch, _ dataClass: DataClass, _ extent: BatchExtent, _ columnsBytes: Int, _ hash: Data, _ blob: Data
    ) -> Segment {
        Segment(
            scope: batch.scope, dataClass: dataClass, agent: batch.agent, stream: batch.header.stream, sequence: batch.header.sequence,
            first: extent.first, last: extent.last, count: extent.count, epoch: batch.header.epoch, columnsBytes: columnsBytes, hash: hash,
            blob: blob)
    }
}
