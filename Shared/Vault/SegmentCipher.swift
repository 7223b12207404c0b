import Crypto
package import Foundation
import Gate

/// What wraps a vault's data keys: 32 bytes that are kept outside it. Prints as nothing.
package struct MasterKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package static let bytesCount = 32
    fileprivate let key: SymmetricKey
    /// 8 bytes that tell it from others, and give nothing of it away.
    let id: Data

    package init?(secret: [UInt8]) {
        guard secret.count == MasterKey.bytesCount else { return nil }
        key = SymmetricKey(data: secret)
        id = Data(SHA256.hash(data: Array("sluice vault master key v1\n".utf8) + secret).prefix(8))
    }

    package var description: String { "MasterKey(redacted)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Whose data key, and of which month: who is erased takes their keys along, and one lost key opens a month of one person.
package struct DataKeyPlace: Hashable, Sendable {
    var subject: String
    /// Of UTC: 202611. ``directory``: of no month.
    var month: Int64
    /// The month of the key for a person's entry in the directory.
    static let directory: Int64 = 0
    /// Whose key makes the vault's commitment: nobody's, of no month.
    static let commitment = DataKeyPlace(subject: "", month: -1)

    package init(subject: String, month: Int64) {
        self.subject = subject
        self.month = month
    }

    init(of segment: Segment) { self.init(subject: segment.scope.subject, month: DataKeyPlace.month(of: segment.first)) }

    /// Source: Howard Hinnant, chrono-compatible low-level date algorithms (days to civil).
    static func month(of time: WallTime) -> Int64 {
        let days = time.nanoseconds / day - (time.nanoseconds % day < 0 ? 1 : 0) + 719_468
        let era = (days >= 0 ? days : days - 146_096) / 146_097
        let dayOfEra = days - era * 146_097
        let year = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        return month < 10 ? (year + era * 400) * 100 + month + 3 : (year + era * 400 + 1) * 100 + month - 9
    }
}

extension DataKeyPlace {
    private static let day: Int64 = 86_400_000_000_000

    /// From its first moment to the first of the next; nil: the directory's. Same source, civil to days.
    var extent: Range<Int64>? {
        guard month != DataKeyPlace.directory else { return nil }
        let next = month % 100 == 12 ? month + 89 : month + 1
        return DataKeyPlace.begin(of: month)..<DataKeyPlace.begin(of: next)
    }

    private static func begin(of month: Int64) -> Int64 {
        let number = month % 100
        let year = month / 100 - (number <= 2 ? 1 : 0)
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (number > 2 ? number - 3 : number + 9) + 2) / 5
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let (product, overflow) = (era * 146_097 + dayOfEra - 719_468).multipliedReportingOverflow(by: day)
        return overflow ? (year < 1_970 ? .min : .max) : product
    }
}

