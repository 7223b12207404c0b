import Crypto
import Gate
import Seal
import Testing

@Suite struct SealerTests {
    let header: [UInt8] = [1, 2, 3]
    let payload = Array("a batch of events".utf8)

    @Test func `what was sealed opens`() throws {
        let key = try vaultKey(1)
        var sealer = try sealer(to: key)
        var opener = Opener(origin: origin, keys: [key])
        for sequence in 1...5 as ClosedRange<UInt64> {
            for stream in [7, 8, .max] as [UInt64] {
                let frame = try sealer.seal(payload, stream: stream, sequence: sequence, header: header, at: at(0))
                #expect(frame.count == payload.count + Encapsulation.overheadBytes)
                #expect(try opener.open(frame, from: "agent-7", stream: stream, sequence: sequence, header: header) == payload)
            }
        }
        #expect(opener.derivations == 1, "one encapsulation is worked out once")
    }

    @Test func `an empty payload and a header of nothing are sealed too`() throws {
        let key = try vaultKey(1)
        var sealer = try sealer(to: key)
        var opener = Opener(origin: origin, keys: [key])
        let frame = try sealer.seal([], stream: 1, sequence: 0, header: [], at: at(0))
        #expect(try opener.open(frame, from: "agent-7", stream: 1, sequence: 0, header: []) == [])
    }

    @Test func `a sequence is sealed once, whatever became of it`() throws {
        var sealer = try sealer(to: vaultKey(1))
        _ = try sealer.seal(payload, stream: 1, sequence: 5, header: header, at: at(0))
        for sequence in [5, 4, 0] as [UInt64] {
            do {
                _ = try sealer.seal([9], stream: 1, sequence: sequence, header: header, at: at(0))
                Issue.record("sealed \(sequence) again")
            } catch {
                #expect(error == .sequenceUsed(stream: 1, sequence: sequence, last: 5))
            }
        }
        _ = try sealer.seal(payload, stream: 2, sequence: 5, header: header, at: at(0))
        _ = try sealer.seal(payload, stream: 1, sequence: 6, header: header, at: at(0))
        // Nor under the key of the next hour.
        do {
            _ = try sealer.seal([9], stream: 1, sequence: 6, header: header, at: at(4_000))
            Issue.record("sealed 6 again an hour later")
        } catch {
            #expect(error == .sequenceUsed(stream: 1, sequence: 6, last: 6))
        }
    }

    @Test func `the same sequence in two streams has two keys, so no key and nonce come twice`() throws {
        var sealer = try sealer(to: vaultKey(1))
        let one = try sealer.seal(payload, stream: 1, sequence: 1, header: header, at: at(0))
        let two = try sealer.seal(payload, stream: 2, sequence: 1, header: header, at: at(0))
        #expect(one[..<Encapsulation.bytesCount] == two[..<Encapsulation.bytesCount])
        #expect(one[Encapsulation.bytesCount...] != two[Encapsulation.bytesCount...])
    }

    @Test func `there is a new encapsulation for each start, each hour and each vault key`() throws {
        let (old, new) = (try vaultKey(1), try vaultKey(2))
        var sealer = try sealer(to: old)
        var again = try SealTests.sealer(to: old)
        func encapsulation(_ frame: [UInt8]) throws -> Encapsulation { try Encapsulation(startOf: frame) }
        let first = try encapsulation(sealer.seal(payload, stream: 1, sequence: 1, header: header, at: at(0)))
        let within = try encapsulation(sealer.seal(payload, stream: 1, sequence: 2, header: header, at: at(3_599)))
        let hour = try encapsulation(sealer.seal(payload, stream: 1, sequence: 3, header: header, at: at(3_600)))
        try sealer.use(old.publicKey, at: at(3_601))
        let same = try encapsulation(sealer.seal(payload, stream: 1, sequence: 4, header: header, at: at(3_602)))
        try sealer.use(new.publicKey, at: at(3_603))
        let other = try encapsulation(sealer.seal(payload, stream: 1, sequence: 5, header: header, at: at(3_604)))
        let restarted = try encapsulation(again.seal(payload, stream: 1, sequence: 1, header: header, at: at(0)))
        #expect(first == within)
        #expect(hour == same)
        #expect(other.vaultKey == new.publicKey.id)
        #expect(Set([first, hour, other, restarted]).count == 4)
    }

    @Test func `streams are bounded, and names are names`() throws {
        let key = try vaultKey(1)
        var sealer = try sealer(to: key)
        for stream in 0..<UInt64(Sealer.streamsMax) { _ = try sealer.seal([], stream: stream, sequence: 1, header: [], at: at(0)) }
        do {
            _ = try sealer.seal([], stream: .max, sequence: 1, header: [], at: at(0))
            Issue.record("sealed for one stream too many")
        } catch {
            #expect(error == .tooManyStreams(max: Sealer.streamsMax))
        }
        for name in ["", "a\nagent b", String(repeating: "a", count: 201)] {
            #expect(throws: SealRefused.badName) { _ = try Sealer(vault: key.publicKey, origin: origin, agent: name, at: at(0)) }
            #expect(throws: SealRefused.badName) { _ = try Sealer(vault: key.publicKey, origin: name, agent: "a", at: at(0)) }
        }
    }

    static let lowOrder = [
        "0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ]

    @Test(arguments: lowOrder)
    func `a vault key with which nothing can be agreed is refused`(_ point: String) throws {
        for highest in [0, 0x80] as [UInt8] {
            var raw = hex(point)
            raw[31] |= highest
            let key = try Curve25519.KeyAgreement.PrivateKey().sharedSecretFromKeyAgreement(with: .init(rawRepresentation: raw))
            #expect(key.withUnsafeBytes { $0.allSatisfy { $0 == 0 } }, "the list is right, and swift-crypto does not object")
            let vault = try #require(VaultPublicKey(raw: raw))
            #expect(throws: SealRefused.badVaultKey(vault.id)) { _ = try Sealer(vault: vault, origin: origin, agent: "a", at: at(0)) }
        }
        #expect(VaultPublicKey(raw: [1, 2, 3]) == nil)
    }

    @Test func `keys print as nothing`() throws {
        let secret = (0..<32).map { UInt8($0 + 100) }
        let key = try #require(VaultKey(secret: secret))
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped] {
            #expect(text.contains("\(key.publicKey.id)"))
            #expect(!text.contains("100") && !text.contains("6465") && !text.contains("SecureBytes"))
        }
    }
}
