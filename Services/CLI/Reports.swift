import ArgumentParser
import Chassis
import Foundation
import Gate
import Messaging
import Wire

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the gate, the agents, the flow and the vault.",
        discussion: "EXAMPLE\n  sluice status\n  sluice status --json | jq .agents_current\n\nExit code 1 when control does not answer: then with why it ended, if its log says so.")

    @OptionGroup var connection: Connection

    func run() throws {
        let client = try connection.client()
        let first: WireStatus
        do {
            first = try client.query(.status(WireStatusQuery())).status
        } catch let error as ClientError {
            guard case .silent = error, let words = lastWords("control") else { throw error }
            throw Complaint("\(error) Its log ends with: \(words)")
        }
        if connection.json { return try Show.json(first) }
        let terminal = Terminal()
        print(StatusView(first, terminal: terminal).lines.joined(separator: "\n"))
        // On the machine where they run there is more to say of who is missing; also of those whom this control has not heard yet.
        for name in SuiteHome.services where name != "control" && !first.services.contains(where: { $0.name == name && $0.connected }) {
            if let words = lastWords(name) { print(terminal.red("ENDED") + "   \(name)'s log ends with: \(Terminal.safe(words))") }
        }
    }

    /// Why a service ended, if the last that it wrote was why.
    private func lastWords(_ name: String) -> String? {
        guard let file = FileHandle(forReadingAtPath: connection.folder.file("logs/\(name).log")), let size = try? file.seekToEnd(),
            (try? file.seek(toOffset: size - min(size, 4_096))) != nil, let data = try? file.readToEnd(),
            // Its threads may have had a word to say after the one that ended it; whoever listens again has begun anew.
            let line = String(decoding: data, as: UTF8.self).split(separator: "\n").suffix(5).reversed()
                .first(where: { line in ["Error: ", " error ", " critical ", "listening on "].contains { line.contains($0) } }),
            !line.contains("listening on ")
        else { return nil }
        return line.replacingOccurrences(of: "Error: ", with: "")
    }
}

/// `sluice status`, and the live view of `sluice up`.
struct StatusView {
    let status: WireStatus
    let terminal: Terminal

    init(_ status: WireStatus, terminal: Terminal) {
        self.status = status
        self.terminal = terminal
    }

    private func service(_ name: String) -> WireServiceStatus { status.services.first { $0.name == name } ?? WireServiceStatus() }

    var lines: [String] {
        var lines = [gate, agents, flow, vault, ledgers] + refusals
        for closure in status.gate.closures.prefix(10) {
            lines.append("CLOSED  \(closure.epoch) since \(Show.time(microseconds: closure.fromUs))   \(Show.selector(closure))   \"\(Terminal.safe(closure.reason))\" by \(Terminal.safe(closure.author))")
        }
        if !status.gate.sealed.isEmpty { lines.append("SEALED  \(Terminal.safe(status.gate.sealed))") }
        for ledger in status.ledgers where !ledger.trouble.isEmpty {
            lines.append(terminal.red("LEDGER") + "  \(Terminal.safe(ledger.origin)) is not believed: \(Terminal.safe(ledger.trouble))")
        }
        let missing = status.services.filter { !$0.connected }.map(\.name)
        if !missing.isEmpty { lines.append(terminal.red("MISSING") + " \(missing.joined(separator: ", "))   no lease: what they guard is stopped") }
        for service in status.services where !service.trouble.isEmpty {
            lines.append(terminal.red("CLAIMS") + "  \(Terminal.safe(service.trouble)): it gets no lease; look at its host and its key, or start control anew to have it believed")
        }
        if !status.journal.isEmpty { lines.append(terminal.red("JOURNAL") + " \(status.entriesWaiting) entries wait: \(Terminal.safe(status.journal))") }
        for line in status.pending.prefix(10) { lines.append(terminal.red("PENDING") + " \(Terminal.safe(line))   in force, not durable yet: forgotten if control ends now") }
        if status.pending.count > 10 { lines.append("        and \(status.pending.count - 10) more") }
        if let lost = service("policy").counters["batches.lost"], lost > 0 {
            lines.append(terminal.red("LOST") + "    \(Show.number(lost)) batches that neither the vault has nor an agent holds any more: policy's log names them")
        }
        let notify = service("notify")
        if notify.gauges["ledger.trouble"] == 1 {
            lines.append(terminal.red("NOTIFY") + "  control's ledger is not the one that was delivered: nothing new is told until two operators say so (sluice ledger restore governance)")
        }
        if (notify.gauges["waiting"] ?? 0) + (notify.gauges["held"] ?? 0) + (notify.gauges["given-up"] ?? 0) > 0 {
            lines.append("NOTICES \(notify.gauges["waiting"] ?? 0) waiting   \(notify.gauges["held"] ?? 0) held   \(notify.gauges["given-up"] ?? 0) given up   (sluice deliveries)")
        }
        if let joined = notify.counters["mails.joined"], joined > 0 { lines.append("STORM   \(Show.number(joined)) mails to operators came too many at once, and were joined to fewer") }
        if let untold = notify.gauges["notices.untold"], untold > 0 {
            lines.append(terminal.yellow("UNTOLD") + "  \(ExposureView.people(Int(untold))) \(untold == 1 ? "has" : "have") no notice in time, and nobody is told: 'escalation.to' and 'mail.operators' in notify.json name nobody")
        }
        if let attempts = notify.gauges["alerts.failing"], attempts > 0 {
            lines.append(terminal.red("ALERTS") + "  Alertmanager has not taken what it must know of \(notify.gauges["alerts.firing"] ?? 0) incidents, in \(attempts) attempts   (sluice deliveries)")
        }
        lines += hooks
        lines += again
        if let unknown = service("policy").gauges["probes.pages.unknown"], unknown > 0 {
            lines.append(terminal.yellow("PROBES") + "  \(Show.number(unknown)) pages of the policy's leaks cannot be judged: no answer, or one that does not say whether everybody gets them; policy's log names them")
        }
        if service("policy").gauges["policy.document"] == 0 {
            let denied = service("policy").counters["reads.denied.no-document"] ?? 0
            lines.append(terminal.yellow("POLICY") + "  no document is in force: nobody may read\(denied == 0 ? "" : ", \(Show.number(denied)) reads denied")   (sluice policy apply FILE)")
        }
        if status.incidentsOpen > 0 { lines.append("CASES   \(status.incidentsOpen) incidents not closed   (sluice incidents)") }
        return lines
    }

