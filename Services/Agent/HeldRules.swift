import Chassis
import Detection
import Enforcement
import Foundation
import Gate
import Messaging
import Rules
import Synchronization
import Wire

/// Rules that this agent can keep to: read, and with what it takes to look into texts where they ask for it.
struct HeldRules: Sendable {
    /// Empty: those without a policy document.
    let hash: [UInt8]
    let rulings: Rulings
    /// Nil where nobody looks into anything.
    let detector: Detector?
    /// Classes of which anything is captured by them.
    let captured: Set<DataClass>

    init(hash: [UInt8], rulings: Rulings, detector: Detector?) {
        self.hash = hash
        self.rulings = rulings
        self.detector = detector
        captured = rulings.captured
    }

    /// While no document is in force.
    static let standard = HeldRules(
        hash: [], rulings: Rulings(Policy(.standard), of: Person("", site: "", team: ""), records: Records(notices: ["operation"])), detector: nil)
}

/// Makes rules of what ingest sent, on a thread of its own: what looks into texts is compiled for half a second, and renewals must not wait.
final class RulesReader: Sendable {
    private struct State {
        var isReading = false
        /// The newest that came meanwhile. Others are forgotten: ingest sends again what a permit names.
        var waiting: WireRules?
        var detector: Detector?
    }

    private let state = Mutex(State())
    private let news: Mailbox<SpoolThread.News>

    init(news: Mailbox<SpoolThread.News>) { self.news = news }

    func take(_ body: WireRules) {
        let isFirst = state.withLock { state in
            state.waiting = body
            defer { state.isReading = true }
            return !state.isReading
        }
        guard isFirst else { return }
        startThread("rules") { [self] in
            while let body = next() {
                do { news.post(.rules(try read(body))) } catch { news.post(.rulesRefused("\(error)")) }
            }
        }
    }

    private func next() -> WireRules? {
        state.withLock { state in
            defer { state.waiting = nil }
            state.isReading = state.waiting != nil
            return state.waiting
        }
    }

    private func read(_ body: WireRules) throws -> HeldRules {
        guard body.bytes <= Limits.rulesBytesMax else { throw Complaint("the rules have \(body.bytes) bytes, at most \(Limits.rulesBytesMax) are read") }
        var decompressor = try ZstdDecompressor()
        let bytes = try decompressor.decompress([UInt8](body.packed), expected: Int(body.bytes), max: Limits.rulesBytesMax)
        let types = try RuleBook(parsing: RuleBook.ownText).types
        let rulings = try AgentRules(bytes: bytes, detections: Set(types.map(\.word))).rulings
        return HeldRules(hash: RulesHash.of(bytes), rulings: rulings, detector: rulings.isScanning ? try detector() : nil)
    }

    private func detector() throws -> Detector {
        if let known = state.withLock({ $0.detector }) { return known }
        let detector = try Detector()
        state.withLock { $0.detector = detector }
        return detector
    }
}
