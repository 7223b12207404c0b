import ArgumentParser
import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import SwiftProtobuf
import Wire

/// Makes this machine an agent: a key that never leaves it, and what the suite says to a token.
struct JoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join", abstract: "Join a suite with a token: make this machine's key and agent.json.",
        discussion: """
            EXAMPLE
              sluice-agent join -                     then paste the token, and Ctrl-D
              sluice-agent join sluice-join-AQAB…     the token can be seen by this machine's other users while it runs

            'sluice enrol' prints the token; it is good once. Whoever has it can join in this machine's place: then this command says that
            the token was used, and an operator should revoke who came first ('sluice agents', 'sluice revoke agent').
            The key is made here (agent.secret, mode 0600) and never leaves. Safe to repeat until it has succeeded.

            A NEW KEY for an agent that has joined, also while it runs:
              sluice enrol --subject E1042 --name desk-7      by an operator, with the subject, site and team as they are; another one approves
              sluice-agent join --renew -                     on the machine
            The old key counts until control has registered the new one, and never again; what waits in the spool is sent under the new one.
            """)

    @OptionGroup var options: AgentCommand.Options
    @Argument(help: "The token; - reads it from standard input, where nobody else can see it.") var token: String
    @Flag(help: "Exchange the key of an agent that has joined; its name and its spool stay.") var renew = false
    @Option(help: "Seconds to go on trying.") var wait: Double = 30
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard wait > 0, wait <= 86_400 else { throw ValidationError("--wait is \(wait): more than 0 and at most 86,400 seconds are expected") }
    }

    func run() throws {
        // Decide.
        Lifecycle.ignoreBrokenPipes()
        Lifecycle.leaveNoCore()
        let token = try JoinCommand.read(token)
        let folder = try options.folder()

        // Acquire.
        let home = Home(folder)
        if renew { return try renew(token, home) }
        try home.makeFolder()
        try home.lock("lock")
        let settings = folder + "/agent.json"
        guard !FileManager.default.fileExists(atPath: settings) else {
            throw Complaint("\(settings) is there already: this folder has joined a suite; choose another with --home, or move it away; --renew exchanges the key of an agent that has joined")
        }
        let keys = try KeyFile.loadOrMake(folder + "/agent.secret")

        // Ask, and write down what counts.
        let joined = try ask(token, keys)
        let known = try JoinedSuite(joined, token: token)
        // Looked at by every run, like one that comes by another way.
        if joined.hasServer { try? joined.server.file?.write(to: URL(fileURLWithPath: folder + "/server.proof"), options: .atomic) }
        try known.write(to: settings)
        if json {
            let shown = ["name": known.name, "home": folder]
            return print(String(decoding: try JSONSerialization.data(withJSONObject: shown, options: [.sortedKeys, .withoutEscapingSlashes]), as: UTF8.self))
        }
        print("joined as \(known.name)\nsluice-agent run\(options.home.map { " --home \($0)" } ?? "")")
    }

    /// The agent may run meanwhile: it takes the new key up when it is in the old one's place.
    private func renew(_ token: JoinToken, _ home: Home) throws {
        let (settings, secret) = (home.file("agent.json"), home.file("agent.secret"))
        let agent = try AgentSettings(home: home.path)
        try home.lock("renew.lock")
        // It says which suite is meant, and no more: what is believed afterwards goes on from what is believed now.
        guard let trust = try? agent.trust, (trust.keys + trust.retired).contains(where: { isSame(JoinToken.anchor(of: "\($0)"), token.anchor) }) else {
            throw Complaint(
                "this token is of another suite than \(settings), or the key of its ledger was exchanged while this agent was off: let the agent run until it has met ingest, then say this again; the key stays as it is")
        }
        // Where a run that was cut off has left it: the same key with the same token hears the same again.
        let keys = try KeyFile.loadOrMake(secret + ".new")
        let joined = try ask(token, keys)
        let known = try JoinedSuite(joined, token: token)
        guard known.name == agent.name else {
            // It is registered now, as somebody that nobody is.
            unlink(secret + ".new")
            throw Complaint(
                "this token was for '\(JoinCommand.safe(known.name))', and this agent is '\(agent.name)': its key stays as it is. Revoke '\(JoinCommand.safe(known.name))', and enrol with --name \(agent.name)")
        }
        try JoinedSuite.extend(home.path, by: joined, logger: Lifecycle.logger("agent \(known.name)"))
        try known.write(to: settings, onlyUnpinned: true)
        guard rename(secret + ".new", secret) == 0 else {
            throw Complaint("\(secret) cannot be replaced: \(String(cString: strerror(errno))); run the same command again")
        }
        print("renewed: \(known.name) has a new key, and the old one counts no more; an agent that runs takes it up by itself")
    }

    private static func read(_ argument: String) throws -> JoinToken {
        var text = argument
        if text == "-" {
            // A token is a line; what is longer is none.
            var bytes = [UInt8](repeating: 0, count: 4_096)
            defer { wipe(&bytes) }
            var count = 0
            while count < bytes.count {
                let got = bytes.withUnsafeMutableBytes { Foundation.read(STDIN_FILENO, $0.baseAddress?.advanced(by: count), $0.count - count) }
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { break }
                count += got
            }
            text = String(decoding: bytes[..<count], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        }
        do { return try JoinToken(text: text) } catch { throw Complaint("\(error)") }
    }

    /// - Throws: `Complaint`, one line for each way in which it can fail.
    private func ask(_ token: JoinToken, _ keys: CurveKeyPair) throws -> WireJoined {
        var body = WireJoin()
        body.secret = Data(token.secret.withCopy { $0 })
        body.software = "sluice-agent 0.1"
        let context = try Context()
        let question = try Question(
            .join, body, to: .init(endpoint: token.endpoint, server: token.server), keys: keys,
            limits: SocketLimits(frameBytesMax: Limits.joinedBytesMax, sendMax: 8, receiveMax: 8), again: .seconds(2), silence: .seconds(6), in: context)
        let reactor = Reactor(wakeup: try Wakeup()) {}
        var result: Result<WireJoined, Complaint>?
        var last: String?
        question.received = { [unowned question, unowned reactor] message in
            do {
                switch message.kind {
                case .joined: result = .success(try message.body(WireJoined.self))
                case .busy:
                    let busy = try message.body(WireBusy.self)
                    last = "the suite is busy"
                    return question.wait(JoinCommand.patience(busy.retryMs))
                case .refused:
                    let refused = try message.body(WireRefused.self)
                    guard let refusal = Refusal(rawValue: refused.code), refusal.disposition != .keep else {
                        last = JoinCommand.safe(refused.text)
                        return question.wait(JoinCommand.patience(refused.retryMs))
                    }
                    result = .failure(Complaint("not joined: \(JoinCommand.safe(refused.text))"))
                default: return
                }
            } catch {
                // What cannot be read is no answer.
                return
            }
            reactor.stop()
        }
        let end = Clock.now() + Span(nanoseconds: Int64(wait * 1e9))
        reactor.watch(question)
        reactor.every(.milliseconds(50)) { [unowned question, unowned reactor] now in
            question.tick(at: now)
            if now >= end { reactor.stop() }
        }
        reactor.run()
        if let result { return try result.get() }
        let why =
            last ?? (question.wasConnected ? "the suite does not answer" : "nobody answers there who has the key that the token names: is the address right, and is there a way to it?")
        throw Complaint("not joined after \(Int(wait)) s at \(token.endpoint): \(why)")
    }

    /// With jitter: a hundred machines that were set up together do not come back together.
    private static func patience(_ milliseconds: UInt32) -> Span {
        let asked = Int64(min(max(milliseconds, 100), 60_000))
        return .milliseconds(asked + .random(in: 0...asked / 2))
    }

    private static func safe(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(500).map { $0.properties.generalCategory == .control ? "?" : $0 }))
    }
}

