package import Gate

/// Where reports of leaks come in from other systems.
package enum Hook: String, Hashable, Sendable, CaseIterable {
    case alertmanager, standard
}

/// What other systems report, and what is closed for it: `hooks.yaml` in the suite's home. No file: reports are taken and counted, and close nothing.
///
/// | key | |
/// | --- | --- |
/// | `rules[].name` | as a policy's names; it stands in the finding |
/// | `rules[].hook` | `alertmanager` or `standard`; without it either |
/// | `rules[].match` | label, or path of a field (`data.severity`), and a pattern or a list of them: each must be there, and match |
/// | `rules[].close` | `direction` (`reading`, `capture`, `both`), and `everything: true` or one or more of `classes`, `sites`, `teams` |
/// | `rules[].reason` | one sentence for people, which goes into the ledger: what the sender wrote does not |
///
/// Every rule that matches asks for its closure: no order decides that less is closed than one of them says.
package struct HookRules: Hashable, Sendable {
    package struct Rule: Hashable, Sendable {
        package var name: String
        /// Nil: either.
        package var hook: Hook?
        package var match: [String: Set<Glob>]
        package var direction: Direction
        package var selector: Selector
        package var reason: String

        package init(name: String, hook: Hook? = nil, match: [String: Set<Glob>], direction: Direction, selector: Selector, reason: String) {
            self.name = name
            self.hook = hook
            self.match = match
            self.direction = direction
            self.selector = selector
            self.reason = reason
        }

        /// - Parameter fields: Of what was reported: a field may have several values, of which one must match.
        package func matches(_ fields: [String: [String]], from hook: Hook) -> Bool {
            guard self.hook ?? hook == hook else { return false }
            return match.allSatisfy { key, patterns in fields[key]?.contains { value in patterns.contains { $0.matches(value) } } ?? false }
        }

        /// What it asks control for.
        ///
        /// - Parameters:
        ///   - hook: That heard of it.
        ///   - reports: How many it stands for.
        package func finding(_ id: [UInt8], from hook: Hook, reports: UInt64, at: WallTime) -> Finding {
            let many = reports == 1 ? "" : " (\(reports) reports)"
            return Finding(id: id, detector: LeakDetector.report.rawValue, sentence: "\(reason): rule \(name), hook \(hook.rawValue)\(many)", direction: direction, selector: selector, at: at)
        }
    }

    package var rules: [Rule]

    package static let none = HookRules(rules: [])
    package static let rulesMax = 200
    package static let reasonBytesMax = 300

    package init(rules: [Rule]) { self.rules = rules }

    package func matching(_ fields: [String: [String]], from hook: Hook) -> [Rule] { rules.filter { $0.matches(fields, from: hook) } }

    /// - Throws: All that is wrong with it.
    package init(reading tree: Tree) throws(Mistakes) {
        var reader = TreeReader()
        var rules: [Rule] = []
        var places: [String: Place] = [:]
        if let fields = reader.fields(tree, of: "the file", required: ["rules"]) {
            for item in reader.items(fields["rules"], of: "rules", max: HookRules.rulesMax) {
                guard let rule = HookRules.rule(item, &reader) else { continue }
                if let first = places.updateValue(item.place, forKey: rule.name) { reader.complain(.duplicateName(rule.name, what: "rule", first: first), at: item.place) }
                rules.append(rule)
            }
        }
        guard reader.mistakes.isEmpty else { throw Mistakes(reader.mistakes) }
        self.rules = rules
    }

    private static func rule(_ tree: Tree, _ reader: inout TreeReader) -> Rule? {
        guard let fields = reader.fields(tree, of: "a rule", required: ["name", "match", "close", "reason"], optional: ["hook"]) else { return nil }
        let name = reader.name(fields["name"], "rule")
        let hook = reader.choice(fields["hook"], "hook", of: Hook.self)
        let match = match(fields["match"], &reader)
        let close = close(fields["close"], &reader)
        let reason = reader.foreign(fields["reason"], "a reason", max: 1).first
        guard let name, let match, let close, let reason, hook != nil || fields["hook"] == nil else { return nil }
        return Rule(name: name.text, hook: hook, match: match, direction: close.direction, selector: close.selector, reason: reason)
    }

    private static func match(_ tree: Tree?, _ reader: inout TreeReader) -> [String: Set<Glob>]? {
        guard let tree else { return nil }
        guard case .table(let entries) = tree.content, !entries.isEmpty else {
            // What matches everything is written out, as '*' of a field: it is never what was forgotten.
            reader.complain(.expected("match: a table of fields and patterns", found: TreeReader.describe(tree)), at: tree.place)
            return nil
        }
        var match: [String: Set<Glob>] = [:]
        for entry in entries { match[entry.key] = reader.globs(entry.value, entry.key) }
        return match.values.contains { $0.isEmpty } ? nil : match
    }

    private static func close(_ tree: Tree?, _ reader: inout TreeReader) -> (direction: Direction, selector: Selector)? {
        guard let tree, let fields = reader.fields(tree, of: "close", required: ["direction"], optional: ["everything", "classes", "sites", "teams"]) else { return nil }
        let directions: [String: Direction] = ["reading": .read, "capture": .capture, "both": .both]
        let direction = reader.known(fields["direction"], "direction", among: directions.keys).first.flatMap { directions[$0.text] }
        let classes = Set(reader.words(fields["classes"], "a class", max: 100).compactMap { word in reader.name(Tree(.text(word.text), at: word.place), "class").map { DataClass($0.text) } })
        let (sites, teams) = (reader.foreign(fields["sites"], "a site", max: 100), reader.foreign(fields["teams"], "a team", max: 100))
        let isEverything = reader.known(fields["everything"], "value of everything", among: ["true"]).first != nil
        let names = !(classes.isEmpty && sites.isEmpty && teams.isEmpty)
        guard isEverything != names else {
            reader.complain(.inconsistent(names ? "it names a part, and everything: one of the two" : "say what is closed: classes, sites, teams, or everything: true"), at: tree.place)
            return nil
        }
        return direction.map { ($0, Selector(sites: sites, teams: teams, classes: classes)) }
    }
}
