import Foundation
package import Gate
package import Ledger
import SwiftProtobuf
package import Wire

/// Why what is said of the keys of control's ledger changes nothing for who hears it.
package enum LedgerKeyNotProven: Error, Hashable, Sendable, CustomStringConvertible {
    case entry(EntryNotProven)
    /// It is in the ledger, and changes none of its own keys.
    case otherDeed
    /// It begins with a key that is not believed here, or takes one away by that one's own word.
    case unconnected(index: UInt64)

    package var description: String {
        switch self {
        case .entry(let why): "control's ledger does not prove it: \(why)"
        case .otherDeed: "the entry that is named changes no key of control's ledger"
        case .unconnected(let index): "entry \(index) does not follow on the keys that are known here"
        }
    }
}

/// The keys that control's ledger is believed by, of somebody who began with one of them. Reads no clock, touches no disk.
///
/// Moves: *one* → an announcement that this one has signed for → *two* → a retirement that the other has signed for → *one*. Entries count in their order, each once:
/// one that stands before the last that counted is left, or a key that was given up could be brought back by its own announcement.
///
/// A key that was retired has no way back, whatever it signs. Until somebody has heard of the retirement its holder can tell them another story, as before.
package struct LedgerTrust: Hashable, Sendable {
    /// The older first; never empty.
    package private(set) var keys: [VerifierKey]
    package private(set) var retired: Set<VerifierKey>
    /// The entry that last changed them; 0: none has.
    package private(set) var index: UInt64

    /// - Parameter keys: not empty.
    package init(_ keys: [VerifierKey], retired: Set<VerifierKey> = [], index: UInt64 = 0) {
        precondition(!keys.isEmpty)
        self.keys = keys
        self.retired = retired
        self.index = index
    }

    package init(_ key: VerifierKey) { self.init([key]) }

    /// Of the ledger.
    package var origin: KeyName { keys[0].name }

    /// Takes an announcement or a retirement, whoever hands it over.
    ///
    /// - Returns: false: it stands before what is known and was not looked at, or says what is known.
    package mutating func take(_ proof: WireEntryProof) throws(LedgerKeyNotProven) -> Bool {
        // Not proven yet; that it says it is old is reason enough to leave it.
        if let said = try? WireEntry(serializedBytes: proof.entry.body), said.index <= index { return false }
        let entry: ProvenEntry
        do throws(EntryNotProven) { entry = try ProvenEntry(proof, ledger: keys) } catch { throw .entry(error) }
        switch entry.body.deed {
        case .ledgerKeyAnnounced(let deed):
            guard LedgerKeys.name(of: deed.key) == origin.description else { throw .otherDeed }
            if keys.contains(where: { "\($0)" == deed.key }) { return false }
            guard let next = try? VerifierKey(parsing: deed.key), next.algorithm == .note, !retired.contains(next),
                entry.signers.contains(where: { "\($0)" == deed.beside })
            else { throw .unconnected(index: entry.index) }
            keys.append(next)
        case .ledgerKeyRetired(let deed):
            guard LedgerKeys.name(of: deed.key) == origin.description else { throw .otherDeed }
            guard let gone = try? VerifierKey(parsing: deed.key), entry.signers.contains(where: { $0 != gone }) else { throw .unconnected(index: entry.index) }
            // Also one that was never known here: who began with the newer is not led back to it.
            retired.insert(gone)
            keys.removeAll { $0 == gone }
        default: throw .otherDeed
        }
        index = entry.index
        return true
    }

    /// Goes by the ledger itself, all of which is here and signed by one of ``keys``.
    package mutating func follow(_ governance: Governance) {
        let counting = governance.ledgerKeys.verifiers(origin)
        guard governance.ownKeysIndex > 0, !counting.isEmpty else { return }
        keys = counting
        retired = Set(governance.ledgerKeys.retiredVerifiers.filter { $0.name == origin })
        index = governance.ownKeysIndex
    }
}

/// ``LedgerTrust`` of who follows the ledger, as it is kept: `SERVICE/control.ledger-keys`. `index N`, then a key a line, and behind it `retired` if it counts no more.
///
/// Beside them the registry's key is believed, unless it is known to be retired: as with ``PinnedKeys``.
package struct PinnedLedgerKeys: Sendable {
    private let path: String

    package init(_ folder: String) { path = folder + "/control.ledger-keys" }

    package func load(else key: VerifierKey) throws(Complaint) -> LedgerTrust {
        guard let data = FileManager.default.contents(atPath: path) else { return LedgerTrust(key) }
        let damaged = Complaint("\(path) holds no keys of \(key.name): delete it, and the key in registry.json counts")
        var lines = String(decoding: data, as: UTF8.self).split(separator: "\n").map { $0.split(separator: " ") }
        guard let first = lines.first, first.count == 2, first[0] == "index", let index = UInt64(first[1]) else { throw damaged }
        lines.removeFirst()
        var (keys, retired): ([VerifierKey], Set<VerifierKey>) = ([], [])
        for words in lines {
            guard let known = try? VerifierKey(parsing: String(words[0])), known.name == key.name, known.algorithm == key.algorithm, words.count == 1 || words.dropFirst() == ["retired"]
            else { throw damaged }
            if words.count == 1 { keys.append(known) } else { retired.insert(known) }
        }
        guard !keys.isEmpty, retired.isDisjoint(with: keys) else { throw damaged }
        if !keys.contains(key), !retired.contains(key) { keys.append(key) }
        return LedgerTrust(keys, retired: retired, index: index)
    }

    /// Keys that control's ledger is believed by in a home: the registry's, and those that its services have come to.
    package static func known(in home: Home, else key: VerifierKey) -> [VerifierKey] {
        let all = ["ingest", "policy", "notify"].compactMap { try? PinnedLedgerKeys(home.file($0)).load(else: key) }
        let retired = all.reduce(into: Set<VerifierKey>()) { $0.formUnion($1.retired) }
        let keys = all.reduce(into: [key]) { known, trust in known += trust.keys.filter { !known.contains($0) } }.filter { !retired.contains($0) }
        return keys.isEmpty ? [key] : keys
    }

    /// A few hundred bytes, when a key is announced or retired: it may be written where it is noticed. Failing costs a look into the registry, and at what control hands
    /// over, at the next start.
    package func keep(_ trust: LedgerTrust) {
        let lines = ["index \(trust.index)"] + trust.keys.map { "\($0)" } + trust.retired.map { "\($0) retired" }.sorted()
        try? lines.map { $0 + "\n" }.joined().write(toFile: path, atomically: true, encoding: .utf8)
    }
}
