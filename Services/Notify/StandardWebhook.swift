import Crypto
import Foundation
import Gate

/// Signatures that a receiver can check with any Standard Webhooks library.
///
/// The bytes that are signed are `id.timestamp.body`, so an id holds no dot. Source: Standard Webhooks 1.0.0
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), scheme `v1` only.
enum StandardWebhook {
    /// A key that a receiver and we share: 24 to 64 bytes, written `whsec_` and base64. Never printed.
    struct Secret: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        fileprivate let key: SymmetricKey

        init(_ text: String) throws(SecretRefused) {
            guard text.hasPrefix(Secret.prefix) else { throw .noPrefix }
            guard let bytes = Data(base64Encoded: String(text.dropFirst(Secret.prefix.count))) else { throw .notBase64 }
            guard Secret.lengths.contains(bytes.count) else { throw .length(bytes.count) }
            key = SymmetricKey(data: bytes)
        }

        static let prefix = "whsec_"
        static let lengths = 24...64

        static func == (left: Secret, right: Secret) -> Bool { left.key == right.key }
        func hash(into hasher: inout Hasher) { key.withUnsafeBytes { hasher.combine(bytes: $0) } }
        var description: String { "whsec_(hidden)" }
        var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// Why a text is no secret. Says nothing of its content.
    enum SecretRefused: Error, Hashable, Sendable { case noPrefix, notBase64, length(Int) }

    /// What goes with a body: the id stays the same on every attempt, timestamp and signature are the attempt's own.
    struct Headers: Hashable, Sendable {
        var id: String
        /// Seconds since 1970.
        var timestamp: Int64
        /// One signature for each secret, space-separated.
        var signature: String

        var lines: [String] { ["webhook-id: \(id)", "webhook-timestamp: \(timestamp)", "webhook-signature: \(signature)"] }
    }

    /// Whether a text can be a `webhook-id`: 1 to 128 visible ASCII characters, none of them a dot.
    ///
    /// A dot would let one message's bytes pass for another's; a line break would write headers of its own.
    static func isID(_ text: String) -> Bool {
        1...128 ~= text.utf8.count && text.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ".") }
    }

    /// Signs one attempt with every secret, so that a receiver may be on the old or on the new one.
    static func headers(id: String, at now: WallTime, body: Data, secrets: [Secret]) -> Headers {
        precondition(isID(id), "an outbox takes no other id")
        let timestamp = now.nanoseconds / 1_000_000_000
        let signatures = secrets.map { "v1," + Data(code(id, timestamp, body, $0)).base64EncodedString() }
        return Headers(id: id, timestamp: timestamp, signature: signatures.joined(separator: " "))
    }

    /// What a receiver does: some signature is right for the secret, and the attempt is at most five minutes away.
    static func verifies(_ headers: Headers, body: Data, secret: Secret, at now: WallTime) -> Bool {
        guard isID(headers.id) else { return false }
        let seconds = now.nanoseconds / 1_000_000_000
        guard (seconds - tolerance...seconds + tolerance).contains(headers.timestamp) else { return false }
        let message = signed(headers.id, headers.timestamp, body)
        return headers.signature.split(separator: " ").contains { signature in
            guard signature.hasPrefix("v1,"), let code = Data(base64Encoded: String(signature.dropFirst(3))) else { return false }
            return HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: message, using: secret.key)
        }
    }

    /// Seconds, from the specification.
    static let tolerance: Int64 = 300

    private static func code(_ id: String, _ timestamp: Int64, _ body: Data, _ secret: Secret) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: signed(id, timestamp, body), using: secret.key)
    }

    private static func signed(_ id: String, _ timestamp: Int64, _ body: Data) -> Data { Data("\(id).\(timestamp).".utf8) + body }
}
