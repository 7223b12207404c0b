/// The reader of detector `outsider`, who is policy itself. Whoever had its name would read unseen: no list of who read shows it.
package enum Probe {
    package static let name = "sluice-outsider"
}

/// What a detector has noticed, in one sentence that a person can check, and what is closed for it.
package struct Finding: Hashable, Sendable {
    /// 16 bytes, made by whoever noticed it: sent again it is the same finding.
    package var id: [UInt8]
    /// By its name in the policy document: `breadth`, `outsider`, …
    package var detector: String
    package var sentence: String
    package var direction: Direction
    package var selector: Selector
    /// By the clock of whoever noticed it.
    package var at: WallTime
    /// How long after `at` reading was closed where it was noticed; zero: that was not measured.
    package var closedAfter: Span

    package init(id: [UInt8], detector: String, sentence: String, direction: Direction, selector: Selector, at: WallTime, closedAfter: Span = .zero) {
        self.id = id
        self.detector = detector
        self.sentence = sentence
        self.direction = direction
        self.selector = selector
        self.at = at
        self.closedAfter = closedAfter
    }

    package static let idBytes = 16
    /// Who is named as the author of what it closes.
    package var author: String { "detector \(detector)" }

    /// What is to be in force for it.
    package func closure(_ epoch: Epoch, incident: UInt64, from: WallTime) -> Closure {
        Closure(epoch: epoch, direction: direction, selector: selector, reason: sentence, author: author, incident: incident, from: from)
    }
}

/// What happened to an incident, one step.
package struct IncidentStep: Hashable, Sendable {
    package enum What: Hashable, Sendable {
        case opened
        case found(Finding)
        case moved(to: IncidentState)
        case certified(Epoch, isComplete: Bool)
        case resumed(Epoch)
        case noted(String)
        /// - Parameter exposure: SHA-256 of the exposure as it was computed.
        case assessed(exposure: [UInt8], summary: String)
        case noticesDecided(count: UInt64)
        case notified(delivered: UInt64, unreachable: UInt64)
    }

    package var index: UInt64
    package var at: WallTime
    package var author: String
    package var what: What

    package init(index: UInt64, at: WallTime, author: String, what: What) {
        self.index = index
        self.at = at
        self.author = author
        self.what = what
    }
}
