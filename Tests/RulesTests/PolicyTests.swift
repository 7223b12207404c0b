import Gate
import Rules
import Testing
import YAML

struct PolicyDecisionTests {
    private let now = WallTime(day: "2026-11-25") ?? .distantPast
    private let told = Records(notices: ["training"], consents: ["training"])

    private func asked(_ policy: Policy, _ reader: String, _ purpose: String, _ name: String, of subject: Person, _ records: Records? = nil, at moment: WallTime? = nil) -> String {
        switch policy.mayRead(Person(reader), for: purpose, DataClass(name), of: subject, records: records ?? told, at: moment ?? now) {
        case .granted(let grants): grants.map(\.name).joined(separator: " ")
        case .denied(let denial): denial.word
        }
    }

    @Test func `nobody reads without a grant, and each refusal has its reason`() throws {
        let policy = try RulesTests.policy(whole)
        let subject = Person("E9", site: "a", team: "x")
        #expect(asked(policy, "E1", "training", "content", of: subject) == "one")
        #expect(asked(policy, "E3", "training", "content", of: subject) == "one", "who includes a role has its members")
        #expect(asked(policy, "E8", "training", "content", of: subject) == "no-grant")
        #expect(asked(policy, "E1", "training", "content", of: Person("E9", site: "a", team: "y")) == "subject-not-covered")
        #expect(asked(policy, "E1", "training", "content", of: subject, Records(notices: ["training"])) == "no-record")
        #expect(asked(policy, "E1", "training", "activity", of: subject) == "no-grant")
        #expect(asked(policy, "E1", "training", "review", of: subject) == "not-of-purpose")
        #expect(asked(policy, "E1", "traning", "content", of: subject) == "unknown-purpose")
        #expect(asked(policy, "E1", "training", "contents", of: subject) == "unknown-class")
        #expect(asked(policy, "E1", "training", "credential", of: subject) == "never-stored")
        #expect(asked(Policy(.nothing), "E1", "training", "content", of: subject) == "unknown-class")
        #expect(asked(Policy(.standard), "E1", "operation", "content", of: subject) == "no-grant")
    }

    @Test func `a grant ends at its moment, and one that overlaps it goes on`() throws {
        let policy = try RulesTests.policy(whole)
        let subject = Person("E9", site: "a", team: "x")
        let end = WallTime(day: "2027-01-31") ?? .distantPast
        #expect(asked(policy, "E1", "training", "content", of: subject, at: end - Span(nanoseconds: 1)) == "one")
        #expect(asked(policy, "E1", "training", "content", of: subject, at: end) == "expired")
        let overlapping = try RulesTests.policy(whole.replacingOccurrences(
            "leaks:", "  - {name: longer, role: staff, purpose: training, classes: content, for: {subject: E9}, expires: 2027-03-01, rate: unlimited}\nleaks:"))
        #expect(asked(overlapping, "E1", "training", "content", of: subject) == "longer one")
        #expect(asked(overlapping, "E1", "training", "content", of: subject, at: end) == "longer")
    }

    @Test func `who is in no directory is not everyone`() throws {
        let policy = try RulesTests.policy(whole)
        let subject = Person("E9", site: "a", team: "x")
        #expect(policy.mayRead(Person("job"), for: "law", DataClass("review"), of: subject, records: .none, at: now) == .denied(.noGrant))
        guard case .granted = policy.mayRead(Person("E77", site: "a", team: "z"), for: "law", DataClass("review"), of: subject, records: .none, at: now) else {
            Issue.record("everyone of the directory may")
            return
        }
    }

    // MARK: Classes

    @Test func `the standard document says what the standard classification says`() {
        let policy = Policy(.standard)
        for shape in EventShape.allCases {
            let event = Event(at: WallTime(nanoseconds: 0), detail: detail(shape))
            #expect(policy.classify(event) == Classification.standard.classify(event))
            #expect(policy.isPlain(shape))
        }
        #expect(policy.document.classes.map(\.dataClass) == Classification.standard.classes)
        #expect(policy.document.classes.filter { $0.retention != nil }.map(\.dataClass) == Array(Classification.standard.stored))
    }

