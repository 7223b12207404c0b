/// Text in a header's ASCII (RFC 2047): UTF-8 in the Q encoding, which stays legible where most of it is letters.
enum EncodedWords {
    /// With its frame a word has at most 75 octets; `=?UTF-8?Q?` and `?=` are 12.
    private static let octetsMax = 75 - 12
    /// A header's line should end before.
    private static let lineMax = 76

    /// Words on lines of their own; between two of them a reader takes the line break and the space away again.
    ///
    /// - Parameter start: How many octets stand before it on its first line.
    static func folded(_ text: String, after start: Int) -> String {
        var words: [String] = [""]
        var room = min(octetsMax, lineMax - start - 12)
        for scalar in text.unicodeScalars {
            // A word ends between characters: each is decoded alone.
            let octets = String(scalar).utf8.map(octet).joined()
            if octets.utf8.count > room {
                words.append("")
                room = min(octetsMax, lineMax - 1 - 12)
            }
            words[words.count - 1] += octets
            room -= octets.utf8.count
        }
        return words.map { "=?UTF-8?Q?\($0)?=" }.joined(separator: "\r\n ")
    }

    /// The strictest of RFC 2047's sets, that of a phrase: it is right everywhere.
    private static func octet(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: " "): "_"
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "!"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "/"):
            String(Unicode.Scalar(byte))
        default: "=" + QuotedPrintable.hex(byte)
        }
    }
}

extension String {
    /// Printable ASCII that no reader takes for an encoded word, and whose spaces all stay.
    var isPlain: Bool {
        utf8.allSatisfy { 0x20...0x7E ~= $0 } && !contains("=?") && !hasPrefix(" ") && !hasSuffix(" ") && !contains("  ")
    }
}
