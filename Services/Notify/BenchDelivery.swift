import ArgumentParser
import Chassis
import Foundation
import GRDB
import Gate
import Messaging
import Synchronization

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// What `sluice bench notify` measures: the outbox and the delivery as they are, in a process of their own, without a suite around them.
///
/// Mails come on standard input as they are made: a line `id recipient octets`, and then so many octets. So many of them are one transaction, and are sent while the next are read.
struct BenchDelivery: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "bench-delivery", shouldDisplay: false)

    @Option(help: "notify.json is there, and the outbox comes there.") var folder: String
    @Option(help: "Messages to each of the hooks, instead of mails.") var events = 0
    @Flag(help: "Without the outbox: each hook's messages in a loop.") var plain = false
    @Option(help: "Mails of one transaction.") var group = 256
    @Option(help: "After this many seconds it ends, whatever is left.") var seconds: Double = 600

    struct Result: Encodable {
        var seconds: Double
        /// Of the processor, by all threads.
        var processor: Double
        var peakBytes: Int
        var delivered: Int
        var waiting: Int
        var givenUp: Int
        var error: String?
    }

    func run() throws {
        Lifecycle.ignoreBrokenPipes()
        let path = folder + "/notify.json"
        let hooks = try Hooks(contentsOf: path)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let result = plain ? try loop(hooks) : try deliver(hooks, path)
        print(String(decoding: try encoder.encode(result), as: UTF8.self))
    }

    private func deliver(_ hooks: Hooks, _ path: String) throws -> Result {
        let (mail, rates) = try NotifyFile.read(path)
        var settings = Delivery.Settings()
        settings.rates = rates
        let outbox = try Outbox(path: folder + "/outbox.sqlite")
        let delivery = try Delivery(
            from: outbox, to: hooks, mail: MailRoute(settings: mail, folder: folder + "/mail"), settings: settings, now: { Clock.wall() })
        for first in stride(from: 0, to: events, by: 1_000) {
            try outbox.put((first..<min(first + 1_000, events)).map(BenchDelivery.message), channels: hooks.all.map(\.name), at: Clock.wall())
        }
        let ended = SteadySemaphore()
        let failure = Mutex<String?>(nil)
        let (began, used) = (Clock.now(), BenchDelivery.processorSeconds())
        // Awaited, and told to stop, below.
        Task {
            do { try await delivery.run() } catch { failure.withLock { $0 = "\(error)" } }
            ended.signal()
        }
        func elapsed() -> Double { Double((Clock.now() - began).nanoseconds) / 1e9 }
        if events == 0 {
            var frames = MailFrames()
            while elapsed() < seconds, failure.withLock({ $0 == nil }) {
                let mails = try frames.next(group)
                guard !mails.isEmpty else { break }
                try outbox.put(mails: mails, at: Clock.wall())
                delivery.wake()
            }
        }
        while try outbox.isWaiting(), elapsed() < seconds, failure.withLock({ $0 == nil }) { usleep(2_000) }
        let (took, processor) = (elapsed(), BenchDelivery.processorSeconds() - used)
        delivery.stop()
        ended.wait(atMost: .seconds(60))
        let counts = try outbox.counts()
        let why = try failure.withLock { $0 } ?? outbox.undelivered(limit: 1).first?.lastError
        return Result(
            seconds: took, processor: processor, peakBytes: BenchDelivery.peakBytes(), delivered: counts.delivered, waiting: counts.waiting + counts.held, givenUp: counts.givenUp,
            error: why)
    }

    /// What libcurl does alone, a thread for each hook: the same requests, and nothing is kept.
    private func loop(_ hooks: Hooks) throws -> Result {
        let delivered = Mutex(0)
        let failure = Mutex<String?>(nil)
        let (began, used) = (Clock.now(), BenchDelivery.processorSeconds())
        let ends = hooks.all.map { hook in
            let ended = SteadySemaphore()
            let thread = Thread { [events] in
                defer { ended.signal() }
                do {
                    var client = try WebhookClient(WebhookClient.Settings().of(hook))
                    for number in 0..<events {
                        let answer = client.post(BenchDelivery.message(number), to: hook, at: Clock.wall())
                        guard case .status(200..<300, _) = answer else { return failure.withLock { $0 = "\(answer)" } }
                        delivered.withLock { $0 += 1 }
                    }
                } catch { failure.withLock { $0 = "\(error)" } }
            }
            thread.start()
            return ended
        }
        for end in ends { end.wait(atMost: .seconds(Int64(seconds))) }
        return Result(
            seconds: Double((Clock.now() - began).nanoseconds) / 1e9, processor: BenchDelivery.processorSeconds() - used, peakBytes: BenchDelivery.peakBytes(),
            delivered: delivered.withLock { $0 }, waiting: 0, givenUp: 0, error: failure.withLock { $0 })
    }

    private static func message(_ number: Int) -> Message {
        let digits = String(number)
        return Bodies.test(id: "msg_bench_" + String(repeating: "0", count: 8 - digits.utf8.count) + digits, at: WallTime(nanoseconds: 1_800_000_000_000_000_000))
    }

    private static func processorSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// VmHWM of proc(5), since a child's `ru_maxrss` begins with its parent's.
    private static func peakBytes() -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1_024
    }
}

/// Mails on standard input.
private struct MailFrames {
    private var buffer = Data()

    /// At most so many; none: the end.
    mutating func next(_ most: Int) throws -> [Outbox.Mail] {
        var mails: [Outbox.Mail] = []
        while mails.count < most {
            guard let line = try line() else { break }
            let words = line.split(separator: " ")
            guard words.count == 3, let octets = Int(words[2]), octets > 0 else { throw Complaint("'id recipient octets' is expected, and not \(line)") }
            while buffer.count < octets { guard try fill() else { throw Complaint("a mail ends before its end") } }
            let bytes = Data(buffer.prefix(octets))
            buffer = buffer.dropFirst(octets)
            mails.append(.init(id: String(words[0]), type: "notice", recipient: String(words[1]), incident: 7, bytes: bytes, created: Clock.wall()))
        }
        return mails
    }

    private mutating func line() throws -> String? {
        while true {
            if let end = buffer.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: buffer[buffer.startIndex..<end], as: UTF8.self)
                buffer = buffer[(end + 1)...]
                return line
            }
            guard try fill() else { return nil }
        }
    }

    /// - Returns: false: the end.
    private mutating func fill() throws -> Bool {
        var part = Data(count: 1 << 16)
        let count = part.withUnsafeMutableBytes { read(0, $0.baseAddress, $0.count) }
        guard count >= 0 else { throw Complaint("standard input cannot be read: \(String(cString: strerror(errno)))") }
        buffer = Data(buffer) + part.prefix(count)
        return count > 0
    }
}

extension Outbox {
    /// Whether anything has still to go out.
    fileprivate func isWaiting() throws(OutboxError) -> Bool {
        try reading { try Bool.fetchOne($0, sql: "SELECT EXISTS (SELECT 1 FROM delivery WHERE state = 'pending')") ?? false }
    }
}
