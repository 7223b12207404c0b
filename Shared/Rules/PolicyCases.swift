import Gate

/// What somebody expects of a policy: cases that stand beside it, and are run before it is applied.
///
/// ```
/// now: 2026-11-25T12:00:00Z
/// people:   [{id: E1042, site: berlin, team: search}]
/// notices:  purposes that every subject was told of; consents: agreed to. A case may say otherwise
/// cases:
///   - name: reviews are for reviewers
///     read: {reader: E2001, purpose: model-training, class: review, subject: E1042}
///     expect: {denied: not-of-purpose}              or {grant: NAME}; 'denied: yes' takes any reason
///   - name: chats are redacted
///     event: {kind: text, source: chat, of: E1042, application: Slack, detected: card}
///     expect: {class: conversation, as: redact}     'class: none' for what has no class
/// ```
package struct PolicyCases: Sendable {
    package struct Case: Sendable {
        package let name: String
        package let place: Place
        let question: Question
        let expected: Expected
        let expectedPlace: Place
        let records: Records
        let now: WallTime
    }

    enum Question: Sendable {
        case event(EventTraits, of: Person)
        case read(reader: Person, purpose: String, DataClass, subject: Person)
    }

    enum Expected: Hashable, Sendable {
        case captured(dataClass: String?, as: String?)
        case grant(String)
        /// Nil: whatever the reason.
        case denied(String?)
    }

    package struct Failure: Hashable, Sendable {
        package let name: String
        package let place: Place
        package let expected: String
        package let found: String

        package func line(in file: String) -> String { "\(file):\(place.line):\(place.column): \"\(name)\": expected \(expected), but it is \(found)" }
    }

    package let cases: [Case]

    /// - Parameter detections: The types of content that detection knows.
    package init(_ tree: Tree, besides mistakes: [Mistake] = [], detections: Set<String>) throws(Mistakes) {
        var reading = CaseReading(detections: detections)
        cases = reading.cases(tree)
        let all = mistakes + reading.reader.mistakes
        guard all.isEmpty else { throw Mistakes(all) }
    }

    /// Those that do not hold, in order.
    package func failures(of policy: Policy) -> [Failure] {
        cases.compactMap { one in
            let found: String
            switch (one.question, one.expected) {
            case (.event(let traits, let subject), .captured(let dataClass, let word)):
                let assigned = policy.classify(traits)
                let (minimisation, reason) = policy.capture(traits.shape, assigned, of: subject, records: one.records)
                if dataClass.map({ $0 == assigned?.name ?? "none" }) ?? true, word.map({ $0 == minimisation.word }) ?? true { return nil }
                found = "class \(assigned?.name ?? "none"), \(minimisation.word)" + (reason == .rule ? "" : " (\(reason.word))")
            case (.read(let reader, let purpose, let dataClass, let subject), _):
                switch policy.mayRead(reader, for: purpose, dataClass, of: subject, records: one.records, at: one.now) {
                case .granted(let grants):
                    if case .grant(let name) = one.expected, grants.contains(where: { $0.name == name }) { return nil }
                    found = "granted by \(grants.map(\.name).joined(separator: ", "))"
                case .denied(let denial):
                    // A name that does not exist is denied for no reason that a case can have meant.
                    if case .denied(let word) = one.expected, word == denial.word || (word == nil && denial != .unknownPurpose && denial != .unknownClass) { return nil }
                    found = "denied (\(denial.word))"
                }
            case (.event, _): found = "an event"
            }
            return Failure(name: one.name, place: one.expectedPlace, expected: one.expected.words, found: found)
        }
    }
}

extension PolicyCases.Expected {
    fileprivate var words: String {
        switch self {
        case .captured(let dataClass, let word): [dataClass.map { "class \($0)" }, word].compactMap { $0 }.joined(separator: ", ")
        case .grant(let name): "granted by \(name)"
        case .denied(let word): word.map { "denied (\($0))" } ?? "denied"
        }
    }
}

private struct CaseReading {
    let detections: Set<String>
    var reader = TreeReader()
    private var people: [String: Person] = [:]
    private var records = Records.none
    private var now = WallTime.distantPast

    init(detections: Set<String>) { self.detections = detections }

    mutating func cases(_ tree: Tree) -> [PolicyCases.Case] {
        guard let fields = reader.fields(tree, of: "the cases", required: ["now", "cases"], optional: ["people", "notices", "consents"]) else { return [] }
        now = reader.moment(fields["now"], "a moment") ?? now
        for item in reader.items(fields["people"], of: "people", max: 100_000) {
            guard let fields = reader.fields(item, of: "a person", required: ["id", "site", "team"]), let id = reader.word(fields["id"], "a person's id") else { continue }
            let person = Person(id.text, site: reader.word(fields["site"], "a site")?.text, team: reader.word(fields["team"], "a team")?.text)
            if people.updateValue(person, forKey: id.text) != nil { reader.complain(.inconsistent("'\(id.text)' is here a second time"), at: id.place) }
        }
        records = records(fields, else: .none)
        let items = reader.items(fields["cases"], of: "cases", max: 10_000)
        if items.isEmpty, let tree = fields["cases"] { reader.complain(.expected("a case at least", found: TreeReader.describe(tree)), at: tree.place) }
        return items.compactMap { one($0) }
    }

