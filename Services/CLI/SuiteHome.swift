import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Messaging
import Seal
import Wire

/// Makes a suite's folder: settings, keys, who is trusted. What is there already stays as it is.
struct SuiteHome {
    let home: Home
    let settings: SuiteSettings
    let isNew: Bool

    static let services = ["control", "ingest", "policy", "notify"]
    /// Those whose key is exchanged while they run.
    static let keyed = services + [joining, hooks]
    /// Has a key and a port, and no rights of a service: it holds no lease, and policy does not let it in.
    static let joining = "join"
    /// The doors for reports, likewise; it can say that something was reported, and nothing else.
    static let hooks = "hooks"
    /// Widening will take two; so there are two from the first start.
    static let operators = ["ops-1", "ops-2"]

    /// - Parameters:
    ///   - portBase: The services' ports are the seven after it; nil: what suite.json says, else 7700.
    init(_ home: Home, portBase: Int?, leaseMilliseconds: Int?) throws {
        self.home = home
        try home.makeFolder()
        for folder in ["keys", "agents", "logs"] { try home.makeFolder(folder) }
        try home.gatherVaultKeys()
        try home.makeFolder("keys/vault")
        _ = try CanaryKeyFile.loadOrMake(home.canaryKey)
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
        let path = home.file("registry.json")
        let known = FileManager.default.fileExists(atPath: path) ? try TrustedNodes(contentsOf: path) : nil
        var nodes: [TrustedNodes.Entry] = []
        for name in SuiteHome.services {
            nodes.append(.init(name: name, role: "service", key: try SuiteHome.key(of: name, at: home.serviceKey(name), home, known).z85))
        }
        for name in [SuiteHome.joining, SuiteHome.hooks] {
            nodes.append(.init(name: name, role: name, key: try SuiteHome.key(of: name, at: home.serviceKey(name), home, known).z85))
        }
        for name in SuiteHome.operators where known?.key(of: name) == nil {
            let session = try KeyFile.loadOrMake(home.key(name))
            let line = try SuiteHome.signingKey(home.signingKey(name)).line(name: name).trimmingCharacters(in: .newlines)
            nodes.append(.init(name: name, role: "operator", key: session.publicKey.z85, signingKey: line))
        }
        // Operators, whose keys may be with their owners by now, readers, and whoever else was added by hand, stay.
        nodes += known?.nodes.filter { node in !nodes.contains { $0.name == node.name } } ?? []
        let anchors = try known?.anchors ?? SuiteHome.anchors(home)
        try TrustedNodes(nodes: nodes, anchors: anchors).write(to: path)
    }

    /// A service's key, made where the registry names none yet.
    ///
    /// One that it names, and that is gone or another, is not replaced: whoever has pinned it would look for it in vain, and nobody would say why.
    private static func key(of name: String, at path: String, _ home: Home, _ known: TrustedNodes?) throws -> CurveKey {
        guard let expected = known?.key(of: name) else { return try KeyFile.loadOrMake(path).publicKey }
        let key = try KeyFile.load(path).publicKey
        // What the service has taken up counts by the ledger; the registry is told after it.
        guard key == expected || path == home.takenUpKey(name) else { throw ServiceHost.otherKey(path, of: name) }
        return key
    }

    /// An operator's key as the first start makes it: in the clear, for their owner to protect ('sluice key protect').
    private static func signingKey(_ path: String) throws -> OperatorPublicKey {
        guard !FileManager.default.fileExists(atPath: path) else {
            let publicPath = path.replacingOccurrences(of: ".key", with: ".pub")
            guard let text = FileManager.default.contents(atPath: publicPath) else { throw Complaint("\(publicPath) is missing: it holds the public key of \(path)") }
            return try OperatorPublicKey(text: String(decoding: text, as: UTF8.self))
        }
        let key = try OperatorKey.make()
        try key.writeInTheClear(to: path)
        let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        try key.publicKey.line(name: name).write(toFile: path.replacingOccurrences(of: ".key", with: ".pub"), atomically: true, encoding: .utf8)
        return key.publicKey
    }

