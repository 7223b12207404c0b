/// Why the keys that ledgers are signed with stay as they are.
package enum LedgerKeysRefused: Error, Hashable, Sendable {
    /// No verifier key, or of another kind than the one beside which it is to stand.
    case unfit
    /// Nobody signs under this name.
    case unknownName
    /// Two keys count already: the older is retired first.
    case underWay
    /// It is to stand beside a key that the name does not have.
    case besideAnother
    /// It counts, or was retired: a key never comes back.
    case known
    /// The name has no such key, or none but this one.
    case unknown, last
}

/// The keys that the two ledgers are signed and cosigned with: C2SP verifier keys, as texts, by their names.
///
/// That of control's own ledger is among them: who knows the one before believes the announcement by it, and goes on from there (`LedgerTrust`).
///
/// Moves of a name: *one* → ``announce(_:beside:)`` → *two* → ``retire(_:)``, of either → *one*. What was signed while a key counted stays signed.
package struct LedgerKeys: Hashable, Sendable {
    /// By name; the older first.
    package private(set) var current: [String: [String]] = [:]
    package private(set) var retired: Set<String> = []

    package init() {}

    /// Those that a suite begins with.
    package init(_ beginning: Beginning) {
        for key in [beginning.controlKey, beginning.policyKey, beginning.controlWitness, beginning.policyWitness] { current[LedgerKeys.name(of: key)] = [key] }
    }

    /// What stands before the first `+`.
    package static func name(of key: String) -> String { String(key.prefix { $0 != "+" }) }

    /// A key that is to count under its name, beside the one that does now.
    ///
    /// - Throws: the first reason against it; nothing is changed then.
    package mutating func announce(_ key: String, beside before: String) throws(LedgerKeysRefused) {
        let name = LedgerKeys.name(of: key)
        guard let known = current[name], LedgerKeys.name(of: before) == name else { throw .unknownName }
        guard !known.contains(key), !retired.contains(key) else { throw .known }
        guard known.count == 1 else { throw .underWay }
        guard known == [before] else { throw .besideAnother }
        current[name] = [before, key]
    }

    /// A key that counts no more: the older when the other signs, or the newer if it is never to be used.
    package mutating func retire(_ key: String) throws(LedgerKeysRefused) {
        let name = LedgerKeys.name(of: key)
        guard let known = current[name], known.contains(key) else { throw .unknown }
        guard known.count > 1 else { throw .last }
        current[name] = known.filter { $0 != key }
        retired.insert(key)
    }
}
