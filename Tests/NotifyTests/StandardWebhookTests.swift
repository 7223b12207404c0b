import Foundation
import Gate
import Testing
import Webhooks

@testable import sluice_notify

struct StandardWebhookTests {
    let body = Data(#"{"test": 2432232314}"#.utf8)
    let time = WallTime(nanoseconds: 1_614_265_330_999_999_999)
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek"

    @Test func `the published vector gives the published signature`() throws {
        let headers = StandardWebhook.headers(id: id, at: time, body: body, secrets: [try .init(secretText)])
        #expect(headers.signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        #expect(headers.timestamp == 1_614_265_330)
        #expect(
            headers.lines == [
                "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp: 1614265330",
                "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ])
    }

    @Test func `two secrets give two signatures, and either receiver is content`() throws {
        let (old, new) = (try StandardWebhook.Secret(secretText), try StandardWebhook.Secret(otherSecretText))
        let headers = StandardWebhook.headers(id: id, at: time, body: body, secrets: [old, new])
        #expect(headers.signature.split(separator: " ").count == 2)
        #expect(StandardWebhook.verifies(headers, body: body, secret: old, at: time))
        #expect(StandardWebhook.verifies(headers, body: body, secret: new, at: time))
    }

    /// Made by pyca/cryptography from the seed 00…1f; the specification has no vector for `v1a`.
    let keyText = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    let publicKeyText = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    let keySignature = "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ=="

    @Test func `a key signs what another program would, and its public half takes it`() throws {
        let headers = StandardWebhook.headers(id: id, at: time, body: body, signers: [try .init(keyText)])
        #expect(headers.signature == keySignature)
        let verifier = try StandardWebhook.Verifier(publicKeyText)
        try StandardWebhook.check(headers, body: body, verifiers: [verifier], at: time)
        #expect(try StandardWebhook.Signer(keyText).verifier == verifier)
        #expect(try StandardWebhook.SecretKey(keyText).publicKey.description == publicKeyText)
        #expect(throws: StandardWebhook.Refused.unsigned) { try StandardWebhook.check(headers, body: body + Data(" ".utf8), verifiers: [verifier], at: time) }
        let other = try StandardWebhook.SecretKey("whsk_" + Data(repeating: 9, count: 32).base64EncodedString()).publicKey
        #expect(throws: StandardWebhook.Refused.unsigned) { try StandardWebhook.check(headers, body: body, verifiers: [.key(other)], at: time) }
    }

    @Test func `a secret and a key sign side by side, each for its own receivers, and a signature counts under its own scheme alone`() throws {
        let headers = StandardWebhook.headers(id: id, at: time, body: body, signers: [try .init(secretText), try .init(keyText)])
        #expect(headers.signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= " + keySignature)
        for text in [secretText, publicKeyText] { try StandardWebhook.check(headers, body: body, verifiers: [try .init(text)], at: time) }
        var swapped = headers
        swapped.signature = "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1," + keySignature.dropFirst(4)
        for text in [secretText, publicKeyText] {
            #expect(throws: StandardWebhook.Refused.unsigned) { try StandardWebhook.check(swapped, body: body, verifiers: [try .init(text)], at: time) }
        }
        // What nobody here knows hinders none of the others.
        var more = headers
        more.signature = "v2,AAAA v1a,??? v1a v1, " + headers.signature
        try StandardWebhook.check(more, body: body, verifiers: [try .init(publicKeyText)], at: time)
        more.signature = String(repeating: "v1,AAAA ", count: StandardWebhook.signaturesMax) + headers.signature
        #expect(throws: StandardWebhook.Refused.unsigned) { try StandardWebhook.check(more, body: body, verifiers: [try .init(secretText)], at: time) }
    }

    @Test func `a key has 32 bytes, or 64 with the public half that is its own`() throws {
        let seed = Data(0..<32)
        let whole = seed + Data(base64Encoded: String(publicKeyText.dropFirst(5)))!
        func text(_ bytes: Data) -> String { "whsk_" + bytes.base64EncodedString() }
        #expect(try StandardWebhook.SecretKey(text(whole)) == StandardWebhook.SecretKey(keyText))
        #expect(throws: StandardWebhook.SecretRefused.otherPublicKey) { try StandardWebhook.Signer(text(seed + seed)) }
        #expect(throws: StandardWebhook.SecretRefused.length(31)) { try StandardWebhook.Signer(text(seed.dropLast())) }
        #expect(throws: StandardWebhook.SecretRefused.length(33)) { try StandardWebhook.Verifier("whpk_" + (seed + Data([0])).base64EncodedString()) }
        #expect(throws: StandardWebhook.SecretRefused.notBase64) { try StandardWebhook.Signer("whsk_???") }
        // What checks does not sign, and what signs is given to nobody to check with.
        #expect(throws: StandardWebhook.SecretRefused.noPrefix) { try StandardWebhook.Signer(publicKeyText) }
        #expect(throws: StandardWebhook.SecretRefused.noPrefix) { try StandardWebhook.Verifier(keyText) }
    }

    @Test func `another body, id, time or secret does not verify`() throws {
        let secret = try StandardWebhook.Secret(secretText)
        let headers = StandardWebhook.headers(id: id, at: time, body: body, secrets: [secret])
        #expect(!StandardWebhook.verifies(headers, body: body + Data(" ".utf8), secret: secret, at: time))
        #expect(!StandardWebhook.verifies(headers, body: body, secret: try .init(otherSecretText), at: time))
        #expect(StandardWebhook.verifies(headers, body: body, secret: secret, at: time + .seconds(300)))
        #expect(!StandardWebhook.verifies(headers, body: body, secret: secret, at: time + .seconds(301)))
        var other = headers
        other.id += "x"
        #expect(!StandardWebhook.verifies(other, body: body, secret: secret, at: time))
        other = headers
        other.timestamp += 1
        #expect(!StandardWebhook.verifies(other, body: body, secret: secret, at: time))
    }

    @Test(arguments: ["", "a.b", "a b", "a\r\nb", "a\u{0}", "ä", String(repeating: "a", count: 129)])
    func `what could be mistaken for something else is no id`(text: String) { #expect(!StandardWebhook.isID(text)) }

    @Test func `a secret has 24 to 64 bytes in base64 after its prefix`() throws {
        func text(_ count: Int) -> String { "whsec_" + Data(repeating: 1, count: count).base64EncodedString() }
        #expect(throws: StandardWebhook.SecretRefused.length(23)) { try StandardWebhook.Secret(text(23)) }
        #expect(throws: StandardWebhook.SecretRefused.length(65)) { try StandardWebhook.Secret(text(65)) }
        #expect(throws: StandardWebhook.SecretRefused.noPrefix) { try StandardWebhook.Secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") }
        #expect(throws: StandardWebhook.SecretRefused.notBase64) { try StandardWebhook.Secret("whsec_???") }
        _ = (try StandardWebhook.Secret(text(24)), try StandardWebhook.Secret(text(64)))
    }

    @Test func `a secret never prints itself`() throws {
        let (secret, key) = (try StandardWebhook.Secret(secretText), try StandardWebhook.SecretKey(keyText))
        var dumped = ""
        dump(try Hooks.to(["a": "http://127.0.0.1/"], secrets: [secretText, keyText]), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), "\(key)", String(reflecting: key), dumped] {
            #expect(text.contains("hidden"))
            #expect(!text.contains("MfKQ") && !text.contains("AAECAw"))
        }
    }
}
