import ArgumentParser
import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Ledger
import Messaging
import Notices
import Wire

/// A command's answer when it waits for another person.
enum ProposalView {
    static func show(_ proposal: WireProposal, home: String?) {
        let terminal = Terminal()
        let number = proposal.proposal
        let missing = Int(proposal.needed) - 1 - proposal.approvedBy.count
        switch proposal.state {
        case "open":
            print("\(terminal.yellow("proposal \(number)")): \(summary(proposal))   needs \(missing) more of \(proposal.needed)   expires in \(Show.span(microseconds: proposal.untilUs - Clock.wall().microseconds))")
        default:
            print("proposal \(number): \(summary(proposal))   \(proposal.state)\(proposal.approvedBy.isEmpty ? "" : " by \(proposal.proposer) and \(proposal.approvedBy.map(Terminal.safe).joined(separator: ", "))")")
        }
        for line in proposal.gains { print("  \(Terminal.safe(line))") }
        if proposal.state == "open" { print("another operator: sluice approve \(number) --as NAME\(home.map { " --home \($0)" } ?? "")") }
    }

    static func summary(_ proposal: WireProposal) -> String {
        let by = "by \(Terminal.safe(proposal.proposer)), \(Show.time(microseconds: proposal.atUs))"
        // What was signed is shown while it is open; afterwards the ledger has it.
        guard !proposal.signed.statement.isEmpty else { return by }
        guard let command = proposal.signed.command?.value else { return "unknown to this version, \(by)" }
        return "\(Terminal.safe(text(of: command))), \(by)"
    }

    /// Why it can be approved no more; nil: it can.
    static func end(of proposal: WireProposal) -> String? {
        let number = proposal.proposal
        switch proposal.state {
        case "open": return nil
        case "applied":
            let names = proposal.approvedBy.map(Terminal.safe).joined(separator: ", ")
            return "proposal \(number) was approved by \(names) and carried out at \(Show.time(microseconds: proposal.endedUs)): there is nothing left to approve"
        case "withdrawn": return "proposal \(number) was withdrawn by \(Terminal.safe(proposal.withdrawnBy)): propose it again"
        case "expired": return "proposal \(number) expired at \(Show.time(microseconds: proposal.endedUs)): propose it again"
        default: return "proposal \(number) is \(Terminal.safe(proposal.state)), and not open"
        }
    }

    static func text(of command: Command) -> String {
        switch command {
        case .resume(let closures, let reason, let unseal, let drops, let abandons):
            "\([lift(closures), unseal ? self.unseal(drops, abandons) : nil].compactMap { $0 }.joined(separator: " and ")): \"\(reason)\""
        case .register(let nodes): "register \(nodes.prefix(3).map(\.name).joined(separator: ", "))\(nodes.count > 3 ? " and \(nodes.count - 3) more" : "")"
        case .changeOperators(let removed, let added):
            ([added.map { "add operator \($0.name) (\(fingerprint($0.key)))" }, removed.map { "remove operator \($0)" }].flatMap { $0 }).joined(separator: ", ")
        case .restoreReads(_, _, let reason): "believe a read ledger that was put back: \"\(reason)\""
        case .announceVaultKey: "seal to another vault key"
        case .announceServiceKey(let key, let service, _): "take \(CurveKey(key)?.z85 ?? "an unfit key") for \(service)'s too"
        case .retireServiceKey(let key, let service): "retire the key \(CurveKey(key)?.z85 ?? "?") of \(service)"
        case .announceLedgerKey(let key, _): "take \(key) for \(LedgerKeys.name(of: key))'s too"
        case .retireLedgerKey(let key): "retire the ledger key \(key)"
        case .enrol(let enrolment, _): "enrol an agent of \(enrolment.scope.subject)"
        case .pause(_, _, let reason): "pause: \"\(reason)\""
        case .leak(_, let reason, _): "leak: \"\(reason)\""
        case .remove(let names): "remove \(names.joined(separator: ", "))"
        case .closeIncident(let number): "close incident \(number)"
        case .reopenIncident(let number): "open incident \(number) again"
        case .noteIncident(let number, let text): "note on incident \(number): \"\(text)\""
        case .assessIncident(let number, _, let summary): "assess incident \(number): \"\(summary)\""
        case .sendNotices(let number, let count, let digest): "send \(count) people the notices of incident \(number) with the digest \(hex(digest))"
        case .incidentNotified(let number, _, let delivered, let unreachable): "incident \(number) notified: \(delivered) delivered, \(unreachable) unreachable"
        case .withdraw(let number): "withdraw \(number)"
        case .applyPolicy(let document, let over): "apply the policy \(PolicyText.hash(document).prefix(12))…\(over.isEmpty ? "" : ", over the audience limit of \(list(over))")"
        case .changeRecords(let subjects, let purpose, let kind, let given): "\(given ? "record" : "withdraw") the \(kind.rawValue) of \(list(subjects)) for \(purpose)"
        case .erase(let subjects): "erase \(list(subjects))"
        case .readmit(let subjects): "readmit \(list(subjects))"
        case .hold(let incident, let subjects): "hold what there is of \(list(subjects)) for incident \(incident)"
        case .liftHold(let incident, let subjects): "hold \(list(subjects)) no more for incident \(incident)"
        case .drill(let sites, _): "drill at \(list(sites.sorted()))"
        }
    }

