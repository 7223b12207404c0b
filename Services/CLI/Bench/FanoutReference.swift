#if os(Linux)
    import CLinux
    import Glibc

    /// A plain epoll loop that sends the same bytes to every one of many TCP connections, and collects an answer from each.
    ///
    /// What a fan-out costs the kernel on this machine, in the clear: no CURVE, no ZeroMQ, no signature, no decision on
    /// either side. The server is this process, on one thread; the peers are sockets in other processes, as agents are.
    struct FanoutReference {
        struct Outcome: Sendable {
            let peers: Int
            /// Milliseconds from the first send to the last answer collected, one for each round.
            let rounds: Figures
            /// Milliseconds until every send had been made: the server's share before it only waits.
            let sending: Figures
        }

        /// The shortest message: it begins with its own length and that of the answer that it asks for.
        static let bytesMin = 8
        /// The longest message or answer: every socket's buffer takes one whole, so that no send ever has to wait.
        static let bytesMax = 8_192

        /// Blocks; not for the cooperative pool. The peers end when their connections do; those given as processes are waited for.
        ///
        /// - Parameters:
        ///   - bytes: The length of each message, ``bytesMin`` at least.
        ///   - rounds: Counted rounds; one more, before them, is not.
        ///   - processes: Over how many the peers are spread. A process here has 20,000 file descriptors.
        ///   - spawnPeer: Starts what calls ``runPeer(port:count:)`` with these two, elsewhere. `nil` when its owner waits for it.
        /// - Throws: ``BenchFailure``, or what `spawnPeer` throws.
        static func run(
            peers: Int, bytes: Int, answerBytes: Int, rounds: Int, processes: Int,
            spawnPeer: (_ port: UInt16, _ count: Int) throws -> ChildProcess?
        ) throws -> Outcome {
            guard peers > 0, rounds > 0, (1...peers).contains(processes), (bytesMin...bytesMax).contains(bytes),
                (1...bytesMax).contains(answerBytes)
            else {
                throw BenchFailure.pointless("at least one peer, messages of \(bytesMin) to \(bytesMax) bytes, answers of 1 to \(bytesMax)")
            }
            raiseFileLimit()
            let (listener, port) = try LoopbackSocket.listen(backlog: 4_096)
            defer { close(listener) }
            var children: [ChildProcess] = []
            do {
                for index in 0..<processes {
                    let count = peers / processes + (index < peers % processes ? 1 : 0)
                    if let child = try spawnPeer(port, count) { children.append(child) }
                }
                let server = try FanoutServer(accepting: peers, from: listener, children: children)
                let message = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 8)
                defer { message.deallocate() }
                message.initializeMemory(as: UInt8.self, repeating: 0x5A)
                message.storeBytes(of: UInt32(bytes).littleEndian, toByteOffset: 0, as: UInt32.self)
                message.storeBytes(of: UInt32(answerBytes).littleEndian, toByteOffset: 4, as: UInt32.self)
                var times: [Double] = []
                var sends: [Double] = []
                for round in 0...rounds {
                    let (sent, answered) = try server.round(sending: UnsafeRawBufferPointer(message), answerBytes: answerBytes)
                    guard round > 0 else { continue }
                    sends.append(sent * 1_000)
                    times.append(answered * 1_000)
                }
                server.end()
                for child in children where !child.wait(seconds: 10) { child.end(within: 1) }
                return Outcome(peers: peers, rounds: Figures(times), sending: Figures(sends))
            } catch {
                for child in children { child.end(within: 1) }
                throw error
            }
        }

        /// The other side: `count` connections, each of which answers every message until the server closes it. Returns then.
        ///
        /// - Throws: ``BenchFailure``.
        static func runPeer(port: UInt16, count: Int) throws(BenchFailure) {
            raiseFileLimit()
            let events = try Readiness()
            var connections: [PeerConnection] = []
            defer { for connection in connections where connection.isOpen { close(connection.socket) } }
            connections.reserveCapacity(count)
            for index in 0..<count {
                connections.append(PeerConnection(socket: try LoopbackSocket.connect(port: port)))
                try LoopbackSocket.setNonBlocking(connections[index].socket)
                try events.add(connections[index].socket, as: index)
            }
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesMax + 1, alignment: 8)
            defer { buffer.deallocate() }
            let answer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytesMax, alignment: 8)
            defer { answer.deallocate() }
            answer.initializeMemory(as: UInt8.self, repeating: 0xA5)
            var open = count
            while open > 0 {
                try events.wait(seconds: -1) { index, isEnding throws(BenchFailure) in
                    guard connections[index].isOpen else { return }
                    guard !isEnding, let received = try LoopbackSocket.receive(connections[index].socket, into: buffer) else {
                        close(connections[index].socket)
                        connections[index].isOpen = false
                        open -= 1
                        return
                    }
                    guard received > 0, let wanted = connections[index].take(buffer[..<received]) else { return }
                    guard wanted <= bytesMax else { throw .pointless("an answer of \(wanted) bytes") }
                    try LoopbackSocket.send(connections[index].socket, UnsafeRawBufferPointer(rebasing: answer[..<wanted]))
                }
            }
        }

        /// Up to what the hard limit allows: each peer is a file descriptor on both sides.
        private static func raiseFileLimit() {
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
    }

    /// The sending side: all connections, on the caller's thread.
    private final class FanoutServer {
        private var sockets: [Int32] = []
        private var missing: [Int]
        private let events: Readiness
        private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FanoutReference.bytesMax + 1, alignment: 8)

        init(accepting count: Int, from listener: Int32, children: [ChildProcess]) throws(BenchFailure) {
            events = try Readiness()
            missing = Array(repeating: 0, count: count)
            sockets.reserveCapacity(count)
            let deadline = Stopwatch.now() + 60
            while sockets.count < count {
                var arrival = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                guard poll(&arrival, 1, 100) > 0 else {
                    guard !children.contains(where: { $0.checkEnded() }) else { throw .peerLost("a peer process ended while it connected") }
                    guard Stopwatch.now() < deadline else { throw .tooSlow("\(count) peers to connect", seconds: 60) }
                    continue
                }
                let socket = accept(listener, nil, nil)
                guard socket >= 0 else { throw .call("accept", errno: errno) }
                sockets.append(socket)
                _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
                LoopbackSocket.setNoDelay(socket)
                try LoopbackSocket.setNonBlocking(socket)
                try events.add(socket, as: sockets.count - 1)
            }
        }

        deinit {
            end()
            buffer.deallocate()
        }

        /// Seconds until everything was sent, and until the last answer was in.
        func round(sending message: UnsafeRawBufferPointer, answerBytes: Int) throws(BenchFailure) -> (sent: Double, answered: Double) {
            for index in missing.indices { missing[index] = answerBytes }
            var waiting = sockets.count
            let start = Stopwatch.now()
            for socket in sockets { try LoopbackSocket.send(socket, message) }
            let sent = Stopwatch.now()
            while waiting > 0 {
                let ready = try events.wait(seconds: 10) { index, isEnding throws(BenchFailure) in
                    guard !isEnding, let received = try LoopbackSocket.receive(sockets[index], into: buffer) else {
                        throw .peerLost("a peer closed its connection")
                    }
                    guard received > 0 else { return }
                    missing[index] -= received
                    guard missing[index] >= 0 else { throw .peerLost("a peer answered too much") }
                    if missing[index] == 0 { waiting -= 1 }
                }
                guard ready > 0 else { throw .tooSlow("\(waiting) answers", seconds: 10) }
            }
            return (sent - start, Stopwatch.now() - start)
        }

        /// Resets the connections, so that no port waits for stragglers; the peers take it for the end.
        func end() {
            var reset = linger(l_onoff: 1, l_linger: 0)
            for socket in sockets {
                setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
                close(socket)
            }
            sockets = []
        }
    }

    /// One of a peer's connections: how much of the message in hand has come.
    private struct PeerConnection {
        let socket: Int32
        var isOpen = true
        private var received = 0
        /// The first eight bytes: the message's length, the answer's length, as two 32-bit numbers, the lowest byte first.
        private var header: UInt64 = 0

        init(socket: Int32) { self.socket = socket }

        /// Takes what came. Returns the length of the answer once the message is complete: no other is sent before the answer.
        mutating func take(_ bytes: Slice<UnsafeMutableRawBufferPointer>) -> Int? {
            for byte in bytes.prefix(max(0, 8 - received)) { header = header >> 8 | UInt64(byte) << 56 }
            received += bytes.count
            guard received >= 8, received >= Int(UInt32(truncatingIfNeeded: header)) else { return nil }
            received = 0
            return Int(header >> 32)
        }
    }

    /// Which sockets can be read: epoll, edge-triggered, which saves a second look at each.
    ///
    /// One read an event is enough: only one message is ever under way, and buffers are longer than any. What a single read
    /// would miss, the other side's leaving right after its bytes, is handed over as `isEnding`.
    private final class Readiness {
        private static let ending = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue
        private let descriptor: Int32
        private let ready = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 1_024)

        init() throws(BenchFailure) {
            descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
            guard descriptor >= 0 else { throw .call("epoll_create1", errno: errno) }
        }

        deinit {
            close(descriptor)
            ready.deallocate()
        }

        func add(_ socket: Int32, as index: Int) throws(BenchFailure) {
            var event = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue | Self.ending, data: epoll_data_t(u64: UInt64(index)))
            guard epoll_ctl(descriptor, EPOLL_CTL_ADD, socket, &event) == 0 else { throw .call("epoll_ctl", errno: errno) }
        }

        /// How many were ready; 0 when the time is up. For ever with a negative time.
        @discardableResult
        func wait(seconds: Double, _ body: (Int, _ isEnding: Bool) throws(BenchFailure) -> Void) throws(BenchFailure) -> Int {
            while true {
                let count = epoll_wait(descriptor, ready.baseAddress!, Int32(ready.count), seconds < 0 ? -1 : Int32(seconds * 1_000))
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { throw .call("epoll_wait", errno: errno) }
                for event in ready[..<Int(count)] { try body(Int(event.data.u64), event.events & Self.ending != 0) }
                return Int(count)
            }
        }
    }

    extension LoopbackSocket {
        /// How much came, 0 when nothing did after all; `nil` when the other side is gone.
        fileprivate static func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) throws(BenchFailure) -> Int? {
            let count = recv(socket, buffer.baseAddress!, buffer.count, 0)
            if count > 0 { return count }
            if count == 0 || errno == ECONNRESET || errno == EPIPE { return nil }
            guard errno == EAGAIN || errno == EINTR else { throw .call("recv", errno: errno) }
            return 0
        }

        /// All of it at once: see ``FanoutReference/bytesMax``.
        fileprivate static func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) throws(BenchFailure) {
            let count = Glibc.send(socket, bytes.baseAddress!, bytes.count, Int32(MSG_NOSIGNAL))
            guard count == bytes.count else {
                // The server may go while an answer is on its way: the next event tells.
                if count < 0, errno == ECONNRESET || errno == EPIPE { return }
                throw .call("send", errno: count < 0 ? errno : EAGAIN)
            }
        }
    }
#endif
