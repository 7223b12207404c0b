import CZMQ
import Gate

/// Proves that a port lets no stranger in: a handshake with a key that nobody registered must be refused.
package enum ClosedDoor {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        case open(String)
        case noAnswer(String)

        package var description: String {
            switch self {
            case .open(let endpoint): "\(endpoint) let an unknown key in: the service does not start"
            case .noAnswer(let endpoint): "\(endpoint) did not answer a handshake with an unknown key, so it cannot be shown to be closed"
            }
        }
    }

    /// Tries it from this process. Takes a few milliseconds; blocks its thread for some seconds at most, on a machine that is very busy.
    ///
    /// - Parameter announced: Told of each key before it is tried: a port that asks unknown keys to wait refuses these.
    package static func check(_ endpoint: String, server: CurveKey, in context: Context, announced: (CurveKey) -> Void = { _ in }) throws {
        // Silence proves nothing, so it is tried again; only a refusal is a proof.
        for _ in 0..<3 where try isRefused(endpoint, server, context, announced) { return }
        throw Failure.noAnswer(endpoint)
    }

    private static func isRefused(_ endpoint: String, _ server: CurveKey, _ context: Context, _ announced: (CurveKey) -> Void) throws -> Bool {
        let stranger = try CurveKeyPair.generate()
        announced(stranger.publicKey)
        let name = "inproc://closed-door-\(UInt64.random(in: .min ... .max))"
        let events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH
        // Watched before it connects: a handshake that is over before anybody looks is never seen.
        var isWatched = false
        let socket = try Socket.connecting(
            endpoint, keys: stranger, server: server, limits: SocketLimits(), reconnect: 100, in: context
        ) { isWatched = zmq_socket_monitor($0, name, events) == 0 }
        guard isWatched else { throw MessagingError("cannot watch a handshake") }
        var monitor = try Socket.watching(name, in: context)
        defer { zmq_socket_monitor(socket.pointer, nil, 0) }
        let deadline = Clock.now() + .seconds(2)
        while Clock.now() < deadline {
            var item = zmq_pollitem_t(socket: monitor.pointer, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
            zmq_poll(&item, 1, 50)
            guard let frame = monitor.receive() else { continue }
            while frame.hasMore, let rest = monitor.receive(), rest.hasMore {}
            let event = frame.withUnsafeBytes { $0.count >= 2 ? Int32($0.loadUnaligned(as: UInt16.self)) : 0 }
            if event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH { return true }
            throw Failure.open(endpoint)
        }
        return false
    }
}
