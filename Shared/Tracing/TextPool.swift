package import Rules

/// What a person's texts of one source are like: canaries take their words from here.
package struct TextPool: Sendable {
    /// As it stands between two spaces.
    struct Token: Sendable {
        let text: String
        let words: FoldedWords
        var isEnd: Bool
    }

    private struct Source: Sendable {
        var tokens: [Token] = []
        /// Where each text begins in `tokens`.
        var starts: [Int] = []
        var longest = 0
    }

    /// More are not remembered: the last are what comes next is like.
    private static let textsMax = 48
    /// Below, what is made of them would be one of them.
    private static let textsMin = 2
    private static let tokensMin = 16
    /// Of one text: the rest of it is more of the same.
    private static let tokensOfTextMax = 64
    /// Of what is made: a word may be as long as a text.
    private static let bytesMax = 4_096

    private static let tokenBytesMax = 64

    private var sources: [Event.Text.Source: Source] = [:]
    /// Texts that were looked at.
    package private(set) var learned = 0

    package init() {}

    package var isFull: Bool { learned >= TextPool.textsMax }

    package mutating func learn(_ events: [Event]) {
        for case .text(let text) in events.lazy.map(\.detail) {
            let parts = text.text.split(separator: " ", maxSplits: TextPool.tokensOfTextMax).prefix(TextPool.tokensOfTextMax)
            // Of words that long nothing is made that looks like any text, and each try would take its time.
            guard !parts.isEmpty, parts.allSatisfy({ $0.utf8.count <= TextPool.tokenBytesMax }) else { continue }
            learned += 1
            var source = sources[text.source] ?? Source()
            if source.starts.count == TextPool.textsMax {
                let oldest = source.starts[1]
                source.tokens.removeFirst(oldest)
                source.starts = source.starts.dropFirst().map { $0 - oldest }
            }
            source.starts.append(source.tokens.count)
            var words = 0
            for (place, part) in parts.enumerated() {
                let token = Token(text: String(part), words: FoldedWords(part), isEnd: place == parts.count - 1)
                words += token.words.starts.count
                source.tokens.append(token)
            }
            source.longest = max(source.longest, words)
            sources[text.source] = source
        }
    }

    /// A text in the words of this source, of about so many, which carries its marks; nil: there is too little to make one of.
    ///
    /// It goes along a text, and now and then on with another: from word to word it reads as they do.
    func text(from kind: Event.Text.Source, words wanted: Int, _ hash: MarkHash, _ codes: MarkCodes, _ draw: inout Draw) -> String? {
        guard let source = sources[kind], source.starts.count >= TextPool.textsMin, source.tokens.count >= TextPool.tokensMin, source.longest >= FoldedWords.least else { return nil }
        let wanted = min(max(FoldedWords.least, wanted), TextPool.tokensOfTextMax)
        guard let (tokens, folded, opening) = TextPool.opening(source, hash, codes, &draw) else { return nil }
        var (text, words) = (tokens, folded)
        while words.starts.count < wanted - FoldedWords.marked, text.count < 2 * wanted {
            let next = TextPool.next(source, after: text[text.count - 1], &draw)
            text.append(next)
            TextPool.add(source.tokens[next], &words)
        }
        for _ in 0..<TextPool.triesMax {
            // The end of one of them, and before it what leads there.
            var (tail, closing) = (text, words)
            let start = source.starts[draw.below(source.starts.count)]
            let end = source.tokens[start...].firstIndex(where: \.isEnd) ?? source.tokens.count - 1
            let kept = min(end - start + 1, 1 + draw.below(4))
            while closing.starts.count < words.starts.count + FoldedWords.marked - kept, tail.count < text.count + 2 * FoldedWords.marked {
                let next = TextPool.next(source, after: tail[tail.count - 1], &draw)
                tail.append(next)
                TextPool.add(source.tokens[next], &closing)
            }
            for place in end - kept + 1...end {
                tail.append(place)
                TextPool.add(source.tokens[place], &closing)
            }
            guard closing.starts.count >= FoldedWords.least, hash.closing(closing.closing, after: opening).byte == codes[.closing, opening.row] else { continue }
            let made = tail.map { source.tokens[$0].text }.joined(separator: " ")
            return made.utf8.count <= TextPool.bytesMax ? made : nil
        }
        return nil
    }

    /// Twelve times what is needed as a rule: a byte is one of 256.
    private static let triesMax = 3_072

    private static func opening(_ source: Source, _ hash: MarkHash, _ codes: MarkCodes, _ draw: inout Draw) -> ([Int], FoldedWords, MarkHash.Value)? {
        for _ in 0..<triesMax {
            var tokens = [source.starts[draw.below(source.starts.count)]]
            var words = source.tokens[tokens[0]].words
            while words.starts.count < FoldedWords.marked {
                let next = next(source, after: tokens[tokens.count - 1], &draw)
                tokens.append(next)
                add(source.tokens[next], &words)
                // What has no words at all would go on for ever.
                guard tokens.count < 4 * FoldedWords.marked else { break }
            }
            // The fifth ends where its token does: what stands behind it then begins another.
            guard words.starts.count >= FoldedWords.marked else { continue }
            words.separate()
            let value = hash.opening(words.starts.count > FoldedWords.marked ? words.opening : words.bytes[...])
            if value.byte == codes[.opening, value.row] { return (tokens, words, value) }
        }
        return nil
    }

    private static func add(_ token: Token, _ words: inout FoldedWords) {
        words.separate()
        for byte in token.words.bytes { words.add(byte) }
    }

    /// Mostly what stands there next.
    private static func next(_ source: Source, after place: Int, _ draw: inout Draw) -> Int {
        if !source.tokens[place].isEnd, draw.below(4) > 0 { return place + 1 }
        for _ in 0..<8 {
            let other = draw.below(source.tokens.count)
            // A first word has a capital, a last one a full stop.
            if !source.tokens[other].isEnd, !source.starts.contains(other) { return other }
        }
        return draw.below(source.tokens.count)
    }
}
