import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Synchronization
import Wire

/// For tests: the moment after an acknowledged batch has left the spool.
enum FaultPointBridge {
    static func pass() { FaultPoint.pass("after-ack-before-outbox-delete") }
}

/// The thread that seals what was gathered and keeps the spool: no disk on the reactor, none under the recorder's lock.
final class SpoolThread: Sendable {
    enum News: Sendable {
        /// Where a stream stands now.
        case stream(Spool.Stream)
        case batches(UInt64, from: UInt64, [SpooledBatch])
        /// These have changed on disk, and are set aside.
        case damaged([UInt64])
        case failed(String)
    }

    enum Work: Sendable {
        /// A batch was closed, or time has passed.
        case gather
        case fetch(UInt64, from: UInt64, limit: Int)
        case forget(UInt64, upTo: UInt64)
        case quarantine(UInt64, UInt64, String)
        case stop
    }

    /// What `status.json` says that the recorder does not know.
    struct Outside: Sendable {
        var isConnected = false
        var ordinal: UInt32 = 0
    }

    private let recorder: Recorder
    private let news: Mailbox<News>
    private let work = Mutex<[Work]>([])
    private let filled = DispatchSemaphore(value: 0)
    private let ended = DispatchSemaphore(value: 0)
    private let settings: AgentSettings
    private let outside = Mutex(Outside())
    private let shownExtent = Mutex(Spool.Extent())
    private let path: String

    init(path: String, recorder: Recorder, settings: AgentSettings, news: Mailbox<News>) {
        self.path = path
        self.recorder = recorder
        self.settings = settings
        self.news = news
    }

    func put(_ item: Work) {
        work.withLock { $0.append(item) }
        filled.signal()
    }

    func set(_ body: (inout Outside) -> Void) { outside.withLock { body(&$0) } }
    var extent: Spool.Extent { shownExtent.withLock { $0 } }

    func start(_ spool: sending Spool) {
        // Owned by the thread from here on.
        nonisolated(unsafe) let spool = spool
        startThread("spool") { [self] in run(spool) }
    }

    func stop() {
        put(.stop)
        _ = ended.wait(timeout: .now() + 4)
    }

    private func run(_ spool: Spool) {
        defer { ended.signal() }
        do {
            var compressor = try ZstdCompressor()
            for stream in spool.streams.values { news.post(.stream(stream)) }
            var saved = Instant(nanoseconds: 0)
            var stopping = false
            while !stopping {
                _ = filled.wait(timeout: .now() + .milliseconds(100))
                let items = work.withLock { list in
                    defer { list = [] }
                    return list
                }
                for item in items {
                    switch item {
                    case .gather: break
                    case .fetch(let stream, let from, let limit):
                        let (batches, damaged) = try spool.fetch(stream, from: from, limit: limit)
                        news.post(.batches(stream, from: from, batches))
                        if !damaged.isEmpty { news.post(.damaged(damaged)) }
                        if let now = spool.streams[stream] { news.post(.stream(now)) }
                    case .forget(let stream, let sequence):
                        try spool.forget(stream, upTo: sequence)
                        if let now = spool.streams[stream], now.oldest > sequence + 1 { news.post(.stream(now)) }
                    case .quarantine(let stream, let sequence, let why):
                        try spool.quarantine(stream, sequence, why)
                        if let now = spool.streams[stream] { news.post(.stream(now)) }
                    case .stop: stopping = true
                    }
                }
                recorder.tick()
                let now = Clock.now()
                for gathered in recorder.gather(at: now, all: stopping) { try seal(gathered, spool, &compressor) }
                recorder.setSpoolFull(spool.extent.bytes >= settings.spoolBytesMax)
                shownExtent.withLock { $0 = spool.extent }
                if now - saved >= .milliseconds(500) || stopping {
                    saved = now
                    let view = recorder.view()
                    try spool.save(view.intervals, epoch: view.epoch)
                    AgentStatus(view, spool.extent, outside.withLock { $0 }, settings).write(to: path + "/status.json")
                }
            }
            spool.close()
        } catch where Spool.isFull(error) {
            // Accepted events that cannot be kept would be lost in silence: better to stop, loudly.
            news.post(.failed("the disk of the spool is full: free some, then start again"))
        } catch {
            news.post(.failed("the spool has failed: \(error)"))
        }
    }

    private func seal(_ gathered: Recorder.Gathered, _ spool: Spool, _ compressor: inout ZstdCompressor) throws {
        let columns = try ColumnsCodec.encode(gathered.events)
        let payload = Data(try compressor.compress(columns.bytes))
        let stream = try spool.append(
            gathered.dataClass, first: columns.extent.first, last: columns.extent.last, count: columns.extent.count,
            epoch: gathered.epoch, columnsBytes: columns.bytes.count, payload: payload)
        news.post(.stream(stream))
    }
}
