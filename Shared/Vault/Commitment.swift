import Crypto
import Foundation
import GRDB
import Gate

/// What a vault is committed to: which rows of segments there are, in one row that each transaction replaces together with what it changes.
///
/// Rows that were deleted, added or exchanged by anybody else give another sum, and who has not the key can make no tag: the row is that of some commit, or none.
/// Which commit, the vault alone cannot know: so ``stored`` goes out with each checkpoint of the read ledger, and control remembers it.
struct Commitment: Hashable, Sendable {
    /// Rows that there ever were, and the highest number that one has. It never goes back, also not when rows go.
    var stored: Int64 = 0
    /// Rows up to this number were written before numbers were bound: nothing but this sum knows them.
    var unbound: Int64 = 0
    /// Rows that are there.
    var rows: Int64 = 0
    /// Of ``CommitmentKey/element(of:)`` of each of them, modulo 2^256: in any order, and what is taken out is subtracted.
    var sum = Sum()

    /// Lowest limb first.
    struct Sum: Hashable, Sendable {
        var limbs: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        static func == (left: Sum, right: Sum) -> Bool { left.limbs == right.limbs }
        func hash(into hasher: inout Hasher) { hasher.combine(limbs.0) }

        static func += (left: inout Sum, right: Sum) {
            var carry: UInt64 = 0
            func add(_ limb: inout UInt64, _ other: UInt64) {
                let (partial, first) = limb.addingReportingOverflow(other)
                let (whole, second) = partial.addingReportingOverflow(carry)
                (limb, carry) = (whole, first || second ? 1 : 0)
            }
            add(&left.limbs.0, right.limbs.0)
            add(&left.limbs.1, right.limbs.1)
            add(&left.limbs.2, right.limbs.2)
            add(&left.limbs.3, right.limbs.3)
        }

        static func -= (left: inout Sum, right: Sum) {
            // Two's complement: the complement, and one.
            left += Sum(limbs: (~right.limbs.0, ~right.limbs.1, ~right.limbs.2, ~right.limbs.3))
            left += Sum(limbs: (1, 0, 0, 0))
        }

        init(limbs: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)) { self.limbs = limbs }

        /// Of 32 bytes.
        init?(_ bytes: some Sequence<UInt8>) {
            let bytes = Array(bytes)
            guard bytes.count == 32 else { return nil }
            func limb(_ index: Int) -> UInt64 { bytes[index * 8..<index * 8 + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
            limbs = (limb(0), limb(1), limb(2), limb(3))
        }

        var bytes: [UInt8] { [limbs.0, limbs.1, limbs.2, limbs.3].flatMap { limb in Swift.withUnsafeBytes(of: limb.littleEndian) { Array($0) } } }
    }
}

/// What reads find a row by: its number, and its place in the index. All else of it is associated with its blob.
struct SegmentPlace: Hashable, Sendable {
    var number: Int64
    var subject: String
    var dataClass: String
    var first: Int64
}

/// Up to where a stream is stored: what comes below it is acknowledged, and not stored.
struct StreamMark: Hashable, Sendable {
    var key: StreamKey
    var sequence: UInt64
}

/// Makes elements and tags. Lies in the file of keys, wrapped by the master key.
struct CommitmentKey: Sendable {
    private let key: SymmetricKey

    init(_ key: SymmetricKey) { self.key = key }

    /// SHA-256 behind the key: a third of what HMAC costs, once for each row. Nobody who has not the key sees one of these by itself and can use it: a sum counts
    /// with its tag alone.
    func element(of place: SegmentPlace) -> Commitment.Sum {
        var hash = SHA256()
        key.withUnsafeBytes { hash.update(bufferPointer: $0) }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24 + place.subject.utf8.count + place.dataClass.utf8.count) { bytes in
            var end = 0
            func append(_ some: some Sequence<UInt8>) {
                for byte in some {
                    bytes[end] = byte
                    end += 1
                }
            }
            func append(_ number: Int64) { Swift.withUnsafeBytes(of: number.bigEndian) { append($0) } }
            append(place.number)
            append(place.first)
            append(Int64(place.subject.utf8.count))
            append(place.subject.utf8)
            append(place.dataClass.utf8)
            hash.update(bufferPointer: UnsafeRawBufferPointer(bytes))
        }
        return hash.finalize().withUnsafeBytes { digest in
            func limb(_ index: Int) -> UInt64 { UInt64(littleEndian: digest.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
            return Commitment.Sum(limbs: (limb(0), limb(1), limb(2), limb(3)))
        }
    }

    /// Of a row that is read by itself, and would be believed: 16 bytes, so that nobody can make a longer one's out of it.
    func tag(_ mark: StreamMark) -> Data {
        var hash = SHA256()
        key.withUnsafeBytes { hash.update(bufferPointer: $0) }
        // No segment has such a number.
        for number in [-1, Int64(mark.key.agent), Int64(bitPattern: mark.key.stream), Int64(bitPattern: mark.sequence)] {
            Swift.withUnsafeBytes(of: number.bigEndian) { hash.update(bufferPointer: $0) }
        }
        return Data(hash.finalize().prefix(16))
    }

    /// Of the gate as it was recorded.
    func tag(gate: Data, epoch: Int64) -> Data {
        var bytes = Array("sluice vault gate v1\n".utf8)
        Swift.withUnsafeBytes(of: epoch.bigEndian) { bytes.append(contentsOf: $0) }
        return Data(HMAC<SHA256>.authenticationCode(for: bytes + gate, using: key))
    }

    /// - Parameter longest: How long the longest segment is: a smaller one would hide segments from reads.
    func tag(_ commitment: Commitment, longest: Int64) -> Data {
        Data(HMAC<SHA256>.authenticationCode(for: CommitmentKey.bytes(commitment, longest), using: key))
    }

    func isTag(_ tag: Data, of commitment: Commitment, longest: Int64) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(tag, authenticating: CommitmentKey.bytes(commitment, longest), using: key)
    }

    private static func bytes(_ commitment: Commitment, _ longest: Int64) -> [UInt8] {
        var bytes = Array("sluice vault commitment v1\n".utf8)
        for number in [commitment.stored, commitment.unbound, commitment.rows, longest] { Swift.withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) } }
        return bytes + commitment.sum.bytes
    }
}

/// What a transaction changes of the commitment: kept with what it writes, or not at all.
final class CommitmentDraft {
    private(set) var commitment: Commitment
    let key: CommitmentKey
    private(set) var isChanged = false

    init(_ commitment: Commitment, key: CommitmentKey) {
        self.commitment = commitment
        self.key = key
    }

    /// The number of the next row.
    var next: Int64 { commitment.stored + 1 }

    /// A row was inserted, under ``next``.
    func add(_ place: SegmentPlace) {
        precondition(place.number == next)
        commitment.stored = place.number
        commitment.rows += 1
        commitment.sum += key.element(of: place)
        isChanged = true
    }

    /// A row was deleted that may be: by retention, with a person, or because a closure forbade it.
    func remove(_ place: SegmentPlace) {
        commitment.rows -= 1
        commitment.sum -= key.element(of: place)
        isChanged = true
    }

    func keep(in db: Database, longest: Int64) throws {
        guard isChanged else { return }
        let statement = try db.cachedStatement(sql: "UPDATE commitment SET stored = ?, rows = ?, sum = ?, tag = ?")
        try statement.execute(arguments: [commitment.stored, commitment.rows, Data(commitment.sum.bytes), key.tag(commitment, longest: longest)])
    }
}
