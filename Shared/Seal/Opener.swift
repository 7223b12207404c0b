import Crypto
import Foundation
import Gate

/// The key of one stream under one encapsulation. Opens on any thread; prints as nothing.
package struct BatchKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    fileprivate let key: SymmetricKey

    /// - Parameters:
    ///   - payload: the payload frame as it came.
    ///   - header: the bytes that came before it, untouched: never written anew from what was read out of them.
    /// - Throws: `tooShort`, `changed`.
    package func open(_ payload: [UInt8], sequence: UInt64, header: [UInt8]) throws(OpenRefused) -> [UInt8] {
        guard payload.count >= Encapsulation.overheadBytes else { throw .tooShort(bytes: payload.count) }
        do {
            let end = payload.count - Encapsulation.tagBytes
            let box = try AES.GCM.SealedBox(nonce: Suite.nonce(sequence), ciphertext: payload[Encapsulation.bytesCount..<end], tag: payload[end...])
            return Array(try AES.GCM.open(box, using: key, authenticating: header))
        } catch {
            throw .changed
        }
    }

    package var description: String { "BatchKey(redacted)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Opens what agents sealed, with the vault's keys.
///
/// Working out a key costs as much as opening twenty batches, so keys are kept: of each agent the last few encapsulations, of all agents a bounded number. An agent that
/// makes a new encapsulation for each batch pushes out its own keys, and costs itself the time.
package struct Opener: Sendable {
    /// This hour's, the last one's whose batches are still under way, and those of two restarts.
    package static let encapsulationsPerAgent = 4
    static let streamsPerEncapsulation = 64

    private struct Known: Sendable {
        let encapsulation: Encapsulation
        let recipient: HPKE.Recipient
        var streams: [UInt64: SymmetricKey] = [:]
    }
    private struct Agent: Sendable {
        /// The one used last goes last.
        var known: [Known] = []
        var used: UInt64 = 0
    }

    private let origin: String
    private let agentsMax: Int
    private var vaultKeys: [VaultKeyID: VaultKey]
    private var agents: [String: Agent] = [:]
    private var uses: UInt64 = 0
    /// Encapsulations that were worked out: how often the table did not hold one.
    package private(set) var derivations: UInt64 = 0

    /// - Parameters:
    ///   - keys: the vault's: the present one, and earlier ones for as long as agents may hold batches sealed to them.
    ///   - agentsMax: agents whose keys are kept; about 2 KiB each.
    package init(origin: String, keys: [VaultKey], agentsMax: Int = 16_384) {
        self.origin = origin
        self.agentsMax = max(1, agentsMax)
        vaultKeys = Dictionary(keys.map { ($0.publicKey.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// Agents whose keys are kept now.
    package var agentsKnown: Int { agents.count }

    /// Opens to these keys from now on. What was worked out under a key that is gone is forgotten with it.
    package mutating func use(_ keys: [VaultKey]) {
        vaultKeys = Dictionary(keys.map { ($0.publicKey.id, $0) }, uniquingKeysWith: { first, _ in first })
        for name in agents.keys { agents[name]?.known.removeAll { vaultKeys[$0.encapsulation.vaultKey] == nil } }
    }

    /// Forgets an agent: it was removed, or has a new name.
    package mutating func forget(agent: String) { agents[agent] = nil }

    /// Finds the key and opens. Where several threads open, take ``key(for:from:stream:)`` under a lock and open outside it.
    package mutating func open(
        _ payload: [UInt8], from agent: String, stream: UInt64, sequence: UInt64, header: [UInt8]
    ) throws(OpenRefused) -> [UInt8] {
        try key(for: payload, from: agent, stream: stream).open(payload, sequence: sequence, header: header)
    }

    /// - Parameter agent: whose the session is, by its key and the registry; never what a body says.
    /// - Throws: `tooShort`, `unknownVersion`, `unknownVaultKey`, `badEncapsulation`, `wrongKey`.
    package mutating func key(for payload: [UInt8], from agent: String, stream: UInt64) throws(OpenRefused) -> BatchKey {
        let encapsulation = try Encapsulation(startOf: payload)
        uses += 1
        agents[agent]?.used = uses
        if let place = agents[agent]?.known.lastIndex(where: { $0.encapsulation == encapsulation }) {
            return try streamKey(stream, agent, place)
        }
        let known = try derive(encapsulation, from: agent)
        // Only now: who sends rubbish pushes nobody's keys out.
        if agents[agent] == nil { makeRoom() }
        var entry = agents[agent] ?? Agent()
        entry.used = uses
        if entry.known.count >= Self.encapsulationsPerAgent { entry.known.removeFirst() }
        entry.known.append(known)
        agents[agent] = entry
        return try streamKey(stream, agent, entry.known.count - 1)
    }

    private mutating func derive(_ encapsulation: Encapsulation, from agent: String) throws(OpenRefused) -> Known {
        guard let vaultKey = vaultKeys[encapsulation.vaultKey] else { throw .unknownVaultKey(encapsulation.vaultKey) }
        guard !MontgomeryPoint.isLowOrder(encapsulation.key) else { throw .badEncapsulation }
        derivations += 1
        let info = Suite.info(origin: origin, agent: agent)
        guard
            let recipient = try? HPKE.Recipient(
                privateKey: vaultKey.key, ciphersuite: Suite.hpke, info: info, encapsulatedKey: Data(encapsulation.key)),
            let confirmation = try? recipient.exportSecret(context: Suite.confirmationContext, outputByteCount: 8)
        else { throw .badEncapsulation }
        guard confirmation.withUnsafeBytes({ $0.elementsEqual(encapsulation.confirmation) }) else { throw .wrongKey }
        return Known(encapsulation: encapsulation, recipient: recipient)
    }

    private mutating func streamKey(_ stream: UInt64, _ agent: String, _ place: Int) throws(OpenRefused) -> BatchKey {
        guard var entry = agents[agent] else { throw .badEncapsulation }
        if let key = entry.known[place].streams[stream] {
            if place == entry.known.count - 1 { return BatchKey(key: key) }
            entry.known.append(entry.known.remove(at: place))
            agents[agent] = entry
            return BatchKey(key: key)
        }
        guard let key = try? entry.known[place].recipient.exportSecret(context: Suite.streamContext(stream), outputByteCount: 32) else {
            throw .badEncapsulation
        }
        var known = entry.known.remove(at: place)
        // Nobody has as many; who claims to, works them out again.
        if known.streams.count >= Self.streamsPerEncapsulation { known.streams = [:] }
        known.streams[stream] = key
        entry.known.append(known)
        agents[agent] = entry
        return BatchKey(key: key)
    }

    /// Drops a quarter at once, the longest unused first: sorting then costs little for each agent that comes.
    private mutating func makeRoom() {
        guard agents.count >= agentsMax else { return }
        let oldest = agents.map { ($0.value.used, $0.key) }.sorted { $0.0 < $1.0 }
        for (_, name) in oldest.prefix(max(1, agentsMax / 4)) { agents[name] = nil }
    }
}