    /// What other systems have reported, and what has become of it; nothing where nothing was.
    private var hooks: [String] {
        let counts = Counts(status.counters)
        var lines: [String] = []
        func count(_ name: String) -> String { Figures.number(counts["hooks.\(name)"], decimals: 0) }
        if ["matched", "unmatched", "resolved", "waiting"].contains(where: { counts["hooks.\($0)"] > 0 }) {
            let waiting = counts["hooks.waiting"] > 0 ? "   " + terminal.red("\(count("waiting")) findings wait for control") : ""
            lines.append("HOOKS   \(count("matched")) reports asked for a closure   \(count("unmatched")) no rule matches   \(count("resolved")) are over   \(count("known")) came again\(waiting)")
        }
        if counts["hooks.unwritable"] > 0 { lines.append(terminal.red("HOOKS") + "   what is reported cannot be stored: senders are told to come again") }
        if counts["hooks.silent"] > 0 { lines.append(terminal.red("HOOKS") + "   not connected: what is reported waits there, or with its senders") }
        return lines
    }

    /// What is stored, judged by a policy that came later.
    private var again: [String] {
        let gauges = service("policy").gauges
        func count(_ name: String) -> String { Show.number(gauges["rescan.\(name)"] ?? 0) }
        var lines: [String] = []
        if gauges["rescan.running"] == 1 {
            lines.append("AGAIN   what is stored is judged by the policy in force: \(count("segments")) of \(Show.number(gauges["vault.segments"] ?? 0)) segments so far, of \(count("changed")) less is left, \(count("events.gone")) events are gone")
        }
        if let held = gauges["rescan.held"], held > 0 { lines.append("AGAIN   what there is of \(Show.number(held)) people is judged again when the incidents end that hold it") }
        if let unreadable = gauges["rescan.unreadable"], unreadable > 0 {
            lines.append(terminal.yellow("AGAIN") + "   \(Show.number(unreadable)) segments could not be judged by the policy in force, and stay as they are")
        }
        return lines
    }

    private var gate: String {
        let state =
            !status.gate.sealed.isEmpty
            ? terminal.red("sealed") : status.gate.closures.isEmpty ? terminal.green("open") : terminal.red("\(status.gate.closures.count) closed")
        return "GATE    \(state)     epoch \(status.gate.epoch)     lease \(String(format: "%.1f", Double(status.leaseMs) / 1_000)) s     control up \(Show.span(microseconds: status.upUs))"
    }

    private var agents: String {
        var line = "AGENTS  \(Show.number(status.agentsConnected)) connected   \(Show.number(status.agentsCurrent)) current"
        if let first = status.silent.first {
            let silent = status.agentsConnected - status.agentsCurrent
            line += "   " + terminal.yellow("\(silent) silent since \(Show.time(microseconds: first.sinceUs)), lease ended")
        }
        if let quarantined = service("policy").gauges["agents.quarantined"], quarantined > 0 {
            line += "   " + terminal.red("\(Show.number(quarantined)) quarantined: their batches cannot be opened")
        }
        return line
    }