    /// Makes the keys of the two ledgers, of their witnesses, and of the vault.
    private static func anchors(_ home: Home) throws -> TrustedNodes.Anchors {
        // Random, so that what was signed for one suite counts in no other.
        let suite = "sluice/" + [UInt8].random(8).map { String(format: "%02x", $0) }.joined()
        try home.makeFolder("keys/vault")
        let vault = try VaultKeyFile.loadOrMake(home.vaultKey).publicKey
        _ = try MasterKeyFile.loadOrMake(home.masterKey)
        return .init(
            control: try LedgerKey.loadOrMake(home.ledgerKey("control"), name: suite + "/governance", .note).verifier.description,
            controlWitness: try LedgerKey.loadOrMake(home.witnessKey("control"), name: suite + "/control", .cosignature).verifier.description,
            policy: try LedgerKey.loadOrMake(home.ledgerKey("policy"), name: suite + "/reads", .note).verifier.description,
            policyWitness: try LedgerKey.loadOrMake(home.witnessKey("policy"), name: suite + "/policy", .cosignature).verifier.description,
            vault: Data(vault.raw).base64EncodedString())
    }

    /// The key of control's ledger that a machine begins with which joins now, of those that count by control.
    ///
    /// While two do, the older: by its word a machine hears of the newer, and never the other way round, so that either may be given up. Which one is older is control's to
    /// say, and it is believed of a key that is known here alone.
    ///
    /// - Throws: `Complaint` when the registry's counts no more: nobody begins with a key that may have been stolen.
    static func beginning(_ ledgers: [WireLedgerKey], _ trusted: TrustedNodes, _ home: Home) throws -> String {
        let registered = trusted.anchors.control
        let counting = ledgers.map(\.key).filter { LedgerKeys.name(of: $0) == LedgerKeys.name(of: registered) }
        // An older control says nothing of it.
        guard let older = counting.first else { return registered }
        guard counting.contains(registered) else {
            throw Complaint("registry.json names a key of control's ledger that does not count any more: take 'control' of its anchors over from registry.json on control's machine")
        }
        let known = PinnedLedgerKeys.known(in: home, else: try ServiceHost.verifier(registered))
        return known.contains { "\($0)" == older } ? older : registered
    }

    /// Makes an agent's folder below the home: its key and agent.json.
    ///
    /// - Parameter client: of control, which says what counts now.
    static func makeAgent(_ name: String, in home: Home, _ client: Client) throws -> (folder: String, key: CurveKey) {
        guard !name.contains("/"), !name.hasPrefix("."), !name.isEmpty else { throw Complaint("an agent's name is no path: \(name)") }
        try home.makeFolder("agents/\(name)")
        let folder = home.file("agents/\(name)")
        let settings = try SuiteSettings(from: home)
        let keys = try KeyFile.loadOrMake(folder + "/agent.secret")
        let trusted = try TrustedNodes(contentsOf: home.file("registry.json"))
        guard let server = trusted.key(of: "ingest") else {
            throw Complaint("registry.json names no key of ingest")
        }
        var known = (FileManager.default.contents(atPath: folder + "/agent.json").flatMap { try? JSONSerialization.jsonObject(with: $0) } as? [String: Any]) ?? [:]
        let beginning = try SuiteHome.beginning(client.query(.serviceKeys(WireServiceKeysQuery())).serviceKeys.ledgers, trusted, home)
        // One that has run knows more than where it began, and keeps it.
        let believed = (known["ledgerKeys"] as? [String: Any])?["keys"] as? [String] ?? []
        let agent: [String: Any] = [
            "name": name, "ingest": ServiceHost.reachable(settings.ingest), "serverKey": server.z85, "ledgerKey": believed.contains(beginning) ? believed[0] : beginning,
            "leaseMilliseconds": settings.leaseMilliseconds,
        ]
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
