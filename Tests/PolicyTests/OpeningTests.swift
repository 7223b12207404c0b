import Foundation
import Gate
import Messaging
import Rules
import Seal
import SwiftProtobuf
import Testing
import Vault
import Wire

@testable import sluice_policy

private let origin = "sluice/test/governance"

/// An agent's batch of one key press, and what becomes of it on the way.
private struct Sent {
    var header = WireBatchHeader()
    var bytes: [UInt8] = []
    var payload: [UInt8] = []

    init(to key: VaultKey, as agent: String = "desk", origin: String = origin, sequence: UInt64 = 1) throws {
        let event = try EventLine.parse(Array(#"{"at":"2026-11-23T08:00:00Z","kind":"key","action":"down","key":"a"}"#.utf8)).event
        let columns = try ColumnsCodec.encode([event])
        var compressor = try ZstdCompressor()
        let packed = try compressor.compress(columns.bytes)
        header.stream = 5
        header.sequence = sequence
        header.class = "activity"
        header.firstNs = columns.extent.first.nanoseconds
        header.lastNs = columns.extent.last.nanoseconds
        header.count = 1
        header.epoch = 3
        header.payloadBytes = UInt32(packed.count + Encapsulation.overheadBytes)
        header.columnsBytes = UInt32(columns.bytes.count)
        bytes = [UInt8](try header.serializedData())
        var sealer = try Sealer(vault: key.publicKey, origin: origin, agent: agent, at: Instant(nanoseconds: 0))
        payload = try sealer.seal(packed, stream: 5, sequence: sequence, header: bytes, at: Instant(nanoseconds: 0))
    }

    /// Somebody on the way writes another header.
    mutating func rewrite(_ change: (inout WireBatchHeader) -> Void) throws {
        change(&header)
        bytes = [UInt8](try header.serializedData())
    }

    var sealed: SealedBatch {
        SealedBatch(
            batch: Batch(
                agent: 1, line: 1, name: "desk", scope: Scope(subject: "E1", site: "berlin", team: "search"), offset: .zero, header: header, oldest: 1,
                bytes: payload.count, ingest: 1),
            header: bytes, payload: payload)
    }
}

@Suite struct OpeningTests {
    private let now = WallTime(nanoseconds: 1_795_500_000_000_000_000)

    private func refusal(_ sent: Sent, _ keys: [VaultKey]) -> BatchRefused? {
        var unsealer = BatchUnsealer(origin: origin, keys: keys)
        do throws(BatchRefused) {
            _ = try unsealer.open(sent.sealed)
            return nil
        } catch {
            return error
        }
    }

    @Test func `what an agent sealed is opened, judged and cut`() throws {
        let key = try #require(VaultKey.make())
        let sent = try Sent(to: key)
        var unsealer = BatchUnsealer(origin: origin, keys: [key])
        let opened = try unsealer.open(sent.sealed)
        #expect(opened.packed.count == sent.payload.count - Encapsulation.overheadBytes)
        var cutter = try BatchCutter(SharedRules())
        let prepared = try cutter.prepare(opened, fence: Fence(gate: GateState()), now: now)
        #expect(prepared.segments.map(\.dataClass.name) == ["activity"] && prepared.segments[0].blob == opened.packed)
        #expect(prepared.segments[0].hash == opened.hash)
    }

    @Test func `a header that was written anew on the way is refused, whatever it claims`() throws {
        let key = try #require(VaultKey.make())
        let changes: [(String, (inout WireBatchHeader) -> Void)] = [
            ("class", { $0.class = "review" }), ("first", { $0.firstNs -= 1 }), ("last", { $0.lastNs += 1 }), ("count", { $0.count = 2 }),
            ("epoch", { $0.epoch = 9 }), ("sequence", { $0.sequence = 2 }), ("stream", { $0.stream = 6 }), ("columns", { $0.columnsBytes += 1 }),
            ("payload", { $0.payloadBytes += 1 }),
        ]
        for (what, change) in changes {
            var sent = try Sent(to: key)
            try sent.rewrite(change)
            let refused = try #require(refusal(sent, [key]), "\(what)")
            #expect(refused.refusal == .unreadable && refused.isUnsealable, "\(what)")
        }
        #expect(refusal(try Sent(to: key), [key]) == nil, "the control")
    }

    @Test func `what is sealed to the vault's new key waits until it is here, and is not set aside`() throws {
        let (key, new) = (try #require(VaultKey.make()), try #require(VaultKey.make()))
        let sent = try Sent(to: new)
        var unsealer = BatchUnsealer(origin: origin, keys: [key])
        func refused() -> BatchRefused? {
            do throws(BatchRefused) {
                _ = try unsealer.open(sent.sealed)
                return nil
            } catch { return error }
        }
        #expect(refused()?.awaitsKey == false, "the control: a key that nobody has announced")
        unsealer.awaited = [new.publicKey.id]
        #expect(refused()?.awaitsKey == true && refused()?.isUnsealable == false)
        unsealer.use([new, key])
        #expect(refused() == nil)
        unsealer.use([key])
        unsealer.awaited = []
        #expect(refused()?.awaitsKey == false, "and one that was taken away again")
    }

    @Test func `what is sealed for somebody else, to another key, or not at all is refused by its name`() throws {
        let key = try #require(VaultKey.make())
        let other = try #require(VaultKey.make())
        func check(_ sent: Sent, _ refusal: Refusal, _ isCounted: Bool, _ what: String) throws {
            let found = try #require(self.refusal(sent, [key]), "\(what)")
            #expect(found.refusal == refusal && found.isUnsealable == isCounted, "\(what): \(found)")
        }
        try check(Sent(to: key, as: "another"), .unreadable, true, "another agent")
        try check(Sent(to: key, origin: "sluice/other"), .unreadable, true, "another suite")
        try check(Sent(to: other), .unreadable, false, "a key that is not there")
        var sent = try Sent(to: key)
        sent.payload[sent.payload.count - 1] ^= 1
        try check(sent, .unreadable, true, "a flipped bit")
        sent = try Sent(to: key)
        sent.payload[0] = 2
        try check(sent, .malformed, false, "another version")
        sent.payload = Array(sent.payload.prefix(64))
        sent.payload[0] = 1
        try check(sent, .malformed, false, "too short")
        // An earlier key opens what was sealed to it.
        #expect(refusal(try Sent(to: other), [key, other]) == nil)
    }
}
