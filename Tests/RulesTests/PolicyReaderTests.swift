import Gate
import Rules
import Testing
import YAML

/// Reads a policy as `sluice policy check` does.
func read(_ text: String) throws(Mistakes) -> PolicyDocument {
    let (tree, mistakes) = try YAMLText.read(Array(text.utf8))
    return try PolicyReader(detections: ["card", "iban", "secret", "private-key"]).read(tree, besides: mistakes)
}

func policy(_ text: String) throws -> Policy { Policy(try read(text)) }

/// The mistakes of a policy as lines, without the file's name.
func mistakes(_ text: String) -> [String] {
    do throws(Mistakes) {
        _ = try read(text)
        return []
    } catch { return error.all.map { $0.line(in: "") } }
}

let classes = """
    version: 1
    classes:
      - {name: activity, retention: 90 days, audience: 200}
      - {name: content, retention: 60 days, audience: 40}
      - {name: review, retention: 36 hours, audience: unlimited}
      - {name: credential, retention: never}

    """

let whole = classes + """
    rules:
      - {class: activity, kind: [pointer, key, window, presence]}
      - {class: content, source: [document, chat]}
      - {class: review, title: "*Review*", detected: [iban, card]}
    capture:
      - {as: keep, for: everyone}
      - {as: redact, redact: card, kind: text, for: {role: staff, site: [a, b]}, except: {subject: E7}}
    purposes:
      - {name: training, basis: consent, classes: [activity, content]}
      - {name: law, basis: legal-obligation, classes: review}
    roles:
      - {name: staff, members: [E1, E2], includes: lead}
      - {name: lead, members: E3, for: {team: x}, except: {site: c}}
    access:
      - {name: one, role: staff, purpose: training, classes: content, for: {team: x}, expires: 2027-01-31, rate: {events: 10, per: day}}
      - {name: two, role: everyone, purpose: law, classes: review, for: everyone, expires: never, rate: unlimited}
    leaks:
      - {detector: breadth, close: reading, of: reader}

    """

struct PolicyReaderTests {
    @Test func `a document is read whole`() throws {
        let document = try read(whole)
        #expect(document.classes.map(\.name) == ["activity", "content", "review", "credential"])
        let retentions: [Span?] = [.seconds(90 * 86_400), .seconds(60 * 86_400), .seconds(36 * 3_600), nil]
        #expect(document.classes.map(\.retention) == retentions)
        #expect(document.classes.map(\.audienceMax) == [200, 40, nil, nil])
        #expect(document.assignments.count == 3)
        #expect(document.capture[1].minimisation == .redact(["card"]))
        #expect(document.capture[1].people == Group(only: .init(sites: ["a", "b"], roles: ["staff"]), except: .init(subjects: ["E7"])))
        #expect(document.roles[0] == .init("staff", members: ["E1", "E2"], includes: ["lead"]))
        #expect(document.grants[0].expires == WallTime(nanoseconds: 1_801_353_600_000_000_000))
        #expect(document.grants[0].rate == GrantRate(events: 10, per: .day))
        #expect(document.grants[1].expires == nil && document.grants[1].rate == nil)
        #expect(document.leaks == [.init(.breadth, close: .read, of: .reader)])
    }

    // MARK: What is not known is an error, and what was meant is said

    private static func bad(_ text: String, _ old: String, _ new: String) -> String { text.replacingOccurrences(old, new) }

