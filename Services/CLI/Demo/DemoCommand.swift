import ArgumentParser

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "What Sluice was built against, played on real processes.", discussion: "EXAMPLE\n  sluice demo leak", subcommands: [LeakDemo.self])
}
