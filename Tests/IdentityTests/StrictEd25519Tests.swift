import Crypto
import Identity
import Testing

/// The ten vectors of ed25519-speccheck ("Taming the many EdDSAs", 2020): each is accepted by some verifier and refused by another.
@Suite struct StrictEd25519Tests {
    struct Vector: CustomTestStringConvertible, Sendable {
        var number: Int
        var message: String
        var key: String
        var signature: String
        /// What BoringSSL says, asked through swift-crypto. Should it change, we want to know.
        var byBoringSSL: Bool
        var testDescription: String { "vector \(number)" }
    }

    private static let small = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
    private static let mixed = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"
    private static let whole = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
    private static let plain = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623"

    static let vectors = [
        Vector(
            number: 0, message: "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6", key: small,
            signature: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a0000000000000000000000000000000000000000000000000000000000000000",
            byBoringSSL: true),
        Vector(
            number: 1, message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", key: small,
            signature: "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
            byBoringSSL: true),
        Vector(
            number: 2, message: "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab", key: whole,
            signature: "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
            byBoringSSL: true),
        Vector(
            number: 3, message: "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79", key: mixed,
            signature: "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009",
            byBoringSSL: true),
        Vector(
            number: 4, message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", key: mixed,
            signature: "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
            byBoringSSL: false),
        Vector(
            number: 5, message: "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c", key: mixed,
            signature: "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
            byBoringSSL: false),
        Vector(
            number: 6, message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", key: plain,
            signature: "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
            byBoringSSL: false),
        Vector(
            number: 7, message: "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40", key: plain,
            signature: "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
            byBoringSSL: false),
        Vector(
            number: 8, message: "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a", key: whole,
            signature: "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
            byBoringSSL: false),
        Vector(
            number: 9, message: "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1", key: whole,
            signature: "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
            byBoringSSL: false),
    ]

    @Test(arguments: vectors)
    func `what verifiers take differently, BoringSSL takes as we know it to`(_ vector: Vector) throws {
        let key = try Curve25519.Signing.PublicKey(rawRepresentation: hex(vector.key))
        #expect(key.isValidSignature(hex(vector.signature), for: hex(vector.message)) == vector.byBoringSSL)
    }

    @Test(arguments: vectors)
    func `of these, we take the one alone that every verifier takes`(_ vector: Vector) throws {
        let key = try Curve25519.Signing.PublicKey(rawRepresentation: hex(vector.key))
        let isFit = (try? OperatorPublicKey(raw: hex(vector.key))) != nil
        let isTaken = isFit && StrictEd25519.isValid(hex(vector.signature), for: hex(vector.message), by: key)
        // Vector 3: R and A of mixed order, whose low parts cancel: with and without the cofactor it is good.
        #expect(isTaken == (vector.number == 3))
    }

    @Test func `a second S of the same signature is refused`() throws {
        let key = try operatorKey(3)
        let message: [UInt8] = [1, 2, 3]
        var signature = try key.sign(message)
        #expect(key.publicKey.isValid(signature, for: message))
        let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        var carry = 0
        for place in 0..<32 {
            let sum = Int(signature[32 + place]) + Int(order[place]) + carry
            signature[32 + place] = UInt8(sum & 0xff)
            carry = sum >> 8
        }
        #expect(!key.publicKey.isValid(signature, for: message))
        let library = try Curve25519.Signing.PublicKey(rawRepresentation: key.publicKey.raw)
        #expect(!library.isValidSignature(signature, for: message), "BoringSSL refuses it as well")
    }

    @Test(arguments: [
        "0100000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ])
    func `a point of low order is no operator's key`(_ point: String) {
        #expect(throws: PublicKeyError.unfit(.lowOrder)) { try OperatorPublicKey(raw: hex(point)) }
    }

    @Test func `a second encoding of a point is no operator's key`() {
        for low in 0xed...0xff {
            for high in [0x7f, 0xff] as [UInt8] {
                let point = [UInt8(low)] + [UInt8](repeating: 0xff, count: 30) + [high]
                #expect(throws: PublicKeyError.unfit(.notCanonical)) { try OperatorPublicKey(raw: point) }
            }
        }
        #expect(throws: PublicKeyError.unfit(.length(31))) { try OperatorPublicKey(raw: Array(repeating: 9, count: 31)) }
    }

    @Test func `every flipped bit of a signature and of its message is noticed`() throws {
        let key = try operatorKey(3)
        let message = Array("resume 42".utf8)
        let signature = try key.sign(message)
        for place in 0..<512 {
            var changed = signature
            changed[place / 8] ^= 1 << (place % 8)
            #expect(!key.publicKey.isValid(changed, for: message))
        }
        for place in 0..<message.count * 8 {
            var changed = message
            changed[place / 8] ^= 1 << (place % 8)
            #expect(!key.publicKey.isValid(signature, for: changed))
        }
        for length in [0, 63, 65] { #expect(!key.publicKey.isValid(Array((signature + [0]).prefix(length)), for: message)) }
    }
}
