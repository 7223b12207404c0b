#if os(Linux)
import CLinux
import CSodium
import Foundation
import Gate
import Messaging
import Wire

/// What the benchmarks need of many peers in one process, whoever speaks for them.
protocol Peers: AnyObject {
    /// A peer's index, from 0 in the order of adding, and what came for it.
    var received: (Int, consuming Inbound) -> Void { get set }
    /// A peer's connection can be spoken on. Not said by those who have their own queue for it.
    var opened: (Int) -> Void { get set }
    func add(_ keys: CurveKeyPair) throws
    /// Gives a peer a new connection.
    func renew(_ index: Int, _ keys: CurveKeyPair) throws
    @discardableResult func send(_ frame: HeadedBytes, from index: Int) -> SendResult
    @discardableResult func send(_ frame: HeadedBytes, payload: UnsafeRawBufferPointer, from index: Int) -> SendResult
    /// Waits for messages, at most so long, and hands out all there are.
    func poll(milliseconds: Int32)
}

/// Many peers on one epoll: one descriptor, and a few microseconds, each.
final class LeanSwarm: Peers {
    var received: (Int, consuming Inbound) -> Void = { _, _ in }
    var opened: (Int) -> Void = { _ in }
    private let address: sockaddr_in
    private let server: CurveKey
    private let epoll: Int32
    private var peers: [Peer] = []
    private var events = [epoll_event](repeating: epoll_event(), count: 1_024)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
    private var output: [UInt8] = []
    /// When the peers without a connection are looked at again.
    private var nextLook = Clock.now()

    private final class Peer {
        let keys: CurveKeyPair
        var client: CurveClient
        var descriptor: Int32 = -1
        var since: Instant
        var again = Instant(nanoseconds: 0)
        /// Came in, not whole yet; made, not taken by the kernel yet.
        var rest: [UInt8] = []
        var unsent: [UInt8] = []

        init(_ keys: CurveKeyPair, _ server: CurveKey, _ now: Instant) {
            self.keys = keys
            client = CurveClient(keys: keys, server: server)
            since = now
        }
    }

    /// - Parameter endpoint: `tcp://127.0.0.1:7701`.
    init(endpoint: String, server: CurveKey) throws(MessagingError) {
        guard sodium_init() >= 0 else { throw MessagingError("libsodium does not start", code: EINVAL) }
        let parts = endpoint.dropFirst("tcp://".count).split(separator: ":")
        var made = sockaddr_in()
        made.sin_family = sa_family_t(AF_INET)
        guard parts.count == 2, let port = UInt16(parts[1]), inet_pton(AF_INET, String(parts[0]), &made.sin_addr) == 1 else {
            throw MessagingError("\(endpoint) is no address of four numbers and a port", code: EINVAL)
        }
        made.sin_port = port.bigEndian
        address = made
        self.server = server
        epoll = epoll_create1(0)
        guard epoll >= 0 else { throw MessagingError("cannot make an epoll", code: errno) }
    }

    deinit {
        for peer in peers where peer.descriptor >= 0 { close(peer.descriptor) }
        close(epoll)
        buffer.deallocate()
    }

    func add(_ keys: CurveKeyPair) {
        peers.append(Peer(keys, server, Clock.now()))
        connect(peers.count - 1)
    }

    func renew(_ index: Int, _ keys: CurveKeyPair) {
        drop(index)
        connect(index)
    }

