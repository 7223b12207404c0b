import Foundation
import Mail
import Notices
import Testing

struct TemplateTests {
    private func refusal(_ others: [String: String]) -> TemplateRefused? {
        do {
            _ = try NoticeTemplates(others)
            return nil
        } catch { return error }
    }

    private func at(_ line: Int, _ template: String = "subject-en") -> TemplateRefused.Place { .init(template, line: line) }

    @Test func `the templates that come with it are whole`() { #expect(refusal([:]) == nil) }

    @Test func `an organisation's own takes the place of the one that comes with it`() throws {
        let templates = try NoticeTemplates(["subject-en": "Incident {{ incident }}{{! a comment }}, {{> who}}", "who": "{{#hasName}}{{name}}{{/hasName}}{{^hasName}}{{subject}}{{/hasName}} & more"])
        #expect(templates.page(of: .specimen).subject == "Incident 7, Ada Lovelace & more")
    }

    @Test func `whatever the engine would leave out is an error at start, with its place`() {
        let cases: [(String, TemplateRefused)] = [
            ("a\n{{incidnet}}", .unknown(at(2), "incidnet")), ("{{#kindz}}x{{/kindz}}", .unknown(at(1), "kindz")), ("{{what}}", .unknown(at(1), "what")),
            ("{{#kinds}}{{when}}{{/kinds}}\n\n{{when}}", .unknown(at(3), "when")), ("{{#kinds}}{{#ways}}{{entry}}{{/ways}}{{/kinds}}", .unknown(at(1), "entry")),
            ("{{^kinds}}{{entries}}{{/kinds}}", .unknown(at(1), "entries")),
            ("{{> footer}}", .noPartial(at(1), "footer")), ("{{> subject-en}}", .circular(at(1), "subject-en")), ("{{> style-html}}", .otherKind(at(1), "style-html")),
            ("{{kinds}}", .notAText(at(1), "kinds")), ("{{hasName}}", .notAText(at(1), "hasName")), ("{{#name}}{{/name}}", .notASection(at(1), "name")),
            ("{{#hasName}}x", .unbalanced(at(1), "hasName")), ("{{#hasName}}{{/wasRead}}", .unbalanced(at(1), "wasRead")), ("x{{/hasName}}", .unbalanced(at(1), "hasName")),
            ("a\nb {{name", .unclosed(at(2))),
            ("{{{name}}}", .tag(at(1), "{{{name}}")), ("{{&name}}", .tag(at(1), "{{&name}}")), ("{{=<% %>=}}", .tag(at(1), "{{=<% %>=}}")), ("{{<who}}{{/who}}", .tag(at(1), "{{<who}}")),
            ("{{$x}}{{/x}}", .tag(at(1), "{{$x}}")), ("{{>*name}}", .tag(at(1), "{{>*name}}")), ("{{uppercased(name)}}", .tag(at(1), "{{uppercased(name)}}")), ("{{.}}", .tag(at(1), "{{.}}")),
            ("{{person.name}}", .tag(at(1), "{{person.name}}")), ("{{% CONTENT_TYPE:TEXT}}", .tag(at(1), "{{% CONTENT_TYPE:TEXT}}")), ("{{}}", .tag(at(1), "{{}}")), ("{{a b}}", .tag(at(1), "{{a b}}")),
        ]
        for (text, expected) in cases { #expect(refusal(["subject-en": text]) == expected, "\(text)") }
        #expect(refusal(["subject-en": "{{> a}}", "a": "{{> b}}", "b": "\n{{> a}}"]) == .circular(at(2, "b"), "a"))
        #expect(refusal(["subject-de": "{{> a}}", "a": "{{nobody}}"]) == .unknown(at(1, "a"), "nobody"))
    }

    @Test func `a page that leaves out what Article 34 asks for is refused, in each language and form`() {
        for name in ["notice-en-text", "notice-en-html", "notice-de-text", "notice-de-html"] {
            guard case .leavesOut(name, _) = refusal([name: "{{incident}}"]) else {
                Issue.record("\(name): \(String(describing: refusal([name: "{{incident}}"])))")
                continue
            }
        }
    }

    @Test(arguments: [
        "<img src=\"x\">", "<IMG\tsrc=x>", "<script>", "<link rel=stylesheet>", "<p style=\"background:URL(x)\">", "<a href=\"https://example.org\">", "<a href='http://x'>", "<a href=//x>", "<p onclick=\"x\">", "<p ONLOAD = x>",
        "<form>", "<iframe>", "<style>@import 'x'</style>", "<a href=\"javascript:x\">", "<a href=\"{{contactPoint}}\">",
    ])
    func `a page that would fetch, run or send something is refused`(_ bad: String) {
        guard case .remote(let place, _) = refusal(["style-html": "\n\(bad)"]) else {
            Issue.record("\(bad): \(String(describing: refusal(["style-html": "\n\(bad)"])))")
            return
        }
        #expect(place == at(2, "style-html"))
    }

    @Test func `what is added at sending has a place for its link, and takes nothing of the notice`() {
        let link = "<mailto:{{mailbox}}?subject={{code}}> {{address}}{{#asksProgram}}!{{/asksProgram}}"
        #expect(refusal(["receipt-en-text": link]) == nil)
        for field in ["mailbox", "code", "address"] { #expect(refusal(["receipt-de-text": link.replacing("{{\(field)}}", with: "")]) == .leavesOut(template: "receipt-de-text", field: field)) }
        #expect(refusal(["receipt-en-html": link + "{{name}}"]) == .unknown(at(1, "receipt-en-html"), "name"))
        #expect(refusal(["receipt-en-html": link + "<img src=x>"]) == .remote(at(1, "receipt-en-html"), "<img"))
        #expect(refusal(["notice-en-text": "{{code}}"]) == .unknown(at(1, "notice-en-text"), "code"))
    }

    @Test(arguments: ["en", "de", "de_AT", "fr", ""]) func `a frame stands behind what was signed, which stays as it is, and its link is whole`(_ language: String) throws {
        let code = try #require(ReceiptCode(digits: String(repeating: "0a", count: 20)))
        let templates = try NoticeTemplates()
        func framed(_ address: String, html: String = "<html><body>A</BODY></html>\n", asks: Bool = true) throws -> (text: String, html: String) {
            templates.framed(text: "A", html: html, language: language, ReceiptFrame(address: try MailAddress(address), code: code, asksProgram: asks))
        }
        let (text, html) = try framed("a&b?c%25+x@example.org")
        #expect(text.hasPrefix("A\n\n---") && html.hasPrefix("<html><body>A<aside ") && html.hasSuffix("</aside>\n</BODY></html>\n"))
        let link = "mailto:a%26b%3Fc%2525%2Bx@example.org?subject=read-0a0a"
        #expect(text.contains("<\(link)") && html.contains("href=\"\(link)") && html.contains("a&amp;b?c%25+x@example.org"))
        #expect(text.split(separator: "\n").allSatisfy { $0.count <= 72 || $0.contains("mailto:") })
        #expect(text.contains("ADDED WHEN") == !language.hasPrefix("de") && html.contains("Beim Versenden") == language.hasPrefix("de"))
        #expect(try framed("a@b.example", html: "").html == "" && framed("a@b.example", html: "<p>A").html.hasPrefix("<p>A<aside"))
        #expect(try framed("a@b.example", asks: false).text.count < framed("a@b.example").text.count)
    }

    // MARK: A folder of one's own

    private func folder(_ files: [String: String]) throws -> String {
        let path = NSTemporaryDirectory() + "templates-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        for (name, text) in files { try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)")) }
        return path
    }
    private func refusal(folder: String) -> String? {
        do {
            _ = try NoticeTemplates(folder: folder)
            return nil
        } catch { return error.words }
    }

