import ArgumentParser
import Chassis
import Foundation
import Messaging
import Wire

struct IncidentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "incident", abstract: "One incident: what happened, notes, and where it stands.",
        discussion: "EXAMPLE\n  sluice incident show 7\n  sluice incident note 7 --text \"ACL of the export restored at 10:40\"",
        subcommands: [One.self, Assess.self, Notified.self, Report.self, Note.self, Reopen.self, Close.self], defaultSubcommand: One.self)

    /// From the discovery to the report, GDPR Article 33.
    static let clockUs: Int64 = 72 * 3_600 * 1_000_000

    struct One: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "show", abstract: "What happened, step by step.", discussion: "EXAMPLE\n  sluice incident show 7\n  sluice incident show 7 --people people.csv")
        @OptionGroup var connection: Connection
        @Argument(help: "Its number: 'sluice incidents' lists them.") var incident: UInt64
        @OptionGroup var scope: ExposureScope

        func run() throws {
            let found = try IncidentCommand.ask(incident, connection.client())
            if connection.json { return try Show.json(found) }
            for line in try IncidentCommand.lines(found, exposed: IncidentCommand.exposed(incident, scope, connection.folder)) { print(line) }
        }
    }

    /// What it comes to, where the ledgers' files are here; it is no part of what control says.
    private static func exposed(_ incident: UInt64, _ scope: ExposureScope, _ home: Home) throws -> [String] {
        guard FileManager.default.fileExists(atPath: home.file("control/ledger.sqlite")) else { return ["exposed      not known here: the ledgers are not in \(home.path)"] }
        do {
            let files = try scope.files(incident, in: home)
            return ExposureView(files, files.assessment).summary.dropFirst().map { Terminal.safe($0) }
        } catch {
            // Never nothing: it would read as if there had been none.
            return [Terminal.safe("exposed      NOT KNOWN: \(error)")]
        }
    }

    struct Note: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Put a note on record.", discussion: "EXAMPLE\n  sluice incident note 7 --text \"told the works council\"")
        @OptionGroup var connection: Connection
        @Argument(help: "Its number.") var incident: UInt64
        @Option(help: "What is to be on record: it cannot be taken back.") var text: String

        func run() throws {
            let outcome = try connection.client().command(.noteIncident(WireIncidentNote(incident, text)), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("noted on incident \(incident)   entry \(outcome.entry)")
        }
    }

    struct Reopen: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Open a closed incident again.", discussion: "EXAMPLE\n  sluice incident reopen 7")
        @OptionGroup var connection: Connection
        @Argument(help: "Its number.") var incident: UInt64

        func run() throws {
            let outcome = try connection.client().command(.reopenIncident(WireCloseIncident(incident)), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("incident \(incident) is open   entry \(outcome.entry)")
        }
    }

    struct Close: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Close it: its closure must have been lifted.", discussion: "EXAMPLE\n  sluice incident close 7")
        @OptionGroup var connection: Connection
        @Argument(help: "Its number.") var incident: UInt64

        func run() throws {
            let outcome = try connection.client().command(.closeIncident(WireCloseIncident(incident)), by: connection.signer())
            if connection.json { return try Show.json(outcome) }
            print("incident \(incident) is closed   entry \(outcome.entry)")
        }
    }

    static func ask(_ incident: UInt64, _ client: Client) throws -> WireIncident {
        var asked = WireIncidentsQuery()
        asked.incident = incident
        let incidents = try client.query(.incidents(asked)).incidents.incidents
        guard let found = incidents.first(where: { $0.incident == incident }) else { throw Complaint("there is no incident \(incident): 'sluice incidents' lists them") }
        return found
    }

    static func lines(_ incident: WireIncident, exposed: [String] = []) -> [String] {
        let time = { (us: Int64) in Show.time(microseconds: us) }
        var lines = [
            "incident \(incident.incident)   \(incident.state)   found \(time(incident.openedUs)) by \(Terminal.safe(incident.author))   \(incident.leak ? "72 h end \(time(incident.openedUs + clockUs))" : "no leak")",
            "cause        \(Terminal.safe(incident.title))",
            "closure      \(incident.closure == 0 ? "none" : "epoch \(incident.closure), \(incident.inForce ? "in force" : "lifted")")   \(incident.certificates.first.map { "certificate \($0)" } ?? "no certificate yet")",
        ]
        if incident.findings > 1 { lines.append("findings     \(incident.findings)") }
        lines += exposed
        for step in incident.steps {
            let who = Terminal.safe(step.author)
            lines.append("  \(Show.time(microseconds: step.atUs, milliseconds: true))   \(step.what.padding(toLength: 9, withPad: " ", startingAt: 0))   \(Terminal.safe(step.text))\(step.text.isEmpty ? "" : "   ")by \(who)   entry \(step.entry)")
        }
        return lines
    }
}

extension WireCloseIncident {
    fileprivate init(_ number: UInt64) {
        self.init()
        incident = number
    }
}
