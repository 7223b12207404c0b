import Chassis
import Foundation
import Gate
import Identity
import Ledger
import Messaging

/// `agent.json` in an agent's home.
struct AgentSettings: Codable, Sendable {
    /// In the registry: what batches are sealed as. Ingest must know this agent by the same one.
    var name: String
    /// Where ingest listens: `tcp://host:port`.
    var ingest: String
    /// Ingest's public key, Z85: pinned, so that nobody else can hand out permits. Exchanged by ``ServerPin`` alone.
    var serverKey: String
    /// Verifier key (C2SP) of control's ledger: pinned, so that nobody else can name the key that batches are sealed to. Exchanged by ``LedgerPin`` alone.
    var ledgerKey: String
    /// All that count beside it, and what is known of them; absent: it alone.
    var ledgerKeys: LedgerKeys?
    /// Bytes of sealed payloads on disk. Default 256 MiB. When it is full new events are refused, and counted.
    var spoolBytesMax: Int = 256 << 20
    /// Of the suite, milliseconds.
    var leaseMilliseconds: Int = 3_000
    /// A connection lasts so long, or up to twice that, and until nothing is under way: see ``ConnectionAge``. 1 to 86,400; default 120.
    var connectionSeconds: Int = 120

    /// A ``LedgerTrust``, in texts.
    struct LedgerKeys: Codable, Sendable {
        /// The older first; begins with ``AgentSettings/ledgerKey``, or that was changed by hand, and counts alone.
        var keys: [String]
        var retired: [String]
        var index: UInt64
    }

    enum CodingKeys: String, CodingKey { case name, ingest, serverKey, ledgerKey, ledgerKeys, spoolBytesMax, leaseMilliseconds, connectionSeconds }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        name = try values.decode(String.self, forKey: .name)
        ingest = try values.decode(String.self, forKey: .ingest)
        serverKey = try values.decode(String.self, forKey: .serverKey)
        ledgerKey = try values.decode(String.self, forKey: .ledgerKey)
        ledgerKeys = try values.decodeIfPresent(LedgerKeys.self, forKey: .ledgerKeys)
        spoolBytesMax = try values.decodeIfPresent(Int.self, forKey: .spoolBytesMax) ?? 256 << 20
        leaseMilliseconds = try values.decodeIfPresent(Int.self, forKey: .leaseMilliseconds) ?? 3_000
        connectionSeconds = try values.decodeIfPresent(Int.self, forKey: .connectionSeconds) ?? 120
    }

    init(home: String) throws(Complaint) {
        let path = home + "/agent.json"
        do {
            self = try JSONDecoder().decode(AgentSettings.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw Complaint("cannot read \(path): \(TrustedNodes.reason(error)); 'sluice-agent join' and 'sluice register' make it")
        }
        guard CurveKey(z85: serverKey) != nil else { throw Complaint("\(path): serverKey is not 40 characters of Z85") }
        do { _ = try trust } catch { throw Complaint("\(path): ledgerKey is no verifier key: \(error)") }
        guard spoolBytesMax >= 1 << 20 else { throw Complaint("\(path): spoolBytesMax is \(spoolBytesMax): at least 1,048,576 is expected") }
        guard (1...86_400).contains(connectionSeconds) else { throw Complaint("\(path): connectionSeconds is \(connectionSeconds): 1 to 86,400 is expected") }
    }

    var trust: LedgerTrust {
        get throws(VerifierKeyRefused) {
            guard let ledgerKeys, ledgerKeys.keys.first == ledgerKey else { return LedgerTrust(try VerifierKey(parsing: ledgerKey)) }
            return LedgerTrust(
                try ledgerKeys.keys.map { key throws(VerifierKeyRefused) in try VerifierKey(parsing: key) },
                retired: Set(try ledgerKeys.retired.map { key throws(VerifierKeyRefused) in try VerifierKey(parsing: key) }), index: ledgerKeys.index)
        }
    }

    /// As they stand in agent.json.
    static func fields(of trust: LedgerTrust) -> [String: Any] {
        [
            "ledgerKey": "\(trust.keys[0])",
            "ledgerKeys": ["keys": trust.keys.map { "\($0)" }, "retired": trust.retired.map { "\($0)" }.sorted(), "index": Int(clamping: trust.index)],
        ]
    }
}

/// `status.json`: what the agent last said of itself, for `sluice-agent status`.
struct AgentStatus: Codable {
    var name: String
    var pid: Int32
    var atMicroseconds: Int64
    var isConnected: Bool
    var epoch: UInt64
    var classes: [String]
    var leaseLeftMilliseconds: Int64
    var accepted: UInt64
    var refused: [String: UInt64]
    /// What came as from ingest and was not taken, by reason.
    var pushesRefused: [String: UInt64]?
    var unknownFields: UInt64
    /// The policy document's entry in control's ledger; 0: none is in force.
    var policy: UInt64?
    /// The hash of the rules kept to.
    var rules: String?
    /// The permit names others, which are not here yet.
    var isRulesMissing: Bool?
    /// By kind: of these a number is all that is left.
    var counted: [String: UInt64]?
    var minimised: UInt64?
    /// Keys that wait until it is known what they type.
    var waiting: Int?
    var spoolBatches: Int
    var spoolBytes: Int
    var spoolBytesMax: Int
    var spoolOldestMicroseconds: Int64?
    var quarantined: Int
    var keysRefused: UInt64

    init(_ view: Recorder.View, _ extent: Spool.Extent, _ outside: SpoolThread.Outside, _ settings: AgentSettings) {
        name = settings.name
        pid = getpid()
        atMicroseconds = Clock.wall().microseconds
        isConnected = outside.isConnected
        epoch = view.epoch.number
        classes = view.classes.map(\.name).sorted()
        leaseLeftMilliseconds = view.leaseLeft.milliseconds
        accepted = view.counts.accepted
        refused = view.counts.refused
        pushesRefused = view.counts.pushes
        unknownFields = view.counts.unknownFields
        policy = view.policy
        rules = view.rules.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        isRulesMissing = view.isRulesMissing
        counted = view.counts.counted
        minimised = view.counts.minimised
        waiting = view.waiting
        spoolBatches = extent.batches
        spoolBytes = extent.bytes
        spoolBytesMax = settings.spoolBytesMax
        spoolOldestMicroseconds = extent.oldest?.microseconds
        quarantined = extent.quarantined
        keysRefused = outside.keysRefused
    }

    /// For people only; that it cannot be written must not stop the agent.
    func write(to path: String) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        guard let data = try? encoder.encode(self) else { return }
        try? data.write(to: URL(fileURLWithPath: path), options: .atomic)
    }
}
