import CZMQ
import Wire

/// libzmq 4.3 has the option; its header hides the number behind the draft switch.
private let ZMQ_ZAP_ENFORCE_DOMAIN: Int32 = 93

/// How large and how many: the limits that a socket is made with.
package struct SocketLimits: Sendable {
    /// Of one frame, without what CURVE adds.
    package var frameBytesMax: Int
    /// Messages in each direction for each peer.
    package var sendMax: Int
    package var receiveMax: Int

    package init(frameBytesMax: Int = Limits.bodyBytesMax, sendMax: Int = 1_000, receiveMax: Int = 1_000) {
        self.frameBytesMax = frameBytesMax
        self.sendMax = sendMax
        self.receiveMax = receiveMax
    }
}

/// What became of a send.
package enum SendResult: Hashable, Sendable {
    case sent
    /// The queue is full. Nothing was taken.
    case full
    /// The peer is not there.
    case unreachable
}

/// A socket that is being made: its options are set, and read back, before it binds or connects.
private struct Draft {
    let pointer: UnsafeMutableRawPointer

    init(_ type: Int32, in context: Context, limits: SocketLimits) throws(MessagingError) {
        guard let pointer = zmq_socket(context.pointer, type) else { throw MessagingError("cannot make a socket") }
        self.pointer = pointer
        // The default waits for ever at the end (FACTS: linger).
        try set(ZMQ_LINGER, 0)
        try set(ZMQ_SNDHWM, Int32(limits.sendMax))
        try set(ZMQ_RCVHWM, Int32(limits.receiveMax))
        // Unset, a peer without a key can make this process hold 600 MB.
        try setLong(ZMQ_MAXMSGSIZE, Int64(limits.frameBytesMax + Limits.curveBytes))
        try set(ZMQ_TCP_KEEPALIVE, 1)
        try set(ZMQ_TCP_KEEPALIVE_IDLE, 15)
        try set(ZMQ_TCP_KEEPALIVE_INTVL, 5)
        try set(ZMQ_TCP_KEEPALIVE_CNT, 3)
        try set(ZMQ_HANDSHAKE_IVL, 3_000)
    }

    func set(_ option: Int32, _ value: Int32) throws(MessagingError) {
        var value = value
        try check(zmq_setsockopt(pointer, option, &value, MemoryLayout<Int32>.size), "socket option \(option)")
    }

    func setLong(_ option: Int32, _ value: Int64) throws(MessagingError) {
        var value = value
        try check(zmq_setsockopt(pointer, option, &value, MemoryLayout<Int64>.size), "socket option \(option)")
    }

    func set(_ option: Int32, _ value: [UInt8]) throws(MessagingError) {
        try check(zmq_setsockopt(pointer, option, value, value.count), "socket option \(option)")
    }

    func get(_ option: Int32) throws(MessagingError) -> Int32 {
        var value: Int32 = -1
        var size = MemoryLayout<Int32>.size
        try check(zmq_getsockopt(pointer, option, &value, &size), "socket option \(option)")
        return value
    }

    func bind(_ endpoint: String) throws(MessagingError) { try check(zmq_bind(pointer, endpoint), "cannot listen on \(endpoint)") }
    func connect(_ endpoint: String) throws(MessagingError) { try check(zmq_connect(pointer, endpoint), "cannot connect to \(endpoint)") }

    func require(_ isSet: Bool, _ endpoint: String) throws(MessagingError) {
        guard isSet else {
            zmq_close(pointer)
            throw MessagingError("the security of \(endpoint) could not be set", code: EPROTO)
        }
    }

    private func check(_ result: Int32, _ what: String) throws(MessagingError) {
        guard result != 0 else { return }
        let error = MessagingError(what)
        zmq_close(pointer)
        throw error
    }
}

