import Messaging
import Testing

@testable import sluice_hooks

struct ConnectionTableTests {
    /// How many of so many were admitted.
    private func admitted(_ addresses: [String], _ table: inout ConnectionTable) -> Int {
        var count = 0
        for address in addresses where table.admit(Network(address)) { count += 1 }
        return count
    }

    private func times(_ count: Int, _ address: String) -> [String] { .init(repeating: address, count: count) }

    @Test func `nobody alone holds all the connections`() {
        var table = ConnectionTable()
        #expect(admitted(times(64, "192.0.2.1"), &table) == ConnectionTable.eachMax)
        #expect(admitted(["192.0.2.2"], &table) == 1, "there is room for others")
        #expect(ConnectionTable.eachMax < HookServer.connectionsMax && ConnectionTable.localMax < HookServer.connectionsMax)
    }

    @Test func `a machine of IPv6 is its network, however many addresses it takes`() {
        var table = ConnectionTable()
        #expect(admitted((0..<64).map { "2001:db8::\($0)" }, &table) == ConnectionTable.eachMax)
        #expect(admitted(["2001:db8:0:1::1"], &table) == 1, "the control: another network")
    }

    @Test(arguments: ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) func `this machine may stand for many`(_ address: String) {
        var table = ConnectionTable()
        #expect(admitted(times(64, address), &table) == ConnectionTable.localMax)
    }

    @Test func `who leaves makes room for one, and is forgotten with the last`() {
        var table = ConnectionTable()
        #expect(admitted(times(20, "192.0.2.1"), &table) == ConnectionTable.eachMax)
        table.left(Network("192.0.2.1"))
        #expect(admitted(times(2, "192.0.2.1"), &table) == 1)
        for _ in 0..<ConnectionTable.eachMax { table.left(Network("192.0.2.1")) }
        #expect(table.count == 0)
    }
}
