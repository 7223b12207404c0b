import Gate

/// Makes a ``PolicyDocument`` of a text's structure, or says everything that is wrong with it.
///
/// ```
/// version: 1
/// classes:    name, retention ("90 days", "36 hours", "never"), audience (a number, "unlimited")
/// rules:      class; kind, source, application, title, url, label, detected     a value or a list of them, each
/// capture:    as (drop, count, timing, redact, keep), for; kind, source, class, except, redact
/// purposes:   name, basis, classes
/// roles:      name; members, includes, for, except
/// access:     name, role, purpose, classes, for, expires (a day, "never"), rate ({events, subjects, per}, "unlimited"); except
/// leaks:      detector, close (reading, capture, both), of (everything, class, reader, purpose, subject), limit (breadth: events, subjects, classes, hours, per; denied: reads, per; drift: events, per);
///             past (breadth: times, least; classes, events, hours), planted (canary: subjects), events (canary: subject, class; at), cleared (canary, breadth: readers), urls (outsider: url, marker, class, private, undecided)
/// drills:     every (day, week, month), reads, certificate, notice ("100 ms", "10 s")
/// notices:    send ("two operators", "at once"), readers (count, role, person), escalate ("24 h")
/// ```
/// `for` is `everyone`, or a table of `site`, `team`, `subject`, `role`; `except` such a table.
package struct PolicyReader: Sendable {
    /// The types of content that detection knows; nil: whatever a document names. For whoever does not detect: those who do have read it before.
    package let detections: Set<String>?

    package init(detections: Set<String>? = nil) { self.detections = detections }

    /// - Parameter mistakes: What was wrong with the text itself. It is told with the rest.
    package func read(_ tree: Tree, besides mistakes: [Mistake] = []) throws(Mistakes) -> PolicyDocument {
        try read(tree, besides: mistakes, isRecorded: false)
    }

    private func read(_ tree: Tree, besides mistakes: [Mistake], isRecorded: Bool) throws(Mistakes) -> PolicyDocument {
        var reading = Reading(detections: detections, isRecorded: isRecorded)
        let document = reading.document(tree)
        let all = mistakes + reading.reader.mistakes
        guard all.isEmpty, let document else { throw Mistakes(all) }
        return document
    }

    /// The canonical form, as ``PolicyDocument/canonical`` writes it. Any other JSON is refused: a document has one hash.
    ///
    /// - Parameter isRecorded: It may be in force, or have been: what an earlier Sluice has let pass is read, and only whoever would apply it is told.
    package func read(canonical bytes: [UInt8], isRecorded: Bool = true) throws(Mistakes) -> PolicyDocument {
        let document = try read(Tree(json: bytes), besides: [], isRecorded: isRecorded)
        guard document.canonical == bytes else { throw Mistakes(.inconsistent("this is no document in its canonical form")) }
        return document
    }
}

/// The largest of everything: a document that is checked at each change, on every workstation.
enum PolicyLimits {
    static let classes = 32
    static let rules = 1_000
    static let roles = 10_000
    static let grants = 10_000
    static let purposes = 256
    static let membersOfRole = 200_000
    static let timesMax = 1_000_000
    /// Ten years and the days that leap in them.
    static let retentionHours = 3_653 * 24
}

private struct Reading {
    let detections: Set<String>?
    var reader = TreeReader()
    var classes: [String: PolicyDocument.Class] = [:]
    var purposes: [String: PolicyDocument.Purpose] = [:]
    var roles: Set<String> = [PolicyDocument.everyone]

    /// What it says was applied once: see ``PolicyReader/read(canonical:isRecorded:)``.
    let isRecorded: Bool

    init(detections: Set<String>?, isRecorded: Bool) { (self.detections, self.isRecorded) = (detections, isRecorded) }

