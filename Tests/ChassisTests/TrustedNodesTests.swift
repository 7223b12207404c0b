import Chassis
import Foundation
import Gate
import Identity
import Messaging
import Testing

@Suite struct TrustedNodesTests {
    private func key(_ byte: UInt8) -> [UInt8] { .init(repeating: byte, count: 32) }
    private func curve(_ byte: UInt8) throws -> CurveKey { try #require(CurveKey(key(byte))) }

    private func trusted() throws -> TrustedNodes {
        TrustedNodes(
            nodes: [
                .init(name: "ingest", role: "service", key: try curve(1).z85), .init(name: "policy", role: "service", key: try curve(4).z85),
                .init(name: "ann", role: "reader", key: try curve(6).z85), .init(name: "join", role: "join", key: try curve(7).z85),
            ], anchors: .init(control: "", controlWitness: "", policy: "", policyWitness: "", vault: ""))
    }

    @Test func `the registry's key of a service counts until the ledger names one, and then those of the ledger alone`() throws {
        let trusted = try trusted()
        var state = Governance()
        #expect(try trusted.keys(of: "ingest", by: state) == [curve(1)])
        state.apply(Entry(index: 3, at: WallTime(microseconds: 1), author: "ops-2", deed: .serviceKeyAnnounced(key(3), service: "ingest", beside: key(2))))
        #expect(try trusted.keys(of: "ingest", by: state) == [curve(2), curve(3)], "what the registry says of it counts no more")
        #expect(try trusted.keys(of: "policy", by: state) == [curve(4)])
        let admitted = trusted.admitted(["service", "reader"], by: state)
        #expect(try Set(admitted.keys) == [curve(2), curve(3), curve(4), curve(6)])
        #expect(trusted.keys(of: "nobody", by: state).isEmpty)
    }

    @Test func `a connection is its service's for as long as its own key counts`() throws {
        let trusted = try trusted()
        var state = Governance()
        state.apply(Entry(index: 3, at: WallTime(microseconds: 1), author: "ops-2", deed: .serviceKeyAnnounced(key(2), service: "ingest", beside: key(1))))
        let users = try trusted.admitted(["service"], by: state).mapValues { try #require(User($0)) }
        let (old, new) = (try #require(users[try curve(1)]), try #require(users[try curve(2)]))
        #expect(old.role == "service" && old.name == "ingest" && new.name == "ingest" && old.key != new.key)
        #expect(trusted.counts(old, by: state) && trusted.counts(new, by: state))
        state.apply(Entry(index: 4, at: WallTime(microseconds: 1), author: "ops-1", deed: .serviceKeyRetired(key(1), service: "ingest")))
        #expect(!trusted.counts(old, by: state) && trusted.counts(new, by: state))
        // The joining process likewise, which is no service.
        state.apply(Entry(index: 5, at: WallTime(microseconds: 1), author: "ops-2", deed: .serviceKeyAnnounced(key(8), service: "join", beside: key(7))))
        let joins = try trusted.admitted(["join"], by: state).mapValues { try #require(User($0)) }
        #expect(try Set(joins.keys) == [curve(7), curve(8)] && joins.values.allSatisfy { $0.role == "join" && $0.name == "join" })
        state.apply(Entry(index: 6, at: WallTime(microseconds: 1), author: "ops-1", deed: .serviceKeyRetired(key(7), service: "join")))
        #expect(try trusted.counts(#require(joins[curve(8)]), by: state) && !trusted.counts(#require(joins[curve(7)]), by: state))
        let (reader, keyless) = (try #require(User("reader/ann")), try #require(User("service/ingest")))
        #expect(trusted.counts(reader, by: state), "of others it says nothing")
        #expect(!trusted.counts(keyless, by: state), "without a key it is nobody")
    }

    @Test func `whoever the ledger has under the probe's name is let in nowhere`() throws {
        var state = Governance()
        let nodes = [("ben", 11), (Probe.name, 12)].map { name, byte in Node(name: name, ordinal: UInt32(byte), key: key(UInt8(byte)), role: .reader, scope: Scope(subject: "E1", site: "", team: "")) }
        let operators = [("ops-1", 21), (Probe.name, 22)].map { name, byte in Operator(name: name, person: name, key: key(UInt8(byte + 100)), session: key(UInt8(byte))) }
        state.apply(Entry(index: 1, at: WallTime(microseconds: 1), author: "control", deed: .began(Beginning(origin: "sluice.example/governance", operators: operators, controlKey: "c", policyKey: "p", controlWitness: "cw", policyWitness: "pw"))))
        state.apply(Entry(index: 2, at: WallTime(microseconds: 1), author: "ops-1", deed: .registered(nodes, enrolment: nil)))
        let admitted = try trusted().admittedWithLedger(["service", "reader"], by: state)
        #expect(try admitted[curve(11)] == "reader/ben" && admitted[curve(21)] == "operator/ops-1", "the control")
        #expect(try admitted[curve(12)] == nil && admitted[curve(22)] == nil)
        #expect(try trusted().admittedWithLedger(["service"], by: state)[curve(11)] == nil)
    }

    @Test(arguments: ["reader", "operator", "service"]) func `a registry with the probe's name is refused with a line that says so`(_ role: String) throws {
        let path = NSTemporaryDirectory() + "registry-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: path) }
        var nodes = try trusted()
        try JSONEncoder().encode(nodes).write(to: URL(fileURLWithPath: path))
        #expect(throws: Never.self, "the control") { try TrustedNodes(contentsOf: path) }
        nodes.nodes.append(.init(name: Probe.name, role: role, key: try curve(9).z85))
        try JSONEncoder().encode(nodes).write(to: URL(fileURLWithPath: path))
        let refused = #expect(throws: TrustedNodes.Invalid.self) { try TrustedNodes(contentsOf: path) }
        #expect(refused?.description.contains("give this \(role) another") ?? false)
    }
}
