import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Stop capture and reading, everywhere or in a part, and show the proof.",
        discussion: """
            EXAMPLE
              sluice pause --all --reason "reviews visible company-wide"
              sluice pause --site berlin --class review --reads-only --reason "export under investigation"
              sluice pause --dry-run --team search                        what would stop, and whom it touches

            One person is enough, at once. Exit code 0: the certificate is complete. 1: it is not, and what is missing is printed; the
            pause is in force all the same. --dry-run is planned by control as the pause would be, changes nothing, and is refused as the pause would be.
            """)

    @OptionGroup var connection: Connection
    @OptionGroup var scope: ScopeOptions
    @Option(help: "Why. People will read it. Needed, but with --dry-run.") var reason: String?
    @Flag(help: "Stop nothing: show what would stop, and whom it touches.") var dryRun = false

    func validate() throws {
        if reason == nil, !dryRun { throw ValidationError("--reason is missing: people will read why") }
    }

    func run() throws {
        var pause = WirePause()
        pause.direction = scope.direction
        pause.selector = scope.selector
        pause.reason = reason ?? "asked about, and not done"
        if dryRun { return try PauseRehearsal(pause, connection).show() }
        try Stop(connection: connection).run(.pause(pause))
    }
}

struct Leak: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Report a leak.", subcommands: [Report.self])

    struct Report: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Report that data is where it must not be: pauses its class, opens an incident, tells the hooks.",
            discussion: """
                EXAMPLE
                  sluice leak report --class review --reason "performance reviews readable by everyone on the wiki"
                  sluice leak report --release 9912 --reason "on a paste site, found by sluice trace"

                With --release what was seen outside is a release: what it is of, who took it and when are put before the reason, and its class is stopped (everything, if it is of several).
                Needs the home of policy's machine, as 'sluice trace' does.
                """)

        @OptionGroup var connection: Connection
        @Option(name: .customLong("class"), help: ArgumentHelp("The class that leaked. Left out: everything is stopped.", valueName: "class"))
        var dataClass = ""
        @Option(help: "What was seen, and where.") var reason: String
        @Option(help: ArgumentHelp("The release that was seen outside, as 'sluice trace' names it.", valueName: "number")) var release: UInt64?
        @Option(help: "Who or what noticed.") var source = "operator"

        func run() throws {
            var leak = WireLeakReport()
            leak.class = dataClass
            leak.reason = reason
            leak.source = source
            if let release { try leak.add(Report.found(release, in: connection.folder), isWhole: dataClass.isEmpty) }
            try Stop(connection: connection).run(.leak(leak))
        }
    }
}

extension Leak.Report {
    /// After a vault was restored numbers come again: all of them, the newest last.
    fileprivate static func found(_ release: UInt64, in home: Home) throws -> [ReleasesOnRecord.Release] {
        let found = try ReleasesOnRecord(LedgerFiles(home)).all.filter { $0.release == release }
        guard !found.isEmpty else { throw Complaint("no release \(release) is in the read ledger: leave out --release, and name the class") }
        return found
    }
}

extension WireLeakReport {
    fileprivate mutating func add(_ releases: [ReleasesOnRecord.Release], isWhole: Bool) {
        guard let newest = releases.last else { return }
        let classes = Set(releases.flatMap(\.classes))
        if isWhole, classes.count == 1, let one = classes.first { self.class = one }
        let who = newest.person.isEmpty ? newest.reader : "\(newest.reader) (\(newest.person))"
        let others = releases.count == 1 ? "" : ", or an earlier one of this number,"
        reason = "release \(newest.release) to \(who) of \(Show.time(microseconds: newest.atUs)) for \(newest.purpose) (entry \(newest.entry))\(others) was seen outside: \(reason)"
    }
}

/// A command that stops something, followed until its certificate.
private struct Stop {
    let connection: Connection
    let terminal = Terminal()

    func run(_ deed: WireCommand.OneOf_Deed) throws {
        let client = try connection.client()
        // What narrows counts at any index: nothing is asked first.
        let command = try connection.signer().sign(Client.command(deed), at: 0)
        var outcome: WireOutcome?
        var shown = 0
        let certificate = try client.ask(.command, command.wire, silence: Limits.commandPatience) { message -> WireCertificate? in
            switch message.kind {
            case .outcome:
                let body = try message.body(WireOutcome.self)
                guard body.id == command.id, outcome == nil else { return nil }
                outcome = body
                try began(body)
            case .progress:
                let body = try message.body(WireProgress.self)
                guard body.epoch == outcome?.epoch else { return nil }
                try show(body, &shown)
            case .certificate:
                let body = try message.body(WireCertificate.self)
                return body.epoch == outcome?.epoch ? body : nil
            default: break
            }
            return nil
        }
        try finish(certificate, &shown)
        if !certificate.complete { throw ExitCode(1) }
    }

    private func began(_ outcome: WireOutcome) throws {
        if connection.json { return try Show.json(outcome) }
        let closure = outcome.closure
        print("epoch \(outcome.epoch), by \(closure.author), \(Show.time(microseconds: closure.fromUs, milliseconds: true))   \(Show.selector(closure))")
        fflush(nil)
    }

    private func show(_ progress: WireProgress, _ shown: inout Int) throws {
        if connection.json { return try Show.json(progress) }
        guard terminal.isTerminal else { return }
        erase(&shown)
        let lines = lines(
            services: (progress.services, progress.servicesAll, progress.servicesUs),
            agents: (progress.agents, progress.agentsAll, progress.agentsUs), silent: progress.silent, ended: progress.leaseUs, isFinal: false)
        print(lines.joined(separator: "\n"))
        shown = lines.count
    }

