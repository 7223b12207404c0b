import Foundation
import Testing
import Webhooks

@testable import sluice_notify

struct HooksTests {
    let folder: Folder
    init() throws { folder = try Folder() }

    func file(_ text: String, mode: Int = 0o600) throws -> String {
        let path = folder["notify.json"]
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }

    func hook(_ name: String = "oncall", url: String = "http://127.0.0.1:9000/", secrets: String = "\"\(secretText)\"") -> String {
        #"{"name":"\#(name)","url":"\#(url)","secrets":[\#(secrets)]}"#
    }

    @Test func `a good file gives its hooks in order`() throws {
        let path = try file(#"{"hooks":[\#(hook()),\#(hook("audit", url: "https://hooks.example.com/x?y=1"))]}"#)
        let hooks = try Hooks(contentsOf: path)
        #expect(hooks.all.map(\.name) == ["oncall", "audit"])
        #expect(hooks.all.map(\.url) == ["http://127.0.0.1:9000/", "https://hooks.example.com/x?y=1"])
        #expect(hooks.all[0].signers == [.secret(try StandardWebhook.Secret(secretText))])
        #expect(hooks.all.map(\.mayBePrivate) == [false, false], "nobody has said so")
        #expect(hooks.all[0].fingerprint.count == 12)
        #expect(hooks.all[0].fingerprint != hooks.all[1].fingerprint)
    }

    @Test func `no file means no hooks`() throws { #expect(try Hooks(contentsOf: folder["notify.json"]) == .none) }

    @Test(arguments: [0o644, 0o640, 0o606, 0o660]) func `a file that others can reach is refused`(mode: Int) throws {
        let path = try file(#"{"hooks":[]}"#, mode: mode)
        #expect(throws: HooksRefused.readableByOthers(path: path, mode: UInt32(mode))) { try Hooks(contentsOf: path) }
    }

    @Test func `what is not a file, or too large, is refused`() throws {
        #expect(throws: HooksRefused.unreadable(path: folder.path, why: "it is not a file")) { try Hooks(contentsOf: folder.path) }
        let path = try file(String(repeating: " ", count: Hooks.bytesMax + 1))
        #expect(throws: HooksRefused.self) { try Hooks(contentsOf: path) }
    }

    @Test(arguments: [
        (#"{"hooks":[{"name":"a","url":"http://a/","secrets":["x"]},{"name":"b","url":1,"secrets":[]}]}"#, "hooks[1].url"),
        (#"{"hooks":[{"name":"a","secrets":[]}]}"#, "hooks[0].url is missing"),
        ("{\"hooks\":[\n{]}", "line 2"),
        ("", "end of file"),
        ("[]", "the whole is not a"),
    ]) func `bad JSON says where`(text: String, place: String) throws {
        let path = try file(text)
        let error = #expect(throws: HooksRefused.self) { try Hooks(contentsOf: path) }
        guard case .badJSON(_, let found) = error else { Issue.record("\(String(describing: error))"); return }
        #expect(found.contains(place), "\(found)")
    }

    @Test func `names are plain and not used twice`() throws {
        #expect(throws: HooksRefused.duplicateName(path: "p", name: "oncall")) {
            try Hooks(json: Data(#"{"hooks":[\#(hook()),\#(hook())]}"#.utf8), path: "p")
        }
        for name in ["", "a b", "ä", "a\\n", String(repeating: "a", count: 65)] {
            #expect(throws: HooksRefused.self) { try Hooks(json: Data(#"{"hooks":[\#(hook(name))]}"#.utf8), path: "p") }
        }
    }

    @Test(arguments: [
        "", "example.com", "ftp://example.com/", "file:///etc/passwd", "http://", "http:///x", "http://user:pw@example.com/", "http://a b/",
        "http://a/\\r\\nx: y", "http://example.com:99999/", "http://ä.example/",
    ]) func `a URL that could not be sent to is refused`(url: String) throws {
        let error = #expect(throws: HooksRefused.self) { try Hooks(json: Data(#"{"hooks":[\#(hook(url: url))]}"#.utf8), path: "p") }
        guard case .badURL(_, hook: "oncall", _) = error else { Issue.record("\(String(describing: error))"); return }
    }

    @Test func `secrets of both kinds sign, and a private host is one that is allowed`() throws {
        let key = "whsk_" + Data(repeating: 3, count: 32).base64EncodedString()
        let json = #"{"hooks":[{"name":"a","url":"http://a/","secrets":["\#(secretText)","\#(key)"],"allow_private":true}]}"#
        let hook = try #require(try Hooks(json: Data(json.utf8), path: "p").all.first)
        #expect(hook.signers == [try .init(secretText), try .init(key)])
        #expect(hook.mayBePrivate)
        let many = Array(repeating: "\"\(secretText)\"", count: 9).joined(separator: ",")
        #expect(throws: HooksRefused.tooManySecrets(path: "p", hook: "oncall")) { try Hooks(json: Data(#"{"hooks":[\#(self.hook(secrets: many))]}"#.utf8), path: "p") }
    }

    @Test func `a chat needs no secret, what is to be checked does, and a format that nobody knows is refused`() throws {
        func parsed(_ format: String, secrets: String = "") throws -> Hooks.Hook? {
            try Hooks(json: Data(#"{"hooks":[{"name":"a","url":"http://a/","format":"\#(format)"\#(secrets)}]}"#.utf8), path: "p").all.first
        }
        for format in ["slack", "teams"] { #expect(try parsed(format)?.signers == []) }
        for format in ["standard", "cloudevents"] { #expect(throws: HooksRefused.noSecret(path: "p", hook: "a")) { try parsed(format) } }
        #expect(try parsed("cloudevents", secrets: #","secrets":["\#(secretText)"]"#)?.format == .cloudevents)
        #expect(throws: HooksRefused.badFormat(path: "p", hook: "a", format: "Slack")) { try parsed("Slack") }
    }

    @Test func `a hook without a good secret is refused, and the text of it is not repeated`() throws {
        #expect(throws: HooksRefused.noSecret(path: "p", hook: "oncall")) {
            try Hooks(json: Data(#"{"hooks":[\#(hook(secrets: ""))]}"#.utf8), path: "p")
        }
        let error = #expect(throws: HooksRefused.badSecret(path: "p", hook: "oncall", position: 1, why: .length(3))) {
            try Hooks(json: Data(#"{"hooks":[\#(hook(secrets: "\"\(secretText)\",\"whsec_c2Vj\""))]}"#.utf8), path: "p")
        }
        #expect(error.map { "\($0)" } == "p: secret 2 of oncall has 3 bytes, not 24 to 64, or, after whsk_, 32 or 64")
    }

    @Test(arguments: [
        (#"{"hooks":[{"name":"a","url":"http://a/","secret":["x"]}]}"#, "hooks.0.secret"), (#"{"alertmanager":{"url":"http://a/","label":{}}}"#, "alertmanager.label"),
    ]) func `a misspelt key is an error that names it, and not a setting that nobody reads`(_ text: String, _ key: String) throws {
        let error = #expect(throws: HooksRefused.self) { try Hooks(json: Data(text.utf8), path: "p") }
        guard case .unknownKey("p", key, _)? = error else { Issue.record("\(String(describing: error))"); return }
    }
}
