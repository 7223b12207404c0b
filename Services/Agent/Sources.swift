import CZlib
import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Synchronization
import Wire

/// Told when an input has ended: nothing more will come from it.
final class EndOfInput: Sendable {
    private let ended = Mutex<Bool>(false)
    private let wakeup: Wakeup
    init(wakeup: Wakeup) { self.wakeup = wakeup }
    func set() {
        ended.withLock { $0 = true }
        wakeup.wake()
    }
    var isSet: Bool { ended.withLock { $0 } }
}

/// NDJSON from a file descriptor, on a thread of its own.
enum StandardInput {
    static func start(_ descriptor: Int32, source: String, recorder: Recorder, ended: EndOfInput?, closed: @escaping @Sendable () -> Void = {}) {
        startThread("input") {
            let intake = Intake(recorder: recorder, source: source)
            var buffer = [UInt8](repeating: 0, count: 64 * 1024)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                buffer.withUnsafeBytes { intake.feed(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
            intake.end()
            if descriptor != STDIN_FILENO { close(descriptor) }
            closed()
            ended?.set()
        }
    }
}

/// How many there are, for two threads.
private final class Count: Sendable {
    private let value = Mutex<Int>(0)
    func withLock<R: Sendable>(_ body: (inout Int) -> R) -> R { value.withLock { body(&$0) } }
}

/// A Unix socket that local capture tools write NDJSON to. Only this user may connect.
enum SocketInput {
    /// Tools connected at the same time; more are turned away.
    static let connectionsMax = 32

    static func start(path: String, recorder: Recorder) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw Complaint("the socket's path is longer than \(MemoryLayout.size(ofValue: address.sun_path) - 1) bytes: \(path)")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        #if os(Linux)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #else
        let listener = socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
        guard listener >= 0 else { throw Complaint("cannot make a socket: \(String(cString: strerror(errno)))") }
        // The agent's lock is held: a socket that is there is of a run that has ended.
        unlink(path)
        let mask = umask(0o177)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        umask(mask)
        guard bound == 0, listen(listener, 16) == 0 else {
            throw Complaint("cannot listen on \(path): \(String(cString: strerror(errno)))")
        }
        let open = Count()
        startThread("socket") {
            do {
                var number = 0
                while true {
                    let peer = accept(listener, nil, nil)
                    if peer < 0 {
                        if errno == EINTR || errno == ECONNABORTED { continue }
                        // Out of descriptors: wait for one to be closed.
                        usleep(100_000)
                        continue
                    }
                    guard open.withLock({ $0 < connectionsMax }) else {
                        close(peer)
                        continue
                    }
                    open.withLock { $0 += 1 }
                    number += 1
                    StandardInput.start(peer, source: "connection \(number)", recorder: recorder, ended: nil) { open.withLock { $0 -= 1 } }
                }
            }
        }
    }
}

/// Plays a recording as if it happened now.
///
/// The first event is played as soon as its class may be captured; the n-th at the same distance as recorded, divided by the speed.
/// While capture is stopped the tape stands still, and goes on where it was.
struct Replay: Sendable {
    var path: String
    /// 10: ten times as fast as recorded.
    var speed: Double
    var loops: Bool

    func start(recorder: Recorder, ended: EndOfInput) throws {
        guard let file = gzopen(path, "rb") else {
            throw Complaint("cannot open \(path): \(String(cString: strerror(errno)))")
        }
        gzbuffer(file, 1 << 17)
        // Handed to the thread whole.
        nonisolated(unsafe) let tape = file
        startThread("replay") {
            repeat {
                gzrewind(tape)
                play(tape, recorder)
            } while loops
            gzclose(tape)
            ended.set()
        }
    }

    private func play(_ file: gzFile, _ recorder: Recorder) {
        var lines = Lines()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var number = 0
        var origin: (recorded: WallTime, played: WallTime)?
        func each(_ line: Lines.Line) {
            number += 1
            guard case .whole(let bytes) = line, !bytes.isEmpty else {
                if case .tooLong(let bytes) = line { complain(number, "the line has \(bytes) bytes, at most \(Limits.lineBytesMax) are read") }
                return
            }
            do throws(EventLineError) {
                play(try EventLine.parse(bytes), &origin, recorder)
            } catch {
                recorder.refuse(error.word)
                complain(number, "\(error)")
            }
        }
        while true {
            let count = gzread(file, &buffer, UInt32(buffer.count))
            guard count > 0 else {
                if count < 0 { complain(number, "the file is damaged here") }
                break
            }
            buffer.withUnsafeBytes { lines.feed(UnsafeRawBufferPointer(rebasing: $0[..<Int(count)]), each) }
        }
        lines.end(each)
    }

    private func play(_ line: EventLine, _ origin: inout (recorded: WallTime, played: WallTime)?, _ recorder: Recorder) {
        var line = line
        let recorded = line.event.at
        // Durations shrink with the rest, so that an event does not end after the present.
        if let duration = line.event.duration { line.event.duration = Span(nanoseconds: Int64(Double(duration.nanoseconds) / speed)) }
        let length = line.event.duration ?? .zero
        while true {
            while !recorder.mayTake(line.event, at: Clock.now()) {
                // The tape stands still; where it goes on is a new origin.
                origin = nil
                usleep(20_000)
            }
            if origin == nil {
                // Microseconds: what a recording at a thousand times its speed still tells apart.
                origin = (recorded, WallTime(microseconds: Clock.wall().microseconds + 1))
            }
            let distance = Double((recorded - origin!.recorded).nanoseconds) / speed
            line.event.at = origin!.played + Span(nanoseconds: Int64((distance / 1_000).rounded()) * 1_000)
            let wait = (line.event.at + length) - Clock.wall()
            if wait > .seconds(3_600) { origin = nil } else if wait > .zero { usleep(UInt32(wait.microseconds + 1)) }
            guard let reason = recorder.take(line) else { return }
            // The policy document leaves nothing of it, now or later.
            guard !Policy.CaptureReason.words.contains(reason) else { return }
            // Refused because capture stopped, or the interval began later than the origin: again, from now.
            guard CaptureRefused(rawValue: reason) != nil else {
                usleep(100_000)
                continue
            }
            origin = nil
        }
    }

    private func complain(_ number: Int, _ text: String) {
        FileHandle.standardError.write(Data("\(path) line \(number): \(text)\n".utf8))
    }
}