    static func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }

    private static func list(_ names: [String]) -> String { names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "") }

    private static func lift(_ closures: [Epoch]) -> String? { closures.isEmpty ? nil : "resume \(list(closures))" }

    /// What is lost by it stands in what is signed, and so in what is shown.
    private static func unseal(_ drops: [Epoch], _ abandons: [UInt8]) -> String {
        var lost: [String] = []
        if !drops.isEmpty { lost.append("closures \(list(drops))") }
        if let history = try? Checkpoint(parsing: String(decoding: abandons, as: UTF8.self)) {
            lost.append("the history of \(history.size) entries, root \(history.root), that policy had cosigned")
        } else if !abandons.isEmpty {
            lost.append("what cannot be read")
        }
        return "unseal\(lost.isEmpty ? "" : ", giving up \(lost.joined(separator: " and "))")"
    }

    private static func list(_ epochs: [Epoch]) -> String {
        epochs.prefix(20).map { "\($0.number)" }.joined(separator: ", ") + (epochs.count > 20 ? " and \(epochs.count - 20) more" : "")
    }

    static func fingerprint(_ key: [UInt8]) -> String { (try? OperatorPublicKey(raw: key))?.id.description ?? "an unfit key" }
}

struct ProposalsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proposals", abstract: "List what waits for a second person.",
        discussion: "EXAMPLE\n  sluice proposals\n  sluice proposals --all --json")
    @OptionGroup var connection: Connection
    @Flag(help: "Also those that were approved, withdrawn or expired.") var all = false

    func run() throws {
        var asked = WireProposalsQuery()
        asked.all = all
        let answer = try connection.client().query(.proposals(asked)).proposals
        if connection.json { return try Show.json(answer) }
        if answer.proposals.isEmpty { print(all ? "nothing was proposed" : "nothing waits for a second person") }
        for proposal in answer.proposals { ProposalView.show(proposal, home: connection.home) }
    }
}

