import Crypto
import Gate
import Seal
import Testing

func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

func hex(_ text: String) -> [UInt8] {
    let digits = Array(text.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") })
    return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) }
}

let origin = "sluice.example/governance"

func vaultKey(_ byte: UInt8) throws -> VaultKey { try #require(VaultKey(secret: Array(repeating: byte, count: 32))) }

func sealer(to key: VaultKey, agent: String = "agent-7", origin: String = origin) throws -> Sealer {
    try Sealer(vault: key.publicKey, origin: origin, agent: agent, at: at(0))
}
