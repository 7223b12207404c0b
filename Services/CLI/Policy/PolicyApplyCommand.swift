import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Wire

/// From the policy that is in force to another, as an operator is shown it before they sign.
struct PolicyChange {
    let before: PolicyDocument
    let after: PolicyDocument
    let bytes: [UInt8]
    let over: [String]
    /// Classes that two operators have named as open to more than their limit, and that this does not name any more.
    let overNoMore: [String]
    /// The entry that applied what is in force; 0: none did.
    let entry: UInt64
    /// For every company that there may be: what control, and whoever reads its ledger, judges by.
    let answer: PolicyComparison.Answer
    /// It says when somebody is told of people who were not reached, and there is nobody.
    let escalatesToNobody: Bool

    init(to bytes: [UInt8], over: [String], client: Client) throws {
        let inForce = try client.query(.policy(WirePolicyQuery())).policy
        before = try inForce.document.isEmpty ? .standard : PolicyFiles.document(canonical: [UInt8](inForce.document))
        after = try PolicyFiles.document(canonical: bytes)
        self.bytes = bytes
        self.over = over
        overNoMore = inForce.over.filter { !over.contains($0) }.sorted()
        entry = inForce.entry
        escalatesToNobody = try after.notices.escalate != nil && EscalationNotes.isNobodyTold(client)
        answer = PolicyComparison.anyWorld(inForce.document.isEmpty ? nil : [UInt8](inForce.document), bytes)
    }

    func diff(people: String?) throws -> PolicyDiff {
        let directory = try people.map { try PeopleFile.read($0) } ?? Population.standIns(for: [before, after])
        return PolicyDiff(from: before, to: after, people: directory, at: Clock.wall())
    }

    func show(people: String?) throws {
        let terminal = Terminal()
        print("in force   \(entry == 0 ? "no document: everything is captured, and nobody may read" : "entry \(entry)")")
        print("document   \(PolicyText.hash(bytes))")
        let diff = try diff(people: people)
        PolicyCommand.Diff.show(diff, hasPeople: people != nil, names: false)
        for name in over { print(terminal.red("OVER       \(Terminal.safe(name)): more people may be able to read it than the document itself allows")) }
        for name in overNoMore {
            print(terminal.yellow("OVER ENDS  \(Terminal.safe(name)): two operators had named it. If more people than its limit may read it, reading closes as soon as this is in force: --over-limit \(Terminal.safe(name)) keeps it"))
        }
        if escalatesToNobody {
            print(terminal.yellow("UNTOLD     'notices: {escalate: …}' tells nobody: 'escalation.to' and 'mail.operators' in notify.json are empty"))
        }
        // The same question without a directory has another answer where nobody is there who would gain.
        if !diff.isWidening, !answer.gains.isEmpty {
            print(terminal.yellow("WIDENS     for people whom a directory may have, if not this one: it takes a second operator"))
            for line in answer.gains.prefix(20) { print("           \(Terminal.safe(line))") }
        }
    }
}

extension PolicyCommand {
    struct Apply: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a policy in force: at once, if nobody can gain by it; else another operator approves it.",
            discussion: """
                EXAMPLE
                  sluice policy apply policy.yaml
                  sluice policy apply policy.yaml --directory people.csv      the difference for these people
                  sluice policy apply policy.yaml --directory people.csv --over-limit review

                Shows what changes, and, on a terminal, asks. Whether it narrows is judged for every company that there may be: control knows no directory. With one, a document that lets more people read a class
                than it allows itself is not proposed, unless the class is named; who approves sees the name.
                """)
        @OptionGroup var connection: Connection
        @Argument(help: ArgumentHelp("The policy ('-': standard input).", valueName: "file")) var file: String
        @Option(name: .customLong("directory"), help: ArgumentHelp("The people: CSV or JSON with id, site and team.", valueName: "file")) var people: String?
        @Option(help: ArgumentHelp("More people may be able to read this class than the document allows; may be repeated.", valueName: "class")) var overLimit: [String] = []
        @Flag(help: "Do not ask.") var yes = false

        func run() throws {
            let document: PolicyDocument
            do { document = try PolicyFiles.document(file) } catch let mistakes as PolicyMistakes {
                PolicyCommand.tell(mistakes)
                throw ExitCode(1)
            }
            let bytes = document.canonical
            let client = try connection.client()
            // The index first: what comes after it makes the command stale, and not something that was not shown.
            let index = try client.query(.operators(WireOperatorsQuery())).operators.last
            let change = try PolicyChange(to: bytes, over: Set(overLimit).sorted(), client: client)
            if people != nil {
                let unnamed = try change.diff(people: people).exceeded.filter { !overLimit.contains($0) }
                guard unnamed.isEmpty else {
                    if !connection.json { try change.show(people: people) }
                    throw Complaint("more people could read \(unnamed.joined(separator: ", ")) than the policy allows: nothing was proposed. Change it, or say \(unnamed.map { "--over-limit \($0)" }.joined(separator: " "))")
                }
            }
            if !connection.json {
                try change.show(people: people)
                try Confirmation.ask("Apply it as \(connection.operatorName)?", unless: yes)
            }
            let outcome = try client.send(connection.signer().sign(Client.command(.applyPolicy(WirePolicyApplied(change.bytes, change.over))), at: index))
            if connection.json { return try Show.json(outcome) }
            if outcome.hasProposal { return ProposalView.show(outcome.proposal, home: connection.home) }
            Swift.print("\(Terminal().green("APPLIED"))    entry \(outcome.entry)")
        }
    }

    struct InForce: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show", abstract: "Print the policy that is in force.",
            discussion: """
                EXAMPLE
                  sluice policy show
                  sluice policy show --yaml > policy-in-force.yaml
                  sluice policy show --json

                --yaml prints the document alone, which 'sluice policy' reads back; its canonical form is JSON, which is YAML.
                """)
        @OptionGroup var connection: Connection
        @Flag(help: "Print the document alone.") var yaml = false

        func run() throws {
            let inForce = try connection.client().query(.policy(WirePolicyQuery())).policy
            let bytes = inForce.document.isEmpty ? PolicyDocument.standard.canonical : [UInt8](inForce.document)
            if connection.json {
                let document = try JSONSerialization.jsonObject(with: Data(bytes))
                return try PolicyCommand.print(["entry": inForce.entry, "sha256": PolicyText.hash(bytes), "over": inForce.over, "document": document])
            }
            if !yaml {
                Swift.print("# \(inForce.entry == 0 ? "no document was applied: this is captured without one, and nobody may read" : "applied by entry \(inForce.entry)")   sha256 \(PolicyText.hash(bytes))")
                for name in inForce.over { Swift.print("# over the audience limit: \(Terminal.safe(name))") }
            }
            Swift.print(String(decoding: bytes, as: UTF8.self))
        }
    }
}

/// Asks a person, where there is one.
enum Confirmation {
    /// - Parameter always: without a terminal nothing is done: what is asked for cannot be taken back.
    static func ask(_ question: String, unless yes: Bool, always: Bool = false) throws {
        if yes { return }
        guard Terminal().isTerminal, isatty(STDIN_FILENO) == 1 else {
            if always { throw Complaint("\(question) Nobody can be asked here: say --yes") }
            return
        }
        print("\(question) [y/N] ", terminator: "")
        fflush(nil)
        guard ["y", "yes"].contains(readLine()?.lowercased() ?? "") else { throw Complaint("nothing was done") }
    }
}
