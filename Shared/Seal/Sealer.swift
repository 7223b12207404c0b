import Crypto
import Foundation
package import Gate

/// Why a batch is not sealed. Each is a fault on our side.
package enum SealRefused: Error, Hashable, Sendable {
    /// Origin or agent is empty, longer than 200 bytes, or holds control characters.
    case badName
    case badVaultKey(VaultKeyID)
    /// A sequence is sealed once: a second content under its key and nonce would give both away.
    case sequenceUsed(stream: UInt64, sequence: UInt64, last: UInt64)
    case tooManyStreams(max: Int)
    case failed
}

/// Seals an agent's batches to the vault, from one start of the agent to its end.
///
/// It makes an encapsulation of its own when it begins, when the last is an hour old, and for a new vault key. There is no way to copy it, to save it, or to give it
/// an encapsulation: so a key is known to one sealer alone, which seals each sequence of a stream once, in rising order. What was
/// sealed is sent again as it is, and never sealed again.
package struct Sealer: ~Copyable, Sendable {
    /// The most that one lost key opens.
    package static let encapsulationAge = Span.seconds(3_600)
    /// An agent has one for each class.
    package static let streamsMax = 1_024

    private let info: Data
    private var vault: VaultPublicKey
    private var sender: HPKE.Sender
    private var prelude: [UInt8]
    private var made: Instant
    private var keys: [UInt64: SymmetricKey] = [:]
    /// Outlives the encapsulations: a sequence has one content, under whatever key.
    private var lastSealed: [UInt64: UInt64] = [:]

    /// - Parameters:
    ///   - origin: of control's ledger: which suite this is.
    ///   - agent: the agent's name in the registry, as the vault knows it.
    package init(vault: VaultPublicKey, origin: String, agent: String, at now: Instant) throws(SealRefused) {
        guard Suite.isName(origin), Suite.isName(agent) else { throw .badName }
        let info = Suite.info(origin: origin, agent: agent)
        let (sender, prelude) = try Self.encapsulate(to: vault, info: info)
        self.info = info
        self.vault = vault
        self.sender = sender
        self.prelude = prelude
        made = now
    }

    /// Seals to another key from the next batch on.
    package mutating func use(_ vault: VaultPublicKey, at now: Instant) throws(SealRefused) {
        guard vault != self.vault else { return }
        let (sender, prelude) = try Self.encapsulate(to: vault, info: info)
        self.vault = vault
        renew(sender, prelude, at: now)
    }

    /// Seals one batch.
    ///
    /// - Parameters:
    ///   - sequence: higher than any before in `stream`.
    ///   - header: the bytes that travel before the payload and are associated with it: exactly as they are sent, every time. What may differ between two
    ///     sendings is not part of them.
    /// - Returns: the payload frame, ``Encapsulation/overheadBytes`` longer than `payload`.
    package mutating func seal(
        _ payload: [UInt8], stream: UInt64, sequence: UInt64, header: [UInt8], at now: Instant
    ) throws(SealRefused) -> [UInt8] {
        if let last = lastSealed[stream] {
            guard sequence > last else { throw .sequenceUsed(stream: stream, sequence: sequence, last: last) }
        } else {
            guard lastSealed.count < Self.streamsMax else { throw .tooManyStreams(max: Self.streamsMax) }
        }
        if now - made >= Self.encapsulationAge {
            let (sender, prelude) = try Self.encapsulate(to: vault, info: info)
            renew(sender, prelude, at: now)
        }
        do {
            let key = try key(of: stream)
            // Used from here on, whatever follows.
            lastSealed[stream] = sequence
            let box = try AES.GCM.seal(payload, using: key, nonce: Suite.nonce(sequence), authenticating: header)
            var frame: [UInt8] = []
            frame.reserveCapacity(prelude.count + payload.count + Encapsulation.tagBytes)
            frame += prelude
            frame += box.ciphertext
            frame += box.tag
            return frame
        } catch {
            throw .failed
        }
    }

    private mutating func key(of stream: UInt64) throws -> SymmetricKey {
        if let key = keys[stream] { return key }
        let key = try sender.exportSecret(context: Suite.streamContext(stream), outputByteCount: 32)
        keys[stream] = key
        return key
    }

    private mutating func renew(_ sender: HPKE.Sender, _ prelude: [UInt8], at now: Instant) {
        self.sender = sender
        self.prelude = prelude
        made = now
        keys = [:]
    }

    private static func encapsulate(to vault: VaultPublicKey, info: Data) throws(SealRefused) -> (HPKE.Sender, prelude: [UInt8]) {
        guard !MontgomeryPoint.isLowOrder(vault.raw) else { throw .badVaultKey(vault.id) }
        do {
            let key = try Curve25519.KeyAgreement.PublicKey(rawRepresentation: vault.raw)
            let sender = try HPKE.Sender(recipientKey: key, ciphersuite: Suite.hpke, info: info)
            let confirmation = try sender.exportSecret(context: Suite.confirmationContext, outputByteCount: 8).withUnsafeBytes { Array($0) }
            return (sender, Encapsulation(vaultKey: vault.id, key: Array(sender.encapsulatedKey), confirmation: confirmation).bytes)
        } catch {
            throw .badVaultKey(vault.id)
        }
    }
}
