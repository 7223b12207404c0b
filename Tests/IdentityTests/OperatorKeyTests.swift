import Foundation
import Identity
import Testing

@Suite struct OperatorKeyTests {
    @Test func `the published vectors of Ed25519 are met`() throws {
        // RFC 8032, section 7.1, tests 1 and 3.
        let empty = try OperatorKey(seed: SecretBytes(hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")))
        #expect(empty.publicKey.raw == hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
        let signature = hex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
        #expect(empty.publicKey.isValid(signature, for: []))
        #expect(!empty.publicKey.isValid(signature, for: [0]))
        let two = try OperatorPublicKey(raw: hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"))
        #expect(two.isValid(
            hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
            for: [0xaf, 0x82]))
    }

    @Test func `a key that is written and read again signs the same`() throws {
        let folder = try Folder()
        let key = try OperatorKey.make()
        try key.write(to: folder.file("ops-1"), passphrase: passphrase("p"))
        #expect(try folder.mode("ops-1") == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["ops-1"], "no draft is left behind")
        let again = try OperatorKey(contentsOf: folder.file("ops-1"), passphrase: passphrase("p"))
        #expect(again.publicKey == key.publicKey)
        #expect(try key.publicKey.isValid(again.sign([1, 2, 3]), for: [1, 2, 3]))
        #expect(try folder.text("ops-1").hasPrefix("sluice operator key \(key.publicKey.id)\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n"))
    }

    @Test func `a key is never overwritten`() throws {
        let folder = try Folder()
        let path = try folder.write("something dear", to: "ops-1")
        #expect(throws: OperatorKeyError.file(.exists(path: path))) { try OperatorKey.make().write(to: path, passphrase: passphrase("p")) }
        #expect(try folder.text("ops-1") == "something dear")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["ops-1"])
    }

    @Test(arguments: [0o644, 0o640, 0o604, 0o660, 0o601])
    func `a key that others may read is refused, with what to do`(_ mode: Int) throws {
        let folder = try Folder()
        let path = try folder.write("", to: "ops-1", mode: mode)
        #expect { try OperatorKey(contentsOf: path, passphrase: nil) } throws: { error in
            let text = "\(error)"
            return text.contains(path) && text.contains("chmod 600") && !text.contains("\n")
        }
    }

