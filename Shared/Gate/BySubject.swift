/// A table of people that is cheap to copy, and to compare with what it was: the parts that did not change share their storage, and are equal without being
/// looked at.
///
/// The table of a company has a hundred thousand rows. Every entry of a ledger of years is compared with the state before it, and most change one row.
package struct BySubject<Value: Hashable & Sendable>: Hashable, Sendable {
    /// By a subject's hash; none at all while the table is empty.
    private var parts: [[String: Value]] = []

    private static var partsMax: Int { 512 }

    package init() {}

    package init(_ rows: [String: Value]) {
        for (subject, value) in rows { self[subject] = value }
    }

    private func part(_ subject: String) -> Int { subject.hashValue & (Self.partsMax - 1) }

    package subscript(subject: String) -> Value? {
        get { parts.isEmpty ? nil : parts[part(subject)][subject] }
        set {
            if parts.isEmpty {
                guard newValue != nil else { return }
                parts = Array(repeating: [:], count: Self.partsMax)
            }
            parts[part(subject)][subject] = newValue
        }
    }

    package var isEmpty: Bool { parts.allSatisfy(\.isEmpty) }
    package var count: Int { parts.reduce(0) { $0 + $1.count } }
    /// In no order.
    package var all: [(subject: String, value: Value)] { parts.flatMap { $0.map { ($0.key, $0.value) } } }

    /// The rows that are here, and were not, or were otherwise. In no order.
    package func differing(from before: BySubject) -> [(subject: String, was: Value?, value: Value)] {
        var found: [(String, Value?, Value)] = []
        for (number, part) in parts.enumerated() {
            let old = before.parts.isEmpty ? [:] : before.parts[number]
            guard part != old else { continue }
            for (subject, value) in part where old[subject] != value { found.append((subject, old[subject], value)) }
        }
        return found
    }

    /// Two that hold the same rows are equal, also when one of them never held any.
    package static func == (left: BySubject, right: BySubject) -> Bool {
        left.parts == right.parts || (left.isEmpty && right.isEmpty)
    }

    package func hash(into hasher: inout Hasher) {
        if !isEmpty { hasher.combine(parts) }
    }
}
