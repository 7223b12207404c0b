import Detection
import Testing

/// Every rule, by its own cases.
struct RuleTests {
    let detector = Shared.detector

    /// Where a case is not met: `line: rule: what`.
    static func broken(_ detector: Detector) throws -> [String] {
        let scanner = try scanner(detector)
        var broken: [String] = []
        for (index, rule) in detector.rules.enumerated() {
            for item in rule.cases {
                let alone = scanner.findings(in: item.text, of: index)
                guard let found = item.found else {
                    if !alone.isEmpty { broken.append("\(item.line): \(rule.id) finds in '\(shown(item.text))'") }
                    continue
                }
                if !alone.contains(where: { $0.range == found }) { broken.append("\(item.line): \(rule.id) does not find '\(shown(item.text[found]))', but \(alone.map { shown(item.text[$0.range]) })") }
                // Whatever else is found there, all of it goes, and under this name.
                let together = scanner.findings(in: item.text)
                if !together.contains(where: { $0.type == rule.type && $0.range.lowerBound <= found.lowerBound && $0.range.upperBound >= found.upperBound }) {
                    broken.append("\(item.line): beside \(rule.id) others win: \(together.map { $0.id(detector) })")
                }
            }
        }
        return broken
    }

    @Test func `every rule finds what its cases mark, and nothing where they mark nothing`() throws {
        #expect(try Self.broken(detector) == [])
    }

    @Test func `there are 120 rules and more, each with a case for it and one against it`() {
        #expect(detector.rules.count >= 120)
        for rule in detector.rules {
            #expect(rule.cases.contains { $0.found != nil }, "\(rule.id)")
            #expect(rule.cases.contains { $0.found == nil }, "\(rule.id)")
        }
        let types = Set(detector.book.types.map(\.word))
        #expect(types.isSuperset(of: [
            "card", "iban", "ssn", "phone", "mail", "ip", "mac", "url-credentials", "birth-date", "passport", "driving-licence", "wallet", "secret", "national-id",
        ]))
    }

    @Test(arguments: ["luhn", "iban", "base58check", "bech32", "eip55", "jwt", "ipv6", "calling-code", "verhoeff", "steuer-id", "telephone", "secret"])
    func `without its check a rule's cases fail`(_ check: String) throws {
        let text = RuleBook.ownText.split(separator: "\n", omittingEmptySubsequences: false).filter { $0 != "  check \(check)" }.joined(separator: "\n")
        let blind = try Detector(RuleBook(parsing: text))
        #expect(try Self.broken(blind) != [])
    }

    @Test func `every check is some rule's`() {
        let used = Set(detector.rules.compactMap(\.check))
        #expect(Check.allCases.filter { !used.contains($0) } == [])
    }

    /// A byte 0 stands between two texts of one pass.
    @Test func `no pattern reaches from one text into the next`() {
        for rule in detector.rules {
            for pattern in rule.patterns + [rule.find].compactMap(\.self) {
                var isEscaped = false
                var set: String?
                for character in pattern {
                    if isEscaped {
                        isEscaped = false
                        set?.append("\\\(character)")
                        #expect(!"SDWNX".contains(character), "\(rule.id): \\\(character)")
                    } else if character == "\\" {
                        isEscaped = true
                    } else if let open = set {
                        if character == "]", !open.isEmpty, open != "^" {
                            #expect(!open.hasPrefix("^") || open.contains("\\x0"), "\(rule.id): [\(open)]")
                            set = nil
                        } else {
                            set = open + String(character)
                        }
                    } else if character == "[" {
                        set = ""
                    } else {
                        #expect(character != ".", "\(rule.id): a dot")
                    }
                }
            }
        }
    }

    @Test(arguments: [
        ("rule a\n  type x\n", 1), ("rule a\n  colour red\n", 2), ("rule a\n  check sum\n", 2), ("hello\n", 1), ("rule a\n  context nobody\n", 2),
        ("rule a\n  pattern %{none}\n", 2), ("country 49 DE\n", 1), ("rule a\n type x\n pattern y\n yes y\n", 4), ("rule a\n type x\n pattern y\n yes «y»\n", 1),
        ("rule a\n type x\n pattern y\n certainty weak\n yes «y»\n no z\n", 1), ("rule a\n type x\n pattern y\n no «y»\n", 4),
        ("rule a\n type x\n pattern y\n yes «y»\n no z\nrule a\n", 6),
    ])
    func `a mistake in the rules is told by its line`(_ text: String, line: Int) {
        let refused = #expect(throws: RuleBookRefused.self) { try RuleBook(parsing: text) }
        #expect(refused?.line == line)
    }

    @Test func `a pattern that cannot be compiled is told by its rule`() throws {
        let book = try RuleBook(parsing: "rule broken\n type x\n pattern (y\n yes «y»\n no z\n")
        #expect(throws: DetectorRefused.self) { try Detector(book) }
    }
}
