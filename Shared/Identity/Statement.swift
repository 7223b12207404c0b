package import Gate

/// What an operator signs, and where it is to count: these lines, and after an empty one the body.
///
/// ```
/// sluice command v1            or: sluice approval v1
/// origin acme.example/sluice   the ledger that it is for
/// index 48112                  the newest entry that the author saw
/// from 1764000000000           milliseconds since 1970, the author's clock
/// until 1764000300000          it counts before this moment
/// nonce 00112233445566778899aabbccddeeff
/// author ops-2
///
/// BODY                         any bytes, to the end
/// ```
///
/// There is one way only to write a statement: lines in this order, ended by a line feed; numbers in decimal without leading zeros; the nonce in 32
/// lower-case digits; origin and author 1 to 200 bytes of UTF-8 without control characters. Anything else is refused whole. The
/// first line keeps apart what is signed for different ends: no command is an approval, and neither is a checkpoint of a ledger.
package struct Statement: Hashable, Sendable {
    package enum Purpose: String, Hashable, Sendable, CaseIterable {
        case command = "sluice command v1"
        /// Of a proposal. The body is ``ApprovedProposal``.
        case approval = "sluice approval v1"
    }

    package struct Malformed: Error, Hashable, Sendable {}

    package let purpose: Purpose
    package let origin: String
    package let index: UInt64
    /// Milliseconds since 1970.
    package let from: UInt64
    package let until: UInt64
    /// 16 random bytes.
    package let nonce: [UInt8]
    package let author: String
    package let body: [UInt8]

    package static let bytesMax = 1024 * 1024 + 128 * 1024
    static let nameBytesMax = 200
    /// The year 2262: later moments do not fit `WallTime`.
    static let millisecondsMax: UInt64 = 9_223_372_036_854

    /// - Throws: ``Malformed`` for what could not be read back.
    package init(
        _ purpose: Purpose, origin: String, index: UInt64, from: UInt64, until: UInt64, nonce: [UInt8] = .random(16), author: String, body: [UInt8]
    ) throws(Malformed) {
        guard Self.isName(origin), Self.isName(author), nonce.count == 16, from <= until, until <= Self.millisecondsMax else { throw Malformed() }
        self.purpose = purpose
        self.origin = origin
        self.index = index
        self.from = from
        self.until = until
        self.nonce = nonce
        self.author = author
        self.body = body
        guard bytes.count <= Self.bytesMax else { throw Malformed() }
    }

    /// Exactly what is signed, sent and kept.
    package var bytes: [UInt8] {
        let digits = nonce.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        let head = "\(purpose.rawValue)\norigin \(origin)\nindex \(index)\nfrom \(from)\nuntil \(until)\nnonce \(digits)\nauthor \(author)\n\n"
        return Array(head.utf8) + body
    }

    package init(parsing bytes: [UInt8]) throws(Malformed) {
        guard bytes.count <= Self.bytesMax else { throw Malformed() }
        var rest = bytes[...]
        guard let purpose = Purpose(rawValue: try Self.line("", &rest)) else { throw Malformed() }
        let origin = try Self.line("origin ", &rest)
        let index = try Self.number("index ", &rest)
        let from = try Self.number("from ", &rest)
        let until = try Self.number("until ", &rest)
        let nonce = try Self.nonce(Self.line("nonce ", &rest))
        let author = try Self.line("author ", &rest)
        guard try Self.line("", &rest) == "" else { throw Malformed() }
        try self.init(purpose, origin: origin, index: index, from: from, until: until, nonce: nonce, author: author, body: Array(rest))
        // One way only: whatever the reading above let through is compared with the writing.
        guard self.bytes == bytes else { throw Malformed() }
    }

    private static func line(_ word: String, _ rest: inout ArraySlice<UInt8>) throws(Malformed) -> String {
        // The longest line is a name's.
        guard let end = rest.prefix(nameBytesMax + 16).firstIndex(of: UInt8(ascii: "\n")),
            let line = String(validating: rest[..<end], as: UTF8.self), line.utf8.starts(with: word.utf8)
        else { throw Malformed() }
        rest = rest[(end + 1)...]
        return String(Substring(line.utf8.dropFirst(word.utf8.count)))
    }

    private static func number(_ word: String, _ rest: inout ArraySlice<UInt8>) throws(Malformed) -> UInt64 {
        guard let number = UInt64(try line(word, &rest)) else { throw Malformed() }
        return number
    }

    private static func nonce(_ digits: String) throws(Malformed) -> [UInt8] {
        let digits = Array(digits.utf8)
        guard digits.count == 32 else { throw Malformed() }
        var nonce: [UInt8] = []
        for place in stride(from: 0, to: 32, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place..<place + 2], as: UTF8.self), radix: 16) else { throw Malformed() }
            nonce.append(byte)
        }
        return nonce
    }

    private static func isName(_ text: String) -> Bool {
        (1...nameBytesMax).contains(text.utf8.count) && !text.unicodeScalars.contains { $0.value < 0x20 || (0x7f..<0xa0).contains($0.value) }
    }
}

/// The body of an approval: `proposal 12`, line feed, `sha256 ` and 64 lower-case digits, line feed.
package struct ApprovedProposal: Hashable, Sendable {
    package let number: UInt64
    package let hash: ProposalHash

    package init(number: UInt64, hash: ProposalHash) {
        self.number = number
        self.hash = hash
    }

    package var bytes: [UInt8] {
        let digits = hash.bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
        return Array("proposal \(number)\nsha256 \(digits)\n".utf8)
    }

    package init(parsing bytes: [UInt8]) throws(Statement.Malformed) {
        let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard words.count == 4, let number = UInt64(words[1]), words[3].utf8.count == 64 else { throw Statement.Malformed() }
        let digits = Array(words[3].utf8)
        let parsed = stride(from: 0, to: 64, by: 2).compactMap { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) }
        guard let hash = ProposalHash(parsed) else { throw Statement.Malformed() }
        self.init(number: number, hash: hash)
        guard self.bytes == bytes else { throw Statement.Malformed() }
    }
}
