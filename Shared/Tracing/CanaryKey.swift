import Crypto

/// What canaries are derived from. Policy's alone; it prints as its id.
package struct CanaryKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package static let bytesCount = 32
    private let key: SymmetricKey
    /// Of the key, in the read ledger: sixteen hexadecimal digits that say nothing about it.
    package let id: String

    /// - Parameter secret: ``bytesCount`` bytes.
    package init?(secret: [UInt8]) {
        guard secret.count == CanaryKey.bytesCount else { return nil }
        key = SymmetricKey(data: secret)
        let digits = Array("0123456789abcdef")
        id = String(CanaryKey.derived(key, "id", [], 0).prefix(8).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// HMAC-SHA256 of what for, of whom, and a counter.
    private static func derived(_ key: SymmetricKey, _ purpose: String, _ detail: [UInt8], _ number: UInt8) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array("sluice/canary/v1/\(purpose)".utf8) + [0, number] + detail, using: key))
    }

    /// So many bytes.
    func bytes(_ purpose: String, _ detail: [UInt8] = [], count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 32)
        var number: UInt8 = 0
        while bytes.count < count {
            bytes += CanaryKey.derived(key, purpose, detail, number)
            number += 1
        }
        return Array(bytes.prefix(count))
    }

    package var description: String { "CanaryKey(\(id))" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Whom a canary names.
package enum Marked: Hashable, Sendable {
    /// - salt: Bytes that no other release has. Numbers come again after a vault was restored, and the wrong reader would be named.
    case release(UInt64, salt: [UInt8] = [])
    /// The same in every release to this reader: who takes something twice, and removes what differs, keeps these.
    case reader(String)

    var bytes: [UInt8] {
        switch self {
        case .release(let number, let salt): [1] + (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64($0 * 8)) } + salt
        case .reader(let name): [2] + Array(name.utf8)
        }
    }
}
