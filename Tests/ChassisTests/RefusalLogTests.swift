import Chassis
import Gate
import Logging
import Synchronization
import Testing

@Suite struct RefusalLogTests {
    /// Keeps what is logged.
    private final class Lines: LogHandler, Sendable {
        private let kept = Mutex<[String]>([])
        var all: [String] { kept.withLock { $0 } }
        var logLevel: Logger.Level {
            get { .trace }
            set {}
        }
        var metadata: Logger.Metadata {
            get { [:] }
            set {}
        }
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { nil }
            set {}
        }

        func log(event: LogEvent) { kept.withLock { $0.append("\(event.message)") } }
    }

    private let lines = Lines()
    private let log: RefusalLog

    init() {
        let lines = lines
        log = RefusalLog(Logger(label: "test") { _ in lines })
    }

    private func second(_ number: Int64) -> Instant { Instant(nanoseconds: number * 1_000_000_000) }

    @Test func `the first of a kind is logged at once, and a thousand more in one line after a minute`() {
        for number in 0..<1_000 { log.note("a", "number \(number)", at: second(1)) }
        log.tick(at: second(60))
        #expect(lines.all == ["number 0"])
        log.tick(at: second(61))
        #expect(lines.all == ["number 0", "number 999; 999 more in the last minute"])
        log.tick(at: second(121))
        log.note("a", "again", at: second(122))
        #expect(lines.all.count == 3, "after a minute of peace it is the first again")
    }

    @Test func `one kind does not hide another`() {
        for _ in 0..<10 {
            log.note("a", "one", at: second(1))
            log.note("b", "other", at: second(1))
        }
        #expect(lines.all == ["one", "other"])
    }

    @Test func `kinds without number share one line`() {
        for number in 0..<5_000 { log.note("\(number)", "\(number)", at: second(1)) }
        #expect(lines.all.count == RefusalLog.kindsMax + 1)
    }

    @Test func `of a total that is looked at now and then what is new counts`() {
        log.note("a", "refused", total: 3, at: second(1))
        log.note("a", "refused", total: 3, at: second(2))
        log.note("a", "refused", total: 7, at: second(3))
        log.tick(at: second(61))
        #expect(lines.all == ["refused, 3 times", "refused; 4 more in the last minute"])
    }
}