/// Encrypts the blobs of one subject's month.
package struct DataKey: Sendable {
    /// Of its row.
    package let number: Int64
    private let key: SymmetricKey

    /// Nonce, key, tag.
    static let wrappedBytes = 12 + 32 + 16

    /// A new one, and how it is stored.
    package static func make(_ number: Int64, for place: DataKeyPlace, under master: MasterKey) throws -> (key: DataKey, wrapped: Data) {
        let key = DataKey(number: number, key: SymmetricKey(size: .bits256))
        return (key, try key.wrapped(for: place, under: master))
    }

    func wrapped(for place: DataKeyPlace, under master: MasterKey) throws -> Data {
        let box = try key.withUnsafeBytes { try AES.GCM.seal($0, using: master.key, authenticating: DataKey.associated(number, place)) }
        guard let wrapped = box.combined else { throw CryptoKitError.incorrectParameterSize }
        return wrapped
    }

    private init(number: Int64, key: SymmetricKey) {
        self.number = number
        self.key = key
    }

    /// Nil: it was changed, belongs elsewhere, or was wrapped by another master key.
    init?(_ number: Int64, for place: DataKeyPlace, unwrapping wrapped: Data, under master: MasterKey) {
        guard wrapped.count == DataKey.wrappedBytes, let box = try? AES.GCM.SealedBox(combined: wrapped),
            let secret = try? AES.GCM.open(box, using: master.key, authenticating: DataKey.associated(number, place))
        else { return nil }
        self.init(number: number, key: SymmetricKey(data: secret))
    }

    private static func associated(_ number: Int64, _ place: DataKeyPlace) -> [UInt8] {
        var bytes = Array("sluice data key v1\n".utf8)
        bytes.append(number)
        bytes.append(place.subject)
        bytes.append(place.month)
        return bytes
    }

    /// A key that is none of a month's: it opens nothing, and vouches for what is there.
    var forCommitment: CommitmentKey { CommitmentKey(key) }

    /// Nonce, ciphertext, tag. The nonce is random: 2^32 segments of one person's month are out of reach.
    package func seal(_ blob: Data, beside columns: SegmentColumns) throws -> Data {
        guard let sealed = try AES.GCM.seal(blob, using: key, authenticating: columns.associated).combined else {
            throw CryptoKitError.incorrectParameterSize
        }
        return sealed
    }

    /// The same for what is no segment: `associated` begins with a line that says what it is.
    func seal(_ secret: Data, associated: [UInt8]) throws -> Data {
        guard let sealed = try AES.GCM.seal(secret, using: key, authenticating: associated).combined else { throw CryptoKitError.incorrectParameterSize }
        return sealed
    }

    func open(_ sealed: Data, associated: [UInt8]) -> Data? {
        guard let box = try? AES.GCM.SealedBox(combined: sealed) else { return nil }
        return try? AES.GCM.open(box, using: key, authenticating: associated)
    }

    /// Nil: blob or columns are not what was stored.
    func open(_ sealed: Data, beside columns: SegmentColumns) -> Data? {
        guard let box = try? AES.GCM.SealedBox(combined: sealed) else { return nil }
        return try? AES.GCM.open(box, using: key, authenticating: columns.associated)
    }
}

/// The columns of a row beside its blob, as SQLite holds them: what is read is believed only once the blob has opened beside it.
package struct SegmentColumns: Hashable, Sendable {
    var subject: String
    var site: String
    var team: String
    var dataClass: String
    var agent: Int64
    var stream: Int64
    var sequence: Int64
    var first: Int64
    var last: Int64
    var count: Int64
    var epoch: Int64
    var columnsBytes: Int64
    var hash: Data
    /// Number of the data key.
    var key: Int64
    /// The row's own; 0: it was written before numbers were bound.
    var number: Int64

    /// Every column in one form: texts and bytes with their length in front, numbers as 8 bytes, big-endian.
    var associated: [UInt8] {
        var bytes = Array((number == 0 ? "sluice segment v1\n" : "sluice segment v2\n").utf8)
        bytes.reserveCapacity(256)
        for text in [subject, site, team, dataClass] { bytes.append(text) }
        for number in [agent, stream, sequence, first, last, count, epoch, columnsBytes, key] { bytes.append(number) }
        bytes.append(Int64(hash.count))
        bytes.append(contentsOf: hash)
        if number != 0 { bytes.append(number) }
        return bytes
    }

    package init(_ segment: Segment, key: Int64, number: Int64) {
        subject = segment.scope.subject
        site = segment.scope.site
        team = segment.scope.team
        dataClass = segment.dataClass.name
        agent = Int64(segment.agent)
        stream = Int64(bitPattern: segment.stream)
        sequence = Int64(bitPattern: segment.sequence)
        first = segment.first.nanoseconds
        last = segment.last.nanoseconds
        count = Int64(segment.count)
        epoch = Int64(bitPattern: segment.epoch)
        columnsBytes = Int64(segment.columnsBytes)
        hash = segment.hash
        self.key = key
        self.number = number
    }

    /// Nil: these are no numbers of a segment.
    func segment(_ blob: Data) -> Segment? {
        guard let agent = UInt32(exactly: agent), let count = Int(exactly: count), let columnsBytes = Int(exactly: columnsBytes) else { return nil }
        return Segment(
            scope: Scope(subject: subject, site: site, team: team), dataClass: DataClass(dataClass), agent: agent,
            stream: UInt64(bitPattern: stream), sequence: UInt64(bitPattern: sequence), first: WallTime(nanoseconds: first),
            last: WallTime(nanoseconds: last), count: count, epoch: UInt64(bitPattern: epoch), columnsBytes: columnsBytes, hash: hash, blob: blob)
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ number: Int64) { Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) } }

    fileprivate mutating func append(_ text: String) {
        append(Int64(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
