package import Rules
import Yams

/// Reads YAML as people write it into a ``Tree``. Alone knows Yams: agents and services read a document's canonical form, which is JSON.
///
/// Of YAML it takes what a policy needs: tables with text as keys, lists, scalars as they were typed. Anchors, aliases and tags are refused where
/// they stand, before anything is parsed: an alias says in one place what is written in another, and a few lines of them are a billion.
package enum YAMLText {
    /// The whole text, or all that is wrong with it.
    package static func tree(_ bytes: some Collection<UInt8>) throws(Mistakes) -> Tree {
        let (tree, mistakes) = try read(bytes)
        guard mistakes.isEmpty else { throw Mistakes(mistakes) }
        return tree
    }

    /// What could be read, with what could not: whoever knows what the words mean goes on, and adds to the mistakes.
    ///
    /// - Throws: What leaves nothing to go on with: its size, its syntax, an anchor.
    package static func read(_ bytes: some Collection<UInt8>) throws(Mistakes) -> (tree: Tree, mistakes: [Mistake]) {
        guard bytes.count <= Tree.bytesMax else { throw Mistakes(.tooLarge(bytes: bytes.count, max: Tree.bytesMax)) }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Mistakes(.notUTF8) }
        let anchors = anchors(in: text)
        guard anchors.isEmpty else { throw Mistakes(anchors.map { Mistake(.anchor, at: $0) }) }
        let (node, duplicates) = try compose(text)
        guard let root = node else { throw Mistakes(.expected("a table", found: "nothing")) }
        var builder = Builder(duplicates: duplicates)
        let tree = builder.tree(root, depth: 1)
        return (tree, builder.mistakes)
    }

    /// Every `&` with which libyaml could begin an anchor: one before a letter, a digit, `-` or `_`, with no letter or digit before it.
    ///
    /// That is more than there are, for quotes are not looked at; but it leaves out none, and needs no second opinion on what is quoted. Without an anchor no
    /// alias means anything. It comes before parsing, since Yams hashes keys, and to hash a key made of aliases takes as long as writing it out.
    static func anchors(in text: String) -> [Place] {
        var places: [Place] = []
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            guard line.utf8.contains(UInt8(ascii: "&")), line.first(where: { $0 != " " }) != "#" else { continue }
            var before: UInt8 = 0x20
            for (index, byte) in zip(line.utf8.indices, line.utf8) {
                defer { before = byte }
                guard byte == UInt8(ascii: "&"), !isWord(before) else { continue }
                let after = line.utf8.index(after: index)
                guard after < line.utf8.endIndex, isWord(line.utf8[after]) || line.utf8[after] == UInt8(ascii: "-") || line.utf8[after] == UInt8(ascii: "_") else { continue }
                places.append(Place(line: number + 1, column: line.unicodeScalars.distance(from: line.startIndex, to: index) + 1))
            }
        }
        return places
    }

    /// A byte beyond ASCII is one: neither side of a token begins with it.
    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), 0x80...: true
        default: false
        }
    }

    // MARK: Composing, past a key that is there twice

    /// Where keys stood that were put out of the way, with what they were called.
    typealias Duplicates = [Place: String]

    /// Yams stops at the first table with a key twice, and names its first place. To find the other mistakes too, that key is marked with a character
    /// that no document has, and the text is read again. Rounds are bounded; each is one pass.
    private static func compose(_ text: String) throws(Mistakes) -> (Node?, Duplicates) {
        var text = text
        var duplicates: Duplicates = [:]
        for round in 0..<16 {
            do {
                return (try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot(), duplicates)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                let place = Place(line: context.mark.line, column: context.mark.column)
                guard let key = keys.first, let marked = mark(text, at: place, with: Unicode.Scalar(0xE000 + UInt32(round)) ?? "?"), duplicates[place] == nil else {
                    throw Mistakes(.duplicateKey(keys.first ?? "", first: place), at: place)
                }
                duplicates[place] = key
                text = marked
            } catch { throw mistakes(error, duplicates) }
        }
        throw Mistakes(duplicates.map { Mistake(.duplicateKey($0.value, first: $0.key), at: $0.key) })
    }

    /// Replaces the first character of a key; of a quoted one, the first behind the quote. Columns stay.
    private static func mark(_ text: String, at place: Place, with mark: Unicode.Scalar) -> String? {
        var scalars = Array(text.unicodeScalars)
        var line = 1
        var index = 0
        while index < scalars.count, line < place.line {
            if scalars[index] == "\n" || (scalars[index] == "\r" && !(index + 1 < scalars.count && scalars[index + 1] == "\n")) { line += 1 }
            index += 1
        }
        index += place.column - 1
        if index < scalars.count, scalars[index] == "\"" || scalars[index] == "'" { index += 1 }
        guard index < scalars.count, Character(scalars[index]).isLetter || Character(scalars[index]).isNumber else { return nil }
        scalars[index] = mark
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func mistakes(_ error: any Error, _ duplicates: Duplicates) -> Mistakes {
        var all = duplicates.map { Mistake(.duplicateKey($0.value, first: $0.key), at: $0.key) }
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _), .composer(let context, let problem, let mark, _):
            let detail = context.map { " \($0.text) (line \($0.mark.line))" } ?? ""
            all.append(Mistake(.syntax(problem + detail), at: Place(line: mark.line, column: mark.column)))
        case .reader(let problem, let offset, _, let text):
            let before = text.utf8.prefix(offset ?? 0)
            let line = before.count { $0 == UInt8(ascii: "\n") } + 1
            let column = before.reversed().prefix { $0 != UInt8(ascii: "\n") }.count + 1
            all.append(Mistake(.syntax(problem), at: Place(line: line, column: column)))
        default: all.append(Mistake(.syntax("this cannot be read as YAML"), at: .start))
        }
        return Mistakes(all)
    }
}

