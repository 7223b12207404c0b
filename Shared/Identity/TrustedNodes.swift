import Foundation
import Gate
package import Messaging

/// The services, operators and readers (and the joining process and the doors for reports, which are none of them) that a suite begins with: `registry.json` in its home. Agents are registered by control.
package struct TrustedNodes: Codable, Sendable {
    package struct Entry: Codable, Sendable {
        package var name: String
        /// `service`, `operator`, `reader`, `join` or `hooks`.
        package var role: String
        /// Public key, Z85.
        package var key: String
        /// Operators: the key that signs commands, in OpenSSH's form. Counts at the first start of control alone: from then on its ledger says who
        /// commands.
        package var signingKey: String?
        /// Readers: who of the directory has the key, by their id. Absent: a job.
        package var subject: String?

        package init(name: String, role: String, key: String, signingKey: String? = nil, subject: String? = nil) {
            self.subject = subject
            self.name = name
            self.role = role
            self.key = key
            self.signingKey = signingKey
        }

        /// What the ZAP handler calls the holder of the key.
        package var user: String { hasKeysOfItsOwn ? User.text(role, name, CurveKey(z85: key)) : "\(role)/\(name)" }

        /// A service, the joining process, or the doors for reports: its keys are exchanged by the ledger, and two of them count meanwhile.
        package var hasKeysOfItsOwn: Bool { User.keyed.contains(role) }
    }

    package struct Invalid: Error, CustomStringConvertible {
        package var description: String
    }

    /// The keys that the two ledgers are checked with: C2SP verifier keys, whose names are the ledgers' origins; and the vault's first key.
    package struct Anchors: Codable, Sendable {
        package var control: String
        package var controlWitness: String
        package var policy: String
        package var policyWitness: String
        /// X25519 public key, base64. Counts at the first start of control alone.
        package var vault: String

        package init(control: String, controlWitness: String, policy: String, policyWitness: String, vault: String) {
            self.control = control
            self.controlWitness = controlWitness
            self.policy = policy
            self.policyWitness = policyWitness
            self.vault = vault
        }
    }

    package var nodes: [Entry]
    package var anchors: Anchors

    package init(nodes: [Entry], anchors: Anchors) {
        self.nodes = nodes
        self.anchors = anchors
    }

    package init(contentsOf path: String) throws(Invalid) {
        do {
            self = try JSONDecoder().decode(TrustedNodes.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw Invalid(description: "cannot read \(path): \(Self.reason(error)); 'sluice up' makes it")
        }
        for node in nodes {
            guard ["service", "operator", "reader", "join", "hooks"].contains(node.role) else {
                throw Invalid(description: "\(path): node \(node.name) has the role '\(node.role)': service, operator, reader, join or hooks is expected")
            }
            guard node.name != Probe.name else {
                throw Invalid(description: "\(path): '\(node.name)' is the name under which policy asks itself whether anybody may read, and no list of who read shows it: give this \(node.role) another")
            }
            guard CurveKey(z85: node.key) != nil else {
                throw Invalid(description: "\(path): the key of \(node.name) is not 40 characters of Z85")
            }
        }
    }

    package static func reason(_ error: any Error) -> String {
        if let error = error as? DecodingError {
            switch error {
            case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context), .valueNotFound(_, let context):
                return context.debugDescription
            @unknown default: return "\(error)"
            }
        }
        return (error as NSError).localizedDescription
    }

    /// Public keys of those that have one of `roles`, and their users.
    package func admitted(_ roles: Set<String>) -> [CurveKey: String] {
        var table: [CurveKey: String] = [:]
        for node in nodes where roles.contains(node.role) {
            if let key = CurveKey(z85: node.key) { table[key] = node.user }
        }
        return table
    }

    package func key(of name: String) -> CurveKey? {
        nodes.first { $0.name == name }.flatMap { CurveKey(z85: $0.key) }
    }
}

/// Who is on the other side of a session, as the ZAP handler said.
package struct User: Hashable, Sendable {
    package var role: String
    package var name: String
    /// Services, the joining process and the doors for reports: the key that the connection was made with. Two count while one is being exchanged, and a connection outlives its key.
    package var key: CurveKey?

    package init?(_ text: String) {
        guard let slash = text.firstIndex(of: "/") else { return nil }
        role = String(text[..<slash])
        name = String(text[text.index(after: slash)...])
        guard User.keyed.contains(role), let last = name.lastIndex(of: "/") else { return }
        key = CurveKey(hex: name[name.index(after: last)...])
        name = String(name[..<last])
    }

    /// Roles whose keys are exchanged by the ledger.
    package static let keyed: Set<String> = ["service", "join", "hooks"]

    package static func text(_ role: String, _ name: String, _ key: CurveKey?) -> String { "\(role)/\(name)/\(key?.hex ?? "")" }
}
