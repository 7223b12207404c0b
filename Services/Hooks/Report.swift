import Crypto
import Foundation
import Rules

/// One thing that another system has reported: an alert of Alertmanager's, or a message that was signed.
struct Report: Hashable, Sendable {
    /// The same for the same report, however often it comes: of everything that makes it another.
    let key: Data
    /// By label, or by the path of a field: `data.severity`. A list's values stand under its path.
    let fields: [String: [String]]
    /// It begins; what is over closes nothing and opens nothing.
    let isFiring: Bool

    /// Why a body is no report.
    enum Refused: Error, Hashable, Sendable {
        case notJSON(Mistake.Fault)
        /// Alertmanager's format has another version, or none.
        case version(String)
        /// What is missing, or is something else.
        case missing(String)
        case tooMany(Int)
    }

    static let keyBytes = 32
    /// In one body. Alertmanager sends a group at once, and 1 MiB holds no more.
    static let countMax = 10_000
    /// Of one report: a rule asks for a few.
    static let fieldsMax = 1_000
    static let pathBytesMax = 1_000

    /// The alerts of Alertmanager's webhook, format 4 (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>).
    static func alerts(_ body: some Collection<UInt8>) throws(Refused) -> [Report] {
        let root = try tree(body).table ?? [:]
        guard let version = root["version"]?.text else { throw .missing("version") }
        guard version == "4" else { throw .version(version) }
        guard let group = root["groupKey"]?.text else { throw .missing("groupKey") }
        guard let alerts = root["alerts"]?.list else { throw .missing("alerts") }
        guard alerts.count <= countMax else { throw .tooMany(alerts.count) }
        var reports: [Report] = []
        for alert in alerts {
            let alert = alert.table ?? [:]
            guard let status = alert["status"]?.text, ["firing", "resolved"].contains(status) else { throw .missing("alerts[].status") }
            guard let labels = alert["labels"]?.table, let started = alert["startsAt"]?.text else { throw .missing("alerts[].labels, startsAt") }
            guard labels.count <= fieldsMax else { throw .tooMany(labels.count) }
            var fields: [String: [String]] = [:]
            for (name, value) in labels {
                guard let text = value.text else { throw .missing("alerts[].labels: texts") }
                fields[name] = [text]
            }
            let named = labels.keys.sorted().flatMap { [$0, fields[$0]?.first ?? ""] }
            reports.append(Report(key: hash([Hook.alertmanager.rawValue, group, started, status] + named), fields: fields, isFiring: status == "firing"))
        }
        return reports
    }

    /// A message whose signature was checked: its fields are a rule's to know.
    static func signed(_ id: String, _ body: some Collection<UInt8>) throws(Refused) -> Report {
        let tree = try tree(body)
        guard tree.table != nil else { throw .missing("an object") }
        var fields: [String: [String]] = [:]
        var count = 0
        try tree.gather("", into: &fields, &count)
        guard count <= fieldsMax else { throw .tooMany(count) }
        return Report(key: hash([Hook.standard.rawValue, id]), fields: fields, isFiring: true)
    }

    private static func tree(_ body: some Collection<UInt8>) throws(Refused) -> Tree {
        do throws(Mistakes) { return try Tree(json: body) } catch { throw .notJSON(error.all.first?.fault ?? .notUTF8) }
    }

    /// Each part with its length before it: no two lists have the same bytes.
    private static func hash(_ parts: [String]) -> Data {
        var hash = SHA256()
        for part in parts {
            let bytes = Data(part.utf8)
            withUnsafeBytes(of: UInt32(clamping: bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: bytes)
        }
        return Data(hash.finalize())
    }
}

extension Report.Refused {
    /// For whoever sent it: nothing that it said is said again but what is not JSON, by its kind.
    var words: String {
        switch self {
        case .notJSON(.nestedTooDeep(let max)): "nested deeper than \(max) levels"
        case .notJSON(.duplicateKey): "an object has a key twice"
        case .notJSON: "this is not JSON"
        case .version: "the format is not version 4"
        case .missing(let what): "it lacks \(what)"
        case .tooMany(let count): "\(count) are too many for one message"
        }
    }
}

extension Tree {
    fileprivate var text: String? { if case .text(let text) = content { text } else { nil } }
    fileprivate var list: [Tree]? { if case .list(let items) = content { items } else { nil } }
    fileprivate var table: [String: Tree]? {
        guard case .table(let entries) = content else { return nil }
        return Dictionary(entries.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    /// Every text below here, by its path. It is bounded where it was made.
    ///
    /// Small keys below a long one make paths that are far larger than what was sent: both are bounded as they are made.
    fileprivate func gather(_ path: String, into fields: inout [String: [String]], _ count: inout Int) throws(Report.Refused) {
        guard path.utf8.count <= Report.pathBytesMax, count <= Report.fieldsMax else { throw .tooMany(count) }
        switch content {
        case .text(let text):
            fields[path, default: []].append(text)
            count += 1
        case .list(let items): for item in items { try item.gather(path, into: &fields, &count) }
        case .table(let entries): for entry in entries { try entry.value.gather(path.isEmpty ? entry.key : "\(path).\(entry.key)", into: &fields, &count) }
        }
    }
}
