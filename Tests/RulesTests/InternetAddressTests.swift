import Rules
import Testing

struct InternetAddressTests {
    @Test(arguments: [
        ([8, 8, 8, 8], true), ([172, 15, 0, 1], true), ([172, 32, 0, 1], true), ([100, 63, 0, 1], true), ([100, 128, 0, 1], true), ([192, 167, 0, 1], true), ([198, 20, 0, 1], true), ([223, 255, 255, 1], true),
        ([10, 1, 2, 3], false), ([127, 0, 0, 1], false), ([0, 0, 0, 0], false), ([169, 254, 169, 254], false), ([172, 16, 0, 1], false), ([172, 31, 255, 255], false), ([192, 168, 1, 1], false),
        ([100, 64, 0, 1], false), ([198, 19, 0, 1], false), ([224, 0, 0, 1], false), ([255, 255, 255, 255], false), ([8, 8, 8], false),
    ] as [([UInt8], Bool)])
    func `an address of version 4 is public or not`(_ bytes: [UInt8], _ isPublic: Bool) {
        #expect(InternetAddress.isPublic(bytes) == isPublic)
        #expect(InternetAddress.isPublic([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] + bytes) == isPublic, "also in version 6's clothes")
    }

    @Test(arguments: [
        ([0x2A, 0x00], true), ([0x20, 0x01, 0x48, 0x60], true), ([0x26, 0x06], true),
        ([0, 0], false), ([0xFE, 0x80], false), ([0xFC, 0], false), ([0xFD, 0], false), ([0xFF, 0x02], false), ([0x20, 0x02, 10, 0], false), ([0x20, 0x01, 0, 0], false), ([0x20, 0x01, 0x0D, 0xB8], false),
        ([0, 0x64, 0xFF, 0x9B], false), ([0x3F, 0xFF], false),
    ] as [([UInt8], Bool)])
    func `an address of version 6 is public or not`(_ head: [UInt8], _ isPublic: Bool) {
        #expect(InternetAddress.isPublic(head + [UInt8](repeating: 0, count: 15 - head.count) + [1]) == isPublic)
    }

    @Test func `what is no address is not public`() {
        for count in [0, 1, 3, 5, 15, 17] { #expect(!InternetAddress.isPublic([UInt8](repeating: 8, count: count))) }
    }
}
