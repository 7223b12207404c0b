import Gate

extension PolicyDocument {
    /// The one spelling of this document: JSON that ``PolicyReader`` reads back, UTF-8, without space, keys and sets in the order of their bytes.
    ///
    /// What is hashed, signed, kept in a ledger and handed to agents. Only the order of classes says something, so two documents that differ in the order of
    /// anything else have the same.
    package var canonical: [UInt8] {
        let text = CanonicalJSON.table([
            ("access", .sorted(grants.map(\.canonical))),
            ("capture", .sorted(capture.map(\.canonical))),
            ("classes", CanonicalJSON.list(classes.map(\.canonical))),
            ("drills", drills == .none ? nil : drills.canonical),
            ("leaks", .sorted(leaks.map(\.canonical))),
            ("notices", notices == .none ? nil : notices.canonical),
            ("purposes", .sorted(purposes.map(\.canonical))),
            ("roles", .sorted(roles.map(\.canonical))),
            ("rules", .sorted(assignments.map(\.canonical))),
            ("version", CanonicalJSON("1")),
        ])
        return Array(text.text.utf8)
    }

    /// What whoever applies it takes, or why they would not: it is too long, or says in one spelling more than it says in another. Whoever wrote it is told so before they ask two operators.
    package func applied(bytesMax: Int) throws(Mistakes) -> [UInt8] {
        let bytes = canonical
        guard bytes.count <= bytesMax else { throw Mistakes(.canonicalTooLarge(bytes: bytes.count, max: bytesMax)) }
        // Places in it are none of the text that was read.
        do { _ = try PolicyReader().read(canonical: bytes) } catch { throw Mistakes(error.all.map { Mistake($0.fault, at: .start) }) }
        return bytes
    }
}

/// A piece of finished JSON.
private struct CanonicalJSON: Sendable {
    var text: String

    init(_ text: String) { self.text = text }

    static func string(_ value: String) -> CanonicalJSON {
        var text = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return CanonicalJSON(text + "\"")
    }

    static func list(_ items: [CanonicalJSON]) -> CanonicalJSON { CanonicalJSON("[" + items.map(\.text).joined(separator: ",") + "]") }

    /// By bytes: Swift's order of strings takes spellings of one character for equal.
    static func sorted(_ items: [CanonicalJSON]) -> CanonicalJSON { list(items.sorted { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }) }

    /// Keys in their order; without what is nil, and without empty sets, which ask for nothing.
    static func table(_ entries: [(String, CanonicalJSON?)]) -> CanonicalJSON {
        CanonicalJSON("{" + entries.compactMap { key, value in value.map { "\"\(key)\":\($0.text)" } }.joined(separator: ",") + "}")
    }

    static func names(_ names: some Sequence<String>) -> CanonicalJSON? {
        let list = names.map { string($0) }
        return list.isEmpty ? nil : sorted(list)
    }
}

extension PolicyDocument.Class {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("audience", retention == nil ? nil : audienceMax.map { CanonicalJSON("\($0)") } ?? .string("unlimited")),
            ("name", .string(name)),
            ("retention", .string(retention.map { "\($0.nanoseconds / 3_600_000_000_000) hours" } ?? "never")),
        ])
    }
}

extension PolicyDocument.Assignment {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("application", .names(applications.map(\.description))), ("class", .string(dataClass)), ("detected", .names(detected)), ("kind", .names(kinds.map(\.word))),
            ("label", .names(labels.map(\.description))), ("source", .names(sources.map(\.word))), ("title", .names(titles.map(\.description))),
            ("url", .names(urls.map(\.description))),
        ])
    }
}

extension PolicyDocument.CaptureRule {
    fileprivate var canonical: CanonicalJSON {
        var types: Set<String>?
        if case .redact(let named) = minimisation { types = named }
        return .table([
            ("as", .string(minimisation.word)), ("class", .names(classes)), ("except", people.except?.canonical), ("for", people.canonical),
            ("kind", .names(kinds.map(\.word))), ("redact", types.flatMap { .names($0) }), ("source", .names(sources.map(\.word))),
        ])
    }
}

