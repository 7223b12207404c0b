import Crypto
import Foundation
import Identity
import Webhooks

/// Who may report: secrets in files of this service's own folder, mode 0600, one a line, two at most, so that one is exchanged while both count.
///
/// | file | a line | |
/// | --- | --- | --- |
/// | `alertmanager.tokens` | 24 to 512 visible ASCII characters | a bearer token, or the password of whichever user |
/// | `standard.secrets` | `whsec_…` or `whpk_…` | what messages are signed with, or the public half of it: who holds that alone can sign nothing |
///
/// No file: nobody may. It is read again when it changes.
struct Credentials: Sendable {
    /// Hashes: compared in constant time whatever the lengths are, and a copy of this memory gives no token away.
    var tokens: [SHA256.Digest] = []
    var secrets: [StandardWebhook.Verifier] = []

    /// Why a file was not taken. Says nothing of what is in it.
    enum Refused: Error, Hashable, Sendable, CustomStringConvertible {
        case tooMany(path: String, Int)
        case badToken(path: String, line: Int)
        case badSecret(path: String, line: Int, StandardWebhook.SecretRefused)

        var description: String {
            switch self {
            case .tooMany(let path, let count): "\(path) has \(count) lines: \(Credentials.countMax) count at most, the one in use and the next"
            case .badToken(let path, let line): "\(path), line \(line): a token has \(Credentials.tokenBytes.lowerBound) to \(Credentials.tokenBytes.upperBound) visible ASCII characters; openssl rand -base64 32 makes one"
            case .badSecret(let path, let line, let why): "\(path), line \(line) is no secret (\(why)): echo whsec_$(openssl rand -base64 32) makes one"
            }
        }
    }

    static let countMax = 2
    static let tokenBytes = 24...512

    static func tokens(of path: String) throws -> [SHA256.Digest] {
        try lines(of: path).enumerated().map { number, line in
            guard tokenBytes.contains(line.utf8.count), line.utf8.allSatisfy({ 0x21...0x7E ~= $0 }) else { throw Refused.badToken(path: path, line: number + 1) }
            return SHA256.hash(data: Data(line.utf8))
        }
    }

    static func secrets(of path: String) throws -> [StandardWebhook.Verifier] {
        try lines(of: path).enumerated().map { number, line in
            do throws(StandardWebhook.SecretRefused) { return try StandardWebhook.Verifier(line) } catch { throw Refused.badSecret(path: path, line: number + 1, error) }
        }
    }

    private static func lines(of path: String) throws -> [String] {
        let bytes = try SecretFile.read(path)
        let lines = bytes.withCopy { String(decoding: $0, as: UTF8.self) }.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard lines.count <= countMax else { throw Refused.tooMany(path: path, lines.count) }
        return lines
    }

    /// Whether an `Authorization` header has one of the tokens: `Bearer TOKEN`, or `Basic` with it as the password.
    func admits(_ authorization: String?) -> Bool {
        guard let authorization, authorization.utf8.count <= 2_048, let space = authorization.firstIndex(of: " ") else { return false }
        let rest = authorization[authorization.index(after: space)...].trimmingCharacters(in: .whitespaces)
        let token: Data
        switch authorization[..<space].lowercased() {
        case "bearer": token = Data(rest.utf8)
        case "basic":
            guard let pair = Data(base64Encoded: rest), let colon = pair.firstIndex(of: UInt8(ascii: ":")) else { return false }
            token = Data(pair[pair.index(after: colon)...])
        default: return false
        }
        let digest = SHA256.hash(data: token)
        // Each is compared, whichever is right: Crypto's comparison of digests takes the same time for all.
        return tokens.reduce(false) { found, known in (known == digest) || found }
    }
}
