package import Gate
package import Ledger

extension LedgerKeys {
    /// Those that count under a name, the older first.
    package func verifiers(_ name: KeyName) -> [VerifierKey] { (current[name.description] ?? []).compactMap { try? VerifierKey(parsing: $0) } }

    /// Those that counted once: what they signed then stays signed, and nothing new is believed of them.
    package var retiredVerifiers: [VerifierKey] { retired.compactMap { try? VerifierKey(parsing: $0) } }
}

extension Governance {
    /// Why `key` may not be announced; nothing is changed.
    package func check(announcingLedgerKey key: String, beside before: String) throws(LedgerKeysRefused) {
        var trial = ledgerKeys
        try trial.announce(key, beside: before)
        guard let next = try? VerifierKey(parsing: key), let known = try? VerifierKey(parsing: before), next.name == known.name,
            next.algorithm == known.algorithm, next.publicKey != known.publicKey
        else { throw .unfit }
    }
}