    mutating func document(_ tree: Tree) -> PolicyDocument? {
        guard
            let fields = reader.fields(
                tree, of: "the document", required: ["version", "classes"], optional: ["rules", "capture", "purposes", "roles", "access", "leaks", "drills", "notices"])
        else { return nil }
        if let version = reader.word(fields["version"], "a version"), version.text != "1" {
            reader.complain(.expected("version 1", found: "'\(version.text.prefix(60))'"), at: version.place)
        }
        var document = PolicyDocument(classes: classes(fields["classes"]))
        // Names first: whoever uses one may stand before whoever gives it.
        let roles = reader.items(fields["roles"], of: "roles", max: PolicyLimits.roles)
        for role in roles {
            if case .table(let entries) = role.content, case .text(let name)? = entries.first(where: { $0.key == "name" })?.value.content { self.roles.insert(name) }
        }
        document.roles = self.roles(roles)
        document.purposes = purposes(fields["purposes"])
        document.assignments = reader.items(fields["rules"], of: "rules", max: PolicyLimits.rules).compactMap { assignment($0) }
        document.capture = reader.items(fields["capture"], of: "capture", max: PolicyLimits.rules).compactMap { captureRule($0) }
        document.grants = grants(fields["access"])
        document.leaks = leaks(fields["leaks"])
        document.drills = drills(fields["drills"])
        document.notices = NoticeTerms(fields["notices"], &reader)
        return document
    }

    // MARK: Classes and purposes

    private mutating func classes(_ tree: Tree?) -> [PolicyDocument.Class] {
        var places: [String: Place] = [:]
        let items = reader.items(tree, of: "classes", max: PolicyLimits.classes)
        if let tree, items.isEmpty { reader.complain(.expected("a class at least", found: TreeReader.describe(tree)), at: tree.place) }
        var all: [PolicyDocument.Class] = []
        for item in items {
            guard let fields = reader.fields(item, of: "a class", required: ["name", "retention"], optional: ["audience"]) else { continue }
            guard let name = reader.name(fields["name"], "class") else { continue }
            if let first = places[name.text] {
                reader.complain(.duplicateName(name.text, what: "class", first: first), at: name.place)
                continue
            }
            places[name.text] = name.place
            var retention: Span?
            if let word = reader.word(fields["retention"], "a retention"), word.text != "never" {
                retention = Reading.retention(word.text)
                if retention == nil {
                    reader.complain(.expected("a retention like '90 days' or '36 hours', ten years at most, or 'never'", found: "'\(word.text.prefix(60))'"), at: word.place)
                }
            }
            var audience: Int?
            if let tree = fields["audience"], tree.content != .text("unlimited") { audience = reader.count(tree, "an audience") }
            if fields["audience"] == nil, retention != nil { reader.complain(.missingKey("audience", of: "a class that is stored"), at: fields.place) }
            if let tree = fields["audience"], retention == nil, fields["retention"]?.content == .text("never") {
                reader.complain(.inconsistent("'\(name.text)' is never stored: it has no audience"), at: tree.place)
            }
            let made = PolicyDocument.Class(name.text, retention: retention, audienceMax: audience)
            classes[name.text] = made
            all.append(made)
        }
        return all
    }

    private static func retention(_ text: String) -> Span? {
        let words = text.split(separator: " ")
        guard words.count == 2, words[0].utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = Int(words[0]), number > 0 else { return nil }
        let hours: Int
        switch words[1] {
        case "hour", "hours": hours = 1
        case "day", "days": hours = 24
        case "week", "weeks": hours = 168
        default: return nil
        }
        guard number <= PolicyLimits.retentionHours / hours else { return nil }
        return .seconds(Int64(number * hours) * 3_600)
    }

    /// Names of classes. With `stored`, of such as can be read at all.
    private mutating func classNames(_ tree: Tree?, stored: Bool) -> Set<String> {
        var names: Set<String> = []
        for word in reader.known(tree, "class", among: classes.keys) {
            if stored, classes[word.text]?.retention == nil {
                reader.complain(.inconsistent("'\(word.text)' is never stored: there is nothing to read"), at: word.place)
            } else {
                names.insert(word.text)
            }
        }
        return names
    }

