import CCurl
import Crypto
import Foundation
import Gate
import Mail

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// How mail leaves: the key `mail` of `notify.json`. Without it mails are files below notify's own folder.
///
/// | key | type | |
/// | --- | --- | --- |
/// | `url` | text | `smtp://host:port`, where STARTTLS is required (port 587), or `smtps://host:port`, TLS from the first byte (port 465) |
/// | `user`, `password` | text | both or neither; sent over TLS alone |
/// | `from` | text | the sender's address, `local@domain` |
/// | `operators` | list of text | who is told of incidents; may be empty |
/// | `ca` | text | a PEM file of certificate authorities to trust; default: the machine's |
/// | `connections` | number | to the server at once, 1 to 16; default 4 |
///
/// With or without it, what is said of notices to people:
///
/// | key | type | |
/// | --- | --- | --- |
/// | `bounces.maildir` | text | the folder of the mailbox that `from` names, which a mail program fills; what comes back there marks its recipient as unreachable, and each notice says how to confirm there that it was read |
/// | `bounces.every` | number | seconds from one look to the next, 1 to 3,600; default 30 |
/// | `bounces.disposition` | yes or no | mail programs are asked to confirm that a notice was shown (RFC 8098); default yes |
/// | `escalation.after` | number | hours after which somebody is told of those who were not reached, 0.001 to 720; default 24 |
/// | `escalation.to` | list of text | addresses; default: the operators |
/// | `keep` | number | days after the last attempt for which the bytes of what was told are kept, 1 to 3,650; default 90 |
/// | `templates` | text | a folder of templates of one's own, from the home on, of which what is added at sending is taken; all of it is checked at start; default: those that come with it |
struct MailSettings: Hashable, Sendable {
    struct Server: Hashable, Sendable {
        struct Login: Hashable, Sendable {
            var user: String
            var password: String
        }

        /// Scheme, host and port, and nothing else.
        var url: String
        var host: String
        var login: Login?
        var authorities: String?
    }

    /// A Maildir that what comes back is read from: `bounces` in `notify.json`.
    struct Bounces: Hashable, Sendable {
        var folder: String
        var every = Bounces.everyDefault
        /// Asks mail programs for a receipt.
        var asksProgram = true

        static let everyDefault = Span.seconds(30)
    }

    /// After how long somebody is told of those whose notice is not delivered: `escalation` in `notify.json`.
    struct Escalation: Hashable, Sendable {
        var after = Span.seconds(24 * 3_600)
        /// Empty: the operators.
        var to: [MailAddress] = []
    }

    /// Nil: a Maildir.
    var server: Server?
    var from: Mail.Mailbox
    var operators: [MailAddress]
    var connections: Int
    /// Nil: nobody looks.
    var bounces: Bounces?
    var escalation = Escalation()
    /// For how long the bytes of what was told are kept after the last attempt: `keep` in `notify.json`.
    var keep = Span.seconds(90 * 86_400)
    /// A folder; nil: those that come with it.
    var templates: String?

    static let keepMax = 3_650
    static let connectionsMax = 16
    /// Who is told of those who were not reached; empty: nobody is.
    var escalatesTo: [MailAddress] { escalation.to.isEmpty ? operators : escalation.to }

    static let operatorsMax = 100

    /// Tells one server from another without keeping what is secret: a new one gets what the old one has disabled.
    var fingerprint: String {
        guard let server else { return "folder" }
        return Data(SHA256.hash(data: Data("\(server.url) \(server.login?.user ?? "")".utf8)).prefix(9)).base64EncodedString()
    }

    /// With no mail server: whoever looks into the folder is the operators.
    static func folder() throws(MailSettingsRefused) -> MailSettings {
        let (from, to) = ("sluice@localhost", "operators@localhost")
        return MailSettings(server: nil, from: try mailbox(from, "from", ""), operators: [try address(to, "operators", "")], connections: 1)
    }