    private var flow: String {
        let ingest = service("ingest")
        let policy = service("policy")
        // As numbers that cannot overflow: among them are agents' own words.
        let refused = policy.counters.filter { $0.key.hasPrefix("refused.") }.values.reduce(0.0) { $0 + Double($1) }
            + ingest.counters.filter { $0.key.hasPrefix("agents.events.refused.") || $0.key.hasPrefix("refused.") }.values.reduce(0.0) { $0 + Double($1) }
        return "FLOW    \(Show.number(ingest.gauges["events.rate"] ?? 0)) events/s in   \(Figures.number(refused, decimals: 0)) refused   ack p50 \(Show.span(microseconds: ingest.gauges["ack.p50.us"] ?? 0))  p99 \(Show.span(microseconds: ingest.gauges["ack.p99.us"] ?? 0))"
    }

    /// Both of them: how many entries, and how many of these the other service has cosigned.
    private var ledgers: String {
        let parts = status.ledgers.map { ledger in
            let name = ledger.origin.split(separator: "/").last.map(String.init) ?? "?"
            let witnessed = ledger.witnessed >= ledger.size ? "all cosigned" : "\(Show.number(ledger.witnessed)) cosigned"
            return "\(Terminal.safe(name)) \(Show.number(ledger.size)), \(ledger.trouble.isEmpty ? witnessed : terminal.red("NOT BELIEVED"))"
        }
        return "LEDGERS \(parts.joined(separator: "   "))"
    }

    /// What was tried and refused since each service's start, by kind; nothing where there was nothing.
    private var refusals: [String] {
        let control = Counts(status.counters)
        let services = status.services.map { Counts($0.counters) }
        func everywhere(_ prefix: String) -> Double { control.sum(prefix) + services.reduce(0) { $0 + $1.sum(prefix) } }
        func messages(_ prefix: String) -> Double {
            RefusalLog.words.reduce(0) { sum, word in sum + ([control] + services).reduce(0) { $0 + $1[prefix + word] } }
        }
        let policy = Counts(service("policy").counters)
        let kinds: [(Double, String)] = [
            (control.sum("commands.refused."), "commands\(control.words("commands.refused."))"),
            (control.sum("joins.refused.") + control["joins.limited"], "joins\(control.words("joins.refused.", control["joins.limited"]))"),
            (["unauthenticated", "limited", "malformed", "too-large", "wrong-type"].reduce(0) { $0 + control["hooks.\($1)"] }, "reports"),
            (control["hooks.crowded"], "connections of one address for reports"),
            (everywhere("handshakes.refused"), "handshakes"),
            (messages("refused.") + messages("refused.message.") + control["joins.messages.refused"], "messages"),
            (policy["reads.denied"], "reads denied"),
            (policy["unsealable"], "batches not as sealed"),
            (Counts(service("ingest").counters).sum("agents.pushes.refused."), "pushes that agents did not take"),
            (everywhere("refused.retired-key"), "messages by retired keys"),
            (everywhere("ledger."), "ledgers"),
            (everywhere("entries.gaps"), "entries out of order"),
            (everywhere("gate.contradicted"), "gates that the ledger has closed"),
            (control["claims.refused"], "claims of services"),
        ].filter { $0.0 > 0 }
        guard !kinds.isEmpty else { return [] }
        return ["\(terminal.yellow("REFUSED")) \(kinds.map { "\(Figures.number($0.0, decimals: 0)) \($0.1)" }.joined(separator: "   "))"]
    }

    /// As numbers that cannot overflow: among them are agents' own words.
    private struct Counts {
        private let counters: [String: UInt64]
        init(_ counters: [String: UInt64]) { self.counters = counters }
        subscript(name: String) -> Double { Double(counters[name] ?? 0) }
        func sum(_ prefix: String) -> Double { counters.reduce(0) { $1.key.hasPrefix(prefix) ? $0 + Double($1.value) : $0 } }
        /// The most frequent: ` (12 replayed, 1 expired)`.
        func words(_ prefix: String, _ limited: Double = 0) -> String {
            var found = counters.filter { $0.key.hasPrefix(prefix) }.map { (Double($0.value), String($0.key.dropFirst(prefix.count))) }
            if limited > 0 { found.append((limited, "asked to wait")) }
            let shown = found.sorted { ($1.0, $0.1) < ($0.0, $1.1) }.prefix(3).map { "\(Figures.number($0.0, decimals: 0)) \(Terminal.safe($0.1))" }
            return shown.isEmpty ? "" : " (\(shown.joined(separator: ", "))\(found.count > 3 ? ", …" : ""))"
        }
    }