    @Test func `a folder's files stand for those of their name, with what they include`() throws {
        let path = try folder(["subject-en.mustache": "{{> who}} {{incident}}", "who.mustache": "About", "README": "no template", ".hidden.mustache": "{{"])
        defer { try? FileManager.default.removeItem(atPath: path) }
        let page = try NoticeTemplates(folder: path).page(of: .specimen)
        let plain = try NoticeTemplates(folder: nil).page(of: .specimen)
        #expect(page.subject == "About 7" && page.text == plain.text && plain.subject != page.subject)
    }

    @Test func `a folder is used as a whole or not at all, and what is wrong is one line that says where`() throws {
        let cases: [([String: String], String)] = [
            ([:], "no file in it ends in .mustache"), (["subject-en.mustache": "{{incidnet}}"], "subject-en:1: there is no 'incidnet'"), (["subject-de.mustache": "{{#hasName}}"], "subject-de:1: the section 'hasName'"),
            (["notice-de-html.mustache": "<p>{{incident}}</p>"], "notice-de-html has no place for '"), (["notice-en-txt.mustache": "x"], "'notice-en-txt' is the name of no template"),
            (["notice-fr-text.mustache": "x"], "with L of en, de"), (["a.mustache": "{{> b}}", "b.mustache": "{{> a}}"], "'a' is the name of no template"), (["style-html.mustache": "@import 'x'"], "a notice fetches"),
            (["subject-en.mustache": String(repeating: "x", count: 300_000)], "it is longer than"), (["subject-en.mustache": "a\0b"], "it is no text"),
        ]
        for (files, words) in cases {
            let path = try folder(files)
            defer { try? FileManager.default.removeItem(atPath: path) }
            let refused = try #require(refusal(folder: path), "\(words)")
            #expect(refused.contains(words) && !refused.contains("\n"), "\(refused)")
        }
        #expect(refusal(folder: "/nowhere")?.contains("/nowhere: it cannot be read") == true)
        let path = try folder([:])
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data([0xFF, 0x41]).write(to: URL(fileURLWithPath: path + "/subject-en.mustache"))
        #expect(refusal(folder: path)?.contains("it is no text in UTF-8") == true)
    }

    @Test func `words that only look like it are not`() { #expect(refusal(["style-html": "<p>You rely on x = y, and the source is on record.</p>\n<a href=\"mailto:dpo@example.org\">"]) == nil) }
}
