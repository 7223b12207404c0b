import ArgumentParser
import Chassis
import Foundation
import Gate
import Ledger
import Messaging
import Notices
import Rules
import Wire

struct NoticesSend: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send", abstract: "Propose an incident's notices, and once another operator has approved hand them over to notify; or send at once, where policy says so.",
        discussion: """
            EXAMPLE
              sluice notices send 7 --people people.csv              proposes exactly these pages, by their digest
              sluice notices preview 7 --people people.csv           the other operator: the same digest?
              sluice approve 31 --as ops-2
              sluice notices send 7 --people people.csv              hands them over: from there on they go out by themselves

            What goes out is what was signed, byte for byte: notify compares. Where it is interrupted, the same again goes on.
            Where the policy document in force says 'notices: {send: at once}', one operator decides: the first 'send' is recorded under your signature, and hands over. It asks before, with how
            many people that is; --yes answers it, and has to where nobody can be asked. All operators and the hooks are told that you decided it alone. Look at the preview before.
            """)
    @OptionGroup var connection: Connection
    @Argument(help: "The incident's number.") var incident: UInt64
    @OptionGroup var options: NoticeOptions
    @Flag(help: "Do not ask, where the policy document in force lets you decide alone.") var yes = false

    func validate() throws {
        if options.scope.people == nil { throw ValidationError("--people FILE names the directory: where notices go to, and in which language") }
    }

    func run() throws {
        let notices = try IncidentNotices(incident, options, in: connection.folder, keeping: true)
        guard notices.round.count > 0 else { throw Complaint("nobody's data was exposed in incident \(incident): nobody is told") }
        if let why = notices.unstable { throw Complaint("whoever is to approve would not come to the same digest: \(why)") }
        // For people it stands in what is shown of them.
        if connection.json, let words = notices.unproven.words { FileHandle.standardError.write(Data("sluice: \(words)\n".utf8)) }
        let tree = try notices.tree()
        let digest = tree.root
        let known = notices.files.record.governance.notices[incident] ?? []
        if let decided = known.last(where: { $0.digest == Array(digest.bytes) && $0.count == UInt64(notices.round.count) }) {
            return try NoticeHandover(notices, decided, tree, connection).run()
        }
        if !connection.json {
            for line in try NoticePreview(notices, digest).lines.dropLast() { print(Terminal.safe(line)) }
        }
        let sendsAtOnce = try inForce().send == .atOnce
        if !sendsAtOnce, let open = try proposal(for: digest) {
            if connection.json {
                var outcome = WireOutcome()
                outcome.proposal = open
                return try Show.json(outcome)
            }
            return ProposalView.show(open, home: connection.home)
        }
        let count = UInt64(notices.round.count)
        // What has left is in nobody's hand any more.
        if sendsAtOnce { try Confirmation.ask("\(ExposureView.people(notices.round.count)) get\(count == 1 ? "s" : "") a notice of incident \(incident) by your word alone, at once. Send it as \(connection.operatorName)?", unless: yes, always: true) }
        let outcome = try connection.client().command(.sendNotices(WireNoticesDecided(incident, count, Array(digest.bytes))), by: connection.signer())
        // Which of the two it is control says, by the document in force at that moment.
        guard outcome.hasProposal else {
            if !connection.json { print("decided by \(connection.operatorName) alone, as the policy document in force lets one operator: entry \(outcome.entry)") }
            return try NoticeHandover(notices, DecidedNotices(index: outcome.entry, at: Clock.wall(), count: count, digest: Array(digest.bytes)), tree, connection).run()
        }
        if connection.json { return try Show.json(outcome) }
        if sendsAtOnce { print("control has another policy document in force by now: it takes a second operator") }
        ProposalView.show(outcome.proposal, home: connection.home)
    }

    /// Of the document that control goes by: this home's files may be older.
    private func inForce() throws -> NoticeTerms {
        let document = try connection.client().query(.policy(WirePolicyQuery())).policy.document
        return document.isEmpty ? NoticeTerms.none : try PolicyFiles.document(canonical: [UInt8](document)).notices
    }

    /// One that waits for another operator already.
    private func proposal(for digest: TreeHash) throws -> WireProposal? {
        try connection.client().query(.proposals(WireProposalsQuery())).proposals.proposals.first { proposal in
            guard case .sendNotices(incident, _, let proposed)? = proposal.signed.command?.value else { return false }
            return proposed == Array(digest.bytes)
        }
    }
}

/// Brings what was decided to notify, from where it stopped.
struct NoticeHandover {
    private let notices: IncidentNotices
    private let decided: DecidedNotices
    private let tree: MerkleLevels
    private let connection: Connection

    init(_ notices: IncidentNotices, _ decided: DecidedNotices, _ tree: MerkleLevels, _ connection: Connection) {
        (self.notices, self.decided, self.tree, self.connection) = (notices, decided, tree, connection)
    }

    /// For notify to hear of the entry: a few leases, should it have just been started.
    private static let patience = Span.seconds(15)

    func run() throws {
        let client = try connection.client("notify")
        var patience = Patience()
        let terminal = Terminal()
        let isWatched = terminal.isTerminal && !connection.json
        var held = try begin(client, &patience)
        while !held.taken {
            guard let first = Int(exactly: held.held), first < notices.round.count else { throw Complaint("notify holds \(held.held) of \(notices.round.count) and does not take them: 'sluice notices \(notices.files.incident.number)' shows how they stand") }
            let next = try send(notices.batch(from: first), from: held.held, client, &patience)
            guard next.taken || next.held > held.held else { throw Complaint("notify does not take more than \(next.held) of \(notices.round.count)") }
            held = next
            if isWatched { terminal.write("\r\u{1B}[K\(Show.number(held.held)) of \(Show.number(notices.round.count)) handed over") }
        }
        if isWatched { terminal.write("\r\u{1B}[K") }
        let incident = notices.files.incident.number
        if connection.json { return try NoticePreview.show(["incident": incident, "decision": decided.index, "count": decided.count, "digest": tree.root.hex, "held": held.held, "taken": held.taken]) }
        print("\(terminal.green("HANDED OVER"))   \(Show.number(decided.count)) notices of incident \(incident), entry \(decided.index): notify has them all, and they go out by themselves")
        print("'sluice notices \(incident)' shows how they stand")
    }

    private func begin(_ client: Client, _ patience: inout Patience) throws -> WireNoticesHeld {
        let end = Clock.now() + NoticeHandover.patience
        while true {
            do { return try send([], from: 0, client, &patience) } catch ClientError.refused(.notFound, let text) {
                guard Clock.now() < end else { throw ClientError.refused(.notFound, text) }
                usleep(200_000)
            }
        }
    }

    private func send(_ batch: [Data], from first: UInt64, _ client: Client, _ patience: inout Patience) throws -> WireNoticesHeld {
        var body = WireNoticeBatch()
        body.decision = decided.index
        body.first = first
        body.notices = batch
        // That what notify has then is how the signed tree begins.
        body.proof = batch.isEmpty ? [] : tree.consistencyProof(older: first + UInt64(batch.count)).map { Data($0.bytes) }
        return try patience.ask("notify") {
            try client.ask(.notices, body, silence: Limits.commandPatience) { message in
                guard message.kind == .noticesHeld else { return nil }
                let held = try message.body(WireNoticesHeld.self)
                // That it holds what came before these is the answer to another part, which was sent twice.
                return held.decision == decided.index && (batch.isEmpty || held.taken || held.held != first) ? held : nil
            }
        }
    }
}
