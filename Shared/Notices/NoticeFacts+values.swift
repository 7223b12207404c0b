import Exposure
import Gate
import Rules

extension NoticeFacts {
    /// More of one list than this make no page any more; how many more there are is said.
    private static let waysMax = 12
    private static let readsMax = 50

    /// Everything that a template can name. Lines of what others wrote are made one, and what is not seen is made visible.
    var values: NoticeValue.Fields {
        let words = language
        let (least, most) = (totals.readEvents.lowerBound, totals.readEvents.upperBound)
        return [
            "incident": .text("\(incident)"), "language": .text(language.rawValue),
            "subject": shown(person.subject), "name": shown(person.name), "hasName": .flag(!person.name.isEmpty),
            "organisation": shown(settings.organisation), "hasOrganisation": .flag(!settings.organisation.isEmpty),
            "found": .text(words.time(found)), "stopped": .text(stopped.map(words.time) ?? ""), "isStopped": .flag(stopped != nil), "captureStopped": .flag(captureStopped && stopped != nil),
            "contained": .text(contained.map { words.time($0.at) } ?? ""), "certificate": .text(contained.map { "\($0.certificate)" } ?? ""), "isContained": .flag(contained != nil),
            "period": .text(hull.map(words.period) ?? ""), "hasPeriod": .flag(hull != nil), "howMuch": .text(howMuch),
            "kindNames": .text(words.list(kinds.map { clean(words.words(of: $0.dataClass).name) })),
            "couldPeople": .text(words.people(totals.people)), "couldKeys": .text(words.number(totals.keys)),
            "wasRead": .flag(totals.releases > 0), "readsUnknown": .flag(readsAreUnknown), "mayHaveBeenRead": .flag(totals.releases > 0 && least == 0), "didReaders": .text(words.readers(totals.readers)),
            "didEntries": .text(words.entries(least...most)), "didOccasions": .text(words.occasions(totals.releases)),
            "namesReaders": .flag(settings.readers == .person), "namesRoles": .flag(settings.readers == .role), "countsReaders": .flag(settings.readers == .count),
            "kinds": .list(kinds.map(fields)),
            "measures": .list((settings.measures[language] ?? []).map { ["what": shown($0)] }),
            "consequences": .list(kinds.map { ["what": .text(words.words(of: $0.dataClass).consequence)] }),
            "advice": .list(kinds.map { words.words(of: $0.dataClass).advice }.filter { !$0.isEmpty }.map { ["what": .text($0)] }),
            "contactName": shown(settings.contactName), "contactPoint": shown(settings.contactPoint),
            // Beside the gaps, for which whoever writes templates of their own has a place, too.
            "gaps": .list((gaps.map(words.words(of:)) + (unproven.isEmpty ? [] : [words.unproven(unproven)])).map { ["what": .text(clean($0))] }),
            "hasProofs": .flag(!proofs.isEmpty), "proofs": .list(proofs.map { ["file": shown($0.fileName), "entry": .text("\($0.entry)")] }),
        ]
    }

    /// Then nobody may say that nobody did.
    private var readsAreUnknown: Bool { gaps.contains { if case .reads = $0 { true } else { false } } }

    private func fields(_ kind: Kind) -> NoticeValue.Fields {
        let words = language.words(of: kind.dataClass)
        let (waysLeft, readsLeft) = (kind.ways.count - NoticeFacts.waysMax, kind.reads.count - NoticeFacts.readsMax)
        return [
            "kind": .text(clean(words.name)), "class": shown(kind.dataClass.name), "when": .text(kind.period.map(language.period) ?? ""), "wasOpen": .flag(kind.period != nil),
            "entries": .text(entries(kind.events)), "examples": .text(language.list(words.fields)),
            "people": .text(language.people(kind.people)), "keys": .text(language.number(kind.keys)),
            "ways": .list(kind.ways.prefix(NoticeFacts.waysMax).map(fields)), "hasMoreWays": .flag(waysLeft > 0), "moreWays": .text(language.number(max(0, waysLeft))),
            "kindWasRead": .flag(!kind.reads.isEmpty), "readsUnknown": .flag(readsAreUnknown), "readEntries": .text(language.entries(kind.readEvents)),
            "reads": .list(kind.reads.prefix(NoticeFacts.readsMax).map(fields)), "hasMoreReads": .flag(readsLeft > 0), "moreReads": .text(language.number(max(0, readsLeft))),
        ]
    }

