import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Ledger
import SwiftProtobuf
import Testing
import Wire

/// Writes a ledger as control would, and as no control may: nothing that is asked for is refused here.
struct Scribe {
    static let origin = "sluice.example/governance"
    static let people = ["ops-1", "ops-2", "ops-3"]

    private(set) var entries: [WireRecordedEntry] = []
    /// Moves on by a second with each entry.
    var now = WallTime(microseconds: 1_764_000_000_000_000)
    private var keys: [String: OperatorKey] = [:]
    var nonces: UInt8 = 0

    var index: UInt64 { UInt64(entries.count) }

    /// Begins with two operators and the vault's key, unless it is to begin with nothing.
    init(empty: Bool = false) throws {
        for (number, name) in (Scribe.people + ["stranger"]).enumerated() { keys[name] = try OperatorKey(seed: SecretBytes(.init(repeating: UInt8(number + 1), count: 32))) }
        guard !empty else { return }
        try write(.began(beginning()), by: "control")
        try write(.vaultKeyAnnounced(.init(repeating: 7, count: 32)), by: "control")
    }

    func beginning(_ names: [String] = ["ops-1", "ops-2"]) throws -> Beginning {
        Beginning(origin: Scribe.origin, operators: try names.map { try member($0) }, controlKey: "c", policyKey: "p", controlWitness: "cw", policyWitness: "pw")
    }

    func member(_ name: String, person: String? = nil) throws -> Operator {
        Operator(name: name, person: person ?? name, key: try key(name).publicKey.raw, session: Scribe.session(name))
    }

    /// Beyond what tests give to agents.
    static func session(_ name: String) -> [UInt8] { .init(repeating: 240 + UInt8(people.firstIndex(of: name) ?? people.count), count: 32) }

    private func key(_ name: String) throws -> OperatorKey { try #require(keys[name]) }

    // MARK: Signing

    mutating func sign(_ command: Command, by name: String, at seen: UInt64? = nil) throws -> WireSignedCommand {
        try sign(.command, try WireCommand(command).serializedBytes(), by: name, at: seen)
    }

    mutating func approve(_ number: UInt64, of proposed: WireSignedCommand, by name: String, at seen: UInt64? = nil) throws -> WireSignedCommand {
        let approved = ApprovedProposal(number: number, hash: try #require(ProposalHash(Array(SHA256.hash(data: proposed.statement)))))
        return try sign(.approval, approved.bytes, by: name, at: seen)
    }

    private mutating func sign(_ purpose: Statement.Purpose, _ body: [UInt8], by name: String, at seen: UInt64?) throws -> WireSignedCommand {
        nonces += 1
        let from = UInt64(now.microseconds / 1_000)
        let statement = try Statement(
            purpose, origin: Scribe.origin, index: seen ?? index, from: from, until: from + 300_000, nonce: .init(repeating: nonces, count: 16), author: name, body: body)
        let signed = try SignedCommand(statement, by: key(name))
        var wire = WireSignedCommand()
        wire.statement = Data(signed.bytes)
        wire.signature = Data(signed.signature)
        wire.key = Data(signed.key.bytes)
        return wire
    }

    // MARK: Writing

    mutating func write(_ deed: Entry.Deed, by author: String, _ signed: WireSignedCommand? = nil, proposal: UInt64? = nil, index: UInt64? = nil) throws {
        now = now + .seconds(1)
        var body = WireEntry(Entry(index: index ?? self.index + 1, at: now, author: author, proposal: proposal, deed: deed))
        if let signed { body.signed = signed }
        entries.append(recorded(try body.serializedData()))
    }

    private func recorded(_ body: Data) -> WireRecordedEntry {
        var entry = WireRecordedEntry()
        entry.salt = Data(SHA256.hash(data: Data("salt \(entries.count)".utf8)))
        entry.body = body
        return entry
    }

    /// Takes what stands last and writes it otherwise.
    mutating func change(_ change: (inout WireEntry) -> Void) throws {
        var body = try WireEntry(serializedBytes: entries.removeLast().body)
        change(&body)
        entries.append(recorded(try body.serializedData()))
    }

    mutating func pause(_ epoch: UInt64, by name: String = "ops-1", selector: Selector = Selector()) throws {
        let signed = try sign(.pause(selector, .both, reason: "a test"), by: name)
        try write(.paused(closure(epoch, by: name, selector)), by: name, signed)
    }

    func closure(_ epoch: UInt64, by name: String = "ops-1", _ selector: Selector = Selector()) -> Closure {
        Closure(epoch: Epoch(epoch), direction: .both, selector: selector, reason: "a test", author: name, incident: epoch, from: now)
    }

    /// Proposed by one, approved by another, and not carried out yet.
    @discardableResult
    mutating func agree(_ number: UInt64, _ command: Command, by proposer: String = "ops-1", and approver: String = "ops-2") throws -> WireSignedCommand {
        let proposed = try propose(number, command, by: proposer)
        try write(.approved(number: number), by: approver, approve(number, of: proposed, by: approver))
        return proposed
    }

    @discardableResult
    mutating func propose(_ number: UInt64, _ command: Command, by proposer: String = "ops-1", open span: Span = .seconds(86_400)) throws -> WireSignedCommand {
        let signed = try sign(command, by: proposer)
        let hash = try #require(ProposalHash(Array(SHA256.hash(data: signed.statement))))
        try write(.proposed(number: number, hash, until: now + .seconds(1) + span, command), by: proposer, signed)
        return signed
    }

    // MARK: Reading

    /// The fold of everything; throws what it refuses first.
    func fold() throws(FoldFault) -> GovernanceFold {
        var fold = GovernanceFold()
        for entry in entries { _ = try fold.take(entry) }
        return fold
    }

    /// Why it is refused, after everything but the last entry was taken.
    func fault() throws -> FoldFault {
        var fold = GovernanceFold()
        for entry in entries.dropLast() { _ = try fold.take(entry) }
        let last = try #require(entries.last)
        do throws(FoldFault) { _ = try fold.take(last) } catch {
            #expect(fold.size == index - 1, "nothing of it was taken")
            return error
        }
        throw Taken()
    }

    struct Taken: Error {}
}

func agent(_ name: String, _ ordinal: UInt32, key: UInt8) -> Node {
    Node(name: name, ordinal: ordinal, key: .init(repeating: key, count: 32), role: .agent, scope: Scope(subject: "S-\(name)", site: "berlin", team: "search"))
}
