import Gate
import Rules
import Synchronization

/// Reads documents once: a pause by class asks what classes there are, and must not wait for the reading of a long one; and whatever is compared is compared with the one in force.
final class PolicyReading: Sendable {
    private let known = Mutex<[(bytes: [UInt8], document: PolicyDocument?)]>([])
    /// The one in force, and what is proposed in its place.
    private static let documentsMax = 4

    /// Nil: it cannot be read here.
    func document(_ text: PolicyText) -> PolicyDocument? { document(text.bytes) }

    func document(_ bytes: [UInt8]) -> PolicyDocument? {
        // The newest last: the one in force is asked for again and again, and stays.
        if let document = known.withLock({ known in
            known.firstIndex { $0.bytes == bytes }.map { place in
                known.append(known.remove(at: place))
                return known[known.count - 1].document
            }
        }) { return document }
        let document = try? PolicyReader().read(canonical: bytes)
        known.withLock { known in
            if known.count == PolicyReading.documentsMax { known.removeFirst() }
            known.append((bytes, document))
        }
        return document
    }
}
