import ArgumentParser
import Chassis
import Foundation
import Wire

struct LeakDemo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leak", abstract: "Two operators let everybody read reviews by mistake: it is found, stopped and told by itself.",
        discussion: """
            EXAMPLE
              sluice demo leak                         on a suite of its own, which it starts in a folder of its own and ends
              sluice demo leak --keep                  the same; the folder stays, to look at
              sluice demo leak --here --yes            on the suite of --home: EVERYTHING THERE STOPS, until two operators resume it

            Nothing is staged: the findings, the stop, the certificate and the exposure are those that a company would get. On a suite that has a policy in force
            the mistake is one grant more, which lets nobody read anything; where none is, the whole story is played with people of its own.
            Exit code 0: found, stopped, and the certificate is complete.
            """)

    @Option(help: "With --here: the folder of the suite. Default: $SLUICE_HOME, else $XDG_DATA_HOME/sluice.") var home: String?
    @Flag(help: "Play it on the suite that runs at --home.") var here = false
    @Flag(help: "With --here: do not ask whether everything may stop there.") var yes = false
    @Flag(help: "Leave the folder of the suite that was made for it.") var keep = false
    @Flag(help: "Print JSON: one object, at the end.") var json = false

    func validate() throws {
        if !here, home != nil { throw ValidationError("--home names a suite that runs: say --here to play it there, where everything stops") }
        if !here, yes { throw ValidationError("--yes answers what --here asks") }
        if here, keep { throw ValidationError("--keep is for the suite that is made for it") }
    }

    func run() throws {
        #if os(Linux)
        Lifecycle.holdSignals()
        let teller = DemoTeller(isShown: !json)
        let stage = try here ? DemoStage(at: Home.resolve(home, environment: ProcessInfo.processInfo.environment)) : DemoStage.own(teller)
        defer { stage.end(keeping: keep) }
        if here { try LeakDemo.ask(stage, yes) }
        let story = LeakStory(stage, teller)
        let ending = try story.play()
        if json { return try ending.showJSON(stage, teller, keep) }
        for line in ending.lines + stage.farewell(ending, keeping: keep) { print(Terminal.safe(line)) }
        if !ending.certificate.complete { throw ExitCode(1) }
        #else
        throw Complaint("'sluice demo' runs the services on Linux only")
        #endif
    }

    #if os(Linux)
    /// A demonstration that stops a company is a disaster of its own: whoever has agents or data there says so twice.
    private static func ask(_ stage: DemoStage, _ yes: Bool) throws {
        let status = try stage.client.query(.status(WireStatusQuery())).status
        guard status.gate.sealed.isEmpty else { throw Complaint("the suite at \(stage.home.path) is sealed: \(status.gate.sealed)") }
        guard status.gate.closures.isEmpty else { throw Complaint("something is closed at \(stage.home.path) already ('sluice closures'): a leak would not show there") }
        let events = status.services.first { $0.name == "policy" }?.gauges["vault.events"].map { "\(Show.number($0)) events are stored" } ?? "nobody can say how much is stored"
        let what = "\(Show.number(status.agentsRegistered)) agents and everybody who reads would stop at \(stage.home.path), where \(events), until two operators resume it."
        guard !yes else { return }
        guard Terminal().isTerminal, isatty(STDIN_FILENO) == 1 else { throw Complaint("\(what) Nothing was done: say --yes if that is wanted, or leave out --here") }
        try Confirmation.ask("\(what) Play it there?", unless: false)
    }
    #endif
}
