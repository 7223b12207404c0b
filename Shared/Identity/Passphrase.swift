import Crypto
import Foundation

/// A value that must not be read off a log line, an error text or a dump: it prints as its type's name alone.
package protocol Redacted: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable, Sendable {}

extension Redacted {
    package var description: String { "\(Self.self)(redacted)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Overwrites bytes in a way that the optimiser keeps.
package func wipe(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return }
        #if canImport(Darwin)
        memset_s(base, buffer.count, 0, buffer.count)
        #else
        explicit_bzero(base, buffer.count)
        #endif
    }
}

/// Bytes that are overwritten when the last copy of the value goes (swift-crypto's key storage does it).
package struct SecretBytes: Redacted {
    private let bytes: SymmetricKey

    package init(_ bytes: [UInt8]) { self.bytes = SymmetricKey(data: bytes) }

    /// Takes the bytes over: the caller's copy is overwritten.
    package init(wiping source: inout [UInt8]) {
        bytes = SymmetricKey(data: source)
        wipe(&source)
    }

    package var count: Int { bytes.bitCount / 8 }

    /// Lends a copy that is overwritten afterwards: swift-crypto's functions take `Data` or arrays, and no raw buffer.
    package func withCopy<Result>(_ body: ([UInt8]) throws -> Result) rethrows -> Result {
        var copy = bytes.withUnsafeBytes { Array($0) }
        defer { wipe(&copy) }
        return try body(copy)
    }
}

/// What a person types to use a private key: any bytes, UTF-8 by custom.
package struct Passphrase: Redacted {
    let secret: SecretBytes

    package init(wiping typed: inout [UInt8]) { secret = SecretBytes(wiping: &typed) }

    package var isEmpty: Bool { secret.count == 0 }
}
