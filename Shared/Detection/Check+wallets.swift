import Crypto

enum Base58 {
    static let bitcoin = Array("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".utf8)
    static let ripple = Array("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz".utf8)

    /// A version, a payload, and the first four bytes of its double SHA-256.
    static func isChecked(_ text: UnsafeBufferPointer<UInt8>, alphabet: [UInt8]) -> Bool {
        // The square of the length: no address or key is longer.
        guard (25...112).contains(text.count) else { return false }
        var bytes: [UInt8] = []
        for letter in text {
            guard var carry = alphabet.firstIndex(of: letter) else { return false }
            for index in bytes.indices {
                carry += Int(bytes[index]) * 58
                bytes[index] = UInt8(carry & 0xFF)
                carry >>= 8
            }
            while carry > 0 {
                bytes.append(UInt8(carry & 0xFF))
                carry >>= 8
            }
        }
        for letter in text { if letter == alphabet[0] { bytes.append(0) } else { break } }
        bytes.reverse()
        guard bytes.count >= 21 else { return false }
        let sum = SHA256.hash(data: Array(SHA256.hash(data: bytes.dropLast(4))))
        return Array(sum.prefix(4)) == Array(bytes.suffix(4))
    }
}

enum Bech32 {
    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)

    /// BIP 173 (1) or BIP 350 (0x2BC830A3).
    static func isChecked(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count <= 120, let separator = text.lastIndex(of: 0x31), separator > 0, text.count - separator > 6 else { return false }
        // All small or all large.
        guard !text.contains(where: { $0 &- 0x41 < 26 }) || !text.contains(where: { $0 &- 0x61 < 26 }) else { return false }
        let lower = text.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
        var values = lower[..<separator].map { Int($0 >> 5) } + [0] + lower[..<separator].map { Int($0 & 31) }
        for letter in lower[(separator + 1)...] {
            guard let value = alphabet.firstIndex(of: letter) else { return false }
            values.append(value)
        }
        let generator = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3]
        var sum = 1
        for value in values {
            let top = sum >> 25
            sum = (sum & 0x1FF_FFFF) << 5 ^ value
            for bit in 0..<5 where top >> bit & 1 == 1 { sum ^= generator[bit] }
        }
        return sum == 1 || sum == 0x2BC8_30A3
    }
}

enum EIP55 {
    /// `0x` and forty digits: a letter is large where Keccak-256 of the small ones says so.
    static func isChecked(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count == 42 else { return false }
        let digits = text[2...]
        let hasLarge = digits.contains { $0 &- 0x41 < 26 }
        let hasSmall = digits.contains { $0 &- 0x61 < 26 }
        guard digits.contains(where: { $0 != digits.first }) else { return false }
        guard hasLarge, hasSmall else { return true }
        let hash = Keccak256.hash(digits.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 })
        for (index, digit) in digits.enumerated() where (digit | 0x20) &- 0x61 < 26 {
            let nibble = index.isMultiple(of: 2) ? hash[index / 2] >> 4 : hash[index / 2] & 15
            if (nibble >= 8) != (digit &- 0x41 < 26) { return false }
        }
        return true
    }
}

/// The hash of Ethereum: SHA-3 as it was before NIST changed its padding, so no library of the platform has it.
enum Keccak256 {
    private static let rounds: [UInt64] = [
        0x0000_0000_0000_0001, 0x0000_0000_0000_8082, 0x8000_0000_0000_808A, 0x8000_0000_8000_8000, 0x0000_0000_0000_808B, 0x0000_0000_8000_0001,
        0x8000_0000_8000_8081, 0x8000_0000_0000_8009, 0x0000_0000_0000_008A, 0x0000_0000_0000_0088, 0x0000_0000_8000_8009, 0x0000_0000_8000_000A,
        0x0000_0000_8000_808B, 0x8000_0000_0000_008B, 0x8000_0000_0000_8089, 0x8000_0000_0000_8003, 0x8000_0000_0000_8002, 0x8000_0000_0000_0080,
        0x0000_0000_0000_800A, 0x8000_0000_8000_000A, 0x8000_0000_8000_8081, 0x8000_0000_0000_8080, 0x0000_0000_8000_0001, 0x8000_0000_8000_8008,
    ]
    private static let rotations: [UInt64] = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44]
    private static let lanes = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1]

    /// - Parameter bytes: Up to 135: one block.
    static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var block = bytes + [UInt8](repeating: 0, count: 136 - bytes.count)
        block[bytes.count] ^= 1
        block[135] ^= 0x80
        var state = [UInt64](repeating: 0, count: 25)
        for lane in 0..<17 { for byte in 0..<8 { state[lane] |= UInt64(block[lane * 8 + byte]) << UInt64(8 * byte) } }
        for round in rounds {
            var columns = [UInt64](repeating: 0, count: 5)
            for x in 0..<5 { columns[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20] }
            for x in 0..<5 {
                let next = columns[(x + 1) % 5]
                let mixed = columns[(x + 4) % 5] ^ (next << 1 | next >> 63)
                for y in 0..<5 { state[x + 5 * y] ^= mixed }
            }
            var carried = state[1]
            for step in 0..<24 {
                let before = state[lanes[step]]
                state[lanes[step]] = carried << rotations[step] | carried >> (64 - rotations[step])
                carried = before
            }
            for y in 0..<5 {
                let row = Array(state[(5 * y)..<(5 * y + 5)])
                for x in 0..<5 { state[5 * y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]) }
            }
            state[0] ^= round
        }
        return (0..<32).map { UInt8(truncatingIfNeeded: state[$0 / 8] >> UInt64(8 * ($0 % 8))) }
    }
}
