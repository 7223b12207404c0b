#if os(Linux)
import CSodium
import Messaging

/// The client's side of one ZMTP 3.1 connection with CURVE (ZeroMQ RFC 23 and 26): bytes in, bytes out, no socket.
///
/// For the load generator alone. A libzmq DEALER costs its own side as much as the service under test; on the same two cores
/// that measures the generator. The cryptography is libsodium's, the bytes on the wire are those of libzmq's client.
struct CurveClient {
    enum Phase { case greeting, welcome, ready, open }

    /// How many bytes were taken, and a message if these were one. None taken: more bytes are needed.
    struct Taken: ~Copyable {
        var bytes: Int
        var message: Message?
    }

    /// The connection cannot go on: what the other side said, or what of it could not be understood.
    struct Broken: Error { var reason: String }

    private(set) var phase = Phase.greeting
    private let keys: CurveKeyPair
    private let server: CurveKey
    private let transient: (open: [UInt8], secret: [UInt8])
    /// After the handshake: the key between the two transient keys.
    private var shared = [UInt8]()
    private var counter: UInt64 = 1
    private var isInside = false

    private static let keyBytes = 32
    private static let macBytes = 16
    private static let nonceBytes = 24
    private static let greetingBytes = 64
    private static let messagePrefix = Array("\u{7}MESSAGE".utf8)
    private static let fromClient = Array("CurveZMQMESSAGEC".utf8)
    private static let fromServer = Array("CurveZMQMESSAGES".utf8)

    init(keys: CurveKeyPair, server: CurveKey) {
        self.keys = keys
        self.server = server
        var open = [UInt8](repeating: 0, count: CurveClient.keyBytes)
        var secret = open
        crypto_box_keypair(&open, &secret)
        transient = (open, secret)
    }

