import CZlib
import Chassis
import Detection
import Enforcement
import Foundation
import Gate
import Rules
import Wire

/// A batch as an agent would send it, cut from a recording and packed once; each sending gives it a new header.
struct BenchBatch {
    var count: UInt32
    var columnsBytes: UInt32
    var spanNanoseconds: Int64
    var payload: [UInt8]

    /// Cuts recordings into batches of so many events of class activity.
    ///
    /// - Parameter texts: Of a hundred events so many are written words instead, of 20 to 200 characters: what policy has to look into, and in one of ten of
    ///   them there is something to find. The policy document says of which class they are; for this it must be activity.
    /// - Parameter document: What the agent goes by: of each event that is left which an agent would leave. Nil: all as it was recorded.
    static func cut(_ paths: [String], events: Int, texts: Int = 0, by document: PolicyDocument? = nil, max: Int = 2_000) throws -> [BenchBatch] {
        var compressor = try ZstdCompressor()
        var words = Words()
        var batches: [BenchBatch] = []
        for path in paths {
            var waiting: [Event] = []
            var enforcer = try document.map { try agent(by: $0) }
            var number = 0
            try read(path) { event in
                guard batches.count < max, classify(event) == .activity else { return }
                var event = event
                if words.chance(texts) { event.detail = .text(Event.Text(words.text(), source: .prompt)) }
                number += 1
                guard enforcer != nil else { return try add(event) }
                for decided in enforcer!.take(event, id: number, at: Instant(nanoseconds: event.at.nanoseconds)) {
                    if case .kept(.activity, let left) = decided.verdict.left { try add(left) }
                }
            }

            func add(_ event: Event) throws {
                guard batches.count < max else { return }
                waiting.append(event)
                guard waiting.count == events else { return }
                let columns = try ColumnsCodec.encode(waiting)
                batches.append(
                    BenchBatch(
                        count: UInt32(events), columnsBytes: UInt32(columns.bytes.count),
                        spanNanoseconds: (columns.extent.last - columns.extent.first).nanoseconds, payload: try compressor.compress(columns.bytes)))
                waiting.removeAll(keepingCapacity: true)
            }
        }
        guard !batches.isEmpty else { throw Complaint("the recordings hold no \(events) events: name others with --data") }
        return batches
    }

    /// What enforces a document on a workstation whose subject was told of everything and agreed to it.
    private static func agent(by document: PolicyDocument) throws -> Enforcer {
        let all = Set(document.purposes.map(\.name))
        let rulings = AgentRules(Policy(document), of: Person("E1", site: "", team: ""), records: Records(notices: all, consents: all)).rulings
        return try Enforcer(rulings, detector: rulings.isScanning ? Detector() : nil)
    }

    /// All events of recordings, in their order.
    static func events(_ paths: [String]) throws -> [Event] {
        var events: [Event] = []
        for path in paths { try read(path) { events.append($0) } }
        return events
    }

    /// The same words in each run, a number or a name among them now and then. One text in ten begins with what `bench detection` lets chats hold.
    private struct Words {
        private var state: UInt64 = 1
        private static let all = """
            the meeting is at nine and we go through what is open then I have sent you a draft of it yesterday please look at page 12 before Friday because the numbers for \
            October 2026 are not final yet Anna says that 350 of them were late which is more than in spring could you ask her about the other half thank you see you soon
            """.split(separator: " ").map(String.init)

        private mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }

        mutating func chance(_ percent: Int) -> Bool { percent > 0 && below(100) < percent }

        mutating func text() -> String {
            let extra = below(10) == 0 ? ChatText.extras[below(ChatText.extras.count)] : ""
            let length = max(0, 20 + below(181) - extra.utf8.count)
            var text = extra
            while text.utf8.count < length { text += (text.isEmpty ? "" : " ") + Self.all[below(Self.all.count)] }
            return text
        }
    }

    private static func read(_ path: String, _ each: (Event) throws -> Void) throws {
        guard let file = gzopen(path, "rb") else { throw Complaint("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { gzclose(file) }
        var buffer = [UInt8](repeating: 0, count: Limits.lineBytesMax + 2)
        func next() -> Bool {
            buffer.withUnsafeMutableBytes { gzgets(file, $0.baseAddress?.assumingMemoryBound(to: CChar.self), Int32($0.count)) != nil }
        }
        while next() {
            let length = buffer.firstIndex(of: UInt8(ascii: "\n")) ?? buffer.firstIndex(of: 0) ?? 0
            if let line = try? EventLine.parse(buffer[..<length]) { try each(line.event) }
        }
    }

    /// All of a file, compressed or not.
    static func contents(_ path: String) throws -> Data {
        guard let file = gzopen(path, "rb") else { throw Complaint("cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { gzclose(file) }
        var data = Data()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = gzread(file, &buffer, UInt32(buffer.count))
            guard count >= 0 else { throw Complaint("\(path) is damaged") }
            if count == 0 { return data }
            data.append(contentsOf: buffer[..<Int(count)])
        }
    }

    /// A folder's recordings, or one file.
    static func recordings(_ path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { throw Complaint("there is no recording at \(path)") }
        guard isFolder.boolValue else { return [path] }
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".ndjson.gz") || $0.hasSuffix(".ndjson") }
        return names.sorted().map { path + "/" + $0 }
    }

    static func save(_ batches: [BenchBatch], to path: String) throws {
        var data = Data()
        for batch in batches {
            withUnsafeBytes(of: batch.count.littleEndian) { data.append(contentsOf: $0) }
            withUnsafeBytes(of: batch.columnsBytes.littleEndian) { data.append(contentsOf: $0) }
            withUnsafeBytes(of: batch.spanNanoseconds.littleEndian) { data.append(contentsOf: $0) }
            withUnsafeBytes(of: UInt32(batch.payload.count).littleEndian) { data.append(contentsOf: $0) }
            data.append(contentsOf: batch.payload)
        }
        try data.write(to: URL(fileURLWithPath: path))
    }

    static func load(_ path: String) throws -> [BenchBatch] {
        guard let data = FileManager.default.contents(atPath: path) else { throw Complaint("cannot read \(path)") }
        let bytes = [UInt8](data)
        var batches: [BenchBatch] = []
        var place = 0
        func take<Value: FixedWidthInteger>(_ type: Value.Type) -> Value {
            defer { place += MemoryLayout<Value>.size }
            return bytes.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: place, as: Value.self)) }
        }
        while place + 20 <= bytes.count {
            let count = take(UInt32.self)
            let columns = take(UInt32.self)
            let span = take(Int64.self)
            let length = Int(take(UInt32.self))
            batches.append(BenchBatch(count: count, columnsBytes: columns, spanNanoseconds: span, payload: Array(bytes[place..<place + length])))
            place += length
        }
        return batches
    }
}
