#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How often each value of a mark is in a file, by row.
///
/// Which value is a release's was drawn by the key, and does not depend on the file, unless the file is of that release. So of any other release the count is a
/// sum of independent draws from these rows, whatever the file holds, and what that sum can be is bounded by the rows themselves.
struct MarkCounts {
    private let width: Int
    private var cells: [UInt32]
    private var seen: [UInt64]
    /// How many cells of each row hold 0, 1, … : most hold one of few numbers.
    private var few: [Int32]
    private static let fewMax = 64
    /// Different values that were counted.
    private(set) var total = 0

    /// - Parameter values: How many the file may have, about: those that come twice count once.
    init(bits: Int, values: Int) {
        width = 1 << bits
        cells = [UInt32](repeating: 0, count: Mark.rows << bits)
        few = [Int32](repeating: 0, count: Mark.rows * MarkCounts.fewMax)
        for row in 0..<Mark.rows { few[row * MarkCounts.fewMax] = Int32(width) }
        var size = 1 << 14
        while size < values / 8, size < 1 << 22 { size <<= 1 }
        seen = [UInt64](repeating: 0, count: size)
    }

    /// - Parameter distinct: Of the whole value.
    @inline(__always) mutating func add(row: Int, value: Int, distinct: UInt64) {
        let bit = Int(truncatingIfNeeded: distinct) & (seen.count << 6 - 1)
        let mask = UInt64(1) << UInt64(bit & 63)
        // Now and then another value has the same place: it is missed, in a file that is full.
        guard seen[bit >> 6] & mask == 0 else { return }
        seen[bit >> 6] |= mask
        let before = Int(cells[row * width + value])
        cells[row * width + value] += 1
        if before < MarkCounts.fewMax { few[row * MarkCounts.fewMax + before] -= 1 }
        if before + 1 < MarkCounts.fewMax { few[row * MarkCounts.fewMax + before + 1] += 1 }
        total += 1
    }

    @inline(__always) func count(row: Int, value: Int) -> UInt32 { cells[row * width + value] }

    /// What sums of one value a row are by chance.
    func chance() -> Chance { Chance(histograms: (0..<Mark.rows).map(histogram), width: Double(width)) }

    /// How many cells of a row hold which number.
    private func histogram(_ row: Int) -> [(value: Double, cells: Double)] {
        let few = few[row * MarkCounts.fewMax..<(row + 1) * MarkCounts.fewMax]
        var histogram = few.enumerated().filter { $0.element > 0 }.map { (value: Double($0.offset), cells: Double($0.element)) }
        guard few.reduce(0, +) < width else { return histogram }
        var many: [UInt32: Double] = [:]
        for count in cells[row * width..<(row + 1) * width] where count >= MarkCounts.fewMax { many[count, default: 0] += 1 }
        histogram += many.map { (Double($0.key), $0.value) }
        return histogram
    }

    /// The cumulants of such a sum, at some arguments.
    struct Chance {
        private let arguments: [Double]
        private let cumulants: [Double]
        /// As many as are to be expected.
        let mean: Double

        fileprivate init(histograms: [[(value: Double, cells: Double)]], width: Double) {
            let histograms = histograms.map { $0.map { (value: $0.value, part: $0.cells / width) } }
            let means = histograms.map { $0.reduce(0) { $0 + $1.value * $1.part } }
            let arguments = (0..<56).map { 0.0005 * pow(1.22, Double($0)) }
            mean = means.reduce(0, +)
            self.arguments = arguments
            cumulants = arguments.map { argument in
                zip(histograms, means).reduce(0) { sum, row in
                    let most = row.0.reduce(0) { max($0, $1.value) } - row.1
                    let inner = row.0.reduce(0) { $0 + $1.part * exp(argument * ($1.value - row.1 - most)) }
                    return sum + log(inner) + argument * most
                }
            }
        }

        /// log of what the probability of at least this sum is at most.
        func tail(_ sum: Double) -> Double {
            let excess = sum - mean
            guard excess > 0 else { return 0 }
            var least = 0.0
            for place in arguments.indices { least = min(least, cumulants[place] - arguments[place] * excess) }
            return least
        }
    }
}
