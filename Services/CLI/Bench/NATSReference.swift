#if os(Linux)
    import CLinux
    import Glibc

    /// NATS JetStream on the same disk, with the same promise: every message is synced before it is acknowledged.
    ///
    /// The same bytes, unread: the server opens, checks and encrypts nothing, and connections are in the clear. The
    /// publishers are TCP connections of ours that speak the protocol's text, all on one thread, cheaper than any client library.
    /// Tried on 2.15.1 and left out, since it was slower here: the window as one atomic batch (a third to a half of this).
    struct NATSReference {
        enum Outcome: Sendable {
            case measured(Measured)
            /// Why there is nothing to compare with.
            case unavailable(String)
        }

        struct Measured: Sendable {
            let version: String
            let streams: Int
            let messagesPerSecond: Double
            let megabytesPerSecond: Double
            /// Milliseconds from the publish to its acknowledgement, as its publisher sees it.
            let acknowledgement: Figures
            let errors: Int
            let firstError: String?
            /// Microseconds of processor time a message, in the server.
            let serverMicrosecondsPerMessage: Double
        }

        /// Blocks for `seconds`, the warm-up and about two seconds more; not for the cooperative pool. Leaves no process and no file.
        ///
        /// - Parameters:
        ///   - batches: What is published, in turn.
        ///   - folder: Where the server keeps its files for the while: on the disk that is compared.
        ///   - publishers: Connections, each with its own subject.
        ///   - window: Publishes that a connection has outstanding.
        ///   - streams: Publishers are spread over so many streams. A stream syncs message by message on a single thread, so
        ///     several, as an engineer would shard them, let it sync several files at once. Eight were the quickest here.
        static func run(
            batches: [[UInt8]], folder: String, seconds: Double, publishers: Int, window: Int, streams: Int = 8, warmUpSeconds: Double = 1
        ) -> Outcome {
            guard !batches.isEmpty, publishers > 0, window > 0, streams > 0 else {
                return .unavailable("no batches, or nobody to publish them")
            }
            guard let executable = NATSServer.executable() else { return .unavailable("no nats-server on PATH") }
            do {
                let server = try NATSServer(executable: executable, in: folder)
                let streams = min(streams, publishers)
                let load = try NATSLoad(
                    port: server.port, batches: batches, publishers: publishers, window: window, streams: streams)
                // The first seconds make files and warm caches: not counted.
                try load.run(seconds: warmUpSeconds, counting: false)
                let before = CPUTime(of: server.id)
                let elapsed = try load.run(seconds: seconds, counting: true)
                guard let before, let after = CPUTime(of: server.id) else { return .unavailable("nats-server ended early") }
                let count = load.latencies.count
                return .measured(
                    Measured(
                        version: server.version, streams: streams, messagesPerSecond: Double(count) / elapsed,
                        megabytesPerSecond: Double(load.bytesAcknowledged) / elapsed / 1e6, acknowledgement: Figures(load.latencies),
                        errors: load.errors, firstError: load.firstError,
                        serverMicrosecondsPerMessage: (after - before).total * 1e6 / Double(max(1, count))))
            } catch {
                return .unavailable("\(error)")
            }
        }
    }

    /// All publishers: one thread, one epoll loop.
    private final class NATSLoad {
        private(set) var latencies: [Double] = []
        private(set) var bytesAcknowledged = 0
        private(set) var errors = 0
        private(set) var firstError: String?
        private let batches: [[UInt8]]
        private var publishers: [NATSPublisher] = []
        private let events: Int32
        private let window: Int
        private var isStarted = false

        init(port: UInt16, batches: [[UInt8]], publishers count: Int, window: Int, streams: Int) throws(BenchFailure) {
            self.batches = batches
            self.window = window
            events = epoll_create1(Int32(EPOLL_CLOEXEC))
            guard events >= 0 else { throw .call("epoll_create1", errno: errno) }
            for index in 0..<count {
                let publisher = try NATSPublisher(port: port, index: index, window: window, stream: index % streams)
                if index < streams { try publisher.createStream(index) }
                publishers.append(publisher)
            }
            for (index, publisher) in publishers.enumerated() {
                try LoopbackSocket.setNonBlocking(publisher.socket)
                var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(u64: UInt64(index)))
                guard epoll_ctl(events, EPOLL_CTL_ADD, publisher.socket, &event) == 0 else { throw .call("epoll_ctl", errno: errno) }
            }
        }

        deinit { close(events) }

        /// Keeps every window full for `seconds`, and returns how many seconds it really was. What is outstanding then stays so.
        @discardableResult
        func run(seconds: Double, counting: Bool) throws(BenchFailure) -> Double {
            let start = Stopwatch.now()
            if !isStarted {
                isStarted = true
                for publisher in publishers {
                    for slot in 0..<window { publisher.publish(batches[publisher.nextBatch(of: batches.count)], slot: slot, at: start) }
                    try flush(publisher)
                }
            }
            var ready = [epoll_event](repeating: epoll_event(), count: 256)
            var heard = start
            while true {
                let count = epoll_wait(events, &ready, Int32(ready.count), 100)
                let now = Stopwatch.now()
                guard count >= 0 || errno == EINTR else { throw .call("epoll_wait", errno: errno) }
                guard now < start + seconds else { return now - start }
                if count > 0 { heard = now }
                guard now < heard + 10 else { throw .tooSlow("an acknowledgement from nats-server", seconds: 10) }
                for event in ready[..<max(0, Int(count))] {
                    let publisher = publishers[Int(event.data.u64)]
                    // Interest in writing follows from what is left to send.
                    if event.events & (EPOLLIN.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 {
                        try publisher.receive { answer in take(answer, of: publisher, counting: counting) }
                    }
                    try flush(publisher)
                }
            }
        }

        private func take(_ answer: NATSPublisher.Answer, of publisher: NATSPublisher, counting: Bool) {
            let now = Stopwatch.now()
            let slot: Int
            switch answer {
            case .stored(let stored):
                slot = stored
                if counting {
                    latencies.append((now - publisher.sentAt[slot]) * 1_000)
                    bytesAcknowledged += publisher.sentBytes[slot]
                }
            case .refused(let refused, let text):
                slot = refused
                if counting { errors += 1 }
                firstError = firstError ?? text
            }
            publisher.publish(batches[publisher.nextBatch(of: batches.count)], slot: slot, at: now)
        }

        private func flush(_ publisher: NATSPublisher) throws(BenchFailure) {
            let wasWaiting = publisher.isWaitingToSend
            try publisher.send()
            guard publisher.isWaitingToSend != wasWaiting else { return }
            let interest = EPOLLIN.rawValue | (publisher.isWaitingToSend ? EPOLLOUT.rawValue : 0)
            var event = epoll_event(events: interest, data: epoll_data_t(u64: UInt64(publisher.index)))
            guard epoll_ctl(events, EPOLL_CTL_MOD, publisher.socket, &event) == 0 else { throw .call("epoll_ctl", errno: errno) }
        }
    }

    /// One connection. Source: docs.nats.io, "Client Protocol" and "JetStream API".
    private final class NATSPublisher {
        enum Answer {
            case stored(slot: Int)
            case refused(slot: Int, String)
        }

        let index: Int
        let socket: Int32
        private(set) var sentAt: [Double]
        private(set) var sentBytes: [Int]
        private(set) var isWaitingToSend = false
        private let subject: String
        private var batch: Int
        private var output: [UInt8] = []
        private var outputStart = 0
        /// Answers are of some hundred bytes: many fit. Outside the array's rules, since slices of it are read while it is written.
        private let input = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 65_536)
        private var inputCount = 0
        /// What a slot's acknowledgement is sent to ends in its number.
        private let inbox: String

        init(port: UInt16, index: Int, window: Int, stream: Int) throws(BenchFailure) {
            self.index = index
            subject = "bench.\(stream).\(index)"
            inbox = "_INBOX.\(index)."
            batch = index
            sentAt = Array(repeating: 0, count: window)
            sentBytes = Array(repeating: 0, count: window)
            socket = try LoopbackSocket.connect(port: port)
            append(#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"swift","version":"1"}"# + "\r\n")
            append("SUB \(inbox)* 1\r\nPING\r\n")
            try send()
            try awaitAnswer { $0.starts(with: "PONG") }
        }

        deinit {
            close(socket)
            input.deallocate()
        }

        func createStream(_ stream: Int) throws(BenchFailure) {
            let body = """
                {"name":"BENCH\(stream)","subjects":["bench.\(stream).*"],"storage":"file","num_replicas":1}
                """
            append("PUB $JS.API.STREAM.CREATE.BENCH\(stream) \(inbox)0 \(body.utf8.count)\r\n\(body)\r\n")
            try send()
            try awaitAnswer { $0.contains("stream_create_response") && $0.hasSuffix("}\r\n") }
        }

        func nextBatch(of count: Int) -> Int {
            batch = (batch + 1) % count
            return batch
        }

        func publish(_ bytes: [UInt8], slot: Int, at now: Double) {
            sentAt[slot] = now
            sentBytes[slot] = bytes.count
            append("PUB \(subject) \(inbox)\(slot) \(bytes.count)\r\n")
            output.append(contentsOf: bytes)
            append("\r\n")
        }

        /// Sends what there is to send, as far as the socket takes it.
        func send() throws(BenchFailure) {
            while outputStart < output.count {
                let count = output.withUnsafeBytes {
                    Glibc.send(socket, $0.baseAddress! + outputStart, $0.count - outputStart, Int32(MSG_NOSIGNAL))
                }
                if count < 0 {
                    if errno == EINTR { continue }
                    guard errno == EAGAIN else { throw .peerLost("nats-server: send failed, errno \(errno)") }
                    isWaitingToSend = true
                    return
                }
                outputStart += count
            }
            output.removeAll(keepingCapacity: true)
            outputStart = 0
            isWaitingToSend = false
        }

        /// Reads once, and hands over each complete answer.
        func receive(_ take: (Answer) -> Void) throws(BenchFailure) {
            guard try read() else { return }
            var position = 0
            while let end = lineEnd(from: position) {
                let line = input[position..<end]
                switch line.first {
                case UInt8(ascii: "M"), UInt8(ascii: "H"):
                    // MSG subject sid bytes, HMSG subject sid header-bytes bytes: the total is the last field either way.
                    let fields = line.split(separator: UInt8(ascii: " "))
                    let length = number(fields[fields.count - 1])
                    guard inputCount >= end + 2 + length + 2 else { return compact(from: position) }
                    let body = input[end + 2..<end + 2 + length]
                    let slot = number(fields[1].dropFirst(inbox.utf8.count))
                    // {"stream":"BENCH0","seq":1} or {"error":{…},…}; a header alone says that nobody listens.
                    if line.first == UInt8(ascii: "M"), body.starts(with: "{\"stream\"".utf8) {
                        take(.stored(slot: slot))
                    } else {
                        take(.refused(slot: slot, String(decoding: body, as: UTF8.self)))
                    }
                    position = end + 2 + length + 2
                    continue
                case UInt8(ascii: "P") where line.starts(with: "PING".utf8): append("PONG\r\n")
                case UInt8(ascii: "-"): throw .peerLost("nats-server: " + String(decoding: line, as: UTF8.self))
                default: break  // INFO, PONG, +OK
                }
                position = end + 2
            }
            compact(from: position)
        }

        /// Before the load begins: reads, blocking, until all that came satisfies `isComplete`, and forgets it.
        private func awaitAnswer(_ isComplete: (Substring) -> Bool) throws(BenchFailure) {
            var limit = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            while true {
                guard try read() else { throw .tooSlow("an answer from nats-server", seconds: 10) }
                let text = String(decoding: input[..<inputCount], as: UTF8.self)
                // INFO comes first, on a line of its own.
                let answer = text.hasPrefix("INFO") ? text.split(separator: "\r\n", maxSplits: 1).dropFirst().first ?? "" : text[...]
                if answer.contains("\"error\"") || answer.hasPrefix("-ERR") { throw .peerLost("nats-server: \(answer)") }
                if isComplete(answer) { break }
            }
            inputCount = 0
        }

        /// Whether anything came.
        private func read() throws(BenchFailure) -> Bool {
            guard inputCount < input.count else { throw .peerLost("nats-server: an answer over \(input.count) bytes") }
            let count = recv(socket, input.baseAddress! + inputCount, input.count - inputCount, 0)
            guard count != 0 else { throw .peerLost("nats-server closed the connection") }
            guard count > 0 || errno == EAGAIN || errno == EINTR else { throw .peerLost("nats-server: recv failed, errno \(errno)") }
            inputCount += max(0, count)
            return count > 0
        }

        /// Where the next carriage return is: both of its bytes have come.
        private func lineEnd(from position: Int) -> Int? {
            var index = position
            while index + 1 < inputCount {
                if input[index] == 13, input[index + 1] == 10 { return index }
                index += 1
            }
            return nil
        }

        private func compact(from position: Int) {
            guard position > 0 else { return }
            let left = inputCount - position
            memmove(input.baseAddress!, input.baseAddress! + position, left)
            inputCount = left
        }

        private func number(_ digits: some Sequence<UInt8>) -> Int { digits.reduce(0) { $0 * 10 + Int($1) - 48 } }

        private func append(_ text: String) { output.append(contentsOf: text.utf8) }
    }
#endif
