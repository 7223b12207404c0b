import CZMQ
import Foundation
import Synchronization

/// Who may connect: public keys and what each stands for. The ZAP handler (ZeroMQ RFC 27) answers from it.
package final class Admission: Sendable {
    private let table = Mutex<[CurveKey: String]>([:])
    private let ready = Mutex<Bool>(false)
    /// Whether the table is all there is: else whoever is not in it may be in what has not been read yet, and is asked to try again.
    private let whole = Mutex<Bool>(true)
    /// Keys of our own that nobody may let in, ever: a port is shown to be closed with them.
    private let outsiders = Mutex<Set<CurveKey>>([])
    private let refused = Mutex<UInt64>(0)
    /// Not nil: every key is let in, and stands for itself, `ROLE/HEX`. For the one port that strangers are meant for.
    private let strangers: String?

    package init(strangersAs role: String? = nil) { strangers = role }

    /// Sets who is admitted, and lets the handler answer: until the first call everyone is asked to try again.
    package func admit(_ nodes: [CurveKey: String]) {
        table.withLock { $0 = nodes }
        ready.withLock { $0 = true }
    }

    /// The same of a part that is known at once. Others are asked to try again until ``open()``: libzmq never comes back after a refusal, and a reader
    /// whom the ledger knows alone would be lost with each start of the service.
    package func admit(first nodes: [CurveKey: String]) {
        whole.withLock { $0 = false }
        admit(nodes)
    }

    /// Lets the handler answer: whoever is not admitted by now is refused.
    package func open() {
        whole.withLock { $0 = true }
        ready.withLock { $0 = true }
    }

    package func neverAdmit(_ key: CurveKey) { outsiders.withLock { _ = $0.insert(key) } }

    package func admit(_ key: CurveKey, as name: String) { table.withLock { $0[key] = name } }
    package func revoke(_ key: CurveKey) { table.withLock { $0[key] = nil } }

    /// Handshakes refused since the start.
    package var refusals: UInt64 { refused.withLock { $0 } }

    /// One of them was our own, to show that the port is closed.
    package func excuseOne() { refused.withLock { if $0 > 0 { $0 -= 1 } } }

    fileprivate func answer(_ key: CurveKey?) -> (status: String, user: String) {
        guard ready.withLock({ $0 }) else { return ("300", "") }
        if let key, let strangers { return ("200", "\(strangers)/\(key.hex)") }
        if let key, let name = table.withLock({ $0[key] }) { return ("200", name) }
        guard whole.withLock({ $0 }) || key.map({ key in outsiders.withLock { $0.contains(key) } }) ?? true else { return ("300", "") }
        refused.withLock { $0 += 1 }
        return ("400", "")
    }

    /// Binds the handler, then serves it on a thread of its own until the context shuts down.
    ///
    /// Call before any binding socket is made: what binds first would admit nobody, and what has no handler must not be there.
    package func serve(in context: Context) throws(MessagingError) {
        // Bound by the caller so that it is there when this returns; then used by the handler's thread alone.
        let bound = Handler(socket: try Socket.answering("inproc://zeromq.zap.01", in: context))
        let thread = Thread { [self] in
            bound.run { answer($0) }
        }
        thread.name = "zap"
        thread.stackSize = 1 << 20
        thread.start()
    }

    /// `@unchecked Sendable`: made on one thread and then used by the handler's thread only; starting a thread is a full fence.
    private final class Handler: @unchecked Sendable {
        private var socket: Socket?

        init(socket: consuming Socket) { self.socket = consume socket }

        func run(_ answer: (CurveKey?) -> (status: String, user: String)) {
            while let pointer = socket?.pointer {
                var item = zmq_pollitem_t(socket: pointer, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
                if zmq_poll(&item, 1, -1) < 0, zmq_errno() != EINTR { break }
                guard let frames = request() else { continue }
                // version, request id, domain, address, identity, mechanism, key
                let known = frames.count == 7 && frames[0] == Array("1.0".utf8) && frames[5] == Array("CURVE".utf8)
                let (status, user) = known ? answer(CurveKey(frames[6])) : ("500", "")
                let reply = [Array("1.0".utf8), frames.count > 1 ? frames[1] : [], Array(status.utf8), [], Array(user.utf8), []]
                for (index, frame) in reply.enumerated() {
                    _ = frame.withUnsafeBytes { socket?.send(copying: $0, more: index < reply.count - 1) }
                }
            }
            socket = nil
        }

        private func request() -> [[UInt8]]? {
            var frames: [[UInt8]] = []
            while let frame = socket?.receive() {
                let more = frame.hasMore
                if frames.count < 16 { frames.append(frame.array()) }
                if !more { return frames }
            }
            return nil
        }
    }
}
