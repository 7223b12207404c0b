import Mustache

/// The pages of notices, each checked before it can be used: a notice with a hole in it is worse than none, because it looks whole.
package struct NoticeTemplates: Sendable {
    private let library: MustacheLibrary

    /// Of each language its subject, its text and its page, and what is added to these when they are sent.
    private static let own: [String: [UInt8]] = [
        "subject-en": PackageResources.subject_en_mustache, "notice-en-text": PackageResources.notice_en_text_mustache, "notice-en-html": PackageResources.notice_en_html_mustache,
        "subject-de": PackageResources.subject_de_mustache, "notice-de-text": PackageResources.notice_de_text_mustache, "notice-de-html": PackageResources.notice_de_html_mustache,
        "style-html": PackageResources.style_html_mustache,
        "receipt-en-text": PackageResources.receipt_en_text_mustache, "receipt-en-html": PackageResources.receipt_en_html_mustache,
        "receipt-de-text": PackageResources.receipt_de_text_mustache, "receipt-de-html": PackageResources.receipt_de_html_mustache,
    ]

    /// What every page has a place for: Article 34(2) with 33(3)(b), (c) and (d), what was exposed, and what nobody knows.
    private static let parts: Set<String> = [
        "incident", "subject", "kinds", "kind", "entries", "examples", "couldPeople", "couldKeys", "wasRead", "didReaders", "reads", "found", "isStopped", "stopped", "contactName", "contactPoint",
        "consequences", "measures", "advice", "gaps", "what", "proofs", "file",
    ]

    /// - Parameter others: an organisation's own, by name, instead of those that come with Sluice or beside them. A name that ends in `-html` is a page's, or a part of one.
    package init(_ others: [String: String] = [:]) throws(TemplateRefused) {
        let texts = NoticeTemplates.own.mapValues { String(decoding: $0, as: UTF8.self) }.merging(others) { $1 }
        let check = TemplateCheck(texts: texts, fields: NoticeFacts.specimen.values)
        let frames = TemplateCheck(texts: texts, fields: ReceiptFrame.specimen)
        for language in NoticeLanguage.allCases {
            for name in ["notice-\(language.rawValue)-text", "notice-\(language.rawValue)-html"] {
                if let field = NoticeTemplates.parts.subtracting(try check.names(in: name)).min() { throw .leavesOut(template: name, field: field) }
            }
            _ = try check.names(in: "subject-\(language.rawValue)")
            for name in ["receipt-\(language.rawValue)-text", "receipt-\(language.rawValue)-html"] {
                if let field = ReceiptFrame.parts.subtracting(try frames.names(in: name)).min() { throw .leavesOut(template: name, field: field) }
            }
        }
        if let stray = Set(texts.keys).subtracting(try check.reached(from: NoticeTemplates.own.keys)).min() { throw .unused(stray, languages: NoticeLanguage.allCases.map(\.rawValue)) }
        MustacheContentTypes.register(EscapedHTML(), named: EscapedHTML.name)
        var library = MustacheLibrary()
        for (name, text) in texts.sorted(by: { $0.key < $1.key }) {
            // Of its own, because a partial begins as the engine's HTML.
            let kind = TemplateCheck.isHTML(name) ? EscapedHTML.name : "TEXT"
            do { try library.register("{{% CONTENT_TYPE:\(kind)}}\n\(text)", named: name) } catch { throw .unparsable(name, why: "\(error)") }
        }
        self.library = library
    }

    package func page(of facts: NoticeFacts) -> NoticePage {
        let values = NoticeValue.plain(facts.values)
        func text(_ name: String) -> String { rendered(name, values) }
        let language = facts.language.rawValue
        let subject = text("subject-\(language)").split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return NoticePage(language: facts.language, subject: subject, text: NoticePage.wrapped(text("notice-\(language)-text")), html: text("notice-\(language)-html"))
    }

    /// - Parameter values: ``NoticeValue/plain(_:)``.
    func rendered(_ name: String, _ values: [String: Any]) -> String { library.render(values, withTemplate: name) ?? "" }
}

/// What makes text safe between tags and in quotes. By scalars: the engine's own looks at characters, and takes a `<` with a combining mark behind it for another one.
private struct EscapedHTML: MustacheContentType {
    static let name = "SLUICE_HTML"

    func escapeText(_ text: String) -> String {
        var escaped = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": escaped.append(contentsOf: "&lt;".unicodeScalars)
            case ">": escaped.append(contentsOf: "&gt;".unicodeScalars)
            case "&": escaped.append(contentsOf: "&amp;".unicodeScalars)
            case "\"": escaped.append(contentsOf: "&quot;".unicodeScalars)
            case "'": escaped.append(contentsOf: "&#39;".unicodeScalars)
            default: escaped.append(scalar)
            }
        }
        return String(escaped)
    }
}
