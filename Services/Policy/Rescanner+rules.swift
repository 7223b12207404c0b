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
    /// rest was captured when they were there, and whoever wants it gone has an erasure.
    /// - Returns: nil: no document is in force, or nothing can be made of it.
    init?(_ rules: SharedRules) {
        let inForce = rules.latest
        guard inForce.policy != nil, let text = inForce.text else { return nil }
        self.init(id: Data(SHA256.hash(data: Data(text.bytes) + Data(RuleBook.ownText.utf8)))) {
            var enforcement = Enforcement(rules)
            return { segment, columns in
                guard let policy = enforcement.refresh().policy,
                    let (events, verdicts) = try enforcement.review(columns, of: segment.scope, claimed: segment.dataClass, policy)
                else { return nil }
                var left: [DataClass: [Event]] = [:]
                for (event, verdict) in zip(events, verdicts) {
                    switch (verdict.left, verdict.reason) {
                    case (.kept(let dataClass, let kept), _): left[dataClass, default: []].append(kept)
                    case (.counted, _), (.dropped, .rule), (.dropped, .neverStored): break
                    case (.dropped, _): left[segment.dataClass, default: []].append(event)
                    }
                }
                return left
            }
        }
    }
}
