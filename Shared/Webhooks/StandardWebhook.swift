import Crypto
package import Foundation
package import Gate

/// Signatures that a receiver can check with any Standard Webhooks library: notify makes them, and where reports come in they are checked.
///
/// The bytes that are signed are `id.timestamp.body`, so an id holds no dot. Source: Standard Webhooks 1.0.0
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), scheme `v1` only.
package enum StandardWebhook {
    /// A key that a receiver and we share: 24 to 64 bytes, written `whsec_` and base64. Never printed.
    package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        fileprivate let key: SymmetricKey

        package init(_ text: String) throws(SecretRefused) {
            guard text.hasPrefix(Secret.prefix) else { throw .noPrefix }
            guard let bytes = Data(base64Encoded: String(text.dropFirst(Secret.prefix.count))) else { throw .notBase64 }
            guard Secret.lengths.contains(bytes.count) else { throw .length(bytes.count) }
            key = SymmetricKey(data: bytes)
        }

        package static let prefix = "whsec_"
        package static let lengths = 24...64

        package static func == (left: Secret, right: Secret) -> Bool { left.key == right.key }
        package func hash(into hasher: inout Hasher) { key.withUnsafeBytes { hasher.combine(bytes: $0) } }
        package var description: String { "whsec_(hidden)" }
        package var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// Why a text is no secret. Says nothing of its content.
    package enum SecretRefused: Error, Hashable, Sendable { case noPrefix, notBase64, length(Int) }

    /// What goes with a body: the id stays the same on every attempt, timestamp and signature are the attempt's own.
    package struct Headers: Hashable, Sendable {
        package var id: String
        /// Seconds since 1970.
        package var timestamp: Int64
        /// One signature for each secret, space-separated.
        package var signature: String

        package init(id: String, timestamp: Int64, signature: String) {
            self.id = id
            self.timestamp = timestamp
            self.signature = signature
        }

        package var lines: [String] { ["webhook-id: \(id)", "webhook-timestamp: \(timestamp)", "webhook-signature: \(signature)"] }
    }

    /// Whether a text can be a `webhook-id`: 1 to 128 visible ASCII characters, none of them a dot.
    ///
    /// A dot would let one message's bytes pass for another's; a line break would write headers of its own.
    package static func isID(_ text: String) -> Bool {
        1...128 ~= text.utf8.count && text.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ".") }
    }

    /// Signs one attempt with every secret, so that a receiver may be on the old or on the new one.
    package static func headers(id: String, at now: WallTime, body: Data, secrets: [Secret]) -> Headers {
        precondition(isID(id), "an outbox takes no other id")
        let timestamp = now.nanoseconds / 1_000_000_000
        let signatures = secrets.map { "v1," + Data(code(id, timestamp, body, $0)).base64EncodedString() }
        return Headers(id: id, timestamp: timestamp, signature: signatures.joined(separator: " "))
    }

    /// Why a receiver does not take a message.
    package enum Refused: Error, Hashable, Sendable {
        /// The id is none that was ever signed.
        case badID
        /// By so many seconds: in the past, or, negative, in the future.
        case expired(Int64)
        /// No signature is right for a secret that counts.
        case unsigned
    }

    /// What a receiver does: the attempt is at most five minutes away, and some signature is right for one of the secrets that count.
    package static func check(_ headers: Headers, body: Data, secrets: [Secret], at now: WallTime) throws(Refused) {
        guard isID(headers.id) else { throw .badID }
        guard isPresent(headers.timestamp, at: now) else { throw .expired((now.nanoseconds / 1_000_000_000).subtractingReportingOverflow(headers.timestamp).partialValue) }
        let message = signed(headers.id, headers.timestamp, body)
        let codes = headers.signature.split(separator: " ").prefix(signaturesMax).compactMap { $0.hasPrefix("v1,") ? Data(base64Encoded: String($0.dropFirst(3))) : nil }
        guard !codes.isEmpty else { throw .unsigned }
        // As much work as the body is long, once for each secret, however many signatures there are. The library compares in constant time.
        guard secrets.contains(where: { secret in
            let code = HMAC<SHA256>.authenticationCode(for: message, using: secret.key)
            return codes.contains { code == $0 }
        }) else { throw .unsigned }
    }

    package static func verifies(_ headers: Headers, body: Data, secret: Secret, at now: WallTime) -> Bool {
        (try? check(headers, body: body, secrets: [secret], at: now)) != nil
    }

    /// Whether an attempt of that time, in seconds since 1970, is at most five minutes away: known before its body is.
    package static func isPresent(_ timestamp: Int64, at now: WallTime) -> Bool {
        let seconds = now.nanoseconds / 1_000_000_000
        return (seconds - tolerance...seconds + tolerance).contains(timestamp)
    }

    /// Whether a text can be a `webhook-signature`: one to ``signaturesMax`` of them, each a scheme, a comma and something.
    package static func isSignature(_ text: String) -> Bool {
        guard text.utf8.count <= signatureBytesMax else { return false }
        let parts = text.split(separator: " ")
        return 1...signaturesMax ~= parts.count && parts.allSatisfy { $0.dropFirst().dropLast().contains(",") }
    }

    package static let signatureBytesMax = 2_048
    /// A sender has one for each secret that it rotates through.
    package static let signaturesMax = 8
    /// Seconds, from the specification.
    package static let tolerance: Int64 = 300

    private static func code(_ id: String, _ timestamp: Int64, _ body: Data, _ secret: Secret) -> HMAC<SHA256>.MAC {
        HMAC<SHA256>.authenticationCode(for: signed(id, timestamp, body), using: secret.key)
    }

    private static func signed(_ id: String, _ timestamp: Int64, _ body: Data) -> Data { Data("\(id).\(timestamp).".utf8) + body }
}
