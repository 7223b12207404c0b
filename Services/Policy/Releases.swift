import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Synchronization
import Vault
import Wire

/// Streams the segments of releases. A thread of its own reads and packs; the reactor sends, and asks the gate for each chunk.
final class Releases: Sendable {
    enum News: Sendable {
        /// With the vault's count of destructions from before it was read.
        case chunk(Int64, Route, Reading, WireChunk, Data, canaries: Int, readAt: UInt64)
        case finished(Int64)
        case failed(Int64, String)
    }

    private enum Work: Sendable {
        case begin(ReleaseJob, OpenedRelease)
        case credit(Int64, Int)
        case cancel(Int64)
        case stop
    }

    private struct Running {
        let job: ReleaseJob
        let release: OpenedRelease
        /// Empty: all of them.
        let fields: Set<EventField>
        var cursor = SegmentCursor()
        var canaries: ReleaseCanaries?
        var waiting: [Result<Segment, SegmentUnreadable>] = []
        /// Of the segment that was taken last.
        var packed: [Packed] = []
        /// The vault's count of destructions before they were read.
        var readAt: UInt64 = 0
        var credit: Int
        var number: UInt64 = 0
        var isRead = false
    }

    /// A chunk that waits for credit.
    private struct Packed {
        let segment: Segment
        let blob: Data
        let columnsBytes: Int
        let extent: BatchExtent
        let canaries: Int
    }

    /// Segments read at once: at most 4 MiB each, some kilobytes as a rule.
    private static let page = 16
    private let vault: any Vault
    private let canaries: Canaries?
    private let news: Mailbox<News>
    private let work = Queue<Work>()

    /// - Parameter canaries: Nil: releases carry none.
    init(vault: any Vault, canaries: Canaries?, news: Mailbox<News>) {
        self.vault = vault
        self.canaries = canaries
        self.news = news
    }

    func start() { startThread("releases") { [self] in run() } }
    func stop() { work.put(.stop) }
    func begin(_ job: ReleaseJob, _ release: OpenedRelease) { work.put(.begin(job, release)) }
    func credit(_ number: Int64, _ chunks: Int) { work.put(.credit(number, chunks)) }
    func cancel(_ number: Int64) { work.put(.cancel(number)) }
    /// Whether somebody was erased since a page was read, however long it waited for credit.
    func wasErased(_ subject: String, since readAt: UInt64) -> Bool { vault.wasDestroyed(subject, since: readAt) }

    private func run() {
        var running: [Int64: Running] = [:]
        do {
            var decompressor = try ZstdDecompressor()
            var compressor = try ZstdCompressor()
            while true {
                for item in work.takeAll() {
                    switch item {
                    case .begin(let job, let release): running[release.number] = Running(job: job, release: release, fields: Set(job.record.fields.compactMap(EventField.init)), canaries: canaries?.of(release, job.record), credit: job.credit)
                    case .credit(let number, let chunks):
                        guard var release = running[number] else { break }
                        release.credit = min(Limits.releaseCreditMax, release.credit + chunks)
                        running[number] = release
                    case .cancel(let number): running[number] = nil
                    case .stop: return
                    }
                }
                for number in running.keys.sorted() {
                    do {
                        if try advance(number, &running[number]!, &decompressor, &compressor) {
                            running[number] = nil
                            news.post(.finished(number))
                        }
                    } catch {
                        running[number] = nil
                        news.post(.failed(number, vault.words(error)))
                    }
                }
            }
        } catch {
            news.post(.failed(0, "\(error)"))
        }
    }