/// A libzmq socket. Noncopyable and not Sendable: it has one thread for life, and handing it over is visible.
package struct Socket: ~Copyable {
    let pointer: UnsafeMutableRawPointer

    deinit { zmq_close(pointer) }

    private init(_ draft: Draft) { pointer = draft.pointer }

    /// The one ROUTER of a service. Every peer must hold a key that the ZAP handler of this context admits.
    package static func binding(
        _ endpoint: String, keys: CurveKeyPair, limits: SocketLimits, in context: Context
    ) throws(MessagingError) -> Socket {
        let draft = try Draft(ZMQ_ROUTER, in: context, limits: limits)
        try draft.set(ZMQ_BACKLOG, 4_096)
        // Without it a reply to a peer that has gone vanishes in silence.
        try draft.set(ZMQ_ROUTER_MANDATORY, 1)
        try draft.set(ZMQ_CURVE_SERVER, 1)
        try draft.set(ZMQ_CURVE_SECRETKEY, keys.secretKey.bytes)
        // ZAP fails open unless the domain is set and enforced: without a handler nobody gets in.
        try draft.set(ZMQ_ZAP_DOMAIN, Array("sluice".utf8))
        try draft.set(ZMQ_ZAP_ENFORCE_DOMAIN, 1)
        let found = [try draft.get(ZMQ_MECHANISM), try draft.get(ZMQ_CURVE_SERVER), try draft.get(ZMQ_ZAP_ENFORCE_DOMAIN)]
        try draft.require(found == [ZMQ_CURVE, 1, 1], endpoint)
        try draft.bind(endpoint)
        return Socket(draft)
    }

    /// The one DEALER of a peer.
    ///
    /// - Parameter reconnect: Milliseconds; different for each peer, or all come back at the same moment.
    package static func connecting(
        _ endpoint: String, keys: CurveKeyPair, server: CurveKey, limits: SocketLimits, reconnect: Int32, in context: Context,
        beforeConnecting prepare: (UnsafeMutableRawPointer) -> Void = { _ in }
    ) throws(MessagingError) -> Socket {
        let draft = try Draft(ZMQ_DEALER, in: context, limits: limits)
        // Never ZMQ_HEARTBEAT_* here: after a stall libzmq 4.3.4 aborts the process. Renewals are the heartbeat.
        try draft.set(ZMQ_IMMEDIATE, 1)
        // Longer than the binder's: in a storm a connection waits in the binder's queue before its handshake begins there, and
        // one that has given up meanwhile costs the binder a handshake for nothing.
        try draft.set(ZMQ_HANDSHAKE_IVL, 15_000)
        try draft.set(ZMQ_RECONNECT_IVL, reconnect)
        try draft.set(ZMQ_CURVE_SERVERKEY, server.bytes)
        try draft.set(ZMQ_CURVE_PUBLICKEY, keys.publicKey.bytes)
        try draft.set(ZMQ_CURVE_SECRETKEY, keys.secretKey.bytes)
        try draft.require(draft.get(ZMQ_MECHANISM) == ZMQ_CURVE, endpoint)
        prepare(draft.pointer)
        try draft.connect(endpoint)
        return Socket(draft)
    }

    /// The ZAP handler's end. Never leaves the process.
    static func answering(_ endpoint: String, in context: Context) throws(MessagingError) -> Socket {
        let draft = try Draft(ZMQ_REP, in: context, limits: SocketLimits())
        try draft.bind(endpoint)
        return Socket(draft)
    }

    /// A short-lived end of another socket's monitor. Read it at once and close it: an unread monitor stops its socket.
    static func watching(_ endpoint: String, in context: Context) throws(MessagingError) -> Socket {
        let draft = try Draft(ZMQ_PAIR, in: context, limits: SocketLimits())
        try draft.connect(endpoint)
        return Socket(draft)
    }

    /// Sends one frame by copying it. Never waits.
    mutating func send(copying bytes: UnsafeRawBufferPointer, more: Bool) -> SendResult {
        while true {
            if zmq_send(pointer, bytes.baseAddress, bytes.count, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0 { return .sent }
            switch zmq_errno() {
            case EINTR: continue
            case EAGAIN: return .full
            default: return .unreachable
            }
        }
    }

    /// Sends one frame that libzmq owns already. On anything but `.sent` the frame is lost to the caller.
    mutating func send(_ message: consuming Message, more: Bool) -> SendResult {
        while true {
            if zmq_msg_send(&message.raw, pointer, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0 { return .sent }
            switch zmq_errno() {
            case EINTR: continue
            case EAGAIN: return .full
            default: return .unreachable
            }
        }
    }

    /// Takes one frame. Nil: there is none now.
    mutating func receive() -> Message? {
        var message = Message()
        while zmq_msg_recv(&message.raw, pointer, ZMQ_DONTWAIT) < 0 {
            guard zmq_errno() == EINTR else { return nil }
        }
        return message
    }
}
