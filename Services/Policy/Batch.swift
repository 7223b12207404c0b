import Crypto
import Foundation
import Gate
import Rules
import Seal
import Vault
import Wire

/// A batch as ingest relayed it: what is known of it without opening it.
struct Batch: Sendable {
    let agent: UInt32
    /// The ordinal that it first had: its streams are known by that one.
    let line: UInt32
    /// In the registry, by the session's key: what the batch must have been sealed as.
    let name: String
    let scope: Scope
    /// The agent's wall clock minus ingest's.
    let offset: Span
    let header: WireBatchHeader
    /// The oldest sequence that the agent still holds.
    let oldest: UInt64
    /// Of the payload frame.
    let bytes: Int
    /// Where the answer goes.
    let ingest: Int

    var key: StreamKey { StreamKey(agent: line, stream: header.stream) }
    var dataClass: DataClass { DataClass(header.class) }
}

/// A batch before it is opened.
struct SealedBatch: Sendable {
    let batch: Batch
    /// As the agent wrote it.
    let header: [UInt8]
    let payload: [UInt8]
}

/// A batch whose header and payload are what its agent sealed.
struct OpenedBatch: Sendable {
    let batch: Batch
    /// zstd over columns.
    let packed: Data
    /// SHA-256 of the payload frame as it came, first 16 bytes, so that what comes twice can be compared.
    let hash: Data
}

/// A batch that has been opened, checked and cut into segments.
struct Prepared: Sendable {
    let opened: OpenedBatch
    var segments: [Segment]
    /// Events taken out by the fence.
    let dropped: Int
    /// Of the fence it was judged by.
    let version: UInt64
    /// Of the policy document and the records.
    var rules: UInt64 = 0
    var reviewed = Reviewed()
    /// Events taken out because their subject was erased since they were captured.
    var erased = 0

    var batch: Batch { opened.batch }
    var events: Int { segments.reduce(0) { $0 + $1.count } }
    var hash: Data { opened.hash }
}

/// Why a batch goes back.
struct BatchRefused: Error, Sendable {
    let refusal: Refusal
    let text: String
    var epoch: UInt64 = 0
    var expected: UInt64 = 0
    /// Its agent cannot have sealed it so: counted against it.
    var isUnsealable = false
    /// Sealed to a key that is known to be the vault's, and that policy does not have yet: to be sent again.
    var awaitsKey = false
}

/// Takes the seals off: the only place where what agents captured comes into the clear. One thread's.
struct BatchUnsealer: ~Copyable {
    private var opener: Seal.Opener
    /// Keys that are the vault's, and that are not here yet.
    var awaited: Set<VaultKeyID> = []

    init(origin: String, keys: [VaultKey]) { opener = Seal.Opener(origin: origin, keys: keys) }

    /// Opens to these keys from now on, and to no others.
    mutating func use(_ keys: [VaultKey]) { opener.use(keys) }

    /// Nothing in the header is believed before this has returned.
    mutating func open(_ sealed: SealedBatch) throws(BatchRefused) -> OpenedBatch {
        let batch = sealed.batch
        do throws(OpenRefused) {
            let packed = try opener.open(
                sealed.payload, from: batch.name, stream: batch.header.stream, sequence: batch.header.sequence, header: sealed.header)
            return OpenedBatch(batch: batch, packed: Data(packed), hash: Data(SHA256.hash(data: sealed.payload).prefix(16)))
        } catch {
            var refused = BatchRefused(error)
            if case .unknownVaultKey(let id) = error { refused.awaitsKey = awaited.contains(id) }
            throw refused
        }
    }
}

extension BatchRefused {
    init(_ why: OpenRefused) {
        switch why {
        case .tooShort, .unknownVersion: self.init(refusal: .malformed, text: "the payload is not sealed: \(why)")
        case .unknownVaultKey(let id): self.init(refusal: .unreadable, text: "the batch is sealed to the key \(id), which this vault does not hold (any more)")
        case .badEncapsulation, .wrongKey:
            self.init(refusal: .unreadable, text: "the batch was sealed as another agent, for another suite, or to another key", isUnsealable: true)
        case .changed: self.init(refusal: .unreadable, text: "the batch's header or payload is not what was sealed", isUnsealable: true)
        }
    }
}

/// Judges, checks and cuts batches. One for each thread: it owns a decompressor and a compressor.
struct BatchCutter: ~Copyable {
    private var decompressor: ZstdDecompressor
    private var compressor: ZstdCompressor
    var enforcement: Enforcement

    init(_ rules: SharedRules) throws {
        enforcement = Enforcement(rules)
        let decompressor = try ZstdDecompressor()
        let compressor = try ZstdCompressor()
        self.decompressor = decompressor
        self.compressor = compressor
    }

