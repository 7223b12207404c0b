#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Reads a file that was found outside, once, and then says for each release and reader how surely it is of theirs.
package struct LeakTrace: Sendable {
    /// One that a file is of.
    package struct Match: Hashable, Sendable {
        package let marked: Marked
        package let key: String
        /// By which it was told most surely.
        package let mark: Mark
        /// Different values of that mark that name it, and as many as would by chance.
        package let found: Int
        package let expected: Double
        /// log10 of what the probability is, at most, that some release or reader that the file is not of would look like this.
        package let chance: Double
    }

    private struct Counts: Sendable {
        let hash: MarkHash
        var when: MarkCounts
        var exact: MarkCounts
        var what: MarkCounts
        var place: MarkCounts
        var opening: MarkCounts
        var closing: MarkCounts
    }

    private let keys: [CanaryKey]
    private var counts: [Counts]
    private var scanner = LineScanner()
    private var separator: UInt8?
    package private(set) var lines = 0
    /// What could be marked, of whatever kind.
    package var values: Int { counts.first.map { $0.when.total + $0.exact.total + $0.place.total + $0.closing.total } ?? 0 }

    /// - Parameter bytes: The file's size, about: it decides how much memory is taken.
    package init(keys: [CanaryKey], bytes: Int) {
        self.keys = keys
        // A line has some forty bytes at least, and a dozen places and words that may be marked.
        let values = min(max(bytes / 16, 1 << 16), 1 << 31)
        counts = keys.map { key in
            Counts(
                hash: MarkHash(key), when: MarkCounts(bits: 8, values: values), exact: MarkCounts(bits: 16, values: values), what: MarkCounts(bits: 16, values: 2 * values),
                place: MarkCounts(bits: 8, values: values), opening: MarkCounts(bits: 8, values: values / 4), closing: MarkCounts(bits: 16, values: values / 4))
        }
    }

    /// Takes whole lines.
    ///
    /// - Returns: bytes that were taken: up to the last end of a line, or all if `isLast`.
    package mutating func take(_ bytes: UnsafeBufferPointer<UInt8>, isLast: Bool) -> Int {
        var start = 0
        while start < bytes.count {
            let rest = UnsafeBufferPointer(rebasing: bytes[start...])
            guard let base = rest.baseAddress else { break }
            guard let found = memchr(base, 0x0A, rest.count) else {
                if isLast {
                    take(line: rest)
                    start = bytes.count
                }
                break
            }
            let count = UnsafeRawPointer(found) - UnsafeRawPointer(base)
            take(line: UnsafeBufferPointer(rebasing: rest[..<count]))
            start += count + 1
        }
        return start
    }

    private mutating func take(line: UnsafeBufferPointer<UInt8>) {
        guard !line.isEmpty else { return }
        lines += 1
        if separator == nil { separator = LeakTrace.separator(of: line) }
        scanner.scan(line, separator: separator ?? 0)
        for place in counts.indices { count(place) }
    }

    /// The one that the first line has most of.
    private static func separator(of line: UnsafeBufferPointer<UInt8>) -> UInt8 {
        let found = [UInt8(ascii: ","), UInt8(ascii: "\t"), UInt8(ascii: ";")].map { separator in (separator, line.count { $0 == separator }) }
        return found.filter { $0.1 > 0 }.max { $0.1 < $1.1 }?.0 ?? 0
    }

    private mutating func count(_ index: Int) {
        let hash = counts[index].hash
        for time in scanner.times {
            let when = hash.when(time)
            counts[index].when.add(row: when.row, value: Int(when.byte), distinct: when.rest)
            if MarkHash.isFine(time) {
                let exact = hash.exact(time)
                counts[index].exact.add(row: when.row, value: Int(when.byte) << 8 | Int(exact.byte), distinct: exact.rest)
            }
            for pair in scanner.pairs { add(hash.what(time, pair), when, to: index) }
            for detail in scanner.details { add(hash.what(time, detail), when, to: index) }
        }
        for pair in scanner.pairs {
            let place = hash.place(pair)
            counts[index].place.add(row: place.row, value: Int(place.byte), distinct: place.rest)
        }
        for text in scanner.texts {
            let opening = hash.opening(text.opening)
            let closing = hash.closing(text.closing, after: opening)
            counts[index].opening.add(row: opening.row, value: Int(opening.byte), distinct: opening.rest)
            counts[index].closing.add(row: opening.row, value: Int(opening.byte) << 8 | Int(closing.byte), distinct: closing.rest)
        }
    }

    @inline(__always) private mutating func add(_ what: MarkHash.Value, _ when: MarkHash.Value, to index: Int) {
        counts[index].what.add(row: when.row, value: Int(when.byte) << 8 | Int(what.byte), distinct: what.rest)
    }

    /// - Parameter marked: Every release and reader of each key, by its id: whoever is not named cannot be found.
    /// - Returns: those that the file is of, the surest first.
    package func matches(_ marked: [String: [Marked]], falseMatch: Double = CanaryShare.falseMatch) -> [Match] {
        let compared = max(1, marked.values.reduce(0) { $0 + $1.count })
        return nearest(marked, compared: Double(compared)).filter { $0.chance <= log10(falseMatch) }.sorted { $0.chance < $1.chance }
    }

    /// How near each comes, by the mark by which it does most; those that do not at all are left out.
    func nearest(_ marked: [String: [Marked]], compared: Double) -> [Match] {
        let margin = log(compared * CanaryShare.ways)
        var nearest: [Match] = []
        for (key, counts) in zip(keys, counts) {
            guard let named = marked[key.id] else { continue }
            let tables: [(mark: Mark, second: Mark?, row: Mark, counts: MarkCounts)] = [
                (.when, nil, .when, counts.when), (.exact, .exact, .when, counts.exact), (.what, .what, .when, counts.what), (.place, nil, .place, counts.place),
                (.opening, nil, .opening, counts.opening), (.closing, .closing, .opening, counts.closing),
            ].filter { $0.3.total > 0 }
            let chances = tables.map { $0.counts.chance() }
            for one in named {
                let codes = MarkCodes(key, of: one)
                var best: Match?
                for (table, chance) in zip(tables, chances) {
                    var sum = 0
                    for row in 0..<Mark.rows {
                        let first = Int(codes[table.row, row])
                        sum += Int(table.counts.count(row: row, value: table.second.map { first << 8 | Int(codes[$0, row]) } ?? first))
                    }
                    let probability = min(0, chance.tail(Double(sum)) + margin) / log(10)
                    if probability < best?.chance ?? 0 {
                        best = Match(marked: one, key: key.id, mark: table.mark, found: sum, expected: chance.mean, chance: probability)
                    }
                }
                if let best { nearest.append(best) }
            }
        }
        return nearest
    }
}
