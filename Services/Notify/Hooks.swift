import CCurl
import Crypto
import Foundation
import Webhooks

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Where events go: `notify.json` in the service's home, mode 0600 because it holds secrets. No file: nowhere.
///
/// | key | type | |
/// | --- | --- | --- |
/// | `hooks[].name` | text | 1 to 64 of `a-z A-Z 0-9 - _`; the channel's name for good, in outbox and reports |
/// | `hooks[].url` | text | `http` or `https`, no user and password in it |
/// | `hooks[].secrets` | list of text | `whsec_…` or `whsk_…`; every attempt is signed with each, so that they can be rotated. Of the formats `slack` and `teams` none need be |
/// | `hooks[].format` | text | ``Format``: `standard` (default), `cloudevents`, `slack` or `teams` |
/// | `hooks[].allow_private` | truth | its host, by name, may be at an address that is not the internet's. Default: no |
/// | `alertmanager` | ``Alertmanager`` | where incidents go as alerts |
struct Hooks: Hashable, Sendable {
    struct Hook: Hashable, Sendable {
        let name: String
        let url: String
        let signers: [StandardWebhook.Signer]
        let format: Format
        /// Such an address is refused where it is connected to, whatever the name was a moment before: who can write a name's records is not who writes this file.
        let mayBePrivate: Bool

        /// Tells one address from another without keeping it: a path may be as good as a password.
        var fingerprint: String { Data(SHA256.hash(data: Data(url.utf8)).prefix(9)).base64EncodedString() }
    }

    let all: [Hook]
    let alertmanager: Alertmanager?

    /// Each hook has a thread and a connection of its own.
    static let countMax = 32
    static let bytesMax = 1 << 20

    static let none = Hooks()
    private init() { (all, alertmanager) = ([], nil) }

    /// - Throws: every case of ``HooksRefused``; a file that is not there is no error.
    init(contentsOf path: String) throws(HooksRefused) {
        guard let bytes = try Hooks.contents(of: path) else { self.init(); return }
        try self.init(json: bytes, path: path)
    }

    init(json: Data, path: String) throws(HooksRefused) {
        let file: File
        do { file = try JSONDecoder().decode(File.self, from: json) } catch let error as NotifyFile.UnknownKey {
            throw .unknownKey(path: path, key: error.key, known: error.known)
        } catch {
            throw .badJSON(path: path, where: Hooks.place(of: error, in: json))
        }
        let listed = file.hooks ?? []
        guard listed.count <= Hooks.countMax else { throw .tooMany(path: path, count: listed.count, max: Hooks.countMax) }
        var names = Set<String>()
        var hooks: [Hook] = []
        for hook in listed {
            guard Hooks.isName(hook.name) else { throw .badName(path: path, name: hook.name) }
            guard names.insert(hook.name).inserted else { throw .duplicateName(path: path, name: hook.name) }
            if let why = Hooks.refusal(of: hook.url) { throw .badURL(path: path, hook: hook.name, why: why) }
            guard let format = Format(rawValue: hook.format ?? Format.standard.rawValue) else { throw .badFormat(path: path, hook: hook.name, format: hook.format ?? "") }
            let texts = hook.secrets ?? []
            guard !texts.isEmpty || !format.needsSecret else { throw .noSecret(path: path, hook: hook.name) }
            guard texts.count <= StandardWebhook.signaturesMax else { throw .tooManySecrets(path: path, hook: hook.name) }
            var signers: [StandardWebhook.Signer] = []
            for (position, text) in texts.enumerated() {
                do throws(StandardWebhook.SecretRefused) { signers.append(try StandardWebhook.Signer(text)) } catch {
                    throw .badSecret(path: path, hook: hook.name, position: position, why: error)
                }
            }
            hooks.append(Hook(name: hook.name, url: hook.url, signers: signers, format: format, mayBePrivate: hook.allowPrivate ?? false))
        }
        all = hooks
        if let other = file.alertmanager { alertmanager = try Alertmanager(other, path: path) } else { alertmanager = nil }
    }

