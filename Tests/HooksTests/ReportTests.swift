import Foundation
import Gate
import Rules
import Testing
import Webhooks

@testable import sluice_hooks

struct ReportTests {
    @Test func `each alert of a group is a report with its labels`() throws {
        let reports = try Report.alerts(group(alert("Visible", more: #","team":"search""#), alert("Other", status: "resolved")))
        #expect(reports.map(\.fields["alertname"]) == [["Visible"], ["Other"]])
        #expect(reports.map(\.isFiring) == [true, false])
        #expect(reports[0].fields["team"] == ["search"] && reports[1].fields["team"] == nil)
    }

    @Test func `an alert is another when its labels, its start, its group or its status are`() throws {
        func key(_ body: Data) throws -> Data { try #require(try Report.alerts(body).first).key }
        let first = try key(group(alert("Visible")))
        #expect(try key(group(alert("Visible"), alert("Other"))) == first, "the control: beside others it is the same")
        let others = try [
            key(group(alert("Visibly"))), key(group(alert("Visible", more: #","a":"b""#))), key(group(alert("Visible", started: "2026-11-26T10:00:01Z"))),
            key(group(alert("Visible", status: "resolved"))), key(group(alert("Visible"), key: "{}:{a}")),
        ]
        #expect(Set(others + [first]).count == 6)
    }

    @Test func `a label's end cannot pass for the next one's beginning`() throws {
        let keys = try [#","ab":"c""#, #","a":"bc""#, #","abc":"""#].map { try #require(try Report.alerts(group(alert("Visible", more: $0))).first).key }
        #expect(Set(keys).count == 3)
    }

    @Test(arguments: [
        (#"{"version":"4""#, Report.Refused.notJSON(.expected("'}'", found: "the end"))),
        (#"[]"#, .missing("version")),
        (#"{"version":"3","groupKey":"","alerts":[]}"#, .version("3")),
        (#"{"version":"4","alerts":[]}"#, .missing("groupKey")),
        (#"{"version":"4","groupKey":""}"#, .missing("alerts")),
        (#"{"version":"4","groupKey":"","alerts":[{"status":"burning"}]}"#, .missing("alerts[].status")),
        (#"{"version":"4","groupKey":"","alerts":[{"status":"firing","labels":{}}]}"#, .missing("alerts[].labels, startsAt")),
        (#"{"version":"4","groupKey":"","alerts":[{"status":"firing","labels":{"a":[]},"startsAt":"x"}]}"#, .missing("alerts[].labels: texts")),
        (#"{"version":"4","version":"4"}"#, .notJSON(.duplicateKey("version", first: Place(line: 1, column: 2)))),
    ])
    func `what is no group of alerts is refused whole`(_ body: String, _ why: Report.Refused) {
        #expect(throws: why) { try Report.alerts(Data(body.utf8)) }
    }

    @Test func `nesting ends at sixteen levels, however deep it goes on`() throws {
        func nested(_ depth: Int) -> Data { Data((String(repeating: #"{"a":"#, count: depth) + "1" + String(repeating: "}", count: depth)).utf8) }
        #expect(try Report.signed("1", nested(15)).fields.count == 1, "the control")
        for depth in [16, 100, 100_000] {
            #expect(throws: Report.Refused.notJSON(.nestedTooDeep(max: 16))) { try Report.signed("1", nested(depth)) }
        }
        #expect(throws: Report.Refused.notJSON(.nestedTooDeep(max: 16))) { try Report.alerts(Data(String(repeating: "[", count: 1 << 20).utf8)) }
    }

    @Test func `a signed message's fields go by their paths, and a list's values under its own`() throws {
        let report = try Report.signed("msg_1", Data(#"{"type":"leak.found","data":{"severity":3,"open":true,"tags":["a","b"],"of":[{"x":"1"},{"x":"2"}]}}"#.utf8))
        #expect(report.fields == ["type": ["leak.found"], "data.severity": ["3"], "data.open": ["true"], "data.tags": ["a", "b"], "data.of.x": ["1", "2"]])
        #expect(try Report.signed("msg_1", Data("{}".utf8)).key == report.key, "its id alone makes it the same")
        #expect(try Report.signed("msg_2", Data("{}".utf8)).key != report.key)
    }
}

struct HookRulesTests {
    private let text = """
        rules:
          - name: reviews-visible
            hook: alertmanager
            match: {alertname: ["ReviewsVisible*", WikiOpen], severity: critical}
            close: {direction: both, classes: [review]}
            reason: reviews are visible outside the review cycle
          - name: dlp
            match: {data.kind: "*keystrokes*"}
            close: {direction: capture, sites: berlin, teams: [search, ads]}
            reason: the scanner has found keystrokes outside
          - name: worst
            hook: standard
            match: {type: leak.all}
            close: {direction: both, everything: true}
            reason: everything
        """

    @Test func `every rule that matches asks for its closure`() throws {
        let rules = try rules(text)
        func names(_ fields: [String: [String]], _ hook: Hook) -> [String] { rules.matching(fields, from: hook).map(\.name) }
        #expect(names(["alertname": ["ReviewsVisibleToAll"], "severity": ["critical"]], .alertmanager) == ["reviews-visible"])
        #expect(names(["alertname": ["WikiOpen"], "severity": ["critical"], "data.kind": ["x keystrokes y"]], .alertmanager) == ["reviews-visible", "dlp"])
        // One short of each.
        #expect(names(["alertname": ["ReviewsVisible"], "severity": ["warning"]], .alertmanager) == [])
        #expect(names(["alertname": ["ReviewsVisible"]], .alertmanager) == [])
        #expect(names(["alertname": ["ReviewsVisible"], "severity": ["critical"]], .standard) == [], "of another hook")
        #expect(names(["type": ["leak.all"]], .alertmanager) == [] && names(["type": ["leak.all"]], .standard) == ["worst"])
        #expect(names(["data.kind": ["a", "KEYSTROKES"]], .standard) == ["dlp"], "one value of several, whatever its case")
    }

    @Test func `what a rule closes is what it says, and a finding says who heard`() throws {
        let rules = try rules(text).rules
        #expect(rules.map(\.direction) == [.both, .capture, .both])
        #expect(rules[0].selector == Selector(classes: [DataClass("review")]) && rules[1].selector == Selector(sites: ["berlin"], teams: ["search", "ads"]) && rules[2].selector == .everything)
        let finding = rules[0].finding([UInt8](repeating: 1, count: 16), from: .alertmanager, reports: 3, at: wall(0))
        #expect(finding.detector == "report" && finding.sentence == "reviews are visible outside the review cycle: rule reviews-visible, hook alertmanager (3 reports)")
    }

    @Test(arguments: [
        ("rules: [{name: a, match: {x: y}, close: {direction: both}, reason: r}]", "say what is closed: classes, sites, teams, or everything: true"),
        ("rules: [{name: a, match: {x: y}, close: {direction: both, everything: true, classes: review}, reason: r}]", "it names a part, and everything: one of the two"),
        ("rules: [{name: a, match: {x: y}, close: {direction: open, everything: true}, reason: r}]", "there is no direction 'open'"),
        ("rules: [{name: a, match: {x: y}, close: {direction: both, everything: false}, reason: r}]", "there is no value of everything 'false'"),
        ("rules: [{name: a, match: {}, close: {direction: both, everything: true}, reason: r}]", "expected match: a table of fields and patterns, found an empty table"),
        ("rules: [{name: a, match: {x: y}, close: {direction: both, everything: true}}]", "a rule needs 'reason'"),
        ("rules: [{name: a, hok: standard, match: {x: y}, close: {direction: both, everything: true}, reason: r}]", "a rule has no 'hok': did you mean 'hook'?"),
        ("rules: [{name: a, hook: dlp, match: {x: y}, close: {direction: both, everything: true}, reason: r}]", "there is no hook 'dlp'"),
    ])
    func `a rule that could be meant in two ways is none`(_ text: String, _ words: String) throws {
        let mistakes = try #require(throws: Mistakes.self) { try rules(text) }
        #expect(mistakes.all.map { "\($0.fault)" }.contains(words), "\(mistakes.all.map { "\($0.fault)" })")
    }
}

struct CredentialsTests {
    private let old = "old-token-of-thirty-characters"
    private let new = "new-token-of-thirty-characters"
    private func basic(_ token: String) -> String { "Basic " + Data("alerts:\(token)".utf8).base64EncodedString() }

    @Test func `while two tokens count either admits, and one that was taken out does not`() throws {
        let folder = try Folder()
        var credentials = Credentials(tokens: try Credentials.tokens(of: folder.write("\(old)\n\(new)\n", to: "two")))
        for token in [old, new] { #expect(credentials.admits("Bearer \(token)") && credentials.admits("bearer  \(token)") && credentials.admits(basic(token))) }
        credentials.tokens = try Credentials.tokens(of: folder.write("\(new)\n", to: "one"))
        #expect(!credentials.admits("Bearer \(old)") && !credentials.admits(basic(old)))
        #expect(credentials.admits("Bearer \(new)"))
    }

    @Test func `nothing else admits`() throws {
        let folder = try Folder()
        let credentials = Credentials(tokens: try Credentials.tokens(of: folder.write(new, to: "one")))
        let refused = [nil, "", "Bearer", "Bearer ", new, "Token \(new)", "Bearer \(new)x", "Bearer \(new.dropLast())", "Basic \(new)", "Basic " + Data(new.utf8).base64EncodedString(), "Basic !!", "Bearer " + String(repeating: "a", count: 4_096)]
        #expect(refused.filter { credentials.admits($0) } == [])
        #expect(!Credentials().admits("Bearer "), "where nobody may, an empty token may not either")
    }

    @Test func `a file of secrets that others may read, or that holds something else, is not taken`() throws {
        let folder = try Folder()
        #expect(throws: (any Error).self) { try Credentials.tokens(of: folder.write(new, to: "open", mode: 0o644)) }
        #expect(throws: Credentials.Refused.badToken(path: folder["short"], line: 1)) { try Credentials.tokens(of: folder.write("short", to: "short")) }
        #expect(throws: Credentials.Refused.tooMany(path: folder["three"], 3)) { try Credentials.tokens(of: folder.write("\(new)\n\(old)\n\(new)2", to: "three")) }
        #expect(throws: Credentials.Refused.badSecret(path: folder["bad"], line: 1, .noPrefix)) { try Credentials.secrets(of: folder.write(new, to: "bad")) }
        #expect(try Credentials.secrets(of: folder.write("\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", to: "good")).count == 1)
        #expect(try Credentials.secrets(of: folder.write("whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", to: "both")).count == 2)
        // A key that signs is not to lie where it is only checked.
        #expect(throws: Credentials.Refused.badSecret(path: folder["signs"], line: 1, .noPrefix)) { try Credentials.secrets(of: folder.write("whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", to: "signs")) }
    }
}
