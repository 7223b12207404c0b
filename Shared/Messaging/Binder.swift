import CZMQ
import Foundation
package import Wire
package import SwiftProtobuf

/// A connection, as the ROUTER that accepted it numbers it.
///
/// Peers set no routing id; libzmq then makes one of a zero byte and four more. Any other is refused.
package struct Route: Hashable, Sendable {
    fileprivate var number: UInt32
    /// Which of the binder's sockets, one after the other, accepted it: numbers mean nothing beside another.
    fileprivate var generation: UInt32 = 0

    /// For tests of what is decided, which have no socket.
    package init(number: UInt32) { self.number = number }

    fileprivate init?(_ frame: borrowing Message, generation: UInt32) {
        guard let number = frame.withUnsafeBytes({ bytes -> UInt32? in
            guard bytes.count == 5, bytes[0] == 0 else { return nil }
            return bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)
        }) else { return nil }
        self.number = number
        self.generation = generation
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

/// A message as it came in: its first frame is complete, its kind is known, its body is not parsed yet.
package struct Inbound: ~Copyable {
    package let kind: Kind
    fileprivate let head: Message
    package private(set) var payload: Message?
    /// Who libzmq's handshake says the connection belongs to. Empty: unknown, and then nothing may be done for it.
    package let user: String
    /// The peer's IP address, where the kind asks for it: of strangers.
    package let address: String

    package init(kind: Kind, head: consuming Message, payload: consuming Message?, user: String, address: String = "") {
        self.kind = kind
        self.head = head
        self.payload = payload
        self.user = user
        self.address = address
    }

    package borrowing func body<Body: SwiftProtobuf.Message>(_ type: Body.Type) throws(Frame.Malformed) -> Body {
        do {
            return try head.withUnsafeBytes { bytes in try Frame.body(type, of: bytes) }
        } catch let error as Frame.Malformed {
            throw error
        } catch {
            throw Frame.Malformed(refusal: .malformed, kind: kind.rawValue)
        }
    }

    package mutating func takePayload() -> Message? {
        var taken: Message?
        swap(&taken, &payload)
        return taken
    }
}

/// A service's one ROUTER: takes messages apart, refuses what is malformed, counts it.
package final class Binder: Source {
    /// Nil if it could not be bound again: there is nothing to receive, and nobody to send to.
    private var socket: Socket?
    private var generation: UInt32 = 0
    /// What it listens with.
    package private(set) var keys: CurveKeyPair
    private let endpoint: String
    private let limits: SocketLimits
    private let context: Context
    private let messagesAtOnce: Int
    /// A message that is whole. The route is where an answer goes.
    package var received: (Route, consuming Inbound) -> Void = { _, _ in }
    /// What could not be understood, by word.
    package private(set) var refusals: [String: UInt64] = [:]

    package init(
        _ endpoint: String, keys: CurveKeyPair, limits: SocketLimits, messagesAtOnce: Int = 256, in context: Context
    ) throws(MessagingError) {
        socket = try Socket.binding(endpoint, keys: keys, limits: limits, in: context)
        self.endpoint = endpoint
        self.keys = keys
        self.limits = limits
        self.context = context
        self.messagesAtOnce = messagesAtOnce
    }

    /// Listens with another key from here on. Every connection ends, and every route with it: a listening socket has one key for life, and libzmq
    /// ends what it has accepted when it stops to listen. Takes some milliseconds.
    ///
    /// - Throws: when it cannot listen; then it listens with the key before, if it can.
    package func exchange(_ next: CurveKeyPair) throws(MessagingError) {
        do {
            try rebind(next)
            keys = next
        } catch {
            try? rebind(keys)
            throw error
        }
    }

    private func rebind(_ keys: CurveKeyPair) throws(MessagingError) {
        socket = nil
        generation &+= 1
        // The port is free when libzmq's thread has closed what had it: one millisecond, as a rule.
        for _ in 0..<200 {
            do {
                socket = try Socket.binding(endpoint, keys: keys, limits: limits, in: context)
                return
            } catch {
                guard error.isAddressInUse else { throw error }
                usleep(1_000)
            }
        }
        socket = try Socket.binding(endpoint, keys: keys, limits: limits, in: context)
    }

    package var polled: UnsafeMutableRawPointer? { socket?.pointer }
    package var wantsToSend: Bool { false }

    package func ready() {
        for _ in 0..<messagesAtOnce {
            guard let id = socket?.receive() else { return }
            take(id)
        }
    }

    private func take(_ id: consuming Message) {
        guard id.hasMore else { return count(.malformed) }
        guard let head = socket?.receive() else { return count(.malformed) }
        var payload: Message?
        var more = head.hasMore
        var frames = 1
        // Every frame is read to the last, also of a bad message: what is left would be taken for the next one.
        while more, let frame = socket?.receive() {
            frames += 1
            more = frame.hasMore
            if frames == 2 { payload = consume frame }
        }
        guard let route = Route(id, generation: generation) else {
            count(.routingID)
            return refuse(to: id, Frame.Malformed(refusal: .routingID, kind: 0))
        }
        do {
            let kind = try head.withUnsafeBytes { bytes in try Frame.kind(of: bytes) }
            guard frames <= 2, (frames == 1) || kind.hasPayload else {
                throw Frame.Malformed(refusal: .malformed, kind: kind.rawValue)
            }
            // In the first frame after a poll libzmq 4.3.4 may have no User-Id: the last one has it. Needed at Hello only,
            // since a route belongs to one connection; and of strangers, who have no session.
            let user = kind == .hello || kind == .join ? (head.property("User-Id") ?? "") : ""
            let address = kind == .join ? (head.property("Peer-Address") ?? "") : ""
            received(route, Inbound(kind: kind, head: head, payload: payload, user: user, address: address))
        } catch let error as Frame.Malformed {
            count(error.refusal)
            refuse(to: id, error)
        } catch {
            count(.malformed)
        }
    }

    package func count(_ refusal: Refusal) { refusals[refusal.word, default: 0] += 1 }

    private func refuse(to id: borrowing Message, _ error: Frame.Malformed) {
        var body = WireRefused()
        body.code = error.refusal.rawValue
        body.kind = UInt32(error.kind)
        body.text = "this message was not understood: \(error.refusal.word)"
        let frame = Frame.bytes(.refused, body)
        let routed = id.withUnsafeBytes { socket?.send(copying: $0, more: true) }
        guard routed == .sent else { return }
        _ = frame.all.withUnsafeBytes { socket?.send(copying: $0, more: false) }
    }

    @discardableResult
    package func send(_ kind: Kind, _ body: some SwiftProtobuf.Message, to route: Route) -> SendResult {
        send(Frame.bytes(kind, body), to: route)
    }

    /// Sends bytes that were made once for many.
    @discardableResult
    package func send(_ frame: HeadedBytes, to route: Route) -> SendResult {
        let routed = address(route)
        guard routed == .sent else { return routed }
        return frame.all.withUnsafeBytes { socket?.send(copying: $0, more: false) ?? .unreachable }
    }

    @discardableResult
    package func send(_ kind: Kind, _ body: some SwiftProtobuf.Message, payload: consuming Message, to route: Route) -> SendResult {
        let frame = Frame.bytes(kind, body)
        let routed = address(route)
        guard routed == .sent else { return routed }
        let headed = frame.all.withUnsafeBytes { socket?.send(copying: $0, more: true) ?? .unreachable }
        guard headed == .sent else { return headed }
        return socket?.send(payload, more: false) ?? .unreachable
    }

    private func address(_ route: Route) -> SendResult {
        guard route.generation == generation else { return .unreachable }
        var bytes: (UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0)
        return withUnsafeMutableBytes(of: &bytes) { buffer in
            buffer.storeBytes(of: route.number, toByteOffset: 1, as: UInt32.self)
            return socket?.send(copying: UnsafeRawBufferPointer(buffer), more: true) ?? .unreachable
        }
    }
}

extension Kind {
    /// Whether a second frame belongs to it.
    var hasPayload: Bool { self == .batch || self == .relay || self == .chunk }
}
