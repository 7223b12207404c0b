import Foundation
import GRDB
import Ledger
import SwiftProtobuf
import Tracing
import Wire

/// The releases of the read ledger, for what is to be found of them in a file.
struct ReleasesOnRecord {
    struct Release: Encodable {
        var release: UInt64
        var entry: UInt64
        var atUs: Int64
        var reader: String
        /// Of the directory; empty: nobody of it has the reader's key.
        var person: String
        var purpose: String
        var justification: String
        var classes: [String]
        var events: UInt64
        /// Nil: nobody recorded its end.
        var canaries: UInt64?
    }

    /// As they were opened, with those that carry none.
    private(set) var all: [Release] = []
    private(set) var releases: [Marked: Release] = [:]
    /// By the id of the key.
    private(set) var marked: [String: [Marked]] = [:]
    /// That carry none.
    private(set) var plain = 0

    init(_ files: LedgerFiles) throws {
        let (store, database) = try files.open(.reads)
        defer { try? database.close() }
        var readers: [String: Set<String>] = [:]
        // The last of each number: after a vault was restored they come again.
        var latest: [UInt64: Marked] = [:]
        let size = try store.size()
        for start in stride(from: UInt64(0), to: size, by: 256) {
            for (offset, recorded) in try store.entries(start..<min(size, start + 256)).enumerated() {
                guard let body = recorded.entry?.body else { continue }
                let wire = try WireReadEntry(serializedBytes: body)
                switch wire.what {
                case .opened(let read):
                    let release = Release(
                        release: read.release, entry: start + UInt64(offset) + 1, atUs: wire.atUs, reader: read.reader, person: read.person, purpose: read.purpose,
                        justification: read.justification, classes: read.classes, events: read.eventsMax)
                    all.append(release)
                    guard !read.canaryKey.isEmpty else {
                        plain += 1
                        continue
                    }
                    let marked = Marked.release(read.release, salt: Array(read.canarySalt))
                    latest[read.release] = marked
                    releases[marked] = release
                    self.marked[read.canaryKey, default: []].append(marked)
                    if readers[read.canaryKey, default: []].insert(read.reader).inserted { self.marked[read.canaryKey, default: []].append(.reader(read.reader)) }
                case .ended(let read):
                    guard let marked = latest[read.release] else { continue }
                    releases[marked]?.events = read.events
                    releases[marked]?.canaries = read.canaries
                case .denied, .moved, nil: continue
                }
            }
        }
    }
}
