import Chassis
import Crypto
import Foundation
import Gate
import Identity
import Ledger
import Logging
import Messaging
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_agent

/// What a joining process says, which is everybody's to reach: what of it an agent takes, when it joins and when it renews its key.
@Suite final class JoinedSuiteTests {
    private let folder = NSTemporaryDirectory() + "joined-" + UUID().uuidString
    private let record: Record
    private let next: NoteSigner
    private let gone: NoteSigner

    /// The second key of the ledger is announced by entry 2, another one of ingest's by entry 3.
    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        record = try Record()
        let name = record.signer.verifier.name
        func signer(_ seed: UInt8) throws -> NoteSigner {
            try NoteSigner(name: name, algorithm: .note, key: Curve25519.Signing.PrivateKey(rawRepresentation: Array(repeating: seed, count: 32)))
        }
        (next, gone) = (try signer(9), try signer(8))
        try record.append(.vaultKeyAnnounced(key(9)))
        try record.append(.ledgerKeyAnnounced("\(next.verifier)", beside: "\(record.signer.verifier)"))
        try record.append(.serviceKeyAnnounced(key(2), service: "ingest", beside: key(1)))
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private var path: String { folder + "/agent.json" }

    private func curve(_ byte: UInt8) throws -> CurveKey { try #require(CurveKey(key(byte))) }

    /// An agent that knows the older key of the ledger, one that was retired before, and ingest's first.
    private func settle() throws {
        var settings = AgentSettings.fields(of: LedgerTrust([record.signer.verifier], retired: [gone.verifier], index: 1))
        settings.merge(["name": "desk", "ingest": "tcp://a:1", "serverKey": try curve(1).z85, "origin": "its own", "policyWitness": "its own", "spoolBytesMax": 5 << 20]) { $1 }
        try JSONSerialization.data(withJSONObject: settings).write(to: URL(fileURLWithPath: path))
    }

    private func token(_ signer: NoteSigner) throws -> JoinToken {
        try JoinToken(endpoint: "tcp://127.0.0.1:7705", server: curve(5), secret: SecretBytes(key(6)), ledgerKey: "\(signer.verifier)")
    }

    /// With a key of ingest's that nobody has announced.
    private func joined(_ proofs: [WireEntryProof] = [], server: WireEntryProof? = nil) throws -> WireJoined {
        var body = WireJoined()
        (body.name, body.ingest, body.ingestKey, body.leaseMs) = ("desk", "tcp://b:2", Data(key(7)), 2_000)
        (body.origin, body.controlKey, body.policyWitness) = ("another", "\(next.verifier)", "another")
        body.ledgerKeys = proofs
        if let server { body.server = server }
        return body
    }

    private func renew(_ body: WireJoined, _ signer: NoteSigner) throws {
        let known = try JoinedSuite(body, token: token(signer))
        try JoinedSuite.extend(folder, by: body, logger: Logger(label: "test"))
        try known.write(to: path, onlyUnpinned: true)
    }

    private func kept(_ field: String) throws -> String? {
        (try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any])?[field] as? String
    }

    @Test(arguments: [true, false]) func `an agent that renews its key goes on from what it knows, whichever of two keys of the ledger its token names`(older: Bool) throws {
        try settle()
        try renew(joined([record.proof(of: 1)], server: record.proof(of: 2)), older ? record.signer : next)
        let agent = try AgentSettings(home: folder)
        let trust = try agent.trust
        #expect(trust.keys == [record.signer.verifier, next.verifier] && trust.retired == [gone.verifier] && trust.index == 2, "begun at the token it would know the newer alone, or forget the retired")
        #expect(agent.leaseMilliseconds == 2_000 && agent.ingest == "tcp://b:2" && agent.spoolBytesMax == 5 << 20)
        #expect(FileManager.default.fileExists(atPath: folder + "/server.proof"), "ingest's announced key counts beside the one that it has")
        // The control: a machine that joins has nothing but the token and what it is told.
        try FileManager.default.removeItem(atPath: path)
        let told = try joined([record.proof(of: 1)])
        try JoinedSuite(told, token: token(next)).write(to: path)
        #expect(try AgentSettings(home: folder).trust.keys == [next.verifier] && kept("serverKey") == curve(7).z85 && kept("origin") == "another")
    }

    @Test func `a joining process that lies takes from an agent that renews no key that it knows, and gives it none`() throws {
        try settle()
        let before = try AgentSettings(home: folder).trust
        let lies = try [
            joined(), joined([record.proof(of: 1, signedBy: next)], server: record.proof(of: 2, signedBy: gone)), joined([record.proof(of: 1, signedBy: gone)], server: record.proof(of: 0)),
        ]
        for lie in lies {
            try renew(lie, next)
            let agent = try AgentSettings(home: folder)
            #expect(try agent.trust == before)
            #expect(try agent.serverKey == curve(1).z85 && kept("origin") == "its own" && kept("policyWitness") == "its own")
            #expect(!FileManager.default.fileExists(atPath: folder + "/server.proof"))
        }
    }
}
