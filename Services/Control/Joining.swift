import Foundation
import Gate
import Identity
import Messaging
import Wire

/// Machines that come with a token, as the joining process asks for them: decided here, registered durably, and then answered.
///
/// Lives on the reactor's thread. Of two at once exactly one comes in, because the decision is made on what is planned, entries under way
/// included; the same machine again waits for the same entry.
final class Joining {
    private let authority: Authority
    /// What everybody is told who joins, but for their own name.
    private let suite: WireJoined
    /// The key that ingest goes by now.
    var ingestKey: () -> CurveKey?
    /// The newest key that control's ledger is signed with, as text.
    var ledgerKey: () -> String? = { nil }
    /// Keys whose entry is on its way to the disk, and who waits for it.
    private var underWay: [[UInt8]: [Waiter]] = [:]
    /// The machine is registered, and that is durable.
    var joined: (Route, WireJoined) -> Void = { _, _ in }

    private struct Waiter: Hashable {
        let route: Route
        let id: Data
    }

    /// Of one machine that asks again and again while the disk is slow: the newest.
    private static let waitersMax = 8

    init(authority: Authority, ingest: String, ingestKey: CurveKey, lease: Span) {
        self.authority = authority
        var body = WireJoined()
        body.ingest = ingest
        body.leaseMs = UInt32(clamping: lease.milliseconds)
        suite = body
        self.ingestKey = { ingestKey }
    }

    func take(_ request: WireJoinRequest, from route: Route, wall exact: WallTime) throws(Refused) {
        // As the ledger will have it.
        let wall = WallTime(microseconds: exact.microseconds)
        guard request.id.count == 16, request.key.count == 32, request.token.count == 32 else {
            throw Refused(.invalid, "a request to join has an id of 16 bytes, a key of 32 and a token's hash of 32")
        }
        if authority.hasLost { throw Refused(.sealed, "control's ledger has lost entries: operators must open it first") }
        let key = [UInt8](request.key)
        let decision: JoinDecision
        do throws(JoinRefused) {
            decision = try authority.planned.admit(token: [UInt8](request.token), key: key, ownName: ownName(of: key), at: wall)
        } catch {
            throw Refused(error)
        }
        let waiter = Waiter(route: route, id: request.id)
        switch decision {
        case .known(let node):
            if underWay[key] == nil { return answer(node, waiter) }
            underWay[key]?.append(waiter)
            underWay[key] = underWay[key]?.suffix(Joining.waitersMax)
        case .register(let name, let enrolment):
            if let trouble = authority.journalTrouble {
                throw Refused(.journalFull, "nobody joins while control's ledger cannot be written: \(trouble)")
            }
            if let holder = authority.holderBesideAgents(of: key) {
                throw Refused(.invalid, "this machine's key is, or was, the key of \(holder): whoever has it would be both; join from an empty folder")
            }
            let node = Node(name: name, ordinal: authority.planned.nextOrdinal, key: key, role: .agent, scope: enrolment.scope)
            try authority.planned.checkCertifiable(with: [node])
            underWay[key] = [waiter]
            authority.register(node, by: enrolment.number, wall: wall) { [self] in
                for waiter in underWay.removeValue(forKey: key) ?? [] { answer(node, waiter) }
            }
        }
    }

    private func answer(_ node: Node, _ waiter: Waiter) {
        var body = suite
        body.id = waiter.id
        body.ingestKey = Data(ingestKey()?.bytes ?? [])
        body.name = node.name
        body.ordinal = node.ordinal
        if let beginning = authority.governance.beginning {
            body.origin = beginning.origin
            body.controlKey = ledgerKey() ?? beginning.controlKey
            let witness = beginning.policyWitness
            body.policyWitness = authority.governance.ledgerKeys.current[LedgerKeys.name(of: witness)]?.last ?? witness
        }
        joined(waiter.route, body)
    }
}

extension Refused {
    init(_ error: JoinRefused) {
        switch error {
        case .unknownToken: self.init(.tokenUnknown, "this token is not known: it was made for another suite, or no second operator has approved it yet ('sluice proposals')")
        case .usedToken:
            self.init(.tokenUsed, "this token was used by another machine: if that was none of yours, tell an operator to revoke it at once ('sluice agents', 'sluice revoke agent')")
        case .expiredToken(let end): self.init(.tokenExpired, "this token counted until \(end.rfc3339): ask for a new one")
        case .revokedKey: self.init(.revokedKey, "this machine's key was taken away and never comes back: join from an empty folder, which gets a new key")
        case .keyInUse(let name): self.init(.invalid, "this machine's key is the key of '\(name)' already: one key is one agent; join from an empty folder")
        case .nameInUse(let name): self.init(.invalid, "the name that this machine's key gives is another agent's ('\(name)'): join from an empty folder")
        }
    }
}
