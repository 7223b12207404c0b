/// What is said of a row of measurements: the middle, the tail and the spread. In the unit of the values.
struct Figures: Sendable {
    let count: Int
    let median: Double
    let p99: Double
    let min: Double
    let max: Double
    /// The range of the middle half.
    let lowerQuartile: Double
    let upperQuartile: Double

    var interquartileRange: Double { upperQuartile - lowerQuartile }

    /// Zeros when there is nothing to speak of; `count` tells that from a real zero.
    init(_ values: [Double]) {
        let sorted = values.sorted()
        count = sorted.count
        median = Self.quantile(0.5, ofSorted: sorted)
        p99 = Self.quantile(0.99, ofSorted: sorted)
        min = sorted.first ?? 0
        max = sorted.last ?? 0
        lowerQuartile = Self.quantile(0.25, ofSorted: sorted)
        upperQuartile = Self.quantile(0.75, ofSorted: sorted)
    }

    /// The smallest value that at least this share of the values does not exceed. Nearest rank, so it was really measured:
    /// with fewer than a hundred values the p99 is the maximum. The median alone is the mean of the two middle ones.
    private static func quantile(_ share: Double, ofSorted sorted: [Double]) -> Double {
        guard !sorted.isEmpty else { return 0 }
        if share == 0.5, sorted.count.isMultiple(of: 2) {
            return (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
        }
        let rank = (share * Double(sorted.count)).rounded(.up)
        return sorted[Swift.min(sorted.count, Swift.max(1, Int(rank))) - 1]
    }

    /// `median (min–max)`.
    func formatted(decimals: Int? = nil) -> String {
        let shown = [median, min, max].map { Self.number($0, decimals: decimals) }
        return "\(shown[0]) (\(shown[1])–\(shown[2]))"
    }

    /// A number with thousands separated. Unless told, it keeps about three significant digits.
    static func number(_ value: Double, decimals: Int? = nil) -> String {
        guard value.isFinite, value.magnitude < 1e15 else { return "–" }
        let decimals = decimals ?? (value.magnitude >= 100 ? 0 : value.magnitude >= 10 ? 1 : 2)
        var scale = 1
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int((value.magnitude * Double(scale)).rounded())
        var whole = ""
        for (index, digit) in String(scaled / scale).reversed().enumerated() {
            if index > 0, index.isMultiple(of: 3) { whole.append(",") }
            whole.append(digit)
        }
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard decimals > 0 else { return sign + String(whole.reversed()) }
        let fraction = String(scaled % scale)
        return sign + String(whole.reversed()) + "." + String(repeating: "0", count: decimals - fraction.count) + fraction
    }
}

/// A small table for the terminal: the first column to the left, the others to the right.
struct FiguresTable {
    private var rows: [[String]]

    init(_ headings: String...) { rows = [headings] }

    mutating func add(_ cells: String...) { rows.append(cells) }

    func formatted() -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        var lines = rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += column == 0 ? cell + padding : "  " + padding + cell
            }
            return line
        }
        lines.insert(widths.map { String(repeating: "─", count: $0) }.joined(separator: "  "), at: 1)
        return lines.joined(separator: "\n")
    }
}
