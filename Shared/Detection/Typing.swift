package import Gate
package import Rules

/// Keys as they are pressed, held back until it is known that they type nothing that must not leave.
///
/// Every key event goes in once and comes out once, in the order in which it came, either as it is or to be redacted. A key waits while the text that it typed may
/// still be the beginning of a finding: the word that is being typed, a chain of digits with what people put between them, and as many bytes behind it as
/// words count that say what it is. Waiting is bounded: after ``Limits/wait``, or beyond ``Limits/keys``, what waits is decided with what is known, and what looks
/// like a part of a number or of a secret is redacted: a person who stops in the middle of a card number to look up the rest leaves no first half.
package struct Typing {
    package struct Limits: Hashable, Sendable {
        /// A key waits so long at most.
        package var wait = Span.seconds(20)
        /// So many key events wait at most.
        package var keys = 1_024
        /// Fields that are remembered while another is in front.
        package var fields = 4

        package init() {}
    }

    /// What becomes of a key event.
    package enum Outcome: Hashable, Sendable {
        case release(Int)
        case redact(Int, DetectedType)
    }

    /// What was cut off before it was known what it is.
    package static let unfinished = DetectedType("unfinished")

    private let detector: Detector
    private let scanner: TextScanner
    private let limits: Limits
    private var waiting: [Waiting] = []
    /// The number of the first in `waiting`.
    private var first = 0
    private var fields: [(app: String, text: KeyText)] = [("", KeyText())]
    /// By a key's name: its last `down`.
    private var downs: [String: Int] = [:]
    /// What was told of keys that are down still.
    private var told: [Int: Decision] = [:]
    private var lastTyped: Int?

    private struct Waiting {
        let id: Int
        let since: Instant
        var decision: Decision?
        /// An `up` goes with its `down`.
        let follows: Int?
    }

    private enum Decision: Hashable {
        case release
        case redact(DetectedType)
    }

    /// Digits from which a number that broke off is taken for a part of one.
    private static let digitsOfPart = 6
    /// Units of decided text that are kept, so that what comes is read with what was before.
    private static let kept = 192

    /// - Parameter scanner: Of `detector`, for the thread that this is used on.
    package init(_ detector: Detector, scanner: TextScanner, limits: Limits = Limits()) {
        self.detector = detector
        self.scanner = scanner
        self.limits = limits
    }

    /// Key events that wait.
    package var count: Int { waiting.count }

    /// Any event: keys wait here, windows and clicks say what they may mean.
    /// - Parameter id: The caller's name for it; comes back in an outcome if it is a key, and not otherwise.
    package mutating func take(_ event: Event, id: Int, at now: Instant) -> [Outcome] {
        switch event.detail {
        case .key(let key):
            key.action == .down ? down(key.key, id: id, at: now) : up(key.key, id: id, at: now)
        case .window(let window): focus(window.app)
        case .pointer(let pointer):
            if pointer.action == .down {
                fields[fields.count - 1].text.lose()
                decide()
            }
        case .presence, .text: break
        }
        if waiting.count > limits.keys { settle(through: first + waiting.count - 1) }
        return tick(at: now)
    }

    /// Time has passed. Call at least every few seconds while ``count`` is not zero.
    package mutating func tick(at now: Instant) -> [Outcome] {
        // Of what waits too long, all that is in front of it has waited longer.
        if let last = waiting.lastIndex(where: { $0.decision == nil && now - $0.since >= limits.wait }) { settle(through: first + last) }
        return leave()
    }

    /// Nothing more comes: everything that waits is decided.
    package mutating func finish() -> [Outcome] {
        settle(through: first + waiting.count - 1)
        return leave()
    }

    /// Nothing more comes, and what waits is judged for what it is: what is found goes and the rest stays, also where it might have been a beginning. For
    /// whoever looks again at what had been held back before.
    package mutating func finishAsFound() -> [Outcome] {
        for place in fields.indices {
            let field = Assembled(fields[place].text)
            for finding in scanner.findings(in: field.bytes) { fields[place].text.mark(field.units(finding.range), found: finding.type) }
            judge(place, field, through: fields[place].text.units.count)
        }
        for index in waiting.indices where waiting[index].decision == nil && waiting[index].follows == nil { waiting[index].decision = .release }
        return leave()
    }

    // MARK: Keys

    private mutating func down(_ name: String, id: Int, at now: Instant) {
        let number = first + waiting.count
        waiting.append(Waiting(id: id, since: now, decision: nil, follows: nil))
        let deed = fields[fields.count - 1].text.down(name, key: number)
        if deed == .typed { lastTyped = number } else { waiting[waiting.count - 1].decision = .release }
        downs[name] = number
        // Names are few; a tool that makes them up gets no more room than a keyboard has.
        if downs.count > 256 { downs = [name: number] }
        if deed == .moved, waiting.allSatisfy({ $0.decision != nil }) { return }
        decide()
    }

    private mutating func up(_ name: String, id: Int, at now: Instant) {
        fields[fields.count - 1].text.up(name)
        // With Shift let go first, "%" comes up as "5": whatever has no beginning goes with what was typed last.
        let follows = downs.removeValue(forKey: name) ?? lastTyped
        waiting.append(Waiting(id: id, since: now, decision: follows == nil ? .release : nil, follows: follows))
    }

    private mutating func focus(_ app: String) {
        guard fields[fields.count - 1].app != app else { return }
        fields[fields.count - 1].text.leave()
        decide()
        if let place = fields.firstIndex(where: { $0.app == app }) {
            fields.append(fields.remove(at: place))
        } else {
            if fields.count >= limits.fields { settle(field: 0, through: .max) }
            if fields.count >= limits.fields { fields.removeFirst() }
            fields.append((app, KeyText()))
        }
    }

    // MARK: Decisions

    /// Decides what can be decided in the field in front.
    private mutating func decide() {
        let place = fields.count - 1
        let field = Assembled(fields[place].text)
        let findings = scanner.findings(in: field.bytes)
        for finding in findings { fields[place].text.mark(field.units(finding.range), found: finding.type) }
        var end = min(field.open(at: field.bytes.count), field.open(at: field.start(of: fields[place].text.caret + 1)))
        for finding in findings where finding.range.lowerBound < end && finding.range.upperBound >= end { end = finding.range.lowerBound }
        judge(place, field, through: max(1, field.unit(at: end)))
        fields[place].text.forget(but: Self.kept)
    }

    /// Decides everything up to a key, as it stands.
    private mutating func settle(through key: Int) {
        for place in fields.indices { settle(field: place, through: key) }
        for index in waiting.indices where index + first <= key && waiting[index].decision == nil && waiting[index].follows == nil { waiting[index].decision = .release }
    }

    private mutating func settle(field place: Int, through key: Int) {
        let units = fields[place].text.units
        guard let last = units.lastIndex(where: { !$0.isDecided && $0.keys.contains { $0 <= key } || $0.ghosts.contains { $0.key <= key } }) else { return }
        let field = Assembled(fields[place].text)
        for finding in scanner.findings(in: field.bytes) { fields[place].text.mark(field.units(finding.range), found: finding.type) }
        // A number is one thing, whether its last digit has waited as long or not.
        let end = max(last + 1, field.unit(at: field.chainEnd(from: field.start(of: last))))
        judge(place, field, through: min(end, units.count), isCutOff: true)
    }

    /// Decides the keys of a field's first `end` units, and of what was taken away before them.
    private mutating func judge(_ place: Int, _ field: Assembled, through end: Int, isCutOff: Bool = false) {
        let units = fields[place].text.units
        var parts: [Range<Int>] = []
        if isCutOff || units.contains(where: \.isAfterGap) {
            parts = field.parts(isCutOff: isCutOff, lists: { detector.context.lists(around: $0, in: $1).around }, secret: detector.secretList, digits: Self.digitsOfPart)
        }
        func isPart(_ index: Int) -> Bool {
            let bytes = field.start(of: index)..<field.start(of: index + 1)
            return parts.contains { $0.overlaps(bytes) }
        }
        for index in 0..<end {
            if !units[index].isDecided {
                decide(units[index].keys, units[index].found.map { .redact($0) } ?? (isPart(index) ? .redact(Self.unfinished) : .release))
            }
            let ghosts = units[index].ghosts
            // What was taken away goes with what comes after it, which is not known yet where it is the last.
            guard !ghosts.isEmpty, index + 1 < end || isCutOff else { continue }
            let near = units[index].found ?? (index + 1 < units.count ? units[index + 1].found : nil)
            // Six keys and a digit among them were typed, and taken away: nobody knows what they were.
            let isMuch = ghosts.count >= Self.digitsOfPart && ghosts.contains(where: \.isDigit) || isPart(index) || index + 1 < units.count && isPart(index + 1)
            for ghost in ghosts { decide([ghost.key], (near ?? ghost.found).map { .redact($0) } ?? (isMuch ? .redact(Self.unfinished) : .release)) }
            fields[place].text.layGhosts(of: index)
        }
        fields[place].text.mark(0..<end)
    }

    private mutating func decide(_ keys: [Int], _ decision: Decision) {
        for key in keys where key >= first && waiting[key - first].decision == nil { waiting[key - first].decision = decision }
    }

    /// Takes out what is decided, from the front.
    private mutating func leave() -> [Outcome] {
        var outcomes: [Outcome] = []
        var gone = 0
        for waiting in waiting {
            var decision = waiting.decision
            if let follows = waiting.follows { decision = told[follows] ?? (follows < first ? .release : nil) }
            guard let decision else { break }
            outcomes.append({ if case .redact(let type) = decision { .redact(waiting.id, type) } else { .release(waiting.id) } }())
            told[first + gone] = decision
            gone += 1
        }
        waiting.removeFirst(gone)
        first += gone
        if told.count > 4 * limits.keys {
            // Keys that are still down are told of for as long as they are.
            let down = Set(downs.values)
            told = told.filter { $0.key >= first - limits.keys || down.contains($0.key) }
        }
        return outcomes
    }
}

