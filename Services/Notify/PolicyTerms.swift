import Gate
import Rules

/// What the policy document in force says of notices. Each document is read once: it may have a megabyte.
struct PolicyTerms: Sendable {
    private var known: PolicyText?
    private var terms = NoticeTerms.none

    /// - Parameter text: nil: there is none, or it is not believed.
    /// - Returns: of a document that cannot be read here, what counts where none says anything.
    mutating func read(_ text: PolicyText?) -> NoticeTerms {
        if text != known {
            known = text
            terms = text.flatMap { try? PolicyReader().read(canonical: $0.bytes) }?.notices ?? NoticeTerms.none
        }
        return terms
    }
}

extension MailSettings.Escalation {
    /// The earlier of what both say.
    func time(by terms: NoticeTerms) -> Span { terms.escalate.map { min($0, after) } ?? after }
}
