import Chassis
import Foundation
import Gate
import Messaging
import Rules
import Seal
import SwiftProtobuf
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
        /// What ingest sent can be kept to.
        case rules(HeldRules)
        case rulesRefused(String)
    }

    enum Work: Sendable {
        /// A batch was closed, or time has passed.
        case gather
        case fetch(UInt64, from: UInt64, limit: Int)
        case forget(UInt64, upTo: UInt64)
        case quarantine(UInt64, UInt64, String)
        /// Batches are sealed to this key from here on; the proof is kept.
        case sealTo(VaultPublicKey, proof: Data?)
        case stop
    }

    /// What `status.json` says that the recorder does not know.
    struct Outside: Sendable {
        var isConnected = false
        var ordinal: UInt32 = 0
        /// Keys of ingest's that were offered and not taken.
        var keysRefused: UInt64 = 0
    }

    private let recorder: Recorder
    private let news: Mailbox<News>
    private let work = Mutex<[Work]>([])
    private let filled = SteadySemaphore()
    private let ended = SteadySemaphore()
    private let settings: AgentSettings
    private let outside = Mutex(Outside())
    private let shownExtent = Mutex(Spool.Extent())
    private let path: String
    /// Of control's ledger: which suite batches are sealed for.
    private let origin: String

    init(path: String, origin: String, recorder: Recorder, settings: AgentSettings, news: Mailbox<News>) {
        self.path = path
        self.origin = origin
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
        ended.wait(atMost: .seconds(4))
    }

    private func run(_ spool: Spool) {
        defer { ended.signal() }
        do {
            var compressor = try ZstdCompressor()
            // From this start to the end: what was sealed before it, whoever restored it, has other keys.
            var sealer: Sealer?
            for stream in spool.streams.values { news.post(.stream(stream)) }
            var saved = Instant(nanoseconds: 0)
            var stopping = false
            while !stopping {
                filled.wait(atMost: .milliseconds(100))
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
                    case .sealTo(let key, let proof):
                        if let proof { try spool.keep(vaultProof: proof) }
                        if sealer == nil {
                            sealer = try Sealer(vault: key, origin: origin, agent: settings.name, at: Clock.now())
                        } else {
                            try sealer!.use(key, at: Clock.now())
                        }
                    case .stop: stopping = true
                    }
                }
                recorder.tick()
                let now = Clock.now()
                for gathered in recorder.gather(at: now, all: stopping) { try seal(gathered, spool, &compressor, &sealer, at: now) }
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

    private func seal(
        _ gathered: Recorder.Gathered, _ spool: Spool, _ compressor: inout ZstdCompressor, _ sealer: inout Sealer?, at now: Instant
    ) throws {
        let columns = try ColumnsCodec.encode(gathered.events)
        let packed = try compressor.compress(columns.bytes)
        let stream = spool.next(gathered.dataClass)
        var header = WireBatchHeader()
        header.stream = stream.id
        header.sequence = stream.newest
        header.class = gathered.dataClass.name
        header.firstNs = columns.extent.first.nanoseconds
        header.lastNs = columns.extent.last.nanoseconds
        header.count = UInt32(columns.extent.count)
        header.epoch = gathered.epoch.number
        header.payloadBytes = UInt32(packed.count + Encapsulation.overheadBytes)
        header.columnsBytes = UInt32(columns.bytes.count)
        // Serialised here and never again: these bytes are what the payload is bound to.
        let bytes = try header.serializedData()
        // There is no permit, and so there are no events, before there is a key.
        guard sealer != nil else { throw Complaint("events were accepted before there was a key to seal them to") }
        let frame = try sealer!.seal(packed, stream: stream.id, sequence: stream.newest, header: [UInt8](bytes), at: now)
        try spool.append(stream, first: columns.extent.first, header: bytes, payload: Data(frame))
        news.post(.stream(stream))
    }
}
