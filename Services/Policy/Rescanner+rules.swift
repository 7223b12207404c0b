import Crypto
import Detection
import Enforcement
import Foundation
import Gate
import Rules
import Vault

extension Rescanner {
    /// By the policy document that is in force and the detection of now: the same look that policy takes at batches as they come.
    ///
    /// What the document's rules leave nothing of goes, and so does what is less than it was. That a purpose or a record is missing by now takes nothing away: the
    /// rest was captured when they were there, and whoever wants it gone has an erasure. Nor does it keep anything: whose consent is withdrawn has the rules applied as others.
    ///
    /// A document that says the same of what is captured is the same here: who may read what needs no walk through everything.
    /// - Returns: nil: no document is in force, or nothing can be made of it.
    init?(_ rules: SharedRules) {
        guard let policy = rules.latest.policy else { return nil }
        self.init(id: Data(SHA256.hash(data: Data(policy.document.forCapture.canonical) + Data(rules.ruleText.utf8)))) {
            var enforcement = Enforcement(rules, hasAllRecords: true)
            return { segment, columns in
                guard let policy = enforcement.refresh().policy else { return nil }
                let review: (events: [Event], verdicts: [Verdict])?
                do throws(ReviewRefused) { review = try enforcement.review(columns, of: segment.scope, claimed: segment.dataClass, policy) } catch {
                    // It stays what it is, and is counted.
                    if case .tooMuchText = error { throw SegmentUnreadable(row: 0, why: .changed) }
                    throw error
                }
                guard let (events, verdicts) = review else { return nil }
                var judged = Rescanner.Judged(left: [:])
                for (event, verdict) in zip(events, verdicts) {
                    if let higher = policy.raised(verdict.dataClass, over: segment.dataClass) { judged.drifted[higher, default: 0] += 1 }
                    switch (verdict.left, verdict.reason) {
                    case (.kept(let dataClass, let kept), _): judged.left[dataClass, default: []].append(kept)
                    case (.counted, _), (.dropped, .rule), (.dropped, .neverStored): break
                    case (.dropped, _): judged.left[segment.dataClass, default: []].append(event)
                    }
                }
                return judged
            }
        }
    }
}
