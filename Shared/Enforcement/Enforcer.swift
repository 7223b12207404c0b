package import Detection
package import Gate
package import Rules

/// Says of each event what may be kept of it. The same code on the workstation, before anything is written, and in policy, on what the workstation left: there it
/// changes nothing, unless somebody changed the agent.
///
/// Keys are held back until it is known what they type, where that makes a difference: see ``Typing``. Everything else is decided at once. For one thread.
package struct Enforcer {
    package let rulings: Rulings
    private let detector: Detector?
    private let scanner: TextScanner?
    private var typing: Typing?
    /// Keys that wait, with the window that was in front.
    private var waiting: [Int: (event: Event, window: Event.Window?)] = [:]
    private var window: Event.Window?

    /// The outcome for the event of this number.
    package typealias Decided = (id: Int, verdict: Verdict)

    private static let keyShapes = EventShape.allCases.filter { $0.kind == .key }
    /// A text that is found in again and again, each time that something was taken out, keeps only its time.
    private static let rounds = 6

    /// - Parameters:
    ///   - detector: Nil where ``Rulings/isScanning`` is false.
    ///   - scanner: Of the detector, where several on one thread share it; nil: one of its own.
    package init(_ rulings: Rulings, detector: Detector?, scanner: TextScanner? = nil, limits: Typing.Limits = Typing.Limits()) throws(DetectorRefused) {
        self.rulings = rulings
        self.detector = detector
        guard rulings.isScanning else {
            self.scanner = nil
            return
        }
        guard let detector else { preconditionFailure("these rulings look into texts, and there is no detector") }
        let scanner = if let scanner { scanner } else { try detector.makeScanner() }
        self.scanner = scanner
        if Enforcer.keyShapes.contains(where: { rulings.isScanned($0) }) { typing = Typing(detector, scanner: scanner, limits: limits) }
    }

    /// Key events that wait.
    package var count: Int { waiting.count }

    /// The class that an event has at first sight, before anybody looks into it.
    package func classify(_ event: Event) -> DataClass? { rulings.quietClass(of: EventShape(event), inFront: window != nil) ?? rulings.policy.classify(event, in: window) }

    /// Keys are held back here: what becomes of them is known later.
    package func holdsBack(_ event: Event) -> Bool { typing != nil && event.kind == .key }

    // MARK: As it happens

    /// - Parameter id: The caller's number for it. It comes back once, now or later.
    package mutating func take(_ event: Event, id: Int, at now: Instant) -> [Decided] {
        if case .window(let front) = event.detail { window = front }
        guard typing != nil else { return [(id, judge(event, in: window))] }
        if event.kind == .key {
            waiting[id] = (event, window)
            return decide(typing!.take(event, id: id, at: now))
        }
        let own = judge(event, in: window)
        return decide(typing!.take(event, id: id, at: now)) + [(id, own)]
    }

    /// An event that is not captured. Of a window it is remembered that it is in front: what is typed there must not be taken for what is typed elsewhere.
    /// Whatever else it was, what is typed next does not follow what was typed before.
    package mutating func pass(_ event: Event, at now: Instant) -> [Decided] {
        if case .window(let front) = event.detail { window = front }
        guard typing != nil else { return [] }
        if event.kind == .window { return decide(typing!.take(event, id: -1, at: now)) }
        guard event.kind == .key else { return [] }
        return decide(typing!.take(Event(at: WallTime(nanoseconds: 0), detail: .pointer(.init(.down, x: 0, y: 0))), id: -1, at: now))
    }

    /// Time has passed. Call at least every few seconds while ``count`` is not zero.
    package mutating func tick(at now: Instant) -> [Decided] {
        guard !waiting.isEmpty else { return [] }
        return decide(typing!.tick(at: now))
    }

    /// Nothing more comes.
    package mutating func finish() -> [Decided] {
        guard !waiting.isEmpty else { return [] }
        return decide(typing!.finish())
    }

    private mutating func decide(_ outcomes: [Typing.Outcome]) -> [Decided] {
        outcomes.compactMap { outcome in
            switch outcome {
            case .release(let id): waiting.removeValue(forKey: id).map { (id, judgeKey($0.event, in: $0.window, found: nil)) }
            case .redact(let id, let type): waiting.removeValue(forKey: id).map { (id, judgeKey($0.event, in: $0.window, found: type)) }
            }
        }
    }

    // MARK: Again

    /// What is left of a batch that was minimised before, in its order.
    ///
    /// Which window was in front is known to whoever saw it alone, and what stood where something is redacted, too: a class that such an event can have is taken
    /// as it was claimed, unless a more sensitive one is found.
    /// - Parameters:
    ///   - claimed: The class under which the batch came.
    ///   - found: Of each event that is no key, whether the same scanner has found anything in its texts; nil: nobody has looked.
    package mutating func review(_ events: [Event], claimed: DataClass, found isFound: [Bool]? = nil) throws(DetectorRefused) -> [Verdict] {
        var found: [Int: DetectedType] = [:]
        if typing != nil, events.contains(where: { $0.kind == .key }) { found = try assemble(events) }
        let settled = EventShape.allCases.map { settle($0, claimed: claimed) }
        var verdicts: [Verdict] = []
        verdicts.reserveCapacity(events.count)
        for (index, event) in events.enumerated() {
            let shape = EventShape(event)
            let isKey = typing != nil && shape.kind == .key
            let isClean = isFound.map { !$0[index] } ?? false
            if let settled = settled[shape.number], !settled.isLookedInto || isClean && !isKey {
                verdicts.append(verdict(event, settled.dataClass, settled.ruling.minimisation, settled.ruling.reason, []))
            } else if isKey {
                verdicts.append(judgeKey(event, in: nil, found: found[index], claimed: claimed))
            } else {
                verdicts.append(judge(event, in: nil, claimed: claimed, isClean: isClean))
            }
        }
        return verdicts
    }

    /// What becomes of an event of a shape in which nothing is found.
    private struct Settled {
        var dataClass: DataClass?
        var ruling: Rulings.Ruling
        /// Something may be found in it.
        var isLookedInto: Bool
    }

    /// Most events of a batch are movements, and in most texts there is nothing: what they are is asked once, and not of each by the names of classes.
    ///
    /// - Returns: nil: something else about an event decides.
    private func settle(_ shape: EventShape, claimed: DataClass) -> Settled? {
        guard let own = rulings.quietClass(of: shape, inFront: false) else { return nil }
        let dataClass = rulings.classified(shape, as: own, claimed: claimed)
        let hasText = shape.kind != .pointer && shape.kind != .presence
        return Settled(dataClass: dataClass, ruling: rulings[shape, dataClass], isLookedInto: hasText && rulings.isScanned(shape))
    }

    /// What keys typed, by the times at which they were pressed: a batch has them behind what came while they waited.
    private func assemble(_ events: [Event]) throws(DetectorRefused) -> [Int: DetectedType] {
        guard let detector, let scanner else { return [:] }
        var limits = Typing.Limits()
        limits.wait = .seconds(1_000_000)
        limits.keys = 1_000_000
        var typing = Typing(detector, scanner: scanner, limits: limits)
        let now = Instant(nanoseconds: 0)
        let order = events.indices.sorted { (events[$0].at, $0) < (events[$1].at, $1) }
        var outcomes: [Typing.Outcome] = []
        for index in order {
            var event = events[index]
            // A key that is redacted typed something: what stands on both its sides is not one text.
            if case .key(let key) = event.detail, key.key.isEmpty { event.detail = .key(Event.Key(key.action, "Enter")) }
            outcomes += typing.take(event, id: index, at: now)
        }
        outcomes += typing.finishAsFound()
        return outcomes.reduce(into: [:]) { if case .redact(let index, let type) = $1 { $0[index] = type } }
    }

    // MARK: Verdicts

    private func judgeKey(_ event: Event, in window: Event.Window?, found: DetectedType?, claimed: DataClass? = nil) -> Verdict {
        let shape = EventShape(event)
        // A tool may give what was pasted as one key, with all of it for its name.
        let found = found ?? (Enforcer.isMoreThanName(event) ? find(in: event).first.map { DetectedType($0.type) } : nil)
        // Nobody knows what it would have become: it counts as whatever a rule asks for.
        let isUnfinished = found == Typing.unfinished
        let types = isUnfinished ? rulings.detected(in: shape) : Set(found.map { [$0.word] } ?? [])
        let dataClass = rulings.classified(shape, as: rulings.policy.classify(event, in: window, detected: types), claimed: claimed)
        let ruling = rulings[shape, dataClass]
        if let found, case .redact(let taken) = ruling.minimisation, isUnfinished || taken?.contains(found.word) ?? true {
            return verdict(event, dataClass, Minimisation.redact(nil), ruling.reason, [Found(found.word, in: .key, 0..<Int.max)])
        }
        return verdict(event, dataClass, ruling.minimisation, ruling.reason, [])
    }

    private static func isMoreThanName(_ event: Event) -> Bool {
        guard case .key(let key) = event.detail, key.key.utf8.count > 5 else { return false }
        return key.key.utf8.count > 24 || key.key.utf8.contains { $0 == UInt8(ascii: "@") } || key.key.utf8.count { $0 &- 0x30 < 10 } > 5
    }

    /// Of anything but a key that somebody assembles.
    ///
    /// - Parameter isClean: Somebody has looked for something in it already, and found nothing.
    private func judge(_ event: Event, in window: Event.Window?, claimed: DataClass? = nil, isClean: Bool = false) -> Verdict {
        let shape = EventShape(event)
        guard rulings.isScanned(shape) else {
            let own = rulings.quietClass(of: shape, inFront: window != nil) ?? rulings.policy.classify(event, in: window)
            let dataClass = rulings.classified(shape, as: own, claimed: claimed)
            let ruling = rulings[shape, dataClass]
            return verdict(event, dataClass, ruling.minimisation, ruling.reason, [])
        }
        // What is taken out may bring together what was apart, so it is looked for again until nothing is found.
        var left = event
        var types: Set<String> = []
        for _ in 0..<Enforcer.rounds {
            let found = isClean ? [] : find(in: left)
            types.formUnion(found.map(\.type))
            let dataClass = rulings.classified(shape, as: rulings.policy.classify(event, in: window, detected: types), claimed: claimed)
            let ruling = rulings[shape, dataClass]
            guard case .redact(let taken) = ruling.minimisation else { return verdict(event, dataClass, ruling.minimisation, ruling.reason, []) }
            let next = verdict(left, dataClass, ruling.minimisation, ruling.reason, found.filter { taken?.contains($0.type) ?? true })
            guard case .kept(_, let redacted) = next.left, redacted != left else {
                return Verdict(left: dataClass.map { .kept($0, left) } ?? .dropped, dataClass: dataClass, reason: ruling.reason, isLess: left != event)
            }
            left = redacted
        }
        let dataClass = rulings.classified(shape, as: rulings.policy.classify(event, in: window, detected: types), claimed: claimed)
        return verdict(event, dataClass, .timing, .rule, [])
    }

    private func verdict(
        _ event: Event, _ dataClass: DataClass?, _ minimisation: Minimisation, _ reason: Policy.CaptureReason, _ found: [Found]
    ) -> Verdict {
        guard let dataClass else { return Verdict(left: .dropped, reason: .unclassified) }
        if found.isEmpty, minimisation.leavesAll { return Verdict(left: .kept(dataClass, event), dataClass: dataClass, reason: reason) }
        switch minimisation.apply(to: event, found: found) {
        case .dropped: return Verdict(left: .dropped, dataClass: dataClass, reason: reason)
        case .counted(let kind): return Verdict(left: .counted(kind), dataClass: dataClass, reason: reason)
        case .event(let kept): return Verdict(left: .kept(dataClass, kept), dataClass: dataClass, reason: reason, isLess: kept != event)
        }
    }

    // MARK: Looking

    private func find(in event: Event) -> [Found] {
        var fields: [(Found.Field, String)] = []
        switch event.detail {
        case .text(let text):
            fields.append((.text, text.text))
            if let app = text.app { fields.append((.application, app)) }
            if let label = text.label { fields.append((.label, label)) }
        case .window(let window):
            fields = [(.application, window.app), (.title, window.title)]
            if let url = window.url { fields.append((.url, url)) }
        case .key(let key): fields.append((.key, key.key))
        case .pointer, .presence: return []
        }
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for (_, text) in fields {
            bytes += text.utf8
            ends.append(bytes.count)
        }
        var found: [Found] = []
        // Of each field once: a text may hold thousands of findings.
        var markers: [Int: Markers] = [:]
        bytes.withUnsafeBufferPointer { buffer in
            scanner?.findings(in: buffer, ends: ends) { number, finding in
                let start = number == 0 ? 0 : ends[number - 1]
                let field = UnsafeBufferPointer(rebasing: buffer[start..<ends[number]])
                let known = markers[number] ?? Markers(in: field)
                markers[number] = known
                if let range = known.beyond(finding.range) { found.append(Found(finding.type.word, in: fields[number].0, range)) }
            }
        }
        return found
    }
}

/// What redaction left in a text: `[card]`.
///
/// A rule may take one for a value of its own: `password: [password]`.
private struct Markers {
    private var ranges: [Range<Int>] = []

    init(in bytes: UnsafeBufferPointer<UInt8>) {
        var at = 0
        while at < bytes.count {
            defer { at += 1 }
            guard bytes[at] == UInt8(ascii: "[") else { continue }
            var end = at + 1
            while end < bytes.count, end - at < 48, bytes[end] &- 0x61 < 26 || bytes[end] &- 0x30 < 10 || bytes[end] == UInt8(ascii: "-") { end += 1 }
            if end < bytes.count, end > at + 1, bytes[end] == UInt8(ascii: "]") { ranges.append(at..<end + 1) }
        }
    }

    /// A finding with the markers that it touches; nil: it is nothing but one of them.
    func beyond(_ range: Range<Int>) -> Range<Int>? {
        guard !ranges.contains(where: { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }) else { return nil }
        return ranges.reduce(range) { $1.overlaps(range) ? min($0.lowerBound, $1.lowerBound)..<max($0.upperBound, $1.upperBound) : $0 }
    }
}
