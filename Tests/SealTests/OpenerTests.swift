import Crypto
import Foundation
import Gate
import Seal
import Testing

@Suite struct OpenerTests {
    let header: [UInt8] = [1, 2, 3]
    let payload = Array("a batch of events".utf8)

    private func sealed(to key: VaultKey, agent: String = "agent-7", origin: String = origin) throws -> [UInt8] {
        var sealer = try sealer(to: key, agent: agent, origin: origin)
        return try sealer.seal(payload, stream: 9, sequence: 3, header: header, at: at(0))
    }

    @Test func `every flipped bit is noticed, and named by where it is`() throws {
        let key = try vaultKey(1)
        let frame = try sealed(to: key)
        var opener = Opener(origin: origin, keys: [key])
        for place in 0..<frame.count {
            for bit in 0..<8 {
                var changed = frame
                changed[place] ^= 1 << bit
                do {
                    _ = try opener.open(changed, from: "agent-7", stream: 9, sequence: 3, header: header)
                    // X25519 leaves out the highest bit of a point (RFC 7748, section 5), but HPKE's secret holds the bytes as they came.
                    Issue.record("opened with bit \(bit) of byte \(place) flipped")
                } catch {
                    switch place {
                    case 0: #expect(error == .unknownVersion(changed[0]))
                    case 1..<9: if case .unknownVaultKey = error {} else { Issue.record("\(error) at \(place)") }
                    case 9..<41: #expect(error == .wrongKey || error == .badEncapsulation)
                    case 41..<49: #expect(error == .wrongKey)
                    default: #expect(error == .changed)
                    }
                }
            }
        }
        #expect(try opener.open(frame, from: "agent-7", stream: 9, sequence: 3, header: header) == payload)
    }

    @Test func `header, stream and sequence are part of what was sealed`() throws {
        let key = try vaultKey(1)
        let frame = try sealed(to: key)
        var opener = Opener(origin: origin, keys: [key])
        for (stream, sequence, header) in [(8, 3, header), (9, 2, header), (9, 3, []), (9, 3, [1, 2]), (9, 3, [1, 2, 3, 0]), (9, 3, [1, 2, 4])]
            as [(UInt64, UInt64, [UInt8])] {
            #expect(throws: OpenRefused.changed) { try opener.open(frame, from: "agent-7", stream: stream, sequence: sequence, header: header) }
        }
    }

    @Test func `a batch of one agent opens as no other's, and in no other suite`() throws {
        let key = try vaultKey(1)
        var opener = Opener(origin: origin, keys: [key])
        let frame = try sealed(to: key)
        #expect(throws: OpenRefused.wrongKey) { try opener.open(frame, from: "agent-8", stream: 9, sequence: 3, header: header) }
        let foreign = try sealed(to: key, origin: "other.example/governance")
        #expect(throws: OpenRefused.wrongKey) { try opener.open(foreign, from: "agent-7", stream: 9, sequence: 3, header: header) }
        // Also when the keys of the rightful one are known already.
        #expect(try opener.open(frame, from: "agent-7", stream: 9, sequence: 3, header: header) == payload)
        #expect(throws: OpenRefused.wrongKey) { try opener.open(frame, from: "agent-8", stream: 9, sequence: 3, header: header) }
    }

    @Test func `what is cut short is refused at every length`() throws {
        let key = try vaultKey(1)
        let frame = try sealed(to: key)
        var opener = Opener(origin: origin, keys: [key])
        for length in 0..<frame.count {
            let refused: OpenRefused = length < Encapsulation.overheadBytes ? .tooShort(bytes: length) : .changed
            #expect(throws: refused) { try opener.open(Array(frame[..<length]), from: "agent-7", stream: 9, sequence: 3, header: header) }
        }
    }

