import Foundation
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A real HTTP receiver on 127.0.0.1, one thread a connection, that answers as a test wants.
final class Receiver: Sendable {
    struct Request: Sendable {
        /// In lower case.
        var headers: [String: String]
        var line: String
        var body: Data

        subscript(_ header: String) -> String { headers[header] ?? "" }
        var id: String { self["webhook-id"] }
    }

    enum Reply: Sendable {
        case status(Int, headers: [String] = [])
        /// Says nothing until the sender goes away.
        case hang
        /// A header without end, a byte every 20 ms.
        case dripHeaders
        /// 200, then a body without end, a byte every 20 ms.
        case dripBody
        /// 200, then as many bytes as the sender takes.
        case flood
        /// Headers as fast as the sender takes them.
        case floodHeaders
        case close
    }

    /// What came in, in order. One reader.
    let requests: AsyncStream<Request>
    let port: UInt16
    var url: String { "http://127.0.0.1:\(port)/hook" }
    /// Bytes that went out after the headers.
    var flooded: Int { sent.withLock { $0 } }

    /// Accepted, whatever came of them.
    var connections: Int { accepted.withLock { $0 } }

    private let listener: Int32
    private let arrived: AsyncStream<Request>.Continuation
    private let reply: @Sendable (Request) -> Reply
    private let sent = Mutex(0)
    private let accepted = Mutex(0)

    init(reply: @escaping @Sendable (Request) -> Reply = { _ in .status(200) }) {
        // A test sends a few dozen at most.
        (requests, arrived) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(10_000))
        self.reply = reply
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        precondition(bound, "no port on 127.0.0.1")
        port = UInt16(bigEndian: address.sin_port)
        let thread = Thread { [weak self] in
            // Who accepts closes: a number that was closed elsewhere may be another receiver's by now, whose connections this thread would take.
            defer { close(listener) }
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                guard let self else { close(connection); return }
                self.accepted.withLock { $0 += 1 }
                Thread {
                    self.serve(connection)
                    close(connection)
                }.start()
            }
        }
        thread.start()
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Answers each request of a script with its reply, and any further one with the last.
    convenience init(script: [Reply]) {
        let next = Mutex(0)
        self.init { _ in
            next.withLock { position in
                defer { position += 1 }
                return script[min(position, script.count - 1)]
            }
        }
    }

    private func serve(_ connection: Int32) {
        guard let request = request(from: connection) else { return }
        let reply = reply(request)
        arrived.yield(request)
        switch reply {
        case .status(let status, let headers):
            let lines = ["HTTP/1.1 \(status) X", "content-length: 0", "connection: close"] + headers
            put(lines.map { $0 + "\r\n" }.joined() + "\r\n", connection)
        case .hang:
            var byte: UInt8 = 0
            while recv(connection, &byte, 1, 0) > 0 {}
        case .dripHeaders:
            put("HTTP/1.1 200 OK\r\nx: ", connection)
            while put("x", connection) { usleep(20_000) }
        case .dripBody:
            put("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", connection)
            while put("x", connection) { usleep(20_000) }
        case .flood:
            put("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n", connection)
            let chunk = String(repeating: "x", count: 65_536)
            while flooded < 1_000_000_000, put(chunk, connection) { sent.withLock { $0 += chunk.utf8.count } }
        case .floodHeaders:
            put("HTTP/1.1 200 OK\r\n", connection)
            let line = "x-padding: " + String(repeating: "x", count: 8_000) + "\r\n"
            while flooded < 1_000_000_000, put(line, connection) { sent.withLock { $0 += line.utf8.count } }
        case .close: break
        }
    }

    @discardableResult
    private func put(_ text: String, _ connection: Int32) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    private func request(from connection: Int32) -> Request? {
        var bytes = Data()
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let blank = Data("\r\n\r\n".utf8)
        while true {
            if let end = bytes.range(of: blank) {
                let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
                    if parts.count == 2 { headers[parts[0].lowercased()] = parts[1] }
                }
                let body = bytes[end.upperBound...]
                if body.count >= Int(headers["content-length"] ?? "0") ?? 0 {
                    return Request(headers: headers, line: lines[0], body: Data(body))
                }
            }
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            bytes += chunk[..<count]
        }
    }
}