/// What this machine was told when it joined, checked, and as it stands in agent.json.
struct JoinedSuite {
    let name: String
    private let settings: [String: Any]
    /// Of ``settings``, what only a proof changes once it is there.
    private static let pinned: Set = ["serverKey", "origin", "policyWitness", "ledgerKey", "ledgerKeys"]

    /// - Throws: `Complaint` when it cannot be meant for this token.
    init(_ joined: WireJoined, token: JoinToken) throws(Complaint) {
        // The joining process is everybody's to reach, so it is not believed about the ledger: the token is, which came from an operator.
        guard let trust = JoinedSuite.trust(joined, token) else {
            throw Complaint("not joined: \(token.endpoint) names another ledger than the token; do not use this suite before its operators know why")
        }
        guard let ingestKey = CurveKey(joined.ingestKey), (1...Limits.nameBytesMax).contains(joined.name.utf8.count),
            (300...600_000).contains(joined.leaseMs), let ingest = JoinedSuite.address(joined.ingest, besides: token.endpoint)
        else { throw Complaint("not joined: what \(token.endpoint) answers makes no sense; is it newer than this program?") }
        name = joined.name
        let told: [String: Any] = [
            "name": name, "ingest": ingest, "serverKey": ingestKey.z85, "leaseMilliseconds": Int(joined.leaseMs), "origin": joined.origin,
            "policyWitness": joined.policyWitness,
        ]
        settings = told.merging(AgentSettings.fields(of: trust)) { $1 }
    }

