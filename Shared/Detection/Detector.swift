/// Finds personal data and secrets in texts. Compiled once, used by any number of threads, each with a ``TextScanner``.
///
/// One pass of Vectorscan over everything: all rules that have a letter or a sign to hold on to, and runs of six digits. Rules of digits alone are tried over such
/// runs, rules of long tokens over those; few texts have either. Where a rule may match, PCRE says from where to where, its check whether it is what it looks
/// like, and the words beside it how sure that is.
package final class Detector: Sendable {
    package let book: RuleBook
    package var rules: [Rule] { book.rules }

    /// One for each pattern of each rule.
    let matchers: [Matcher]
    let everywhere: PatternSet
    /// Of digits, with enough to them that they are looked for in every run.
    let amongDigits: PatternSet
    /// Of digits, tried where the words that they need stand beside a run.
    let weakOfDigits: [Int]
    /// Of digits, tried in runs that are long enough.
    let longOfDigits: [Int]
    let ofTokens: [Int]
    /// Own what matchers point to.
    private let patterns: [ConfirmingPattern]
    let context: ContextWords
    /// The bit of the list `secret`.
    let secretList: UInt64

    /// What a scan needs of a rule, and nothing that has to be counted when it is copied.
    struct Matcher: Sendable {
        let rule: Int
        let pattern: ConfirmingPattern.Code
        let check: Check?
        let entropy: Double?
        let certainty: Certainty
        let context: UInt64
        let unless: UInt64
        let reach: Int
        /// Past where Vectorscan says that it may end.
        let lookahead: Int
        let digitsMin: Int
    }

    static let digitsMin = 6
    /// Six digits, with no more between any two than people put there.
    static let digits = #"[0-9](?:[ \t./()\-]{0,3}[0-9]){5}"#
    /// From one digit of a run to the end of the next.
    static let digitsGap = 4
    /// What may stand before a run of digits and belong to it: letters of an IBAN, with spaces; and behind it: an extension.
    static let digitsBehind = 12
    static let digitsAhead = 24
    static let tokenMin = 16
    /// What patterns look ahead past their end.
    static let lookahead = 64

    /// With the rules that came with the program.
    package convenience init() throws(DetectorRefused) {
        let book: RuleBook
        do throws(RuleBookRefused) { book = try RuleBook(parsing: RuleBook.ownText) } catch { throw .rules(error) }
        try self.init(book)
    }

    package init(_ book: RuleBook) throws(DetectorRefused) {
        self.book = book
        var matchers: [Matcher] = []
        var everywhere: [(id: Int, text: String, name: String)] = []
        var amongDigits = everywhere
        var weakOfDigits: [Int] = []
        var longOfDigits: [Int] = []
        var ofTokens: [Int] = []
        var patterns: [ConfirmingPattern] = []
        for (index, rule) in book.rules.enumerated() {
            for pattern in rule.patterns {
                let number = matchers.count
                patterns.append(try ConfirmingPattern(pattern, rule: rule.id))
                let entry = (id: number, text: rule.find ?? pattern, name: rule.id)
                var digitsMin = 0
                switch rule.place {
                case .everywhere: everywhere.append(entry)
                case .tokens: ofTokens.append(number)
                case .digits(let atLeast):
                    digitsMin = atLeast
                    if rule.certainty == .weak { weakOfDigits.append(number) } else if atLeast > Self.digitsMin { longOfDigits.append(number) } else { amongDigits.append(entry) }
                }
                matchers.append(
                    Matcher(
                        rule: index, pattern: patterns[number].code, check: rule.check, entropy: rule.entropy, certainty: rule.certainty,
                        context: rule.context, unless: rule.unless, reach: rule.reach, lookahead: rule.find == nil ? Self.lookahead : rule.reach, digitsMin: digitsMin))
            }
        }
        // A set of none cannot be compiled.
        everywhere.append((id: matchers.count, text: Self.digits, name: "digits"))
        if amongDigits.isEmpty { amongDigits.append((id: matchers.count, text: Self.digits, name: "digits")) }
        self.matchers = matchers
        self.patterns = patterns
        self.weakOfDigits = weakOfDigits
        self.longOfDigits = longOfDigits
        self.ofTokens = ofTokens
        self.everywhere = try PatternSet(everywhere)
        self.amongDigits = try PatternSet(amongDigits, isOnce: true)
        context = ContextWords(words: book.words)
        secretList = book.wordLists.firstIndex(of: "secret").map { 1 << UInt64($0) } ?? 0
    }

    /// For one thread.
    package func makeScanner() throws(DetectorRefused) -> TextScanner { try TextScanner(self) }

    /// The names of the lists of words in a finding's grounds.
    package func wordLists(_ mask: UInt64) -> [String] { book.wordLists.enumerated().filter { mask & (1 << UInt64($0.offset)) != 0 }.map(\.element) }
}