    @Test func `the previous vault key opens until it is taken away`() throws {
        let (old, new) = (try vaultKey(1), try vaultKey(2))
        let frame = try sealed(to: old)
        var opener = Opener(origin: origin, keys: [new, old])
        #expect(try opener.open(frame, from: "agent-7", stream: 9, sequence: 3, header: header) == payload)
        opener.use([new])
        #expect(throws: OpenRefused.unknownVaultKey(old.publicKey.id), "not even out of the table") {
            try opener.open(frame, from: "agent-7", stream: 9, sequence: 3, header: header)
        }
    }

    @Test func `a point with which nothing can be agreed is refused`() throws {
        let key = try vaultKey(1)
        var frame = try sealed(to: key)
        for place in 9..<41 { frame[place] = 0 }
        var opener = Opener(origin: origin, keys: [key])
        #expect(throws: OpenRefused.badEncapsulation) { try opener.open(frame, from: "agent-7", stream: 9, sequence: 3, header: header) }
    }

    @Test func `the table is bounded, and an agent pushes out its own keys only`() throws {
        let key = try vaultKey(1)
        var opener = Opener(origin: origin, keys: [key], agentsMax: 8)
        let quiet = try sealed(to: key, agent: "quiet")
        _ = try opener.open(quiet, from: "quiet", stream: 9, sequence: 3, header: header)
        for _ in 0..<20 {
            let frame = try sealed(to: key, agent: "noisy")
            _ = try opener.open(frame, from: "noisy", stream: 9, sequence: 3, header: header)
        }
        #expect(opener.derivations == 21)
        _ = try opener.open(quiet, from: "quiet", stream: 9, sequence: 3, header: header)
        #expect(opener.derivations == 21, "quiet's key is still there")
        for number in 0..<30 {
            let name = "agent-\(number)"
            _ = try opener.open(sealed(to: key, agent: name), from: name, stream: 9, sequence: 3, header: header)
            _ = try opener.open(quiet, from: "quiet", stream: 9, sequence: 3, header: header)
            #expect(opener.agentsKnown <= 8)
        }
        #expect(opener.derivations == 51, "who is used stays")
        for name in ["a", "b", "c"] { #expect(throws: OpenRefused.wrongKey) { try opener.key(for: quiet, from: name, stream: 9) } }
        #expect(opener.agentsKnown <= 8, "rubbish takes no room")
    }

    @Test func `many streams and many encapsulations at once all open`() throws {
        let key = try vaultKey(1)
        var opener = Opener(origin: origin, keys: [key], agentsMax: 4)
        var frames: [(agent: String, stream: UInt64, frame: [UInt8])] = []
        for agent in ["a", "b", "c", "d", "e", "f"] {
            var sealer = try sealer(to: key, agent: agent)
            for stream in 0..<80 as Range<UInt64> {
                frames.append((agent, stream, try sealer.seal(payload, stream: stream, sequence: 1, header: header, at: at(0))))
            }
        }
        for (agent, stream, frame) in frames.shuffled() {
            #expect(try opener.open(frame, from: agent, stream: stream, sequence: 1, header: header) == payload)
        }
    }

    // MARK: Vectors

    @Test func `the published vector of the suite is met`() throws {
        // RFC 9180's test vectors: mode base, KEM 0x0020, KDF 0x0001, AEAD 0x0002.
        let private1 = hex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d")
        let enc = Data(hex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256"))
        var recipient = try HPKE.Recipient(
            privateKey: Curve25519.KeyAgreement.PrivateKey(rawRepresentation: private1),
            ciphersuite: HPKE.Ciphersuite(kem: .Curve25519_HKDF_SHA256, kdf: .HKDF_SHA256, aead: .AES_GCM_256),
            info: Data(hex("4f6465206f6e2061204772656369616e2055726e")), encapsulatedKey: enc)
        func exported(_ context: String) throws -> [UInt8] {
            try recipient.exportSecret(context: hex(context), outputByteCount: 32).withUnsafeBytes { Array($0) }
        }
        #expect(try exported("") == hex("ded6cffafaea6b812cbf3e241e88332adbc077aca81512914213810ee291770a"))
        #expect(try exported("00") == hex("04d3cb6cc116b28ffd22ad5bc276c60d31fec71ceb87ae24db811c64b7507339"))
        #expect(try exported("54657374436f6e74657874") == hex("7c5ded445732c14fe09727d29b4251c0fd38455fe8440571e687f0886aac94d2"))
        let ciphertext = hex("e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a")
        #expect(try recipient.open(ciphertext, authenticating: hex("436f756e742d30")) == Data("Beauty is truth, truth beauty".utf8))
    }

    @Test func `the contract's vector, made by code in Python, opens`() throws {
        // SPEC.md, section 13; Tests/Interop/test_sealing.py makes it.
        let key = try #require(VaultKey(secret: Array(0..<32)))
        let frame = hex(
            """
            019574093a4c9dece1358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd16625436f8c764c1c084
            45e371eb9cfc96a0a61f564b7bc02827648f24ada32035274ea6195e3821a8577bfa
            """)
        let header = hex("0988776655443322111001220861637469766974792880e5fee9c8b6a7f518")
        var opener = Opener(origin: origin, keys: [key])
        #expect(try opener.open(frame, from: "agent-7", stream: 0x1122_3344_5566_7788, sequence: 1, header: header) == payload)
    }
}
