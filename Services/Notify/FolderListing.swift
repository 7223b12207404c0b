import Foundation
import Gate

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The names in some folders, in pieces: one pass after the other over all that lies there, of which each call has a bound. Belongs to one thread.
///
/// What comes during a pass may be in it, or in the next. What was moved from one folder to the other may be twice in one, or in neither; then it is in the next.
final class FolderListing {
    private let folders: [String]
    private var place = 0
    private var listing: OpaquePointer?

    init(_ folders: [String]) { self.folders = folders }
    deinit { rewind() }

    /// The next call begins a pass.
    func rewind() {
        if let listing { closedir(listing) }
        (listing, place) = (nil, 0)
    }

    /// - Parameter each: gets a folder and a name in it; names with a dot in front are left out.
    /// - Returns: whether that was the end of a pass.
    /// - Throws: a folder cannot be read: the next call begins a pass.
    func read(_ limit: Int, each: (_ folder: String, _ name: String) -> Void) throws(FolderUnreadable) -> Bool {
        var left = limit
        while place < folders.count {
            if listing == nil { listing = opendir(folders[place]) }
            guard let open = listing else {
                let failed = FolderUnreadable(path: folders[place], code: errno)
                rewind()
                throw failed
            }
            while let entry = readdir(open) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
                if !name.hasPrefix(".") { each(folders[place], name) }
                left -= 1
                guard left > 0 else { return false }
            }
            closedir(open)
            (listing, place) = (nil, place + 1)
        }
        place = 0
        return true
    }
}

struct FolderUnreadable: Error, Hashable, Sendable, CustomStringConvertible {
    var path: String
    var code: Int32

    var description: String { "\(path) cannot be read: \(String(cString: strerror(code)))" }
}

/// Which files of a folder were looked at, in a bounded memory: by name, and beyond that by when they came.
///
/// Files are looked at in the order in which they came or were last moved (`ctime`, which nobody but the kernel writes). So of more than are known by name it is enough to
/// know up to when all were looked at. Up to ``namesMax`` no clock has a part in it.
struct LookedAt {
    /// A file as a pass has found it.
    struct File: Hashable, Comparable {
        var folder: String
        var name: String
        /// `ctime`, in nanoseconds since 1970.
        var moved: Int64

        var path: String { "\(folder)/\(name)" }
        static func < (one: File, other: File) -> Bool { (one.moved, one.name) < (other.moved, other.name) }
    }

    /// By a hash of the name without the marks that mail programs change, salted in each run: nobody finds two that collide.
    private var names: [Int: Int64] = [:]
    /// Whatever came until then was looked at. None: nothing is forgotten.
    private var until = Int64.min
    private var forgotten = 0
    private let namesMax: Int

    /// - Parameter namesMax: with 32 bytes each.
    init(namesMax: Int) { self.namesMax = namesMax }

    /// All of them, up to now.
    var count: Int { names.count + forgotten }

    private static func hash(_ name: String) -> Int {
        var hasher = Hasher()
        hasher.combine(String(name.prefix { $0 != ":" }))
        return hasher.finalize()
    }

    /// - Returns: nil: it was looked at, or is gone.
    func file(_ folder: String, _ name: String) -> File? {
        guard names[LookedAt.hash(name)] == nil else { return nil }
        var status = stat()
        guard lstat("\(folder)/\(name)", &status) == 0 else { return nil }
        let moved = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
        return moved > until ? File(folder: folder, name: name, moved: moved) : nil
    }

    /// - Parameter pass: when the pass began that has found it: what came later may not be in it.
    /// - Returns: false: there is no room, and it is looked at again in the next pass: so many came within a moment, or their times are in the future.
    mutating func insert(_ file: File, of pass: WallTime) -> Bool {
        if names.count >= namesMax { forget(before: min(file.moved, pass.nanoseconds - 2_000_000_000)) }
        guard names.count < namesMax else { return false }
        names[LookedAt.hash(file.name)] = file.moved
        return true
    }

    /// The older half, as far as all that came before was looked at.
    private mutating func forget(before end: Int64) {
        let times = names.values.sorted()
        let next = min(times[times.count / 2], end - 1)
        let kept = names.filter { $0.value > next }
        guard kept.count < names.count else { return }
        forgotten += names.count - kept.count
        (names, until) = (kept, next)
    }

    /// A clock that was put back gives new files old times: all of it is looked at again.
    ///
    /// - Returns: whether that was so.
    mutating func beginsAnew(at now: WallTime) -> Bool {
        guard now.nanoseconds < until else { return false }
        self = LookedAt(namesMax: namesMax)
        return true
    }
}
