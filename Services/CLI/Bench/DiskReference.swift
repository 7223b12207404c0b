#if os(Linux)
    import CLinux
    import Glibc

    /// The disk's own limit: the same bytes written to one file, one `fdatasync` for everything that waits.
    ///
    /// Nothing is decided, encrypted, indexed or sent; no store that acknowledges after the bytes are durable can be faster
    /// on this disk with these groups. Group commit as the vault does it: with P publishers and a window of W, all P × W
    /// batches wait while the last group is synced, so that is the group.
    struct DiskReference {
        /// How the file comes by its blocks.
        enum Form: String, Sendable, CaseIterable {
            /// The file grows with each write: every sync also commits its new length.
            case growing
            /// Space is reserved 256 MiB at a time, and the time that takes counts.
            case preallocated
            /// Preallocated, past the page cache (`O_DIRECT`), each group copied together and padded to whole blocks of 4 KiB.
            /// The quickest that keeps every byte. A folder in memory may refuse it.
            case direct
            /// Blocks that were written before are overwritten in a ring, as a write-ahead log does that is reused: no work
            /// for the file system. Keeps only the newest bytes, which a vault may not: the ceiling, not a peer.
            case recycled
        }

        struct Outcome: Sendable {
            let batchesPerSecond: Double
            /// Millions of bytes a second.
            let megabytesPerSecond: Double
            let batchesPerSync: Int
            /// Milliseconds of one `fdatasync`.
            let sync: Figures
            /// Milliseconds of writing a group and syncing it: what each of its batches waits.
            let commit: Figures
        }

        /// Larger groups are not formed: as in the vault.
        static let groupMax = 256
        private static let reservation = 256 << 20
        /// A run ends early rather than write more than this, or more than half of what is free.
        private static let bytesMax = 16 << 30

        private static let blockBytes = 4_096

        private static func roundedUp(_ count: Int) -> Int { (count + blockBytes - 1) / blockBytes * blockBytes }

        /// Blocks for `seconds` and a little more; not for the cooperative pool. Leaves nothing in `folder`.
        ///
        /// - Throws: ``BenchFailure``.
        static func run(
            batches: [[UInt8]], folder: String, seconds: Double, publishers: Int, window: Int, form: Form = .direct
        ) throws(BenchFailure) -> Outcome {
            let group = min(publishers * window, groupMax)
            guard group > 0, !batches.isEmpty else { throw .pointless("no batches, or nobody to publish them") }
            var file = try TemporaryFile(in: folder)
            var space = statvfs()
            guard statvfs(folder, &space) == 0 else { throw .call("statvfs", errno: errno) }
            let bytesMax = min(Self.bytesMax, Int(space.f_bavail) * Int(space.f_frsize) / 2)

            // All batches in one piece, and a vector that goes round once and a group further: any group is a slice of it.
            let bytes = UnsafeMutableRawPointer.allocate(byteCount: batches.reduce(0) { $0 + $1.count } + 1, alignment: 4_096)
            defer { bytes.deallocate() }
            var vector: [iovec] = []
            var offset = 0
            for batch in batches {
                batch.withUnsafeBytes { (bytes + offset).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(bytes), byteCount: $0.count) }
                vector.append(iovec(iov_base: bytes + offset, iov_len: batch.count))
                offset += batch.count
            }
            for index in 0..<group { vector.append(vector[index]) }
            let padded = UnsafeMutableRawPointer.allocate(byteCount: roundedUp(vector.map(\.iov_len).max()! * group), alignment: blockBytes)
            defer { padded.deallocate() }
            if form == .direct { try file.bypassCache() }
            if form == .recycled { try file.fill(with: reservation) }

            var syncs: [Double] = []
            var commits: [Double] = []
            var position = 0
            var reserved = 0
            var total = 0
            var next = 0
            let start = Stopwatch.now()
            var now = start
            while now < start + seconds, total < bytesMax {
                let payload = vector[next..<next + group].reduce(0) { $0 + $1.iov_len }
                let wanted = form == .direct ? roundedUp(payload) : payload
                switch form {
                case .growing: break
                case .preallocated where position + wanted > reserved, .direct where position + wanted > reserved:
                    try file.reserve(at: reserved, count: max(reservation, wanted))
                    reserved += max(reservation, wanted)
                case .recycled where position + wanted > reservation: position = 0
                case .preallocated, .direct, .recycled: break
                }
                let written: Int
                if form == .direct {
                    var offset = 0
                    for part in vector[next..<next + group] {
                        memcpy(padded + offset, part.iov_base, part.iov_len)
                        offset += part.iov_len
                    }
                    memset(padded + offset, 0, wanted - offset)
                    written = pwrite(file.descriptor, padded, wanted, off_t(position))
                } else {
                    written = vector.withUnsafeBufferPointer {
                        pwritev(file.descriptor, $0.baseAddress! + next, Int32(group), off_t(position))
                    }
                }
                guard written == wanted else { throw .call("pwritev", errno: written < 0 ? errno : ENOSPC) }
                let before = Stopwatch.now()
                guard fdatasync(file.descriptor) == 0 else { throw .call("fdatasync", errno: errno) }
                let after = Stopwatch.now()
                syncs.append((after - before) * 1_000)
                commits.append((after - now) * 1_000)
                now = after
                position += written
                total += payload
                next = (next + group) % batches.count
            }
            let elapsed = now - start
            return Outcome(
                batchesPerSecond: Double(syncs.count * group) / elapsed, megabytesPerSecond: Double(total) / elapsed / 1e6,
                batchesPerSync: group, sync: Figures(syncs), commit: Figures(commits))
        }
    }

    /// A file without a name: it is gone when it is closed, whatever happens to us.
    private struct TemporaryFile: ~Copyable {
        let descriptor: Int32

        init(in folder: String) throws(BenchFailure) {
            var path = Array((folder + "/disk-reference-XXXXXX").utf8CString)
            descriptor = mkstemp(&path)
            guard descriptor >= 0 else { throw .call("mkostemp \(folder)", errno: errno) }
            unlink(path)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }

        deinit { close(descriptor) }

        mutating func bypassCache() throws(BenchFailure) {
            guard fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | Int32(SLUICE_O_DIRECT)) == 0 else {
                throw .call("fcntl O_DIRECT", errno: errno)
            }
        }

        mutating func reserve(at offset: Int, count: Int) throws(BenchFailure) {
            let error = posix_fallocate(descriptor, off_t(offset), off_t(count))
            guard error == 0 else { throw .call("posix_fallocate", errno: error) }
        }

        mutating func fill(with count: Int) throws(BenchFailure) {
            let zeros = [UInt8](repeating: 0, count: 1 << 20)
            for offset in stride(from: 0, to: count, by: zeros.count) {
                guard pwrite(descriptor, zeros, zeros.count, off_t(offset)) == zeros.count else { throw .call("pwrite", errno: errno) }
            }
            guard fsync(descriptor) == 0 else { throw .call("fsync", errno: errno) }
        }
    }
#endif
