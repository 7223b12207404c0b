#if os(Linux)
import CZMQ
import Foundation
import SwiftProtobuf
package import Wire

/// Many peers in one process, each a real DEALER with a key of its own: for load tests.
///
/// `zmq_poll` looks at every socket each time; with thousands the descriptors behind them go into one epoll instead. Those
/// signal edges, so a socket is drained after everything that may have taken its signal away.
package final class Swarm {
    private var sockets: [Held?] = []
    private var pointers: [UnsafeMutableRawPointer?] = []
    private let epoll: Int32
    private var dirty: [Int] = []
    private var isDirty: [Bool] = []
    private var events = [epoll_event](repeating: epoll_event(), count: 4_096)
    package var received: (Int, consuming Inbound) -> Void = { _, _ in }

    /// A box: arrays hold no noncopyable values.
    private final class Held {
        var socket: Socket
        init(_ socket: consuming Socket) { self.socket = socket }
    }

    package init() throws(MessagingError) {
        epoll = epoll_create1(0)
        guard epoll >= 0 else { throw MessagingError("cannot make an epoll", code: errno) }
    }

    deinit { close(epoll) }

    package var count: Int { pointers.count }

    /// Adds a peer. Its messages carry its index, from 0.
    package func add(_ address: Link.Address, keys: CurveKeyPair, limits: SocketLimits, reconnect: Int32, in context: Context) throws(MessagingError) {
        let index = pointers.count
        pointers.append(nil)
        isDirty.append(false)
        sockets.append(nil)
        try connect(index, address, keys, limits, reconnect, context)
    }

    /// Gives a peer a new socket.
    package func renew(_ index: Int, _ address: Link.Address, keys: CurveKeyPair, limits: SocketLimits, reconnect: Int32, in context: Context) throws(MessagingError) {
        if let pointer = pointers[index] {
            epoll_ctl(epoll, EPOLL_CTL_DEL, try Swarm.descriptor(pointer), nil)
            pointers[index] = nil
            sockets[index] = nil
        }
        try connect(index, address, keys, limits, reconnect, context)
    }

    private func connect(_ index: Int, _ address: Link.Address, _ keys: CurveKeyPair, _ limits: SocketLimits, _ reconnect: Int32, _ context: Context) throws(MessagingError) {
        let socket = try Socket.connecting(
            address.endpoint, keys: keys, server: address.server, limits: limits, reconnect: reconnect, in: context)
        let pointer = socket.pointer
        sockets[index] = Held(socket)
        pointers[index] = pointer
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = UInt64(index)
        guard epoll_ctl(epoll, EPOLL_CTL_ADD, try Swarm.descriptor(pointer), &event) == 0 else {
            throw MessagingError("cannot watch a socket", code: errno)
        }
        mark(index)
    }

    private static func descriptor(_ pointer: UnsafeMutableRawPointer) throws(MessagingError) -> Int32 {
        var descriptor: Int32 = -1
        var size = MemoryLayout<Int32>.size
        guard zmq_getsockopt(pointer, ZMQ_FD, &descriptor, &size) == 0 else { throw MessagingError("a socket without a descriptor") }
        return descriptor
    }

    private func mark(_ index: Int) {
        guard !isDirty[index] else { return }
        isDirty[index] = true
        dirty.append(index)
    }

    @discardableResult
    package func send(_ frame: HeadedBytes, from index: Int) -> SendResult {
        mark(index)
        return frame.all.withUnsafeBytes { sockets[index]?.socket.send(copying: $0, more: false) ?? .unreachable }
    }

    @discardableResult
    package func send(_ frame: HeadedBytes, payload: UnsafeRawBufferPointer, from index: Int) -> SendResult {
        mark(index)
        let headed = frame.all.withUnsafeBytes { sockets[index]?.socket.send(copying: $0, more: true) ?? .unreachable }
        guard headed == .sent else { return headed }
        return sockets[index]?.socket.send(copying: payload, more: false) ?? .unreachable
    }

    /// Waits for messages, at most so long, and hands out all there are.
    package func poll(milliseconds: Int32) {
        let count = epoll_wait(epoll, &events, Int32(events.count), dirty.isEmpty ? milliseconds : 0)
        if count > 0 { for place in 0..<Int(count) { mark(Int(events[place].data.u64)) } }
        // Handling one message may send, and mark, again.
        while !dirty.isEmpty {
            let now = dirty
            dirty.removeAll(keepingCapacity: true)
            for index in now {
                isDirty[index] = false
                drain(index)
            }
        }
    }

    private func drain(_ index: Int) {
        while let head = sockets[index]?.socket.receive() {
            var more = head.hasMore
            while more, let frame = sockets[index]?.socket.receive() { more = frame.hasMore }
            guard let kind = try? head.withUnsafeBytes({ bytes in try Frame.kind(of: bytes) }) else { continue }
            received(index, Inbound(kind: kind, head: head, payload: nil, user: ""))
        }
    }
}
#endif
