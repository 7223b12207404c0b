import Foundation

/// Standard base64 (RFC 4648, section 4), padded. One text for the same bytes, and no other is taken.
enum Base64 {
    static func text(of bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    static func bytes(of text: String) -> [UInt8]? {
        // Foundation lets the unused bits of the last character be anything.
        guard let data = Data(base64Encoded: text), data.base64EncodedString().utf8.elementsEqual(text.utf8) else { return nil }
        return Array(data)
    }
}

/// Decimal digits without sign and leading zeros.
enum Decimal {
    static func number(of text: String) -> UInt64? {
        guard let number = UInt64(text), String(number).utf8.elementsEqual(text.utf8) else { return nil }
        return number
    }
}

extension UInt32 {
    var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}

extension UInt64 {
    var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }

    /// Of 8 bytes.
    init(bigEndian bytes: ArraySlice<UInt8>) { self = bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A text as its lines, without the line feeds. Works on bytes: to `String`, CR LF is one character.
enum Lines {
    /// Nil if the last line does not end.
    static func split(_ bytes: some BidirectionalCollection<UInt8>) -> [String]? {
        guard bytes.last == UInt8(ascii: "\n") else { return nil }
        return bytes.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }
}
