/// Public keys of X25519, as far as they can be judged without arithmetic: the vault's, and those of CURVE.
package enum MontgomeryPoint {
    /// Whether nothing secret can be agreed with a point: it has low order, and every agreement is zero.
    ///
    /// RFC 9180, section 7.1.4, asks for it; swift-crypto leaves it out on purpose. These are all the encodings there are (RFC 7748's curve has five
    /// u of low order, and 0 and 1 have a second encoding below 2^255); the highest bit does not count.
    package static func isLowOrder(_ point: [UInt8]) -> Bool {
        guard point.count == 32 else { return false }
        var u = point
        u[31] &= 0x7f
        return lowOrder.contains(u)
    }

    private static let lowOrder: Set<[UInt8]> = {
        let zeros = [UInt8](repeating: 0, count: 31)
        let ones = [UInt8](repeating: 0xff, count: 30) + [0x7f]
        return [
            [0] + zeros, [1] + zeros, [0xec] + ones, [0xed] + ones, [0xee] + ones,
            [
                0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
                0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
            ],
            [
                0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
                0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
            ],
        ]
    }()
}
