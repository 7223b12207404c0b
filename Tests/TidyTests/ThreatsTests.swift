import Foundation
import Testing

/// Holds the threat model to what there is: a test that it names, exists.
struct ThreatsTests {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private let text: String
    /// The tests' own text: a name counts where a function has it.
    private let swift: String
    private let python: String

    init() throws {
        let root = root
        text = try String(contentsOf: root.appendingPathComponent("Shared/Identity/THREATS.md"), encoding: .utf8)
        // Not from here: what is said to be missing below would be found.
        swift = try SourceTree(["Tests"]).files.filter { $0.path != "Tests/TidyTests/ThreatsTests.swift" }.map { $0.lines.joined(separator: "\n") }.joined()
        python = try ["Faults", "Suite", "Interop"].flatMap { folder in
            let path = root.appendingPathComponent("Tests/\(folder)").path
            return try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasPrefix("test_") && $0.hasSuffix(".py") }.sorted()
                .map { try String(contentsOfFile: "\(path)/\($0)", encoding: .utf8) }
        }.joined()
    }

    /// The last cell of every row that has a test's.
    private static func evidence(in text: String) -> [String] {
        text.split(separator: "\n").filter { $0.hasPrefix("|") }.map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
            .filter { $0.count == 4 && $0[3] != "test" && $0[3] != "---" }.map { $0[3] }
    }

    private func missing(in rows: [String]) -> [String] {
        var missing: [String] = []
        for row in rows {
            let names = row.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
            let paths = row.split(whereSeparator: { $0 == " " || $0 == "," }).filter { $0.hasPrefix("Tests/") }
            for name in names where !name.hasPrefix("/") {
                let words = name.replacingOccurrences(of: " ", with: "_").replacingOccurrences(of: ",", with: "").replacingOccurrences(of: "'", with: "")
                if !swift.contains("func `\(name)`("), !python.contains("\ndef test_\(words)(") { missing.append(name) }
            }
            for path in paths where !FileManager.default.fileExists(atPath: root.appendingPathComponent(String(path)).path) { missing.append(String(path)) }
            if names.isEmpty, paths.isEmpty, !row.contains("no test yet") { missing.append("nothing in '\(row)'") }
        }
        return missing
    }

    @Test func `every test and file that the threat model names exists, and every row names one or says that there is none`() {
        let rows = Self.evidence(in: text)
        #expect(rows.count > 60)
        #expect(missing(in: rows) == [])
    }

    @Test func `every folder that the threat model names exists`() {
        let folders = text.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 && $0.element.hasPrefix("Tests/") && !$0.element.contains("*") }
            .map { String($0.element) }
        #expect(folders.count >= 3)
        #expect(folders.filter { !FileManager.default.fileExists(atPath: root.appendingPathComponent($0).path) } == [])
    }

    /// The control: what is not there is missed.
    @Test(arguments: [
        ("| a | b | c | `a test that nobody has written` |", "a test that nobody has written"),
        // A name that is another's beginning, and one of Python's with a word left out.
        ("| a | b | c | `a command is taken` |", "a command is taken"),
        ("| a | b | c | `no secret leaves its` |", "no secret leaves its"),
        ("| a | b | c | `no secret leaves its file`, Tests/Suite/test_nothing.py |", "Tests/Suite/test_nothing.py"),
        ("| a | b | c | – |", "nothing in '–'"),
    ])
    func `a row that names what is not there is found`(_ row: String, _ found: String) {
        #expect(missing(in: Self.evidence(in: row)) == [found])
    }

    @Test func `a row that names what is there, or says that there is nothing, is none`() {
        let rows = "| a | b | c | `a command is taken once`, `no secret leaves its file`, Tests/Suite/test_secrets.py |\n| a | b | c | no test yet |"
        #expect(missing(in: Self.evidence(in: rows)) == [])
    }
}