    private func detail(_ shape: EventShape) -> Event.Detail {
        switch shape.kind {
        case .pointer: .pointer(.init(.move, x: 3, y: 4, button: "left"))
        case .key: .key(.init(.down, "a"))
        case .window: .window(.init(app: "Mail", title: "Review of E1", url: "https://x"))
        case .presence: .presence(.away)
        case .text: .text(.init("call 4111 1111 1111 1111 now", source: shape.source ?? .chat, app: "Mail", label: "HR"))
        }
    }

    @Test func `of all rules that match, the most sensitive class counts`() throws {
        let policy = try RulesTests.policy(whole)
        func name(_ traits: EventTraits) -> String? { policy.classify(traits)?.name }
        guard let chat = EventShape(.text, .chat), let window = EventShape(.window), let mail = EventShape(.text, .mail), let key = EventShape(.key) else { return }
        #expect(name(.init(chat)) == "content")
        #expect(name(.init(mail)) == nil, "no rule speaks of mail")
        #expect(name(.init(window, title: "My REVIEW of you")) == "activity", "both marks are asked for")
        #expect(name(.init(window, title: "My REVIEW of you", detected: ["iban"])) == "review")
        #expect(!policy.isPlain(window) && !policy.isPlain(key))
        // Keys have the window that they were typed into.
        let typed = Event(at: WallTime(nanoseconds: 0), detail: .key(.init(.down, "a")))
        #expect(policy.classify(typed, in: .init(app: "x", title: "review"), detected: ["card"])?.name == "review")
        #expect(policy.classify(typed)?.name == "activity")
    }

    // MARK: Capture

    @Test func `the strictest rule counts, and two redactions are one of both`() throws {
        let policy = try RulesTests.policy(whole)
        guard let chat = EventShape(.text, .chat), let key = EventShape(.key) else { return }
        func capture(_ shape: EventShape, _ name: String?, _ id: String, site: String = "a", _ records: Records? = nil) -> String {
            let (minimisation, reason) = policy.capture(shape, name.map { DataClass($0) }, of: Person(id, site: site, team: "z"), records: records ?? told)
            return reason == .rule ? minimisation.word : reason.word
        }
        #expect(capture(chat, "content", "E1") == "redact")
        #expect(capture(chat, "content", "E1", site: "c") == "keep")
        #expect(capture(chat, "content", "E8") == "keep", "who has not the role")
        #expect(capture(key, "activity", "E1") == "keep")
        #expect(capture(key, "activity", "E1", Records(notices: ["training"])) == "no-record")
        #expect(capture(chat, "review", "E1", Records.none) == "redact", "a duty of law waits for nobody")
        #expect(capture(chat, "credential", "E1") == "never-stored")
        #expect(capture(chat, nil, "E1") == "unclassified")
        #expect(Policy(try read(classes)).capture(chat, DataClass("content"), of: Person("E1"), records: told).reason == .noPurpose)
        #expect(Minimisation.redact(["a"]).stricter(.redact(["b"])) == .redact(["a", "b"]))
        #expect(Minimisation.redact(["a"]).stricter(.redact(nil)) == .redact(nil))
        #expect(Minimisation.redact(["a", "b"]).isWithin(.redact(["a"])) && !Minimisation.redact(["a"]).isWithin(.redact(["a", "b"])))
        #expect(Minimisation.timing.isWithin(.redact(nil)) && !Minimisation.keep.isWithin(.redact([])))
    }