    /// Of ``NotifyFile``, with a server.
    init(_ file: NotifyFile.MailPart, path: String) throws(MailSettingsRefused) {
        let (url, host) = try MailSettings.url(file.url, path)
        let login: Server.Login?
        switch (file.user, file.password) {
        case (nil, nil): login = nil
        case (let user?, let password?):
            guard !user.isEmpty, !password.isEmpty, (user + password).unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else { throw .badLogin(path: path) }
            login = Server.Login(user: user, password: password)
        default: throw .halfLogin(path: path)
        }
        if let authorities = file.ca {
            guard access(authorities, R_OK) == 0 else { throw .noAuthorities(path: path, file: authorities, why: String(cString: strerror(errno))) }
        }
        let connections = file.connections ?? 4
        guard 1...MailSettings.connectionsMax ~= connections else { throw .badNumber(path: path, key: "mail.connections", least: 1, most: MailSettings.connectionsMax) }
        guard file.operators.count <= MailSettings.operatorsMax else { throw .tooMany(path: path, key: "mail.operators", count: file.operators.count, most: MailSettings.operatorsMax) }
        var operators: [MailAddress] = []
        for (place, text) in file.operators.enumerated() {
            let address = try MailSettings.address(text, "mail.operators[\(place)]", path)
            if !operators.contains(address) { operators.append(address) }
        }
        self.init(
            server: Server(url: url, host: host, login: login, authorities: file.ca), from: try MailSettings.mailbox(file.from, "mail.from", path), operators: operators,
            connections: connections)
    }

    private init(server: Server?, from: Mail.Mailbox, operators: [MailAddress], connections: Int) {
        (self.server, self.from, self.operators, self.connections) = (server, from, operators, connections)
    }

    static func address(_ text: String, _ key: String, _ path: String) throws(MailSettingsRefused) -> MailAddress {
        do throws(MailAddressRefused) { return try MailAddress(text) } catch { throw .badAddress(path: path, key: key, why: error.words) }
    }

    private static func mailbox(_ text: String, _ key: String, _ path: String) throws(MailSettingsRefused) -> Mail.Mailbox {
        let address = try address(text, key, path)
        do throws(MailRefused) { return try Mail.Mailbox(name: "Sluice", address: address) } catch { throw .badAddress(path: path, key: key, why: error.words) }
    }

    /// Taken apart by libcurl, which will read it again, and put together from what is allowed in it.
    private static func url(_ text: String, _ path: String) throws(MailSettingsRefused) -> (url: String, host: String) {
        func refuse(_ why: String) -> MailSettingsRefused { .badURL(path: path, why: why) }
        guard text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { throw refuse("only visible ASCII characters may be in it") }
        guard let parsed = curl_url() else { throw refuse("no memory") }
        defer { curl_url_cleanup(parsed) }
        // Every scheme is read, so that another one is named as what it is.
        let code = curl_url_set(parsed, CURLUPART_URL, text, UInt32(CURLU_NON_SUPPORT_SCHEME))
        guard code == CURLUE_OK else { throw refuse(String(cString: curl_url_strerror(code))) }
        func part(_ part: CURLUPart) -> String? {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(parsed, part, &text, 0) == CURLUE_OK, let text else { return nil }
            defer { curl_free(text) }
            return String(cString: text)
        }
        guard let scheme = part(CURLUPART_SCHEME), ["smtp", "smtps"].contains(scheme) else { throw refuse("it does not begin with smtp:// or smtps://") }
        guard part(CURLUPART_USER) == nil, part(CURLUPART_PASSWORD) == nil else { throw refuse("user and password have keys of their own") }
        guard let host = part(CURLUPART_HOST), !host.isEmpty else { throw refuse("it names no host") }
        guard ["", "/"].contains(part(CURLUPART_PATH) ?? ""), part(CURLUPART_QUERY) == nil, part(CURLUPART_FRAGMENT) == nil else { throw refuse("nothing may follow the port") }
        let port = part(CURLUPART_PORT) ?? (scheme == "smtps" ? "465" : "587")
        return ("\(scheme)://\(host):\(port)", host)
    }
}

/// What of `notify.json` is not about hooks.
struct NotifyFile: Decodable, Sendable {
    struct MailPart: Decodable, Sendable {
        var url: String
        var user: String?
        var password: String?
        var from: String
        var operators: [String]
        var ca: String?
        var connections: Int?

        enum CodingKeys: String, CodingKey, CaseIterable { case url, user, password, from, operators, ca, connections }

        init(from decoder: any Decoder) throws {
            try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            url = try values.decode(String.self, forKey: .url)
            user = try values.decodeIfPresent(String.self, forKey: .user)
            password = try values.decodeIfPresent(String.self, forKey: .password)
            from = try values.decode(String.self, forKey: .from)
            operators = try values.decode([String].self, forKey: .operators)
            ca = try values.decodeIfPresent(String.self, forKey: .ca)
            connections = try values.decodeIfPresent(Int.self, forKey: .connections)
        }
    }

    struct RatesPart: Decodable, Sendable {
        /// Messages a second, by the channel's name; that of mail is `mail`.
        var channels: [String: Double]
        /// By host, for all channels that go there together.
        var hosts: [String: Double]

