import ArgumentParser
import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Messaging
import Seal
import SwiftProtobuf
import Vault
import Wire

/// What encryption costs: each side of a batch's way by itself, or the whole way with seals and without.
///
/// Policy refuses what is not sealed, so its own process cannot be measured without. By itself each side is the code that agents and policy call, over the same
/// batches on one thread, the rows in turn within each round, by the processor's time that the thread was given: what else the machine does counts as little as can
/// be. With `--path` it is all of them at once, over sessions and into a vault: ``SealPath``.
struct BenchSeal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seal",
        abstract: "Batches a second that an agent packs and that policy opens, with and without sealing and encryption at rest; or the whole way with seals and without.",
        discussion: """
            EXAMPLE
              sluice bench seal --events 500 --data recordings/
              sluice bench seal --path --events 500 --data recordings/

            One thread, no sockets, no disk: batches a second of processor time.

            With --path, the whole way in one process and one run, rounds with seals and without in turn: agents encode, compress (and seal) each batch, CURVE over \
            loopback to a relay and from there to policy's side, which (opens,) hashes, unpacks and checks it, encrypts it under its subject's key, and acknowledges it \
            after a group commit with synchronous=FULL. Same batches, same vault, same threads; each round is compared with its neighbours. Not in it, with seals or \
            without: leases, registry, counts, the fence and the policy document, and an agent's spool. A seal's encapsulation, one for each start and hour of an agent, \
            is made before the first round. With --packed agents send what was packed before, as the load of 'bench ingest' does.
            """)

    @Option(help: "Events in a batch.") var events = 500
    @Option(help: "Agents that sealed the batches, each with an encapsulation of its own.") var agents = 64
    @Option(help: "Seconds of each row in each round: 0.1, with --path 1.") var seconds: Double?
    @Option(help: "Rounds; the median is shown, with the range. With --path, of each kind.") var rounds = 25
    @Option(help: "Recordings to cut batches from: a file or a folder.") var data: String?
    @Flag(help: "The whole way of a batch, through sessions and into a vault.") var path = false
    @Option(help: "With --path: batches without an answer in each agent.") var window = 8
    @Flag(help: "With --path: batches are packed before, and agents send them.") var packed = false
    @Option(help: "With --path: on the disk that is measured.") var folder: String = FileManager.default.temporaryDirectory.path
    @Flag(help: "Print JSON.") var json = false

    func validate() throws {
        guard (1...10_000).contains(agents), (1...4_096).contains(events), seconds ?? 1 > 0, rounds > 0, (1...64).contains(window) else {
            throw ValidationError("--agents 1 to 10000, --events 1 to 4096, --window 1 to 64, --seconds and --rounds more than 0 are expected")
        }
        // All of them send at once, and nothing here asks anybody to wait.
        guard !path || agents * window <= Limits.relayedMax else { throw ValidationError("with --path at most \(Limits.relayedMax) batches are under way: --agents times --window") }
    }

    struct Row: Encodable {
        var what: String
        var batchesPerSecond: Double
        var range: [Double]
        /// Of the row without, in the same rounds.
        var ratio: Double
        var microseconds: Double
    }

    func run() throws {
        #if os(Linux)
        let batches = try BenchBatch.cut(BenchBatch.recordings(data ?? Up.findRecording(nil)), events: events)
        if path { return try runPath(batches) }
        let seconds = seconds ?? 0.1
        let scene = try SealScene(batches, agents: agents)
        progress("\(Machine.description); load \(Machine.load) before; \(batches.count) batches of \(events) events of \(agents) agents, on one thread")
        let names = ["agent: pack", "agent: pack, seal", "policy: unpack, check", "policy: open, unpack, check", "policy: open, unpack, check, encrypt"]
        var rates = [[Double]](repeating: [], count: names.count)
        for _ in 0..<rounds {
            for row in names.indices { rates[row].append(try scene.rate(of: row, seconds: seconds)) }
        }
        let rows = names.indices.map { row -> Row in
            let plain = row < 2 ? 0 : 2
            let figures = Figures(rates[row])
            return Row(
                what: names[row], batchesPerSecond: figures.median, range: [figures.min, figures.max],
                ratio: Figures(zip(rates[row], rates[plain]).map { $0 / $1 }).median, microseconds: 1e6 / figures.median)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
        }
        var table = FiguresTable("what", "batches/s", "of that without", "µs a batch")
        for row in rows {
            table.add(
                row.what, "\(Figures.number(row.batchesPerSecond, decimals: 0)) (\(row.range.map { Figures.number($0, decimals: 0) }.joined(separator: "–")))",
                Figures.number(row.ratio, decimals: 2), Figures.number(row.microseconds))
        }
        print(table.formatted())
        print(scene.sizes)
        #endif
    }

    // MARK: The whole way

    struct Way: Encodable {
        var batchesPerSecond: Double
        var range: [Double]
        /// Of processor, a batch.
        var microseconds: Double
        /// Sent, whether measured or not.
        var batches: Int
        var payloadBytes: Double
    }

    /// With seals, of without: by pairs of rounds that follow each other.
    struct Ratio: Encodable {
        var median: Double
        var middleHalf: [Double]
        var range: [Double]

        init(_ values: [Double]) {
            let figures = Figures(values)
            (median, middleHalf, range) = (figures.median, [figures.lowerQuartile, figures.upperQuartile], [figures.min, figures.max])
        }

        var words: String { "\(two(median)) (middle half \(middleHalf.map(two).joined(separator: "–")), all \(range.map(two).joined(separator: "–")))" }
        private func two(_ value: Double) -> String { Figures.number(value, decimals: 2) }
    }

    struct Comparison: Encodable {
        var without: Way
        var with: Way
        var pairs: Int
        var throughput: Ratio
        var processor: Ratio
        /// Batches that a seal was taken off.
        var opened: Int
    }

    #if os(Linux)
    private func runPath(_ batches: [BenchBatch]) throws {
        let seconds = seconds ?? 1
        let place = folder + "/sluice-bench-seal-\(getpid())"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: place) }
        progress("\(Machine.description); load \(Machine.load) before; \(batches.count) batches of \(events) events of \(agents) agents, window \(window), \(rounds) rounds of each")
        let way = try SealPath(batches, agents: agents, window: window, packs: !packed, folder: place)
        // Not measured: the keys of agents and subjects, and the first pages.
        for isSealed in [false, true] { _ = try way.round(isSealed: isSealed, seconds: min(seconds, 0.5)) }
        var measured: [(isSealed: Bool, round: SealPath.Round)] = []
        for round in 1...rounds {
            for isSealed in [false, true] { measured.append((isSealed, try way.round(isSealed: isSealed, seconds: seconds))) }
            if round % 5 == 0 { progress("round \(round) of \(rounds)") }
        }
        try way.finish()
        func all(_ isSealed: Bool) -> Way {
            let rounds = measured.filter { $0.isSealed == isSealed }.map(\.round)
            let figures = Figures(rounds.map(\.batchesPerSecond))
            let sent = way.sent[isSealed] ?? (0, 0)
            return Way(
                batchesPerSecond: figures.median, range: [figures.min, figures.max], microseconds: Figures(rounds.map(\.microseconds)).median, batches: sent.batches,
                payloadBytes: Double(sent.bytes) / Double(max(1, sent.batches)))
        }
        // Each round beside the one before it: what the machine does meanwhile changes slowly, and the direction of time cancels out.
        let pairs = zip(measured, measured.dropFirst()).map { $0.isSealed ? (with: $0.round, without: $1.round) : (with: $1.round, without: $0.round) }
        let comparison = Comparison(
            without: all(false), with: all(true), pairs: pairs.count, throughput: Ratio(pairs.map { $0.with.batchesPerSecond / $0.without.batchesPerSecond }),
            processor: Ratio(pairs.map { $0.with.microseconds / $0.without.microseconds }), opened: way.opened)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return print(String(decoding: try encoder.encode(comparison), as: UTF8.self))
        }
        var table = FiguresTable("the whole way", "batches/s", "µs of processor a batch", "bytes sent")
        for (name, row) in [("without seals", comparison.without), ("with seals", comparison.with)] {
            table.add(
                name, "\(Figures.number(row.batchesPerSecond, decimals: 0)) (\(row.range.map { Figures.number($0, decimals: 0) }.joined(separator: "–")))",
                Figures.number(row.microseconds), Figures.number(row.payloadBytes, decimals: 0))
        }
        print(table.formatted())
        print("with seals, of without, in \(comparison.pairs) pairs of neighbouring rounds: throughput \(comparison.throughput.words); processor a batch \(comparison.processor.words)")
    }
    #endif
}

