import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

/// People by their ids: as arguments, or in a file, one a line.
struct SubjectOptions: ParsableArguments {
    @Argument(help: "Subjects, by their ids.") var subjects: [String] = []
    @Option(name: .customLong("file"), help: ArgumentHelp("A file with a subject's id in each line ('-': standard input).", valueName: "file")) var file: String?

    func validate() throws {
        if subjects.isEmpty, file == nil { throw ValidationError("name a subject, or a --file with one in each line") }
    }

    /// Each once, in order.
    func all() throws -> [String] {
        var all = Set(subjects)
        if let file {
            let data = file == "-" ? FileHandle.standardInput.readDataToEndOfFile() : FileManager.default.contents(atPath: file)
            guard let data else { throw Complaint("cannot read \(file)") }
            all.formUnion(String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty })
        }
        guard !all.isEmpty else { throw Complaint("\(file ?? "") names nobody") }
        return all.sorted()
    }

    /// As many at once as a command may name.
    func parts() throws -> [[String]] {
        let all = try all()
        return stride(from: 0, to: all.count, by: Limits.subjectsPerCommandMax).map { Array(all[$0..<min(all.count, $0 + Limits.subjectsPerCommandMax)]) }
    }

    static func words(_ subjects: [String]) -> String {
        subjects.prefix(3).map(Terminal.safe).joined(separator: ", ") + (subjects.count > 3 ? " and \(subjects.count - 3) more" : "")
    }
}

extension Connection {
    /// One command for each part of the people. What narrows is done; what widens is proposed.
    fileprivate func perform(_ parts: [[String]], _ done: String, _ deed: ([String]) -> WireCommand.OneOf_Deed) throws {
        let (client, signer) = (try self.client(), try self.signer())
        for part in parts {
            let outcome = try client.command(deed(part), by: signer)
            if json { try Show.json(outcome) } else if outcome.hasProposal { ProposalView.show(outcome.proposal, home: home) } else {
                print("\(done): \(SubjectOptions.words(part))   entry \(outcome.entry)")
            }
        }
    }
}

struct ConsentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consent", abstract: "Who was told of which purpose, and who agreed to it.",
        discussion: """
            EXAMPLE
              sluice consent show E1042
              sluice consent grant E1042 --purpose model-training
              sluice consent withdraw E1042 --purpose model-training

            Withdrawing takes one operator and acts at once. Recording a consent, or a notice, lets what rests on it be captured and read: it takes two.
            """,
        subcommands: [List.self, Grant.self, Withdraw.self])

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "What is on record of these subjects.", discussion: "EXAMPLE\n  sluice consent show E1042\n  sluice consent show --file subjects.txt --json")
        @OptionGroup var connection: Connection
        @OptionGroup var subjects: SubjectOptions

        func run() throws {
            let client = try connection.client()
            var all = WireRecords()
            for part in try subjects.parts() { all.records += try client.query(.records(WireSubjects(part))).records.records }
            if connection.json { return try Show.json(all) }
            for one in all.records {
                print("\(Terminal.safe(one.subject))   agreed to \(ConsentCommand.list(one.consents))   was told of \(ConsentCommand.list(one.notices))")
                if one.erased > 0 { print("  erased by entry \(one.erased)\(one.waiting ? ": waits, an incident holds what there is" : "")") }
                if !one.holds.isEmpty { print("  held for incident \(one.holds.map(String.init).joined(separator: ", "))") }
            }
        }
    }

    struct Grant: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Record that these subjects agreed, or were told. Another operator approves it.",
            discussion: """
                EXAMPLE
                  sluice consent grant E1042 --purpose model-training
                  sluice consent grant --file signed-forms.txt --purpose model-training
                  sluice consent grant --file everyone.txt --purpose security --notice

                The purpose is one that the policy in force has. More than 4,000 subjects become several proposals.
                """)
        @OptionGroup var connection: Connection
        @OptionGroup var subjects: SubjectOptions
        @Option(help: "What they agreed to, as the policy names it.") var purpose: String
        @Flag(help: "A notice: they were told. Default: a consent.") var notice = false

        func run() throws {
            try connection.perform(subjects.parts(), "on record already") { .changeRecords(WireRecordsChanged($0, purpose, notice ? .notice : .consent, true)) }
        }
    }

    struct Withdraw: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Record that a consent counts no more. Capture and reading that rest on it stop at once.",
            discussion: """
                EXAMPLE
                  sluice consent withdraw E1042 --purpose model-training
                  sluice consent withdraw --file left.txt --purpose model-training

                What was captured stays; 'sluice forget' erases it. Where a purpose rests on something else than consent, it goes on: 'sluice policy show' says on what.
                """)
        @OptionGroup var connection: Connection
        @OptionGroup var subjects: SubjectOptions
        @Option(help: "What they no longer agree to.") var purpose: String
        @Flag(help: "A notice: that they were told counts no more. Default: a consent.") var notice = false

        func run() throws {
            try connection.perform(subjects.parts(), "withdrawn") { .changeRecords(WireRecordsChanged($0, purpose, notice ? .notice : .consent, false)) }
        }
    }

    private static func list(_ names: [String]) -> String { names.isEmpty ? "nothing" : names.map(Terminal.safe).joined(separator: ", ") }
}

