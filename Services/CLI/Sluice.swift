import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

@main
struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "Governs employee telemetry: see what flows, stop all of it, and prove that it stopped.",
        discussion: """
            EXAMPLE
              sluice up                                                  start the suite on this machine
              sluice pause --all --reason "reviews visible company-wide"  stop everything, with a certificate
              sluice resume --all --reason "ACL fixed, verified"          propose to go on
              sluice approve 12 --as ops-2                                another person agrees: it goes on

            EXIT CODES
              0   done; a pause: its certificate is complete
              1   not done, or not confirmed; what is missing is printed
              77  the key is not registered, or not any more; a read: denied
              64  the command line was not understood
            Every command takes --json. Shell completion: sluice --generate-completion-script bash (zsh, fish).
            """,
        version: "0.1.0",
        subcommands: [
            Up.self, Status.self, Pause.self, Resume.self, Closures.self, Incidents.self, IncidentCommand.self, ExposureCommand.self, NoticesCommand.self, NoticeCommand.self, CertificateCommand.self, LedgerCommand.self, Agents.self, Leak.self,
            Read.self, WhoRead.self, TraceCommand.self, Export.self, DirectoryCommand.self, Deliveries.self, NotifyCommand.self, Enrol.self, Register.self, Revoke.self, ProposalsCommand.self, Approve.self, WithdrawCommand.self,
            OperatorCommand.self, KeyCommand.self, VaultKeyCommand.self, MasterKeyCommand.self, CanaryKeyCommand.self, ServiceKeyCommand.self, LedgerKeyCommand.self, PolicyCommand.self, Detect.self,
            ConsentCommand.self, DemoCommand.self, DrillCommand.self, DrillsCommand.self, Forget.self, Readmit.self, HoldCommand.self, Bench.self, FanoutPeer.self, HookReceiver.self, SwarmCommand.self, VaultBench.self,
        ])

    static func main() {
        Lifecycle.ignoreBrokenPipes()
        Lifecycle.leaveNoCore()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as ClientError {
            fail("\(error)", error.exitCode)
        } catch let error as Complaint {
            fail("\(error)")
        } catch {
            exit(withError: error)
        }
    }

    /// One line, for a tired operator.
    static func fail(_ text: String, _ code: Int32 = 1) -> Never {
        FileHandle.standardError.write(Data("sluice: \(Terminal.safe(text))\n".utf8))
        Foundation.exit(code)
    }
}

/// What every command that talks to the suite takes.
struct Connection: ParsableArguments {
    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.")
    var home: String?

    @Option(name: .customLong("as"), help: "The operator whose keys are used: to connect, and to sign commands.")
    var operatorName = "ops-1"

    @Option(help: ArgumentHelp("Read the passphrase of the operator's key from this file ('-': standard input). Default: ask.", valueName: "file"))
    var passphraseFile: String?

    @Flag(help: "Print JSON.")
    var json = false

    var folder: Home { Home.resolve(home, environment: ProcessInfo.processInfo.environment) }

    func signer() throws -> Signer { try Signer(operatorName, home: folder, passphraseFile: passphraseFile) }

    /// Sends a command that may widen, and shows where it stands.
    func propose(_ deed: WireCommand.OneOf_Deed) throws {
        let outcome = try client().command(deed, by: signer())
        if json { return try Show.json(outcome) }
        if outcome.hasProposal { ProposalView.show(outcome.proposal, home: home) } else { print("nothing to do: it is so already") }
    }

    func client(_ service: String = "control") throws -> Client {
        do {
            return try Client(service, home: folder, as: operatorName)
        } catch let error as Complaint {
            throw error
        } catch {
            throw Complaint("\(error)")
        }
    }
}

/// Which part of the flow a pause concerns.
struct ScopeOptions: ParsableArguments {
    @Flag(help: "Everything.") var all = false
    @Option(help: ArgumentHelp("Only agents of this site; may be repeated.", valueName: "site")) var site: [String] = []
    @Option(help: ArgumentHelp("Only agents of this team; may be repeated.", valueName: "team")) var team: [String] = []
    @Option(help: ArgumentHelp("Only this person; may be repeated.", valueName: "subject")) var subject: [String] = []
    @Option(name: .customLong("class"), help: ArgumentHelp("Only this class of data; may be repeated.", valueName: "class"))
    var dataClass: [String] = []
    @Option(help: ArgumentHelp("Only reads by this reader; may be repeated.", valueName: "reader")) var reader: [String] = []
    @Option(help: ArgumentHelp("Only reads for this purpose; may be repeated.", valueName: "purpose")) var purpose: [String] = []
    @Flag(help: "Stop capture; reading goes on.") var captureOnly = false
    @Flag(help: "Stop reading; capture goes on.") var readsOnly = false

    private var isNarrowed: Bool { !(site + team + subject + dataClass + reader + purpose).isEmpty }

    func validate() throws {
        if captureOnly, readsOnly { throw ValidationError("--capture-only and --reads-only exclude each other; without either both stop") }
        if all, isNarrowed { throw ValidationError("--all stops everything: leave out --site, --team, --subject, --class, --reader and --purpose, or leave out --all") }
        if !all, !isNarrowed { throw ValidationError("say what to stop: --all, or --site, --team, --subject, --class, --reader, --purpose") }
    }

    var selector: WireSelector {
        var selector = WireSelector()
        selector.sites = site
        selector.teams = team
        selector.subjects = subject
        selector.classes = dataClass
        selector.readers = reader
        selector.purposes = purpose
        return selector
    }

    var direction: WireDirection { captureOnly ? .capture : readsOnly ? .read : .both }
}
