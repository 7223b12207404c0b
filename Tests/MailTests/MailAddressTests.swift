import Mail
import Testing

struct MailAddressTests {
    private func refusal(_ text: String) -> MailAddressRefused? {
        do {
            _ = try MailAddress(text)
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        ("ada@example.org", "ada@example.org"), ("Ada.Lovelace+notice@Example.ORG", "Ada.Lovelace+notice@example.org"), ("o'neil@example.org", "o'neil@example.org"),
        ("a@localhost", "a@localhost"), ("_{x}~@a-b.example", "_{x}~@a-b.example"), ("a@1.example", "a@1.example"),
    ])
    func `an address is taken as it is, but for its domain's case`(_ text: String, _ expected: String) throws { #expect(try MailAddress(text).description == expected) }

    @Test(arguments: [
        ("ada@Bücher.example", "ada@xn--bcher-kva.example"), ("ada@straße.example", "ada@xn--strae-oqa.example"), ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        // The same letter as one scalar and as two.
        ("ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example"),
        // Full-width letters and an ideographic full stop are what they look like.
        ("ada@ｅｘａｍｐｌｅ。org", "ada@example.org"), ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
    ])
    func `a Unicode domain goes out in A-labels`(_ text: String, _ expected: String) throws { #expect(try MailAddress(text).description == expected) }

    /// FAULTS M01: what could end a command, open a second recipient or a header.
    @Test(arguments: [
        "ada@example.org\r\nRCPT TO:<eve@example.com>", "ada@example.org\nBcc: eve@example.com", "ada\r@example.org", "ada\u{0}@example.org", "ada@example.org\u{0}",
        "ada@example\u{2028}.org", "ada\u{2029}@example.org", "ada\u{85}@example.org", "ada@example.org\u{0B}", "ada\t@example.org", "ada\u{7F}@example.org",
        "\u{202E}gro.elpmaxe@ada", "ada@exam\u{200B}ple.org", "\u{FEFF}ada@example.org", "ada@exa\u{E0041}mple.org",
    ])
    func `what ends a line or hides in one is refused as that character`(_ text: String) {
        guard case .character = refusal(text) else {
            Issue.record("\(text.debugDescription): \(String(describing: refusal(text)))")
            return
        }
    }

    @Test(arguments: [
        "<ada@example.org>", "Ada <ada@example.org>", "ada@example.org,eve@example.com", "ada@example.org;eve@example.com", "ada@example.org eve@example.com", "ada example@example.org",
        "\"ada eve\"@example.org", "\"a\\\"b\"@example.org", "ada(comment)@example.org", "@relay.example:ada@example.org", "eve@example.com@example.org", "ada@[127.0.0.1]", "ada@[IPv6:::1]",
        "ada@example.org> SIZE=1", "ada@exam_ple.org", "ada@example.org/x", "ada@example.org:25", "mailto:ada@example.org ", " ada@example.org", "ada@example.org?bcc=eve@example.com",
    ])
    func `what another program may read as more than one address is refused`(_ text: String) { #expect(refusal(text) != nil) }

    @Test func `every refusal says which it is`() {
        #expect(refusal("") == .empty)
        #expect(refusal("@example.org") == .empty)
        #expect(refusal("ada@") == .empty)
        #expect(refusal("ada") == .noAt)
        for text in [".ada@example.org", "ada.@example.org", "a..da@example.org", "ada@example..org", "ada@.example.org", "ada@example.org."] { #expect(refusal(text) == .dots) }
        #expect(refusal("ädä@example.org") == .localNotASCII("ä"))
        #expect(refusal("ada@-example.org") == .hyphen("-example"))
        #expect(refusal("ada@example-.org") == .hyphen("example-"))
        #expect(refusal("ada@127.0.0.1") == .digits("1"))
        // A label in a script that no registry's rules let through.
        guard case .noSuchDomain = refusal("ada@\u{0301}x.example") else {
            Issue.record("a mark that begins a label")
            return
        }
    }

    @Test func `lengths are those of RFC 5321, to the octet`() throws {
        let label = String(repeating: "a", count: 63)
        #expect(throws: Never.self) { try MailAddress(String(repeating: "l", count: 64) + "@example.org") }
        #expect(refusal(String(repeating: "l", count: 65) + "@example.org") == .long(.local, octets: 65))
        #expect(throws: Never.self) { try MailAddress("a@\(label).org") }
        #expect(refusal("a@\(label)a.org") == .long(.label, octets: 64))
        let domain = "\(label).\(label).\(label).\(String(repeating: "b", count: 59))"
        #expect(domain.utf8.count == 251)
        #expect(try MailAddress("ab@\(domain)").description.utf8.count == 254)
        #expect(refusal("abc@\(domain)") == .long(.address, octets: 255))
        #expect(refusal("a@\(domain)ccc") == .long(.domain, octets: 254))
        #expect(refusal(String(repeating: "x", count: 2_000)) == .long(.address, octets: 2_000))
    }

    @Test func `what is told of a refusal holds no line break, whatever the text was`() {
        for text in ["a\r\nb@c", "a\u{2028}@c", "a@-\u{202E}.example", "a@b\nc"] {
            let words = refusal(text)?.words ?? ""
            #expect(!words.isEmpty && words.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value < 0x7F }, "\(words)")
        }
    }
}
