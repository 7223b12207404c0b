import Chassis
import Foundation
import Gate
import Identity
import Logging
import Messaging
import Wire

/// Takes what strangers say, within bounds, to control, and its answers back. Decides nothing and keeps nothing.
final class JoinDesk {
    private var doors: [Binder] = []
    private let control: Link
    private let lease: Span
    private let logger: Logger
    private var limiter = RateLimiter<Network>(each: Limits.joinsEach, total: Limits.joinsTotal, keysMax: Limits.joinAddressesMax)
    /// Asked and not answered, by the request's id.
    private var underWay: [Data: (door: Binder, route: Route, since: Instant)] = [:]
    /// What control says of keys.
    var granted: (WireGrant) -> Void = { _ in }
    private var renewed: Instant?
    private var told = Told()
    /// Asked to wait, since the start: control hears of them, who never asked it.
    private var limited: UInt64 = 0

    /// What was answered since it was last written down: a line for each stranger would fill the disk that everybody shares.
    private struct Told: Hashable {
        var joined = 0
        var refused = 0
        var limited = 0
    }

    /// What the handshake calls everybody here.
    static let role = "stranger"
    static let underWayMax = 64
    /// Control answers in milliseconds, when the disk is slow in a second; after that the stranger is told to come again.
    static let patience = Span.seconds(10)
    static let toldEvery = Span.seconds(10)
    private var toldAt = Clock.now()

    init(control: Link, lease: Span, logger: Logger) {
        self.control = control
        self.lease = lease
        self.logger = logger
        let start = Nonce.random()
        control.hello = {
            var body = WireHello()
            body.software = "sluice 0.1"
            body.start = start.bytes
            return body
        }
        // A new session: what was asked in the old one may be lost.
        control.welcomed = { [unowned self] _ in giveBack { _ in true } }
        control.received = { [unowned self] message in
            // What cannot be read is no answer: the stranger asks again.
            try? answered(message)
        }
    }

    /// Strangers come in here as well.
    func open(_ door: Binder) {
        doors.append(door)
        door.received = { [unowned self, unowned door] route, message in receive(door, route, message) }
    }

    private func receive(_ strangers: Binder, _ route: Route, _ message: borrowing Inbound) {
        let kind = message.kind
        guard kind == .join else { return strangers.refuse(.notAllowed, "this port takes a token, and nothing else", kind: kind, to: route) }
        let now = Clock.now()
        if let wait = limiter.take(Network(message.address), at: now) {
            told.limited += 1
            limited += 1
            return strangers.refuse(.tooMany, "too many attempts from there: once more after a while", kind: kind, to: route) {
                $0.retryMs = UInt32(clamping: max(1, wait.milliseconds))
            }
        }
        do {
            let join = try message.body(WireJoin.self)
            guard let user = User(message.user), user.role == JoinDesk.role, let key = CurveKey(hex: user.name) else {
                return strangers.refuse(.unknownNode, "this connection has no key", kind: kind, to: route)
            }
            guard join.secret.count == Limits.joinSecretBytes else {
                return strangers.refuse(.malformed, "a token's secret has \(Limits.joinSecretBytes) bytes", kind: kind, to: route)
            }
            ask(join, key, message.address, strangers, route, now)
        } catch {
            strangers.refuse(error.refusal, "this message cannot be read", kind: kind, to: route)
        }
    }

    private func ask(_ join: WireJoin, _ key: CurveKey, _ address: String, _ door: Binder, _ route: Route, _ now: Instant) {
        var request = WireJoinRequest()
        request.id = Nonce.random().bytes
        request.key = Data(key.bytes)
        // From here on nobody holds the secret: control and its ledger know its hash.
        request.token = Data(JoinToken.hash(of: join.secret))
        request.address = address
        guard underWay.count < JoinDesk.underWayMax, control.send(.joinRequest, request) == .sent else { return pushBack(door, route) }
        underWay[request.id] = (door, route, now)
    }

    private func pushBack(_ door: Binder, _ route: Route) {
        var busy = WireBusy()
        busy.kind = UInt32(Kind.join.rawValue)
        busy.retryMs = 1_000
        door.send(.busy, busy, to: route)
    }

    private var refusals: UInt64 {
        doors.reduce(0) { sum, door in door.refusals.reduce(sum) { RefusalLog.words.contains($1.key) ? $0 + $1.value : $0 } }
    }

    /// Asks those to come again for whom control has not answered and will not.
    private func giveBack(_ isLost: (Instant) -> Bool) {
        for (id, asked) in underWay where isLost(asked.since) {
            underWay[id] = nil
            pushBack(asked.door, asked.route)
        }
    }

    private func answered(_ message: borrowing Inbound) throws(Frame.Malformed) {
        switch message.kind {
        case .joined:
            let body = try message.body(WireJoined.self)
            guard let (door, route, _) = underWay.removeValue(forKey: body.id) else { return }
            told.joined += 1
            door.send(.joined, body, to: route)
        case .refused:
            var body = try message.body(WireRefused.self)
            guard let (door, route, _) = underWay.removeValue(forKey: body.id) else { return }
            told.refused += 1
            if let refusal = Refusal(rawValue: body.code) { door.count(refusal) }
            body.kind = UInt32(Kind.join.rawValue)
            door.send(.refused, body, to: route)
        case .grant: granted(try message.body(WireGrant.self))
        default: break
        }
    }

    func tick(at now: Instant) {
        control.tick(at: now)
        // Control answers without a lease: there is nothing here that it could allow.
        if control.isWelcome, renewed.map({ now - $0 >= lease / Limits.renewalsPerLease }) ?? true {
            renewed = now
            var body = WireRenew()
            body.nonce = Nonce.random().bytes
            body.service.counters = ["limited": limited, "messages.refused": refusals]
            control.send(.renew, body)
        }
        giveBack { now - $0 > JoinDesk.patience }
        guard now - toldAt > JoinDesk.toldEvery, told != Told() else { return }
        logger.info("joined: \(told.joined), refused: \(told.refused), asked to wait: \(told.limited)")
        toldAt = now
        told = Told()
    }
}
