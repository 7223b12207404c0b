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

    @Test func `words that only look like it are not`() { #expect(refusal(["style-html": "<p>You rely on x = y, and the source is on record.</p>\n<a href=\"mailto:dpo@example.org\">"]) == nil) }
}
