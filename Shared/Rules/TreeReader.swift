import Gate

/// Takes values out of a ``Tree``, and gathers what is wrong with them: a mistake hides no other.
///
/// Every function returns nil after it has gathered a mistake, so whoever gets nil says no more about it.
struct TreeReader {
    private(set) var mistakes: [Mistake] = []

    mutating func complain(_ fault: Mistake.Fault, at place: Place) { mistakes.append(Mistake(fault, at: place)) }

    /// A table's values by key.
    struct Fields {
        let owner: String
        let place: Place
        fileprivate(set) var values: [String: Tree]
        fileprivate(set) var places: [String: Place]

        subscript(key: String) -> Tree? { values[key] }
    }

    mutating func fields(_ tree: Tree, of owner: String, required: [String], optional: [String] = []) -> Fields? {
        guard case .table(let entries) = tree.content else {
            complain(.expected("\(owner): a table", found: TreeReader.describe(tree)), at: tree.place)
            return nil
        }
        var fields = Fields(owner: owner, place: tree.place, values: [:], places: [:])
        let known = required + optional
        for entry in entries {
            if known.contains(entry.key) {
                fields.values[entry.key] = entry.value
                fields.places[entry.key] = entry.place
            } else {
                complain(.unknownKey(entry.key, of: owner, meant: Spelling.nearest(to: entry.key, among: known.filter { fields.values[$0] == nil })), at: entry.place)
            }
        }
        for key in required where fields.values[key] == nil { complain(.missingKey(key, of: owner), at: tree.place) }
        return fields
    }

    static func describe(_ tree: Tree) -> String {
        switch tree.content {
        case .text(let text): text.isEmpty ? "nothing" : "'\(text.prefix(60))'"
        case .list(let items): items.isEmpty ? "an empty list" : "a list"
        case .table(let entries): entries.isEmpty ? "an empty table" : "a table"
        }
    }

    mutating func items(_ tree: Tree?, of owner: String, max: Int) -> [Tree] {
        guard let tree else { return [] }
        switch tree.content {
        case .list(let items):
            if items.count > max { complain(.tooMany("entries in \(owner)", count: items.count, max: max), at: tree.place) }
            return items
        // `roles:` with nothing behind it is an empty list to whoever writes it.
        case .text(""): return []
        default:
            complain(.expected("\(owner): a list", found: TreeReader.describe(tree)), at: tree.place)
            return []
        }
    }

    struct Word: Hashable {
        let text: String
        let place: Place
    }

    mutating func word(_ tree: Tree?, _ what: String) -> Word? {
        guard let tree else { return nil }
        guard case .text(let text) = tree.content, !text.isEmpty else {
            complain(.expected(what, found: TreeReader.describe(tree)), at: tree.place)
            return nil
        }
        return Word(text: text, place: tree.place)
    }

    /// One text, or a list of them. A list that is there is not empty: nobody could say whether it means none or all.
    mutating func words(_ tree: Tree?, _ what: String, max: Int = 1_000) -> [Word] {
        guard let tree else { return [] }
        guard case .list(let items) = tree.content else { return word(tree, what).map { [$0] } ?? [] }
        if items.isEmpty { complain(.expected("\(what), or a list of them", found: "an empty list"), at: tree.place) }
        if items.count > max { complain(.tooMany("values of \(what)", count: items.count, max: max), at: tree.place) }
        return items.prefix(max).compactMap { word($0, what) }
    }

    /// A name that the document gives: lower-case letters and digits, `-` and `_` between them.
    mutating func name(_ tree: Tree?, _ what: String) -> Word? {
        guard let word = word(tree, "the name of a \(what)") else { return nil }
        let bytes = word.text.utf8
        func isLetter(_ byte: UInt8) -> Bool { 0x61...0x7A ~= byte || 0x30...0x39 ~= byte }
        guard bytes.count <= 64, let first = bytes.first, isLetter(first), bytes.allSatisfy({ isLetter($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }) else {
            complain(.expected("the name of a \(what): a-z, 0-9, - and _, 64 at most", found: "'\(word.text.prefix(60))'"), at: word.place)
            return nil
        }
        return word
    }

    /// A name or number that others gave: of a person, a site, a team.
    mutating func foreign(_ tree: Tree?, _ what: String, max: Int = 1_000) -> Set<String> {
        var texts: Set<String> = []
        for word in words(tree, what, max: max) {
            if word.text.utf8.count > 200 || word.text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
                complain(.expected("\(what): 200 bytes at most, without control characters", found: "'\(word.text.prefix(60))'"), at: word.place)
            } else {
                texts.insert(word.text)
            }
        }
        return texts
    }

    /// Words of which each is one of `known`.
    mutating func known(_ tree: Tree?, _ what: String, among known: some Collection<String>) -> [Word] {
        words(tree, what).filter { isKnown($0, what, among: known) }
    }

    mutating func isKnown(_ word: Word, _ what: String, among known: some Collection<String>) -> Bool {
        if known.contains(word.text) { return true }
        complain(.unknownName(word.text, what: what, meant: Spelling.nearest(to: word.text, among: known)), at: word.place)
        return false
    }

    mutating func choice<Value: RawRepresentable<String> & CaseIterable>(_ tree: Tree?, _ what: String, of: Value.Type) -> Value? {
        guard let word = word(tree, what), isKnown(word, what, among: Value.allCases.map(\.rawValue)) else { return nil }
        return Value(rawValue: word.text)
    }

    mutating func count(_ tree: Tree?, _ what: String, max: Int = 1_000_000_000_000) -> Int? {
        guard let word = word(tree, what) else { return nil }
        guard word.text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let value = Int(word.text), value <= max else {
            complain(.expected("\(what): a number from 0 to \(max)", found: "'\(word.text.prefix(60))'"), at: word.place)
            return nil
        }
        return value
    }

    mutating func moment(_ tree: Tree?, _ what: String) -> WallTime? {
        guard let word = word(tree, what) else { return nil }
        guard let moment = WallTime(day: word.text) else {
            complain(.expected("\(what): a day like 2027-01-31, or 2027-01-31T18:00:00Z", found: "'\(word.text.prefix(60))'"), at: word.place)
            return nil
        }
        return moment
    }

    mutating func globs(_ tree: Tree?, _ what: String) -> Set<Glob> {
        var globs: Set<Glob> = []
        for word in words(tree, what) {
            do throws(Glob.Fault) { globs.insert(try Glob(word.text)) } catch {
                let why =
                    switch error {
                    case .empty, .tooLong: "\(what): a pattern of 1 to \(Glob.bytesMax) bytes"
                    case .controlCharacter: "\(what): a pattern without control characters"
                    case .escape: "\(what): a pattern in which \\ stands before * or \\"
                    }
                complain(.expected(why, found: "'\(word.text.prefix(60))'"), at: word.place)
            }
        }
        return globs
    }
}
