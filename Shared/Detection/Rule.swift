/// What a finding is a finding of: `card`, `iban`, `phone`, `secret`, … The words are those of the rules' file.
package struct DetectedType: Hashable, Sendable, CustomStringConvertible {
    package let word: String
    package init(_ word: String) { self.word = word }
    package var description: String { word }
}

/// How much a pattern says by itself. Below `likely` nothing is reported.
package enum Certainty: UInt8, Hashable, Sendable, Comparable, CaseIterable {
    /// Needs words beside it that say what it is.
    case weak
    /// Stands by itself; words beside it make it certain.
    case likely
    /// A prefix that its issuer reserved, or a checksum that chance does not meet.
    case certain

    package var word: String {
        switch self {
        case .weak: "weak"
        case .likely: "likely"
        case .certain: "certain"
        }
    }

    package static func < (left: Certainty, right: Certainty) -> Bool { left.rawValue < right.rawValue }
}

/// One line of thought of detection: a pattern, what validates it, which words have to stand beside it. From the rules' file.
package struct Rule: Sendable {
    package let id: String
    package let type: DetectedType
    /// Of PCRE, over bytes. Group 1, where there is one, is what is found; the rest is its place.
    package let patterns: [String]
    /// What Vectorscan looks for instead, where a pattern is dear: matches whenever it does, and ends within it.
    package let find: String?
    package let place: Place
    package let check: Check?
    /// Bits a character of what is found, at least.
    package let entropy: Double?
    package let certainty: Certainty
    /// Lists of words, a bit for each.
    package let context: UInt64
    /// Lists of words that, directly before, say that it is something else.
    package let unless: UInt64
    /// Bytes that it is long at most, with what its pattern has before it.
    package let reach: Int
    package let cases: [Case]
    /// In the rules' file.
    package let line: Int

    /// Where its patterns are tried.
    package enum Place: Hashable, Sendable {
        /// Wherever a letter or a sign of theirs stands.
        case everywhere
        /// In runs of so many digits, whatever people put between them. Most texts have none, so that such rules cost nothing there.
        case digits(atLeast: Int)
        /// In runs of sixteen letters, digits and signs without a space.
        case tokens
    }

    /// What a rule promises: a text, and where it finds something in it; nil: nowhere.
    package struct Case: Sendable {
        package let text: [UInt8]
        package let found: Range<Int>?
        package let line: Int
    }
}
