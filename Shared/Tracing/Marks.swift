/// Where a canary can be told by who has the key.
///
/// What an event says (its time, a position, words) hashes to a row, and to a byte. Of anybody's events that byte is any of 256; of a canary's it is the one that
/// the key gives its release in that row. So each mark stands by itself, and is found in a line that has nothing else.
package enum Mark: Int, Hashable, Sendable, CaseIterable {
    /// The time, down to the millisecond.
    case when
    /// The whole time, where it is finer than that.
    case exact
    /// The millisecond, and what was there: a position or a key.
    case what
    /// A position alone.
    case place
    /// The first words of a text.
    case opening
    /// Those, and the last.
    case closing

    static let rows = 64
}

/// The bytes of one release or reader: for each mark and row.
struct MarkCodes: Sendable {
    private let bytes: [UInt8]

    init(_ key: CanaryKey, of marked: Marked) { bytes = key.bytes("codes", marked.bytes, count: Mark.allCases.count * Mark.rows) }

    @inline(__always) subscript(mark: Mark, row: Int) -> UInt8 { bytes[mark.rawValue * Mark.rows + row] }
}

/// Hashes of what events say, under one key.
struct MarkHash: Sendable {
    /// A hash, taken apart: no bit is used twice.
    struct Value {
        let bits: UInt64

        @inline(__always) init(_ bits: UInt64) { self.bits = bits }

        @inline(__always) var row: Int { Int(bits & 63) }
        @inline(__always) var byte: UInt8 { UInt8(truncatingIfNeeded: bits >> 8) }
        /// Tells this value from others, for those that come twice.
        @inline(__always) var rest: UInt64 { bits >> 16 }
    }

    private let hashes: [KeyedHash]

    init(_ key: CanaryKey) {
        hashes = Mark.allCases.map { KeyedHash(key.bytes("hash", [UInt8($0.rawValue)], count: 16)) }
    }

    @inline(__always) func when(_ nanoseconds: Int64) -> Value { Value(hashes[Mark.when.rawValue](UInt64(bitPattern: MarkHash.millisecond(nanoseconds)))) }
    @inline(__always) func exact(_ nanoseconds: Int64) -> Value { Value(hashes[Mark.exact.rawValue](UInt64(bitPattern: nanoseconds))) }
    @inline(__always) func what(_ nanoseconds: Int64, _ detail: UInt64) -> Value {
        Value(hashes[Mark.what.rawValue](UInt64(bitPattern: MarkHash.millisecond(nanoseconds)), detail))
    }
    @inline(__always) func place(_ position: UInt64) -> Value { Value(hashes[Mark.place.rawValue](position)) }
    func opening(_ words: some Collection<UInt8>) -> Value { Value(hashes[Mark.opening.rawValue](words)) }
    func closing(_ words: some Collection<UInt8>, after opening: Value) -> Value {
        Value(hashes[Mark.closing.rawValue](hashes[Mark.closing.rawValue](words), opening.bits))
    }

    @inline(__always) static func millisecond(_ nanoseconds: Int64) -> Int64 {
        let (quotient, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000)
        return rest < 0 ? quotient - 1 : quotient
    }

    @inline(__always) static func position(_ x: Int32, _ y: Int32) -> UInt64 { UInt64(UInt32(bitPattern: x)) << 32 | UInt64(UInt32(bitPattern: y)) }
    static func isFine(_ nanoseconds: Int64) -> Bool { nanoseconds % 1_000_000 != 0 }
}

/// Words as marks see them: letters of ASCII are small, other letters as they are, and everything else only separates. So a text is the same in JSON, in
/// CSV, and without its punctuation.
struct FoldedWords {
    /// A space between two words.
    private(set) var bytes: [UInt8] = []
    /// Where each word begins in ``bytes``.
    private(set) var starts: [Int] = []
    private var isInWord = false

    /// Words at each end of a text that marks look at, and how many a text must have.
    static let marked = 5
    static let least = 8
    /// What a key's name may take to be a detail.
    static let detailBytesMax = 8

    mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        isInWord = false
    }

    @inline(__always) mutating func add(_ byte: UInt8) {
        let folded: UInt8
        switch byte {
        case 0x61...0x7A, 0x30...0x39, 0x80...: folded = byte
        case 0x41...0x5A: folded = byte | 0x20
        default:
            isInWord = false
            return
        }
        if !isInWord {
            if !bytes.isEmpty { bytes.append(0x20) }
            starts.append(bytes.count)
            isInWord = true
        }
        bytes.append(folded)
    }

    mutating func separate() { isInWord = false }

    /// What is one short word; nil: it is none.
    var detail: UInt64? {
        guard starts.count == 1, bytes.count <= FoldedWords.detailBytesMax else { return nil }
        return bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    }

    var opening: ArraySlice<UInt8> { bytes[..<(starts[FoldedWords.marked] - 1)] }
    var closing: ArraySlice<UInt8> { bytes[starts[starts.count - FoldedWords.marked]...] }
}

extension FoldedWords {
    init(_ text: some StringProtocol) {
        for byte in text.utf8 { add(byte) }
    }
}
