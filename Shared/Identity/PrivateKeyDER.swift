import SwiftASN1

/// What a private key is for. Both are 32 bytes, and neither may be taken for the other.
package enum KeyAlgorithm: Hashable, Sendable, CaseIterable {
    /// Signs: operators, and services' ledgers.
    case ed25519
    /// Opens: the vault.
    case x25519

    /// RFC 8410, section 3.
    var identifier: ASN1ObjectIdentifier {
        switch self {
        case .ed25519: [1, 3, 101, 112]
        case .x25519: [1, 3, 101, 110]
        }
    }
}

/// `AlgorithmIdentifier` with parameters that are not looked into yet.
struct Algorithm: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }
    var identifier: ASN1ObjectIdentifier
    var parameters: ASN1Any?

    init(_ identifier: ASN1ObjectIdentifier, _ parameters: ASN1Any? = nil) {
        self.identifier = identifier
        self.parameters = parameters
    }

    init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
        self = try DER.sequence(node, identifier: tag) { nodes in
            Algorithm(try ASN1ObjectIdentifier(derEncoded: &nodes), nodes.next().map { ASN1Any(derEncoded: $0) })
        }
    }

    func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: tag) { coder in
            try coder.serialize(identifier)
            if let parameters { try coder.serialize(parameters) }
        }
    }
}

/// `OneAsymmetricKey` (RFC 5958) of a 32-byte key as RFC 8410 has it; its version 1 is PKCS#8's `PrivateKeyInfo`.
struct PrivateKeyInfo: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }
    var algorithm: Algorithm
    /// The content of `privateKey`: for these algorithms an OCTET STRING once more.
    var inner: ASN1OctetString
    /// Of version 2.
    var publicKey: [UInt8]?

    init(algorithm: KeyAlgorithm, secret: [UInt8]) throws {
        self.algorithm = Algorithm(algorithm.identifier)
        var coder = DER.Serializer()
        try coder.serialize(ASN1OctetString(contentBytes: secret[...]))
        inner = ASN1OctetString(contentBytes: coder.serializedBytes[...])
    }

    init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
        self = try DER.sequence(node, identifier: tag) { nodes in try PrivateKeyInfo(fields: &nodes) }
    }

    private init(fields nodes: inout ASN1NodeCollection.Iterator) throws {
        let version = try Int(derEncoded: &nodes)
        guard version == 0 || version == 1 else { throw ASN1Error.invalidASN1Object(reason: "version") }
        algorithm = try Algorithm(derEncoded: &nodes)
        inner = try ASN1OctetString(derEncoded: &nodes)
        // Attributes say nothing about the key.
        _ = DER.optionalImplicitlyTagged(&nodes, tagNumber: 0, tagClass: .contextSpecific) { _ in true }
        publicKey = DER.optionalImplicitlyTagged(&nodes, tagNumber: 1, tagClass: .contextSpecific) { node in
            // A BIT STRING: the count of unused bits goes first.
            guard case .primitive(let content) = node.content else { return [] }
            return Array(content.dropFirst())
        }
    }

    func secret() throws -> [UInt8] { Array(try ASN1OctetString(derEncoded: DER.parse(inner.bytes)).bytes) }

    func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: tag) { coder in
            try coder.serialize(0)
            try coder.serialize(algorithm)
            try coder.serialize(inner)
        }
    }
}

/// `EncryptedPrivateKeyInfo` (RFC 5958, section 3).
struct EncryptedKeyInfo: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }
    var encryption: Algorithm
    var ciphertext: ASN1OctetString

    init(encryption: Algorithm, ciphertext: [UInt8]) {
        self.encryption = encryption
        self.ciphertext = ASN1OctetString(contentBytes: ciphertext[...])
    }

    init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
        (encryption, ciphertext) = try DER.sequence(node, identifier: tag) { nodes in
            (try Algorithm(derEncoded: &nodes), try ASN1OctetString(derEncoded: &nodes))
        }
    }

    func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: tag) { coder in
            try coder.serialize(encryption)
            try coder.serialize(ciphertext)
        }
    }
}

/// `PBKDF2-params` (RFC 8018, appendix A.2).
struct KDFParameters: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }
    var salt: [UInt8]
    var rounds: Int
    var keyBytes: Int?
    /// HMAC-SHA-1 where it is absent.
    var function: Algorithm?

    init(salt: [UInt8], rounds: Int, function: Algorithm) {
        self.salt = salt
        self.rounds = rounds
        self.function = function
    }

    init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
        self = try DER.sequence(node, identifier: tag) { nodes in try KDFParameters(fields: &nodes) }
    }

    private init(fields nodes: inout ASN1NodeCollection.Iterator) throws {
        salt = Array(try ASN1OctetString(derEncoded: &nodes).bytes)
        rounds = try Int(derEncoded: &nodes)
        keyBytes = try DER.optionalImplicitlyTagged(&nodes)
        function = try DER.optionalImplicitlyTagged(&nodes)
    }

    func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: tag) { coder in
            try coder.serialize(ASN1OctetString(contentBytes: salt[...]))
            try coder.serialize(rounds)
            if let function { try coder.serialize(function) }
        }
    }
}

/// `PBES2-params` (RFC 8018, appendix A.4).
struct EncryptionParameters: DERImplicitlyTaggable {
    static var defaultIdentifier: ASN1Identifier { .sequence }
    var kdf: Algorithm
    var cipher: Algorithm

    init(kdf: Algorithm, cipher: Algorithm) {
        self.kdf = kdf
        self.cipher = cipher
    }

    init(derEncoded node: ASN1Node, withIdentifier tag: ASN1Identifier) throws {
        (kdf, cipher) = try DER.sequence(node, identifier: tag) { nodes in
            (try Algorithm(derEncoded: &nodes), try Algorithm(derEncoded: &nodes))
        }
    }

    func serialize(into coder: inout DER.Serializer, withIdentifier tag: ASN1Identifier) throws {
        try coder.appendConstructedNode(identifier: tag) { coder in
            try coder.serialize(kdf)
            try coder.serialize(cipher)
        }
    }
}
