#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Where somebody is, as far as it bounds them: an IPv4 address, or the 64 bits of an IPv6 one that its holder does not choose.
package struct Network: Hashable, Sendable {
    private var bits: UInt64 = 0
    private var isVersion6 = false

    /// - Parameter address: As libzmq and others give it. One that cannot be read is as good as any other such.
    package init(_ address: String) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, address, &four) == 1 {
            bits = UInt64(four.s_addr)
        } else if inet_pton(AF_INET6, address, &six) == 1 {
            let bytes = withUnsafeBytes(of: &six) { [UInt8]($0) }
            // An IPv4 address in IPv6's clothes.
            if bytes[..<12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] {
                withUnsafeMutableBytes(of: &bits) { $0.copyBytes(from: bytes[12...]) }
            } else {
                isVersion6 = true
                withUnsafeMutableBytes(of: &bits) { $0.copyBytes(from: bytes[..<8]) }
            }
        }
    }
}
