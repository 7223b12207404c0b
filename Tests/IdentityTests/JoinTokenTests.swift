import Foundation
import Identity
import Messaging
import Testing

@Suite struct JoinTokenTests {
    private let ledgerKey = "sluice.example/governance+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

    private func token(_ endpoint: String = "tcp://10.1.2.3:7705") throws -> JoinToken {
        let server = try #require(CurveKey((0..<32).map { UInt8($0) }))
        return try JoinToken(endpoint: endpoint, server: server, secret: SecretBytes((100..<132).map { UInt8($0) }), ledgerKey: ledgerKey)
    }

    @Test func `a token that is written and read again says the same`() throws {
        for endpoint in ["tcp://10.1.2.3:7705", "tcp://[2001:db8::7]:7705", "tcp://ingest.example:1", "tcp://" + String(repeating: "h", count: 188) + ":65535"] {
            let made = try token(endpoint)
            let read = try JoinToken(text: made.text)
            #expect(read.endpoint == endpoint && read.server == made.server && read.anchor == JoinToken.anchor(of: ledgerKey))
            #expect(read.secret.withCopy { $0 } == (100..<132).map { UInt8($0) })
            #expect(read.hash == made.hash && read.text == made.text)
        }
    }

    @Test func `the contract's vector is met`() throws {
        let text = try token().text
        #expect(text == JoinTokenTests.vector)
        #expect(try token().hash == hex("e3e16780becf601d55e4751e7d722ef91d750bb0cea61b1bb5ea8bc308cdf262"))
    }

    static let vector =
        "sluice-join-AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoMpjtFcf4tjGa8tcy64HifgdGNwOi8vMTAuMS4yLjM6NzcwNUr3MHI"

    @Test func `every changed, missing or doubled character is damage, and never another token`() throws {
        let text = try token().text
        let start = JoinToken.prefix.utf8.count
        let characters = Array(text)
        for place in start..<characters.count {
            for other in ["A", "z", "_", "+", "=", "é", " "] where String(characters[place]) != other {
                var changed = characters
                changed[place] = Character(other)
                #expect(throws: JoinTokenError.damaged) { try JoinToken(text: String(changed)) }
            }
            var shorter = characters
            shorter.remove(at: place)
            #expect(throws: JoinTokenError.damaged) { try JoinToken(text: String(shorter)) }
            var longer = characters
            longer.insert(characters[place], at: place)
            #expect(throws: JoinTokenError.damaged) { try JoinToken(text: String(longer)) }
        }
        for length in start..<characters.count { #expect(throws: JoinTokenError.damaged) { try JoinToken(text: String(characters[..<length])) } }
        #expect(throws: JoinTokenError.damaged) { try JoinToken(text: text + "\n") }
    }

    @Test(arguments: ["", "sluice-join", "SLUICE-JOIN-AQID", "whsec_AQID", " sluice-join-AQID"])
    func `what does not begin like one is no token`(_ text: String) {
        #expect(throws: JoinTokenError.notAToken) { try JoinToken(text: text) }
    }

    @Test func `what is far too long is not looked at`() {
        #expect(throws: JoinTokenError.notAToken) { try JoinToken(text: JoinToken.prefix + String(repeating: "A", count: 10_000)) }
    }

    @Test(arguments: [
        "", "tcp://", "tcp://*:7705", "tcp://0.0.0.0:7705", "tcp://[::]:7705", "tcp://host", "tcp://host:0", "tcp://host:70000", "tcp://:7705", "ipc:///tmp/x", "tcp://a;b:1",
        "tcp://h ost:1", "tcp://höst:1", "tcp://" + String(repeating: "h", count: 200) + ":1",
    ])
    func `an endpoint that nobody elsewhere can reach is refused when the token is made`(_ endpoint: String) {
        #expect(throws: JoinTokenError.badEndpoint) { try token(endpoint) }
    }

    @Test func `a token prints as nothing, and no error text holds any of it`() throws {
        let made = try token()
        let body = String(made.text.dropFirst(JoinToken.prefix.count))
        for shown in ["\(made)", String(reflecting: made), "\(made.secret)", "\(Mirror(reflecting: made).children.map { "\($0)" })"] {
            #expect(!shown.contains(body.prefix(8)) && !shown.contains("100, 101"), "\(shown)")
        }
        for error in [JoinTokenError.notAToken, .damaged, .newerVersion(9), .badEndpoint] {
            #expect(!"\(error)".contains(body.prefix(8)) && !"\(error)".contains("\n"))
        }
    }

    @Test func `an agent without a name is named by its key`() {
        #expect(ownName(of: Array(repeating: 7, count: 32)).count == 16)
        #expect(ownName(of: Array(repeating: 7, count: 32)) != ownName(of: Array(repeating: 8, count: 32)))
        // printf '' | sha256sum
        #expect(ownName(of: []) == "e3b0c44298fc1c14")
    }
}
