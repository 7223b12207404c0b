/// RFC 2045, 6.7: text as lines of at most 76 octets of ASCII, each ended by CRLF.
enum QuotedPrintable {
    private static let lineMax = 76

    /// Any of CRLF, CR and LF in the text is a line's end, and CRLF is what comes out: no bare one is left for two servers to disagree on.
    static func encoded(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        let source = Array(text.utf8)
        bytes.reserveCapacity(source.count + source.count / 8)
        var line: [UInt8] = []
        var index = 0
        while index < source.count {
            if source[index] == 0x0D || source[index] == 0x0A {
                append(line, to: &bytes)
                line.removeAll(keepingCapacity: true)
                index += source[index] == 0x0D && index + 1 < source.count && source[index + 1] == 0x0A ? 2 : 1
            } else {
                line.append(source[index])
                index += 1
            }
        }
        if !line.isEmpty { append(line, to: &bytes) }
        return bytes
    }

    private static func append(_ line: [UInt8], to bytes: inout [UInt8]) {
        var column = 0
        for place in line.indices {
            let isLast = place == line.count - 1
            // Room for the mark that the line goes on, but for the last.
            if column + (isLiteral(line, place, column) ? 1 : 3) > (isLast ? lineMax : lineMax - 1) {
                bytes += [UInt8(ascii: "="), 0x0D, 0x0A]
                column = 0
            }
            if isLiteral(line, place, column) {
                bytes.append(line[place])
                column += 1
            } else {
                bytes.append(UInt8(ascii: "="))
                bytes.append(digits[Int(line[place] >> 4)])
                bytes.append(digits[Int(line[place] & 15)])
                column += 3
            }
        }
        bytes += [0x0D, 0x0A]
    }

    private static func isLiteral(_ line: [UInt8], _ place: Int, _ column: Int) -> Bool {
        switch line[place] {
        // Spaces at a line's end are lost on the way.
        case 0x20, 0x09: place < line.count - 1
        // A server may take it for the message's end.
        case UInt8(ascii: "."): column > 0
        // A mailbox in one file begins a message with it, and marks it elsewhere.
        case UInt8(ascii: "F"): column > 0 || !line[place...].starts(with: "From ".utf8)
        case 0x21...0x3C, 0x3E...0x7E: true
        default: false
        }
    }

    private static let digits = Array("0123456789ABCDEF".utf8)
    static func hex(_ byte: UInt8) -> String { String(decoding: [digits[Int(byte >> 4)], digits[Int(byte & 15)]], as: UTF8.self) }
}
