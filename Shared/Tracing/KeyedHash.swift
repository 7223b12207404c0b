/// SipHash-2-4 (Aumasson and Bernstein, 2012): a pseudo-random function that takes some nanoseconds for a number or a word.
///
/// HMAC-SHA256 makes its keys. A gigabyte has ten million lines with several marks each: an HMAC for each of those would take a minute.
struct KeyedHash: Sendable {
    private let key: (UInt64, UInt64)

    /// - Parameter bytes: The first 16 are the key.
    init(_ bytes: [UInt8]) {
        func word(_ start: Int) -> UInt64 { (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) } }
        key = (word(0), word(8))
    }

    private struct State {
        var a, b, c, d: UInt64

        @inline(__always) init(_ key: (UInt64, UInt64)) {
            (a, b) = (key.0 ^ 0x736f_6d65_7073_6575, key.1 ^ 0x646f_7261_6e64_6f6d)
            (c, d) = (key.0 ^ 0x6c79_6765_6e65_7261, key.1 ^ 0x7465_6462_7974_6573)
        }

        @inline(__always) mutating func round() {
            a &+= b
            b = (b << 13 | b >> 51) ^ a
            a = a << 32 | a >> 32
            c &+= d
            d = (d << 16 | d >> 48) ^ c
            a &+= d
            d = (d << 21 | d >> 43) ^ a
            c &+= b
            b = (b << 17 | b >> 47) ^ c
            c = c << 32 | c >> 32
        }

        @inline(__always) mutating func take(_ word: UInt64) {
            d ^= word
            round()
            round()
            a ^= word
        }

        @inline(__always) mutating func finish() -> UInt64 {
            c ^= 0xff
            round()
            round()
            round()
            round()
            return a ^ b ^ c ^ d
        }
    }

    /// Of eight bytes.
    @inline(__always) func callAsFunction(_ word: UInt64) -> UInt64 {
        var state = State(key)
        state.take(word)
        state.take(8 << 56)
        return state.finish()
    }

    /// Of sixteen bytes.
    @inline(__always) func callAsFunction(_ first: UInt64, _ second: UInt64) -> UInt64 {
        var state = State(key)
        state.take(first)
        state.take(second)
        state.take(16 << 56)
        return state.finish()
    }

    func callAsFunction(_ bytes: some Collection<UInt8>) -> UInt64 {
        var state = State(key)
        var (word, count) = (UInt64(0), 0)
        for byte in bytes {
            word |= UInt64(byte) << UInt64(count % 8 * 8)
            count += 1
            if count % 8 == 0 {
                state.take(word)
                word = 0
            }
        }
        state.take(word | UInt64(count & 0xff) << 56)
        return state.finish()
    }
}

/// Choices that the same key makes again in the same place, and that nobody foretells without it.
struct Draw: Sendable {
    private let hash: KeyedHash
    private let place: UInt64
    private var number: UInt64 = 0

    init(_ hash: KeyedHash, stream: UInt64, sequence: UInt64) {
        self.hash = hash
        place = hash(stream, sequence)
    }

    mutating func next() -> UInt64 {
        number += 1
        return hash(place, number)
    }

    /// 0 ..< bound. The bias is bound / 2^64.
    mutating func below(_ bound: Int) -> Int { Int(next().multipliedFullWidth(by: UInt64(bound)).high) }

    /// 0 ..< 1.
    mutating func unit() -> Double { Double(next() >> 11) / 9_007_199_254_740_992 }
}
