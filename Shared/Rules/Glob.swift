/// A pattern over the whole of a short text: `*` is any run of characters, everything else is itself; `\*` and `\\` are an asterisk and a backslash.
/// Letters match whatever their case; spellings of one character (é) are equal.
///
/// No regular expressions: what a policy asks of a title or an address is that it contains or begins with something, and a pattern that can backtrack
/// would let one window title stop a workstation. Here the runs between the asterisks are searched for in order, each by Knuth, Morris and Pratt: a match reads the
/// text once, whatever the pattern is.
package struct Glob: Hashable, Sendable, CustomStringConvertible {
    /// As it was written.
    package let description: String
    private let runs: [Run]

    package static let bytesMax = 256

    package enum Fault: Error, Hashable, Sendable { case empty, tooLong, controlCharacter, escape }

    package init(_ text: String) throws(Fault) {
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= Glob.bytesMax else { throw .tooLong }
        guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { throw .controlCharacter }
        description = text
        var parts = [""]
        var isEscaped = false
        for character in text {
            if isEscaped {
                guard character == "*" || character == "\\" else { throw .escape }
                parts[parts.count - 1].append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "*" {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        guard !isEscaped else { throw .escape }
        runs = parts.map { Run(Array($0.lowercased())) }
    }

    package static func == (left: Glob, right: Glob) -> Bool { left.description == right.description }
    package func hash(into hasher: inout Hasher) { hasher.combine(description) }

    package func matches(_ text: Folded) -> Bool {
        guard let first = runs.first, let last = runs.last else { return false }
        let characters = text.characters
        guard runs.count > 1 else { return characters == first.characters }
        guard characters.count >= first.characters.count + last.characters.count, characters.starts(with: first.characters),
            characters.suffix(last.characters.count).elementsEqual(last.characters)
        else { return false }
        var rest = first.characters.count..<characters.count - last.characters.count
        for run in runs.dropFirst().dropLast() where !run.characters.isEmpty {
            guard let end = run.end(in: characters, rest) else { return false }
            rest = end..<rest.upperBound
        }
        return true
    }

    package func matches(_ text: String) -> Bool { matches(Folded(text)) }

    /// A text made ready to be compared with many patterns.
    package struct Folded: Sendable {
        let characters: [Character]

        package init(_ text: String) { characters = Array(text.lowercased()) }
    }

    /// What stands between two asterisks.
    private struct Run: Sendable {
        let characters: [Character]
        /// For each length of what matches so far: the longest shorter beginning that matches as well.
        private let fallback: [Int]

        init(_ characters: [Character]) {
            self.characters = characters
            var fallback = [Int](repeating: 0, count: characters.count)
            var length = 0
            for index in characters.indices.dropFirst() {
                while length > 0, characters[index] != characters[length] { length = fallback[length - 1] }
                if characters[index] == characters[length] { length += 1 }
                fallback[index] = length
            }
            self.fallback = fallback
        }

        /// Where its first occurrence ends.
        func end(in text: [Character], _ range: Range<Int>) -> Int? {
            var length = 0
            for index in range {
                while length > 0, text[index] != characters[length] { length = fallback[length - 1] }
                if text[index] == characters[length] { length += 1 }
                if length == characters.count { return index + 1 }
            }
            return nil
        }
    }
}