    /// From the key that the token names on, to those that count now: it may have been exchanged since the token was made.
    private static func trust(_ joined: WireJoined, _ token: JoinToken) -> LedgerTrust? {
        var named = [joined.controlKey]
        for proof in joined.ledgerKeys {
            guard case .ledgerKeyAnnounced(let deed)? = (try? WireEntry(serializedBytes: proof.entry.body))?.deed else { continue }
            named += [deed.beside, deed.key]
        }
        guard let text = named.first(where: { isSame(JoinToken.anchor(of: $0), token.anchor) }), let key = try? VerifierKey(parsing: text) else { return nil }
        var trust = LedgerTrust(key)
        for proof in joined.ledgerKeys.prefix(Limits.ledgerKeyProofsMax) { _ = try? trust.take(proof) }
        return trust
    }

    /// Where a service listens on every interface it is reached where the token was.
    private static func address(_ endpoint: String, besides door: String) -> String? {
        guard endpoint.hasPrefix("tcp://"), endpoint.utf8.count <= JoinToken.endpointBytesMax, let colon = endpoint.lastIndex(of: ":"),
            let own = door.lastIndex(of: ":"), UInt16(endpoint[endpoint.index(after: colon)...]) ?? 0 > 0
        else { return nil }
        let isWild = ["tcp://*", "tcp://0.0.0.0", "tcp://[::]"].contains(String(endpoint[..<colon]))
        return isWild ? String(door[..<own] + endpoint[colon...]) : endpoint
    }

    /// Of an agent that has joined before: takes which keys count from what a joining process says as from what ingest says, where control's ledger proves it to who
    /// believes what this agent believes. Nothing that it knows is forgotten.
    static func extend(_ folder: String, by joined: WireJoined, logger: Logger) throws {
        // Read now: one that runs may have heard more since it was asked.
        let agent = try AgentSettings(home: folder)
        guard let server = CurveKey(z85: agent.serverKey) else { throw Complaint("serverKey in agent.json is no key") }
        let ledger = LedgerPin(folder: folder, trust: try agent.trust, logger: logger)
        _ = ledger.take(joined.ledgerKeys)
        if joined.hasServer { ServerPin(folder: folder, pinned: server, ledger: ledger, logger: logger).take(joined.server) }
    }

    /// - Parameter onlyUnpinned: the machine has joined before, and keeps what is pinned.
    func write(to path: String, onlyUnpinned: Bool = false) throws(Complaint) {
        do {
            // What else stands there is this machine's own.
            let there = FileManager.default.contents(atPath: path).flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] } ?? [:]
            let told = settings.filter { !onlyUnpinned || !JoinedSuite.pinned.contains($0.key) }
            let data = try JSONSerialization.data(withJSONObject: there.merging(told) { $1 }, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
            try data.write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw Complaint("this machine is registered as \(name), and \(path) cannot be written: \(TrustedNodes.reason(error)); run the same command again")
        }
    }
}