    private func erase(_ shown: inout Int) {
        if shown > 0 { terminal.write("\u{1B}[\(shown)A\u{1B}[J") }
        shown = 0
    }

    private func lines(
        services: (UInt32, UInt32, UInt32), agents: (UInt32, UInt32, UInt32), silent: UInt32, ended: UInt32, isFinal: Bool
    ) -> [String] {
        func row(_ name: String, _ figure: String, _ rest: String) -> String {
            "  " + name.padding(toLength: 11, withPad: " ", startingAt: 0) + figure.padding(toLength: 13, withPad: " ", startingAt: 0) + rest
        }
        var lines = [row("services", "\(services.0)/\(services.1)", "in \(Show.span(microseconds: services.2))")]
        if agents.1 > 0 { lines.append(row("agents", "\(agents.0)/\(agents.1)", "in \(Show.span(microseconds: agents.2))")) }
        if silent > 0 { lines.append(row("silent", "\(silent)", isFinal ? "lease ended by \(Show.span(microseconds: ended))" : "lease ends by \(Show.span(microseconds: ended))")) }
        return lines
    }

    private func finish(_ certificate: WireCertificate, _ shown: inout Int) throws {
        if connection.json { return try Show.json(certificate) }
        erase(&shown)
        let summary = StopSummary(certificate)
        print(
            lines(
                services: (summary.services, summary.servicesAll, summary.servicesUs), agents: (summary.agents, summary.agentsAll, summary.agentsUs),
                silent: summary.silent, ended: summary.silentUs, isFinal: true
            ).joined(separator: "\n"))
        for name in summary.silentNames.prefix(10) { print("             \(Terminal.safe(name))") }
        if summary.silentNames.count > 10 { print("             and \(summary.silentNames.count - 10) more: sluice certificate \(certificate.epoch)") }
        let closure = certificate.closure
        let everything = closure.selector == WireSelector() && closure.direction == .both
        if certificate.complete {
            print("\(terminal.green(everything ? "STOPPED EVERYWHERE" : "STOPPED")) in \(Show.span(microseconds: certificate.completeAfterUs))    incident \(closure.incident) opened    certificate \(certificate.epoch)")
            if certificate.unrecorded { print("  \(terminal.yellow("NOT YET IN THE LEDGER"))    the pause is recorded, its certificate is written as soon as control's disk takes it: sluice certificate \(certificate.epoch)") }
            return
        }
        print("\(terminal.red("NOT CONFIRMED"))    incident \(closure.incident) opened    the pause is in force, its certificate \(certificate.epoch) is not complete:")
        for line in certificate.unconfirmed { print("  \(Terminal.safe(line))") }
    }
}

/// The figures of a certificate that fit on a screen.
struct StopSummary {
    var services: UInt32 = 0
    var servicesAll: UInt32 = 0
    var servicesUs: UInt32 = 0
    var agents: UInt32 = 0
    var agentsAll: UInt32 = 0
    var agentsUs: UInt32 = 0
    var silent: UInt32 = 0
    var silentUs: UInt32 = 0
    var silentNames: [String] = []

    init(_ certificate: WireCertificate) {
        for stop in certificate.services {
            servicesAll += 1
            if stop.how != .leaseEnded { services += 1 }
            if stop.how == .leaseEnded {
                silent += 1
                silentUs = max(silentUs, stop.afterUs)
                silentNames.append(stop.node)
            } else {
                servicesUs = max(servicesUs, stop.afterUs)
            }
        }
        for stop in certificate.agents {
            switch stop.how {
            case .acknowledged:
                agents += 1
                agentsAll += 1
                agentsUs = max(agentsUs, stop.afterUs)
            case .noLease: break
            default:
                agentsAll += 1
                silent += 1
                silentUs = max(silentUs, stop.afterUs)
                silentNames.append(stop.node)
            }
        }
    }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Propose to lift closures. Another operator approves; then it is durable first, and in force after that.",
        discussion: "EXAMPLE\n  sluice resume 42 --reason \"ACL fixed, verified by probe\"\n  sluice resume --all --reason \"drill over\"\n  sluice approve 12 --as ops-2")

    @OptionGroup var connection: Connection
    @Argument(help: "The epochs of the closures to lift; 'sluice closures' lists them.") var epochs: [UInt64] = []
    @Flag(help: "Lift every closure that is in force now.") var all = false
    @Flag(help: "Open again although control's ledger has lost entries that others have seen.") var unseal = false
    @Option(help: "Why. People will read it.") var reason: String

    func validate() throws {
        if all, !epochs.isEmpty { throw ValidationError("--all lifts every closure: leave out the epochs, or leave out --all") }
        if !all, epochs.isEmpty, !unseal { throw ValidationError("say which closures: their epochs, or --all") }
    }

    func run() throws {
        var resume = WireResume()
        // By name, and not "all": what comes between now and the approval was shown to nobody.
        resume.closures = all ? try connection.client().query(.closures(WireClosuresQuery())).closures.closures.map(\.epoch) : epochs
        resume.reason = reason
        if unseal { try resume.giveUp(what: connection.client().query(.status(WireStatusQuery())).status) }
        try connection.propose(.resume(resume))
    }
}

extension WireResume {
    /// Unseals, and gives up what peers know and control's ledger does not: exactly what control names now, so that whoever signs sees it.
    mutating func giveUp(what status: WireStatus) {
        unseal = true
        guard let governance = status.ledgers.first else { return }
        drops = governance.drops
        abandons = governance.abandons
    }
}