    private mutating func purposes(_ tree: Tree?) -> [PolicyDocument.Purpose] {
        var places: [String: Place] = [:]
        var all: [PolicyDocument.Purpose] = []
        for item in reader.items(tree, of: "purposes", max: PolicyLimits.purposes) {
            guard let fields = reader.fields(item, of: "a purpose", required: ["name", "basis", "classes"]) else { continue }
            let name = reader.name(fields["name"], "purpose")
            let basis = reader.choice(fields["basis"], "legal basis", of: LegalBasis.self)
            let classes = classNames(fields["classes"], stored: true)
            guard let name else { continue }
            if let first = places.updateValue(name.place, forKey: name.text) {
                reader.complain(.duplicateName(name.text, what: "purpose", first: first), at: name.place)
                continue
            }
            // One whose basis is not understood is known by name all the same: each use of it is not another mistake.
            let made = PolicyDocument.Purpose(name.text, basis: basis ?? .consent, classes: classes)
            purposes[name.text] = made
            all.append(made)
        }
        return all
    }

    // MARK: Rules

    private mutating func kinds(_ tree: Tree?) -> Set<Event.Kind> {
        let words = Dictionary(uniqueKeysWithValues: Event.Kind.allCases.map { ($0.word, $0) })
        return Set(reader.known(tree, "kind of event", among: words.keys).compactMap { words[$0.text] })
    }

    private mutating func sources(_ fields: TreeReader.Fields, _ kinds: Set<Event.Kind>) -> Set<Event.Text.Source> {
        let words = Dictionary(uniqueKeysWithValues: Event.Text.Source.allCases.map { ($0.word, $0) })
        let sources = Set(reader.known(fields["source"], "source of text", among: words.keys).compactMap { words[$0.text] })
        if !sources.isEmpty, !kinds.isEmpty, kinds != [.text] {
            reader.complain(.inconsistent("only text has a source: leave out 'kind', or write 'kind: text'"), at: fields.places["source"] ?? fields.place)
        }
        return sources
    }

    private mutating func detected(_ tree: Tree?) -> Set<String> {
        let what = "type of detected content"
        return Set((detections.map { reader.known(tree, what, among: $0) } ?? reader.words(tree, what)).map(\.text))
    }

    private mutating func assignment(_ tree: Tree) -> PolicyDocument.Assignment? {
        guard
            let fields = reader.fields(
                tree, of: "a rule", required: ["class"], optional: ["kind", "source", "application", "title", "url", "label", "detected"])
        else { return nil }
        let kinds = kinds(fields["kind"])
        var rule = PolicyDocument.Assignment("", kinds: kinds, sources: sources(fields, kinds))
        if let word = reader.word(fields["class"], "a class"), reader.isKnown(word, "class", among: classes.keys) { rule.dataClass = word.text }
        rule.applications = reader.globs(fields["application"], "an application")
        rule.titles = reader.globs(fields["title"], "a title")
        rule.urls = reader.globs(fields["url"], "an address")
        rule.labels = reader.globs(fields["label"], "a label")
        rule.detected = detected(fields["detected"])
        return rule
    }

    private mutating func captureRule(_ tree: Tree) -> PolicyDocument.CaptureRule? {
        guard
            let fields = reader.fields(tree, of: "a capture rule", required: ["as", "for"], optional: ["kind", "source", "class", "except", "redact"])
        else { return nil }
        let kinds = kinds(fields["kind"])
        var rule = PolicyDocument.CaptureRule(
            kinds: kinds, sources: sources(fields, kinds), classes: classNames(fields["class"], stored: true), people: group(fields) ?? .everyone, as: .drop)
        guard let word = reader.word(fields["as"], "a minimisation"), reader.isKnown(word, "minimisation", among: Minimisation.words) else { return nil }
        let types = fields["redact"].map { detected($0) }
        switch word.text {
        case "count": rule.minimisation = .count
        case "timing": rule.minimisation = .timing
        case "redact": rule.minimisation = .redact(types)
        case "keep": rule.minimisation = .keep
        default: rule.minimisation = .drop
        }
        if types != nil, word.text != "redact" {
            reader.complain(.inconsistent("'redact' names what is taken out of an event: it goes with 'as: redact'"), at: fields.places["redact"] ?? fields.place)
        }
        return rule
    }

    // MARK: People

