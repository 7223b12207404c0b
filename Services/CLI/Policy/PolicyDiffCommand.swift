import ArgumentParser
import Chassis
import Foundation
import Gate
import Rules
import Wire

extension PolicyCommand {
    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What a policy would change: who gains, who loses, audience of each class, what agents start or stop sending.",
            discussion: """
                EXAMPLE
                  sluice policy diff policy.yaml --people people.csv           from the policy that is in force
                  sluice policy diff policy.yaml --from old.yaml               without a suite

                People are a file with id, site and team; without it one person of each site and team that the documents name stands for all. Changes nothing, and ends with 0 whatever the difference is: --json has
                "widens", and "exceeded" for classes that more people could read than the document itself allows.
                """)
        @Argument(help: "The policy that would be applied.") var file: String
        @OptionGroup var connection: Connection
        @Option(name: [.customLong("from"), .customLong("against")], help: ArgumentHelp("The policy before. Default: the one that is in force in the suite.", valueName: "file")) var from: String?
        @Option(help: ArgumentHelp("The directory: CSV or JSON.", valueName: "file")) var people: String?
        @Option(help: ArgumentHelp("The moment for which grants are judged. Default: now.", valueName: "2027-01-31")) var at: String?
        @Flag(help: "Name the people, 20 of each at most.") var names = false

        func run() throws {
            let now: WallTime
            if let at {
                guard let moment = WallTime(day: at) else { throw Complaint("'\(at)' is no moment like 2027-01-31 or 2027-01-31T18:00:00Z") }
                now = moment
            } else {
                now = WallTime(microseconds: Int64(Date().timeIntervalSince1970 * 1e6))
            }
            let directory = try people.map { try PeopleFile.read($0) }
            let before: PolicyDocument
            let after: PolicyDocument
            do {
                after = try PolicyFiles.document(file)
                before = try from.map { try PolicyFiles.document($0) } ?? inForce()
            } catch let mistakes as PolicyMistakes {
                PolicyCommand.tell(mistakes)
                throw ExitCode(1)
            }
            let diff = PolicyDiff(from: before, to: after, people: directory ?? Population.standIns(for: [before, after]), at: now)
            if connection.json { try PolicyCommand.print(diff.json(names: names)) } else { Diff.show(diff, hasPeople: people != nil, names: names) }
        }

        /// As control has it.
        private func inForce() throws -> PolicyDocument {
            guard FileManager.default.fileExists(atPath: connection.folder.file("registry.json")) else {
                throw Complaint("there is no suite in \(connection.folder.path): name the policy before with --from FILE, or the suite's folder with --home")
            }
            let document = try connection.client().query(.policy(WirePolicyQuery())).policy.document
            return try document.isEmpty ? .standard : PolicyFiles.document(canonical: [UInt8](document))
        }

        static func show(_ diff: PolicyDiff, hasPeople: Bool, names: Bool) {
            let terminal = Terminal()
            guard !diff.isEmpty else { return Swift.print("nothing changes") }
            if !hasPeople { Swift.print(terminal.dim("without --people one person of each site and team that the documents name, and of any other, stands for all")) }
            for audience in diff.audiences { for line in lines(audience, diff, terminal, names) { Swift.print(Terminal.safe(line)) } }
            for one in diff.retentions {
                let isLonger = one.after ?? .zero > one.before ?? .zero
                let word = one.before == nil || one.after == nil ? "" : isLonger ? "   LONGER" : "   shorter"
                Swift.print("\(Diff.pad(one.dataClass)) retention \(Diff.days(one.before)) → \(Diff.days(one.after))\(word)")
            }
            for line in diff.captureLines { Swift.print("agents     \(line)") }
            for move in diff.moves { Swift.print("rules      some events of \(move.from ?? "no class") become \(move.to.map { "events of \($0)" } ?? "events of no class, and are dropped")") }
            for one in diff.bases {
                Swift.print("purpose    \(one.purpose): \(one.before.map(Diff.words) ?? "not there") → \(one.after.map(Diff.words) ?? "not there")")
            }
            for one in diff.leaks { Swift.print("leak       \(one.detector.rawValue): \(one.before.words) → \(one.after.words)") }
            if let drills = diff.drills { Swift.print("drills     \(drills.before.words) → \(drills.after.words)") }
            if let notices = diff.notices { Swift.print("notices    \(notices.before.words) → \(notices.after.words)") }
            for name in diff.exceeded { Swift.print(terminal.red("LIMIT      \(name): more people could read it than the document allows; it is applied only if both operators name it")) }
            if diff.isWidening {
                Swift.print(terminal.yellow("WIDENS     \(diff.widenings.count) \(diff.widenings.count == 1 ? "reason" : "reasons"): it takes a second operator"))
                for reason in diff.widenings.prefix(20) { Swift.print("           \(Terminal.safe(reason.words))") }
                if diff.widenings.count > 20 { Swift.print("           and \(diff.widenings.count - 20) more: --json has all") }
            } else {
                Swift.print(terminal.green("NARROWS    nobody gains: one operator applies it"))
            }
        }

        private static func lines(_ one: PolicyDiff.Audience, _ diff: PolicyDiff, _ terminal: Terminal, _ names: Bool) -> [String] {
            let gains = diff.gains.filter { $0.dataClass == one.dataClass }
            let losses = diff.losses.filter { $0.dataClass == one.dataClass }
            guard one.before != one.after || one.limitBefore != one.limit || !gains.isEmpty || !losses.isEmpty else { return [] }
            func number(_ count: Int?) -> String { count.map { Show.number($0) } ?? "–" }
            var head = "\(Diff.pad(one.dataClass)) audience \(number(one.before)) → \(number(one.after))"
            if one.isExceeded { head += "   LIMIT \(number(one.limit))" } else if one.limitBefore != one.limit { head += "   limit \(one.before == nil ? "" : "\(one.limitBefore.map { Show.number($0) } ?? "none") → ")\(one.limit.map { Show.number($0) } ?? "none")" }
            let details = words(gains, "GAINS", "LONGER OR MORE", diff, names) + words(losses, "LOSES", "SHORTER OR LESS", diff, names)
            guard let first = details.first else { return [head] }
            return [head + "   " + first] + details.dropFirst().map { "           " + $0 }
        }

        /// One line for a grant: its parts differ in whose data they are of.
        private static func words(_ all: [PolicyDiff.Access], _ whole: String, _ part: String, _ diff: PolicyDiff, _ names: Bool) -> [String] {
            struct Key: Hashable {
                let grant: String
                let isWhole: Bool
            }
            var order: [Key] = []
            var groups: [Key: [PolicyDiff.Access]] = [:]
            for one in all {
                let key = Key(grant: one.grant, isWhole: one.isWhole)
                if groups[key] == nil { order.append(key) }
                groups[key, default: []].append(one)
            }
            return order.flatMap { key -> [String] in
                guard let parts = groups[key], let first = parts.first else { return [] }
                let people = diff.readerCount(of: parts)
                let most = parts.map { diff.count(of: $0).subjects }.max() ?? 0
                var lines = ["\(key.isWhole ? whole : part): role \(first.role) (\(Diff.people(people))) by grant \"\(key.grant)\", of \(Diff.people(most))\(parts.count > 1 ? " at most" : "") for \(first.purpose)"]
                if names {
                    let ids = Set(parts.flatMap { diff.readers(of: $0).map(\.id) }).sorted()
                    lines.append("  " + ids.prefix(20).joined(separator: ", ") + (ids.count > 20 ? ", and \(ids.count - 20) more" : ""))
                }
                return lines
            }
        }

        static func pad(_ text: String) -> String { text.padding(toLength: max(10, text.count), withPad: " ", startingAt: 0) }
        static func people(_ count: Int) -> String { count == 1 ? "1 person" : "\(Show.number(count)) people" }

        static func days(_ span: Span?) -> String {
            guard let span else { return "never stored" }
            let hours = span.nanoseconds / 3_600_000_000_000
            return hours % 24 == 0 ? "\(hours / 24) days" : "\(hours) hours"
        }

        static func words(_ basis: LegalBasis) -> String {
            let asks = basis.asks == .none ? "asks for nothing" : "asks for \(basis.asks == .consent ? "consent" : "notice")"
            return "\(basis.rawValue) (\(asks))"
        }
    }
}