struct Approve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Approve what another operator has proposed. It takes effect at once.",
        discussion: """
            EXAMPLE
              sluice approve 12 --as ops-2

            Shows what would be allowed that is not now, and, on a terminal, asks. What is signed is the hash of exactly what was proposed. Of a policy it shows the whole difference: for the people of a
            directory, if one is given. With a directory it computes an incident's notices too, and refuses others than these.
            """)
    @OptionGroup var connection: Connection
    @Argument(help: "The proposal's number; 'sluice proposals' lists them.") var number: UInt64
    @Flag(help: "Do not ask.") var yes = false
    @Option(name: .customLong("directory"), help: ArgumentHelp("Show a policy's difference for these people: CSV or JSON with id, site and team.", valueName: "file")) var people: String?
    @Option(help: ArgumentHelp("The folder of templates that an incident's notices are made with, instead of notices.json's.", valueName: "folder")) var templates: String?

    /// What would go out, computed here.
    private func compare(_ incident: UInt64, _ count: UInt64, _ digest: [UInt8]) throws -> String {
        guard let people else { return "not compared: --directory FILE computes them here; 'sluice notices preview \(incident) --people FILE' prints the digest" }
        var options = try NoticeOptions.parse([])
        options.scope.people = people
        options.templates = templates
        let notices = try IncidentNotices(incident, options, in: connection.folder)
        guard UInt64(notices.round.count) == count else { throw Complaint("not approved: it is proposed for \(count) people, and what this home's files and \(people) come to is \(notices.round.count)") }
        let computed = try notices.digest()
        guard Array(computed.bytes) == digest else {
            throw Complaint(
                "not approved: what this home's files, notices.json, \(people) and the templates of \(notices.folder ?? "this program") come to has another digest, \(computed.hex): both operators need the same of each, templates included")
        }
        return "the same digest, computed here\(notices.unproven.words.map { "; \($0)" } ?? "")"
    }

    func run() throws {
        let client = try connection.client()
        let signer = try connection.signer()
        var asked = WireProposalsQuery()
        asked.number = number
        // The index first: whatever comes later makes the approval stale, and not something that was not shown.
        let index = try client.query(.operators(WireOperatorsQuery())).operators.last
        guard let proposal = try client.query(.proposals(asked)).proposals.proposals.first(where: { $0.proposal == number }) else {
            throw Complaint("there is no proposal \(number): 'sluice proposals' lists them")
        }
        if let end = ProposalView.end(of: proposal) { throw Complaint(end) }
        // Of what was shown, and not of what control says that it is.
        guard let hash = ProposalHash(Array(SHA256.hash(data: proposal.signed.statement))) else { return }
        let terminal = Terminal()
        var compared: String?
        if case .sendNotices(let incident, let count, let digest)? = proposal.signed.command?.value { compared = try compare(incident, count, digest) }
        if !connection.json {
            print("proposal \(number): \(ProposalView.summary(proposal))")
            if let compared { print("  \(compared)") }
            if case .applyPolicy(let document, let over)? = proposal.signed.command?.value {
                try PolicyChange(to: document, over: over, client: client).show(people: people)
            }
            for line in proposal.gains { print("  \(terminal.yellow(Terminal.safe(line)))") }
            if terminal.isTerminal, isatty(STDIN_FILENO) == 1, !yes {
                print("Approve as \(signer.name)? [y/N] ", terminator: "")
                fflush(nil)
                guard ["y", "yes"].contains(readLine()?.lowercased() ?? "") else { throw Complaint("not approved") }
            }
        }
        let outcome = try client.send(signer.sign(ApprovedProposal(number: number, hash: hash), at: index))
        if connection.json { return try Show.json(outcome) }
        for closure in outcome.lifted { print("lifted \(closure.epoch)   \(Show.selector(closure))   \(Terminal.safe(closure.reason))") }
        for node in outcome.nodes { print("registered \(Terminal.safe(node.name)), number \(node.ordinal)") }
        if !outcome.lifted.isEmpty { return print("\(terminal.green("RESUMED"))    epoch \(outcome.epoch)") }
        var shown = outcome.proposal
        shown.signed = proposal.signed
        ProposalView.show(shown, home: connection.home)
    }
}

struct WithdrawCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "withdraw", abstract: "Take a proposal off the table: one person may, at once.", discussion: "EXAMPLE\n  sluice withdraw 12")
    @OptionGroup var connection: Connection
    @Argument(help: "The proposal's number.") var number: UInt64

    func run() throws {
        var body = WireWithdraw()
        body.proposal = number
        let outcome = try connection.client().command(.withdraw(body), by: connection.signer())
        if connection.json { return try Show.json(outcome) }
        print("withdrawn: proposal \(number)")
    }
}

struct OperatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operator", abstract: "Who may command: list, add, remove.", subcommands: [List.self, Add.self, Remove.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the operators and their keys.", discussion: "EXAMPLE\n  sluice operator list")
        @OptionGroup var connection: Connection

        func run() throws {
            let answer = try connection.client().query(.operators(WireOperatorsQuery())).operators
            if connection.json { return try Show.json(answer) }
            for member in answer.operators {
                print("\(Terminal.safe(member.name))   person \(Terminal.safe(member.person))   \(ProposalView.fingerprint([UInt8](member.key)))")
            }
        }
    }

    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Propose another operator; an operator who is there already approves.",
            discussion: "EXAMPLE\n  sluice key new ops-3 --out ops-3            # by the new operator, on their machine\n  sluice operator add ops-3 --key ops-3.pub")
        @OptionGroup var connection: Connection
        @Argument(help: "The new operator's name.") var name: String
        @Option(help: "The file with their public key, as 'sluice key new' wrote it.") var key: String
        @Option(help: "Who they are, if they have another key already: two keys of one person are one person. Default: the name.") var person: String?
        @Option(help: "Take this operator's key away in the same step: to exchange a key.") var replacing: String?

        func run() throws {
            guard let data = FileManager.default.contents(atPath: key) else { throw Complaint("cannot read \(key)") }
            let text = String(decoding: data, as: UTF8.self)
            var body = WireChangeOperators()
            var member = WireOperator()
            do { member.key = Data(try OperatorPublicKey(text: text).raw) } catch { throw Complaint("\(key) \(error)") }
            guard let session = KeyLine.session(in: text) else {
                throw Complaint("\(key) names no session key: 'sluice key new' writes one behind the public key, as 'session=…'")
            }
            member.name = name
            member.person = person ?? name
            member.session = Data(session.bytes)
            body.add = [member]
            body.remove = replacing.map { [$0] } ?? []
            try connection.propose(.changeOperators(body))
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take an operator's key away, at once, for good. The last two persons stay.", discussion: "EXAMPLE\n  sluice operator remove ops-3")
        @OptionGroup var connection: Connection
        @Argument(help: "The operator.") var name: String

        func run() throws {
            var body = WireChangeOperators()
            body.remove = [name]
            let outcome = try connection.client().command(.changeOperators(body), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("removed operator \(Terminal.safe(name)): their key counts no more")
        }
    }
}

