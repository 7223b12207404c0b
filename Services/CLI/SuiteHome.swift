import Chassis
import Foundation
import Identity
import Messaging
import Wire

/// Makes a suite's folder: settings, keys, who is trusted. What is there already stays as it is.
struct SuiteHome {
    let home: Home
    let settings: SuiteSettings
    let isNew: Bool

    static let services = ["control", "ingest", "policy", "notify"]
    /// Widening will take two; so there are two from the first start.
    static let operators = ["ops-1", "ops-2"]

    /// - Parameters:
    ///   - portBase: The services' ports are the four after it; nil: what suite.json says, else 7700.
    init(_ home: Home, portBase: Int?, leaseMilliseconds: Int?) throws {
        self.home = home
        try home.makeFolder()
        for folder in ["keys", "agents", "logs"] { try home.makeFolder(folder) }
        isNew = !FileManager.default.fileExists(atPath: home.file("suite.json"))
        var settings = isNew ? SuiteSettings(portBase: portBase ?? 7_700) : try SuiteSettings(from: home)
        if !isNew, let portBase {
            let lease = settings.leaseMilliseconds
            settings = SuiteSettings(portBase: portBase)
            settings.leaseMilliseconds = lease
        }
        if let leaseMilliseconds { settings.leaseMilliseconds = leaseMilliseconds }
        try settings.write(to: home)
        self.settings = try SuiteSettings(from: home)
        var nodes: [TrustedNodes.Entry] = []
        for (role, names) in [("service", SuiteHome.services), ("operator", SuiteHome.operators)] {
            for name in names {
                let keys = try KeyFile.loadOrMake(home.key(name))
                nodes.append(.init(name: name, role: role, key: keys.publicKey.z85))
            }
        }
        // Readers, and whoever else was added by hand, stay.
        if let known = try? TrustedNodes(contentsOf: home.file("registry.json")) {
            nodes += known.nodes.filter { node in !nodes.contains { $0.name == node.name } }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        do {
            try encoder.encode(TrustedNodes(nodes: nodes)).write(to: URL(fileURLWithPath: home.file("registry.json")), options: .atomic)
        } catch {
            throw Complaint("cannot write \(home.file("registry.json")): \(TrustedNodes.reason(error))")
        }
    }

    /// Makes an agent's folder below the home: its key and agent.json.
    func makeAgent(_ name: String) throws -> (folder: String, key: CurveKey) {
        guard !name.contains("/"), !name.hasPrefix("."), !name.isEmpty else { throw Complaint("an agent's name is no path: \(name)") }
        try home.makeFolder("agents/\(name)")
        let folder = home.file("agents/\(name)")
        let keys = try KeyFile.loadOrMake(folder + "/agent.secret")
        guard let server = try TrustedNodes(contentsOf: home.file("registry.json")).key(of: "ingest") else {
            throw Complaint("registry.json names no key of ingest")
        }
        let agent: [String: Any] = [
            "name": name, "ingest": ServiceHost.reachable(settings.ingest), "serverKey": server.z85, "leaseMilliseconds": settings.leaseMilliseconds,
        ]
        var known = (FileManager.default.contents(atPath: folder + "/agent.json").flatMap { try? JSONSerialization.jsonObject(with: $0) } as? [String: Any]) ?? [:]
        known.merge(agent) { _, new in new }
        let data = try JSONSerialization.data(withJSONObject: known, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        try data.write(to: URL(fileURLWithPath: folder + "/agent.json"), options: .atomic)
        return (folder, keys.publicKey)
    }

    static func node(_ name: String, key: CurveKey, subject: String, site: String, team: String) -> WireNode {
        var node = WireNode()
        node.name = name
        node.key = Data(key.bytes)
        node.role = .agent
        node.subject = subject
        node.site = site
        node.team = team
        return node
    }
}
