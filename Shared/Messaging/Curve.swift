import CZMQ

/// 32 bytes: a CURVE key, public or secret.
package struct CurveKey: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    package init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
    }

    /// From the 40 characters of Z85 (ZeroMQ RFC 32).
    package init?(z85 text: String) {
        guard text.utf8.count == 40 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        guard zmq_z85_decode(&bytes, text) != nil else { return nil }
        self.init(bytes)
    }

    package var bytes: [UInt8] { withUnsafeBytes(of: words) { [UInt8]($0) } }

    package var z85: String {
        var text = [CChar](repeating: 0, count: 41)
        _ = zmq_z85_encode(&text, bytes, 32)
        return String(decoding: text.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// From 64 lower-case hexadecimal digits.
    package init?(hex text: some StringProtocol) {
        let digits = Array(text.utf8)
        guard digits.count == 64 else { return nil }
        self.init(stride(from: 0, to: 64, by: 2).compactMap { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) })
        guard hex == text else { return nil }
    }

    package var hex: String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    package static func == (left: CurveKey, right: CurveKey) -> Bool { left.words == right.words }
    package func hash(into hasher: inout Hasher) {
        // The bytes are as random as a hash.
        hasher.combine(words.0)
    }
}

/// A node's own key pair.
package struct CurveKeyPair: Sendable {
    package var publicKey: CurveKey
    package var secretKey: CurveKey

    package init(publicKey: CurveKey, secretKey: CurveKey) {
        self.publicKey = publicKey
        self.secretKey = secretKey
    }

    package static func generate() throws(MessagingError) -> CurveKeyPair {
        var open = [CChar](repeating: 0, count: 41)
        var secret = [CChar](repeating: 0, count: 41)
        guard zmq_curve_keypair(&open, &secret) == 0 else { throw MessagingError("cannot make a CURVE key pair") }
        guard let publicKey = CurveKey(z85: String(decoding: open.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self)),
            let secretKey = CurveKey(z85: String(decoding: secret.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self))
        else { throw MessagingError("libzmq made a key that cannot be read", code: EINVAL) }
        return CurveKeyPair(publicKey: publicKey, secretKey: secretKey)
    }

    /// The public key that belongs to a secret one; nil if it is none.
    package static func publicKey(of secret: CurveKey) -> CurveKey? {
        var open = [CChar](repeating: 0, count: 41)
        guard zmq_curve_public(&open, secret.z85) == 0 else { return nil }
        return CurveKey(z85: String(decoding: open.prefix(40).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
}