/// What a thread scans with: space that is used again, so that a scan allocates little.
package final class TextScanner {
    private let detector: Detector
    private let first: ScanSpace
    private let second: ScanSpace
    private let data: MatchData
    private var text = NormalisedText()
    /// By matcher: where its last match ended.
    private var confirmed: [Int]
    private var candidates: [Candidate] = []

    private struct Candidate {
        let rule: Int
        var range: Range<Int>
        let certainty: Certainty
        let grounds: Finding.Grounds

        /// Who wins where two overlap: what is surer, then what was validated, then what has words beside it.
        var rank: Int { Int(certainty.rawValue) * 4 + (grounds.check == nil ? 0 : 2) + (grounds.context == 0 ? 0 : 1) }
    }

    /// Texts that are scanned in one pass, in bytes: what stays in a processor's cache. A longer text is scanned alone, and whole.
    private static let passMax = 262_144

    init(_ detector: Detector) throws(DetectorRefused) {
        self.detector = detector
        let patterns = detector.matchers.count + 1
        first = try ScanSpace([detector.everywhere], patterns: patterns)
        second = try ScanSpace([detector.amongDigits], patterns: patterns)
        data = try MatchData()
        confirmed = Array(repeating: 0, count: patterns)
    }

    /// In order, none overlapping another.
    package func findings(in text: String) -> [Finding] {
        var text = text
        return text.withUTF8 { findings(in: $0) }
    }

    package func findings(in bytes: [UInt8]) -> [Finding] { bytes.withUnsafeBufferPointer { findings(in: $0) } }

    package func findings(in bytes: UnsafeBufferPointer<UInt8>) -> [Finding] {
        var found: [Finding] = []
        text.removeAll()
        text.append(bytes)
        scan { _, finding in found.append(finding) }
        return found
    }

    /// Many texts at once: short ones cost a fraction of what they cost one by one.
    /// - Parameter ends: Where each text ends in `bytes`; the next begins there.
    /// - Parameter found: Takes the text's number and a finding, in order.
    package func findings(in bytes: UnsafeBufferPointer<UInt8>, ends: [Int], _ found: (Int, Finding) -> Void) {
        var next = 0
        var start = 0
        while next < ends.count {
            text.removeAll()
            let before = next
            repeat {
                text.append(UnsafeBufferPointer(rebasing: bytes[start..<ends[next]]))
                start = ends[next]
                next += 1
            } while next < ends.count && text.bytes.count + (ends[next] - start) < Self.passMax
            scan { found(before + $0, $1) }
        }
    }

    /// What one rule alone finds, whatever others would make of it.
    package func findings(in bytes: [UInt8], of rule: Int) -> [Finding] {
        var found: [Finding] = []
        text.removeAll()
        bytes.withUnsafeBufferPointer { text.append($0) }
        scan(only: rule) { found.append($1) }
        return found
    }

    private func scan(only: Int? = nil, _ found: (Int, Finding) -> Void) {
        candidates.removeAll(keepingCapacity: true)
        for matcher in confirmed.indices { confirmed[matcher] = 0 }
        text.bytes.withUnsafeBufferPointer { bytes in
            first.scan(bytes, 0..<bytes.count, for: detector.everywhere, gap: Detector.digitsGap)
            for hit in first.hits {
                if hit.pattern == detector.matchers.count { scanDigits(bytes, hit) } else {
                    confirm(bytes, hit.pattern, (hit.firstEnd - detector.matchers[hit.pattern].reach)..<hit.lastEnd)
                }
            }
            scanTokens(bytes)
        }
        if let only { candidates.removeAll { $0.rule != only } }
        guard !candidates.isEmpty else { return }
        resolve()
        for candidate in candidates {
            let number = text.text(at: candidate.range.lowerBound)
            let rule = detector.rules[candidate.rule]
            found(number, Finding(rule: candidate.rule, type: rule.type, range: text.original(candidate.range), certainty: candidate.certainty, grounds: candidate.grounds))
        }
    }

    /// A run of digits, and what is near enough to belong to it.
    private func scanDigits(_ bytes: UnsafeBufferPointer<UInt8>, _ hit: Hit) {
        var start = hit.firstEnd
        var count = 0
        while count < Detector.digitsMin {
            start -= 1
            if bytes[start] &- 0x30 < 10 { count += 1 }
        }
        for place in hit.firstEnd..<max(hit.firstEnd, hit.lastEnd) where bytes[place] &- 0x30 < 10 { count += 1 }
        let lists = detector.context.lists(around: start..<hit.lastEnd, in: bytes).around
        let least = max(0, start - Detector.digitsBehind)
        while start > least, ContextWords.isWord(bytes[start - 1]) || bytes[start - 1] == 0x2B || bytes[start - 1] == 0x28 || bytes[start - 1] == 0x2D { start -= 1 }
        start = max(0, start - Detector.digitsBehind)
        let range = start..<hit.lastEnd

        second.scan(bytes, start..<min(bytes.count, hit.lastEnd + Detector.digitsAhead), for: detector.amongDigits, gap: .max)
        for found in second.hits where found.pattern < detector.matchers.count { confirm(bytes, found.pattern, range) }
        for number in detector.longOfDigits where detector.matchers[number].digitsMin <= count { confirm(bytes, number, range) }
        if lists != 0 {
            for number in detector.weakOfDigits where detector.matchers[number].context & lists != 0 && detector.matchers[number].digitsMin <= count { confirm(bytes, number, range) }
        }
    }

    /// Runs of sixteen bytes or more that may be a key: only every sixteenth byte is looked at where there is none.
    private func scanTokens(_ bytes: UnsafeBufferPointer<UInt8>) {
        var at = Detector.tokenMin - 1
        var floor = 0
        while at < bytes.count {
            guard Self.isToken(bytes[at]) else {
                floor = at + 1
                at += Detector.tokenMin
                continue
            }
            var start = at
            while start > floor, Self.isToken(bytes[start - 1]) { start -= 1 }
            var end = at + 1
            while end < bytes.count, Self.isToken(bytes[end]) { end += 1 }
            if end - start >= Detector.tokenMin { for number in detector.ofTokens { confirm(bytes, number, start..<end) } }
            floor = end
            at = end + Detector.tokenMin
        }
    }

    /// Letters, digits and + / = _ - . : ~
    private static func isToken(_ byte: UInt8) -> Bool {
        byte &- 0x2D < 14 || (byte | 0x20) &- 0x61 < 26 || byte == 0x5F || byte == 0x2B || byte == 0x3D || byte == 0x7E
    }

    /// Takes what really matches and begins within `range`, but for where it did already.
    private func confirm(_ bytes: UnsafeBufferPointer<UInt8>, _ number: Int, _ range: Range<Int>) {
        let matcher = detector.matchers[number]
        var from = max(confirmed[number], range.lowerBound)
        let end = min(bytes.count, range.upperBound + matcher.lookahead)
        while from < range.upperBound {
            switch matcher.pattern.match(bytes, from: from, to: end, with: data) {
            case .none: return
            case .undecided:
                candidates.append(Candidate(rule: matcher.rule, range: from..<range.upperBound, certainty: .likely, grounds: Finding.Grounds(isUndecided: true)))
                confirmed[number] = range.upperBound
                return
            case .match(let all, let found):
                guard all.lowerBound < range.upperBound else { return }
                from = max(all.upperBound, all.lowerBound + 1)
                // What fails its check may still have the right thing in it: the next try begins one byte on.
                if judge(bytes, matcher, found) { confirmed[number] = from } else if matcher.check != nil { from = all.lowerBound + 1 }
            }
        }
    }

    private func judge(_ bytes: UnsafeBufferPointer<UInt8>, _ matcher: Detector.Matcher, _ match: Range<Int>) -> Bool {
        var found = match
        var grounds = Finding.Grounds()
        if let check = matcher.check {
            guard let count = detector.book.validation.accepts(UnsafeBufferPointer(rebasing: bytes[found]), check) else { return false }
            found = found.lowerBound..<(found.lowerBound + count)
            grounds.check = check
        }
        if let floor = matcher.entropy {
            let bits = Entropy.bits(UnsafeBufferPointer(rebasing: bytes[found]))
            guard bits >= floor else { return false }
            grounds.entropy = bits
        }
        var certainty = matcher.certainty
        if matcher.context | matcher.unless != 0 {
            let lists = detector.context.lists(around: found, in: bytes)
            guard lists.directlyBefore & matcher.unless == 0 else { return false }
            grounds.context = lists.around & matcher.context
            if grounds.context != 0 { certainty = certainty == .weak ? .likely : .certain } else if certainty == .weak { return false }
        }
        candidates.append(Candidate(rule: matcher.rule, range: found, certainty: certainty, grounds: grounds))
        return true
    }

    /// Leaves what does not overlap: the higher rank, then the longer, then the first.
    private func resolve() {
        let candidates = candidates.sorted { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        var kept: [Candidate] = []
        var from = 0
        while from < candidates.count {
            var to = from + 1
            var end = candidates[from].range.upperBound
            while to < candidates.count, candidates[to].range.lowerBound < end {
                end = max(end, candidates[to].range.upperBound)
                to += 1
            }
            if to == from + 1 { kept.append(candidates[from]) } else {
                let ranked = candidates[from..<to].sorted {
                    ($1.rank, $1.range.count, $0.range.lowerBound, $0.rule) < ($0.rank, $0.range.count, $1.range.lowerBound, $1.rule)
                }
                var group: [Candidate] = []
                for candidate in ranked {
                    let others = group.indices.filter { group[$0].range.overlaps(candidate.range) }
                    if others.isEmpty {
                        group.append(candidate)
                    } else if others.count == 1, detector.rules[group[others[0]].rule].type == detector.rules[candidate.rule].type {
                        // Two readings of one number: what either has goes.
                        let range = group[others[0]].range
                        group[others[0]].range = min(range.lowerBound, candidate.range.lowerBound)..<max(range.upperBound, candidate.range.upperBound)
                    }
                }
                kept.append(contentsOf: group.sorted { $0.range.lowerBound < $1.range.lowerBound })
            }
            from = to
        }
        self.candidates = kept
    }
}