    private struct File: Decodable {
        struct Hook: Decodable {
            var name: String
            var url: String
            var secrets: [String]?
            var format: String?
            var allowPrivate: Bool?

            enum CodingKeys: String, CodingKey, CaseIterable { case name, url, secrets, format, allowPrivate = "allow_private" }

            init(from decoder: any Decoder) throws {
                try NotifyFile.check(decoder, CodingKeys.allCases.map(\.rawValue))
                let values = try decoder.container(keyedBy: CodingKeys.self)
                name = try values.decode(String.self, forKey: .name)
                url = try values.decode(String.self, forKey: .url)
                secrets = try values.decodeIfPresent([String].self, forKey: .secrets)
                format = try values.decodeIfPresent(String.self, forKey: .format)
                allowPrivate = try values.decodeIfPresent(Bool.self, forKey: .allowPrivate)
            }
        }
        /// May be left out: a file may be about mail alone.
        var hooks: [Hook]?
        var alertmanager: Alertmanager.File?
    }

    private static func isName(_ text: String) -> Bool { 1...64 ~= text.utf8.count && text.utf8.allSatisfy(isNameByte) }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }

    /// Why a URL will not do; nil: it will. Asks libcurl, because libcurl will read it again when it sends.
    static func refusal(of url: String) -> String? {
        guard url.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { return "only visible ASCII characters may be in it" }
        // libcurl takes http:/a and http:///a for http://a: what was forgotten between them is not for it to guess.
        guard let mark = url.range(of: "://"), !url[mark.upperBound...].hasPrefix("/") else { return "it is not scheme://host…" }
        guard let parsed = curl_url() else { return "no memory" }
        defer { curl_url_cleanup(parsed) }
        // A scheme that this libcurl lacks is refused here; http and https are the only ones that we want of the others.
        let code = curl_url_set(parsed, CURLUPART_URL, url, UInt32(CURLU_DISALLOW_USER))
        guard code == CURLUE_OK else { return String(cString: curl_url_strerror(code)) }
        func part(_ part: CURLUPart) -> String? {
            var text: UnsafeMutablePointer<CChar>?
            guard curl_url_get(parsed, part, &text, 0) == CURLUE_OK, let text else { return nil }
            defer { curl_free(text) }
            return String(cString: text)
        }
        guard let scheme = part(CURLUPART_SCHEME), ["http", "https"].contains(scheme) else { return "the scheme is not http or https" }
        guard let host = part(CURLUPART_HOST), !host.isEmpty else { return "it names no host" }
        return nil
    }

    /// - Returns: nil if there is no such file.
    static func contents(of path: String) throws(HooksRefused) -> Data? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw .unreadable(path: path, why: String(cString: strerror(errno)))
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw .unreadable(path: path, why: String(cString: strerror(errno))) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable(path: path, why: "it is not a file") }
        guard status.st_mode & 0o077 == 0 else { throw .readableByOthers(path: path, mode: UInt32(status.st_mode & 0o777)) }
        guard status.st_size <= bytesMax else { throw .unreadable(path: path, why: "it is larger than \(bytesMax) bytes") }
        var bytes = Data(count: Int(status.st_size))
        var length = 0
        while length < bytes.count {
            let offset = length
            let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress! + offset, $0.count - offset) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .unreadable(path: path, why: String(cString: strerror(errno))) }
            if count == 0 { break }
            length += count
        }
        return bytes.prefix(length)
    }

    /// Where in the file, as far as Foundation tells. Never the value found there, which may be a secret.
    static func place(of error: any Error, in json: Data) -> String {
        func path(_ keys: [any CodingKey]) -> String {
            let path = keys.reduce(into: "") { $0 += $1.intValue.map { "[\($0)]" } ?? ($0.isEmpty ? $1.stringValue : ".\($1.stringValue)") }
            return path.isEmpty ? "the whole" : path
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context): return "\(path(context.codingPath + [key])) is missing"
        case DecodingError.typeMismatch(let type, let context): return "\(path(context.codingPath)) is not a \(type)"
        case DecodingError.valueNotFound(_, let context): return "\(path(context.codingPath)) is null"
        default: return fault(in: json) ?? "it is not JSON"
        }
    }

    /// JSONDecoder says only that it is wrong; on Linux the older parser counts the characters up to the fault.
    private static func fault(in json: Data) -> String? {
        do {
            _ = try JSONSerialization.jsonObject(with: json)
            return nil
        } catch {
            guard let text = (error as NSError).userInfo["NSDebugDescription"] as? String else { return nil }
            guard let found = text.firstMatch(of: /character (\d+)/), let offset = Int(found.1) else { return text }
            return "line \(json.prefix(offset).count { $0 == UInt8(ascii: "\n") } + 1): \(text)"
        }
    }
}

