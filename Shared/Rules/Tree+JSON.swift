extension Tree {
    /// Reads JSON (RFC 8259) strictly: no key twice, no trailing comma, no lone surrogate, nothing behind the value.
    ///
    /// Foundation's reader lets the first three pass and is not of the ground floor. This is what a document's canonical form is read with, on agents too.
    package init(json bytes: some Collection<UInt8>) throws(Mistakes) {
        guard bytes.count <= Tree.bytesMax else { throw Mistakes(.tooLarge(bytes: bytes.count, max: Tree.bytesMax)) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Mistakes(.notUTF8) }
        var parser = JSONParser(scalars: Array(text.unicodeScalars))
        do throws(Mistake) { self = try parser.document() } catch { throw Mistakes([error]) }
    }
}

private struct JSONParser {
    let scalars: [Unicode.Scalar]
    var next = 0
    var place = Place.start

    init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    var peek: Unicode.Scalar? { next < scalars.count ? scalars[next] : nil }

    mutating func advance() {
        if scalars[next] == "\n" { place = Place(line: place.line + 1, column: 1) } else { place.column += 1 }
        next += 1
    }

    mutating func skipSpace() { while let scalar = peek, [" ", "\n", "\r", "\t"].contains(scalar) { advance() } }

    mutating func document() throws(Mistake) -> Tree {
        skipSpace()
        let tree = try value(depth: 1)
        skipSpace()
        guard next == scalars.count else { throw expected("the end") }
        return tree
    }

    func expected(_ what: String) -> Mistake { Mistake(.expected(what, found: peek.map { "'\($0)'" } ?? "the end"), at: place) }

    mutating func take(_ scalar: Unicode.Scalar) throws(Mistake) {
        guard peek == scalar else { throw expected("'\(scalar)'") }
        advance()
    }

    mutating func value(depth: Int) throws(Mistake) -> Tree {
        guard depth <= Tree.depthMax else { throw Mistake(.nestedTooDeep(max: Tree.depthMax), at: place) }
        let start = place
        switch peek {
        case "{": return Tree(.table(try table(depth: depth)), at: start)
        case "[": return Tree(.list(try list(depth: depth)), at: start)
        case "\"": return Tree(.text(try string()), at: start)
        default: return Tree(.text(try literal()), at: start)
        }
    }

    mutating func table(depth: Int) throws(Mistake) -> [Tree.Entry] {
        try take("{")
        skipSpace()
        var entries: [Tree.Entry] = []
        var seen: [String: Place] = [:]
        if peek == "}" { advance(); return entries }
        while true {
            skipSpace()
            let start = place
            let key = try string()
            if let first = seen.updateValue(start, forKey: key) { throw Mistake(.duplicateKey(key, first: first), at: start) }
            skipSpace()
            try take(":")
            skipSpace()
            entries.append(.init(key: key, place: start, value: try value(depth: depth + 1)))
            skipSpace()
            if peek == "," { advance() } else { break }
        }
        try take("}")
        return entries
    }

    mutating func list(depth: Int) throws(Mistake) -> [Tree] {
        try take("[")
        skipSpace()
        var items: [Tree] = []
        if peek == "]" { advance(); return items }
        while true {
            skipSpace()
            items.append(try value(depth: depth + 1))
            skipSpace()
            if peek == "," { advance() } else { break }
        }
        try take("]")
        return items
    }

    mutating func string() throws(Mistake) -> String {
        try take("\"")
        var text = String.UnicodeScalarView()
        while let scalar = peek, scalar != "\"" {
            guard scalar.value >= 0x20 else { throw Mistake(.syntax("a control character stands in a text"), at: place) }
            if scalar == "\\" { text.append(try escape()) } else { text.append(scalar); advance() }
        }
        try take("\"")
        return String(text)
    }

    mutating func escape() throws(Mistake) -> Unicode.Scalar {
        let start = place
        advance()
        guard let letter = peek else { throw expected("an escaped character") }
        advance()
        switch letter {
        case "\"", "\\", "/": return letter
        case "b": return "\u{8}"
        case "f": return "\u{C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            let unit = try hexadecimal()
            if let scalar = Unicode.Scalar(unit) { return scalar }
            if 0xD800..<0xDC00 ~= unit, peek == "\\" {
                advance()
                try take("u")
                let low = try hexadecimal()
                if 0xDC00..<0xE000 ~= low, let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)) { return scalar }
            }
            throw Mistake(.syntax("half of a surrogate pair is no character"), at: start)
        default: throw Mistake(.syntax("there is no escape '\\\(letter)'"), at: start)
        }
    }

    mutating func hexadecimal() throws(Mistake) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = peek, digit.isASCII, let number = Character(digit).hexDigitValue else { throw expected("four hexadecimal digits") }
            value = value << 4 | UInt32(number)
            advance()
        }
        return value
    }

    /// A number, `true`, `false` or `null`: as it stands.
    mutating func literal() throws(Mistake) -> String {
        let start = place
        var text = ""
        while let scalar = peek, scalar.isASCII, scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || ["-", "+", "."].contains(scalar) {
            text.unicodeScalars.append(scalar)
            advance()
        }
        guard !text.isEmpty else { throw expected("a value") }
        guard ["true", "false", "null"].contains(text) || JSONParser.isNumber(text) else {
            throw Mistake(.expected("a value", found: "'\(text.prefix(40))'"), at: start)
        }
        return text
    }

    private static func isNumber(_ text: String) -> Bool {
        var rest = text.utf8[...]
        func digits(_ rest: inout Substring.UTF8View) -> Int {
            let count = rest.prefix { 0x30...0x39 ~= $0 }.count
            rest = rest.dropFirst(count)
            return count
        }
        if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let leadsWithZero = rest.first == UInt8(ascii: "0")
        let whole = digits(&rest)
        guard whole > 0, !(leadsWithZero && whole > 1) else { return false }
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            guard digits(&rest) > 0 else { return false }
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
            guard digits(&rest) > 0 else { return false }
        }
        return rest.isEmpty
    }
}