/// A public key's line, with the session key behind its name: `ssh-ed25519 AAAA… ops-3 session=Z85`.
enum KeyLine {
    static func text(_ key: OperatorPublicKey, name: String, session: CurveKey) -> String {
        key.line(name: "\(name) session=\(session.z85)")
    }

    static func session(in line: String) -> CurveKey? {
        line.split(whereSeparator: \.isWhitespace).last.flatMap { word in
            word.hasPrefix("session=") ? CurveKey(z85: String(word.dropFirst(8))) : nil
        }
    }
}

struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Operators' keys: make, protect.", subcommands: [New.self, Protect.self])

    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make an operator's keys: to sign with (Ed25519, under a passphrase), and to connect with.",
            discussion: """
                EXAMPLE
                  sluice key new ops-3                       # below the home's keys
                  sluice key new ops-3 --out ~/sluice/ops-3  # writes ops-3.key, ops-3.secret, ops-3.pub

                The .pub file goes to an operator, who runs 'sluice operator add'. The others stay with you; OpenSSL reads the .key.
                """)
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Argument(help: "The operator's name.") var name: String
        @Option(help: "Path of the files, without an ending. Default: the home's keys folder.") var out: String?
        @Option(help: "Read the passphrase from this file ('-': standard input). Default: ask.") var passphraseFile: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            guard !name.isEmpty, !name.contains("/"), !name.contains(where: \.isWhitespace) else { throw Complaint("'\(name)' is no name for an operator") }
            let folder = Home.resolve(home, environment: ProcessInfo.processInfo.environment)
            let base = out ?? folder.file("keys/\(name)")
            let passphrase = try PassphraseSource.read(passphraseFile, prompt: "New passphrase for \(base).key: ")
            let key = try OperatorKey.make()
            do { try key.write(to: base + ".key", passphrase: passphrase) } catch { throw Complaint("\(error)") }
            let session = try KeyFile.loadOrMake(base + ".secret")
            let line = KeyLine.text(key.publicKey, name: name, session: session.publicKey)
            try line.write(toFile: base + ".pub", atomically: true, encoding: .utf8)
            if json { return try Show.json(["key": "\(key.publicKey.id)", "path": base + ".pub"]) }
            print("made \(base).key, .secret and .pub   \(key.publicKey.id)\nan operator who is there already: sluice operator add \(name) --key \(base).pub")
        }
    }

    struct Protect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put a key that lies in the clear, as the first start makes it, under a passphrase.",
            discussion: "EXAMPLE\n  sluice key protect ops-1\n\nSafe to repeat until it has succeeded: the key is in one place or the other.")
        @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
        @Argument(help: "The operator's name.") var name: String
        @Option(help: "Read the passphrase from this file ('-': standard input). Default: ask.") var passphraseFile: String?
        @Flag(help: "Print JSON.") var json = false

        func run() throws {
            let path = Home.resolve(home, environment: ProcessInfo.processInfo.environment).signingKey(name)
            let key: OperatorKey
            do { key = try OperatorKey(contentsOf: path, passphrase: nil) } catch { throw Complaint("\(error)") }
            let passphrase = try PassphraseSource.read(passphraseFile, prompt: "New passphrase for \(path): ")
            let draft = path + ".protected"
            // Of an attempt that was cut off: the key itself still lies where it was.
            unlink(draft)
            do { try key.write(to: draft, passphrase: passphrase) } catch { throw Complaint("\(error)") }
            guard rename(draft, path) == 0 else { throw Complaint("cannot write \(path): \(String(cString: strerror(errno)))") }
            if json { return try Show.json(["key": "\(key.publicKey.id)", "path": path]) }
            print("\(path) is under a passphrase now")
        }
    }
}
