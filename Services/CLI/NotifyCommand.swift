import ArgumentParser
import Chassis
import Foundation

struct NotifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notify", abstract: "Try whether people and systems can be told.", discussion: "EXAMPLE\n  sluice notify test mail --to ops@example.com", subcommands: [Test.self])

    struct Test: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "test", abstract: "Try the settings in notify.json: says in one line what happened.", discussion: "EXAMPLE\n  sluice notify test mail", subcommands: [NotifyMailTest.self, NotifyWebhookTest.self, NotifyAlertmanagerTest.self])
    }

    /// Becomes sluice-notify, which lies beside this program: it reads `notify.json`, and has what it takes to send.
    ///
    /// Who may not read that file, may not try: on a machine with units that is 'sudo -u sluice'.
    static func run(_ words: [String], _ home: Home) throws -> Never {
        let program = try Suite.binaries() + "/sluice-notify"
        let arguments = [program, "test"] + words + ["--home", home.path]
        var pointers = arguments.map { strdup($0) } + [nil]
        execv(program, &pointers)
        throw Complaint("cannot start \(program): \(String(cString: strerror(errno)))")
    }
}

struct NotifyMailTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mail", abstract: "Send one mail, and say what the server answered.", discussion: "EXAMPLE\n  sluice notify test mail --to ops@example.com")

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.")
    var home: String?

    @Option(help: "Whom it is for. Default: the first of the operators in notify.json.")
    var to: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        try NotifyCommand.run(["mail"] + (to.map { ["--to=\($0)"] } ?? []) + (json ? ["--json"] : []), Home.resolve(home, environment: ProcessInfo.processInfo.environment))
    }
}
