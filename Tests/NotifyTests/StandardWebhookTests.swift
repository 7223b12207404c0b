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
        let secret = try StandardWebhook.Secret(secretText)
        var dumped = ""
        dump(try Hooks.to(["a": "http://127.0.0.1/"]), to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped] {
            #expect(text.contains("hidden"))
            #expect(!text.contains("MfKQ"))
        }
    }
}
