package import Gate
package import Identity
package import Messaging

extension TrustedNodes {
    /// Keys that count for a service, the older first: those that the ledger names, and before it names any the registry's.
    package func keys(of service: String, by governance: Governance) -> [CurveKey] {
        governance.serviceKeys.current[service]?.compactMap { CurveKey($0) } ?? key(of: service).map { [$0] } ?? []
    }

    /// ``admitted(_:)``, with services, and the joining process, by the keys that count now.
    package func admitted(_ roles: Set<String>, by governance: Governance) -> [CurveKey: String] {
        var table = admitted(roles.subtracting(User.keyed))
        for node in nodes where node.hasKeysOfItsOwn && roles.contains(node.role) {
            for key in keys(of: node.name, by: governance) { table[key] = User.text(node.role, node.name, key) }
        }
        return table
    }

    /// ``admitted(_:by:)``, with the ledger's operators, and its readers where they are among the roles.
    ///
    /// An older ledger may have somebody of the probe's name. They are let in nowhere: no list of who read would show them.
    package func admittedWithLedger(_ roles: Set<String>, by governance: Governance) -> [CurveKey: String] {
        var table = admitted(roles, by: governance)
        for member in governance.operators.current.values where member.name != Probe.name {
            if let key = CurveKey(member.session) { table[key] = "operator/\(member.name)" }
        }
        guard roles.contains("reader") else { return table }
        for node in governance.nodes.values where node.role == .reader && node.name != Probe.name {
            if let key = CurveKey(node.key) { table[key] = "reader/\(node.name)" }
        }
        return table
    }

    /// Who goes by this key and is no agent: a service or a reader, also by a key that was retired; an operator's session. By the ledger or the registry.
    package func holderBesideAgents(of key: [UInt8], by governance: Governance) -> String? {
        if let holder = governance.holderBesideAgents(of: key) { return "\(holder)" }
        return nodes.first { CurveKey(z85: $0.key)?.bytes == key }.map { "'\($0.name)'" }
    }

    /// Whether whoever is on the other side may still be taken for the service; of everybody else this says nothing.
    package func counts(_ user: User, by governance: Governance) -> Bool {
        !User.keyed.contains(user.role) || user.key.map { keys(of: user.name, by: governance).contains($0) } ?? false
    }
}
