#if canImport(FoundationEssentials)
    import FoundationEssentials
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// How many canaries a release needs, and what a file must have of it.
///
/// Lines that name a release by chance are as many as chance makes them, and canaries come on top. Both are bounded by Chernoff's inequality for sums of
/// independent events, which errs on the safe side and needs no table.
package enum CanaryShare {
    /// What a file may be: this part of a release's lines.
    package static let sample = 0.05
    /// That a file is laid to a release, or to a reader, that it is not of: once in so many files, whatever is in them.
    package static let falseMatch = 1e-6
    /// That a file of the size that is promised is not found.
    package static let missed = 0.01
    /// Of a release's events, at most: they are not the person's.
    package static let most = 0.02
    /// Of what a reader is given, whatever the release.
    package static let ofReaders = 1.0 / 1_024
    /// Of canaries, those that are told by two bytes as a rule: the others stand where nothing near enough carries the second.
    static let twice = 0.8
    /// Releases and readers that a file is compared with, where it is computed how many canaries there must be.
    package static let compared = 100_000.0
    /// A file's marks are counted in six ways.
    static var ways: Double { Double(Mark.allCases.count) }

    /// log of what the probability of at least `count` is at most, where `expected` are; 0 where so many are no wonder.
    static func tail(_ count: Double, expected: Double) -> Double {
        guard count > expected else { return 0 }
        guard expected > 0 else { return -.infinity }
        return -expected + count - count * log(count / expected)
    }

    /// Lines that must name a release, for it to be believed.
    static func believed(expected: Double, falseMatch: Double) -> Double {
        var (low, high) = (expected, expected + 40 + 20 * expected.squareRoot())
        while high - low > 0.01 {
            let middle = (low + high) / 2
            if tail(middle, expected: expected) <= log(falseMatch) { high = middle } else { low = middle }
        }
        return high.rounded(.up)
    }

    /// - Parameters:
    ///   - bits: Of the mark that is looked for: 8 for the time to the millisecond alone, 16 for what is finer, or for a time and what was there.
    ///   - sample: The part of the lines that is there.
    package static func needed(events: Double, bits: Double, sample: Double = CanaryShare.sample) -> Double {
        let expected = events * sample * exp2(-bits)
        let believed = believed(expected: expected, falseMatch: falseMatch / (ways * compared))
        var (low, high) = (believed, believed + 20 + 10 * believed.squareRoot())
        while high - low > 0.01 {
            let middle = (low + high) / 2
            if -middle + believed - believed * log(believed / middle) <= log(missed) { high = middle } else { low = middle }
        }
        return (high - expected) / sample / (bits > 8 ? twice : 1)
    }

    /// Canaries for each event of a release. Enough for a sample of which nothing is left but times in milliseconds, if that is not too many.
    package static func rate(events: Int64) -> Double {
        guard events > 0 else { return 0 }
        return min(most, needed(events: Double(events), bits: 8) / Double(events))
    }

    /// The smallest release that is told from such a sample, as surely as is promised.
    package static func leastEvents(bits: Double, sample: Double = CanaryShare.sample) -> Int64 {
        var (low, high) = (Int64(1), Int64(1) << 32)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            let made = rate(events: middle) * Double(middle)
            if made >= needed(events: Double(middle), bits: bits, sample: sample) { high = middle } else { low = middle }
        }
        return high
    }
}