    private func connect(_ index: Int) {
        let peer = peers[index]
        peer.client = CurveClient(keys: peer.keys, server: server)
        peer.rest = []
        peer.unsent = CurveClient.greeting
        peer.since = Clock.now()
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return later(index) }
        var yes: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, 4)
        peer.descriptor = descriptor
        var target = address
        let result = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard result == 0 || errno == EINPROGRESS, watch(index, EPOLL_CTL_ADD, isWaiting: true) else { return drop(index) }
    }

    private func watch(_ index: Int, _ operation: Int32, isWaiting: Bool) -> Bool {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | (isWaiting ? EPOLLOUT.rawValue : 0)
        event.data.u64 = UInt64(index)
        return epoll_ctl(epoll, operation, peers[index].descriptor, &event) == 0
    }

    /// Ends a connection; another one is tried after a while, different for each peer, as libzmq's do.
    private func drop(_ index: Int) {
        if peers[index].descriptor >= 0 { close(peers[index].descriptor) }
        peers[index].descriptor = -1
        later(index)
    }

    private func later(_ index: Int) { peers[index].again = Clock.now() + .milliseconds(.random(in: 500...2_500)) }

    func send(_ frame: HeadedBytes, from index: Int) -> SendResult {
        write(index) { peer, output in frame.all.withUnsafeBytes { peer.client.append($0, more: false, to: &output) } }
    }

    func send(_ frame: HeadedBytes, payload: UnsafeRawBufferPointer, from index: Int) -> SendResult {
        write(index) { peer, output in
            frame.all.withUnsafeBytes { peer.client.append($0, more: true, to: &output) }
            peer.client.append(payload, more: false, to: &output)
        }
    }

    private func write(_ index: Int, _ encode: (Peer, inout [UInt8]) -> Void) -> SendResult {
        let peer = peers[index]
        guard peer.descriptor >= 0, peer.client.phase == .open else { return .unreachable }
        // As a queue's limit: what the kernel has not taken yet.
        guard peer.unsent.count < 4 << 20 else { return .full }
        output.removeAll(keepingCapacity: true)
        encode(peer, &output)
        if !peer.unsent.isEmpty {
            peer.unsent += output
        } else {
            let sent = max(0, Glibc.send(peer.descriptor, output, output.count, Int32(MSG_NOSIGNAL)))
            if sent < output.count {
                // A connection that has ended says so when it is read.
                peer.unsent = Array(output[sent...])
                _ = watch(index, EPOLL_CTL_MOD, isWaiting: true)
            }
        }
        return .sent
    }

    private func flush(_ index: Int) {
        let peer = peers[index]
        guard !peer.unsent.isEmpty else { return }
        let sent = Glibc.send(peer.descriptor, peer.unsent, peer.unsent.count, Int32(MSG_NOSIGNAL))
        if sent > 0 { peer.unsent.removeFirst(sent) }
        if peer.unsent.isEmpty { _ = watch(index, EPOLL_CTL_MOD, isWaiting: false) }
    }

    func poll(milliseconds: Int32) {
        let count = Int(epoll_wait(epoll, &events, Int32(events.count), milliseconds))
        for place in 0..<max(0, count) {
            let index = Int(events[place].data.u64)
            guard peers[index].descriptor >= 0 else { continue }
            if events[place].events & EPOLLOUT.rawValue != 0 { flush(index) }
            if events[place].events & ~EPOLLOUT.rawValue != 0 { read(index) }
        }
        let now = Clock.now()
        guard now >= nextLook else { return }
        nextLook = now + .milliseconds(50)
        for index in peers.indices {
            if peers[index].descriptor < 0 {
                if now >= peers[index].again { connect(index) }
            } else if peers[index].client.phase != .open, now - peers[index].since > .seconds(15) {
                drop(index)
            }
        }
    }

    private func read(_ index: Int) {
        let peer = peers[index]
        // One read: what is left over wakes the next poll, and nobody starves the others.
        let count = recv(peer.descriptor, buffer.baseAddress!, buffer.count, 0)
        guard count > 0 else {
            if count == 0 || (errno != EAGAIN && errno != EINTR) { drop(index) }
            return
        }
        let fresh = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
        do {
            if peer.rest.isEmpty {
                let taken = try take(index, fresh)
                if taken < count, peer.descriptor >= 0 { peer.rest = Array(fresh[taken...]) }
            } else {
                let all = peer.rest + fresh
                peer.rest = []
                let taken = try all.withUnsafeBytes { try take(index, $0) }
                if taken < all.count, peer.descriptor >= 0 { peer.rest = Array(all[taken...]) }
            }
        } catch {
            // A refused key, or bytes of no meaning: another attempt later.
            drop(index)
        }
    }

    private func take(_ index: Int, _ bytes: UnsafeRawBufferPointer) throws -> Int {
        let peer = peers[index]
        var taken = 0
        while taken < bytes.count {
            var answer: [UInt8] = []
            let wasOpen = peer.client.phase == .open
            var step = try peer.client.take(UnsafeRawBufferPointer(rebasing: bytes[taken...]), answer: &answer)
            if !answer.isEmpty {
                peer.unsent += answer
                flush(index)
                if !peer.unsent.isEmpty { _ = watch(index, EPOLL_CTL_MOD, isWaiting: true) }
            }
            if !wasOpen, peer.client.phase == .open { opened(index) }
            guard step.bytes > 0 else { break }
            taken += step.bytes
            guard let message = step.message.take(), let kind = try? message.withUnsafeBytes({ try Frame.kind(of: $0) }) else { continue }
            received(index, Inbound(kind: kind, head: message, payload: nil, user: ""))
        }
        return taken
    }
}

/// Peers that are libzmq's own DEALERs: what real agents use.
final class LibzmqSwarm: Peers {
    var opened: (Int) -> Void = { _ in }
    private let swarm: Swarm
    private let context: Context
    private let address: Link.Address
    private let limits = SocketLimits(frameBytesMax: Limits.payloadBytesMax, sendMax: 256, receiveMax: 256)

    init(_ address: Link.Address) throws(MessagingError) {
        context = try Context(ioThreads: 1, sockets: 65_536)
        swarm = try Swarm()
        self.address = address
    }

    var received: (Int, consuming Inbound) -> Void {
        get { swarm.received }
        set { swarm.received = newValue }
    }

    func add(_ keys: CurveKeyPair) throws { try swarm.add(address, keys: keys, limits: limits, reconnect: .random(in: 500...2_500), in: context) }
    func renew(_ index: Int, _ keys: CurveKeyPair) throws {
        try swarm.renew(index, address, keys: keys, limits: limits, reconnect: .random(in: 500...2_500), in: context)
    }
    func send(_ frame: HeadedBytes, from index: Int) -> SendResult { swarm.send(frame, from: index) }
    func send(_ frame: HeadedBytes, payload: UnsafeRawBufferPointer, from index: Int) -> SendResult { swarm.send(frame, payload: payload, from: index) }
    func poll(milliseconds: Int32) { swarm.poll(milliseconds: milliseconds) }
}
#endif