/// A field's text as bytes, and where each unit begins.
private struct Assembled {
    var bytes: [UInt8] = []
    private var starts: [Int] = []
    private var gaps: [Int] = []

    init(_ text: KeyText) {
        for unit in text.units {
            starts.append(bytes.count)
            bytes.append(contentsOf: unit.text.utf8)
        }
        for (index, unit) in text.units.enumerated() where unit.isAfterGap { gaps.append(starts[index]) }
    }

    /// The units of these bytes.
    func units(_ range: Range<Int>) -> Range<Int> { unit(at: range.lowerBound)..<max(unit(at: range.lowerBound), unit(at: range.upperBound)) }

    func start(of unit: Int) -> Int { unit < starts.count ? starts[unit] : bytes.count }

    /// The unit that begins at a byte, or after it.
    func unit(at place: Int) -> Int { starts.firstIndex { $0 >= place && $0 < bytes.count }.map { $0 == 0 ? 1 : $0 } ?? starts.count }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A }
    private func isDigit(_ place: Int) -> Bool { bytes[place] &- 0x30 < 10 || bytes[place] >= 0x80 }

    /// Where what is not closed begins, seen from a place: the token that it is in, and a chain of tokens with digits if it ends near enough that words behind it
    /// would still say what it is.
    func open(at place: Int) -> Int {
        var start = min(place, bytes.count)
        // The end of a line closes everything.
        while start > 0, !Self.isSpace(bytes[start - 1]) { start -= 1 }
        var chain = start
        var at = start
        let least = max(0, place - ContextWords.ahead)
        while at > 0, bytes[at - 1] != 0x0A {
            var end = at
            while end > 0, bytes[end - 1] == 0x20 || bytes[end - 1] == 0x09 { end -= 1 }
            var from = end
            while from > 0, !Self.isSpace(bytes[from - 1]) { from -= 1 }
            guard from < end else { break }
            let hasDigit = (from..<end).contains { bytes[$0] &- 0x30 < 10 || bytes[$0] >= 0x80 && isFoldedDigit(from..<end) }
            if hasDigit { chain = from }
            // Beyond where words count, only what hangs on goes on: a chain has at most one short word between two groups of digits.
            if !hasDigit, chain < start || from < least, end - from > 5 || chain > end && chain - end > 8 { break }
            if from < least, !hasDigit { break }
            if place - from > 160 { break }
            at = from
        }
        return chain
    }

    /// Digits of another script, or full-width.
    private func isFoldedDigit(_ range: Range<Int>) -> Bool {
        String(decoding: bytes[range], as: UTF8.self).unicodeScalars.contains { $0.properties.numericType == .decimal }
    }

    /// Where a chain of digits around a place ends.
    func chainEnd(from place: Int) -> Int {
        var end = place
        while end < bytes.count, bytes[end] != 0x0A, bytes[end] &- 0x30 < 10 || bytes[end] &- 0x20 < 16 || bytes[end] >= 0x80 { end += 1 }
        return end
    }

    /// What looks like a part of a number or of a secret: digits in a chain, six or more; a token of letters and digits, or one behind a word for a secret.
    func parts(isCutOff: Bool, lists: (Range<Int>, UnsafeBufferPointer<UInt8>) -> UInt64, secret: UInt64, digits: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        bytes.withUnsafeBufferPointer { buffer in
            var at = 0
            while at < buffer.count {
                guard !Self.isSpace(buffer[at]) else {
                    at += 1
                    continue
                }
                var end = at
                var count = 0
                // A chain: digits, and what people put between them.
                var chain = at
                while chain < buffer.count, buffer[chain] &- 0x30 < 10 || buffer[chain] &- 0x20 < 16 || buffer[chain] == 0x09 || buffer[chain] >= 0x80 {
                    if isDigit(chain) && buffer[chain] < 0x80 { count += 1; end = chain + 1 } else if buffer[chain] >= 0x80, isFoldedDigit(chain..<min(chain + 3, buffer.count)) { count += 1; end = min(chain + 3, buffer.count) }
                    chain += 1
                }
                if count >= digits, isCutOff && end + 1 >= buffer.count || hasGap(at...end) {
                    parts.append(at..<end)
                    at = end
                    continue
                }
                end = at
                while end < buffer.count, !Self.isSpace(buffer[end]) { end += 1 }
                if isCutOff, end == buffer.count {
                    let token = buffer[at..<end]
                    let hasLetters = token.contains { ($0 | 0x20) &- 0x61 < 26 }
                    let hasDigits = token.contains { $0 &- 0x30 < 10 }
                    if hasLetters && hasDigits && token.count >= 8 || lists(at..<end, buffer) & secret != 0 { parts.append(at..<end) }
                }
                at = end
            }
        }
        return parts
    }

    private func hasGap(_ range: ClosedRange<Int>) -> Bool { gaps.contains { range.contains($0) } }
}
