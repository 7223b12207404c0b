#if os(Linux)
import Chassis
import Foundation

extension SuiteHome {
    /// A number after which seven ports are free, as far as can be told: for a suite that lives for an hour, beside one that serves.
    ///
    /// Below the range from which the kernel gives ports away by itself: one of those may be somebody's before its service binds it.
    static func freePortBase() throws -> Int {
        for _ in 0..<200 {
            let base = Int.random(in: 1_250..<4_000) * 8
            if (1...7).allSatisfy({ isFree(UInt16(base + $0)) }) { return base }
        }
        throw Complaint("no seven free ports were found between 10000 and 32000")
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0 }
        }
    }
}
#endif