    @Test func `what is not an ordinary file of ours is refused`() throws {
        let folder = try Folder()
        #expect(throws: SecretFileError.unreadable(path: folder.file("none"), "No such file or directory")) { try SecretFile.read(folder.file("none")) }
        #expect(throws: SecretFileError.notAFile(path: folder.path)) { try SecretFile.read(folder.path) }
        let target = try folder.write("x", to: "target")
        try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: target)
        #expect(throws: SecretFileError.notAFile(path: folder.file("link"))) { try SecretFile.read(folder.file("link")) }
        #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
        #expect(throws: SecretFileError.notAFile(path: folder.file("pipe")), "and it does not wait for a writer") { try SecretFile.read(folder.file("pipe")) }
        let large = try folder.write(String(repeating: "x", count: SecretFile.bytesMax + 1), to: "large")
        #expect(throws: SecretFileError.tooLarge(path: large, bytesMax: SecretFile.bytesMax)) { try SecretFile.read(large) }
        #expect(throws: SecretFileError.unwritable(path: folder.file("no/where"), "No such file or directory")) {
            try SecretFile.write(SecretBytes([1]), to: folder.file("no/where"))
        }
    }

    @Test func `damage is told from a wrong passphrase`() throws {
        let text = try operatorKey(7).encryptedPEM(passphrase: passphrase("p"))
        #expect(throws: PrivateKeyError.wrongPassphrase) { try OperatorKey(pem: text, passphrase: passphrase("P")) }
        #expect(throws: PrivateKeyError.wrongPassphrase) { try OperatorKey(pem: text, passphrase: passphrase("")) }
        let lines = text.split(separator: "\n").map(String.init)
        let body = Data(base64Encoded: lines[2..<(lines.count - 1)].joined()).map { Array($0) } ?? []
        func pem(_ der: [UInt8]) -> String {
            let base64 = Data(der).base64EncodedString(options: [.lineLength64Characters, .endLineWithLineFeed])
            return (lines[0...1] + [base64, lines[lines.count - 1], ""]).joined(separator: "\n")
        }
        #expect(try OperatorKey(pem: pem(body), passphrase: passphrase("p")).publicKey == operatorKey(7).publicKey)
        // The ciphertext is the last 64 bytes: beginning, two blocks of the key, padding.
        for place in [body.count - 64, body.count - 48, body.count - 33, body.count - 32, body.count - 17, body.count - 16, body.count - 1] {
            var damaged = body
            damaged[place] ^= 1
            #expect(throws: PrivateKeyError.damaged, "byte \(place - body.count)") { try OperatorKey(pem: pem(damaged), passphrase: passphrase("p")) }
        }
    }

    @Test func `whatever a file holds, the answer is an error and no crash`() throws {
        let key = try operatorKey(7)
        var seed = [UInt8](repeating: 7, count: 32)
        let plain = try PrivateKeyPEM.plain(SecretBytes(wiping: &seed), .ed25519)
        #expect(seed.allSatisfy { $0 == 0 }, "the caller's copy is gone")
        #expect(try OperatorKey(pem: plain, passphrase: nil).publicKey == key.publicKey)
        for text in ["", "x", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", plain + plain, String(plain.dropLast(30))] {
            #expect(throws: PrivateKeyError.self) { try OperatorKey(pem: text, passphrase: nil) }
        }
        #expect(throws: PrivateKeyError.otherForm(label: "OPENSSH PRIVATE KEY")) {
            try OperatorKey(pem: "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", passphrase: nil)
        }
        #expect(try OperatorKey(pem: plain.replacingOccurrences(of: "\n", with: "\r\n"), passphrase: nil).publicKey == key.publicKey)
        let der = Data(base64Encoded: plain.split(separator: "\n")[1...].dropLast().joined()).map { Array($0) } ?? []
        func pem(_ der: [UInt8]) -> String { "-----BEGIN PRIVATE KEY-----\n\(Data(der).base64EncodedString())\n-----END PRIVATE KEY-----\n" }
        for length in 1..<der.count { #expect(throws: PrivateKeyError.self) { try OperatorKey(pem: pem(Array(der[..<length])), passphrase: nil) } }
        for place in 0..<16 {
            for bit in 0..<8 {
                var changed = der
                changed[place] ^= 1 << bit
                // Two versions exist; but for that, every bit before the key matters.
                guard !(place == 4 && bit == 0) else { continue }
                #expect(throws: PrivateKeyError.self, "byte \(place) bit \(bit)") { try OperatorKey(pem: pem(changed), passphrase: nil) }
            }
        }
    }

    @Test func `an empty passphrase and few rounds protect nothing`() throws {
        #expect(throws: PrivateKeyError.emptyPassphrase) { try operatorKey(7).encryptedPEM(passphrase: passphrase("")) }
        #expect(throws: PrivateKeyError.weak(rounds: 1_000)) { try operatorKey(7).encryptedPEM(passphrase: passphrase("p"), rounds: 1_000) }
        #expect(throws: PrivateKeyError.tooSlow(rounds: .max)) { try operatorKey(7).encryptedPEM(passphrase: passphrase("p"), rounds: .max) }
    }

    @Test func `a public key has one line, and one only`() throws {
        let key = try operatorKey(7).publicKey
        let line = key.line(name: "ops-1")
        #expect(try OperatorPublicKey(text: line) == key)
        #expect(try OperatorPublicKey(text: key.pem) == key)
        let word = line.split(separator: " ")[1]
        #expect(try OperatorPublicKey(text: "ssh-ed25519 \(word)") == key)
        #expect(key.line(name: "a\nssh-ed25519 b").split(separator: "\n").count == 1)
        for text in ["", "ssh-ed25519", "ssh-ed25519 \(word.dropLast())", "ssh-ed25519 \(word)AAAA", "ssh-ed25519 AAAA", line + line, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            #expect(throws: PublicKeyError.notAKey, "\(text)") { try OperatorPublicKey(text: text) }
        }
        #expect(throws: PublicKeyError.otherAlgorithm("ssh-rsa")) { try OperatorPublicKey(text: "ssh-rsa AAAAB3NzaC1yc2E= x") }
    }

    @Test func `a secret prints as nothing`() throws {
        let seed = [UInt8](repeating: 0xab, count: 32)
        let key = try OperatorKey(seed: SecretBytes(seed))
        for secret in [key, SecretBytes(seed), passphrase("hunter22")] as [any Redacted] {
            var dumped = ""
            dump(secret, to: &dumped)
            for text in ["\(secret)", String(reflecting: secret), String(describing: Optional(secret)), dumped] {
                #expect(text.contains("redacted"))
                #expect(!text.contains("171") && !text.lowercased().contains("abab") && !text.contains("hunter"))
            }
        }
    }
}