    static let bad: [(String, String)] = [
        (bad(classes, "audience: 200", "audeince: 200"), "a class has no 'audeince': did you mean 'audience'?"),
        (classes + "rulse: []", "the document has no 'rulse': did you mean 'rules'?"),
        (classes + "rules: [{class: reveiw, kind: text}]", "there is no class 'reveiw': did you mean 'review'?"),
        (classes + "rules: [{class: review, kind: pointr}]", "there is no kind of event 'pointr': did you mean 'pointer'?"),
        (classes + "rules: [{class: review, source: caht}]", "there is no source of text 'caht': did you mean 'chat'?"),
        (classes + "rules: [{class: review, detected: ibna}]", "there is no type of detected content 'ibna': did you mean 'iban'?"),
        (classes + "capture: [{as: kepe, for: everyone}]", "there is no minimisation 'kepe': did you mean 'keep'?"),
        (classes + "capture: [{as: keep, for: {role: staf}}]\nroles: [{name: staff}]", "there is no role 'staf': did you mean 'staff'?"),
        (classes + "purposes: [{name: p, basis: concent, classes: review}]", "there is no legal basis 'concent': did you mean 'consent'?"),
        (classes + "leaks: [{detector: cannary, close: both, of: everything}]", "there is no detector 'cannary': did you mean 'canary'?"),
        (classes + "leaks: [{detector: canary, close: booth, of: everything}]", "there is no direction 'booth': did you mean 'both'?"),
        (bad(whole, "purpose: training", "purpose: trainning"), "there is no purpose 'trainning': did you mean 'training'?"),
        (bad(whole, "role: staff, purpose", "role: nobody-at-all, purpose"), "there is no role 'nobody-at-all'"),
        (bad(whole, "per: day", "per: dya"), "there is no period 'dya': did you mean 'day'?"),
        (bad(classes, "version: 1", "version: 2"), "expected version 1, found '2'"),
        (bad(classes, "retention: 90 days", "retention: 90 dayz"), "expected a retention like '90 days' or '36 hours', ten years at most, or 'never', found '90 dayz'"),
        (bad(classes, "audience: 200", "audience: -1"), "expected an audience: a number from 0 to 1000000000000, found '-1'"),
        (bad(classes, ", audience: 200", ""), "a class that is stored needs 'audience'"),
        (bad(classes, "retention: never", "retention: never, audience: 3"), "'credential' is never stored: it has no audience"),
        (bad(classes, "name: content", "name: activity"), "there are two of class 'activity'; the first is in line 3"),
        (classes + "purposes: [{name: p, basis: consent, classes: credential}]", "'credential' is never stored: there is nothing to read"),
        (bad(whole, "classes: content, for", "classes: review, for"), "purpose 'training' is not for review"),
        (bad(whole, "for: everyone, expires: never", "expires: never"), "a grant needs 'for'"),
        (bad(whole, "expires: 2027-01-31", "expires: 2027-02-29"), "expected an expiry: a day like 2027-01-31, or 2027-01-31T18:00:00Z, found '2027-02-29'"),
        (bad(whole, "for: {team: x}, expires", "for: [x], expires"), "expected 'everyone', or a table of site, team, subject, role, found a list"),
        (bad(whole, "for: {team: x}, expires", "for: {}, expires"), "expected 'for': site, team, subject or role, found an empty table"),
        (bad(whole, "as: redact,", "as: keep,"), "'redact' names what is taken out of an event: it goes with 'as: redact'"),
        (classes + "rules: [{class: review, kind: key, source: chat}]", "only text has a source: leave out 'kind', or write 'kind: text'"),
        (classes + "rules: [{class: review, kind: []}]", "expected kind of event, or a list of them, found an empty list"),
        (classes + "leaks: [{detector: audience, close: reading, of: reader}]", "a finding of 'audience' names no reader: it can close class, everything"),
        (classes + "leaks: [{detector: breadth, close: both, of: reader}]", "nobody captures for a reader: that closes reading"),
        (classes + "roles: [{name: everyone}]", "'everyone' is the role that the whole directory has: another name, please"),
        (classes + "roles: [{name: Staff}]", "expected the name of a role: a-z, 0-9, - and _, 64 at most, found 'Staff'"),
        (classes + "roles: [{name: a, for: {role: a}}]", "'for' has no 'role'"),
        (classes + #"rules: [{class: review, title: "a\\b"}]"#, #"expected a title: a pattern in which \ stands before * or \, found 'a\b'"#),
        (classes + "rules: [{class: review, title: \"a\\u0007\"}]", "expected a title: a pattern without control characters, found 'a\u{7}'"),
        ("version: 1", "the document needs 'classes'"),
        ("version: 1\nclasses: []", "expected a class at least, found an empty list"),
        ("", "expected a table, found nothing"),
        ("- a", "expected the document: a table, found a list"),
    ]

    @Test(arguments: bad)
    func `a mistake is named`(_ text: String, _ problem: String) {
        let found = mistakes(text)
        #expect(found.contains { $0.hasSuffix(": " + problem) }, "\(found)")
    }

    @Test func `all mistakes are told, each with its place, and in order`() {
        let text = """
            version: 1
            classes:
              - name: activity
                retention: 3 days
                audience: 3
                audience: 4
                retension: 4 days
            rules:
              - class: activty
                kind: [pointer, keys]
            rules: []
            acess: []
            """
        #expect(
            mistakes(text) == [
                ":6:5: 'audience' is here a second time; the first is in line 5",
                ":7:5: a class has no 'retension'",
                ":9:12: there is no class 'activty': did you mean 'activity'?",
                ":10:21: there is no kind of event 'keys': did you mean 'key'?",
                ":11:1: 'rules' is here a second time; the first is in line 8",
                ":12:1: the document has no 'acess': did you mean 'access'?",
            ])
    }

