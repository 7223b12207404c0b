/// All rules, as `Detection.rules` has them.
///
/// Lines, each a word and a value: `let NAME value` (put in for `%{NAME}` in patterns), `words NAME word, two words, …`, `country code letters min max`
/// (calling codes, digits after the code), `iban letters length`, and rules: `rule ID` followed by `type`, `pattern` (each line an alternative), `find`,
/// `among digits` (a number: so many at least) or `among tokens`, `check`, `entropy`, `certainty`, `context`, `unless`, `reach`, `yes` and `no`. A case marks what is found by «», takes `\n`, `\t`, `\xFF` and `\u{200B}`,
/// and is joined at `{|}`: no other scanner takes the file for a leak.
package struct RuleBook: Sendable {
    package let rules: [Rule]
    /// The names of word lists, by their bit.
    package let wordLists: [String]
    /// Lists that a word, or two with a space between, belongs to.
    let words: WordTable
    let validation: Validation

    /// - Throws: ``RuleBookRefused``, at the first mistake.
    package init(parsing text: String) throws(RuleBookRefused) {
        var parser = RuleBookParser()
        var number = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            try parser.take(line, number: number)
        }
        try parser.endRule()
        rules = parser.rules
        wordLists = parser.lists
        words = WordTable(parser.words)
        validation = Validation(callingCodes: parser.callingCodes, ibanLengths: parser.ibanLengths)
    }

    package var types: [DetectedType] {
        var seen: Set<DetectedType> = []
        return rules.map(\.type).filter { seen.insert($0).inserted }
    }
}

/// What is wrong with a rules' file, and where.
package struct RuleBookRefused: Error, Hashable, Sendable, CustomStringConvertible {
    package let line: Int
    package let reason: String
    package var description: String { "line \(line): \(reason)" }
}

/// Reads lines into rules.
private struct RuleBookParser {
    var rules: [Rule] = []
    var lists: [String] = []
    var words: [UInt64: UInt64] = [:]
    var callingCodes: [Int: ClosedRange<Int>] = [:]
    var ibanLengths: [UInt16: Int] = [:]

    private var macros: [(name: String, value: String)] = []
    private var ids: Set<String> = []
    private var draft: Draft?

    private struct Draft {
        let id: String
        let line: Int
        var type: DetectedType?
        var patterns: [String] = []
        var find: String?
        var place = Rule.Place.everywhere
        var check: Check?
        var entropy: Double?
        var certainty = Certainty.likely
        var context: UInt64 = 0
        var unless: UInt64 = 0
        var reach = 128
        var cases: [Rule.Case] = []
    }

    mutating func take(_ line: Substring, number: Int) throws(RuleBookRefused) {
        let trimmed = line.drop { $0 == " " || $0 == "\t" }
        guard let first = trimmed.first, first != "#" else { return }
        let word = trimmed.prefix { $0 != " " }
        // A text may begin or end with spaces: one separates, the rest is its own.
        let rest = trimmed.dropFirst(word.count)
        let value = word == "yes" || word == "no" ? rest.dropFirst() : Self.trimmed(rest)
        func refused(_ reason: String) -> RuleBookRefused { RuleBookRefused(line: number, reason: reason) }

        switch word {
        case "let":
            let name = value.prefix { $0 != " " }
            macros.append(("%{\(name)}", expanded(Self.trimmed(value.dropFirst(name.count)))))
        case "words": try list(value, number: number)
        case "country":
            let parts = value.split(separator: " ")
            guard parts.count == 4, let code = Int(parts[0]), let low = Int(parts[2]), let high = Int(parts[3]), low <= high else {
                throw refused("country CODE LETTERS MIN MAX is expected")
            }
            callingCodes[code] = low...high
        case "iban":
            let parts = value.split(separator: " ")
            let letters = Array((parts.first ?? "").utf8)
            guard parts.count == 2, letters.count == 2, let length = Int(parts[1]) else { throw refused("iban LETTERS LENGTH is expected") }
            ibanLengths[UInt16(letters[0]) << 8 | UInt16(letters[1])] = length
        case "rule":
            try endRule()
            guard ids.insert(String(value)).inserted else { throw refused("there is a rule \(value) already") }
            draft = Draft(id: String(value), line: number)
        default:
            guard draft != nil else { throw refused("'\(word)' is not known outside of a rule") }
            try field(String(word), value, number: number)
        }
    }

