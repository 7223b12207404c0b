import CPCRE2
import CVectorscan
import Foundation

/// Why detection cannot start.
package enum DetectorRefused: Error, Hashable, Sendable, CustomStringConvertible {
    case rules(RuleBookRefused)
    case pattern(rule: String, String)
    case memory

    package var description: String {
        switch self {
        case .rules(let refused): "rules, \(refused)"
        case .pattern(let rule, let reason): "rule \(rule): \(reason)"
        case .memory: "no memory for Vectorscan"
        }
    }
}

/// Many patterns that are looked for at once. What it reports is where they may end: more than there is, never less.
///
/// Vectorscan's start of match costs, and refuses repeats that are large: what begins where is for ``ConfirmingPattern``, over a few bytes.
// Never changed after it was compiled: any thread may scan with a scratch of its own.
final class PatternSet: @unchecked Sendable {
    let database: OpaquePointer

    /// - Parameter isOnce: Each pattern is reported once in a scan, which is all that it takes to know that it may be there.
    init(_ patterns: [(id: Int, text: String, name: String)], isOnce: Bool = false) throws(DetectorRefused) {
        var pointers = patterns.map { UnsafePointer(strdup($0.text)) }
        defer { for pointer in pointers { free(UnsafeMutablePointer(mutating: pointer)) } }
        let flags = [UInt32](repeating: UInt32(HS_FLAG_PREFILTER) | (isOnce ? UInt32(HS_FLAG_SINGLEMATCH) : 0), count: patterns.count)
        let ids = patterns.map { UInt32($0.id) }
        var made: OpaquePointer?
        var error: UnsafeMutablePointer<hs_compile_error_t>?
        let code = hs_compile_multi(&pointers, flags, ids, UInt32(patterns.count), UInt32(HS_MODE_BLOCK), nil, &made, &error)
        guard code == HS_SUCCESS, let made else {
            let place = error.map { Int($0.pointee.expression) } ?? -1
            let reason = error.map { String(cString: $0.pointee.message) } ?? "not compiled"
            hs_free_compile_error(error)
            throw .pattern(rule: patterns.indices.contains(place) ? patterns[place].name : "?", reason)
        }
        database = made
    }

    deinit { hs_free_database(database) }
}

/// One pattern, matched exactly, where a ``PatternSet`` says that it may be.
// Never changed after it was compiled: any thread may match with match data of its own.
final class ConfirmingPattern: @unchecked Sendable {
    let code: Code

    /// A pattern that lives for as long as its owner.
    // Never changed after it was compiled.
    struct Code: @unchecked Sendable { fileprivate let pointer: OpaquePointer }

    /// Where the machine forbids memory that is both written and run, matching goes on without the compiled form, and slower.
    init(_ text: String, rule: String) throws(DetectorRefused) {
        var number: Int32 = 0
        var offset = 0
        let made = text.withCString { pointer in
            pointer.withMemoryRebound(to: UInt8.self, capacity: text.utf8.count) { pcre2_compile_8($0, text.utf8.count, UInt32(PCRE2_DOLLAR_ENDONLY), &number, &offset, nil) }
        }
        guard let made else {
            var message = [UInt8](repeating: 0, count: 256)
            pcre2_get_error_message_8(number, &message, message.count)
            throw .pattern(rule: rule, "\(String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)) at \(offset)")
        }
        code = Code(pointer: made)
        _ = pcre2_jit_compile_8(made, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code.pointer) }
}

extension ConfirmingPattern.Code {
    enum Outcome {
        case none, undecided
        case match(all: Range<Int>, found: Range<Int>)
    }

    /// The first match that begins at `start` or after.
    /// - Parameter end: Where the text ends for it.
    func match(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, with data: MatchData) -> Outcome {
        let count = pcre2_match_8(pointer, bytes.baseAddress, end, start, 0, data.data, data.context)
        guard count > 0 else { return count == PCRE2_ERROR_NOMATCH ? .none : .undecided }
        guard let places = pcre2_get_ovector_pointer_8(data.data) else { return .undecided }
        let all = places[0]..<max(places[0], places[1])
        // A group that took no part has no place.
        return .match(all: all, found: count > 1 && places[2] < places[3] ? places[2]..<places[3] : all)
    }
}

/// What one thread matches with.
final class MatchData {
    fileprivate let data: OpaquePointer
    fileprivate let context: OpaquePointer

    /// Steps that a match may take. No rule takes a tenth of it on any text that a test has tried; one that did would be stopped here.
    private static let stepsMax: UInt32 = 100_000

    init() throws(DetectorRefused) {
        guard let data = pcre2_match_data_create_8(4, nil), let context = pcre2_match_context_create_8(nil) else { throw .memory }
        pcre2_set_match_limit_8(context, Self.stepsMax)
        self.data = data
        self.context = context
    }

    deinit {
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
    }
}

/// Where a pattern may end, the ends of one stretch gathered.
struct Hit {
    let pattern: Int
    let firstEnd: Int
    var lastEnd: Int
}

/// What one thread scans with.
final class ScanSpace {
    private var scratch: OpaquePointer?
    private(set) var hits: [Hit] = []
    /// By pattern: its last hit's place in `hits`, and the scan that it is of.
    private var last: [(hit: Int, scan: Int)]
    private var scan = 0
    private var gap = 1

    init(_ sets: [PatternSet], patterns: Int) throws(DetectorRefused) {
        last = Array(repeating: (0, -1), count: patterns)
        for set in sets { guard hs_alloc_scratch(set.database, &scratch) == HS_SUCCESS else { throw .memory } }
    }

    deinit { hs_free_scratch(scratch) }

    /// Fills ``hits``, in the order of their first ends.
    /// - Parameter gap: Bytes between two ends of one stretch, at most.
    func scan(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, for set: PatternSet, gap: Int) {
        hits.removeAll(keepingCapacity: true)
        scan += 1
        self.gap = gap
        guard !range.isEmpty, let base = bytes.baseAddress else { return }
        (base + range.lowerBound).withMemoryRebound(to: CChar.self, capacity: range.count) { text in
            let context = Unmanaged.passUnretained(self).toOpaque()
            _ = hs_scan(set.database, text, UInt32(range.count), 0, scratch, { pattern, _, end, _, context in
                guard let context else { return 0 }
                Unmanaged<ScanSpace>.fromOpaque(context).takeUnretainedValue().take(Int(pattern), end: Int(end))
                return 0
            }, context)
        }
    }

    private func take(_ pattern: Int, end: Int) {
        if last[pattern].scan == scan {
            let hit = last[pattern].hit
            if end - hits[hit].lastEnd <= gap {
                hits[hit].lastEnd = end
                return
            }
        }
        last[pattern] = (hits.count, scan)
        hits.append(Hit(pattern: pattern, firstEnd: end, lastEnd: end))
    }
}