        enum CodingKeys: String, CodingKey, CaseIterable { case channels, hosts }

        init(from decoder: any Decoder) throws {
            try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            channels = try values.decodeIfPresent([String: Double].self, forKey: .channels) ?? [:]
            hosts = try values.decodeIfPresent([String: Double].self, forKey: .hosts) ?? [:]
        }
    }

    struct BouncesPart: Decodable, Sendable {
        var maildir: String
        var every: Int?
        var disposition: Bool?

        enum CodingKeys: String, CodingKey, CaseIterable { case maildir, every, disposition }

        init(from decoder: any Decoder) throws {
            try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            maildir = try values.decode(String.self, forKey: .maildir)
            every = try values.decodeIfPresent(Int.self, forKey: .every)
            disposition = try values.decodeIfPresent(Bool.self, forKey: .disposition)
        }
    }

    struct EscalationPart: Decodable, Sendable {
        var after: Double?
        var to: [String]?

        enum CodingKeys: String, CodingKey, CaseIterable { case after, to }

        init(from decoder: any Decoder) throws {
            try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
            let values = try decoder.container(keyedBy: CodingKeys.self)
            after = try values.decodeIfPresent(Double.self, forKey: .after)
            to = try values.decodeIfPresent([String].self, forKey: .to)
        }
    }

    /// Every key that something here reads. A misspelt one would be a receiver that nobody is told of.
    static let keys = ["hooks", "mail", "rates", "alertmanager", "bounces", "escalation", "keep", "templates"]

    var mail: MailPart?
    var rates: RatesPart?
    var bounces: BouncesPart?
    var escalation: EscalationPart?
    var keep: Int?
    var templates: String?

    private enum CodingKeys: String, CodingKey { case mail, rates, bounces, escalation, keep, templates }

    init(from decoder: any Decoder) throws {
        try NotifyFile.check(decoder, NotifyFile.keys)
        let values = try decoder.container(keyedBy: CodingKeys.self)
        mail = try values.decodeIfPresent(MailPart.self, forKey: .mail)
        rates = try values.decodeIfPresent(RatesPart.self, forKey: .rates)
        bounces = try values.decodeIfPresent(BouncesPart.self, forKey: .bounces)
        escalation = try values.decodeIfPresent(EscalationPart.self, forKey: .escalation)
        keep = try values.decodeIfPresent(Int.self, forKey: .keep)
        templates = try values.decodeIfPresent(String.self, forKey: .templates)
    }

    struct UnknownKey: Error {
        var key: String
        var known: [String]
    }

