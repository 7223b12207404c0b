import Chassis
import Foundation
import Gate
import Ledger
import Logging
import Messaging
import SwiftProtobuf
import Testing
import Wire

@testable import sluice_agent

@Suite final class ServerPinTests {
    private let folder = NSTemporaryDirectory() + "pin-" + UUID().uuidString
    private let record: Record

    init() throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        // Entries 1 to 6: two keys of ingest's and one of policy's among others.
        record = try Record()
        try record.append(.removed([1]))
        try record.append(.serviceKeyAnnounced(key(2), service: "ingest", beside: key(1)))
        try record.append(.serviceKeyAnnounced(key(5), service: "policy", beside: key(4)))
        try record.append(.serviceKeyRetired(key(1), service: "ingest"))
        try record.append(.serviceKeyAnnounced(key(3), service: "ingest", beside: key(2)))
        try record.append(.vaultKeyAnnounced(key(9)))
        // 7 and 8: the second was never used.
        try record.append(.serviceKeyRetired(key(3), service: "ingest"))
        try record.append(.serviceKeyAnnounced(key(6), service: "ingest", beside: key(2)))
        try JSONSerialization.data(withJSONObject: ["serverKey": curve(1).z85, "name": "desk"]).write(to: URL(fileURLWithPath: folder + "/agent.json"))
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func curve(_ byte: UInt8) throws -> CurveKey { try #require(CurveKey(key(byte))) }

    private func pin(_ pinned: UInt8 = 1) throws -> ServerPin {
        ServerPin(
            folder: folder, pinned: try curve(pinned), ledger: LedgerPin(folder: folder, trust: LedgerTrust(record.signer.verifier), logger: Logger(label: "test")),
            logger: Logger(label: "test"))
    }

    private func settings() throws -> [String: String]? {
        try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: folder + "/agent.json"))) as? [String: String]
    }

    @Test func `a key of ingest's that control's ledger announced counts beside the pinned one, also at the next start`() throws {
        let first = try pin()
        #expect(try first.keys == [curve(1)])
        try first.take(record.proof(of: 1))
        #expect(try first.keys == [curve(1), curve(2)] && first.refused == 0)
        #expect(try pin().keys == [curve(1), curve(2)])
        try first.take(record.proof(of: 4))
        #expect(try first.keys == [curve(1), curve(3)], "the newest alone")
    }

    @Test func `the announced key takes the pinned one's place when ingest has been met under it, and there is no way back`() throws {
        let first = try pin()
        try first.take(record.proof(of: 1))
        try first.met(curve(1))
        #expect(try settings()?["serverKey"] == curve(1).z85, "met under the old one it stays")
        try first.met(curve(2))
        #expect(try first.keys == [curve(2)])
        #expect(try settings() == ["serverKey": curve(2).z85, "name": "desk"])
        try first.met(curve(7))
        #expect(try first.keys == [curve(2)], "a key that nobody announced is met by nobody")
        try first.take(record.proof(of: 4))
        try first.take(record.proof(of: 1))
        #expect(try first.keys == [curve(2), curve(3)] && first.refused == 1)
        #expect(throws: ServiceKeyNotProven.older(index: 2, accepted: 5)) {
            try ServiceKeyAnnouncement.check(record.proof(of: 1), of: "ingest", ledger: [record.signer.verifier], accepted: first.announced)
        }
    }

    @Test func `an announced key that was retired before ingest was met under it is not tried any more, also at the next start`() throws {
        let first = try pin(2)
        try first.take(record.proof(of: 4))
        #expect(try first.keys == [curve(2), curve(3)])
        // Forged, an announcement, another deed.
        let stranger = try Record(seed: 9).signer
        for (number, proof) in try [record.proof(of: 6, signedBy: stranger), record.proof(of: 1), record.proof(of: 5)].enumerated() {
            first.take(retired: proof)
            #expect(first.refused == UInt64(number + 1))
        }
        try first.take(retired: record.proof(of: 3))
        #expect(try first.keys == [curve(2), curve(3)] && first.refused == 3, "another key's retirement")
        try first.take(retired: record.proof(of: 6))
        #expect(try first.keys == [curve(2)] && first.refused == 3)
        #expect(!FileManager.default.fileExists(atPath: folder + "/server.proof"))
        // What was announced before does not come back, also after a start; that of the key that it has is no fault.
        for known in try [first, pin(2)] {
            let before = known.refused
            try known.take(record.proof(of: 1))
            #expect(try known.keys == [curve(2)] && known.refused == before)
            try known.take(record.proof(of: 4))
            #expect(try known.keys == [curve(2)] && known.refused == before + 1)
        }
        try #require(record.proof(of: 4).file).write(to: URL(fileURLWithPath: folder + "/server.proof"))
        let again = try pin(2)
        #expect(try again.keys == [curve(2)] && again.refused == 1)
        // The next one is taken.
        try first.take(record.proof(of: 7))
        #expect(try first.keys == [curve(2), curve(6)])
        #expect(try pin(2).keys == [curve(2), curve(6)])
        // Met under it, it stays, whatever is said of it: there would be none left.
        let other = try pin(3)
        try other.take(retired: record.proof(of: 6))
        #expect(try other.keys.first == curve(3))
    }

    @Test func `what control's ledger does not prove is refused and counted, and changes nothing`() throws {
        let first = try pin()
        let stranger = try Record(seed: 9).signer
        var other = try record.proof(of: 1)
        other.entry.body = try record.proof(of: 4).entry.body
        let offered: [(WireEntryProof, String)] = [
            (try record.proof(of: 1, signedBy: stranger), "forged"), (try record.proof(of: 1, as: KeyName("sluice/other/governance")), "of another ledger"),
            (other, "the proof of another entry"), (try record.proof(of: 2), "policy's key"), (try record.proof(of: 3), "a retirement"),
            (try record.proof(of: 5), "the vault's key"), (WireEntryProof(), "nothing"),
        ]
        for (proof, what) in offered {
            let before = first.refused
            first.take(proof)
            #expect(first.refused == before + 1, "\(what)")
        }
        #expect(try first.keys == [curve(1)] && !FileManager.default.fileExists(atPath: folder + "/server.proof"))
        // Two histories under one signature.
        let twin = try Record()
        try twin.append(.removed([1]))
        try twin.append(.serviceKeyAnnounced(key(8), service: "ingest", beside: key(1)))
        try first.take(record.proof(of: 1))
        try first.take(twin.proof(of: 1))
        #expect(try first.keys == [curve(1), curve(2)] && first.refused == UInt64(offered.count) + 1)
    }

    @Test func `a proof file is the same to everybody, and a damaged one is looked at and left`() throws {
        let proof = try record.proof(of: 4)
        let file = try #require(proof.file)
        #expect(WireEntryProof(file: file)?.entry == proof.entry)
        let path = URL(fileURLWithPath: folder + "/server.proof")
        try file.write(to: path)
        #expect(try pin().keys == [curve(1), curve(3)], "brought by hand")
        for damaged in try [Data(), Data("c2sp.org/tlog-proof@v1\n".utf8), Data(record.proof(of: 4).proof), Data(file.dropLast(20))] {
            try damaged.write(to: path)
            let read = try pin()
            #expect(try read.keys == [curve(1)] && read.refused == 1)
        }
    }
}
