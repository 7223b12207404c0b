import Crypto
import Foundation
package import Messaging

/// Why a text is not used as a token. No case holds any of it: error texts end in logs.
package enum JoinTokenError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAToken
    /// It was one: a character is missing, doubled or changed.
    case damaged
    case newerVersion(UInt8)
    /// The endpoint is not `tcp://host:port`, or is longer than ``JoinToken/endpointBytesMax``.
    case badEndpoint

    package var description: String {
        switch self {
        case .notAToken: "this is no token: one begins with '\(JoinToken.prefix)'; 'sluice enrol' prints it"
        case .damaged: "the token is damaged: a part of it is missing or changed; copy all of it again"
        case .newerVersion(let version): "the token has version \(version), this program knows \(JoinToken.version): install a newer sluice-agent"
        case .badEndpoint: "a joining port's address is tcp://host:port, of at most \(JoinToken.endpointBytesMax) bytes, and no wildcard"
        }
    }
}

/// What a machine needs to join, in one line: where to go, whom to believe there, and a secret that is good once.
///
/// | bytes | content |
/// | --- | --- |
/// | 1 | version: 1 |
/// | 32 | CURVE public key of the joining process |
/// | 32 | the secret |
/// | 16 | ``anchor(of:)`` of control's ledger key: the joining process, which every stranger reaches, must not be able to give out another ledger |
/// | 1–200 | endpoint of the joining port, UTF-8 |
/// | 4 | first bytes of SHA-256(`sluice join token v1\n` ‖ all before): damage is told from a token that is not known |
///
/// As base64url without padding behind ``prefix``. SPEC.md, section 15.
package struct JoinToken: Redacted {
    package static let prefix = "sluice-join-"
    package static let version: UInt8 = 1
    package static let endpointBytesMax = 200
    private static let secretBytes = 32
    private static let anchorBytes = 16
    private static let checksumBytes = 4
    private static let fixedBytes = 1 + 32 + secretBytes + anchorBytes
    /// Nobody's token is longer; what is, is not looked at.
    private static let textBytesMax = 600

    package let endpoint: String
    /// The joining process's public key.
    package let server: CurveKey
    package let secret: SecretBytes
    /// See ``anchor(of:)``.
    package let anchor: [UInt8]

    /// - Parameter ledgerKey: control's verifier key, as text.
    /// - Throws: `badEndpoint`.
    package init(endpoint: String, server: CurveKey, secret: SecretBytes, ledgerKey: String) throws(JoinTokenError) {
        try self.init(endpoint: endpoint, server: server, secret: secret, anchor: JoinToken.anchor(of: ledgerKey))
    }

    private init(endpoint: String, server: CurveKey, secret: SecretBytes, anchor: [UInt8]) throws(JoinTokenError) {
        guard JoinToken.isReachable(endpoint) else { throw .badEndpoint }
        self.endpoint = endpoint
        self.server = server
        self.secret = secret
        self.anchor = anchor
    }

    /// - Throws: every ``JoinTokenError``.
    package init(text: String) throws(JoinTokenError) {
        guard text.hasPrefix(JoinToken.prefix), text.utf8.count <= JoinToken.textBytesMax else { throw .notAToken }
        let body = String(text.dropFirst(JoinToken.prefix.count))
        guard var bytes = Base64URL.bytes(of: body) else { throw .damaged }
        defer { wipe(&bytes) }
        let length = bytes.count - JoinToken.checksumBytes
        guard length > 0, JoinToken.checksum(bytes[..<length]) == Array(bytes[length...]) else { throw .damaged }
        // Behind the checksum: a version that is damaged is no newer one.
        guard bytes[0] == JoinToken.version else { throw .newerVersion(bytes[0]) }
        guard length > JoinToken.fixedBytes, let server = CurveKey(bytes[1..<33]),
            let endpoint = String(validating: bytes[JoinToken.fixedBytes..<length], as: UTF8.self)
        else { throw .damaged }
        try self.init(endpoint: endpoint, server: server, secret: SecretBytes(Array(bytes[33..<65])), anchor: Array(bytes[65..<81]))
    }

    /// The token itself. For a person's eyes and a pipe: never for a log.
    package var text: String {
        var bytes = [JoinToken.version] + server.bytes + secret.withCopy { $0 } + anchor + Array(endpoint.utf8)
        defer { wipe(&bytes) }
        bytes += JoinToken.checksum(bytes[...])
        return JoinToken.prefix + Base64URL.text(of: bytes)
    }

    /// SHA-256 of the secret: what control and its ledger know.
    package var hash: [UInt8] { secret.withCopy { JoinToken.hash(of: $0) } }

    package static func hash(of secret: some Sequence<UInt8>) -> [UInt8] { Array(SHA256.hash(data: Array(secret))) }

    /// The first 16 bytes of SHA-256 of a verifier key's text.
    package static func anchor(of ledgerKey: String) -> [UInt8] { Array(SHA256.hash(data: Array(ledgerKey.utf8)).prefix(anchorBytes)) }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        Array(SHA256.hash(data: Array("sluice join token v1\n".utf8) + bytes).prefix(checksumBytes))
    }

    /// `tcp://host:port` that somebody on another machine can mean: no wildcard, no interface, nothing that libzmq reads in another way.
    private static func isReachable(_ endpoint: String) -> Bool {
        guard endpoint.hasPrefix("tcp://"), endpoint.utf8.count <= endpointBytesMax, let colon = endpoint.lastIndex(of: ":") else { return false }
        let host = endpoint.dropFirst(6).prefix { $0 != ":" || endpoint.hasPrefix("tcp://[") }
        guard let port = UInt16(endpoint[endpoint.index(after: colon)...]), port > 0, !host.isEmpty, !["*", "0.0.0.0"].contains(host), !host.hasPrefix("[::]")
        else { return false }
        return endpoint.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: "*") }
    }
}

/// An agent's name where nobody gave it one: the first 16 hexadecimal digits of SHA-256 of its public key.
package func ownName(of key: [UInt8]) -> String { SHA256.hash(data: key).prefix(8).map { String(hexByte: $0) }.joined() }

extension String {
    /// Two lower-case digits.
    package init(hexByte byte: UInt8) {
        let digits = String(byte, radix: 16)
        self = digits.count == 1 ? "0" + digits : digits
    }
}

/// RFC 4648, section 5, without padding.
private enum Base64URL {
    static func text(of bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    /// Nil: another character, or bits that no encoder would have left.
    static func bytes(of text: String) -> [UInt8]? {
        let plain = text.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        guard let data = Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.utf8.count % 4) % 4)) else { return nil }
        let bytes = [UInt8](data)
        return Base64URL.text(of: bytes) == text ? bytes : nil
    }
}