struct Forget: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Erase everything that is held on a person: their keys are destroyed, then the rows go. For good.",
        discussion: """
            EXAMPLE
              sluice forget E1042
              sluice forget E1042 --yes --wait 60

            One operator is enough, and nobody can take it back, also not from a backup of the vault: what it holds cannot be read without the keys. Both ledgers still verify; they name the person by their id alone.
            While an incident holds what there is ('sluice hold list'), the erasure waits; nothing new is stored meanwhile. Exit code 1 when it is not done within --wait.
            """)
    @OptionGroup var connection: Connection
    @OptionGroup var subjects: SubjectOptions
    @Flag(help: "Do not ask. Needed where nobody can be asked.") var yes = false
    @Option(help: "Seconds to wait until keys and rows are gone. 0: do not wait.") var wait: UInt32 = 30

    func run() throws {
        let parts = try subjects.parts()
        let all = parts.flatMap { $0 }
        try Confirmation.ask("Forget \(SubjectOptions.words(all)), for good?", unless: yes, always: true)
        let (client, signer) = (try connection.client(), try connection.signer())
        // Whoever was erased already is so by an earlier entry than the answer's.
        var orders: [String: UInt64] = [:]
        for part in parts {
            let outcome = try client.command(.erase(WireSubjects(part)), by: signer)
            if !connection.json { print("forgotten: \(SubjectOptions.words(part))   entry \(outcome.entry)") }
            guard wait > 0 else { continue }
            for one in try client.query(.records(WireSubjects(part))).records.records { orders[one.subject] = one.erased }
        }
        guard wait > 0 else { return }
        try watch(parts, orders)
    }

    /// Until policy has done it, or says that it waits.
    ///
    /// - Parameter orders: By subject, the entry that ordered it: of what was done by an earlier one, and readmitted since, nothing is said here.
    private func watch(_ parts: [[String]], _ orders: [String: UInt64]) throws {
        let terminal = Terminal()
        let policy = try connection.client("policy")
        let end = Clock.now() + .seconds(Int64(wait))
        while true {
            var found = WireErasures()
            for part in parts { found.erasures += try policy.query(.erasures(WireSubjects(part))).erasures.erasures.filter { $0.entry == orders[$0.subject] } }
            let missing = parts.reduce(0) { $0 + $1.count } - found.erasures.count
            let (waiting, running) = (found.erasures.filter { $0.state == "waiting" }, found.erasures.count { ["rows", "log"].contains($0.state) })
            let events = found.erasures.reduce(0) { $0 + $1.events }
            let isOver = missing == 0 && running == 0
            if terminal.isTerminal, !connection.json { terminal.write("\r\u{1B}[K\(Show.count(Int64(clamping: events))) events gone, \(missing + running) of \(missing + found.erasures.count) people left") }
            guard isOver || Clock.now() > end else {
                usleep(100_000)
                continue
            }
            if terminal.isTerminal, !connection.json { terminal.write("\r\u{1B}[K") }
            if connection.json { try Show.json(found) } else {
                for one in waiting { print("\(terminal.yellow("WAITS"))      \(Terminal.safe(one.subject)): incident \(one.holds.map(String.init).joined(separator: ", ")) holds what there is; nothing new is stored. 'sluice hold lift' lets it go on") }
                if isOver, waiting.count < found.erasures.count { print("\(terminal.green("ERASED"))     \(found.erasures.count - waiting.count) of \(found.erasures.count) people, \(Show.number(events)) events: keys destroyed, rows gone") }
            }
            guard isOver else { throw Complaint("not done yet of \(missing + running) people after \(wait) s: it goes on by itself; say the same again to look") }
            if !waiting.isEmpty { throw ExitCode(1) }
            return
        }
    }
}

