import Chassis
import Crypto
import Foundation
import Gate
import Ledger
import Logging
import Messaging
import Testing
import Wire

@testable import sluice_agent

/// Control's ledger is signed with another key: what an agent makes of it, and what it remembers.
@Suite final class LedgerPinTests {
    private let folder = NSTemporaryDirectory() + "ledger-pin-" + UUID().uuidString
    private let record: Record
    private let next: NoteSigner

    /// The second key is announced by entry 2, and the first retired by entry 3; 4 announces a key of ingest's.
    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        record = try Record()
        next = try NoteSigner(name: record.signer.verifier.name, algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: 9, count: 32)))
        try record.append(.vaultKeyAnnounced(key(9)))
        try record.append(.ledgerKeyAnnounced("\(next.verifier)", beside: "\(record.signer.verifier)"))
        try record.append(.ledgerKeyRetired("\(record.signer.verifier)"))
        try record.append(.serviceKeyAnnounced(key(2), service: "ingest", beside: key(1)))
        let settings: [String: Any] = [
            "name": "desk", "ingest": "tcp://a:1", "serverKey": try #require(CurveKey(key(1))).z85, "ledgerKey": "\(record.signer.verifier)", "own": 7,
        ]
        try JSONSerialization.data(withJSONObject: settings).write(to: URL(fileURLWithPath: folder + "/agent.json"))
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// As at a start.
    private func pin() throws -> LedgerPin { LedgerPin(folder: folder, trust: try AgentSettings(home: folder).trust, logger: Logger(label: "test")) }

    private func proofs() throws -> [WireEntryProof] { [try record.proof(of: 1), try record.proof(of: 2, signedBy: next)] }

    @Test func `an agent that slept through the exchange goes on with the next key, and remembers it at the next start`() throws {
        let first = try pin()
        #expect(first.keys == [record.signer.verifier])
        #expect(try first.take(proofs()) && first.keys == [next.verifier] && first.refused == 0)
        let again = try pin()
        #expect(again.trust == first.trust && again.trust.index == 3)
        #expect(try again.take(proofs()) == false, "the same again is nothing new")
        #expect(again.everBelieved == [next.verifier, record.signer.verifier])
        let kept = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: folder + "/agent.json"))) as? [String: Any]
        #expect(kept?["own"] as? Int == 7 && kept?["ledgerKey"] as? String == "\(next.verifier)", "what else stands there stays")
    }

    @Test func `while both count either is believed, and then the older no more, whatever it signs`() throws {
        let pin = try pin()
        #expect(try pin.take([record.proof(of: 1)]))
        for signer in [record.signer, next] { _ = try VaultAnnouncement.check(record.proof(of: 0, signedBy: signer), ledger: pin.keys, accepted: nil) }
        #expect(try pin.take(proofs()))
        _ = try VaultAnnouncement.check(record.proof(of: 0, signedBy: next), ledger: pin.keys, accepted: nil)
        #expect(throws: AnnouncementRefused.notProven(.note(.unsigned(by: next.verifier.name, next.verifier.id)))) {
            try VaultAnnouncement.check(record.proof(of: 0), ledger: pin.keys, accepted: nil)
        }
        let server = ServerPin(folder: folder, pinned: try #require(CurveKey(key(1))), ledger: pin, logger: Logger(label: "test"))
        try server.take(record.proof(of: 3))
        #expect(server.announced == nil && server.refused == 1)
        try server.take(record.proof(of: 3, signedBy: next))
        #expect(server.announced?.index == 4)
    }

    @Test func `a key of the ledger that its key has not signed for is not taken, and that is counted`() throws {
        let pin = try pin()
        let stranger = try NoteSigner(name: next.verifier.name, algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: 8, count: 32)))
        #expect(try !pin.take([record.proof(of: 1, signedBy: stranger)]) && pin.refused == 0, "by whom it is not known: it may be of before")
        #expect(try !pin.take([record.proof(of: 0)]) && pin.refused == 1, "what it has signed announces none")
        #expect(try !pin.take([record.proof(of: 2, signedBy: next)]), "without the announcement")
        #expect(try pin.keys == [record.signer.verifier] && self.pin().trust == LedgerTrust(record.signer.verifier))
    }

    @Test func `an agent that was off for longer than is told says in one line what to do`() throws {
        let pin = try pin()
        #expect(try !pin.take([record.proof(of: 2, signedBy: next)]))
        do {
            _ = try VaultAnnouncement.check(record.proof(of: 0, signedBy: next), ledger: pin.keys, accepted: nil)
            Issue.record("believed a key that is not known")
        } catch { #expect("\(error)".contains("join anew") && !"\(error)".contains("\n")) }
    }

    @Test func `what is kept of ingest's next key is kept anew when the key that signed it is gone`() throws {
        let pin = try pin()
        func server() throws -> ServerPin { ServerPin(folder: folder, pinned: try #require(CurveKey(key(1))), ledger: pin, logger: Logger(label: "test")) }
        try server().take(record.proof(of: 3))
        #expect(try pin.take(proofs()))
        #expect(try server().announced == nil, "the control: signed with the old one alone it is believed no more")
        let running = try server()
        try running.take(record.proof(of: 3, signedBy: next))
        #expect(try server().announced?.index == 4)
    }
}
