import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Wire

struct Enrol: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a token with which one machine can join, once.",
        discussion: """
            EXAMPLE
              sluice enrol --subject E1042 --site berlin --team search
              sluice enrol --subject E1042 --name desk-7 --valid 1h        a machine that was set up anew takes its old name

            The token is printed at once and is dead until a second operator approves; its time runs from then. Its secret is made here:
            control and its ledger get its SHA-256. On the machine: sluice-agent join -
            """)

    @OptionGroup var connection: Connection
    @Option(help: "Whose telemetry it will be.") var subject: String
    @Option(help: "Where.") var site = ""
    @Option(help: "The person's team.") var team = ""
    @Option(help: "The agent's name. Default: made of the machine's key. A known name is taken over, and the key it had is revoked.") var name = ""
    @Option(help: "How long the token counts from its approval: seconds, or with s, m or h; at most a day.") var valid = Validity(seconds: 900)
    @Option(help: "Where machines reach the joining port, tcp://host:port. Default: what suite.json says.") var address: String?

    func run() throws {
        let home = connection.folder
        let settings = try SuiteSettings(from: home)
        let trusted = try TrustedNodes(contentsOf: home.file("registry.json"))
        guard let server = trusted.key(of: SuiteHome.joining) else { throw Complaint("registry.json names no key of the joining process; 'sluice up' makes it") }
        let client = try connection.client()
        let known = try client.query(.serviceKeys(WireServiceKeysQuery())).serviceKeys
        let counting = known.keys.filter { $0.service == SuiteHome.joining }.map(\.key)
        let ledgerKey = try SuiteHome.beginning(known.ledgers, trusted, home)
        // An older control says nothing of it.
        guard counting.isEmpty || counting.contains(Data(server.bytes)) else {
            throw Complaint("registry.json names a key of the joining process that does not count any more: 'sluice service-key prove join', and 'pin join FILE' here")
        }
        // The newer of two answers at an address of its own.
        let isNewer = counting.count > 1 && counting.last == Data(server.bytes)
        let door = isNewer ? settings.joinNext : settings.join
        let token: JoinToken
        do {
            token = try JoinToken(
                endpoint: address ?? door, server: server, secret: SecretBytes(.random(32)), ledgerKey: ledgerKey)
        } catch {
            throw Complaint("suite.json has join at \(address ?? door): say with --address where machines reach it; \(error)")
        }
        var enrol = WireEnrol()
        enrol.name = name
        enrol.subject = subject
        enrol.site = site
        enrol.team = team
        enrol.token = Data(token.hash)
        enrol.validS = valid.seconds
        let outcome = try client.command(.enrol(enrol), by: connection.signer())
        if connection.json { return try show(outcome, token) }
        print(token.text)
        // Not on standard output: that is the token's, for a pipe.
        let number = outcome.proposal.proposal
        var lines = ["\(Terminal().yellow("dead until approved")): sluice approve \(number) --as ANOTHER-OPERATOR; then good once, for \(valid)"]
        if isNewer, address != nil { lines.append("two keys of the joining process count, and this token names the newer: its address must lead to \(door)") }
        if token.endpoint.hasPrefix("tcp://127.") { lines.append("for this machine alone, which calls itself \(token.endpoint); for others: --address tcp://HOST:PORT") }
        FileHandle.standardError.write(Data((lines.joined(separator: "\n") + "\n").utf8))
    }

    private func show(_ outcome: WireOutcome, _ token: JoinToken) throws {
        var object = try JSONSerialization.jsonObject(with: Data(outcome.shownAsJSON().utf8)) as? [String: Any] ?? [:]
        object["token"] = token.text
        print(String(decoding: try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
    }
}

/// `90`, `90s`, `15m`, `1h`.
struct Validity: ExpressibleByArgument, CustomStringConvertible {
    var seconds: UInt32

    init(seconds: UInt32) { self.seconds = seconds }

    init?(argument: String) {
        let units: [Character: UInt32] = ["s": 1, "m": 60, "h": 3_600]
        let unit = argument.last.flatMap { units[$0] }
        guard let count = UInt32(unit == nil ? argument : String(argument.dropLast())), count > 0, count <= 86_400 else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit ?? 1)
        guard !overflow, product <= 86_400 else { return nil }
        seconds = product
    }

    var description: String {
        if seconds % 3_600 == 0 { return "\(seconds / 3_600)h" }
        return seconds % 60 == 0 ? "\(seconds / 60)m" : "\(seconds)s"
    }
    var defaultValueDescription: String { description }
}

struct Revoke: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Take a right away, at once, alone.", subcommands: [RevokeAgent.self])

    struct RevokeAgent: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "agent", abstract: "Take an agent out: it stops within a lease, and its key can never come back.",
            discussion: """
                EXAMPLE
                  sluice revoke agent 5f3c
                  sluice revoke agent desk-7

                The name, or four characters or more that are the beginning of no other; 'sluice agents' lists them. What waits in the
                machine's spool never arrives.
                """)

        @OptionGroup var connection: Connection
        @Argument(help: "The agent's name, or its beginning.") var name: String

        func run() throws {
            let client = try connection.client()
            let names = try client.agents().map(\.node.name)
            let found: String
            do {
                found = try NamePrefix.resolve(name, among: names)
            } catch {
                switch error {
                case .unknown: throw Complaint("there is no agent '\(name)': 'sluice agents' lists them")
                case .short: throw Complaint("'\(name)' is too short: \(NamePrefix.lengthMin) characters or more, or the whole name")
                case .ambiguous(let all):
                    let shown = all.prefix(5).joined(separator: ", ") + (all.count > 5 ? " and \(all.count - 5) more" : "")
                    throw Complaint("'\(name)' may be \(shown): say more of it; nobody was revoked")
                }
            }
            var body = WireRemove()
            body.names = [found]
            let outcome = try client.command(.remove(body), by: connection.signer())
            guard !outcome.nodes.isEmpty else { throw Complaint("there is no agent '\(found)' any more") }
            if connection.json { return try Show.json(outcome) }
            print("revoked \(Terminal.safe(found)): its lease ends within \(Show.span(microseconds: Int64(try SuiteSettings(from: connection.folder).leaseMilliseconds) * 1_000)); its key never comes back")
        }
    }
}