    /// `for` and `except`. Nil after a mistake.
    private mutating func group(_ fields: TreeReader.Fields, roles: Bool = true) -> Group? {
        var group = Group()
        guard let only = fields["for"] else { return nil }
        if only.content != .text(PolicyDocument.everyone) {
            guard case .table = only.content else {
                let found = TreeReader.describe(only)
                reader.complain(.expected("'everyone', or a table of site, team, subject\(roles ? ", role" : "")", found: found), at: only.place)
                return nil
            }
            group.only = match(only, "'for'", roles: roles)
        }
        if let except = fields["except"] { group.except = match(except, "'except'", roles: roles) }
        return group
    }

    private mutating func match(_ tree: Tree, _ owner: String, roles: Bool) -> Group.Match? {
        guard let fields = reader.fields(tree, of: owner, required: [], optional: ["site", "team", "subject"] + (roles ? ["role"] : [])) else { return nil }
        let before = reader.mistakes.count
        let match = Group.Match(
            sites: reader.foreign(fields["site"], "a site"), teams: reader.foreign(fields["team"], "a team"),
            subjects: reader.foreign(fields["subject"], "a subject", max: PolicyLimits.membersOfRole),
            roles: Set(reader.known(fields["role"], "role", among: self.roles).map(\.text)))
        if match == Group.Match(), reader.mistakes.count == before {
            reader.complain(.expected("\(owner): site, team, subject or role", found: TreeReader.describe(tree)), at: tree.place)
        }
        return match
    }

    private mutating func roles(_ items: [Tree]) -> [PolicyDocument.Role] {
        var places: [String: Place] = [:]
        var all: [PolicyDocument.Role] = []
        for item in items {
            guard let fields = reader.fields(item, of: "a role", required: ["name"], optional: ["members", "includes", "for", "except"]) else { continue }
            var role = PolicyDocument.Role("", members: reader.foreign(fields["members"], "a member", max: PolicyLimits.membersOfRole))
            role.includes = Set(reader.known(fields["includes"], "role", among: roles).map(\.text))
            // Roles by roles is `includes`: in a group they could ask for the absence of one, and then what follows from a circle has no answer.
            role.people = group(fields, roles: false)
            if fields["for"] == nil, let place = fields.places["except"] { reader.complain(.inconsistent("'except' leaves people out of 'for', which is not there"), at: place) }
            guard let name = reader.name(fields["name"], "role") else { continue }
            if name.text == PolicyDocument.everyone {
                reader.complain(.inconsistent("'everyone' is the role that the whole directory has: another name, please"), at: name.place)
                continue
            }
            if let first = places.updateValue(name.place, forKey: name.text) {
                reader.complain(.duplicateName(name.text, what: "role", first: first), at: name.place)
                continue
            }
            role.name = name.text
            all.append(role)
        }
        for cycle in RoleCycles(all).found { reader.complain(.cycle(cycle), at: places[cycle[0]] ?? .start) }
        return all
    }

    // MARK: Access and leaks

    private mutating func grants(_ tree: Tree?) -> [PolicyDocument.Grant] {
        var places: [String: Place] = [:]
        var all: [PolicyDocument.Grant] = []
        for item in reader.items(tree, of: "access", max: PolicyLimits.grants) {
            guard
                let fields = reader.fields(
                    item, of: "a grant", required: ["name", "role", "purpose", "classes", "for", "expires", "rate"], optional: ["except"])
            else { continue }
            let name = reader.name(fields["name"], "grant")
            if let name, let first = places.updateValue(name.place, forKey: name.text) {
                reader.complain(.duplicateName(name.text, what: "grant", first: first), at: name.place)
            }
            let role = reader.word(fields["role"], "a role").flatMap { reader.isKnown($0, "role", among: roles) ? $0 : nil }
            let purpose = reader.word(fields["purpose"], "a purpose").flatMap { reader.isKnown($0, "purpose", among: purposes.keys) ? $0 : nil }
            let classes = classNames(fields["classes"], stored: true)
            if let purpose, let covered = purposes[purpose.text]?.classes, !covered.isEmpty, !classes.isSubset(of: covered) {
                let beyond = classes.subtracting(covered).sorted().joined(separator: ", ")
                reader.complain(.inconsistent("purpose '\(purpose.text)' is not for \(beyond)"), at: fields["classes"]?.place ?? fields.place)
            }
            var grant = PolicyDocument.Grant(
                name?.text ?? "", role: role?.text ?? "", purpose: purpose?.text ?? "", classes: classes, subjects: group(fields) ?? .everyone)
            if let tree = fields["expires"], tree.content != .text("never") { grant.expires = reader.moment(tree, "an expiry") }
            grant.rate = rate(fields["rate"])
            all.append(grant)
        }
        return all
    }

