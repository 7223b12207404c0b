import ArgumentParser

@main
struct NotifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-notify",
        abstract: "The voice: tells people and systems, and tries whether they can be told.",
        discussion: "EXAMPLE\n  sluice-notify --home /var/lib/sluice\n  sluice-notify test mail --home /var/lib/sluice --to ops@example.com",
        subcommands: [NotifyService.self, NotifyTest.self, BenchDelivery.self], defaultSubcommand: NotifyService.self)
}

/// Tries the settings as they stand in `notify.json` now, beside a service that runs or does not.
struct NotifyTest: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Try the settings: says in one line what happened.", discussion: "EXAMPLE\n  sluice-notify test mail --home /var/lib/sluice", subcommands: [MailTest.self, WebhookTest.self, AlertmanagerTest.self])
}
