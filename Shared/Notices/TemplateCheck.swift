/// Why a template is not used. Found at start, so that nobody gets a page with a hole in it.
package enum TemplateRefused: Error, Hashable, Sendable {
    /// There is none of this name.
    case missing(String)
    case unclosed(Place)
    /// A kind of tag that is not taken: unescaped text, other delimiters, inheritance, transforms, partials by a field's name.
    case tag(Place, String)
    /// No field of that name is there where it stands.
    case unknown(Place, String)
    /// A list, or a yes or no, where a text belongs.
    case notAText(Place, String)
    /// A text where a list, or a yes or no, belongs.
    case notASection(Place, String)
    /// A section that ends as another one, or never.
    case unbalanced(Place, String)
    case noPartial(Place, String)
    /// A page of HTML takes partials of HTML, and a text those of text: each escapes what is filled in for itself alone.
    case otherKind(Place, String)
    /// It includes itself.
    case circular(Place, String)
    /// Something that a page would fetch, run or send.
    case remote(Place, String)
    /// What GDPR Article 34 asks for, or who is told what, has no place in it.
    case leavesOut(template: String, field: String)
    /// A file of an operator's that stands for none, and that none includes: its name is misspelt, or it is of a language whose words are not known.
    case unused(String, languages: [String])
    /// A file, or the folder of them.
    case folder(String, why: String)
    /// The engine's own word.
    case unparsable(String, why: String)

    package struct Place: Hashable, Sendable, CustomStringConvertible {
        package var template: String
        package var line: Int
        package var description: String { "\(template):\(line)" }

        package init(_ template: String, line: Int) {
            self.template = template
            self.line = line
        }
    }

    /// For whoever wrote it.
    package var words: String {
        switch self {
        case .missing(let name): "there is no template '\(name)'"
        case .unclosed(let place): "\(place): a tag is not closed"
        case .tag(let place, let tag): "\(place): '\(tag)' is a kind of tag that notices do not take"
        case .unknown(let place, let name): "\(place): there is no '\(name)'"
        case .notAText(let place, let name): "\(place): '\(name)' is no text, but what a section asks"
        case .notASection(let place, let name): "\(place): '\(name)' is a text, and no section"
        case .unbalanced(let place, let name): "\(place): the section '\(name)' does not end where it should"
        case .noPartial(let place, let name): "\(place): there is no template '\(name)'"
        case .otherKind(let place, let name): "\(place): '\(name)' escapes what is filled in for another kind of page"
        case .circular(let place, let name): "\(place): '\(name)' includes itself"
        case .remote(let place, let what): "\(place): '\(what)': a notice fetches, runs and sends nothing"
        case .leavesOut(let template, let field): "\(template) has no place for '\(field)'"
        case .unused(let template, let languages):
            "'\(template)' is the name of no template, and none includes it: those of notices are subject-L, notice-L-text, notice-L-html, receipt-L-text and receipt-L-html, with L of \(languages.joined(separator: ", ")), and style-html"
        case .folder(let path, let why): "\(path): \(why)"
        case .unparsable(let template, let why): "\(template): \(why)"
        }
    }
}

/// Holds templates to the fields that there are.
///
/// The engine leaves out what it does not know. So the text of a template is walked here, with what each section brings into sight, and whatever the engine would
/// pass over is an error. What is walked is a part of Mustache: sections, inverted sections, partials by name, comments, and variables, which are escaped.
struct TemplateCheck {
    let texts: [String: String]
    let fields: NoticeValue.Fields

    static func isHTML(_ name: String) -> Bool { name.hasSuffix("-html") }

    /// Fields that it names, wherever they stand, and those of its partials.
    func names(in template: String) throws(TemplateRefused) -> Set<String> { try walk(template, [fields], path: [template]) }

    /// Those that these include, and so on, and these.
    func reached(from templates: some Sequence<String>) throws(TemplateRefused) -> Set<String> {
        var (found, next): (Set<String>, [String]) = ([], Array(templates))
        while let template = next.popLast() {
            guard found.insert(template).inserted, let text = texts[template] else { continue }
            for (tag, _) in try TemplateCheck.tags(of: text, template) where tag.hasPrefix(">") { next.append(String(tag.dropFirst().filter { $0 != " " })) }
        }
        return found
    }

    private struct Section {
        let name: String
        let place: TemplateRefused.Place
        /// It brought its items' fields into sight.
        let isList: Bool
    }