extension PolicyDocument.LeakReaction {
    var words: String {
        var parts = ["closes \(direction) of \(of.rawValue)"]
        if let limit {
            let named = [("events", limit.events), ("subjects", limit.subjects), ("classes", limit.classes), ("hours", limit.hours), ("reads", limit.reads)].compactMap { name, max in max.map { "\(Show.number($0)) \(name)" } }
            parts.append("over \(named.joined(separator: " or ")) per \(limit.per.rawValue)")
        }
        if let past {
            let named = [("events", past.events), ("classes", past.classes), ("hours", past.hours)].compactMap { name, least in least.map { ", \(Show.number($0)) \(name)" } }
            parts.append("over \(past.times) times the largest day, \(Show.number(past.least)) people\(named.joined()) at least")
        }
        if !planted.isEmpty { parts.append("of \(planted.count) planted") }
        if !events.isEmpty { parts.append("of \(events.count) planted events") }
        if !cleared.isEmpty { parts.append("\(cleared.count) cleared") }
        return parts.joined(separator: "; ")
    }
    var direction: String { close == .read ? "reading" : close == .capture ? "capture" : "both" }
}

extension DrillTerms {
    /// For people.
    var words: String {
        func bound(_ span: Span?, _ what: String) -> String? { span.map { "\(what) within \(Show.span(microseconds: UInt32(clamping: $0.microseconds)))" } }
        let parts = [every.map { "one every \($0.rawValue)" }, bound(readsClosed, "reads closed"), bound(certificate, "certificate"), bound(notice, "notice")].compactMap { $0 }
        return parts.isEmpty ? "nothing is said of them" : parts.joined(separator: ", ")
    }
}

