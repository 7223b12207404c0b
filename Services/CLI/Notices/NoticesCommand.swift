import ArgumentParser

struct NoticesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "notices", abstract: "What those are told whose data was exposed in an incident.",
        discussion: "EXAMPLE\n  sluice notices preview 7\n  sluice notices preview 7 E1042 --html > notice.html", subcommands: [NoticesPreview.self])
}