    /// Sends as much as there is credit for.
    ///
    /// - Returns: whether that was all.
    private func advance(
        _ number: Int64, _ running: inout Running, _ decompressor: inout ZstdDecompressor, _ compressor: inout ZstdCompressor
    ) throws -> Bool {
        let selection = running.job.record.selection
        while running.credit > 0 {
            if !running.packed.isEmpty {
                post(running.packed.removeFirst(), number, &running)
                continue
            }
            if running.waiting.isEmpty {
                guard !running.isRead else { return true }
                running.readAt = vault.destructions
                // A page at a time: a read transaction that stays open would hold the write-ahead log.
                let page = try vault.segments(selection, after: running.cursor, limit: Releases.page)
                FaultPoint.pass("after-release-read")
                running.cursor = page.next
                running.isRead = page.segments.count < Releases.page
                running.waiting = page.segments.reversed()
                continue
            }
            // What cannot be read ends the release here; what stands before it has gone out.
            let segment = try running.waiting.removeLast().get()
            // Who was left out, and whoever has come since: they are not on the record.
            if running.release.allowed.places[ReadPlace(segment.scope, segment.dataClass)] == nil { continue }
            running.packed = try packed(segment, &running, &decompressor, &compressor)
        }
        return false
    }

    /// What leaves of a segment: mostly as it is stored. More than one where canaries make it too long for one.
    private func packed(
        _ segment: Segment, _ running: inout Running, _ decompressor: inout ZstdDecompressor, _ compressor: inout ZstdCompressor
    ) throws -> [Packed] {
        let selection = running.job.record.selection
        let extent = BatchExtent(first: segment.first, last: segment.last, count: segment.count)
        let isCut = segment.first < selection.from || segment.last >= selection.until
        let whole = Packed(segment: segment, blob: segment.blob, columnsBytes: segment.columnsBytes, extent: extent, canaries: 0)
        guard isCut || !running.fields.isEmpty || running.canaries?.wants(segment) ?? false else { return [whole] }
        var events: [Event]
        do {
            let columns = try segment.blob.withUnsafeBytes { try decompressor.decompress($0, expected: segment.columnsBytes, max: Limits.columnsBytesMax) }
            events = try ColumnsCodec.decode(columns, extent: extent)
        } catch where !isCut && running.fields.isEmpty {
            // Nothing of it was asked for but what is stored, and that goes out as it is.
            return [whole]
        }
        if isCut { events.removeAll { !(selection.from <= $0.at && $0.at < selection.until) } }
        guard !events.isEmpty else { return [] }
        let marked = running.canaries?.add(to: events, of: segment, readAt: running.readAt) ?? []
        // With them it may be too large for a chunk: then it goes without.
        if marked.count > events.count, let parts = try? packed(marked, segment, running.fields, &compressor) { return parts }
        guard events.count < segment.count || !running.fields.isEmpty else { return [whole] }
        return try packed(events.map { ($0, false) }, segment, running.fields, &compressor)
    }

    private func packed(
        _ events: [(event: Event, isCanary: Bool)], _ segment: Segment, _ fields: Set<EventField>, _ compressor: inout ZstdCompressor
    ) throws -> [Packed] {
        let middle = events.count <= Limits.eventsPerBatchMax ? events.count : events.count / 2
        var parts: [Packed] = []
        for part in [events[..<middle], events[middle...]] where !part.isEmpty {
            let kept = try ColumnsCodec.encode(part.map { fields.isEmpty ? $0.event : $0.event.keeping(fields) })
            parts.append(
                Packed(
                    segment: segment, blob: Data(try compressor.compress(kept.bytes)), columnsBytes: kept.bytes.count, extent: kept.extent, canaries: part.count(where: \.isCanary)))
        }
        return parts
    }

    private func post(_ packed: Packed, _ number: Int64, _ running: inout Running) {
        running.credit -= 1
        running.number += 1
        let segment = packed.segment
        var chunk = WireChunk()
        chunk.release = UInt64(number)
        chunk.number = running.number
        chunk.subject = segment.scope.subject
        chunk.class = segment.dataClass.name
        chunk.stream = segment.stream
        chunk.sequence = segment.sequence
        chunk.firstNs = packed.extent.first.nanoseconds
        chunk.lastNs = packed.extent.last.nanoseconds
        chunk.count = UInt32(packed.extent.count)
        chunk.columnsBytes = UInt32(packed.columnsBytes)
        let record = running.job.record
        let reading = Reading(scope: segment.scope, dataClass: segment.dataClass, reader: record.reader, purpose: record.purpose)
        news.post(.chunk(number, running.job.route, reading, chunk, packed.blob, canaries: packed.canaries, readAt: running.readAt))
    }
}
