import Gate
import Rules
import Synchronization

/// Reads the document that is in force, once: a pause by class asks what classes there are, and must not wait for the reading of a long one.
final class PolicyReading: Sendable {
    private let known = Mutex<(bytes: [UInt8], document: PolicyDocument?)?>(nil)

    /// Nil: it cannot be read here.
    func document(_ text: PolicyText) -> PolicyDocument? {
        if let known = known.withLock({ $0 }), known.bytes == text.bytes { return known.document }
        let document = try? PolicyReader().read(canonical: text.bytes)
        known.withLock { $0 = (text.bytes, document) }
        return document
    }
}
