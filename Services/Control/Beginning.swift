import Chassis
import Foundation
import Gate
import Identity
import Messaging
import SwiftProtobuf
import Wire

extension Beginning {
    /// The first two entries of a new ledger, from the registry that the suite's home was made with: who commands, whose signatures count, and the
    /// vault's key. They are the root of trust: nobody can have signed for them.
    static func entries(_ trusted: TrustedNodes) throws -> [Recorded] {
        var operators: [Operator] = []
        for node in trusted.nodes where node.role == "operator" {
            guard let line = node.signingKey, let session = CurveKey(z85: node.key) else {
                throw Complaint("registry.json names no signing key of operator \(node.name); 'sluice up' makes it, in a new --home")
            }
            operators.append(Operator(name: node.name, person: node.name, key: try OperatorPublicKey(text: line).raw, session: session.bytes))
        }
        guard operators.count >= 2 else { throw Complaint("registry.json names \(operators.count) operators: a ledger begins with two persons or more") }
        let anchors = trusted.anchors
        guard let vault = Data(base64Encoded: anchors.vault), vault.count == 32 else { throw Complaint("the vault's key in registry.json is no key") }
        let beginning = Beginning(
            origin: String(anchors.control.prefix { $0 != "+" }), operators: operators, controlKey: anchors.control, policyKey: anchors.policy,
            controlWitness: anchors.controlWitness, policyWitness: anchors.policyWitness)
        let now = Clock.wall()
        return [
            try Recorded(Entry(index: 1, at: now, author: "control", deed: .began(beginning)), signed: nil),
            try Recorded(Entry(index: 2, at: now, author: "control", deed: .vaultKeyAnnounced([UInt8](vault))), signed: nil),
        ]
    }
}

/// What was signed for each proposal that can still be approved or looked at.
struct Statements {
    private(set) var all: [UInt64: WireSignedCommand] = [:]

    mutating func note(_ recorded: WireRecordedEntry, _ entry: Entry) {
        if let number = entry.proposal { all[number] = nil }
        switch entry.deed {
        case .withdrawn(let number): all[number] = nil
        case .proposed(let number, _, _, _):
            guard let wire = try? WireEntry(serializedBytes: recorded.body) else { return }
            all[number] = wire.signed
        default: break
        }
    }

    /// What has expired is approved by nobody any more.
    mutating func keep(_ proposals: Proposals) { all = all.filter { proposals.all[$0.key]?.isOpen ?? false } }
}
