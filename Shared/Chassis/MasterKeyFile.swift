import Foundation
import Identity
package import Vault

/// The key that wraps the vault's data keys, on disk: 64 hexadecimal digits, 0600. Who loses it has lost the vault.
package enum MasterKeyFile {
    package static func load(_ path: String) throws -> MasterKey {
        try LedgerKey.text(path).withCopy { bytes in
            guard let key = key(of: bytes) else { throw Complaint("\(path) holds no key: 64 hexadecimal digits are expected; put the right one back from a backup") }
            return key
        }
    }

    /// The next one, while it is being exchanged: the keys in the vault are wrapped under either, all of them.
    package static func next(_ path: String) -> String { path + ".next" }

    package static func loadAll(_ path: String) throws -> [MasterKey] {
        try [load(path)] + (FileManager.default.fileExists(atPath: next(path)) ? [load(next(path))] : [])
    }

    /// From a program of the operator's: its standard output is the key. It is not given to a shell; its words are separated by spaces.
    package static func ask(_ command: String, seconds: Int) throws -> MasterKey {
        var bytes = try KeyCommand.output(of: command, seconds: seconds)
        defer { wipe(&bytes) }
        guard let key = key(of: bytes) else { throw Complaint("'\(command)' printed no key: 64 hexadecimal digits are expected") }
        return key
    }

    private static func key(of bytes: [UInt8]) -> MasterKey? {
        guard var secret = secret(of: bytes) else { return nil }
        defer { wipe(&secret) }
        return MasterKey(secret: secret)
    }

    /// Of 32 bytes, as digits and perhaps the end of a line.
    static func secret(of bytes: [UInt8]) -> [UInt8]? {
        var digits = bytes[...]
        if digits.last == UInt8(ascii: "\n") { digits = digits.dropLast() }
        var secret: [UInt8] = []
        guard digits.count == MasterKey.bytesCount * 2 else { return nil }
        for place in stride(from: digits.startIndex, to: digits.endIndex, by: 2) {
            guard let high = digit(digits[place]), let low = digit(digits[place + 1]) else { return nil }
            secret.append(high << 4 | low)
        }
        return secret
    }

    /// A new one, as it stands in its file.
    static func text() -> SecretBytes {
        let digits = Array("0123456789abcdef".utf8)
        let text = [UInt8].random(MasterKey.bytesCount).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return SecretBytes(text + [UInt8(ascii: "\n")])
    }

    package static func loadOrMake(_ path: String) throws -> MasterKey {
        if !FileManager.default.fileExists(atPath: path) { try SecretFile.write(text(), to: path) }
        return try load(path)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