    private mutating func records(_ fields: TreeReader.Fields, else standing: Records) -> Records {
        func texts(_ tree: Tree?, _ standing: Set<String>) -> Set<String> {
            guard let tree else { return standing }
            if case .list(let items) = tree.content, items.isEmpty { return [] }
            return Set(reader.words(tree, "a purpose").map(\.text))
        }
        let notices = texts(fields["notices"], standing.notices)
        return Records(notices: notices, consents: texts(fields["consents"], standing.consents))
    }

    /// Whoever the cases do not list is in no directory.
    private mutating func person(_ tree: Tree?, _ what: String) -> Person? {
        reader.word(tree, what).map { people[$0.text] ?? Person($0.text) }
    }

    private mutating func one(_ tree: Tree) -> PolicyCases.Case? {
        guard let fields = reader.fields(tree, of: "a case", required: ["name", "expect"], optional: ["event", "read", "now", "notices", "consents"]),
            let name = reader.word(fields["name"], "what the case says"), let expect = fields["expect"]
        else { return nil }
        let moment = fields["now"].flatMap { reader.moment($0, "a moment") } ?? now
        let records = records(fields, else: records)
        let question: PolicyCases.Question?
        let expected: PolicyCases.Expected?
        switch (fields["event"], fields["read"]) {
        case (let event?, nil):
            question = self.event(event)
            expected = captured(expect)
        case (nil, let read?):
            question = self.read(read)
            expected = access(expect)
        default:
            reader.complain(.expected("a case with 'event' or 'read'", found: fields["event"] == nil ? "neither" : "both"), at: tree.place)
            return nil
        }
        guard let question, let expected else { return nil }
        return .init(
            name: name.text, place: tree.place, question: question, expected: expected, expectedPlace: expect.place, records: records, now: moment)
    }

    private mutating func event(_ tree: Tree) -> PolicyCases.Question? {
        guard
            let fields = reader.fields(
                tree, of: "an event", required: ["kind", "of"], optional: ["source", "application", "title", "url", "label", "detected"])
        else { return nil }
        let kinds = Dictionary(uniqueKeysWithValues: Event.Kind.allCases.map { ($0.word, $0) })
        let sources = Dictionary(uniqueKeysWithValues: Event.Text.Source.allCases.map { ($0.word, $0) })
        let kind = reader.known(fields["kind"], "kind of event", among: kinds.keys).first.flatMap { kinds[$0.text] }
        let source = reader.known(fields["source"], "source of text", among: sources.keys).first.flatMap { sources[$0.text] }
        let subject = person(fields["of"], "whose event it is")
        let detected = Set(reader.known(fields["detected"], "type of detected content", among: detections).map(\.text))
        var texts: [String: String] = [:]
        for key in ["application", "title", "url", "label"] { texts[key] = reader.word(fields[key], "a text")?.text }
        guard let kind, let subject else { return nil }
        guard let shape = EventShape(kind, source) else {
            reader.complain(.inconsistent("a text has a source, and nothing else has one"), at: tree.place)
            return nil
        }
        let traits = EventTraits(
            shape, application: texts["application"], title: texts["title"], url: texts["url"], label: texts["label"], detected: detected)
        return .event(traits, of: subject)
    }

    private mutating func read(_ tree: Tree) -> PolicyCases.Question? {
        guard let fields = reader.fields(tree, of: "a read", required: ["reader", "purpose", "class", "subject"]) else { return nil }
        let reader = person(fields["reader"], "a reader")
        let purpose = self.reader.word(fields["purpose"], "a purpose")
        let dataClass = self.reader.word(fields["class"], "a class")
        let subject = person(fields["subject"], "a subject")
        guard let reader, let purpose, let dataClass, let subject else { return nil }
        return .read(reader: reader, purpose: purpose.text, DataClass(dataClass.text), subject: subject)
    }

    private mutating func captured(_ tree: Tree) -> PolicyCases.Expected? {
        guard let fields = reader.fields(tree, of: "what is expected of an event", required: [], optional: ["class", "as"]) else { return nil }
        let word = reader.word(fields["as"], "a minimisation")
        if let word, !reader.isKnown(word, "minimisation", among: Minimisation.words) { return nil }
        let dataClass = reader.word(fields["class"], "a class")
        if word == nil, dataClass == nil { reader.complain(.missingKey("class' or 'as", of: "what is expected of an event"), at: tree.place) }
        return .captured(dataClass: dataClass?.text, as: word?.text)
    }

    private mutating func access(_ tree: Tree) -> PolicyCases.Expected? {
        guard let fields = reader.fields(tree, of: "what is expected of a read", required: [], optional: ["grant", "denied"]) else { return nil }
        switch (fields["grant"], fields["denied"]) {
        case (let grant?, nil): return reader.word(grant, "the name of a grant").map { .grant($0.text) }
        case (nil, let denied?):
            guard let word = reader.word(denied, "a reason") else { return nil }
            if word.text == "yes" { return .denied(nil) }
            return reader.isKnown(word, "reason", among: Policy.Denial.words) ? .denied(word.text) : nil
        default:
            reader.complain(.expected("'grant' or 'denied'", found: fields["grant"] == nil ? "neither" : "both"), at: tree.place)
            return nil
        }
    }
}