    private mutating func field(_ word: String, _ value: Substring, number: Int) throws(RuleBookRefused) {
        func refused(_ reason: String) -> RuleBookRefused { RuleBookRefused(line: number, reason: reason) }
        switch word {
        case "type": draft?.type = DetectedType(String(value))
        case "pattern":
            let pattern = expanded(value)
            guard !pattern.contains("%{") else { throw refused("a %{name} in it is not known") }
            draft?.patterns.append(pattern)
        case "find":
            let pattern = expanded(value)
            draft?.find = pattern
        case "among":
            let parts = value.split(separator: " ")
            switch (parts.first, parts.count) {
            case ("tokens", 1): draft?.place = .tokens
            case ("digits", 1): draft?.place = .digits(atLeast: Detector.digitsMin)
            case ("digits", 2): draft?.place = .digits(atLeast: Int(parts[1]) ?? Detector.digitsMin)
            default: throw refused("among digits, among digits NUMBER or among tokens is expected")
            }
        case "check":
            guard let check = Check(rawValue: String(value)) else { throw refused("there is no check '\(value)'") }
            draft?.check = check
        case "entropy":
            guard let bits = Double(value) else { throw refused("bits a character are expected") }
            draft?.entropy = bits
        case "certainty":
            guard let certainty = Certainty.allCases.first(where: { $0.word == value }) else { throw refused("certainty is weak, likely or certain") }
            draft?.certainty = certainty
        case "context":
            let mask = try mask(value, number: number)
            draft?.context |= mask
        case "unless":
            let mask = try mask(value, number: number)
            draft?.unless |= mask
        case "reach":
            guard let reach = Int(value), (8...8_192).contains(reach) else { throw refused("reach is 8 to 8192 bytes") }
            draft?.reach = reach
        case "yes", "no":
            guard let text = CaseText(value), (text.found != nil) == (word == "yes") else {
                throw refused(word == "yes" ? "«» marks what is found, and a \\ begins n, t, \\, xFF or u{…}" : "nothing is marked in it, and a \\ begins n, t, \\, xFF or u{…}")
            }
            draft?.cases.append(Rule.Case(text: text.bytes, found: text.found, line: number))
        default: throw refused("'\(word)' is not known in a rule")
        }
    }

    mutating func endRule() throws(RuleBookRefused) {
        guard let draft else { return }
        self.draft = nil
        guard let type = draft.type, !draft.patterns.isEmpty else { throw RuleBookRefused(line: draft.line, reason: "rule \(draft.id) needs a type and a pattern") }
        guard draft.certainty != .weak || draft.context != 0 else { throw RuleBookRefused(line: draft.line, reason: "rule \(draft.id) is weak, so it needs context") }
        guard draft.cases.contains(where: { $0.found != nil }), draft.cases.contains(where: { $0.found == nil }) else {
            throw RuleBookRefused(line: draft.line, reason: "rule \(draft.id) needs a case with yes, and one with no")
        }
        rules.append(
            Rule(
                id: draft.id, type: type, patterns: draft.patterns, find: draft.find, place: draft.place, check: draft.check, entropy: draft.entropy,
                certainty: draft.certainty, context: draft.context, unless: draft.unless, reach: draft.reach, cases: draft.cases, line: draft.line))
    }

    private mutating func list(_ value: Substring, number: Int) throws(RuleBookRefused) {
        let name = String(value.prefix { $0 != " " })
        let bit: Int
        if let known = lists.firstIndex(of: name) {
            bit = known
        } else {
            guard lists.count < 64 else { throw RuleBookRefused(line: number, reason: "64 lists of words are the most") }
            bit = lists.count
            lists.append(name)
        }
        for phrase in value.dropFirst(name.count).split(separator: ",") {
            let parts = phrase.split(separator: " ")
            guard (1...2).contains(parts.count) else { throw RuleBookRefused(line: number, reason: "one word or two are expected between commas") }
            words[WordHash.of(parts.map { Array($0.utf8) }), default: 0] |= 1 << UInt64(bit)
        }
    }

    private func mask(_ value: Substring, number: Int) throws(RuleBookRefused) -> UInt64 {
        var mask: UInt64 = 0
        for name in value.split(separator: " ") {
            guard let bit = lists.firstIndex(of: String(name)) else { throw RuleBookRefused(line: number, reason: "there is no list of words '\(name)' above") }
            mask |= 1 << UInt64(bit)
        }
        return mask
    }

    private func expanded(_ value: Substring) -> String {
        var text = String(value)
        for macro in macros where text.contains(macro.name) { text = text.split(separator: macro.name, omittingEmptySubsequences: false).joined(separator: macro.value) }
        return text
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" || last == "\r" { text.removeLast() }
        return text
    }
}

/// A case's text as its line writes it.
private struct CaseText {
    var bytes: [UInt8] = []
    var found: Range<Int>?

    init?(_ line: Substring) {
        var start: Int?
        var rest = Array(line.unicodeScalars)[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "«": start = bytes.count
            case "»":
                guard let from = start, found == nil, from < bytes.count else { return nil }
                found = from..<bytes.count
            case "{" where rest.starts(with: ["|", "}"]): rest.removeFirst(2)
            case "\\":
                guard let next = rest.popFirst() else { return nil }
                switch next {
                case "n": bytes.append(0x0A)
                case "t": bytes.append(0x09)
                case "\\": bytes.append(0x5C)
                case "x":
                    guard rest.count >= 2, let byte = UInt8(String(String.UnicodeScalarView(rest.prefix(2))), radix: 16) else { return nil }
                    bytes.append(byte)
                    rest.removeFirst(2)
                case "u":
                    guard rest.popFirst() == "{", let end = rest.firstIndex(of: "}"),
                        let value = UInt32(String(String.UnicodeScalarView(rest[..<end])), radix: 16), let scalar = Unicode.Scalar(value)
                    else { return nil }
                    bytes.append(contentsOf: String(scalar).utf8)
                    rest = rest[(end + 1)...]
                default: return nil
                }
            default: bytes.append(contentsOf: String(scalar).utf8)
            }
        }
        if start != nil, found == nil { return nil }
    }
}