    mutating func prepare(_ opened: OpenedBatch, fence: Fence, now: WallTime) throws(BatchRefused) -> Prepared {
        let batch = opened.batch
        let header = batch.header
        guard header.sequence > 0, header.count > 0, header.count <= UInt32(Limits.eventsPerBatchMax) else {
            throw BatchRefused(refusal: .malformed, text: "a batch has a sequence from 1 and 1 to \(Limits.eventsPerBatchMax) events")
        }
        // The vault counts in 63 bits. What it cannot hold must not reach it: the sender would send it again for ever.
        guard [header.sequence, batch.oldest, header.epoch].allSatisfy({ $0 <= UInt64(Int64.max) }) else {
            throw BatchRefused(refusal: .malformed, text: "a batch's sequence, oldest and epoch are below 2^63")
        }
        let extent = BatchExtent(header)
        guard extent.last + (.zero - batch.offset) <= now + BatchCutter.futureMax else {
            throw BatchRefused(refusal: .future, text: "the batch ends after the present, also by the agent's own clock")
        }
        let verdict = fence.judge(batch.dataClass, of: batch.scope, from: extent.first, to: extent.last, offset: batch.offset)
        if case .keep(let epoch) = verdict { throw BatchRefused(refusal: .paused, text: "closed at epoch \(epoch.number)", epoch: epoch.number) }
        let columns: [UInt8]
        let open: OpenColumns
        do {
            columns = try opened.packed.withUnsafeBytes { bytes in
                try decompressor.decompress(bytes, expected: Int(header.columnsBytes), max: Limits.columnsBytesMax)
            }
            open = try ColumnsCodec.open(columns, extent: extent)
        } catch {
            throw BatchRefused(refusal: .unreadable, text: "the batch cannot be read: \(error)")
        }
        let inForce = enforcement.refresh()
        if inForce.text != nil {
            guard let policy = inForce.policy else { throw BatchRefused(refusal: .sealed, text: "the policy document that is in force cannot be read here") }
            return try cut(opened, fence, extent, open, policy, rules: inForce.version)
        }
        let classes = open.scan.classes()
        guard Classification.standard.stored.contains(batch.dataClass) else {
            throw BatchRefused(refusal: .wrongClass, text: "nothing of class '\(header.class)' is stored")
        }
        if classes == [batch.dataClass], verdict == .whole {
            let segment = segment(of: opened, batch.dataClass, extent, Int(header.columnsBytes), opened.packed)
            return Prepared(opened: opened, segments: [segment], dropped: 0, version: fence.version, rules: inForce.version)
        }
        do {
            return try cut(opened, fence, extent, columns, classes, rules: inForce.version)
        } catch {
            throw BatchRefused(refusal: .unreadable, text: "the batch cannot be cut: \(error)")
        }
    }

    /// An event may end so much after policy's present: two machines' clocks.
    static let futureMax = Span.seconds(2)

    /// By class, and without what the fence forbids. Each part is packed anew.
    private mutating func cut(
        _ opened: OpenedBatch, _ fence: Fence, _ extent: BatchExtent, _ columns: [UInt8], _ classes: Set<DataClass>, rules: UInt64
    ) throws -> Prepared {
        let batch = opened.batch
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
            segments.append(segment(of: opened, dataClass, part.extent, part.bytes.count, blob))
            kept += part.extent.count
        }
        return Prepared(opened: opened, segments: segments, dropped: extent.count - kept, version: fence.version, rules: rules)
    }

    /// As it came.
    func whole(_ opened: OpenedBatch, _ extent: BatchExtent, rules: UInt64, _ fence: Fence) -> Prepared {
        let segment = segment(of: opened, opened.batch.dataClass, extent, Int(opened.batch.header.columnsBytes), opened.packed)
        return Prepared(opened: opened, segments: [segment], dropped: 0, version: fence.version, rules: rules)
    }

    mutating func segment(of opened: OpenedBatch, _ dataClass: DataClass, _ part: EncodedColumns) throws -> Segment {
        segment(of: opened, dataClass, part.extent, part.bytes.count, Data(try compressor.compress(part.bytes)))
    }

    private func segment(
        of opened: OpenedBatch, _ dataClass: DataClass, _ extent: BatchExtent, _ columnsBytes: Int, _ blob: Data
    ) -> Segment {
        let batch = opened.batch
        return Segment(
            scope: batch.scope, dataClass: dataClass, agent: batch.line, stream: batch.header.stream, sequence: batch.header.sequence,
            first: extent.first, last: extent.last, count: extent.count, epoch: batch.header.epoch, columnsBytes: columnsBytes,
            hash: opened.hash, blob: blob)
    }
}
