/// A word's hash: FNV-1a over its bytes, letters A to Z made small.
enum WordHash {
    static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

    static func add(_ byte: UInt8, to hash: inout UInt64) {
        hash = (hash ^ UInt64(byte &- 0x41 < 26 ? byte | 0x20 : byte)) &* 0x0000_0100_0000_01B3
    }

    static func of(_ words: [[UInt8]]) -> UInt64 {
        var hash = seed
        for (index, word) in words.enumerated() {
            if index > 0 { add(0x20, to: &hash) }
            for byte in word { add(byte, to: &hash) }
        }
        return hash
    }
}

/// Words' hashes and their lists, to be looked up in a few instructions: half of a scan's time would go to a dictionary.
package struct WordTable: Sendable {
    private let slots: [(hash: UInt64, lists: UInt64)]
    private let mask: Int

    init(_ words: [UInt64: UInt64]) {
        var size = 64
        while size < words.count * 4 { size *= 2 }
        var slots: [(hash: UInt64, lists: UInt64)] = Array(repeating: (0, 0), count: size)
        for (hash, lists) in words {
            var place = Int(truncatingIfNeeded: hash >> 20) & (size - 1)
            while slots[place].lists != 0 { place = (place + 1) & (size - 1) }
            slots[place] = (hash, lists)
        }
        self.slots = slots
        mask = size - 1
    }

    /// 0: of no list.
    subscript(hash: UInt64) -> UInt64 {
        var place = Int(truncatingIfNeeded: hash >> 20) & mask
        while slots[place].lists != 0 {
            if slots[place].hash == hash { return slots[place].lists }
            place = (place + 1) & mask
        }
        return 0
    }
}

/// Which lists have words beside a place in a text.
struct ContextWords {
    /// How far is looked: about eight words back, three ahead.
    static let behind = 72
    static let ahead = 28
    private static let wordsAhead = 3

    let words: WordTable

    /// - Parameter bytes: Normalised: a byte 0 separates texts, and no word beyond it counts.
    func lists(around range: Range<Int>, in bytes: UnsafeBufferPointer<UInt8>) -> (around: UInt64, directlyBefore: UInt64) {
        var start = range.lowerBound
        let least = max(0, range.lowerBound - Self.behind)
        while start > least, bytes[start - 1] != 0 { start -= 1 }
        // A word that is cut in two is none.
        if start == least, start > 0 { while start < range.lowerBound, Self.isWord(bytes[start]), Self.isWord(bytes[start - 1]) { start += 1 } }
        let before = lists(bytes, start..<range.lowerBound, wordsMax: .max)
        var end = range.upperBound
        let most = min(bytes.count, range.upperBound + Self.ahead)
        while end < most, bytes[end] != 0 { end += 1 }
        if end == most, end < bytes.count { while end > range.upperBound, Self.isWord(bytes[end - 1]), Self.isWord(bytes[end]) { end -= 1 } }
        let after = lists(bytes, range.upperBound..<end, wordsMax: Self.wordsAhead)
        return (before.all | after.all, before.last)
    }

    static func isWord(_ byte: UInt8) -> Bool { byte >= 0x80 || byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 }

    private func lists(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, wordsMax: Int) -> (all: UInt64, last: UInt64) {
        var all: UInt64 = 0
        var last: UInt64 = 0
        var previous: UInt64?
        var count = 0
        var at = range.lowerBound
        while at < range.upperBound, count < wordsMax {
            guard Self.isWord(bytes[at]) else {
                at += 1
                continue
            }
            var hash = WordHash.seed
            var pair = previous
            if pair != nil { WordHash.add(0x20, to: &pair!) }
            let first = at
            while at < range.upperBound, Self.isWord(bytes[at]) {
                // phoneNumber: a small letter, then a large one.
                if at > first, bytes[at] &- 0x41 < 26, bytes[at - 1] &- 0x61 < 26 { break }
                WordHash.add(bytes[at], to: &hash)
                if pair != nil { WordHash.add(bytes[at], to: &pair!) }
                at += 1
            }
            let found = words[hash] | (pair.map { words[$0] } ?? 0)
            all |= found
            last = found
            previous = hash
            count += 1
        }
        return (all, last)
    }
}
