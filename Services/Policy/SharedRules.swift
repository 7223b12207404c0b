import Detection
import Gate
import Rules
import Synchronization
import Vault

/// The policy document that is in force and what is on record of whom, for the threads that open and write batches. The reactor changes it.
final class SharedRules: Sendable {
    struct InForce: Sendable {
        /// Changes with every change.
        var version: UInt64 = 0
        /// The document; nil: none is in force.
        var text: PolicyText?
        /// With a document, nil: nothing can be made of it, and nothing is stored.
        var policy: Policy?
        var records = BySubject<SubjectRecords>()
    }

    private let state = Mutex(InForce())
    /// The rules of detection, as they are written.
    let ruleText: String
    /// Compiled when a document first asks for it: half a second.
    private let compiled = Mutex<Detector?>(nil)

    /// - Parameter ruleText: This program's own, but for tests of what happens when they change.
    init(ruleText: String = RuleBook.ownText) { self.ruleText = ruleText }

    var latest: InForce { state.withLock { $0 } }
    var version: UInt64 { state.withLock { $0.version } }

    /// - Returns: why nothing can be made of the document.
    func set(_ text: PolicyText?, records: BySubject<SubjectRecords>) -> Mistakes? {
        var next = latest
        var trouble: Mistakes?
        if let text, text.bytes != next.text?.bytes {
            next.text = text
            next.policy = nil
            do throws(Mistakes) { next.policy = Policy(try PolicyReader(detections: detections()).read(canonical: text.bytes)) } catch { trouble = error }
        } else if records == next.records {
            return nil
        }
        next.records = records
        next.version += 1
        state.withLock { $0 = next }
        return trouble
    }

    func detector() throws(DetectorRefused) -> Detector {
        try compiled.withLock { known throws(DetectorRefused) in
            if let known { return known }
            let book: RuleBook
            do throws(RuleBookRefused) { book = try RuleBook(parsing: ruleText) } catch { throw .rules(error) }
            let detector = try Detector(book)
            known = detector
            return detector
        }
    }

    /// They are a part of this program, and can be read.
    private func detections() -> Set<String> { Set((try? RuleBook(parsing: ruleText))?.types.map(\.word) ?? []) }
}

extension Retention {
    /// As the document says, or shorter where this machine's operator says so. What is never stored any more goes at once.
    init(_ document: PolicyDocument, atMost own: Retention) {
        self = own
        for one in document.classes {
            let span = one.retention ?? .zero
            spans[one.dataClass] = min(spans[one.dataClass] ?? span, span)
        }
    }
}