    @Test func `each step of minimisation leaves less`() throws {
        let text = Event(at: WallTime(nanoseconds: 7), duration: .seconds(1), detail: detail(try #require(EventShape(.text, .chat))))
        let found = [Found("card", in: .text, 5..<24), Found("word", in: .label, 0..<2)]
        #expect(Minimisation.keep.apply(to: text, found: found) == .event(text))
        #expect(Minimisation.drop.apply(to: text) == .dropped)
        #expect(Minimisation.count.apply(to: text) == .counted(.text))
        guard case .event(let redacted) = Minimisation.redact(["card"]).apply(to: text, found: found), case .event(let all) = Minimisation.redact(nil).apply(to: text, found: found) else {
            Issue.record("nothing is left")
            return
        }
        #expect(redacted.detail == .text(.init("call [card] now", source: .chat, app: "Mail", label: "HR")))
        #expect(all.detail == .text(.init("call [card] now", source: .chat, app: "Mail", label: "[word]")))
        #expect(redacted.at == text.at && redacted.duration == text.duration)
        let bare: [EventShape: Event.Detail] = [
            try #require(EventShape(.pointer)): .pointer(.init(.move, x: 0, y: 0)), try #require(EventShape(.key)): .key(.init(.down, "")),
            try #require(EventShape(.window)): .window(.init(app: "", title: "")), try #require(EventShape(.presence)): .presence(.away),
            try #require(EventShape(.text, .mail)): .text(.init("", source: .mail)),
        ]
        for (shape, detail) in bare {
            #expect(Minimisation.timing.apply(to: Event(at: text.at, detail: self.detail(shape))) == .event(Event(at: text.at, detail: detail)))
        }
    }

    @Test(arguments: [
        ([Found("a", in: .text, 0..<3), Found("b", in: .text, 2..<5)], "[a]fghij"), ([Found("a", in: .text, 0..<3), Found("b", in: .text, 3..<5)], "[a]fghij"),
        ([Found("a", in: .text, 8..<99)], "abcdefgh[a]"), ([Found("a", in: .text, 20..<30)], "abcdefghij"), ([Found("a", in: .text, 4..<4)], "abcdefghij"),
        ([Found("b", in: .text, 6..<8), Found("a", in: .text, 1..<3)], "a[a]def[b]ij"), ([Found("a", in: .text, 0..<10), Found("b", in: .text, 2..<3)], "[a]"),
        ([Found("a", in: .title, 0..<3)], "abcdefghij"),
    ])
    func `ranges that overlap, touch or lie beyond the text are redacted`(_ found: [Found], _ left: String) {
        let event = Event(at: WallTime(nanoseconds: 0), detail: .text(.init("abcdefghij", source: .chat)))
        #expect(Minimisation.redact(nil).apply(to: event, found: found) == .event(Event(at: event.at, detail: .text(.init(left, source: .chat)))))
    }

    @Test func `a range that cuts a character takes it whole`() {
        let event = Event(at: WallTime(nanoseconds: 0), detail: .window(.init(app: "é", title: "a😀b", url: "é😀")))
        let found = [Found("x", in: .title, 2..<3), Found("x", in: .url, 1..<4)]
        #expect(Minimisation.redact(nil).apply(to: event, found: found) == .event(Event(at: event.at, detail: .window(.init(app: "é", title: "a[x]b", url: "[x]")))))
    }

    // MARK: Patterns

    @Test(arguments: [
        ("abc", "ABC", true), ("abc", "abcd", false), ("*", "", true), ("a*", "A rose", true), ("*b*c*", "abxxc", true), ("*b*c*", "acxb", false), ("a*a", "a", false),
        ("a*a", "aa", true), ("a**b", "ab", true), ("*aab*", "aaaab", true), (#"\*"#, "*", true), (#"\*"#, "x", false), (#"a\\b"#, #"a\b"#, true), ("é*", "e\u{301}x", true), ("*x", "x\ny", false),
        ("*x*", "y\nx", true), ("ÜBER*", "über uns", true), ("a.c", "abc", false), ("a?", "ab", false),
    ])
    func `a pattern is the whole text, with runs of anything`(_ pattern: String, _ text: String, _ isMatch: Bool) throws { #expect(try Glob(pattern).matches(text) == isMatch) }

    @Test func `a pattern that would make others backtrack reads the text once`() throws {
        // With backtracking, this is beyond the age of the universe; so the test ends, or it fails.
        let glob = try Glob(String(repeating: "*a*a*aab", count: 30) + "*z")
        #expect(!glob.matches(String(repeating: "a", count: 60_000)))
        #expect(try Glob("*" + String(repeating: "a", count: 200) + "b*").matches(String(repeating: "a", count: 60_000)) == false)
    }

    @Test func `rates are compared over stretches of different length`() {
        #expect(GrantRate(events: 100, per: .day).isWithin(GrantRate(events: 100, per: .hour)))
        #expect(!GrantRate(events: 100, per: .hour).isWithin(GrantRate(events: 100, per: .day)))
        #expect(GrantRate(events: 4, per: .hour).isWithin(GrantRate(events: 96, per: .day)))
        #expect(!GrantRate(subjects: 4, per: .day).isWithin(GrantRate(events: 4, per: .day)))
        #expect(!GrantRate(events: .max, per: .hour).isWithin(GrantRate(events: 5, per: .week)))
    }
}

struct PolicyCasesTests {
    private func failures(_ cases: String) throws -> [String] {
        let tree = try YAMLText.tree(Array(cases.utf8))
        return try PolicyCases(tree, detections: ["card"]).failures(of: RulesTests.policy(whole)).map { $0.line(in: "f") }
    }

    private let head = "now: 2026-11-25\npeople: [{id: E9, site: a, team: x}]\nconsents: training\ncases:\n"

    @Test func `a case that holds says nothing, and one that does not says what came instead`() throws {
        let found = try failures(
            head + """
                  - {name: kept, event: {kind: key, of: E9}, expect: {class: activity, as: keep}}
                  - {name: of mail, event: {kind: text, source: mail, of: E9}, expect: {class: content}}
                  - {name: read, read: {reader: E1, purpose: training, class: content, subject: E9}, expect: {grant: one}}
                  - {name: not read, read: {reader: E1, purpose: training, class: content, subject: E9}, expect: {denied: yes}}
                  - {name: why, read: {reader: E8, purpose: training, class: content, subject: E9}, expect: {denied: expired}}
                  - {name: misspelt, read: {reader: E8, purpose: trainin, class: content, subject: E9}, expect: {denied: yes}}
                  - {name: without, consents: [], event: {kind: key, of: E9}, expect: {as: keep}}
                """)
        #expect(
            found == [
                #"f:6:72: "of mail": expected class content, but it is class none, drop (unclassified)"#,
                #"f:8:98: "not read": expected denied, but it is granted by one"#,
                #"f:9:93: "why": expected denied (expired), but it is denied (no-grant)"#,
                #"f:10:97: "misspelt": expected denied, but it is denied (unknown-purpose)"#,
                #"f:11:71: "without": expected keep, but it is class activity, drop (no-record)"#,
            ])
    }

    @Test(arguments: [
        "  - {name: a, event: {kind: text, of: E9}, expect: {as: keep}}", "  - {name: a, event: {kind: key, source: chat, of: E9}, expect: {as: keep}}",
        "  - {name: a, event: {kind: kye, of: E9}, expect: {as: keep}}", "  - {name: a, event: {kind: key, of: E9}, expect: {as: kept}}",
        "  - {name: a, event: {kind: key, of: E9}, expect: {}}", "  - {name: a, expect: {as: keep}}", "  - {name: a, event: {kind: key, of: E9}, expect: {grant: one}}",
        "  - {name: a, read: {reader: E1, purpose: p, class: c}, expect: {denied: yes}}",
        "  - {name: a, read: {reader: E1, purpose: p, class: c, subject: E9}, expect: {denied: expird}}", "  []",
    ])
    func `a case that cannot be meant is a mistake`(_ line: String) { #expect(throws: Mistakes.self) { try failures(head + line) } }
}