    private mutating func rate(_ tree: Tree?) -> GrantRate? {
        guard let tree, tree.content != .text("unlimited") else { return nil }
        guard case .table = tree.content else {
            reader.complain(.expected("a rate: {events, subjects, per}, or 'unlimited'", found: TreeReader.describe(tree)), at: tree.place)
            return nil
        }
        guard let fields = reader.fields(tree, of: "a rate", required: ["per"], optional: ["events", "subjects"]) else { return nil }
        if fields["events"] == nil, fields["subjects"] == nil { reader.complain(.missingKey("events' or 'subjects", of: "a rate"), at: tree.place) }
        let events = reader.count(fields["events"], "a number of events")
        let subjects = reader.count(fields["subjects"], "a number of subjects")
        guard let per = reader.choice(fields["per"], "period", of: GrantRate.Period.self) else { return nil }
        return GrantRate(events: events, subjects: subjects, per: per)
    }

    private mutating func limit(_ tree: Tree, of detector: LeakDetector) -> LeakLimit? {
        guard !detector.limits.isEmpty else {
            reader.complain(.inconsistent("a finding of '\(detector.rawValue)' has no limit: one is enough"), at: tree.place)
            return nil
        }
        let known = detector.limits.sorted()
        guard let fields = reader.fields(tree, of: "a limit", required: ["per"], optional: known) else { return nil }
        guard let per = reader.choice(fields["per"], "period", of: GrantRate.Period.self) else { return nil }
        guard known.contains(where: { fields[$0] != nil }) else {
            reader.complain(.inconsistent("a limit of '\(detector.rawValue)' names \(known.joined(separator: " or "))"), at: tree.place)
            return nil
        }
        var values: [String: Int] = [:]
        for name in known {
            guard let value = fields[name] else { continue }
            guard let number = reader.count(value, "a number of \(name)") else { return nil }
            values[name] = number
        }
        if let hours = values["hours"], hours >= per.hours {
            reader.complain(.inconsistent("'hours' is less than \(per.hours) with 'per: \(per.rawValue)', or nothing is ever found"), at: fields["hours"]?.place ?? tree.place)
            return nil
        }
        return LeakLimit(
            events: values["events"], subjects: values["subjects"], classes: values["classes"], hours: values["hours"], reads: values["reads"], per: per)
    }

    private mutating func leaks(_ tree: Tree?) -> [PolicyDocument.LeakReaction] {
        var places: [LeakDetector: Place] = [:]
        var all: [PolicyDocument.LeakReaction] = []
        for item in reader.items(tree, of: "leaks", max: LeakDetector.allCases.count) {
            guard let fields = reader.fields(item, of: "a leak's reaction", required: ["detector", "close", "of"], optional: ["limit", "past", "planted", "events", "cleared", "urls"]) else { continue }
            let detector = reader.choice(fields["detector"], "detector", of: LeakDetector.self)
            let directions: [String: Direction] = ["reading": .read, "capture": .capture, "both": .both]
            let close = reader.known(fields["close"], "direction", among: directions.keys).first.flatMap { directions[$0.text] }
            let extent = reader.choice(fields["of"], "part of the flow", of: Extent.self)
            guard let detector, let close, let extent else { continue }
            var limit: LeakLimit?
            if let tree = fields["limit"] {
                guard let read = self.limit(tree, of: detector) else { continue }
                limit = read
            } else if detector == .denied {
                reader.complain(.inconsistent("'denied' needs a limit: {reads: 20, per: hour}"), at: item.place)
                continue
            }
            let past = past(fields["past"], of: detector)
            let (planted, events, cleared) = planted(fields, of: detector)
            let urls = urls(fields["urls"], of: detector)
            let named = planted.union(events.map(\.subject))
            if !isRecorded, extent == .subject, named.count > PlantedEvents.countMax {
                reader.complain(.tooMany("subjects in 'planted' and 'events', each of which one finding may close", count: named.count, max: PlantedEvents.countMax), at: fields["events"]?.place ?? item.place)
            }
            if let first = places.updateValue(item.place, forKey: detector) {
                reader.complain(.duplicateName(detector.rawValue, what: "detector", first: first), at: item.place)
            } else if !detector.extents.contains(extent) {
                let possible = detector.extents.map(\.rawValue).sorted().joined(separator: ", ")
                reader.complain(.inconsistent("a finding of '\(detector.rawValue)' names no \(extent.rawValue): it can close \(possible)"), at: fields["of"]?.place ?? item.place)
            } else if extent == .reader || extent == .purpose, close != .read {
                reader.complain(.inconsistent("nobody captures for a \(extent.rawValue): that closes reading"), at: fields["close"]?.place ?? item.place)
            } else {
                all.append(.init(detector, close: close, of: extent, limit: limit, past: past, planted: planted, events: events, cleared: cleared, urls: urls))
            }
        }
        return all
    }