struct Readmit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let what is captured of somebody who was erased be stored again. Another operator approves it.",
        discussion: "EXAMPLE\n  sluice readmit E1042\n\nNothing of before comes back, and no consent either: record it anew.")
    @OptionGroup var connection: Connection
    @OptionGroup var subjects: SubjectOptions

    func run() throws { try connection.perform(subjects.parts(), "readmitted already") { .readmit(WireSubjects($0)) } }
}

struct HoldCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hold", abstract: "Keep what there is of some people while an incident lasts: it is neither erased nor swept.", subcommands: [Place.self, Lift.self, List.self],
        defaultSubcommand: List.self)

    struct Place: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose a hold; another operator approves it.", discussion: "EXAMPLE\n  sluice hold place E1042 E1043 --incident 3\n\n'sluice incidents' lists them.")
        @OptionGroup var connection: Connection
        @OptionGroup var subjects: SubjectOptions
        @Option(help: "The incident's number.") var incident: UInt64

        func run() throws { try connection.perform(subjects.parts(), "held already") { .hold(WireHold(incident, $0)) } }
    }

    struct Lift: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End a hold, at once. Erasures that waited for it begin.", discussion: "EXAMPLE\n  sluice hold lift E1042 --incident 3\n  sluice hold lift --all --incident 3")
        @OptionGroup var connection: Connection
        @Argument(help: "Subjects, by their ids.") var subjects: [String] = []
        @Option(help: "The incident's number.") var incident: UInt64
        @Flag(help: "Everybody whom it holds.") var all = false

        func validate() throws {
            if all == !subjects.isEmpty { throw ValidationError("name subjects, or say --all") }
        }

        func run() throws {
            var named = Set(subjects).sorted()
            if all { named = try connection.client().query(.holds(WireHoldsQuery())).holds.holds.first { $0.incident == incident }?.subjects ?? [] }
            guard !named.isEmpty else { throw Complaint("incident \(incident) holds nobody's data") }
            let parts = stride(from: 0, to: named.count, by: Limits.subjectsPerCommandMax).map { Array(named[$0..<min(named.count, $0 + Limits.subjectsPerCommandMax)]) }
            try connection.perform(parts, "held no more") { .liftHold(WireHold(incident, $0)) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "What is held, by incident.", discussion: "EXAMPLE\n  sluice hold list")
        @OptionGroup var connection: Connection

        func run() throws {
            let answer = try connection.client().query(.holds(WireHoldsQuery())).holds
            if connection.json { return try Show.json(answer) }
            if answer.holds.isEmpty { print("nothing is held") }
            for hold in answer.holds { print("incident \(hold.incident)   \(hold.subjects.count) held: \(SubjectOptions.words(hold.subjects))") }
        }
    }
}
