import ArgumentParser
import Chassis
import Foundation
import Synchronization

#if os(Linux)
/// Takes webhooks on the loopback as fast as a thread for each connection can, and tells at the end what came. For `sluice bench notify`.
struct HookReceiver: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-receiver", shouldDisplay: false)
    @Option var receivers = 1

    struct Tally: Codable {
        var received = 0
        var distinct = 0
        /// After a later one, at the same receiver.
        var outOfOrder = 0
        var connections = 0
    }

    /// Of one receiver. Ids are compared as text, and are made so that their order is the messages'.
    private final class Port: Sendable {
        let state = Mutex((tally: Tally(), ids: Set<String>(), last: ""))

        func take(_ id: String) {
            state.withLock { state in
                state.tally.received += 1
                if state.ids.insert(id).inserted { state.tally.distinct += 1 }
                if id < state.last { state.tally.outOfOrder += 1 }
                state.last = max(state.last, id)
            }
        }
    }

    func run() throws {
        // Before there are threads, so that it comes to this one.
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        var ports: [Port] = []
        var numbers: [String] = []
        for _ in 0..<receivers {
            let (listener, number) = try LoopbackSocket.listen(backlog: 64)
            let port = Port()
            ports.append(port)
            numbers.append("\(number)")
            Thread {
                while true {
                    let connection = accept(listener, nil, nil)
                    guard connection >= 0 else { return }
                    port.state.withLock { $0.tally.connections += 1 }
                    Thread {
                        HookReceiver.serve(connection, port)
                        close(connection)
                    }.start()
                }
            }.start()
        }
        FileHandle.standardOutput.write(Data((numbers.joined(separator: " ") + "\n").utf8))
        var signal: Int32 = 0
        sigwait(&set, &signal)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        print(String(decoding: try encoder.encode(ports.map { $0.state.withLock { $0.tally } }), as: UTF8.self))
    }

    /// Requests of one connection, one after the other.
    private static func serve(_ connection: Int32, _ port: Port) {
        let answer = Array("HTTP/1.1 204 No Content\r\n\r\n".utf8)
        var buffer: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(connection, &part, part.count, 0)
            guard count > 0 else { return }
            buffer += part[..<count]
            while let end = buffer.firstRange(of: Array("\r\n\r\n".utf8)) {
                var (id, length) = ("", 0)
                for line in String(decoding: buffer[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n") {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    guard parts.count == 2 else { continue }
                    switch parts[0].lowercased() {
                    case "webhook-id": id = parts[1].trimmingCharacters(in: .whitespaces)
                    case "content-length": length = Int(parts[1].trimmingCharacters(in: .whitespaces)) ?? 0
                    default: break
                    }
                }
                guard buffer.count >= end.upperBound + length else { break }
                buffer.removeFirst(end.upperBound + length)
                port.take(id)
                guard send(connection, answer, answer.count, Int32(MSG_NOSIGNAL)) == answer.count else { return }
            }
        }
    }
}
#endif
