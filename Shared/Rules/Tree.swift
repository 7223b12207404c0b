/// Where something stands in a text. Both count from 1; a column is a Unicode scalar, as libyaml counts.
package struct Place: Hashable, Comparable, Sendable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    package static let start = Place(line: 1, column: 1)
    package static func < (left: Place, right: Place) -> Bool { (left.line, left.column) < (right.line, right.column) }
}

/// The structure of a text before anybody asks what it means: what YAML and JSON have in common.
///
/// Numbers and words are both `text`: what a value must be is known by whoever reads it, so that a team named `no` or `0x10` stays what was
/// typed. It is bounded where it is made, and so may be walked by recursion.
package struct Tree: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package var key: String
        package var place: Place
        package var value: Tree

        package init(key: String, place: Place, value: Tree) {
            self.key = key
            self.place = place
            self.value = value
        }
    }

    package enum Content: Hashable, Sendable {
        case text(String)
        case list([Tree])
        /// In the order of the text; no key twice.
        case table([Entry])
    }

    package var place: Place
    package var content: Content

    package init(_ content: Content, at place: Place) {
        self.content = content
        self.place = place
    }

    /// A policy has five levels.
    package static let depthMax = 16
    /// 100,000 names of members are 1 MB. Ten times that is no policy.
    package static let bytesMax = 4 << 20
}

/// Something in a text that cannot stand.
package struct Mistake: Error, Hashable, Sendable {
    package enum Fault: Hashable, Sendable {
        case tooLarge(bytes: Int, max: Int)
        /// In the form in which it is signed and kept.
        case canonicalTooLarge(bytes: Int, max: Int)
        case notUTF8
        /// What the parser of YAML or JSON said.
        case syntax(String)
        case nestedTooDeep(max: Int)
        /// An anchor, an alias or a tag.
        case anchor
        case tag
        case duplicateKey(String, first: Place)
        case unknownKey(String, of: String, meant: String?)
        case missingKey(String, of: String)
        case expected(String, found: String)
        /// No `what` (class, role, purpose, …) has this name.
        case unknownName(String, what: String, meant: String?)
        case duplicateName(String, what: String, first: Place)
        /// From the role where it was found, back to it.
        case cycle([String])
        case tooMany(String, count: Int, max: Int)
        case inconsistent(String)
    }

    package var place: Place
    package var fault: Fault

    package init(_ fault: Fault, at place: Place) {
        self.fault = fault
        self.place = place
    }

    /// - Parameter file: As the reader of the message would open it.
    package func line(in file: String) -> String { "\(file):\(place.line):\(place.column): \(fault)" }
}

extension Mistake.Fault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tooLarge(let bytes, let max): "\(bytes) bytes; a document has \(max) at most"
        case .canonicalTooLarge(let bytes, let max): "a policy document has at most \(max) bytes in its canonical form, not \(bytes)"
        case .notUTF8: "this is not UTF-8"
        case .syntax(let problem): problem
        case .nestedTooDeep(let max): "nested deeper than \(max) levels"
        case .anchor: "anchors and aliases are not read: what a policy says, it says where it stands. In a text, write this & as \"\\u0026\""
        case .tag: "tags are not read"
        case .duplicateKey(let key, let first): "'\(key)' is here a second time; the first is in line \(first.line)"
        case .unknownKey(let key, let owner, let meant): "\(owner) has no '\(key)'" + Mistake.Fault.hint(meant)
        case .missingKey(let key, let owner): "\(owner) needs '\(key)'"
        case .expected(let wanted, let found): "expected \(wanted), found \(found)"
        case .unknownName(let name, let what, let meant): "there is no \(what) '\(name)'" + Mistake.Fault.hint(meant)
        case .duplicateName(let name, let what, let first): "there are two of \(what) '\(name)'; the first is in line \(first.line)"
        case .cycle(let roles): "roles include each other in a circle: \(roles.joined(separator: " → "))"
        case .tooMany(let what, let count, let max): "\(count) \(what); there are \(max) at most"
        case .inconsistent(let why): why
        }
    }

    private static func hint(_ meant: String?) -> String { meant.map { ": did you mean '\($0)'?" } ?? "" }
}

/// The mistakes of one text, in its order. Never empty where it is thrown.
package struct Mistakes: Error, Hashable, Sendable {
    package var all: [Mistake]

    package init(_ all: [Mistake]) { self.all = all.sorted { $0.place < $1.place } }
    package init(_ fault: Mistake.Fault, at place: Place = .start) { all = [Mistake(fault, at: place)] }
}

/// What somebody meant who wrote a word that does not exist.
enum Spelling {
    /// The nearest of some words, if it is near enough to be a slip: a third of its letters, two at least. Of equals the first in the alphabet.
    static func nearest(to word: String, among words: some Sequence<String>) -> String? {
        let typed = Array(word.lowercased().utf8.prefix(64))
        var best: (distance: Int, word: String)?
        for candidate in words.sorted() {
            let letters = Array(candidate.lowercased().utf8.prefix(64))
            let most = max(2, min(letters.count, typed.count) / 3)
            guard abs(letters.count - typed.count) <= most else { continue }
            let distance = distance(typed, letters)
            // Two slips in a word of three letters are another word.
            if distance <= most, distance < max(letters.count, typed.count) - 1, distance < best?.distance ?? .max { best = (distance, candidate) }
        }
        return best?.word
    }

    /// Letters to insert, delete, replace, or swap with their neighbour.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var rows = [Array(0...right.count)]
        for (i, a) in left.enumerated() {
            var row = [i + 1]
            for (j, b) in right.enumerated() {
                var least = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (a == b ? 0 : 1))
                if i > 0, j > 0, a == right[j - 1], left[i - 1] == b { least = min(least, rows[i - 1][j - 1] + 1) }
                row.append(least)
            }
            rows.append(row)
        }
        return rows[left.count][right.count]
    }
}