    private mutating func past(_ tree: Tree?, of detector: LeakDetector) -> PastLimit? {
        guard let tree else { return nil }
        guard detector == .breadth else {
            reader.complain(.inconsistent("'past' is how much a reader has read before: it goes with 'breadth'"), at: tree.place)
            return nil
        }
        guard let fields = reader.fields(tree, of: "'past'", required: ["times", "least"], optional: ["classes", "events", "hours"]),
            let times = reader.count(fields["times"], "how many times the largest day", max: PolicyLimits.timesMax), let least = reader.count(fields["least"], "a number of people")
        else { return nil }
        guard times > 0 else {
            reader.complain(.inconsistent("'times' is 1 at least: a day like the largest before is no finding"), at: tree.place)
            return nil
        }
        if let tree = fields["hours"], let hours = reader.count(tree, "a number of hours"), hours >= 24 {
            reader.complain(.inconsistent("'hours' is less than 24, or no day has more"), at: tree.place)
            return nil
        }
        return PastLimit(
            times: times, least: least, events: reader.count(fields["events"], "a number of events"), classes: reader.count(fields["classes"], "a number of classes"),
            hours: reader.count(fields["hours"], "a number of hours"))
    }

    private mutating func urls(_ tree: Tree?, of detector: LeakDetector) -> Set<WebProbe> {
        guard let tree else { return [] }
        guard detector == .outsider else {
            reader.complain(.inconsistent("'urls' are tried as an ordinary employee: they go with 'outsider'"), at: tree.place)
            return []
        }
        var all: Set<WebProbe> = []
        for item in reader.items(tree, of: "urls", max: WebProbe.countMax) {
            guard let fields = reader.fields(item, of: "a URL", required: ["url"], optional: ["marker", "class", "private", "undecided"]), let url = reader.word(fields["url"], "a URL") else { continue }
            guard WebProbe.isURL(url.text) else {
                reader.complain(.expected("http:// or https://, a host, and no user, \(WebProbe.urlBytesMax) bytes at most", found: "'\(url.text.prefix(60))'"), at: url.place)
                continue
            }
            let marker = reader.foreign(fields["marker"], "a marker", max: 1).first
            let hosts = Set(reader.foreign(fields["private"], "a host").map { $0.lowercased() })
            let undecided = reader.choice(fields["undecided"], "what an undecided answer is", of: WebProbe.Undecided.self) ?? .shown
            all.insert(WebProbe(url: url.text, marker: marker, classes: fields["class"] == nil ? [] : classNames(fields["class"], stored: true), privateHosts: hosts, undecided: undecided))
        }
        return all
    }

