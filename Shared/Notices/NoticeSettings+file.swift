package import Rules

extension NoticeSettings {
    /// `notices.json`: an object with the keys of ``NoticeSettings``, read as strictly as a policy.
    ///
    /// - Parameter defaults: What is not named is as here.
    /// - Throws: the first mistake of each key.
    package init(json bytes: some Collection<UInt8>, otherwise defaults: NoticeSettings = NoticeSettings()) throws(Mistakes) {
        let tree = try Tree(json: bytes)
        guard case .table(let entries) = tree.content else { throw Mistakes(.expected("an object", found: "something else"), at: tree.place) }
        self = defaults
        var mistakes: [Mistake] = []
        for entry in entries {
            do throws(Mistake) { try take(entry) } catch { mistakes.append(error) }
        }
        guard mistakes.isEmpty else { throw Mistakes(mistakes) }
    }

    private mutating func take(_ entry: Tree.Entry) throws(Mistake) {
        switch entry.key {
        case "organisation": organisation = try NoticeSettings.text(entry.value)
        case "contactName": contactName = try NoticeSettings.text(entry.value)
        case "templates": templates = try NoticeSettings.text(entry.value)
        case "contactPoint": contactPoint = try NoticeSettings.text(entry.value)
        case "readers":
            let word = try NoticeSettings.text(entry.value)
            guard let naming = ReaderNaming(rawValue: word) else { throw Mistake(.expected("person, role or count", found: "'\(word)'"), at: entry.value.place) }
            readers = naming
        case "measures":
            guard case .table(let languages) = entry.value.content else { throw Mistake(.expected("an object with a list for each language", found: "something else"), at: entry.value.place) }
            for one in languages {
                guard let language = NoticeLanguage(rawValue: one.key) else { throw Mistake(.unknownKey(one.key, of: "measures", meant: nil), at: one.place) }
                guard case .list(let items) = one.value.content else { throw Mistake(.expected("a list", found: "something else"), at: one.value.place) }
                var sentences: [String] = []
                for item in items { sentences.append(try NoticeSettings.text(item)) }
                measures[language] = sentences
            }
        default: throw Mistake(.unknownKey(entry.key, of: "notices.json", meant: nil), at: entry.place)
        }
    }

    /// Bytes of a sentence: a page has room for many, and not for a book.
    private static let textMax = 1_000

    private static func text(_ tree: Tree) throws(Mistake) -> String {
        guard case .text(let text) = tree.content, text.utf8.count <= textMax else { throw Mistake(.expected("a text of at most \(textMax) bytes", found: "something else"), at: tree.place) }
        return text
    }
}