    private func walk(_ template: String, _ sight: [NoticeValue.Fields], path: [String]) throws(TemplateRefused) -> Set<String> {
        guard let text = texts[template] else { throw .missing(template) }
        if TemplateCheck.isHTML(template) { try TemplateCheck.refuseRemote(text, template) }
        var (names, sight): (Set<String>, [NoticeValue.Fields]) = ([], sight)
        var open: [Section] = []
        for (tag, line) in try TemplateCheck.tags(of: text, template) {
            let place = TemplateRefused.Place(template, line: line)
            let words = tag.drop { "#^/>".contains($0) }.split(separator: " ")
            let name = words.count == 1 ? String(words[0]) : ""
            func found() -> NoticeValue? { sight.last { $0[name] != nil }?[name] }
            switch tag.first {
            case "!": continue
            case _ where !TemplateCheck.isName(name): throw .tag(place, "{{\(tag)}}")
            case "#", "^":
                guard let value = found() else { throw .unknown(place, name) }
                names.insert(name)
                switch value {
                case .text: throw .notASection(place, name)
                case .flag: open.append(Section(name: name, place: place, isList: false))
                case .list(let items):
                    let brings = tag.first == "#"
                    // The specimen has an item of each list, and all items have the same fields.
                    if brings { sight.append(items.first ?? [:]) }
                    open.append(Section(name: name, place: place, isList: brings))
                }
            case "/":
                guard let section = open.popLast(), section.name == name else { throw .unbalanced(place, name) }
                if section.isList { sight.removeLast() }
            case ">":
                guard texts[name] != nil else { throw .noPartial(place, name) }
                guard TemplateCheck.isHTML(name) == TemplateCheck.isHTML(template) else { throw .otherKind(place, name) }
                guard !path.contains(name) else { throw .circular(place, name) }
                names.formUnion(try walk(name, sight, path: path + [name]))
            default:
                guard let value = found() else { throw .unknown(place, name) }
                guard case .text = value else { throw .notAText(place, name) }
                names.insert(name)
            }
        }
        if let section = open.last { throw .unbalanced(section.place, section.name) }
        return names
    }

    private static func isName(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { 0x30...0x39 ~= $0 || 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0 || $0 == UInt8(ascii: "-") } }

    /// What stands between `{{` and `}}`, each with its line.
    private static func tags(of text: String, _ template: String) throws(TemplateRefused) -> [(tag: String, line: Int)] {
        var tags: [(tag: String, line: Int)] = []
        var (line, place) = (1, 0)
        let bytes = Array(text.utf8)
        func isAt(_ index: Int, _ byte: UInt8) -> Bool { index + 1 < bytes.count && bytes[index] == byte && bytes[index + 1] == byte }
        while place < bytes.count {
            if bytes[place] == UInt8(ascii: "\n") { line += 1 }
            guard isAt(place, UInt8(ascii: "{")) else {
                place += 1
                continue
            }
            var end = place + 2
            while end < bytes.count, !isAt(end, UInt8(ascii: "}")) { end += 1 }
            guard end < bytes.count else { throw .unclosed(.init(template, line: line)) }
            let tag = bytes[place + 2..<end]
            tags.append((String(decoding: tag, as: UTF8.self), line))
            line += tag.count { $0 == UInt8(ascii: "\n") }
            place = end + 2
        }
        return tags
    }

    /// A page of HTML is whole in itself: it asks nobody for anything, so that nobody learns that it was opened.
    private static let remote = [
        "<script", "<img", "<link", "<iframe", "<object", "<embed", "<form", "<base", "<svg", "<video", "<audio", "<input", "<meta http-equiv=\"refresh", "src=", "srcset=", "href=\"http", "href='http", "href=//", "href=\"{{", "href='{{", "href={{",
        "url(", "@import", "javascript:",
    ]

    private static func refuseRemote(_ text: String, _ template: String) throws(TemplateRefused) {
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.lowercased()
            for word in remote where line.contains(word) { throw .remote(.init(template, line: number + 1), word) }
            // `onclick=` and its like.
            var rest = line[...]
            while let start = rest.firstRange(of: " on") {
                let handler = rest[start.upperBound...].prefix { $0.isASCII && $0.isLetter }
                if !handler.isEmpty, rest[handler.endIndex...].drop(while: { $0 == " " }).first == "=" { throw .remote(.init(template, line: number + 1), " on\(handler)=") }
                rest = rest[start.upperBound...]
            }
        }
    }
}