    @Test func `a key that is there five times is a mistake four times, quoted or not`() {
        let found = mistakes("version: 1\n\"version\": 1\nversion: 1\n'version': 1\nclasses: []\nversion: 1\n")
        #expect(found.filter { $0.contains("'version' is here a second time; the first is in line 1") }.count == 4, "\(found)")
        #expect(found.contains(":5:10: expected a class at least, found an empty list"))
    }

    @Test func `roles that include each other are a mistake, told once with the way round`() {
        let text = classes + """
            roles:
              - {name: a, includes: b}
              - {name: b, includes: [c, d]}
              - {name: c, includes: a}
              - {name: d}
              - {name: self, includes: self}
            """
        #expect(mistakes(text) == [":8:12: roles include each other in a circle: a → b → c → a", ":12:12: roles include each other in a circle: self → self"])
        #expect(mistakes(text.replacingOccurrences("{name: c, includes: a}", "{name: c}").replacingOccurrences("includes: self", "includes: a")) == [])
    }

    @Test func `a chain of ten thousand roles is read, and its circle found`() throws {
        let chain = (0..<9_999).map { "  - {name: r\($0), includes: r\($0 + 1)}\n" }.joined()
        let document = try read(classes + "roles:\n" + chain + "  - {name: r9999, members: E1}\n")
        #expect(Policy(document).roles(of: Person("E1")).count == 10_000)
        #expect(mistakes(classes + "roles:\n" + chain + "  - {name: r9999, includes: r0}\n").count == 1)
    }

    // MARK: Texts that are made to hurt

    @Test func `a file of ten megabytes is refused at once`() {
        #expect(mistakes(String(repeating: "#2345678\n", count: 1_200_000)) == [":1:1: 10800000 bytes; a document has 4194304 at most"])
    }

    @Test func `a billion laughs are refused where they begin, also as a key`() {
        let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n" + zip("bcdefghi", "abcdefgh").map { "\($0): &\($0) [\(Array(repeating: "*\($1)", count: 9).joined(separator: ","))]\n" }.joined()
        #expect(mistakes(laughs).count == 9)
        #expect(mistakes(laughs).first?.hasPrefix(":1:4: anchors and aliases are not read") == true)
        #expect(mistakes(laughs + "? *i\n: x\n").count == 9)
        #expect(mistakes("a: *nobody").first == ":1:4: found undefined alias")
    }