    /// What a client says first.
    static let greeting: [UInt8] = {
        var bytes: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1]
        bytes += Array("CURVE".utf8)
        return bytes + [UInt8](repeating: 0, count: greetingBytes - bytes.count)
    }()

    /// Takes what it can from the front of `bytes`.
    ///
    /// - Parameter answer: Where what must be sent back is appended.
    mutating func take(_ bytes: UnsafeRawBufferPointer, answer: inout [UInt8]) throws(Broken) -> Taken {
        if phase == .greeting {
            guard bytes.count >= CurveClient.greetingBytes else { return Taken(bytes: 0, message: nil) }
            guard bytes[0] == 0xFF, bytes[10] >= 3, bytes[12..<17].elementsEqual("CURVE".utf8) else { throw Broken(reason: "not a CURVE server") }
            phase = .welcome
            hello(&answer)
            return Taken(bytes: CurveClient.greetingBytes, message: nil)
        }
        // Flags: 1 more, 2 a length of eight bytes, 4 a command.
        guard bytes.count >= 2 else { return Taken(bytes: 0, message: nil) }
        let flags = bytes[0]
        var start = 2
        var length = Int(bytes[1])
        if flags & 2 != 0 {
            start = 9
            guard bytes.count >= start else { return Taken(bytes: 0, message: nil) }
            let long = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
            guard long <= 64 << 20 else { throw Broken(reason: "a frame of \(long) bytes") }
            length = Int(long)
        }
        guard bytes.count >= start + length else { return Taken(bytes: 0, message: nil) }
        let body = UnsafeRawBufferPointer(rebasing: bytes[start..<start + length])
        switch phase {
        case .welcome: try welcome(body, &answer)
        case .ready: try ready(body)
        default: return Taken(bytes: start + length, message: try message(body))
        }
        return Taken(bytes: start + length, message: nil)
    }

    private func named(_ body: UnsafeRawBufferPointer, _ name: StaticString) -> Bool {
        body.count > name.utf8CodeUnitCount && Int(body[0]) == name.utf8CodeUnitCount
            && name.withUTF8Buffer { body[1..<1 + $0.count].elementsEqual($0) }
    }

    private func refusal(_ body: UnsafeRawBufferPointer) -> Broken {
        Broken(reason: named(body, "ERROR") ? "refused: \(String(decoding: body.dropFirst(7), as: UTF8.self))" : "not what a handshake says")
    }

    private mutating func nextCounter() -> [UInt8] {
        defer { counter += 1 }
        return withUnsafeBytes(of: counter.bigEndian) { [UInt8]($0) }
    }

    private func sealed(_ plain: [UInt8], _ nonce: [UInt8], to open: [UInt8], from secret: [UInt8]) -> [UInt8] {
        var box = [UInt8](repeating: 0, count: plain.count + CurveClient.macBytes)
        _ = crypto_box_easy(&box, plain, UInt64(plain.count), nonce, open, secret)
        return box
    }

    private mutating func hello(_ answer: inout [UInt8]) {
        let short = nextCounter()
        var body = Array("\u{5}HELLO".utf8) + [1, 0] + [UInt8](repeating: 0, count: 72) + transient.open + short
        body += sealed([UInt8](repeating: 0, count: 64), Array("CurveZMQHELLO---".utf8) + short, to: server.bytes, from: transient.secret)
        answer += [4, UInt8(body.count)] + body
    }

    private mutating func welcome(_ body: UnsafeRawBufferPointer, _ answer: inout [UInt8]) throws(Broken) {
        guard named(body, "WELCOME"), body.count == 168 else { throw refusal(body) }
        let nonce = Array("WELCOME-".utf8) + body[8..<24]
        var plain = [UInt8](repeating: 0, count: 128)
        guard crypto_box_open_easy(&plain, Array(body[24...]), 144, nonce, server.bytes, transient.secret) == 0 else {
            throw Broken(reason: "a WELCOME from someone else")
        }
        let theirs = Array(plain[..<32])
        shared = [UInt8](repeating: 0, count: CurveClient.keyBytes)
        guard crypto_box_beforenm(&shared, theirs, transient.secret) == 0 else { throw Broken(reason: "a WELCOME with a weak key") }
        // The vouch: the long-term key says that the transient one is its own.
        var random = [UInt8](repeating: 0, count: 16)
        randombytes_buf(&random, random.count)
        let vouch = sealed(transient.open + server.bytes, Array("VOUCH---".utf8) + random, to: theirs, from: keys.secretKey.bytes)
        var plaintext = keys.publicKey.bytes + random + vouch
        for (name, value) in [("Socket-Type", "DEALER"), ("Identity", "")] {
            plaintext += [UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, UInt8(value.utf8.count)] + Array(value.utf8)
        }
        let short = nextCounter()
        let initiate = Array("\u{8}INITIATE".utf8) + plain[32...] + short
            + sealed(plaintext, Array("CurveZMQINITIATE".utf8) + short, to: theirs, from: transient.secret)
        answer += [6] + withUnsafeBytes(of: UInt64(initiate.count).bigEndian) { [UInt8]($0) } + initiate
        phase = .ready
    }

    private mutating func ready(_ body: UnsafeRawBufferPointer) throws(Broken) {
        guard named(body, "READY"), body.count >= 14 + CurveClient.macBytes else { throw refusal(body) }
        let nonce = Array("CurveZMQREADY---".utf8) + body[6..<14]
        var plain = [UInt8](repeating: 0, count: body.count - 14)
        guard crypto_box_open_easy_afternm(&plain, Array(body[14...]), UInt64(body.count - 14), nonce, shared) == 0 else {
            throw Broken(reason: "a READY from someone else")
        }
        phase = .open
    }

    private mutating func message(_ body: UnsafeRawBufferPointer) throws(Broken) -> Message? {
        guard named(body, "MESSAGE"), body.count >= 17 + CurveClient.macBytes else { throw refusal(body) }
        let count = body.count - 16 - CurveClient.macBytes
        var isWhole = false
        let wasInside = isInside
        var hasMore = false
        let message = withUnsafeTemporaryAllocation(byteCount: count + CurveClient.nonceBytes, alignment: 8) { room -> Message? in
            CurveClient.fromServer.withUnsafeBytes { room.copyMemory(from: $0) }
            UnsafeMutableRawBufferPointer(rebasing: room[16...]).copyMemory(from: UnsafeRawBufferPointer(rebasing: body[8..<16]))
            let nonce = room.baseAddress!.assumingMemoryBound(to: UInt8.self)
            let plain = nonce + CurveClient.nonceBytes
            let box = body.baseAddress!.assumingMemoryBound(to: UInt8.self) + 16
            isWhole = crypto_box_open_easy_afternm(plain, box, UInt64(count + CurveClient.macBytes), nonce, shared) == 0
            guard isWhole else { return nil }
            hasMore = plain[0] & 1 != 0
            // Only the first frame of a message has a meaning for an agent.
            return wasInside ? nil : Message(copying: UnsafeRawBufferPointer(start: plain + 1, count: count - 1))
        }
        guard isWhole else { throw Broken(reason: "a message that was changed") }
        isInside = hasMore
        return message
    }

    /// Appends one frame, sealed, to `output`. Only when ``phase`` is open.
    mutating func append(_ frame: UnsafeRawBufferPointer, more: Bool, to output: inout [UInt8]) {
        let count = frame.count + 1
        let length = 16 + CurveClient.macBytes + count
        if length <= 255 {
            output.append(0)
            output.append(UInt8(length))
        } else {
            output.append(2)
            withUnsafeBytes(of: UInt64(length).bigEndian) { output.append(contentsOf: $0) }
        }
        output.append(contentsOf: CurveClient.messagePrefix)
        let short = counter.bigEndian
        counter += 1
        withUnsafeBytes(of: short) { output.append(contentsOf: $0) }
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: CurveClient.macBytes))
        output.append(more ? 1 : 0)
        output.append(contentsOf: frame)
        withUnsafeTemporaryAllocation(byteCount: CurveClient.nonceBytes, alignment: 8) { nonce in
            CurveClient.fromClient.withUnsafeBytes { nonce.copyMemory(from: $0) }
            nonce.storeBytes(of: short, toByteOffset: 16, as: UInt64.self)
            output.withUnsafeMutableBufferPointer { bytes in
                let box = bytes.baseAddress! + start
                // In place: libsodium allows the two to overlap.
                crypto_box_easy_afternm(
                    box, box + CurveClient.macBytes, UInt64(count), nonce.baseAddress!.assumingMemoryBound(to: UInt8.self), shared)
            }
        }
    }
}
#endif
