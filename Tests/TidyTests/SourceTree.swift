import Foundation

/// The project's own Swift files, as text.
struct SourceTree {
    struct File {
        let path: String
        let lines: [Substring]

        /// Without comments and string literals: what is left is what compiles. Multi-line literals are left out whole.
        var code: [String] {
            var code: [String] = []
            var isInLiteral = false
            for line in lines {
                let quotes = line.components(separatedBy: #"""""#).count - 1
                if isInLiteral || quotes % 2 == 1 {
                    if quotes % 2 == 1 { isInLiteral.toggle() }
                    code.append("")
                } else {
                    code.append(File.stripped(line))
                }
            }
            return code
        }

        private static func stripped(_ line: Substring) -> String {
            var kept = ""
            var isQuoted = false
            var isEscaped = false
            var before: Character = " "
            for character in line {
                if isQuoted {
                    if isEscaped { isEscaped = false } else if character == "\\" { isEscaped = true } else if character == "\"" { isQuoted = false }
                } else if character == "\"" {
                    isQuoted = true
                } else {
                    if character == "/", before == "/" { return String(kept.dropLast()) }
                    kept.append(character)
                }
                before = character
            }
            return kept
        }

        var imports: [String] {
            code.compactMap { line in
                let words = line.split(separator: " ")
                guard let place = words.firstIndex(of: "import"), words[..<place].allSatisfy({ ["package", "public", "internal", "@testable", "@preconcurrency"].contains($0) }),
                    words.count > place + 1
                else { return nil }
                return String(words[words.count - 1].split(separator: ".")[0])
            }
        }
    }

    let files: [File]

    /// - Parameter folders: Below the package's folder. Generated code is not ours.
    init(_ folders: [String]) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        files = try folders.flatMap { folder in
            let paths = FileManager.default.enumerator(atPath: root.appendingPathComponent(folder).path)?.compactMap { $0 as? String } ?? []
            return try paths.filter { $0.hasSuffix(".swift") && !$0.contains("Generated/") }.sorted().map { path in
                let text = try String(contentsOf: root.appendingPathComponent(folder).appendingPathComponent(path), encoding: .utf8)
                return File(path: "\(folder)/\(path)", lines: text.split(separator: "\n", omittingEmptySubsequences: false))
            }
        }
    }

    /// `path:line` of every line of code that `isBad`.
    func places(_ isBad: (String) -> Bool) -> [String] {
        files.flatMap { file in
            file.code.enumerated().filter { isBad($0.element) }.map { "\(file.path):\($0.offset + 1): \($0.element.trimmingCharacters(in: .whitespaces))" }
        }
    }

    func files(in folder: String) -> [File] { files.filter { $0.path.hasPrefix(folder + "/") } }
}
