/// Somebody who may command, by one key. A person may hold several keys; what takes two, takes two persons.
package struct Operator: Hashable, Sendable {
    /// As it stands in the ledger: 1 to 200 bytes.
    package var name: String
    /// Who holds the key: an opaque id, the same for all keys of one person.
    package var person: String
    /// Ed25519 public key, 32 bytes. Whether it is a fit one is checked where keys are read (`Identity`).
    package var key: [UInt8]
    /// CURVE public key, 32 bytes: by which their tools connect. It lets in, and commands nothing. Empty: none.
    package var session: [UInt8]

    package init(name: String, person: String, key: [UInt8], session: [UInt8] = []) {
        self.name = name
        self.person = person
        self.key = key
        self.session = session
    }
}

/// Why the operators stay as they are.
package enum OperatorsRefused: Error, Hashable, Sendable {
    case unknown(name: String)
    /// Fewer than two persons would be left, and nothing could ever be widened again.
    case lastTwo
    /// The name stands for another operator now, or stood for another person once: the ledger must not become ambiguous.
    case nameInUse(String)
    case keyInUse(by: String)
    /// A key that was taken away never comes back: who has it may have stolen it.
    case keyRevoked(of: String)
}

/// Who may command now, and whose keys were taken away.
///
/// Moves: ``change(removing:adding:)`` alone, whole or not at all, so that a key can be replaced when there are only two.
package struct Operators: Hashable, Sendable {
    /// By name.
    package private(set) var current: [String: Operator] = [:]
    /// By key. Kept for good: a command under such a key is refused as revoked, and not as unknown.
    package private(set) var revoked: [[UInt8]: Operator] = [:]

    package init() {}

    package var persons: Set<String> { Set(current.values.map(\.person)) }

    package subscript(name: String) -> Operator? { current[name] }

    package func holder(of key: [UInt8]) -> Operator? { current.values.first { $0.key == key } }

    /// Takes operators away, then adds others.
    ///
    /// - Throws: the first reason against it; nothing is changed then.
    package mutating func change(removing names: Set<String>, adding added: [Operator]) throws(OperatorsRefused) {
        var next = self
        for name in names.sorted() {
            guard let gone = next.current.removeValue(forKey: name) else { throw .unknown(name: name) }
            next.revoked[gone.key] = gone
        }
        for new in added { try next.add(new) }
        // A suite's first entry makes two; from then on there are two.
        guard next.persons.count >= min(2, persons.count) else { throw .lastTwo }
        self = next
    }

    private mutating func add(_ new: Operator) throws(OperatorsRefused) {
        if let old = revoked[new.key] { throw .keyRevoked(of: old.name) }
        if let holder = holder(of: new.key) { throw .keyInUse(by: holder.name) }
        guard current[new.name] == nil, !revoked.values.contains(where: { $0.name == new.name && $0.person != new.person }) else {
            throw .nameInUse(new.name)
        }
        current[new.name] = new
    }
}
