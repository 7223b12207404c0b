/// Whether an address is reachable from the internet, by IANA's registries of special addresses: what is not known to be is not.
///
/// What asks or tells at an address that a document or a file names goes by it where it connects, on the address itself: a name is another's to lead elsewhere.
package enum InternetAddress {
    /// - Parameter bytes: four or sixteen, in the network's order.
    package static func isPublic(_ bytes: some Collection<UInt8>) -> Bool {
        switch bytes.count {
        case 4: isPublic(version4: Array(bytes))
        case 16: isPublic(version6: Array(bytes))
        default: false
        }
    }

    private static func isPublic(version4 bytes: [UInt8]) -> Bool {
        switch (bytes[0], bytes[1], bytes[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (224..., _, _), (100, 64..<128, _), (169, 254, _), (172, 16..<32, _), (192, 168, _), (192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 18..<20, _),
            (198, 51, 100), (203, 0, 113):
            return false
        default: return true
        }
    }

    /// 2000::/3 without what is another network in its clothes (Teredo, 6to4) or for documents.
    private static func isPublic(version6 bytes: [UInt8]) -> Bool {
        if bytes[..<12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF] { return isPublic(version4: Array(bytes[12...])) }
        guard bytes[0] & 0xE0 == 0x20 else { return false }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return false }
        if bytes[0] == 0x20, bytes[1] == 0x01 { return !(bytes[2] < 2 || (bytes[2] == 0x0D && bytes[3] == 0xB8)) }
        return !(bytes[0] == 0x3F && bytes[1] == 0xFF)
    }
}
