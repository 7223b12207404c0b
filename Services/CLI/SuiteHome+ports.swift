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
            if (1...7).allSatisfy({ LoopbackPort.isFree(UInt16(base + $0)) }) { return base }
        }
        throw Complaint("no seven free ports were found between 10000 and 32000")
    }
}
#endif