    @Test(arguments: ["? &a x", "- !t &a x", "[&a x]", "{\"k\":&a x}", "--- &a\nx: y", "\t&a x", "- |\n  &a x", "é: &é1 x", "!<x>&a y"])
    func `an anchor is seen wherever it can stand`(_ text: String) {
        // The fifth from the end is text to YAML; refusing more than there is costs an escape. The last but one is none: libyaml knows ASCII names alone.
        let found = mistakes(text)
        #expect(!found.isEmpty)
        if text != "é: &é1 x" { #expect(found[0].contains("anchors"), "\(found)") }
    }

    @Test(arguments: ["R&D", "Research & Development", "?a=1&b=2", "# say &more"])
    func `an ampersand in a word is none`(_ text: String) { #expect(YAMLTextProbe.anchors(text) == 0) }

    @Test func `what is nested deeper than a policy is refused, however deep`() {
        #expect(mistakes(String(repeating: "[", count: 100_000)).count == 1)
        #expect(mistakes(String(repeating: "- ", count: 100_000) + "x").count == 1)
        #expect(mistakes("a: " + String(repeating: "[", count: 40) + String(repeating: "]", count: 40)).contains(":1:19: nested deeper than 16 levels"))
    }

    @Test(arguments: [
        ("a: b: c", ":1:5: mapping values are not allowed in this context"), ("a: 'b", ":1:6: found unexpected end of stream"), ("a:\n\tb: c", ":2:1:"), ("--- a\n--- b", ":2:1:"),
        ("a: !!binary AA==", ":1:4: tags are not read"), ("? [a, b]\n: c", ":1:3: expected a word as key, found a list or a table"), ("a: \u{1}", ":1:4:"),
    ])
    func `what is no YAML, or more than we take of it, has its place`(_ text: String, _ beginning: String) {
        let found = mistakes(text)
        #expect(found.contains { $0.hasPrefix(beginning) }, "\(found)")
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        #expect(throws: Mistakes(.notUTF8)) { try YAMLText.tree([0x61, 0x3A, 0xFF]) }
        #expect(throws: Mistakes(.notUTF8)) { try Tree(json: [0x22, 0xC3, 0x22]) }
    }

    // MARK: The canonical form

    @Test func `the canonical form is read back to itself, and says nothing of order or spelling`() throws {
        let reader = PolicyReader(detections: ["card", "iban"])
        let document = try read(whole)
        let bytes = document.canonical
        #expect(try reader.read(canonical: bytes).canonical == bytes)
        let shuffled = try read(
            whole.replacingOccurrences("[pointer, key, window, presence]", "[presence, key, pointer, window]").replacingOccurrences("90 days", "2160 hours")
                .replacingOccurrences("members: E3", "members: [E3, E3]"))
        #expect(shuffled.canonical == bytes)
        #expect(try read(whole.replacingOccurrences("audience: 200", "audience: 201")).canonical != bytes)
        #expect(throws: Mistakes.self) { try reader.read(canonical: bytes + [0x20]) }
    }

    @Test(arguments: [
        #"{"a":1,"a":2}"#, "[1,]", "[01]", "[1.]", "[nul]", #"["\ud800"]"#, #"["\x"]"#, "[1] 2", "", "{", #"{"a"}"#, "\u{FEFF}[]", "[\"\n\"]", "[1e]", "[+1]", "[NaN]",
    ])
    func `what is no JSON is no canonical form`(_ text: String) { #expect(throws: Mistakes.self) { try Tree(json: Array(text.utf8)) } }

    @Test func `JSON's escapes and numbers are read`() throws {
        let tree = try Tree(json: Array(#" {"a\u0041\ud83d\ude00": [-1.5e+3, true, "\n\/"]} "#.utf8))
        guard case .table(let entries) = tree.content, case .list(let items) = entries[0].value.content else { Issue.record("no table"); return }
        #expect(entries[0].key == "aA😀")
        #expect(items.map(\.content) == [.text("-1.5e+3"), .text("true"), .text("\n/")])
    }

    @Test func `days are those of the calendar`() {
        for day in ["1970-01-01", "2000-02-29", "2024-12-31", "2026-11-25T12:00:01Z", "2261-12-31"] { #expect(WallTime(day: day)?.day == day) }
        for none in ["1969-12-31", "2100-02-29", "2026-13-01", "2026-1-1", "2026-11-25T24:00:00Z", "2026-11-25 12:00:00Z", "2026-11-25T12:00:00"] {
            #expect(WallTime(day: none) == nil, "\(none)")
        }
        #expect(WallTime(day: "2026-11-25")?.nanoseconds == 1_795_564_800_000_000_000)
    }
}

/// How many mistakes of a text are anchors.
enum YAMLTextProbe {
    static func anchors(_ text: String) -> Int { mistakes(text).count { $0.contains("anchors") } }
}

extension String {
    /// Foundation's, without Foundation. Fails the test when there is nothing to replace: the case would be no case.
    func replacingOccurrences(_ old: String, _ new: String) -> String {
        let parts = split(separator: old, omittingEmptySubsequences: false)
        precondition(parts.count > 1, "'\(old)' does not occur")
        return parts.joined(separator: new)
    }
}
