import CZMQ
package import Gate
package import Wire
package import SwiftProtobuf

/// A peer's one DEALER: greets, keeps the session alive, and makes a new socket when the old one has gone dumb.
///
/// States: *greeting* (a socket that has not said `Hello`), *waiting* (for `Welcome`), *welcome*. Whatever the binder has
/// forgotten (it restarted) it answers with `helloFirst`, and the link greets again.
package final class Link: Source {
    package enum State: Hashable, Sendable { case greeting, waiting, welcome }

    package struct Address: Hashable, Sendable {
        package var endpoint: String
        package var server: CurveKey

        package init(endpoint: String, server: CurveKey) {
            self.endpoint = endpoint
            self.server = server
        }
    }

    package private(set) var state = State.greeting
    /// A message that is whole; `welcome` and `refused(helloFirst)` are seen by the link first.
    package var received: (consuming Inbound) -> Void = { _ in }
    package var hello: () -> WireHello = { WireHello() }
    package var welcomed: (WireWelcome) -> Void = { _ in }
    package private(set) var refusals: [String: UInt64] = [:]
    /// How often a new socket had to be made.
    package private(set) var renewals: UInt64 = 0

    private var socket: Socket?
    /// Where the handshake is watched, for whoever must tell a refusal from silence. Before the context, which ends when no socket is left.
    private var monitor: Socket?
    private let endpoint: String
    /// Keys that count for the binder; the first is the one that this socket expects.
    private var servers: [CurveKey]
    private var keys: CurveKeyPair
    private let limits: SocketLimits
    private let context: Context
    private let messagesAtOnce: Int
    private let reconnect: ClosedRange<Int32>
    /// After so long without a word the socket is given up: one that was refused in its handshake never comes back by itself.
    private let silence: Span
    /// The same while the binder may have one of several keys: a socket that expects the wrong one hears nothing.
    private let trying: Span
    /// The binder has said that it listens with this key from then on.
    private var moving: (to: CurveKey, at: Instant)?
    private var heard: Instant
    private var age: ConnectionAge
    private let lasting: Span
    /// On this socket, anything.
    private var isAnswered = false
    private var patience: Span
    private var greeted: Instant?
    private let watches: Bool
    /// The binder has refused this key: it is not registered there, or not any more. Known only to a link that watches.
    package private(set) var isShutOut = false

    /// - Parameters:
    ///   - lasting: How old a socket becomes until ``isOld(at:)``, or up to twice that.
    ///   - watches: Learn of a refused handshake. For short-lived links: it costs a socket.
    package init(
        _ address: Address, keys: CurveKeyPair, limits: SocketLimits, silence: Span, trying: Span? = nil, reconnect: ClosedRange<Int32> = 100...300,
        messagesAtOnce: Int = 256, lasting: Span = ConnectionAge.least, watching watches: Bool = false, in context: Context
    ) throws(MessagingError) {
        self.watches = watches
        endpoint = address.endpoint
        servers = [address.server]
        self.trying = min(trying ?? silence, silence)
        self.keys = keys
        self.limits = limits
        self.silence = silence
        self.context = context
        self.reconnect = reconnect
        self.messagesAtOnce = messagesAtOnce
        heard = Clock.now()
        age = ConnectionAge(from: heard, least: lasting)
        self.lasting = lasting
        patience = Link.jittered(silence)
        socket = try makeSocket()
    }

    private static func jittered(_ span: Span) -> Span {
        span + Span(nanoseconds: .random(in: 0...max(1, span.nanoseconds)))
    }

    private func makeSocket() throws(MessagingError) -> Socket {
        let name = "inproc://link-\(UInt64.random(in: .min ... .max))"
        monitor = nil
        let made = try Socket.connecting(
            endpoint, keys: keys, server: servers[0], limits: limits,
            reconnect: .random(in: reconnect), in: context
        ) { if watches { zmq_socket_monitor($0, name, ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) } }
        if watches { monitor = try Socket.watching(name, in: context) }
        return made
    }

    private func watch() {
        while let frame = monitor?.receive() {
            if frame.withUnsafeBytes({ $0.count >= 2 && Int32($0.loadUnaligned(as: UInt16.self)) == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH }) { isShutOut = true }
        }
    }

    /// The key that this socket expects of the binder, and, when it is welcome, has found.
    package var server: CurveKey { servers[0] }

    /// Which keys count for the binder from here on; each is tried in turn, and no other. A connection under one that counts no more is given up.
    package func accept(_ keys: [CurveKey], at now: Instant) {
        guard let first = keys.first, Set(keys) != Set(servers) else { return }
        let present = servers[0]
        servers = keys.contains(present) ? [present] + keys.filter { $0 != present } : [first] + keys.dropFirst()
        if servers[0] != present { renew(at: now) } else { patience = Link.jittered(span) }
    }

    /// This peer goes by another key of its own from here on.
    package func use(_ keys: CurveKeyPair, at now: Instant) {
        guard keys.publicKey != self.keys.publicKey else { return }
        self.keys = keys
        renew(at: now)
    }

    /// Where nobody has answered yet the key may be the wrong one: half the time is enough to find out.
    private var span: Span { servers.count == 1 ? silence : isAnswered ? trying : trying / 2 }

    package var polled: UnsafeMutableRawPointer? { socket?.pointer }
    package var wantsToSend: Bool { state == .greeting }
    package var isWelcome: Bool { state == .welcome }

    package func ready() {
        if state == .greeting { greet() }
        for _ in 0..<messagesAtOnce {
            guard let head = socket?.receive() else { return }
            take(head)
        }
    }

    private func greet() {
        var body = hello()
        body.protocol = UInt32(Limits.version)
        guard transmit(Frame.bytes(.hello, body)) == .sent else { return }
        state = .waiting
        greeted = Clock.now()
    }

    private func take(_ head: consuming Message) {
        var payload: Message?
        var more = head.hasMore
        var frames = 1
        while more, let frame = socket?.receive() {
            frames += 1
            more = frame.hasMore
            if frames == 2 { payload = consume frame }
        }
        heard = Clock.now()
        if !isAnswered {
            isAnswered = true
            patience = Link.jittered(span)
        }
        do {
            let kind = try head.withUnsafeBytes { bytes in try Frame.kind(of: bytes) }
            guard frames <= 2, (frames == 1) || kind.hasPayload else { throw Frame.Malformed(refusal: .malformed, kind: kind.rawValue) }
            let inbound = Inbound(kind: kind, head: head, payload: payload, user: "")
            switch kind {
            case .welcome:
                let body = try inbound.body(WireWelcome.self)
                state = .welcome
                welcomed(body)
            case .refused:
                let body = try inbound.body(WireRefused.self)
                if body.code == Refusal.helloFirst.rawValue, state == .welcome {
                    state = .greeting
                    greet()
                }
                received(inbound)
            case .serverKey:
                let body = try inbound.body(WireServerKey.self)
                // What it proves comes first: the key may count from here on.
                received(inbound)
                move(body)
            default: received(inbound)
            }
        } catch let error as Frame.Malformed {
            refusals[error.refusal.word, default: 0] += 1
        } catch {
            refusals[Refusal.malformed.word, default: 0] += 1
        }
    }

    /// The binder changes its key. Believed only of a key that counts already; whoever says it falsely costs this peer a moment.
    private func move(_ body: WireServerKey) {
        guard let next = CurveKey(body.use), next != servers[0] else { return }
        guard servers.contains(next) else {
            refusals["server-key", default: 0] += 1
            return
        }
        // A sixth of a lease is room for a thousand peers, and leaves every lease as long as it was.
        let spread = Span(nanoseconds: .random(in: 0...max(1, trying.nanoseconds / 6)))
        moving = (next, Clock.now() + .milliseconds(Int64(min(body.afterMs, 1_000))) + spread)
    }

    /// Lets time pass: greets again when nobody answered, and makes a new socket after too long a silence.
    package func tick(at now: Instant) {
        if watches { watch() }
        if let next = moving, now >= next.at {
            moving = nil
            if let place = servers.firstIndex(of: next.to), place > 0 {
                servers.swapAt(0, place)
                return renew(at: now)
            }
        }
        if state == .waiting, let greeted, now - greeted > silence / 2 { state = .greeting }
        guard now - heard > patience else { return }
        // Who has answered had the right key: it may only have been started anew.
        if servers.count > 1, !isAnswered { servers.append(servers.removeFirst()) }
        renew(at: now)
    }

    /// Time for another socket; whoever owns the link makes it, and knows when nothing is under way. Not while the binder changes its key: it would not be heard of.
    package func isOld(at now: Instant) -> Bool { isWelcome && moving == nil && age.isOver(at: now) }

    /// Gives the socket up and makes a new one.
    package func renew(at now: Instant) {
        heard = now
        age = ConnectionAge(from: now, least: lasting)
        isAnswered = false
        moving = nil
        patience = Link.jittered(span)
        renewals += 1
        state = .greeting
        socket = nil
        // Fails when descriptors are gone; the next silence tries again.
        socket = try? makeSocket()
    }

    package func close() { socket = nil }

    @discardableResult
    package func send(_ kind: Kind, _ body: some SwiftProtobuf.Message) -> SendResult {
        guard state == .welcome else { return .unreachable }
        return transmit(Frame.bytes(kind, body))
    }

    @discardableResult
    package func send(_ kind: Kind, _ body: some SwiftProtobuf.Message, payload: consuming Message) -> SendResult {
        guard state == .welcome else { return .unreachable }
        let frame = Frame.bytes(kind, body)
        let headed = frame.all.withUnsafeBytes { socket?.send(copying: $0, more: true) ?? .unreachable }
        guard headed == .sent else { return headed }
        return socket?.send(payload, more: false) ?? .unreachable
    }

    private func transmit(_ frame: HeadedBytes) -> SendResult {
        frame.all.withUnsafeBytes { socket?.send(copying: $0, more: false) ?? .unreachable }
    }
}