/// From Yams's nodes to ours.
private struct Builder {
    let duplicates: YAMLText.Duplicates
    var mistakes: [Mistake] = []

    init(duplicates: YAMLText.Duplicates) { self.duplicates = duplicates }

    mutating func tree(_ node: Node, depth: Int) -> Tree {
        let place = node.mark.map { Place(line: $0.line, column: $0.column) } ?? .start
        if depth > Tree.depthMax {
            mistakes.append(Mistake(.nestedTooDeep(max: Tree.depthMax), at: place))
            return Tree(.text(""), at: place)
        }
        if node.anchor != nil { mistakes.append(Mistake(.anchor, at: place)) }
        let tag = node.tag.rawValue
        if !["", "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"].contains(tag) { mistakes.append(Mistake(.tag, at: place)) }
        switch node {
        case .scalar(let scalar): return Tree(.text(scalar.string), at: place)
        case .sequence(let items): return Tree(.list(items.map { tree($0, depth: depth + 1) }), at: place)
        case .mapping(let pairs): return Tree(.table(entries(pairs, depth: depth)), at: place)
        case .alias:
            mistakes.append(Mistake(.anchor, at: place))
            return Tree(.text(""), at: place)
        }
    }

    private mutating func entries(_ pairs: Node.Mapping, depth: Int) -> [Tree.Entry] {
        var entries: [Tree.Entry] = []
        var first: [String: Place] = [:]
        for (key, value) in pairs {
            let place = key.mark.map { Place(line: $0.line, column: $0.column) } ?? .start
            guard case .scalar(let scalar) = key else {
                mistakes.append(Mistake(.expected("a word as key", found: "a list or a table"), at: place))
                continue
            }
            let name = duplicates[place] ?? scalar.string
            if let first = first[name] {
                mistakes.append(Mistake(.duplicateKey(name, first: first), at: place))
                continue
            }
            first[name] = place
            entries.append(.init(key: name, place: place, value: tree(value, depth: depth + 1)))
        }
        return entries
    }
}
