import Foundation
import Testing

/// Holds the threat model to what there is: a test that it names, exists.
struct ThreatsTests {
    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The last cell of every row that has a test's.
    private func evidence() throws -> [String] {
        let text = try String(contentsOf: root.appendingPathComponent("Shared/Identity/THREATS.md"), encoding: .utf8)
        return text.split(separator: "\n").filter { $0.hasPrefix("|") }.map { $0.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) } }
            .filter { $0.count == 4 && $0[3] != "test" && $0[3] != "---" }.map { $0[3] }
    }

    @Test func `every test and file that the threat model names exists, and every row names one or says that there is none`() throws {
        let swift = try SourceTree(["Tests"]).files.map { $0.lines.joined(separator: "\n") }.joined()
        let python = try String(contentsOf: root.appendingPathComponent("Tests/Interop/test_sealing.py"), encoding: .utf8)
        let rows = try evidence()
        #expect(rows.count > 25)
        var missing: [String] = []
        for row in rows {
            let names = row.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
            let paths = row.split(whereSeparator: { $0 == " " || $0 == "," }).filter { $0.hasPrefix("Tests/") }
            for name in names where !name.hasPrefix("/") {
                let words = name.replacingOccurrences(of: " ", with: "_").replacingOccurrences(of: ",", with: "").replacingOccurrences(of: "'", with: "")
                if !swift.contains("func `\(name)`(") && !python.contains("def test_\(words)(") { missing.append(name) }
            }
            for path in paths where !FileManager.default.fileExists(atPath: root.appendingPathComponent(String(path)).path) { missing.append(String(path)) }
            if names.isEmpty, paths.isEmpty, !row.contains("no test yet") { missing.append("nothing in '\(row)'") }
        }
        #expect(missing == [])
    }
}
