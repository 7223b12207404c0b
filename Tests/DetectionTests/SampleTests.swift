import CZlib
import Detection
import Foundation
import Testing

/// Detection is measured on texts in which people marked what there is. A rule that knew one of them would be measured on what it was told.
struct SampleTests {
    @Test(.enabled(if: !Samples.marked.isEmpty, "no labelled texts: set SLUICE_DATA to the folder of text/labelled.ndjson.gz"))
    func `no rule knows a value that the measure is taken on`() {
        let samples = Samples(Samples.marked)
        #expect(samples.count > 1_000)
        #expect(samples.known(to: RuleBook.ownText) == [])
        for file in ["RuleTests.swift", "TextTests.swift", "TypingTests.swift"] {
            let text = try? String(contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: file), encoding: .utf8)
            #expect(text.map(samples.known) == [], "\(file)")
        }
    }

    @Test func `a value is known again without its separators, in other case, joined and within a longer one`() {
        let samples = Samples(["219-09-9999", "Ada.Lovelace@Example.org", "Babbage", "4711", "N1"])
        for line in ["  yes «219-09-9999»", "  no 219099999", "  yes (219) 09{|}9999", "  no 1219-09-99991", "  pattern 219[ ]09[ ]9999|x", "  yes ada.lovelace@example.ORG", "  yes by babbage,"] {
            #expect(samples.known(to: "rule a\n\(line)\n").map { $0.prefix(2) } == ["2:"], "\(line)")
        }
        for line in ["  yes 219-09-9998", "  yes cabbages", "  yes babbages", "  yes 4711", "  yes n1", "# 219-09\n  no 9999"] {
            #expect(samples.known(to: "rule a\n\(line)\n") == [], "\(line)")
        }
    }
}

/// What people marked, as it can be looked for in a text of rules.
private struct Samples {
    /// ICAO 9303's own specimen of a passport is in the rules, and its bearer has a name that many have.
    private static let generic: Set<String> = ["maria"]

    /// Numbers, addresses, names of hosts: letters and digits alone. A year or a house number says nothing: six bytes at least, and by the first six.
    private var values: [ArraySlice<UInt8>: Set<[UInt8]>] = [:]
    /// Names and places, a word or more each: five letters at least, found as whole words in a case.
    private var names: Set<String> = []

    var count: Int { values.values.map(\.count).reduce(names.count, +) }

    init(_ marked: [String]) {
        for value in Set(marked.map { $0.lowercased() }) {
            if value.contains(where: { $0.isNumber || $0 == "@" }) {
                let compact = Self.compact(value)
                if compact.count >= 6 { values[compact.prefix(6), default: []].insert(compact) }
            } else if value.utf8.count >= 5, !Self.generic.contains(value) {
                names.insert(Self.words(value).joined(separator: " "))
            }
        }
    }

    private static func compact(_ text: String) -> [UInt8] { Array(text.lowercased().filter { $0.isLetter || $0.isNumber }.utf8) }
    private static func words(_ text: String) -> [String] { text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init) }

    /// `line: value` of each that a line holds.
    func known(to text: String) -> [String] {
        var known: [String] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() where !line.drop(while: { $0 == " " }).hasPrefix("#") {
            let line = line.split(separator: "{|}", omittingEmptySubsequences: false).joined()
            let compact = Self.compact(line)
            for start in compact.indices.dropLast(5) {
                for value in values[compact[start..<start + 6]] ?? [] where compact[start...].starts(with: value) { known.append("\(index + 1): \(shown(value))") }
            }
            let start = line.drop { $0 == " " }
            guard start.hasPrefix("yes ") || start.hasPrefix("no ") else { continue }
            let words = Self.words(line)
            for first in words.indices {
                for last in first..<min(words.count, first + 4) where names.contains(words[first...last].joined(separator: " ")) {
                    known.append("\(index + 1): \(words[first...last].joined(separator: " "))")
                }
            }
        }
        return known
    }

    /// Of `text/labelled.ndjson.gz` in `SLUICE_DATA`, or in `../shared/data` seen from the package; none where it is not at hand.
    static let marked: [String] = {
        struct Text: Decodable {
            struct Span: Decodable { var start: Int, end: Int }
            var text: String
            var spans: [Span]
        }
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = ProcessInfo.processInfo.environment["SLUICE_DATA"].map { URL(filePath: $0) } ?? root.appending(path: "../shared/data")
        guard let handle = gzopen(folder.appending(path: "text/labelled.ndjson.gz").path, "r") else { return [] }
        defer { gzclose(handle) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        while case let count = gzread(handle, &buffer, UInt32(buffer.count)), count > 0 { bytes += buffer[..<Int(count)] }
        let decoder = JSONDecoder()
        return bytes.split(separator: UInt8(ascii: "\n")).flatMap { line -> [String] in
            guard let text = try? decoder.decode(Text.self, from: Data(line)) else { return [] }
            let scalars = Array(text.text.unicodeScalars)
            return text.spans.map { span in
                var view = String.UnicodeScalarView()
                view.append(contentsOf: scalars[span.start..<span.end])
                return String(view)
            }
        }
    }()
}