extension PolicyDocument.Purpose {
    fileprivate var canonical: CanonicalJSON { .table([("basis", .string(basis.rawValue)), ("classes", .names(classes)), ("name", .string(name))]) }
}

extension PolicyDocument.Role {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("except", people?.except?.canonical), ("for", people?.canonical), ("includes", .names(includes)), ("members", .names(members)), ("name", .string(name)),
        ])
    }
}

extension PolicyDocument.Grant {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("classes", .names(classes)), ("except", subjects.except?.canonical), ("expires", .string(expires?.day ?? "never")), ("for", subjects.canonical),
            ("name", .string(name)), ("purpose", .string(purpose)), ("rate", rate?.canonical ?? .string("unlimited")), ("role", .string(role)),
        ])
    }
}

extension PolicyDocument.LeakReaction {
    fileprivate var canonical: CanonicalJSON {
        let direction = close == .read ? "reading" : close == .capture ? "capture" : "both"
        return .table([
            ("cleared", .names(cleared)), ("close", .string(direction)), ("detector", .string(detector.rawValue)),
            ("events", events.isEmpty ? nil : .sorted(events.map(\.canonical))), ("limit", limit?.canonical), ("of", .string(of.rawValue)),
            ("past", past?.canonical), ("planted", .names(planted)),
            ("urls", urls.isEmpty ? nil : .sorted(urls.map(\.canonical))),
        ])
    }
}

extension WebProbe {
    fileprivate var canonical: CanonicalJSON {
        .table([("class", .names(classes)), ("marker", marker.map { .string($0) }), ("private", .names(privateHosts)), ("undecided", undecided == .shown ? nil : .string(undecided.rawValue)), ("url", .string(url))])
    }
}

extension PlantedEvents {
    fileprivate var canonical: CanonicalJSON { .table([("at", at.map { .string($0.day) }), ("class", .string(dataClass)), ("subject", .string(subject))]) }
}

extension PastLimit {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("classes", classes.map { CanonicalJSON("\($0)") }), ("events", events.map { CanonicalJSON("\($0)") }), ("hours", hours.map { CanonicalJSON("\($0)") }),
            ("least", CanonicalJSON("\(least)")), ("times", CanonicalJSON("\(times)")),
        ])
    }
}

extension DrillTerms {
    fileprivate var canonical: CanonicalJSON {
        func milliseconds(_ span: Span?) -> CanonicalJSON? { span.map { .string("\($0.milliseconds) ms") } }
        return .table([
            ("certificate", milliseconds(certificate)), ("every", every.map { .string($0.rawValue) }), ("notice", milliseconds(notice)), ("reads", milliseconds(readsClosed)),
        ])
    }
}

extension NoticeTerms {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("escalate", escalate.map { .string("\($0.nanoseconds / 3_600_000_000_000) h") }), ("readers", readers == NoticeTerms.none.readers ? nil : .string(readers.rawValue)),
            ("send", send == NoticeTerms.none.send ? nil : .string(send.rawValue)),
        ])
    }
}

extension LeakLimit {
    fileprivate var canonical: CanonicalJSON {
        .table([
            ("classes", classes.map { CanonicalJSON("\($0)") }), ("events", events.map { CanonicalJSON("\($0)") }), ("hours", hours.map { CanonicalJSON("\($0)") }),
            ("per", .string(per.rawValue)), ("reads", reads.map { CanonicalJSON("\($0)") }), ("subjects", subjects.map { CanonicalJSON("\($0)") }),
        ])
    }
}

extension GrantRate {
    fileprivate var canonical: CanonicalJSON {
        .table([("events", events.map { CanonicalJSON("\($0)") }), ("per", .string(per.rawValue)), ("subjects", subjects.map { CanonicalJSON("\($0)") })])
    }
}

extension Group {
    fileprivate var canonical: CanonicalJSON { only?.canonical ?? .string(PolicyDocument.everyone) }
}

extension Group.Match {
    fileprivate var canonical: CanonicalJSON { .table([("role", .names(roles)), ("site", .names(sites)), ("subject", .names(subjects)), ("team", .names(teams))]) }
}
