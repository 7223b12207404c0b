import Foundation
import Identity
import Testing

/// Keys go between us and OpenSSL in both directions, as files.
@Suite(.enabled(if: Program.find("openssl") != nil, "the program 'openssl' is not on this machine"))
struct OpenSSLTests {
    @Test func `openssl opens a key that we wrote, and finds the same public key`() throws {
        let folder = try Folder()
        let key = try OperatorKey.make()
        try key.write(to: folder.file("ops-1"), passphrase: passphrase("correct horse"))
        let opened = try Program.run("openssl", ["pkey", "-in", folder.file("ops-1"), "-passin", "stdin", "-pubout"], input: "correct horse\n")
        #expect(opened.status == 0, "\(opened.errors)")
        #expect(opened.output == key.publicKey.pem)
        #expect(try OperatorPublicKey(text: opened.output) == key.publicKey)
        let wrong = try Program.run("openssl", ["pkey", "-in", folder.file("ops-1"), "-passin", "stdin", "-pubout"], input: "wrong\n")
        #expect(wrong.status != 0)
    }

    @Test func `openssl says that our key file is protected as we say`() throws {
        let folder = try Folder()
        try OperatorKey.make().write(to: folder.file("ops-1"), passphrase: passphrase("p"))
        let structure = try Program.run("openssl", ["asn1parse", "-in", folder.file("ops-1")])
        for name in ["PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", ":0927C0"] { #expect(structure.output.contains(name), "\(structure.output)") }
    }

    @Test func `we open what openssl wrote, protected and in the clear`() throws {
        let folder = try Folder()
        let plain = try Program.run("openssl", ["genpkey", "-algorithm", "ed25519"])
        let path = try folder.write(plain.output, to: "plain")
        let expected = try OperatorPublicKey(text: Program.run("openssl", ["pkey", "-in", path, "-pubout"]).output)
        #expect(try OperatorKey(contentsOf: path, passphrase: nil).publicKey == expected)
        let protected = try Program.run(
            "openssl",
            ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000", "-in", path, "-passout", "stdin"], input: "pass\n")
        #expect(protected.status == 0, "\(protected.errors)")
        #expect(try OperatorKey(pem: protected.output, passphrase: passphrase("pass")).publicKey == expected)
        #expect(throws: PrivateKeyError.wrongPassphrase) { try OperatorKey(pem: protected.output, passphrase: passphrase("other")) }
        #expect(throws: PrivateKeyError.passphraseNeeded) { try OperatorKey(pem: protected.output, passphrase: nil) }
    }

    @Test(arguments: [
        (["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", "2048"], PrivateKeyError.weak(rounds: 2048)),
        (["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1", "-iter", "600000"], .otherEncryption("1.2.840.113549.2.7")),
        (["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA256", "-iter", "600000"], .otherEncryption("2.16.840.1.101.3.4.1.2")),
        (["-scrypt"], .otherEncryption("1.3.6.1.4.1.11591.4.11")),
    ])
    func `weaker or other protection is refused by its name`(_ options: [String], _ refused: PrivateKeyError) throws {
        let folder = try Folder()
        let path = try folder.write(Program.run("openssl", ["genpkey", "-algorithm", "ed25519"]).output, to: "plain")
        let protected = try Program.run("openssl", ["pkcs8", "-topk8", "-in", path, "-passout", "stdin"] + options, input: "pass\n")
        #expect(protected.status == 0, "\(protected.errors)")
        #expect(throws: refused) { try OperatorKey(pem: protected.output, passphrase: passphrase("pass")) }
    }

    @Test(arguments: [
        (["-algorithm", "x25519"], PrivateKeyError.otherAlgorithm("1.3.101.110")), (["-algorithm", "ed448"], .otherAlgorithm("1.3.101.113")),
        (["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], .otherAlgorithm("1.2.840.10045.2.1")),
        (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], .otherAlgorithm("1.2.840.113549.1.1.1")),
    ])
    func `a key for another algorithm is refused by its identifier`(_ options: [String], _ refused: PrivateKeyError) throws {
        let made = try Program.run("openssl", ["genpkey"] + options)
        #expect(throws: refused) { try OperatorKey(pem: made.output, passphrase: nil) }
    }

    @Test func `the vault's key is read as what it is, and never as an operator's`() throws {
        let made = try Program.run("openssl", ["genpkey", "-algorithm", "x25519"])
        let secret = try PrivateKeyPEM.secret(in: made.output, for: .x25519, passphrase: nil)
        #expect(secret.count == 32)
        #expect(try PrivateKeyPEM.plain(secret, .x25519) == made.output)
    }

    @Test func `openssl verifies our signatures, and we verify its`() throws {
        let folder = try Folder()
        let key = try OperatorKey.make()
        let message = Array("sluice command v1\n…".utf8)
        try Data(message).write(to: URL(fileURLWithPath: folder.file("message")))
        try Data(key.sign(message)).write(to: URL(fileURLWithPath: folder.file("signature")))
        let publicKey = try folder.write(key.publicKey.pem, to: "public")
        let verified = try Program.run(
            "openssl",
            ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", publicKey, "-in", folder.file("message"), "-sigfile", folder.file("signature")])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
        let theirs = try folder.write(Program.run("openssl", ["genpkey", "-algorithm", "ed25519"]).output, to: "theirs")
        let signed = try Program.run(
            "openssl", ["pkeyutl", "-sign", "-rawin", "-inkey", theirs, "-in", folder.file("message"), "-out", folder.file("their signature")])
        #expect(signed.status == 0, "\(signed.errors)")
        let signature = Array(try Data(contentsOf: URL(fileURLWithPath: folder.file("their signature"))))
        #expect(try OperatorKey(contentsOf: theirs, passphrase: nil).publicKey.isValid(signature, for: message))
    }

    @Test(.enabled(if: Program.find("ssh-keygen") != nil, "the program 'ssh-keygen' is not on this machine"))
    func `ssh-keygen reads our public key and shows the same fingerprint`() throws {
        let folder = try Folder()
        let key = try OperatorKey.make().publicKey
        let shown = try Program.run("ssh-keygen", ["-lf", folder.write(key.line(name: "ops-1"), to: "ops-1.pub", mode: 0o644)])
        #expect(shown.output == "256 \(key.id) ops-1 (ED25519)\n")
    }
}
