import Detection
import Testing

/// Texts of every kind: scripts, planes, bytes that are none.
struct TextTests {
    static let card = "4532015112830366"

    private func ranges(_ text: String, type: String = "card") throws -> [Range<Int>] { try scanner().findings(in: text).filter { $0.type.word == type }.map(\.range) }

    @Test func `a card number is found in the digits of every script`() throws {
        let zeros = (0...0x10_FFFF).compactMap(Unicode.Scalar.init).filter { $0.properties.numericType == .decimal && $0.properties.numericValue == 0 }
        #expect(zeros.count > 50)
        for zero in zeros {
            var digits = ""
            for digit in Self.card.utf8 {
                guard let scalar = Unicode.Scalar(zero.value + UInt32(digit - 0x30)) else { return }
                digits.unicodeScalars.append(scalar)
            }
            let before = "→ "
            #expect(try ranges(before + digits + " ←") == [before.utf8.count..<(before + digits).utf8.count], "\(zero.properties.name ?? "")")
        }
    }

    @Test(arguments: ["\u{200B}", "\u{200C}", "\u{200D}", "\u{2060}", "\u{FEFF}", "\u{AD}", "\u{A0}", "\u{202F}", "\u{3000}", "\u{2011}", "\u{2212}", "\u{FE0F}\u{20E3}", "\u{331}", "\u{202E}", "\u{2067}", "\u{200F}", "\t", "."])
    func `what is not seen, and what only parts, hides no digit`(_ between: String) throws {
        let text = Self.card.enumerated().map { $0.offset > 0 && $0.offset.isMultiple(of: 4) ? between + String($0.element) : String($0.element) }.joined()
        #expect(try ranges("x " + text + " y") == [2..<(2 + text.utf8.count)])
    }

    @Test func `a number within any plane's characters is found where it stands`() throws {
        var random = Seeded(1)
        for plane in UInt32(0)...16 {
            for _ in 0..<40 {
                func some() -> String {
                    var text = ""
                    for _ in 0..<Int.random(in: 0...30, using: &random) {
                        if let scalar = Unicode.Scalar(plane << 16 | UInt32.random(in: 0...0xFFFF, using: &random)), scalar.properties.numericType != .decimal { text.unicodeScalars.append(scalar) }
                    }
                    return text
                }
                let before = some() + " "
                let text = before + Self.card + " " + some()
                let found = try ranges(text)
                #expect(found.contains(before.utf8.count..<(before.utf8.count + 16)), "plane \(plane): \(text.unicodeScalars.map { String($0.value, radix: 16) })")
            }
        }
    }

    @Test(arguments: [[0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF], [0xC0, 0xB4], [0xFF], [0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x80], [0x00], [0x1B, 0x5B]] as [[UInt8]])
    func `bytes that are no text do not shift what is found`(_ bytes: [UInt8]) throws {
        let text = bytes + [0x20] + Array(Self.card.utf8) + [0x20] + bytes
        #expect(try scanner().findings(in: text).map(\.range) == [(bytes.count + 1)..<(bytes.count + 17)])
    }

    @Test func `right to left, a number is found by the order of its bytes`() throws {
        let text = "המספר שלי הוא \(Self.card) תודה"
        let before = "המספר שלי הוא ".utf8.count
        #expect(try ranges(text) == [before..<(before + 16)])
    }

    @Test func `random bytes are read without an end, and what is found lies within them`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = Seeded(seed)
        let scanner = try scanner()
        let cases = Shared.detector.rules.flatMap(\.cases).map(\.text)
        for round in 0..<3_000 {
            var text: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                switch Int.random(in: 0..<4, using: &random) {
                case 0: text += (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                case 1: text += (0..<Int.random(in: 0...40, using: &random)).map { _ in "0123456789 .-/+()".utf8.randomElement(using: &random) ?? 0 }
                case 2:
                    var piece = cases.randomElement(using: &random) ?? []
                    if !piece.isEmpty, Bool.random(using: &random) { piece[Int.random(in: 0..<piece.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
                    text += piece
                default: text += Array(" and then \n".utf8)
                }
            }
            let findings = scanner.findings(in: text)
            expectSound(findings, in: text.count, "seed \(seed), round \(round)")

            let redacted = Redaction.redact(text, findings)
            let again = scanner.findings(in: redacted)
            expectSound(again, in: redacted.count, "seed \(seed), round \(round)")
            for finding in findings {
                let was = text[finding.range]
                let isThere = again.contains { $0.type == finding.type && redacted[$0.range].elementsEqual(was) }
                // The same may have stood where it did not count.
                let stays = occurrences(of: Array(was), in: text) > findings.count { text[$0.range].elementsEqual(was) }
                #expect(!isThere || stays, "seed \(seed), round \(round): \(shown(was))")
            }
        }
    }

    private func occurrences(of part: [UInt8], in text: [UInt8]) -> Int {
        guard part.count <= text.count else { return 0 }
        return (0...(text.count - part.count)).count { text[$0...].starts(with: part) }
    }

    @Test func `texts that are scanned at once are scanned as they are alone`() throws {
        let cases = Shared.detector.rules.flatMap(\.cases).map(\.text)
        let scanner = try scanner()
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for item in cases {
            bytes += item
            ends.append(bytes.count)
        }
        var together: [[Finding]] = Array(repeating: [], count: cases.count)
        bytes.withUnsafeBufferPointer { scanner.findings(in: $0, ends: ends) { together[$0].append($1) } }
        for (index, item) in cases.enumerated() { #expect(together[index] == scanner.findings(in: item), "\(shown(item))") }
    }

    @Test func `many threads scan with one detector`() async throws {
        let detector = Shared.detector
        let expected = try scanner().findings(in: "card \(Self.card), call 202 555 0142")
        #expect(expected.count == 2)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    let scanner = try detector.makeScanner()
                    return (0..<200).allSatisfy { _ in scanner.findings(in: "card \(TextTests.card), call 202 555 0142") == expected }
                }
            }
            for try await isSame in group { #expect(isSame) }
        }
    }

    @Test(arguments: ["1", "1 ", "a", "A1", "a@", "@", "password: ", "-----BEGIN RSA PRIVATE KEY-----\n", "4532 ", "0", "+", "eyJ", "://a:", "f", ":", "1.", "DE89 ", "Abc9/", "sk-", "born 1/1/1"])
    func `a text made to be slow ends, and no match gives up`(_ piece: String) throws {
        let text = Array(String(repeating: piece, count: 60_000 / piece.utf8.count).utf8)
        let findings = try scanner().findings(in: text)
        expectSound(findings, in: text.count)
        #expect(!findings.contains { $0.grounds.isUndecided })
    }

    @Test func `what is found is replaced by its type, and nothing else changes`() throws {
        let text = "Mail ada@example.org, card 4532 0151 1283 0366; ok?"
        #expect(Redaction.redact(text, try scanner().findings(in: text)) == "Mail [mail], card [card]; ok?")
        #expect(Redaction.redact("nothing", []) == "nothing")
        #expect(Redaction.redact(Array("short".utf8), try scanner().findings(in: text)) == Array("short".utf8))
    }
}
