import ArgumentParser

@main
struct IngestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice-ingest",
        abstract: "The edge: workstations' sessions, and the port where they join.",
        discussion: "EXAMPLE\n  sluice-ingest --home /var/lib/sluice\n  sluice-ingest join --home /var/lib/sluice\n\nKeeps no telemetry. Normally started by 'sluice up'.",
        subcommands: [IngestService.self, JoinService.self], defaultSubcommand: IngestService.self)
}