extension NoticeTerms {
    /// For people.
    var words: String {
        let parts = ["sent \(send == .atOnce ? "at once by one operator" : "by two operators")", "readers by \(readers.rawValue)", escalate.map { "who has none is named after \(PolicyCommand.Diff.days($0))" }]
        return parts.compactMap { $0 }.joined(separator: ", ")
    }
}

extension Minimisation {
    var words: String {
        if case .redact(let types) = self { "redact \(types.map { $0.sorted().joined(separator: ", ") } ?? "all")" } else { word }
    }
}

extension PolicyDiff.Widening {
    var words: String {
        func people(_ count: Int) -> String { PolicyCommand.Diff.people(count) }
        return switch self {
        case .access(let grant, let name, let count): "\(people(count)) can read \(name) of somebody whose they could not, by grant \"\(grant)\""
        case .terms(let grant, let name, let count): "\(people(count)) can read \(name) for longer, or more at a time, by grant \"\(grant)\""
        case .retention(let name): "\(name) is kept for longer"
        case .audienceLimit(let name): "the audience limit of \(name) is raised"
        case .capture(let shapes, let count): "more is kept of \(shapes.map { "\($0)" }.joined(separator: ", ")) of \(people(count))"
        case .records(let name): "\(name) is captured of some who had not agreed, or were not told"
        case .basis(let purpose): "purpose \(purpose) asks its subjects for less"
        case .moved(let from, let to): "events of \(from) become events of \(to), which somebody reads, or which is kept for longer"
        case .leak(let detector): "a finding of \(detector.rawValue) closes less"
        case .drills: "drills may take longer, or come less often"
        case .notices(let loosening): loosening.words
        }
    }
}

extension PolicyDiff {
    /// What agents start and stop sending, one line for each kind of change.
    var captureLines: [String] {
        captures.map { one in
            let count = PolicyCommand.Diff.people(count(of: one))
            let verb = one.before == .drop ? "START sending" : one.after == .drop ? "stop sending" : one.isWider ? "send MORE of" : "send less of"
            let named = one.classAfter ?? one.classBefore ?? "no class"
            let name = one.classBefore == one.classAfter || one.classBefore == nil ? named : "\(one.classBefore ?? "no class") → \(one.classAfter ?? "no class")"
            return "\(verb) \(one.shapes.map { "\($0)" }.joined(separator: ", ")) (\(name)) of \(count): \(one.before.words) → \(one.after.words)"
        }
    }

    func json(names: Bool) -> [String: Any] {
        func access(_ one: Access) -> [String: Any] {
            let (readers, subjects) = count(of: one)
            var object: [String: Any] = [
                "grant": one.grant, "role": one.role, "purpose": one.purpose, "class": one.dataClass, "readers": readers, "subjects": subjects, "kind": one.isWhole ? "access" : "terms",
            ]
            if names {
                object["reader_ids"] = self.readers(of: one).map(\.id)
                object["subject_ids"] = self.subjects(of: one).map(\.id)
            }
            return object
        }
        func hours(_ span: Span?) -> Any { span.map { $0.nanoseconds / 3_600_000_000_000 } ?? 0 }
        return [
            "widens": isWidening, "exceeded": exceeded, "reasons": widenings.map(\.words), "gains": gains.map(access), "losses": losses.map(access),
            "audiences": audiences.map { one -> [String: Any] in
                var object: [String: Any] = ["class": one.dataClass, "exceeded": one.isExceeded]
                if let before = one.before { object["before"] = before }
                if let after = one.after { object["after"] = after }
                if let limit = one.limitBefore { object["limit_before"] = limit }
                if let limit = one.limit { object["limit"] = limit }
                return object
            },
            "retention": retentions.map { ["class": $0.dataClass, "before_hours": hours($0.before), "after_hours": hours($0.after)] as [String: Any] },
            "capture": captures.map { one -> [String: Any] in
                var object: [String: Any] = [
                    "events": one.shapes.map { $0.source?.word ?? $0.kind.word }, "before": one.before.words, "after": one.after.words, "subjects": count(of: one), "wider": one.isWider,
                ]
                if let name = one.classBefore { object["class_before"] = name }
                if let name = one.classAfter { object["class_after"] = name }
                if names { object["subject_ids"] = self.subjects(of: one).map(\.id) }
                return object
            },
            "moves": moves.map { ["from": $0.from ?? "", "to": $0.to ?? ""] },
            "purposes": bases.map { ["purpose": $0.purpose, "before": $0.before?.rawValue ?? "", "after": $0.after?.rawValue ?? ""] },
            "notices": notices.map { ["before": $0.before.words, "after": $0.after.words] } ?? [String: String](),
            "drills": drills.map { ["before": $0.before.words, "after": $0.after.words] } ?? [String: String](),
            "leaks": leaks.map { ["detector": $0.detector.rawValue, "before": $0.before.words, "after": $0.after.words] },
        ]
    }
}
