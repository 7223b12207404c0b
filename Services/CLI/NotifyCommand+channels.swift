import ArgumentParser
import Chassis
import Foundation

struct NotifyWebhookTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhook", abstract: "Tell one hook that this is a test, and say what it answered.", discussion: "EXAMPLE\n  sluice notify test webhook oncall")

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.")
    var home: String?

    @Argument(help: "The hook's name in notify.json.")
    var name: String

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws { try NotifyCommand.run(["webhook", name] + (json ? ["--json"] : []), Home.resolve(home, environment: ProcessInfo.processInfo.environment)) }
}

struct NotifyAlertmanagerTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alertmanager", abstract: "Send one alert that lasts a minute, and say what Alertmanager answered.", discussion: "EXAMPLE\n  sluice notify test alertmanager")

    @Option(help: "The folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.")
    var home: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws { try NotifyCommand.run(["alertmanager"] + (json ? ["--json"] : []), Home.resolve(home, environment: ProcessInfo.processInfo.environment)) }
}
