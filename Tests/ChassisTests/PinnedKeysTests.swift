import Chassis
import Foundation
import Messaging
import Testing

@Suite final class PinnedKeysTests {
    private let folder = NSTemporaryDirectory() + "pins-" + UUID().uuidString
    private var pins: PinnedKeys { PinnedKeys(folder) }

    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func key(_ byte: UInt8) throws -> CurveKey { try #require(CurveKey([UInt8](repeating: byte, count: 32))) }

    private func write(_ text: String) throws { try text.write(toFile: folder + "/control.keys", atomically: true, encoding: .utf8) }

    @Test func `who was away during a whole exchange finds the present key in the registry, beside those that it knows`() throws {
        #expect(try pins.load(else: key(1)) == [key(1)], "nothing is pinned")
        pins.keep([try key(1), try key(2)])
        #expect(try pins.load(else: key(2)) == [key(1), key(2)], "the same key is not tried twice")
        #expect(try pins.load(else: key(3)) == [key(1), key(2), key(3)])
    }

    @Test func `a key that is known to be retired is not tried, though the registry names it still`() throws {
        pins.keep([try key(2)], retired: [try key(1), try key(7)])
        #expect(try pins.load(else: key(1)) == [key(2)])
        #expect(try pins.load(else: key(3)) == [key(2), key(3)], "the control")
    }

    @Test func `a file of an earlier version is read, and a damaged one is said to be so`() throws {
        try write("\(key(1).z85)\n\(key(2).z85)\n")
        #expect(try pins.load(else: key(2)) == [key(1), key(2)])
        let (one, two) = (try key(1).z85, try key(2).z85)
        for damaged in ["", "\n", "nothing", "\(one) gone", "\(one) retired", "\(one)\n\(two) retired twice", String(one.dropLast())] {
            try write(damaged)
            #expect(throws: Complaint.self, "\(damaged)") { try pins.load(else: key(3)) }
        }
    }
}