#if os(Linux)
/// Batches of many agents, packed and sealed, and both sides of their way.
private final class SealScene {
    private struct Sealed {
        var agent: Int
        var header: WireBatchHeader
        var bytes: [UInt8]
        var columns: [UInt8]
        var packed: [UInt8]
        var payload: [UInt8]
    }

    private var sealed: [Sealed] = []
    private let origin = "sluice/bench/governance"
    private var compressor: ZstdCompressor
    private var decompressor: ZstdDecompressor
    private var opener: Opener
    private var sealer: Sealer
    private let dataKey: DataKey
    private var sequence: UInt64 = 0
    /// Used up, so that nothing is optimised away.
    private var sum = 0

    init(_ batches: [BenchBatch], agents: Int) throws {
        guard let key = VaultKey.make(), let master = MasterKey(secret: [UInt8].random(MasterKey.bytesCount)) else { throw Complaint("no key could be made") }
        compressor = try ZstdCompressor()
        decompressor = try ZstdDecompressor()
        opener = Opener(origin: origin, keys: [key])
        sealer = try Sealer(vault: key.publicKey, origin: origin, agent: "measured", at: Clock.now())
        dataKey = try DataKey.make(1, for: DataKeyPlace(subject: "B1", month: 202_611), under: master).key
        for agent in 0..<min(agents, batches.count) {
            var sealer = try Sealer(vault: key.publicKey, origin: origin, agent: BenchSuite.agentName(agent), at: Clock.now())
            for (number, place) in stride(from: agent, to: batches.count, by: agents).enumerated() {
                let batch = batches[place]
                var header = WireBatchHeader()
                header.stream = 1
                header.sequence = UInt64(number + 1)
                header.class = "activity"
                header.firstNs = Clock.wall().nanoseconds - batch.spanNanoseconds
                header.lastNs = header.firstNs + batch.spanNanoseconds
                header.count = batch.count
                header.payloadBytes = UInt32(batch.payload.count + Encapsulation.overheadBytes)
                header.columnsBytes = batch.columnsBytes
                let bytes = [UInt8](try header.serializedData())
                let columns = try batch.payload.withUnsafeBytes {
                    try decompressor.decompress($0, expected: Int(batch.columnsBytes), max: Limits.columnsBytesMax)
                }
                let payload = try sealer.seal(batch.payload, stream: 1, sequence: header.sequence, header: bytes, at: Clock.now())
                sealed.append(Sealed(agent: agent, header: header, bytes: bytes, columns: columns, packed: batch.payload, payload: payload))
            }
        }
        // As batches come in: each from another agent than the one before.
        sealed.sort { ($0.header.sequence, $0.agent) < ($1.header.sequence, $1.agent) }
    }

