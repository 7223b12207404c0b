import Chassis
import Foundation
import Gate
import Identity
import Messaging
import SwiftProtobuf
import Wire

/// Why a command could not be done.
enum ClientError: Error, CustomStringConvertible {
    case silent(service: String, endpoint: String)
    /// The handshake was refused: the key is nobody's there.
    case shutOut(service: String, name: String)
    case refused(Refusal?, String)

    var description: String {
        switch self {
        case .silent(let service, let endpoint): "\(service) does not answer at \(endpoint): is 'sluice up' running with this --home?"
        case .shutOut(let service, let name):
            "the key of \(name) is not registered with \(service), or not any more: another operator's 'sluice operator list' shows whose are"
        case .refused(_, let text): text
        }
    }

    /// 77 as in sysexits.h: not permitted. Whoever was removed, or may not read something, learns it from this, and not from a text.
    var exitCode: Int32 {
        switch self {
        case .shutOut, .refused(.unknownNode, _), .refused(.denied, _): 77
        case .silent, .refused: 1
        }
    }
}

/// One operator's session with one service: sends a request, and takes what comes until it is answered.
final class Client {
    private let link: Link
    private let reactor: Reactor
    private let service: String
    private let endpoint: String
    private let operatorName: String
    private var onWelcome: () -> Void = {}

    /// - Parameter operatorName: Whose key in the home's `keys` signs on.
    init(_ service: String, home: Home, as operatorName: String) throws {
        let settings = try SuiteSettings(from: home)
        let trusted = try TrustedNodes(contentsOf: home.file("registry.json"))
        let endpoint =
            switch service {
            case "policy": settings.policy
            case "notify": settings.notify
            default: settings.control
            }
        guard let server = trusted.key(of: service) else { throw Complaint("registry.json names no key of \(service); 'sluice up' makes it") }
        let keys = try KeyFile.load(home.key(operatorName))
        let context = try Context()
        let limits = SocketLimits(frameBytesMax: Limits.payloadBytesMax)
        link = try Link(.init(endpoint: ServiceHost.reachable(endpoint), server: server), keys: keys, limits: limits, silence: .seconds(2), reconnect: 20...60, watching: true, in: context)
        reactor = Reactor(wakeup: try Wakeup()) {}
        self.service = service
        self.endpoint = endpoint
        self.operatorName = operatorName
        link.hello = {
            var body = WireHello()
            body.software = "sluice cli 0.1"
            body.start = Nonce.random().bytes
            return body
        }
        link.welcomed = { [unowned self] _ in onWelcome() }
        reactor.watch(link)
        reactor.every(.milliseconds(100)) { [unowned link] in link.tick(at: $0) }
    }

    func send(_ kind: Kind, _ body: some SwiftProtobuf.Message) { link.send(kind, body) }

    /// Sends a request, again after every new greeting, and calls `take` for every answer until it returns a value.
    ///
    /// - Parameter silence: After so long without any answer it is given up. Every answer begins it anew.
    func ask<Answer>(
        _ kind: Kind, _ body: some SwiftProtobuf.Message, silence: Span = .seconds(3), _ take: @escaping (consuming Inbound) throws -> Answer?
    ) throws -> Answer {
        var result: Result<Answer, any Error>?
        var heard = Clock.now()
        // Who reads stands in control's ledger, and policy that has just been started has it in a moment.
        let patience: Span = service == "policy" ? .milliseconds(1_500) : .zero
        link.received = { [unowned self] message in
            heard = Clock.now()
            do {
                if message.kind == .refused {
                    let refused = try message.body(WireRefused.self)
                    // The link greets again by itself, and the request follows.
                    if refused.code == Refusal.helloFirst.rawValue { return }
                    throw ClientError.refused(Refusal(rawValue: refused.code), refused.text)
                }
                guard let answer = try take(message) else { return }
                result = .success(answer)
            } catch {
                result = .failure(error)
            }
            reactor.stop()
        }
        onWelcome = { [unowned self] in link.send(kind, body) }
        if link.isWelcome { link.send(kind, body) }
        reactor.every(.milliseconds(50)) { [unowned self] now in
            guard result == nil, link.isShutOut && now - heard > patience || now - heard > silence else { return }
            result = .failure(link.isShutOut ? ClientError.shutOut(service: service, name: operatorName) : .silent(service: service, endpoint: endpoint))
            reactor.stop()
        }
        reactor.run()
        reactor.forgetLastTimer()
        guard let result else { throw ClientError.silent(service: service, endpoint: endpoint) }
        return try result.get()
    }

    func query(_ about: WireQuery.OneOf_About) throws -> WireAnswer {
        var body = WireQuery()
        body.about = about
        return try ask(.query, body) { message in
            guard message.kind == .answer else { return nil }
            return try message.body(WireAnswer.self)
        }
    }

    /// Every agent that is registered in a part, page by page.
    func agents(_ selector: WireSelector = WireSelector()) throws -> [WireAgentStatus] {
        var all: [WireAgentStatus] = []
        var asked = WireAgentsQuery()
        asked.selector = selector
        while true {
            let page = try query(.agents(asked)).agents
            all += page.agents
            guard page.more, let last = page.agents.last else { return all }
            asked.after = last.node.name
        }
    }

    /// Sends what was signed, and waits until it has taken effect and is durable, or was proposed.
    func send(_ signed: Signed) throws -> WireOutcome {
        try ask(.command, signed.wire, silence: Limits.commandPatience) { message in
            guard message.kind == .outcome else { return nil }
            let outcome = try message.body(WireOutcome.self)
            return outcome.id == signed.id ? outcome : nil
        }
    }

    /// A command as of the newest entry there is: for what may widen.
    func command(_ deed: WireCommand.OneOf_Deed, by signer: Signer) throws -> WireOutcome {
        try sendAtNewest { try signer.sign(Client.command(deed), at: $0) }
    }

    /// A command of two persons whose keys are both here: when a suite is made, and in measurements.
    func command(_ deed: WireCommand.OneOf_Deed, by signer: Signer, and other: Signer) throws -> WireOutcome {
        let proposed = try command(deed, by: signer)
        guard proposed.hasProposal, let hash = ProposalHash([UInt8](proposed.proposal.hash)) else { return proposed }
        let approved = ApprovedProposal(number: proposed.proposal.proposal, hash: hash)
        return try sendAtNewest { try other.sign(approved, at: $0) }
    }

    /// Signs as of the newest durable entry. Control may be journaling one after it, such as the pause that was just obeyed, and then refuses what it has not heard
    /// of. Nobody has been shown anything between the look and the signature, so looking and signing again is what the refusal asks for.
    private func sendAtNewest(_ sign: (UInt64) throws -> Signed) throws -> WireOutcome {
        let looks = 100
        for _ in 1..<looks {
            do { return try send(sign(newest())) } catch ClientError.refused(.staleIndex, _) { usleep(20_000) }
        }
        return try send(sign(newest()))
    }

    private func newest() throws -> UInt64 { try query(.operators(WireOperatorsQuery())).operators.last }

    static func command(_ deed: WireCommand.OneOf_Deed) -> WireCommand {
        var body = WireCommand()
        body.deed = deed
        return body
    }
}
