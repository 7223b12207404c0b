import Gate
import Seal

/// Which of the vault's keys policy lacks, and when it looks for them again. Reads no clock and no disk.
///
/// A key is wanted from its proposal on, not only from its announcement: so policy has it before the first agent can seal to it. While a wanted key
/// is missing, batches sealed to it wait at their agents.
struct KeyWatch {
    private(set) var held: Set<VaultKeyID>
    private var wanted: Set<VaultKeyID> = []
    /// Looks that did not bring every key that is wanted.
    private(set) var refusals: UInt64 = 0
    /// Why the last look did not; empty: it did, or nothing is missing.
    private(set) var trouble = ""
    private var isLooking = false
    /// What the opener waits for.
    private var asked: Set<VaultKeyID> = []
    private var lookAt: Instant?

    /// Between two looks: an operator who puts the file right waits no longer than this.
    static let pause = Span.seconds(1)

    init(held: [VaultKeyID]) { self.held = Set(held) }

    var missing: Set<VaultKeyID> { wanted.subtracting(held) }

    /// What control's ledger says now. Call when all of it is here: keys that were announced before others may be gone for good.
    mutating func follow(_ governance: Governance, at now: Instant) {
        var keys = governance.proposed.values.compactMap { command -> [UInt8]? in
            guard case .announceVaultKey(let key) = command else { return nil }
            return key
        }
        if !governance.vaultKey.isEmpty { keys.append(governance.vaultKey) }
        let before = missing
        wanted = Set(keys.compactMap { VaultPublicKey(raw: $0)?.id })
        if missing.isEmpty { trouble = "" }
        // Also if none is missing any more: the opener waits for none then.
        if missing != before { lookAt = now }
    }

    /// The keys to look for now, and to wait for; nil: not now.
    mutating func due(at now: Instant) -> Set<VaultKeyID>? {
        guard !isLooking, let lookAt, now >= lookAt else { return nil }
        isLooking = true
        asked = missing
        return missing
    }

    /// A look has ended.
    ///
    /// - Parameter keys: what is there and opens batches from now on; nil: nothing has changed, because of `why`.
    /// - Returns: whether there is something else to say of it than the last time.
    mutating func found(_ keys: [VaultKeyID]?, why: String, at now: Instant) -> Bool {
        isLooking = false
        if let keys { held = Set(keys) }
        let next = missing.isEmpty ? "" : keys == nil ? why : "no key file holds \(missing.map { "\($0)" }.sorted().joined(separator: ", "))"
        if !next.isEmpty { refusals += 1 }
        lookAt = missing.isEmpty && asked.isSubset(of: held) ? nil : now + KeyWatch.pause
        defer { trouble = next }
        return next != trouble || keys != nil && next.isEmpty
    }
}