    var sizes: String {
        let packed = sealed.map(\.packed.count).reduce(0, +) / sealed.count
        let share = 100 * Double(Encapsulation.overheadBytes) / Double(packed)
        return "\(packed) bytes packed, \(packed + Encapsulation.overheadBytes) sealed (\(Figures.number(share, decimals: 1)) % more), \(packed + 28) at rest"
    }

    func rate(of row: Int, seconds: Double) throws -> Double {
        var count = 0
        let begun = SealScene.processorTime()
        var elapsed = 0.0
        while elapsed < seconds {
            for batch in sealed {
                switch row {
                case 0: sum &+= try pack(batch).count
                case 1: sum &+= try seal(pack(batch), batch).count
                case 2: try check(batch, batch.packed, batch.packed)
                case 3: try check(batch, open(batch), batch.payload)
                default:
                    let packed = try open(batch)
                    sum &+= try encrypt(packed, batch, hash: check(batch, packed, batch.payload)).count
                }
                count += 1
            }
            elapsed = SealScene.processorTime() - begun
        }
        return Double(count) / elapsed
    }

    /// Of this thread, seconds.
    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private func pack(_ batch: Sealed) throws -> [UInt8] { try compressor.compress(batch.columns) }

    private func seal(_ packed: [UInt8], _ batch: Sealed) throws -> [UInt8] {
        sequence += 1
        return try sealer.seal(packed, stream: 1, sequence: sequence, header: batch.bytes, at: Clock.now())
    }

    private func open(_ batch: Sealed) throws -> [UInt8] {
        try opener.open(
            batch.payload, from: BenchSuite.agentName(batch.agent), stream: batch.header.stream, sequence: batch.header.sequence, header: batch.bytes)
    }

    /// What policy does with every batch, sealed or not: unpacks it, looks at each event, remembers the hash of what came.
    @discardableResult private func check(_ batch: Sealed, _ packed: [UInt8], _ came: [UInt8]) throws -> Data {
        let columns = try packed.withUnsafeBytes {
            try decompressor.decompress($0, expected: Int(batch.header.columnsBytes), max: Limits.columnsBytesMax)
        }
        sum &+= try ColumnsCodec.scan(columns, extent: BatchExtent(batch.header)).classes().count
        return Data(SHA256.hash(data: came).prefix(16))
    }

    private func encrypt(_ packed: [UInt8], _ batch: Sealed, hash: Data) throws -> Data {
        let segment = Segment(
            scope: Scope(subject: "B1", site: "site-1", team: "team-1"), dataClass: DataClass(batch.header.class), agent: UInt32(batch.agent),
            stream: batch.header.stream, sequence: batch.header.sequence, first: WallTime(nanoseconds: batch.header.firstNs),
            last: WallTime(nanoseconds: batch.header.lastNs), count: Int(batch.header.count), epoch: batch.header.epoch,
            columnsBytes: Int(batch.header.columnsBytes), hash: hash, blob: Data(packed))
        return try dataKey.seal(segment.blob, beside: SegmentColumns(segment, key: dataKey.number, number: Int64(segment.sequence)))
    }
}
#endif