    private var vault: String {
        let gauges = service("policy").gauges
        let oldest = gauges["vault.oldest.us"] ?? 0
        let full = gauges["vault.full"] == 1 ? terminal.red("   DISK FULL") : ""
        let damaged = service("policy").counters["vault.damaged", default: 0] > 0 ? terminal.red("   DAMAGED: what needs it is refused; restore a backup") : ""
        let keys = (gauges["vault.keys.missing"] ?? 0) > 0 ? terminal.red("   KEY MISSING: what is sealed to it waits at the agents") : ""
        return "VAULT   \(Show.count(gauges["vault.events"] ?? 0)) events   \(Show.bytes(gauges["vault.bytes"] ?? 0))\(oldest > 0 ? "   oldest \(Show.time(microseconds: oldest))" : "")\(full)\(damaged)\(keys)"
    }
}

struct Closures: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List what is closed now.", discussion: "EXAMPLE\n  sluice closures")
    @OptionGroup var connection: Connection

    func run() throws {
        let closures = try connection.client().query(.closures(WireClosuresQuery())).closures
        if connection.json { return try Show.json(closures) }
        if closures.closures.isEmpty { print("nothing is closed") }
        for closure in closures.closures {
            print("\(closure.epoch)   since \(Show.time(microseconds: closure.fromUs))   \(Show.selector(closure))   \"\(Terminal.safe(closure.reason))\" by \(Terminal.safe(closure.author))   incident \(closure.incident)")
        }
    }
}

struct Incidents: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List incidents, or close one.", discussion: "EXAMPLE\n  sluice incidents\n  sluice incidents --close 7")
    @OptionGroup var connection: Connection
    @Option(help: ArgumentHelp("Close this incident; its closure must have been lifted.", valueName: "incident")) var close: UInt64?

    func run() throws {
        let client = try connection.client()
        if let close {
            var body = WireCloseIncident()
            body.incident = close
            _ = try client.command(.closeIncident(body), by: connection.signer())
        }
        let incidents = try client.query(.incidents(WireIncidentsQuery())).incidents
        if connection.json { return try Show.json(incidents) }
        if incidents.incidents.isEmpty { print("there are no incidents") }
        for incident in incidents.incidents {
            print("\(incident.incident)   \(incident.state)   opened \(Show.time(microseconds: incident.openedUs)) by \(Terminal.safe(incident.author))   \(incident.leak ? "leak\(incident.class.isEmpty ? "" : " of \(incident.class)")" : "pause")   \"\(Terminal.safe(incident.title))\"   \(incident.certificates.first.map { "certificate \($0)" } ?? "no certificate yet")")
        }
    }
}

struct Agents: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List agents and whether they hold a lease.", discussion: "EXAMPLE\n  sluice agents --site berlin")
    @OptionGroup var connection: Connection
    @Option(help: "Only this site.") var site: [String] = []
    @Option(help: "Only this team.") var team: [String] = []
    @Option(help: "Only this person.") var subject: [String] = []

    func run() throws {
        let client = try connection.client()
        var selector = WireSelector()
        selector.sites = site
        selector.teams = team
        selector.subjects = subject
        var all = WireAgents()
        all.agents = try client.agents(selector)
        if connection.json { return try Show.json(all) }
        if all.agents.isEmpty { print("no agent is registered here") }
        for agent in all.agents {
            let node = agent.node
            let since = agent.state == "silent" ? " since \(Show.time(microseconds: agent.sinceUs)), lease ended" : ""
            print("\(Terminal.safe(node.name))   \(agent.state)\(since)   subject \(Terminal.safe(node.subject))   site \(Terminal.safe(node.site))   team \(Terminal.safe(node.team))")
        }
    }
}

struct Deliveries: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List who has not been told yet, and why.", discussion: "EXAMPLE\n  sluice deliveries")
    @OptionGroup var connection: Connection

    func run() throws {
        let body = try connection.client("notify").query(.deliveries(WireDeliveriesQuery())).deliveries
        if connection.json { return try Show.json(body) }
        let doubled = body.doubled > 0 ? "   \(body.doubled) may have come twice" : ""
        print("\(body.delivered) delivered   \(body.waiting) waiting   \(body.held) held   \(body.givenUp) given up\(doubled)")
        for item in body.deliveries {
            let receiver = item.recipient.isEmpty ? item.channel : "\(item.channel) of \(item.recipient)"
            let next = item.nextUs > 0 ? ", next \(Show.time(microseconds: item.nextUs))" : ""
            let copies = item.possibleCopies > 0 ? ", \(item.possibleCopies) of them may have arrived" : ""
            print("\(item.id)   \(item.type) to \(Terminal.safe(receiver))   \(item.state), \(item.attempts) attempts\(copies)\(next)   \(Terminal.safe(item.lastError))")
        }
    }
}