    private mutating func planted(_ fields: TreeReader.Fields, of detector: LeakDetector) -> (subjects: Set<String>, events: Set<PlantedEvents>, cleared: Set<String>) {
        for name in ["planted", "events"] {
            guard let tree = fields[name], detector != .canary else { continue }
            reader.complain(.inconsistent("'\(name)' goes with 'canary'"), at: tree.place)
            return ([], [], [])
        }
        if let tree = fields["cleared"], fields["planted"] == nil, fields["events"] == nil, fields["past"] == nil {
            reader.complain(.inconsistent("'cleared' says for whom 'planted' and 'events' (canary) or 'past' (breadth) does not count, and there is none"), at: tree.place)
        }
        return (reader.foreign(fields["planted"], "a subject"), plantedEvents(fields["events"]), reader.foreign(fields["cleared"], "a reader"))
    }

    private mutating func plantedEvents(_ tree: Tree?) -> Set<PlantedEvents> {
        var all: Set<PlantedEvents> = []
        let items = reader.items(tree, of: "planted events", max: PlantedEvents.countMax)
        for item in items {
            guard let fields = reader.fields(item, of: "planted events", required: ["subject", "class"], optional: ["at"]) else { continue }
            guard let subject = reader.foreign(fields["subject"], "a subject", max: 1).first else { continue }
            guard Drill.isPlanted(subject) else {
                reader.complain(
                    .inconsistent("events are planted with a subject that two operators have signed is nobody, whose id begins with '\(Drill.plantedPrefix)': of '\(subject.prefix(60))' they would be counted and told of"),
                    at: fields["subject"]?.place ?? item.place)
                continue
            }
            let at = reader.moment(fields["at"], "when they happened")
            for name in classNames(fields["class"], stored: true) { all.insert(PlantedEvents(of: subject, name, at: at)) }
        }
        // Each class of an entry is one of its own in the canonical form.
        if let tree, items.count <= PlantedEvents.countMax, all.count > PlantedEvents.countMax {
            reader.complain(.tooMany("entries in planted events", count: all.count, max: PlantedEvents.countMax), at: tree.place)
        }
        return all
    }

    // MARK: Drills

    private mutating func drills(_ tree: Tree?) -> DrillTerms {
        guard let tree, tree.content != .text(""), let fields = reader.fields(tree, of: "drills", required: [], optional: ["every", "reads", "certificate", "notice"]) else { return .none }
        let every = fields["every"] == nil ? nil : reader.choice(fields["every"], "how often", of: DrillTerms.Every.self)
        return DrillTerms(every: every, readsClosed: bound(fields["reads"]), certificate: bound(fields["certificate"]), notice: bound(fields["notice"]))
    }

    private mutating func bound(_ tree: Tree?) -> Span? {
        guard let word = reader.word(tree, "a bound") else { return nil }
        let words = word.text.split(separator: " ")
        let units: [Substring: Int64] = ["ms": 1, "s": 1_000]
        guard words.count == 2, words[0].utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let number = Int64(words[0]), let unit = units[words[1]], (1...600_000 / unit).contains(number) else {
            reader.complain(.expected("a bound like '100 ms' or '10 s', 10 minutes at most", found: "'\(word.text.prefix(60))'"), at: word.place)
            return nil
        }
        return .milliseconds(number * unit)
    }
}

/// Roles that include each other in a circle: each circle once, from the first of its names.
private struct RoleCycles {
    private(set) var found: [[String]] = []

    /// Without recursion: a chain of ten thousand roles is long, and no mistake.
    init(_ roles: [PolicyDocument.Role]) {
        let includes = Dictionary(roles.map { ($0.name, $0.includes.sorted()) }, uniquingKeysWith: { first, _ in first })
        var done: Set<String> = []
        for start in includes.keys.sorted() where !done.contains(start) {
            var path = [start]
            var onPath: Set<String> = [start]
            var rest = [includes[start] ?? []]
            while let next = rest.last {
                guard let role = next.first else {
                    let left = path.removeLast()
                    onPath.remove(left)
                    done.insert(left)
                    rest.removeLast()
                    continue
                }
                rest[rest.count - 1].removeFirst()
                if onPath.contains(role), let begin = path.firstIndex(of: role) {
                    found.append(path[begin...] + [role])
                } else if !done.contains(role) {
                    path.append(role)
                    onPath.insert(role)
                    rest.append(includes[role] ?? [])
                }
            }
        }
    }
}
