import Foundation

/// An Alertmanager that is told of incidents: `alertmanager` in `notify.json`.
///
/// | key | type | |
/// | --- | --- | --- |
/// | `url` | text | of the server, as its own pages have it: `/api/v2/alerts` is put behind it |
/// | `user`, `password` | text | for basic authentication; both, or neither |
/// | `ca` | text | a PEM file of the authorities that vouch for it. Default: the machine's |
/// | `labels` | text by name | on each alert, to route by; not `alertname`, `incident`, `severity`, `class` |
/// | `allow_private` | truth | as for a hook |
struct Alertmanager: Hashable, Sendable {
    let url: String
    let authorization: Authorization?
    let authorities: String?
    let labels: [String: String]
    let mayBePrivate: Bool

    /// The channel's name, where deliveries are listed.
    static let name = "alertmanager"
    static let path = "/api/v2/alerts"

    /// Never printed.
    struct Authorization: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        fileprivate let value: String
        /// A header. What is in it is base64: a password can break no line.
        var line: String { "authorization: Basic " + value }
        var description: String { "(hidden)" }
        var customMirror: Mirror { Mirror(self, children: []) }
    }

    struct File: Decodable {
        var url: String
        var user: String?
        var password: String?
        var ca: String?
        var labels: [String: String]?
        var allowPrivate: Bool?

        enum CodingKeys: String, CodingKey, CaseIterable { case url, user, password, ca, labels, allowPrivate = "allow_private" }

        init(from decoder: any Decoder) throws {
            try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            url = try values.decode(String.self, forKey: .url)
            user = try values.decodeIfPresent(String.self, forKey: .user)
            password = try values.decodeIfPresent(String.self, forKey: .password)
            ca = try values.decodeIfPresent(String.self, forKey: .ca)
            labels = try values.decodeIfPresent([String: String].self, forKey: .labels)
            allowPrivate = try values.decodeIfPresent(Bool.self, forKey: .allowPrivate)
        }
    }

    /// Those that are Sluice's to set.
    static let ownLabels: Set = ["alertname", "incident", "severity", "class"]
    static let labelsMax = 20
    static let valueBytesMax = 200

    init(_ file: File, path: String) throws(HooksRefused) {
        if let why = Hooks.refusal(of: file.url) { throw .badAlertmanager(path: path, why: "its url cannot be used: \(why)") }
        guard !file.url.contains("?"), !file.url.contains("#") else { throw .badAlertmanager(path: path, why: "its url has a query or a fragment") }
        let base = file.url.hasSuffix("/") ? String(file.url.dropLast()) : file.url
        url = base.hasSuffix(Alertmanager.path) ? base : base + Alertmanager.path
        switch (file.user, file.password) {
        case (nil, nil): authorization = nil
        case (let user?, let password?):
            guard !user.isEmpty, !user.contains(":") else { throw .badAlertmanager(path: path, why: "its user is empty, or has a colon") }
            authorization = Authorization(value: Data("\(user):\(password)".utf8).base64EncodedString())
        default: throw .badAlertmanager(path: path, why: "it has a user or a password, and not both")
        }
        authorities = file.ca
        labels = file.labels ?? [:]
        guard labels.count <= Alertmanager.labelsMax else { throw .badAlertmanager(path: path, why: "it has \(labels.count) labels; there can be \(Alertmanager.labelsMax)") }
        for (name, value) in labels.sorted(by: { $0.key < $1.key }) {
            guard Alertmanager.isLabel(name) else { throw .badAlertmanager(path: path, why: "\(name.debugDescription) is no name of a label") }
            guard !Alertmanager.ownLabels.contains(name) else { throw .badAlertmanager(path: path, why: "the label \(name) is Sluice's own") }
            guard 1...Alertmanager.valueBytesMax ~= value.utf8.count else { throw .badAlertmanager(path: path, why: "the label \(name) does not have 1 to \(Alertmanager.valueBytesMax) bytes") }
        }
        mayBePrivate = file.allowPrivate ?? false
    }

    /// As Prometheus has it: letters, digits and _, no digit first.
    private static func isLabel(_ text: String) -> Bool {
        1...valueBytesMax ~= text.utf8.count && text.first?.isNumber == false && text.utf8.allSatisfy { Hooks.isNameByte($0) && $0 != UInt8(ascii: "-") }
    }
}