/// Why `notify.json` was not taken. The service does not start on half of its settings.
enum HooksRefused: Error, Hashable, Sendable {
    case unreadable(path: String, why: String)
    case readableByOthers(path: String, mode: UInt32)
    case badJSON(path: String, where: String)
    case tooMany(path: String, count: Int, max: Int)
    case badName(path: String, name: String)
    case duplicateName(path: String, name: String)
    case badURL(path: String, hook: String, why: String)
    case badAlertmanager(path: String, why: String)
    case unknownKey(path: String, key: String, known: [String])
    case noSecret(path: String, hook: String)
    case badFormat(path: String, hook: String, format: String)
    case tooManySecrets(path: String, hook: String)
    case badSecret(path: String, hook: String, position: Int, why: StandardWebhook.SecretRefused)
}

extension HooksRefused: CustomStringConvertible {
    /// What is wrong, and what to do about it.
    var description: String {
        switch self {
        case .unreadable(let path, let why): "\(path) cannot be read: \(why)"
        case .readableByOthers(let path, let mode):
            "\(path) holds secrets and its mode is \(String(mode, radix: 8)): run chmod 600 on it, and change the secrets if others have "
                + "read it"
        case .badJSON(let path, let place): "\(path) is not the JSON that is wanted: \(place)"
        case .tooMany(let path, let count, let max): "\(path) names \(count) hooks; there can be \(max)"
        case .badName(let path, let name): "\(path): the name \(name.debugDescription) is not 1 to 64 letters, digits, - and _"
        case .duplicateName(let path, let name): "\(path) names \(name) twice"
        case .badURL(let path, let hook, let why): "\(path): the url of \(hook) cannot be used: \(why)"
        case .badAlertmanager(let path, let why): "\(path): alertmanager cannot be told: \(why)"
        case .unknownKey(let path, let key, let known): "\(path): \(key.debugDescription) is not known there: write one of \(known.joined(separator: ", ")), or leave it out"
        case .noSecret(let path, let hook): "\(path): \(hook) has no secret; give it one made by: echo whsec_$(openssl rand -base64 32)"
        case .badFormat(let path, let hook, let format):
            "\(path): the format of \(hook) is \(format.debugDescription), none of \(Format.allCases.map(\.rawValue).joined(separator: ", "))"
        case .tooManySecrets(let path, let hook): "\(path): \(hook) has more than \(StandardWebhook.signaturesMax) secrets: a receiver need not look at more signatures"
        case .badSecret(let path, let hook, let position, let why):
            "\(path): secret \(position + 1) of \(hook) "
                + {
                    switch why {
                    case .noPrefix: "begins with neither whsec_ nor whsk_"
                    case .notBase64: "is not base64 after its prefix"
                    case .length(let bytes): "has \(bytes) bytes, not 24 to 64, or, after whsk_, 32 or 64"
                    case .otherPublicKey: "holds a public key that is not its own"
                    }
                }()
        }
    }
}
