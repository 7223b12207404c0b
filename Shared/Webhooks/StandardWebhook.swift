import Crypto
package import Foundation
package import Gate

/// Signatures that a receiver can check with any Standard Webhooks library: notify makes them, and where reports come in they are checked.
///
/// The bytes that are signed are `id.timestamp.body`, so an id holds no dot. Source: Standard Webhooks 1.0.0
/// (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>): `v1`, HMAC-SHA256 under a secret that both have, and
/// `v1a`, Ed25519, where the receiver has nothing that it could sign with.
package enum StandardWebhook {
    /// A key that a receiver and we share: 24 to 64 bytes, written `whsec_` and base64. Never printed.
    package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        let key: SymmetricKey

        package init(_ text: String) throws(SecretRefused) {
            let bytes = try StandardWebhook.bytes(of: text, after: Secret.prefix)
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

    /// Why a text is no secret, or no key. Says nothing of its content.
    package enum SecretRefused: Error, Hashable, Sendable {
        case noPrefix, notBase64, length(Int)
        /// The public half that stands in a secret key is not that of its seed.
        case otherPublicKey
    }

    /// What goes with a body: the id stays the same on every attempt, timestamp and signature are the attempt's own.
    package struct Headers: Hashable, Sendable {
        package var id: String
        /// Seconds since 1970.
        package var timestamp: Int64
        /// One signature for each secret or key, space-separated.
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

    /// Signs one attempt with everything that signs, so that a receiver may be on the old or on the new one, or take one scheme and not the other.
    package static func headers(id: String, at now: WallTime, body: Data, signers: [Signer]) -> Headers {
        precondition(isID(id), "an outbox takes no other id")
        let timestamp = now.nanoseconds / 1_000_000_000
        let message = signed(id, timestamp, body)
        return Headers(id: id, timestamp: timestamp, signature: signers.map { $0.signature(of: message) }.joined(separator: " "))
    }

    package static func headers(id: String, at now: WallTime, body: Data, secrets: [Secret]) -> Headers {
        headers(id: id, at: now, body: body, signers: secrets.map(Signer.secret))
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

    /// What a receiver does: the attempt is at most five minutes away, and some signature is right for one of the secrets and keys that count.
    package static func check(_ headers: Headers, body: Data, verifiers: [Verifier], at now: WallTime) throws(Refused) {
        guard isID(headers.id) else { throw .badID }
        guard isPresent(headers.timestamp, at: now) else { throw .expired((now.nanoseconds / 1_000_000_000).subtractingReportingOverflow(headers.timestamp).partialValue) }
        let message = signed(headers.id, headers.timestamp, body)
        let signatures = headers.signature.split(separator: " ").prefix(signaturesMax).compactMap { Signature($0) }
        guard verifiers.contains(where: { $0.takes(oneOf: signatures, of: message) }) else { throw .unsigned }
    }

    package static func check(_ headers: Headers, body: Data, secrets: [Secret], at now: WallTime) throws(Refused) {
        try check(headers, body: body, verifiers: secrets.map(Verifier.secret), at: now)
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

    private static func signed(_ id: String, _ timestamp: Int64, _ body: Data) -> Data { Data("\(id).\(timestamp).".utf8) + body }
}
