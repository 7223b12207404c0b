import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Webhooks

/// One message to one hook, now, past the outbox, in the hook's own form and signed as always.
struct WebhookTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "webhook", abstract: "Tell one hook, and say what it answered.", discussion: "EXAMPLE\n  sluice-notify test webhook oncall --home /var/lib/sluice")

    @OptionGroup var options: ServiceOptions
    @Flag(help: "Print JSON.") var json = false
    @Argument(help: "The hook's name in notify.json.") var name: String

    func run() throws {
        let (hooks, path, settings) = try ChannelTest.settings(options)
        guard let hook = hooks.all.first(where: { $0.name == name }) else {
            throw Complaint("\(path) names no hook \(name.debugDescription); it names \(hooks.all.isEmpty ? "none" : hooks.all.map(\.name).joined(separator: ", "))")
        }
        // What the receiver needs, and has no other way to come by.
        let keys = hook.signers.compactMap { signer -> String? in if case .key(let key) = signer { key.publicKey.description } else { nil } }
        if !json { for key in keys { print("\(name) is told with a signature of \(key)") } }
        var client = try WebhookClient(settings.of(hook))
        // Another id each time: a second try is no copy of the first.
        let id = "msg_" + (0..<64).map { _ in String(UInt8.random(in: 0...15), radix: 16) }.joined()
        try ChannelTest.say(client.post(Bodies.test(id: id, at: Clock.wall()), to: hook, at: Clock.wall()), name, keys, json: json)
    }
}

/// One alert that ends by itself.
struct AlertmanagerTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alertmanager", abstract: "Send one alert that lasts a minute, and say what Alertmanager answered.", discussion: "EXAMPLE\n  sluice-notify test alertmanager --home /var/lib/sluice")

    @OptionGroup var options: ServiceOptions
    @Flag(help: "Print JSON.") var json = false

    func run() throws {
        let (hooks, path, settings) = try ChannelTest.settings(options)
        guard let target = hooks.alertmanager else { throw Complaint("\(path) names no alertmanager") }
        var client = try WebhookClient(settings.of(target))
        let body = Alerts.body([Alerts.test(labels: target.labels, at: Clock.wall())])
        try ChannelTest.say(client.post(body, to: target.url, lines: AlertSender.lines(target)), Alertmanager.name, json: json)
    }
}

private enum ChannelTest {
    static func settings(_ options: ServiceOptions) throws -> (Hooks, path: String, WebhookClient.Settings) {
        // A server that closes while it is written to is an answer, and no end of this program.
        Lifecycle.ignoreBrokenPipes()
        let home = Home.resolve(options.home, environment: ProcessInfo.processInfo.environment)
        let path = home.file("notify.json")
        var settings = WebhookClient.Settings()
        settings.ownPorts = try SuiteSettings(from: home).ports
        return (try Hooks(contentsOf: path), path, settings)
    }

    private struct Said: Encodable {
        var channel: String
        var taken: Bool
        var answer: String
        var keys: [String]
    }

    /// - Throws: that it was not taken: the command has failed.
    static func say(_ answer: RetrySchedule.Answer, _ name: String, _ keys: [String] = [], json: Bool) throws {
        var said = Said(channel: name, taken: false, answer: AlertSender.words(answer), keys: keys)
        if case .status(200..<300, _) = answer { said.taken = true }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(said), as: UTF8.self))
        }
        guard said.taken else { throw Complaint("\(name) has not taken it: \(said.answer)") }
        if !json { print("\(name) has taken it: \(said.answer)") }
    }
}
