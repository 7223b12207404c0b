/// What detection found, and where.
package struct Finding: Hashable, Sendable {
    /// The rule's place in ``Detector/rules``.
    package let rule: Int
    package let type: DetectedType
    /// In bytes of the text as it was given, whatever it was normalised to.
    package let range: Range<Int>
    package let certainty: Certainty
    /// Why it counts, beside its pattern.
    package let grounds: Grounds

    package struct Grounds: Hashable, Sendable {
        /// A checksum, a table of lengths, a calendar: what the rule's check stands for was met.
        package var check: Check?
        /// Lists of which words stand beside it, a bit for each.
        package var context: UInt64 = 0
        /// Bits a character, where the rule asks for some.
        package var entropy: Double?
        /// The matcher gave up before it was sure, so it counts.
        package var isUndecided = false
    }
}

/// A text without what was found in it.
package enum Redaction {
    /// What stands in place of a finding: `[card]`.
    package static func marker(_ type: DetectedType) -> String { "[\(type.word)]" }

    /// - Parameter findings: As a scanner gives them: in order, none overlapping another. Ranges beyond the text are cut to it.
    package static func redact(_ text: [UInt8], _ findings: [Finding]) -> [UInt8] {
        var kept: [UInt8] = []
        kept.reserveCapacity(text.count)
        var from = 0
        for finding in findings {
            let range = finding.range.clamped(to: 0..<text.count)
            guard range.lowerBound >= from, !range.isEmpty else { continue }
            kept.append(contentsOf: text[from..<range.lowerBound])
            kept.append(contentsOf: marker(finding.type).utf8)
            from = range.upperBound
        }
        kept.append(contentsOf: text[from...])
        return kept
    }

    package static func redact(_ text: String, _ findings: [Finding]) -> String {
        findings.isEmpty ? text : String(decoding: redact(Array(text.utf8), findings), as: UTF8.self)
    }
}