    private struct AnyKey: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    static func check(_ decoder: any Decoder, _ known: [String]) throws {
        let found = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue).sorted()
        guard let key = found.first(where: { !known.contains($0) }) else { return }
        throw UnknownKey(key: (decoder.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue } + [key]).joined(separator: "."), known: known)
    }

    /// Mail and rates as the file has them.
    ///
    /// - Throws: every case of ``MailSettingsRefused``; a file that is not there is no error.
    static func read(_ path: String) throws(MailSettingsRefused) -> (mail: MailSettings, rates: Rates) {
        let bytes: Data?
        do throws(HooksRefused) { bytes = try Hooks.contents(of: path) } catch { throw .file(error) }
        guard let bytes else { return (try .folder(), Rates()) }
        return try read(json: bytes, path: path)
    }

    static func read(json: Data, path: String) throws(MailSettingsRefused) -> (mail: MailSettings, rates: Rates) {
        let file: NotifyFile
        do { file = try JSONDecoder().decode(NotifyFile.self, from: json) } catch let error as UnknownKey {
            throw .unknownKey(path: path, key: error.key, known: error.known)
        } catch { throw .file(.badJSON(path: path, where: Hooks.place(of: error, in: json))) }
        var mail = if let part = file.mail { try MailSettings(part, path: path) } else { try MailSettings.folder() }
        if let part = file.bounces { mail.bounces = try bounces(part, path) }
        if let part = file.escalation { mail.escalation = try escalation(part, path) }
        if let days = file.keep {
            guard 1...MailSettings.keepMax ~= days else { throw .badNumber(path: path, key: "keep", least: 1, most: MailSettings.keepMax) }
            mail.keep = .seconds(Int64(days) * 86_400)
        }
        if let folder = file.templates { mail.templates = folder.hasPrefix("/") ? folder : (path as NSString).deletingLastPathComponent + "/" + folder }
        var rates = Rates()
        for (name, perSecond) in file.rates?.channels ?? [:] {
            rates.channels[name == "mail" ? Outbox.mailChannel : name] = try rate(perSecond, "rates.channels.\(name)", path)
        }
        for (host, perSecond) in file.rates?.hosts ?? [:] { rates.hosts[host.lowercased()] = try rate(perSecond, "rates.hosts.\(host)", path) }
        return (mail, rates)
    }

    private static func bounces(_ part: BouncesPart, _ path: String) throws(MailSettingsRefused) -> MailSettings.Bounces {
        for folder in ["/new", "/cur"] {
            guard access(part.maildir + folder, R_OK | X_OK) == 0 else { throw .noMaildir(path: path, folder: part.maildir + folder, why: String(cString: strerror(errno))) }
        }
        let every = part.every ?? 30
        guard 1...3_600 ~= every else { throw .badNumber(path: path, key: "bounces.every", least: 1, most: 3_600) }
        return MailSettings.Bounces(folder: part.maildir, every: .seconds(Int64(every)), asksProgram: part.disposition ?? true)
    }

    private static func escalation(_ part: EscalationPart, _ path: String) throws(MailSettingsRefused) -> MailSettings.Escalation {
        let (hours, texts) = (part.after ?? 24, part.to ?? [])
        guard 0.001...720 ~= hours else { throw .badHours(path: path, key: "escalation.after") }
        guard texts.count <= MailSettings.operatorsMax else { throw .tooMany(path: path, key: "escalation.to", count: texts.count, most: MailSettings.operatorsMax) }
        var to: [MailAddress] = []
        for (place, text) in texts.enumerated() {
            let address = try MailSettings.address(text, "escalation.to[\(place)]", path)
            if !to.contains(address) { to.append(address) }
        }
        return MailSettings.Escalation(after: Span(nanoseconds: Int64(hours * 3_600e9)), to: to)
    }

    private static func rate(_ perSecond: Double, _ key: String, _ path: String) throws(MailSettingsRefused) -> Rate {
        guard 0.001...10_000 ~= perSecond else { throw .badRate(path: path, key: key) }
        return Rate(burst: Int(perSecond), every: Span(nanoseconds: Int64(1e9 / perSecond)))
    }
}

/// Why mail was not set up. The service does not start on half of its settings.
enum MailSettingsRefused: Error, Hashable, Sendable {
    /// The file as such.
    case file(HooksRefused)
    case unknownKey(path: String, key: String, known: [String])
    case badURL(path: String, why: String)
    case badAddress(path: String, key: String, why: String)
    case halfLogin(path: String)
    case badLogin(path: String)
    case noAuthorities(path: String, file: String, why: String)
    case badNumber(path: String, key: String, least: Int, most: Int)
    case badRate(path: String, key: String)
    case badHours(path: String, key: String)
    case noMaildir(path: String, folder: String, why: String)
    case tooMany(path: String, key: String, count: Int, most: Int)
}

extension MailSettingsRefused: CustomStringConvertible {
    /// What is wrong, and what to do about it.
    var description: String {
        switch self {
        case .file(let error): "\(error)"
        case .unknownKey(let path, let key, let known): "\(path): \(key.debugDescription) is not known there: write one of \(known.joined(separator: ", ")), or leave it out"
        case .badURL(let path, let why): "\(path): mail.url cannot be used: \(why); write smtp://host:587, or smtps://host:465"
        case .badAddress(let path, let key, let why): "\(path): \(key) is no mail address: \(why); write local@domain"
        case .halfLogin(let path): "\(path): mail.user and mail.password go together: give both, or leave out both"
        case .badLogin(let path): "\(path): mail.user or mail.password is empty or holds a control character"
        case .noAuthorities(let path, let file, let why): "\(path): mail.ca, \(file), cannot be read: \(why); name a PEM file of certificates, or leave it out"
        case .badNumber(let path, let key, let least, let most): "\(path): \(key) is not \(least) to \(most)"
        case .badRate(let path, let key): "\(path): \(key) is not 0.001 to 10000 messages a second"
        case .badHours(let path, let key): "\(path): \(key) is not 0.001 to 720 hours"
        case .noMaildir(let path, let folder, let why): "\(path): bounces.maildir cannot be looked into: \(folder): \(why); name a Maildir that exists and that notify may read"
        case .tooMany(let path, let key, let count, let most): "\(path): \(key) names \(count) addresses, and \(most) is the most: name a list's address"
        }
    }
}
