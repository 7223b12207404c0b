/// A set of small numbers, one bit each. All that meet have the same length.
package struct Bits: Hashable, Sendable {
    package private(set) var words: [UInt64]

    package init(count: Int) { words = Array(repeating: 0, count: (count + 63) / 64) }

    package mutating func insert(_ number: Int) { words[number >> 6] |= 1 << UInt64(number & 63) }
    package func contains(_ number: Int) -> Bool { words[number >> 6] >> UInt64(number & 63) & 1 == 1 }

    package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    package mutating func formUnion(_ other: Bits) { for index in words.indices { words[index] |= other.words[index] } }
    package mutating func formIntersection(_ other: Bits) { for index in words.indices { words[index] &= other.words[index] } }
    package mutating func subtract(_ other: Bits) { for index in words.indices { words[index] &= ~other.words[index] } }

    package func subtracting(_ other: Bits) -> Bits {
        var left = self
        left.subtract(other)
        return left
    }

    package func isSubset(of other: Bits) -> Bool {
        for index in words.indices where words[index] & ~other.words[index] != 0 { return false }
        return true
    }

    package func isDisjoint(with other: Bits) -> Bool {
        for index in words.indices where words[index] & other.words[index] != 0 { return false }
        return true
    }

    /// In order.
    package var numbers: [Int] {
        var numbers: [Int] = []
        for (index, word) in words.enumerated() {
            var rest = word
            while rest != 0 {
                numbers.append(index << 6 + rest.trailingZeroBitCount)
                rest &= rest - 1
            }
        }
        return numbers
    }
}

/// People who are alike in every one of some sets, taken together: what holds for one holds for all of them.
///
/// Ten thousand people in forty teams with five roles are a few hundred blocks. In the worst case every person is one, and nothing is lost but time.
struct Partition: Sendable {
    /// Of each person.
    private(set) var block: [Int]
    /// How many people are in each.
    private(set) var sizes: [Int]

    init(people: Int, by sets: some Sequence<Bits>, within work: Work) {
        block = Array(repeating: 0, count: people)
        sizes = people > 0 ? [people] : []
        // Of each block, for the set that is looked at: how many members, and where they go. Nothing between two sets.
        var hits = Array(repeating: 0, count: sizes.count)
        var successors = Array(repeating: -1, count: sizes.count)
        for set in sets {
            let members = set.numbers
            guard work.take(set.words.count + 4 * members.count) else { return }
            var touched: [Int] = []
            for member in members {
                if hits[block[member]] == 0 { touched.append(block[member]) }
                hits[block[member]] += 1
            }
            // A block that is wholly in the set stays one; of any other, what is in the set leaves.
            for old in touched where hits[old] < sizes[old] {
                successors[old] = sizes.count
                sizes.append(hits[old])
                hits.append(0)
                successors.append(-1)
                sizes[old] -= hits[old]
            }
            for member in members where successors[block[member]] >= 0 { block[member] = successors[block[member]] }
            for old in touched { (hits[old], successors[old]) = (0, -1) }
        }
    }

    var count: Int { sizes.count }

    /// A set that was among those it was made by, as blocks.
    func blocks(of set: Bits) -> Bits {
        var blocks = Bits(count: count)
        for member in set.numbers { blocks.insert(block[member]) }
        return blocks
    }

    func people(in blocks: Bits) -> Int { blocks.numbers.reduce(0) { $0 + sizes[$1] } }

    /// One person of each block.
    var representatives: [Int] {
        var all = Array(repeating: 0, count: count)
        for (person, block) in block.enumerated() { all[block] = person }
        return all
    }
}