    private func fields(_ way: Way) -> NoticeValue.Fields {
        // A name for each key; of those that have none a number.
        let unnamed = way.people - way.names.count
        let others = way.names.isEmpty || unnamed <= 0 ? [] : [language == .english ? "\(language.number(unnamed)) more without a key" : "\(language.number(unnamed)) weitere ohne Schlüssel"]
        return [
            "when": .text(language.period(way.period)), "people": .text(language.people(way.people)), "keys": .text(language.number(way.keys)),
            "role": shown(role(way.role)), "hasRole": .flag(!way.role.isEmpty), "purpose": shown(way.purpose), "hasPurpose": .flag(!way.purpose.isEmpty),
            "names": .text(clean(language.list(way.names + others))), "hasNames": .flag(!way.names.isEmpty),
        ]
    }

    private func fields(_ read: Read) -> NoticeValue.Fields {
        [
            "when": .text(language.time(read.at)), "reader": .text(clean(reader(read.reader))), "purpose": shown(read.purpose), "hasPurpose": .flag(!read.purpose.isEmpty),
            "entries": .text(language.entries(read.events)), "isCertain": .flag(read.events.lowerBound > 0), "wasCutOff": .flag(read.wasCutOff), "entry": .text("\(read.entry)"),
        ]
    }

    private func role(_ name: String) -> String {
        switch (name == PolicyDocument.everyone, language) {
        case (true, .english): "the rule for everyone"
        case (true, .german): "die Regel für alle"
        case (false, .english): "the role \(name)"
        case (false, .german): "die Rolle \(name)"
        }
    }

    private func reader(_ reader: Reader) -> String {
        switch (reader, language) {
        case (.person(let name), _): name
        case (.roles(let roles), .english) where !roles.isEmpty: "a reader by \(language.list(roles.map(role)))"
        case (.roles(let roles), .german) where !roles.isEmpty: "ein Leser durch \(language.list(roles.map(role)))"
        case (.roles, .english), (.somebody, .english): "a reader"
        case (.roles, .german), (.somebody, .german): "ein Leser"
        }
    }

    /// From the first moment at which somebody could read any of it to the last.
    private var hull: Period? {
        guard let from = kinds.compactMap(\.period?.from).min(), let until = kinds.compactMap(\.period?.until).max() else { return nil }
        return Period(from: from, until: until)
    }

    private func entries(_ events: Int64?) -> String {
        if let events { return language.entries(events...events) }
        return language == .english ? "how many entries, nobody knows any more" : "wie viele Einträge, weiß niemand mehr"
    }

    private var howMuch: String {
        let unknown = kinds.filter { $0.events == nil && $0.period != nil }.count
        guard unknown > 0 else { return entries(totals.events) }
        guard totals.events > 0 else { return entries(nil) }
        return "\(entries(totals.events)), \(language == .english ? "and more of which nobody knows how many" : "und weitere, deren Zahl niemand mehr weiß")"
    }

    private func shown(_ text: String) -> NoticeValue { .text(clean(text)) }

    /// Without what ends a line or hides in one: a page's lines are the template's, and a mail takes no other.
    private func clean(_ text: String) -> String { String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isPrintable ? $0 : "?" })) }
}

extension Unicode.Scalar {
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
        case .format: value == 0x200C || value == 0x200D || value == 0xAD
        default: true
        }
    }
}
