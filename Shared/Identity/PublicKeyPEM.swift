import SwiftASN1

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4).
enum PublicKeyPEM {
    static func raw(in text: String) throws(PublicKeyError) -> [UInt8] {
        let info: Info
        do {
            let document = try PEMDocument(pemString: text)
            guard document.discriminator == "PUBLIC KEY" else { throw PublicKeyError.otherAlgorithm(document.discriminator) }
            info = try Info(derEncoded: document.derBytes)
        } catch let error as PublicKeyError {
            throw error
        } catch {
            throw .notAKey
        }
        guard info.algorithm.identifier == KeyAlgorithm.ed25519.identifier else { throw .otherAlgorithm("\(info.algorithm.identifier)") }
        guard info.algorithm.parameters == nil, info.key.paddingBits == 0 else { throw .notAKey }
        return Array(info.key.bytes)
    }

    static func text(_ raw: [UInt8]) -> String {
        var coder = DER.Serializer()
        // Throws for what a bit string or an identifier cannot hold; these hold 32 bytes and a constant.
        guard (try? coder.serialize(Info(algorithm: Algorithm(KeyAlgorithm.ed25519.identifier), key: ASN1BitString(bytes: raw[...])))) != nil else { return "" }
        return PEMDocument(type: "PUBLIC KEY", derBytes: coder.serializedBytes).pemString + "\n"
    }

    private struct Info: DERImplicitlyTaggable {
        static var defaultIdentifier: ASN1Identifier { .sequence }
        var algorithm: Algorithm
        var key: ASN1BitString

        init(algorithm: Algorithm, key: ASN1BitString) {
            self.algorithm = algorithm
            self.key = key
        }

        init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
            (algorithm, key) = try DER.sequence(node, identifier: tag) { nodes in
                (try Algorithm(derEncoded: &nodes), try ASN1BitString(derEncoded: &nodes))
            }
        }

        func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
            try coder.appendConstructedNode(identifier: tag) { coder in
                try coder.serialize(algorithm)
                try coder.serialize(key)
            }
        }
    }
}
